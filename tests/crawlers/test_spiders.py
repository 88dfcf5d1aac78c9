"""The spiders without a network: what each answer makes them ask next, and the fate of every document."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from scrapy import Request
from scrapy.exceptions import CannotResolveHostError, DownloadTimeoutError, IgnoreRequest
from scrapy.http import Response, TextResponse
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from crawlers.config import CrawlConfig
from crawlers.politeness import OtherHost, PrivateAddress
from crawlers.rights import Verdict
from crawlers.session import LONGEST_PAUSE, Session
from crawlers.spiders.news import MOST_SITEMAPS, NewsSpider
from crawlers.spiders.social import SocialSpider
from crawlers.spiders.wiki import LAG_SECONDS, MOST_LAGS, WikiSpider
from crawlers.warc import WarcWriter
from gristmill.ledger import totals
from gristmill.progress import Progress

SITE = "https://n.example"
KINDS = {"news": NewsSpider, "wiki": WikiSpider, "social": SocialSpider}
DOORS = {
    "news": {"sites": [SITE]},
    "wiki": {"api": "https://w.example/w/api.php"},
    "social": {"server": "https://s.example"},
}


@pytest.fixture
def spider_of(tmp_path):
    """A function making the spider of one source, with a session of its own."""

    def make(kind: str, **settings: object):
        source = {"kind": kind, "name": kind, **DOORS[kind], **settings}
        config = CrawlConfig.model_validate({"contact": "a@b.org", "sources": [source]})
        session = Session(config, WarcWriter(tmp_path), Progress("crawl"))
        return KINDS[kind](source=config.sources[0], session=session)

    return make


async def started(spider) -> list[Request]:
    return [request async for request in spider.start()]


def start(spider) -> list[Request]:
    """The first requests of a spider; nothing in `start` waits, so no event loop is needed."""
    steps = started(spider)
    try:
        steps.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("start() waited")


def answer(request: Request, body: bytes | str = b"", *, status: int = 200, **headers: str) -> TextResponse:
    data = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return TextResponse(request.url, status=status, body=data, headers=named, request=request, encoding="utf-8")


def sitemap(*urls: str, kind: str = "urlset") -> str:
    item = "url" if kind == "urlset" else "sitemap"
    return f"<{kind}>" + "".join(f"<{item}><loc>{url}</loc></{item}>" for url in urls) + f"</{kind}>"


def fates(spider) -> dict[str, int]:
    return {name: n for name, n in totals(spider.session.tally.entries()).items() if n}


def test_a_news_site_is_entered_by_robots_txt_which_is_itself_asked_without_asking(spider_of):
    (request,) = start(spider_of("news"))
    assert request.url == f"{SITE}/robots.txt"
    assert request.meta["dont_obey_robotstxt"]
    assert request.meta["format"] == "discovery"


def test_sitemaps_of_other_hosts_are_not_followed_and_each_is_asked_once(spider_of):
    spider = spider_of("news")
    (robots,) = start(spider)
    lines = [f"{SITE}/a.xml", "https://www.n.example/b.xml", "https://elsewhere.example/c.xml", f"{SITE}/a.xml"]
    text = "\n".join(f"Sitemap: {url}" for url in lines)
    assert [r.url for r in spider.parse_robots(answer(robots, text))] == lines[:2]


def test_an_index_of_itself_does_not_go_round_and_round(spider_of):
    spider = spider_of("news")
    (robots,) = start(spider)
    (index,) = spider.parse_robots(answer(robots, status=404))
    assert index.url == f"{SITE}/sitemap.xml"
    assert list(spider.parse_sitemap(answer(index, sitemap(f"{SITE}/sitemap.xml", kind="sitemapindex")))) == []


def test_no_more_sitemaps_are_asked_than_the_limit(spider_of):
    spider = spider_of("news")
    (robots,) = start(spider)
    many = "\n".join(f"Sitemap: {SITE}/{n}.xml" for n in range(MOST_SITEMAPS + 50))
    assert len(list(spider.parse_robots(answer(robots, many)))) == MOST_SITEMAPS


def test_articles_of_other_hosts_and_other_schemes_are_no_articles_of_the_source(spider_of):
    spider = spider_of("news")
    (robots,) = start(spider)
    (index,) = spider.parse_robots(answer(robots, status=404))
    urls = [f"{SITE}/a", "http://www.n.example/b", "https://evil.example/c", "ftp://n.example/d", "file:///etc/passwd"]
    asked = list(spider.parse_sitemap(answer(index, sitemap(*urls, f"{SITE}/a"))))
    assert sorted(request.url for request in asked) == sorted(urls[:2])
    assert {request.meta["format"] for request in asked} == {"html"}
    assert not any(request.meta.get("dont_obey_robotstxt") for request in asked)


def test_the_budget_counts_addresses_found_in_sitemaps_and_feeds_together(spider_of):
    spider = spider_of("news", feeds=[f"{SITE}/feed"], max_documents=3)
    robots, feed = start(spider)
    (index,) = spider.parse_robots(answer(robots, status=404))
    assert len(list(spider.parse_sitemap(answer(index, sitemap(f"{SITE}/1", f"{SITE}/2"))))) == 2
    items = "".join(f"<item><link>{SITE}/{n}</link></item>" for n in range(2, 9))
    assert [r.url for r in spider.parse_feed(answer(feed, f"<rss><channel>{items}</channel></rss>"))] == [f"{SITE}/3"]
    assert list(spider.parse_robots(answer(robots, f"Sitemap: {SITE}/more.xml"))) == []


@pytest.mark.parametrize("status", [500, 503, 599, 429])
def test_a_failing_robots_txt_ends_the_source_as_unreachable(spider_of, status):
    spider = spider_of("news")
    (robots,) = start(spider)
    assert list(spider.parse_robots(answer(robots, f"Sitemap: {SITE}/a.xml", status=status))) == []
    assert fates(spider) == {"dropped": 1, "dropped:unreachable": 1}
    assert spider.session.unreachable == {"n.example": f"robots.txt unreachable (HTTP {status}); nothing was fetched"}


def test_unreadable_sitemaps_and_feeds_are_quarantined_by_name(spider_of):
    spider = spider_of("news", feeds=[f"{SITE}/feed"])
    robots, feed = start(spider)
    (index,) = spider.parse_robots(answer(robots, status=404))
    assert list(spider.parse_sitemap(answer(index, "<html></html>"))) == []
    assert list(spider.parse_feed(answer(feed, "no xml"))) == []
    assert fates(spider) == {
        "quarantined": 2, "quarantined:unreadable_sitemap": 1, "quarantined:unreadable_feed": 1,
    }  # fmt: skip
    assert [text.split("  ")[1].split(" ")[0] for text in spider.session.failures] == [
        f"{SITE}/sitemap.xml", f"{SITE}/feed",
    ]  # fmt: skip


def test_an_article_is_stored_under_its_verdict_and_what_is_no_text_is_dropped(spider_of):
    spider = spider_of("news")
    page = answer(Request(f"{SITE}/a"), "<p>text</p>")
    page.request.meta.update(captured_as="html", verdict=Verdict("CC-BY-4.0", (), None, ()))
    spider.parse_article(page)
    page.request.meta.update(captured_as="html", verdict=Verdict("unknown", ("noai",), "opt_out", ()))
    spider.parse_article(page)
    page.request.meta.update(captured_as="discovery")
    spider.parse_article(page)
    assert fates(spider) == {"kept": 1, "dropped": 2, "dropped:opt_out": 1, "dropped:not_html": 1}
    assert spider.session.licence_table() == {"news": {"CC-BY-4.0": 1, "unknown": 1}}


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (PrivateAddress("n.example is 10.0.0.1"), "quarantined:private_address"),
        (OtherHost("elsewhere"), "dropped:other_host"),
        (IgnoreRequest("Forbidden by robots.txt"), "dropped:robots"),
        (HttpError(Response(f"{SITE}/a", status=404)), "quarantined:http_404"),
        (DownloadTimeoutError(), "quarantined:timeout"),
        (CannotResolveHostError("no results"), "quarantined:unknown_host"),
    ],
)
def test_a_request_that_brought_nothing_has_exactly_one_fate(spider_of, error, fate):
    spider = spider_of("news")
    failure = Failure(error)
    failure.request = Request(f"{SITE}/a")
    spider.refused(failure)
    assert fates(spider) == {fate.partition(":")[0]: 1, fate: 1}
    assert spider.session.unreachable == {}


def test_behind_a_closed_robots_txt_every_page_is_unreachable_not_forbidden(spider_of):
    spider = spider_of("news")
    spider.session.unreachable["n.example"] = "robots.txt unreachable (timed out); nothing was fetched"
    for url in (f"{SITE}/a", "https://other.example/b"):
        failure = Failure(IgnoreRequest("Forbidden by robots.txt"))
        failure.request = Request(url)
        spider.refused(failure)
    assert fates(spider) == {"dropped": 2, "dropped:unreachable": 1, "dropped:robots": 1}


def test_a_wiki_is_asked_for_its_licence_first_and_its_pages_carry_it(spider_of):
    spider = spider_of("wiki", categories=["Category:A", "Category:B"], max_documents=20)
    (site,) = start(spider)
    assert site.meta["dont_obey_robotstxt"]
    rights = {"query": {"rightsinfo": {"url": "https://creativecommons.org/licenses/by-sa/4.0/"}}}
    batches = list(spider.parse_site(answer(site, json.dumps(rights))))
    queries = [parse_qs(urlsplit(request.url).query) for request in batches]
    assert [query["gcmtitle"] for query in queries] == [["Category:A"], ["Category:B"]]
    assert {query["gcmlimit"][0] for query in queries} == {"20"}
    assert {request.meta["signals"][0].value for request in batches} == {
        "https://creativecommons.org/licenses/by-sa/4.0/"
    }


def wiki_batch(first: int, count: int, **more: object) -> str:
    pages = [{"pageid": n, "title": f"P{n}", "revisions": [{"revid": n}]} for n in range(first, first + count)]
    return json.dumps({"query": {"pages": pages}, **more})


def test_a_wiki_is_followed_by_its_cursor_until_the_budget_is_full(spider_of):
    spider = spider_of("wiki", max_documents=4)
    (site,) = start(spider)
    (request,) = spider.parse_site(answer(site, '{"query": {}}'))
    going_on = {"continue": {"gapcontinue": "P3", "continue": "gapcontinue||"}}
    (following,) = spider.parse_batch(answer(request, wiki_batch(0, 3, **going_on)))
    query = parse_qs(urlsplit(following.url).query)
    assert query["gapcontinue"] == ["P3"]
    assert query["generator"] == ["allpages"]
    assert list(spider.parse_batch(answer(following, wiki_batch(3, 3, **going_on)))) == []
    assert fates(spider) == {"kept": 6}  # what one answer holds is stored whole


def test_a_lagging_wiki_is_asked_the_same_again_until_it_lagged_too_often(spider_of):
    spider = spider_of("wiki")
    (request,) = start(spider)
    first, asked = request.url, 0
    while True:
        again = list(spider.parse_site(answer(request, '{"error": {"code": "maxlag"}}', Retry_After="1")))
        if not again:
            break
        (request,) = again
        asked += 1
        assert request.url == first
    assert asked == MOST_LAGS
    assert fates(spider) == {"quarantined": 1, "quarantined:api_maxlag": 1}


@pytest.mark.parametrize(("header", "seconds"), [({}, LAG_SECONDS), ({"Retry_After": "86400"}, LONGEST_PAUSE)])
def test_a_lagging_wiki_is_left_alone_for_a_while_but_not_for_ever(spider_of, header, seconds):
    spider = spider_of("wiki")
    (request,) = start(spider)
    list(spider.parse_site(answer(request, '{"error": {"code": "ratelimited"}}', **header)))
    assert seconds - 1 < spider.session.pause("w.example") <= seconds


@pytest.mark.parametrize(
    ("body", "reason"),
    [('{"error": {"code": "readapidenied"}}', "api_readapidenied"), ("<html>", "unreadable_answer")],
)
def test_a_wiki_that_refuses_or_talks_nonsense_ends_that_branch(spider_of, body, reason):
    spider = spider_of("wiki")
    (request,) = start(spider)
    assert list(spider.parse_site(answer(request, body))) == []
    assert fates(spider) == {"quarantined": 1, f"quarantined:{reason}": 1}


def statuses(count: int, **account: object) -> str:
    return json.dumps([{"id": str(n), "content": "<p>hi</p>", "account": account} for n in range(count)])


NEXT = '<https://s.example/api/v1/timelines/public?max_id=1>; rel="next"'


def test_a_timeline_is_followed_by_its_link_until_the_budget_is_full(spider_of):
    spider = spider_of("social", max_documents=5)
    (request,) = start(spider)
    assert parse_qs(urlsplit(request.url).query) == {"limit": ["5"], "local": ["true"]}
    (following,) = spider.parse_page(answer(request, statuses(3), Link=NEXT))
    assert following.url == "https://s.example/api/v1/timelines/public?max_id=1"
    assert list(spider.parse_page(answer(following, statuses(3), Link=NEXT))) == []
    assert fates(spider) == {"kept": 6}


def test_an_empty_page_ends_a_timeline_even_with_a_link(spider_of):
    spider = spider_of("social")
    (request,) = start(spider)
    assert list(spider.parse_page(answer(request, "[]", Link=NEXT))) == []


def test_accounts_that_refuse_are_dropped_and_broken_statuses_quarantined(spider_of):
    spider = spider_of("social")
    (request,) = start(spider)
    list(spider.parse_page(answer(request, statuses(2, noindex=True))))
    list(spider.parse_page(answer(request, '[null, {"id": "1"}, {"content": 5}]')))
    assert fates(spider) == {"dropped": 2, "dropped:opt_out": 2, "quarantined": 3, "quarantined:broken_item": 3}
