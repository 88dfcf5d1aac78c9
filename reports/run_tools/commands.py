"""`gristmill runs list|show|verify` and `gristmill config show`: look at what is there and at what would run."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gristmill import cli
from gristmill.config import dump_toml, load, load_config_model
from gristmill.errors import RunError
from gristmill.runs.finished import REDO, open_run
from reports.run_tools.listing import ListedRun, find_runs, shorten_name

PIPED_WIDTH = 160
"""Columns of the table where no terminal says how wide it is."""

RunArgument = Annotated[Path, typer.Argument(help="A run folder.")]
ListJsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON list instead of a table.")
]


def register(app: typer.Typer) -> None:
    """Add `runs` and `config`."""
    group = typer.Typer(help="List, show and verify run folders.", no_args_is_help=True)
    group.command("list")(list_runs)
    group.command()(show)
    group.command()(verify)
    app.add_typer(group, name="runs")
    configs = typer.Typer(help="Show the configuration that would run.", no_args_is_help=True)
    configs.callback()(lambda: None)
    configs.command("show")(config_show)
    app.add_typer(configs, name="config")


def list_runs(out: cli.OutOption = Path("runs"), as_json: ListJsonOption = False) -> None:
    """List the runs of a folder and its subfolders, newest last: finished, unfinished, running or damaged.

    The date is when a run was sealed or last asked for again; of an unfinished one, since when it is being written.

    Examples: gristmill runs list --out runs/demo; gristmill runs list --json
    """
    runs = find_runs(out)
    if as_json:
        typer.echo(json.dumps([run.as_json() for run in runs], ensure_ascii=False))
        return
    if not runs:
        cli.say(
            f"there are no runs in {out} or one folder below it; other folders: gristmill runs list --out DIR"
        )
        return
    table = Table("date", "run", "read", "kept", "MB", "state", box=None, padding=(0, 2, 0, 0))
    for run in runs:
        table.add_row(*map(escape, format_cells(run, out)))
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(width=width).print(table, highlight=False)


def format_cells(run: ListedRun, out: Path) -> list[str]:
    """Return the cells of a run's row, its path below `out`."""
    parents = " ".join(shorten_name(parent) for parent in run.parents)
    return [
        run.date(),
        run.path.relative_to(out).as_posix(),
        parents or "-",
        str(run.counts.get("kept", "-")),
        f"{run.bytes / 1e6:.1f}",
        run.describe_state(),
    ]


def show(run: RunArgument) -> None:
    """Print what a run is: its manifest without the list of files.

    Example: gristmill runs show runs/decide-03c95a7e1b2d
    """
    manifest = dict(open_run(run).manifest)
    manifest["files"] = len(manifest["files"])
    typer.echo(json.dumps(manifest, indent=1, ensure_ascii=False))


def verify(run: RunArgument) -> None:
    """Compare every file of a run with the hash in its manifest; exit code 2 where one differs.

    Example: gristmill runs verify runs/pack-e41a0c7d9f52
    """
    finished = open_run(run)
    differing = finished.verify()
    if differing:
        raise RunError(
            "files differ from their manifest", {"run": run, "files": ", ".join(differing)}, REDO
        )
    cli.say(f"{len(finished.data_files())} files as sealed")


def config_show(
    step: Annotated[str, typer.Argument(help="crawl, prepare, pretrain or audit.")],
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
) -> None:
    """Print the whole configuration that a step would run, defaults included, as TOML.

    Example: gristmill config show prepare --config configs/prepare/demo.toml --set decide.near.min_similarity=0.8
    """
    settings = load(load_config_model(step), config, overrides or [])
    typer.echo(dump_toml(settings), nl=False)
