"""A corpus with planted copies, English and Chinese 2:1, and for every copy its exact similarity to its original.

    python benchmarks/dedup_corpus.py [--megabytes 200] [--out FOLDER]

Real text of the shared data folder beside the checkout, cut into passages; those of which over a quarter was seen in
passages before are left out, so that natural near copies do not spoil the truth. What is missing to the size asked for is
assembled of single sentences of the same text. Then copies are planted: exact ones, and near ones whose edit is steered by
the similarity wanted and whose Jaccard similarity J of sets of five-word shingles is measured after the edit. Each original
has one copy, so that nothing but the pair itself can bring both together; families of many copies lie apart.

Writes part-0..3.parquet (id, text, url, source, lang, type) and truth.parquet (copy, original, edit, jaccard, family, lang).
The words are those of the MinHash of this project: lower-case Unicode words, in Chinese characters.
200 MB take half a minute and 1.6 GB of memory.
"""

import argparse
import hashlib
import itertools
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit, uint64

from pipelines.annotate.kernels.minhash import SHINGLE
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.unicode import build_class_table, build_lower_table
from pipelines.kernels.words import mix64, split_words

SHARED = Path(__file__).resolve().parents[2] / "shared/data/corpus"
HOME = Path.home() / ".cache/gristmill/bench"
SETS = {
    "en": (
        "wiki_en",
        "books_eltec_en",
        "html_anarchism",
        "html_debian_reference_en",
        "web_ud_ewt_en",
        "web_ud_gum_en",
        "speech_inaugural_en",
        "speech_state_union_en",
        "books_debian_en",
    ),
    "zh": (
        "wiki_zh",
        "legal_laws_zh",
        "docs_manpages_zh",
        "web_oiwiki_zh",
        "books_d2l_zh",
        "html_libreoffice_help_zh_cn",
    ),
}
SHARE = {"en": 2 / 3, "zh": 1 / 3}
"""Of the bytes and of the copies."""
PASSAGE = {"en": 6000, "zh": 2000}
"""Most characters of a passage, give or take a sentence."""
BANDS = (
    (0.5, 0.6),
    (0.6, 0.7),
    (0.7, 0.8),
    (0.8, 0.85),
    (0.85, 0.9),
    (0.9, 0.95),
    (0.95, 1.0),
    (1.0, 1.0),
)
"""Of J: [low, high); the last is J = 1 of copies that are not equal."""
FULL = 200
"""Megabytes at which the numbers of copies hold; a smaller corpus has fewer in proportion."""
EXACT, A_BAND, FAMILIES = 3500, 720, 75
LEAST_SHINGLES = 60
SEEN = 0.25
SEED = 1
FILES, ROW_GROUP = 4, 1000

SENTENCE = re.compile(r"[^.!?。！？\n]*[.!?。！？\n]+\s*|[^.!?。！？\n]+$")
WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
PUNCTUATION = str.maketrans(
    {",": " -", ".": "!", ";": ",", "，": "、", "。": "；", "：": "——", "“": "「", "”": "」"}
)


@njit(nogil=True, cache=True)
def _shingles(data, offsets, classes, lower, out, ends):  # type: ignore[no-untyped-def]
    longest = 0
    for d in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    starts, stops = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    lengths, letters = np.empty(longest + 1, np.int32), np.empty(longest + 1, np.bool_)
    words = np.empty(longest + 1, np.uint64)
    at = 0
    for d in range(offsets.shape[0] - 1):
        count, _ = split_words(
            data, offsets[d], offsets[d + 1], classes, lower, starts, stops, lengths, words, letters
        )
        for i in range(count - SHINGLE + 1):
            h = uint64(0)
            for j in range(SHINGLE):
                h = h * uint64(0x9E3779B97F4A7C15) + words[i + j]
            out[at] = mix64(h)
            at += 1
        ends[d] = at


def shingles(texts: Sequence[str]) -> list[np.ndarray]:
    """The 64-bit hashes of all five-word shingles of each text, in its order."""
    data, offsets = get_text_buffers(pa.array(texts, pa.string()))
    out, ends = (
        np.empty(int(offsets[-1] - offsets[0]) + 1, np.uint64),
        np.empty(len(texts), np.int64),
    )
    _shingles(
        data, np.asarray(offsets, np.int64), build_class_table(), build_lower_table(), out, ends
    )
    return [part.copy() for part in np.split(out[: ends[-1]], ends[:-1])]


def jaccard(one: str, other: str) -> float:
    """The exact Jaccard similarity of the sets of shingles; 0 where neither has any."""
    first, second = map(np.unique, shingles([one, other]))
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / max(1, len(first) + len(second) - common)


@dataclass(slots=True)
class Document:
    """A text of the corpus; `original` and what follows only for a planted copy. `family` 0: the only copy."""

    text: str
    lang: str
    source: str
    type: str
    original: "Document | None" = None
    edit: str = ""
    jaccard: float = 1.0
    family: int = 0
    id: str = ""


@dataclass(frozen=True, slots=True)
class Donor:
    """What edits put in: sentences and words of a language, and chance."""

    rng: random.Random
    sentences: list[str]
    words: list[str]


def kept_share(similarity: float) -> float:
    """The share of shingles an edit that replaces some one for one leaves, if J is to be `similarity`."""
    return 2 * similarity / (1 + similarity)


def with_words(text: str, wanted: float, donor: Donor, *, put: Callable[[], str]) -> str:
    """`text` with as many words changed as leave J near `wanted`: a shingle stays if all its words do."""
    spans = [match.span() for match in WORD.finditer(text)]
    number = max(1, round((1 - kept_share(wanted) ** (1 / SHINGLE)) * len(spans)))
    parts, at = [], 0
    for start, end in sorted(donor.rng.sample(spans, min(number, len(spans)))):
        parts += [text[at:start], put()]
        at = end
    return "".join(parts) + text[at:]


def substituted(text: str, wanted: float, donor: Donor) -> str:
    return with_words(text, wanted, donor, put=lambda: donor.rng.choice(donor.words))


def dropped(text: str, wanted: float, donor: Donor) -> str:
    return with_words(text, wanted, donor, put=str)


def wrapped(text: str, wanted: float, donor: Donor) -> str:
    """Foreign sentences before and behind, as what a page has around its text."""
    missing, before, behind = (1 / wanted - 1) * len(WORD.findall(text)), "", ""
    while missing > 0:
        words = list(WORD.finditer(donor.rng.choice(donor.sentences)))
        if words:
            last = words[min(len(words), int(missing) + 1) - 1]
            piece, missing = last.string[: last.end()], missing - len(words)
            before, behind = (
                (f"{before}{piece}\n", behind)
                if donor.rng.random() < 0.5
                else (before, f"{behind}\n{piece}")
            )
    return before + text + behind


def truncated(text: str, wanted: float, donor: Donor) -> str:
    spans = list(WORD.finditer(text))
    return text[: spans[max(1, round(wanted * len(spans))) - 1].end()]


def shuffled(text: str, wanted: float, donor: Donor) -> str:
    """Runs of sentences in another order: each cut between two of them breaks four shingles."""
    sentences = SENTENCE.findall(text)
    cuts = max(1, round((1 - kept_share(wanted)) * len(WORD.findall(text)) / (SHINGLE - 1)))
    places = (
        sorted(donor.rng.sample(range(1, len(sentences)), min(cuts, len(sentences) - 1)))
        if sentences
        else []
    )
    runs = ["".join(sentences[a:b]) for a, b in itertools.pairwise([0, *places, len(sentences)])]
    donor.rng.shuffle(runs)
    return "\n".join(run.strip() for run in runs)


def restyled(text: str, _: float, donor: Donor) -> str:
    """Other case, punctuation or white space: the same words."""
    styles = [
        str.upper,
        str.lower,
        lambda t: t.translate(PUNCTUATION),
        lambda t: re.sub(r"\s+", "\n", t),
    ]
    for style in donor.rng.sample(styles, 2):
        text = style(text)
    return text


EDITS = (substituted, dropped, wrapped, truncated, shuffled)


def natural(lang: str) -> Iterator[Document]:
    """The passages of the sets of a language."""
    for name in SETS[lang]:
        table = pq.read_table(SHARED / f"{name}.parquet", columns=["text", "type"])
        for text, kind in zip(table["text"].to_pylist(), table["type"].to_pylist(), strict=True):
            for passage in passages(text, PASSAGE[lang]):
                yield Document(passage, lang, name, kind)


def passages(text: str, most: int) -> Iterator[str]:
    """Runs of whole sentences, together the text."""
    run: list[str] = []
    size = 0
    for sentence in SENTENCE.findall(text):
        run.append(sentence)
        size += len(sentence)
        if size >= most:
            yield "".join(run).strip()
            run, size = [], 0
    if rest := "".join(run).strip():
        yield rest


def unseen(documents: list[Document]) -> list[Document]:
    """Those of at least LEAST_SHINGLES shingles of which at most a quarter stands in documents before."""
    chunks = (documents[i : i + 1000] for i in range(0, len(documents), 1000))
    parts = [part for chunk in chunks for part in shingles([document.text for document in chunk])]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    _, first, inverse = np.unique(np.concatenate(parts), return_index=True, return_inverse=True)
    again = np.bincount(owner, weights=owner[first][inverse] < owner, minlength=len(parts))
    total = np.array([len(part) for part in parts])
    keep = (total >= LEAST_SHINGLES) & (again <= SEEN * total)
    return [document for document, yes in zip(documents, keep, strict=True) if yes]


def assembled(donor: Donor, lang: str, wanted: float) -> Iterator[Document]:
    """Documents of 20 to 120 sentences, together `wanted` bytes; each sentence comes once before any comes again.

    Then in another order: runs that came again would make near copies.
    """
    orders = (donor.rng.sample(donor.sentences, len(donor.sentences)) for _ in itertools.count())
    order = itertools.chain.from_iterable(orders)
    space = "" if lang == "zh" else " "
    while wanted > 0:
        sentences = list(itertools.islice(order, donor.rng.randint(20, 120)))
        text = "\n".join(space.join(sentences[i : i + 6]) for i in range(0, len(sentences), 6))
        wanted -= len(text.encode())
        yield Document(text, lang, "assembled", "web")


def donor_of(documents: list[Document], rng: random.Random) -> Donor:
    """All different sentences of middling length, and 100 000 words of them."""
    found = (
        sentence.strip() for document in documents for sentence in SENTENCE.findall(document.text)
    )
    sentences = list(dict.fromkeys(sentence for sentence in found if 15 <= len(sentence) <= 400))
    words = [
        word
        for sentence in rng.sample(sentences, min(20000, len(sentences)))
        for word in WORD.findall(sentence)
    ]
    return Donor(rng, sentences, words[:100_000])


def copy_of(
    original: Document, edit: Callable[[str, float, Donor], str], wanted: float, donor: Donor
) -> Document:
    text = edit(original.text, wanted, donor)
    similarity = jaccard(original.text, text)
    return Document(
        text, original.lang, original.source, original.type, original, edit.__name__, similarity
    )


def band_of(similarity: float) -> int | None:
    """The number of the band of BANDS; None below all."""
    return next(
        (
            n
            for n, (low, high) in enumerate(BANDS)
            if low <= similarity and (similarity < high or low == 1)
        ),
        None,
    )


@dataclass(slots=True)
class Planting:
    """Copies so far, and originals that have none; `number` scales what is planted."""

    donor: Donor
    originals: Iterator[Document]
    number: Callable[[float], int]
    copies: list[Document] = field(default_factory=list)

    def exact(self) -> None:
        for original in itertools.islice(self.originals, self.number(EXACT)):
            self.copies.append(
                Document(
                    original.text, original.lang, original.source, original.type, original, "exact"
                )
            )

    def near(self) -> None:
        """Fill every band: what falls into one that is full is thrown away and its original tried again."""
        filled, full = [0] * len(BANDS), self.number(A_BAND)
        original = next(self.originals)
        while min(filled) < full:
            wanted = filled.index(min(filled))
            low, high = BANDS[wanted]
            edit = restyled if low == 1 else self.donor.rng.choice(EDITS)
            copy = copy_of(original, edit, self.donor.rng.uniform(low, high), self.donor)
            band = band_of(copy.jaccard)
            if band is not None and filled[band] < full and copy.text != original.text:
                filled[band] += 1
                self.copies.append(copy)
                original = next(self.originals)
            elif copy.jaccard == 1:  # a text that this band's edits cannot change
                original = next(self.originals)

    def families(self, first: int) -> None:
        """Families of 3 to 50 documents, most of them small, whose copies are near their original."""
        for family in range(first, first + max(1, self.number(FAMILIES))):
            original = next(self.originals)
            for _ in range(round(2 * 25 ** self.donor.rng.random() ** 2)):
                copy = copy_of(
                    original,
                    self.donor.rng.choice(EDITS[:4]),
                    self.donor.rng.uniform(0.8, 1),
                    self.donor,
                )
                copy.family = family
                self.copies.append(copy)


def documents_of(lang: str, megabytes: float, rng: random.Random) -> list[Document]:
    """All documents of a language, the copies behind: first chosen real text, then copies, then assembled text."""
    wanted, scale = megabytes * 1e6 * SHARE[lang], megabytes / FULL
    real = list(natural(lang))
    rng.shuffle(real)
    real = unseen(real[: round(len(real) * min(1, scale))])
    donor = donor_of(real, rng)
    planted = Planting(donor, iter(real), lambda full: round(full * scale * SHARE[lang]))
    planted.exact()
    planted.near()
    planted.families(1 if lang == "en" else 1 + FAMILIES)
    documents = real + planted.copies
    missing = wanted - sum(len(document.text.encode()) for document in documents)
    return documents + list(assembled(donor, lang, missing))


def write(documents: list[Document], folder: Path) -> None:
    """Four files of documents and the truth, in `folder` once all is there."""
    for number, document in enumerate(documents):
        document.id = f"doc-{number:06d}"
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    size = -(-len(documents) // FILES)
    for number in range(FILES):
        part = documents[number * size : (number + 1) * size]
        columns = {
            name: [getattr(d, name) for d in part]
            for name in ("id", "text", "source", "lang", "type")
        }
        table = pa.table(columns | {"url": pa.nulls(len(part), pa.string())})
        pq.write_table(
            table, partial / f"part-{number}.parquet", row_group_size=ROW_GROUP, compression="zstd"
        )
    copies = [document for document in documents if document.original]
    truth = {
        name: [getattr(d, name) for d in copies] for name in ("edit", "jaccard", "family", "lang")
    }
    ids = {
        "copy": [d.id for d in copies],
        "original": [d.original.id for d in copies if d.original],
    }
    pq.write_table(pa.table(ids | truth), partial / "truth.parquet")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def digest(megabytes: float) -> str:
    """Names the corpus by its parameters: its size and this file."""
    return hashlib.sha256(
        json.dumps([megabytes, Path(__file__).read_text("utf-8")]).encode()
    ).hexdigest()[:12]


def corpus(megabytes: float, folder: Path | None = None) -> Path:
    """The folder of the corpus, made if it is not there."""
    folder = folder or HOME / f"dedup-{digest(megabytes)}"
    if not (folder / "truth.parquet").exists():
        rng = random.Random(SEED)
        documents = [document for lang in SETS for document in documents_of(lang, megabytes, rng)]
        rng.shuffle(documents)
        write(documents, folder)
    return folder


def files(folder: Path) -> list[Path]:
    """The files of documents."""
    return sorted(folder.glob("part-*.parquet"))


def tell(folder: Path) -> None:
    """What is in it: documents and bytes by language, copies by band."""
    table = pa.concat_tables(
        [pq.read_table(file, columns=["text", "lang"]) for file in files(folder)]
    )
    sizes, langs = (
        np.array([len(text.encode()) for text in table["text"].to_pylist()]),
        np.array(table["lang"]),
    )
    for lang in SETS:
        print(
            f"{lang}: {(langs == lang).sum()} documents, {sizes[langs == lang].sum() / 1e6:.1f} MB of text"
        )
    truth = pq.read_table(folder / "truth.parquet").to_pylist()
    single = [row for row in truth if not row["family"]]
    print(
        f"exact copies: {sum(row['edit'] == 'exact' for row in single)}, in families: {len(truth) - len(single)}"
    )
    for band, (low, high) in enumerate(BANDS):
        found = [
            row for row in single if row["edit"] != "exact" and band_of(row["jaccard"]) == band
        ]
        edits = {
            edit: sum(row["edit"] == edit for row in found)
            for edit in sorted({row["edit"] for row in found})
        }
        print(
            f"J {low}-{high}: {len(found)} pairs, {sum(row['lang'] == 'zh' for row in found)} Chinese, {edits}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=FULL)
    parser.add_argument("--out", type=Path, help="folder of the corpus; without, one of the cache")
    options = parser.parse_args()
    made = corpus(options.megabytes, options.out)
    print(made)
    tell(made)
