"""All that the page of `explore` tells, as plain frozen records: found in a run, drawn by the page."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.contract import Rule
from reports.explore.bins import HistogramAxis


@dataclass(frozen=True, slots=True)
class NearExample:
    """One document near a threshold: its value, the beginning of its text without personal data, its other reasons."""

    value: float
    id: str
    title: str
    source: str
    lang: str
    text: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BoundSide:
    """The documents nearest to one bound, those inside and those beyond it, the nearest first."""

    name: str
    bound: float
    kept: tuple[NearExample, ...]
    dropped: tuple[NearExample, ...]


@dataclass(frozen=True, slots=True)
class ThresholdReport:
    """One pair of bounds of a rule: the documents judged by it, by language, and how their values are spread.

    `counts[i]` documents lie between edges i and i+1 of `axis`; `unmeasured` ones have no number, and none is dropped.
    """

    low: float
    high: float
    languages: Mapping[str, int]
    documents: int
    unmeasured: int
    holds: int
    axis: HistogramAxis | None
    counts: tuple[int, ...]
    sides: tuple[BoundSide, ...]


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule: the documents it judges, it holds for, it dropped (it came first), and that no other reason held for."""

    rule: Rule
    kinds: tuple[str, ...]
    meaning: str
    origin: str
    judged: int
    holds: int
    first: int
    alone: int
    thresholds: tuple[ThresholdReport, ...]


@dataclass(frozen=True, slots=True)
class ExploreReport:
    """Everything; `decided` is False where rules were tried on documents that nobody judged yet.

    These are the default rules, or, if `configured`, those of a configuration that the user gave.
    """

    run: str
    version: str
    decided: bool
    kind: str | None
    lang: str | None
    seed: int
    documents: int
    dropped: int
    rules: tuple[RuleReport, ...]
    configured: bool = False
