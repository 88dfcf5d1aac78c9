"""`gristmill steps`: the graph of steps - what each reads, and the command that runs it."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gristmill.steps.step import StepDeclaration, load_declarations

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON list, for schedulers, instead of a table.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(steps)


def steps(as_json: JsonOption = False) -> None:
    """List the steps in the order the data flows: what each reads, and the command that runs it.

    A scheduler runs a step when those it reads are done; `files` stands for raw files or URLs.

    Examples: gristmill steps; gristmill steps --json
    """
    declared = load_declarations()
    if as_json:
        typer.echo(json.dumps([describe_step(step) for step in declared], indent=1))
        return
    table = Table("step", "reads", "command", "what it does")
    for step in declared:
        table.add_row(step.name, ", ".join(step.reads), f"gristmill {step.command}", step.summary)
    Console().print(table)


def describe_step(step: StepDeclaration) -> dict[str, Any]:
    """Return what a scheduler needs of a step, as plain JSON values."""
    described = asdict(step)
    described["command"] = ["gristmill", *step.command.split()]
    del described["entry_modules"]
    return described
