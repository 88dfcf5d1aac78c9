"""How a crawl treats hosts, watched from the server's side: delays, Retry-After, failing robots.txt, private addresses, lag."""

import gzip
import itertools
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from warcio.archiveiterator import ArchiveIterator

from gristmill.rights.takedown import read_takedowns
from gristmill.runs.finished import open_run

PAGES = [f"/p{n}.html" for n in range(4)]
ARTICLE = b"<html><body><article><p>Some words.</p></article></body></html>"


def sitemap(paths):
    return (
        b"<urlset>"
        + b"".join(b"<url><loc>{url}%s</loc></url>" % path.encode() for path in paths)
        + b"</urlset>"
    )


def news_site(
    robots=(200, {}, b"User-agent: *\nSitemap: {url}/sitemap.xml\n"), pages=PAGES, **more
):
    return {
        "/robots.txt": robots,
        "/sitemap.xml": (200, {}, sitemap(pages)),
        **{path: (200, {}, ARTICLE) for path in pages},
        **more,
    }


def write_config(tmp_path, source, *, private=("127.0.0.1",), lines=(), policy="strict-eu"):
    body = "\n".join(f"{key} = {json.dumps(value)}" for key, value in source.items())
    text = f'contact = "t@example.org"\npolicy = "{policy}"\nprivate_hosts = {json.dumps(list(private))}\n[politeness]\ndelay = 0.0\nautothrottle = false\nconcurrency_per_host = 4\nretries = 2\nbackoff = 0.0\n'
    path = tmp_path / "crawl.toml"
    path.write_text("\n".join([text, *lines, "[[sources]]", body]) + "\n")
    return path


def news(server):
    return {"type": "news", "name": "n", "sites": [server.url]}


@pytest.fixture
def crawl(tmp_path, gristmill):
    """Crawl one source; returns the finished process and, where it was sealed, the run."""

    def run(source, **options):
        done = gristmill(
            "crawl",
            "--config",
            write_config(tmp_path, source, **options),
            "--out",
            tmp_path / "runs",
        )
        return done, open_run(done.stdout.strip()) if done.returncode == 0 else None

    return run


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_failing_robots_txt_closes_the_site(serve, crawl, status):
    server = serve(news_site(robots=(status, {}, b"<html>oops</html>")))
    done, _ = crawl(news(server))
    assert done.returncode == 2 and "brought no document" in done.stderr
    assert "dropped:unreachable" in done.stderr
    assert f"robots.txt unreachable (HTTP {status}); nothing was fetched" in done.stderr
    assert set(server.asked) == {"/robots.txt"}


def test_a_failing_robots_txt_also_closes_a_feed_of_that_site(serve, crawl):
    feed = b"<rss><channel><item><link>{url}/p0.html</link></item></channel></rss>"
    server = serve(news_site(robots=(503, {}, b""), **{"/feed.xml": (200, {}, feed)}))
    done, _ = crawl({"type": "news", "name": "n", "feeds": [f"{server.url}/feed.xml"]})
    assert done.returncode == 2
    assert set(server.asked) == {"/robots.txt"}


def test_a_missing_robots_txt_allows_everything(serve, crawl):
    server = serve(news_site(robots=(404, {}, b"User-agent: *\nDisallow: /\n")))
    _, run = crawl(news(server))
    assert run.counts["kept"] == 4


def test_the_crawl_delay_of_robots_txt_is_kept(serve, crawl):
    server = serve(
        news_site(
            robots=(200, {}, b"User-agent: *\nCrawl-delay: 0.3\nSitemap: {url}/sitemap.xml\n")
        )
    )
    _, run = crawl(news(server))
    asked = sorted(when for path, times in server.asked.items() if path in PAGES for when in times)
    assert run.counts["kept"] == 4
    assert all(later - earlier > 0.25 for earlier, later in itertools.pairwise(asked))


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_the_whole_host_and_the_page_comes_later(serve, crawl, status):
    def busy(server, _):
        return (
            (status, {"Retry-After": "1"}, b"")
            if len(server.asked["/p0.html"]) == 1
            else (200, {}, ARTICLE)
        )

    server = serve(news_site(**{"/p0.html": busy}))
    _, run = crawl(news(server))
    first, second = server.asked["/p0.html"]
    assert 0.95 < second - first < 10 and run.counts["kept"] == 4


def test_a_host_that_asks_for_an_hour_is_not_asked_for_that_page_again_and_again(serve, crawl):
    server = serve(news_site(**{"/p0.html": (429, {"Retry-After": "86400"}, b"")}))
    done, run = crawl(news(server))
    assert run.counts["read"] == run.counts["kept"] == 4 - run.details["queued"]
    assert "requests still queued; the host asked to be left alone until" in done.stderr
    asked = {path: len(times) for path, times in server.asked.items()}
    assert asked["/p0.html"] == 1
    _, later = crawl(news(server))
    assert later.id == run.id
    assert {path: len(times) for path, times in server.asked.items()} == asked


def test_a_private_address_is_refused_unless_the_configuration_names_it(serve, crawl):
    server = serve(news_site())
    done, _ = crawl(news(server), private=())
    assert (
        done.returncode == 2 and "private_address" in done.stderr and "private_hosts" in done.stderr
    )
    assert not server.asked


@pytest.mark.parametrize("host", ["localhost", "127.1"])
def test_a_name_of_a_private_address_is_refused_unless_the_configuration_names_it(
    serve, crawl, host
):
    server = serve(news_site())
    source = {
        "type": "news",
        "name": "n",
        "feeds": [f"http://{host}:{server.server_address[1]}/feed.xml"],
    }
    done, _ = crawl(source, private=())
    assert (
        done.returncode == 2
        and f"{host} is 127.0.0.1; name it in private_hosts to allow it" in done.stderr
    )
    assert not server.asked
    server.answers["/feed.xml"] = (
        200,
        {},
        f"<rss><item><link>{'/p0.html'}</link></item></rss>".encode(),
    )
    _, run = crawl(source, private=(host,))
    assert run.counts["kept"] == 1


def test_a_redirect_to_another_host_is_not_followed(serve, crawl):
    other = serve({"/secret": (200, {}, ARTICLE)})
    elsewhere = other.url.replace("127.0.0.1", "localhost")
    server = serve(news_site(**{"/p0.html": (302, {"Location": f"{elsewhere}/secret"}, b"")}))
    _, run = crawl(news(server))
    assert run.counts["dropped:other_host"] == 1 and run.counts["kept"] == 3
    assert not other.asked


def test_what_is_no_text_is_dropped_and_what_is_too_large_fails(serve, crawl):
    server = serve(
        news_site(
            **{
                "/p0.html": (200, {"Content-Type": "application/pdf"}, b"%PDF"),
                "/p1.html": (200, {}, b"x" * 5000),
            }
        )
    )
    _, run = crawl(news(server), lines=["max_bytes = 4096"])
    assert (
        run.counts["dropped:not_html"] == 1
        and run.counts["quarantined"] == 1
        and run.counts["kept"] == 2
    )


def test_a_compressed_page_is_stored_as_it_reads(serve, crawl):
    packed = gzip.compress(ARTICLE, mtime=0)
    server = serve(
        news_site(pages=["/p0.html"], **{"/p0.html": (200, {"Content-Encoding": "gzip"}, packed)})
    )
    _, run = crawl(news(server))
    with open(run.file("captures/00000.warc.gz"), "rb") as file:
        pages = [
            (
                r.http_headers["Content-Length"],
                r.http_headers["Content-Encoding"],
                r.content_stream().read(),
            )
            for r in ArchiveIterator(file)
            if r.rec_type == "response" and r.rec_headers["WARC-Target-URI"].endswith("/p0.html")
        ]
    assert pages == [(str(len(ARTICLE)), None, ARTICLE)]


def test_an_open_licence_policy_refuses_pages_without_one(serve, crawl):
    licensed = ARTICLE.replace(
        b"<body>",
        b'<head><link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head><body>',
    )
    server = serve(news_site(**{"/p1.html": (200, {}, licensed)}))
    _, run = crawl(news(server), policy="open-licence-only")
    assert (run.counts["kept"], run.counts["dropped:licence"]) == (1, 3)
    assert run.details["policy"] == "open-licence-only" and run.counts["captures"] == 4 + 5
    assert set(server.asked) == {
        *PAGES,
        "/robots.txt",
        "/sitemap.xml",
        "/ai.txt",
        "/.well-known/tdmrep.json",
    }


def test_a_lagging_wiki_is_waited_for(serve, crawl):
    def api(server, target):
        query = parse_qs(urlsplit(target).query)
        assert query["maxlag"] == ["5"]
        if len(server.asked["/w/api.php"]) == 1:
            return 200, {"Retry-After": "1"}, b'{"error": {"code": "maxlag", "info": "lagged"}}'
        if "meta" in query:
            return (
                200,
                {},
                b'{"query": {"rightsinfo": {"url": "https://creativecommons.org/licenses/by-sa/4.0/"}}}',
            )
        if "gapcontinue" not in query:
            return (
                200,
                {},
                json.dumps(
                    {
                        "continue": {"gapcontinue": "B", "continue": "gapcontinue||"},
                        "query": {"pages": [wiki_page(1, "A")]},
                    }
                ).encode(),
            )
        return 200, {}, json.dumps({"query": {"pages": [wiki_page(2, "B")]}}).encode()

    server = serve({"/w/api.php": api, "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /w/\n")})
    _, run = crawl({"type": "mediawiki", "name": "w", "api": f"{server.url}/w/api.php"})
    times = server.asked["/w/api.php"]
    assert run.counts["kept"] == 2 and run.details["licences"] == {"w": {"CC-BY-SA-4.0": 2}}
    assert len(times) == 4 and times[1] - times[0] > 0.95
    assert "/robots.txt" not in server.asked


def wiki_page(number, title):
    return {
        "pageid": number,
        "title": title,
        "revisions": [{"revid": number, "slots": {"main": {"content": "text"}}}],
    }


def test_the_budget_of_a_source_ends_its_crawl(serve, crawl):
    server = serve(news_site(pages=[f"/p{n}.html" for n in range(30)]))
    _, run = crawl({**news(server), "max_documents": 5})
    assert (
        run.counts["read"] == 5
        and sum(len(server.asked[path]) for path in server.asked if path.startswith("/p")) == 5
    )


def test_an_answer_that_is_no_json_is_named_in_the_ledger(serve, crawl):
    def timeline(server, target):
        if "max_id" in target:
            return 200, {}, b"<html>error</html>"
        item = {"uri": "u1", "id": "1", "content": "<p>hi</p>", "account": {}}
        return (
            200,
            {"Link": '<{url}/api/v1/timelines/public?max_id=1>; rel="next"'},
            json.dumps([item]).encode(),
        )

    server = serve({"/api/v1/timelines/public": timeline})
    _, run = crawl({"type": "mastodon", "name": "s", "server": server.url})
    assert run.counts["kept"] == 1 and run.counts["quarantined:unreadable_answer"] == 1
    assert "not JSON" in run.details["failures"][0]


# Budgets of a host, links, later calls


def articles(server):
    return {
        path: len(server.asked[path]) for path in sorted(server.asked) if path.endswith(".html")
    }


def test_one_call_takes_no_more_of_a_host_than_its_budget_and_the_next_goes_on(serve, crawl):
    server = serve(news_site(pages=[f"/p{n}.html" for n in range(9)]))
    lines = ["pages_per_host = 5", "[recrawl]", "discovery = 1000"]
    done, run = crawl(news(server), lines=lines)
    # Its robots.txt and sitemap count as well; those in flight when it was reached are taken, four at a time.
    assert 3 <= run.counts["kept"] <= 6
    assert run.counts["kept"] + run.details["queued"] == 9
    assert "a limit of politeness (pages, bytes or seconds a host) is reached" in done.stderr
    kept = [run.counts["kept"]]
    while run.details["queued"]:
        _, run = crawl(news(server), lines=lines)
        assert run.counts["kept"] > 0
        kept.append(run.counts["kept"])
    assert sum(kept) == 9 and len(kept) > 1
    assert set(articles(server).values()) == {1}


def test_links_are_followed_from_the_front_page_to_every_page_of_the_site_once(serve, crawl):
    def page(*links):
        return (200, {}, "".join(f'<a href="{link}">x</a>' for link in links).encode())

    server = serve(
        {
            "/": page("/p0.html", "/p1.html#x", "https://elsewhere.invalid/"),
            "/p0.html": page("/", "/p1.html", "/closed/p.html"),
            "/p1.html": page("p2.html", "/p0.html"),
            "/p2.html": page(),
            "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /closed\n"),
        }
    )
    _, run = crawl({**news(server), "follow": True})
    assert articles(server) == {"/p0.html": 1, "/p1.html": 1, "/p2.html": 1}
    assert (run.counts["kept"], run.counts["dropped:robots"]) == (4, 1)
    assert not [path for path in server.asked if path.startswith("/closed")]


def test_a_later_call_asks_for_changes_and_stores_revisits_and_takedowns(serve, crawl):
    def tagged(server, _):
        headers = server.headers["/p0.html"][-1]
        return (
            (304, {}, b"")
            if headers.get("if-none-match") == '"1"'
            else (200, {"ETag": '"1"'}, ARTICLE)
        )

    def changing(server, _):
        return (200, {}, ARTICLE + b"%d" % len(server.asked["/p2.html"]))

    server = serve(news_site(**{"/p0.html": tagged, "/p2.html": changing}))
    lines = ["[recrawl]", "documents = 0", "discovery = 0"]
    _, first = crawl(news(server), lines=lines)
    assert (first.counts["kept"], first.details["takedowns"]) == (4, 0)
    assert not (first.path / "takedown.csv").exists()
    server.answers["/p3.html"] = (410, {}, b"")
    done, second = crawl(news(server), lines=lines)
    assert {name: n for name, n in second.counts.items() if name not in ("captures", "bytes")} == {
        "read": 4,
        "kept": 1,
        "dropped": 3,
        "dropped:unchanged": 2,
        "dropped:gone": 1,
        "quarantined": 0,
    }
    assert revisits(second) == {"/p0.html": (304, b""), "/p1.html": (200, b"")}
    taken = read_takedowns(second.path / "takedown.csv")
    assert [reason for _, _, reason, _ in taken.as_rows()] == ["deleted"]
    assert [taken.covers(id="x", url=server.url + path) for path in PAGES] == [
        False,
        False,
        False,
        True,
    ]
    assert (
        f"  1 pages are gone or refuse since they were stored: {second.path / 'takedown.csv'}"
        in done.stderr
    )
    assert articles(server) == dict.fromkeys(PAGES, 2)


def revisits(run):
    """Path -> status and body of the revisits of pages."""
    found = {}
    for path in run.files("captures/"):
        with open(path, "rb") as file:
            for r in ArchiveIterator(file, check_digests="raise"):
                name = urlsplit(r.rec_headers["WARC-Target-URI"] or "").path
                if r.rec_type == "revisit" and name.endswith(".html"):
                    found[name] = int(r.http_headers.get_statuscode()), r.content_stream().read()
    return found
