"""`gristmill report`: one self-contained HTML page for the chain of runs that lead to the given ones."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

CORPUS_STEPS = ("pack", "decide", "annotate", "crawl")
"""The furthest step of a corpus first: without RUN its newest run is reported, with its models and newest audit."""


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What `--json` prints of a report; `clusters` is the path of the page of clusters, if there is one."""

    bytes: int
    runs: list[str]
    clusters: str | None
    verdict: list[str]


def register(app: typer.Typer) -> None:
    """Add `report`."""
    app.command()(report)


def report(
    run_folders: RunsArgument = None,
    out: PageOption = Path("report.html"),
    folder: FolderOption = Path("runs"),
    as_json: cli.JsonOption = False,
) -> None:
    """Write one HTML page about a chain of runs: sources, funnel, duplicates, tokens, training, audit.

    Without RUN it tells of the newest corpus in the folder --runs, every model trained on it, and its newest audit.
    Example: gristmill report runs/audit-3afee7c26b36 --out report.html
    """
    ends = [open_run(path) for path in run_folders or ()] or find_newest(folder)
    cli.say(f"report  {', '.join(end.id for end in ends)} and what led there")
    started = time.monotonic()
    written = write_page(ends, out)
    seconds = round(time.monotonic() - started, 1)
    size = f"{written.bytes / 1e3:,.0f} kB"
    cli.say(
        *(f"  {line}" for line in written.verdict),
        f"  {len(written.runs)} runs, {size}, {seconds} s",
    )
    if as_json:
        typer.echo(json.dumps({"path": str(out), **asdict(written), "seconds": seconds}))
    else:
        typer.echo(str(out))


def find_newest(folder: Path) -> list[FinishedRun]:
    """The newest run of the furthest step of a corpus, all models trained on it, and the newest audit of either."""
    runs = list_runs(folder)
    corpus = _find_corpus(runs)
    if corpus is None:
        single = latest_of(runs, "audit") or latest_of(runs, "pretrain")
        if single is None:
            raise RunError(
                "there is no run to report on",
                {"folder": folder},
                "give the run folders: gristmill report RUN ...",
            )
        return [single]
    models = [run for run in runs if run.step == "pretrain" and _stands_on(run, [corpus])]
    line = [*ancestors(corpus), *models]
    audits = [run for run in runs if run.step == "audit" and _stands_on(run, line)]
    ends = [corpus, *models, *audits[-1:]]
    related = {run.id for run in [*line, *audits]}
    cli.say(*_describe_choice(ends, runs, related))
    return ends


def _find_corpus(runs: Sequence[FinishedRun]) -> FinishedRun | None:
    for step in CORPUS_STEPS:
        run = latest_of(runs, step)
        if run is not None:
            return run
    return None


def _stands_on(run: FinishedRun, line: Sequence[FinishedRun]) -> bool:
    """Whether all that a run read is among these runs as they are now."""
    try:
        parents = open_parents(run)
    except GristmillError:  # a run that it read was redone since: it belongs to another corpus
        return False
    return bool(parents) and {parent.id for parent in parents} <= {member.id for member in line}


def _describe_choice(
    ends: Sequence[FinishedRun], runs: Sequence[FinishedRun], related: set[str]
) -> Iterator[str]:
    """What the report takes, and what it leaves out that is newer than its corpus."""
    models = sum(run.step == "pretrain" for run in ends)
    audits = sum(run.step == "audit" for run in ends)
    corpus = ends[0]
    yield (
        f"report  no RUN is given: the newest {corpus.step} run, "
        f"{models} of its models, {audits} of its audits"
    )
    ids = [run.id for run in runs]
    later = ids[ids.index(corpus.id) + 1 :]
    left_out = [id for id in later if id not in related]
    if left_out:
        yield f"  left out, newer but not of this corpus: {', '.join(left_out)}"


def write_page(ends: list[FinishedRun], out: Path) -> WrittenReport:
    """Write the page, and the page of clusters beside it."""
    # Imported here: `gristmill --help` must need neither Arrow nor a template.
    from reports.chain.collect import collect_report
    from reports.chain.health_checks import check_health
    from reports.chain.page import draw_page

    if out.is_dir():
        raise UserError(
            "the page must be a file", {"out": out}, f"for example --out {out / 'report.html'}"
        )
    data = write_clusters(collect_report(ends, out), ends, out)
    page = draw_page(data).encode()
    storage.commit_bytes(out, page)
    return WrittenReport(
        bytes=len(page),
        runs=[run.id for run in data.runs],
        clusters=str(out.with_name(data.clusters)) if data.clusters else None,
        verdict=[f"{check.level}: {check.words}" for check in check_health(data)],
    )


def write_clusters(data: "ReportData", ends: Sequence[FinishedRun], out: Path) -> "ReportData":
    """Write the page of duplicate clusters, if there are any: beside `report.html` as `report-clusters.html`."""
    from reports.clusters.collect import ClusterQuery

    duplicates = data.corpus.duplicates if data.corpus else None
    decided = latest_of(corpus_lineage(*ends), "decide")
    if decided is None or duplicates is None or not duplicates.sizes:
        return data
    name = f"{out.stem}-clusters{out.suffix}"
    clusters_command.write_page(decided, out.with_name(name), ClusterQuery(), back=out.name)
    return replace(data, clusters=name)
