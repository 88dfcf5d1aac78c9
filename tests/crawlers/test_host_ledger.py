"""The host ledger: may a host be asked now, and else when; on a clock that is set by hand."""

import pytest

from crawlers.config import Politeness
from crawlers.frontier.store import Frontier
from crawlers.host_ledger import LONGEST_PAUSE, HostLedger

START = 1_800_000_000.0
HOST = "n.example"


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_ledger(tmp_path, clock):
    """A function making the ledger of another process over the same frontier."""

    def make(**politeness: object) -> HostLedger:
        frontier = Frontier(tmp_path / "frontier.sqlite")
        return HostLedger(frontier.hosts, Politeness.model_validate(politeness), clock)

    return make


def next_fetch_at(ledger: HostLedger, source: str = "s", *, needs_robots: bool = True):
    return ledger.next_fetch_at(source, HOST, needs_robots=needs_robots)


def test_a_new_host_may_be_asked_now_and_once_before_its_robots_txt_is_read(make_ledger):
    ledger = make_ledger(concurrency_per_host=2)
    assert next_fetch_at(ledger) == START
    ledger.start_request(HOST)
    assert next_fetch_at(ledger) is None
    assert next_fetch_at(ledger, needs_robots=False) == START
    ledger.note_robots(HOST, None)
    assert next_fetch_at(ledger) == START


def test_a_crawl_delay_counts_from_the_end_of_the_last_request_of_the_source(make_ledger, clock):
    ledger = make_ledger(concurrency_per_host=2)
    ledger.note_robots(HOST, 10.0)
    ledger.start_request(HOST)
    assert next_fetch_at(ledger) is None
    clock.now += 3
    ledger.finish_request("s", HOST, was_in_flight=True)
    assert next_fetch_at(ledger) == START + 13
    assert next_fetch_at(ledger, "another") == START + 3


def test_a_back_off_gives_the_moment_and_one_beyond_the_patience_of_a_session_gives_none(
    make_ledger,
):
    ledger = make_ledger()
    ledger.back_off(HOST, LONGEST_PAUSE)
    assert next_fetch_at(ledger) == START + LONGEST_PAUSE
    ledger.back_off(HOST, LONGEST_PAUSE + 1)
    assert next_fetch_at(ledger) is None
    assert not ledger.is_available(HOST)
    assert next_fetch_at(make_ledger()) is None


def test_a_used_quota_gives_none(make_ledger):
    ledger = make_ledger(pages_per_host=1)
    ledger.add_quota_used(HOST, 1, 100)
    assert next_fetch_at(ledger) is None


def test_slots_are_a_delay_apart_and_shared_with_www(make_ledger, clock):
    ledger = make_ledger(delay=2.0)
    assert ledger.reserve_slot(HOST) == 0.0
    assert ledger.reserve_slot(f"www.{HOST}") == 2.0
    clock.now += 10
    assert ledger.reserve_slot(HOST) == 0.0


def test_a_clock_that_was_set_back_makes_no_request_wait_longer_than_the_longest_pause(
    make_ledger, clock
):
    ledger = make_ledger(delay=1.0)
    ledger.reserve_slot(HOST)
    clock.now -= 86400
    assert ledger.reserve_slot(HOST) == LONGEST_PAUSE
