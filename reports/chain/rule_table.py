"""The rules of decide in the funnel: conditions as they were applied, their origin, and what they cost."""

from dataclasses import dataclass

from markupsafe import Markup

from gristmill.formatting import format_count, format_counted
from reports.chain.reasons import DropCondition, list_conditions
from reports.chain.report_data import ReportData, RunSummary
from reports.drawing.inline import format_code
from reports.drawing.tables import Cell, Table

RULE_HEAD = (
    "rule",
    "#order",
    "#dropped",
    "~drops a document if",
    "~laid down in",
    "#holds for",
    "#holds alone",
)

NO_COST = {"0", "–"}
"""What the columns of a rule's costs say where it holds for no document."""


@dataclass(frozen=True, slots=True)
class RuleCosts:
    """Rules that hold for documents (None without any), and those that hold for none."""

    recorded: bool
    used: Table | None
    idle: Table | None
    idle_summary: str


def make_rule_part(report: ReportData) -> RuleCosts | None:
    """Every rule of the decide run; None where the chain has none."""
    decide = report.last("decide")
    if decide is None:
        return None
    conditions = list_conditions(decide, report.corpus.signals if report.corpus else {})
    used, idle = list[list[Cell]](), list[list[Cell]]()
    for condition in conditions:
        costs = count_costs(condition.name, report, decide)
        row = _write_row(condition, costs)
        has_cost = bool(set(costs) - NO_COST)
        (used if has_cost else idle).append(row)
    return RuleCosts(
        recorded="rules" in decide.details,
        used=Table("Rules that hold for a document", RULE_HEAD, used) if used else None,
        idle=Table("Rules that hold for none", RULE_HEAD, idle) if idle else None,
        idle_summary=f"{format_counted(len(idle), 'rule')} that hold for no document",
    )


def count_costs(name: str, report: ReportData, decide: RunSummary) -> tuple[str, str, str]:
    """How many documents a rule dropped, holds for, and holds for alone.

    Only the documents' own decisions tell what a rule holds for; without them those are dashes.
    """
    dropped = sum(entry.documents for entry in decide.entries if entry.reason == name)
    if report.corpus is None:
        return format_count(dropped), "–", "–"
    for reason in report.corpus.reasons:
        if reason.name == name:
            return format_count(dropped), format_count(reason.any), format_count(reason.alone)
    return format_count(dropped), "0", "0"


def _write_row(condition: DropCondition, costs: tuple[str, str, str]) -> list[Cell]:
    dropped, holds, alone = costs
    drops_if: Cell = condition.drops_if
    if condition.signal:
        drops_if = Markup("{}<small>{}</small>").format(condition.drops_if, condition.signal)
    name, order = format_code(condition.name), str(condition.place)
    return [name, order, dropped, drops_if, condition.origin, holds, alone]
