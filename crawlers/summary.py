"""The closing lines of a crawl: what was found, stored, dropped and left waiting, for people."""

from __future__ import annotations

from collections.abc import Mapping

from crawlers.contract import CrawlDetails, read_details
from gristmill.rights.takedown import NAME as TAKEDOWNS_FILE
from gristmill.runs.finished import FinishedRun

MOST_FAILURES_SHOWN = 20


def summarize_run(run: FinishedRun) -> list[str]:
    """Describe a sealed crawl in lines for people."""
    counts = run.counts
    details = read_details(run.details)
    megabytes = counts["bytes"] / 1e6
    lines = [
        f"crawl  found {counts['read']} documents in {counts['captures']} responses"
        f" ({megabytes:.1f} MB)",
        f"  {format_outcomes(counts)}",
    ]
    for source, licences in details.licences.items():
        counted = [f"{count} {licence}" for licence, count in licences.items()]
        lines.append(f"  {source}: {', '.join(counted)}")
    lines += [f"  {origin}: {reason}" for origin, reason in details.unreachable.items()]
    lines += _list_failures(details, run.path.name)
    for host, waiting in details.waiting.items():
        lines.append(f"  {host}: {waiting.queued} requests still queued; {waiting.why}")
    if details.takedowns:
        lines.append(
            f"  {details.takedowns} pages are gone or refuse since they were stored:"
            f" {run.path / TAKEDOWNS_FILE}"
        )
    return lines


def _list_failures(details: CrawlDetails, run_name: str) -> list[str]:
    failures = details.failures
    lines = [f"  failed  {text}" for text in failures[:MOST_FAILURES_SHOWN]]
    hidden = len(failures) - MOST_FAILURES_SHOWN
    if hidden > 0:
        lines.append(f"  and {hidden} more failures, all in {run_name}/manifest.json")
    return lines


def format_outcomes(counts: Mapping[str, int]) -> str:
    """Format how many documents were stored, dropped and failed, each reason by itself."""
    dropped = _format_reasons(counts, "dropped", "dropped")
    failed = _format_reasons(counts, "quarantined", "failed")
    return f"stored {counts['kept']}{dropped}{failed}"


def _format_reasons(counts: Mapping[str, int], outcome: str, word: str) -> str:
    by_reason = {
        name.removeprefix(f"{outcome}:"): count
        for name, count in counts.items()
        if name.startswith(f"{outcome}:")
    }
    return "".join(f" | {word} {reason} {count}" for reason, count in sorted(by_reason.items()))
