"""What travels with a Scrapy request of a crawl, as one typed value in `request.meta`.

Middlewares and the capture fill it in on the way; the spider reads it when the answer is there.
Scrapy's redirects copy `request.meta` shallowly, so all hops of a redirect share one value: the captures
of every hop collect in it, and the last hop decides the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crawlers.frontier.queue import QueuedRequest
from crawlers.rights import NO_VERDICT, RightsSignal, Verdict
from crawlers.spider_output import Validators

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.http import Response

META_KEY = "gristmill"
NO_VALIDATORS = Validators()


@dataclass(slots=True)
class RequestMetadata:
    """Metadata of one request and its redirects.

    Set when the request is made: `queued` (None for the files of a site, which are not queued),
    `format` the answer is stored as, `needs_robots` (False for documented interfaces), `any_host` if
    redirects may leave the source, `entry_point` ("robots.txt", "API") of a source, `rights_signals` of
    the request that led here. Set on the way: `site_signals`, `captures`. Set by the capture: the rest.
    """

    queued: QueuedRequest | None = None
    format: str = "discovery"
    needs_robots: bool = True
    any_host: bool = False
    entry_point: str | None = None
    rights_signals: tuple[RightsSignal, ...] = ()
    captures: list[bytes] = field(default_factory=list)
    site_signals: tuple[RightsSignal, ...] = ()
    verdict: Verdict = NO_VERDICT
    captured_as: str = "discovery"
    validators: Validators = NO_VALIDATORS
    is_revisit: bool = False

    @property
    def queued_request(self) -> QueuedRequest:
        """The request of the frontier this one was made from."""
        if self.queued is None:
            raise LookupError("this request was not made from the frontier")
        return self.queued


def get_metadata(message: Request | Response) -> RequestMetadata:
    """Return the metadata of a request, or of the request that a response answers.

    A request made by other parts of Scrapy gets the default metadata.
    """
    metadata: RequestMetadata = message.meta.setdefault(META_KEY, RequestMetadata())
    return metadata
