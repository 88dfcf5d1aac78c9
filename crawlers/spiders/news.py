"""News sites: robots.txt names sitemaps, sitemaps and feeds name articles; only pages of the same hosts are fetched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from crawlers.config import NewsSource
from crawlers.robots import unreachable
from crawlers.spiders.base import SourceSpider
from crawlers.spiders.readers import Sitemap, Unreadable, read_feed, read_sitemap, sitemap_urls

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

MOST_SITEMAPS = 200


def newest_first(sitemap: Sitemap) -> list[str]:
    """The addresses of a sitemap, news sitemaps and the latest dates first."""
    ordered = sorted(
        sitemap.entries, key=lambda entry: ("news" in entry[0].rsplit("/", 1)[-1], entry[1] or ""), reverse=True
    )
    return [url for url, _ in ordered]


class NewsSpider(SourceSpider):
    """Articles of one publisher."""

    source: NewsSource

    @classmethod
    def doors(cls, source: NewsSource) -> tuple[str, ...]:
        """Its sites and feeds."""
        return (*source.sites, *source.feeds)

    async def start(self) -> AsyncIterator[Request]:
        """Begin with robots.txt for the sitemaps, and with the feeds."""
        self._sitemaps: set[str] = set()
        for site in self.source.sites:
            yield self.ask(
                urljoin(site, "/robots.txt"),
                "discovery",
                self.parse_robots,
                door="robots.txt",
                dont_obey_robotstxt=True,
                handle_httpstatus_all=True,
            )
        for feed in self.source.feeds:
            yield self.ask(feed, "discovery", self.parse_feed)

    def parse_robots(self, response: Response) -> Iterator[Request]:
        """Follow the sitemaps that robots.txt names; where it cannot be had, the site is off limits (RFC 9309)."""
        if why := unreachable(response.status):
            self.shut(response.url, "robots.txt", why)
            return
        text = response.body.decode("utf-8", "replace") if response.status == 200 else ""
        yield from self._ask_sitemaps(sitemap_urls(text, response.url))

    def _ask_sitemaps(self, urls: Iterable[str]) -> Iterator[Request]:
        for url in urls:
            if (
                self.is_ours(url)
                and url not in self._sitemaps
                and len(self._sitemaps) < MOST_SITEMAPS
                and not self._budget_spent()
            ):
                self._sitemaps.add(url)
                yield self.ask(url, "discovery", self.parse_sitemap)

    def parse_sitemap(self, response: Response) -> Iterator[Request]:
        """Follow an index down, or ask for the articles."""
        try:
            sitemap = read_sitemap(response.body)
        except Unreadable as error:
            self.session.failed(self.source, "unreadable_sitemap", f"{response.url} ({error})")
            return
        follow = self._ask_sitemaps if sitemap.kind == "index" else self._ask_articles
        yield from follow(newest_first(sitemap))

    def parse_feed(self, response: Response) -> Iterator[Request]:
        """Ask for the articles of a feed."""
        try:
            yield from self._ask_articles(read_feed(response.body, response.url))
        except Unreadable as error:
            self.session.failed(self.source, "unreadable_feed", f"{response.url} ({error})")

    def _ask_articles(self, urls: Iterable[str]) -> Iterator[Request]:
        for url in urls:
            if self.is_ours(url) and self.new(url):
                yield self.ask(url, "html", self.parse_article)

    def parse_article(self, response: Response) -> None:
        """Count the article; its bytes and evidence were captured when it arrived."""
        if response.meta["captured_as"] != "html":
            self.session.dropped(self.source, "not_html")
        else:
            self.session.stored(self.source, response.meta["verdict"], len(response.body))

    def _budget_spent(self) -> bool:
        limit = self.source.max_documents
        return limit is not None and len(self._seen) >= limit
