"""The card for people: README.md with the front matter that the Hugging Face Hub reads."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gristmill.card.content import UNKNOWN, Card, dropped, setting
from gristmill.report.facts import Audit
from gristmill.report.words import language

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
         (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"), (10**12, "100B<n<1T"))  # fmt: skip
COLUMNS = {
    "input_ids": "token ids, without special tokens",
    "sentences": "places in input_ids at which sentences start",
    "id": "stable id of the document: hash of source, locator and captured bytes",
    "source": "name of the source",
    "lang": "language found in the text (ISO 639)",
    "bytes": "UTF-8 bytes of the text that was encoded",
}
LEAST_SHARE = 0.001
SHOWN = 40
"""Rows of a table; the run's ledger has all."""


def readme(card: Card) -> str:
    """README.md."""
    return "\n".join(["---", *front_matter(card), "---", "", *body(card)]) + "\n"


def front_matter(card: Card) -> Iterator[str]:
    """The lines between the dashes."""
    yield from yaml("language", told_languages(card))
    yield from yaml("license", sorted({licence.lower() for licence in card.licences}) or [UNKNOWN])
    yield from yaml("pretty_name", f"Gristmill corpus {card.run.id}")
    yield from yaml("size_categories", [next((name for most, name in SIZES if card.documents < most), "n>1T")])
    yield from yaml("task_categories", ["text-generation", "fill-mask"])
    yield from yaml("tags", ["arrow", "croissant", "pretokenized", "gristmill"])
    yield "configs:"
    yield "- config_name: default"
    yield "  data_files:"
    for split in card.splits:
        yield f"  - split: {split}"
        yield f"    path: {split}/*.arrow"
    yield "dataset_info:"
    yield "  splits:"
    for split, counts in card.splits.items():
        size = sum(file.bytes for file in card.shards if file.path.startswith(f"{split}/"))
        yield from (f"  - name: {split}", f"    num_bytes: {size}", f"    num_examples: {counts['documents']}")


def told_languages(card: Card) -> list[str]:
    """The codes of languages that have a share of the text worth telling: a label on one short post may be an error."""
    total = sum(card.languages.values())
    shares = {code: size / total for code, size in card.languages.items() if total}
    return [code for code, share in shares.items() if share >= LEAST_SHARE and code not in ("und", "zxx", "mis", "mul")]


def yaml(key: str, value: Any) -> Iterator[str]:
    """A key with a string or a list of strings: JSON strings are YAML strings."""
    if isinstance(value, str):
        yield f"{key}: {json.dumps(value, ensure_ascii=False)}"
    elif value:
        yield f"{key}:"
        yield from (f"- {json.dumps(item, ensure_ascii=False)}" for item in value)


def body(card: Card) -> Iterator[str]:
    """All sections."""
    tokens = sum(split["tokens"] for split in card.splits.values())
    yield f"# {card.run.id}"
    yield ""
    yield f"{card.documents:,} documents, {tokens:,} tokens, ready to train on: Arrow shards, made by Gristmill {card.pack.version}."
    for title, lines in (
        ("Splits", splits(card)), ("Sources and licences", sources(card)), ("Languages", languages(card)),
        ("What was left out, and why", funnel(card)), ("Personal data", personal(card)), ("Rights", rights(card)),
        ("Tokenizer", tokenizer(card)), ("Biases", biases(card.facts.audits)), ("How to load it", loading(card)),
        ("How it was made", making(card)), ("Limits", limits(card)),
    ):  # fmt: skip
        yield from ("", f"## {title}", "", *lines)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """A Markdown table of at most SHOWN rows; numbers with separators."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows[:SHOWN]:
        yield f"| {' | '.join(_cell(value) for value in row)} |"
    if len(rows) > SHOWN:
        yield f"\n{len(rows) - SHOWN} more are in the run's `ledger.parquet`."


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")


def splits(card: Card) -> Iterator[str]:
    """Documents and tokens."""
    yield from table(
        ["split", "documents", "tokens"], [(name, s["documents"], s["tokens"]) for name, s in card.splits.items()]
    )
    yield ""
    yield "The split of a document is a hash of its id, so it stays when the corpus grows; the order is a shuffle by seed."
    if mixture := card.run.details.get("mixture"):
        yield "\nThe training split was mixed; `times` is how often a document stands there on average:\n"
        rows = [
            (
                row["key"].replace("\t", " "),
                row["documents"],
                f"{row['planned']:.1%}",
                f"{row['times']:.2f}",
                row["tokens"],
            )
            for row in mixture
        ]
        yield from table(["group", "documents", "share planned", "times", "tokens"], rows)


def sources(card: Card) -> Iterator[str]:
    """Where it is from."""
    by_size = sorted(card.sources.items(), key=lambda item: -item[1][1])
    rows = [(name, documents, size, licences) for name, (documents, size, licences) in by_size]
    yield from table(["source", "documents", "bytes of text", "licences"], rows)
    yield ""
    yield from table(["licence (SPDX)", "documents kept"], list(card.licences.items()))
    if unknown := card.licences.get(UNKNOWN):
        yield f"\n{unknown:,} documents state no licence that could be read: `unknown`. Nothing is known to allow their use, or to forbid it."


def languages(card: Card) -> Iterator[str]:
    """Shares of the text."""
    total = max(1, sum(card.languages.values()))
    yield from table(
        ["language", "bytes of text", "share"],
        [(language(code), size, f"{size / total:.1%}") for code, size in card.languages.items()],
    )


def funnel(card: Card) -> Iterator[str]:
    """The ledger of every step: read = kept + dropped + quarantined."""
    steps = [run for run in card.facts.runs if run.main and run.step in ("crawl", "annotate", "decide", "pack")]
    rows = [
        (
            run.step,
            run.counts.get("read", 0),
            run.counts.get("kept", 0),
            run.counts.get("dropped", 0),
            run.counts.get("quarantined", 0),
        )
        for run in steps
    ]
    yield from table(["step", "read", "kept", "dropped", "could not be read"], rows)
    yield "\nIn every step read = kept + dropped + quarantined. The reasons:\n"
    yield from table(
        ["step", "reason", "documents"],
        [(run.step, reason, count) for run in steps for reason, count in dropped(run).items()],
    )


def personal(card: Card) -> Iterator[str]:
    """What was looked for, found and masked."""
    found: Mapping[str, int] = card.facts.corpus.personal if card.facts.corpus else {}
    if card.annotate.config.get("only_hashes"):
        yield "Personal data were **not** looked for (`annotate.only_hashes`), and none were masked."
        return
    if card.masked:
        yield "Spans found in kept documents were replaced by typed placeholders such as `<EMAIL>` before encoding:\n"
    else:
        yield "Spans were found as below and **left in the text** (`pack.mask_personal` was off):\n"
    yield from table(["kind", "spans found"], list(found.items()) or [("none", 0)])
    yield "\nNames and postal addresses are not looked for, and what patterns miss is still there: treat the text as containing personal data."
    authors = "replaced by keyed pseudonyms" if card.pseudonyms else "left out"
    yield f"Authors of social posts are {authors}."


def rights(card: Card) -> Iterator[str]:
    """The policy, opt-outs and takedowns."""
    yield f"Rights policy: `{json.dumps(setting(card.decide, 'rights'), ensure_ascii=False, sort_keys=True)}`."
    outs = card.facts.corpus.opt_outs if card.facts.corpus else {}
    refused = sum(outs.values())
    yield f"\nDocuments that state a refusal (such as `noai`): {refused:,}; the policy above decides what becomes of them."
    yield f"Takedown requests applied: {card.decide.details.get('takedowns', 0):,}."


def tokenizer(card: Card) -> Iterator[str]:
    """Which one, and its hash."""
    vocabulary, sha256 = card.run.details["vocab_size"], card.run.details["tokenizer"]
    yield f"{vocabulary:,} ids; SHA-256 of its defining file `{sha256}`, repeated in the schema metadata of every shard."
    yield "It lies in `tokenizer/` and opens with `transformers.AutoTokenizer` where `tokenizer.json` is there."


def biases(audits: Sequence[Audit]) -> Iterator[str]:
    """What an audit found; each figure with its interval and n."""
    if not audits:
        yield "This corpus was not audited: nothing is known about its biases. Web text under- and misrepresents groups of people."
    for audit in audits:
        yield f"Audit `{audit.run}` found (value [95 % interval] n):\n"
        yield from (f"- {line.strip()}" for line in audit.headlines)
        yield "\nLimits of the audit:\n"
        yield from (f"- {limit}" for limit in audit.content.get("limits", []))


def loading(card: Card) -> Iterator[str]:
    """Three ways."""
    first = next(iter(card.splits))
    first_shard = next(file.path for file in card.shards if file.path.startswith(f"{first}/"))
    yield "```python"
    yield "import datasets, pyarrow as pa"
    yield f'rows = datasets.load_from_disk("{first}")                       # a split\'s folder, memory-mapped'
    yield f'rows = datasets.load_dataset("arrow", data_files="{first}/*.arrow", split="train")'
    yield f'table = pa.ipc.open_stream(pa.memory_map("{first_shard}")).read_all()'
    yield "```"
    yield ""
    yield from table(["column", "is"], list(COLUMNS.items()))


def making(card: Card) -> Iterator[str]:
    """The chain of runs."""
    rows = [
        (run.id, run.step, run.version, run.code[:12], run.manifest[:12], ", ".join(run.parents))
        for run in card.facts.runs
    ]
    yield from table(["run", "step", "Gristmill", "code", "manifest", "made from"], rows)
    yield "\nThe same inputs, configurations and code give the same bytes, with any number of workers; `gristmill shards verify` checks these."
    yield "\nConfiguration of the last steps:\n"
    for run in (card.decide, card.pack):
        yield f"```json\n{json.dumps({run.step: run.config}, indent=1, ensure_ascii=False, sort_keys=True)}\n```"


def limits(card: Card) -> Iterator[str]:
    """What the card cannot promise."""
    yield "- One language label a document; near copies are found by sampling hashes, so some stay."
    yield "- Licences are what sources state; nobody has read them on your behalf."
    yield "- The filters were tuned for English and Chinese; `Biases` says what an audit saw of them."
    if card.run.exit_code == 3 or any(run.counts.get("quarantined") for run in card.facts.runs):
        yield "- Some records could not be read: see the funnel."
