"""The context of a crawl: fates are counted once, licences by source, hosts wait, and what one call may take has limits."""

import errno
import time
from types import SimpleNamespace

import pytest

from crawlers.context import CrawlContext
from crawlers.crawl import _check_session
from crawlers.downloader.spider import UNCHANGED
from crawlers.frontier.hosts import BackOff
from crawlers.frontier.queue import RequestStatus
from crawlers.frontier.schema import DONE
from crawlers.rights import Verdict
from crawlers.scrapy_settings import make_settings
from crawlers.sealing import collect_details
from crawlers.sources.base import make_stored_result
from crawlers.spider_output import CrawlRequest, DocumentResult, FetchResult, Unreachable
from crawlers.summary import summarize_run
from gristmill.errors import RunError, Stopped
from gristmill.runs.finished import FinishedRun
from gristmill.runs.ledger import totals

KEPT, REFUSED = Verdict("CC-BY-4.0", (), None, ()), Verdict("unknown", ("noai",), "opt_out", ())
NEWS = {"type": "news", "name": "n", "sites": ["https://n.example"], "lang": "en"}


@pytest.fixture
def context(make_context) -> CrawlContext:
    return make_context(NEWS)


def commit(
    context: CrawlContext,
    *found: DocumentResult,
    host: str = "n.example",
    captures: tuple[bytes, ...] = (),
    asks=(),
) -> int:
    """Commit what one request of the source came to; returns how many it queued."""
    source = context.config.sources[0]
    context.frontier.queue.add(
        source.name, [CrawlRequest(f"https://{host}/{time.monotonic_ns()}", "parse_article")]
    )
    row = context.frontier.queue.next_batch(source.name, host, 1)[0]
    return context.commit(
        source, row, FetchResult([*captures], list(asks), [*found]), RequestStatus(DONE)
    )


def test_every_document_has_one_fate(context):
    commit(context, make_stored_result(KEPT, 100))
    commit(context, make_stored_result(REFUSED, 50))
    commit(context, DocumentResult("dropped", "robots"))
    commit(context, DocumentResult("quarantined", "http_404", details="https://n.example/x"))
    assert totals(context.frontier.results.read_entries()) == {
        "kept": 1,
        "dropped": 2,
        "dropped:opt_out": 1,
        "dropped:robots": 1,
        "quarantined": 1,
        "quarantined:http_404": 1,
    }
    assert context.documents["n"] == 4
    details = collect_details(context)
    assert details.failures == ["http_404  https://n.example/x"]
    assert details.licences == {"n": {"CC-BY-4.0": 1, "unknown": 1}}
    assert {entry.lang for entry in context.frontier.results.read_entries()} == {"en"}


def test_the_details_of_a_call_name_what_was_fetched_shut_queued_and_taken_down(context):
    source = context.config.sources[0]
    context.add_results(
        source,
        FetchResult(
            captures=[b"x"], unreachable=[Unreachable("d.example", "robots.txt unreachable")]
        ),
    )
    commit(
        context,
        captures=(b"y", b"z"),
        asks=[CrawlRequest("https://n.example/later", "parse_article")],
    )
    context.frontier.results.add_takedown("https://n.example/gone", "deleted", 0)
    details = collect_details(context)
    assert details.policy == "strict-eu"
    assert details.fetched == {"n": 3}
    assert details.unreachable == {"d.example": "robots.txt unreachable"}
    assert (details.queued, details.takedowns) == (1, 1)


def test_a_commit_says_how_many_requests_it_queued_and_documents_stop_at_the_budget(make_context):
    context = make_context({**NEWS, "max_documents": 2})
    asks = [
        CrawlRequest(f"https://n.example/{n}", "parse_article", is_document=True) for n in range(5)
    ]
    assert commit(context, asks=asks) == 2
    assert commit(context, asks=[*asks, CrawlRequest("https://n.example/list", "parse_feed")]) == 1


def test_a_call_that_goes_on_in_another_process_knows_what_was_found_before(make_context):
    commit(make_context(NEWS), make_stored_result(KEPT, 1), make_stored_result(KEPT, 1))
    assert make_context(NEWS).documents == {"n": 2}


def test_a_held_host_waits_and_others_do_not(context):
    context.hosts.back_off("a.example", 30)
    context.hosts.back_off("a.example", 5)
    assert (
        29 < context.hosts.seconds_to_wait("a.example") <= 30
        and context.hosts.seconds_to_wait("b.example") == 0
    )


def test_a_held_host_waits_in_later_calls_and_other_processes_too(make_context):
    context = make_context(NEWS)
    context.hosts.back_off("a.example", 3600, is_429=True)
    context.frontier.finish_session("a-run")
    again = make_context(NEWS)
    assert 3590 < again.hosts.seconds_to_wait("a.example") <= 3600
    assert again.hosts.consecutive_429s("a.example") == 1


def test_an_answer_forgives_strikes_and_shortens_no_pause(make_context):
    context = make_context(NEWS)
    for count in (1, 2):
        context.hosts.back_off("a.example", 60, is_429=True)
        assert context.hosts.consecutive_429s("a.example") == count
    context.hosts.reset_429s("a.example")
    assert context.hosts.consecutive_429s("a.example") == 0
    assert context.hosts.seconds_to_wait("a.example") > 59
    assert make_context(NEWS).hosts.consecutive_429s("a.example") == 0


@pytest.mark.parametrize(
    ("limit", "captures", "spent"),
    [
        ({"pages_per_host": 2}, (b"a",), False),
        ({"pages_per_host": 2}, (b"a", b"b"), True),
        ({"bytes_per_host": 10}, (b"a" * 9,), False),
        ({"bytes_per_host": 10}, (b"a" * 5, b"b" * 5), True),
        ({}, (b"a" * 1000,) * 50, False),
    ],
)
def test_a_host_is_spent_once_it_gave_as_many_answers_or_bytes_as_one_call_may_take(
    make_context, limit, captures, spent
):
    context = make_context(NEWS, politeness=limit)
    assert not context.hosts.is_quota_used("n.example")
    commit(context, captures=captures)
    assert context.hosts.is_quota_used("n.example") == spent
    assert not context.hosts.is_quota_used("other.example")


def test_a_host_is_spent_so_many_seconds_after_its_first_answer(make_context):
    clock = SimpleNamespace(now=1000.0)
    context = make_context(
        NEWS, politeness={"seconds_per_host": 60}, services={"clock": lambda: clock.now}
    )
    clock.now += 500
    assert not context.hosts.is_quota_used("n.example")
    commit(context, captures=(b"a",))
    clock.now += 59
    assert not context.hosts.is_quota_used("n.example")
    clock.now += 1
    assert context.hosts.is_quota_used("n.example")


def test_what_a_host_gave_counts_on_in_another_process_until_the_call_is_sealed(make_context):
    context = make_context(NEWS, politeness={"pages_per_host": 1})
    commit(context, captures=(b"a",))
    assert make_context(NEWS, politeness={"pages_per_host": 1}).hosts.is_quota_used("n.example")
    context.frontier.finish_session("a-run")
    assert not make_context(NEWS, politeness={"pages_per_host": 1}).hosts.is_quota_used("n.example")


def test_a_crawl_that_kept_something_is_sealed_whatever_failed(context):
    commit(context, make_stored_result(KEPT, 1))
    commit(context, DocumentResult("quarantined", "timeout", details="x"))
    _check_session(context)


def test_a_crawl_that_brought_nothing_is_an_error_that_names_the_failures(context):
    commit(
        context,
        DocumentResult("quarantined", "unknown_host", details="https://n.example/robots.txt"),
    )
    with pytest.raises(RunError, match=r"(?s)no document.*unknown_host.*n\.example.*to fix"):
        _check_session(context)


def test_a_crawl_that_brought_nothing_begins_anew_the_next_time(context):
    commit(
        context,
        DocumentResult("quarantined", "unknown_host", details="https://n.example/robots.txt"),
    )
    with pytest.raises(RunError):
        _check_session(context)
    assert (context.frontier.queue.count_known(), context.frontier.results.read_entries()) == (
        0,
        [],
    )


def test_a_crawl_that_brought_nothing_yet_and_has_more_to_ask_is_no_error(context):
    commit(context, asks=[CrawlRequest("https://n.example/later", "parse_article")])
    _check_session(context)


def test_a_later_call_that_brought_nothing_is_no_error(context):
    context.frontier.finish_session("the-first")
    commit(context, DocumentResult("quarantined", "http_404", details="x"))
    _check_session(context)


@pytest.mark.parametrize("found", [make_stored_result(REFUSED, 1), UNCHANGED])
def test_a_crawl_whose_documents_are_all_refused_is_still_a_crawl(context, found):
    commit(context, found)
    _check_session(context)


def test_a_stopped_crawl_is_never_sealed(context, capsys):
    commit(
        context,
        make_stored_result(KEPT, 1),
        asks=[CrawlRequest("https://n.example/later", "parse_article")],
    )
    context.status.stopped_by = "SIGINT"
    with pytest.raises(Stopped, match=r"SIGINT.*1 requests queued"):
        _check_session(context)
    assert "so far stored 1" in capsys.readouterr().err


def test_a_capture_that_could_not_be_written_ends_the_crawl_with_its_error(context):
    context.status.error, context.status.stopped_by = (
        OSError(28, "No space left on device"),
        "fault",
    )
    with pytest.raises(OSError, match="No space left"):
        _check_session(context)


@pytest.mark.parametrize("write", ["metadata", "takedown", "back_off"])
def test_a_disk_that_fills_up_between_two_requests_is_told_as_such_with_the_file(context, write):
    context.frontier.database.connection.execute(
        "PRAGMA max_page_count = 1"
    )  # not less than it has by now: it cannot grow
    long = "x" * 1_000_000
    frontier = context.frontier
    writes = {
        "metadata": lambda: frontier.database.set_metadata("sealing", long),
        "takedown": lambda: frontier.results.add_takedown(long, "deleted", 0),
        "back_off": lambda: frontier.hosts.save_back_off(long, BackOff(0.0)),
    }
    with pytest.raises(OSError) as caught:
        writes[write]()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(context.frontier.path))


def test_scrapy_is_told_to_be_polite_and_closed(make_context):
    settings = make_settings(make_context(NEWS, private_hosts=["intranet.example"]).config)
    assert "a@b.org" in settings["USER_AGENT"]
    assert not any(
        settings[name]
        for name in (
            "COOKIES_ENABLED",
            "REMOTE_CONTROL_ENABLED",
            "TELNETCONSOLE_ENABLED",
            "REFERER_ENABLED",
            "RETRY_ENABLED",
        )
    )
    assert (
        settings["DOWNLOAD_VERIFY_CERTIFICATES"]
        and settings["DOWNLOAD_MAXSIZE"] == 16 << 20
        and settings["DOWNLOAD_TIMEOUT"] == 30
    )
    assert (
        settings["DOWNLOAD_DELAY"] == 1
        and settings["CONCURRENT_REQUESTS_PER_DOMAIN"] == 1
        and settings["AUTOTHROTTLE_ENABLED"]
    )
    order = settings["DOWNLOADER_MIDDLEWARES"]
    assert order["scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware"] is None
    assert (
        order["crawlers.downloader.politeness.AddressMiddleware"]
        < order["crawlers.downloader.sites.SiteMiddleware"]
    )
    assert (
        "intranet.example" in settings["PRIVATE_HOSTS"]
        and "127.0.0.1" not in settings["PRIVATE_HOSTS"]
    )


def test_the_summary_names_fates_licences_and_the_first_failures(tmp_path):
    counts = {
        "read": 40,
        "kept": 10,
        "dropped": 5,
        "dropped:robots": 5,
        "quarantined": 25,
        "quarantined:http_500": 25,
        "captures": 60,
        "bytes": 2_500_000,
    }
    details = {
        "crawl": "crawl-x/1",
        "policy": "strict-eu",
        "fetched": {"n": 60},
        "queued": 0,
        "licences": {"n": {"CC-BY-4.0": 9, "unknown": 1}},
        "unreachable": {"down.example": "robots.txt unreachable (HTTP 503); nothing was fetched"},
        "failures": [f"http_500  https://n.example/{n}" for n in range(25)],
    }
    lines = summarize_run(
        FinishedRun(tmp_path, {"id": "crawl-x", "counts": counts, "details": details})
    )
    assert lines[:4] == [
        "crawl  found 40 documents in 60 responses (2.5 MB)",
        "  stored 10 | dropped robots 5 | failed http_500 25",
        "  n: 9 CC-BY-4.0, 1 unknown",
        "  down.example: robots.txt unreachable (HTTP 503); nothing was fetched",
    ]
    assert len(lines) == 4 + 20 + 1 and "5 more failures" in lines[-1]


def test_the_summary_tells_what_is_still_queued_and_where_the_takedowns_are(tmp_path):
    counts = {"read": 1, "kept": 1, "dropped": 0, "quarantined": 0, "captures": 1, "bytes": 0}
    details = {
        "crawl": "crawl-x/1",
        "policy": "strict-eu",
        "fetched": {},
        "licences": {},
        "unreachable": {},
        "failures": [],
        "queued": 7,
        "takedowns": 2,
        "waiting": {
            "n.example": {
                "queued": 7,
                "why": "the host asked to be left alone until 2026-11-29 01:07",
            }
        },
    }
    assert summarize_run(
        FinishedRun(tmp_path, {"id": "crawl-x", "counts": counts, "details": details})
    )[2:] == [
        "  n.example: 7 requests still queued; the host asked to be left alone until 2026-11-29 01:07",
        f"  2 pages are gone or refuse since they were stored: {tmp_path / 'takedown.csv'}",
    ]
