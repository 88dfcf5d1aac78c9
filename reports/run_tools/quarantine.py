"""`gristmill quarantine`: which records of a run could not be read, where each is, and why."""

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

from gristmill.errors import InputError
from gristmill.runs.finished import FinishedRun, open_run

FOLDER = "quarantine/"

RunArgument = Annotated[
    Path, typer.Argument(help="A run folder, of `annotate` to see every record.")
]
LimitOption = Annotated[
    int, typer.Option("--limit", min=0, help="How many records to show; 0 shows all.")
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Only the records of this reason.")
]
ReportJsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of lines.")
]


def register(app: typer.Typer) -> None:
    """Add `quarantine`."""
    app.command()(quarantine)


def quarantine(
    run: RunArgument,
    limit: LimitOption = 20,
    reason: ReasonOption = None,
    as_json: ReportJsonOption = False,
) -> None:
    """Show the records that could not be read: how many for each reason, then file, offset and error of each.

    An offset counts bytes from the start of the decompressed file; the compressed one stands behind it where known.

    Examples: gristmill quarantine runs/annotate-0f3c55d21a7e;
    gristmill quarantine runs/annotate-0f3c55d21a7e --reason bad_json --limit 0 --json
    """
    finished = open_run(run)
    totals = count_reasons(finished)
    if reason is not None and reason not in totals:
        raise _refuse_reason(reason, totals)
    rows = list(itertools.islice(iter_records(finished, reason), limit or None))
    total = sum(totals.values())
    if as_json:
        report = {"path": str(run), "quarantined": total, "reasons": totals, "records": rows}
        typer.echo(json.dumps(report, ensure_ascii=False))
        return
    matching = totals[reason] if reason else total
    typer.echo("\n".join(_format_lines(finished, totals, rows, matching)))


def _refuse_reason(reason: str, totals: Mapping[str, int]) -> InputError:
    fix = "leave --reason out: nothing is quarantined here"
    if totals:
        fix = f"choose one of {', '.join(totals)}"
    return InputError(
        "no record of this run was quarantined for this reason", {"given": reason}, fix
    )


def count_reasons(run: FinishedRun) -> dict[str, int]:
    """Return how many records were quarantined for each reason, the most frequent first."""
    totals = {
        key.partition(":")[2]: number
        for key, number in run.counts.items()
        if key.startswith("quarantined:")
    }
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def iter_records(run: FinishedRun, reason: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the quarantined records of a run (of one reason) in the order they were read."""
    for path in run.files(FOLDER):
        for batch in pq.ParquetFile(path).iter_batches():
            matching = batch
            if reason is not None:
                matching = batch.filter(pc.equal(batch["reason"], reason))
            yield from matching.to_pylist()


def _format_lines(
    run: FinishedRun, totals: Mapping[str, int], rows: list[dict[str, Any]], matching: int
) -> list[str]:
    """Return what people read: the totals, the records, and how many more there are."""
    if not totals:
        return [f"no record of {run.id} was quarantined"]
    width = max(map(len, totals))
    lines = [f"{sum(totals.values())} records of {run.id} could not be read"]
    lines += [f"  {reason:<{width}}  {number}" for reason, number in totals.items()]
    lines += ["", *(_format_record(row, width) for row in rows)]
    remaining = matching - len(rows)
    if not rows:
        lines.append(f"`{run.step}` keeps no list of them, only these totals")
    elif remaining:
        lines.append(f"... and {remaining} more: --limit 0 shows all")
    return lines


def _format_record(row: Mapping[str, Any], width: int) -> str:
    packed = ""
    if row["compressed_offset"] >= 0:
        packed = f" (compressed {row['compressed_offset']})"
    text = f"{row['reason']:<{width}}  {row['file']} at {row['offset']}{packed}: {row['error']}"
    # an error may quote a page: no escape sequence of it may reach the terminal
    return "".join(char if char.isprintable() else " " for char in text)
