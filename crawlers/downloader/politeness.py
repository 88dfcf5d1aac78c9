"""Middlewares and a resolver that keep a crawl safe and polite: no private addresses, a steady pace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from scrapy.resolver import CachingThreadedResolver
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError

from crawlers.downloader.addresses import host_of, is_private, parse_literal_address
from crawlers.downloader.refusals import HostPaused, OtherHost, PrivateAddress
from crawlers.downloader.request_metadata import get_metadata
from crawlers.downloader.spider import context_of, spider_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.internet.base import ReactorBase


class AddressMiddleware:
    """Sends requests for mapped hosts to the demo site, and refuses literal private addresses.

    Names are checked by `PublicResolver`: a connection goes to the address that was checked.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> AddressMiddleware:
        """Make one, as Scrapy asks for it."""
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        """Refuse other hosts, hosts that are left alone, and private addresses."""
        context = context_of(self.crawler)
        host = host_of(request.url)
        if not get_metadata(request).any_host:
            if not spider_of(self.crawler).is_own_url(request.url):
                raise OtherHost(f"{host} is not a host of this source")
            if context.hosts.seconds_to_wait(host):
                raise HostPaused(f"{host} is left alone for now")
        if host in context.proxies:
            request.meta["proxy"] = context.proxies[host]
            return
        address = parse_literal_address(host)
        if address and host not in context.config.private_hosts:
            refuse_private(host, (address,))

    def process_response(self, request: Request, response: Response) -> Response:
        """Check the address that really answered; a proxy answers with its own."""
        host = host_of(request.url)
        is_allowed = host in context_of(self.crawler).config.private_hosts
        if response.ip_address is None or "proxy" in request.meta or is_allowed:
            return response
        refuse_private(host, (str(response.ip_address),))
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Turn a lookup that `PublicResolver` refused into the error that says so."""
        host = host_of(request.url)
        address = PublicResolver.refused_addresses.get(host)
        if address:
            refuse_private(host, (address,))


class PaceMiddleware:
    """Spaces the requests to a host by its delay: redirects, robots.txt and all sources together."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> PaceMiddleware:
        """Make one, as Scrapy asks for it."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Wait for the slot of this request."""
        # A redirect carries the slot of the host it comes from.
        request.meta.pop("download_slot", None)
        seconds = context_of(self.crawler).hosts.reserve_slot(host_of(request.url))
        if seconds:
            await asyncio.sleep(seconds)


def refuse_private(host: str, addresses: Iterable[str]) -> None:
    """Raise PrivateAddress if one of the addresses of a host is not public."""
    for address in addresses:
        if is_private(address):
            problem = "is private" if address == host else f"is {address}"
            raise PrivateAddress(f"{host} {problem}; name it in private_hosts to allow it")


class PublicResolver(CachingThreadedResolver):
    """Looks names up, and returns no private address unless the configuration names the host.

    The check stands between lookup and connection, so a second lookup with another answer (DNS
    rebinding) cannot pass it. Twisted reports every failed lookup as an unknown host, so
    `refused_addresses` (host -> address) keeps the reason.
    """

    allowed_hosts: frozenset[str] = frozenset()
    refused_addresses: ClassVar[dict[str, str]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: ReactorBase) -> PublicResolver:
        """Make one, as Scrapy asks for it."""
        resolver: PublicResolver = super().from_crawler(crawler, reactor)
        resolver.allowed_hosts = frozenset(crawler.settings.getlist("PRIVATE_HOSTS"))
        return resolver

    def getHostByName(  # noqa: N802 (the name is Twisted's)
        self, name: str, timeout: Sequence[int] = ()
    ) -> Deferred[str]:
        """Look up the address of a name; fails as an unknown host if it is private."""
        lookup = super().getHostByName(name, timeout)
        return lookup.addCallback(self._check_address, name.lower())

    def _check_address(self, address: str, name: str) -> str:
        self.refused_addresses.pop(name, None)
        if name not in self.allowed_hosts and is_private(address):
            self.refused_addresses[name] = address
            raise DNSLookupError(f"{name} is {address}")
        return address
