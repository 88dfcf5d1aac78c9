"""The frontier of a crawl, in one SQLite file: what to ask next, what became of it, and captures not yet in a WARC.

A request stays queued until its captures, the requests found in it, its counts and its done-mark are committed in ONE
transaction, so a process that is killed loses nothing: what was in flight is asked again, what was committed is not.
Every clock here is the wall clock in seconds, since a crawl outlives its process.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crawlers.outcome import Ask, Interval, Outcome, Validators
from gristmill.errors import RunError
from gristmill.runs.ledger import Entry
from gristmill.runs.storage import make_folder

FORMAT = "gristmill.frontier/1"
State = Literal[1, 2, 3]
QUEUED = 0
WAITING: State = 1
DONE: State = 2
FAILED: State = 3
"""A request that ended: to be repeated soon, done, given up; each may be due again."""
CACHE_KIB = 64 << 10
SCHEMA = """
CREATE TABLE IF NOT EXISTS fact(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS request(
  id INTEGER PRIMARY KEY, fingerprint BLOB NOT NULL UNIQUE, source TEXT NOT NULL, host TEXT NOT NULL, url TEXT NOT NULL,
  reader TEXT NOT NULL, format TEXT NOT NULL, facts TEXT NOT NULL, priority INTEGER NOT NULL, document INTEGER NOT NULL,
  again TEXT NOT NULL,
  state INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, due REAL,
  etag TEXT, modified TEXT, payload TEXT, captured TEXT);
CREATE INDEX IF NOT EXISTS queue ON request(source, host, priority DESC, id) WHERE state = 0;
CREATE INDEX IF NOT EXISTS coming ON request(due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS waiting ON request(source, due) WHERE state = 1;
CREATE TABLE IF NOT EXISTS outbox(id INTEGER PRIMARY KEY, records BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS file(name TEXT PRIMARY KEY, bytes INTEGER, captures INTEGER, sha256 TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally(source TEXT, lang TEXT, fate TEXT, reason TEXT, documents INTEGER, bytes INTEGER,
  PRIMARY KEY(source, lang, fate, reason)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS licence(source TEXT, licence TEXT, documents INTEGER, PRIMARY KEY(source, licence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fetched(source TEXT PRIMARY KEY, captures INTEGER, asked INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent(host TEXT PRIMARY KEY, pages INTEGER, bytes INTEGER, since REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failure(id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shut(place TEXT PRIMARY KEY, why TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host(name TEXT PRIMARY KEY, ready REAL NOT NULL DEFAULT 0, strikes INTEGER NOT NULL DEFAULT 0)
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS site(place TEXT PRIMARY KEY, read REAL NOT NULL, said TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS takedown(url TEXT PRIMARY KEY, reason TEXT NOT NULL, date TEXT NOT NULL) WITHOUT ROWID;
"""
PER_CALL = ("file", "tally", "licence", "fetched", "spent", "failure", "shut")
"""Tables of what a call brought: emptied when its run is sealed."""
INSERT = (
    "INSERT OR IGNORE INTO request(fingerprint, source, host, url, reader, format, facts, priority, document, again, state, due)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
)
COLUMNS = "id, source, host, url, reader, format, facts, document, again, attempts, etag, modified, payload, captured"


@dataclass(frozen=True, slots=True)
class Row:
    """A queued request."""

    id: int
    source: str
    host: str
    url: str
    reader: str
    format: str
    facts: Mapping[str, Any]
    document: bool
    again: Interval
    attempts: int
    before: Validators


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended: `state`, when it is due again (None: never), and by what to ask then."""

    state: State
    due: float | None = None
    validators: Validators | None = None


class Frontier:
    """One open frontier; a process has one, and the run's lock keeps others out."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; raises RunError where it is damaged or of another format."""
        make_folder(path.parent)
        self.path = path
        try:
            self.db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        except sqlite3.Error as error:
            raise unreadable(path, error) from None
        try:
            self._prepare()
        except BaseException as error:
            self.db.close()
            if isinstance(error, sqlite3.DatabaseError):
                raise (_disk_full(path, error) or unreadable(path, error)) from None
            raise

    def _prepare(self) -> None:
        # NORMAL: a killed process loses nothing, a power cut at most the last commits, never the order of things.
        for pragma in (
            "journal_mode=wal",
            "synchronous=normal",
            f"cache_size=-{CACHE_KIB}",
            "temp_store=memory",
        ):
            self.db.execute(f"PRAGMA {pragma}")
        with self.transaction():
            for statement in SCHEMA.split(";"):
                self.db.execute(statement)
            self.db.execute(
                "INSERT OR IGNORE INTO fact VALUES ('format', ?), ('sequence', 1)", [FORMAT]
            )
            if (found := self.fact("format")) != FORMAT:
                raise sqlite3.DatabaseError(f"its format is {found}, this is {FORMAT}")

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is written, or nothing is; inside another one it is part of that."""
        if self.db.in_transaction:
            yield
            return
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield
            self.db.execute("COMMIT")
        except BaseException as error:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise (_disk_full(self.path, error) or error) from None

    @contextlib.contextmanager
    def durably(self) -> Iterator[None]:
        """What is written inside is on disk afterwards, power cut or not: for notes of what happens to files."""
        self.db.execute("PRAGMA synchronous=full")
        try:
            with self.transaction():
                yield
        finally:
            self.db.execute("PRAGMA synchronous=normal")

    # What to ask next

    def add(
        self, source: str, asks: Iterable[Ask], limit: int | None = None, later: float | None = None
    ) -> int:
        """Queue what was never asked before, documents up to the source's budget; returns how many were queued.

        Those to be asked `later` are due then, at a time of the wall clock; None: never.
        """
        with self.transaction():
            return self._add(source, asks, limit, later)

    def _add(self, source: str, asks: Iterable[Ask], limit: int | None, later: float | None) -> int:
        queued = documents = 0
        room = None if limit is None else limit - self.asked(source)
        for ask in asks:
            if ask.document and room is not None and documents >= room:
                continue
            try:
                values = _values(source, ask, later)
            except (
                ValueError
            ):  # no address: a port of eight digits, a lone surrogate; nobody could ask for it
                continue
            new = self.db.execute(INSERT, values).rowcount
            queued += 0 if ask.later else new
            documents += new if ask.document else 0
        if documents:
            self._count_source(source, asked=documents)
        return queued

    def asked(self, source: str) -> int:
        """Documents of a source that were queued in this call: what its budget counts."""
        found = self.db.execute("SELECT asked FROM fetched WHERE source = ?", [source]).fetchone()
        return int(found[0]) if found else 0

    def find(self, fingerprint: bytes) -> tuple[int, dict[str, Any]] | None:
        """The state and the facts of a request; None where there is none."""
        found = self.db.execute(
            "SELECT state, facts FROM request WHERE fingerprint = ?", [fingerprint]
        ).fetchone()
        return None if found is None else (int(found[0]), json.loads(found[1]))

    def take(self, source: str, host: str, count: int, without: Sequence[int] = ()) -> list[Row]:
        """The next `count` queued requests of a host, those `without` left out: they are in flight."""
        rows = self.db.execute(
            f"SELECT {COLUMNS} FROM request WHERE state = 0 AND source = ? AND host = ? ORDER BY priority DESC, id LIMIT ?",
            [source, host, count + len(without)],
        )
        taken = set(without)
        return [_row(row) for row in rows if row[0] not in taken][:count]

    def hosts(self, source: str) -> list[str]:
        """The hosts of a source that have anything queued, in order; found by jumps in the index, not by reading it."""
        found: list[str] = []
        name = ""
        while row := self.db.execute(
            "SELECT host FROM request WHERE state = 0 AND source = ? AND host > ? ORDER BY host LIMIT 1",
            [source, name],
        ).fetchone():
            name = row[0]
            found.append(name)
        return found

    def wake(self, now: float, *, waiting: bool = False, source: str | None = None) -> int:
        """Queue again what is due: requests that wait to be repeated, and without `waiting` pages to be looked at again too."""
        which, of = (
            "AND state = 1" if waiting else "",
            "" if source is None else "AND source = :source",
        )
        with self.transaction():
            return self.db.execute(
                "UPDATE request SET attempts = CASE state WHEN 1 THEN attempts ELSE 0 END, state = 0, due = NULL"
                f" WHERE due <= :now {which} {of}",
                {"now": now, "source": source},
            ).rowcount

    def next_due(self, *, waiting: bool, source: str | None = None) -> float | None:
        """When the next request is due: of those that wait to be repeated, or of all."""
        which, of = (
            "AND state = 1" if waiting else "",
            "" if source is None else "AND source = :source",
        )
        found = self.db.execute(
            f"SELECT due FROM request WHERE due IS NOT NULL {which} {of} ORDER BY due LIMIT 1",
            {"source": source},
        ).fetchone()
        return None if found is None else float(found[0])

    def queued(self, source: str | None = None) -> int:
        """How many requests are queued or wait to be repeated."""
        of = "" if source is None else "AND source = :source"
        return int(
            self.db.execute(
                f"SELECT count(*) FROM request WHERE state < 2 {of}", {"source": source}
            ).fetchone()[0]
        )

    def askable(self, now: float, patience: float) -> bool:
        """Whether anything can be asked within so many seconds: queued, or due, at a host that is not left alone for longer."""
        soon = {"now": now, "soon": now + patience}
        queued = "state = 0 OR (state = 1 AND due <= :soon) OR due <= :now"
        held = "SELECT name FROM host WHERE ready > :soon"
        found = self.db.execute(
            f"SELECT 1 FROM request WHERE ({queued}) AND host NOT IN ({held}) LIMIT 1", soon
        )
        return found.fetchone() is not None

    def unsealed(self) -> bool:
        """Whether something was brought that no run holds yet."""
        tables = ("tally", "outbox", "file")
        return any(self.db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)

    def known(self) -> int:
        """How many requests there are in all, of any state: the highest number given."""
        return int(self.db.execute("SELECT coalesce(max(id), 0) FROM request").fetchone()[0])

    def queued_hosts(self) -> list[tuple[str, int]]:
        """(host, requests queued or waiting), in order."""
        return list(
            self.db.execute(
                "SELECT host, count(*) FROM request WHERE state < 2 GROUP BY host ORDER BY host"
            )
        )

    # What became of it

    def commit(
        self,
        row: Row,
        outcome: Outcome,
        ended: Ended,
        *,
        lang: str = "",
        limit: int | None = None,
        later: float | None = None,
    ) -> int:
        """Write all that a request came to, in one transaction; returns how many requests it queued."""
        with self.transaction():
            queued = self._add(row.source, outcome.asks, limit, later)
            self._write(row.source, outcome, lang)
            self._spend(row.host, outcome)
            kept = ended.validators or row.before
            self.db.execute(
                "UPDATE request SET state=?, due=?, attempts=attempts+1, etag=?, modified=?, payload=?, captured=? WHERE id=?",
                [
                    ended.state,
                    ended.due,
                    kept.etag,
                    kept.modified,
                    kept.payload,
                    kept.captured,
                    row.id,
                ],
            )
        return queued

    def note(self, source: str, outcome: Outcome, *, lang: str = "") -> None:
        """Write what no queued request came to: captures of robots.txt, places that are shut."""
        with self.transaction():
            self._write(source, outcome, lang)

    def _write(self, source: str, outcome: Outcome, lang: str) -> None:
        db = self.db
        db.executemany(
            "INSERT INTO outbox(records) VALUES (?)", [(data,) for data in outcome.captures]
        )
        if outcome.captures:
            self._count_source(source, captures=len(outcome.captures))
        for one in outcome.found:
            db.execute(
                "INSERT INTO tally VALUES (?,?,?,?,1,?) ON CONFLICT DO UPDATE SET documents=documents+1, bytes=bytes+excluded.bytes",
                [source, lang, one.fate, one.reason, one.size],
            )
            if one.licence:
                db.execute(
                    "INSERT INTO licence VALUES (?,?,1) ON CONFLICT DO UPDATE SET documents=documents+1",
                    [source, one.licence],
                )
            if one.where:
                db.execute(
                    "INSERT INTO failure(text) VALUES (?)", [storable(f"{one.reason}  {one.where}")]
                )
        shut = [(storable(one.place), storable(one.why)) for one in outcome.shut]
        db.executemany("INSERT OR REPLACE INTO shut VALUES (?,?)", shut)

    def _spend(self, host: str, outcome: Outcome) -> None:
        self.db.execute(
            "INSERT INTO spent VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET pages=pages+excluded.pages, bytes=bytes+excluded.bytes",
            [host, len(outcome.captures), sum(map(len, outcome.captures)), time.time()],
        )

    def spent(self) -> dict[str, tuple[int, int, float]]:
        """Host -> answers of it in this call, their bytes as stored, and when the first came."""
        return {
            name: (pages, size, since)
            for name, pages, size, since in self.db.execute("SELECT * FROM spent")
        }

    def _count_source(self, source: str, *, captures: int = 0, asked: int = 0) -> None:
        self.db.execute(
            "INSERT INTO fetched VALUES (?,?,?) ON CONFLICT DO UPDATE SET captures=captures+excluded.captures, asked=asked+excluded.asked",
            [source, captures, asked],
        )

    # Hosts

    def hold(self, host: str, until: float, strikes: int = 0) -> None:
        """Leave a host alone until then; `strikes` is how often in a row it said it had too much."""
        with self.transaction():
            self.db.execute(
                "INSERT INTO host VALUES (?,?,?) ON CONFLICT DO UPDATE SET ready=max(ready, excluded.ready), strikes=excluded.strikes",
                [host, until, strikes],
            )

    def held(self) -> dict[str, tuple[float, int]]:
        """Host -> until when it is left alone, and its strikes."""
        return {
            name: (ready, strikes)
            for name, ready, strikes in self.db.execute("SELECT name, ready, strikes FROM host")
        }

    def remember_site(
        self, place: str, read: float, said: str, outcome: Outcome, source: str
    ) -> None:
        """Keep what a place says of itself (robots.txt and the like), with the captures it was read from."""
        with self.transaction():
            self.db.execute("INSERT OR REPLACE INTO site VALUES (?,?,?)", [place, read, said])
            self._write(source, outcome, "")

    def site(self, place: str) -> tuple[float, str] | None:
        """When a place was read, and what it said; None where it was not."""
        found = self.db.execute("SELECT read, said FROM site WHERE place = ?", [place]).fetchone()
        return None if found is None else (float(found[0]), str(found[1]))

    # Takedowns

    def take_down(self, url: str, reason: str, now: float) -> None:
        """Note that a page which may have been stored before is gone, or refuses now. Inside a transaction or alone."""
        date = time.strftime("%Y-%m-%d", time.gmtime(now))
        with self.transaction():
            self.db.execute(
                "INSERT OR IGNORE INTO takedown VALUES (?,?,?)", [storable(url), reason, date]
            )

    def put_back(self, url: str) -> None:
        """Take an address off the list: it is there again, and nothing refuses."""
        with self.transaction():
            self.db.execute("DELETE FROM takedown WHERE url = ?", [storable(url)])

    def takedowns(self) -> list[tuple[str, str, str]]:
        """(url, reason, date) of all, in order."""
        return list(self.db.execute("SELECT url, reason, date FROM takedown ORDER BY url"))

    # What a call brought

    def entries(self) -> list[Entry]:
        """The ledger of this call."""
        return sorted(
            Entry(*row)
            for row in self.db.execute(
                "SELECT source, lang, fate, reason, documents, bytes FROM tally"
            )
        )

    def documents(self) -> Counter[str]:
        """Source -> documents met in this call."""
        return Counter(
            dict(self.db.execute("SELECT source, sum(documents) FROM tally GROUP BY source"))
        )

    def table(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a query, for the summary of a call."""
        return list(self.db.execute(statement))

    def fact(self, name: str) -> Any:
        """A fact of the crawl: its format, the number of the call."""
        found = self.db.execute("SELECT value FROM fact WHERE name = ?", [name]).fetchone()
        return None if found is None else found[0]

    def set_fact(self, name: str, value: Any) -> None:
        """Set one."""
        with self.transaction():
            self.db.execute("INSERT OR REPLACE INTO fact VALUES (?,?)", [name, value])

    def start_anew(self) -> None:
        """Forget all requests and what this call brought; the number of the call stays, for runs that are sealed are numbered."""
        with self.transaction():
            for table in (*PER_CALL, "request", "outbox", "host", "site"):
                self.db.execute(f"DELETE FROM {table}")
            self.db.execute("DELETE FROM fact WHERE name IN ('last', 'sealing')")

    def sealed(self, run: str) -> None:
        """The run of this call is sealed: forget what it brought, count the next call."""
        with self.transaction():
            for table in PER_CALL:
                self.db.execute(f"DELETE FROM {table}")
            self.db.execute("DELETE FROM fact WHERE name = 'sealing'")
            self.set_fact("last", run)
            self.db.execute("UPDATE fact SET value = value + 1 WHERE name = 'sequence'")


def unreadable(path: Path, error: sqlite3.Error) -> RunError:
    """The error that says of a frontier's file what is wrong with it, and what to do."""
    fix = "copy it back from where it is whole, or start anew with --fresh"
    return RunError(
        "the frontier of this crawl cannot be read", {"file": path, "problem": error}, fix
    )


def _disk_full(path: Path, error: BaseException) -> OSError | None:
    name = getattr(error, "sqlite_errorname", "")
    full = name.startswith(("SQLITE_FULL", "SQLITE_IOERR")) and not name.endswith("READ")
    return OSError(errno.ENOSPC, "the disk takes nothing more", str(path)) if full else None


def storable(text: str) -> str:
    """A text from the web as SQLite takes it: JSON may bring lone surrogates, which no UTF-8 has."""
    return text.encode("utf-8", "replace").decode()


def _row(found: Sequence[Any]) -> Row:
    id, source, host, url, reader, format, facts, document, again, attempts, *before = found
    return Row(
        id,
        source,
        host,
        url,
        reader,
        format,
        json.loads(facts),
        bool(document),
        again,
        attempts,
        Validators(*before),
    )


def _values(source: str, ask: Ask, later: float | None) -> tuple[Any, ...]:
    facts = json.dumps(dict(ask.facts), separators=(",", ":"))
    ask.url.encode()  # raises where SQLite could not take it
    state, due = (DONE, None if ask.again == "never" else later) if ask.later else (QUEUED, None)
    kept = (
        ask.url,
        ask.reader,
        ask.format,
        facts,
        ask.priority,
        ask.document,
        ask.again,
        state,
        due,
    )
    return (ask.fingerprint(source), source, ask.host, *kept)
