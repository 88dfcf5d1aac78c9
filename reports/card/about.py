"""What no run records of a corpus and whoever publishes it may say: its title, who made it, whom to ask, its version."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gristmill.errors import UserError
from reports.chain.report_data import RunSummary


@dataclass(frozen=True, slots=True)
class About:
    """What was given at the command; None where it was not."""

    title: str | None = None
    creator: str | None = None
    contact: str | None = None
    version: str | None = None

    def check(self) -> None:
        """Raise UserError for a version that Croissant does not take."""
        if self.version and not re.fullmatch(
            r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", self.version
        ):
            raise UserError(
                "a version has three numbers",
                {"given": self.version},
                "write it as MAJOR.MINOR.PATCH, such as 1.0.0",
            )


def contact_of(crawls: Iterable[RunSummary]) -> str:
    """The addresses that crawls gave as their contact; empty where there are none."""
    found = (str(run.config.get("contact") or "").strip() for run in crawls)
    return ", ".join(dict.fromkeys(filter(None, found)))


def given_or_not(value: str | None, option: str) -> str:
    """A value, or how to give it."""
    return value or f"not given; give {option}"
