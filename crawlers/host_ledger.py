"""Answers one question in one place: may this host be asked now, and else when?

Goes in: back-offs that hosts asked for, crawl delays of robots.txt, requests in flight, quotas, and one
clock. Comes out: the moment of the next request to a host. Back-offs and quotas are written through
to the frontier, so the next session keeps to them; the rest lasts as long as the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crawlers.downloader.addresses import strip_www
from crawlers.frontier.hosts import BackOff, HostStore, QuotaUsed

if TYPE_CHECKING:
    from crawlers.config import Politeness

Clock = Callable[[], float]
"""The wall clock in seconds: a back-off outlives the process, so a monotonic clock would not do."""

LONGEST_PAUSE = 300.0
"""Seconds a session waits for a host or a request; what is due later stays queued for the next one."""


NO_BACK_OFF = BackOff()


@dataclass(slots=True)
class _HostRecord:
    """What one host allows, and what is under way there; delays in seconds."""

    back_off: BackOff = NO_BACK_OFF
    quota_used: QuotaUsed | None = None
    crawl_delay: float = 0.0
    is_robots_read: bool = False
    in_flight: int = 0
    completed_at: dict[str, float] = field(default_factory=dict)  # by source


class HostLedger:
    """Knows when each host may be asked; hosts are names as they stand in URLs, in lower case."""

    def __init__(self, store: HostStore, politeness: Politeness, clock: Clock = time.time) -> None:
        self._store = store
        self._politeness = politeness
        self._clock = clock
        self._records: dict[str, _HostRecord] = {}
        self._next_slots: dict[str, float] = {}
        for host, back_off in store.read_back_offs().items():
            self._record(host).back_off = back_off
        for host, quota_used in store.read_quotas_used().items():
            self._record(host).quota_used = quota_used

    def _record(self, host: str) -> _HostRecord:
        return self._records.setdefault(host, _HostRecord())

    # The question

    def next_fetch_at(self, source: str, host: str, *, needs_robots: bool) -> float | None:
        """When a source may send its next request to a host: at the latest now, or a moment to come.

        None if no moment is known: all requests it may have are in flight (the end of one changes
        that), its quota is used, or it is left alone for longer than this session waits.
        `needs_robots` is False for interfaces that are not subject to robots.txt.
        """
        record = self._record(host)
        if record.in_flight >= self._concurrency_limit(record, needs_robots=needs_robots):
            return None
        if not self.is_available(host):
            return None
        # A crawl delay counts from the end of the source's last request: it may have been read
        # only during that request.
        delay_is_over = record.completed_at.get(source, 0.0) + record.crawl_delay
        return max(self._clock(), delay_is_over, record.back_off.resume_at)

    def is_available(self, host: str) -> bool:
        """Whether this session can still fetch from a host, now or after a pause it waits for."""
        return self.seconds_to_wait(host) <= LONGEST_PAUSE and not self.is_quota_used(host)

    def _concurrency_limit(self, record: _HostRecord, *, needs_robots: bool) -> int:
        """One request before robots.txt was read, and where it asks for a delay."""
        if record.crawl_delay or (needs_robots and not record.is_robots_read):
            return 1
        return self._politeness.concurrency_per_host

    # Requests under way

    def start_request(self, host: str) -> None:
        """Count a request that was handed to Scrapy."""
        self._record(host).in_flight += 1

    def finish_request(self, source: str, host: str, *, was_in_flight: bool) -> None:
        """Note the end of a request; a crawl delay counts from here."""
        record = self._record(host)
        record.in_flight -= was_in_flight
        record.completed_at[source] = self._clock()

    def release_requests(self, host: str, count: int) -> None:
        """Forget requests of a source that closes, so that others may use the host."""
        self._record(host).in_flight -= count

    def count_in_flight(self, host: str) -> int:
        """Count the requests of all sources in flight at a host."""
        return self._record(host).in_flight

    def reserve_slot(self, host: str) -> float:
        """Reserve the next moment at which a request may begin; returns the seconds until then.

        A host with and without `www.` shares its slots: it is one server.
        """
        now = self._clock()
        name = strip_www(host)
        # Bounded, because the clock may have been set back since the slot was reserved.
        free_at = min(self._next_slots.get(name, now), now + LONGEST_PAUSE)
        slot = max(now, free_at)
        crawl_delay = self._record(host).crawl_delay
        self._next_slots[name] = slot + max(self._politeness.delay, crawl_delay)
        return slot - now

    # What hosts ask for

    def note_robots(self, host: str, crawl_delay: float | None) -> None:
        """Note that the robots.txt of a host was read, and the delay it asks for in seconds."""
        record = self._record(host)
        record.is_robots_read = True
        if crawl_delay:
            record.crawl_delay = crawl_delay

    def back_off(self, host: str, seconds: float, *, is_429: bool = False) -> None:
        """Leave a host alone for some seconds, in later sessions too.

        With `is_429` the next pause of unstated length is longer.
        """
        record = self._record(host)
        resume_at = max(record.back_off.resume_at, self._clock() + seconds)
        record.back_off = BackOff(resume_at, record.back_off.consecutive_429s + is_429)
        self._store.save_back_off(host, record.back_off)

    def seconds_to_wait(self, host: str) -> float:
        """How many seconds a host must still be left alone; 0 if it need not."""
        return max(0.0, self._record(host).back_off.resume_at - self._clock())

    def consecutive_429s(self, host: str) -> int:
        """How often in a row a host answered that it has too much."""
        return self._record(host).back_off.consecutive_429s

    def reset_429s(self, host: str) -> None:
        """Note an ordinary answer: the next pause of unstated length is short."""
        record = self._record(host)
        if record.back_off.consecutive_429s:
            record.back_off = BackOff(record.back_off.resume_at, 0)
            self._store.save_back_off(host, record.back_off)

    # Quotas

    def add_quota_used(self, host: str, pages: int, size: int) -> None:
        """Count captures of a host and their bytes; the frontier stores its own count of them."""
        record = self._record(host)
        used = record.quota_used or QuotaUsed(0, 0, self._clock())
        record.quota_used = QuotaUsed(used.pages + pages, used.bytes + size, used.since)

    def is_quota_used(self, host: str) -> bool:
        """Whether a host gave all that one session may take; its queued requests wait for the next."""
        politeness = self._politeness
        used = self._record(host).quota_used or QuotaUsed(0, 0, self._clock())
        limits = (
            (used.pages, politeness.pages_per_host),
            (used.bytes, politeness.bytes_per_host),
            (self._clock() - used.since, politeness.seconds_per_host),
        )
        return any(limit is not None and amount >= limit for amount, limit in limits)
