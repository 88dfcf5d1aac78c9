"""The funnel section: how many records each step kept, and how many every reason dropped.

In: the `ReportData` of a chain. Out: the section, laid out by `templates/chain/funnel.html.jinja`; the rules of decide,
samples and quarantine are made by their own modules.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_language,
    format_share,
)
from gristmill.runs.ledger import FATES, Entry
from reports.chain.drop_samples import list_quarantine, list_samples
from reports.chain.reasons import explain_reason, explain_units
from reports.chain.report_data import ReportData, RunSummary
from reports.chain.rule_table import make_rule_part
from reports.drawing.charts import ChartBar, draw_bar_chart
from reports.drawing.inline import format_code
from reports.drawing.stacks import StackedBar, draw_stacked_bars
from reports.drawing.tables import LongTable, Table, split_table
from reports.drawing.templates import render

STEPS = ("crawl", "annotate", "decide", "pack")

DROPPED_BEFORE = "decided"
"""What pack calls the documents that decide dropped: not a new loss."""

REASONS_SHOWN = 5
ROWS_SHOWN = 12

COUNTED = {
    "crawl": "items: pages, and articles or posts in answers of interfaces",
    "annotate": "records: items of stored answers or of files, and listings",
    "decide": "documents",
    "pack": "documents",
}
UNITS = {"crawl": "item", "annotate": "record"}


@dataclass(frozen=True, slots=True)
class ReasonCost:
    """What one reason of one step cost, beside all that the step read."""

    step: str
    fate: str
    reason: str
    number: int
    bytes: int
    read: int

    @property
    def share(self) -> str:
        """Its share of what the step read."""
        return format_share(self.number, self.read)


@dataclass(frozen=True, slots=True)
class DropChart:
    """The reasons that drop most as bars; `more` counts the others, or is empty. No chart: nothing was dropped."""

    chart: Markup | None
    more: str


@dataclass(frozen=True, slots=True)
class OutcomesByPart:
    """Outcomes of decide by source or by language: bars of shares, and the full matrix."""

    chart: Markup
    summary: str
    matrix: Table


@dataclass(frozen=True, slots=True)
class FunnelContext:
    """What the template lays out where some step has a ledger."""

    kept_chart: Markup
    steps: Table
    units: list[str]
    drops: DropChart
    other_reasons: LongTable | None


def draw_funnel_section(report: ReportData) -> Markup:
    """Section 2."""
    runs = [run for step in STEPS for run in report.of(step) if run.entries]
    if not runs:
        return render("chain/no_funnel.html.jinja")
    return render(
        "chain/funnel.html.jinja",
        funnel=make_funnel(report, runs),
        rules=make_rule_part(report),
        parts=make_outcomes(report),
        samples=list_samples(report),
        quarantine=list_quarantine(report, runs),
    )


def make_funnel(report: ReportData, runs: Sequence[RunSummary]) -> FunnelContext:
    """Count what every step read, kept and dropped."""
    title = "Kept by each step, and its share of what it read"
    steps = Table(
        "What each step read, and what became of it",
        ("step", "~what it counts", "#read", "#kept", "#dropped", "#failed"),
        [_write_step_row(run) for run in runs],
    )
    return FunnelContext(
        kept_chart=draw_bar_chart(title, [_make_step_bar(run) for run in runs]),
        steps=steps,
        units=list(explain_units(report)),
        drops=make_drop_chart(count_losses(runs)),
        other_reasons=make_reason_table(count_losses(runs)),
    )


def _name_unit(step: str, number: int) -> str:
    return UNITS.get(step, "document") + ("" if number == 1 else "s")


def _make_step_bar(run: RunSummary) -> ChartBar:
    kept, read = run.counts["kept"], run.counts["read"]
    unit = _name_unit(run.step, read)
    return ChartBar(run.step, kept, f"of {format_count(read)} {unit} ({format_share(kept, read)})")


def _write_step_row(run: RunSummary) -> list[str]:
    outcomes = [format_count(run.counts.get(fate, 0)) for fate in FATES]
    return [run.step, COUNTED[run.step], format_count(run.counts["read"]), *outcomes]


def count_losses(runs: Sequence[RunSummary]) -> list[ReasonCost]:
    """Every reason of every step, the costliest first; what pack only repeats of decide is left out."""
    numbers, sizes = Counter[tuple[str, str, str]](), Counter[tuple[str, str, str]]()
    read = Counter[str]()
    for run in runs:
        read[run.step] += run.counts["read"]
        for entry in run.entries:
            if entry.reason and (run.step, entry.reason) != ("pack", DROPPED_BEFORE):
                key = (run.step, entry.fate, entry.reason)
                numbers[key] += entry.documents
                sizes[key] += entry.bytes
    order = sorted(numbers, key=lambda key: (-numbers[key], key))
    return [
        ReasonCost(step, fate, reason, numbers[key], sizes[key], read[step])
        for key in order
        for step, fate, reason in [key]
    ]


def make_drop_chart(losses: Sequence[ReasonCost]) -> DropChart:
    """The reasons that drop most, of all steps together."""
    bars = [
        ChartBar(
            f"{loss.step}: {loss.reason}",
            loss.number,
            f"{_name_unit(loss.step, loss.number)} ({loss.share})",
        )
        for loss in losses
        if loss.fate == "dropped"
    ]
    if not bars:
        return DropChart(None, "")
    title = "Why records were dropped, and their share of what the step read"
    more = ""
    hidden = bars[ROWS_SHOWN:]
    if hidden:
        records = format_counted(int(sum(bar.value for bar in hidden)), "record")
        more = f"{format_counted(len(hidden), 'more reason')}, {records}: in the tables."
    return DropChart(draw_bar_chart(title, bars[:ROWS_SHOWN]), more)


def make_reason_table(losses: Sequence[ReasonCost]) -> LongTable | None:
    """The reasons of the steps around decide, with their meaning."""
    rows = [
        (
            format_code(loss.reason),
            loss.step,
            loss.fate.replace("quarantined", "failed"),
            explain_reason(loss.reason) or "–",
            f"{format_count(loss.number)} {_name_unit(loss.step, loss.number)}",
            loss.share,
            format_bytes(loss.bytes),
        )
        for loss in losses
        if loss.step != "decide"
    ]
    if not rows:
        return None
    head = ("reason", "step", "fate", "~what it means", "#number", "#share of read", "#text")
    return split_table(Table("Reasons of the steps around decide", head, rows))


def make_outcomes(report: ReportData) -> list[OutcomesByPart]:
    """Outcomes of decide by source, and by language."""
    decide = report.last("decide")
    if decide is None:
        return []
    return [
        count_outcomes(decide, "source", lambda entry: entry.source, str),
        count_outcomes(decide, "language", lambda entry: entry.lang, format_language),
    ]


def count_outcomes(
    run: RunSummary, name: str, part_of: Callable[[Entry], str], label: Callable[[str], str]
) -> OutcomesByPart:
    """One step's outcomes and reasons for each source or language."""
    totals, cells, reasons = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    for entry in run.entries:
        part = part_of(entry)
        totals[part] += entry.documents
        cells[part, entry.reason or entry.fate] += entry.documents
        if entry.reason:
            reasons[entry.reason] += entry.documents
    ranked = sorted(reasons, key=lambda reason: (-reasons[reason], reason))
    parts = sorted(totals, key=lambda part: (-totals[part], part))
    drawn = ranked[: REASONS_SHOWN - 1] if len(ranked) > REASONS_SHOWN else ranked
    together = ranked[len(drawn) :]
    legend = ["kept", *drawn]
    if together:
        legend.append(f"{len(together)} other reasons")
    bars = []
    for part in parts[:ROWS_SHOWN]:
        values = [cells[part, outcome] for outcome in ("kept", *drawn)]
        if together:
            values.append(sum(cells[part, reason] for reason in together))
        bars.append(StackedBar(label(part), values, f"n = {format_count(totals[part])}"))
    rows = []
    for part in parts:
        kept, total = cells[part, "kept"], totals[part]
        counts = [_format_cell(cells[part, reason]) for reason in ranked]
        share = format_share(kept, total)
        rows.append([label(part), format_count(total), format_count(kept), share, *counts])
    head = (name, "#read", "#kept", "#share kept", *(f"#{reason}" for reason in ranked))
    return OutcomesByPart(
        chart=draw_stacked_bars(f"Kept and dropped by {name} ({run.step})", legend, bars),
        summary=f"Every reason by {name}",
        matrix=Table(f"Documents of {run.id} by {name} and first reason", head, rows),
    )


def _format_cell(number: int) -> str:
    return format_count(number) if number else "·"
