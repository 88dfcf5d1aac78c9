"""The commands of the crawling room: `gristmill crawl` and `gristmill demo-site`."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crawlers.config import CrawlConfig, make_user_agent
from gristmill import config as configuration
from gristmill.cli import ConfigOption, JsonOption, OutOption, SetOption, conclude, say
from gristmill.errors import MissingExtra
from gristmill.runs.finished import file_input
from gristmill.runs.run import Run, start_run
from gristmill.steps.code_identity import digest_code

if TYPE_CHECKING:
    from crawlers.frontier.store import Frontier

DEFAULT = Path("configs/crawl/default.toml")

FreshOption = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Forget what was crawled and queued, and start anew as the next run."
    ),
]
PortOption = Annotated[
    int,
    typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one."),
]
TextOption = Annotated[
    Path | None,
    typer.Option(
        "--text", help="Parquet or JSONL file with a text column, served as further pages."
    ),
]


def register(app: typer.Typer) -> None:
    """Add this room's commands to the command line."""
    app.command("crawl")(crawl)
    app.command("demo-site")(demo_site)


def crawl(
    out: OutOption = Path("runs"),
    config: ConfigOption = None,
    set_: SetOption = None,
    fresh: FreshOption = False,
    json: JsonOption = False,
) -> None:
    """Fetch wiki, news and social sources into WARC files, with the evidence of their rights.

    A session that was stopped or killed goes on where it was. Each completed session seals a run; the
    next one fetches what is due (`recrawl` in the configuration: new pages daily, stored ones monthly),
    and is a no-op if nothing is.

    Examples: gristmill crawl --config configs/crawl/default.toml --set contact=you@example.org

    Two processes, each with half of the hosts: --set shard=1/2, and --set shard=2/2
    """
    settings = configuration.load(CrawlConfig, config or DEFAULT, set_ or ())
    make_user_agent(settings)  # refused before anything is opened
    if importlib.util.find_spec("scrapy") is None:
        raise MissingExtra("scrapy", "crawl")
    from crawlers.crawl import run_session
    from crawlers.state import find_last_run, open_frontier
    from crawlers.summary import summarize_run

    with open_frontier(settings, out, fresh=fresh) as frontier:
        finished = find_last_run(frontier, out)
        if finished is not None and _is_nothing_due(frontier):
            say(f"crawl  {finished.id} is sealed{_describe_waiting(frontier)}; --fresh starts anew")
        else:
            with _start_next_run(settings, out, frontier) as run:
                work = _describe_work(frontier, settings)
                say(f"crawl  {work} under the policy {settings.policy} -> {run.path}")
                finished = run_session(settings, run, frontier, now=time.time())
    conclude(finished, summarize_run(finished), as_json=json)


def _is_nothing_due(frontier: Frontier) -> bool:
    """Whether a session would fetch nothing. A crawl that is new or not sealed has something to do."""
    from crawlers.host_ledger import LONGEST_PAUSE

    if frontier.queue.count_known() == 0 or frontier.results.has_unsealed():
        return False
    return not frontier.queue.has_ready(time.time(), LONGEST_PAUSE)


def _describe_waiting(frontier: Frontier) -> str:
    """Say what is still queued, and from when on there is something to do again."""
    queued = frontier.queue.count_queued()
    now = time.time()
    moments = []
    if queued:
        back_offs = frontier.hosts.read_back_offs().values()
        moments = [back_off.resume_at for back_off in back_offs if back_off.resume_at > now]
    next_fetch_at = frontier.queue.next_fetch_at(only_retries=False)
    if next_fetch_at is not None:
        moments.append(next_fetch_at)
    waiting = f", {queued} requests wait for their hosts" if queued else ""
    if not moments:
        return waiting
    first = datetime.fromtimestamp(min(moments))
    return f"{waiting}; nothing is due before {first:%Y-%m-%d %H:%M}"


def _describe_work(frontier: Frontier, settings: CrawlConfig) -> str:
    queued = frontier.queue.count_queued()
    before = f", {queued} requests queued before" if queued else ""
    return f"{len(settings.sources)} sources{before}"


@contextmanager
def _start_next_run(settings: CrawlConfig, out: Path, frontier: Frontier) -> Iterator[Run]:
    """Start the run of this session: the first number that no sealed run has.

    Sealed runs may be there although the state of earlier sessions was lost.
    """
    inputs = [file_input(settings.demo.text)] if settings.demo.text else []
    while True:
        number = int(frontier.database.get_metadata("sequence"))
        with start_run(
            "crawl",
            out=out,
            config=settings,
            inputs=inputs,
            code=digest_code("crawlers.crawl"),
            sequence=number,
        ) as run:
            if run.finished is None:
                yield run
                return
        frontier.database.set_metadata("sequence", number + 1)


def demo_site(port: PortOption = 0, text: TextOption = None) -> None:
    """Serve a wiki, a news site and a social timeline on this machine, to try crawls offline.

    Example: gristmill demo-site --port 8080 --text my-pages.parquet
    """
    from crawlers.demo.site import DemoSite

    with DemoSite(port=port, text=text) as site:
        say(*site.summary())
        typer.echo(site.url)
        # Ctrl-C is the ordinary end of a server.
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
