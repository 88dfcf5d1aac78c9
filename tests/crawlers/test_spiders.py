"""The spiders without a network: what each answer makes them ask next, the outcome of every document, what a later visit says."""

import asyncio
import json
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
)
from scrapy.http import HtmlResponse, Response, TextResponse
from twisted.python.failure import Failure

from crawlers.downloader.capture import CaptureMiddleware
from crawlers.downloader.refusals import (
    ForbiddenByRobots,
    OtherHost,
    PrivateAddress,
    RobotsUnreachable,
)
from crawlers.downloader.request_metadata import get_metadata
from crawlers.downloader.retry_after import FIRST_PAUSE
from crawlers.downloader.scheduler import make_request
from crawlers.downloader.spider import FrontierSpider
from crawlers.downloader.warc import payload_digest
from crawlers.frontier.queue import QueuedRequest
from crawlers.frontier.schema import DONE, FAILED, WAITING
from crawlers.host_ledger import LONGEST_PAUSE
from crawlers.rights import RightsSignal
from crawlers.sources.base import SourceSpider
from crawlers.sources.mastodon import MastodonSpider
from crawlers.sources.mediawiki import LAG_SECONDS, MOST_LAGS, MediaWikiSpider
from crawlers.sources.news import DEEPEST_SITEMAP, MOST_SITEMAPS, NewsSpider
from crawlers.spider_output import CrawlRequest, FetchResult, Unreachable
from gristmill.runs.ledger import totals

SITE = "https://n.example"
KINDS = {"news": NewsSpider, "wiki": MediaWikiSpider, "social": MastodonSpider}
TYPES = {"news": "news", "wiki": "mediawiki", "social": "mastodon"}
DOORS = {
    "news": {"sites": [SITE]},
    "wiki": {"api": "https://w.example/w/api.php"},
    "social": {"server": "https://s.example"},
}
PAGE = "<p>text</p>"
YEAR = 365 * 86400


class Visit:
    """One spider over a frontier of its own: rows are asked and answered by hand, and committed as in a crawl."""

    def __init__(self, reader: SourceSpider) -> None:
        self.reader, self.context, self.frontier = reader, reader.context, reader.context.frontier
        self.spider = FrontierSpider(reader)
        self.landed: list[int] = []
        self.spider.scheduler = SimpleNamespace(
            on_complete=lambda row, queued: self.landed.append(queued)
        )
        self._capture = CaptureMiddleware(SimpleNamespace(spider=self.spider))
        self._add(reader.first_requests(), self.context.defer_until)

    def _add(self, asks, later) -> None:
        self.frontier.queue.add(
            self.spider.source.name, asks, self.spider.source.max_documents, later
        )

    def rows(self) -> list[QueuedRequest]:
        """What is queued, host by host."""
        name = self.spider.source.name
        return [
            row
            for host in self.frontier.queue.list_hosts(name)
            for row in self.frontier.queue.next_batch(name, host, 10_000)
        ]

    @property
    def urls(self) -> list[str]:
        return [row.url for row in self.rows()]

    def row(self, end: str) -> QueuedRequest:
        """The one queued request whose address ends so."""
        (found,) = [row for row in self.rows() if row.url.endswith(end)]
        return found

    def answer(
        self,
        row: QueuedRequest,
        body: bytes | str = b"",
        *,
        status: int = 200,
        kind=None,
        site=(),
        **headers: str,
    ) -> None:
        """Let a row be answered, judged, captured and committed."""
        request = make_request(row, self.spider)
        get_metadata(request).site_signals = tuple(site)
        kind = kind or (HtmlResponse if row.format == "html" else TextResponse)
        data, more = (body.encode(), {"encoding": "utf-8"}) if isinstance(body, str) else (body, {})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = kind(
            request.url,
            status=status,
            body=data,
            headers=named,
            request=request,
            **(more if kind is not Response else {}),
        )
        self.spider.on_response(self._capture.process_response(request, response))

    def refuse(self, row: QueuedRequest, error: Exception) -> None:
        """Let a row bring no answer."""
        failure = Failure(error)
        failure.request = make_request(row, self.spider)
        self.spider.on_error(failure)

    @property
    def outcomes(self) -> dict[str, int]:
        return {name: n for name, n in totals(self.frontier.results.read_entries()).items() if n}

    @property
    def shut(self) -> dict[str, str]:
        return dict(self.frontier.database.fetch_all("SELECT place, why FROM shut"))

    @property
    def failures(self) -> list[str]:
        return [
            text
            for (text,) in self.frontier.database.fetch_all("SELECT text FROM failure ORDER BY id")
        ]

    @property
    def takedowns(self) -> list[tuple[str, str]]:
        return [(url, reason) for url, reason, _ in self.frontier.results.list_takedowns()]

    def state(self, url: str) -> tuple[int, float | None]:
        """Of a request: its state, and in how many seconds it is due."""
        (found,) = self.frontier.database.connection.execute(
            "SELECT state, due FROM request WHERE url = ?", [url]
        )
        return found[0], None if found[1] is None else found[1] - time.time()

    def later(self, seconds: float = YEAR) -> None:
        """Seal the call, and begin another one after so many seconds."""
        self.frontier.finish_session("a-run")
        self.context.documents.clear()
        self.frontier.queue.requeue_due(time.time() + seconds)


@pytest.fixture
def visit(make_context):
    """A function beginning the visit of one source."""

    def begin(
        kind: str, *, politeness=(), recrawl=(), policy="strict-eu", **settings: object
    ) -> Visit:
        source = {"type": TYPES[kind], "name": kind, **DOORS[kind], **settings}
        context = make_context(
            source, politeness=dict(politeness), recrawl=dict(recrawl), policy=policy
        )
        return Visit(KINDS[kind](source=context.config.sources[0], context=context))

    return begin


def sitemap(*urls: str, kind: str = "urlset") -> str:
    item = "url" if kind == "urlset" else "sitemap"
    return (
        f"<{kind}>" + "".join(f"<{item}><loc>{url}</loc></{item}>" for url in urls) + f"</{kind}>"
    )


def feed(*urls: str) -> str:
    return (
        "<rss><channel>"
        + "".join(f"<item><link>{url}</link></item>" for url in urls)
        + "</channel></rss>"
    )


def with_articles(found: Visit, *paths: str) -> Visit:
    """Past robots.txt and sitemap: the articles are queued."""
    found.answer(found.row("/robots.txt"), status=404)
    found.answer(found.row("/sitemap.xml"), sitemap(*(SITE + path for path in paths)))
    return found


# News: from the doors to the articles


def test_a_news_site_is_entered_by_robots_txt_which_is_itself_asked_without_asking(visit):
    found = visit("news")
    (robots,) = found.rows()
    assert (robots.url, robots.format) == (f"{SITE}/robots.txt", "discovery")
    assert get_metadata(make_request(robots, found.spider)).entry_point == "robots.txt"


def test_sitemaps_of_other_hosts_are_not_followed_and_each_is_asked_once(visit):
    found = visit("news")
    lines = [
        f"{SITE}/a.xml",
        "https://www.n.example/b.xml",
        "https://elsewhere.example/c.xml",
        f"{SITE}/a.xml",
    ]
    found.answer(found.row("/robots.txt"), "\n".join(f"Sitemap: {url}" for url in lines))
    assert found.urls == lines[:2]


def test_an_index_of_itself_does_not_go_round_and_round(visit):
    found = visit("news")
    found.answer(found.row("/robots.txt"), status=404)
    found.answer(found.row("/sitemap.xml"), sitemap(f"{SITE}/sitemap.xml", kind="sitemapindex"))
    assert found.urls == []


def test_an_index_that_names_ever_new_ones_comes_to_an_end(visit):
    found = visit("news")
    found.answer(found.row("/robots.txt"), f"Sitemap: {SITE}/0.xml")
    asked = 0
    while found.urls:
        asked += 1
        found.answer(found.row(".xml"), sitemap(f"{SITE}/{asked}.xml", kind="sitemapindex"))
    assert asked == DEEPEST_SITEMAP


def test_no_more_sitemaps_are_asked_than_the_limit(visit):
    found = visit("news")
    many = "\n".join(f"Sitemap: {SITE}/{n}.xml" for n in range(MOST_SITEMAPS + 50))
    found.answer(found.row("/robots.txt"), many)
    assert len(found.rows()) == MOST_SITEMAPS


def test_articles_of_other_hosts_and_other_schemes_are_no_articles_of_the_source(visit):
    urls = [
        f"{SITE}/a",
        "http://www.n.example/b",
        "https://evil.example/c",
        "ftp://n.example/d",
        "file:///etc/passwd",
    ]
    found = visit("news")
    found.answer(found.row("/robots.txt"), status=404)
    found.answer(found.row("/sitemap.xml"), sitemap(*urls, f"{SITE}/a"))
    assert sorted(found.urls) == sorted(urls[:2])
    assert {row.format for row in found.rows()} == {"html"}
    assert {get_metadata(make_request(row, found.spider)).needs_robots for row in found.rows()} == {
        True
    }


def test_the_budget_counts_addresses_found_in_sitemaps_and_feeds_together(visit):
    found = visit("news", feeds=[f"{SITE}/feed"], max_documents=3)
    robots, items = found.row("/robots.txt"), found.row("/feed")
    found.answer(robots, status=404)
    found.answer(found.row("/sitemap.xml"), sitemap(f"{SITE}/1", f"{SITE}/2"))
    found.answer(items, feed(*(f"{SITE}/{n}" for n in range(2, 9))))
    assert found.urls == [f"{SITE}/{n}" for n in (1, 2, 3)]


def test_a_source_whose_budget_is_full_asks_for_no_further_sitemap(visit):
    found = visit("news", feeds=[f"{SITE}/feed"], max_documents=1)
    found.answer(found.row("/feed"), feed(f"{SITE}/1"))
    found.answer(found.row("/robots.txt"), f"Sitemap: {SITE}/more.xml")
    assert found.urls == [f"{SITE}/1"]


@pytest.mark.parametrize("status", [500, 503, 599, 429])
def test_a_failing_robots_txt_ends_the_source_as_unreachable(visit, status):
    found = visit("news", politeness={"retries": 0})
    found.answer(found.row("/robots.txt"), f"Sitemap: {SITE}/a.xml", status=status)
    assert found.urls == []
    assert found.outcomes == {"dropped": 1, "dropped:unreachable": 1}
    assert found.shut == {
        "n.example": f"robots.txt unreachable (HTTP {status}); nothing was fetched"
    }


def test_unreadable_sitemaps_and_feeds_are_quarantined_by_name(visit):
    found = visit("news", feeds=[f"{SITE}/feed"])
    found.answer(found.row("/robots.txt"), status=404)
    found.answer(found.row("/sitemap.xml"), "<html></html>")
    found.answer(found.row("/feed"), "no xml")
    assert found.urls == []
    assert found.outcomes == {
        "quarantined": 2,
        "quarantined:unreadable_sitemap": 1,
        "quarantined:unreadable_feed": 1,
    }
    assert [text.split("  ")[1].split(" ")[0] for text in found.failures] == [
        f"{SITE}/sitemap.xml",
        f"{SITE}/feed",
    ]


def test_an_article_is_stored_under_its_verdict_and_what_is_no_text_is_dropped(visit):
    found = with_articles(visit("news"), "/a", "/b", "/c")
    found.answer(
        found.row("/a"), PAGE, Link='<https://creativecommons.org/licenses/by/4.0/>; rel="license"'
    )
    found.answer(found.row("/b"), PAGE, X_Robots_Tag="noai")
    found.answer(found.row("/c"), b"%PDF", kind=Response, Content_Type="application/pdf")
    assert found.outcomes == {"kept": 1, "dropped": 2, "dropped:opt_out": 1, "dropped:not_html": 1}
    licences = found.frontier.database.fetch_all(
        "SELECT source, licence, documents FROM licence ORDER BY 2"
    )
    assert licences == [("news", "CC-BY-4.0", 1), ("news", "unknown", 1)]


# News: links that are followed


def test_links_are_followed_only_where_the_source_says_so(visit):
    found = with_articles(visit("news"), "/a")
    found.answer(found.row("/a"), '<a href="/b">b</a>')
    assert found.urls == []


def test_followed_links_stay_on_the_hosts_and_in_the_budget_of_the_source(visit):
    found = visit("news", follow=True, max_documents=3)
    assert found.urls == [f"{SITE}/robots.txt", f"{SITE}/"]
    links = [
        "/a",
        "b#part",
        "https://www.n.example/c",
        "https://evil.example/d",
        "mailto:a@n.example",
        "/a",
        "/e",
    ]
    found.answer(found.row("example/"), "".join(f'<a href="{url}">x</a>' for url in links))
    assert [url for url in found.urls if url.endswith(".txt")] == [f"{SITE}/robots.txt"]
    assert sorted(url for url in found.urls if not url.endswith(".txt")) == [
        f"{SITE}/a",
        f"{SITE}/b",
    ]
    assert found.outcomes == {"kept": 1}


def test_a_page_that_links_to_itself_and_back_is_asked_once(visit):
    found = visit("news", follow=True)
    found.answer(found.row("example/"), '<a href="/">home</a><a href="/a">a</a>')
    found.answer(found.row("/a"), f'<a href="/">home</a><a href="{SITE}/a#top">a</a>')
    assert found.urls == [f"{SITE}/robots.txt"]
    assert found.outcomes == {"kept": 2}


def test_a_page_that_refuses_use_is_dropped_and_its_links_are_followed_all_the_same(visit):
    found = visit("news", follow=True)
    found.answer(found.row("example/"), '<a href="/a">a</a>', X_Robots_Tag="noai")
    assert f"{SITE}/a" in found.urls
    assert found.outcomes == {"dropped": 1, "dropped:opt_out": 1}


def test_a_page_that_says_nofollow_or_is_no_text_is_followed_nowhere(visit):
    found = visit("news", follow=True)
    found.answer(found.row("example/"), '<meta name="robots" content="nofollow"><a href="/a">a</a>')
    assert found.urls == [f"{SITE}/robots.txt"]
    bare = with_articles(found, "/raw")
    bare.answer(bare.row("/raw"), b"\x00\x01 no type was named", kind=Response)
    assert bare.outcomes == {"kept": 2}
    assert bare.failures == []


@pytest.mark.parametrize(
    ("told", "asked"), [("nofollow", 1), ("noarchive, NONE", 1), ("max-image-preview:none", 2)]
)
def test_a_header_may_say_nofollow_too(visit, told, asked):
    found = visit("news", follow=True, policy="research")
    found.answer(found.row("example/"), '<a href="/a">a</a>', X_Robots_Tag=told)
    assert len(found.urls) == asked


# What became of a request


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (PrivateAddress("n.example is 10.0.0.1"), "quarantined:private_address"),
        (OtherHost("elsewhere"), "dropped:other_host"),
        (ForbiddenByRobots("forbidden by robots.txt"), "dropped:robots"),
        (IgnoreRequest("max redirections reached"), "quarantined:redirects"),
        (DownloadTimeoutError(), "quarantined:timeout"),
        (CannotResolveHostError("no results"), "quarantined:unknown_host"),
        (DownloadCancelledError(), "quarantined:too_large"),
    ],
)
def test_a_request_that_brought_nothing_has_exactly_one_fate(visit, error, outcome):
    found = with_articles(visit("news", politeness={"retries": 0}), "/a")
    found.refuse(found.row("/a"), error)
    assert found.outcomes == {outcome.partition(":")[0]: 1, outcome: 1}
    assert found.shut == {}
    assert found.state(f"{SITE}/a")[0] == FAILED


@pytest.mark.parametrize("status", [400, 403, 404, 410, 451])
def test_an_answer_that_is_no_page_is_quarantined_by_its_status_and_asked_again_after_a_day(
    visit, status
):
    found = with_articles(visit("news"), "/a")
    found.answer(found.row("/a"), "sorry", status=status)
    assert found.outcomes == {"quarantined": 1, f"quarantined:http_{status}": 1}
    assert found.takedowns == []
    state, due = found.state(f"{SITE}/a")
    assert state == FAILED
    assert 23.9 * 3600 < due <= 24 * 3600


def test_behind_a_closed_robots_txt_every_page_is_unreachable_not_forbidden(visit):
    found = with_articles(visit("news"), "/a", "/b")
    found.refuse(found.row("/a"), RobotsUnreachable("timed out"))
    found.refuse(found.row("/b"), ForbiddenByRobots("forbidden by robots.txt"))
    assert found.outcomes == {"dropped": 2, "dropped:unreachable": 1, "dropped:robots": 1}
    assert found.shut == {"n.example": "robots.txt unreachable (timed out); nothing was fetched"}


@pytest.mark.parametrize(("kind", "door"), [("news", "robots.txt"), ("wiki", "API")])
def test_a_door_where_nobody_listens_is_named_once_it_was_tried_often_enough(visit, kind, door):
    found = visit(kind, politeness={"retries": 1, "backoff": 0})
    (row,) = found.rows()
    found.refuse(row, DownloadConnectionRefusedError())
    assert found.outcomes == {}
    found.frontier.queue.requeue_due(time.time() + 1, only_retries=True)
    (row,) = found.rows()
    found.refuse(row, DownloadConnectionRefusedError())
    assert found.outcomes == {"dropped": 1, "dropped:unreachable": 1}
    assert list(found.shut.values()) == [
        f"{door} unreachable (connection refused); nothing was fetched"
    ]


def test_a_passing_failure_is_repeated_after_pauses_that_double_until_it_was_tried_often_enough(
    visit,
):
    found = with_articles(visit("news", politeness={"retries": 3, "backoff": 20}), "/a")
    for number in range(3):
        found.answer(found.row("/a"), status=500)
        state, due = found.state(f"{SITE}/a")
        assert state == WAITING
        assert 10 * 2**number - 1 < due <= 20 * 2**number
        found.frontier.queue.requeue_due(time.time() + 200, only_retries=True)
    assert found.outcomes == {}
    found.answer(found.row("/a"), status=500)
    assert found.outcomes == {"quarantined": 1, "quarantined:http_500": 1}


def test_a_pause_before_a_repetition_is_never_longer_than_the_longest(visit):
    found = with_articles(visit("news", politeness={"retries": 9, "backoff": 10_000}), "/a")
    found.answer(found.row("/a"), status=502)
    assert found.state(f"{SITE}/a")[1] <= LONGEST_PAUSE


def test_a_busy_host_is_left_alone_longer_each_time_and_forgiven_when_it_answers(visit):
    found = with_articles(visit("news", politeness={"retries": 9}), "/a", "/b")
    pauses = []
    for _ in range(3):
        found.answer(found.row("/a"), status=503)
        pauses.append(found.context.hosts.seconds_to_wait("n.example"))
        found.frontier.queue.requeue_due(time.time() + YEAR, only_retries=True)
    assert [round(pause) for pause in pauses] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    found.answer(found.row("/b"), PAGE)
    assert found.context.hosts.consecutive_429s("n.example") == 0


@pytest.mark.parametrize("status", [200, 301, 404, 500, 502])
def test_retry_after_means_nothing_beside_other_answers(visit, status):
    found = with_articles(visit("news"), "/a")
    found.answer(found.row("/a"), PAGE, status=status, Retry_After="30")
    assert found.context.hosts.seconds_to_wait("n.example") == 0


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_the_whole_host_and_the_page_stays_queued(visit, status):
    found = with_articles(visit("news"), "/a")
    found.answer(found.row("/a"), status=status, Retry_After="86400")
    assert 86390 < found.context.hosts.seconds_to_wait("n.example") <= 86400
    assert found.outcomes == {}
    assert found.frontier.queue.count_queued() == 1


def test_a_reader_that_breaks_costs_its_page_and_is_named(visit, monkeypatch):
    def broken(self, response):
        raise ZeroDivisionError("by us")
        yield

    monkeypatch.setattr(NewsSpider, "parse_article", broken)
    found = with_articles(visit("news"), "/a")
    found.answer(found.row("/a"), PAGE)
    assert found.outcomes == {"quarantined": 1, "quarantined:reader_error": 1}
    assert found.failures == [f"reader_error  {SITE}/a (ZeroDivisionError: by us)"]


def test_a_commit_that_fails_ends_the_crawl_with_its_error_and_the_request_stays_queued(
    visit, monkeypatch
):
    found = with_articles(visit("news"), "/a")
    closed = []

    async def close(reason: str) -> None:
        closed.append(reason)

    async def go() -> None:
        found.spider.crawler = SimpleNamespace(engine=SimpleNamespace(close_spider_async=close))
        found.answer(found.row("/a"), PAGE)
        await found.spider._closing

    def full(*_, **__):
        raise OSError(28, "No space left on device", "frontier.sqlite")

    landed = len(found.landed)
    monkeypatch.setattr(found.frontier, "commit", full)
    asyncio.run(go())
    assert closed == ["fault"]
    assert found.context.status.error.filename == "frontier.sqlite"
    assert len(found.landed) == landed
    assert found.urls == [f"{SITE}/a"]


# Later visits of a page


@pytest.fixture
def known(visit):
    """A visit in its second call, of a page that was stored in the first with an ETag."""
    found = with_articles(visit("news"), "/a")
    found.answer(found.row("/a"), PAGE, ETag='"1"', Last_Modified="Mon, 23 Nov 2026 12:00:00 GMT")
    assert found.outcomes == {"kept": 1}
    found.later()
    return found


def test_a_stored_page_is_due_after_the_interval_of_documents_and_a_list_of_pages_daily(visit):
    found = with_articles(visit("news", recrawl={"documents": 100, "discovery": 2}), "/a")
    found.answer(found.row("/a"), PAGE)
    hours = {
        end: found.state(SITE + end)[1] / 3600 for end in ("/a", "/sitemap.xml", "/robots.txt")
    }
    assert {end: round(value) for end, value in hours.items()} == {
        "/a": 100,
        "/sitemap.xml": 2,
        "/robots.txt": 2,
    }


def test_a_known_page_is_asked_for_changes_by_what_it_said_before(known):
    headers = make_request(known.row("/a"), known.spider).headers
    assert headers[b"If-None-Match"] == b'"1"'
    assert headers[b"If-Modified-Since"] == b"Mon, 23 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(("status", "body"), [(304, ""), (200, PAGE)])
def test_a_page_that_did_not_change_is_dropped_as_unchanged_and_is_due_again(known, status, body):
    before = known.row("/a").before
    known.answer(known.row("/a"), body, status=status)
    assert known.outcomes == {"dropped": 1, "dropped:unchanged": 1}
    state, due = known.state(f"{SITE}/a")
    assert state == DONE
    assert round(due / 3600) == 720
    known.later()
    assert known.row("/a").before == before


def test_a_page_that_changed_is_stored_anew_under_its_new_validators(known):
    known.answer(known.row("/a"), "<p>news</p>", ETag='"2"')
    assert known.outcomes == {"kept": 1}
    known.later()
    before = known.row("/a").before
    assert (before.etag, before.modified, before.payload) == (
        '"2"',
        None,
        payload_digest(b"<p>news</p>"),
    )


def test_the_links_of_an_unchanged_page_are_not_read_again(visit):
    found = visit("news", follow=True)
    found.answer(found.row("example/"), PAGE)
    found.later()
    found.answer(found.row("example/"), PAGE)
    assert found.outcomes == {"dropped": 1, "dropped:unchanged": 1}


@pytest.mark.parametrize("status", [404, 410])
def test_a_stored_page_that_is_gone_is_taken_down(known, status):
    known.answer(known.row("/a"), "gone", status=status)
    assert known.outcomes == {"dropped": 1, "dropped:gone": 1}
    assert known.takedowns == [(f"{SITE}/a", "deleted")]
    assert known.state(f"{SITE}/a")[0] == FAILED


@pytest.mark.parametrize("status", [401, 402, 403, 451])
def test_a_stored_page_that_is_closed_to_us_now_is_taken_down_and_put_back_when_it_opens(
    known, status
):
    row = known.row("/a")
    known.answer(row, status=status)
    assert known.outcomes == {"quarantined": 1, f"quarantined:http_{status}": 1}
    assert known.takedowns == [(f"{SITE}/a", f"http_{status}")]
    known.frontier.queue.requeue_due(time.time() + 86400 * 2)
    known.answer(known.row("/a"), "<p>open again</p>")
    assert known.takedowns == []


def test_a_stored_page_that_robots_txt_forbids_now_is_taken_down(known):
    known.refuse(known.row("/a"), ForbiddenByRobots("forbidden by robots.txt"))
    assert known.takedowns == [(f"{SITE}/a", "robots")]


@pytest.mark.parametrize("status", [400, 500, 502])
def test_a_stored_page_that_merely_fails_is_not_taken_down(known, status):
    row = known.row("/a")
    for _ in range(3):
        known.answer(row, status=status)
        known.frontier.queue.requeue_due(time.time() + 3600, only_retries=True)
        row = next((one for one in known.rows() if one.id == row.id), None)
        if row is None:
            break
    assert known.outcomes == {"quarantined": 1, f"quarantined:http_{status}": 1}
    assert known.takedowns == []


@pytest.mark.parametrize(
    ("status", "body", "headers", "site"),
    [
        (200, "<p>news</p>", {"X_Robots_Tag": "noai"}, ()),
        (200, PAGE, {"X_Robots_Tag": "noai"}, ()),
        (200, PAGE, {}, (RightsSignal("robots.txt for AI", "gptbot"),)),
        (304, "", {"tdm_reservation": "1"}, ()),
        (304, "", {}, (RightsSignal("ai.txt", "Disallow"),)),
    ],
)
def test_a_stored_page_that_refuses_now_is_taken_down_changed_or_not(
    known, status, body, headers, site
):
    known.answer(known.row("/a"), body, status=status, site=site, **headers)
    assert known.outcomes == {"dropped": 1, "dropped:opt_out": 1}
    assert known.takedowns == [(f"{SITE}/a", "opt_out")]


def test_under_a_policy_that_only_records_refusals_nothing_is_taken_down(visit):
    found = with_articles(visit("news", policy="research"), "/a")
    found.answer(found.row("/a"), PAGE)
    found.later()
    found.answer(found.row("/a"), PAGE, X_Robots_Tag="noai")
    assert found.outcomes == {"dropped": 1, "dropped:unchanged": 1}
    assert found.takedowns == []


def test_a_page_that_refused_from_the_first_is_no_takedown(visit):
    found = with_articles(visit("news"), "/a")
    found.answer(found.row("/a"), PAGE, X_Robots_Tag="noai")
    assert found.takedowns == []


def test_a_robots_txt_that_is_missing_day_after_day_is_read_each_day_and_is_no_takedown(visit):
    found = with_articles(visit("news"), "/a")
    found.frontier.database.connection.execute("DELETE FROM request WHERE url LIKE '%sitemap.xml'")
    found.later()
    found.answer(found.row("/robots.txt"), status=404)
    assert f"{SITE}/sitemap.xml" in found.urls
    assert found.outcomes == {}
    assert found.takedowns == []


def test_a_list_of_pages_that_is_gone_is_a_failure_and_no_takedown(visit):
    found = with_articles(visit("news"), "/a")
    found.later()
    found.answer(found.row("/sitemap.xml"), status=404)
    assert found.outcomes == {"quarantined": 1, "quarantined:http_404": 1}
    assert found.takedowns == []


def test_an_unchanged_list_of_pages_is_no_document(visit):
    found = with_articles(visit("news"))
    found.later()
    found.answer(found.row("/robots.txt"), status=304)
    assert found.outcomes == {}


# Wikis


def test_a_wiki_is_asked_for_its_licence_first_and_its_pages_carry_it(visit):
    found = visit("wiki", categories=["Category:A", "Category:B"], max_documents=20)
    (site,) = found.rows()
    assert not get_metadata(make_request(site, found.spider)).needs_robots
    rights = {"query": {"rightsinfo": {"url": "https://creativecommons.org/licenses/by-sa/4.0/"}}}
    found.answer(site, json.dumps(rights))
    queries = [parse_qs(urlsplit(url).query) for url in found.urls]
    assert [query["gcmtitle"] for query in queries] == [["Category:A"], ["Category:B"]]
    assert {query["gcmlimit"][0] for query in queries} == {"20"}
    signals = {get_metadata(make_request(row, found.spider)).rights_signals for row in found.rows()}
    assert signals == {
        (RightsSignal("rightsinfo", "https://creativecommons.org/licenses/by-sa/4.0/"),)
    }


def wiki_batch(first: int, count: int, **more: object) -> str:
    pages = [
        {"pageid": n, "title": f"P{n}", "revisions": [{"revid": n}]}
        for n in range(first, first + count)
    ]
    return json.dumps({"query": {"pages": pages}, **more})


GOING_ON = {"continue": {"gapcontinue": "P3", "continue": "gapcontinue||"}}


def in_batches(found: Visit) -> QueuedRequest:
    """Past the question for the licence: the first batch."""
    (site,) = found.rows()
    found.answer(site, '{"query": {}}')
    (batch,) = found.rows()
    return batch


def test_a_wiki_is_followed_by_its_cursor_until_the_budget_is_full(visit):
    found = visit("wiki", max_documents=4)
    found.answer(in_batches(found), wiki_batch(0, 3, **GOING_ON))
    (following,) = found.rows()
    query = parse_qs(urlsplit(following.url).query)
    assert query["gapcontinue"] == ["P3"]
    assert query["generator"] == ["allpages"]
    found.answer(following, wiki_batch(3, 3, **GOING_ON))
    assert found.urls == []
    assert found.outcomes == {"kept": 6}  # what one answer holds is stored whole


def test_the_address_of_a_batch_does_not_depend_on_what_was_found_before(visit):
    found = visit("wiki", max_documents=4)
    first = in_batches(found)
    found.context.documents["wiki"] = 3
    asks = list(found.reader.parse_site(TextResponse("https://w.example/", body=b"{}")))
    assert [ask.url for ask in asks] == [first.url]


def test_a_batch_that_did_not_change_holds_as_many_unchanged_pages(visit):
    found = visit("wiki")
    found.answer(in_batches(found), wiki_batch(0, 3))
    found.later()
    found.answer(found.row(in_batch_url(found)), wiki_batch(0, 3))
    assert found.outcomes == {"dropped": 3, "dropped:unchanged": 3}


def in_batch_url(found: Visit) -> str:
    return next(row.url for row in found.rows() if row.reader == "parse_batch")


def test_a_lagging_wiki_is_asked_the_same_again_until_it_lagged_too_often(visit):
    found = visit("wiki")
    (row,) = found.rows()
    for _ in range(MOST_LAGS):
        found.answer(row, '{"error": {"code": "maxlag"}}', Retry_After="1")
        assert found.urls == []
        assert found.state(row.url)[0] == WAITING
        assert found.outcomes == {}
        found.frontier.queue.requeue_due(time.time() + 2, only_retries=True)
        assert found.urls == [row.url]
        (row,) = found.rows()
    found.answer(row, '{"error": {"code": "maxlag"}}', Retry_After="1")
    assert found.outcomes == {"quarantined": 1, "quarantined:api_maxlag": 1}
    assert found.frontier.queue.count_queued() == 0


def test_a_wiki_that_caught_up_goes_on_as_if_it_had_never_lagged(visit):
    found = visit("wiki")
    (row,) = found.rows()
    found.answer(row, '{"error": {"code": "maxlag"}}', Retry_After="1")
    found.frontier.queue.requeue_due(time.time() + 2, only_retries=True)
    found.answer(in_batches(found), wiki_batch(0, 2))
    assert found.outcomes == {"kept": 2}


@pytest.mark.parametrize(
    ("header", "seconds"), [({}, LAG_SECONDS), ({"Retry_After": "86400"}, LONGEST_PAUSE)]
)
def test_a_lagging_wiki_is_left_alone_for_a_while_but_not_for_ever(visit, header, seconds):
    found = visit("wiki")
    (row,) = found.rows()
    found.answer(row, '{"error": {"code": "ratelimited"}}', **header)
    assert seconds - 1 < found.context.hosts.seconds_to_wait("w.example") <= seconds


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"error": {"code": "readapidenied"}}', "api_readapidenied"),
        ("<html>", "unreadable_answer"),
    ],
)
def test_a_wiki_that_refuses_or_talks_nonsense_ends_that_branch(visit, body, reason):
    found = visit("wiki")
    (row,) = found.rows()
    found.answer(row, body)
    assert found.urls == []
    assert found.outcomes == {"quarantined": 1, f"quarantined:{reason}": 1}


# Timelines


def statuses(count: int, **account: object) -> str:
    return json.dumps(
        [{"id": str(n), "content": "<p>hi</p>", "account": account} for n in range(count)]
    )


def linked(count: int, **account: object) -> str:
    """Statuses that have an address of their own."""
    found = json.loads(statuses(count, **account))
    return json.dumps([{**one, "url": f"https://s.example/@a/{one['id']}"} for one in found])


NEXT = '<https://s.example/api/v1/timelines/public?max_id=1>; rel="next"'
STATUS = "https://s.example/api/v1/statuses/0"


def test_a_timeline_is_followed_by_its_link_until_the_budget_is_full(visit):
    found = visit("social", max_documents=5)
    (row,) = found.rows()
    assert parse_qs(urlsplit(row.url).query) == {"limit": ["5"], "local": ["true"]}
    found.answer(row, statuses(3), Link=NEXT)
    assert found.urls == ["https://s.example/api/v1/timelines/public?max_id=1"]
    found.answer(found.row("max_id=1"), statuses(3), Link=NEXT)
    assert found.urls == []
    assert found.outcomes == {"kept": 6}


def test_a_timeline_that_goes_on_after_it_was_killed_begins_with_no_other_address(visit):
    found = visit("social", max_documents=5)
    (row,) = found.rows()
    found.answer(row, statuses(3), Link=NEXT)
    assert [ask.url for ask in found.reader.first_requests()] == [row.url]
    again = Visit(MastodonSpider(source=found.reader.source, context=found.context))
    assert again.urls == ["https://s.example/api/v1/timelines/public?max_id=1"]


def test_an_empty_page_ends_a_timeline_even_with_a_link(visit):
    found = visit("social")
    found.answer(found.rows()[0], "[]", Link=NEXT)
    assert found.urls == []


def test_a_next_page_on_another_host_is_not_asked(visit):
    found = visit("social")
    found.answer(found.rows()[0], statuses(1), Link=NEXT.replace("s.example", "evil.example"))
    assert found.urls == []


def test_accounts_that_refuse_are_dropped_and_broken_statuses_quarantined(visit):
    found = visit("social")
    (row,) = found.rows()
    found.answer(row, statuses(2, noindex=True), Link=NEXT)
    found.answer(found.row("max_id=1"), '[null, {"id": "1"}, {"content": 5}]')
    assert found.outcomes == {
        "dropped": 2,
        "dropped:opt_out": 2,
        "quarantined": 3,
        "quarantined:broken_item": 3,
    }


def test_every_status_with_an_address_is_looked_at_again_when_documents_are_due(visit):
    found = visit("social")
    found.answer(found.rows()[0], linked(2))
    assert found.urls == []
    assert found.landed == [0]  # nothing of it is to be asked in this call
    state, due = found.state(STATUS)
    assert state == DONE
    assert round(due / 3600) == 720
    found.later(721 * 3600)
    assert sorted(row.url for row in found.rows() if row.reader == "parse_status") == [
        STATUS,
        f"{STATUS[:-1]}1",
    ]


@pytest.mark.parametrize(
    "status",
    [
        {"id": "0", "url": None},
        {"id": "../../admin", "url": "https://s.example/@a/0"},
        {"id": "0?x=1", "url": "https://s.example/@a/0"},
        {"id": None, "url": "https://s.example/@a/0"},
        {"url": "https://s.example/@a/0"},
    ],
)
def test_a_status_without_an_address_or_an_id_is_not_looked_at_again(visit, status):
    found = visit("social")
    found.answer(found.rows()[0], json.dumps([{"content": "<p>hi</p>", "account": {}, **status}]))
    assert found.outcomes == {"kept": 1}
    assert found.frontier.queue.count_known() == 1


def test_no_status_is_looked_at_again_where_the_source_does_not_want_it(visit):
    found = visit("social", recheck=False)
    found.answer(found.rows()[0], linked(2))
    assert found.frontier.queue.count_known() == 1


@pytest.fixture
def rechecked(visit):
    """A timeline in its second call, whose one status is looked at again."""
    found = visit("social")
    found.answer(found.rows()[0], linked(1))
    found.later()
    return found


@pytest.mark.parametrize("code", [404, 410])
def test_a_status_that_was_deleted_is_taken_down_by_the_address_people_know(rechecked, code):
    rechecked.answer(rechecked.row("/statuses/0"), '{"error": "Record not found"}', status=code)
    assert rechecked.takedowns == [("https://s.example/@a/0", "deleted")]
    assert rechecked.outcomes == {}


def test_a_status_whose_account_refuses_now_is_taken_down(rechecked):
    told = {"id": "0", "content": "<p>hi</p>", "account": {"note": "#nobot"}}
    rechecked.answer(rechecked.row("/statuses/0"), json.dumps(told))
    assert rechecked.takedowns == [("https://s.example/@a/0", "opt_out")]


def test_a_status_that_stands_as_it_stood_stays_and_is_looked_at_again(rechecked):
    rechecked.answer(
        rechecked.row("/statuses/0"), '{"id": "0", "content": "<p>hi</p>", "account": {}}'
    )
    assert rechecked.takedowns == []
    assert rechecked.outcomes == {}
    assert round(rechecked.state(STATUS)[1] / 3600) == 720


def test_a_status_that_cannot_be_read_is_a_failure_and_no_takedown(rechecked):
    rechecked.answer(rechecked.row("/statuses/0"), "<html>")
    assert rechecked.outcomes == {"quarantined": 1, "quarantined:reader_error": 1}
    assert rechecked.takedowns == []


def test_a_timeline_page_that_did_not_change_holds_as_many_unchanged_statuses(rechecked):
    page = next(row for row in rechecked.rows() if row.reader == "parse_page")
    rechecked.answer(page, linked(1))
    assert rechecked.outcomes == {"dropped": 1, "dropped:unchanged": 1}


# What spiders say


def test_a_spider_cannot_say_what_nobody_understands():
    with pytest.raises(TypeError, match="something"):
        FetchResult().add("something")


def test_shut_doors_and_asks_are_told_apart():
    outcome = FetchResult()
    for said in (Unreachable("n.example", "why"), CrawlRequest(SITE, "parse_feed")):
        outcome.add(said)
    assert (len(outcome.unreachable), len(outcome.requests), outcome.documents) == (1, 1, [])


def test_one_address_in_two_spellings_is_one_request_of_a_source_and_another_of_the_next():
    one, other = CrawlRequest(f"{SITE}/a?x=1&y=2#top", "r"), CrawlRequest(f"{SITE}/a?y=2&x=1", "r")
    assert one.fingerprint("n") == other.fingerprint("n")
    assert one.fingerprint("n") != one.fingerprint("m")
    assert one.host == "n.example"
