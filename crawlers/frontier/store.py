"""The frontier of a crawl in one SQLite file: its queue, its hosts, its results, and commits.

A request stays queued until its captures, the requests it led to, its counts and its new state are
committed in ONE transaction. So a process that is killed loses nothing: what was in flight is fetched
again, what was committed is not.
"""

from __future__ import annotations

from pathlib import Path

from crawlers.frontier.database import FrontierDatabase
from crawlers.frontier.hosts import HostStore, QuotaUsed, StoredSite
from crawlers.frontier.queue import QueuedRequest, RequestQueue, RequestStatus
from crawlers.frontier.results import ResultStore
from crawlers.frontier.schema import RESET_TABLES, SESSION_TABLES
from crawlers.spider_output import FetchResult


class Frontier:
    """One open frontier; its parts share one database and its transactions."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; raises RunError if it is damaged or of another format."""
        self.database = FrontierDatabase(path)
        self.path = path
        self.queue = RequestQueue(self.database)
        self.hosts = HostStore(self.database)
        self.results = ResultStore(self.database)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def commit(
        self,
        request: QueuedRequest,
        result: FetchResult,
        status: RequestStatus,
        *,
        now: float,
        lang: str = "",
        limit: int | None = None,
        defer_until: float | None = None,
    ) -> int:
        """Write everything a request led to in one transaction; returns how many it queued.

        `limit` is the budget of the source in documents, `defer_until` when deferred requests are due.
        """
        used = QuotaUsed(len(result.captures), result.capture_bytes, since=now)
        with self.database.transaction():
            queued = self.queue.add(request.source, result.requests, limit, defer_until)
            self.results.add(request.source, result, lang)
            self.hosts.add_quota_used(request.host, used)
            self.queue.set_status(request, status)
        return queued

    def add_results(self, source: str, result: FetchResult, *, lang: str = "") -> None:
        """Write results that belong to no queued request, such as captures of a robots.txt."""
        with self.database.transaction():
            self.results.add(source, result, lang)

    def save_site(self, origin: str, site: StoredSite, result: FetchResult, source: str) -> None:
        """Store what an origin publishes about itself, with the captures it was read from."""
        with self.database.transaction():
            self.hosts.save_site(origin, site)
            self.results.add(source, result)

    def reset(self) -> None:
        """Forget all requests and what this session brought.

        The number of the session stays, since sealed runs are numbered.
        """
        with self.database.transaction():
            for table in RESET_TABLES:
                self.database.execute(f"DELETE FROM {table}")
            self.database.execute("DELETE FROM fact WHERE name IN ('last', 'sealing')")

    def finish_session(self, run: str) -> None:
        """Note that this session is sealed as `run`: empty its tables, count up the session."""
        with self.database.transaction():
            for table in SESSION_TABLES:
                self.database.execute(f"DELETE FROM {table}")
            self.database.execute("DELETE FROM fact WHERE name = 'sealing'")
            self.database.set_metadata("last", run)
            self.database.execute("UPDATE fact SET value = value + 1 WHERE name = 'sequence'")
