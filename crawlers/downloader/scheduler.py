"""Scrapy's scheduler over a durable frontier: which host may be asked now, and with which request.

Scrapy takes a request, downloads it and calls `on_response` or `on_error` of the spider, which commits what
it led to. Nothing is kept here that a killed process would miss: requests in flight are still queued on
disk. When a host may be asked is the business of `HostLedger`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from scrapy import Request
from scrapy.core.scheduler import BaseScheduler
from scrapy.utils.asyncio import call_later

from crawlers.downloader.request_metadata import META_KEY, RequestMetadata
from crawlers.downloader.sites import ROBOTS_REDIRECTS
from crawlers.frontier.queue import QueuedRequest, RequestQueue
from crawlers.host_ledger import LONGEST_PAUSE

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

    from crawlers.downloader.spider import FrontierSpider

READ_AHEAD = 32
"""Requests of a host read from the frontier at once."""
SHORTEST_WAIT = 0.02
"""Seconds of a timer at least: moments that lie closer together share one."""


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Do not make the call."""


@dataclass(slots=True)
class HostQueue:
    """The requests of one host that were read from the frontier, and the ids of those in flight.

    `is_exhausted`: nothing more is queued in the frontier.
    """

    name: str
    ahead: deque[QueuedRequest] = field(default_factory=deque)
    in_flight: set[int] = field(default_factory=set)
    is_exhausted: bool = False

    @property
    def has_requests(self) -> bool:
        """Whether there may be a request to make."""
        return bool(self.ahead) or not self.is_exhausted

    def pop(self, frontier_queue: RequestQueue, source: str) -> QueuedRequest | None:
        """Take the next request; reads some ahead."""
        if not self.ahead and not self.is_exhausted:
            batch = frontier_queue.next_batch(
                source, self.name, READ_AHEAD, in_flight=tuple(self.in_flight)
            )
            self.ahead.extend(batch)
            self.is_exhausted = not batch
        return self.ahead.popleft() if self.ahead else None


class FrontierScheduler(BaseScheduler):
    """Hands out queued requests, one host after the other, each as often as politeness allows."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._redirects: deque[Request] = deque()
        self._queues: dict[str, HostQueue] = {}
        self._rotation: deque[str] = deque()
        self._timer: Timer | None = None
        self._timer_at = 0.0

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> FrontierScheduler:
        """Make one, as Scrapy asks for it."""
        return cls(crawler)

    def open(self, spider: FrontierSpider) -> None:
        """Queue the first requests of the source, those that were never queued before."""
        self.spider = spider
        self.source = spider.source.name
        self.context = spider.context
        self.hosts = self.context.hosts
        self.queue = self.context.frontier.queue
        spider.scheduler = self
        self.context.schedulers.append(self)
        try:
            first_requests = spider.reader.first_requests()
            limit = spider.source.max_documents
            self.queue.add(self.source, first_requests, limit, self.context.defer_until)
            self.refresh()
        except Exception as error:
            # Scrapy would go on with the other sources, and the session would be sealed without
            # this one.
            self.context.status.set_error(error)
            raise

    def close(self, reason: str) -> None:
        """Stop waiting; other sources may use the hosts of the requests in flight."""
        self.context.schedulers.remove(self)
        for queue in self._queues.values():
            self.hosts.release_requests(queue.name, len(queue.in_flight))
            queue.in_flight.clear()
        if self._timer is not None:
            self._timer.cancel()

    def refresh(self) -> None:
        """Look for hosts with new requests."""
        for host in self.queue.list_hosts(self.source):
            if host in self._queues:
                self._queues[host].is_exhausted = False
            else:
                self._queues[host] = HostQueue(host)
                self._rotation.append(host)

    def enqueue_request(self, request: Request) -> bool:
        """Take the next hop of a redirect, which is in flight already; others come from the frontier."""
        self._redirects.append(request)
        return True

    # What Scrapy asks

    def next_request(self) -> Request | None:
        """Return the next request that may be made now; sets a timer if there is one later."""
        with self._ending_on_error():
            return self._next_request()
        return None

    def has_pending_requests(self) -> bool:
        """Whether this session still has requests of the source to make, now or after a pause."""
        with self._ending_on_error():
            return self._has_pending()
        return False

    @contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        """End the crawl if the frontier fails: Scrapy would only log it, and ask again for ever."""
        try:
            yield
        except Exception as error:
            self.spider.end_crawl(error)

    def _next_request(self) -> Request | None:
        if self._redirects:
            return self._redirects.popleft()
        for _ in range(len(self._rotation)):
            queue = self._queues[self._rotation[0]]
            self._rotation.rotate(-1)
            if not self._may_fetch(queue):
                continue
            request = queue.pop(self.queue, self.source)
            if request is not None:
                queue.in_flight.add(request.id)
                self.hosts.start_request(queue.name)
                return make_request(request, self.spider)
        self._set_timer()
        return None

    def _has_pending(self) -> bool:
        if self._redirects:
            return True
        for queue in self._queues.values():
            if queue.ahead and self.hosts.is_available(queue.name):
                return True
        self.refresh()
        for host in self.queue.list_hosts(self.source):
            if self.hosts.is_available(host):
                return True
        retry_at = self.queue.next_fetch_at(only_retries=True, source=self.source)
        return retry_at is not None and retry_at <= self.context.clock() + LONGEST_PAUSE

    def _may_fetch(self, queue: HostQueue) -> bool:
        moment = self._next_fetch_at(queue)
        return moment is not None and moment <= self.context.clock()

    def _next_fetch_at(self, queue: HostQueue) -> float | None:
        needs_robots = self.spider.needs_robots
        return self.hosts.next_fetch_at(self.source, queue.name, needs_robots=needs_robots)

    # The end of a request

    def on_complete(self, request: QueuedRequest, queued: int) -> None:
        """Hear that a request was committed, and how many new ones came with it."""
        queue = self._queues[request.host]
        was_in_flight = request.id in queue.in_flight
        queue.in_flight.discard(request.id)
        self.hosts.finish_request(self.source, request.host, was_in_flight=was_in_flight)
        for scheduler in self.context.schedulers:
            # Another source may wait for this host.
            if scheduler is not self and scheduler.has_host(request.host):
                scheduler.schedule_now()
        if queued:
            self.refresh()

    # Waiting

    def _set_timer(self) -> None:
        moment = self._next_moment()
        if moment is None:
            return
        if self._timer is not None:
            if self._timer_at <= moment:
                return
            self._timer.cancel()
        delay = max(SHORTEST_WAIT, moment - self.context.clock())
        self._timer = call_later(delay, self.on_timer)
        self._timer_at = moment

    def _next_moment(self) -> float | None:
        """When something can be fetched that cannot be now; None if only the end of a request tells."""
        moments = [
            self._next_fetch_at(queue) for queue in self._queues.values() if queue.has_requests
        ]
        moments.append(self.queue.next_fetch_at(only_retries=True, source=self.source))
        return min((moment for moment in moments if moment is not None), default=None)

    def on_timer(self) -> None:
        """Queue the retries that are due, and let Scrapy ask."""
        self._timer = None
        with self._ending_on_error():
            now = self.context.clock()
            if self.queue.requeue_due(now, only_retries=True, source=self.source):
                self.refresh()
        self.schedule_now()

    def has_host(self, host: str) -> bool:
        """Whether requests of this source were ever queued for a host."""
        return host in self._queues

    def schedule_now(self) -> None:
        """Let Scrapy ask for requests now; its own heartbeat comes every five seconds."""
        engine = self.crawler.engine
        # Scrapy has no public way to do this.
        if engine is not None and engine._slot is not None:
            engine._slot.nextcall.schedule()


def make_request(request: QueuedRequest, spider: FrontierSpider) -> Request:
    """Make the Scrapy request of a queued one; conditional only if it has an earlier answer."""
    is_robots_txt = request.entry_point == "robots.txt"
    metadata = RequestMetadata(
        queued=request,
        format=request.format,
        needs_robots=spider.needs_robots,
        any_host=is_robots_txt,
        entry_point=request.entry_point,
        rights_signals=request.rights_signals,
    )
    meta: dict[str, object] = {META_KEY: metadata}
    if is_robots_txt:
        # As `SiteMiddleware` follows redirects of robots.txt (RFC 9309, 2.3.1.2).
        meta["redirect_ttl"] = ROBOTS_REDIRECTS
    return Request(
        request.url,
        callback=spider.on_response,
        errback=spider.on_error,
        meta=meta,
        headers=make_conditions(request),
        dont_filter=True,
    )


def make_conditions(request: QueuedRequest) -> dict[str, str]:
    """Make the headers of a conditional request (RFC 9110, 13.1); none without an earlier answer."""
    if not request.before.payload:
        return {}
    headers = {
        "If-None-Match": request.before.etag,
        "If-Modified-Since": request.before.modified,
    }
    return {name: value for name, value in headers.items() if value}
