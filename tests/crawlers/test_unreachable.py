"""Hosts that cannot be reached: one line each, a reason of their own in the ledger, nothing fetched, no traceback."""

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import processes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)

from crawlers.downloader.failures import describe_failure, reason_of
from crawlers.downloader.robots import describe_unavailable
from crawlers.downloader.site_rules import FileAnswer, read_site_rules
from gristmill.runs.finished import open_run

NO_NAMES = """import socket
known = socket.getaddrinfo
def lookup(host, *rest, **more):
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "127.0.0.1", "localhost"):
        return known(host, *rest, **more)
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
socket.getaddrinfo = lookup
"""
"""A machine without DNS: names end here, nothing is asked of the network."""

HEAD = """contact = "t@example.org"
private_hosts = ["127.0.0.1"]
[politeness]
delay = 0.0
autothrottle = false
retries = 0
"""


class Page(BaseHTTPRequestHandler):
    """A site with a robots.txt and a feed of one article."""

    def do_GET(self):
        here = f"http://127.0.0.1:{self.server.server_address[1]}"
        feed = f"<rss><channel><item><link>{here}/a.html</link></item></channel></rss>"
        bodies = {
            "/robots.txt": "User-agent: *\nDisallow: /closed\n",
            "/feed.xml": feed,
            "/a.html": "<p>Some words.</p>",
        }
        body = bodies.get(self.path, "").encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def reachable():
    """The address of a site that answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def closed_port() -> str:
    """An address on this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def crawl(tmp_path, repository, environment, command):
    """Crawl these sources on a machine without DNS; returns the finished process."""

    def run(*sources: str) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "crawl.toml"
        config.write_text(HEAD + "".join(f"[[sources]]\n{source}\n" for source in sources))
        return processes.run(
            [
                sys.executable,
                "-c",
                NO_NAMES + command[2],
                "crawl",
                "--config",
                config,
                "--out",
                tmp_path / "runs",
            ],
            cwd=repository,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def news(name: str, door: str) -> str:
    return f'type = "news"\nname = "{name}"\n{door}'


def test_a_machine_without_a_network_is_told_one_line_a_host_and_what_to_check(tmp_path, crawl):
    done = crawl(
        'type = "mediawiki"\nname = "w"\napi = "https://wiki.invalid/w/api.php"',
        'type = "mastodon"\nname = "s"\nserver = "https://social.invalid"',
        news("sites", 'sites = ["https://news.invalid"]'),
        news("feeds", 'feeds = ["https://feed.invalid/a.xml", "https://feed.invalid/b.xml"]'),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    told = done.stderr.splitlines()
    assert told[1:] == [
        "error: no source could be reached, so nothing was fetched",
        "  feed.invalid    robots.txt unreachable (DNS lookup failed); nothing was fetched",
        "  news.invalid    robots.txt unreachable (DNS lookup failed); nothing was fetched",
        "  social.invalid  robots.txt unreachable (DNS lookup failed); nothing was fetched",
        "  wiki.invalid    API unreachable (DNS lookup failed); nothing was fetched",
        "  to fix          check this machine's network (DNS, proxy, firewall); the same command then starts the crawl again",
    ]
    assert not list(tmp_path.rglob("manifest.json"))
    assert not list(tmp_path.rglob("*.warc.gz"))


def test_a_port_where_nobody_listens_refuses(crawl, closed_port):
    done = crawl(news("n", f'feeds = ["{closed_port}/feed.xml"]'))
    assert done.returncode == 2
    place = closed_port.removeprefix("http://")
    assert (
        f"  {place}  robots.txt unreachable (connection refused); nothing was fetched"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_what_can_be_reached_is_crawled_and_the_rest_is_named_in_summary_and_manifest(
    crawl, reachable, closed_port
):
    done = crawl(
        news("here", f'feeds = ["{reachable}/feed.xml", "{reachable}/closed.xml"]'),
        news("gone", 'feeds = ["http://gone.invalid/feed.xml"]'),
        news("shut", f'sites = ["{closed_port}"]'),
    )
    assert done.returncode == 0, done.stderr
    run = open_run(done.stdout.strip())
    assert {name: n for name, n in run.counts.items() if name not in ("captures", "bytes")} == {
        "read": 4,
        "kept": 1,
        "dropped": 3,
        "dropped:robots": 1,
        "dropped:unreachable": 2,
        "quarantined": 0,
    }
    shut = closed_port.removeprefix("http://")
    assert run.details["unreachable"] == {
        shut: "robots.txt unreachable (connection refused); nothing was fetched",
        "gone.invalid": "robots.txt unreachable (DNS lookup failed); nothing was fetched",
    }
    assert "  stored 1 | dropped robots 1 | dropped unreachable 2" in done.stderr
    assert (
        "  gone.invalid: robots.txt unreachable (DNS lookup failed); nothing was fetched"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (CannotResolveHostError("no results"), "unknown_host", "DNS lookup failed"),
        (DownloadConnectionRefusedError(), "connection_refused", "connection refused"),
        (ConnectionRefusedError(), "connection_refused", "connection refused"),
        (DownloadTimeoutError(), "timeout", "timed out"),
        (DownloadCancelledError(), "too_large", "its answer is too large"),
        (ResponseDataLossError(), "dataloss", "the connection broke off"),
        (DownloadFailedError("[<Failure _DataLoss>]"), "dataloss", "connection failed"),
        (DownloadFailedError(), "connection_failed", "connection failed"),
        (OSError(), "connection_failed", "connection failed"),
        (IgnoreRequest("x is 10.0.0.1"), "connection_failed", "IgnoreRequest: x is 10.0.0.1"),
    ],
)
def test_a_broken_download_has_a_short_reason_and_words(error, reason, words):
    assert (reason_of(error), describe_failure(error)) == (reason, words)


@given(st.integers(100, 599), st.binary(max_size=50))
def test_exactly_a_failing_server_closes_its_host(status, body):
    failed = status >= 500 or status == 429
    assert describe_unavailable(status) == (f"HTTP {status}" if failed else None)
    assert read_site_rules({"/robots.txt": FileAnswer(status, body)}, None).unreachable == (
        f"HTTP {status}" if failed else None
    )
