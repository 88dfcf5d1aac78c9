"""MediaWiki through its API: articles by category or all of them, with revision ids and the wiki's licence.

The API is offered to programs under rules of its own (API:Etiquette: serial requests, maxlag, a contact address in the
User-Agent), and Wikipedia's robots.txt, written for page crawlers, excludes its path; so robots.txt is not asked here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from crawlers.config import WikiSource
from crawlers.politeness import host_of, retry_after
from crawlers.rights import judge, rightsinfo_signals
from crawlers.session import LONGEST_PAUSE
from crawlers.spiders.base import SourceSpider
from crawlers.spiders.readers import Unreadable, WikiBatch, read_wiki

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

PAGES_A_CALL = 50
LAG_SECONDS = 5
MOST_LAGS = 10
COMMON = {"action": "query", "format": "json", "formatversion": "2", "maxlag": str(LAG_SECONDS)}
CONTENT = {"prop": "revisions|info", "rvprop": "ids|timestamp|user|sha1|content", "rvslots": "main", "inprop": "url"}


def site_query() -> dict[str, str]:
    """Ask what the wiki is and under which licence it stands."""
    return {**COMMON, "meta": "siteinfo", "siprop": "general|rightsinfo"}


def page_query(category: str | None, pages: int = PAGES_A_CALL) -> dict[str, str]:
    """Ask for articles with their text: of one category, or all that are no redirects."""
    if category is None:
        chosen = {
            "generator": "allpages",
            "gapnamespace": "0",
            "gapfilterredir": "nonredirects",
            "gaplimit": str(pages),
        }
    else:
        chosen = {
            "generator": "categorymembers",
            "gcmtitle": category,
            "gcmnamespace": "0",
            "gcmtype": "page",
            "gcmlimit": str(pages),
        }
    return {**COMMON, **CONTENT, **chosen}


class WikiSpider(SourceSpider):
    """Articles of one wiki."""

    source: WikiSource
    robots = "api"

    @classmethod
    def doors(cls, source: WikiSource) -> tuple[str, ...]:
        """Its API."""
        return (source.api,)

    async def start(self) -> AsyncIterator[Request]:
        """Begin with the licence: it belongs to every page."""
        yield self._call(site_query(), "discovery", self.parse_site, door="API")

    def _call(self, query: Mapping[str, str], format: str, callback: object, **meta: object) -> Request:
        return self.ask(f"{self.source.api}?{urlencode(query)}", format, callback, query=dict(query), **meta)  # type: ignore[arg-type]

    def parse_site(self, response: Response) -> Iterator[Request]:
        """Read the licence, then ask for the first batch of each category."""
        if (batch := self._read(response)) is None:
            return
        if batch.error:
            yield from self._again(response, batch.error, self.parse_site)
            return
        found = rightsinfo_signals(batch.query)
        pages = min(PAGES_A_CALL, self.room)
        for category in self.source.categories or (None,):
            yield self._call(page_query(category, pages), "mediawiki-api", self.parse_batch, signals=found)

    def parse_batch(self, response: Response) -> Iterator[Request]:
        """Count the pages of one batch and ask for the next."""
        if (batch := self._read(response)) is None:
            return
        if batch.error:
            yield from self._again(response, batch.error, self.parse_batch)
            return
        verdict = judge(self.signals_of(response), self.session.policy)
        for page in batch.pages:
            self.session.stored(self.source, verdict, len(str(page["revisions"])))
        if batch.cursor and self.room:
            query = {**response.meta["query"], **batch.cursor}
            yield self._call(query, "mediawiki-api", self.parse_batch, signals=response.meta["signals"])

    def _read(self, response: Response) -> WikiBatch | None:
        try:
            return read_wiki(response.body)
        except Unreadable as error:
            self.session.failed(self.source, "unreadable_answer", f"{response.url} ({error})")
            return None

    def _again(self, response: Response, error: str, callback: object) -> Iterator[Request]:
        """Wait and repeat where the wiki is behind (maxlag); any other error ends this branch."""
        lags = response.meta.get("lags", 0)
        if error not in ("maxlag", "ratelimited") or lags >= MOST_LAGS:
            self.session.failed(self.source, f"api_{error}", response.url)
            return
        header = (response.headers.get(b"Retry-After") or b"").decode("latin-1")
        seconds = retry_after(header, datetime.now(UTC)) or LAG_SECONDS
        self.session.hold(host_of(response.url), min(seconds, LONGEST_PAUSE))
        facts = {"signals": response.meta["signals"]} if "signals" in response.meta else {}
        yield self._call(response.meta["query"], response.meta["format"], callback, lags=lags + 1, **facts)
