"""The commands of the core: `runs`, `config`, `doctor`."""

import typer


def register(app: typer.Typer) -> None:
    """Add the core's commands."""
    from gristmill import doctor, run_commands

    run_commands.register(app)
    doctor.register(app)
