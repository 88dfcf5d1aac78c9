"""Middlewares and a resolver that keep a crawl welcome and safe: how long to leave a busy host alone, and no private addresses."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar

from scrapy.exceptions import IgnoreRequest
from scrapy.resolver import CachingThreadedResolver
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError

from crawlers.downloader.addresses import host_of, is_private, literal
from crawlers.session import LONGEST_PAUSE, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

LONGEST_HOLD = 7 * 86400.0
"""Seconds that a host is left alone at most, whatever it asks for: a slip of the pen must not shut it for decades."""
FIRST_PAUSE = 5.0
"""Seconds of the first pause of a host that is busy and does not say for how long; each next one in a row is twice as long."""


def retry_after(value: str | None, now: datetime) -> float | None:
    """The seconds a Retry-After header asks for (a number or an HTTP date); None where it says nothing readable."""
    if not value:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())


def wait_for(response: Response, session: Session) -> float:
    """How many seconds a host that answered 429 or 503 is to be left alone: as it says, else longer each time."""
    header = response.headers.get(b"Retry-After")
    said = retry_after(header.decode("latin-1") if header else None, datetime.now(UTC))
    if said is not None:
        return min(said, LONGEST_HOLD)
    first = min(FIRST_PAUSE, session.config.politeness.backoff)
    return min(LONGEST_PAUSE, first * 2.0 ** session.strikes(host_of(response.url)))


class PrivateAddress(IgnoreRequest):
    """A host is, or points to, an address in a private network."""


class OtherHost(IgnoreRequest):
    """A redirect left the hosts of its source."""


class Forbidden(IgnoreRequest):
    """The robots.txt of the host forbids the address."""


class Unreachable(IgnoreRequest):
    """The robots.txt of the host cannot be had, which forbids everything (RFC 9309, 2.3.1.4)."""


class Held(IgnoreRequest):
    """The host is left alone for now; a redirect led there, or it said so since the request was taken."""


class AddressMiddleware:
    """Sends requests for mapped hosts to the demo site, and refuses addresses that are private as they are written.

    Names are checked by `PublicResolver`, which gives no connection another address than the one that was checked.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> AddressMiddleware:
        """Scrapy's way to make one."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Refuse other hosts and private addresses."""
        session: Session = self.crawler.spider.session
        host = host_of(request.url)
        if not request.meta.get("any_host") and not self.crawler.spider.is_ours(request.url):
            raise OtherHost(f"{host} is none of the source's hosts")
        if not request.meta.get("any_host") and session.pause(host):
            raise Held(f"{host} is left alone for now")
        if host in session.origins:
            request.meta["proxy"] = session.origins[host]
        elif host not in session.config.private_hosts and (address := literal(host)):
            refuse_private(host, (address,))

    def process_response(self, request: Request, response: Response) -> Response:
        """Check the address that really answered, whatever led there; a proxy answers with its own."""
        host = host_of(request.url)
        allowed = self.crawler.spider.session.config.private_hosts
        if response.ip_address is not None and "proxy" not in request.meta and host not in allowed:
            refuse_private(host, (str(response.ip_address),))
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Say of a name that was not looked up in the end why it was not."""
        if address := PublicResolver.private.get(host_of(request.url)):
            refuse_private(host_of(request.url), (address,))


class PaceMiddleware:
    """Lets no two requests begin at a host sooner than its delay: redirects, robots.txt and all sources of a call together."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> PaceMiddleware:
        """Scrapy's way to make one."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Wait for the turn of this request."""
        request.meta.pop("download_slot", None)  # a redirect brings that of the host it comes from
        if seconds := self.crawler.spider.session.turn(host_of(request.url)):
            await asyncio.sleep(seconds)


def refuse_private(host: str, addresses: Iterable[str]) -> None:
    """Raise PrivateAddress where one of the addresses of a host is not public."""
    if private := [address for address in addresses if is_private(address)]:
        leads = "is private" if private[0] == host else f"is {private[0]}"
        raise PrivateAddress(f"{host} {leads}; name it in private_hosts to allow it")


class PublicResolver(CachingThreadedResolver):
    """Looks names up, and gives out no private address of a host that the configuration does not name.

    The check stands between the lookup and the connection, so an answer that changes in between (DNS rebinding) changes nothing.
    Twisted reports every failed lookup as an unknown host; `private` (host -> address) keeps the reason.
    """

    allowed: frozenset[str] = frozenset()
    private: ClassVar[dict[str, str]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: Any) -> PublicResolver:
        """Scrapy's way to make one."""
        resolver: PublicResolver = super().from_crawler(crawler, reactor)
        resolver.allowed = frozenset(crawler.settings.getlist("PRIVATE_HOSTS"))
        return resolver

    def getHostByName(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:  # noqa: N802
        """The address of a name; fails as an unknown host where it is private."""
        return super().getHostByName(name, timeout).addCallback(self._checked, name.lower())

    def _checked(self, address: str, name: str) -> str:
        self.private.pop(name, None)
        if name not in self.allowed and is_private(address):
            self.private[name] = address
            raise DNSLookupError(f"{name} is {address}")
        return address
