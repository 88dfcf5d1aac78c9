"""`gristmill report`: one self-contained HTML page for the chain of runs that lead to the given ones."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gristmill import cli
from gristmill.errors import GristmillError, RunError, UserError
from gristmill.runs import storage
from gristmill.runs.finished import (
    FinishedRun,
    ancestors,
    corpus_lineage,
    latest_of,
    list_runs,
    open_parents,
    open_run,
)
from reports.clusters import command as clusters_command

if TYPE_CHECKING:
    from reports.chain.report_data import ReportData

RunsArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="RUN...", help="Run folders; all that led to them is told of."),
]
PageOption = Annotated[Path, typer.Option("--out", help="The HTML file to write.")]

FolderOption = Annotated[
    Path, typer.Option("--runs", help="Folder of the run folders, used where no RUN is given.")
]
CORPUS = ("pack", "decide", "annotate", "crawl")
"""The furthest step of a corpus first: its newest run is reported where none is given, with all models and the newest audit of it."""


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

    Without RUN it tells of the newest corpus in the folder --runs, every model trained on it, and its newest audit.
    Example: gristmill report runs/audit-3afee7c26b36 --out report.html
    """
    ends = [open_run(path) for path in given or ()] or find_newest(folder)
    cli.say(f"report  {', '.join(end.id for end in ends)} and what led there")
    started = time.monotonic()
    told = write_page(ends, out)
    seconds = round(time.monotonic() - started, 1)
    cli.say(
        *(f"  {line}" for line in told["verdict"]),
        f"  {len(told['runs'])} runs, {told['bytes'] / 1e3:,.0f} kB, {seconds} s",
    )
    typer.echo(json.dumps({"path": str(out), **told, "seconds": seconds}) if as_json else str(out))


def find_newest(folder: Path) -> list[FinishedRun]:
    """The newest run of the furthest step of a corpus, all models trained on it, and the newest audit of either."""
    found = list_runs(folder)
    corpus = next((run for step in CORPUS if (run := latest_of(found, step))), None)
    if corpus is None:
        alone = latest_of(found, "audit") or latest_of(found, "pretrain")
        if alone is None:
            raise RunError(
                "there is no run to report on",
                {"folder": folder},
                "give the run folders: gristmill report RUN ...",
            )
        return [alone]
    models = [run for run in found if run.step == "pretrain" and _stands_on(run, [corpus])]
    line = [*ancestors(corpus), *models]
    audits = [run for run in found if run.step == "audit" and _stands_on(run, line)]
    ends = [corpus, *models, *audits[-1:]]
    cli.say(*_chosen(ends, found, {run.id for run in [*line, *audits]}))
    return ends


def _stands_on(run: FinishedRun, line: Sequence[FinishedRun]) -> bool:
    """Whether all that a run read is among these runs as they are now."""
    try:
        read = open_parents(run)
    except GristmillError:  # what it read was redone since: it tells of another corpus
        return False
    return bool(read) and {one.id for one in read} <= {one.id for one in line}


def _chosen(
    ends: Sequence[FinishedRun], found: Sequence[FinishedRun], told: set[str]
) -> Iterator[str]:
    """What the report takes, and what it leaves out that is newer than its corpus."""
    models, audits = (sum(run.step == step for run in ends) for step in ("pretrain", "audit"))
    yield f"report  no RUN is given: the newest {ends[0].step} run, {models} of its models, {audits} of its audits"
    later = found[[run.id for run in found].index(ends[0].id) + 1 :]
    if left := [run.id for run in later if run.id not in told]:
        yield f"  left out, newer but not of this corpus: {', '.join(left)}"


def write_page(ends: list[FinishedRun], out: Path) -> dict[str, Any]:
    """Write the page; returns what a program may want to know of it."""
    from reports.chain.collect import collect_report
    from reports.chain.health_checks import check_health
    from reports.chain.page import draw_page

    if out.is_dir():
        raise UserError(
            "the page must be a file", {"out": out}, f"for example --out {out / 'report.html'}"
        )
    facts = with_clusters(collect_report(ends, out), ends, out)
    data = draw_page(facts).encode()
    storage.commit_bytes(out, data)
    return {
        "bytes": len(data),
        "runs": [run.id for run in facts.runs],
        "clusters": str(out.with_name(facts.clusters)) if facts.clusters else None,
        "verdict": [f"{check.level}: {check.words}" for check in check_health(facts)],
    }


def with_clusters(facts: "Facts", ends: Sequence[FinishedRun], out: Path) -> "Facts":
    """Write the page of duplicate clusters beside the report, if there are any: `report.html` has `report-clusters.html`."""
    from reports.clusters.collect import ClusterQuery

    duplicates = facts.corpus.duplicates if facts.corpus else None
    decided = latest_of(corpus_lineage(*ends), "decide")
    if decided is None or duplicates is None or not duplicates.sizes:
        return facts
    name = f"{out.stem}-clusters{out.suffix}"
    clusters_command.write_page(decided, out.with_name(name), ClusterQuery(), back=out.name)
    return replace(facts, clusters=name)
