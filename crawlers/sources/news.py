"""News sites: robots.txt names sitemaps, sitemaps and feeds name articles; only pages of the same hosts are fetched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from scrapy.http import TextResponse

from crawlers.config import NewsSource
from crawlers.downloader.sites import unreachable
from crawlers.outcome import Ask, Found
from crawlers.sources.base import Said, SourceSpider, stored
from crawlers.sources.readers import (
    Sitemap,
    Unreadable,
    forbids_following,
    read_feed,
    read_links,
    read_sitemap,
    sitemap_urls,
)

if TYPE_CHECKING:
    from scrapy.http import Response

MOST_SITEMAPS = 200
"""Sitemaps of one file that are followed, the newest first."""
DEEPEST_SITEMAP = 4


def newest_first(sitemap: Sitemap) -> list[str]:
    """The addresses of a sitemap, news sitemaps and the latest dates first."""
    ordered = sorted(
        sitemap.entries,
        key=lambda entry: ("news" in entry[0].rsplit("/", 1)[-1], entry[1] or ""),
        reverse=True,
    )
    return [url for url, _ in ordered]


class NewsSpider(SourceSpider):
    """Articles of one publisher."""

    source: NewsSource

    def first(self) -> Iterator[Ask]:
        """Begin with robots.txt for the sitemaps, and with the feeds."""
        for site in self.source.sites:
            yield Ask(
                urljoin(site, "/robots.txt"),
                "parse_robots",
                facts={"door": "robots.txt", "any_status": True},
                priority=2,
            )
        for feed in self.source.feeds:
            yield Ask(feed, "parse_feed", priority=2)
        for site in self.source.sites if self.source.follow else ():
            yield Ask(urljoin(site, "/"), "parse_article", "html", document=True, again="documents")

    def parse_robots(self, response: Response) -> Iterator[Said]:
        """Follow the sitemaps that robots.txt names; where it cannot be had, the site is off limits (RFC 9309)."""
        if why := unreachable(response.status):
            yield from self.shut(response.url, "robots.txt", why)
            return
        text = response.body.decode("utf-8", "replace") if response.status == 200 else ""
        yield from self._sitemaps(sitemap_urls(text, response.meta["row"].url), 1)

    def _sitemaps(self, urls: Iterable[str], depth: int) -> Iterator[Ask]:
        """Ask for sitemaps, so many of one file and so deep that a site which names ever new ones comes to an end."""
        ours = [url for url in dict.fromkeys(urls) if self.is_ours(url)]
        if depth <= DEEPEST_SITEMAP and self._has_room():
            yield from (
                Ask(url, "parse_sitemap", facts={"depth": depth}, priority=1)
                for url in ours[:MOST_SITEMAPS]
            )

    def parse_sitemap(self, response: Response) -> Iterator[Said]:
        """Follow an index down, or ask for the articles."""
        try:
            sitemap = read_sitemap(response.body)
        except Unreadable as error:
            yield Found("quarantined", "unreadable_sitemap", where=f"{response.url} ({error})")
            return
        if sitemap.kind == "index":
            yield from self._sitemaps(
                newest_first(sitemap), response.meta["row"].facts.get("depth", 1) + 1
            )
        else:
            yield from self._articles(newest_first(sitemap))

    def parse_feed(self, response: Response) -> Iterator[Said]:
        """Ask for the articles of a feed."""
        try:
            yield from self._articles(read_feed(response.body, response.url))
        except Unreadable as error:
            yield Found("quarantined", "unreadable_feed", where=f"{response.url} ({error})")

    def _articles(self, urls: Iterable[str]) -> Iterator[Ask]:
        yield from (
            Ask(url, "parse_article", "html", document=True, again="documents")
            for url in urls
            if self.is_ours(url)
        )

    def parse_article(self, response: Response) -> Iterator[Said]:
        """Count the article; its bytes and evidence were captured when it arrived."""
        if response.meta["captured_as"] != "html":
            yield Found("dropped", "not_html")
        else:
            yield stored(response.meta["verdict"], len(response.body))
            yield from self._articles(self._links(response)) if self.source.follow else ()

    def _links(self, response: Response) -> list[str]:
        """The links of a page that may be followed."""
        told = b",".join(response.headers.getlist(b"X-Robots-Tag")).decode("latin-1")
        if not isinstance(response, TextResponse) or forbids_following(told):
            return []
        return read_links(response.selector, response.url)

    def _has_room(self) -> bool:
        limit = self.source.max_documents
        return limit is None or self.session.frontier.asked(self.source.name) < limit
