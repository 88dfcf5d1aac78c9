"""The middleware that sees every response right after decompression, judges it, and makes the WARC records of its capture."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from http.client import responses
from typing import TYPE_CHECKING

from scrapy.http import TextResponse

from crawlers.config import Source
from crawlers.downloader.warc import (
    Earlier,
    Exchange,
    Headers,
    capture_records,
    payload_digest,
    warc_date,
)
from crawlers.frontier.store import Row
from crawlers.outcome import Validators
from crawlers.rights import Verdict, judge, page_signals
from crawlers.session import NOTHING_SAID, Session
from crawlers.sources.readers import Unreadable, read_wiki

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.http.headers import Headers as ScrapyHeaders

HOP_BY_HOP = {"transfer-encoding", "connection", "keep-alive", "content-encoding", "content-length"}
CONTENT = {"html", "mediawiki-api", "mastodon-api"}


class CaptureMiddleware:
    """Captures what was fetched, redirects and errors included; only a 200 counts as content.

    The records travel with the request (`captures`) and are committed with all else it comes to.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> CaptureMiddleware:
        """Scrapy's way to make one."""
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        """Judge and record."""
        session: Session = self.crawler.spider.session
        meta, when = request.meta, datetime.now(UTC)
        format = capture_format(meta.get("format", "discovery"), response)
        verdict = verdict_of(session, request, response, format)
        row: Row | None = meta.get("row")
        found = validators(response, when)
        earlier = earlier_of(row, response, found)
        if earlier:  # a revisit refers to the capture with the payload, never to a revisit
            found = replace(found, payload=earlier.payload, captured=earlier.date)
        meta.update(
            verdict=verdict, captured_as=format, validators=found, revisit=earlier is not None
        )
        robots = "api" if meta.get("robots") == "api" else "allowed"
        metadata = told(self.crawler.spider.source, format, verdict, robots)
        meta["captures"].append(
            capture_records(exchange_of(request, response), metadata, when, earlier)
        )
        return response


def told(source: Source, format: str, verdict: Verdict, robots: str) -> dict[str, object]:
    """What the metadata record of a capture says."""
    return {
        "source": source.name,
        "kind": source.kind,
        "format": format,
        "lang_hint": source.lang,
        "licence": verdict.licence,
        "evidence": [signal.record() for signal in verdict.evidence],
        "opt_out": list(verdict.opt_out),
        "robots": robots,
    }


def validators(response: Response, when: datetime) -> Validators:
    """By what the next request of this address can ask for changes."""
    named = (response.headers.get(name) for name in (b"ETag", b"Last-Modified"))
    etag, modified = (value.decode("latin-1") if value else None for value in named)
    return Validators(etag, modified, payload_digest(response.body), warc_date(when))


def earlier_of(row: Row | None, response: Response, found: Validators) -> Earlier | None:
    """The earlier capture that this response repeats: it answered 304, or its payload has the same digest."""
    if row is None or row.before.payload is None or row.before.captured is None:
        return None
    same = response.status == 200 and found.payload == row.before.payload
    return (
        Earlier(row.before.payload, row.before.captured) if same or response.status == 304 else None
    )


def capture_format(wanted: str, response: Response) -> str:
    """What a response is kept as: errors and things that are no text are never content."""
    if wanted not in CONTENT or response.status != 200:
        return "discovery"
    kind = (response.headers.get(b"Content-Type") or b"text/html").lower()
    if wanted == "html" and not (b"html" in kind or kind.startswith(b"text/plain")):
        return "discovery"
    return "discovery" if wanted == "mediawiki-api" and _is_wiki_error(response.body) else wanted


def _is_wiki_error(body: bytes) -> bool:
    """Whether a wiki answered with an error, which it does with status 200; what cannot be read is kept as it was asked for."""
    try:
        return read_wiki(body).error is not None
    except Unreadable:
        return False


def verdict_of(session: Session, request: Request, response: Response, format: str) -> Verdict:
    """What the response, and its site, say of its use, judged under the policy of the crawl."""
    # The headers and the site of an unchanged page speak all the same.
    unchanged = response.status == 304 and request.meta.get("format") == "html"
    if format == "html" or unchanged:
        # parsed once: its links are read from it too
        page = response.selector if isinstance(response, TextResponse) and not unchanged else None
        signals = (
            *page_signals(_by_name(response.headers), page),
            *request.meta.get("site_signals", ()),
        )
        return judge(signals, session.policy)
    if format in CONTENT:
        return judge(request.meta.get("signals", ()), session.policy)
    return NOTHING_SAID


def _pairs(headers: ScrapyHeaders) -> Headers:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in headers.items()
        for value in values
    ]


def _by_name(headers: ScrapyHeaders) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for name, value in _pairs(headers):
        out.setdefault(name.lower(), []).append(value)
    return out


def exchange_of(request: Request, response: Response) -> Exchange:
    """The exchange as a WARC keeps it: headers that describe the transfer give way to the real length of the decoded body."""
    host = response.url.split("://", 1)[-1].split("/", 1)[0]
    kept = [
        (name, value) for name, value in _pairs(response.headers) if name.lower() not in HOP_BY_HOP
    ]
    sent = [
        (name, value)
        for name, value in _pairs(request.headers)
        if not name.lower().startswith("proxy-")
    ]
    via_proxy = bool(request.meta.get("proxy"))
    return Exchange(
        url=response.url,
        method=request.method,
        request_headers=[("Host", host), *sent],
        protocol=response.protocol or "HTTP/1.1",
        status=response.status,
        reason=responses.get(response.status, "Status"),
        response_headers=[*kept, ("Content-Length", str(len(response.body)))],
        body=response.body,
        address=None if via_proxy or response.ip_address is None else str(response.ip_address),
    )
