"""The base of every source's spider: it reads answers, and says what to request next.

A spider yields its first requests, and has readers: methods that are given a response and yield
`CrawlRequest`, `DocumentResult`, `Unreachable` or `RetryLater`. It keeps nothing between answers and does
not import Scrapy, so its readers are tested on saved pages. `crawlers.downloader.spider` runs it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from crawlers.downloader.addresses import host_of, origin_of, strip_www
from crawlers.rights import Verdict
from crawlers.sources.config import SourceConfig
from crawlers.spider_output import STATUS_URL, CrawlRequest, DocumentResult, Unreachable

if TYPE_CHECKING:
    from crawlers.context import CrawlContext
    from crawlers.frontier.queue import QueuedRequest


class SourceSpider:
    """Reads the answers of one source."""

    needs_robots = True
    """False for documented interfaces that are offered to programs: those do not ask robots.txt."""

    def __init__(self, source: SourceConfig, context: CrawlContext) -> None:
        self.source = source
        self.context = context
        self.hosts = {strip_www(host_of(url)) for url in source.entry_urls}

    def first_requests(self) -> Iterable[CrawlRequest]:
        """Yield the requests that a crawl of this source begins with."""
        raise NotImplementedError

    def is_own_url(self, url: str) -> bool:
        """Whether a URL is on one of the source's hosts."""
        if not url.startswith(("http://", "https://")):
            return False
        try:
            return strip_www(host_of(url)) in self.hosts
        except ValueError:  # brackets that do not hold an IPv6 address
            return False

    @property
    def remaining_documents(self) -> int:
        """How many more documents the budget allows; answers that hold several may pass it."""
        limit = self.source.max_documents
        if limit is None:
            return sys.maxsize
        return max(0, limit - self.context.documents[self.source.name])

    def take_down(self, request: QueuedRequest, reason: str) -> None:
        """Put the page of a request on the takedown list; for the API address of a status, the status."""
        url = str(request.facts.get(STATUS_URL, request.url))
        self.context.frontier.results.add_takedown(url, reason, self.context.clock())


def make_stored_result(verdict: Verdict, size: int) -> DocumentResult:
    """The result of a stored document: kept, or dropped if the policy refuses it.

    The capture of a refused document remains as evidence.
    """
    if verdict.refused:
        return DocumentResult("dropped", verdict.refused, size, verdict.licence)
    return DocumentResult("kept", "", size, verdict.licence)


def report_unreachable(
    url: str, entry_point: str, problem: str
) -> Iterator[DocumentResult | Unreachable]:
    """Say that an entry point of a source cannot be fetched: nothing behind it is."""
    yield DocumentResult("dropped", "unreachable")
    reason = f"{entry_point} unreachable ({problem}); nothing was fetched"
    yield Unreachable(origin_of(url), reason)
