"""What a frontier remembers of hosts: back-offs, used quotas, and the files that sites publish.

All of it outlives the process: a host that asked for an hour of rest gets it from the next session.
"""

from __future__ import annotations

from typing import NamedTuple

from crawlers.frontier.database import FrontierDatabase


class BackOff(NamedTuple):
    """Until when a host is left alone, and how often in a row it said that it has too much."""

    resume_at: float = 0.0
    consecutive_429s: int = 0


class QuotaUsed(NamedTuple):
    """What one session took from a host: captures, their compressed bytes, when the first came."""

    pages: int
    bytes: int
    since: float


class StoredSite(NamedTuple):
    """When the files of an origin were read, and their packed answers (`downloader.sites`)."""

    read_at: float
    answers: str


class HostStore:
    """The tables `host`, `spent` and `site` of a frontier."""

    def __init__(self, database: FrontierDatabase) -> None:
        self._database = database

    def save_back_off(self, host: str, back_off: BackOff) -> None:
        """Store a back-off; an earlier one that lasts longer stays."""
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO host VALUES (?,?,?) ON CONFLICT DO UPDATE"
                " SET ready=max(ready, excluded.ready), strikes=excluded.strikes",
                [host, back_off.resume_at, back_off.consecutive_429s],
            )

    def read_back_offs(self) -> dict[str, BackOff]:
        """Return the back-off of every host that has one."""
        rows = self._database.execute("SELECT name, ready, strikes FROM host")
        return {name: BackOff(resume_at, count) for name, resume_at, count in rows}

    def add_quota_used(self, host: str, used: QuotaUsed) -> None:
        """Add to what this session took from a host; the first moment stays."""
        self._database.execute(
            "INSERT INTO spent VALUES (?,?,?,?) ON CONFLICT DO UPDATE"
            " SET pages=pages+excluded.pages, bytes=bytes+excluded.bytes",
            [host, used.pages, used.bytes, used.since],
        )

    def read_quotas_used(self) -> dict[str, QuotaUsed]:
        """Return what this session took, by host."""
        rows = self._database.execute("SELECT host, pages, bytes, since FROM spent")
        return {host: QuotaUsed(pages, size, since) for host, pages, size, since in rows}

    def save_site(self, origin: str, site: StoredSite) -> None:
        """Store what an origin publishes about itself."""
        with self._database.transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO site VALUES (?,?,?)", [origin, site.read_at, site.answers]
            )

    def read_site(self, origin: str) -> StoredSite | None:
        """Return what an origin published, or None if it was not read."""
        row = self._database.fetch_one("SELECT read, said FROM site WHERE place = ?", [origin])
        return None if row is None else StoredSite(float(row[0]), str(row[1]))
