"""The commands of reports: `runs`, `quarantine`, `takedown`, `report`, `clusters`, `explore`, `shards`, `card`, `doctor`."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    from reports.card import command as card
    from reports.chain import command as report
    from reports.clusters import command as clusters
    from reports.explore import command as explore
    from reports.run_tools import commands as runs
    from reports.run_tools import doctor, quarantine, steps_command, takedown_command
    from reports.shards import commands as shards

    for module in (
        runs,
        quarantine,
        steps_command,
        takedown_command,
        report,
        clusters,
        explore,
        shards,
        card,
        doctor,
    ):
        module.register(app)
