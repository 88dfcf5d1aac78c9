"""The middlewares on a clock of their own: crawl delays, pauses, private addresses, robots.txt rules."""

import asyncio
import ipaddress
from types import SimpleNamespace

import pytest
from crawlers.robots import LONGEST_CRAWL_DELAY, RobotsMiddleware
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.exceptions import CannotResolveHostError, IgnoreRequest
from scrapy.http import Response
from scrapy.utils.test import get_crawler

from crawlers import politeness
from crawlers.config import CrawlConfig
from crawlers.politeness import AddressMiddleware, OtherHost, PrivateAddress, WaitMiddleware
from crawlers.session import LONGEST_PAUSE, Session
from crawlers.spiders.news import NewsSpider
from crawlers.warc import WarcWriter
from gristmill.progress import Progress


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    found = Clock()
    for module in (politeness, "crawlers.session"):
        place = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{place}.time", found)
    monkeypatch.setattr(politeness, "asyncio", SimpleNamespace(sleep=found.sleep, get_running_loop=None))
    return found


@pytest.fixture
def crawler(tmp_path):
    """A Scrapy crawler with a spider of one news source, as middlewares see it."""
    source = {"kind": "news", "name": "n", "sites": ["https://n.example", "https://m.example"]}
    config = CrawlConfig.model_validate({"contact": "a@b.org", "sources": [source]})
    found = get_crawler(NewsSpider, {"ROBOTSTXT_OBEY": True, "ROBOTSTXT_USER_AGENT": "gristmill", "RETRY_TIMES": 2})
    session = Session(config, WarcWriter(tmp_path), Progress("crawl"))
    found.spider = NewsSpider(source=config.sources[0], session=session)
    found.spider.crawler = found
    return found


def ask(middleware, url: str):
    return asyncio.run(middleware.process_request(Request(url)))


def test_a_host_with_a_crawl_delay_is_asked_once_a_delay_and_others_are_not_held_up(crawler, clock):
    waiting = WaitMiddleware.from_crawler(crawler)
    crawler.spider.crawl_delays["n.example"] = 2.5
    times = []
    for _ in range(4):
        ask(waiting, "https://n.example/a")
        times.append(clock.now)
    assert times == [1000.0, 1002.5, 1005.0, 1007.5]
    ask(waiting, "https://m.example/a")
    assert clock.now == 1007.5


def test_an_idle_host_has_no_delay_left_to_pay(crawler, clock):
    waiting = WaitMiddleware.from_crawler(crawler)
    crawler.spider.crawl_delays["n.example"] = 2.0
    ask(waiting, "https://n.example/a")
    clock.now += 60
    ask(waiting, "https://n.example/b")
    assert clock.now == 1060.0


def test_a_held_host_is_waited_for_to_the_second(crawler, clock):
    waiting = WaitMiddleware.from_crawler(crawler)
    crawler.spider.session.hold("n.example", 30)
    ask(waiting, "https://m.example/a")
    assert clock.now == 1000.0
    ask(waiting, "https://N.example:443/a")
    assert clock.now == 1030.0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "held"),
    [("7", 7.0), (str(int(LONGEST_PAUSE)), LONGEST_PAUSE), (str(int(LONGEST_PAUSE) + 1), 0.0), ("soon", 0.0)],
)
def test_retry_after_holds_the_host_unless_it_asks_for_too_much(crawler, clock, status, header, held):
    waiting = WaitMiddleware.from_crawler(crawler)
    request = Request("https://n.example/a")
    found = waiting.process_response(request, Response(request.url, status=status, headers={"Retry-After": header}))
    assert isinstance(found, Request) == bool(held)
    assert crawler.spider.session.pause("n.example") == held


@pytest.mark.parametrize("status", [200, 301, 404, 500, 502])
def test_retry_after_means_nothing_beside_other_answers(crawler, clock, status):
    request = Request("https://n.example/a")
    response = Response(request.url, status=status, headers={"Retry-After": "30"})
    assert WaitMiddleware.from_crawler(crawler).process_response(request, response) is response
    assert crawler.spider.session.pause("n.example") == 0


def resolving(monkeypatch, *answers: tuple[str, ...]) -> list[str]:
    """Let names resolve to these answers in turn; returns the hosts that were looked up."""
    asked: list[str] = []
    rest = list(answers)

    async def resolve(host: str) -> tuple[str, ...]:
        asked.append(host)
        return rest.pop(0)

    monkeypatch.setattr(politeness, "_resolve", resolve)
    return asked


def test_a_host_is_looked_up_once_and_a_public_one_may_be_asked(crawler, monkeypatch):
    asked = resolving(monkeypatch, ("93.184.216.34", "2606:4700::1111"))
    addresses = AddressMiddleware.from_crawler(crawler)
    for path in "abc":
        assert ask(addresses, f"https://n.example/{path}") is None
    assert asked == ["n.example"]


@pytest.mark.parametrize("answer", [("10.0.0.1",), ("93.184.216.34", "127.0.0.1"), ("::ffff:169.254.169.254",)])
def test_one_private_address_among_public_ones_is_enough_to_refuse(crawler, monkeypatch, answer):
    resolving(monkeypatch, answer)
    with pytest.raises(PrivateAddress, match="name it in private_hosts"):
        ask(AddressMiddleware.from_crawler(crawler), "https://n.example/a")


def test_a_name_that_points_elsewhere_the_second_time_is_refused_by_what_answered(crawler):
    request = Request("https://n.example/a")
    response = Response(request.url, ip_address=ipaddress.ip_address("192.168.1.1"))
    with pytest.raises(PrivateAddress, match=r"n\.example is 192\.168\.1\.1"):
        AddressMiddleware.from_crawler(crawler).process_response(request, response)


@pytest.mark.parametrize("url", ["https://evil.example/a", "https://n.example.evil.example/", "ftp://n.example/a"])
def test_no_other_host_is_even_looked_up(crawler, monkeypatch, url):
    asked = resolving(monkeypatch)
    with pytest.raises(OtherHost):
        ask(AddressMiddleware.from_crawler(crawler), url)
    assert asked == []


def test_hosts_of_the_demo_site_go_to_its_port_and_are_never_looked_up(crawler, monkeypatch):
    asked = resolving(monkeypatch)
    crawler.spider.session.origins = {"n.example": "http://127.0.0.1:9"}
    request = Request("https://n.example/a")
    asyncio.run(AddressMiddleware.from_crawler(crawler).process_request(request))
    assert request.meta["proxy"] == "http://127.0.0.1:9"
    assert asked == []


@given(st.ip_addresses(v=4))
def test_what_the_internet_does_not_route_is_private(address):
    groups = ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"]
    if any(address in ipaddress.ip_network(group) for group in groups):
        assert politeness.is_private(str(address))
        assert politeness.is_private(f"::ffff:{address}")


def rules(crawler, robots: "bytes | Exception", status: int = 200) -> RobotsMiddleware:
    """The robots middleware, with an engine that answers every robots.txt so."""

    async def download_async(request: Request) -> Response:
        if isinstance(robots, Exception):
            raise robots
        return Response(request.url, status=status, body=robots, request=request)

    crawler.engine = SimpleNamespace(download_async=download_async)
    return RobotsMiddleware.from_crawler(crawler)


def allowed(middleware: RobotsMiddleware, *paths: str) -> list[str]:
    """Which paths may be fetched."""

    async def go() -> list[str]:
        found = []
        for path in paths:
            try:
                await middleware.process_request(Request(f"https://n.example{path}"))
            except IgnoreRequest:
                continue
            found.append(path)
        return found

    return asyncio.run(go())


def test_the_group_that_names_us_counts_and_the_longest_rule_wins(crawler):
    robots = (
        b"User-agent: *\nDisallow: /\n\nUser-agent: Gristmill\nDisallow: /private\nAllow: /private/open\n"
        b"Disallow: /*.pdf$\nDisallow: /\xe6\x96\xb0\n"
    )
    found = allowed(rules(crawler, robots), "/a", "/private/x", "/private/open/x", "/a.pdf", "/a.pdf?x", "/新/闻")
    assert found == ["/a", "/private/open/x", "/a.pdf?x"]


def test_a_crawl_delay_is_taken_for_that_host_and_never_beyond_the_limit(crawler):
    allowed(rules(crawler, b"User-agent: *\nCrawl-delay: 3\n"), "/a")
    assert crawler.spider.crawl_delays == {"n.example": 3.0}
    allowed(rules(crawler, b"User-agent: *\nCrawl-delay: 86400\n"), "/a")
    assert crawler.spider.crawl_delays == {"n.example": LONGEST_CRAWL_DELAY}


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_fails_allows_nothing_and_is_remembered_as_unreachable(crawler, status):
    assert allowed(rules(crawler, b"User-agent: *\nAllow: /\n", status), "/", "/a") == []
    assert crawler.spider.session.unreachable == {
        "n.example": f"robots.txt unreachable (HTTP {status}); nothing was fetched"
    }


def test_a_robots_txt_that_cannot_be_had_allows_nothing_and_logs_no_word(crawler, caplog):
    import logging

    logging.getLogger("scrapy.downloadermiddlewares.robotstxt").setLevel(logging.CRITICAL)
    assert allowed(rules(crawler, CannotResolveHostError("no results")), "/a", "/b") == []
    assert crawler.spider.session.unreachable == {
        "n.example": "robots.txt unreachable (DNS lookup failed); nothing was fetched"
    }
    assert caplog.text == ""


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_robots_txt_that_is_not_there_allows_everything(crawler, status):
    assert allowed(rules(crawler, b"User-agent: *\nDisallow: /\n", status), "/a", "/b") == ["/a", "/b"]
    assert crawler.spider.session.unreachable == {}


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_rules_of_some_kind(tmp_path_factory, body):
    source = {"kind": "news", "name": "n", "sites": ["https://n.example"]}
    config = CrawlConfig.model_validate({"contact": "a@b.org", "sources": [source]})
    found = get_crawler(NewsSpider, {"ROBOTSTXT_OBEY": True, "ROBOTSTXT_USER_AGENT": "gristmill"})
    session = Session(config, WarcWriter(tmp_path_factory.getbasetemp()), Progress("crawl"))
    found.spider = NewsSpider(source=config.sources[0], session=session)
    allowed(rules(found, body), "/a")
    assert session.unreachable == {}
