"""The session of a crawl: fates are counted once, licences by source, hosts wait, and what one call may take has limits."""

import errno
import time
from types import SimpleNamespace

import pytest

from crawlers import session as session_module
from crawlers.crawl import _check, details_of, scrapy_settings, summary
from crawlers.frontier import store as frontier_module
from crawlers.frontier.store import DONE, Ended
from crawlers.outcome import Ask, Found, Outcome, Shut
from crawlers.rights import Verdict
from crawlers.session import Session
from crawlers.sources.base import UNCHANGED, stored
from gristmill.errors import RunError, Stopped
from gristmill.runs.finished import FinishedRun
from gristmill.runs.ledger import totals

KEPT, REFUSED = Verdict("CC-BY-4.0", (), None, ()), Verdict("unknown", ("noai",), "opt_out", ())
NEWS = {"kind": "news", "name": "n", "sites": ["https://n.example"], "lang": "en"}


@pytest.fixture
def session(session_of) -> Session:
    return session_of(NEWS)


def commit(
    session: Session,
    *found: Found,
    host: str = "n.example",
    captures: tuple[bytes, ...] = (),
    asks=(),
) -> int:
    """Commit what one request of the source came to; returns how many it queued."""
    source = session.config.sources[0]
    session.frontier.add(
        source.name, [Ask(f"https://{host}/{time.monotonic_ns()}", "parse_article")]
    )
    row = session.frontier.take(source.name, host, 1)[0]
    return session.commit(source, row, Outcome([*captures], list(asks), [*found]), Ended(DONE))


def test_every_document_has_one_fate(session):
    commit(session, stored(KEPT, 100))
    commit(session, stored(REFUSED, 50))
    commit(session, Found("dropped", "robots"))
    commit(session, Found("quarantined", "http_404", where="https://n.example/x"))
    assert totals(session.frontier.entries()) == {
        "kept": 1,
        "dropped": 2,
        "dropped:opt_out": 1,
        "dropped:robots": 1,
        "quarantined": 1,
        "quarantined:http_404": 1,
    }
    assert session.documents["n"] == 4
    details = details_of(session)
    assert details["failures"] == ["http_404  https://n.example/x"]
    assert details["licences"] == {"n": {"CC-BY-4.0": 1, "unknown": 1}}
    assert {entry.lang for entry in session.frontier.entries()} == {"en"}


def test_the_details_of_a_call_name_what_was_fetched_shut_queued_and_taken_down(session):
    source = session.config.sources[0]
    session.note(
        source, Outcome(captures=[b"x"], shut=[Shut("d.example", "robots.txt unreachable")])
    )
    commit(session, captures=(b"y", b"z"), asks=[Ask("https://n.example/later", "parse_article")])
    session.frontier.take_down("https://n.example/gone", "deleted", 0)
    details = details_of(session)
    assert details["policy"] == "strict-eu"
    assert details["fetched"] == {"n": 3}
    assert details["unreachable"] == {"d.example": "robots.txt unreachable"}
    assert (details["queued"], details["takedowns"]) == (1, 1)


def test_a_commit_says_how_many_requests_it_queued_and_documents_stop_at_the_budget(session_of):
    session = session_of({**NEWS, "max_documents": 2})
    asks = [Ask(f"https://n.example/{n}", "parse_article", document=True) for n in range(5)]
    assert commit(session, asks=asks) == 2
    assert commit(session, asks=[*asks, Ask("https://n.example/list", "parse_feed")]) == 1


def test_a_call_that_goes_on_in_another_process_knows_what_was_found_before(session_of):
    commit(session_of(NEWS), stored(KEPT, 1), stored(KEPT, 1))
    assert session_of(NEWS).documents == {"n": 2}


def test_a_held_host_waits_and_others_do_not(session):
    session.hold("a.example", 30)
    session.hold("a.example", 5)
    assert 29 < session.pause("a.example") <= 30 and session.pause("b.example") == 0


def test_a_held_host_waits_in_later_calls_and_other_processes_too(session_of):
    session = session_of(NEWS)
    session.hold("a.example", 3600, strike=True)
    session.frontier.sealed("a-run")
    again = session_of(NEWS)
    assert 3590 < again.pause("a.example") <= 3600
    assert again.strikes("a.example") == 1


def test_an_answer_forgives_strikes_and_shortens_no_pause(session_of):
    session = session_of(NEWS)
    for count in (1, 2):
        session.hold("a.example", 60, strike=True)
        assert session.strikes("a.example") == count
    session.answered_well("a.example")
    assert session.strikes("a.example") == 0
    assert session.pause("a.example") > 59
    assert session_of(NEWS).strikes("a.example") == 0


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
    session_of, limit, captures, spent
):
    session = session_of(NEWS, politeness=limit)
    assert not session.is_spent("n.example")
    commit(session, captures=captures)
    assert session.is_spent("n.example") == spent
    assert not session.is_spent("other.example")


def test_a_host_is_spent_so_many_seconds_after_its_first_answer(session_of, monkeypatch):
    clock = SimpleNamespace(
        time=lambda: clock.now, now=1000.0, strftime=time.strftime, gmtime=time.gmtime
    )
    for module in (session_module, frontier_module):
        monkeypatch.setattr(module, "time", clock)
    session = session_of(NEWS, politeness={"seconds_per_host": 60})
    clock.now += 500
    assert not session.is_spent("n.example")
    commit(session, captures=(b"a",))
    clock.now += 59
    assert not session.is_spent("n.example")
    clock.now += 1
    assert session.is_spent("n.example")


def test_what_a_host_gave_counts_on_in_another_process_until_the_call_is_sealed(session_of):
    session = session_of(NEWS, politeness={"pages_per_host": 1})
    commit(session, captures=(b"a",))
    assert session_of(NEWS, politeness={"pages_per_host": 1}).is_spent("n.example")
    session.frontier.sealed("a-run")
    assert not session_of(NEWS, politeness={"pages_per_host": 1}).is_spent("n.example")


def test_a_crawl_that_kept_something_is_sealed_whatever_failed(session):
    commit(session, stored(KEPT, 1))
    commit(session, Found("quarantined", "timeout", where="x"))
    _check(session)


def test_a_crawl_that_brought_nothing_is_an_error_that_names_the_failures(session):
    commit(session, Found("quarantined", "unknown_host", where="https://n.example/robots.txt"))
    with pytest.raises(RunError, match=r"(?s)no document.*unknown_host.*n\.example.*to fix"):
        _check(session)


def test_a_crawl_that_brought_nothing_begins_anew_the_next_time(session):
    commit(session, Found("quarantined", "unknown_host", where="https://n.example/robots.txt"))
    with pytest.raises(RunError):
        _check(session)
    assert (session.frontier.known(), session.frontier.entries()) == (0, [])


def test_a_crawl_that_brought_nothing_yet_and_has_more_to_ask_is_no_error(session):
    commit(session, asks=[Ask("https://n.example/later", "parse_article")])
    _check(session)


def test_a_later_call_that_brought_nothing_is_no_error(session):
    session.frontier.sealed("the-first")
    commit(session, Found("quarantined", "http_404", where="x"))
    _check(session)


@pytest.mark.parametrize("found", [stored(REFUSED, 1), UNCHANGED])
def test_a_crawl_whose_documents_are_all_refused_is_still_a_crawl(session, found):
    commit(session, found)
    _check(session)


def test_a_stopped_crawl_is_never_sealed(session, capsys):
    commit(session, stored(KEPT, 1), asks=[Ask("https://n.example/later", "parse_article")])
    session.stopped = "SIGINT"
    with pytest.raises(Stopped, match=r"SIGINT.*1 requests queued"):
        _check(session)
    assert "so far stored 1" in capsys.readouterr().err


def test_a_capture_that_could_not_be_written_ends_the_crawl_with_its_error(session):
    session.fault, session.stopped = OSError(28, "No space left on device"), "fault"
    with pytest.raises(OSError, match="No space left"):
        _check(session)


@pytest.mark.parametrize("write", ["set_fact", "take_down", "hold"])
def test_a_disk_that_fills_up_between_two_requests_is_told_as_such_with_the_file(session, write):
    session.frontier.db.execute(
        "PRAGMA max_page_count = 1"
    )  # not less than it has by now: it cannot grow
    long = "x" * 1_000_000
    with pytest.raises(OSError) as told:
        getattr(session.frontier, write)(
            *{"take_down": (long, "deleted", 0), "hold": (long, 0)}.get(write, ("sealing", long))
        )
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(session.frontier.path))


def test_scrapy_is_told_to_be_polite_and_closed(session_of):
    settings = scrapy_settings(session_of(NEWS, private_hosts=["intranet.example"]).config)
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
        "licences": {"n": {"CC-BY-4.0": 9, "unknown": 1}},
        "unreachable": {"down.example": "robots.txt unreachable (HTTP 503); nothing was fetched"},
        "failures": [f"http_500  https://n.example/{n}" for n in range(25)],
    }
    lines = summary(FinishedRun(tmp_path, {"id": "crawl-x", "counts": counts, "details": details}))
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
    assert summary(FinishedRun(tmp_path, {"id": "crawl-x", "counts": counts, "details": details}))[
        2:
    ] == [
        "  n.example: 7 requests still queued; the host asked to be left alone until 2026-11-29 01:07",
        f"  2 pages are gone or refuse since they were stored: {tmp_path / 'takedown.csv'}",
    ]
