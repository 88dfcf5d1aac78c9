"""`gristmill clusters`: one self-contained HTML page of the duplicate clusters of a decide run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill import cli
from gristmill.errors import RunError, UserError
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun, latest_of, list_runs, open_run

if TYPE_CHECKING:
    from reports.clusters.collect import ClusterQuery

RunArgument = Annotated[
    Path | None,
    typer.Argument(metavar="RUN", help="A decide run, or a run made from one, such as pack."),
]
PageOption = Annotated[Path, typer.Option("--out", help="The HTML file to write.")]
LargestOption = Annotated[
    int, typer.Option("--largest", min=0, help="How many of the largest clusters are shown.")
]
SampleOption = Annotated[
    int, typer.Option("--sample", min=0, help="How many others are shown, drawn at random.")
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=(1 << 64) - 1, help="Which others are drawn.")
]
ClusterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster", help="Show this cluster too: its label, or the id of a member; repeatable."
    ),
]
FolderOption = Annotated[
    Path, typer.Option("--runs", help="Folder of the run folders, used where no RUN is given.")
]


def register(app: typer.Typer) -> None:
    """Add `clusters`."""
    app.command()(clusters)


def clusters(
    run: RunArgument = None,
    out: PageOption = Path("clusters.html"),
    largest: LargestOption = 20,
    sample: SampleOption = 20,
    seed: SeedOption = 0,
    cluster: ClusterOption = None,
    folder: FolderOption = Path("runs"),
) -> None:
    """Write one HTML page of duplicate clusters: the largest and a random sample, kept and dropped text side by side.

    Without RUN it takes the newest decide run in the folder --runs.

    Examples: gristmill clusters runs/decide-03c95a7e1b2d --largest 50 --sample 100 --seed 7;
    gristmill clusters runs/pack-e41a0c7d9f52 --cluster 9f2c41d07be35a6681c0d2f4a7b95e13
    """
    from reports.clusters.collect import ClusterQuery

    given = find_newest(folder) if run is None else open_run(run)
    started = time.monotonic()
    told, size = write_page(
        given,
        out,
        ClusterQuery(largest=largest, sample=sample, seed=seed, named=tuple(cluster or ())),
    )
    cli.say(f"clusters  {told}", f"  {size / 1e3:,.0f} kB, {time.monotonic() - started:.1f} s")
    typer.echo(str(out))


def find_newest(folder: Path) -> FinishedRun:
    """The newest decide run in a folder; raises RunError where there is none."""
    found = latest_of(list_runs(folder, "decide"), "decide")
    if found is None:
        fix = "give the run folder: gristmill clusters RUN"
        raise RunError("there is no decide run to show clusters of", {"folder": folder}, fix)
    cli.say(f"clusters  no RUN is given: the newest decide run, {found.id}")
    return found


def write_page(run: FinishedRun, out: Path, wish: "Wish", *, back: str = "") -> tuple[str, int]:
    """Write the page, with a link `back` to the report it lies beside; returns its headline and its bytes."""
    from reports.clusters.collect import collect_clusters, open_corpus
    from reports.clusters.page import draw_page, write_headline

    if out.is_dir():
        raise UserError(
            "the page must be a file", {"out": out}, f"for example --out {out / 'clusters.html'}"
        )
    facts = collect_clusters(open_corpus(run), wish)
    data = draw_page(facts, back=back).encode()
    storage.commit_bytes(out, data)
    return write_headline(facts), len(data)
