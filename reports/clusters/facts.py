"""All that the page of duplicate clusters tells, as plain frozen records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.drawing.text_diff import Comparison


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A document without its text; `date` is the day of publication its source states, or empty."""

    id: str
    source: str
    lang: str
    title: str
    url: str
    date: str


@dataclass(frozen=True, slots=True)
class DroppedDocument:
    """A document that was dropped as a copy: its reason, and its estimated similarity to the kept text where recorded."""

    record: DocumentRecord
    reason: str
    similarity: float | None


@dataclass(frozen=True, slots=True)
class TextPair:
    """A kept and a dropped text: which of the dropped it is, how they differ, and how the kept one begins."""

    which: str
    kept: DocumentRecord
    dropped: DroppedDocument
    comparison: Comparison
    beginning: str


@dataclass(frozen=True, slots=True)
class ClusterCard:
    """One cluster: how many were kept and dropped (by reason), some of either, and pairs of texts, the least similar first."""

    label: int
    size: int
    keeps: int
    dropped: Mapping[str, int]
    kept: tuple[DocumentRecord, ...]
    listed: tuple[DroppedDocument, ...]
    pairs: tuple[TextPair, ...]


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """Everything: `bins` counts dropped documents by similarity from 0 to 1, `near`, `url`, `prefer` and `keeps` (of a cluster) are decide's settings.

    `masked`: whether personal data were looked for in the documents, and are masked.
    """

    run: str
    documents_run: str
    version: str
    near: Mapping[str, Any]
    url: Mapping[str, Any]
    prefer: tuple[str, ...]
    keeps: int
    documents: int
    sizes: Mapping[int, int]
    dropped: Mapping[str, int]
    bins: Sequence[int]
    unmeasured: int
    masked: bool
    seed: int
    named: tuple[ClusterCard, ...]
    largest: tuple[ClusterCard, ...]
    sample: tuple[ClusterCard, ...]

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return sum(self.sizes.values())
