"""Samples of dropped documents, and the records that could not be read: the end of the funnel section."""

from collections.abc import Sequence
from dataclasses import dataclass

from gristmill.formatting import format_count, format_counted, shorten
from reports.chain.reasons import explain_reason
from reports.chain.report_data import ReasonCount, ReportData, RunSummary
from reports.drawing.inline import format_code
from reports.drawing.tables import LongTable, Table, split_table

MAX_ERROR = 200
"""Characters of an error message that the table shows."""


@dataclass(frozen=True, slots=True)
class ReasonSamples:
    """Texts that one reason dropped."""

    reason: ReasonCount
    first: str
    any: str


@dataclass(frozen=True, slots=True)
class QuarantineList:
    """The first quarantined records of a chain; `more` counts those that are not listed, or is empty."""

    records: LongTable
    total: str
    more: str


def list_samples(report: ReportData) -> list[ReasonSamples] | None:
    """Samples by reason; None where no decide run stands beside its documents."""
    if report.corpus is None or not report.corpus.decided:
        return None
    return [
        ReasonSamples(reason, format_counted(reason.first, "document"), format_count(reason.any))
        for reason in report.corpus.reasons
        if reason.samples
    ]


def list_quarantine(report: ReportData, runs: Sequence[RunSummary]) -> QuarantineList | None:
    """The quarantine of all steps but crawl, whose failures are its own section's; None where it is empty."""
    total = sum(run.counts.get("quarantined", 0) for run in runs if run.step != "crawl")
    if not total:
        return None
    rows = [
        (
            record.step,
            record.file,
            format_count(record.offset),
            format_code(record.reason),
            explain_reason(record.reason) or "–",
            shorten(record.error, MAX_ERROR),
        )
        for record in report.quarantined
    ]
    head = ("step", "file", "#offset", "reason", "~what it means", "error")
    more = total - len(rows)
    return QuarantineList(
        records=split_table(Table("Quarantined records", head, rows)),
        total=format_counted(total, "record"),
        more=format_counted(more, "more record") if more > 0 else "",
    )
