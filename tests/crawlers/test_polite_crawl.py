"""How a crawl treats hosts, watched from the server's side: delays, Retry-After, failing robots.txt, private addresses, lag."""

import gzip
import itertools
import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from warcio.archiveiterator import ArchiveIterator

from gristmill.runs import open_run

PAGES = [f"/p{n}.html" for n in range(4)]
ARTICLE = b"<html><body><article><p>Some words.</p></article></body></html>"


class Watched(ThreadingHTTPServer):
    """A server that answers from a table and remembers when it was asked for what."""

    def __init__(self, answers):
        self.answers, self.asked = answers, defaultdict(list)
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urlsplit(self.path).path
        self.server.asked[path].append(time.monotonic())
        answer = self.server.answers.get(path, (404, {}, b""))
        status, headers, body = answer(self.server, self.path) if callable(answer) else answer
        body = body.replace(b"{url}", self.server.url.encode())
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value.replace("{url}", self.server.url))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Start watched servers; they stop with the test."""
    running = []

    def start(answers):
        server = Watched(answers)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def sitemap(paths):
    return b"<urlset>" + b"".join(b"<url><loc>{url}%s</loc></url>" % path.encode() for path in paths) + b"</urlset>"


def news_site(robots=(200, {}, b"User-agent: *\nSitemap: {url}/sitemap.xml\n"), pages=PAGES, **more):
    return {
        "/robots.txt": robots,
        "/sitemap.xml": (200, {}, sitemap(pages)),
        **{path: (200, {}, ARTICLE) for path in pages},
        **more,
    }


def write_config(tmp_path, source, *, private=("127.0.0.1",), lines=(), policy="strict-eu"):
    body = "\n".join(f"{key} = {json.dumps(value)}" for key, value in source.items())
    text = f'contact = "t@example.org"\npolicy = "{policy}"\nprivate_hosts = {json.dumps(list(private))}\n[politeness]\ndelay = 0.0\nautothrottle = false\nconcurrency_per_host = 4\nretries = 2\n'
    path = tmp_path / "crawl.toml"
    path.write_text("\n".join([text, *lines, "[[sources]]", body]) + "\n")
    return path


def news(server):
    return {"kind": "news", "name": "n", "sites": [server.url]}


@pytest.fixture
def crawl(tmp_path, gristmill):
    """Crawl one source; returns the finished process and, where it was sealed, the run."""

    def run(source, **options):
        done = gristmill("crawl", "--config", write_config(tmp_path, source, **options), "--out", tmp_path / "runs")
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
    done, _ = crawl({"kind": "news", "name": "n", "feeds": [f"{server.url}/feed.xml"]})
    assert done.returncode == 2
    assert set(server.asked) == {"/robots.txt"}


def test_a_missing_robots_txt_allows_everything(serve, crawl):
    server = serve(news_site(robots=(404, {}, b"User-agent: *\nDisallow: /\n")))
    _, run = crawl(news(server))
    assert run.counts["kept"] == 4


def test_the_crawl_delay_of_robots_txt_is_kept(serve, crawl):
    server = serve(news_site(robots=(200, {}, b"User-agent: *\nCrawl-delay: 0.3\nSitemap: {url}/sitemap.xml\n")))
    _, run = crawl(news(server))
    asked = sorted(when for path, times in server.asked.items() if path in PAGES for when in times)
    assert run.counts["kept"] == 4
    assert all(later - earlier > 0.25 for earlier, later in itertools.pairwise(asked))


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_the_whole_host_and_the_page_comes_later(serve, crawl, status):
    def busy(server, _):
        return (status, {"Retry-After": "1"}, b"") if len(server.asked["/p0.html"]) == 1 else (200, {}, ARTICLE)

    server = serve(news_site(**{"/p0.html": busy}))
    _, run = crawl(news(server))
    first, second = server.asked["/p0.html"]
    assert 0.95 < second - first < 10 and run.counts["kept"] == 4


def test_a_host_that_asks_for_an_hour_is_not_asked_for_that_page_again_and_again(serve, crawl):
    server = serve(news_site(**{"/p0.html": (429, {"Retry-After": "86400"}, b"")}))
    _, run = crawl(news(server))
    assert run.counts["quarantined:http_429"] == 1 and run.counts["kept"] == 3
    assert len(server.asked["/p0.html"]) <= 3


def test_a_private_address_is_refused_unless_the_configuration_names_it(serve, crawl):
    server = serve(news_site())
    done, _ = crawl(news(server), private=())
    assert done.returncode == 2 and "private_address" in done.stderr and "private_hosts" in done.stderr
    assert not server.asked


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
            **{"/p0.html": (200, {"Content-Type": "application/pdf"}, b"%PDF"), "/p1.html": (200, {}, b"x" * 5000)}
        )
    )
    _, run = crawl(news(server), lines=["max_bytes = 4096"])
    assert run.counts["dropped:not_html"] == 1 and run.counts["quarantined"] == 1 and run.counts["kept"] == 2


def test_a_compressed_page_is_stored_as_it_reads(serve, crawl):
    packed = gzip.compress(ARTICLE, mtime=0)
    server = serve(news_site(pages=["/p0.html"], **{"/p0.html": (200, {"Content-Encoding": "gzip"}, packed)}))
    _, run = crawl(news(server))
    with open(run.file("captures/00000.warc.gz"), "rb") as file:
        pages = [
            (r.http_headers["Content-Length"], r.http_headers["Content-Encoding"], r.content_stream().read())
            for r in ArchiveIterator(file)
            if r.rec_type == "response" and r.rec_headers["WARC-Target-URI"].endswith("/p0.html")
        ]
    assert pages == [(str(len(ARTICLE)), None, ARTICLE)]


def test_an_open_licence_policy_refuses_pages_without_one(serve, crawl):
    licensed = ARTICLE.replace(
        b"<body>", b'<head><link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head><body>'
    )
    server = serve(news_site(**{"/p1.html": (200, {}, licensed)}))
    _, run = crawl(news(server), policy="open-licence-only")
    assert (run.counts["kept"], run.counts["dropped:licence"]) == (1, 3)
    assert run.details["policy"] == "open-licence-only" and run.counts["captures"] == 4 + 3


def test_a_lagging_wiki_is_waited_for(serve, crawl):
    def api(server, target):
        query = parse_qs(urlsplit(target).query)
        assert query["maxlag"] == ["5"]
        if len(server.asked["/w/api.php"]) == 1:
            return 200, {"Retry-After": "1"}, b'{"error": {"code": "maxlag", "info": "lagged"}}'
        if "meta" in query:
            return 200, {}, b'{"query": {"rightsinfo": {"url": "https://creativecommons.org/licenses/by-sa/4.0/"}}}'
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
    _, run = crawl({"kind": "wiki", "name": "w", "api": f"{server.url}/w/api.php"})
    times = server.asked["/w/api.php"]
    assert run.counts["kept"] == 2 and run.details["licences"] == {"w": {"CC-BY-SA-4.0": 2}}
    assert len(times) == 4 and times[1] - times[0] > 0.95
    assert "/robots.txt" not in server.asked


def wiki_page(number, title):
    return {"pageid": number, "title": title, "revisions": [{"revid": number, "slots": {"main": {"content": "text"}}}]}


def test_the_budget_of_a_source_ends_its_crawl(serve, crawl):
    server = serve(news_site(pages=[f"/p{n}.html" for n in range(30)]))
    _, run = crawl({**news(server), "max_documents": 5})
    assert (
        run.counts["read"] == 5 and sum(len(server.asked[path]) for path in server.asked if path.startswith("/p")) == 5
    )


def test_an_answer_that_is_no_json_is_named_in_the_ledger(serve, crawl):
    def timeline(server, target):
        if "max_id" in target:
            return 200, {}, b"<html>error</html>"
        item = {"uri": "u1", "id": "1", "content": "<p>hi</p>", "account": {}}
        return 200, {"Link": '<{url}/api/v1/timelines/public?max_id=1>; rel="next"'}, json.dumps([item]).encode()

    server = serve({"/api/v1/timelines/public": timeline})
    _, run = crawl({"kind": "social", "name": "s", "server": server.url})
    assert run.counts["kept"] == 1 and run.counts["quarantined:unreadable_answer"] == 1
    assert "no JSON" in run.details["failures"][0]
