"""The middleware and the resolver that keep a crawl on its hosts and off private networks, and how long a busy host waits."""

import ipaddress
import socket
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy import Request
from scrapy.exceptions import CannotResolveHostError
from scrapy.http import Response
from scrapy.resolver import CachingThreadedResolver
from scrapy.utils.test import get_crawler
from twisted.internet import defer
from twisted.internet.error import DNSLookupError

from crawlers.downloader.addresses import is_private
from crawlers.downloader.politeness import AddressMiddleware, PublicResolver
from crawlers.downloader.refusals import OtherHost, PrivateAddress
from crawlers.downloader.request_metadata import META_KEY, RequestMetadata
from crawlers.downloader.retry_after import FIRST_PAUSE, choose_back_off
from crawlers.downloader.spider import FrontierSpider
from crawlers.host_ledger import LONGEST_PAUSE
from crawlers.sources.news import NewsSpider

NEWS = {
    "type": "news",
    "name": "n",
    "sites": ["https://n.example", "https://m.example", "http://10.0.0.1", "http://[::1]"],
}


@pytest.fixture
def addresses(make_context):
    """The address middleware of a crawl of some hosts."""
    return middleware_of(make_context(NEWS))


def middleware_of(context) -> AddressMiddleware:
    crawler = SimpleNamespace(spider=NewsSpider(source=context.config.sources[0], context=context))
    return AddressMiddleware.from_crawler(crawler)


@pytest.fixture
def looked_up(monkeypatch):
    """Names are answered from a table; gives the table and the names that were asked."""
    table: dict[str, str] = {}
    asked: list[str] = []

    def answer(self, name: str, timeout=()):
        asked.append(name)
        return defer.succeed(table[name]) if name in table else defer.fail(DNSLookupError(name))

    monkeypatch.setattr(CachingThreadedResolver, "getHostByName", answer)
    monkeypatch.setattr(PublicResolver, "refused_addresses", {})
    return table, asked


def resolver(*allowed: str) -> PublicResolver:
    crawler = get_crawler(FrontierSpider, {"PRIVATE_HOSTS": list(allowed)})
    return PublicResolver.from_crawler(crawler, SimpleNamespace())


def result_of(deferred):
    """What a deferred that has fired holds; raises its failure."""
    got: list = []
    deferred.addBoth(got.append)
    (found,) = got
    if hasattr(found, "raiseException"):
        found.raiseException()
    return found


# Hosts and addresses as they are written


@pytest.mark.parametrize(
    "url", ["https://evil.example/a", "https://n.example.evil.example/", "ftp://n.example/a"]
)
def test_no_other_host_is_even_looked_up(addresses, url):
    with pytest.raises(OtherHost):
        addresses.process_request(Request(url))


def test_what_a_site_itself_needs_may_come_from_another_host(addresses):
    assert (
        addresses.process_request(
            Request(
                "https://cdn.example/robots.txt", meta={META_KEY: RequestMetadata(any_host=True)}
            )
        )
        is None
    )


@pytest.mark.parametrize("url", ["http://10.0.0.1/a", "http://[::1]/"])
@pytest.mark.parametrize("meta", [{}, {META_KEY: RequestMetadata(any_host=True)}])
def test_an_address_that_is_written_out_and_private_is_refused(addresses, url, meta):
    with pytest.raises(PrivateAddress, match="name it in private_hosts"):
        addresses.process_request(Request(url, meta=meta))


def test_a_private_address_that_the_configuration_names_may_be_asked(make_context):
    found = middleware_of(make_context(NEWS, private_hosts=["10.0.0.1"]))
    assert found.process_request(Request("http://10.0.0.1/a")) is None


def test_hosts_of_the_demo_site_go_to_its_port_and_are_never_looked_up(make_context):
    proxies = {"n.example": "http://127.0.0.1:9"}
    context = make_context(NEWS, services={"proxies": proxies})
    request = Request("https://n.example/a")
    middleware_of(context).process_request(request)
    assert request.meta["proxy"] == "http://127.0.0.1:9"


def test_a_name_that_points_elsewhere_the_second_time_is_refused_by_what_answered(addresses):
    request = Request("https://n.example/a")
    response = Response(request.url, ip_address=ipaddress.ip_address("192.168.1.1"))
    with pytest.raises(PrivateAddress, match=r"n\.example is 192\.168\.1\.1"):
        addresses.process_response(request, response)


@pytest.mark.parametrize(
    ("address", "meta"), [("93.184.216.34", {}), ("127.0.0.1", {"proxy": "http://127.0.0.1:9"})]
)
def test_an_answer_of_a_public_address_or_of_a_proxy_is_taken(addresses, address, meta):
    request = Request("https://n.example/a", meta=meta)
    response = Response(request.url, ip_address=ipaddress.ip_address(address))
    assert addresses.process_response(request, response) is response


@given(st.ip_addresses(v=4))
def test_what_the_internet_does_not_route_is_private(address):
    groups = [
        "10.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
    ]
    if any(address in ipaddress.ip_network(group) for group in groups):
        assert is_private(str(address))
        assert is_private(f"::ffff:{address}")


# Names


def test_a_public_name_gives_its_address(looked_up):
    table, asked = looked_up
    table["n.example"] = "93.184.216.34"
    assert result_of(resolver().getHostByName("n.example")) == "93.184.216.34"
    assert asked == ["n.example"]
    assert PublicResolver.refused_addresses == {}


@pytest.mark.parametrize(
    "answer", ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0"]
)
def test_a_name_that_points_to_a_private_address_gives_none_and_the_reason_is_kept(
    looked_up, addresses, answer
):
    table, _ = looked_up
    table["n.example"] = answer
    with pytest.raises(DNSLookupError):
        result_of(resolver().getHostByName("n.example"))
    with pytest.raises(PrivateAddress, match="name it in private_hosts"):
        addresses.process_exception(
            Request("https://N.example:8443/a"), CannotResolveHostError("no results")
        )


def test_a_name_that_is_not_known_stays_an_unknown_host(looked_up, addresses):
    with pytest.raises(DNSLookupError):
        result_of(resolver().getHostByName("n.example"))
    assert (
        addresses.process_exception(
            Request("https://n.example/a"), CannotResolveHostError("no results")
        )
        is None
    )


def test_a_private_name_that_the_configuration_names_gives_its_address_in_any_case(looked_up):
    table, _ = looked_up
    table.update(
        {
            "intranet.example": "10.0.0.7",
            "INTRANET.example": "10.0.0.7",
            "other.example": "10.0.0.7",
        }
    )
    found = resolver("intranet.example")
    assert result_of(found.getHostByName("intranet.example")) == "10.0.0.7"
    assert result_of(found.getHostByName("INTRANET.example")) == "10.0.0.7"
    with pytest.raises(DNSLookupError):
        result_of(found.getHostByName("other.example"))


def test_a_name_is_checked_again_each_time_it_is_looked_up(looked_up):
    table, _ = looked_up
    found = resolver()
    table["n.example"] = "93.184.216.34"
    assert result_of(found.getHostByName("n.example")) == "93.184.216.34"
    table["n.example"] = "127.0.0.1"
    with pytest.raises(DNSLookupError):
        result_of(found.getHostByName("n.example"))


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f.0.0.1", "017700000001"])
def test_loopback_in_a_form_that_only_the_system_reads_is_a_name_that_points_there(looked_up, name):
    table, _ = looked_up
    table[name] = socket.gethostbyname(name)
    with pytest.raises(DNSLookupError):
        result_of(resolver().getHostByName(name))


# Busy hosts


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (str(int(LONGEST_PAUSE) + 1), LONGEST_PAUSE + 1),
        ("86400", 86400.0),
        ("soon", FIRST_PAUSE),
        (None, FIRST_PAUSE),
    ],
)
def test_a_busy_host_is_left_alone_as_long_as_it_says(make_context, header, seconds):
    response = Response(
        "https://n.example/a", status=429, headers={"Retry-After": header} if header else {}
    )
    assert choose_back_off(response, make_context(NEWS)) == seconds


def test_a_busy_host_that_does_not_say_how_long_is_left_alone_longer_each_time_up_to_a_limit(
    make_context,
):
    context, response = make_context(NEWS), Response("https://n.example/a", status=503)
    pauses = []
    for _ in range(9):
        pauses.append(choose_back_off(response, context))
        context.hosts.back_off("n.example", 0, is_429=True)
    assert pauses[:4] == [FIRST_PAUSE * 2**n for n in range(4)]
    assert pauses[-1] == LONGEST_PAUSE


def test_a_crawl_without_a_pause_before_repetitions_has_none_for_busy_hosts(make_context):
    assert (
        choose_back_off(
            Response("https://n.example/a", status=503),
            make_context(NEWS, politeness={"backoff": 0}),
        )
        == 0
    )
