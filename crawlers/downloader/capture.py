"""The middleware that sees every response right after decompression, judges it, and captures it.

In: a Scrapy response. Out, in the request's metadata: the verdict on its use, the gzipped WARC records
of its capture, and what a later conditional request needs.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from http.client import responses as status_phrases
from typing import TYPE_CHECKING

from scrapy.http import TextResponse

from crawlers.contract import CaptureMetadata
from crawlers.downloader.request_metadata import get_metadata
from crawlers.downloader.spider import context_of, spider_of
from crawlers.downloader.warc import (
    EarlierCapture,
    HttpExchange,
    HttpHeaders,
    capture_records,
    format_warc_date,
    payload_digest,
)
from crawlers.frontier.queue import QueuedRequest
from crawlers.rights import NO_VERDICT, Verdict, judge, page_signals
from crawlers.spider_output import Validators
from gristmill.captures.json_answer import UnreadableAnswer
from gristmill.captures.mediawiki import read_mediawiki

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.http.headers import Headers as ScrapyHeaders

    from gristmill.rights.policy import RightsPolicy

HOP_BY_HOP = {"transfer-encoding", "connection", "keep-alive", "content-encoding", "content-length"}
"""Headers that describe the transfer, which a stored body no longer has."""
CONTENT_FORMATS = {"html", "mediawiki-api", "mastodon-api"}
"""Formats that hold documents; all else is stored as `discovery`."""


class CaptureMiddleware:
    """Captures everything that was fetched, redirects and errors included.

    The records are committed together with everything else the request leads to.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> CaptureMiddleware:
        """Make one, as Scrapy asks for it."""
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        """Judge and capture one response."""
        metadata = get_metadata(request)
        captured_at = datetime.now(UTC)
        policy = context_of(self.crawler).policy
        capture_format = choose_format(metadata.format, response)
        verdict = judge_response(policy, request, response, capture_format)
        validators = read_validators(response, captured_at)
        earlier = find_earlier(metadata.queued, response, validators)
        if earlier:
            # A revisit refers to the capture that holds the payload, never to another revisit.
            validators = replace(validators, payload=earlier.payload, captured=earlier.date)
        metadata.verdict = verdict
        metadata.captured_as = capture_format
        metadata.validators = validators
        metadata.is_revisit = earlier is not None
        source = spider_of(self.crawler).source
        note = CaptureMetadata(
            source=source.name,
            kind=source.genre,
            format=capture_format,
            lang_hint=source.lang,
            licence=verdict.licence,
            evidence=tuple(signal.as_dict() for signal in verdict.evidence),
            opt_out=verdict.opt_out,
            robots="allowed" if metadata.needs_robots else "api",
        )
        exchange = exchange_of(request, response)
        records = capture_records(exchange, note.as_dict(), captured_at, earlier)
        metadata.captures.append(records)
        return response


def read_validators(response: Response, captured_at: datetime) -> Validators:
    """Read what the next request of this address needs to ask for changes only."""
    return Validators(
        etag=_header(response, b"ETag"),
        modified=_header(response, b"Last-Modified"),
        payload=payload_digest(response.body),
        captured=format_warc_date(captured_at),
    )


def _header(response: Response, name: bytes) -> str | None:
    value = response.headers.get(name)
    return value.decode("latin-1") if value else None


def find_earlier(
    queued: QueuedRequest | None, response: Response, validators: Validators
) -> EarlierCapture | None:
    """Return the earlier capture that a response repeats: a 304, or a payload with the same digest."""
    if queued is None or queued.before.payload is None or queued.before.captured is None:
        return None
    is_same = response.status == 200 and validators.payload == queued.before.payload
    if not is_same and response.status != 304:
        return None
    return EarlierCapture(queued.before.payload, queued.before.captured)


def choose_format(requested: str, response: Response) -> str:
    """Choose what a response is stored as: errors, and things that are not text, are never content."""
    if requested not in CONTENT_FORMATS or response.status != 200:
        return "discovery"
    if requested == "html" and not _is_text_page(response):
        return "discovery"
    if requested == "mediawiki-api" and _is_wiki_error(response.body):
        return "discovery"
    return requested


def _is_text_page(response: Response) -> bool:
    content_type = (response.headers.get(b"Content-Type") or b"text/html").lower()
    return b"html" in content_type or content_type.startswith(b"text/plain")


def _is_wiki_error(body: bytes) -> bool:
    """Whether a wiki answered with an error, which it does with status 200."""
    try:
        return read_mediawiki(body).error is not None
    except UnreadableAnswer:
        # Stored as it was asked for: the reader reports it.
        return False


def judge_response(
    policy: RightsPolicy, request: Request, response: Response, capture_format: str
) -> Verdict:
    """Judge what a response and its site say about its use, under a policy."""
    metadata = get_metadata(request)
    # The headers and the site of an unchanged page say something, too.
    is_unchanged_page = response.status == 304 and metadata.format == "html"
    if capture_format == "html" or is_unchanged_page:
        page = None
        if isinstance(response, TextResponse) and not is_unchanged_page:
            page = response.selector  # parsed once: the spider reads links from it, too
        signals = page_signals(_group_by_name(response.headers), page)
        return judge((*signals, *metadata.site_signals), policy)
    if capture_format in CONTENT_FORMATS:
        return judge(metadata.rights_signals, policy)
    return NO_VERDICT


def _list_headers(headers: ScrapyHeaders) -> HttpHeaders:
    # latin-1 maps every byte to one character, so that the WARC holds the bytes as sent.
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in headers.items()
        for value in values
    ]


def _group_by_name(headers: ScrapyHeaders) -> dict[str, list[str]]:
    """The values of each header, by its name in lower case."""
    values: dict[str, list[str]] = {}
    for name, value in _list_headers(headers):
        values.setdefault(name.lower(), []).append(value)
    return values


def exchange_of(request: Request, response: Response) -> HttpExchange:
    """Collect an exchange as a WARC stores it, with the real length of the decoded body."""
    host = response.url.split("://", 1)[-1].split("/", 1)[0]
    request_headers = [
        (name, value)
        for name, value in _list_headers(request.headers)
        if not name.lower().startswith("proxy-")
    ]
    response_headers = [
        (name, value)
        for name, value in _list_headers(response.headers)
        if name.lower() not in HOP_BY_HOP
    ]
    content_length = ("Content-Length", str(len(response.body)))
    # The address of a proxy says nothing about the host.
    has_address = response.ip_address is not None and not request.meta.get("proxy")
    return HttpExchange(
        url=response.url,
        method=request.method,
        request_headers=[("Host", host), *request_headers],
        protocol=response.protocol or "HTTP/1.1",
        status=response.status,
        reason=status_phrases.get(response.status, "Status"),
        response_headers=[*response_headers, content_length],
        body=response.body,
        address=str(response.ip_address) if has_address else None,
    )
