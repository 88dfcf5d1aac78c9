"""What all spiders share: they read an answer, say what to ask next and what became of every document, and it is committed.

A spider of a source gives `first()`, the asks it begins with, and readers: methods that are given a response and yield `Ask`,
`Found`, `Shut` or `Repeat`. Nothing else is kept between answers, so a crawl goes on in another process as if in this one.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import scrapy
from scrapy import signals

from crawlers.config import Source
from crawlers.downloader.addresses import bare, host_of, place_of
from crawlers.downloader.failures import reason_of, words_for
from crawlers.downloader.politeness import (
    Forbidden,
    Held,
    OtherHost,
    PrivateAddress,
    Unreachable,
    wait_for,
)
from crawlers.frontier.store import DONE, FAILED, WAITING, Ended, Row
from crawlers.outcome import Ask, Found, Outcome, Shut, Validators
from crawlers.rights import Verdict
from crawlers.session import LONGEST_PAUSE, NOTHING_SAID, Session

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure

    from crawlers.downloader.scheduler import DurableScheduler

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
"""Statuses after which the same request may bring something: it is repeated."""
FINAL = frozenset({"too_large", "redirects", "broken_encoding"})
"""Failures that another request would meet again."""
GONE = frozenset({404, 410})
CLOSED = frozenset({401, 402, 403, 451})
"""Statuses by which what was open before is open no more."""
BUSY = frozenset({429, 503})


UNCHANGED = Found("dropped", "unchanged")
"""A document whose earlier capture holds the same payload: a revisit stands for it."""
ELSEWHERE = Found("dropped", "redirect_to_known")
"""A document that led to the address of another one."""
GONE_NOW = Found("dropped", "gone")
"""A document that was stored, and is no longer there."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """The answer says to ask again in so many seconds; `reason` and `where` tell it where it said so too often."""

    seconds: float
    most: int
    reason: str
    where: str


Said = Ask | Found | Shut | Repeat


def stored(verdict: Verdict, size: int) -> Found:
    """A document that was stored: kept, or dropped where the policy refuses it (its capture remains as evidence)."""
    return Found(
        "dropped" if verdict.refused else "kept", verdict.refused or "", size, verdict.licence
    )


def _final(said: Said, *, revisit: bool) -> Ask | Found | Shut:
    """What a reader said, with what cannot be repeated any more as failed, and what is stored already as unchanged."""
    if isinstance(said, Repeat):
        return Found("quarantined", said.reason, where=said.where)
    return UNCHANGED if revisit and isinstance(said, Found) and said.fate == "kept" else said


class SourceSpider(scrapy.Spider):
    """Fetches one source; `robots` is "api" where the documented interface is offered to programs."""

    robots = "allowed"
    scheduler: DurableScheduler
    _closing: asyncio.Future[None]

    def __init__(self, source: Source, session: Session, **settings: Any) -> None:
        super().__init__(name=source.name, **settings)
        self.source, self.session = source, session
        self.hosts = {bare(host_of(url)) for url in source.doors}

    def first(self) -> Iterable[Ask]:
        """What the crawl of this source begins with."""
        raise NotImplementedError

    async def start(self) -> AsyncIterator[Any]:
        """Nothing: the scheduler queues what `first` says."""
        return
        yield

    def is_ours(self, url: str) -> bool:
        """Whether a URL lies on one of the source's hosts."""
        try:
            return url.startswith(("http://", "https://")) and bare(host_of(url)) in self.hosts
        except ValueError:  # brackets that hold no IPv6 address
            return False

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **settings: Any) -> SourceSpider:
        """Scrapy's way to make one."""
        spider: SourceSpider = super().from_crawler(crawler, *args, **settings)
        crawler.signals.connect(spider._broke, signal=signals.spider_error)
        crawler.signals.connect(spider._closed, signal=signals.spider_closed)
        return spider

    @property
    def room(self) -> int:
        """How many more documents the source's budget allows. What one API answer holds is stored whole, so it may be passed."""
        limit = self.source.max_documents
        return (
            sys.maxsize
            if limit is None
            else max(0, limit - self.session.documents.get(self.source.name, 0))
        )

    # What an answer, or none, comes to

    def answered(self, response: Response) -> None:
        """Commit what an answer came to."""
        row: Row = response.meta["row"]
        outcome = Outcome(captures=response.meta["captures"])
        host, wait = host_of(response.url), None
        if response.status in BUSY:
            wait = wait_for(response, self.session)
            self.session.hold(host, wait, strike=True)
        else:
            self.session.answered_well(host)
        if response.status in TRANSIENT and not self._given_up(row):
            self._land(row, outcome, self._again(row, wait))
        elif row.document and self._moved(response, row) and self._is_anothers(response.url, row):
            del outcome.captures[
                -1
            ]  # the redirect is evidence; the page is stored under its own address
            outcome.found.append(ELSEWHERE)
            self._land(row, outcome, self._done(row, Validators()))
        else:
            self._land(
                row,
                outcome,
                self._unread(response, row, outcome) or self._read(response, row, outcome),
            )

    def _moved(self, response: Response, row: Row) -> bool:
        """Whether an answer came from elsewhere; an address that only was percent-encoded on its way did not move."""
        asked, came = (
            Ask(url, "").fingerprint(self.source.name) for url in (row.url, response.url)
        )
        return asked != came

    def _is_anothers(self, url: str, row: Row) -> bool:
        """Whether an address that a redirect led to is, or will be, stored by a request other than `row`."""
        found = self.session.frontier.find(Ask(url, "").fingerprint(self.source.name))
        return found is not None and found[0] != FAILED and found[1].get("found_by") != row.url

    def _unread(self, response: Response, row: Row, outcome: Outcome) -> Ended | None:
        """How a request ends whose answer has nothing to read: unchanged, gone, an error; None where it has."""
        verdict: Verdict = response.meta.get("verdict", NOTHING_SAID)
        refuses, was_stored = (
            verdict.refused == "opt_out",
            row.document and row.before.payload is not None,
        )
        if refuses and was_stored:
            self._take_down(row, "opt_out")
        elif was_stored and response.status in CLOSED:
            self._take_down(row, f"http_{response.status}")
        elif was_stored and response.status in (200, 304):
            self.session.frontier.put_back(row.url)
        if response.status == 304 or (row.document and response.meta.get("revisit")):
            outcome.found += (
                [stored(verdict, len(response.body)) if refuses else UNCHANGED]
                if row.document
                else []
            )
            return self._done(row, row.before)
        if response.status in GONE and (was_stored or "status" in row.facts):
            self._take_down(row, "deleted")
            outcome.found += [GONE_NOW] if row.document else []
            return self._failed()
        if response.status != 200 and not row.facts.get("any_status"):
            outcome.found.append(Found("quarantined", f"http_{response.status}", where=row.url))
            return self._failed()
        return None

    def _read(self, response: Response, row: Row, outcome: Outcome) -> Ended:
        """Add what the reader says to `outcome`. A reader that breaks costs its page, told by name, never the crawl."""
        reader: Callable[[Any], Iterator[Said] | None] = getattr(self, row.reader)
        try:
            for said in reader(response) or ():
                if isinstance(said, Repeat) and row.attempts < said.most:
                    return self._waits(row, said)
                outcome.add(_final(said, revisit=bool(response.meta.get("revisit"))))
        except Exception as error:
            where = f"{row.url} ({type(error).__name__}: {error})"
            outcome.found.append(Found("quarantined", "reader_error", where=where))
        if (
            outcome.found
            and not outcome.asks
            and all(found.fate == "quarantined" for found in outcome.found)
        ):
            return self._failed()
        if row.document and self._moved(
            response, row
        ):  # found again elsewhere, it must not be asked for again
            outcome.add(
                Ask(
                    response.url, row.reader, facts={"found_by": row.url}, later=True, again="never"
                )
            )
        found: Validators = response.meta.get("validators", Validators())
        # a list that names more than the budget took must be read again, changed or not
        return self._done(
            row, replace(found, etag=None, modified=None) if self._is_cut(row, outcome) else found
        )

    def _is_cut(self, row: Row, outcome: Outcome) -> bool:
        """Whether the budget of the source may have cut off some of what a list names."""
        limit, named = self.source.max_documents, sum(ask.document for ask in outcome.asks)
        return (
            not row.document
            and limit is not None
            and self.session.frontier.asked(self.source.name) + named >= limit
        )

    def _take_down(self, row: Row, reason: str) -> None:
        """Note that what stood at an address (that of the status, where its API address was asked) must go."""
        self.session.frontier.take_down(str(row.facts.get("status", row.url)), reason, time.time())

    def _waits(self, row: Row, said: Repeat) -> Ended:
        self.session.hold(row.host, min(said.seconds, LONGEST_PAUSE))
        return Ended(WAITING, time.time() + said.seconds)

    def refused(self, failure: Failure) -> None:
        """Commit the fate of a request that brought no answer: forbidden, or failed and why."""
        row: Row = failure.request.meta["row"]
        outcome = Outcome(captures=failure.request.meta["captures"])
        url, error = failure.request.url, failure.value
        if isinstance(error, Held):
            self._land(row, outcome, Ended(WAITING, time.time() + self.session.pause(host_of(url))))
            return
        if isinstance(error, PrivateAddress):
            outcome.found.append(Found("quarantined", "private_address", where=f"{url} ({error})"))
        elif isinstance(error, OtherHost):
            outcome.found.append(Found("dropped", "other_host"))
        elif isinstance(error, Unreachable):
            outcome.found.append(Found("dropped", "unreachable"))
            outcome.shut.append(
                Shut(place_of(url), f"robots.txt unreachable ({error}); nothing was fetched")
            )
        elif isinstance(error, Forbidden):
            outcome.found.append(Found("dropped", "robots"))
            if row.document and row.before.payload:
                self._take_down(row, "robots")
        elif reason_of(error) not in FINAL and not self._given_up(row):
            self._land(row, outcome, self._again(row))
            return
        elif door := row.facts.get("door"):
            outcome.found.append(Found("dropped", "unreachable"))
            outcome.shut.append(
                Shut(place_of(url), f"{door} unreachable ({words_for(error)}); nothing was fetched")
            )
        else:
            outcome.found.append(Found("quarantined", reason_of(error), where=url))
        self._land(row, outcome, self._failed())

    def shut(self, url: str, door: str, why: str) -> Iterator[Said]:
        """Say that a source's `door` (its robots.txt, its API) did not open: nothing behind it is fetched."""
        yield Found("dropped", "unreachable")
        yield Shut(place_of(url), f"{door} unreachable ({why}); nothing was fetched")

    # How a request ends

    def _given_up(self, row: Row) -> bool:
        return row.attempts >= self.session.config.politeness.retries

    def _again(self, row: Row, wait: float | None = None) -> Ended:
        """Repeat after what the host asks for, or a pause that doubles each time, drawn so that hosts are not asked in step."""
        if wait is not None:
            return Ended(WAITING, time.time() + wait)
        pause = self.session.config.politeness.backoff * 2**row.attempts
        return Ended(WAITING, time.time() + min(LONGEST_PAUSE, pause) * random.uniform(0.5, 1.0))

    def _done(self, row: Row, validators: Validators) -> Ended:
        again = self.session.config.recrawl
        hours = {"discovery": again.discovery, "documents": again.documents, "never": None}[
            row.again
        ]
        return Ended(DONE, again.due(hours), validators)

    def _failed(self) -> Ended:
        again = self.session.config.recrawl
        return Ended(FAILED, again.due(again.failed))

    def _land(self, row: Row, outcome: Outcome, ended: Ended) -> None:
        """Commit; a disk that takes nothing more ends the crawl, since it must not go on without its evidence."""
        try:
            queued = self.session.commit(self.source, row, outcome, ended)
        except Exception as error:
            self._end(error)
            return
        self.scheduler.landed(row, queued)

    def _broke(self, failure: Failure) -> None:
        """A fault of ours while an answer was committed: the crawl ends, the request stays queued."""
        self._end(failure.value)

    def _end(self, error: BaseException) -> None:
        self.session.fault = self.session.fault or error
        self._closing = asyncio.ensure_future(
            self.crawler.engine.close_spider_async(reason="fault")
        )

    def _closed(self, reason: str) -> None:
        if reason != "finished" and self.session.stopped is None:
            self.session.stopped = reason
