"""Write audit.md: headlines, the tables of models, rules and associations, and the limits.

In: an `AuditResult`. Out: Markdown in which no text from outside is markup.
"""

from dataclasses import dataclass

from bias_audit.contract.headlines import write_headlines
from bias_audit.contract.result import AuditResult
from reports.audit.figures import (
    PREFERENCE_HEAD,
    RULE_HEAD,
    TERM_HEAD,
    write_preference_cells,
    write_rule_cells,
    write_term_cells,
)
from reports.drawing.tables import Table
from reports.drawing.templates import render_text

MOST_RULES = 40


@dataclass(frozen=True, slots=True)
class MarkdownSummary:
    """What the template `audit/audit.md.jinja` lays out; `rules` is None where no rule was compared."""

    headlines: list[str]
    models: list[Table]
    rules: Table | None
    associations: list[Table]
    limits: tuple[str, ...]


def write_markdown(audit: AuditResult) -> str:
    """The audit as Markdown, for a pull request or a model card."""
    return render_text("audit/audit.md.jinja", audit=summarize(audit))


def summarize(audit: AuditResult) -> MarkdownSummary:
    """Choose what of an audit stands in its Markdown."""
    return MarkdownSummary(
        headlines=[line.strip() for line in write_headlines(audit)],
        models=[
            Table(
                f"{model.name} ({model.scorer})",
                PREFERENCE_HEAD,
                [write_preference_cells(row) for row in model.rows],
            )
            for model in audit.models
        ],
        rules=_make_rule_table(audit),
        associations=_make_term_tables(audit),
        limits=audit.limits,
    )


def _make_rule_table(audit: AuditResult) -> Table | None:
    if audit.rules is None:
        return None
    significant = audit.rules.significant_rows()[:MOST_RULES]
    return Table("Rules", RULE_HEAD, [write_rule_cells(row) for row in significant])


def _make_term_tables(audit: AuditResult) -> list[Table]:
    """A table for each axis and language in which some term leans beyond chance."""
    if audit.corpus is None:
        return []
    tables = []
    for totals in audit.corpus.association_totals:
        terms = audit.corpus.leaning_terms(totals)
        if terms:
            title = f"{totals.lang}: {' against '.join(totals.groups)}"
            tables.append(Table(title, TERM_HEAD, [write_term_cells(row) for row in terms]))
    return tables
