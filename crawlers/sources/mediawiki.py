"""MediaWiki through its API: articles by category or all of them, with the wiki's licence.

The API is offered to programs under its own rules (API:Etiquette: serial requests, maxlag, a contact
address in the User-Agent). Wikipedia's robots.txt is written for page crawlers and excludes its path, so
robots.txt is not asked here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

from pydantic import Field, JsonValue

from crawlers.downloader.request_metadata import get_metadata
from crawlers.downloader.retry_after import retry_after_of
from crawlers.rights import judge, rightsinfo_signals
from crawlers.sources.base import SourceSpider, make_stored_result
from crawlers.sources.config import Genre, SourceConfig
from crawlers.spider_output import (
    ENTRY_POINT,
    RIGHTS_SIGNALS,
    CrawlRequest,
    DocumentResult,
    RetryLater,
    SpiderOutput,
)
from gristmill.captures.json_answer import UnreadableAnswer
from gristmill.captures.mediawiki import MediaWikiAnswer, read_mediawiki

if TYPE_CHECKING:
    from scrapy.http import Response

PAGES_A_REQUEST = 50
"""The limit of the API for clients without special rights."""
LAG_SECONDS = 5
"""Replication lag from which on a wiki may refuse (`maxlag`), as API:Etiquette recommends."""
MOST_LAGS = 10
"""Times a request is repeated because the wiki is behind."""
COMMON_QUERY = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "maxlag": str(LAG_SECONDS),
}
CONTENT_QUERY = {
    "prop": "revisions|info",
    "rvprop": "ids|timestamp|user|sha1|content",
    "rvslots": "main",
    "inprop": "url",
}


class MediaWikiSource(SourceConfig):
    """One MediaWiki: all its articles, or the articles of some categories."""

    type: Literal["mediawiki"]
    genre: Genre = "wiki"
    api: str = Field(pattern=r"^https?://\S+/api\.php$")
    categories: tuple[str, ...] = ()

    @property
    def entry_urls(self) -> tuple[str, ...]:
        """The address of the API."""
        return (self.api,)


def make_site_query() -> dict[str, str]:
    """Ask what the wiki is, and which licence its texts have."""
    return {**COMMON_QUERY, "meta": "siteinfo", "siprop": "general|rightsinfo"}


def make_page_query(category: str | None, pages: int = PAGES_A_REQUEST) -> dict[str, str]:
    """Ask for articles with their text: those of a category, or all that are not redirects."""
    if category is None:
        generator = {
            "generator": "allpages",
            "gapnamespace": "0",
            "gapfilterredir": "nonredirects",
            "gaplimit": str(pages),
        }
    else:
        generator = {
            "generator": "categorymembers",
            "gcmtitle": category,
            "gcmnamespace": "0",
            "gcmtype": "page",
            "gcmlimit": str(pages),
        }
    return {**COMMON_QUERY, **CONTENT_QUERY, **generator}


class MediaWikiSpider(SourceSpider):
    """Articles of one wiki."""

    source: MediaWikiSource
    needs_robots = False

    def first_requests(self) -> Iterator[CrawlRequest]:
        """Begin with the licence: it belongs to every page."""
        query = make_site_query()
        yield CrawlRequest(
            self._url(query),
            "parse_site",
            facts={"query": _as_json(query), ENTRY_POINT: "API"},
        )

    def _url(self, query: Mapping[str, str]) -> str:
        return f"{self.source.api}?{urlencode(query)}"

    def _request_batch(self, query: Mapping[str, str], signals: JsonValue) -> CrawlRequest:
        return CrawlRequest(
            self._url(query),
            "parse_batch",
            "mediawiki-api",
            facts={"query": _as_json(query), RIGHTS_SIGNALS: signals},
            recrawl_interval="documents",
        )

    def parse_site(self, response: Response) -> Iterator[SpiderOutput]:
        """Read the licence, then request the first batch of each category."""
        answer = yield from self._read_answer(response)
        if answer is None:
            return
        signals: JsonValue = [
            [signal.signal, signal.value] for signal in rightsinfo_signals(answer.query or {})
        ]
        # Not by the remaining budget: the address has to stay the same in every session.
        pages = min(PAGES_A_REQUEST, self.source.max_documents or PAGES_A_REQUEST)
        for category in self.source.categories or (None,):
            yield self._request_batch(make_page_query(category, pages), signals)

    def parse_batch(self, response: Response) -> Iterator[SpiderOutput]:
        """Count the pages of one batch, and request the next."""
        answer = yield from self._read_answer(response)
        if answer is None:
            return
        metadata = get_metadata(response)
        verdict = judge(metadata.rights_signals, self.context.policy)
        pages = answer.pages_with_content
        for page in pages:
            yield make_stored_result(verdict, len(str(page["revisions"])))
        if answer.continuation and self.remaining_documents > len(pages):
            facts = metadata.queued_request.facts
            query = {**_as_query(facts["query"]), **answer.continuation}
            yield self._request_batch(query, facts[RIGHTS_SIGNALS])

    def _read_answer(
        self, response: Response
    ) -> Generator[SpiderOutput, None, MediaWikiAnswer | None]:
        """Read an answer; None if it is unreadable, an error, or a wiki that is behind (maxlag)."""
        try:
            answer = read_mediawiki(response.body)
        except UnreadableAnswer as error:
            details = f"{response.url} ({error})"
            yield DocumentResult("quarantined", "unreadable_answer", details=details)
            return None
        if answer.error is None:
            return answer
        # The ledger's word for an error without a code.
        code = "unknown" if answer.error == "unnamed" else answer.error
        reason = f"api_{code}"
        if answer.error in ("maxlag", "ratelimited"):
            seconds = retry_after_of(response) or LAG_SECONDS
            yield RetryLater(seconds, MOST_LAGS, reason, response.url)
        else:
            yield DocumentResult("quarantined", reason, details=response.url)
        return None


def _as_json(query: Mapping[str, str]) -> JsonValue:
    return dict(query)


def _as_query(value: JsonValue) -> dict[str, str]:
    """The query of a request, as its facts hold it."""
    if not isinstance(value, dict):
        raise TypeError(f"the query of a request is {value!r}")
    return {key: str(parameter) for key, parameter in value.items()}
