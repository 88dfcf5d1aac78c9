"""A whole crawl of the demo site over loopback: what is fetched, stored, refused and failed, and what stopping it leaves."""

import json
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from warcio.archiveiterator import ArchiveIterator

from crawlers.demo_site import PLANTED
from gristmill.ledger import totals
from gristmill.runs import FinishedRun, all_entries, open_run

DEMO = ("crawl", "--config", "configs/crawl/demo.toml")
KEYS = {"source", "kind", "format", "lang_hint", "licence", "evidence", "opt_out", "robots"}


def captures(run: FinishedRun) -> list[dict]:
    """Every capture of a run: URL, status, request headers, body, digest and metadata."""
    out: list[dict] = []
    for path in run.files("captures/"):
        with open(path, "rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                headers = record.rec_headers
                if record.rec_type == "request":
                    out.append({"url": headers["WARC-Target-URI"], "request": dict(record.http_headers.headers)})
                elif record.rec_type == "response":
                    out[-1] |= {"id": headers["WARC-Record-ID"], "status": int(record.http_headers.get_statuscode())}
                    out[-1] |= {"digest": headers["WARC-Payload-Digest"], "body": record.content_stream().read()}
                elif record.rec_type == "metadata":
                    assert (
                        headers["WARC-Concurrent-To"] == out[-1]["id"] and headers["WARC-Target-URI"] == out[-1]["url"]
                    )
                    out[-1]["metadata"] = json.loads(record.content_stream().read())
    return out


@pytest.fixture(scope="module")
def found(demo_crawl) -> list[dict]:
    return captures(demo_crawl)


def test_the_ledger_balances_and_every_fate_occurs(demo_crawl):
    counts = demo_crawl.counts
    assert counts["read"] == counts["kept"] + counts["dropped"] + counts["quarantined"]
    assert totals(all_entries(demo_crawl)) == {
        name: n for name, n in counts.items() if name not in ("read", "captures", "bytes")
    }
    assert {name: n for name, n in counts.items() if ":" in name} == {
        "dropped:opt_out": 11,
        "dropped:robots": 1,
        "dropped:unreachable": 1,
        "quarantined:broken_item": 1,
        "quarantined:dataloss": 1,
        "quarantined:http_404": 1,
        "quarantined:http_500": 1,
    }


def test_every_capture_has_a_request_a_response_and_its_metadata(demo_crawl, found):
    assert len(found) == demo_crawl.counts["captures"] == sum(demo_crawl.details["fetched"].values())
    assert all(set(capture["metadata"]) == KEYS for capture in found)


def test_formats_say_what_is_content_and_what_is_not(found):
    formats = Counter((c["metadata"]["kind"], c["metadata"]["format"]) for c in found)
    assert set(formats) == {
        ("wiki", "discovery"),
        ("wiki", "mediawiki-api"),
        ("news", "discovery"),
        ("news", "html"),
        ("social", "discovery"),
        ("social", "mastodon-api"),
    }
    assert all(c["metadata"]["format"] == "discovery" for c in found if c["status"] != 200)
    assert all(
        c["metadata"]["format"] == "discovery"
        for c in found
        if urlsplit(c["url"]).path.endswith((".xml", "robots.txt"))
    )


def test_evidence_licences_and_languages_are_recorded(found):
    wiki = [c["metadata"] for c in found if c["metadata"]["format"] == "mediawiki-api"]
    assert {(m["source"], m["lang_hint"], m["licence"], m["robots"]) for m in wiki} == {
        ("demo-wiki-en", "en", "CC0-1.0", "api"),
        ("demo-wiki-zh", "zh", "CC0-1.0", "api"),
    }
    assert all(
        m["evidence"] == [{"signal": "rightsinfo", "value": "https://creativecommons.org/publicdomain/zero/1.0/"}]
        for m in wiki
    )
    articles = Counter(c["metadata"]["licence"] for c in found if c["metadata"]["format"] == "html")
    assert set(articles) == {"CC0-1.0", "PSF-2.0", "unknown"} and articles["unknown"] <= 3


@pytest.mark.parametrize(
    "case", [c for c in PLANTED if c.source == "demo-news" and c.outcome == "opt_out"], ids=lambda case: case.name
)
def test_a_planted_opt_out_page_carries_its_refusal(found, case):
    (capture,) = [c for c in found if c["url"] == case.locator]
    assert capture["metadata"]["opt_out"] and capture["metadata"]["format"] == "html"


def test_nothing_else_on_the_news_site_opts_out(found):
    refused = {c["url"] for c in found if c["metadata"]["opt_out"]}
    assert refused == {c.locator for c in PLANTED if c.source == "demo-news" and c.outcome == "opt_out"}


@pytest.mark.parametrize(
    "case", [c for c in PLANTED if c.outcome in ("robots", "unreachable")], ids=lambda case: case.name
)
def test_what_robots_txt_forbids_is_never_fetched(found, case):
    assert case.locator not in {c["url"] for c in found}


def test_a_robots_txt_that_answers_503_closes_its_host(found):
    paths = [urlsplit(c["url"]).path for c in found if c["metadata"]["source"] == "demo-down"]
    assert set(paths) == {"/robots.txt"}


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/planted/missing.html", [404]),
        ("/planted/server-error.html", [500, 500, 500]),
        ("/planted/moved.html", [301]),
        ("/planted/busy.html", [429, 200]),
    ],
)
def test_errors_redirects_and_retries_are_captured_in_turn(found, path, statuses):
    assert [c["status"] for c in found if urlsplit(c["url"]).path == path] == statuses


@pytest.mark.parametrize(
    "case", [c for c in PLANTED if c.source == "demo-news" and c.step != "crawl"], ids=lambda case: case.name
)
def test_every_other_planted_page_reaches_the_captures(found, case):
    assert case.locator in {c["url"] for c in found}


def test_every_planted_wiki_page_and_status_reaches_the_captures(found):
    stored = set()
    for capture in found:
        if capture["metadata"]["format"] == "mediawiki-api":
            stored |= {page["fullurl"] for page in json.loads(capture["body"])["query"]["pages"]}
        if capture["metadata"]["format"] == "mastodon-api":
            stored |= {status["url"] for status in json.loads(capture["body"])}
    assert {c.locator for c in PLANTED if c.source in ("demo-wiki-en", "demo-social")} <= stored


def test_no_document_is_captured_twice(found):
    content = [c["url"] for c in found if c["metadata"]["format"] != "discovery"]
    assert len(content) == len(set(content))


def test_urls_are_stable_and_every_request_says_who_asks(found):
    assert not [c["url"] for c in found if "127.0.0.1" in c["url"]]
    assert all(
        "demo@example.org" in c["request"]["User-Agent"] and c["request"]["User-Agent"].startswith("gristmill/")
        for c in found
    )
    assert not [c for c in found if {"cookie", "referer"} & {name.lower() for name in c["request"]}]


def test_a_second_run_is_a_no_op_and_a_fresh_one_is_the_next_sequence_with_equal_content(demo_crawl, found, gristmill):
    out = demo_crawl.path.parent
    again = gristmill(*DEMO, "--out", out)
    assert again.returncode == 0 and again.stdout.strip() == str(demo_crawl.path) and "--fresh" in again.stderr
    fresh = gristmill(*DEMO, "--out", out, "--fresh", "--json")
    report = json.loads(fresh.stdout)
    assert (
        Path(report["path"]).name == demo_crawl.id.replace("-0001", "-0002")
        and report["counts"]["read"] == demo_crawl.counts["read"]
    )
    newest = gristmill(*DEMO, "--out", out)
    assert newest.stdout.strip() == report["path"]
    content = sorted(
        (c["url"], c["digest"], json.dumps(c["metadata"])) for c in found if c["metadata"]["format"] != "discovery"
    )
    repeated = captures(open_run(report["path"]))
    assert content == sorted(
        (c["url"], c["digest"], json.dumps(c["metadata"])) for c in repeated if c["metadata"]["format"] != "discovery"
    )


SMALL = """contact = "t@example.org"
[demo]
serve = true
[politeness]
delay = %s
autothrottle = false
[[sources]]
kind = "wiki"
name = "small"
api = "http://wiki.demo.test/zh/wiki/api.php"
"""


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 75), (signal.SIGTERM, 75), (signal.SIGKILL, -9)])
def test_a_crawl_that_is_stopped_leaves_no_finished_run(tmp_path, repository, environment, command, how, code):
    (tmp_path / "small.toml").write_text(SMALL % "60.0")
    arguments = ["crawl", "--config", tmp_path / "small.toml", "--out", tmp_path / "runs"]
    process = subprocess.Popen(
        [*command, *arguments], cwd=repository, env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.warc.gz")) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    process.send_signal(how)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told.decode()
    assert not list(tmp_path.rglob("manifest.json"))
    assert b"Traceback" not in told


def test_what_a_killed_crawl_left_is_thrown_away_by_the_next(tmp_path, gristmill):
    (tmp_path / "small.toml").write_text(SMALL % "0.0")
    first = gristmill("crawl", "--config", tmp_path / "small.toml", "--out", tmp_path / "a")
    name = Path(first.stdout.strip()).name
    left = tmp_path / "b" / name / "captures" / "00007.warc.gz"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a file")
    again = gristmill("crawl", "--config", tmp_path / "small.toml", "--out", tmp_path / "b")
    assert again.returncode == 0 and not left.exists()
    assert [f.path for f in open_run(tmp_path / "b" / name).data_files("captures/")] == ["captures/00000.warc.gz"]


def test_a_disk_that_fills_up_ends_the_crawl_with_the_file_and_no_finished_run(
    tmp_path, repository, environment, command
):
    (tmp_path / "small.toml").write_text(SMALL % "0.0")
    arguments = ["crawl", "--config", str(tmp_path / "small.toml"), "--out", str(tmp_path / "runs")]
    limited = ["bash", "-c", 'ulimit -f 20 && exec "$@"', "bash", *command, *arguments]
    done = subprocess.run(
        limited, cwd=repository, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2 and "captures" in done.stderr, done.stderr
    assert not list(tmp_path.rglob("manifest.json")) and not list(tmp_path.rglob("*.warc.gz"))


@pytest.mark.parametrize("config", ["configs/crawl/default.toml", None])
def test_no_crawl_starts_without_a_contact_address(tmp_path, gristmill, config):
    done = gristmill("crawl", *(("--config", config) if config else ()), "--out", tmp_path)
    assert done.returncode == 2 and "contact" in done.stderr and done.stdout == ""
    assert list(tmp_path.iterdir()) == []
