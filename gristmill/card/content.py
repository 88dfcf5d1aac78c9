"""What a card says, gathered once from the facts of a chain of runs: licences, languages, splits, funnel, policies."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gristmill.errors import InputError
from gristmill.hashing import digest
from gristmill.ledger import Entry
from gristmill.receipts import DataFile
from gristmill.report.facts import Facts, RunFacts
from gristmill.sealed import FinishedRun, corpus_line, of_step
from gristmill.shard_checks import SPLITS

UNKNOWN = "unknown"
NO_KEY = digest("")[:12]
"""What a manifest holds where `annotate.author_key` is not set."""


@dataclass(frozen=True, slots=True)
class Card:
    """A pack run as its card tells it; counts are documents unless their name says otherwise."""

    run: FinishedRun
    facts: Facts
    pack: RunFacts
    decide: RunFacts
    annotate: RunFacts
    licences: Mapping[str, int]
    """Licence -> kept documents, the most first."""
    languages: Mapping[str, int]
    """Language -> bytes kept."""
    sources: Mapping[str, tuple[int, int, str]]
    """Source -> documents, bytes, licences."""
    shards: tuple[DataFile, ...]
    pseudonyms: bool
    """Whether authors have pseudonyms, else they were left out."""

    @property
    def splits(self) -> Mapping[str, Mapping[str, int]]:
        """Split -> documents and tokens."""
        splits: Mapping[str, Mapping[str, int]] = self.run.details["splits"]
        return {name: splits[name] for name in SPLITS if name in splits}

    @property
    def documents(self) -> int:
        """The documents of all splits, as often as they stand there."""
        return sum(split["documents"] for split in self.splits.values())

    @property
    def masked(self) -> bool:
        """Whether personal data were masked."""
        return bool(self.pack.config.get("mask_personal"))


def card_of(run: FinishedRun, facts: Facts) -> Card:
    """The card of a pack run; raises InputError where the runs that it was made from are not beside it."""
    pack, decide, annotate = (facts.last(step) for step in ("pack", "decide", "annotate"))
    if pack is None or decide is None or annotate is None or facts.corpus is None:
        raise InputError(
            "a card needs the runs that the shards were made from", {"run": run.path}, "copy them beside it"
        )
    licences = Counter[str]()
    of_source: dict[str, set[str]] = {}
    for row in facts.corpus.licences:
        licences[row.licence] += row.kept
        of_source.setdefault(row.source, set()).update([row.licence] if row.kept else [])
    kept = [entry for entry in pack.entries if entry.fate == "kept"]
    return Card(
        run, facts, pack, decide, annotate,
        {name: count for name, count in licences.most_common() if count},
        dict(_summed(kept, "lang").most_common()),
        {name: _source(name, kept, of_source.get(name, set())) for name in sorted({entry.source for entry in kept})},
        tuple(file for file in run.data_files() if file.path.endswith(".arrow")), has_pseudonyms(run),
    )  # fmt: skip


def has_pseudonyms(run: FinishedRun) -> bool:
    """Whether documents were annotated with a key; manifests hold its digest."""
    annotated = of_step(corpus_line(run), "annotate")
    return annotated is not None and annotated.manifest["config"].get("author_key", NO_KEY) != NO_KEY


def _summed(entries: list[Entry], by: str) -> Counter[str]:
    found = Counter[str]()
    for entry in entries:
        found[getattr(entry, by)] += entry.bytes
    return found


def _source(name: str, kept: list[Entry], licences: set[str]) -> tuple[int, int, str]:
    mine = [entry for entry in kept if entry.source == name]
    return (
        sum(entry.documents for entry in mine),
        sum(entry.bytes for entry in mine),
        ", ".join(sorted(licences)) or UNKNOWN,
    )


def dropped(run: RunFacts) -> dict[str, int]:
    """Why documents are not in the output of a step: "fate: reason" -> documents, the most first."""
    found = Counter[str]()
    for entry in run.entries:
        if entry.fate != "kept":
            found[f"{entry.fate}: {entry.reason}"] += entry.documents
    return dict(found.most_common())


def setting(run: RunFacts, *path: str) -> Any:
    """A setting of a run's configuration."""
    value: Any = run.config
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
