"""`gristmill runs list|show|verify` and `gristmill config show`: look at what is there and at what would run."""

import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gristmill import cli
from gristmill.config import dump_toml, load
from gristmill.errors import ConfigError, RunError
from gristmill.runs.finished import REDO, open_run
from reports.run_tools import listing as run_list

RunArgument = Annotated[Path, typer.Argument(help="A run folder.")]
ListJsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON list instead of a table.")
]


def register(app: typer.Typer) -> None:
    """Add `runs` and `config`."""
    group = typer.Typer(help="List, show and verify run folders.", no_args_is_help=True)
    group.command("list")(list_)
    group.command()(show)
    group.command()(verify)
    app.add_typer(group, name="runs")
    configs = typer.Typer(help="Show the configuration that would run.", no_args_is_help=True)
    configs.callback()(lambda: None)
    configs.command("show")(config_show)
    app.add_typer(configs, name="config")


def list_(out: cli.OutOption = Path("runs"), as_json: ListJsonOption = False) -> None:
    """List the runs of a folder and its subfolders, newest last: finished, unfinished, running or damaged.

    The date is when a run was sealed or last asked for again; of an unfinished one, since when it is being written.

    Examples: gristmill runs list --out runs/demo; gristmill runs list --json
    """
    found = run_list.find_runs(out)
    if as_json:
        typer.echo(json.dumps([run.as_json() for run in found], ensure_ascii=False))
        return
    if not found:
        cli.say(
            f"there are no runs in {out} or one folder below it; other folders: gristmill runs list --out DIR"
        )
        return
    table = Table("date", "run", "read", "kept", "MB", "state", box=None, padding=(0, 2, 0, 0))
    for run in found:
        cells = [
            run.date(),
            run.path.relative_to(out).as_posix(),
            " ".join(map(run_list.shorten_name, run.parents)) or "-",
        ]
        cells += [str(run.counts.get("kept", "-")), f"{run.bytes / 1e6:.1f}", run.told_state()]
        table.add_row(*map(escape, cells))
    Console(width=None if sys.stdout.isatty() else 160).print(table, highlight=False)


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
    sealed = open_run(run)
    if bad := sealed.verify():
        raise RunError(
            "files differ from their manifest", {"run": run, "files": ", ".join(bad)}, REDO
        )
    cli.say(f"{len(sealed.data_files())} files as sealed")


def config_show(
    step: Annotated[str, typer.Argument(help="crawl, prepare, pretrain or audit.")],
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
) -> None:
    """Print the whole configuration that a step would run, defaults included, as TOML.

    Example: gristmill config show prepare --config configs/prepare/demo.toml --set decide.near.min_similarity=0.8
    """
    known = {point.name: point for point in entry_points(group="gristmill.configs")}
    if step not in known:
        raise ConfigError(
            "no such step", {"given": step}, f"choose one of {', '.join(sorted(known))}"
        )
    typer.echo(dump_toml(load(known[step].load(), config, overrides or [])), nl=False)
