"""What all spiders share: requests that know what they are, and a fate for every document that was found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import scrapy
from scrapy import signals
from scrapy.exceptions import IgnoreRequest
from scrapy.spidermiddlewares.httperror import HttpError

from crawlers.config import Source
from crawlers.failures import reason_of, words_for
from crawlers.politeness import OtherHost, PrivateAddress, bare, host_of, place_of
from crawlers.rights import Signal
from crawlers.session import NOTHING_SAID, Session

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure


class SourceSpider(scrapy.Spider):
    """Fetches one source; `robots` is "api" where the documented interface is offered to programs."""

    robots = "allowed"

    def __init__(self, source: Source, session: Session, **settings: Any) -> None:
        super().__init__(name=source.name, **settings)
        self.source, self.session = source, session
        self.hosts = {bare(host_of(url)) for url in self.doors(source)}
        self.crawl_delays: dict[str, float] = {}
        self._seen: set[str] = set()

    @classmethod
    def doors(cls, source: Any) -> tuple[str, ...]:
        """The addresses a source is entered by; other hosts are not followed, whatever links and redirects say."""
        raise NotImplementedError

    def is_ours(self, url: str) -> bool:
        """Whether a URL lies on one of the source's hosts."""
        return url.startswith(("http://", "https://")) and bare(host_of(url)) in self.hosts

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **settings: Any) -> SourceSpider:
        """Scrapy's way to make one; a reader that raises must not lose its page silently."""
        spider: SourceSpider = super().from_crawler(crawler, *args, **settings)
        crawler.signals.connect(spider._reader_raised, signal=signals.spider_error)
        crawler.signals.connect(spider._closed, signal=signals.spider_closed)
        return spider

    def ask(self, url: str, format: str, callback: Callable[..., Any], **meta: Any) -> scrapy.Request:
        """A request that carries what its answer will be; `signals` and other facts travel in `meta`."""
        facts = {"format": format, "robots": self.robots, **meta}
        if self.robots == "api":
            facts["dont_obey_robotstxt"] = True
        return scrapy.Request(url, callback=callback, errback=self.refused, meta=facts, dont_filter=True)

    def new(self, url: str) -> bool:
        """Whether a document's URL is met for the first time and the budget still has room for it."""
        limit = self.source.max_documents
        if url in self._seen or (limit is not None and len(self._seen) >= limit):
            return False
        self._seen.add(url)
        return True

    @property
    def room(self) -> int:
        """How many more documents the source's budget allows. What one API answer holds is stored whole, so it may be passed."""
        limit = self.source.max_documents
        return sys.maxsize if limit is None else max(0, limit - self.session.documents[self.source.name])

    def refused(self, failure: Failure) -> None:
        """Give a request that brought nothing its fate: forbidden, or failed and why."""
        request = failure.request
        if failure.check(PrivateAddress):
            self.session.failed(self.source, "private_address", f"{request.url} ({failure.value})")
        elif failure.check(HttpError):
            self.session.failed(self.source, f"http_{failure.value.response.status}", request.url)
        elif failure.check(OtherHost):
            self.session.dropped(self.source, "other_host")
        elif failure.check(IgnoreRequest):
            closed = place_of(request.url) in self.session.unreachable
            self.session.dropped(self.source, "unreachable" if closed else "robots")
        elif door := request.meta.get("door"):
            self.shut(request.url, door, words_for(failure.value))
        else:
            self.session.failed(self.source, reason_of(failure.value), request.url)

    def shut(self, url: str, door: str, why: str) -> None:
        """Count a source's `door` (its robots.txt, its API) that did not open: nothing behind it is fetched."""
        self.session.unreachable[place_of(url)] = f"{door} unreachable ({why}); nothing was fetched"
        self.session.dropped(self.source, "unreachable")

    def _reader_raised(self, failure: Failure, response: Response) -> None:
        self.session.failed(self.source, "reader_error", f"{response.url} ({failure.type.__name__}: {failure.value})")

    def _closed(self, reason: str) -> None:
        if reason != "finished" and self.session.stopped is None:
            self.session.stopped = reason

    def signals_of(self, response: Response) -> tuple[Signal, ...]:
        """The evidence that was read from a response when it was captured."""
        found: tuple[Signal, ...] = response.meta.get("verdict", NOTHING_SAID).evidence
        return found
