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

from crawlers.commands import _frontier
from crawlers.config import CrawlConfig
from crawlers.frontier import store as module
from crawlers.frontier.store import DONE, FAILED, WAITING, Ended, Frontier, Row
from crawlers.outcome import Ask, Found, Outcome, Shut, Validators
from gristmill.errors import RunError
from gristmill.runs.ledger import Entry


@pytest.fixture
def frontier(tmp_path) -> Frontier:
    return Frontier(tmp_path / "frontier.sqlite")


def page(path: str, **more: object) -> Ask:
    """A page to be asked for."""
    return Ask(f"https://n.example/{path}", "parse", **more)  # type: ignore[arg-type]


def urls(rows: list[Row]) -> list[str]:
    return [row.url.removeprefix("https://n.example/") for row in rows]


def queue(frontier: Frontier, host: str = "n.example", source: str = "n") -> list[str]:
    """What is queued of a host, in its order."""
    return urls(frontier.take(source, host, 1000))


def take_one(frontier: Frontier) -> Row:
    (row,) = frontier.take("n", "n.example", 1)
    return row


def content(frontier: Frontier) -> dict[str, list[tuple]]:
    """All that is in the file."""
    names = [
        name
        for (name,) in frontier.table(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"
        )
    ]
    return {name: frontier.table(f"SELECT * FROM {name} ORDER BY 1") for name in names}


FULL = Outcome(
    captures=[b"one", b"three"],
    asks=[page("b", document=True), page("c")],
    found=[
        Found("kept", "", 10, "CC0-1.0"),
        Found("quarantined", "http_404", where="https://n.example/x"),
    ],
    shut=[Shut("m.example", "down")],
)

# What to ask next


def test_the_highest_priority_comes_first_and_among_equals_what_came_first(frontier):
    frontier.add(
        "n",
        [page("a"), page("b", priority=2), page("c", priority=1), page("d", priority=2), page("e")],
    )
    assert queue(frontier) == ["b", "d", "c", "a", "e"]
    assert urls(frontier.take("n", "n.example", 2)) == ["b", "d"]


def test_what_is_in_flight_is_left_out_and_the_count_is_still_met(frontier):
    frontier.add("n", [page(name) for name in "abcde"])
    first = frontier.take("n", "n.example", 2)
    assert urls(frontier.take("n", "n.example", 2, [row.id for row in first])) == ["c", "d"]
    assert urls(frontier.take("n", "n.example", 9, [row.id for row in first])) == ["c", "d", "e"]


def test_a_row_is_what_was_asked(frontier):
    facts = {"door": "robots.txt", "depth": 2, "signals": [["a", "新\ud800"]]}
    frontier.add("n", [page("a", format="html", facts=facts, document=True, again="never")])
    row = take_one(frontier)
    before = Validators()
    assert row == Row(
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
    assert frontier.add("n", [page("a?x=1&y=2")]) == 1
    assert frontier.add("n", [Ask(url, "parse")]) == 0
    assert frontier.add("other", [Ask(url, "parse")]) == 1


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
    assert frontier.add("n", [page("a"), Ask(url, "parse"), page("b")]) == 2
    row = take_one(frontier)
    assert frontier.commit(row, Outcome(asks=[Ask(url, "parse"), page("c")]), Ended(DONE)) == 1
    assert queue(frontier) == ["b", "c"]
    assert [Request(row.url).url for row in frontier.take("n", "n.example", 9)] == [
        "https://n.example/b",
        "https://n.example/c",
    ]


def test_texts_that_are_no_utf_8_are_stored_with_question_marks(frontier):
    frontier.note(
        "n",
        Outcome(found=[Found("quarantined", "x", where="\ud800")], shut=[Shut("\udcff", "\ud800")]),
    )
    frontier.take_down("https://n.example/\ud800", "deleted", 0)
    assert frontier.table("SELECT text FROM failure") == [("x  ?",)]
    assert frontier.table("SELECT * FROM shut") == [("?", "?")]
    assert frontier.takedowns() == [("https://n.example/?", "deleted", "1970-01-01")]


def test_documents_are_queued_up_to_the_budget_over_all_that_brought_them_and_other_pages_are_not_counted(
    frontier,
):
    documents = [page(f"d{n}", document=True) for n in range(5)]
    assert frontier.add("n", [*documents[:2], page("a"), *documents[:2]], limit=3) == 3
    assert frontier.asked("n") == 2
    assert frontier.add("n", [*documents[2:], page("b")], limit=3) == 2
    assert queue(frontier) == ["d0", "d1", "a", "d2", "b"]
    assert frontier.asked("n") == 3 and frontier.asked("other") == 0
    assert frontier.add("n", documents, limit=2) == 0
    frontier.sealed("run")
    assert frontier.add("n", documents, limit=3) == 2


def test_what_is_to_be_asked_later_is_not_queued_but_due_then(frontier):
    assert frontier.add("n", [page("a", later=True), page("b")], later=500.0) == 1
    assert queue(frontier) == ["b"] and frontier.next_due(waiting=False) == 500.0
    assert frontier.wake(499.0) == 0 and frontier.wake(500.0) == 1
    assert queue(frontier) == ["a", "b"]


def test_hosts_are_those_of_a_source_that_have_anything_queued_in_order(frontier):
    for host in ("c.example", "a.example", "b.example"):
        frontier.add("n", [Ask(f"https://{host}/{n}", "parse") for n in range(20)])
    frontier.add("m", [Ask("https://d.example/", "parse")])
    assert frontier.hosts("n") == ["a.example", "b.example", "c.example"] and frontier.hosts(
        "m"
    ) == ["d.example"]
    for row in frontier.take("n", "b.example", 100):
        frontier.commit(row, Outcome(), Ended(DONE))
    assert frontier.hosts("n") == ["a.example", "c.example"] and frontier.hosts("x") == []


def four_ends(frontier: Frontier) -> None:
    """Requests of all ends: one waits, one is done and due again, one failed for good, one is queued."""
    frontier.add("n", [page(name) for name in "abcd"])
    for ended in (Ended(WAITING, 100.0), Ended(DONE, 50.0), Ended(FAILED)):
        frontier.commit(take_one(frontier), Outcome(), ended)


def test_only_what_waits_is_woken_while_a_call_runs_and_keeps_the_count_of_its_attempts(frontier):
    four_ends(frontier)
    assert [frontier.next_due(waiting=True), frontier.next_due(waiting=False)] == [100.0, 50.0]
    assert [
        frontier.next_due(waiting=True, source="n"),
        frontier.next_due(waiting=True, source="m"),
    ] == [100.0, None]
    assert frontier.wake(99.0, waiting=True) == 0
    assert frontier.wake(200.0, waiting=True, source="m") == 0
    assert frontier.wake(100.0, waiting=True, source="n") == 1
    assert queue(frontier) == ["a", "d"] and take_one(frontier).attempts == 1


def test_the_next_call_wakes_all_that_is_due_and_counts_attempts_of_done_ones_anew(frontier):
    four_ends(frontier)
    assert frontier.wake(100.0) == 2
    assert [(row.url[-1], row.attempts) for row in frontier.take("n", "n.example", 9)] == [
        ("a", 1),
        ("b", 0),
        ("d", 0),
    ]
    assert frontier.next_due(waiting=False) is None and frontier.wake(1e12) == 0


def test_queued_counts_what_waits_too_and_known_all(frontier):
    four_ends(frontier)
    assert (frontier.queued(), frontier.queued("n"), frontier.queued("m"), frontier.known()) == (
        2,
        2,
        0,
        4,
    )


PLANS = [
    ("take", lambda f: f.take("n", "n.example", 3, [1]), "queue"),
    ("hosts", lambda f: f.hosts("n"), "queue"),
    ("next due of those that wait", lambda f: f.next_due(waiting=True, source="n"), "waiting"),
    ("next due", lambda f: f.next_due(waiting=False), "coming"),
    ("wake of those that wait", lambda f: f.wake(5.0, waiting=True, source="n"), "waiting"),
    ("wake", lambda f: f.wake(5.0), "coming"),
    ("site", lambda f: f.site("https://n.example"), "PRIMARY KEY"),
    ("asked", lambda f: f.asked("n"), "PRIMARY KEY"),
]


@pytest.mark.parametrize(("what", "call", "index"), PLANS, ids=[what for what, _, _ in PLANS])
def test_no_question_of_a_running_crawl_reads_or_sorts_the_whole_queue(frontier, what, call, index):
    four_ends(frontier)
    asked: list[str] = []
    frontier.db.set_trace_callback(asked.append)
    call(frontier)
    frontier.db.set_trace_callback(None)
    plans = [
        detail
        for statement in asked
        if not statement.startswith(("BEGIN", "COMMIT"))
        for *_, detail in frontier.db.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert plans and all(plan.startswith("SEARCH") and index in plan for plan in plans), plans


def test_a_hundred_thousand_pages_that_are_done_cost_the_search_for_what_waits_nothing(frontier):
    rows = ((n.to_bytes(4, "big"), 1e10 + n) for n in range(100_000))
    with frontier.transaction():
        frontier.db.executemany(
            "INSERT INTO request(fingerprint, source, host, url, reader, format, facts, priority, document, again, state, due)"
            " VALUES (?,'n','h','u','r','html','{}',0,1,'documents',2,?)",
            rows,
        )
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    frontier.db.set_progress_handler(count, 10)
    assert frontier.next_due(waiting=True, source="n") is None
    assert frontier.wake(1e11, waiting=True, source="n") == 0
    assert frontier.hosts("n") == [] and frontier.take("n", "h", 32) == []
    assert steps < 30


# What became of it


def test_all_that_a_request_came_to_is_written_at_once(frontier):
    frontier.add("n", [page("a")])
    row = take_one(frontier)
    had = Validators('"tag"', "Mon", "sha1:X", "2026-11-27T00:00:00Z")
    assert frontier.commit(row, FULL, Ended(DONE, 99.0, had), lang="en", limit=10) == 2
    assert queue(frontier) == ["b", "c"]
    assert frontier.table("SELECT records FROM outbox ORDER BY id") == [(b"one",), (b"three",)]
    assert frontier.entries() == [
        Entry("n", "en", "kept", "", 1, 10),
        Entry("n", "en", "quarantined", "http_404", 1, 0),
    ]
    assert frontier.documents() == {"n": 2}
    assert frontier.table("SELECT * FROM licence") == [("n", "CC0-1.0", 1)]
    assert frontier.table("SELECT * FROM fetched") == [("n", 2, 1)]
    assert frontier.table("SELECT text FROM failure") == [("http_404  https://n.example/x",)]
    assert frontier.table("SELECT * FROM shut") == [("m.example", "down")]
    assert frontier.spent()["n.example"][:2] == (2, 8)
    frontier.wake(99.0)
    (again,) = frontier.take("n", "n.example", 1)
    assert again.before == had


def test_a_request_that_ends_without_validators_keeps_those_it_had(frontier):
    frontier.add("n", [page("a")])
    had = Validators('"tag"', None, "sha1:X", "2026-11-27T00:00:00Z")
    frontier.commit(take_one(frontier), Outcome(), Ended(DONE, 1.0, had))
    frontier.wake(1.0)
    frontier.commit(take_one(frontier), Outcome(), Ended(WAITING, 2.0))
    frontier.wake(2.0)
    assert take_one(frontier).before == had


@pytest.mark.parametrize(
    "table", ["request", "outbox", "tally", "licence", "fetched", "spent", "failure", "shut"]
)
def test_a_commit_that_breaks_anywhere_leaves_everything_as_it_was(frontier, table):
    frontier.add("n", [page("a")])
    row, before = take_one(frontier), content(frontier)
    for event in ("INSERT", "UPDATE"):
        frontier.db.execute(
            f"CREATE TEMP TRIGGER broken_{event} BEFORE {event} ON {table} BEGIN SELECT raise(ABORT, 'injected'); END"
        )
    with pytest.raises(sqlite3.IntegrityError, match="injected"):
        frontier.commit(row, FULL, Ended(DONE))
    assert content(frontier) == before and queue(frontier) == ["a"]
    for event in ("INSERT", "UPDATE"):
        frontier.db.execute(f"DROP TRIGGER broken_{event}")
    assert frontier.commit(row, FULL, Ended(DONE)) == 2


def test_an_exception_of_ours_inside_of_a_transaction_undoes_it(frontier):
    def asks():
        yield page("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        frontier.add("n", asks())
    assert frontier.known() == 0 and not frontier.db.in_transaction
    assert frontier.add("n", [page("b")]) == 1


def test_a_disk_that_takes_nothing_more_is_told_with_the_file_and_loses_nothing(frontier):
    frontier.add("n", [page("a")])
    row, before = take_one(frontier), content(frontier)
    ((pages,),) = frontier.table("PRAGMA page_count")
    frontier.db.execute(f"PRAGMA max_page_count = {pages}")
    large = Outcome(captures=[bytes(100_000)], asks=[page("b")], found=[Found("kept", "", 1)])
    with pytest.raises(OSError, match="the disk takes nothing more") as caught:
        frontier.commit(row, large, Ended(DONE))
    assert caught.value.filename == str(frontier.path)
    for write in (
        lambda: frontier.take_down("https://n.example/" + "x" * 100_000, "deleted", 0),
        lambda: frontier.set_fact("name", "x" * 100_000),
        lambda: frontier.remember_site("p", 1.0, "x" * 100_000, Outcome(), "n"),
    ):
        with pytest.raises(OSError, match="the disk takes nothing more"):
            write()
    assert content(frontier) == before
    frontier.db.execute("PRAGMA max_page_count = 1000000")
    assert frontier.commit(row, large, Ended(DONE)) == 1
    frontier.close()
    assert queue(Frontier(frontier.path)) == ["b"]


COMMITS = """
import sys
from pathlib import Path
from crawlers.frontier.store import *
from crawlers.outcome import *
frontier = Frontier(Path(sys.argv[1]))
frontier.add("n", [Ask("https://n.example/0", "parse")])
while True:
    (row,) = frontier.take("n", "n.example", 1)
    n = int(row.url.rsplit("/", 1)[1])
    outcome = Outcome([b"%d " % n * 50] * 3, [Ask(f"https://n.example/{n + 1}", "parse", document=True)], [Found("kept", "", n)])
    frontier.commit(row, outcome, Ended(DONE))
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
        ((done,),) = frontier.table("SELECT count(*) FROM request WHERE state = 2")
        assert done >= told + 1
        assert frontier.table("PRAGMA integrity_check") == [("ok",)]
        assert queue(frontier) == [str(done)]
        assert frontier.known() == done + 1 and frontier.asked("n") == done
        assert [data for (data,) in frontier.table("SELECT records FROM outbox ORDER BY id")] == [
            b"%d " % n * 50 for n in range(done) for _ in range(3)
        ]
        assert frontier.entries() == [Entry("n", "", "kept", "", done, sum(range(done)))]
        assert frontier.table("SELECT captures FROM fetched") == [(3 * done,)]
        assert frontier.spent()["n.example"][0] == 3 * done
        frontier.close()


# Hosts, sites, takedowns, calls


def test_a_hold_keeps_the_later_moment_and_the_latest_count_of_strikes(frontier):
    frontier.hold("n.example", 50.0, 2)
    frontier.hold("n.example", 30.0, 3)
    frontier.hold("m.example", 10.0)
    assert frontier.held() == {"n.example": (50.0, 3), "m.example": (10.0, 0)}
    frontier.hold("n.example", 60.0, 0)
    assert frontier.held()["n.example"] == (60.0, 0)


def test_the_first_reason_of_a_takedown_stays_and_they_come_in_order(frontier):
    day = 86400.0
    frontier.take_down("https://n.example/b", "deleted", 20_000 * day)
    frontier.take_down("https://n.example/a", "opt_out", 20_001 * day - 1)
    frontier.take_down("https://n.example/b", "opt_out", 20_009 * day)
    assert frontier.takedowns() == [
        ("https://n.example/a", "opt_out", "2024-10-04"),
        ("https://n.example/b", "deleted", "2024-10-04"),
    ]
    frontier.sealed("run")
    frontier.start_anew()
    assert len(frontier.takedowns()) == 2


def test_what_a_site_said_is_kept_with_the_moment_and_the_last_word_counts(frontier):
    assert frontier.site("https://n.example") is None
    frontier.remember_site("https://n.example", 5.0, "one", Outcome(captures=[b"x"]), "n")
    frontier.remember_site("https://n.example", 6.5, "two", Outcome(), "n")
    assert frontier.site("https://n.example") == (6.5, "two")
    assert frontier.table("SELECT * FROM fetched") == [("n", 1, 0)]


def used(frontier: Frontier) -> None:
    """A frontier with something in every table."""
    frontier.add("n", [page("a")])
    frontier.commit(take_one(frontier), FULL, Ended(DONE, 5.0))
    frontier.hold("n.example", 9.0, 1)
    frontier.take_down("https://n.example/z", "deleted", 0)
    frontier.remember_site("https://n.example", 5.0, "one", Outcome(), "n")
    frontier.db.execute("INSERT INTO file VALUES ('00000.warc.gz', 1, 1, 'x')")
    frontier.set_fact("sealing", "run-1")


def test_a_sealed_call_leaves_the_queue_and_counts_up(frontier):
    used(frontier)
    before = content(frontier)
    assert all(before.values())
    frontier.sealed("run-1")
    after = content(frontier)
    kept = {"request", "host", "site", "takedown", "outbox"}
    assert {name for name, rows in after.items() if rows} == kept | {"fact"}
    assert all(after[name] == before[name] for name in kept)
    assert after["fact"] == [("format", "gristmill.frontier/1"), ("last", "run-1"), ("sequence", 2)]


def test_starting_anew_forgets_all_but_the_number_of_the_call_and_the_takedowns(frontier):
    used(frontier)
    frontier.sealed("run-1")
    used(frontier)
    frontier.start_anew()
    after = content(frontier)
    assert {name for name, rows in after.items() if rows} == {"fact", "takedown"}
    assert after["fact"] == [("format", "gristmill.frontier/1"), ("sequence", 2)]
    assert frontier.add("n", [page("a")]) == 1


# Files that are none


def refused(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        Frontier(path)
    assert str(path) in str(caught.value) and "start anew with --fresh" in str(caught.value)
    return str(caught.value)


def test_a_file_of_another_format_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "frontier.sqlite"
    frontier = Frontier(path)
    frontier.set_fact("format", "gristmill.frontier/9")
    frontier.db.execute("DROP INDEX waiting")
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
            "sources": [{"kind": "news", "name": "n", "sites": ["https://n.example"]}],
        }
    )
    with _frontier(settings, tmp_path, fresh=False) as frontier:
        frontier.add("n", [page(f"{n}", facts={"x": "y" * 200}) for n in range(2000)])
        path = frontier.path
        frontier.db.execute("PRAGMA wal_checkpoint(truncate)")
        ((root,),) = frontier.table("SELECT rootpage FROM sqlite_master WHERE name = 'queue'")
        ((size,),) = frontier.table("PRAGMA page_size")
    data = bytearray(path.read_bytes())
    data[(root - 1) * size : root * size] = b"\xff" * size
    path.write_bytes(data)
    with (
        pytest.raises(RunError, match=r"(?s)cannot be read.*malformed.*--fresh"),
        _frontier(settings, tmp_path, fresh=False) as frontier,
    ):
        frontier.take("n", "n.example", 5)


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

    def told(self, asks: list[Ask], later: float | None) -> int:
        queued = 0
        for ask in asks:
            if ask.url not in self.rows:
                state, due = (2, later) if ask.later else (0, None)
                self.rows[ask.url] = SimpleNamespace(
                    n=len(self.rows),
                    host=ask.host,
                    priority=ask.priority,
                    state=state,
                    due=due,
                    attempts=0,
                )
                queued += not ask.later
        return queued

    asks = st.lists(
        st.builds(
            lambda host, name, priority, later: Ask(
                f"https://{host}/{name}", "p", priority=priority, later=later
            ),
            hosts,
            names,
            st.integers(0, 2),
            st.booleans(),
        ),
        max_size=4,
    )

    @rule(asks=asks, later=moments)
    def add(self, asks: list[Ask], later: float) -> None:
        assert self.frontier.add("n", asks, None, later) == self.told(asks, later)

    def order(self, host: str) -> list[str]:
        found = [url for url, row in self.rows.items() if row.state == 0 and row.host == host]
        return sorted(found, key=lambda url: (-self.rows[url].priority, self.rows[url].n))

    @rule(
        host=hosts, skip=st.integers(0, 3), asks=asks, state=st.sampled_from([1, 2, 3]), due=moments
    )
    def commit(
        self, host: str, skip: int, asks: list[Ask], state: module.State, due: float
    ) -> None:
        flying = [row.id for row in self.frontier.take("n", host, skip)]
        taken = self.frontier.take("n", host, 1, flying)
        assert [row.url for row in taken] == self.order(host)[skip : skip + 1]
        for row in taken:
            assert row.attempts == self.rows[row.url].attempts
            self.captures += 1
            queued = self.frontier.commit(
                row, Outcome([b"x"], asks, [Found("kept")]), Ended(state, due), later=due
            )
            assert queued == self.told(asks, due)
            self.rows[row.url].__dict__.update(state=state, due=due, attempts=row.attempts + 1)

    @rule(now=moments, waiting=st.booleans())
    def wake(self, now: float, waiting: bool) -> None:
        due = [row for row in self.rows.values() if row.due is not None and row.due <= now]
        due = [row for row in due if row.state == 1 or not waiting]
        assert self.frontier.wake(now, waiting=waiting) == len(due)
        for row in due:
            row.__dict__.update(state=0, due=None, attempts=row.attempts if row.state == 1 else 0)

    @rule(host=hosts, until=moments, strikes=st.integers(0, 3))
    def hold(self, host: str, until: float, strikes: int) -> None:
        self.frontier.hold(host, until, strikes)
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
            assert [row.url for row in self.frontier.take("n", host, 99)] == self.order(host)
        assert self.frontier.hosts("n") == sorted(
            {row.host for row in self.rows.values() if row.state == 0}
        )
        dues = [(row.due, row.state) for row in self.rows.values() if row.due is not None]
        assert self.frontier.next_due(waiting=False) == min((due for due, _ in dues), default=None)
        assert self.frontier.next_due(waiting=True, source="n") == min(
            (d for d, state in dues if state == 1), default=None
        )
        assert self.frontier.queued() == sum(row.state < 2 for row in self.rows.values())
        assert self.frontier.held() == self.held
        assert self.frontier.documents().get("n", 0) == self.captures
        assert self.frontier.table("SELECT count(*) FROM outbox") == [(self.captures,)]


TestAgainstADictionary = Against.TestCase
TestAgainstADictionary.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
