"""One crawl under way: its frontier, its outbox, and which hosts are left alone for a while."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crawlers.config import CrawlConfig, Source
from crawlers.downloader.addresses import bare
from crawlers.frontier.outbox import Outbox
from crawlers.frontier.store import Ended, Frontier, Row
from crawlers.outcome import Outcome
from crawlers.rights import Verdict
from gristmill.progress import Progress
from gristmill.rights.policy import POLICIES, RightsPolicy

LONGEST_PAUSE = 300.0
"""Seconds that a call waits for a host or a request; what is due later stays queued for the next call."""


@dataclass(slots=True)
class Session:
    """What all spiders of a crawl share.

    `origins` maps host names to the proxy address that serves them (the demo site); `crawl_delays` are those of robots.txt,
    in seconds by host; `read_hosts` are those whose robots.txt was read; `flying` counts the requests in flight by host.
    """

    config: CrawlConfig
    frontier: Frontier
    outbox: Outbox
    progress: Progress
    origins: Mapping[str, str] = field(default_factory=dict)
    crawl_delays: dict[str, float] = field(default_factory=dict)
    read_hosts: set[str] = field(default_factory=set)
    stopped: str | None = None
    fault: BaseException | None = None

    def __post_init__(self) -> None:
        self._held = self.frontier.held()
        self._spent = self.frontier.spent()
        self.documents = self.frontier.documents()

    flying: Counter[str] = field(default_factory=Counter, init=False)
    schedulers: list[Any] = field(default_factory=list, init=False)
    _held: dict[str, tuple[float, int]] = field(init=False)
    _spent: dict[str, tuple[int, int, float]] = field(init=False)
    _turns: dict[str, float] = field(default_factory=dict, init=False)
    documents: dict[str, int] = field(init=False)

    @property
    def policy(self) -> RightsPolicy:
        """The policy under which this crawl judges."""
        return POLICIES[self.config.policy]

    def commit(self, source: Source, row: Row, outcome: Outcome, ended: Ended) -> int:
        """Write what a request came to; returns how many requests it queued."""
        later = self.config.recrawl.due(self.config.recrawl.documents)
        queued = self.frontier.commit(
            row, outcome, ended, lang=source.lang or "", limit=source.max_documents, later=later
        )
        pages, size, since = self._spent.get(row.host, (0, 0, time.time()))
        self._spent[row.host] = (
            pages + len(outcome.captures),
            size + sum(map(len, outcome.captures)),
            since,
        )
        self._came(source, outcome)
        return queued

    def is_spent(self, host: str) -> bool:
        """Whether a host gave all that one call may take from it; what it has queued waits for the next call."""
        polite, (pages, size, since) = (
            self.config.politeness,
            self._spent.get(host, (0, 0, time.time())),
        )
        limits = (
            (pages, polite.pages_per_host),
            (size, polite.bytes_per_host),
            (time.time() - since, polite.seconds_per_host),
        )
        return any(limit is not None and used >= limit for used, limit in limits)

    def note(self, source: Source, outcome: Outcome) -> None:
        """Write what was fetched or learnt beside the queue."""
        self.frontier.note(source.name, outcome, lang=source.lang or "")
        self._came(source, outcome)

    def remember_site(self, source: Source, place: str, said: str, outcome: Outcome) -> None:
        """Keep what a place says of itself, and the captures it was read from."""
        self.frontier.remember_site(place, time.time(), said, outcome, source.name)
        self._came(source, outcome)

    def _came(self, source: Source, outcome: Outcome) -> None:
        self.outbox.came(outcome.captures)
        self.documents[source.name] = self.documents.get(source.name, 0) + len(outcome.found)
        if outcome.found:
            self.progress.advance(
                len(outcome.found), note=f"{(self.outbox.bytes + self.outbox.waiting) / 1e6:.1f} MB"
            )

    def hold(self, host: str, seconds: float, *, strike: bool = False) -> None:
        """Ask nothing of a host for so long, in later calls too; a strike makes the next pause without a given length longer."""
        until, strikes = time.time() + seconds, self.strikes(host) + strike
        self._held[host] = max(self._held.get(host, (0.0, 0))[0], until), strikes
        self.frontier.hold(host, until, strikes)

    def pause(self, host: str) -> float:
        """How many seconds a host must still be left alone."""
        return max(0.0, self._held.get(host, (0.0, 0))[0] - time.time())

    def turn(self, host: str) -> float:
        """Take the next turn of a host (with `www.` and without): the seconds until then."""
        now, name = time.time(), bare(host)
        at = max(now, min(self._turns.get(name, now), now + LONGEST_PAUSE))
        self._turns[name] = at + max(self.config.politeness.delay, self.crawl_delays.get(host, 0.0))
        return at - now

    def strikes(self, host: str) -> int:
        """How often in a row a host said that it has too much."""
        return self._held.get(host, (0.0, 0))[1]

    def answered_well(self, host: str) -> None:
        """Forget the strikes of a host."""
        if self.strikes(host):
            self._held[host] = self._held[host][0], 0
            self.frontier.hold(host, self._held[host][0], 0)


NOTHING_SAID = Verdict("unknown", (), None, ())
