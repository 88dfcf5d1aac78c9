"""The demo site: a wiki, a news site and a social timeline on one loopback port.

Crawls of it need no network.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
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

    All bodies name the logical origins (`http://news.demo.test`, ...). A crawler that uses the port as an
    HTTP proxy for them stores the same URLs every time. A browser that asks the port directly gets
    links to the port.
    """

    def __init__(self, *, port: int = 0, text: Path | None = None) -> None:
        self._text = text
        self._pages = news.make_replies(read_articles(text) if text else ())
        self._wikis = wiki.build_wikis()
        self._timeline = social.build_timeline()
        self._seen_paths: set[str] = set()
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
        """Say what is served where, in lines for people."""
        wiki_pages = sum(len(wiki.pages) for wiki in self._wikis.values())
        apis = " ".join(self._at(path) for path in self._wikis)
        html = sum(reply.content_type.startswith("text/html") for reply in self._pages.values())
        lists = f"{self._at('/robots.txt')} and {self._at('/feed.xml')}"
        timeline = self._at(social.PATH)
        text = f" --set demo.text={self._text}" if self._text else ""
        return [
            f"demo site  {self.url}",
            f"  wiki     {wiki_pages} pages in two languages, behind MediaWiki's API: {apis}",
            f"  news     {html} pages; where they are, say {lists}",
            f"  social   {len(self._timeline)} statuses, behind Mastodon's API: {timeline}",
            f"  planted  {len(PLANTED)} addresses have a known fault:"
            " copies, refusals, broken pages, personal data",
            f"to crawl   gristmill crawl --config configs/crawl/demo.toml{text}"
            "   (serves these pages by itself, on a port of its own)",
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
        if parts.path in self._wikis:
            return _json_reply(wiki.answer_query(self._wikis[parts.path], query))
        if parts.path == social.PATH:
            return self._timeline_reply(query)
        if parts.path.startswith(social.STATUS):
            return self._status_reply(parts.path.removeprefix(social.STATUS))
        return self._page_reply(parts.path)

    def _status_reply(self, id: str) -> Reply:
        status = social.find_status(self._timeline, id)
        return NOT_FOUND if status is None else _json_reply(status)

    def _timeline_reply(self, query: dict[str, str]) -> Reply:
        try:
            statuses, link = social.get_page(self._timeline, query, SOCIAL + social.PATH)
        except ValueError:
            return Reply(b'{"error": "limit and max_id are numbers"}', JSON, 400)
        return _json_reply(statuses, (("Link", link),) if link else ())

    def _page_reply(self, path: str) -> Reply:
        reply = self._pages.get(path, NOT_FOUND)
        if reply.busy and path not in self._seen_paths:
            self._seen_paths.add(path)
            return BUSY
        return reply


def _json_reply(value: Any, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(json.dumps(value, ensure_ascii=False).encode(), JSON, headers=headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], site: DemoSite) -> None:
        self.site = site
        try:
            super().__init__(address, _Handler)
        except OSError as error:
            raise UserError(
                "this port cannot be opened",
                {"port": address[1], "problem": error.strerror},
                "give another one with --port",
            ) from None


class _Handler(BaseHTTPRequestHandler):
    """Answers `GET /path` from browsers, and `GET http://host/path` from clients that use a proxy."""

    protocol_version = "HTTP/1.1"
    server_version = "GristmillDemo/1"
    # Else each answer waits 40 ms for the delayed acknowledgement of the client.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        host = address.netloc or self.headers.get("Host", "")
        query = f"?{address.query}" if address.query else ""
        target = f"{address.path or '/'}{query}"
        reply = self.server.site.reply(host, target)
        self._send(self._localize(reply, host), head_only=False)

    def do_HEAD(self) -> None:
        self._send(self.server.site.reply(self.headers.get("Host", ""), self.path), head_only=True)

    def _localize(self, reply: Reply, host: str) -> Reply:
        """Point links at this port when it was asked directly."""
        if host in HOSTS:
            return reply
        local_origin = f"http://{host}"
        body = reply.body
        headers = reply.headers
        for origin in (WIKI, NEWS, SOCIAL):
            body = body.replace(origin.encode(), local_origin.encode())
            headers = tuple((name, value.replace(origin, local_origin)) for name, value in headers)
        return replace(reply, body=body, headers=headers)

    def _send(self, reply: Reply, *, head_only: bool) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        if head_only:
            return
        if not reply.cut:
            self.wfile.write(reply.body)
            return
        self.wfile.write(reply.body[: len(reply.body) // 2])
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet: the crawler reports what it asked."""
