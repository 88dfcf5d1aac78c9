"""The commands of the core: `runs`, `config`, `quarantine`, `takedown`, `report`, `clusters`, `shards`, `card`, `doctor`."""

import typer


def register(app: typer.Typer) -> None:
    """Add the core's commands."""
    from reports.card import command as card
    from reports.chain import command as report_command
    from reports.clusters import command as clusters_command
    from reports.run_tools import (
        commands as run_commands,
    )
    from reports.run_tools import (
        doctor,
        quarantine,
        steps_command,
        takedown_command,
    )
    from reports.shards import commands as shard_commands

    run_commands.register(app)
    quarantine.register(app)
    steps_command.register(app)
    takedown_command.register(app)
    report_command.register(app)
    clusters_command.register(app)
    shard_commands.register(app)
    card.register(app)
    doctor.register(app)
