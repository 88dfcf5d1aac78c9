"""What sites say of themselves, and the middleware that reads it: once, kept across processes, refusing what is forbidden."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.exceptions import CannotResolveHostError
from scrapy.http import Response
from scrapy.utils.test import get_crawler

from crawlers.config import CrawlConfig
from crawlers.context import open_context
from crawlers.downloader.refusals import ForbiddenByRobots, RobotsUnreachable
from crawlers.downloader.request_metadata import META_KEY, RequestMetadata, get_metadata
from crawlers.downloader.robots import LARGEST_ROBOTS, read_robots
from crawlers.downloader.site_rules import (
    FileAnswer,
    SiteRules,
    pack_answers,
    read_reservations,
    read_site_rules,
    unpack_answers,
)
from crawlers.downloader.sites import DAY, HOUR, LONGEST_CRAWL_DELAY, SiteMiddleware
from crawlers.downloader.spider import FrontierSpider
from crawlers.frontier.outbox import Outbox
from crawlers.frontier.store import Frontier
from crawlers.rights import RightsSignal, judge
from crawlers.sources.registry import make_spider
from gristmill.progress import Progress
from gristmill.rights.policy import POLICIES

ROBOTS, TDM, AI = "/robots.txt", "/.well-known/tdmrep.json", "/ai.txt"
PAGE = "https://n.example/a"


def read_files(files: dict[str, tuple[int, bytes]], failure: str | None = None) -> SiteRules:
    """The rules of a site whose files are answered so."""
    answers = {path: FileAnswer(*answer) for path, answer in files.items()}
    return read_site_rules(answers, failure)


def said(site: SiteRules, url: str = PAGE) -> list[tuple[str, str]]:
    """The signals of a site about one of its pages."""
    return [(signal.signal, signal.value) for signal in site.iter_signals(url)]


# What files stand for


def test_a_site_that_says_nothing_gives_no_signals():
    assert said(SiteRules()) == []
    assert said(read_files({ROBOTS: (404, b"gone")}, None)) == []


def test_uses_in_robots_txt_are_signals_with_their_words():
    robots = b"User-agent: *\nContent-Signal: search=yes, ai-train=no\nContent-Usage: train-ai=n\nAllow: /\n"
    found = read_files({ROBOTS: (200, robots)}, None)
    assert said(found) == [
        ("robots.txt use", "search=yes, ai-train=no"),
        ("robots.txt use", "train-ai=n"),
    ]
    assert judge(tuple(found.iter_signals(PAGE)), POLICIES["strict-eu"]).opt_out == ("notrain",)


def test_ai_crawlers_that_are_shut_out_are_named_for_the_addresses_that_are_shut():
    robots = b"User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /a\n"
    found = read_files({ROBOTS: (200, robots)}, None)
    assert said(found) == [("robots.txt for AI", "ccbot, gptbot")]
    assert said(found, "https://n.example/b") == []


def test_an_ai_txt_that_forbids_is_a_signal_and_one_that_allows_none():
    forbids = read_files({ROBOTS: (404, b""), AI: (200, b"User-agent: *\nDisallow: /a\n")}, None)
    assert said(forbids) == [("ai.txt", "Disallow")] and said(forbids, "https://n.example/b") == []
    assert (
        said(read_files({ROBOTS: (404, b""), AI: (200, b"User-agent: *\nAllow: /\n")}, None)) == []
    )


@pytest.mark.parametrize(
    "body",
    [b"<!doctype html>\nUser-agent: *\nDisallow: /\n", b" \r\n<html>\nUser-agent: *\nDisallow: /"],
)
def test_a_page_in_place_of_an_ai_txt_is_none(body):
    assert said(read_files({ROBOTS: (404, b""), AI: (200, body)}, None)) == []


@pytest.mark.parametrize("path", [AI, TDM, ROBOTS])
@pytest.mark.parametrize("status", [403, 404, 410, 204, 302])
def test_only_an_answer_of_200_is_a_file(path, status):
    body = b"User-agent: *\nDisallow: /\n"
    found = read_files({ROBOTS: (404, b""), path: (status, body)}, None)
    assert (
        said(found) == [] and found.robots.permits("gristmill", PAGE) and found.unreachable is None
    )


def reservation(*rules: object) -> SiteRules:
    """A site with a tdmrep.json."""
    return read_files({ROBOTS: (404, b""), TDM: (200, json.dumps(rules).encode())}, None)


def test_of_a_tdmrep_file_the_first_location_that_matches_holds():
    site = reservation(
        {"location": "/a/open/*", "tdm-reservation": 0},
        {"location": "/a", "tdm-reservation": 1, "tdm-policy": "https://n.example/policy"},
        {"location": "/", "tdm-reservation": 0},
    )
    assert said(site, "https://n.example/a/open/x") == [("tdmrep.json tdm-reservation", "0")]
    assert said(site, "https://n.example/a/x") == [
        ("tdmrep.json tdm-reservation", "1"),
        ("tdmrep.json tdm-policy", "https://n.example/policy"),
    ]
    assert said(site, "https://n.example/b") == [("tdmrep.json tdm-reservation", "0")]
    assert judge(tuple(site.iter_signals(PAGE)), POLICIES["strict-eu"]).opt_out == (
        "tdm-reservation",
    )


def test_a_location_beyond_ascii_holds_for_the_encoded_address():
    site = reservation({"location": "/新闻/*", "tdm-reservation": 1})
    assert said(site, "https://n.example/%E6%96%B0%E9%97%BB/1") == [
        ("tdmrep.json tdm-reservation", "1")
    ]
    assert said(site, "https://n.example/%e6%96%b0%e9%97%bb/1") == [
        ("tdmrep.json tdm-reservation", "1")
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 200_000,
        b'"x"',
        b"null",
        b"\xff\xfe",
        b"[1, null, []]",
        b'[{"tdm-reservation": 1}]',
        b'[{"location": 5}]',
        b"<html>",
        b'[{"location": "/"}',
        b"1" * 5000,
    ],
)
def test_what_is_no_tdmrep_file_says_nothing(body):
    assert read_reservations(body) == ()


def test_bad_entries_of_a_tdmrep_file_cost_no_good_ones():
    body = b'[7, {"location": ["/"]}, {"location": "/a", "tdm-reservation": 1, "tdm-policy": null}, {"location": "/\\ud800"}]'
    assert read_reservations(body) == (("/a", "1", ""), ("/?", "", ""))


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["location", "tdm-reservation", "x"]), inner)
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_a_site_of_some_kind(body):
    site = read_files({ROBOTS: (200, body), TDM: (200, body), AI: (200, body)}, None)
    assert all(isinstance(signal, RightsSignal) for signal in site.iter_signals(PAGE))


@pytest.mark.parametrize(
    ("status", "why"), [(500, "HTTP 500"), (503, "HTTP 503"), (599, "HTTP 599"), (429, "HTTP 429")]
)
def test_a_server_that_fails_to_give_its_robots_txt_forbids_everything(status, why):
    site = read_files({ROBOTS: (status, b"User-agent: *\nAllow: /\n")}, None)
    assert site.unreachable == why and not site.robots.permits("gristmill", PAGE)


def test_a_failure_forbids_everything_and_keeps_its_words():
    site = read_files({}, "timed out")
    assert site.unreachable == "timed out" and not site.robots.permits("gristmill", PAGE)


def test_no_file_is_read_beyond_its_limit():
    body = b"User-agent: *\n".ljust(LARGEST_ROBOTS - 1, b"#") + b"\nDisallow: /\n"
    assert said(read_files({ROBOTS: (404, b""), AI: (200, body)}, None)) == []


# The middleware


class Web:
    """Stands in for Scrapy's engine: answers by path, and counts what it was asked."""

    def __init__(self, **answers: "tuple[int, bytes] | Exception") -> None:
        self.answers = {ROBOTS: (404, b""), TDM: (404, b""), AI: (404, b"")}
        self.answers |= {
            {"robots": ROBOTS, "tdm": TDM, "ai": AI}[name]: answer
            for name, answer in answers.items()
        }
        self.asked: list[str] = []
        self.requests: list[Request] = []

    async def download_async(self, request: Request) -> Response:
        self.asked.append(request.url)
        self.requests.append(request)
        await asyncio.sleep(0)
        answer = self.answers["/" + request.url.split("/", 3)[3]]
        if isinstance(answer, Exception):
            raise answer
        get_metadata(request).captures.append(b"capture of " + request.url.encode())
        return Response(request.url, status=answer[0], body=answer[1], request=request)


class Clock:
    """The wall clock of the crawl under test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


def middleware(folder: Path, web: Web, clock: Clock, kind: str = "news") -> SiteMiddleware:
    """A middleware of a new process over the frontier in a folder."""
    source = {"type": "news", "name": "n", "sites": ["https://n.example"]}
    if kind == "wiki":
        source = {"type": "mediawiki", "name": "n", "api": "https://n.example/w/api.php"}
    config = CrawlConfig.model_validate({"contact": "a@b.org", "sources": [source]})
    frontier = Frontier(folder / "frontier.sqlite")
    outbox = Outbox(frontier, folder / "captures", file_bytes=1 << 20)
    context = open_context(config, frontier, outbox, Progress("crawl"), clock=lambda: clock.now)
    crawler = get_crawler(FrontierSpider)
    crawler.spider = FrontierSpider(make_spider(config.sources[0], context))
    crawler.engine = web
    return SiteMiddleware.from_crawler(crawler)


def ask(site: SiteMiddleware, *urls: str, **metadata: bool) -> "list[str]":
    """What becomes of requests that are made at once: `asked`, or the name of what they are refused with."""

    async def one(url: str) -> str:
        try:
            await site.process_request(Request(url, meta={META_KEY: RequestMetadata(**metadata)}))
        except (ForbiddenByRobots, RobotsUnreachable) as error:
            return f"{type(error).__name__}: {error}"
        return "asked"

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(one, urls))

    return asyncio.run(all_of_them())


def captures(site: SiteMiddleware) -> list[bytes]:
    """What waits in the outbox."""
    return [
        data
        for (data,) in site.crawler.spider.context.frontier.database.fetch_all(
            "SELECT records FROM outbox ORDER BY id"
        )
    ]


def test_many_requests_at_once_have_their_site_read_once_and_captured(tmp_path, clock):
    web = Web(robots=(200, b"User-agent: *\nDisallow: /no\n"))
    site = middleware(tmp_path, web, clock)
    found = ask(site, *[f"https://n.example/{path}" for path in ("a", "no", "b", "no/c", "a")])
    refused = "ForbiddenByRobots: forbidden by robots.txt"
    assert found == ["asked", refused, "asked", refused, "asked"]
    assert web.asked == [f"https://n.example{path}" for path in (ROBOTS, TDM, AI)]
    assert captures(site) == [f"capture of {url}".encode() for url in web.asked]
    assert site.crawler.spider.context.outbox.waiting == sum(map(len, captures(site)))


def test_every_place_has_files_of_its_own(tmp_path, clock):
    web = Web()
    ask(
        middleware(tmp_path, web, clock),
        PAGE,
        "https://n.example:8443/a",
        "http://n.example/a",
        "https://N.EXAMPLE/b",
    )
    asked = [url for url in web.asked if url.endswith(ROBOTS)]
    assert sorted(asked) == [
        "http://n.example/robots.txt",
        "https://n.example/robots.txt",
        "https://n.example:8443/robots.txt",
    ]


def test_what_a_site_said_holds_for_a_day_in_other_processes_too_and_is_then_read_again(
    tmp_path, clock
):
    robots = (200, b"User-agent: *\nDisallow: /no\n")
    first = middleware(tmp_path, Web(robots=robots), clock)
    ask(first, PAGE)
    first.crawler.spider.context.frontier.close()
    clock.now += DAY - 1
    later = Web()
    second = middleware(tmp_path, later, clock)
    assert ask(second, "https://n.example/no") == ["ForbiddenByRobots: forbidden by robots.txt"]
    assert later.asked == []
    clock.now += 2
    assert ask(second, "https://n.example/no") == ["asked"]
    assert later.asked == [f"https://n.example{path}" for path in (ROBOTS, TDM, AI)]


def test_a_clock_that_was_turned_back_does_not_make_an_answer_hold_longer(tmp_path, clock):
    ask(middleware(tmp_path, Web(), clock), PAGE)
    clock.now -= 2 * HOUR
    web = Web()
    ask(middleware(tmp_path, web, clock), PAGE)
    assert web.asked[0] == "https://n.example/robots.txt"


@pytest.mark.parametrize(
    ("answer", "why"),
    [((503, b""), "HTTP 503"), (CannotResolveHostError("no"), "DNS lookup failed")],
)
def test_a_site_that_cannot_be_had_is_asked_again_after_an_hour_and_at_once_by_another_process(
    tmp_path, clock, answer, why
):
    web = Web(robots=answer)
    site = middleware(tmp_path, web, clock)
    assert ask(site, PAGE, PAGE) == [f"RobotsUnreachable: {why}"] * 2
    clock.now += HOUR - 1
    assert ask(site, PAGE) == [f"RobotsUnreachable: {why}"]
    assert web.asked == ["https://n.example/robots.txt"]
    assert site.crawler.spider.context.frontier.hosts.read_site("https://n.example") is None
    assert ask(middleware(tmp_path, Web(), clock), PAGE) == ["asked"]
    web.answers[ROBOTS] = (404, b"")
    clock.now += 2
    assert ask(site, PAGE) == ["asked"]


def test_an_answer_of_a_server_that_fails_is_evidence_too(tmp_path, clock):
    site = middleware(tmp_path, Web(robots=(503, b"")), clock)
    ask(site, PAGE)
    assert captures(site) == [b"capture of https://n.example/robots.txt"]


def test_a_tdmrep_file_that_breaks_off_is_none_and_the_site_is_still_read(tmp_path, clock):
    web = Web(
        robots=(200, b"User-agent: *\nAllow: /\n"),
        tdm=ConnectionResetError(),
        ai=(200, b"User-agent: *\nDisallow: /\n"),
    )
    request = Request(PAGE)
    asyncio.run(middleware(tmp_path, web, clock).process_request(request))
    assert get_metadata(request).site_signals == (RightsSignal("ai.txt", "Disallow"),)


def test_robots_txt_may_lead_to_other_hosts_by_five_hops(tmp_path, clock):
    web = Web()
    ask(middleware(tmp_path, web, clock), PAGE)
    told = [
        (get_metadata(request).any_host, request.meta["redirect_ttl"], request.dont_filter)
        for request in web.requests
    ]
    assert told == [(True, 5, True)] * 3


@pytest.mark.parametrize("meta", [{"needs_robots": False}, {"any_host": True}])
def test_documented_interfaces_and_robots_txt_itself_need_no_permission(tmp_path, clock, meta):
    web = Web(robots=(200, b"User-agent: *\nDisallow: /\n"))
    assert ask(middleware(tmp_path, web, clock), PAGE, **meta) == ["asked"]
    assert web.asked == []


def test_only_news_sites_are_asked_for_reservations(tmp_path, clock):
    web = Web()
    ask(middleware(tmp_path, web, clock, "wiki"), PAGE)
    assert web.asked == ["https://n.example/robots.txt"]


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        (b"3", {"n.example": 3.0}),
        (b"86400", {"n.example": LONGEST_CRAWL_DELAY}),
        (b"0", {}),
        (b"x", {}),
    ],
)
def test_a_crawl_delay_is_taken_for_its_host_and_never_beyond_the_limit(
    tmp_path, clock, said, taken
):
    site = middleware(tmp_path, Web(robots=(200, b"User-agent: *\nCrawl-delay: " + said)), clock)
    ask(site, "https://n.example:8443/a")
    hosts = site.crawler.spider.context.hosts
    hosts.reserve_slot("n.example")
    # The delay of the configuration is a second.
    assert hosts.reserve_slot("n.example") == max(1.0, taken.get("n.example", 0.0))


def test_what_a_site_said_and_its_captures_are_kept_together_or_not_at_all(tmp_path, clock):
    site = middleware(tmp_path, Web(), clock)
    frontier = site.crawler.spider.context.frontier
    frontier.database.connection.execute(
        "CREATE TEMP TRIGGER t BEFORE INSERT ON outbox BEGIN SELECT raise(ABORT, 'injected'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="injected"):
        ask(site, PAGE)
    assert frontier.hosts.read_site("https://n.example") is None and captures(site) == []
    frontier.database.connection.execute("DROP TRIGGER t")
    assert ask(site, PAGE) == ["asked"]
    assert frontier.hosts.read_site("https://n.example") is not None and len(captures(site)) == 3


@pytest.mark.parametrize(
    "url",
    ["https://n.example]/", "http://[::1", "http://[x]/", "https://m.example/", "ftp://n.example/"],
)
def test_an_address_that_is_none_or_elsewhere_is_not_ours(tmp_path, clock, url):
    assert not middleware(tmp_path, Web(), clock).crawler.spider.is_own_url(url)


def test_words_of_a_site_that_are_no_utf_8_are_kept_readable_in_a_capture(tmp_path, clock):
    from datetime import UTC, datetime

    from crawlers.downloader.warc import HttpExchange, capture_records

    web = Web(robots=(200, b"User-agent: *\nContent-Signal: ai-train=no \xff\nAllow: /\n"))
    request = Request(PAGE)
    site = middleware(tmp_path, web, clock)
    asyncio.run(site.process_request(request))
    verdict = judge(get_metadata(request).site_signals, POLICIES["strict-eu"])
    assert verdict.opt_out == ("notrain",)
    exchange = HttpExchange(PAGE, "GET", [], "HTTP/1.1", 200, "OK", [], b"x")
    note = {"evidence": [signal.as_dict() for signal in verdict.evidence]}
    assert capture_records(exchange, note, datetime.now(UTC))


def test_what_was_kept_is_read_back_as_it_was():
    answers = {ROBOTS: FileAnswer(200, b"\xff\0User-agent: *"), TDM: FileAnswer(0, b"")}
    assert unpack_answers(pack_answers(answers, None)) == (answers, None)
    assert unpack_answers(pack_answers({}, "timed out")) == ({}, "timed out")
    assert read_robots(b"") == SiteRules().robots


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        (b'{"location": "/a", "tdm-reservation": 1}', (("/a", "1", ""),)),
        (
            b'[{"location": "/a", "tdm-reservation": true}, {"location": "/b", "tdm-reservation": false}]',
            (("/a", "1", ""), ("/b", "0", "")),
        ),
    ],
)
def test_slips_in_a_tdmrep_json_whose_meaning_is_clear_count(file, rules):
    assert read_reservations(file) == rules
