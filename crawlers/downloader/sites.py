"""The middleware that reads the rules of a site before its first page, and refuses what they forbid.

The rules (robots.txt, tdmrep.json, ai.txt) are read once a day for each origin and kept in the frontier.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scrapy import Request

from crawlers.downloader.addresses import host_of, origin_of
from crawlers.downloader.failures import describe_failure
from crawlers.downloader.refusals import ForbiddenByRobots, HostPaused, RobotsUnreachable
from crawlers.downloader.request_metadata import META_KEY, RequestMetadata, get_metadata
from crawlers.downloader.retry_after import choose_back_off
from crawlers.downloader.robots import describe_unavailable
from crawlers.downloader.site_rules import (
    AI_PATH,
    RESERVATIONS_PATH,
    ROBOTS_PATH,
    FileAnswer,
    SiteAnswers,
    SiteRules,
    pack_answers,
    read_site_rules,
    unpack_answers,
)
from crawlers.downloader.spider import context_of, spider_of
from crawlers.frontier.hosts import StoredSite
from crawlers.product import PRODUCT
from crawlers.spider_output import FetchResult

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

DAY, HOUR = 86400.0, 3600.0
"""Seconds that what was read holds (RFC 9309, 2.4), and that a failure to read it does."""
LONGEST_CRAWL_DELAY = 60.0
"""Seconds of a Crawl-delay that are respected at most."""
ROBOTS_REDIRECTS = 5
"""Redirects of robots.txt that are followed, to other hosts too (RFC 9309, 2.3.1.2)."""


class SiteMiddleware:
    """Reads the rules of a site before its first page, and refuses what robots.txt forbids."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._rules: dict[str, tuple[float, SiteRules]] = {}  # with the moment they expire
        self._reading: dict[str, asyncio.Future[SiteRules]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> SiteMiddleware:
        """Make one, as Scrapy asks for it."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Refuse forbidden requests; note for the others what the site says about them."""
        metadata = get_metadata(request)
        if metadata.any_host or not metadata.needs_robots:
            return
        rules = await self._get_rules(request)
        if rules.unreachable:
            self._refuse_unreachable(request, rules.unreachable)
        if not rules.robots.permits(PRODUCT, request.url):
            raise ForbiddenByRobots("forbidden by robots.txt")
        metadata.site_signals = tuple(rules.iter_signals(request.url))

    def _refuse_unreachable(self, request: Request, problem: str) -> None:
        seconds = context_of(self.crawler).hosts.seconds_to_wait(host_of(request.url))
        if seconds:
            raise HostPaused(f"robots.txt unreachable ({problem}), {seconds:.0f} s to wait")
        raise RobotsUnreachable(problem)

    async def _get_rules(self, request: Request) -> SiteRules:
        scheme = urlsplit(request.url).scheme
        origin = f"{scheme}://{origin_of(request.url)}"
        if origin in self._reading:
            # Shielded: one request that is cancelled must not cancel the reading of all.
            return await asyncio.shield(self._reading[origin])
        expires_at, rules = self._rules.get(origin, (0.0, SiteRules()))
        if expires_at > context_of(self.crawler).clock():
            return rules
        self._reading[origin] = asyncio.ensure_future(self._read_rules(origin, request.url))
        try:
            return await self._reading[origin]
        finally:
            del self._reading[origin]

    async def _read_rules(self, origin: str, url: str) -> SiteRules:
        """Read the rules of an origin from the frontier, or from the site if they are a day old."""
        context = context_of(self.crawler)
        stored = context.frontier.hosts.read_site(origin)
        now = context.clock()
        # An hour of tolerance: the clock may have been set back a little since.
        if stored is None or not stored.read_at - HOUR <= now < stored.read_at + DAY:
            site = StoredSite(now, await self._fetch_files(origin))
        else:
            site = stored
        rules = read_site_rules(*unpack_answers(site.answers))
        host = host_of(url)
        if rules.unreachable and stored is not None:
            # It was open before: its requests wait for it, they have not failed.
            context.hosts.back_off(host, HOUR)
        crawl_delay = rules.robots.crawl_delay(PRODUCT)
        if crawl_delay:
            crawl_delay = min(crawl_delay, LONGEST_CRAWL_DELAY)
        context.hosts.note_robots(host, crawl_delay)
        expires_at = now + HOUR if rules.unreachable else site.read_at + DAY
        self._rules[origin] = expires_at, rules
        return rules

    async def _fetch_files(self, origin: str) -> str:
        """Fetch and store the files of a site, packed; a failure is kept in this session only."""
        context = context_of(self.crawler)
        source = spider_of(self.crawler).source
        result = FetchResult()
        answers: SiteAnswers = {}
        failure = None
        try:
            answers[ROBOTS_PATH] = await self._fetch(f"{origin}{ROBOTS_PATH}", result)
        except Exception as error:  # whatever broke: nobody gave permission
            failure = describe_failure(error)
        is_reached = failure is None and not describe_unavailable(answers[ROBOTS_PATH].status)
        if is_reached and source.has_web_pages:
            for path in (RESERVATIONS_PATH, AI_PATH):
                answers[path] = await self._fetch_optional(f"{origin}{path}", result)
        packed = pack_answers(answers, failure)
        if is_reached:
            context.save_site(source, origin, packed, result)
        else:
            context.add_results(source, result)
        return packed

    async def _fetch_optional(self, url: str, result: FetchResult) -> FileAnswer:
        """Fetch a file that few sites have; any failure counts as none."""
        try:
            return await self._fetch(url, result)
        except Exception:
            return FileAnswer(0, b"")

    async def _fetch(self, url: str, result: FetchResult) -> FileAnswer:
        metadata = RequestMetadata(any_host=True, captures=result.captures)
        meta = {META_KEY: metadata, "redirect_ttl": ROBOTS_REDIRECTS}
        request = Request(url, meta=meta, dont_filter=True)
        response: Response = await self.crawler.engine.download_async(request)
        if response.status in (429, 503) and b"Retry-After" in response.headers:
            context = context_of(self.crawler)
            context.hosts.back_off(host_of(response.url), choose_back_off(response, context))
        return FileAnswer(response.status, response.body)
