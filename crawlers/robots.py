"""robots.txt after RFC 9309: Scrapy's middleware and Protego, with what they leave out.

A server error or an unreachable robots.txt means "complete disallow" (2.3.1.4), a missing one "all allowed" (2.3.1.3);
Crawl-delay, though no part of the RFC, is kept. Scrapy 2.19 itself goes on fetching in the first case (measured).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.robotstxt import ProtegoRobotParser
from twisted.internet.defer import Deferred

from crawlers.failures import words_for
from crawlers.politeness import place_of

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

DISALLOW_ALL = b"User-agent: *\nDisallow: /\n"
LARGEST = 500 << 10
LONGEST_CRAWL_DELAY = 60.0


def effective_rules(status: int, body: bytes) -> bytes:
    """The rules that a robots.txt answer stands for."""
    if unreachable(status):
        return DISALLOW_ALL
    return body[:LARGEST] if status == 200 else b""


def unreachable(status: int) -> str | None:
    """What is wrong with a robots.txt that the server failed to give; None where it answered, be it with "there is none"."""
    return f"HTTP {status}" if status >= 500 or status == 429 else None


class RobotsMiddleware(RobotsTxtMiddleware):
    """Asks robots.txt before the first page of a host and applies what it says, crawl delay included."""

    async def _parse_robots(self, response: Response, netloc: str, request: Request) -> None:
        parser = ProtegoRobotParser.from_crawler(self.crawler, effective_rules(response.status, response.body))
        if why := unreachable(response.status):
            self._close(request.url, why)
        delay = parser.crawl_delay(self._robotstxt_useragent or self._default_useragent)
        if delay:
            host = netloc.rpartition("@")[2].partition(":")[0]
            self.crawler.spider.crawl_delays[host] = min(delay, LONGEST_CRAWL_DELAY)
        self._settle(netloc, parser)

    def _robots_error(self, exc: Exception, netloc: str) -> None:
        self._close(f"//{netloc}", words_for(exc))
        self._settle(netloc, ProtegoRobotParser.from_crawler(self.crawler, DISALLOW_ALL))

    def _close(self, url: str, why: str) -> None:
        """Remember why a host is off limits: a failure of its server is no refusal by its owner."""
        unreachable = self.crawler.spider.session.unreachable
        unreachable[place_of(url)] = f"robots.txt unreachable ({why}); nothing was fetched"

    def _settle(self, netloc: str, parser: Any) -> None:
        waiting = self._parsers[netloc]
        assert isinstance(waiting, Deferred)
        self._parsers[netloc] = parser
        waiting.callback(parser)
