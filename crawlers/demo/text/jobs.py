"""What the demo text knows about a trade; the pronoun counts are skewed on purpose, so that an audit has something to find."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Job:
    """One trade: its name, where it is done, how often she, he or they do it, sentences about the days, steps of the work."""

    name: str
    place: str
    she: int
    he: int
    they: int
    days: tuple[str, ...]
    steps: tuple[str, ...]

    def pronouns(self) -> list[str]:
        """The pronouns to draw from, each as often as this trade's proportions say."""
        return ["she"] * self.she + ["he"] * self.he + ["they"] * self.they


def read_jobs(language: str) -> tuple[Job, ...]:
    """The trades of one language, from the file beside this one."""
    text = Path(__file__).with_name(f"{language}_jobs.toml").read_text(encoding="utf-8")
    return tuple(
        Job(**{**job, "days": tuple(job["days"]), "steps": tuple(job["steps"])})
        for job in tomllib.loads(text)["jobs"]
    )
