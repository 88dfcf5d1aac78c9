"""The commands of the crawling room: `gristmill crawl` and `gristmill demo-site`."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from crawlers.config import CrawlConfig, user_agent
from gristmill import config as configuration
from gristmill import runs
from gristmill.cli import ConfigOption, JsonOption, OutOption, SetOption, conclude, say
from gristmill.errors import MissingExtra

DEFAULT = Path("configs/crawl/default.toml")
# What decides about the captures: our code, and the library that fetches.
CODE, LIBRARIES = ("crawlers",), ("scrapy", "protego")

FreshOption = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Crawl again as the next sequence, even where a sealed crawl of these settings exists."
    ),
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")]
TextOption = Annotated[
    Path | None, typer.Option("--text", help="Parquet or JSONL file with a text column, served as further pages.")
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

    A sealed crawl of the same settings is returned as it is; --fresh crawls again.

    Example: gristmill crawl --config configs/crawl/default.toml --set contact=you@example.org
    """
    settings = configuration.load(CrawlConfig, config or DEFAULT, set_ or ())
    user_agent(settings)
    if importlib.util.find_spec("scrapy") is None:
        raise MissingExtra("scrapy", "crawl")
    from crawlers.crawl import crawl as fetch
    from crawlers.crawl import summary

    with _next_run(settings, out, fresh=fresh) as run:
        if run.finished:
            say(f"crawl  {run.id} is sealed already; --fresh crawls again")
        else:
            say(f"crawl  {len(settings.sources)} sources under the policy {settings.policy} -> {run.path}")
        done = run.finished or fetch(settings, run)
    conclude(done, summary(done), as_json=json)


@contextmanager
def _next_run(settings: CrawlConfig, out: Path, *, fresh: bool) -> Iterator[runs.Run]:
    """The newest sealed sequence of these settings, or with `fresh` (or where none is sealed) the one to write."""
    sequence = 1
    while True:
        with _open(settings, out, sequence) as run:
            following = run.path.with_name(f"{run.id[:-4]}{sequence + 1:04}")
            if run.finished is None or (not fresh and not (following / runs.MANIFEST).exists()):
                yield run
                return
        sequence += 1


def _open(settings: CrawlConfig, out: Path, sequence: int) -> AbstractContextManager[runs.Run]:
    inputs = [runs.file_input(settings.demo.text)] if settings.demo.text else []
    return runs.start(
        "crawl", out=out, config=settings, inputs=inputs, code=CODE, libraries=LIBRARIES, sequence=sequence
    )


def demo_site(port: PortOption = 0, text: TextOption = None) -> None:
    """Serve a wiki, a news site and a social timeline on this machine, to try crawls without a network.

    Example: gristmill demo-site --port 8080 --text my-pages.parquet
    """
    from crawlers.demo_site import DemoSite

    with DemoSite(port=port, text=text) as site, contextlib.suppress(KeyboardInterrupt):  # the ordinary end of a server
        say(*site.summary())
        typer.echo(site.url)
        threading.Event().wait()
