"""What a card says, gathered once from the manifests, ledgers and data of a chain of runs, and from audits of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gristmill.errors import InputError
from gristmill.formatting import format_counted
from gristmill.hashing import digest
from gristmill.runs.finished import NAME, FinishedRun, ancestors, corpus_lineage, latest_of
from gristmill.runs.receipts import DataFile
from reports.card.about import About, contact_of
from reports.card.columns import Column, Json, columns_of, sealed_features
from reports.card.scan import Scan, scan
from reports.chain.collect import read_audit, summarize_runs
from reports.chain.corpus import read_meanings
from reports.chain.reasons import explain_reason, list_conditions
from reports.chain.report_data import AuditSummary, RunSummary, TokenSlice
from reports.chain.tokens import read_tokens
from reports.shards.checks import SPLITS

STEPS = ("pack", "export-text")
"""The steps whose runs are published, and so have cards."""
BEHIND = ("crawl-", "annotate-", "decide-", "tokenizer-", "pack-")
"""How the names of runs begin that a published one may be made from."""
WHOLE = "train"
"""What the Hub calls the split of data that have none."""
NO_KEY = digest("")[:12]
"""What a manifest holds where `annotate.author_key` is not set."""
OWN_REASONS = {
    "empty_after_cuts": "nothing was left once repeated passages were cut out",
    "mixture": "the mixture never writes it",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """Documents or records that a step did not keep, for one reason, and what that reason means."""

    step: str
    fate: str
    reason: str
    number: int
    means: str


@dataclass(frozen=True, slots=True)
class Card:
    """A pack or export-text run as its card tells it; `runs` is the whole chain, oldest first, audits included."""

    run: FinishedRun
    runs: tuple[RunSummary, ...]
    scan: Scan
    slices: tuple[TokenSlice, ...]
    """Rows as they stand in the files, by split, source and language; exported text has 0 tokens."""
    columns: tuple[Column, ...]
    features: Sequence[Json]
    """Types as a sealed README.md states them; empty where the files do."""
    files: tuple[DataFile, ...]
    losses: tuple[Loss, ...]
    audits: tuple[AuditSummary, ...]
    chain: frozenset[str]
    """The runs that lead to this one, those of a tokenizer from elsewhere too; the others lead to audits."""
    missing: tuple[str, ...]
    """Runs behind this one that do not lie beside it: nothing is told of them."""
    about: About

    def of(self, step: str) -> list[RunSummary]:
        """The runs of a step that the corpus itself stands on."""
        return [run for run in self.runs if run.step == step and run.main]

    def last(self, step: str) -> RunSummary:
        """The one run of a step that every card has: annotate, decide, and the run itself."""
        return self.of(step)[-1]

    @property
    def own(self) -> RunSummary:
        """The run that the card is of."""
        return self.last(self.run.step)

    @property
    def packed(self) -> bool:
        """Whether it is token ids in shards; else it is text."""
        return self.run.step == "pack"

    @property
    def title(self) -> str:
        """Its title, or the name of the run."""
        return self.about.title or self.run.id

    @property
    def contact(self) -> str:
        """Whom to ask: what was given, or the address that the crawls gave; empty where there is neither."""
        return self.about.contact or contact_of(self.of("crawl"))

    @property
    def rows(self) -> int:
        """Rows of all splits: a document that a mixture repeats counts each time."""
        return sum(one.documents for one in self.slices)

    @property
    def tokens(self) -> int:
        """Tokens of all splits."""
        return sum(one.tokens for one in self.slices)

    @property
    def bytes(self) -> int:
        """Bytes of the text of all rows."""
        return sum(one.bytes for one in self.slices)

    @property
    def distinct(self) -> int:
        """Documents, each counted once, however often it is written."""
        return int(self.own.counts["kept"])

    @property
    def repeats(self) -> bool:
        """Whether some documents are written more than once."""
        return self.rows != self.distinct

    @property
    def left_out(self) -> int:
        """Documents that `decide` kept and this run does not have."""
        return self.scan.kept - self.distinct

    @property
    def kept(self) -> str:
        """482 documents, those that `decide` kept: said so where this run has others."""
        return format_counted(self.scan.kept, "document") + (
            " that `decide` kept" if self.left_out else ""
        )

    @property
    def crawled(self) -> bool:
        """Whether a crawl is behind it, at hand or not."""
        return bool(self.of("crawl")) or any(name.startswith("crawl-") for name in self.missing)

    @property
    def amount(self) -> str:
        """433 documents, 550 rows: the rows only where they are others."""
        return format_counted(self.distinct, "document") + (
            f", {format_counted(self.rows, 'row')}" if self.repeats else ""
        )

    def documents(self, name: str) -> Counter[str]:
        """Documents by `source` or `lang`, each counted once, as the run's own ledger has them."""
        found = Counter[str]()
        for entry in self.own.entries:
            if entry.fate == "kept":
                found[getattr(entry, name)] += entry.documents
        return found

    def documents_in(self, split: str) -> int:
        """Documents of a split, each counted once: only the training split repeats any."""
        rows = {name: one.documents for name, one in self.by("split").items()}
        return (
            rows[split]
            if split != WHOLE
            else self.distinct - sum(n for name, n in rows.items() if name != WHOLE)
        )

    @property
    def masked(self) -> bool:
        """Whether personal data that were found are masked."""
        return bool(self.own.config.get("mask_personal")) and self.scan.personal is not None

    @property
    def pseudonyms(self) -> bool:
        """Whether authors were kept as keyed pseudonyms; else they were left out."""
        return bool(_raw_config(self.run, "annotate").get("author_key", NO_KEY) != NO_KEY)

    def splits(self) -> dict[str, list[DataFile]]:
        """Split -> its files, in order."""
        if not self.packed:
            return {WHOLE: list(self.files)} if self.files else {}
        found = {
            name: [file for file in self.files if file.path.startswith(f"{name}/")]
            for name in SPLITS
        }
        return {name: files for name, files in found.items() if files}

    def by(self, name: str) -> dict[str, TokenSlice]:
        """Sums of the rows by `split`, `source` or `lang`; splits in their order, others with the most text first."""
        found: dict[str, list[TokenSlice]] = {}
        for one in self.slices:
            found.setdefault(getattr(one, name), []).append(one)
        sums = {key: total(parts) for key, parts in found.items()}
        if name == "split":
            return sums
        return dict(sorted(sums.items(), key=lambda item: (-item[1].bytes, item[0])))


def total(parts: Sequence[TokenSlice]) -> TokenSlice:
    """The sums of some slices."""
    documents, tokens, size = (
        sum(getattr(one, what) for one in parts) for what in ("documents", "tokens", "bytes")
    )
    return TokenSlice("", "", "", documents, tokens, size)


def _raw_config(run: FinishedRun, step: str) -> Mapping[str, Any]:
    """A configuration as the manifest has it, with the digests of what facts withhold."""
    found = latest_of(corpus_lineage(run), step)
    return dict(found.manifest["config"]) if found else {}


def gather(
    run: FinishedRun, audits: Sequence[FinishedRun], folder: Path, about: About | None = None
) -> Card:
    """The card of a run; raises InputError where the runs it was made from are not beside it, or an audit is of another corpus."""
    line, missing = corpus_lineage(run), absent(run)
    annotated, decided = (latest_of(line, step) for step in ("annotate", "decide"))
    if annotated is None or decided is None:
        raise InputError(
            "a card needs the runs that the data were made from",
            {"run": run.path, "missing": ", ".join(missing)},
            "copy them, and the runs that they were made from, beside it into one folder",
        )
    for audit in audits:
        check_audit(audit, line)
    runs = tuple(summarize_runs(ancestors(run, *audits), {one.id for one in line}))
    schemas = [
        pq.read_schema(path)
        for one, part in ((annotated, "documents/"), (decided, "decisions/"))
        for path in one.files(part)[:1]
    ]
    return Card(
        run,
        runs,
        scan(annotated, decided),
        slices_of(run, runs),
        columns_of(run, schemas),
        sealed_features(run),
        data_of(run),
        tuple(losses(runs, read_meanings(annotated.files("documents/")[:1]))),
        tuple(read_audit(one, folder / "README.md") for one in audits),
        frozenset(one.id for one in ancestors(run)),
        missing,
        about or About(),
    )


def absent(run: FinishedRun) -> tuple[str, ...]:
    """The runs that `run` and those behind it name as their inputs and that do not lie beside it."""
    there = ancestors(run)
    names = dict.fromkeys(str(record["name"]) for one in there for record in one.manifest["inputs"])
    known = {one.id for one in there}
    return tuple(
        name
        for name in names
        if name not in known and name.startswith(BEHIND) and NAME.search(name)
    )


def check_audit(audit: FinishedRun, line: Sequence[FinishedRun]) -> None:
    """Raise InputError unless all documents that an audit looked at are those of `line`."""
    own = {run.id for run in line}
    looked_at = [run.id for run in corpus_lineage(audit) if run.step in ("annotate", "decide")]
    if not looked_at or not own.issuperset(looked_at):
        raise InputError(
            "this audit is of another corpus",
            {"audit": audit.path, "it looked at": ", ".join(looked_at) or "no corpus"},
            f"audit this one: gristmill audit --in {line[-1].path}",
        )


def slices_of(run: FinishedRun, runs: Sequence[RunSummary]) -> tuple[TokenSlice, ...]:
    """What is in the files by split, source and language: counted in shards, and for text taken from its ledger."""
    if run.step == "pack":
        return read_tokens(run).slices
    entries = next(one.entries for one in runs if one.id == run.id)
    found: Counter[tuple[str, str, str]] = Counter()
    for entry in entries:
        if entry.fate == "kept":
            found.update(
                {
                    (entry.source, entry.lang, what): getattr(entry, what)
                    for what in ("documents", "bytes")
                }
            )
    keys = sorted({key[:2] for key in found})
    return tuple(
        TokenSlice(WHOLE, *key, found[*key, "documents"], 0, found[*key, "bytes"]) for key in keys
    )


def data_of(run: FinishedRun) -> tuple[DataFile, ...]:
    """The files that hold the rows."""
    if run.step == "pack":
        return tuple(file for file in run.data_files() if file.path.endswith(".arrow"))
    return tuple(run.data_files("text/"))


def losses(runs: Sequence[RunSummary], signals: Mapping[str, str]) -> list[Loss]:
    """Why documents are not there, step by step, the most first; what a step repeats of decide is left out."""
    found = []
    for run in (one for one in runs if one.main):
        numbers: Counter[tuple[str, str]] = Counter()
        for entry in run.entries:
            if entry.reason and entry.reason != "decided":
                numbers[entry.fate, entry.reason] += entry.documents
        rules = (
            {rule.name: rule.drops_if for rule in list_conditions(run, signals)}
            if run.step == "decide"
            else {}
        )
        for (fate, reason), number in sorted(numbers.items(), key=lambda item: (-item[1], item[0])):
            means = rules.get(reason) or OWN_REASONS.get(reason) or explain_reason(reason)
            found.append(Loss(run.step, fate, reason, number, means))
    return found


def number_of(card: Card, step: str, reason: str) -> int:
    """Documents that a step dropped for a reason."""
    return sum(loss.number for loss in card.losses if (loss.step, loss.reason) == (step, reason))
