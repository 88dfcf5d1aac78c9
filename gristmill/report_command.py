"""`gristmill report`: one self-contained HTML page for the chain of runs that lead to the given ones."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from gristmill import cli, runs, storage
from gristmill.errors import RunError, UserError
from gristmill.runs import FinishedRun

RunsArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="RUN...", help="Run folders; all that led to them is told of.")
]
PageOption = Annotated[Path, typer.Option("--out", help="The HTML file to write.")]

FolderOption = Annotated[Path, typer.Option("--runs", help="Folder of the run folders, used where no RUN is given.")]
STEPS = ("audit", "pretrain", "pack", "decide", "annotate", "crawl")
"""The furthest step first: its newest run is reported where none is given."""


def register(app: typer.Typer) -> None:
    """Add `report`."""
    app.command()(report)


def report(
    given: RunsArgument = None,
    out: PageOption = Path("report.html"),
    folder: FolderOption = Path("runs"),
    as_json: cli.JsonOption = False,
) -> None:
    """Write one HTML page about a chain of runs: sources, funnel, duplicates, tokens, training, audit.

    Without RUN the newest run of the furthest step in the folder --runs is told of.
    Example: gristmill report runs/audit-3afee7c26b36 --out report.html
    """
    ends = [runs.open_run(path) for path in given or ()] or [newest(folder)]
    cli.say(f"report  {', '.join(end.id for end in ends)} and what led there")
    started = time.monotonic()
    told = write(ends, out)
    seconds = round(time.monotonic() - started, 1)
    cli.say(
        *(f"  {line}" for line in told["verdict"]),
        f"  {len(told['runs'])} runs, {told['bytes'] / 1e3:,.0f} kB, {seconds} s",
    )
    typer.echo(json.dumps({"path": str(out), **told, "seconds": seconds}) if as_json else str(out))


def newest(folder: Path) -> FinishedRun:
    """The newest run of the furthest step."""
    found = runs.list_runs(folder)
    for step in STEPS:
        if run := runs.of_step(found, step):
            return run
    raise RunError("there is no run to report on", {"folder": folder}, "give the run folders: gristmill report RUN ...")


def write(ends: list[FinishedRun], out: Path) -> dict[str, Any]:
    """Write the page; returns what a program may want to know of it."""
    from gristmill.report.checks import checks
    from gristmill.report.collect import collect
    from gristmill.report.page import page

    if out.is_dir():
        raise UserError("the page must be a file", {"out": out}, f"for example --out {out / 'report.html'}")
    facts = collect(ends, out)
    data = page(facts).encode()
    storage.commit_bytes(out, data)
    return {
        "bytes": len(data),
        "runs": [run.id for run in facts.runs],
        "verdict": [f"{check.level}: {check.words}" for check in checks(facts)],
    }
