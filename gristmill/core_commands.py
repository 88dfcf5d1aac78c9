"""The commands of the core: `runs`, `config`, `quarantine`, `takedown`, `report`, `clusters`, `shards`, `card`, `doctor`."""

import typer


def register(app: typer.Typer) -> None:
    """Add the core's commands."""
    from gristmill import (
        clusters_command,
        doctor,
        quarantine,
        report_command,
        run_commands,
        shard_commands,
        takedown_command,
    )
    from gristmill.card import command as card

    run_commands.register(app)
    quarantine.register(app)
    takedown_command.register(app)
    report_command.register(app)
    clusters_command.register(app)
    shard_commands.register(app)
    card.register(app)
    doctor.register(app)
