"""The public timeline of a Mastodon-compatible server, page by page, with every account's consent flags in the evidence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from crawlers.config import SocialSource
from crawlers.rights import judge, status_signals
from crawlers.spiders.base import SourceSpider
from crawlers.spiders.readers import Unreadable, next_link, read_timeline

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

STATUSES_A_PAGE = 40


class SocialSpider(SourceSpider):
    """Statuses of one server, newest first."""

    source: SocialSource

    @classmethod
    def doors(cls, source: SocialSource) -> tuple[str, ...]:
        """Its server."""
        return (source.server,)

    async def start(self) -> AsyncIterator[Request]:
        """Begin with the newest page."""
        size = min(STATUSES_A_PAGE, self.room)
        query = urlencode({"limit": size, **({"local": "true"} if self.source.local else {})})
        yield self.ask(f"{self.source.server}/api/v1/timelines/public?{query}", "mastodon-api", self.parse_page)

    def parse_page(self, response: Response) -> Iterator[Request]:
        """Count the statuses of one page; the next page is in the Link header."""
        try:
            found = read_timeline(response.body)
        except Unreadable as error:
            self.session.failed(self.source, "unreadable_answer", f"{response.url} ({error})")
            return
        for status in found:
            self._count(status, response.url)
        header = b", ".join(response.headers.getlist(b"Link")).decode("latin-1")
        following = next_link(header, response.url)
        if found and following and self.room:
            yield self.ask(following, "mastodon-api", self.parse_page)

    def _count(self, status: Any, where: str) -> None:
        if not isinstance(status, Mapping) or not isinstance(status.get("content"), str):
            self.session.failed(self.source, "broken_item", f"{where} (a status without content)")
        else:
            self.session.stored(self.source, judge(status_signals(status), self.session.policy), len(status["content"]))
