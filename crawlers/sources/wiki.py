"""MediaWiki through its API: articles by category or all of them, with revision ids and the wiki's licence.

The API is offered to programs under rules of its own (API:Etiquette: serial requests, maxlag, a contact address in the
User-Agent), and Wikipedia's robots.txt, written for page crawlers, excludes its path; so robots.txt is not asked here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from crawlers.config import WikiSource
from crawlers.downloader.politeness import retry_after
from crawlers.outcome import Ask, Found, Interval
from crawlers.rights import judge, rightsinfo_signals
from crawlers.sources.base import Repeat, Said, SourceSpider, stored
from crawlers.sources.readers import Unreadable, WikiBatch, read_wiki

if TYPE_CHECKING:
    from scrapy.http import Response

PAGES_A_CALL = 50
LAG_SECONDS = 5
MOST_LAGS = 10
COMMON = {"action": "query", "format": "json", "formatversion": "2", "maxlag": str(LAG_SECONDS)}
CONTENT = {
    "prop": "revisions|info",
    "rvprop": "ids|timestamp|user|sha1|content",
    "rvslots": "main",
    "inprop": "url",
}


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

    def first(self) -> Iterator[Ask]:
        """Begin with the licence: it belongs to every page."""
        yield self._call(site_query(), "discovery", "parse_site", door="API")

    def _call(self, query: Mapping[str, str], format: str, reader: str, **facts: object) -> Ask:
        again: Interval = "discovery" if format == "discovery" else "documents"
        return Ask(
            f"{self.source.api}?{urlencode(query)}",
            reader,
            format,
            {"query": dict(query), **facts},
            again=again,
        )

    def parse_site(self, response: Response) -> Iterator[Said]:
        """Read the licence, then ask for the first batch of each category."""
        batch = yield from self._batch(response)
        if batch is None:
            return
        found = [[signal.signal, signal.value] for signal in rightsinfo_signals(batch.query)]
        pages = min(
            PAGES_A_CALL, self.source.max_documents or PAGES_A_CALL
        )  # not by `room`: the address stays the same
        for category in self.source.categories or (None,):
            yield self._call(
                page_query(category, pages), "mediawiki-api", "parse_batch", signals=found
            )

    def parse_batch(self, response: Response) -> Iterator[Said]:
        """Count the pages of one batch and ask for the next."""
        batch = yield from self._batch(response)
        if batch is None:
            return
        verdict = judge(response.meta["signals"], self.session.policy)
        for page in batch.pages:
            yield stored(verdict, len(str(page["revisions"])))
        if batch.cursor and self.room > len(batch.pages):
            facts = response.meta["row"].facts
            yield self._call(
                {**facts["query"], **batch.cursor},
                "mediawiki-api",
                "parse_batch",
                signals=facts["signals"],
            )

    def _batch(self, response: Response) -> Generator[Said, None, WikiBatch | None]:
        """The answer, or None where it is none: unreadable, an error, or a wiki that is behind (maxlag) and asked again."""
        try:
            batch = read_wiki(response.body)
        except Unreadable as error:
            yield Found("quarantined", "unreadable_answer", where=f"{response.url} ({error})")
            return None
        if batch.error in ("maxlag", "ratelimited"):
            header = (response.headers.get(b"Retry-After") or b"").decode("latin-1")
            seconds = retry_after(header, datetime.now(UTC)) or LAG_SECONDS
            yield Repeat(seconds, MOST_LAGS, f"api_{batch.error}", response.url)
        elif batch.error:
            yield Found("quarantined", f"api_{batch.error}", where=response.url)
        return None if batch.error else batch
