"""Finds and opens the state of a crawl: the folder of its frontier, and its last sealed run.

A crawl is known by its sources: policy, politeness and code may change while it goes on. Its state lies in
`state/crawl-<hash>/` beside its runs.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from crawlers.config import CrawlConfig
from crawlers.contract import CAPTURES_FOLDER
from crawlers.frontier.database import unreadable
from crawlers.frontier.store import Frontier
from crawlers.sources.config import SourceConfig
from gristmill.errors import RunError
from gristmill.hashing import digest
from gristmill.progress import say
from gristmill.runs import storage
from gristmill.runs.finished import MANIFEST, FinishedRun, open_run
from gristmill.runs.run import hold_lock

FORMER_TYPES = {"mediawiki": "wiki", "mastodon": "social"}
"""Types of source as the first version called them: they stand in the hash that names a crawl."""


def name_crawl(config: CrawlConfig, *, with_shard: bool = False) -> str:
    """Name a crawl by the hash of its sources; each of its shards has a state of its own."""
    identity: dict[str, object] = {
        "sources": [_describe_source(source) for source in config.sources],
        "demo": config.demo.model_dump(mode="json"),
    }
    if with_shard:
        identity["shard"] = config.shard
    return f"crawl-{digest(identity)[:12]}"


def _describe_source(source: SourceConfig) -> dict[str, object]:
    """The keys of a source as the first version had them, so that its crawls go on."""
    keys = source.model_dump(mode="json")
    source_type = keys.pop("type")
    keys["kind"] = FORMER_TYPES.get(source_type, source_type)
    if keys["genre"] == type(source).model_fields["genre"].default:
        del keys["genre"]
    return keys


@contextlib.contextmanager
def open_frontier(config: CrawlConfig, out: Path, *, fresh: bool) -> Iterator[Frontier]:
    """Open the frontier of a crawl under its lock; `fresh` forgets what was crawled and queued."""
    folder = out / "state" / name_crawl(config, with_shard=True)
    _warn_of_new_crawl(folder)
    storage.make_folder(folder)
    path = folder / "frontier.sqlite"
    with hold_lock(folder):
        if fresh:
            _remove_damaged(path)
        with contextlib.closing(Frontier(path)) as frontier:
            try:
                _prepare_frontier(frontier, config, out, fresh=fresh)
                yield frontier
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorname.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                    raise unreadable(frontier.path, error) from error
                raise


def _warn_of_new_crawl(folder: Path) -> None:
    """Say that a crawl begins anew beside others: perhaps only its sources were edited."""
    if folder.exists():
        return
    others = sorted(path.name for path in folder.parent.glob("crawl-*"))
    if others:
        say(
            "crawl  begins anew: its sources or its shard are others than those of"
            f" {', '.join(others)}"
        )


def _prepare_frontier(frontier: Frontier, config: CrawlConfig, out: Path, *, fresh: bool) -> None:
    database = frontier.database
    sealing = database.get_metadata("sealing")
    if sealing and (out / sealing / MANIFEST).is_file():
        # Killed between the manifest of the run and the note of it.
        frontier.finish_session(sealing)
    is_last_run_missing = database.get_metadata("last") and find_last_run(frontier, out) is None
    if fresh or is_last_run_missing:
        _start_anew(frontier)
    generation = database.get_metadata("generation") or 1
    database.set_metadata("crawl", f"{name_crawl(config)}/{generation}")


def _start_anew(frontier: Frontier) -> None:
    documents = frontier.results.count_documents().total()
    if documents:
        say(f"crawl  {documents} documents of a call that was not sealed are forgotten")
    frontier.reset()
    shutil.rmtree(frontier.path.parent / CAPTURES_FOLDER, ignore_errors=True)
    generation = frontier.database.get_metadata("generation") or 1
    frontier.database.set_metadata("generation", generation + 1)


def _remove_damaged(path: Path) -> None:
    """Remove a frontier file that SQLite cannot read, with its log files."""
    try:
        with contextlib.closing(Frontier(path)) as frontier:
            is_sound = frontier.database.is_sound()
    except (RunError, sqlite3.DatabaseError):
        is_sound = False
    if not is_sound:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def find_last_run(frontier: Frontier, out: Path) -> FinishedRun | None:
    """Find the run that this crawl sealed last; None if there is none, or it was removed."""
    name = frontier.database.get_metadata("last")
    if not name or not (out / name / MANIFEST).is_file():
        return None
    return open_run(out / name, step="crawl")
