"""The public timeline of a Mastodon-compatible server, with the consent flags of every account.

https://docs.joinmastodon.org/methods/timelines/ describes the interface. Deletions and refusals reach the
takedown list, because every stored status is fetched once more by its id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

from pydantic import Field

from crawlers.downloader.request_metadata import get_metadata
from crawlers.rights import judge, status_signals
from crawlers.sources.base import SourceSpider, make_stored_result
from crawlers.sources.config import Genre, SourceConfig
from crawlers.sources.readers import find_next_link
from crawlers.spider_output import STATUS_URL, CrawlRequest, DocumentResult, SpiderOutput
from gristmill.captures.json_answer import UnreadableAnswer
from gristmill.captures.mastodon import read_mastodon

if TYPE_CHECKING:
    from scrapy.http import Response

STATUSES_A_PAGE = 40
"""The largest page that Mastodon serves."""


class MastodonSource(SourceConfig):
    """The public timeline of one Mastodon-compatible server.

    `recheck`: fetch every stored status again when documents are (`recrawl.documents`), for deletions
    and refusals.
    """

    type: Literal["mastodon"]
    genre: Genre = "social"
    server: str = Field(pattern=r"^https?://[^/\s]+$")
    local: bool = True
    recheck: bool = True

    @property
    def entry_urls(self) -> tuple[str, ...]:
        """The address of the server."""
        return (self.server,)


class MastodonSpider(SourceSpider):
    """Statuses of one server, newest first."""

    source: MastodonSource

    def first_requests(self) -> Iterator[CrawlRequest]:
        """Begin with the newest page."""
        # Not by the remaining budget: the address has to stay the same in every session.
        limit = min(STATUSES_A_PAGE, self.source.max_documents or STATUSES_A_PAGE)
        parameters = {"limit": str(limit)}
        if self.source.local:
            parameters["local"] = "true"
        url = f"{self.source.server}/api/v1/timelines/public?{urlencode(parameters)}"
        yield CrawlRequest(url, "parse_page", "mastodon-api")

    def parse_page(self, response: Response) -> Iterator[SpiderOutput]:
        """Count the statuses of one page; the next page is in the Link header."""
        try:
            answer = read_mastodon(response.body)
            if answer.error is not None:
                raise UnreadableAnswer(f"the server answered with an error: {answer.error}")
        except UnreadableAnswer as error:
            details = f"{response.url} ({error})"
            yield DocumentResult("quarantined", "unreadable_answer", details=details)
            return
        # Statuses older than a known one were requested when that one was met.
        reached_known = False
        for status in answer.statuses:
            yield self._judge_status(status, response.url)
            recheck = self._make_recheck(status)
            if recheck is not None:
                reached_known = reached_known or self._is_known(recheck)
                yield recheck
        header = b", ".join(response.headers.getlist(b"Link")).decode("latin-1")
        next_page = find_next_link(header, response.url)
        if not answer.statuses or next_page is None or not self.is_own_url(next_page):
            return
        if self.remaining_documents > len(answer.statuses) and not reached_known:
            yield CrawlRequest(next_page, "parse_page", "mastodon-api", recrawl_interval="never")

    def _is_known(self, request: CrawlRequest) -> bool:
        fingerprint = request.fingerprint(self.source.name)
        return self.context.frontier.queue.find(fingerprint) is not None

    def _make_recheck(self, status: object) -> CrawlRequest | None:
        """Request a status once more, later: it may be deleted, or its account may refuse by then."""
        if not self.source.recheck or not isinstance(status, Mapping):
            return None
        id = status.get("id")
        url = status.get("url")
        if not isinstance(id, str) or not isinstance(url, str):
            return None
        if not re.fullmatch(r"[\w-]+", id):
            return None
        return CrawlRequest(
            f"{self.source.server}/api/v1/statuses/{id}",
            "parse_status",
            facts={STATUS_URL: url},
            recrawl_interval="documents",
            is_deferred=True,
        )

    def parse_status(self, response: Response) -> Iterator[SpiderOutput]:
        """Take a status down whose account refuses now; a deleted one answers 404, and is not read."""
        status = json.loads(response.body)
        verdict = judge(status_signals(status), self.context.policy)
        if verdict.refused == "opt_out":
            self.take_down(get_metadata(response).queued_request, "opt_out")
        yield from ()

    def _judge_status(self, status: object, url: str) -> DocumentResult:
        content = status.get("content") if isinstance(status, Mapping) else None
        if not isinstance(status, Mapping) or not isinstance(content, str):
            details = f"{url} (a status without content)"
            return DocumentResult("quarantined", "broken_item", details=details)
        verdict = judge(status_signals(status), self.context.policy)
        return make_stored_result(verdict, len(content))
