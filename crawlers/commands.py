"""The commands of the crawling room: `gristmill crawl` and `gristmill demo-site`."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crawlers.config import CrawlConfig, user_agent
from gristmill import config as configuration
from gristmill.cli import ConfigOption, JsonOption, OutOption, SetOption, conclude, say
from gristmill.errors import MissingExtra, RunError
from gristmill.hashing import digest
from gristmill.runs import storage
from gristmill.runs.finished import MANIFEST, FinishedRun, file_input, open_run
from gristmill.runs.run import Run, hold_lock, start_run
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
    int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
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

    A call that was stopped or killed goes on where it was. Each completed call seals a run; the next one fetches what is due
    (`recrawl` in the configuration: new pages daily, known ones monthly), and is a no-op where nothing is.

    Examples: gristmill crawl --config configs/crawl/default.toml --set contact=you@example.org

    Two processes, each with half of the hosts: --set shard=1/2, and --set shard=2/2
    """
    settings = configuration.load(CrawlConfig, config or DEFAULT, set_ or ())
    user_agent(settings)
    if importlib.util.find_spec("scrapy") is None:
        raise MissingExtra("scrapy", "crawl")
    from crawlers.crawl import crawl as fetch
    from crawlers.crawl import summary

    with _frontier(settings, out, fresh=fresh) as frontier:
        if (last := _last_run(frontier, out)) and _nothing_due(frontier):
            say(f"crawl  {last.id} is sealed{_until(frontier)}; --fresh starts anew")
            done = last
        else:
            with _next_run(settings, out, frontier) as run:
                say(
                    f"crawl  {_how_much(frontier, settings)} under the policy {settings.policy} -> {run.path}"
                )
                done = fetch(settings, run, frontier)
    conclude(done, summary(done), as_json=json)


@contextmanager
def _frontier(settings: CrawlConfig, out: Path, *, fresh: bool) -> Iterator[Frontier]:
    """The frontier of a crawl: of its sources and its shard; policy and politeness may change on the way."""
    from crawlers.frontier.store import unreadable

    state, crawl = _name_of(settings, {*KEPT, "shard"}), _name_of(settings, {*KEPT})
    folder = out / "state" / state
    if not folder.exists() and (
        others := sorted(path.name for path in folder.parent.glob("crawl-*"))
    ):
        say(
            f"crawl  begins anew: its sources or its shard are others than those of {', '.join(others)}"
        )
    storage.make_folder(folder)
    with (
        hold_lock(folder),
        contextlib.closing(_opened(folder / "frontier.sqlite", fresh=fresh)) as frontier,
    ):
        try:
            sealing = frontier.fact("sealing")
            if (
                sealing and (out / sealing / MANIFEST).is_file()
            ):  # killed between the manifest and this note
                frontier.sealed(sealing)
            if fresh or (frontier.fact("last") and _last_run(frontier, out) is None):
                _start_anew(frontier)
            frontier.set_fact("crawl", f"{crawl}/{frontier.fact('generation') or 1}")
            yield frontier
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                raise unreadable(frontier.path, error) from error
            raise


KEPT = ("sources", "demo")
"""What makes a crawl the same crawl; its shards are one crawl, each with a state of its own."""


def _name_of(settings: CrawlConfig, keys: set[str]) -> str:
    return f"crawl-{digest(settings.model_dump(mode='json', include=keys))[:12]}"


def _start_anew(frontier: Frontier) -> None:
    from crawlers.crawl import CAPTURES

    if count := frontier.table("SELECT coalesce(sum(documents), 0) FROM tally")[0][0]:
        say(f"crawl  {count} documents of a call that was not sealed are forgotten")
    frontier.start_anew()
    shutil.rmtree(frontier.path.parent / CAPTURES, ignore_errors=True)
    frontier.set_fact("generation", (frontier.fact("generation") or 1) + 1)


def _opened(path: Path, *, fresh: bool) -> Frontier:
    """The frontier in a file; `fresh` goes without the file where it is damaged."""
    from crawlers.frontier.store import Frontier

    if not fresh:
        return Frontier(path)
    try:
        with contextlib.closing(Frontier(path)) as frontier:
            sound = frontier.table("PRAGMA quick_check(1)") == [("ok",)]
    except (RunError, sqlite3.DatabaseError):
        sound = False
    if not sound:
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    return Frontier(path)


def _last_run(frontier: Frontier, out: Path) -> FinishedRun | None:
    """The run that this crawl sealed last, if it is still there."""
    name = frontier.fact("last")
    return (
        open_run(out / name, step="crawl") if name and (out / name / MANIFEST).is_file() else None
    )


def _nothing_due(frontier: Frontier) -> bool:
    """Whether a call would bring nothing: a new crawl, and one whose last call was not sealed, always has something to do."""
    from crawlers.session import LONGEST_PAUSE

    return (
        frontier.known() > 0
        and not frontier.unsealed()
        and not frontier.askable(time.time(), LONGEST_PAUSE)
    )


def _until(frontier: Frontier) -> str:
    """What is still queued, and from when on there is something to do again."""
    queued, now = frontier.queued(), time.time()
    moments = [ready for ready, _ in frontier.held().values() if ready > now] if queued else []
    if (due := frontier.next_due(waiting=False)) is not None:
        moments.append(due)
    waits = f", {queued} requests wait for their hosts" if queued else ""
    return (
        f"{waits}; nothing is due before {datetime.fromtimestamp(min(moments)):%Y-%m-%d %H:%M}"
        if moments
        else waits
    )


def _how_much(frontier: Frontier, settings: CrawlConfig) -> str:
    queued = frontier.queued()
    return f"{len(settings.sources)} sources" + (
        f", {queued} requests queued before" if queued else ""
    )


@contextmanager
def _next_run(settings: CrawlConfig, out: Path, frontier: Frontier) -> Iterator[Run]:
    """The run of this call: the first number that no sealed run has, also where the state of earlier calls was lost."""
    inputs = [file_input(settings.demo.text)] if settings.demo.text else []
    while True:
        number = int(frontier.fact("sequence"))
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
        frontier.set_fact("sequence", number + 1)


def demo_site(port: PortOption = 0, text: TextOption = None) -> None:
    """Serve a wiki, a news site and a social timeline on this machine, to try crawls without a network.

    Example: gristmill demo-site --port 8080 --text my-pages.parquet
    """
    from crawlers.demo.site import DemoSite

    with (
        DemoSite(port=port, text=text) as site,
        contextlib.suppress(KeyboardInterrupt),
    ):  # the ordinary end of a server
        say(*site.summary())
        typer.echo(site.url)
        threading.Event().wait()
