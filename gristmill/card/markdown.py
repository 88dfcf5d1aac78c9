"""The card for people: README.md, section by section, what the data are; how they were treated stands in `policies`."""

from collections.abc import Iterator, Mapping, Sequence

from gristmill.card import policies
from gristmill.card.content import Card
from gristmill.card.front import front_matter, pattern
from gristmill.card.licences import WORDS
from gristmill.card.markup import Code, Written, folded, table, text
from gristmill.card.settings import commands, toml
from gristmill.report.words import count, counted, language, listed, share, size
from gristmill.rights import UNKNOWN


def readme(card: Card) -> str:
    """README.md."""
    return "\n".join(["---", *front_matter(card), "---", "", *body(card)]) + "\n"


def body(card: Card) -> Iterator[str]:
    """All sections."""
    yield f"# {card.run.id}\n"
    yield from summary(card)
    sections = {
        "Splits": splits(card), "Sources and licences": sources(card), "Languages": languages(card), "How it was made": making(card),
        "What was left out, and why": policies.funnel(card), "Duplicates": policies.copies(card),
        "Personal data": policies.personal(card), "Rights and takedowns": policies.rights(card),
        **({"Tokenizer": tokenizer(card)} if card.packed else {}), "Biases": policies.biases(card), "How to load it": loading(card),
        "Limits": policies.limits(card), "How to reproduce it": reproducing(card),
    }  # fmt: skip
    for title, lines in sections.items():
        yield from ("", f"## {title}", "", *lines)


def summary(card: Card) -> Iterator[str]:
    """What it is, in two sentences and one table."""
    languages = [f"{text(language(lang))} {share(one.bytes, card.bytes)}" for lang, one in card.by("lang").items()]
    what = f"{counted(card.tokens, 'token')}, " if card.packed else ""
    form = "Arrow shards of token ids, ready to train on" if card.packed else "text"
    yield f"{counted(card.documents, 'document')}, {what}{size(card.bytes)} of text: {form}, made by Gristmill {card.run.manifest['version']}."
    yield f"Languages by bytes of text: {listed(languages)}.\n"
    yield from table(["at a glance", "as it stands"], list(glance(card).items()))


def glance(card: Card) -> dict[str, str]:
    """What whoever signs for the corpus asks first."""
    kept, unknown = card.scan.kept, card.scan.of_licence().get(UNKNOWN, 0)
    audits = listed([audit.run for audit in card.audits]) or "none: nothing was measured about biases"
    return {
        "licence stated": f"{count(kept - unknown)} of {counted(kept, 'document')} ({share(kept - unknown, kept)}); unknown for {count(unknown)}",
        "refusals": policies.refusals(card),
        "personal data": policies.masking(card),
        "could not be fetched or read": policies.unread(card),
        "audit": audits,
    }


def splits(card: Card) -> Iterator[str]:
    """Documents, tokens and bytes of each split."""
    files, counts = card.splits(), card.by("split")
    head = ["split", "documents", *(["tokens"] if card.packed else []), "bytes of text", "files", "bytes of files"]
    rows = [
        (name, one.documents, *([one.tokens] if card.packed else []), one.bytes, len(files[name]), sum(file.bytes for file in files[name]))
        for name, one in counts.items() if name in files
    ]  # fmt: skip
    yield from table(head, rows)
    yield ""
    if not card.packed:
        yield "Exported text is not split: `train` is what the Hub calls all of it."
        return
    config = card.own.config
    yield f"A hash of its id puts a document into `validation` ({share(config['validation'], 1)} of them), `test` ({share(config['test'], 1)}) or `train`, so it stays where it is when the corpus grows."
    yield f"Each split is shuffled as a whole, by seed {config['seed']}."
    if card.documents != card.distinct:
        yield f"{counted(card.distinct, 'document')} are written {count(card.documents)} times in all: some more than once, on purpose."
    yield from mixture(card)


def mixture(card: Card) -> Iterator[str]:
    """How the training split was mixed, where it was."""
    groups = card.run.details.get("mixture") or []
    if groups:
        yield "\nThe training split is a mixture; `times` is how often a document of a group stands in it, on average:\n"
        rows = [
            (group["key"].replace("\t", " "), group["documents"], f"{group['planned']:.1%}", f"{group['times']:.2f}", group["tokens"])
            for group in groups
        ]  # fmt: skip
        yield from table(["group", "documents", "share planned", "times", "tokens"], rows, rest="groups")


def sources(card: Card) -> Iterator[str]:
    """Where it is from, and under which licences."""
    head = ["source", "documents", *(["tokens"] if card.packed else []), "bytes of text", "licences (documents)"]
    rows = [
        (name, one.documents, *([one.tokens] if card.packed else []), one.bytes, _licences(card.scan.of_source(name)))
        for name, one in card.by("source").items()
    ]
    yield from table(head, rows, rest="sources")
    licences = card.scan.of_licence()
    yield f"\nBy licence, as an SPDX id, each document counted once (n = {count(card.scan.kept)} that `decide` kept):\n"
    yield from table(
        ["licence", "documents", "share"],
        [(name, n, share(n, card.scan.kept)) for name, n in licences.items()], rest="licences",
    )  # fmt: skip
    if card.scan.kept != card.distinct:
        yield f"\n`{card.run.step}` left out {count(card.scan.kept - card.distinct)} of these: see below."
    yield "\nA licence is what the source states; nobody has checked it. The corpus as a whole has no licence of its own: each document keeps its."
    yield from unknown(card)
    yield from dates(card)


def _licences(found: Mapping[str, int]) -> str:
    return ", ".join(f"{licence} ({count(n)})" for licence, n in found.items()) or UNKNOWN


def unknown(card: Card) -> Iterator[str]:
    """Why the licence of some documents is not known, source by source."""
    sources = [source for (source, licence) in sorted(card.scan.licences) if licence == UNKNOWN]
    if not sources:
        return
    yield f"\n`{UNKNOWN}` means {WORDS[UNKNOWN]}: nothing here says that such documents may be used, or that they may not. What their sources show:\n"
    rows: list[tuple[object, ...]] = []
    for source in sources:
        rows += [
            (source, Code(signal), n, card.scan.examples[source, signal][:120])
            for (own, signal), n in sorted(card.scan.stated.items()) if own == source
        ]  # fmt: skip
        rows += [(source, "nothing", card.scan.silent[source], "")] if card.scan.silent[source] else []
    yield from table(["source", "what states it", "documents", "for example"], rows)


def dates(card: Card) -> Iterator[str]:
    """When documents were published and captured, as far as they say."""
    for name, verb in (("published", "published"), ("fetched", "captured")):
        found = card.scan.dates(name)
        if found is None:
            yield f"\nWhen documents were {verb} is not known: the input does not say."
        else:
            rest = f"; {count(found.missing)} do not say when" if found.missing else ""
            days = f"on {found.first}" if found.first == found.last else f"from {found.first} to {found.last}"
            yield f"\nDocuments were {verb} {days}{rest}."


def languages(card: Card) -> Iterator[str]:
    """Shares of the text; languages in traces together."""
    found = card.by("lang")
    shown = {lang: one for lang, one in found.items() if one.bytes >= card.bytes / 1000}
    rows = [(language(lang), one.documents, one.bytes, share(one.bytes, card.bytes)) for lang, one in shown.items()]
    if rest := [one for lang, one in found.items() if lang not in shown]:
        size = sum(one.bytes for one in rest)
        rows.append((f"{len(rest)} others", sum(one.documents for one in rest), size, share(size, card.bytes)))
    yield from table(["language", "documents", "bytes of text", "share"], rows)
    yield "\nEvery document has one language, found in its text. Labels on a few words may be wrong."


def making(card: Card) -> Iterator[str]:
    """The chain of runs, and the files at its beginning."""
    yield "Every step wrote a folder whose name is a hash of its settings, code and inputs; oldest first:\n"
    rows = [
        (Code(run.id), run.version, Code(run.code[:12]), Code(run.manifest[:12]), listed([*run.parents, *run.files_read]) or "the web")
        for run in card.runs
    ]  # fmt: skip
    yield from table(["run", "Gristmill", "SHA-256 of code", "of manifest", "made from"], rows)
    yield "\nDates and times of the runs are left out: they are no part of what was made."
    files = card.last("annotate").details.get("input_files") or []
    if files:
        yield f"\nFiles read ({len(files)}):\n"
        read = [(one["name"], one["bytes"], one["records"]) for one in files]
        yield from table(["file", "bytes", "records"], read, rest="files")


def tokenizer(card: Card) -> Iterator[str]:
    """Which one, and its hash."""
    names = {file.path.removeprefix("tokenizer/") for file in card.run.data_files("tokenizer/")}
    kind = "sentencepiece" if "tokenizer.model" in names else "Hugging Face tokenizers"
    defining = "tokenizer.model" if "tokenizer.model" in names else "tokenizer.json"
    made = next((run for run in card.runs if run.step == "tokenizer"), None)
    model = f" ({made.config['model_type']})" if made and "model_type" in made.config else ""
    yield f"{kind}{model}, {count(card.run.details['vocab_size'])} ids, in `tokenizer/`. It is defined by `{defining}`, SHA-256 `{card.run.details['tokenizer']}`, which the schema of every shard repeats."
    if made and "sample_documents" in made.details:
        trained = f"{counted(made.details['sample_documents'], 'document')}, {size(made.details['sample_bytes'])}"
        yield f"Trained on {trained} of text."
    if "tokenizer.json" in names:
        yield '`transformers.AutoTokenizer.from_pretrained("tokenizer")` opens it.'


def loading(card: Card) -> Iterator[str]:
    """How to open the files, and their columns."""
    yield "Paths are relative to the run's folder: lay this file and `croissant.json` into it, beside the data.\n"
    if not card.files:
        yield "There are no rows to load."
        return
    yield from ("```python", *(shards_code(card) if card.packed else text_code(card)), "```", "")
    rows = [(Code(column.name), Code(column.type), Written(column.meaning)) for column in card.columns]
    yield from folded(f"{len(rows)} columns", list(every_row(rows)))


def every_row(rows: Sequence[tuple[Written, ...]]) -> Iterator[str]:
    """The table of columns: all of them, as nothing else lists them."""
    yield "| column | type | what it is |\n|---|---|---|"
    for row in rows:
        yield f"| {' | '.join(map(text, row))} |"


def shards_code(card: Card) -> Iterator[str]:
    """Python that opens shards."""
    split, files = next(iter(card.splits().items()))
    yield "import datasets, pyarrow as pa"
    yield 'rows = datasets.load_dataset(".")                            # all splits, from here or the Hub'
    yield f'rows = datasets.load_from_disk("{split}")                     # one split, memory-mapped, nothing copied'
    yield f'table = pa.ipc.open_stream(pa.memory_map("{files[0].path}")).read_all()'


def text_code(card: Card) -> Iterator[str]:
    """Python that opens exported text."""
    files = pattern(card.files[0].path)
    kind = "parquet" if files.endswith(".parquet") else "json"
    yield "import datasets"
    yield 'rows = datasets.load_dataset(".")                            # from here or the Hub'
    yield f'rows = datasets.load_dataset("{kind}", data_files="{files}", split="train")'
    if kind == "parquet":
        yield 'import pyarrow.parquet\ntable = pyarrow.parquet.read_table("text")'


def reproducing(card: Card) -> Iterator[str]:
    """Commands and settings; equal inputs, settings and code give equal bytes."""
    where = "Beside `runs/` with the captures" if card.of("crawl") else "In the folder of the files that were read"
    yield f"Equal inputs, settings, code and libraries give equal bytes, with any number of workers. {where}, with the settings below as `settings.toml`:\n"
    yield from ("```sh", *commands(card), "```", "")
    yield from folded("settings.toml", ["```toml", *list(toml(card))[:-1], "```"])
    for run in card.of("crawl"):
        yield f"\nThe web has moved on since `{run.id}`: its captures are the input, and a new crawl is another corpus."
    if card.pseudonyms:
        yield "\n`annotate.author_key`, the key of the pseudonyms, is secret and not told here: without it they cannot be made again."
