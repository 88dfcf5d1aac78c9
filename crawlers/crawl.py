"""Runs a crawl: one spider a source in one process, captures into a run folder, a ledger at the end."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow.parquet as pq

from crawlers.config import PRODUCT, CrawlConfig, user_agent
from crawlers.demo_site import HOSTS, DemoSite
from crawlers.session import Session
from crawlers.warc import WarcWriter
from gristmill import storage
from gristmill.errors import RunError, Stopped
from gristmill.ledger import check_balance, ledger_table, totals
from gristmill.progress import Progress
from gristmill.runs import LEDGER, FinishedRun, Run

CAPTURES = "captures"
MOST_FAILURES_SHOWN = 20


def scrapy_settings(config: CrawlConfig) -> dict[str, Any]:
    """Scrapy's settings for a polite, safe crawl that keeps evidence of every response."""
    polite = config.politeness
    return {
        "USER_AGENT": user_agent(config),
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": PRODUCT,
        "COOKIES_ENABLED": False,
        "REFERER_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,  # in 2.19 an HTTP server that runs Python code, on by default
        "TELNETCONSOLE_ENABLED": False,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOAD_MAXSIZE": polite.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_TIMEOUT": polite.timeout,
        "DOWNLOAD_DELAY": polite.delay,
        "CONCURRENT_REQUESTS_PER_DOMAIN": polite.concurrency_per_host,
        "AUTOTHROTTLE_ENABLED": polite.autothrottle,
        "AUTOTHROTTLE_START_DELAY": polite.delay,
        "RETRY_TIMES": polite.retries,
        "RETRY_GIVE_UP_LOG_LEVEL": "DEBUG",  # the final ledger names what failed
        "RETRY_PRIORITY_ADJUST": 0,
        "LOG_LEVEL": "ERROR",
        "DOWNLOADER_MIDDLEWARES": {
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
            "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": 540,  # after the capture: redirects are evidence too
            "crawlers.politeness.AddressMiddleware": 80,
            "crawlers.robots.RobotsMiddleware": 100,
            "crawlers.politeness.WaitMiddleware": 560,
            "crawlers.capture.CaptureMiddleware": 580,  # just after decompression (590), before retries (550)
        },
    }


@contextlib.contextmanager
def _origins(config: CrawlConfig) -> Iterator[dict[str, str]]:
    """The demo site's hosts and the port that serves them, while the crawl lasts; nothing where the crawl is a real one."""
    if not config.demo.serve:
        yield {}
        return
    text = Path(config.demo.text) if config.demo.text else None
    with DemoSite(text=text) as site:
        yield dict.fromkeys(HOSTS, site.url)


def crawl(config: CrawlConfig, run: Run) -> FinishedRun:
    """Fetch all sources into the run folder and seal it; what an earlier, killed crawl left in it is thrown away."""
    settings = scrapy_settings(config)
    folder = run.path / CAPTURES
    shutil.rmtree(folder, ignore_errors=True)
    with _origins(config) as origins, Progress("crawl", total=config.budget, unit="documents") as progress:
        session = Session(config, WarcWriter(folder, rotate=config.capture_file_bytes), progress, origins)
        try:
            _run_spiders(config, session, settings)
            _check(session)
        except BaseException:
            session.writer.abandon()
            raise
        session.writer.close()
    return _seal(run, session)


def _run_spiders(config: CrawlConfig, session: Session, settings: dict[str, Any]) -> None:
    from scrapy.crawler import AsyncCrawlerProcess

    from crawlers.spiders.news import NewsSpider
    from crawlers.spiders.social import SocialSpider
    from crawlers.spiders.wiki import WikiSpider

    kinds = {"wiki": WikiSpider, "news": NewsSpider, "social": SocialSpider}
    process = AsyncCrawlerProcess(settings)
    # A robots.txt that cannot be had is one line of our summary; Scrapy's own words for it are a traceback a host.
    logging.getLogger("scrapy.downloadermiddlewares.robotstxt").setLevel(logging.CRITICAL)
    for source in config.sources:
        process.crawl(kinds[source.kind], source=source, session=session)
    with _stopping_at_once(session):
        process.start(install_signal_handlers=False)


@contextlib.contextmanager
def _stopping_at_once(session: Session) -> Iterator[None]:
    """End the crawl on Ctrl-C and SIGTERM without waiting for requests that are held back: nothing is kept of it anyway."""
    from twisted.internet import reactor

    def stop(number: int, _: FrameType | None) -> None:
        session.stopped = signal.Signals(number).name
        reactor.callFromThread(reactor.crash)

    earlier = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _check(session: Session) -> None:
    """Raise where the crawl did not run to its end, or brought nothing at all: such a run is never sealed."""
    if session.fault is not None:
        raise session.fault
    if session.stopped is not None:
        raise Stopped(
            f"the crawl was stopped ({session.stopped}); nothing was sealed, the same command starts it again"
        )
    sums = totals(session.tally.entries())
    if not sums["kept"] and not sums.get("dropped:opt_out") and not sums.get("dropped:licence"):
        raise _brought_nothing(session, sums)


def _brought_nothing(session: Session, sums: Mapping[str, int]) -> RunError:
    hosts = sorted(session.unreachable.items())
    if hosts and not session.writer.captures and not session.failures:
        fix = "check this machine's network (DNS, proxy, firewall); the same command then starts the crawl again"
        return RunError("no source could be reached, so nothing was fetched", dict(hosts[:MOST_FAILURES_SHOWN]), fix)
    rows = {reason: count for reason, count in sums.items() if count and ":" in reason}
    first = {f"failure {n}": text for n, text in enumerate(session.failures[:3], 1)}
    fix = "check the sources and the network; the same command starts the crawl again"
    return RunError("the crawl brought no document", {**rows, **dict(hosts[:MOST_FAILURES_SHOWN]), **first}, fix)


def _seal(run: Run, session: Session) -> FinishedRun:
    entries = session.tally.entries()
    found = sum(session.documents.values())
    check_balance(found, entries, where="crawl")
    with storage.commit(run.path / LEDGER) as file:
        pq.write_table(ledger_table({0: entries}), file, compression="zstd")
    details = {
        "policy": session.config.policy,
        "licences": session.licence_table(),
        "fetched": dict(sorted(session.fetched.items())),
        "unreachable": dict(sorted(session.unreachable.items())),
        "failures": sorted(session.failures),
    }
    counts = {"read": found, **totals(entries), "captures": session.writer.captures, "bytes": session.writer.bytes}
    return run.finish(counts=counts, details=details)


def summary(run: FinishedRun) -> list[str]:
    """The final ledger, for people."""
    counts = run.counts
    lines = [
        f"crawl  found {counts['read']} documents in {counts['captures']} responses ({counts['bytes'] / 1e6:.1f} MB)",
        f"  stored {counts['kept']}{_reasons(run, 'dropped')}{_reasons(run, 'quarantined', 'failed ')}",
    ]
    for source, licences in run.details["licences"].items():
        lines.append(f"  {source}: " + ", ".join(f"{count} {licence}" for licence, count in licences.items()))
    lines += [f"  {host}: {what}" for host, what in run.details["unreachable"].items()]
    failures = run.details["failures"]
    lines += [f"  failed  {text}" for text in failures[:MOST_FAILURES_SHOWN]]
    if len(failures) > MOST_FAILURES_SHOWN:
        lines.append(f"  and {len(failures) - MOST_FAILURES_SHOWN} more failures, all in {run.path.name}/manifest.json")
    return lines


def _reasons(run: FinishedRun, fate: str, word: str = "dropped ") -> str:
    found = {name.partition(":")[2]: count for name, count in run.counts.items() if name.startswith(f"{fate}:")}
    return "".join(f" | {word}{reason} {count}" for reason, count in sorted(found.items()))
