"""Seals a crawl session: moves its WARC files into the run folder, writes ledger and manifest.

Killed at any point, the next start finds all files: the frontier notes the run before the first file is
moved, and `recover_unsealed` moves them back.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq

from crawlers.context import CrawlContext
from crawlers.contract import CAPTURES_FOLDER, CrawlDetails, WaitingHost
from crawlers.frontier.outbox import list_capture_files
from crawlers.frontier.store import Frontier
from gristmill.rights.takedown import NAME as TAKEDOWNS_FILE
from gristmill.rights.takedown import Takedown, write_takedowns
from gristmill.runs import storage
from gristmill.runs.finished import LEDGER, FinishedRun
from gristmill.runs.ledger import check_balance, ledger_table, totals
from gristmill.runs.run import Run


def seal_session(run: Run, context: CrawlContext) -> FinishedRun:
    """Move the files of this session into its run folder, and seal it."""
    frontier = context.frontier
    outbox = context.outbox
    entries = frontier.results.read_entries()
    check_balance(context.documents.total(), entries, where="crawl")
    outbox.check()
    with frontier.database.durable_transaction():
        frontier.database.set_metadata("sealing", run.id)
    # Files that are there already belong to no session of this frontier.
    shutil.rmtree(run.path / CAPTURES_FOLDER, ignore_errors=True)
    move_files(frontier, outbox.folder, run.path / CAPTURES_FOLDER)
    with storage.open_for_commit(run.path / LEDGER) as file:
        pq.write_table(ledger_table({0: entries}), file, compression="zstd")
    takedowns = list_takedowns(frontier)
    if takedowns:
        write_takedowns(run.path / TAKEDOWNS_FILE, takedowns)
    counts = {
        "read": sum(entry.documents for entry in entries),
        **totals(entries),
        "captures": outbox.captures,
        "bytes": outbox.bytes,
    }
    finished = run.finish(counts=counts, details=collect_details(context).as_dict())
    frontier.finish_session(run.id)
    return finished


def collect_details(context: CrawlContext) -> CrawlDetails:
    """Collect what the manifest says about a session beside its counts."""
    frontier = context.frontier
    results = frontier.results
    waiting = {
        host: WaitingHost(count, explain_waiting(context, host))
        for host, count in frontier.queue.count_by_host()
    }
    return CrawlDetails(
        crawl=frontier.database.get_metadata("crawl"),
        policy=context.config.policy,
        licences=results.count_licences(),
        fetched=results.count_captures(),
        unreachable=dict(results.list_unreachable()),
        failures=sorted(results.list_failures()),
        queued=frontier.queue.count_queued(),
        waiting=waiting,
        takedowns=len(results.list_takedowns()),
    )


def explain_waiting(context: CrawlContext, host: str) -> str:
    """Say why a session ended before all requests of a host were made."""
    seconds = context.hosts.seconds_to_wait(host)
    if seconds > 0:
        resume_at = time.localtime(context.clock() + seconds)
        return f"the host asked to be left alone until {time.strftime('%Y-%m-%d %H:%M', resume_at)}"
    if context.hosts.is_quota_used(host):
        return (
            "a limit of politeness (pages, bytes or seconds a host) is reached:"
            " the same command goes on"
        )
    return "they are to be repeated later: the same command goes on"


def move_files(frontier: Frontier, source: Path, target: Path) -> None:
    """Move the WARC files of a session to another folder, those that are not there yet."""
    for name in list_capture_files(frontier):
        if (source / name).is_file():
            storage.make_folder(target)
            os.replace(source / name, target / name)
    # A rename lasts through a power cut only when both folders are synced.
    for folder in (source, target):
        if folder.is_dir():
            storage.sync_folder(folder)


def recover_unsealed(frontier: Frontier, out: Path) -> None:
    """Move files back from a run folder that was not sealed.

    Its settings or its code may have changed since, and with them the name of the run.
    """
    name = frontier.database.get_metadata("sealing")
    if name:
        move_files(frontier, out / name / CAPTURES_FOLDER, frontier.path.parent / CAPTURES_FOLDER)


def list_takedowns(frontier: Frontier) -> list[Takedown]:
    """Return the takedown list: pages that were stored, and are gone now or refuse their use."""
    return [
        Takedown("url", url, reason, date.fromisoformat(day))
        for url, reason, day in frontier.results.list_takedowns()
    ]
