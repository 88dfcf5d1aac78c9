"""`gristmill quarantine`: which records of a run could not be read, where each lies, and why."""

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
    sealed = open_run(run)
    totals = count_reasons(sealed)
    if reason is not None and reason not in totals:
        known = (
            f"choose one of {', '.join(totals)}"
            if totals
            else "leave --reason out: nothing is quarantined here"
        )
        raise InputError(
            "no record of this run was quarantined for this reason", {"given": reason}, known
        )
    rows = list(itertools.islice(iter_records(sealed, reason), limit or None))
    if as_json:
        found = {
            "path": str(run),
            "quarantined": sum(totals.values()),
            "reasons": totals,
            "records": rows,
        }
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        typer.echo(
            "\n".join(
                _lines(sealed, totals, rows, totals[reason] if reason else sum(totals.values()))
            )
        )


def count_reasons(run: FinishedRun) -> dict[str, int]:
    """How many records were quarantined for each reason, the most frequent first."""
    found = {
        key.partition(":")[2]: n for key, n in run.counts.items() if key.startswith("quarantined:")
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def iter_records(run: FinishedRun, reason: str | None = None) -> Iterator[dict[str, Any]]:
    """The quarantined records of a run (of one reason) in the order in which they were read."""
    for path in run.files(FOLDER):
        for batch in pq.ParquetFile(path).iter_batches():
            yield from (
                batch if reason is None else batch.filter(pc.equal(batch["reason"], reason))
            ).to_pylist()


def _lines(
    run: FinishedRun, totals: Mapping[str, int], rows: list[dict[str, Any]], asked: int
) -> list[str]:
    """What people read: the totals, the records, and what was left out."""
    if not totals:
        return [f"no record of {run.id} was quarantined"]
    width = max(map(len, totals))
    lines = [f"{sum(totals.values())} records of {run.id} could not be read"]
    lines += [f"  {reason:<{width}}  {number}" for reason, number in totals.items()]
    lines += ["", *(_line(row, width) for row in rows)]
    if not rows:
        lines.append(f"`{run.step}` keeps no list of them, only these totals")
    elif left := asked - len(rows):
        lines.append(f"... and {left} more: --limit 0 shows all")
    return lines


def _line(row: Mapping[str, Any], width: int) -> str:
    packed = f" (compressed {row['compressed_offset']})" if row["compressed_offset"] >= 0 else ""
    text = f"{row['reason']:<{width}}  {row['file']} at {row['offset']}{packed}: {row['error']}"
    return "".join(
        char if char.isprintable() else " " for char in text
    )  # an error may quote the web: no escapes
