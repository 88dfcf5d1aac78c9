"""The request queue of a frontier: what to fetch next, and when each request is due again.

Every request that was ever queued stays in its table, with the state it is in: its fingerprint keeps
it from being queued twice, and its validators make the next visit a conditional request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crawlers.frontier.database import FrontierDatabase, Row
from crawlers.frontier.schema import DONE, QUEUED, FetchState
from crawlers.rights import RightsSignal
from crawlers.spider_output import (
    ENTRY_POINT,
    RIGHTS_SIGNALS,
    CrawlRequest,
    Facts,
    RecrawlInterval,
    Validators,
)

INSERT = (
    "INSERT OR IGNORE INTO request(fingerprint, source, host, url, reader, format, facts,"
    " priority, document, again, state, due) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
)
COLUMNS = (
    "id, source, host, url, reader, format, facts, document, again, attempts,"
    " etag, modified, payload, captured"
)


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request as the queue holds it; `before` describes its earlier answer, if there was one."""

    id: int
    source: str
    host: str
    url: str
    reader: str
    format: str
    facts: Facts
    is_document: bool
    recrawl_interval: RecrawlInterval
    attempts: int
    before: Validators

    @property
    def entry_point(self) -> str | None:
        """Which entry of its source this is ("robots.txt", "API"); None for other requests.

        If it cannot be fetched, nothing behind it is.
        """
        name = self.facts.get(ENTRY_POINT)
        return None if name is None else str(name)

    @property
    def rights_signals(self) -> tuple[RightsSignal, ...]:
        """What was said about the use of the answer before it was requested."""
        pairs = self.facts.get(RIGHTS_SIGNALS)
        if not isinstance(pairs, list):
            return ()
        return tuple(RightsSignal(*map(str, pair)) for pair in pairs if isinstance(pair, list))


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """How a request ended, when it is fetched again (None: never), and with which validators then."""

    state: FetchState
    next_fetch_at: float | None = None
    validators: Validators | None = None


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """State and facts of a request that was queued once."""

    state: int
    facts: Facts


class RequestQueue:
    """Requests by source and host, in the order of their priority and then of their arrival."""

    def __init__(self, database: FrontierDatabase) -> None:
        self._database = database

    def add(
        self,
        source: str,
        requests: Iterable[CrawlRequest],
        limit: int | None = None,
        defer_until: float | None = None,
    ) -> int:
        """Queue requests that are new, documents up to the source's `limit`; returns how many.

        Deferred requests are due at `defer_until` (seconds of the wall clock; None: never).
        """
        with self._database.transaction():
            return self._add(source, requests, limit, defer_until)

    def _add(
        self,
        source: str,
        requests: Iterable[CrawlRequest],
        limit: int | None,
        defer_until: float | None,
    ) -> int:
        queued = documents = 0
        budget = None if limit is None else limit - self.count_documents(source)
        for request in requests:
            if request.is_document and budget is not None and documents >= budget:
                continue
            try:
                values = _encode_request(source, request, defer_until)
            except ValueError:
                # Not an address (a port of eight digits, a lone surrogate): nobody can fetch it.
                continue
            is_new = self._database.execute(INSERT, values).rowcount
            if not request.is_deferred:
                queued += is_new
            if request.is_document:
                documents += is_new
        if documents:
            self._database.execute(
                "INSERT INTO fetched VALUES (?,0,?)"
                " ON CONFLICT DO UPDATE SET asked=asked+excluded.asked",
                [source, documents],
            )
        return queued

    def count_documents(self, source: str) -> int:
        """Count the documents of a source queued in this session: what its budget limits."""
        row = self._database.fetch_one("SELECT asked FROM fetched WHERE source = ?", [source])
        return 0 if row is None else int(row[0])

    def find(self, fingerprint: bytes) -> StoredRequest | None:
        """Look up a request of any state; None if it was never queued."""
        row = self._database.fetch_one(
            "SELECT state, facts FROM request WHERE fingerprint = ?", [fingerprint]
        )
        return None if row is None else StoredRequest(int(row[0]), json.loads(row[1]))

    def next_batch(
        self, source: str, host: str, count: int, in_flight: Sequence[int] = ()
    ) -> list[QueuedRequest]:
        """Return the next `count` queued requests of a host, without those in flight (by id)."""
        rows = self._database.execute(
            f"SELECT {COLUMNS} FROM request WHERE state = 0 AND source = ? AND host = ?"
            " ORDER BY priority DESC, id LIMIT ?",
            [source, host, count + len(in_flight)],
        )
        excluded = set(in_flight)
        waiting = [_decode_request(row) for row in rows if row[0] not in excluded]
        return waiting[:count]

    def list_hosts(self, source: str) -> list[str]:
        """Return the hosts of a source that have anything queued, sorted."""
        hosts: list[str] = []
        last = ""
        # One jump in the index a host. `SELECT DISTINCT` would read every queued request.
        while row := self._database.fetch_one(
            "SELECT host FROM request WHERE state = 0 AND source = ? AND host > ?"
            " ORDER BY host LIMIT 1",
            [source, last],
        ):
            last = row[0]
            hosts.append(last)
        return hosts

    def requeue_due(
        self, now: float, *, only_retries: bool = False, source: str | None = None
    ) -> int:
        """Queue again what is due at `now`: retries, and unless `only_retries` recrawls too.

        A retry goes on counting its attempts; a recrawl begins at none. Returns how many.
        """
        with self._database.transaction():
            return self._database.execute(
                "UPDATE request SET attempts = CASE state WHEN 1 THEN attempts ELSE 0 END,"
                " state = 0, due = NULL"
                f" WHERE due <= :now {_due_conditions(only_retries, source)}",
                {"now": now, "source": source},
            ).rowcount

    def next_fetch_at(self, *, only_retries: bool, source: str | None = None) -> float | None:
        """When the next request is due; None if none is."""
        row = self._database.fetch_one(
            "SELECT due FROM request WHERE due IS NOT NULL"
            f" {_due_conditions(only_retries, source)} ORDER BY due LIMIT 1",
            {"source": source},
        )
        return None if row is None else float(row[0])

    def count_queued(self) -> int:
        """Count the requests that are queued or wait for a retry."""
        ((count,),) = self._database.fetch_all("SELECT count(*) FROM request WHERE state < 2")
        return int(count)

    def count_by_host(self) -> list[tuple[str, int]]:
        """Return (host, requests queued or waiting for a retry), sorted."""
        return [
            (host, count)
            for host, count in self._database.execute(
                "SELECT host, count(*) FROM request WHERE state < 2 GROUP BY host ORDER BY host"
            )
        ]

    def has_ready(self, now: float, patience: float) -> bool:
        """Whether anything can be fetched within `patience` seconds.

        Queued or due requests count, unless their host is left alone for longer than that.
        """
        candidates = "state = 0 OR (state = 1 AND due <= :soon) OR due <= :now"
        paused_hosts = "SELECT name FROM host WHERE ready > :soon"
        row = self._database.fetch_one(
            f"SELECT 1 FROM request WHERE ({candidates}) AND host NOT IN ({paused_hosts}) LIMIT 1",
            {"now": now, "soon": now + patience},
        )
        return row is not None

    def count_known(self) -> int:
        """Count the requests of any state: the highest id given out."""
        ((last_id,),) = self._database.fetch_all("SELECT coalesce(max(id), 0) FROM request")
        return int(last_id)

    def set_status(self, request: QueuedRequest, status: RequestStatus) -> None:
        """Store how a request ended. It keeps its validators where the status has none."""
        validators = status.validators or request.before
        self._database.execute(
            "UPDATE request SET state=?, due=?, attempts=attempts+1,"
            " etag=?, modified=?, payload=?, captured=? WHERE id=?",
            [
                status.state,
                status.next_fetch_at,
                validators.etag,
                validators.modified,
                validators.payload,
                validators.captured,
                request.id,
            ],
        )


def _due_conditions(only_retries: bool, source: str | None) -> str:
    retries = "AND state = 1" if only_retries else ""
    source_condition = "" if source is None else "AND source = :source"
    return f"{retries} {source_condition}"


def _decode_request(row: Row) -> QueuedRequest:
    (id, source, host, url, reader, format, facts, is_document, interval, attempts) = row[:10]
    return QueuedRequest(
        id=id,
        source=source,
        host=host,
        url=url,
        reader=reader,
        format=format,
        facts=json.loads(facts),
        is_document=bool(is_document),
        recrawl_interval=interval,
        attempts=attempts,
        before=Validators(*row[10:]),
    )


def _encode_request(
    source: str, request: CrawlRequest, defer_until: float | None
) -> tuple[object, ...]:
    """The values of an INSERT; raises ValueError for a URL that has no host or is not UTF-8."""
    request.url.encode()  # raises where SQLite could not store it
    state: int = QUEUED
    next_fetch_at = None
    if request.is_deferred:
        state = DONE
        if request.recrawl_interval != "never":
            next_fetch_at = defer_until
    return (
        request.fingerprint(source),
        source,
        request.host,
        request.url,
        request.reader,
        request.format,
        _encode_facts(request.facts),
        request.priority,
        request.is_document,
        request.recrawl_interval,
        state,
        next_fetch_at,
    )


def _encode_facts(facts: Mapping[str, object]) -> str:
    """Encode the facts of a request as they are stored."""
    return json.dumps(dict(facts), separators=(",", ":"))
