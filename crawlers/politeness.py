"""Middlewares that keep a crawl welcome and safe: waiting when told to, crawl delays, and no requests into private networks."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.exceptions import IgnoreRequest

from crawlers.session import LONGEST_PAUSE, Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def host_of(url: str) -> str:
    """The host name of a URL, in lower case."""
    return (urlsplit(url).hostname or "").lower()


def place_of(url: str) -> str:
    """The host of a URL with its port, where it names one: robots.txt holds for that place alone (RFC 9309, 2.3)."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def bare(host: str) -> str:
    """A host without `www.`: publishers link to themselves both ways."""
    return host.removeprefix("www.")


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


def is_private(address: str) -> bool:
    """Whether an IP address is anything but public: private, loopback, link-local, reserved, multicast."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(
        found, ipaddress.IPv6Address
    ):  # the IPv4 address that a mapped, 6to4 or NAT64 address leads to counts
        inner = found.ipv4_mapped or found.sixtofour
        if found in NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        found = inner or found
    return found.is_multicast or not found.is_global


class WaitMiddleware:
    """Keeps each host's crawl delay, and leaves a host alone for as long as its Retry-After says."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._next: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> WaitMiddleware:
        """Scrapy's way to make one."""
        return cls(crawler)

    @property
    def _session(self) -> Session:
        session: Session = self.crawler.spider.session
        return session

    async def process_request(self, request: Request) -> None:
        """Wait until the host may be asked."""
        host = host_of(request.url)
        if delay := self.crawler.spider.crawl_delays.get(host, 0.0):
            at = max(time.monotonic(), self._next.get(host, 0.0))
            self._next[host] = at + delay
            await asyncio.sleep(at - time.monotonic())
        while pause := self._session.pause(host):
            await asyncio.sleep(pause)

    def process_response(self, request: Request, response: Response) -> Request | Response:
        """Hold the host and ask again later where it said when; other answers pass."""
        if response.status not in (429, 503):
            return response
        header = response.headers.get(b"Retry-After")
        seconds = retry_after(header.decode("latin-1") if header else None, datetime.now(UTC))
        if seconds is None or seconds > LONGEST_PAUSE:
            return response
        self._session.hold(host_of(request.url), seconds)
        return get_retry_request(request, spider=self.crawler.spider, reason="retry_after") or response


class AddressMiddleware:
    """Sends requests for mapped hosts to the demo site, and refuses private addresses that the configuration does not name."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._addresses: dict[str, tuple[str, ...]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> AddressMiddleware:
        """Scrapy's way to make one."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Look the host up once; a name that cannot be resolved is left to the downloader to report."""
        session: Session = self.crawler.spider.session
        host = host_of(request.url)
        if not self.crawler.spider.is_ours(request.url):
            raise OtherHost(f"{host} is none of the source's hosts")
        if host in session.origins:
            request.meta["proxy"] = session.origins[host]
            return
        if host in session.config.private_hosts:
            return
        if host not in self._addresses:
            self._addresses[host] = await _resolve(host)
        self._refuse_private(host, self._addresses[host])

    def process_response(self, request: Request, response: Response) -> Response:
        """Check the address that really answered: a name may point elsewhere the second time."""
        session: Session = self.crawler.spider.session
        host = host_of(request.url)
        if response.ip_address is not None and host not in session.origins and host not in session.config.private_hosts:
            self._refuse_private(host, (str(response.ip_address),))
        return response

    def _refuse_private(self, host: str, addresses: Iterable[str]) -> None:
        if private := [address for address in addresses if is_private(address)]:
            raise PrivateAddress(f"{host} is {private[0]}; name it in private_hosts to allow it")


class PrivateAddress(IgnoreRequest):
    """A host is, or points to, an address in a private network."""


class OtherHost(IgnoreRequest):
    """A redirect left the hosts of its source."""


async def _resolve(host: str) -> tuple[str, ...]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError:
        return ()
    return tuple(sorted({str(entry[4][0]) for entry in found}))
