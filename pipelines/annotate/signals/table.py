"""The signals: every column that `annotate` adds to a document, what it means, its unit and its source."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipelines.annotate.kernels.lines import LINE_FIELDS
from pipelines.annotate.kernels.minhash import compute_signatures
from pipelines.annotate.kernels.quality import (
    ARABIC,
    CHINESE,
    EXTERNAL,
    FIELDS,
    SPACED,
    THAI,
    measure_quality,
)
from pipelines.annotate.kernels.tokens import hash_tokens
from pipelines.annotate.personal.spans import SPANS, compute_spans_column
from pipelines.annotate.signals.japanese import tokenize_japanese
from pipelines.annotate.signals.lines import compute_line_numbers
from pipelines.annotate.signals.urls import URL_HASH, hash_urls
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.line_hashes import FoldedTexts, fold_texts
from pipelines.signatures import PERMUTATIONS

GOPHER, C4, FINEWEB = "Rae et al. 2021", "Raffel et al. 2020", "Penedo et al. 2024"


@dataclass(frozen=True, slots=True)
class Signal:
    """One column: its name, its meaning with unit, and where the definition comes from."""

    name: str
    meaning: str
    source: str


SIGNALS = (
    Signal("chars", "characters (code points)", "ours"),
    Signal(
        "words",
        "words (tokens that are not all punctuation): Chinese as jieba cuts it, Japanese as Sudachi does in mode A, Thai as PyThaiNLP",
        GOPHER,
    ),
    Signal("mean_word_length", "characters per word", GOPHER),
    Signal(
        "alpha_word_ratio",
        "share of tokens, words and punctuation marks, with a letter, 0 to 1",
        GOPHER,
    ),
    Signal(
        "stop_words",
        "distinct stop words of the document's language, in lower case as they stand",
        GOPHER,
    ),
    Signal("symbol_word_ratio", "`#` or ellipses, whichever are more, per token", GOPHER),
    Signal("lines", "lines that are not blank", "ours"),
    Signal("bullet_line_ratio", "share of lines that begin with a bullet, 0 to 1", GOPHER),
    Signal("ellipsis_line_ratio", "share of lines that end with an ellipsis, 0 to 1", GOPHER),
    Signal(
        "terminal_line_ratio", "share of lines that end with terminal punctuation, 0 to 1", FINEWEB
    ),
    Signal("short_line_ratio", "share of lines of at most 30 characters, 0 to 1", FINEWEB),
    Signal("newline_word_ratio", "line breaks per token", FINEWEB),
    Signal("sentences", "runs of sentence-ending punctuation", C4),
    Signal("digit_ratio", "share of characters that are digits, 0 to 1", "ours"),
    Signal("curly_braces", "opening curly braces", C4),
    Signal("dup_line_ratio", "share of lines that occurred before, 0 to 1", GOPHER),
    Signal(
        "dup_line_char_ratio", "share of characters in lines that occurred before, 0 to 1", GOPHER
    ),
    Signal("dup_paragraph_ratio", "share of paragraphs that occurred before, 0 to 1", GOPHER),
    Signal(
        "dup_paragraph_char_ratio",
        "share of characters in paragraphs that occurred before, 0 to 1",
        GOPHER,
    ),
    *(
        Signal(
            f"top_{n}gram_ratio",
            f"characters of the most frequent run of {n} tokens, times how often, per character",
            GOPHER,
        )
        for n in (2, 3, 4)
    ),
    *(
        Signal(
            f"dup_{n}gram_ratio",
            f"characters of runs of {n} tokens that occurred before, per character",
            GOPHER,
        )
        for n in range(5, 11)
    ),
    Signal(
        "dup_line_text_ratio",
        "share of characters, but line breaks, in lines that occurred before, 0 to 1",
        FINEWEB,
    ),
    Signal(
        "c4_sentences",
        "sentences in the lines that C4 keeps: 3 words, none over 1000 characters, a sentence's end, no JavaScript, no policies (ends and policies in other languages than English: ours)",
        C4,
    ),
    Signal("c4_curly_braces", "opening curly braces in lines that C4 would else keep", C4),
    Signal("lorem_ipsum", "occurrences of the filler text `lorem ipsum`", C4),
    Signal(
        "boilerplate_line_ratio",
        "share of lines that are menus or notices of law, cookies or JavaScript in English or Chinese, 0 to 1",
        "ours",
    ),
    Signal("code_line_ratio", "share of lines that look like source code, 0 to 1", "ours"),
)
"""All numeric signals in the order of the kernels' columns; rules refer to them by name."""

NUMBERS = (*FIELDS, *LINE_FIELDS)
"""Their names."""

SEGMENTERS = {
    "zh": CHINESE,
    "wuu": CHINESE,
    "yue": CHINESE,
    "ja": EXTERNAL,
    "th": THAI,
    "ar": ARABIC,
    "arz": ARABIC,
}
"""Languages cut by other words than English: those for which FineWeb-2 used jieba, SudachiPy, PyThaiNLP, spaCy's Arabic tokenizer."""

HASH = pa.binary(16)
SIGNATURE = pa.binary(4 * PERMUTATIONS)
LINE_HASHES = pa.list_(pa.uint64())
FOLDED_LINES = (
    "XXH64 (seed 0) of every line that is not blank, in order, in UTF-8: each character in lower case (simple mapping), "
    "each run of white space one space, none at the ends"
)
URL_FORM = (
    "XXH3-128 of the canonical address (pipelines/annotate/signals/urls.py); null without one"
)


def _get_type(signal: Signal) -> pa.DataType:
    whole = ("chars", "words", "stop_words", "lines", "sentences", "curly_braces", *LINE_FIELDS[:3])
    return pa.int32() if signal.name in whole else pa.float32()


HASH_FIELDS = [
    pa.field(
        "text_bytes", pa.int32(), nullable=False, metadata={"is": "bytes of the text in UTF-8"}
    ),
    pa.field(
        "text_hash",
        HASH,
        nullable=False,
        metadata={
            "is": "XXH3-128 of the text, folded as a line of line_hashes: line breaks are white space"
        },
    ),
    pa.field("url_hash", URL_HASH, metadata={"is": URL_FORM}),
    pa.field("line_hashes", LINE_HASHES, nullable=False, metadata={"is": FOLDED_LINES}),
    pa.field(
        "signature",
        SIGNATURE,
        metadata={"is": f"MinHash, {PERMUTATIONS} x uint32; null under 5 words"},
    ),
]
"""The Arrow fields of what finds copies; nothing of a text's language is in them."""

SIGNAL_FIELDS = [
    *(
        pa.field(
            s.name, _get_type(s), nullable=False, metadata={"is": s.meaning, "source": s.source}
        )
        for s in SIGNALS
    ),
    *HASH_FIELDS,
    pa.field(
        "personal", SPANS, nullable=False, metadata={"is": "spans of personal data in UTF-8 bytes"}
    ),
]
"""The Arrow fields of all signals, numeric and other."""


def load_stop_words() -> dict[str, list[str]]:
    """The stop words of every language that has a list."""
    return tomllib.loads((Path(__file__).parent / "stop_words.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _load_stop_lists() -> tuple[dict[str, int], list[np.ndarray]]:
    """Index by language, and the sorted hash lists; list 0 is empty, for languages without one."""
    table = load_stop_words()
    lists = [np.zeros(0, np.uint64), *(hash_tokens(words) for words in table.values())]
    return {lang: place for place, lang in enumerate(table, start=1)}, lists


def compute_signal_columns(
    text: pa.Array, lang: pa.Array, url: pa.Array | None = None
) -> list[pa.Array]:
    """The columns of SIGNAL_FIELDS for a batch of texts, their languages and their addresses."""
    return [
        *compute_number_columns(text, lang),
        *compute_hash_columns(text, url),
        compute_spans_column(text),
    ]


def compute_hash_columns(text: pa.Array, url: pa.Array | None = None) -> list[pa.Array]:
    """The columns of HASH_FIELDS for a batch of texts and their addresses."""
    data, offsets = get_text_buffers(text)
    folded = fold_texts(data, offsets)
    columns = [pc.binary_length(text), hash_texts(folded)]
    columns.append(pa.nulls(len(text), URL_HASH) if url is None else hash_urls(url))
    return [*columns, hash_lines(folded), compute_signature_column(data, offsets)]


def compute_number_columns(text: pa.Array, lang: pa.Array) -> list[pa.Array]:
    """The columns of NUMBERS, which rules bound, for a batch of texts and their languages."""
    data, offsets = get_text_buffers(text)
    index, lists = _load_stop_lists()
    codes = lang.to_pylist()
    languages = np.array([index.get(code, 0) for code in codes], np.int64)
    cutters = np.array([SEGMENTERS.get(code, SPACED) for code in codes], np.int8)
    given = tokenize_japanese(text, cutters == EXTERNAL)
    numbers = np.hstack(
        [
            measure_quality(data, offsets, languages, lists, cutters, given),
            compute_line_numbers(data, offsets),
        ]
    )
    return [
        pa.array(numbers[:, i].astype(_get_numpy_type(field)))
        for i, field in enumerate(SIGNAL_FIELDS[: len(NUMBERS)])
    ]


def _get_numpy_type(field: pa.Field) -> type[np.generic]:
    return np.int32 if field.type == pa.int32() else np.float32


def hash_texts(folded: FoldedTexts) -> pa.Array:
    """The hash of every text of a batch."""
    text = folded.text.data
    return pa.array(
        [xxhash.xxh3_128_digest(text[start:end]) for start, end in pairwise(folded.cuts.tolist())],
        HASH,
    )


def hash_lines(folded: FoldedTexts) -> pa.Array:
    """The hashes of the lines of a batch as lists."""
    return pa.ListArray.from_arrays(pa.array(folded.ends), pa.array(folded.hashes))


def compute_signature_column(data: np.ndarray, offsets: np.ndarray) -> pa.Array:
    """The MinHash signatures of a batch as fixed-size binary; null where there is none."""
    matrix, counts = compute_signatures(data, offsets, PERMUTATIONS)
    valid = pa.array(counts > 0).buffers()[1]
    return pa.Array.from_buffers(
        SIGNATURE, len(counts), [valid, pa.py_buffer(np.ascontiguousarray(matrix, "<u4"))]
    )


def view_signature_matrix(column: pa.Array) -> np.ndarray:
    """uint32 (n, PERMUTATIONS) view of a signature column; rows of nulls are meaningless."""
    flat = np.frombuffer(column.buffers()[1], "<u4") if len(column) else np.zeros(0, "<u4")
    start = column.offset * PERMUTATIONS
    return flat[start : start + len(column) * PERMUTATIONS].reshape(len(column), PERMUTATIONS)


assert tuple(signal.name for signal in SIGNALS) == NUMBERS, (
    "the kernels and the table must name the same columns"
)
