"""The commands of the core: `runs`, `config`, `report`, `doctor`."""

import typer


def register(app: typer.Typer) -> None:
    """Add the core's commands."""
    from gristmill import doctor, report_command, run_commands

    run_commands.register(app)
    report_command.register(app)
    doctor.register(app)
