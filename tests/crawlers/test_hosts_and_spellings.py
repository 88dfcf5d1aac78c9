"""What one review found: addresses in other spellings, one pace for all that asks a host, refusals for part of a site, lost state."""

import itertools
import json
import shutil
import sqlite3
import threading
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from parsel import Selector
from scrapy import Request

from crawlers.downloader.addresses import host_of, parse_literal_address
from crawlers.downloader.politeness import AddressMiddleware
from crawlers.downloader.refusals import PrivateAddress
from crawlers.downloader.request_metadata import META_KEY, RequestMetadata
from crawlers.downloader.robots import read_robots
from crawlers.product import PRODUCT
from crawlers.rights import judge, page_signals
from crawlers.sources.news import NewsSpider
from gristmill.rights.policy import POLICIES
from gristmill.runs.finished import open_run

ARTICLE = b"<html><body><article><p>Some words.</p></article></body></html>"
POLITE = "[politeness]\ndelay = %s\nautothrottle = false\nconcurrency_per_host = %d\nretries = 2\nbackoff = 0.0\n"
AT_ONCE = "[recrawl]\ndiscovery = 0.0\n"


def sitemap(*paths):
    return (
        b"<urlset>"
        + b"".join(b"<url><loc>{url}%s</loc></url>" % path.encode() for path in paths)
        + b"</urlset>"
    )


def feed(*paths):
    return (
        b"<rss>"
        + b"".join(b"<item><link>{url}%s</link></item>" % path.encode() for path in paths)
        + b"</rss>"
    )


def with_sitemap(*paths, robots=b"User-agent: *\nSitemap: {url}/sitemap.xml\n", **more):
    return {"/robots.txt": (200, {}, robots), "/sitemap.xml": (200, {}, sitemap(*paths)), **more}


@pytest.fixture
def crawl(tmp_path, gristmill):
    """Crawl sources; returns the finished process and, where it was sealed, the run."""

    def run(*sources, delay=0.0, most=4, more="", options=()):
        lines = [
            'contact = "t@example.org"',
            'private_hosts = ["127.0.0.1", "localhost"]',
            POLITE % (delay, most),
            more,
        ]
        for n, source in enumerate(sources):
            body = {"type": "news", "name": f"n{n}", **source}
            lines += [
                "[[sources]]",
                *(f"{key} = {json.dumps(value)}" for key, value in body.items()),
            ]
        (tmp_path / "crawl.toml").write_text("\n".join(lines) + "\n")
        done = gristmill(
            "crawl", "--config", tmp_path / "crawl.toml", "--out", tmp_path / "runs", *options
        )
        return done, open_run(done.stdout.strip()) if done.returncode == 0 else None

    return run


def moments(server, paths=None):
    """When a server was asked, in order."""
    return sorted(
        when
        for path, times in server.asked.items()
        if paths is None or path in paths
        for when in times
    )


def is_apart(when, seconds):
    return all(later - earlier > seconds - 0.05 for earlier, later in itertools.pairwise(when))


# Spellings


def test_an_address_that_is_percent_encoded_on_its_way_is_no_redirect(serve, crawl):
    pages = {"/%E6%96%B0%E9%97%BB/1": (200, {}, ARTICLE), "/a%20b": (200, {}, ARTICLE)}
    _, run = crawl({"sites": [serve(with_sitemap("/新闻/1", "/a b", **pages)).url]})
    assert run.counts["read"] == run.counts["kept"] == 2


def test_a_host_with_letters_beyond_ascii_is_one_host_in_both_spellings(make_context):
    context = make_context(
        {"type": "news", "name": "n", "feeds": ["https://www.Bücher.example/feed"]}
    )
    spider = NewsSpider(source=context.config.sources[0], context=context)
    assert all(
        map(
            spider.is_own_url, ["https://bücher.example/a", Request("https://bücher.example/a").url]
        )
    )
    assert host_of("https://bücher.example/") == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0x7f.1",
        "2130706433",
        "127.0.0.1.",
        "0177.0.0.1",
        "localhost",
        "a.localhost",
        "localhost.",
    ],
)
def test_a_loopback_address_is_seen_in_any_spelling(host):
    assert parse_literal_address(host) == "127.0.0.1"


@pytest.mark.parametrize(
    "host", ["example.org", "fade.example", "1.example", "0x.example", "", "abc", "256.1.1.1"]
)
def test_a_name_is_no_address(host):
    assert parse_literal_address(host) is None


def test_loopback_in_another_spelling_is_refused_before_any_proxy_could_be_asked(make_context):
    context = make_context({"type": "news", "name": "n", "feeds": ["https://n.example/feed"]})
    crawler = SimpleNamespace(spider=NewsSpider(source=context.config.sources[0], context=context))
    for host in ("127.1", "0x7f.1", "2130706433", "localhost:80", "0xa9fea9fe"):
        with pytest.raises(PrivateAddress):
            AddressMiddleware.from_crawler(crawler).process_request(
                Request(f"http://{host}/", meta={META_KEY: RequestMetadata(any_host=True)})
            )


# Answers


def test_a_page_that_renews_itself_is_stored_and_asked_once(serve, crawl):
    page = b'<html><head><meta http-equiv="refresh" content="60; url=/live"></head><body><p>Words.</p></body></html>'
    server = serve(with_sitemap("/live", **{"/live": (200, {}, page)}))
    _, run = crawl({"sites": [server.url]})
    assert run.counts["kept"] == 1 and len(server.asked["/live"]) == 1


def test_a_robots_txt_on_another_host_names_sitemaps_too(serve, crawl):
    server = serve(with_sitemap("/a", **{"/a": (200, {}, ARTICLE)}))
    other = serve({"/r": (200, {}, f"User-agent: *\nSitemap: {server.url}/sitemap.xml\n".encode())})
    place = other.url.replace("127.0.0.1", "localhost")
    server.answers["/robots.txt"] = (301, {"Location": f"{place}/r"}, b"")
    _, run = crawl({"sites": [server.url]})
    assert run.counts["kept"] == 1


def test_what_a_budget_cut_off_is_found_by_the_next_call_in_a_list_that_did_not_change(
    serve, crawl
):
    def listed(server, _):
        known = server.headers["/sitemap.xml"][-1].get("if-none-match")
        return (
            (304, {"ETag": '"x"'}, b"")
            if known
            else (200, {"ETag": '"x"'}, sitemap("/a", "/b", "/c"))
        )

    pages = {f"/{name}": (200, {}, ARTICLE + name.encode()) for name in "abc"}
    server = serve(with_sitemap(**pages) | {"/sitemap.xml": listed})
    kept = [
        crawl({"sites": [server.url], "max_documents": 2}, more=AT_ONCE)[1].counts["kept"]
        for _ in range(2)
    ]
    assert kept == [2, 1]


def test_a_timeline_is_followed_back_to_what_is_known_and_no_further(serve, crawl):
    told = [
        {"id": str(n), "url": f"http://x.example/{n}", "content": f"word {n}", "account": {}}
        for n in range(90, 0, -1)
    ]

    def page(_, target):
        before = int(parse_qs(urlsplit(target).query).get("max_id", ["1000"])[0])
        found = [status for status in told if int(status["id"]) < before][:40]
        link = (
            f'<{{url}}/api/v1/timelines/public?max_id={found[-1]["id"]}>; rel="next"'
            if found
            else ""
        )
        return 200, {"Content-Type": "application/json", "Link": link}, json.dumps(found).encode()

    server = serve({"/api/v1/timelines/public": page})
    source = {"type": "mastodon", "server": server.url}
    assert crawl(source, more=AT_ONCE)[1].counts["kept"] == 90
    told.insert(0, told[0] | {"id": "91", "url": "http://x.example/91"})
    asked = len(server.asked["/api/v1/timelines/public"])
    crawl(source, more=AT_ONCE)
    assert len(server.asked["/api/v1/timelines/public"]) == asked + 1


# One pace


def test_redirects_keep_the_crawl_delay_too(serve, crawl):
    robots = b"User-agent: *\nCrawl-delay: 0.5\nSitemap: {url}/sitemap.xml\n"
    hops = {f"/r{n}": (302, {"Location": f"/t{n}"}, b"") for n in range(2)}
    server = serve(
        with_sitemap(
            *hops, robots=robots, **hops, **{f"/t{n}": (200, {}, ARTICLE) for n in range(2)}
        )
    )
    _, run = crawl({"sites": [server.url]})
    assert run.counts["kept"] == 2 and is_apart(moments(server, {*hops, "/t0", "/t1"}), 0.5)


def test_sources_of_one_host_keep_its_delay_together_and_no_chance_shortens_it(serve, crawl):
    pages = {f"/{n}": (200, {}, ARTICLE) for n in range(4)}
    server = serve(
        {"/f0": (200, {}, feed("/0", "/1")), "/f1": (200, {}, feed("/2", "/3")), **pages}
    )
    _, run = crawl({"feeds": [f"{server.url}/f0"]}, {"feeds": [f"{server.url}/f1"]}, delay=0.3)
    assert run.counts["kept"] == 4 and is_apart(moments(server), 0.3)


def test_sources_of_one_host_have_no_more_in_flight_together_than_it_may(serve, crawl):
    lock, now, most = threading.Lock(), [0], []

    def slow(*_):
        with lock:
            now[0] += 1
            most.append(now[0])
        time.sleep(0.2)
        with lock:
            now[0] -= 1
        return 200, {}, ARTICLE

    pages = {f"/{n}": slow for n in range(6)}
    server = serve(
        {
            "/f0": (200, {}, feed("/0", "/1", "/2")),
            "/f1": (200, {}, feed("/3", "/4", "/5")),
            **pages,
        }
    )
    _, run = crawl({"feeds": [f"{server.url}/f0"]}, {"feeds": [f"{server.url}/f1"]}, most=1)
    assert run.counts["kept"] == 6 and max(most) == 1


def test_no_redirect_leads_to_a_host_that_asked_to_be_left_alone(serve, crawl):
    busy = serve({f"/p{n}": (429, {"Retry-After": "900"}, b"") for n in range(4)})
    place = busy.url.replace("127.0.0.1", "localhost")
    hops = {f"/p{n}": (302, {"Location": f"{place}/p{n}"}, b"") for n in range(4)}
    _, run = crawl(
        {"sites": [serve(with_sitemap(*hops, **hops)).url], "feeds": [f"{place}/none"]}, most=1
    )
    assert len(moments(busy, hops)) == 1 and run.details["queued"] == 4


def test_a_robots_txt_that_fails_for_an_hour_costs_the_queue_nothing(serve, crawl, tmp_path):
    paths = [f"/p{n}" for n in range(9)]
    server = serve(with_sitemap(*paths, **{path: (200, {}, ARTICLE) for path in paths}))
    _, first = crawl(
        {"sites": [server.url]},
        most=1,
        more="[recrawl]\ndocuments = 1.0",
        options=["--set", "politeness.pages_per_host=4"],
    )
    assert first.details["queued"] > 0
    (state,) = (tmp_path / "runs" / "state").iterdir()
    with sqlite3.connect(state / "frontier.sqlite") as database:
        database.execute("UPDATE site SET read = read - 90000")
    server.answers["/robots.txt"] = (503, {}, b"")
    _, run = crawl({"sites": [server.url]}, most=1, more="[recrawl]\ndocuments = 1.0")
    assert run.counts["read"] == 0 and run.details["queued"] == first.details["queued"]


def test_retry_after_of_a_robots_txt_holds_its_host(serve, crawl):
    server = serve({"/robots.txt": (503, {"Retry-After": "7200"}, b"")})
    for _ in range(2):
        crawl({"feeds": [f"{server.url}/feed"]})
    assert len(server.asked["/robots.txt"]) == 1


# Refusals for a part of a site


def test_a_use_that_is_told_for_some_paths_holds_for_these_and_the_longest_alone():
    robots = read_robots(
        b"User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /ai-ok/ train-ai=y\nContent-Signal: /blog/ ai-train=no\n"
    )
    told = {
        path: robots.usage(PRODUCT, f"https://n.example{path}")
        for path in ("/a", "/ai-ok/a", "/blog/a")
    }
    assert told == {
        "/a": ("train-ai=n",),
        "/ai-ok/a": ("train-ai=y",),
        "/blog/a": ("train-ai=n", "ai-train=no"),
    }


@pytest.mark.parametrize(
    ("page", "refused"),
    [
        ('<meta name="robots" content="noai noimageai">', "opt_out"),
        ('<meta name="robots" content="noindex; nofollow">', "opt_out"),
        (
            '<script type="application/ld+json">{"isAccessibleForFree": false, "text": "a\nb"}</script>',
            "opt_out",
        ),
        (
            '<script type="application/ld+json; charset=utf-8">{"isAccessibleForFree": false}</script>',
            "opt_out",
        ),
        (
            '<script type="application/ld+json">[{"@type": "MusicEvent", "isAccessibleForFree": false}]</script>',
            None,
        ),
    ],
)
def test_refusals_are_read_as_they_are_written_and_of_the_page_alone(page, refused):
    assert judge(page_signals({}, Selector(page)), POLICIES["strict-eu"]).refused == refused


# State that is lost


def test_a_crawl_whose_state_was_lost_leaves_sealed_runs_as_they_are(serve, crawl, tmp_path):
    server = serve(with_sitemap("/a", **{"/a": (200, {}, ARTICLE)}))
    _, first = crawl({"sites": [server.url]})
    before = {path.name: path.read_bytes() for path in (first.path / "captures").iterdir()}
    shutil.rmtree(tmp_path / "runs" / "state")
    _, second = crawl({"sites": [server.url]})
    assert second.id != first.id
    assert {path.name: path.read_bytes() for path in (first.path / "captures").iterdir()} == before


def test_fresh_starts_anew_from_a_damaged_frontier(serve, crawl, tmp_path):
    server = serve(with_sitemap("/a", **{"/a": (200, {}, ARTICLE)}))
    crawl({"sites": [server.url]})
    (state,) = (tmp_path / "runs" / "state").iterdir()
    (state / "frontier.sqlite").write_bytes(b"nothing of use " * 1000)
    failed, _ = crawl({"sites": [server.url]})
    assert failed.returncode == 2 and "--fresh" in failed.stderr
    _, run = crawl({"sites": [server.url]}, options=["--fresh"])
    assert run.counts["kept"] == 1
