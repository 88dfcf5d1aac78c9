"""Runs a call of a crawl: one spider a source in one process, captures by the frontier into a run folder, a ledger at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow.parquet as pq

from crawlers.config import CrawlConfig, Source, user_agent
from crawlers.demo.site import HOSTS, DemoSite
from crawlers.downloader.addresses import bare, host_of
from crawlers.frontier.outbox import Outbox
from crawlers.frontier.store import Frontier
from crawlers.session import Session
from gristmill.errors import ConfigError, RunError, Stopped
from gristmill.hashing import digest
from gristmill.progress import Progress, say
from gristmill.rights.takedown import NAME as TAKEDOWNS
from gristmill.rights.takedown import Takedown, write_takedowns
from gristmill.runs import storage
from gristmill.runs.finished import LEDGER, FinishedRun
from gristmill.runs.ledger import check_balance, ledger_table, totals
from gristmill.runs.run import Run

CAPTURES = "captures"
MOST_FAILURES_SHOWN = 20


def scrapy_settings(config: CrawlConfig) -> dict[str, Any]:
    """Scrapy's settings for a polite, safe crawl that keeps evidence of every response."""
    polite = config.politeness
    proxies = [host_of(address) for address in urllib.request.getproxies().values()]
    return {
        "USER_AGENT": user_agent(config),
        "COOKIES_ENABLED": False,
        "REFERER_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,  # in 2.19 an HTTP server that runs Python code, on by default
        "TELNETCONSOLE_ENABLED": False,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOAD_MAXSIZE": polite.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_TIMEOUT": polite.timeout,
        "DOWNLOAD_DELAY": polite.delay,
        "DOWNLOAD_DELAY_JITTER": 0.0,  # else half of the delay would do
        "CONCURRENT_REQUESTS": polite.concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": polite.concurrency_per_host,
        "AUTOTHROTTLE_ENABLED": polite.autothrottle,
        "AUTOTHROTTLE_START_DELAY": polite.delay,
        "REDIRECT_MAX_TIMES": 10,
        "METAREFRESH_MAXDELAY": 1,  # at once it is a redirect; later it is a page that renews itself, and would be asked ten times
        "RETRY_ENABLED": False,  # the frontier repeats requests, in later calls too
        "LOG_LEVEL": "ERROR",
        "SCHEDULER": "crawlers.downloader.scheduler.DurableScheduler",
        "TWISTED_DNS_RESOLVER": "crawlers.downloader.politeness.PublicResolver",
        "PRIVATE_HOSTS": [
            *config.private_hosts,
            *proxies,
            *(["127.0.0.1"] if config.demo.serve else []),
        ],
        "CONCURRENT_ITEMS": 1,  # spiders yield none: Scrapy starts so many tasks for each answer
        "SPIDER_MIDDLEWARES_BASE": {},  # spiders commit what they read themselves
        "DOWNLOADER_MIDDLEWARES": {
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
            "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": 540,  # after the capture: redirects are evidence too
            "crawlers.downloader.politeness.AddressMiddleware": 80,
            "crawlers.downloader.sites.SiteMiddleware": 100,
            "crawlers.downloader.politeness.PaceMiddleware": 900,
            "crawlers.downloader.capture.CaptureMiddleware": 580,  # just after decompression (590)
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


def crawl(config: CrawlConfig, run: Run, frontier: Frontier) -> FinishedRun:
    """Fetch what is queued and due, and seal it into the run folder; a call that was stopped goes on where it was."""
    frontier.wake(
        time.time(), waiting=frontier.unsealed()
    )  # what this call fetched itself is not due again in it
    bring_back(frontier, run.path.parent)
    outbox = Outbox(frontier, frontier.path.parent / CAPTURES, rotate=config.capture_file_bytes)
    before = sum(frontier.documents().values())
    with (
        _origins(config) as origins,
        Progress("crawl", total=config.budget, unit="documents", done=before) as progress,
    ):
        session = Session(config, frontier, outbox, progress, origins)
        _run_spiders(config, session)
        _check(session)
        outbox.drain()
    return _seal(run, session)


def _run_spiders(config: CrawlConfig, session: Session) -> None:
    from scrapy.crawler import AsyncCrawlerProcess

    from crawlers.sources.news import NewsSpider
    from crawlers.sources.social import SocialSpider
    from crawlers.sources.wiki import WikiSpider

    kinds = {"wiki": WikiSpider, "news": NewsSpider, "social": SocialSpider}
    if not (chosen := sources_of_shard(config)):
        fix = (
            "start as many shards as there are hosts at most; those with sources do the whole crawl"
        )
        raise ConfigError(
            "no source falls to this shard",
            {"shard": config.shard, "sources": len(config.sources)},
            fix,
        )
    process = AsyncCrawlerProcess(scrapy_settings(config))
    from twisted.internet import reactor  # the one that Scrapy installed

    for source in chosen:
        process.crawl(kinds[source.kind], source=source, session=session)
    # Daemons: a lookup that hangs must not hold us.
    reactor.getThreadPool().threadFactory = partial(threading.Thread, daemon=True)
    with _stopping_at_once(session):
        process.start(install_signal_handlers=False)


@contextlib.contextmanager
def _stopping_at_once(session: Session) -> Iterator[None]:
    """End the call on Ctrl-C and SIGTERM at once: requests in flight are still queued, all others are committed."""
    from twisted.internet import reactor

    def stop(number: int, _: FrameType | None) -> None:
        session.stopped = signal.Signals(number).name
        reactor.callFromThread(reactor.crash)

    earlier = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _check(session: Session) -> None:
    """Raise where the call did not run to its end, or brought nothing at all: such a call is never sealed."""
    frontier = session.frontier
    if session.fault is not None:
        raise session.fault
    sums = totals(frontier.entries())
    if session.stopped is not None:
        say(
            f"crawl  so far stored {sums['kept']}{_reasons(sums, 'dropped')}{_reasons(sums, 'quarantined', 'failed ')}"
        )
        raise Stopped(
            f"the crawl was stopped ({session.stopped}) with {frontier.queued()} requests queued; the same command goes on there"
        )
    found = sums["kept"] or any(
        sums.get(f"dropped:{reason}") for reason in ("opt_out", "licence", "unchanged")
    )
    if not found and frontier.fact("sequence") == 1 and not frontier.queued():
        error = _brought_nothing(session, sums)
        frontier.start_anew()
        raise error


def _brought_nothing(session: Session, sums: Mapping[str, int]) -> RunError:
    hosts = session.frontier.table("SELECT place, why FROM shut ORDER BY place")
    failures = [
        text for (text,) in session.frontier.table("SELECT text FROM failure ORDER BY id LIMIT 3")
    ]
    if hosts and not session.outbox.captures and not session.outbox.waiting and not failures:
        fix = "check this machine's network (DNS, proxy, firewall); the same command then starts the crawl again"
        return RunError(
            "no source could be reached, so nothing was fetched",
            dict(hosts[:MOST_FAILURES_SHOWN]),
            fix,
        )
    rows = {reason: count for reason, count in sums.items() if count and ":" in reason}
    first = {f"failure {n}": text for n, text in enumerate(failures, 1)}
    fix = "check the sources and the network; the same command starts the crawl again"
    return RunError(
        "the crawl brought no document", {**rows, **dict(hosts[:MOST_FAILURES_SHOWN]), **first}, fix
    )


def _seal(run: Run, session: Session) -> FinishedRun:
    """Move the files of this call into its run folder and seal it; killed at any point, the next start finds all of them."""
    frontier, outbox = session.frontier, session.outbox
    entries = frontier.entries()
    check_balance(sum(session.documents.values()), entries, where="crawl")
    outbox.check()
    with frontier.durably():
        frontier.set_fact("sealing", run.id)
    shutil.rmtree(
        run.path / CAPTURES, ignore_errors=True
    )  # what is there is of no call that this frontier knows
    move_files(frontier, outbox.folder, run.path / CAPTURES)
    with storage.open_for_commit(run.path / LEDGER) as file:
        pq.write_table(ledger_table({0: entries}), file, compression="zstd")
    if rows := takedowns_of(frontier):
        write_takedowns(run.path / TAKEDOWNS, rows)
    counts = {
        "read": sum(entry.documents for entry in entries),
        **totals(entries),
        "captures": outbox.captures,
        "bytes": outbox.bytes,
    }
    done = run.finish(counts=counts, details=details_of(session))
    frontier.sealed(run.id)
    return done


def details_of(session: Session) -> dict[str, Any]:
    """What the manifest says of a call beside its counts."""
    frontier = session.frontier
    licences: dict[str, dict[str, int]] = {}
    for source, licence, count in frontier.table(
        "SELECT source, licence, documents FROM licence ORDER BY 1, 2"
    ):
        licences.setdefault(source, {})[licence] = count
    return {
        "crawl": frontier.fact("crawl"),
        "policy": session.config.policy,
        "licences": licences,
        "fetched": dict(
            frontier.table("SELECT source, captures FROM fetched WHERE captures > 0 ORDER BY 1")
        ),
        "unreachable": dict(frontier.table("SELECT place, why FROM shut ORDER BY 1")),
        "failures": sorted(text for (text,) in frontier.table("SELECT text FROM failure")),
        "queued": frontier.queued(),
        "waiting": {
            host: {"queued": count, "why": why_waiting(session, host)}
            for host, count in frontier.queued_hosts()
        },
        "takedowns": len(frontier.takedowns()),
    }


def why_waiting(session: Session, host: str) -> str:
    """Why a call ended before all requests of a host were made."""
    if (pause := session.pause(host)) > 0:
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + pause))
        return f"the host asked to be left alone until {until}"
    if session.is_spent(host):
        return "a limit of politeness (pages, bytes or seconds a host) is reached: the same command goes on"
    return "they are to be repeated later: the same command goes on"


def move_files(frontier: Frontier, source: Path, target: Path) -> None:
    """Move the listed WARC files of a call from one folder to another, those that are not there yet."""
    for (name,) in frontier.table("SELECT name FROM file ORDER BY name"):
        if (source / name).is_file():
            storage.make_folder(target)
            os.replace(source / name, target / name)
    for folder in (source, target):
        if folder.is_dir():
            storage.sync_folder(folder)


def bring_back(frontier: Frontier, out: Path) -> None:
    """Undo a move into a run folder that was not sealed: its settings or its code may have changed, and with them its name."""
    if name := frontier.fact("sealing"):
        move_files(frontier, out / name / CAPTURES, frontier.path.parent / CAPTURES)


def takedowns_of(frontier: Frontier) -> list[Takedown]:
    """The takedown list of a crawl: pages that were stored, and are gone now or refuse."""
    rows = frontier.takedowns()
    return [Takedown("url", url, reason, date.fromisoformat(day)) for url, reason, day in rows]


def sources_of_shard(config: CrawlConfig) -> list[Source]:
    """The sources this process crawls. Sources that share a host stay together: one process asks it, one pace holds."""
    number, of = map(int, config.shard.split("/"))
    return [
        source
        for source in config.sources
        if int(digest(_first_host(config, source))[:15], 16) % of == number - 1
    ]


def _first_host(config: CrawlConfig, source: Source) -> str:
    """The first, in order, of all hosts that sources share with this one, directly or by others."""
    together = {bare(host_of(url)) for url in source.doors}
    while True:
        more = together.union(
            *(
                hosts
                for one in config.sources
                if not together.isdisjoint(hosts := {bare(host_of(url)) for url in one.doors})
            )
        )
        if more == together:
            return min(together)
        together = more


def summary(run: FinishedRun) -> list[str]:
    """The final ledger, for people."""
    counts = run.counts
    lines = [
        f"crawl  found {counts['read']} documents in {counts['captures']} responses ({counts['bytes'] / 1e6:.1f} MB)",
        f"  stored {counts['kept']}{_reasons(counts, 'dropped')}{_reasons(counts, 'quarantined', 'failed ')}",
    ]
    for source, licences in run.details["licences"].items():
        lines.append(
            f"  {source}: " + ", ".join(f"{count} {licence}" for licence, count in licences.items())
        )
    lines += [f"  {host}: {what}" for host, what in run.details["unreachable"].items()]
    failures = run.details["failures"]
    lines += [f"  failed  {text}" for text in failures[:MOST_FAILURES_SHOWN]]
    if len(failures) > MOST_FAILURES_SHOWN:
        lines.append(
            f"  and {len(failures) - MOST_FAILURES_SHOWN} more failures, all in {run.path.name}/manifest.json"
        )
    for host, waiting in run.details.get("waiting", {}).items():
        lines.append(f"  {host}: {waiting['queued']} requests still queued; {waiting['why']}")
    if run.details.get("takedowns"):
        lines.append(
            f"  {run.details['takedowns']} pages are gone or refuse since they were stored: {run.path / TAKEDOWNS}"
        )
    return lines


def _reasons(counts: Mapping[str, int], fate: str, word: str = "dropped ") -> str:
    found = {
        name.partition(":")[2]: count
        for name, count in counts.items()
        if name.startswith(f"{fate}:")
    }
    return "".join(f" | {word}{reason} {count}" for reason, count in sorted(found.items()))
