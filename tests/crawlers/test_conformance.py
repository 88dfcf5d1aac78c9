"""The conformance table of the crawler, a line a case: what servers do, what becomes of their pages, and what they were asked.

One crawl, a source for every case, each on a loopback address of its own; the server's side of it is watched.
"""

import datetime
import gzip
import ipaddress
import itertools
import json
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gristmill.runs.finished import all_entries, open_run

PAGE = b"<html><body><article><p>Some words.</p></article></body></html>"
Answer = tuple[int, Mapping[str, str], bytes] | Callable[["Handler"], None]
PRIVATE_ELSEWHERE = "http://169.254.169.254"


@dataclass(frozen=True)
class Case:
    """A server's answers beside `/robots.txt` (404), `/sitemap.xml` (its pages) and `PAGE` for each of them.

    `fates`: what the ledger says of this source; `asked`: how often paths were asked for; `gap`: the least seconds between
    two requests for one path, or between two pages.
    """

    name: str
    fates: Mapping[str, int]
    answers: Mapping[str, Answer] = field(default_factory=dict)
    pages: tuple[str, ...] = ("/a",)
    asked: Mapping[str, int] = field(default_factory=dict)
    gap: tuple[str, float] | None = None
    source: Mapping[str, Any] = field(default_factory=dict)


def html(*metas: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (
        200,
        named,
        f"<html><head>{''.join(metas)}</head><body><p>Some words.</p></body></html>".encode(),
    )


def robots(text: str, status: int = 200) -> dict[str, Answer]:
    return {"/robots.txt": (status, {"Content-Type": "text/plain"}, text.encode())}


def meta(name: str, content: str) -> str:
    return f'<meta name="{name}" content="{content}">'


def then_page(*first: Answer) -> Callable[["Handler"], None]:
    """These answers in turn, and the page ever after."""

    def answer(handler: "Handler") -> None:
        number = len(handler.server.asked[handler.path]) - 1
        handler.give(first[number] if number < len(first) else (200, {}, PAGE))

    return answer


def in_two_seconds(handler: "Handler") -> None:
    then_page((429, {"Retry-After": formatdate(time.time() + 2, usegmt=True)}, b""))(handler)


def claims_10_gigabytes(handler: "Handler") -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", str(10 << 30))
    handler.end_headers()
    try:
        for _ in range(1 << 10):
            handler.wfile.write(b"x" * (1 << 16))
            handler.server.sent += 1 << 16
    except OSError:
        pass


def drips(handler: "Handler") -> None:
    """A byte now and then, for ever: slow loris."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while not handler.server.ending.wait(0.2):
        try:
            handler.wfile.write(b"x")
            handler.wfile.flush()
        except OSError:
            return


def breaks_off(handler: "Handler") -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"<p>half")
    handler.close_connection = True


def goes_on_for_ever(handler: "Handler") -> None:
    handler.give((302, {"Location": f"/a?{len(handler.server.asked['/a'])}"}, b""))


def moves(to: str) -> Answer:
    return 302, {"Location": to}, b""


def ledger(**reasons: int) -> dict[str, int]:
    return {name.replace("__", ":"): count for name, count in reasons.items()}


KEPT, OPT_OUT, UNREACHABLE = {"kept": 1}, {"dropped:opt_out": 1}, {"dropped:unreachable": 1}
BOMB = gzip.compress(bytes(64 << 20), 9)
JSON = {"Content-Type": "application/json"}
CASES = [
    # robots.txt (RFC 9309)
    Case("robots-404", {"kept": 2}, pages=("/a", "/b")),
    Case("robots-403", KEPT, robots("", 403)),
    Case(
        "robots-500-html",
        UNREACHABLE,
        robots("<html>oops</html>", 500),
        asked={"/a": 0, "/sitemap.xml": 0},
    ),
    Case("robots-503", UNREACHABLE, robots("", 503), asked={"/a": 0}),
    Case("robots-429", UNREACHABLE, robots("", 429), asked={"/a": 0}),
    Case(
        "robots-moved",
        {"dropped:robots": 1},
        {
            "/robots.txt": moves("/r2.txt"),
            "/r2.txt": (200, {}, b"User-agent: *\nDisallow: /a\nSitemap: {url}/sitemap.xml"),
        },
        asked={"/a": 0},
    ),
    Case(
        "robots-moved-for-ever", UNREACHABLE, {"/robots.txt": moves("/robots.txt")}, asked={"/a": 0}
    ),
    Case(
        "robots-disallow",
        {"kept": 1, "dropped:robots": 1},
        robots("User-agent: *\nDisallow: /b"),
        ("/a", "/b"),
        {"/a": 1, "/b": 0},
    ),
    Case(
        "robots-our-group",
        KEPT,
        robots("User-agent: *\nDisallow: /\n\nUser-agent: Gristmill\nDisallow: /x\n"),
        asked={"/a": 1},
    ),
    Case(
        "robots-longest-match",
        {"kept": 1, "dropped:robots": 1},
        robots("User-agent: *\nDisallow: /a\nAllow: /a/b$"),
        ("/a/b", "/a/c"),
    ),
    Case(
        "robots-encoded",
        {"dropped:robots": 1},
        robots("User-agent: *\nDisallow: /%62%61"),
        ("/ba",),
        {"/ba": 0},
    ),
    Case(
        "crawl-delay",
        {"kept": 3},
        robots("User-agent: *\nCrawl-delay: 0.7\n"),
        ("/a", "/b", "/c"),
        gap=("pages", 0.65),
    ),
    # a busy or broken server
    Case(
        "retry-after-seconds",
        KEPT,
        {"/a": then_page((429, {"Retry-After": "1"}, b""))},
        asked={"/a": 2},
        gap=("/a", 1.0),
    ),
    Case("retry-after-date", KEPT, {"/a": in_two_seconds}, asked={"/a": 2}, gap=("/a", 0.9)),
    Case(
        "retry-after-503",
        KEPT,
        {"/a": then_page((503, {"Retry-After": "1"}, b""))},
        asked={"/a": 2},
        gap=("/a", 1.0),
    ),
    Case("retry-after-a-day", {}, {"/a": (429, {"Retry-After": "86400"}, b"")}, asked={"/a": 1}),
    Case(
        "too-many-for-ever",
        {"quarantined:http_429": 1},
        {"/a": (429, {"Retry-After": "0"}, b"")},
        asked={"/a": 3},
    ),
    Case("page-500", {"quarantined:http_500": 1}, {"/a": (500, {}, b"")}, asked={"/a": 3}),
    Case("page-500-once", KEPT, {"/a": then_page((500, {}, b""))}, asked={"/a": 2}),
    Case("page-404", {"quarantined:http_404": 1}, {"/a": (404, {}, b"")}, asked={"/a": 1}),
    Case("breaks-off", {"quarantined:dataloss": 1}, {"/a": breaks_off}, asked={"/a": 3}),
    Case("slow-loris", {"quarantined:timeout": 1}, {"/a": drips}, asked={"/a": 3}),
    Case(
        "10-gigabytes", {"quarantined:too_large": 1}, {"/a": claims_10_gigabytes}, asked={"/a": 1}
    ),
    Case(
        "gzip-bomb",
        {"quarantined:too_large": 1},
        {"/a": (200, {"Content-Encoding": "gzip"}, BOMB)},
        asked={"/a": 1},
    ),
    Case(
        "broken-gzip",
        {"quarantined:broken_encoding": 1},
        {"/a": (200, {"Content-Encoding": "gzip"}, b"no gzip")},
    ),
    Case(
        "broken-charset",
        KEPT,
        {"/a": (200, {"Content-Type": "text/html; charset=klingon"}, b"<p>\xff\xfe\x80 words")},
    ),
    Case("empty-page", KEPT, {"/a": (200, {}, b"")}),
    Case(
        "a-picture",
        {"dropped:not_html": 1},
        {"/a": (200, {"Content-Type": "image/png"}, b"\x89PNG")},
    ),
    Case("self-signed", UNREACHABLE, asked={"/robots.txt": 0, "/a": 0}),
    # redirects and addresses
    Case("moved", KEPT, {"/a": moves("/b"), "/b": (200, {}, PAGE)}, asked={"/a": 1, "/b": 1}),
    Case(
        "moved-to-another-page",
        {"kept": 1, "dropped:redirect_to_known": 1},
        {"/a": moves("/b")},
        ("/a", "/b"),
        {"/a": 1},
    ),
    Case("moved-for-ever", {"quarantined:redirects": 1}, {"/a": goes_on_for_ever}),
    Case(
        "moved-to-another-host", {"dropped:other_host": 1}, {"/a": moves("http://other.invalid/a")}
    ),
    Case(
        "moved-to-a-private-address",
        {"quarantined:private_address": 2},
        {"/a": moves(f"{PRIVATE_ELSEWHERE}/latest/meta-data")},
        source={"feeds": [f"{PRIVATE_ELSEWHERE}/feed"]},
    ),
    Case(
        "moved-to-what-is-forbidden",
        {"dropped:robots": 1},
        {**robots("User-agent: *\nDisallow: /b"), "/a": moves("/b")},
        asked={"/b": 0},
    ),
    # refusals
    Case("x-robots-noai", OPT_OUT, {"/a": html(X_Robots_Tag="noai")}),
    Case("x-robots-noindex", OPT_OUT, {"/a": html(X_Robots_Tag="noindex, nofollow")}),
    Case("x-robots-of-another-agent", KEPT, {"/a": html(X_Robots_Tag="otherbot: noai")}),
    Case("meta-noai", OPT_OUT, {"/a": html(meta("robots", "index, NoAI"))}),
    Case("tdm-header", OPT_OUT, {"/a": html(tdm_reservation="1")}),
    Case("tdm-meta", OPT_OUT, {"/a": html(meta("tdm-reservation", "1"))}),
    Case(
        "tdm-header-over-meta",
        KEPT,
        {"/a": html(meta("tdm-reservation", "1"), tdm_reservation="0")},
    ),
    Case(
        "tdmrep-json",
        {"kept": 1, "dropped:opt_out": 1},
        {
            "/.well-known/tdmrep.json": (
                200,
                JSON,
                b'[{"location": "/a*", "tdm-reservation": 1, "tdm-policy": "https://x/p"}]',
            )
        },
        ("/a", "/b"),
    ),
    Case(
        "tdmrep-json-broken",
        KEPT,
        {"/.well-known/tdmrep.json": (200, JSON, b'[{"location": 5}, {"loc')},
    ),
    Case(
        "ai-txt",
        OPT_OUT,
        {"/ai.txt": (200, {"Content-Type": "text/plain"}, b"User-Agent: *\nDisallow: /\n")},
    ),
    Case(
        "ai-txt-that-is-a-page",
        KEPT,
        {"/ai.txt": (200, {}, b"<html>User-Agent: *\nDisallow: /\n</html>")},
    ),
    Case(
        "robots-for-ai",
        OPT_OUT,
        robots("User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n\nUser-agent: *\nDisallow:\n"),
    ),
    Case(
        "content-signal",
        OPT_OUT,
        robots("User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n"),
    ),
    Case("content-usage", OPT_OUT, {"/a": html(Content_Usage="train-ai=n")}),
    Case(
        "paywall",
        OPT_OUT,
        {"/a": html('<script type="application/ld+json">{"isAccessibleForFree": false}</script>')},
    ),
]


class Server(ThreadingHTTPServer):
    """Answers from a case and remembers when it was asked for what."""

    daemon_threads = True

    def __init__(self, case: Case, address: str) -> None:
        self.case, self.asked, self.times, self.sent = case, defaultdict(list), [], 0
        self.headers: dict[str, str] = {}
        self.ending = threading.Event()
        super().__init__((address, 0), Handler)
        self.url = f"http://{address}:{self.server_address[1]}"

    def answer(self, path: str) -> Answer:
        found = self.case.answers.get(path) or self.case.answers.get(path.partition("?")[0])
        if found is not None:
            return found
        if path == "/sitemap.xml":
            places = "".join(f"<url><loc>{self.url}{page}</loc></url>" for page in self.case.pages)
            return 200, {"Content-Type": "application/xml"}, f"<urlset>{places}</urlset>".encode()
        return (200, {}, PAGE) if path in self.case.pages else (404, {}, b"")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked[self.path].append(time.monotonic())
        if self.path in self.server.case.pages:
            self.server.times.append(time.monotonic())
        self.server.headers = dict(self.headers)
        answer = self.server.answer(self.path)
        answer(self) if callable(answer) else self.give(answer)

    def give(self, answer: Answer) -> None:
        assert not callable(answer)
        status, headers, body = answer
        body = body.replace(b"{url}", self.server.url.encode())
        self.send_response(status)
        for name, value in {
            "Content-Type": "text/html",
            "Set-Cookie": "a=b",
            **headers,
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def toml_of(source: Mapping[str, Any]) -> str:
    return "[[sources]]\n" + "\n".join(
        f"{key} = {json.dumps(value)}" for key, value in source.items()
    )


def self_signed(folder: Path, address: str) -> tuple[Path, Path]:
    """A certificate that nobody vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        x509.random_serial_number(),
        now,
        now + datetime.timedelta(days=1),
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for path, data in (
        (folder / "cert.pem", signed.public_bytes(pem)),
        (folder / "key.pem", secret),
    ):
        path.write_bytes(data)
    return folder / "cert.pem", folder / "key.pem"


def with_tls(server: Server, folder: Path) -> None:
    """Let a server speak TLS with such a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(folder, server.server_address[0]))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = server.url.replace("http://", "https://")


@pytest.fixture(scope="module")
def crawled(gristmill, tmp_path_factory):
    """The one crawl: the servers by the name of their case, and the sealed run."""
    folder = tmp_path_factory.mktemp("conformance")
    servers = {
        case.name: Server(case, f"127.0.{2 + number // 200}.{1 + number % 200}")
        for number, case in enumerate(CASES)
    }
    with_tls(servers["self-signed"], folder)
    for server in servers.values():
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
    hosts = [server.server_address[0] for server in servers.values()]
    sources = [
        {"type": "news", "name": name, "sites": [server.url], **server.case.source}
        for name, server in servers.items()
    ]
    sources.append(
        {
            "type": "news",
            "name": "a-name-that-is-private",
            "sites": [f"http://localhost:{servers['moved'].server_address[1]}"],
        }
    )
    polite = "delay = 0.0\nautothrottle = false\nbackoff = 0.0\nretries = 2\ntimeout = 1.5\nmax_bytes = 1000000\nconcurrency_per_host = 2\n"
    text = (
        f'contact = "t@example.org"\nprivate_hosts = {json.dumps(hosts)}\n[politeness]\n{polite}'
        + "\n".join(map(toml_of, sources))
    )
    (folder / "crawl.toml").write_text(text + "\n")
    done = gristmill("crawl", "--config", folder / "crawl.toml", "--out", folder / "runs")
    for server in servers.values():
        server.ending.set()
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return servers, open_run(done.stdout.strip())


@pytest.fixture(scope="module")
def outcomes(crawled) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in all_entries(crawled[1]):
        found[entry.source][f"{entry.fate}:{entry.reason}" if entry.reason else entry.fate] += (
            entry.documents
        )
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_server_gets_what_it_asks_for_and_its_pages_the_fate_they_deserve(
    case, crawled, outcomes
):
    server = crawled[0][case.name]
    assert dict(outcomes[case.name]) == dict(case.fates)
    assert {path: len(server.asked[path]) for path in case.asked} == dict(case.asked)
    if case.gap:
        times = server.times if case.gap[0] == "pages" else server.asked[case.gap[0]]
        assert min(after - before for before, after in itertools.pairwise(times)) >= case.gap[1]


def test_what_a_host_put_off_for_a_day_stays_queued(crawled):
    assert crawled[1].details["queued"] == 1


def test_a_name_that_leads_to_a_private_address_is_never_asked(crawled, outcomes):
    assert set(outcomes["a-name-that-is-private"]) == {"quarantined:private_address"}


def test_of_an_answer_that_claims_10_gigabytes_hardly_anything_is_taken(crawled):
    assert crawled[0]["10-gigabytes"].sent < 8 << 20


def test_every_request_says_who_asks_and_carries_no_cookie(crawled):
    for server in (server for server in crawled[0].values() if server.headers):
        assert (
            server.headers["User-Agent"].startswith("gristmill/")
            and "t@example.org" in server.headers["User-Agent"]
        )
        assert "Cookie" not in server.headers and "Referer" not in server.headers


def test_a_name_whose_answer_changes_gives_no_connection_a_private_address(monkeypatch):
    from crawlers.downloader.politeness import PublicResolver

    answers = iter(["93.184.216.34", "10.0.0.1", "93.184.216.34"])
    resolver = PublicResolver(
        SimpleNamespace(), cache_size=0, timeout=1.0
    )  # a real reactor would stay for other tests
    resolver.allowed = frozenset()
    checked, failed = [], []
    for address in answers:
        try:
            checked.append(resolver._check_address(address, "rebinding.example"))
        except OSError as error:
            failed.append(str(error))
    assert checked == ["93.184.216.34"] * 2
    assert len(failed) == 1 and "10.0.0.1" in failed[0]
