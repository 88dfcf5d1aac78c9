"""The scheduler: which host may be asked now, in what order, and when to look again; a clock of its own, no network."""

import sqlite3
from types import SimpleNamespace

import pytest
from scrapy import Request

from crawlers.config import CrawlConfig
from crawlers.context import open_context
from crawlers.downloader import scheduler as module
from crawlers.downloader.request_metadata import get_metadata
from crawlers.downloader.scheduler import SHORTEST_WAIT, FrontierScheduler
from crawlers.frontier.outbox import Outbox
from crawlers.frontier.queue import RequestQueue, RequestStatus
from crawlers.frontier.schema import DONE, WAITING
from crawlers.frontier.store import Frontier
from crawlers.host_ledger import LONGEST_PAUSE
from crawlers.rights import RightsSignal
from crawlers.spider_output import CrawlRequest, FetchResult, Validators
from gristmill.progress import Progress

START = 1_800_000_000.0


class World:
    """A scheduler with a real frontier and context, a spider that only notes what happens, and time that is set by hand."""

    def __init__(
        self, folder, monkeypatch, asks=(), robots_read="abc", **politeness: object
    ) -> None:
        self.now = START
        self.alarms: list[SimpleNamespace] = []
        self.schedules = 0
        monkeypatch.setattr(module, "call_later", self.call_later)
        source = {"type": "news", "name": "n", "sites": ["https://a.example", "https://b.example"]}
        self.config = CrawlConfig.model_validate(
            {"contact": "a@b.org", "sources": [source], "politeness": politeness}
        )
        self.frontier = Frontier(folder / "frontier.sqlite")
        outbox = Outbox(self.frontier, folder / "captures", file_bytes=1 << 20)
        self.context = open_context(
            self.config, self.frontier, outbox, Progress("crawl"), clock=lambda: self.now
        )
        for name in robots_read:
            self.context.hosts.note_robots(f"{name}.example", None)
        self.ended: list[BaseException] = []
        self.spider = SimpleNamespace(
            source=self.config.sources[0],
            context=self.context,
            needs_robots=True,
            on_response=print,
            on_error=print,
            reader=SimpleNamespace(first_requests=lambda: list(asks)),
            end_crawl=self.ended.append,
        )
        slot = SimpleNamespace(nextcall=SimpleNamespace(schedule=self.schedule))
        self.scheduler = FrontierScheduler.from_crawler(
            SimpleNamespace(engine=SimpleNamespace(_slot=slot))
        )  # type: ignore[arg-type]
        self.scheduler.open(self.spider)  # type: ignore[arg-type]

    def schedule(self) -> None:
        self.schedules += 1

    def call_later(self, delay: float, call):
        alarm = SimpleNamespace(at=self.now + delay, call=call, cancelled=False)
        alarm.cancel = lambda: setattr(alarm, "cancelled", True)
        self.alarms.append(alarm)
        return alarm

    def pending_alarms(self) -> list[float]:
        """In how many seconds alarms will ring."""
        return [round(alarm.at - self.now, 3) for alarm in self.alarms if not alarm.cancelled]

    def next(self) -> "str | None":
        self.request = self.scheduler.next_request()
        return None if self.request is None else self.request.url.removeprefix("https://")

    def all(self) -> list[str]:
        """All that may be asked now."""
        return list(iter(self.next, None))

    def land(
        self,
        request: Request,
        ended: RequestStatus = RequestStatus(DONE),
        asks: "list[CrawlRequest] | None" = None,
    ) -> None:
        row = get_metadata(request).queued_request
        queued = self.context.commit(
            self.config.sources[0], row, FetchResult(requests=asks or []), ended
        )
        self.scheduler.on_complete(row, queued)


def pages(host: str, count: int, **more: object) -> list[CrawlRequest]:
    return [CrawlRequest(f"https://{host}.example/{n}", "parse", **more) for n in range(count)]  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path, monkeypatch):
    def make(asks=(), **settings: object) -> World:
        return World(tmp_path, monkeypatch, asks, **settings)

    return make


@pytest.mark.parametrize("most", [1, 3])
def test_a_host_never_has_more_in_flight_than_it_may_and_one_that_landed_makes_room(world, most):
    found = world(pages("a", 10), concurrency_per_host=most)
    assert found.all() == [f"a.example/{n}" for n in range(most)]
    last = found.scheduler._queues["a.example"]
    assert len(last.in_flight) == most and found.pending_alarms() == []
    first = module.make_request(
        found.frontier.queue.next_batch("n", "a.example", 1)[0], found.spider
    )
    found.land(first)
    assert found.all() == [f"a.example/{most}"]


def test_hosts_take_turns(world):
    found = world([*pages("a", 3), *pages("b", 2), *pages("c", 3)], concurrency_per_host=3)
    assert found.all() == [
        f"{name}.example/{n}" for n in range(3) for name in "abc" if (name, n) != ("b", 2)
    ]


def test_more_is_read_ahead_when_the_first_rows_are_in_flight_and_none_comes_twice(world):
    found = world(pages("a", 80), concurrency_per_host=16)
    seen = []
    while request := found.scheduler.next_request():
        seen.append(request.url)
        if len(found.scheduler._queues["a.example"].in_flight) == 16:
            found.land(request)
    assert seen[:80] == [f"https://a.example/{n}" for n in range(len(seen))][:80]
    assert len(set(seen)) == len(seen) and len(seen) == 80


def test_a_crawl_delay_lies_between_the_end_of_a_request_and_the_next_and_others_go_on(world):
    found = world([*pages("a", 3), *pages("b", 2)], concurrency_per_host=2)
    found.context.hosts.note_robots("a.example", 2.5)
    first = found.scheduler.next_request()
    assert first.url == "https://a.example/0" and found.all() == ["b.example/0", "b.example/1"]
    found.now += 1.0
    found.land(first)
    assert found.all() == [] and found.pending_alarms() == [2.5]
    found.now += 2.4
    assert found.all() == []
    found.now += 0.1
    assert found.all() == ["a.example/1"]


def test_a_crawl_delay_that_was_read_only_during_the_first_request_holds_for_the_second(world):
    found = world(pages("a", 2))
    found.next()
    found.context.hosts.note_robots("a.example", 10.0)
    found.now += 1.0
    found.land(found.request)
    assert found.all() == [] and found.pending_alarms() == [10.0]
    found.now += 10.0
    assert found.all() == ["a.example/1"]


@pytest.mark.parametrize(("robots", "asked"), [("allowed", 1), ("api", 3)])
def test_a_host_gets_one_request_until_its_robots_txt_is_read(world, robots, asked):
    found = world(pages("a", 5), robots_read="", concurrency_per_host=3)
    found.spider.needs_robots = robots == "allowed"
    assert len(found.all()) == asked
    found.context.hosts.note_robots("a.example", None)
    assert len(found.all()) == 3 - asked


def test_a_held_host_is_passed_over_and_asked_when_its_pause_is_over(world):
    found = world([*pages("a", 1), *pages("b", 1)])
    found.context.hosts.back_off("a.example", 30)
    assert found.all() == ["b.example/0"] and found.pending_alarms() == [30.0]
    assert found.scheduler.has_pending_requests()
    found.now += 30
    assert found.all() == ["a.example/0"]


def test_hops_of_redirects_come_first(world):
    found = world(pages("a", 2), concurrency_per_host=2)
    moved = Request("https://b.example/moved")
    assert found.scheduler.enqueue_request(moved)
    assert found.scheduler.has_pending_requests()
    assert found.all() == ["b.example/moved", "a.example/0", "a.example/1"]


@pytest.mark.parametrize(("pause", "pending"), [(LONGEST_PAUSE, True), (LONGEST_PAUSE + 1, False)])
def test_a_call_waits_for_a_held_host_only_so_long(world, pause, pending):
    found = world(pages("a", 1))
    found.context.hosts.back_off("a.example", pause)
    assert found.all() == []
    assert found.scheduler.has_pending_requests() is pending
    assert found.pending_alarms() == ([pause] if pending else [])
    assert found.frontier.queue.count_queued() == 1


@pytest.mark.parametrize(
    ("state", "due", "pending"),
    [(WAITING, 300.0, True), (WAITING, 301.0, False), (DONE, 1.0, False)],
)
def test_a_call_waits_for_what_is_to_be_repeated_soon_and_for_nothing_that_is_done(
    world, state, due, pending
):
    found = world(pages("a", 1))
    found.next()
    found.land(found.request, RequestStatus(state, START + due))
    assert found.scheduler.has_pending_requests() is pending


def test_a_host_that_gave_all_it_should_is_left_with_its_queue(world):
    found = world([*pages("a", 3), *pages("b", 1)], pages_per_host=1)
    found.next()
    row = get_metadata(found.request).queued_request
    found.context.commit(
        found.config.sources[0], row, FetchResult(captures=[b"x"]), RequestStatus(DONE)
    )
    found.scheduler.on_complete(row, 0)
    assert found.all() == ["b.example/0"] and found.pending_alarms() == []
    found.land(
        module.make_request(found.frontier.queue.next_batch("n", "b.example", 1)[0], found.spider)
    )
    assert not found.scheduler.has_pending_requests() and found.frontier.queue.count_queued() == 2


def test_the_alarm_is_for_the_earliest_moment_and_is_moved_only_to_an_earlier_one(world):
    found = world([*pages("a", 1), *pages("b", 1)])
    for host, seconds in (("a.example", 50), ("b.example", 20)):
        found.context.hosts.back_off(host, seconds)
    assert found.all() == [] and found.pending_alarms() == [20.0]
    assert found.all() == [] and len(found.alarms) == 1
    found.frontier.queue.add("n", pages("c", 1))
    found.scheduler.refresh()
    found.context.hosts.back_off("c.example", 5)
    assert found.all() == [] and found.pending_alarms() == [5.0] and len(found.alarms) == 2
    found.context.hosts.back_off("c.example", 100)
    assert found.all() == [] and found.pending_alarms() == [5.0]


def test_an_alarm_is_never_so_near_that_it_would_spin(world):
    found = world(pages("a", 1))
    found.next()
    found.land(found.request, RequestStatus(WAITING, START - 5))
    assert found.all() == [] and found.pending_alarms() == [SHORTEST_WAIT]


def test_when_the_alarm_rings_what_waited_is_queued_and_scrapy_is_told(world):
    found = world(pages("a", 1))
    found.next()
    found.land(found.request, RequestStatus(WAITING, START + 7))
    assert found.all() == [] and found.pending_alarms() == [7.0]
    found.now += 7
    found.alarms[0].call()
    assert found.schedules == 1
    assert found.all() == ["a.example/0"] and found.request is None
    assert found.frontier.queue.next_fetch_at(only_retries=True) is None


def test_the_alarm_of_one_source_leaves_what_waits_of_another_to_its_own(world):
    found = world(pages("a", 1))
    found.frontier.queue.add("m", pages("z", 1))
    (row,) = found.frontier.queue.next_batch("m", "z.example", 1)
    found.frontier.commit(row, FetchResult(), RequestStatus(WAITING, START + 1), now=START)
    found.next()
    found.land(found.request, RequestStatus(WAITING, START + 1))
    assert found.all() == []
    found.now += 1
    found.alarms[0].call()
    assert (
        found.frontier.queue.list_hosts("n") == ["a.example"]
        and found.frontier.queue.list_hosts("m") == []
    )


def test_a_closed_scheduler_waits_for_nothing(world):
    found = world(pages("a", 1))
    found.context.hosts.back_off("a.example", 30)
    found.all()
    found.scheduler.close("finished")
    assert found.pending_alarms() == []


def test_what_a_page_brought_is_asked_in_its_turn_on_hosts_that_are_new_too(world):
    found = world(pages("a", 1))
    found.next()
    found.land(found.request, asks=[*pages("b", 1), CrawlRequest("https://a.example/new", "parse")])
    assert found.all() == ["a.example/new", "b.example/0"]


def test_nothing_that_is_in_flight_is_lost_or_asked_twice_by_another_process(
    world, tmp_path, monkeypatch
):
    found = world(pages("a", 3))
    assert found.all() == ["a.example/0"]
    found.frontier.close()
    again = World(tmp_path, monkeypatch, pages("a", 3), concurrency_per_host=4)
    assert again.all() == ["a.example/0", "a.example/1", "a.example/2"]
    for row in again.frontier.queue.next_batch("n", "a.example", 3):
        again.land(module.make_request(row, again.spider))
    assert again.all() == [] and not again.scheduler.has_pending_requests()


HAD = Validators('"tag"', "Fri, 27 Nov 2026 00:00:00 GMT", "sha1:X", "2026-11-27T00:00:00Z")


@pytest.mark.parametrize(
    ("before", "headers"),
    [
        (Validators(), {}),
        (
            HAD,
            {
                b"If-None-Match": [b'"tag"'],
                b"If-Modified-Since": [b"Fri, 27 Nov 2026 00:00:00 GMT"],
            },
        ),
        (
            Validators('"tag"', None, "sha1:X", "2026-11-27T00:00:00Z"),
            {b"If-None-Match": [b'"tag"']},
        ),
        (Validators(None, None, "sha1:X", "2026-11-27T00:00:00Z"), {}),
        (Validators('"tag"', "Fri, 27 Nov 2026 00:00:00 GMT"), {}),
    ],
)
def test_only_where_there_was_an_answer_is_it_asked_whether_it_changed(world, before, headers):
    found = world(pages("a", 1))
    found.next()
    found.land(found.request, RequestStatus(DONE, START, before))
    found.frontier.queue.requeue_due(START)
    found.scheduler.refresh()
    found.next()
    assert dict(found.request.headers) == headers


def test_a_request_carries_its_row_its_door_and_its_signals(world):
    facts = {"door": "robots.txt", "signals": [["rightsinfo", "CC0"]]}
    found = world([CrawlRequest("https://a.example/x", "parse", "html", facts=facts)])
    found.next()
    metadata = get_metadata(found.request)
    assert (metadata.format, metadata.needs_robots, metadata.captures) == ("html", True, [])
    assert (metadata.entry_point, metadata.any_host) == ("robots.txt", True)
    assert metadata.rights_signals == (RightsSignal("rightsinfo", "CC0"),)
    assert metadata.queued_request.url == "https://a.example/x" and found.request.dont_filter


# A frontier that fails


def test_a_frontier_that_cannot_be_read_ends_the_crawl_instead_of_being_asked_for_ever(
    world, monkeypatch
):
    found = world(pages("a", 1))

    def damaged(*_: object, **__: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    for name in ("next_batch", "list_hosts", "requeue_due"):
        monkeypatch.setattr(RequestQueue, name, damaged)
    assert found.scheduler.next_request() is None
    assert found.scheduler.has_pending_requests() is False
    found.scheduler.on_timer()
    assert [str(error) for error in found.ended] == ["database disk image is malformed"] * 3


def test_a_source_whose_first_requests_cannot_be_queued_is_a_fault_of_the_call(world, monkeypatch):
    found = world()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "the disk takes nothing more")

    monkeypatch.setattr(RequestQueue, "add", full)
    with pytest.raises(OSError, match="nothing more"):
        found.scheduler.open(found.spider)
    assert isinstance(found.context.status.error, OSError)
