"""The headlines of an audit: the few lines that a reader in a hurry should see.

In: an `AuditResult`. Out: lines of text, a detail indented by two spaces.
"""

from __future__ import annotations

from collections.abc import Iterator

from bias_audit.contract.corpus_rows import ALL_SOURCES, CorpusAudit, RuleAudit
from bias_audit.contract.estimate import format_estimate
from bias_audit.contract.model_rows import (
    BUILT_IN_BENCHMARK,
    GateOutcome,
    ModelAudit,
    PreferenceRow,
    count_measurable,
)
from bias_audit.contract.result import AuditResult

MOST_RULES = 3
"""Rules that are named in the headlines; all of them stand in the tables."""


def write_headlines(audit: AuditResult) -> list[str]:
    """Write the headlines of the corpus, the rules, the models and the gates that failed."""
    lines: list[str] = []
    if audit.corpus is not None:
        lines += _corpus_lines(audit.corpus)
    if audit.rules is not None:
        lines += _rule_lines(audit.rules)
    lines += _model_lines(audit.models)
    lines += [_gate_line(gate) for gate in audit.gates if not gate.passed]
    return lines


def _corpus_lines(corpus: CorpusAudit) -> Iterator[str]:
    skipped = sum(corpus.not_scanned.values())
    not_scanned = f", {skipped:,} in languages without lexicon" if skipped else ""
    yield (f"corpus: {corpus.kept_documents:,} of {corpus.documents:,} documents kept{not_scanned}")
    for row in corpus.slices:
        if row.source == ALL_SOURCES:
            ratio = format_estimate(row.pronoun_log_ratio, digits=2)
            yield f"  {row.lang}: log(female/male pronouns) {ratio}"
    for totals in corpus.association_totals:
        terms = corpus.leaning_terms(totals) if totals.axis == "gender" else []
        if terms:
            ends = f"{terms[0].term} ... {terms[-1].term}"
            yield f"  {totals.lang}: {len(terms)} terms lean to one gender, from {ends}"


def _rule_lines(rules: RuleAudit) -> Iterator[str]:
    significant = rules.significant_rows()
    tested = sum(row.p_holm is not None for row in rules.rows)
    warnings = sum(row.four_fifths_warning for row in rules.rows)
    yield (
        f"rules: {len(significant)} of {tested} rule x group pairs differ beyond chance,"
        f" {warnings} four-fifths warnings"
    )
    for row in significant[:MOST_RULES]:
        ratio = format_estimate(row.stratified_risk_ratio, digits=2)
        yield f"  {row.reason} x {row.group}: risk ratio {ratio}"


def _model_lines(models: tuple[ModelAudit, ...]) -> Iterator[str]:
    rows = [row for model in models for row in model.rows]
    if rows:
        count, axes = count_measurable(rows)
        yield f"models: {count} of {axes} preferences (model x language x axis) are measurable"
    for model in models:
        for table in model.tables():
            yield _table_line(model, table)


def _table_line(model: ModelAudit, table: tuple[PreferenceRow, ...]) -> str:
    """The row over all axes; of a model that knows word order also each axis without information.

    Such an axis is named because its number (near 0.5) would mislead.
    """
    total, *axes = table
    count, axis_count = count_measurable(table)
    reading = total.verdict.reading
    if total.verdict.measurable:
        reading = f"{format_estimate(total.main_estimate)} - {reading}"
    line = f"  {_table_name(model, total)}: {reading}; {count} of {axis_count} axes measurable"
    if not model.passes_sanity_check(total):
        return line
    constant = [
        f"{row.axis} ({row.main_estimate.top_choice.quoted_words})"
        for row in axes
        if not row.verdict.measurable
    ]
    if not constant:
        return line
    return f"{line}. One word wins whatever the context in {', '.join(constant)}"


def _table_name(model: ModelAudit, row: PreferenceRow) -> str:
    names = [model.name, model.scorer, row.lang]
    if row.benchmark != BUILT_IN_BENCHMARK:
        names.append(row.benchmark)
    return " ".join(names)


def _gate_line(gate: GateOutcome) -> str:
    return (
        f"gate failed: {gate.model} {gate.lang}: {gate.measurable_axes} of {gate.axes} axes"
        f" are measurable, {gate.required_share:.0%} asked"
    )
