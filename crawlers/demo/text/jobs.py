"""The trades of the demo text.

The counts of pronouns are skewed on purpose, so that an audit has something to find.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Job:
    """One trade: its name and place, counts of pronouns, sentences about its days, steps of its work."""

    name: str
    place: str
    she: int
    he: int
    they: int
    days: tuple[str, ...]
    steps: tuple[str, ...]

    def list_pronouns(self) -> list[str]:
        """List the pronouns to draw from, each as often as this trade's proportions say."""
        return ["she"] * self.she + ["he"] * self.he + ["they"] * self.they


def read_jobs(language: str) -> tuple[Job, ...]:
    """Read the trades of one language, from the file beside this one."""
    text = Path(__file__).with_name(f"{language}_jobs.toml").read_text(encoding="utf-8")
    return tuple(
        Job(**{**job, "days": tuple(job["days"]), "steps": tuple(job["steps"])})
        for job in tomllib.loads(text)["jobs"]
    )
