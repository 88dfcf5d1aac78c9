"""All that the report tells, as plain frozen records: collected from run folders, drawn by the sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gristmill.runs.ledger import Entry
from reports.drawing.text_diff import Comparison


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run of the chain; `main` is False where it only led to a tokenizer made from another corpus."""

    id: str
    step: str
    version: str
    code: str
    parents: tuple[str, ...]
    files_read: tuple[str, ...]
    depth: int
    main: bool
    counts: Mapping[str, int]
    details: Mapping[str, Any]
    config: Mapping[str, Any]
    entries: tuple[Entry, ...]
    files: int
    bytes: int
    manifest: str
    exit_code: int
    telemetry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LicenceCount:
    """The documents of one source under one licence, and the evidence it was read from (signal -> documents)."""

    source: str
    licence: str
    documents: int
    kept: int
    evidence: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TextSample:
    """The beginning of one document's text, its personal data masked; None where it must not be shown."""

    id: str
    source: str
    lang: str
    text: str | None
    capture: str


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """One reason to drop: documents it decided (it came first), it held for, that no other held for, and some texts."""

    name: str
    first: int
    any: int
    alone: int
    samples: tuple[TextSample, ...]


@dataclass(frozen=True, slots=True)
class ClusterSample:
    """One cluster of near-duplicates: its size, the text that was kept, one that was dropped, and how they differ."""

    size: int
    similarity: float | None
    kept: TextSample
    dropped: TextSample | None
    comparison: Comparison | None


@dataclass(frozen=True, slots=True)
class DuplicateSummary:
    """All clusters by size, the documents they cost, and the largest of them."""

    sizes: Mapping[int, int]
    largest: tuple[ClusterSample, ...]


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """One record that could not be read: where it lies, and why."""

    step: str
    file: str
    offset: int
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class CorpusSummary:
    """What one pass over documents and decisions found; `decided` is False where no decide run is in the chain.

    `signals` says what the columns mean that rules judge by, as the documents' own files say it.
    """

    documents: int
    decided: bool
    licences: tuple[LicenceCount, ...]
    opt_outs: Mapping[tuple[str, str], int]
    personal: Mapping[str, int]
    reasons: tuple[ReasonCount, ...]
    duplicates: DuplicateSummary | None
    signals: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TokenSlice:
    """The documents, tokens and text bytes of one split, source and language."""

    split: str
    source: str
    lang: str
    documents: int
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What lies in the shards; `lengths[i]` counts documents of 2**i to 2**(i+1)-1 tokens."""

    run: str
    vocabulary: int
    tokenizer: str
    slices: tuple[TokenSlice, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """One pretraining run: its curves (name -> points), what it ended at, and what the model says."""

    run: str
    objective: str
    counts: Mapping[str, int]
    settings: Mapping[str, Any]
    curves: Mapping[str, Sequence[tuple[float, float]]]
    first: Mapping[str, float]
    last: Mapping[str, float]
    export: Mapping[str, Any]
    samples_kind: str
    samples: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """One audit: what its audit.json says, and where its own pages lie seen from the report."""

    run: str
    content: Mapping[str, Any]
    headlines: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything. A part whose step is not in the chain is None or empty; `clusters` is the page of clusters beside this one."""

    folder: str
    ends: tuple[str, ...]
    runs: tuple[RunSummary, ...]
    corpus: CorpusSummary | None
    quarantined: tuple[QuarantinedRecord, ...]
    tokens: TokenCounts | None
    trainings: tuple[TrainingSummary, ...]
    audits: tuple[AuditSummary, ...]
    clusters: str = ""

    def of(self, step: str) -> list[RunSummary]:
        """The runs of one step that the corpus or its models stand on."""
        return [run for run in self.runs if run.step == step and run.main]

    def last(self, step: str) -> RunSummary | None:
        """The run of a step that the rest stands on; None where the chain has none."""
        return next(reversed(self.of(step)), None)
