"""Scrapy's scheduler over a durable frontier: which host may be asked now, and which of its requests comes next.

Scrapy takes a request, downloads it and calls `answered` or `refused` of the spider, which commit what it came to. Nothing is
kept here that a killed process would miss: rows in flight are still queued on disk.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy.core.scheduler import BaseScheduler
from scrapy.utils.asyncio import call_later

from crawlers.downloader.sites import REDIRECTS
from crawlers.frontier.store import Frontier, Row
from crawlers.rights import Signal
from crawlers.session import LONGEST_PAUSE, Session

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from crawlers.sources.base import SourceSpider

READ_AHEAD = 32
SHORTEST_WAIT = 0.02


@dataclass(slots=True)
class HostQueue:
    """The requests of one host that were read from the frontier, and those in flight; `empty`: nothing more is queued there."""

    name: str
    ahead: deque[Row] = field(default_factory=deque)
    flying: set[int] = field(default_factory=set)
    empty: bool = False
    landed_at: float = 0.0

    def next(self, frontier: Frontier, source: str) -> Row | None:
        """The next row, read ahead by some."""
        if not self.ahead and not self.empty:
            self.ahead.extend(frontier.take(source, self.name, READ_AHEAD, tuple(self.flying)))
            self.empty = not self.ahead
        return self.ahead.popleft() if self.ahead else None


class DurableScheduler(BaseScheduler):
    """Hands out queued requests, one host after the other, each as often as politeness allows."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._moved: deque[Request] = deque()
        self._hosts: dict[str, HostQueue] = {}
        self._turns: deque[str] = deque()
        self._wake: Any = None
        self._wakes_at = 0.0

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> DurableScheduler:
        """Scrapy's way to make one."""
        return cls(crawler)

    def open(self, spider: SourceSpider) -> None:  # type: ignore[override]
        """Queue the doors of the source, those that were never asked."""
        self.spider, self.source = spider, spider.source.name
        self.session: Session = spider.session
        self.frontier = self.session.frontier
        self.most = self.session.config.politeness.concurrency_per_host
        later = self.session.config.recrawl.due(self.session.config.recrawl.documents)
        spider.scheduler = self
        self.session.schedulers.append(self)
        try:
            self.frontier.add(self.source, spider.first(), spider.source.max_documents, later)
            self.refresh()
        except Exception as error:
            # Scrapy would go on with the other sources, and the call would be sealed without this one
            self.session.fault = self.session.fault or error
            raise

    def close(self, reason: str) -> None:
        """Stop waiting, and give the room of what is in flight to other sources."""
        self.session.schedulers.remove(self)
        for queue in self._hosts.values():
            self.session.flying[queue.name] -= len(queue.flying)
            queue.flying.clear()
        if self._wake is not None:
            self._wake.cancel()

    def refresh(self) -> None:
        """Look for hosts with new requests."""
        for name in self.frontier.hosts(self.source):
            if name in self._hosts:
                self._hosts[name].empty = False
            else:
                self._hosts[name] = HostQueue(name)
                self._turns.append(name)

    def enqueue_request(self, request: Request) -> bool:
        """Take a hop of a redirect: its row is in flight. Rows are queued by `Session.commit`, never here."""
        self._moved.append(request)
        return True

    def next_request(self) -> Request | None:
        """The next request that may be made now; sets an alarm where there is one later."""
        with self._ending():
            return self._next()
        return None

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """End the crawl where the frontier fails: Scrapy would only log it, and call again for ever."""
        try:
            yield
        except Exception as error:
            self.spider._end(error)

    def _next(self) -> Request | None:
        if self._moved:
            return self._moved.popleft()
        now = time.time()
        for _ in range(len(self._turns)):
            queue = self._hosts[self._turns[0]]
            self._turns.rotate(-1)
            if self._may_ask(queue, now) and (row := queue.next(self.frontier, self.source)):
                queue.flying.add(row.id)
                self.session.flying[queue.name] += 1
                return request_of(row, self.spider)
        self._set_alarm(now)
        return None

    def _may_ask(self, queue: HostQueue, now: float) -> bool:
        free = self.session.flying[queue.name] < self._most(queue) and self._next_at(queue) <= now
        return free and not self.session.pause(queue.name) and not self.session.is_spent(queue.name)

    def _most(self, queue: HostQueue) -> int:
        """Requests in flight at a host: one before its robots.txt is read, and where it asks for a delay."""
        known = self.spider.robots == "api" or queue.name in self.session.read_hosts
        return self.most if known and not self.session.crawl_delays.get(queue.name) else 1

    def _next_at(self, queue: HostQueue) -> float:
        """When its crawl delay is over, counted from the end of the last request: one that was read only during it counts too."""
        return queue.landed_at + self.session.crawl_delays.get(queue.name, 0.0)

    def landed(self, row: Row, queued: int) -> None:
        """Hear that a row was committed, and how many requests came with it; a crawl delay counts from here."""
        queue = self._hosts[row.host]
        if row.id in queue.flying:
            queue.flying.remove(row.id)
            self.session.flying[queue.name] -= 1
        queue.landed_at = time.time()
        for other in self.session.schedulers:
            if other is not self and other.knows(row.host):  # another source may wait for this host
                other.nudge()
        if queued:
            self.refresh()

    def has_pending_requests(self) -> bool:
        """Whether this call still has requests of this source to make, now or within the longest pause."""
        with self._ending():
            return self._has_pending()
        return False

    def _has_pending(self) -> bool:
        if self._moved or any(
            queue.ahead for queue in self._hosts.values() if self._soon(queue.name)
        ):
            return True
        self.refresh()
        if any(self._soon(name) for name in self.frontier.hosts(self.source)):
            return True
        due = self.frontier.next_due(waiting=True, source=self.source)
        return due is not None and due <= time.time() + LONGEST_PAUSE

    def _soon(self, host: str) -> bool:
        return self.session.pause(host) <= LONGEST_PAUSE and not self.session.is_spent(host)

    def _set_alarm(self, now: float) -> None:
        at = self._next_moment(now)
        if at is None or (self._wake is not None and self._wakes_at <= at):
            return
        if self._wake is not None:
            self._wake.cancel()
        self._wake, self._wakes_at = call_later(max(SHORTEST_WAIT, at - now), self._ring), at

    def _next_moment(self, now: float) -> float | None:
        """When something can be asked that cannot be now; a host with all its requests in flight is heard of when one lands."""
        idle = [queue for queue in self._hosts.values() if self._could_be_asked(queue)]
        moments = [
            max(self._next_at(queue), now + self.session.pause(queue.name)) for queue in idle
        ]
        due = self.frontier.next_due(waiting=True, source=self.source)
        return min((*moments, *(() if due is None else (due,))), default=None)

    def _could_be_asked(self, queue: HostQueue) -> bool:
        return (
            bool(queue.ahead or not queue.empty)
            and self.session.flying[queue.name] < self._most(queue)
            and self._soon(queue.name)
        )

    def _ring(self) -> None:
        self._wake = None
        with self._ending():
            if self.frontier.wake(time.time(), waiting=True, source=self.source):
                self.refresh()
        self.nudge()

    def knows(self, host: str) -> bool:
        """Whether requests of this source were ever queued for a host."""
        return host in self._hosts

    def nudge(self) -> None:
        """Let Scrapy ask for requests, as its heartbeat does every five seconds."""
        if (engine := self.crawler.engine) is not None and engine._slot is not None:
            engine._slot.nextcall.schedule()


def request_of(row: Row, spider: SourceSpider) -> Request:
    """The Scrapy request of a row; asks for changes only where the row has an earlier answer."""
    meta: dict[str, Any] = {
        "row": row,
        "format": row.format,
        "robots": spider.robots,
        "captures": [],
        "signals": signals_of(row.facts),
        "door": row.facts.get("door"),
    }
    if meta["door"] == "robots.txt":  # as `SiteMiddleware` follows it (RFC 9309, 2.3.1.2)
        meta |= {"any_host": True, "redirect_ttl": REDIRECTS}
    headers = conditions(row) if row.before.payload else {}
    return Request(
        row.url,
        callback=spider.answered,
        errback=spider.refused,
        meta=meta,
        headers=headers,
        dont_filter=True,
    )


def conditions(row: Row) -> Mapping[str, str]:
    """The headers of a conditional request (RFC 9110, 13.1)."""
    named = {"If-None-Match": row.before.etag, "If-Modified-Since": row.before.modified}
    return {name: value for name, value in named.items() if value}


def signals_of(facts: Mapping[str, Any]) -> tuple[Signal, ...]:
    """The signals among the facts of a row."""
    return tuple(Signal(*pair) for pair in facts.get("signals", ()))
