"""The public timeline of a Mastodon-compatible server, page by page, with every account's consent flags in the evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from crawlers.config import SocialSource
from crawlers.outcome import Ask, Found
from crawlers.rights import judge, status_signals
from crawlers.sources.base import Said, SourceSpider, stored
from crawlers.sources.readers import Unreadable, next_link, read_timeline

if TYPE_CHECKING:
    from scrapy.http import Response

STATUSES_A_PAGE = 40


class SocialSpider(SourceSpider):
    """Statuses of one server, newest first."""

    source: SocialSource

    def first(self) -> Iterator[Ask]:
        """Begin with the newest page."""
        size = min(
            STATUSES_A_PAGE, self.source.max_documents or STATUSES_A_PAGE
        )  # not `room`: a call that goes on asks the same
        query = urlencode({"limit": size, **({"local": "true"} if self.source.local else {})})
        yield Ask(
            f"{self.source.server}/api/v1/timelines/public?{query}", "parse_page", "mastodon-api"
        )

    def parse_page(self, response: Response) -> Iterator[Said]:
        """Count the statuses of one page; the next page is in the Link header."""
        try:
            found = read_timeline(response.body)
        except Unreadable as error:
            yield Found("quarantined", "unreadable_answer", where=f"{response.url} ({error})")
            return
        met = False  # what comes after a status that is known was asked for when that was met
        for status in found:
            yield self._judged(status, response.url)
            for ask in self._looked_at_again(status):
                met = (
                    met or self.session.frontier.find(ask.fingerprint(self.source.name)) is not None
                )
                yield ask
        header = b", ".join(response.headers.getlist(b"Link")).decode("latin-1")
        following = next_link(header, response.url)
        if found and following and self.is_ours(following) and self.room > len(found) and not met:
            yield Ask(following, "parse_page", "mastodon-api", again="never")

    def _looked_at_again(self, status: Any) -> Iterator[Ask]:
        """Ask for a status once more, later: whether it was deleted, or its account refuses by then."""
        id, url = (
            status.get(name) if isinstance(status, Mapping) else None for name in ("id", "url")
        )
        if (
            self.source.recheck
            and isinstance(url, str)
            and isinstance(id, str)
            and re.fullmatch(r"[\w-]+", id)
        ):
            address = f"{self.source.server}/api/v1/statuses/{id}"
            yield Ask(address, "parse_status", facts={"status": url}, again="documents", later=True)

    def parse_status(self, response: Response) -> Iterator[Said]:
        """Take a status down whose account refuses now; one that is gone answers 404 and is taken down before this."""
        found = json.loads(response.body)
        if judge(status_signals(found), self.session.policy).refused == "opt_out":
            self._take_down(response.meta["row"], "opt_out")
        yield from ()

    def _judged(self, status: Any, where: str) -> Found:
        if not isinstance(status, Mapping) or not isinstance(status.get("content"), str):
            return Found("quarantined", "broken_item", where=f"{where} (a status without content)")
        return stored(judge(status_signals(status), self.session.policy), len(status["content"]))
