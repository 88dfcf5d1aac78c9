"""Fixtures of the crawling tests: saved pages, a context, watched servers, a running demo site, the command in a process of its own, one finished demo crawl."""

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import processes
import pytest

from crawlers.config import CrawlConfig
from crawlers.context import CrawlContext, open_context
from crawlers.demo.site import DemoSite
from crawlers.frontier.outbox import Outbox
from crawlers.frontier.store import Frontier
from gristmill.progress import Progress
from gristmill.runs.finished import FinishedRun, open_run

PAGES = Path(__file__).parent / "pages"
COMMAND = "import typer\nfrom gristmill import cli\nfrom crawlers import commands\napp = typer.Typer()\ncommands.register(app)\ncli.build_app = lambda: app\ncli.main()"
"""The command line with this room only: other rooms' imports would slow every test down."""


@pytest.fixture(scope="session")
def saved() -> Callable[[str], bytes]:
    """The bytes of a saved page."""
    return lambda name: (PAGES / name).read_bytes()


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    """A demo site of the test module's own."""
    with DemoSite() as running:
        yield running


@pytest.fixture(autouse=True, scope="session")
def _text_of_the_site() -> None:
    """Every demo site has the same text."""
    processes.read_library_once()


class Watched(ThreadingHTTPServer):
    """A server that answers from a table and remembers when it was asked for what, and with which headers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answers):
        self.answers, self.asked, self.headers = answers, defaultdict(list), defaultdict(list)
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    """A row of the table: status, headers and body, or a function of the server and the target that gives them."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urlsplit(self.path).path
        self.server.headers[path].append(
            {name.lower(): value for name, value in self.headers.items()}
        )
        self.server.asked[path].append(time.monotonic())
        answer = self.server.answers.get(path, (404, {}, b""))
        status, headers, body = answer(self.server, self.path) if callable(answer) else answer
        body = body.replace(b"{url}", self.server.url.encode())
        self.send_response(status)
        for name, value in {
            "Content-Type": "text/html",
            **headers,
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(name, value.replace("{url}", self.server.url))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[dict], Watched]]:
    """Start watched servers; they stop with the test."""
    running = []

    def start(answers):
        server = Watched(answers)
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def make_context(tmp_path: Path) -> Iterator[Callable[..., CrawlContext]]:
    """A function making the context of a crawl of these sources; asked again it is another process on the same frontier."""
    opened: list[Frontier] = []

    def make(
        *sources: dict, folder: str = "state", services: dict | None = None, **settings: object
    ) -> CrawlContext:
        config = CrawlConfig.model_validate({"contact": "a@b.org", "sources": sources, **settings})
        opened.append(frontier := Frontier(tmp_path / folder / "frontier.sqlite"))
        outbox = Outbox(
            frontier, tmp_path / folder / "captures", file_bytes=config.capture_file_bytes
        )
        return open_context(config, frontier, outbox, Progress("crawl"), **(services or {}))

    yield make
    for frontier in opened:
        frontier.close()


@pytest.fixture(scope="session")
def environment(repository: Path) -> dict[str, str]:
    """The environment of a child process that imports this checkout."""
    return {**os.environ, "PYTHONPATH": str(repository)}


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The command's name, for tests that watch the process themselves."""
    return [sys.executable, "-c", COMMAND]


@pytest.fixture(scope="session")
def gristmill(
    repository: Path, environment: dict[str, str], command: list[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command to its end; Twisted's reactor starts once per process, so crawls need one of their own."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return processes.run(
            [*command, *map(str, arguments)],
            cwd=repository,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def demo_crawl(
    gristmill: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> FinishedRun:
    """One finished crawl of the demo site, shared by all tests that only read it."""
    done = gristmill(
        "crawl", "--config", "configs/crawl/demo.toml", "--out", tmp_path_factory.mktemp("runs")
    )
    assert done.returncode == 0, done.stderr
    return open_run(done.stdout.strip().splitlines()[-1], step="crawl")
