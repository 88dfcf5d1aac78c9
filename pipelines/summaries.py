"""Closing lines that several steps of preparation share."""

from gristmill.runs.finished import FinishedRun


def format_drop_reasons(run: FinishedRun) -> str:
    """Return ` | reason number` for every reason of the run's counts, the most frequent first."""
    numbers = {key.split(":", 1)[1]: number for key, number in run.counts.items() if ":" in key}
    ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return "".join(f" | {reason} {number}" for reason, number in ordered)
