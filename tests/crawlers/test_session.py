"""The session of a crawl: fates are counted once, licences by source, hosts wait."""

import pytest

from crawlers.config import CrawlConfig
from crawlers.crawl import _check, scrapy_settings, summary
from crawlers.rights import Verdict
from crawlers.session import Session
from crawlers.warc import WarcWriter
from gristmill.errors import RunError, Stopped
from gristmill.ledger import totals
from gristmill.progress import Progress
from gristmill.runs import FinishedRun

KEPT, REFUSED = Verdict("CC-BY-4.0", (), None, ()), Verdict("unknown", ("noai",), "opt_out", ())


@pytest.fixture
def session(tmp_path) -> Session:
    source = {"kind": "news", "name": "n", "sites": ["https://n.example"], "lang": "en"}
    config = CrawlConfig.model_validate({"contact": "a@b.org", "sources": [source]})
    return Session(config, WarcWriter(tmp_path), Progress("crawl"))


def source_of(session: Session):
    return session.config.sources[0]


def test_every_document_has_one_fate(session):
    source = source_of(session)
    session.stored(source, KEPT, 100)
    session.stored(source, REFUSED, 50)
    session.dropped(source, "robots")
    session.failed(source, "http_404", "https://n.example/x")
    assert totals(session.tally.entries()) == {
        "kept": 1,
        "dropped": 2,
        "dropped:opt_out": 1,
        "dropped:robots": 1,
        "quarantined": 1,
        "quarantined:http_404": 1,
    }
    assert session.documents["n"] == 4 and session.failures == ["http_404  https://n.example/x"]
    assert session.licence_table() == {"n": {"CC-BY-4.0": 1, "unknown": 1}}


def test_a_held_host_waits_and_others_do_not(session):
    session.hold("a.example", 30)
    session.hold("a.example", 5)
    assert 29 < session.pause("a.example") <= 30 and session.pause("b.example") == 0


def test_a_crawl_that_kept_something_is_sealed_whatever_failed(session):
    session.stored(source_of(session), KEPT, 1)
    session.failed(source_of(session), "timeout", "x")
    _check(session)


def test_a_crawl_that_brought_nothing_is_an_error_that_names_the_failures(session):
    session.failed(source_of(session), "unknown_host", "https://n.example/robots.txt")
    with pytest.raises(RunError, match=r"(?s)no document.*unknown_host.*n\.example.*to fix"):
        _check(session)


def test_a_crawl_whose_documents_are_all_refused_is_still_a_crawl(session):
    session.stored(source_of(session), REFUSED, 1)
    _check(session)


def test_a_stopped_crawl_is_never_sealed(session):
    session.stored(source_of(session), KEPT, 1)
    session.stopped = "SIGINT"
    with pytest.raises(Stopped, match="SIGINT"):
        _check(session)


def test_a_capture_that_could_not_be_written_ends_the_crawl_with_its_error(session):
    session.fault, session.stopped = OSError(28, "No space left on device"), "capture_failed"
    with pytest.raises(OSError, match="No space left"):
        _check(session)


def test_scrapy_is_told_to_be_polite_and_closed(session):
    settings = scrapy_settings(session.config)
    assert (
        "a@b.org" in settings["USER_AGENT"]
        and settings["ROBOTSTXT_OBEY"]
        and settings["ROBOTSTXT_USER_AGENT"] == "gristmill"
    )
    assert not any(
        settings[name]
        for name in ("COOKIES_ENABLED", "REMOTE_CONTROL_ENABLED", "TELNETCONSOLE_ENABLED", "REFERER_ENABLED")
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
