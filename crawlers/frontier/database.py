"""One open frontier file: connection, transactions, the metadata of the crawl.

Goes in: the path of an SQLite file, which is made if there is none. Comes out: a `FrontierDatabase`
that the queue, the hosts, the results and the outbox share.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crawlers.frontier.schema import FORMAT, SCHEMA
from gristmill.errors import RunError
from gristmill.runs.storage import make_folder

CACHE_KIB = 64 << 10
PRAGMAS = (
    "journal_mode=wal",
    # A killed process loses nothing. A power cut costs at most the last commits, never their order.
    "synchronous=normal",
    f"cache_size=-{CACHE_KIB}",  # negative: KiB instead of pages
    "temp_store=memory",
)
Row = tuple[Any, ...]
"""One row as SQLite returns it."""
Parameters = Sequence[Any] | Mapping[str, Any]


class FrontierDatabase:
    """The SQLite file of one crawl; a process opens one, and the lock of the folder keeps others out."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; raises RunError if it is damaged or of another format."""
        make_folder(path.parent)
        self.path = path
        try:
            # isolation_level=None: transactions begin and end where `transaction` says.
            self.connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        except sqlite3.Error as error:
            raise unreadable(path, error) from None
        try:
            self._prepare()
        except BaseException as error:
            self.connection.close()
            if isinstance(error, sqlite3.DatabaseError):
                raise (_disk_full(path, error) or unreadable(path, error)) from None
            raise

    def _prepare(self) -> None:
        for pragma in PRAGMAS:
            self.connection.execute(f"PRAGMA {pragma}")
        with self.transaction():
            for statement in SCHEMA.split(";"):
                self.connection.execute(statement)
            self.connection.execute(
                "INSERT OR IGNORE INTO fact VALUES ('format', ?), ('sequence', 1)", [FORMAT]
            )
            stored_format = self.get_metadata("format")
            if stored_format != FORMAT:
                raise sqlite3.DatabaseError(f"its format is {stored_format}, this is {FORMAT}")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Write everything inside, or nothing; inside another transaction it is part of that one.

        Raises OSError (ENOSPC) if the disk is full.
        """
        if self.connection.in_transaction:
            yield
            return
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            self.connection.execute("COMMIT")
        except BaseException as error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise (_disk_full(self.path, error) or error) from None

    @contextlib.contextmanager
    def durable_transaction(self) -> Iterator[None]:
        """Like `transaction`, and on disk afterwards even if the power fails.

        For notes about files: a renamed WARC file is on disk for good, so its note must be too.
        """
        self.connection.execute("PRAGMA synchronous=full")
        try:
            with self.transaction():
                yield
        finally:
            self.connection.execute("PRAGMA synchronous=normal")

    def execute(self, statement: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(statement, parameters)

    def fetch_one(self, statement: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row of a query, or None."""
        row: Row | None = self.connection.execute(statement, parameters).fetchone()
        return row

    def fetch_all(self, statement: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of a query."""
        return list(self.connection.execute(statement, parameters))

    def is_sound(self) -> bool:
        """Whether SQLite's own check of the file reports nothing."""
        return self.fetch_all("PRAGMA quick_check(1)") == [("ok",)]

    def get_metadata(self, name: str) -> Any:
        """Return one value about the crawl (`format`, `sequence`, `last`, ...), or None."""
        row = self.fetch_one("SELECT value FROM fact WHERE name = ?", [name])
        return None if row is None else row[0]

    def set_metadata(self, name: str, value: str | int) -> None:
        """Store one value about the crawl."""
        with self.transaction():
            self.execute("INSERT OR REPLACE INTO fact VALUES (?,?)", [name, value])


def unreadable(path: Path, error: sqlite3.Error) -> RunError:
    """Describe a frontier file that cannot be read: what is wrong with it, and what to do."""
    return RunError(
        "the frontier of this crawl cannot be read",
        {"file": path, "problem": error},
        "copy it back from where it is whole, or start anew with --fresh",
    )


def _disk_full(path: Path, error: BaseException) -> OSError | None:
    """The OSError for SQLite's ways to say that a write failed; None for other errors."""
    name = getattr(error, "sqlite_errorname", "")
    is_write_failure = name.startswith(("SQLITE_FULL", "SQLITE_IOERR"))
    if not is_write_failure or name.endswith("READ"):
        return None
    return OSError(errno.ENOSPC, "the disk takes nothing more", str(path))


def storable(text: str) -> str:
    """Replace lone surrogates, which JSON from the web may bring: SQLite stores only valid UTF-8."""
    return text.encode("utf-8", "replace").decode()
