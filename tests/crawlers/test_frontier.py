"""The frontier: one transaction a request, whatever breaks; a queue whose order, hosts and moments cost the same at any size."""

import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import processes
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from scrapy import Request

from crawlers.config import CrawlConfig
from crawlers.frontier.hosts import BackOff, StoredSite
from crawlers.frontier.queue import QueuedRequest, RequestStatus
from crawlers.frontier.schema import DONE, FAILED, WAITING, FetchState
from crawlers.frontier.store import Frontier
from crawlers.spider_output import (
    CrawlRequest,
    DocumentResult,
    FetchResult,
    Unreachable,
    Validators,
)
from crawlers.state import open_frontier
from gristmill.errors import RunError
from gristmill.runs.ledger import Entry


@pytest.fixture
def frontier(tmp_path) -> Frontier:
    return Frontier(tmp_path / "frontier.sqlite")


def page(path: str, **more: object) -> CrawlRequest:
    """A page to be asked for."""
    return CrawlRequest(f"https://n.example/{path}", "parse", **more)  # type: ignore[arg-type]


def urls(rows: list[QueuedRequest]) -> list[str]:
    return [row.url.removeprefix("https://n.example/") for row in rows]


def queue(frontier: Frontier, host: str = "n.example", source: str = "n") -> list[str]:
    """What is queued of a host, in its order."""
    return urls(frontier.queue.next_batch(source, host, 1000))


def commit(
    frontier: Frontier,
    row: QueuedRequest,
    result: FetchResult,
    status: RequestStatus,
    **more: object,
) -> int:
    return frontier.commit(row, result, status, now=7.0, **more)  # type: ignore[arg-type]


def take_one(frontier: Frontier) -> QueuedRequest:
    (row,) = frontier.queue.next_batch("n", "n.example", 1)
    return row


def content(frontier: Frontier) -> dict[str, list[tuple]]:
    """All that is in the file."""
    names = [
        name
        for (name,) in frontier.database.fetch_all(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"
        )
    ]
    return {name: frontier.database.fetch_all(f"SELECT * FROM {name} ORDER BY 1") for name in names}


FULL = FetchResult(
    captures=[b"one", b"three"],
    requests=[page("b", is_document=True), page("c")],
    documents=[
        DocumentResult("kept", "", 10, "CC0-1.0"),
        DocumentResult("quarantined", "http_404", details="https://n.example/x"),
    ],
    unreachable=[Unreachable("m.example", "down")],
)

# What to ask next


def test_the_highest_priority_comes_first_and_among_equals_what_came_first(frontier):
    frontier.queue.add(
        "n",
        [page("a"), page("b", priority=2), page("c", priority=1), page("d", priority=2), page("e")],
    )
    assert queue(frontier) == ["b", "d", "c", "a", "e"]
    assert urls(frontier.queue.next_batch("n", "n.example", 2)) == ["b", "d"]


def test_what_is_in_flight_is_left_out_and_the_count_is_still_met(frontier):
    frontier.queue.add("n", [page(name) for name in "abcde"])
    first = frontier.queue.next_batch("n", "n.example", 2)
    assert urls(frontier.queue.next_batch("n", "n.example", 2, [row.id for row in first])) == [
        "c",
        "d",
    ]
    assert urls(frontier.queue.next_batch("n", "n.example", 9, [row.id for row in first])) == [
        "c",
        "d",
        "e",
    ]


def test_a_row_is_what_was_asked(frontier):
    facts = {"door": "robots.txt", "depth": 2, "signals": [["a", "新\ud800"]]}
    frontier.queue.add(
        "n", [page("a", format="html", facts=facts, is_document=True, recrawl_interval="never")]
    )
    row = take_one(frontier)
    before = Validators()
    assert row == QueuedRequest(
        1, "n", "n.example", "https://n.example/a", "parse", "html", facts, True, "never", 0, before
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://n.example/a?y=2&x=1",
        "https://n.example/a?x=1&y=2#part",
        "https://N.example/a?x=1&y=2",
        "https://n.example/%61?x=1&y=2",
    ],
)
def test_of_addresses_that_are_the_same_a_source_asks_one(frontier, url):
    assert frontier.queue.add("n", [page("a?x=1&y=2")]) == 1
    assert frontier.queue.add("n", [CrawlRequest(url, "parse")]) == 0
    assert frontier.queue.add("other", [CrawlRequest(url, "parse")]) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://n.example:99999999/",
        "https://n.example:x/",
        "https://n.example/\ud800",
        "https://n.example/?\udcff",
        "http://[::1/",
    ],
)
def test_an_address_that_is_none_is_left_out_and_costs_the_others_nothing(frontier, url):
    assert frontier.queue.add("n", [page("a"), CrawlRequest(url, "parse"), page("b")]) == 2
    row = take_one(frontier)
    assert (
        commit(
            frontier,
            row,
            FetchResult(requests=[CrawlRequest(url, "parse"), page("c")]),
            RequestStatus(DONE),
        )
        == 1
    )
    assert queue(frontier) == ["b", "c"]
    assert [Request(row.url).url for row in frontier.queue.next_batch("n", "n.example", 9)] == [
        "https://n.example/b",
        "https://n.example/c",
    ]


def test_texts_that_are_no_utf_8_are_stored_with_question_marks(frontier):
    frontier.add_results(
        "n",
        FetchResult(
            documents=[DocumentResult("quarantined", "x", details="\ud800")],
            unreachable=[Unreachable("\udcff", "\ud800")],
        ),
    )
    frontier.results.add_takedown("https://n.example/\ud800", "deleted", 0)
    assert frontier.database.fetch_all("SELECT text FROM failure") == [("x  ?",)]
    assert frontier.database.fetch_all("SELECT * FROM shut") == [("?", "?")]
    assert frontier.results.list_takedowns() == [("https://n.example/?", "deleted", "1970-01-01")]


def test_documents_are_queued_up_to_the_budget_over_all_that_brought_them_and_other_pages_are_not_counted(
    frontier,
):
    documents = [page(f"d{n}", is_document=True) for n in range(5)]
    assert frontier.queue.add("n", [*documents[:2], page("a"), *documents[:2]], limit=3) == 3
    assert frontier.queue.count_documents("n") == 2
    assert frontier.queue.add("n", [*documents[2:], page("b")], limit=3) == 2
    assert queue(frontier) == ["d0", "d1", "a", "d2", "b"]
    assert frontier.queue.count_documents("n") == 3 and frontier.queue.count_documents("other") == 0
    assert frontier.queue.add("n", documents, limit=2) == 0
    frontier.finish_session("run")
    assert frontier.queue.add("n", documents, limit=3) == 2


def test_what_is_to_be_asked_later_is_not_queued_but_due_then(frontier):
    assert frontier.queue.add("n", [page("a", is_deferred=True), page("b")], defer_until=500.0) == 1
    assert queue(frontier) == ["b"] and frontier.queue.next_fetch_at(only_retries=False) == 500.0
    assert frontier.queue.requeue_due(499.0) == 0 and frontier.queue.requeue_due(500.0) == 1
    assert queue(frontier) == ["a", "b"]


def test_hosts_are_those_of_a_source_that_have_anything_queued_in_order(frontier):
    for host in ("c.example", "a.example", "b.example"):
        frontier.queue.add("n", [CrawlRequest(f"https://{host}/{n}", "parse") for n in range(20)])
    frontier.queue.add("m", [CrawlRequest("https://d.example/", "parse")])
    assert frontier.queue.list_hosts("n") == [
        "a.example",
        "b.example",
        "c.example",
    ] and frontier.queue.list_hosts("m") == ["d.example"]
    for row in frontier.queue.next_batch("n", "b.example", 100):
        commit(frontier, row, FetchResult(), RequestStatus(DONE))
    assert (
        frontier.queue.list_hosts("n") == ["a.example", "c.example"]
        and frontier.queue.list_hosts("x") == []
    )


def four_ends(frontier: Frontier) -> None:
    """Requests of all ends: one waits, one is done and due again, one failed for good, one is queued."""
    frontier.queue.add("n", [page(name) for name in "abcd"])
    for ended in (RequestStatus(WAITING, 100.0), RequestStatus(DONE, 50.0), RequestStatus(FAILED)):
        commit(frontier, take_one(frontier), FetchResult(), ended)


def test_only_what_waits_is_woken_while_a_call_runs_and_keeps_the_count_of_its_attempts(frontier):
    four_ends(frontier)
    assert [
        frontier.queue.next_fetch_at(only_retries=True),
        frontier.queue.next_fetch_at(only_retries=False),
    ] == [100.0, 50.0]
    assert [
        frontier.queue.next_fetch_at(only_retries=True, source="n"),
        frontier.queue.next_fetch_at(only_retries=True, source="m"),
    ] == [100.0, None]
    assert frontier.queue.requeue_due(99.0, only_retries=True) == 0
    assert frontier.queue.requeue_due(200.0, only_retries=True, source="m") == 0
    assert frontier.queue.requeue_due(100.0, only_retries=True, source="n") == 1
    assert queue(frontier) == ["a", "d"] and take_one(frontier).attempts == 1


def test_the_next_call_wakes_all_that_is_due_and_counts_attempts_of_done_ones_anew(frontier):
    four_ends(frontier)
    assert frontier.queue.requeue_due(100.0) == 2
    assert [
        (row.url[-1], row.attempts) for row in frontier.queue.next_batch("n", "n.example", 9)
    ] == [
        ("a", 1),
        ("b", 0),
        ("d", 0),
    ]
    assert (
        frontier.queue.next_fetch_at(only_retries=False) is None
        and frontier.queue.requeue_due(1e12) == 0
    )


def test_queued_counts_what_waits_too_and_known_all(frontier):
    four_ends(frontier)
    assert (frontier.queue.count_queued(), frontier.queue.count_known()) == (2, 4)


PLANS = [
    ("next batch", lambda f: f.queue.next_batch("n", "n.example", 3, [1]), "queue"),
    ("hosts", lambda f: f.queue.list_hosts("n"), "queue"),
    (
        "next due of those that wait",
        lambda f: f.queue.next_fetch_at(only_retries=True, source="n"),
        "waiting",
    ),
    ("next due", lambda f: f.queue.next_fetch_at(only_retries=False), "coming"),
    (
        "wake of those that wait",
        lambda f: f.queue.requeue_due(5.0, only_retries=True, source="n"),
        "waiting",
    ),
    ("wake", lambda f: f.queue.requeue_due(5.0), "coming"),
    ("site", lambda f: f.hosts.read_site("https://n.example"), "PRIMARY KEY"),
    ("asked", lambda f: f.queue.count_documents("n"), "PRIMARY KEY"),
]


@pytest.mark.parametrize(("what", "call", "index"), PLANS, ids=[what for what, _, _ in PLANS])
def test_no_question_of_a_running_crawl_reads_or_sorts_the_whole_queue(frontier, what, call, index):
    four_ends(frontier)
    asked: list[str] = []
    frontier.database.connection.set_trace_callback(asked.append)
    call(frontier)
    frontier.database.connection.set_trace_callback(None)
    plans = [
        detail
        for statement in asked
        if not statement.startswith(("BEGIN", "COMMIT"))
        for *_, detail in frontier.database.connection.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert plans and all(plan.startswith("SEARCH") and index in plan for plan in plans), plans


def test_a_hundred_thousand_pages_that_are_done_cost_the_search_for_what_waits_nothing(frontier):
    rows = ((n.to_bytes(4, "big"), 1e10 + n) for n in range(100_000))
    with frontier.database.transaction():
        frontier.database.connection.executemany(
            "INSERT INTO request(fingerprint, source, host, url, reader, format, facts, priority, document, again, state, due)"
            " VALUES (?,'n','h','u','r','html','{}',0,1,'documents',2,?)",
            rows,
        )
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    frontier.database.connection.set_progress_handler(count, 10)
    assert frontier.queue.next_fetch_at(only_retries=True, source="n") is None
    assert frontier.queue.requeue_due(1e11, only_retries=True, source="n") == 0
    assert frontier.queue.list_hosts("n") == [] and frontier.queue.next_batch("n", "h", 32) == []
    assert steps < 30


# What became of it


def test_all_that_a_request_came_to_is_written_at_once(frontier):
    frontier.queue.add("n", [page("a")])
    row = take_one(frontier)
    had = Validators('"tag"', "Mon", "sha1:X", "2026-11-27T00:00:00Z")
    assert commit(frontier, row, FULL, RequestStatus(DONE, 99.0, had), lang="en", limit=10) == 2
    assert queue(frontier) == ["b", "c"]
    assert frontier.database.fetch_all("SELECT records FROM outbox ORDER BY id") == [
        (b"one",),
        (b"three",),
    ]
    assert frontier.results.read_entries() == [
        Entry("n", "en", "kept", "", 1, 10),
        Entry("n", "en", "quarantined", "http_404", 1, 0),
    ]
    assert frontier.results.count_documents() == {"n": 2}
    assert frontier.database.fetch_all("SELECT * FROM licence") == [("n", "CC0-1.0", 1)]
    assert frontier.database.fetch_all("SELECT * FROM fetched") == [("n", 2, 1)]
    assert frontier.database.fetch_all("SELECT text FROM failure") == [
        ("http_404  https://n.example/x",)
    ]
    assert frontier.database.fetch_all("SELECT * FROM shut") == [("m.example", "down")]
    assert frontier.hosts.read_quotas_used()["n.example"] == (2, 8, 7.0)
    frontier.queue.requeue_due(99.0)
    (again,) = frontier.queue.next_batch("n", "n.example", 1)
    assert again.before == had


def test_a_request_that_ends_without_validators_keeps_those_it_had(frontier):
    frontier.queue.add("n", [page("a")])
    had = Validators('"tag"', None, "sha1:X", "2026-11-27T00:00:00Z")
    commit(frontier, take_one(frontier), FetchResult(), RequestStatus(DONE, 1.0, had))
    frontier.queue.requeue_due(1.0)
    commit(frontier, take_one(frontier), FetchResult(), RequestStatus(WAITING, 2.0))
    frontier.queue.requeue_due(2.0)
    assert take_one(frontier).before == had


@pytest.mark.parametrize(
    "table", ["request", "outbox", "tally", "licence", "fetched", "spent", "failure", "shut"]
)
def test_a_commit_that_breaks_anywhere_leaves_everything_as_it_was(frontier, table):
    frontier.queue.add("n", [page("a")])
    row, before = take_one(frontier), content(frontier)
    for event in ("INSERT", "UPDATE"):
        frontier.database.connection.execute(
            f"CREATE TEMP TRIGGER broken_{event} BEFORE {event} ON {table} BEGIN SELECT raise(ABORT, 'injected'); END"
        )
    with pytest.raises(sqlite3.IntegrityError, match="injected"):
        commit(frontier, row, FULL, RequestStatus(DONE))
    assert content(frontier) == before and queue(frontier) == ["a"]
    for event in ("INSERT", "UPDATE"):
        frontier.database.connection.execute(f"DROP TRIGGER broken_{event}")
    assert commit(frontier, row, FULL, RequestStatus(DONE)) == 2


def test_an_exception_of_ours_inside_of_a_transaction_undoes_it(frontier):
    def asks():
        yield page("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        frontier.queue.add("n", asks())
    assert frontier.queue.count_known() == 0 and not frontier.database.connection.in_transaction
    assert frontier.queue.add("n", [page("b")]) == 1


def test_a_disk_that_takes_nothing_more_is_told_with_the_file_and_loses_nothing(frontier):
    frontier.queue.add("n", [page("a")])
    row, before = take_one(frontier), content(frontier)
    ((pages,),) = frontier.database.fetch_all("PRAGMA page_count")
    frontier.database.connection.execute(f"PRAGMA max_page_count = {pages}")
    large = FetchResult(
        captures=[bytes(100_000)], requests=[page("b")], documents=[DocumentResult("kept", "", 1)]
    )
    with pytest.raises(OSError, match="the disk takes nothing more") as caught:
        commit(frontier, row, large, RequestStatus(DONE))
    assert caught.value.filename == str(frontier.path)
    for write in (
        lambda: frontier.results.add_takedown("https://n.example/" + "x" * 100_000, "deleted", 0),
        lambda: frontier.database.set_metadata("name", "x" * 100_000),
        lambda: frontier.save_site("p", StoredSite(1.0, "x" * 100_000), FetchResult(), "n"),
    ):
        with pytest.raises(OSError, match="the disk takes nothing more"):
            write()
    assert content(frontier) == before
    frontier.database.connection.execute("PRAGMA max_page_count = 1000000")
    assert commit(frontier, row, large, RequestStatus(DONE)) == 1
    frontier.close()
    assert queue(Frontier(frontier.path)) == ["b"]


COMMITS = """
import sys
from pathlib import Path
from crawlers.frontier.queue import RequestStatus
from crawlers.frontier.schema import DONE
from crawlers.frontier.store import Frontier
from crawlers.spider_output import CrawlRequest, DocumentResult, FetchResult
frontier = Frontier(Path(sys.argv[1]))
frontier.queue.add("n", [CrawlRequest("https://n.example/0", "parse")])
while True:
    (row,) = frontier.queue.next_batch("n", "n.example", 1)
    n = int(row.url.rsplit("/", 1)[1])
    outcome = FetchResult([b"%d " % n * 50] * 3, [CrawlRequest(f"https://n.example/{n + 1}", "parse", is_document=True)], [DocumentResult("kept", "", n)])
    frontier.commit(row, outcome, RequestStatus(DONE), now=0.0)
    print(n, flush=True)
"""


def test_a_process_that_is_killed_loses_no_commit_and_leaves_none_half(tmp_path, environment):
    path, dice, told = tmp_path / "frontier.sqlite", random.Random(5), -1
    for _ in range(6):
        child = processes.Popen(
            [sys.executable, "-c", COMMITS, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert child.stdout is not None
        for _ in range(dice.randrange(1, 200)):
            told = int(child.stdout.readline())
        child.kill()
        rest, _ = child.communicate()
        told = max(
            [told, *(int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n"))]
        )
        assert child.returncode == -signal.SIGKILL
        frontier = Frontier(path)
        ((done,),) = frontier.database.fetch_all("SELECT count(*) FROM request WHERE state = 2")
        assert done >= told + 1
        assert frontier.database.fetch_all("PRAGMA integrity_check") == [("ok",)]
        assert queue(frontier) == [str(done)]
        assert (
            frontier.queue.count_known() == done + 1 and frontier.queue.count_documents("n") == done
        )
        assert [
            data
            for (data,) in frontier.database.fetch_all("SELECT records FROM outbox ORDER BY id")
        ] == [b"%d " % n * 50 for n in range(done) for _ in range(3)]
        assert frontier.results.read_entries() == [
            Entry("n", "", "kept", "", done, sum(range(done)))
        ]
        assert frontier.database.fetch_all("SELECT captures FROM fetched") == [(3 * done,)]
        assert frontier.hosts.read_quotas_used()["n.example"][0] == 3 * done
        frontier.close()


# Hosts, sites, takedowns, calls


def test_a_hold_keeps_the_later_moment_and_the_latest_count_of_strikes(frontier):
    frontier.hosts.save_back_off("n.example", BackOff(50.0, 2))
    frontier.hosts.save_back_off("n.example", BackOff(30.0, 3))
    frontier.hosts.save_back_off("m.example", BackOff(10.0))
    assert frontier.hosts.read_back_offs() == {"n.example": (50.0, 3), "m.example": (10.0, 0)}
    frontier.hosts.save_back_off("n.example", BackOff(60.0, 0))
    assert frontier.hosts.read_back_offs()["n.example"] == (60.0, 0)


def test_the_first_reason_of_a_takedown_stays_and_they_come_in_order(frontier):
    day = 86400.0
    frontier.results.add_takedown("https://n.example/b", "deleted", 20_000 * day)
    frontier.results.add_takedown("https://n.example/a", "opt_out", 20_001 * day - 1)
    frontier.results.add_takedown("https://n.example/b", "opt_out", 20_009 * day)
    assert frontier.results.list_takedowns() == [
        ("https://n.example/a", "opt_out", "2024-10-04"),
        ("https://n.example/b", "deleted", "2024-10-04"),
    ]
    frontier.finish_session("run")
    frontier.reset()
    assert len(frontier.results.list_takedowns()) == 2


def test_what_a_site_said_is_kept_with_the_moment_and_the_last_word_counts(frontier):
    assert frontier.hosts.read_site("https://n.example") is None
    frontier.save_site(
        "https://n.example", StoredSite(5.0, "one"), FetchResult(captures=[b"x"]), "n"
    )
    frontier.save_site("https://n.example", StoredSite(6.5, "two"), FetchResult(), "n")
    assert frontier.hosts.read_site("https://n.example") == (6.5, "two")
    assert frontier.database.fetch_all("SELECT * FROM fetched") == [("n", 1, 0)]


def used(frontier: Frontier) -> None:
    """A frontier with something in every table."""
    frontier.queue.add("n", [page("a")])
    commit(frontier, take_one(frontier), FULL, RequestStatus(DONE, 5.0))
    frontier.hosts.save_back_off("n.example", BackOff(9.0, 1))
    frontier.results.add_takedown("https://n.example/z", "deleted", 0)
    frontier.save_site("https://n.example", StoredSite(5.0, "one"), FetchResult(), "n")
    frontier.database.connection.execute("INSERT INTO file VALUES ('00000.warc.gz', 1, 1, 'x')")
    frontier.database.set_metadata("sealing", "run-1")


def test_a_sealed_call_leaves_the_queue_and_counts_up(frontier):
    used(frontier)
    before = content(frontier)
    assert all(before.values())
    frontier.finish_session("run-1")
    after = content(frontier)
    kept = {"request", "host", "site", "takedown", "outbox"}
    assert {name for name, rows in after.items() if rows} == kept | {"fact"}
    assert all(after[name] == before[name] for name in kept)
    assert after["fact"] == [("format", "gristmill.frontier/1"), ("last", "run-1"), ("sequence", 2)]


def test_starting_anew_forgets_all_but_the_number_of_the_call_and_the_takedowns(frontier):
    used(frontier)
    frontier.finish_session("run-1")
    used(frontier)
    frontier.reset()
    after = content(frontier)
    assert {name for name, rows in after.items() if rows} == {"fact", "takedown"}
    assert after["fact"] == [("format", "gristmill.frontier/1"), ("sequence", 2)]
    assert frontier.queue.add("n", [page("a")]) == 1


# Files that are none


def refused(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        Frontier(path)
    assert str(path) in str(caught.value) and "start anew with --fresh" in str(caught.value)
    return str(caught.value)


def test_a_file_of_another_format_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "frontier.sqlite"
    frontier = Frontier(path)
    frontier.database.set_metadata("format", "gristmill.frontier/9")
    frontier.database.connection.execute("DROP INDEX waiting")
    before = content(frontier)
    frontier.close()
    assert "its format is gristmill.frontier/9" in refused(path)
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'waiting'").fetchone() == (
        0,
    )
    assert db.execute("SELECT * FROM fact ORDER BY 1").fetchall() == before["fact"]
    db.close()


@pytest.mark.parametrize(
    "data", [b"no database", b"SQLite format 3\0" + bytes(84), b"\x1f\x8b" * 1000]
)
def test_a_file_that_is_no_database_is_refused(tmp_path, data):
    path = tmp_path / "frontier.sqlite"
    path.write_bytes(data)
    refused(path)
    assert path.read_bytes() == data


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "frontier.sqlite").mkdir()
    refused(tmp_path / "frontier.sqlite")


def test_damage_that_is_met_only_later_is_told_by_the_command_with_the_fix(tmp_path):
    settings = CrawlConfig.model_validate(
        {
            "contact": "a@b.org",
            "sources": [{"type": "news", "name": "n", "sites": ["https://n.example"]}],
        }
    )
    with open_frontier(settings, tmp_path, fresh=False) as frontier:
        frontier.queue.add("n", [page(f"{n}", facts={"x": "y" * 200}) for n in range(2000)])
        path = frontier.path
        frontier.database.connection.execute("PRAGMA wal_checkpoint(truncate)")
        ((root,),) = frontier.database.fetch_all(
            "SELECT rootpage FROM sqlite_master WHERE name = 'queue'"
        )
        ((size,),) = frontier.database.fetch_all("PRAGMA page_size")
    data = bytearray(path.read_bytes())
    data[(root - 1) * size : root * size] = b"\xff" * size
    path.write_bytes(data)
    with (
        pytest.raises(RunError, match=r"(?s)cannot be read.*malformed.*--fresh"),
        open_frontier(settings, tmp_path, fresh=False) as frontier,
    ):
        frontier.queue.next_batch("n", "n.example", 5)


# Against a model


class Against(RuleBasedStateMachine):
    """A frontier beside a dictionary: what is queued, waits, is done, is held."""

    names = st.sampled_from("abcdefgh")
    hosts = st.sampled_from(["n.example", "m.example"])
    moments = st.integers(0, 20).map(float)

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.frontier = Frontier(Path(self.folder.name) / "frontier.sqlite")
        self.rows: dict[str, SimpleNamespace] = {}
        self.held: dict[str, tuple[float, int]] = {}
        self.captures = 0

    def teardown(self) -> None:
        if hasattr(self, "frontier"):
            self.frontier.close()
            self.folder.cleanup()

    def told(self, asks: list[CrawlRequest], later: float | None) -> int:
        queued = 0
        for ask in asks:
            if ask.url not in self.rows:
                state, due = (2, later) if ask.is_deferred else (0, None)
                self.rows[ask.url] = SimpleNamespace(
                    n=len(self.rows),
                    host=ask.host,
                    priority=ask.priority,
                    state=state,
                    due=due,
                    attempts=0,
                )
                queued += not ask.is_deferred
        return queued

    asks = st.lists(
        st.builds(
            lambda host, name, priority, later: CrawlRequest(
                f"https://{host}/{name}", "p", priority=priority, is_deferred=later
            ),
            hosts,
            names,
            st.integers(0, 2),
            st.booleans(),
        ),
        max_size=4,
    )

    @rule(asks=asks, later=moments)
    def add(self, asks: list[CrawlRequest], later: float) -> None:
        assert self.frontier.queue.add("n", asks, None, later) == self.told(asks, later)

    def order(self, host: str) -> list[str]:
        found = [url for url, row in self.rows.items() if row.state == 0 and row.host == host]
        return sorted(found, key=lambda url: (-self.rows[url].priority, self.rows[url].n))

    @rule(
        host=hosts, skip=st.integers(0, 3), asks=asks, state=st.sampled_from([1, 2, 3]), due=moments
    )
    def commit(
        self, host: str, skip: int, asks: list[CrawlRequest], state: FetchState, due: float
    ) -> None:
        flying = [row.id for row in self.frontier.queue.next_batch("n", host, skip)]
        taken = self.frontier.queue.next_batch("n", host, 1, flying)
        assert [row.url for row in taken] == self.order(host)[skip : skip + 1]
        for row in taken:
            assert row.attempts == self.rows[row.url].attempts
            self.captures += 1
            queued = self.frontier.commit(
                row,
                FetchResult([b"x"], asks, [DocumentResult("kept")]),
                RequestStatus(state, due),
                now=0.0,
                defer_until=due,
            )
            assert queued == self.told(asks, due)
            self.rows[row.url].__dict__.update(state=state, due=due, attempts=row.attempts + 1)

    @rule(now=moments, waiting=st.booleans())
    def wake(self, now: float, waiting: bool) -> None:
        due = [row for row in self.rows.values() if row.due is not None and row.due <= now]
        due = [row for row in due if row.state == 1 or not waiting]
        assert self.frontier.queue.requeue_due(now, only_retries=waiting) == len(due)
        for row in due:
            row.__dict__.update(state=0, due=None, attempts=row.attempts if row.state == 1 else 0)

    @rule(host=hosts, until=moments, strikes=st.integers(0, 3))
    def hold(self, host: str, until: float, strikes: int) -> None:
        self.frontier.hosts.save_back_off(host, BackOff(until, strikes))
        self.held[host] = (max(until, self.held.get(host, (0.0, 0))[0]), strikes)

    @rule()
    def another_process(self) -> None:
        self.frontier.close()
        self.frontier = Frontier(Path(self.folder.name) / "frontier.sqlite")

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "frontier"):
            return
        for host in ("n.example", "m.example"):
            assert [row.url for row in self.frontier.queue.next_batch("n", host, 99)] == self.order(
                host
            )
        assert self.frontier.queue.list_hosts("n") == sorted(
            {row.host for row in self.rows.values() if row.state == 0}
        )
        dues = [(row.due, row.state) for row in self.rows.values() if row.due is not None]
        assert self.frontier.queue.next_fetch_at(only_retries=False) == min(
            (due for due, _ in dues), default=None
        )
        assert self.frontier.queue.next_fetch_at(only_retries=True, source="n") == min(
            (d for d, state in dues if state == 1), default=None
        )
        assert self.frontier.queue.count_queued() == sum(
            row.state < 2 for row in self.rows.values()
        )
        assert self.frontier.hosts.read_back_offs() == self.held
        assert self.frontier.results.count_documents().get("n", 0) == self.captures
        assert self.frontier.database.fetch_all("SELECT count(*) FROM outbox") == [(self.captures,)]


TestAgainstADictionary = Against.TestCase
TestAgainstADictionary.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
