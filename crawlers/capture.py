"""The middleware that sees every response right after decompression, judges it, and writes it to the WARC."""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING

from scrapy.http import TextResponse

from crawlers.rights import Verdict, judge, page_signals
from crawlers.session import NOTHING_SAID, Session
from crawlers.spiders.readers import Unreadable, read_wiki
from crawlers.warc import Exchange, Headers

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.http.headers import Headers as ScrapyHeaders

HOP_BY_HOP = {"transfer-encoding", "connection", "keep-alive", "content-encoding", "content-length"}
CONTENT = {"html", "mediawiki-api", "mastodon-api"}


class CaptureMiddleware:
    """Captures what was fetched, retried answers and errors included; only a 200 counts as content."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> CaptureMiddleware:
        """Scrapy's way to make one."""
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        """Judge and store; a capture that cannot be written ends the crawl, since it must not go on without evidence."""
        spider = self.crawler.spider
        session: Session = spider.session
        format = capture_format(request.meta.get("format", "discovery"), response)
        verdict = _verdict(session, request, response, format)
        request.meta.update(verdict=verdict, captured_as=format)
        robots = "api" if request.meta.get("robots") == "api" else "allowed"
        try:
            session.capture(
                spider.source, exchange_of(request, response), format=format, verdict=verdict, robots=robots
            )
        except OSError as error:
            error.filename = error.filename or str(session.writer.folder)
            session.fault = error
            self.crawler.engine.close_spider(spider, "capture_failed")
            raise
        return response


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


def _verdict(session: Session, request: Request, response: Response, format: str) -> Verdict:
    if format == "html":
        text = response.text if isinstance(response, TextResponse) else ""
        return judge(page_signals(_by_name(response.headers), text), session.policy)
    if format in CONTENT:
        return judge(request.meta.get("signals", ()), session.policy)
    return NOTHING_SAID


def _pairs(headers: ScrapyHeaders) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, values in headers.items() for value in values]


def _by_name(headers: ScrapyHeaders) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for name, value in _pairs(headers):
        out.setdefault(name.lower(), []).append(value)
    return out


def exchange_of(request: Request, response: Response) -> Exchange:
    """The exchange as a WARC keeps it: headers that describe the transfer give way to the real length of the decoded body."""
    host = response.url.split("://", 1)[-1].split("/", 1)[0]
    kept = [(name, value) for name, value in _pairs(response.headers) if name.lower() not in HOP_BY_HOP]
    sent = [(name, value) for name, value in _pairs(request.headers) if not name.lower().startswith("proxy-")]
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
