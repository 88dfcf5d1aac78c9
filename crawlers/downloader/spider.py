"""The Scrapy spider of every source: it commits what each answer, or failure, led to.

A source's own spider (`crawlers.sources`) only reads answers. This one hands it the answers, decides
how each request ends (done, failed, to be repeated) and commits captures, new requests, counts and
state together. Nothing else is kept between answers, so a crawl goes on in another process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import scrapy
from scrapy import signals

from crawlers.downloader.addresses import host_of
from crawlers.downloader.failures import describe_failure, reason_of
from crawlers.downloader.refusals import (
    ForbiddenByRobots,
    HostPaused,
    OtherHost,
    PrivateAddress,
    RobotsUnreachable,
)
from crawlers.downloader.request_metadata import RequestMetadata, get_metadata
from crawlers.downloader.retry_after import choose_back_off
from crawlers.frontier.queue import QueuedRequest, RequestStatus
from crawlers.frontier.schema import DONE, FAILED, WAITING
from crawlers.host_ledger import LONGEST_PAUSE
from crawlers.sources.base import SourceSpider, make_stored_result, report_unreachable
from crawlers.spider_output import (
    ANY_STATUS,
    REDIRECTED_FROM,
    STATUS_URL,
    CrawlRequest,
    DocumentResult,
    FetchResult,
    RetryLater,
    SpiderOutput,
    Unreachable,
    Validators,
    fingerprint_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure

    from crawlers.context import CrawlContext
    from crawlers.downloader.scheduler import FrontierScheduler

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
"""Statuses after which the same request may succeed: it is repeated. 520 to 524 are Cloudflare's."""
FINAL_REASONS = frozenset({"too_large", "redirects", "broken_encoding"})
"""Failures that another request would meet again."""
GONE_STATUSES = frozenset({404, 410})
CLOSED_STATUSES = frozenset({401, 402, 403, 451})
"""Statuses by which what was open before is not open any more."""
BUSY_STATUSES = frozenset({429, 503})

UNCHANGED = DocumentResult("dropped", "unchanged")
"""A document whose earlier capture holds the same payload: a revisit stands for it."""
REDIRECTED = DocumentResult("dropped", "redirect_to_known")
"""A document whose address led to that of another one."""
GONE = DocumentResult("dropped", "gone")
"""A document that was stored, and does not exist any more."""


class FrontierSpider(scrapy.Spider):
    """Runs one source: `reader` reads its answers, this spider commits them."""

    scheduler: FrontierScheduler
    _closing: asyncio.Future[None]

    def __init__(self, reader: SourceSpider, **settings: Any) -> None:
        super().__init__(name=reader.source.name, **settings)
        self.reader = reader
        self.source = reader.source
        self.context = reader.context
        self.needs_robots = reader.needs_robots

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **settings: Any) -> FrontierSpider:
        """Make one, as Scrapy asks for it."""
        spider: FrontierSpider = super().from_crawler(crawler, *args, **settings)
        crawler.signals.connect(spider._on_spider_error, signal=signals.spider_error)
        crawler.signals.connect(spider._on_closed, signal=signals.spider_closed)
        return spider

    async def start(self) -> AsyncIterator[Any]:
        """Yield nothing: the scheduler queues the first requests."""
        return
        yield

    def is_own_url(self, url: str) -> bool:
        """Whether a URL is on one of the source's hosts."""
        return self.reader.is_own_url(url)

    # An answer

    def on_response(self, response: Response) -> None:
        """Commit what an answer led to."""
        metadata = get_metadata(response)
        request = metadata.queued_request
        result = FetchResult(captures=metadata.captures)
        back_off = self._note_load(response)
        if response.status in TRANSIENT_STATUSES and self._has_attempts(request):
            status = self._retry(request, back_off)
        elif request.is_document and self._belongs_to_another(response, request):
            # The redirect is evidence; the page is stored under its own address.
            del result.captures[-1]
            result.documents.append(REDIRECTED)
            status = self._finish(request, Validators())
        else:
            unread = self._end_unread(response, request, result)
            status = unread or self._read(response, request, result)
        self._commit(request, result, status)

    def _note_load(self, response: Response) -> float | None:
        """Leave a busy host alone; returns for how many seconds, None if it is not busy."""
        host = host_of(response.url)
        hosts = self.context.hosts
        if response.status not in BUSY_STATUSES:
            hosts.reset_429s(host)
            return None
        seconds = choose_back_off(response, self.context)
        hosts.back_off(host, seconds, is_429=True)
        return seconds

    def _is_redirected(self, response: Response, request: QueuedRequest) -> bool:
        """Whether an answer came from another address; other percent-encoding is the same address."""
        source = self.source.name
        return fingerprint_url(source, request.url) != fingerprint_url(source, response.url)

    def _belongs_to_another(self, response: Response, request: QueuedRequest) -> bool:
        """Whether a redirect led to an address that another request stores, or will store."""
        if not self._is_redirected(response, request):
            return False
        fingerprint = fingerprint_url(self.source.name, response.url)
        stored = self.context.frontier.queue.find(fingerprint)
        if stored is None or stored.state == FAILED:
            return False
        return stored.facts.get(REDIRECTED_FROM) != request.url

    def _end_unread(
        self, response: Response, request: QueuedRequest, result: FetchResult
    ) -> RequestStatus | None:
        """End a request whose answer has nothing to read: unchanged, gone, an error. None if it has."""
        metadata = get_metadata(response)
        was_stored = request.is_document and request.before.payload is not None
        if was_stored:
            self._update_takedown(response, request, metadata)
        if response.status == 304 or (request.is_document and metadata.is_revisit):
            if request.is_document:
                result.documents.append(_judge_unchanged(response, metadata))
            return self._finish(request, request.before)
        if response.status in GONE_STATUSES and (was_stored or STATUS_URL in request.facts):
            self.reader.take_down(request, "deleted")
            if request.is_document:
                result.documents.append(GONE)
            return self._fail()
        if response.status != 200 and not request.facts.get(ANY_STATUS):
            reason = f"http_{response.status}"
            result.documents.append(DocumentResult("quarantined", reason, details=request.url))
            return self._fail()
        return None

    def _update_takedown(
        self, response: Response, request: QueuedRequest, metadata: RequestMetadata
    ) -> None:
        """Put a stored page that refuses its use on the takedown list; take one off that is open."""
        if metadata.verdict.refused == "opt_out":
            self.reader.take_down(request, "opt_out")
        elif response.status in CLOSED_STATUSES:
            self.reader.take_down(request, f"http_{response.status}")
        elif response.status in (200, 304):
            self.context.frontier.results.remove_takedown(request.url)

    def _read(
        self, response: Response, request: QueuedRequest, result: FetchResult
    ) -> RequestStatus:
        """Add what the source's reader yields to `result`.

        A reader that raises costs its page, which is reported, never the crawl.
        """
        metadata = get_metadata(response)
        read: Callable[[Any], Iterator[SpiderOutput] | None] = getattr(self.reader, request.reader)
        try:
            for output in read(response) or ():
                if isinstance(output, RetryLater) and request.attempts < output.max_attempts:
                    return self._retry_later(request, output)
                result.add(_finalize_output(output, is_revisit=metadata.is_revisit))
        except Exception as error:
            details = f"{request.url} ({type(error).__name__}: {error})"
            result.documents.append(DocumentResult("quarantined", "reader_error", details=details))
        if _brought_nothing(result):
            return self._fail()
        if request.is_document and self._is_redirected(response, request):
            # Listed under its new address too, it must not be fetched a second time.
            result.add(_mark_redirect(request, response.url))
        validators = metadata.validators
        if self._may_be_cut(request, result):
            # A list that names more than the budget took must be read again, changed or not.
            validators = replace(validators, etag=None, modified=None)
        return self._finish(request, validators)

    def _may_be_cut(self, request: QueuedRequest, result: FetchResult) -> bool:
        """Whether the budget of the source may have cut off some of what a list names."""
        limit = self.source.max_documents
        if request.is_document or limit is None:
            return False
        listed = sum(new.is_document for new in result.requests)
        queued = self.context.frontier.queue.count_documents(self.source.name)
        return queued + listed >= limit

    # No answer

    def on_error(self, failure: Failure) -> None:
        """Commit what became of a request without an answer: refused, or failed and why."""
        metadata = get_metadata(failure.request)
        request = metadata.queued_request
        result = FetchResult(captures=metadata.captures)
        status = self._end_failed(failure.request.url, failure.value, request, result)
        self._commit(request, result, status)

    def _end_failed(
        self, url: str, error: BaseException, request: QueuedRequest, result: FetchResult
    ) -> RequestStatus:
        if isinstance(error, HostPaused):
            seconds = self.context.hosts.seconds_to_wait(host_of(url))
            return RequestStatus(WAITING, self.context.clock() + seconds)
        if isinstance(error, PrivateAddress):
            details = f"{url} ({error})"
            document = DocumentResult("quarantined", "private_address", details=details)
            result.documents.append(document)
        elif isinstance(error, OtherHost):
            result.documents.append(DocumentResult("dropped", "other_host"))
        elif isinstance(error, RobotsUnreachable):
            _add_unreachable(result, url, "robots.txt", str(error))
        elif isinstance(error, ForbiddenByRobots):
            result.documents.append(DocumentResult("dropped", "robots"))
            if request.is_document and request.before.payload:
                self.reader.take_down(request, "robots")
        elif reason_of(error) not in FINAL_REASONS and self._has_attempts(request):
            return self._retry(request)
        else:
            self._add_failure(url, error, result, request)
        return self._fail()

    def _add_failure(
        self, url: str, error: BaseException, result: FetchResult, request: QueuedRequest
    ) -> None:
        entry_point = request.entry_point
        if entry_point:
            _add_unreachable(result, url, entry_point, describe_failure(error))
        else:
            document = DocumentResult("quarantined", reason_of(error), details=url)
            result.documents.append(document)

    # How a request ends

    def _has_attempts(self, request: QueuedRequest) -> bool:
        return request.attempts < self.context.config.politeness.retries

    def _retry(self, request: QueuedRequest, back_off: float | None = None) -> RequestStatus:
        """Repeat a request after the back-off of its host, else after a pause that doubles."""
        if back_off is not None:
            return RequestStatus(WAITING, self.context.clock() + back_off)
        pause = self.context.config.politeness.backoff * 2**request.attempts
        # Drawn, so that hosts that failed together are not asked in step.
        seconds = min(LONGEST_PAUSE, pause) * random.uniform(0.5, 1.0)
        return RequestStatus(WAITING, self.context.clock() + seconds)

    def _retry_later(self, request: QueuedRequest, output: RetryLater) -> RequestStatus:
        self.context.hosts.back_off(request.host, min(output.seconds, LONGEST_PAUSE))
        return RequestStatus(WAITING, self.context.clock() + output.seconds)

    def _finish(self, request: QueuedRequest, validators: Validators) -> RequestStatus:
        next_fetch_at = self.context.next_fetch_at(request.recrawl_interval)
        return RequestStatus(DONE, next_fetch_at, validators)

    def _fail(self) -> RequestStatus:
        return RequestStatus(FAILED, self.context.retry_failed_at)

    def _commit(self, request: QueuedRequest, result: FetchResult, status: RequestStatus) -> None:
        """Commit; an error, such as a full disk, ends the crawl: it must not go on without evidence."""
        try:
            queued = self.context.commit(self.source, request, result, status)
        except Exception as error:
            self.end_crawl(error)
            return
        self.scheduler.on_complete(request, queued)

    def end_crawl(self, error: BaseException) -> None:
        """End the crawl because of an error; requests in flight stay queued."""
        self.context.status.set_error(error)
        closing = self.crawler.engine.close_spider_async(reason="fault")
        # Held: asyncio keeps only weak references to tasks.
        self._closing = asyncio.ensure_future(closing)

    def _on_spider_error(self, failure: Failure) -> None:
        """End the crawl for an error of our own while an answer was committed."""
        self.end_crawl(failure.value)

    def _on_closed(self, reason: str) -> None:
        status = self.context.status
        if reason != "finished" and status.stopped_by is None:
            status.stopped_by = reason


def _judge_unchanged(response: Response, metadata: RequestMetadata) -> DocumentResult:
    if metadata.verdict.refused == "opt_out":
        return make_stored_result(metadata.verdict, len(response.body))
    return UNCHANGED


def _finalize_output(
    output: SpiderOutput, *, is_revisit: bool
) -> CrawlRequest | DocumentResult | Unreachable:
    """Turn a retry without attempts into a failure, and a document that is stored into `unchanged`."""
    if isinstance(output, RetryLater):
        return DocumentResult("quarantined", output.reason, details=output.details)
    if is_revisit and isinstance(output, DocumentResult) and output.outcome == "kept":
        return UNCHANGED
    return output


def _brought_nothing(result: FetchResult) -> bool:
    """Whether an answer led to failures only."""
    if not result.documents or result.requests:
        return False
    return all(document.outcome == "quarantined" for document in result.documents)


def _mark_redirect(request: QueuedRequest, url: str) -> CrawlRequest:
    """A request that only marks the target of a redirect as stored; it is never made."""
    return CrawlRequest(
        url,
        request.reader,
        facts={REDIRECTED_FROM: request.url},
        is_deferred=True,
        recrawl_interval="never",
    )


def _add_unreachable(result: FetchResult, url: str, entry_point: str, problem: str) -> None:
    for output in report_unreachable(url, entry_point, problem):
        result.add(output)


def context_of(crawler: Crawler) -> CrawlContext:
    """The services of the crawl that a Scrapy crawler belongs to."""
    return spider_of(crawler).context


def spider_of(crawler: Crawler) -> FrontierSpider:
    """The spider of a Scrapy crawler, which is always ours."""
    return cast(FrontierSpider, crawler.spider)
