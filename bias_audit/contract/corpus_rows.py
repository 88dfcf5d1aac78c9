"""Rows about a corpus and the rules applied to it: mentions, associations, comparisons of rules.

A field whose key in audit.json differs from its name carries the key as `alias`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from bias_audit.contract.estimate import ALPHA, Estimate

ALL_SOURCES = "(all)"
"""The `source` of the slice over all sources of one language."""

SMALLEST_RATIO = 1e-9
"""A risk ratio has no logarithm at 0; its interval is cut here before it is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMentions:
    """How often one group is mentioned in a slice; `per_million` words."""

    mentions: int
    documents: int
    per_million: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MentionSlice:
    """Mentions in the kept documents of one source and language; `groups` by name (axis/group)."""

    source: str
    lang: str
    documents: int
    words: int
    unit: str
    pronoun_log_ratio: Estimate | None
    groups: Mapping[str, GroupMentions]


@dataclass(frozen=True, slots=True, kw_only=True)
class TermAssociation:
    """How far one term leans to the first of two groups; the pairs are (first, second)."""

    lang: str
    axis: str
    first_group: Annotated[str, Field(alias="first")]
    second_group: Annotated[str, Field(alias="second")]
    kind: str
    term: str
    log_odds: Estimate
    z: float
    p_holm: float
    counts: tuple[int, int]
    ppmi: tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationTotals:
    """What the associations of one axis were counted over; the pairs are (first, second) group."""

    lang: str
    axis: str
    groups: tuple[str, str]
    sentences: tuple[int, int]
    words: tuple[int, int]
    sentences_with_both: int
    all_sentences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusAudit:
    """What was counted in the documents of an annotate run (those kept by a decide run, if any)."""

    annotate: str
    decide: str | None
    documents: int
    kept_documents: Annotated[int, Field(alias="kept")]
    not_scanned: Mapping[str, int]
    slices: tuple[MentionSlice, ...]
    associations: tuple[TermAssociation, ...]
    association_totals: tuple[AssociationTotals, ...]

    def terms_beside(self, totals: AssociationTotals) -> list[TermAssociation]:
        """All terms of one axis and language, from the first group's to the second's."""
        key = (totals.lang, totals.axis)
        rows = [row for row in self.associations if (row.lang, row.axis) == key]
        return sorted(rows, key=lambda row: (-row.log_odds.value, row.term))

    def leaning_terms(self, totals: AssociationTotals) -> list[TermAssociation]:
        """The terms that lean to one group beyond chance, from the first group's to the second's."""
        return [row for row in self.terms_beside(totals) if row.p_holm < ALPHA]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleComparison:
    """How often one rule drops documents that mention a group, beside the others.

    `p_holm` is null where there was no stratified ratio to test.
    """

    reason: str
    group: str
    drop_rate: Estimate
    other_drop_rate: Estimate
    risk_ratio: Estimate | None
    stratified_risk_ratio: Estimate | None
    strata: int
    p_holm: float | None
    pass_ratio: Estimate | None
    four_fifths_warning: bool

    @property
    def is_significant(self) -> bool:
        """Whether the rule treats the group differently beyond chance."""
        return self.p_holm is not None and self.p_holm < ALPHA

    @property
    def strength(self) -> float:
        """How far the nearer end of the stratified interval lies from 1, on the log scale."""
        ratio = self.stratified_risk_ratio
        if ratio is None:
            return -math.inf
        above = math.log(max(ratio.low, SMALLEST_RATIO))
        below = -math.log(max(ratio.high, SMALLEST_RATIO))
        return max(above, below)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAudit:
    """All comparisons of a decide run; groups in fewer than `min_documents` documents are left out."""

    decide: str
    min_documents: int
    rows: tuple[RuleComparison, ...]

    def significant_rows(self) -> list[RuleComparison]:
        """Rules that treat a group differently beyond chance, the surest large effects first."""
        rows = [row for row in self.rows if row.is_significant]
        return sorted(rows, key=lambda row: (-row.strength, row.reason, row.group))
