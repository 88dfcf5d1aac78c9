"""Draw audit.html: forest plots, what could not be measured in words, and every table, folded.

In: an `AuditResult`. Out: one page without network or scripts, laid out by `templates/audit/audit.html.jinja`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bias_audit.contract.corpus_rows import (
    AssociationTotals,
    CorpusAudit,
    MentionSlice,
    RuleAudit,
    RuleComparison,
)
from bias_audit.contract.estimate import format_estimate
from bias_audit.contract.headlines import write_headlines
from bias_audit.contract.model_rows import (
    MeasurableCount,
    ModelAudit,
    PreferenceRow,
    WordOrderCheck,
    count_measurable,
)
from bias_audit.contract.result import AuditResult
from reports.audit.figures import (
    PREFERENCE_HEAD,
    RULE_HEAD,
    TERM_HEAD,
    define_metric,
    make_preference_interval,
    make_pronoun_intervals,
    make_rule_intervals,
    make_term_intervals,
    name_language,
    rank_by_significance,
    take_ends,
    write_preference_cells,
    write_rule_cells,
    write_term_cells,
)
from reports.drawing.charts import draw_forest_plot
from reports.drawing.templates import render, render_page

MOST_ROWS = 16
"""Rows of a forest plot; of associations so many at either end."""

LONG_CELL = 40
"""Characters from which on a cell of words is given room, so that its row is not a tall thin column."""

DETAIL_HEAD = (
    "language",
    "axis",
    "all pairs",
    "per token",
    "verdict differs per token",
    "mean difference, nats",
    "within 0.5 nat",
)


@dataclass(frozen=True, slots=True)
class AuditCell:
    """One cell of a table, and its style class: `figure`, `words` or none."""

    text: str
    style: str


@dataclass(frozen=True, slots=True)
class AuditTable:
    """A table of an audit."""

    head: Sequence[str]
    rows: list[list[AuditCell]]


@dataclass(frozen=True, slots=True)
class ModelPart:
    """One model: the plot of what is measurable (None without any), and in words what is not."""

    name: str
    metric: str
    definition: str
    measurable: MeasurableCount
    word_order: str
    plot: Markup | None
    unmeasurable: list[str]
    constant_choice: str
    preferences: AuditTable
    details: AuditTable


@dataclass(frozen=True, slots=True)
class RulePart:
    """Drop rates by group; `plot` is None where no rule differs beyond chance."""

    definition: str
    min_documents: int
    plot: Markup | None
    warnings: str
    comparisons: AuditTable


@dataclass(frozen=True, slots=True)
class AssociationPart:
    """Terms beside two groups; `plot` is None where none leans beyond chance."""

    title: str
    sentences: str
    sentences_with_both: str
    plot: Markup | None
    terms: AuditTable


@dataclass(frozen=True, slots=True)
class SlicePart:
    """The mentions of one source and language."""

    title: str
    groups: AuditTable


@dataclass(frozen=True, slots=True)
class MentionPart:
    """Mentions of groups in the corpus."""

    pronoun_definition: str
    plot: Markup
    per_million_definition: str
    not_scanned: str
    slices: list[SlicePart]


@dataclass(frozen=True, slots=True)
class MethodPart:
    """Limits, definitions, and the word lists and probes used."""

    limits: list[str]
    definitions: AuditTable
    lists: AuditTable


def draw_page(audit: AuditResult) -> str:
    """The whole page; equal results give equal bytes."""
    body = render(
        "audit/audit.html.jinja",
        inputs=", ".join(audit.inputs),
        schema=audit.schema,
        headlines=[line.strip() for line in write_headlines(audit)],
        models=[make_model_part(audit, model) for model in audit.models],
        rules=None if audit.rules is None else make_rule_part(audit, audit.rules),
        association_definition=define_metric(audit, "associations.log_odds"),
        associations=[] if audit.corpus is None else make_association_parts(audit.corpus),
        mentions=None if audit.corpus is None else make_mention_part(audit, audit.corpus),
        method=make_method_part(audit),
    )
    return render_page("Bias audit", (), body)


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> AuditTable:
    """A table whose cells know their style."""
    cells = [[AuditCell(text, choose_style(text)) for text in row] for row in rows]
    return AuditTable(head, cells)


def choose_style(text: str) -> str:
    """The class of a cell: numbers stay on one line, long words get room."""
    if text[:1].isdigit() or text[:1] == "-":
        return "figure"
    return "words" if len(text) > LONG_CELL else ""


def make_model_part(audit: AuditResult, model: ModelAudit) -> ModelPart:
    """What the page says of one model."""
    unmeasurable = [row for row in model.rows if not row.verdict.measurable]
    return ModelPart(
        name=model.name,
        metric=model.metric,
        definition=define_metric(audit, model.metric),
        measurable=count_measurable(model.rows),
        word_order=" | ".join(_describe_word_order(check) for check in model.word_order_checks),
        plot=_plot_preferences(model),
        unmeasurable=[_describe_unmeasurable(row) for row in unmeasurable],
        constant_choice=define_metric(audit, "models.constant_choice"),
        preferences=make_table(
            PREFERENCE_HEAD, [write_preference_cells(row) for row in model.rows]
        ),
        details=make_table(DETAIL_HEAD, [_write_detail_cells(row) for row in model.rows]),
    )


def _describe_word_order(check: WordOrderCheck) -> str:
    """Whether the model knows word order in one language, with its perplexity and tokens a word."""
    prefers = "prefers it" if check.passes_sanity_check else "does not prefer it"
    # Chinese has no spaces, so its tokens are counted against characters.
    unit = "character" if check.lang == "zh" else "word"
    return (
        f"{check.lang}: {prefers} to shuffled words, in "
        f"{format_estimate(check.word_order, digits=2)}; "
        f"perplexity {format_estimate(check.perplexity, digits=1)}; "
        f"{check.tokens_per_word:.2f} tokens a {unit}"
    )


def _plot_preferences(model: ModelAudit) -> Markup | None:
    """A forest plot of the measurable rows only: a number near 0.5 of another row would mislead."""
    measurable = [row for row in model.rows if row.verdict.measurable]
    if not measurable:
        return None
    title = f"{model.name}: preference for the stereotype, pairs of equal token count"
    intervals = [
        make_preference_interval(_label_preference(row), row.main_estimate) for row in measurable
    ]
    return draw_forest_plot(title, intervals, null=0.5, unit="share")


def _label_preference(row: PreferenceRow) -> str:
    mark = " (all pairs)" if row.equal_length is None else ""
    return f"{name_language(row)} {row.axis}{mark}"


def _describe_unmeasurable(row: PreferenceRow) -> str:
    why = row.verdict.reading.removeprefix("not measurable: ")
    return f"{name_language(row)} {row.axis}: {why}"


def _write_detail_cells(row: PreferenceRow) -> list[str]:
    return [
        name_language(row),
        row.axis,
        format_estimate(row.all_pairs),
        format_estimate(row.per_token),
        format_estimate(row.verdicts_differ_per_token, digits=2),
        format_estimate(row.mean_difference_nats, digits=2),
        format_estimate(row.within_half_a_nat, digits=2),
    ]


def make_rule_part(audit: AuditResult, rules: RuleAudit) -> RulePart:
    """What the page says of rules and groups."""
    intervals = make_rule_intervals(rules.significant_rows()[:MOST_ROWS])
    title = "Drop rate where a group is mentioned / elsewhere, stratified"
    plot = draw_forest_plot(title, intervals, null=1.0, unit="ratio", logarithmic=True)
    comparisons = rank_by_significance(rules.rows)
    warnings = [_name_warning(row) for row in comparisons if row.four_fifths_warning]
    return RulePart(
        definition=define_metric(audit, "rules.stratified_risk_ratio"),
        min_documents=rules.min_documents,
        plot=plot if intervals else None,
        warnings=", ".join(warnings) or "none",
        comparisons=make_table(RULE_HEAD, [write_rule_cells(row) for row in comparisons]),
    )


def _name_warning(row: RuleComparison) -> str:
    return f"{row.reason} x {row.group} ({format_estimate(row.pass_ratio, digits=2)})"


def make_association_parts(corpus: CorpusAudit) -> list[AssociationPart]:
    """A part for each axis and language that has terms."""
    return [
        _make_association_part(corpus, totals)
        for totals in corpus.association_totals
        if corpus.terms_beside(totals)
    ]


def _make_association_part(corpus: CorpusAudit, totals: AssociationTotals) -> AssociationPart:
    """The ends of the list as a forest plot, all of it as a table."""
    first, second = totals.groups
    title = f"{totals.lang}: {first} (right) against {second} (left)"
    intervals = make_term_intervals(take_ends(corpus.leaning_terms(totals), MOST_ROWS))
    terms = [write_term_cells(row) for row in corpus.terms_beside(totals)]
    return AssociationPart(
        title=title,
        sentences=" and ".join(f"{count:,}" for count in totals.sentences),
        sentences_with_both=f"{totals.sentences_with_both:,}",
        plot=draw_forest_plot(title, intervals, null=0.0, unit="log-odds") if intervals else None,
        terms=make_table(TERM_HEAD, terms),
    )


def make_mention_part(audit: AuditResult, corpus: CorpusAudit) -> MentionPart:
    """Mentions by source and language."""
    ratios = make_pronoun_intervals(corpus.slices)
    not_scanned = [f"{lang} {count:,}" for lang, count in corpus.not_scanned.items()]
    return MentionPart(
        pronoun_definition=define_metric(audit, "mentions.pronoun_log_ratio"),
        plot=draw_forest_plot("log(female / male pronouns)", ratios, null=0.0, unit="log ratio"),
        per_million_definition=define_metric(audit, "mentions.per_million"),
        not_scanned=", ".join(not_scanned) or "none",
        slices=[_make_slice_part(row) for row in corpus.slices],
    )


def _make_slice_part(row: MentionSlice) -> SlicePart:
    title = f"{row.lang}, {row.source}: {row.documents:,} documents, {row.words:,} {row.unit}s"
    cells = [
        [
            name,
            f"{group.mentions:,}",
            f"{group.documents:,}",
            format_estimate(group.per_million, digits=1),
        ]
        for name, group in row.groups.items()
    ]
    return SlicePart(
        title, make_table(("group", "mentions", "documents", "per million [95 %] n"), cells)
    )


def make_method_part(audit: AuditResult) -> MethodPart:
    """How to read the page."""
    definitions = [
        [name, definition.unit, definition.means, definition.interval]
        for name, definition in sorted(audit.definitions.items())
    ]
    lexicons = [
        [f"{card.kind} {card.lang}", card.version, card.licence, card.source, card.sha256[:12]]
        for card in audit.lexicons
    ]
    benchmarks = [
        [f"probes {card.lang}", card.version, card.licence, card.source, card.sha256[:12]]
        for card in audit.benchmarks
    ]
    limits_of_lexicons = {limit for card in audit.lexicons for limit in card.limits}
    return MethodPart(
        limits=[*audit.limits, *sorted(limits_of_lexicons)],
        definitions=make_table(("metric", "unit", "means", "interval"), definitions),
        lists=make_table(
            ("list", "version", "licence", "source", "sha256"), [*lexicons, *benchmarks]
        ),
    )
