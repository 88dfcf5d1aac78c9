"""The services of one crawl session, made once and handed to spiders, scheduler and middlewares.

A session is one run of `gristmill crawl`: it fetches what is due, and seals one run folder. Its only
mutable parts are named here: the frontier, the outbox, the host ledger and the session's status.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from crawlers.frontier.hosts import StoredSite
from crawlers.frontier.outbox import Outbox
from crawlers.frontier.queue import QueuedRequest, RequestStatus
from crawlers.frontier.store import Frontier
from crawlers.host_ledger import Clock, HostLedger
from crawlers.spider_output import FetchResult, RecrawlInterval
from gristmill.progress import Progress
from gristmill.rights.policy import POLICIES, RightsPolicy

if TYPE_CHECKING:
    from crawlers.config import CrawlConfig
    from crawlers.sources.config import SourceConfig


class SourceScheduler(Protocol):
    """What the scheduler of one source offers to those of other sources."""

    def has_host(self, host: str) -> bool:
        """Whether requests of its source were ever queued for a host."""

    def schedule_now(self) -> None:
        """Let its engine ask for requests."""


@dataclass(slots=True)
class SessionStatus:
    """How the session goes: the signal or reason that stopped it, the error that ended it."""

    stopped_by: str | None = None
    error: BaseException | None = None

    def set_error(self, error: BaseException) -> None:
        """Keep the first error: later ones follow from it."""
        self.error = self.error or error


@dataclass(frozen=True, slots=True)
class CrawlContext:
    """The frozen set of services that all parts of a crawl share.

    `proxies` maps host names to the address that serves them (the demo site); `documents` counts the
    documents met in this session by source; `schedulers` are those of the sources that still run.
    """

    config: CrawlConfig
    frontier: Frontier
    outbox: Outbox
    progress: Progress
    hosts: HostLedger
    proxies: Mapping[str, str]
    documents: Counter[str]
    clock: Clock
    status: SessionStatus = field(default_factory=SessionStatus)
    schedulers: list[SourceScheduler] = field(default_factory=list)

    @property
    def policy(self) -> RightsPolicy:
        """The policy under which this crawl judges."""
        return POLICIES[self.config.policy]

    @property
    def defer_until(self) -> float | None:
        """When deferred requests are due; None for never."""
        return self.next_fetch_at("documents")

    def next_fetch_at(self, interval: RecrawlInterval) -> float | None:
        """When a request that ends now is fetched again; None for never."""
        return self._add_hours(self.config.recrawl.hours_of(interval))

    @property
    def retry_failed_at(self) -> float | None:
        """When a request that fails now is fetched again; None for never."""
        return self._add_hours(self.config.recrawl.failed)

    def _add_hours(self, hours: float | None) -> float | None:
        return None if hours is None else self.clock() + 3600 * hours

    def commit(
        self,
        source: SourceConfig,
        request: QueuedRequest,
        result: FetchResult,
        status: RequestStatus,
    ) -> int:
        """Write everything a request led to; returns how many requests it queued."""
        queued = self.frontier.commit(
            request,
            result,
            status,
            now=self.clock(),
            lang=source.lang or "",
            limit=source.max_documents,
            defer_until=self.defer_until,
        )
        self.hosts.add_quota_used(request.host, len(result.captures), result.capture_bytes)
        self._count_results(source, result)
        return queued

    def add_results(self, source: SourceConfig, result: FetchResult) -> None:
        """Write results that belong to no queued request."""
        self.frontier.add_results(source.name, result, lang=source.lang or "")
        self._count_results(source, result)

    def save_site(
        self, source: SourceConfig, origin: str, answers: str, result: FetchResult
    ) -> None:
        """Store what an origin publishes about itself, and the captures it was read from."""
        site = StoredSite(self.clock(), answers)
        self.frontier.save_site(origin, site, result, source.name)
        self._count_results(source, result)

    def _count_results(self, source: SourceConfig, result: FetchResult) -> None:
        self.outbox.count_results(result.captures)
        self.documents[source.name] += len(result.documents)
        if result.documents:
            megabytes = (self.outbox.bytes + self.outbox.waiting) / 1e6
            self.progress.advance(len(result.documents), note=f"{megabytes:.1f} MB")


def open_context(
    config: CrawlConfig,
    frontier: Frontier,
    outbox: Outbox,
    progress: Progress,
    *,
    proxies: Mapping[str, str] | None = None,
    clock: Clock = time.time,
) -> CrawlContext:
    """Make the context of a session; hosts and counts go on where an interrupted one stopped."""
    return CrawlContext(
        config=config,
        frontier=frontier,
        outbox=outbox,
        progress=progress,
        hosts=HostLedger(frontier.hosts, config.politeness, clock),
        proxies=proxies or {},
        documents=frontier.results.count_documents(),
        clock=clock,
    )
