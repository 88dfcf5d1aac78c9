"""The card for people: README.md, section by section, what the data are; how they were treated stands in `policies`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_language,
    format_list,
    format_share,
)
from gristmill.rights.policy import UNKNOWN
from reports.card import policies
from reports.card.about import given_or_not
from reports.card.biases import biases
from reports.card.content import Card, total
from reports.card.front import front_matter, pattern
from reports.card.licences import WORDS
from reports.card.markup import Code, Written, bullets, folded, table, text
from reports.card.settings import budget, commands, remaining_check, toml
from reports.chain.report_data import RunSummary, TokenSlice


def readme(card: Card) -> str:
    """README.md."""
    return "\n".join(["---", *front_matter(card), "---", "", *body(card)]) + "\n"


def body(card: Card) -> Iterator[str]:
    """All sections."""
    yield f"# {text(card.title)}\n"
    yield from summary(card)
    sections = {
        "Splits": splits(card),
        "Sources and licences": sources(card),
        "Languages": languages(card),
        "How it was made": making(card),
        "What was left out, and why": policies.funnel(card),
        "Duplicates": policies.copies(card),
        "Personal data": policies.personal(card),
        "Rights and takedowns": listing(policies.rights(card)),
        **({"Tokenizer": tokenizer(card)} if card.packed else {}),
        "Biases": biases(card),
        "How to load it": loading(card),
        "Limits": listing(policies.limits(card)),
        "How to reproduce it": reproducing(card),
    }
    for title, lines in sections.items():
        yield from ("", f"## {title}", "", *lines)


def listing(lines: Iterable[str]) -> Iterator[str]:
    """Sentences as bullets."""
    return (bullet for line in lines for bullet in bullets(line))


def summary(card: Card) -> Iterator[str]:
    """What it is, in two sentences and one table."""
    languages = [
        f"{text(format_language(lang))} {format_share(one.bytes, card.bytes)}"
        for lang, one in card.by("lang").items()
    ]
    what = f"{format_counted(card.tokens, 'token')}, " if card.packed else ""
    form = (
        "Arrow shards of token ids, ready to train on"
        if card.packed
        else "final text with its columns"
    )
    yield f"{card.amount}, {what}{format_bytes(card.bytes)} of text: {form}, made by Gristmill {card.run.manifest['version']}."
    yield f"Languages by bytes of text: {format_list(languages)}.\n"
    yield from table(["at a glance", "as it stands"], list(glance(card).items()))


def glance(card: Card) -> dict[str, str]:
    """What whoever signs for the corpus asks first."""
    kept, unknown = card.scan.kept, card.scan.of_licence().get(UNKNOWN, 0)
    audits = (
        format_list([audit.run for audit in card.audits])
        or "none: nothing was measured about biases"
    )
    return {
        **named(card),
        "licence stated": f"{format_count(kept - unknown)} of {card.kept.replace('`', '')} ({format_share(kept - unknown, kept)}); unknown for {format_count(unknown)}",
        "refusals": policies.refusals(card),
        "personal data": policies.masking(card),
        "could not be fetched or read": policies.unread(card),
        "audit": audits,
    }


def named(card: Card) -> dict[str, str]:
    """What the run is called and who answers for it, or how to say it."""
    about, crawled = card.about, "" if card.about.contact or not card.contact else " (of the crawl)"
    return {
        "run": card.run.id,
        **({} if about.title else {"title": given_or_not(None, "--title")}),
        "version": given_or_not(about.version, "--version"),
        "creator": given_or_not(about.creator, "--creator"),
        "contact": given_or_not(card.contact, "--contact") + crawled,
    }


def numbers(card: Card, documents: int, rows: TokenSlice) -> tuple[int, ...]:
    """Documents, rows where they are others, tokens where there are any, bytes: the cells under `head`."""
    return (
        documents,
        *([rows.documents] if card.repeats else []),
        *([rows.tokens] if card.packed else []),
        rows.bytes,
    )


def head(card: Card) -> list[str]:
    """The names of `numbers`."""
    return [
        "documents",
        *(["rows"] if card.repeats else []),
        *(["tokens"] if card.packed else []),
        "bytes of text",
    ]


def splits(card: Card) -> Iterator[str]:
    """Documents, rows, tokens and bytes of each split."""
    files = card.splits()
    rows = [
        (
            name,
            *numbers(card, card.documents_in(name), one),
            len(files[name]),
            sum(file.bytes for file in files[name]),
        )
        for name, one in card.by("split").items()
        if name in files
    ]
    yield from table(["split", *head(card), "files", "bytes of files"], rows)
    yield ""
    if not card.packed:
        yield "Exported text is not split: `train` is what the Hub calls all of it."
        return
    yield f"A hash of its id puts a document into {held_out(card, 'validation')}, {held_out(card, 'test')} or `train`, so it stays where it is when the corpus grows."
    yield f"Each split is shuffled as a whole, by seed {card.own.config['seed']}."
    if card.repeats:
        yield f"{format_counted(card.distinct, 'document')} are written {format_count(card.rows)} times in all: some of `train` more than once, on purpose."
    yield from mixture(card)


def held_out(card: Card, split: str) -> str:
    """A split that is held out, the share that was asked for, and what came of it."""
    number = card.documents_in(split) if split in card.by("split") else 0
    came = f"{format_count(number)} of {format_counted(card.distinct, 'document')}, {format_share(number, card.distinct)}"
    return f"`{split}` (asked for {format_share(card.own.config[split], 1)}; it has {came})"


def mixture(card: Card) -> Iterator[str]:
    """How the training split was mixed, where it was."""
    groups = card.run.details.get("mixture") or []
    if groups:
        yield "\nThe training split is a mixture; `times` is how often a document of a group stands in it, on average:\n"
        rows = [
            (
                group["key"].replace("\t", " "),
                group["documents"],
                f"{group['planned']:.1%}",
                f"{group['times']:.2f}",
                group["tokens"],
            )
            for group in groups
        ]
        yield from table(
            ["group", "documents mixed", "share planned", "times", "tokens in `train`"],
            rows,
            rest="groups",
        )


def sources(card: Card) -> Iterator[str]:
    """Where it is from, and under which licences."""
    kept = ["kept by `decide`"] if card.left_out else []
    yield from table(
        ["source", *kept, *head(card), "licences (documents)"], source_rows(card), rest="sources"
    )
    licences, number = card.scan.of_licence(), format_count(card.scan.kept)
    if card.left_out:
        yield f"\n`{card.run.step}` left out {format_count(card.left_out)} of the {number} documents that `decide` kept: see below. Licences, evidence and dates are of those {number}; documents, rows, tokens and bytes are of this run."
    yield f"\nBy licence, as an SPDX id, each document counted once (n = {number} that `decide` kept):\n"
    yield from table(
        ["licence", "documents", "share"],
        [(name, n, format_share(n, card.scan.kept)) for name, n in licences.items()],
        rest="licences",
    )
    yield "\nA licence is what the source states; nobody has checked it. The corpus as a whole has no licence of its own: each document keeps its."
    yield from unknown(card)
    yield from dates(card)


def source_rows(card: Card) -> list[tuple[object, ...]]:
    """A row a source, those that are left out as a whole last."""
    found, documents = card.by("source"), card.documents("source")
    none = {
        source: TokenSlice("", source, "", 0, 0, 0)
        for source, _ in sorted(card.scan.licences)
        if source not in found
    }
    rows = list[tuple[object, ...]]()
    for name, one in {**found, **none}.items():
        licences = card.scan.of_source(name)
        kept = [sum(licences.values())] if card.left_out else []
        rows.append((name, *kept, *numbers(card, documents[name], one), _licences(licences)))
    return rows


def _licences(found: Mapping[str, int]) -> str:
    return ", ".join(f"{licence} ({format_count(n)})" for licence, n in found.items()) or UNKNOWN


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
            for (own, signal), n in sorted(card.scan.stated.items())
            if own == source
        ]
        rows += (
            [(source, "nothing", card.scan.silent[source], "")] if card.scan.silent[source] else []
        )
    yield from table(["source", "what states it", "documents", "for example"], rows)


def dates(card: Card) -> Iterator[str]:
    """When documents were published and captured, as far as they say."""
    for name, verb in (("published", "published"), ("fetched", "captured")):
        found = card.scan.dates(name)
        if found is None:
            yield f"\nWhen documents were {verb} is not known: the input does not say."
        else:
            rest = f"; {format_count(found.missing)} do not say when" if found.missing else ""
            days = (
                f"on {found.first}"
                if found.first == found.last
                else f"from {found.first} to {found.last}"
            )
            yield f"\nDocuments were {verb} {days}{rest}."


def languages(card: Card) -> Iterator[str]:
    """Shares of the text; languages in traces together."""
    found, documents = card.by("lang"), card.documents("lang")
    shown = {lang: one for lang, one in found.items() if one.bytes >= card.bytes / 1000}
    rows = [(format_language(lang), documents[lang], one) for lang, one in shown.items()]
    if rest := [lang for lang in found if lang not in shown]:
        rows.append(
            (
                f"{len(rest)} others",
                sum(documents[lang] for lang in rest),
                total([found[lang] for lang in rest]),
            )
        )
    cells = [
        (name, *numbers(card, n, one), format_share(one.bytes, card.bytes)) for name, n, one in rows
    ]
    yield from table(["language", *head(card), "share of bytes"], cells)
    yield "\nEvery document has one language, found in its text. Labels on a few words may be wrong."


def making(card: Card) -> Iterator[str]:
    """The chain of runs, and the files at its beginning."""
    yield "Every step wrote a folder whose name is a hash of its settings, code and inputs; oldest first:\n"
    rows = [
        (
            Code(run.id),
            "corpus" if run.id in card.chain else "audit",
            run.version,
            Code(run.code[:12]),
            Code(run.manifest[:12]),
            format_list([*run.parents, *run.files_read]) or "the web",
        )
        for run in card.runs
    ]
    yield from table(
        ["run", "led to", "Gristmill", "SHA-256 of code", "of manifest", "made from"], rows
    )
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
    made = next(iter(card.of("tokenizer")), None)
    model = f" ({made.config['model_type']})" if made and "model_type" in made.config else ""
    yield f"{kind}{model}, {format_count(card.run.details['vocab_size'])} ids, in `tokenizer/`. It is defined by `{defining}`, SHA-256 `{card.run.details['tokenizer']}`, which the schema of every shard repeats."
    if made and "sample_documents" in made.details:
        yield trained(card, made)
    if "tokenizer.json" in names:
        yield '`transformers.AutoTokenizer.from_pretrained("tokenizer")` opens it.'


def trained(card: Card, made: RunSummary) -> str:
    """What a tokenizer was trained on, and whether held-out documents are in that."""
    sample = f"Trained on {format_counted(made.details['sample_documents'], 'document')}, {format_bytes(made.details['sample_bytes'])} of text"
    if card.last("decide").id in made.parents:
        return f"{sample}: a sample of all that `decide` kept, documents of `validation` and `test` included."
    other = (
        format_list([f"`{parent}`" for parent in made.parents])
        or "documents that are not known here"
    )
    return f"{sample}, of {other}: it may include documents of `validation` and `test`."


def loading(card: Card) -> Iterator[str]:
    """How to open the files, and their columns."""
    yield "Paths are relative to the run's folder: lay this file and `croissant.json`, both, into a copy of it, beside the data."
    if card.features:
        yield "The run has a sealed README.md with the types of its columns. This file states the same types, so the copy keeps them; `gristmill runs verify` on the copy names README.md as changed."
    yield ""
    if not card.files:
        yield "There are no rows to load."
        return
    yield from ("```python", *(shards_code(card) if card.packed else text_code(card)), "```", "")
    rows = [
        (Code(column.name), Code(column.type), Written(column.meaning)) for column in card.columns
    ]
    yield from folded(f"{len(rows)} columns", list(every_row(rows)))


def every_row(rows: Sequence[tuple[Written, ...]]) -> Iterator[str]:
    """The table of columns: all of them, as nothing else lists them."""
    yield "| column | type | what it is |\n|---|---|---|"
    for row in rows:
        yield f"| {' | '.join(map(text, row))} |"


LOAD = 'rows = datasets.load_dataset(os.path.abspath("."))  # as a whole; `datasets` 5 takes no bare "."'


def shards_code(card: Card) -> Iterator[str]:
    """Python that opens shards."""
    split, files = next(iter(card.splits().items()))
    yield f"import os\nimport datasets, pyarrow as pa\n{LOAD}"
    yield f'rows = datasets.load_from_disk("{split}")  # one split, memory-mapped, nothing copied'
    yield f'table = pa.ipc.open_stream(pa.memory_map("{files[0].path}")).read_all()'


def text_code(card: Card) -> Iterator[str]:
    """Python that opens exported text; JSON Lines only with the types of the card, which no reader can guess."""
    files = pattern(card.files[0].path)
    yield f"import os\nimport datasets\n{LOAD}"
    if files.endswith(".parquet"):
        yield f'rows = datasets.load_dataset("parquet", data_files="{files}", split="train")'
        yield 'import pyarrow.parquet\ntable = pyarrow.parquet.read_table("text")'


def reproducing(card: Card) -> Iterator[str]:
    """Commands and settings; equal inputs, settings and code give equal bytes."""
    where = (
        "Beside `runs/` with the captures"
        if card.crawled
        else "In the folder of the files that were read"
    )
    yield f"Equal inputs, settings, code and libraries give equal bytes, with any number of workers. {where}, with the settings below as `settings.toml`:\n"
    yield from ("```sh", *commands(card), "```", "")
    yield from folded("settings.toml", ["```toml", *list(toml(card))[:-1], "```"])
    for run in card.of("crawl"):
        yield f"\nThe web has moved on since `{run.id}`: its captures are the input, and a new crawl is another corpus."
    if told := budget(card):
        yield f"\n{told}"
    if card.last("decide").details.get("takedowns"):
        yield "\n`takedown.csv` is the list of takedowns, which is not told here: with another list, ids and documents differ."
    if card.pseudonyms:
        yield f"\n`annotate.author_key`, the key of the pseudonyms, is secret and not told here. With the same key the run is `{card.run.id}`; with another, or none, run ids and pseudonyms differ."
        yield f"\nWhat remains to be checked without the key: {remaining_check(card)}"
