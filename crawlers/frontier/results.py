"""What a crawl session brought so far: outcome counts, licences, failures, and the takedown list.

Every table but the takedowns is emptied when the session's run is sealed (`schema.SESSION_TABLES`).
"""

from __future__ import annotations

import time
from collections import Counter

from crawlers.frontier.database import FrontierDatabase, storable
from crawlers.spider_output import DocumentResult, FetchResult
from gristmill.runs.ledger import Entry


class ResultStore:
    """Counts of documents and captures by source, and lists for people."""

    def __init__(self, database: FrontierDatabase) -> None:
        self._database = database

    def add(self, source: str, result: FetchResult, lang: str = "") -> None:
        """Store captures and results, inside a transaction of the caller."""
        database = self._database
        database.connection.executemany(
            "INSERT INTO outbox(records) VALUES (?)", [(capture,) for capture in result.captures]
        )
        if result.captures:
            database.execute(
                "INSERT INTO fetched VALUES (?,?,0)"
                " ON CONFLICT DO UPDATE SET captures=captures+excluded.captures",
                [source, len(result.captures)],
            )
        for document in result.documents:
            self._add_document(source, lang, document)
        for unreachable in result.unreachable:
            database.execute(
                "INSERT OR REPLACE INTO shut VALUES (?,?)",
                [storable(unreachable.origin), storable(unreachable.reason)],
            )

    def _add_document(self, source: str, lang: str, document: DocumentResult) -> None:
        self._database.execute(
            "INSERT INTO tally VALUES (?,?,?,?,1,?) ON CONFLICT DO UPDATE"
            " SET documents=documents+1, bytes=bytes+excluded.bytes",
            [source, lang, document.outcome, document.reason, document.size],
        )
        if document.licence:
            self._database.execute(
                "INSERT INTO licence VALUES (?,?,1)"
                " ON CONFLICT DO UPDATE SET documents=documents+1",
                [source, document.licence],
            )
        if document.details:
            failure = storable(f"{document.reason}  {document.details}")
            self._database.execute("INSERT INTO failure(text) VALUES (?)", [failure])

    def read_entries(self) -> list[Entry]:
        """Return the ledger of this session, sorted."""
        rows = self._database.execute(
            "SELECT source, lang, fate, reason, documents, bytes FROM tally"
        )
        return sorted(Entry(*row) for row in rows)

    def count_documents(self) -> Counter[str]:
        """Count the documents met in this session, by source."""
        rows = self._database.execute("SELECT source, sum(documents) FROM tally GROUP BY source")
        return Counter(dict(rows.fetchall()))

    def count_captures(self) -> dict[str, int]:
        """Count the captures of this session by source; sources without any are left out."""
        return dict(
            self._database.fetch_all(
                "SELECT source, captures FROM fetched WHERE captures > 0 ORDER BY 1"
            )
        )

    def count_licences(self) -> dict[str, dict[str, int]]:
        """Count stored documents by source and licence."""
        licences: dict[str, dict[str, int]] = {}
        rows = self._database.execute(
            "SELECT source, licence, documents FROM licence ORDER BY 1, 2"
        )
        for source, licence, count in rows:
            licences.setdefault(source, {})[licence] = count
        return licences

    def list_failures(self, limit: int = -1) -> list[str]:
        """Return failures in the order in which they happened; SQLite reads -1 as no limit."""
        rows = self._database.execute("SELECT text FROM failure ORDER BY id LIMIT ?", [limit])
        return [text for (text,) in rows]

    def list_unreachable(self) -> list[tuple[str, str]]:
        """Return (origin, reason) of origins that could not be reached, sorted."""
        rows = self._database.execute("SELECT place, why FROM shut ORDER BY place")
        return [(origin, reason) for origin, reason in rows]

    def has_unsealed(self) -> bool:
        """Whether something was brought that no run holds yet."""
        return any(
            self._database.fetch_one(f"SELECT 1 FROM {table} LIMIT 1")
            for table in ("tally", "outbox", "file")
        )

    def add_takedown(self, url: str, reason: str, now: float) -> None:
        """Note that a page which may have been stored before is gone, or refuses its use now."""
        date = time.strftime("%Y-%m-%d", time.gmtime(now))
        with self._database.transaction():
            self._database.execute(
                "INSERT OR IGNORE INTO takedown VALUES (?,?,?)", [storable(url), reason, date]
            )

    def remove_takedown(self, url: str) -> None:
        """Take an address off the list: the page is back, and nothing refuses its use."""
        with self._database.transaction():
            self._database.execute("DELETE FROM takedown WHERE url = ?", [storable(url)])

    def list_takedowns(self) -> list[tuple[str, str, str]]:
        """Return (url, reason, date) of all takedowns, sorted by address."""
        rows = self._database.execute("SELECT url, reason, date FROM takedown ORDER BY url")
        return [(url, reason, date) for url, reason, date in rows]
