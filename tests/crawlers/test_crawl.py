"""A whole crawl of the demo site over loopback: what is fetched, stored, refused and failed, and how it goes on."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import processes
import pytest
from warcio.archiveiterator import ArchiveIterator

from crawlers.demo.site import PLANTED
from gristmill.runs.finished import FinishedRun, all_entries, open_run
from gristmill.runs.ledger import totals
from gristmill.runs.run import hold_lock

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
                    out.append(
                        {
                            "url": headers["WARC-Target-URI"],
                            "request": dict(record.http_headers.headers),
                        }
                    )
                elif record.rec_type == "response":
                    out[-1] |= {
                        "id": headers["WARC-Record-ID"],
                        "status": int(record.http_headers.get_statuscode()),
                    }
                    out[-1] |= {
                        "digest": headers["WARC-Payload-Digest"],
                        "body": record.content_stream().read(),
                    }
                elif record.rec_type == "metadata":
                    assert (
                        headers["WARC-Concurrent-To"] == out[-1]["id"]
                        and headers["WARC-Target-URI"] == out[-1]["url"]
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
    assert (
        len(found) == demo_crawl.counts["captures"] == sum(demo_crawl.details["fetched"].values())
    )
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
        m["evidence"]
        == [{"signal": "rightsinfo", "value": "https://creativecommons.org/publicdomain/zero/1.0/"}]
        for m in wiki
    )
    articles = Counter(c["metadata"]["licence"] for c in found if c["metadata"]["format"] == "html")
    assert set(articles) == {"CC0-1.0", "PSF-2.0", "unknown"} and articles["unknown"] <= 3


@pytest.mark.parametrize(
    "case",
    [c for c in PLANTED if c.source == "demo-news" and c.outcome == "opt_out"],
    ids=lambda case: case.name,
)
def test_a_planted_opt_out_page_carries_its_refusal(found, case):
    (capture,) = [c for c in found if c["url"] == case.locator]
    assert capture["metadata"]["opt_out"] and capture["metadata"]["format"] == "html"


def test_nothing_else_on_the_news_site_opts_out(found):
    refused = {c["url"] for c in found if c["metadata"]["opt_out"]}
    assert refused == {
        c.locator for c in PLANTED if c.source == "demo-news" and c.outcome == "opt_out"
    }


@pytest.mark.parametrize(
    "case",
    [c for c in PLANTED if c.outcome in ("robots", "unreachable")],
    ids=lambda case: case.name,
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
    "case",
    [c for c in PLANTED if c.source == "demo-news" and c.step != "crawl"],
    ids=lambda case: case.name,
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
        "demo@example.org" in c["request"]["User-Agent"]
        and c["request"]["User-Agent"].startswith("gristmill/")
        for c in found
    )
    assert not [c for c in found if {"cookie", "referer"} & {name.lower() for name in c["request"]}]


def test_a_second_run_is_a_no_op_and_a_fresh_one_is_the_next_sequence_with_equal_content(
    demo_crawl, found, gristmill
):
    out = demo_crawl.path.parent
    again = gristmill(*DEMO, "--out", out)
    assert (
        again.returncode == 0
        and again.stdout.strip() == str(demo_crawl.path)
        and "--fresh" in again.stderr
    )
    fresh = gristmill(*DEMO, "--out", out, "--fresh", "--json")
    report = json.loads(fresh.stdout)
    assert (
        Path(report["path"]).name == demo_crawl.id.replace("-0001", "-0002")
        and report["counts"]["read"] == demo_crawl.counts["read"]
    )
    newest = gristmill(*DEMO, "--out", out)
    assert newest.stdout.strip() == report["path"]
    content = sorted(
        (c["url"], c["digest"], json.dumps(c["metadata"]))
        for c in found
        if c["metadata"]["format"] != "discovery"
    )
    repeated = captures(open_run(report["path"]))
    assert content == sorted(
        (c["url"], c["digest"], json.dumps(c["metadata"]))
        for c in repeated
        if c["metadata"]["format"] != "discovery"
    )


SMALL = """contact = "t@example.org"
[demo]
serve = true
[politeness]
delay = %s
autothrottle = false
[[sources]]
type = "mediawiki"
name = "small"
api = "http://wiki.demo.test/zh/wiki/api.php"
"""

PATHS = [f"/p{n}.html" for n in range(6)]


def slow_site(gate: threading.Event) -> dict:
    """A news site of six pages; the fourth is not answered before the gate opens."""

    def slow(server, _):
        gate.wait(60)
        return 200, {}, b"<p>at last</p>"

    listed = "".join(f"<url><loc>{{url}}{path}</loc></url>" for path in PATHS)
    return {
        "/robots.txt": (200, {}, b"User-agent: *\nSitemap: {url}/sitemap.xml\n"),
        "/sitemap.xml": (200, {}, f"<urlset>{listed}</urlset>".encode()),
        **{path: (200, {}, b"<p>words</p>") for path in PATHS},
        PATHS[3]: slow,
    }


def wait_until(true, process: subprocess.Popen, seconds: float = 60) -> None:
    """Watch a process until something holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        threading.Event().wait(0.02)


@pytest.fixture
def stopped_crawl(tmp_path, repository, environment, command, serve):
    """A function that crawls the slow site and sends a signal while its fourth page is on its way."""

    def go(how: signal.Signals):
        gate = threading.Event()
        server = serve(slow_site(gate))
        lines = [
            'contact = "t@example.org"',
            'private_hosts = ["127.0.0.1"]',
            "[politeness]",
            "delay = 0.0",
        ]
        lines += [
            "autothrottle = false",
            "[[sources]]",
            'type = "news"',
            'name = "n"',
            f'sites = ["{server.url}"]',
        ]
        (tmp_path / "slow.toml").write_text("\n".join(lines))
        arguments = ["crawl", "--config", tmp_path / "slow.toml", "--out", tmp_path / "runs"]
        process = processes.Popen(
            [*command, *arguments],
            cwd=repository,
            env=environment,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            wait_until(lambda: server.asked[PATHS[3]], process)
            process.send_signal(how)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
            gate.set()
        return server, arguments, process.returncode, told.decode()

    return go


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 75), (signal.SIGTERM, 75), (signal.SIGKILL, -9)]
)
def test_a_crawl_that_is_stopped_seals_nothing_and_goes_on_where_it_was(
    stopped_crawl, gristmill, tmp_path, how, code
):
    server, arguments, ended, told = stopped_crawl(how)
    assert ended == code, told
    assert "Traceback" not in told
    assert not list(tmp_path.rglob("manifest.json"))
    if how != signal.SIGKILL:
        assert (
            f"the crawl was stopped ({how.name}) with 3 requests queued; the same command goes on there"
            in told
        )
    done = gristmill(*arguments)
    assert done.returncode == 0, done.stderr
    assert "3 requests queued before" in done.stderr
    run = open_run(done.stdout.strip())
    assert {path: len(server.asked[path]) for path in PATHS} == {
        path: 2 if path == PATHS[3] else 1 for path in PATHS
    }
    stored = Counter(
        urlsplit(c["url"]).path for c in captures(run) if c["metadata"]["format"] == "html"
    )
    assert stored == dict.fromkeys(PATHS, 1)
    assert (run.counts["read"], run.counts["kept"]) == (6, 6)
    assert run.counts["captures"] == len(captures(run))
    again = gristmill(*arguments)
    assert (again.returncode, again.stdout) == (0, done.stdout)


def test_a_crawl_that_is_killed_again_and_again_loses_nothing_and_stores_nothing_twice(
    tmp_path, repository, environment, command, gristmill, demo_crawl, found
):
    arguments = [*DEMO, "--out", tmp_path / "runs"]
    for committed in (5, 40, 90):
        process = processes.Popen(
            [*command, *arguments],
            cwd=repository,
            env=environment,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            wait_until(lambda enough=committed: ended_requests(tmp_path) >= enough, process)
        finally:
            process.kill()
            process.communicate()
        assert not list(tmp_path.rglob("manifest.json"))
    done = gristmill(*arguments)
    assert done.returncode == 0, done.stderr
    run = open_run(done.stdout.strip())
    fates = {name: n for name, n in run.counts.items() if name not in ("captures", "bytes")}
    assert fates == {
        name: n for name, n in demo_crawl.counts.items() if name not in ("captures", "bytes")
    }
    content = [
        sorted((c["url"], c["digest"]) for c in one if c["metadata"]["format"] != "discovery")
        for one in (captures(run), found)
    ]
    assert content[0] == content[1]


def ended_requests(folder: Path) -> int:
    """How many requests of a crawl under way are committed, read from beside it."""
    for path in folder.rglob("frontier.sqlite"):
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(path)) as db,
        ):
            return int(db.execute("SELECT count(*) FROM request WHERE state > 0").fetchone()[0])
    return 0


def test_two_processes_do_not_crawl_the_same_sources_at_once(stopped_crawl, gristmill, tmp_path):
    _, arguments, _, _ = stopped_crawl(signal.SIGKILL)
    (state,) = (tmp_path / "runs" / "state").iterdir()
    with hold_lock(state):
        done = gristmill(*arguments)
    assert done.returncode == 2
    assert "another process is writing this run" in done.stderr


def test_what_a_killed_crawl_left_is_thrown_away_by_the_next(tmp_path, gristmill):
    (tmp_path / "small.toml").write_text(SMALL % "0.0")
    first = gristmill("crawl", "--config", tmp_path / "small.toml", "--out", tmp_path / "a")
    name = Path(first.stdout.strip()).name
    left = tmp_path / "b" / name / "captures" / "00007.warc.gz"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a file")
    again = gristmill("crawl", "--config", tmp_path / "small.toml", "--out", tmp_path / "b")
    assert again.returncode == 0 and not left.exists()
    assert [f.path for f in open_run(tmp_path / "b" / name).data_files("captures/")] == [
        "captures/00000.warc.gz"
    ]


@pytest.mark.parametrize("kib", [8, 60, 140, 240])
def test_a_disk_that_fills_up_ends_the_crawl_with_the_file_and_the_same_command_with_room_finishes_it(
    tmp_path, repository, environment, command, gristmill, kib
):
    (tmp_path / "small.toml").write_text(SMALL % "0.0")
    arguments = ["crawl", "--config", str(tmp_path / "small.toml"), "--out", str(tmp_path / "runs")]
    limited = ["bash", "-c", f'ulimit -f {kib} && exec "$@"', "bash", *command, *arguments]
    done = processes.run(
        limited,
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (state,) = (tmp_path / "runs" / "state").iterdir()
    assert (
        "error: the disk is full" in done.stderr
        and f"file    {state / 'frontier.sqlite'}" in done.stderr
    )
    assert "it continues" in done.stderr and "Traceback" not in done.stderr
    finished = gristmill(*arguments)
    assert finished.returncode == 0, finished.stderr
    run = open_run(finished.stdout.strip())
    assert (run.counts["read"], run.counts["kept"]) == (75, 75)
    pages = [
        page["title"]
        for c in captures(run)
        for page in json.loads(c["body"])["query"].get("pages", ())
    ]
    assert len(pages) == len(set(pages)) == 75


def test_how_politely_it_is_crawled_may_change_on_the_way(stopped_crawl, gristmill):
    server, arguments, _, _ = stopped_crawl(signal.SIGKILL)
    done = gristmill(
        *arguments, "--set", "recrawl.documents=1000", "--set", "politeness.concurrency_per_host=4"
    )
    run = open_run(done.stdout.strip())
    assert run.counts["kept"] == 6
    assert len(server.asked[PATHS[0]]) == 1


def test_a_fresh_start_forgets_what_a_stopped_crawl_had(stopped_crawl, gristmill):
    server, arguments, _, _ = stopped_crawl(signal.SIGKILL)
    done = gristmill(*arguments, "--fresh")
    assert open_run(done.stdout.strip()).counts["kept"] == 6
    assert len(server.asked[PATHS[0]]) == 2


@pytest.mark.parametrize("config", ["configs/crawl/default.toml", None])
def test_no_crawl_starts_without_a_contact_address(tmp_path, gristmill, config):
    done = gristmill("crawl", *(("--config", config) if config else ()), "--out", tmp_path)
    assert done.returncode == 2 and "contact" in done.stderr and done.stdout == ""
    assert list(tmp_path.iterdir()) == []
