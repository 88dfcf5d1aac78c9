"""Runs a crawl session: one spider a source in one process, then the sealed run.

In: a configuration, a started run, an open frontier. Out: the finished run, with WARC files and ledger. A
session that is stopped or fails is not sealed; the same command goes on with it.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType

from crawlers.config import CrawlConfig
from crawlers.context import CrawlContext, open_context
from crawlers.contract import CAPTURES_FOLDER
from crawlers.demo.site import HOSTS, DemoSite
from crawlers.frontier.outbox import Outbox
from crawlers.frontier.store import Frontier
from crawlers.scrapy_settings import make_settings
from crawlers.sealing import recover_unsealed, seal_session
from crawlers.sharding import choose_sources
from crawlers.sources.registry import Source, make_spider
from crawlers.summary import MOST_FAILURES_SHOWN, format_outcomes
from gristmill.errors import ConfigError, RunError, Stopped
from gristmill.progress import Progress, say
from gristmill.runs.finished import FinishedRun
from gristmill.runs.ledger import totals
from gristmill.runs.run import Run

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MET_REASONS = ("opt_out", "licence", "unchanged")
"""Reasons of documents that were fetched all the same: a session that met them was not fruitless."""


def run_session(config: CrawlConfig, run: Run, frontier: Frontier, *, now: float) -> FinishedRun:
    """Fetch what is queued and due at `now`, and seal it into the run folder."""
    # An interrupted session goes on: what it fetched itself is not due again in it.
    frontier.queue.requeue_due(now, only_retries=frontier.results.has_unsealed())
    recover_unsealed(frontier, run.path.parent)
    outbox = Outbox(
        frontier,
        frontier.path.parent / CAPTURES_FOLDER,
        file_bytes=config.capture_file_bytes,
    )
    documents_before = frontier.results.count_documents().total()
    with (
        _serve_demo(config) as proxies,
        Progress("crawl", total=config.budget, unit="documents", done=documents_before) as progress,
    ):
        context = open_context(config, frontier, outbox, progress, proxies=proxies)
        _run_spiders(context)
        _check_session(context)
        outbox.drain()
    return seal_session(run, context)


@contextlib.contextmanager
def _serve_demo(config: CrawlConfig) -> Iterator[dict[str, str]]:
    """Serve the demo site while the crawl lasts; yields the address that serves each of its hosts."""
    if not config.demo.serve:
        yield {}
        return
    text = Path(config.demo.text) if config.demo.text else None
    with DemoSite(text=text) as site:
        yield dict.fromkeys(HOSTS, site.url)


def _run_spiders(context: CrawlContext) -> None:
    # Scrapy is imported late: importing it takes most of a second, and installs a reactor.
    from scrapy.crawler import AsyncCrawlerProcess

    from crawlers.downloader.spider import FrontierSpider

    sources = _require_sources(context.config)
    process = AsyncCrawlerProcess(make_settings(context.config))
    from twisted.internet import reactor  # the one that Scrapy installed

    for source in sources:
        process.crawl(FrontierSpider, reader=make_spider(source, context))
    # Daemons: a DNS lookup that hangs must not keep the process alive.
    reactor.getThreadPool().threadFactory = partial(threading.Thread, daemon=True)
    with _stopping_at_once(context):
        process.start(install_signal_handlers=False)


def _require_sources(config: CrawlConfig) -> list[Source]:
    sources = choose_sources(config)
    if not sources:
        raise ConfigError(
            "no source falls to this shard",
            {"shard": config.shard, "sources": len(config.sources)},
            "start as many shards as there are hosts at most;"
            " those with sources do the whole crawl",
        )
    return sources


@contextlib.contextmanager
def _stopping_at_once(context: CrawlContext) -> Iterator[None]:
    """End the session at once on a stop signal.

    Nothing is lost: requests in flight are still queued, all others are committed.
    """
    from twisted.internet import reactor

    def stop(number: int, _: FrameType | None) -> None:
        context.status.stopped_by = signal.Signals(number).name
        reactor.callFromThread(reactor.crash)

    previous = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _check_session(context: CrawlContext) -> None:
    """Raise if the session did not run to its end, or brought nothing at all: it is not sealed."""
    frontier = context.frontier
    status = context.status
    if status.error is not None:
        raise status.error
    counts = totals(frontier.results.read_entries())
    queued = frontier.queue.count_queued()
    if status.stopped_by is not None:
        say(f"crawl  so far {format_outcomes(counts)}")
        raise Stopped(
            f"the crawl was stopped ({status.stopped_by}) with {queued} requests queued;"
            " the same command goes on there"
        )
    has_documents = counts["kept"] or any(counts.get(f"dropped:{reason}") for reason in MET_REASONS)
    is_first_session = frontier.database.get_metadata("sequence") == 1
    if not has_documents and is_first_session and not queued:
        error = _explain_nothing(context, counts)
        frontier.reset()
        raise error


def _explain_nothing(context: CrawlContext, counts: Mapping[str, int]) -> RunError:
    """The error of a first session without any document."""
    unreachable = context.frontier.results.list_unreachable()
    shown_origins = dict(unreachable[:MOST_FAILURES_SHOWN])
    failures = context.frontier.results.list_failures(limit=3)
    has_captures = context.outbox.captures or context.outbox.waiting
    if unreachable and not has_captures and not failures:
        return RunError(
            "no source could be reached, so nothing was fetched",
            shown_origins,
            "check this machine's network (DNS, proxy, firewall);"
            " the same command then starts the crawl again",
        )
    reasons = {name: count for name, count in counts.items() if count and ":" in name}
    first_failures = {f"failure {number}": text for number, text in enumerate(failures, 1)}
    return RunError(
        "the crawl brought no document",
        {**reasons, **shown_origins, **first_failures},
        "check the sources and the network; the same command starts the crawl again",
    )
