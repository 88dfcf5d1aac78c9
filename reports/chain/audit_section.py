"""The section on audits: headlines, preferences by axis, filters by group, words beside groups.

In: the `ReportData` of a chain, whose audits hold a typed result. Out: section 7, laid out by
`templates/chain/audit.html.jinja`; figures and wording are those of `reports.audit.figures`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from bias_audit.contract.corpus_rows import AssociationTotals, CorpusAudit, RuleAudit
from bias_audit.contract.estimate import ALPHA
from bias_audit.contract.model_rows import ALL_AXES, ModelAudit, PairPreference, PreferenceRow
from bias_audit.contract.result import AuditResult
from gristmill.formatting import format_count, format_language
from reports.audit.figures import (
    FEW_GROUPS,
    format_interval,
    make_preference_interval,
    make_pronoun_intervals,
    make_rule_intervals,
    make_term_intervals,
    name_language,
    rank_by_significance,
    take_ends,
)
from reports.chain.report_data import AuditSummary, ReportData
from reports.drawing.charts import draw_forest_plot
from reports.drawing.inline import format_code, format_link, join_markup
from reports.drawing.tables import Cell, Table
from reports.drawing.templates import render

MAX_RULES, MAX_TERMS = 16, 8
MAX_TABLE_ROWS = 100

PREFERENCE_HEAD = (
    "language",
    "axis",
    "reading",
    "#preference",
    "95 %",
    "#n",
    "#constant choice",
    "by group",
    "#could not have seen",
)


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model: `plot` is None where nothing of it is measurable."""

    name: str
    scorer: str
    gate: str
    unmeasurable: list[str]
    plot: Markup | None
    preferences: Table


@dataclass(frozen=True, slots=True)
class RulesView:
    """Filters by group; the plot and the table are None where there is nothing to show in them."""

    note: str
    plot: Markup | None
    summary: str
    comparisons: Table | None


@dataclass(frozen=True, slots=True)
class TermsView:
    """Words that lean to one of two groups."""

    plot: Markup
    note: str


@dataclass(frozen=True, slots=True)
class AuditCorpusView:
    """The corpus: pronouns (None without any), and words beside groups."""

    pronouns: Markup | None
    terms: list[TermsView]


@dataclass(frozen=True, slots=True)
class AuditView:
    """One audit; `is_readable` is False where its audit.json is of another format."""

    run: str
    headlines: list[str]
    links: Markup
    is_readable: bool
    models: list[ModelView]
    rules: RulesView | None
    corpus: AuditCorpusView | None
    limits: tuple[str, ...]


def draw_audit_section(report: ReportData) -> Markup:
    """Section 7."""
    audits = [make_audit_view(audit) for audit in report.audits]
    return render("chain/audit.html.jinja", audits=audits)


def make_audit_view(audit: AuditSummary) -> AuditView:
    """What the section says of one audit."""
    links = [format_link(name, quote(link)) for name, link in audit.links]
    result = audit.result
    rules = None if result is None else result.rules
    return AuditView(
        run=audit.run,
        headlines=[line.strip() for line in audit.headlines],
        links=join_markup(" · ", links),
        is_readable=result is not None,
        models=[] if result is None else [make_model_view(model) for model in result.models],
        rules=None if rules is None else make_rules_view(rules),
        corpus=_make_corpus_view(result),
        limits=() if result is None else result.limits,
    )


def make_model_view(model: ModelAudit) -> ModelView:
    """What the section says of one model."""
    title = f"{model.name}: preference for the stereotype"
    measurable = [row for row in model.rows if row.verdict.measurable]
    intervals = [
        make_preference_interval(f"{name_language(row)} {row.axis}", row.main_estimate)
        for row in measurable
    ]
    plot = draw_forest_plot(title, intervals, null=0.5, unit="share") if intervals else None
    unmeasurable = [row for row in model.rows if not row.verdict.measurable]
    rows = [_write_preference_row(row) for row in model.rows]
    return ModelView(
        name=title,
        scorer=model.scorer,
        gate=describe_gate(model),
        unmeasurable=[_describe_unmeasurable(row) for row in unmeasurable],
        plot=plot,
        preferences=Table(title, PREFERENCE_HEAD, rows),
    )


def describe_gate(model: ModelAudit) -> str:
    """How many preferences can be read, and in which languages the model knows no word order."""
    axes = [row for row in model.rows if row.axis != ALL_AXES]
    measurable = sum(row.verdict.measurable for row in axes)
    sentence = f"{measurable} of {len(axes)} preferences can be read."
    weak = [
        format_language(check.lang)
        for check in model.word_order_checks
        if not check.passes_sanity_check
    ]
    if weak:
        sentence += f" The model prefers no word order in {', '.join(weak)}."
    return sentence


def _describe_unmeasurable(row: PreferenceRow) -> str:
    return f"{_name_language_in_full(row)}, {row.axis}: {row.verdict.reading}"


def _name_language_in_full(row: PreferenceRow) -> str:
    benchmark = name_language(row).removeprefix(row.lang)
    return format_language(row.lang) + benchmark


def _write_preference_row(row: PreferenceRow) -> list[Cell]:
    preference = row.main_estimate
    constant = preference.context_insensitive_rate
    return [
        _name_language_in_full(row),
        row.axis,
        row.verdict.reading,
        f"{preference.value:.3f}",
        f"{preference.low:.3f} to {preference.high:.3f}",
        format_count(preference.n),
        "-" if constant is None else format_interval(constant),
        _format_group_values(preference),
        f"{preference.minimum_detectable_effect:.2f}",
    ]


def _format_group_values(preference: PairPreference) -> str:
    """How often the stereotype wins for each group, without intervals: the cell is narrow."""
    rates = preference.by_stereotyped_group
    if len(rates) > FEW_GROUPS:
        return "see each axis"
    return "; ".join(f"{group} {rate.value:.2f}" for group, rate in rates.items())


def make_rules_view(rules: RuleAudit) -> RulesView:
    """Rules that treat a group differently, by their adjusted p-value."""
    comparable = [row for row in rules.rows if row.stratified_risk_ratio is not None]
    ranked = rank_by_significance(comparable)
    significant = [row for row in ranked if row.is_significant]
    title = "Drop rate where a group is mentioned / elsewhere"
    intervals = make_rule_intervals(significant[:MAX_RULES])
    plot = draw_forest_plot(title, intervals, null=1.0, unit="ratio", logarithmic=True)
    rows = [
        [
            format_code(row.reason),
            row.group,
            f"{row.stratified_risk_ratio.value:.3f}",
            f"{row.stratified_risk_ratio.low:.3f} to {row.stratified_risk_ratio.high:.3f}",
            format_count(row.stratified_risk_ratio.n),
            f"{row.p_holm:.3f}",
        ]
        for row in ranked[:MAX_TABLE_ROWS]
        if row.stratified_risk_ratio is not None
    ]
    head = ("rule", "group", "#risk ratio", "95 %", "#n", "#p (Holm)")
    return RulesView(
        note=(
            f"{len(significant)} of {len(rules.rows)} pairs of a rule and a group differ beyond "
            f"chance (Holm, {ALPHA:.0%}), compared within source, language and length; for "
            f"{len(comparable)} there was something to compare. 1 means equal. "
            "A difference is a place to look, not a verdict."
        ),
        plot=plot if intervals else None,
        summary=f"The {len(rows)} pairs that differ most, as a table",
        comparisons=Table(title, head, rows) if rows else None,
    )


def _make_corpus_view(result: AuditResult | None) -> AuditCorpusView | None:
    if result is None or result.corpus is None:
        return None
    corpus = result.corpus
    ratios = make_pronoun_intervals(corpus.slices)
    title = "log(female / male pronouns)"
    plot = draw_forest_plot(title, ratios, null=0.0, unit="log ratio") if ratios else None
    return AuditCorpusView(plot, list(_list_terms(corpus, corpus.association_totals)))


def _list_terms(corpus: CorpusAudit, totals: Sequence[AssociationTotals]) -> Iterator[TermsView]:
    """The ends of each list of terms that lean to one of two groups beyond chance."""
    for total in totals:
        leaning = corpus.leaning_terms(total)
        if not leaning:
            continue
        ends = take_ends(leaning, MAX_TERMS)
        first, second = total.groups
        title = f"{total.lang}: words beside {first} (right) or {second} (left)"
        sentences = " and ".join(format_count(count) for count in total.sentences)
        note = (
            f"{len(ends)} of {len(leaning)} words that lean beyond chance; "
            f"{sentences} sentences mention only one of the two."
        )
        intervals = make_term_intervals(ends)
        yield TermsView(draw_forest_plot(title, intervals, null=0.0, unit="log-odds"), note)
