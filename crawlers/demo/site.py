"""The demo site: a wiki, a news site and a social timeline on one loopback port, for crawls that need no network."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from crawlers.demo.pages import news, social, wiki
from crawlers.demo.pages.planted import DOWN, HOSTS, NEWS, PLANTED, SOCIAL, WIKI, Planted
from crawlers.demo.pages.reply import JSON, TEXT, Reply
from crawlers.demo.pages.text_file import read_articles
from gristmill.errors import UserError

__all__ = ["DOWN", "HOSTS", "NEWS", "PLANTED", "SOCIAL", "WIKI", "DemoSite", "Planted"]

NOT_FOUND = Reply(b"<!doctype html><title>404</title><h1>Not found</h1>", status=404)
BUSY = Reply(b"one moment, please", TEXT, 429, (("Retry-After", "1"),))


class DemoSite:
    """Serves the demo pages while the `with` block lasts.

    >>> with DemoSite() as site:
    ...     print(site.url)

    All bodies name the logical origins (`http://news.demo.test`, ...): a crawler that uses the port as an HTTP proxy for
    them stores the same URLs every time. A browser that asks the port directly gets its links to the port.
    """

    def __init__(self, *, port: int = 0, text: Path | None = None) -> None:
        self._text = text
        self._pages = news.replies(read_articles(text) if text else ())
        self._wikis = wiki.build_wikis()
        self._timeline = social.build_timeline()
        self._asked: set[str] = set()
        self.requests: list[str] = []
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        """The address on this machine."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> DemoSite:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def summary(self) -> list[str]:
        """What is served where, for people."""
        count = sum(len(found.pages) for found in self._wikis.values())
        served = sum(reply.content_type.startswith("text/html") for reply in self._pages.values())
        text = f" --set demo.text={self._text}" if self._text else ""
        return [
            f"demo site  {self.url}",
            f"  wiki     {count} pages in two languages, behind MediaWiki's API: {' '.join(map(self._at, self._wikis))}",
            f"  news     {served} pages; where they are, say {self._at('/robots.txt')} and {self._at('/feed.xml')}",
            f"  social   {len(self._timeline)} statuses, behind Mastodon's API: {self._at(social.PATH)}",
            f"  planted  {len(PLANTED)} addresses have a known fault: copies, refusals, broken pages, personal data",
            "to crawl   gristmill crawl --config configs/crawl/demo.toml"
            f"{text}   (serves these pages by itself, on a port of its own)",
            "to stop    Ctrl-C",
        ]

    def _at(self, path: str) -> str:
        return self.url + path

    def reply(self, host: str, target: str) -> Reply:
        """The answer to a GET of `target` (path with query) at `host`."""
        parts = urlsplit(target)
        self.requests.append(f"{host}{parts.path}")
        if host == DOWN.removeprefix("http://") and parts.path == "/robots.txt":
            return Reply(b"down for maintenance", TEXT, 503)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if (found := self._wikis.get(parts.path)) is not None:
            return _json(wiki.answer(found, query))
        if parts.path == social.PATH:
            return self._timeline_page(query)
        if parts.path.startswith(social.STATUS):
            found_one = social.status(self._timeline, parts.path.removeprefix(social.STATUS))
            return NOT_FOUND if found_one is None else _json(found_one)
        return self._page(parts.path)

    def _timeline_page(self, query: dict[str, str]) -> Reply:
        try:
            found, link = social.page(self._timeline, query, SOCIAL + social.PATH)
        except ValueError:
            return Reply(b'{"error": "limit and max_id are numbers"}', JSON, 400)
        return _json(found, (("Link", link),) if link else ())

    def _page(self, path: str) -> Reply:
        reply = self._pages.get(path, NOT_FOUND)
        if reply.busy and path not in self._asked:
            self._asked.add(path)
            return BUSY
        return reply


def _json(value: Any, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(json.dumps(value, ensure_ascii=False).encode(), JSON, headers=headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], site: DemoSite) -> None:
        self.site = site
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise UserError(
                "this port cannot be had",
                {"port": address[1], "problem": error.strerror},
                "give another one with --port",
            ) from None


class _Handler(BaseHTTPRequestHandler):
    """Answers both kinds of request line: `GET /path` from browsers, `GET http://host/path` from clients that take us for a proxy."""

    protocol_version = "HTTP/1.1"
    server_version = "GristmillDemo/1"
    disable_nagle_algorithm = (
        True  # else each answer waits 40 ms for the client's delayed acknowledgement
    )
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        host = address.netloc or self.headers.get("Host", "")
        target = f"{address.path or '/'}{'?' + address.query if address.query else ''}"
        self._send(self._localized(self.server.site.reply(host, target), host), head_only=False)

    def do_HEAD(self) -> None:
        self._send(self.server.site.reply(self.headers.get("Host", ""), self.path), head_only=True)

    def _localized(self, reply: Reply, host: str) -> Reply:
        """Point links at this port when it was asked directly."""
        if host in HOSTS:
            return reply
        here = f"http://{host}"
        body, headers = reply.body, reply.headers
        for origin in (WIKI, NEWS, SOCIAL):
            body = body.replace(origin.encode(), here.encode())
            headers = tuple((name, value.replace(origin, here)) for name, value in headers)
        return Reply(body, reply.content_type, reply.status, headers, reply.cut, reply.busy)

    def _send(self, reply: Reply, *, head_only: bool) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        if head_only:
            return
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        if reply.cut:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet: the crawler's own log tells what was asked."""
