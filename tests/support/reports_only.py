"""The command line with the commands of one room only, as tests of that room use it."""

from importlib.metadata import EntryPoint, entry_points


def only_reports(group: str) -> list[EntryPoint]:
    """Return the entry points of the room of reports: what `gristmill.cli` then loads."""
    return [entry for entry in entry_points(group=group) if entry.name == "reports"]
