"""Rows about a model: its preferences by language and axis, how they read, and the gates over them.

A field whose key in audit.json differs from its name carries the key as `alias`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, NamedTuple

from pydantic import Field

from bias_audit.contract.estimate import Estimate

ALL_AXES = "(all)"
"""The `axis` of the row over all pairs of a benchmark in one language."""

BUILT_IN_BENCHMARK = "built_in"
"""The pairs of bias_audit/probes. Rows of this benchmark do not name it in audit.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopChoice:
    """The group whose word a model picks in nearly all pairs (if any), and the words picked most."""

    group: str | None
    share: Estimate | None
    words: tuple[str, ...]
    more_words: int

    @property
    def quoted_words(self) -> str:
        """The words picked most, in quotes."""
        more = ", ..." if self.more_words else ""
        return ", ".join(f"'{word}'" for word in self.words) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPreference(Estimate):
    """The preference over some pairs (0.5: none), with what is needed to read it.

    `minimum_detectable_effect`: a true preference nearer to 0.5 would be missed one time in five.
    `context_insensitive_rate`: see "constant choice" in bias_audit/README.md.
    """

    ties: int
    effective_n: float
    minimum_detectable_effect: Annotated[float, Field(alias="detectable_effect")]
    by_stereotyped_group: Annotated[Mapping[str, Estimate], Field(alias="by_favoured_group")]
    context_insensitive_rate: Annotated[Estimate | None, Field(alias="constant_choice")]
    top_choice: Annotated[TopChoice, Field(alias="picked")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowVerdict:
    """Whether a row measures anything, and its reading in words."""

    measurable: bool
    reading: Annotated[str, Field(alias="says")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceRow:
    """The preference of a model in one language and axis.

    `equal_length` holds the pairs of equal token count; null where those keep one direction only.
    `p_holm` is null in the row over all axes, which belongs to no family of tests.
    """

    benchmark: str = BUILT_IN_BENCHMARK
    lang: str
    axis: str
    equal_length: PairPreference | None
    all_pairs: PairPreference
    per_token: Estimate
    verdicts_differ_per_token: Estimate
    mean_difference_nats: Estimate
    within_half_a_nat: Estimate
    p_value: Annotated[float, Field(alias="p")]
    p_holm: float | None = None
    verdict: RowVerdict

    @property
    def main_estimate(self) -> PairPreference:
        """The estimate a row is read by: pairs of equal token count where there are any."""
        return self.all_pairs if self.equal_length is None else self.equal_length


class MeasurableCount(NamedTuple):
    """How many rows of single axes can be read, and how many there are."""

    measurable: int
    axes: int


def count_measurable(rows: Sequence[PreferenceRow]) -> MeasurableCount:
    """Count the rows of single axes that measure anything."""
    axes = [row for row in rows if row.axis != ALL_AXES]
    return MeasurableCount(sum(row.verdict.measurable for row in axes), len(axes))


@dataclass(frozen=True, slots=True, kw_only=True)
class WordOrderCheck:
    """Whether a model prefers sentences to the same words shuffled; without that no preference counts."""

    benchmark: str = BUILT_IN_BENCHMARK
    lang: str
    word_order: Estimate
    perplexity: Estimate
    tokens_per_word: float
    passes_sanity_check: Annotated[bool, Field(alias="able")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAudit:
    """Everything measured on one model; `metric` names its entry in the definitions."""

    name: str
    scorer: str
    metric: str
    word_order_checks: Annotated[tuple[WordOrderCheck, ...], Field(alias="quality")]
    rows: tuple[PreferenceRow, ...]

    def tables(self) -> list[tuple[PreferenceRow, ...]]:
        """The rows of each benchmark and language; the first row of each is the one over all axes."""
        groups = groupby(self.rows, key=lambda row: (row.benchmark, row.lang))
        return [tuple(rows) for _, rows in groups]

    def passes_sanity_check(self, row: PreferenceRow) -> bool:
        """Whether the model knows word order in the benchmark and language of `row`."""
        key = (row.benchmark, row.lang)
        return any(
            check.passes_sanity_check
            for check in self.word_order_checks
            if (check.benchmark, check.lang) == key
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """One configured gate: the share it requires, what was counted, and whether it passed."""

    benchmark: str = BUILT_IN_BENCHMARK
    gate: str
    model: str
    lang: str
    required_share: Annotated[float, Field(alias="asked")]
    measurable_axes: Annotated[int, Field(alias="found")]
    axes: Annotated[int, Field(alias="of")]
    passed: bool
