"""Figures and wording of an audit that its page, its Markdown, the chain report and the card have in common.

In: rows of an `AuditResult`. Out: cells of tables, rows of forest plots, and sentences.
"""

from collections.abc import Sequence
from typing import TypeVar

from bias_audit.contract.corpus_rows import MentionSlice, RuleComparison, TermAssociation
from bias_audit.contract.estimate import Estimate, format_estimate
from bias_audit.contract.model_rows import BUILT_IN_BENCHMARK, PairPreference, PreferenceRow
from bias_audit.contract.result import AuditResult
from reports.drawing.charts import ChartInterval

FEW_GROUPS = 2
"""Groups whose rates fit into one cell; the row over all axes has more."""

PREFERENCE_HEAD = (
    "language",
    "axis",
    "reading",
    "preference [95 %] n",
    "constant choice",
    "by favoured group",
    "detectable",
)
RULE_HEAD = ("rule", "group", "drop rate", "others", "risk ratio", "stratified", "p (Holm)")
TERM_HEAD = ("term", "log-odds [95 %] n", "z", "sentences", "p (Holm)")

Row = TypeVar("Row")


def define_metric(audit: AuditResult, metric: str) -> str:
    """The unit of a metric and what its numbers mean."""
    definition = audit.definitions[metric]
    return f"{definition.unit}. {definition.means}"


def make_interval(label: str, estimate: Estimate) -> ChartInterval:
    """An estimate as a row of a forest plot."""
    return ChartInterval(label, estimate.value, estimate.low, estimate.high, estimate.n)


def make_preference_interval(label: str, preference: PairPreference) -> ChartInterval:
    """A preference as a row of a forest plot, with the range that its n could not have shown."""
    return ChartInterval(
        label,
        preference.value,
        preference.low,
        preference.high,
        preference.n,
        preference.minimum_detectable_effect,
    )


def make_pronoun_intervals(slices: Sequence[MentionSlice]) -> list[ChartInterval]:
    """log(female / male pronouns) of every slice that has enough of them."""
    return [
        make_interval(f"{row.lang} {row.source}", row.pronoun_log_ratio)
        for row in slices
        if row.pronoun_log_ratio is not None
    ]


def make_rule_intervals(comparisons: Sequence[RuleComparison]) -> list[ChartInterval]:
    """The stratified risk ratio of every comparison that has one."""
    return [
        make_interval(f"{row.reason} x {row.group}", row.stratified_risk_ratio)
        for row in comparisons
        if row.stratified_risk_ratio is not None
    ]


def make_term_intervals(terms: Sequence[TermAssociation]) -> list[ChartInterval]:
    """The log-odds of every term."""
    return [make_interval(row.term, row.log_odds) for row in terms]


def rank_by_significance(comparisons: Sequence[RuleComparison]) -> list[RuleComparison]:
    """Comparisons by their adjusted p-value, those that could not be tested last."""
    untested = 2.0  # beyond every p-value
    return sorted(
        comparisons,
        key=lambda row: (
            untested if row.p_holm is None else row.p_holm,
            row.reason,
            row.group,
        ),
    )


def take_ends(rows: Sequence[Row], count: int) -> list[Row]:
    """The first and the last `count` rows, or all where there are no more."""
    if len(rows) <= 2 * count:
        return list(rows)
    return [*rows[:count], *rows[-count:]]


def name_language(row: PreferenceRow) -> str:
    """The language of a row, and its benchmark where it is not the built-in one."""
    return row.lang if row.benchmark == BUILT_IN_BENCHMARK else f"{row.lang} {row.benchmark}"


def format_interval(estimate: Estimate, digits: int = 2) -> str:
    """An estimate with its interval, where its n stands in a column of its own."""
    value, low, high = (
        f"{part:,.{digits}f}" for part in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]"


def format_groups(preference: PairPreference) -> str:
    """How often the stereotype wins where it is one about each group, with intervals."""
    rates = preference.by_stereotyped_group
    if len(rates) > FEW_GROUPS:
        return "see each axis"
    return "; ".join(f"{group} {format_estimate(rate, digits=2)}" for group, rate in rates.items())


def write_preference_cells(row: PreferenceRow) -> list[str]:
    """One row of a model's table; the reading stands before the number that it qualifies."""
    preference = row.main_estimate
    mark = "*" if row.equal_length is None else ""
    return [
        name_language(row),
        row.axis,
        row.verdict.reading,
        format_estimate(preference) + mark,
        format_estimate(preference.context_insensitive_rate, digits=2),
        format_groups(preference),
        f"{preference.minimum_detectable_effect:.2f}",
    ]


def write_rule_cells(row: RuleComparison) -> list[str]:
    """One row of the table of rules."""
    return [
        row.reason,
        row.group,
        format_estimate(row.drop_rate),
        format_estimate(row.other_drop_rate),
        format_estimate(row.risk_ratio, digits=2),
        format_estimate(row.stratified_risk_ratio, digits=2),
        "" if row.p_holm is None else f"{row.p_holm:.3g}",
    ]


def write_term_cells(row: TermAssociation) -> list[str]:
    """One row of the table of associations."""
    return [
        row.term,
        format_estimate(row.log_odds, digits=2),
        f"{row.z:.1f}",
        " / ".join(f"{count:,}" for count in row.counts),
        f"{row.p_holm:.3g}",
    ]
