"""News sites: robots.txt names sitemaps, sitemaps and feeds name articles.

Only pages on the hosts of the source are fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import urljoin

from pydantic import model_validator

from crawlers.downloader.request_metadata import get_metadata
from crawlers.downloader.robots import describe_unavailable
from crawlers.sources.base import SourceSpider, make_stored_result, report_unreachable
from crawlers.sources.config import Genre, SourceConfig
from crawlers.sources.readers import (
    Sitemap,
    Unreadable,
    find_sitemap_urls,
    forbids_following,
    read_feed,
    read_links,
    read_sitemap,
)
from crawlers.spider_output import (
    ANY_STATUS,
    ENTRY_POINT,
    CrawlRequest,
    DocumentResult,
    SpiderOutput,
)

if TYPE_CHECKING:
    from scrapy.http import Response

MOST_SITEMAPS = 200
"""Sitemaps of one file that are followed, the newest first."""
DEEPEST_SITEMAP = 4
"""Levels of sitemap indexes that are followed: a site that names ever new ones comes to an end."""


class NewsSource(SourceConfig):
    """One news publisher: sites whose robots.txt names sitemaps, and RSS or Atom feeds.

    `follow`: begin with the front pages of the sites too, and follow the links of pages on their hosts.
    """

    type: Literal["news"]
    genre: Genre = "news"
    sites: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()
    follow: bool = False

    has_web_pages: ClassVar[bool] = True

    @model_validator(mode="after")
    def _check_entry_urls(self) -> NewsSource:
        if not self.entry_urls:
            raise ValueError("a news source needs `sites` or `feeds`")
        for url in self.entry_urls:
            if not re.match(r"https?://[^/\s]+", url):
                raise ValueError(f"not an http address: {url!r}")
        return self

    @property
    def entry_urls(self) -> tuple[str, ...]:
        """Sites and feeds."""
        return (*self.sites, *self.feeds)


def sort_newest_first(sitemap: Sitemap) -> list[str]:
    """Return the addresses of a sitemap: news sitemaps first, then those with the latest dates."""

    def sort_key(entry: tuple[str, str | None]) -> tuple[bool, str]:
        url, date = entry
        file_name = url.rsplit("/", 1)[-1]
        return "news" in file_name, date or ""

    newest_first = sorted(sitemap.entries, key=sort_key, reverse=True)
    return [url for url, _ in newest_first]


class NewsSpider(SourceSpider):
    """Articles of one publisher."""

    source: NewsSource

    def first_requests(self) -> Iterator[CrawlRequest]:
        """Begin with robots.txt for the sitemaps, and with the feeds."""
        for site in self.source.sites:
            yield CrawlRequest(
                urljoin(site, "/robots.txt"),
                "parse_robots",
                facts={ENTRY_POINT: "robots.txt", ANY_STATUS: True},
                priority=2,
            )
        for feed in self.source.feeds:
            yield CrawlRequest(feed, "parse_feed", priority=2)
        if self.source.follow:
            for site in self.source.sites:
                yield _request_article(urljoin(site, "/"))

    def parse_robots(self, response: Response) -> Iterator[SpiderOutput]:
        """Follow the sitemaps of robots.txt; if it cannot be fetched, nothing is (RFC 9309)."""
        problem = describe_unavailable(response.status)
        if problem:
            yield from report_unreachable(response.url, "robots.txt", problem)
            return
        text = response.body.decode("utf-8", "replace") if response.status == 200 else ""
        # Relative addresses belong to the site that was asked, wherever a redirect led.
        site = get_metadata(response).queued_request.url
        yield from self._request_sitemaps(find_sitemap_urls(text, site), 1)

    def _request_sitemaps(self, urls: Iterable[str], depth: int) -> Iterator[CrawlRequest]:
        """Request the sitemaps of one file, as many and as deep as the limits above allow."""
        if depth > DEEPEST_SITEMAP or not self._has_budget():
            return
        own_urls = [url for url in dict.fromkeys(urls) if self.is_own_url(url)]
        for url in own_urls[:MOST_SITEMAPS]:
            yield CrawlRequest(url, "parse_sitemap", facts={"depth": depth}, priority=1)

    def parse_sitemap(self, response: Response) -> Iterator[SpiderOutput]:
        """Follow an index down, or request the articles."""
        try:
            sitemap = read_sitemap(response.body)
        except Unreadable as error:
            details = f"{response.url} ({error})"
            yield DocumentResult("quarantined", "unreadable_sitemap", details=details)
            return
        urls = sort_newest_first(sitemap)
        if sitemap.is_index:
            depth = get_metadata(response).queued_request.facts.get("depth")
            level = depth if isinstance(depth, int) else 1
            yield from self._request_sitemaps(urls, level + 1)
        else:
            yield from self._request_articles(urls)

    def parse_feed(self, response: Response) -> Iterator[SpiderOutput]:
        """Request the articles of a feed."""
        try:
            urls = read_feed(response.body, response.url)
        except Unreadable as error:
            details = f"{response.url} ({error})"
            yield DocumentResult("quarantined", "unreadable_feed", details=details)
            return
        yield from self._request_articles(urls)

    def _request_articles(self, urls: Iterable[str]) -> Iterator[CrawlRequest]:
        for url in urls:
            if self.is_own_url(url):
                yield _request_article(url)

    def parse_article(self, response: Response) -> Iterator[SpiderOutput]:
        """Count the article; its bytes and evidence were captured when it arrived."""
        metadata = get_metadata(response)
        if metadata.captured_as != "html":
            yield DocumentResult("dropped", "not_html")
            return
        yield make_stored_result(metadata.verdict, len(response.body))
        if self.source.follow:
            yield from self._request_articles(_find_links(response))

    def _has_budget(self) -> bool:
        limit = self.source.max_documents
        if limit is None:
            return True
        return self.context.frontier.queue.count_documents(self.source.name) < limit


def _request_article(url: str) -> CrawlRequest:
    return CrawlRequest(
        url,
        "parse_article",
        "html",
        is_document=True,
        recrawl_interval="documents",
    )


def _find_links(response: Response) -> list[str]:
    """The links of a page that its headers and its HTML allow to follow."""
    # Imported here: configurations, which import this module, are read without Scrapy too.
    from scrapy.http import TextResponse

    directives = b",".join(response.headers.getlist(b"X-Robots-Tag")).decode("latin-1")
    if not isinstance(response, TextResponse) or forbids_following(directives):
        return []
    return read_links(response.selector, response.url)
