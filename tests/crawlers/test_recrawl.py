"""Crawls of several calls: unchanged pages become revisits, what is gone or refuses now is taken down, shards share nothing."""

import csv
import json
import shutil
import sqlite3
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import processes
import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from warcio.archiveiterator import ArchiveIterator

from gristmill.hashing import sha256_file
from gristmill.rights.takedown import read_takedowns
from gristmill.runs.finished import open_run

CONFIG = """contact = "t@example.org"
private_hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
[politeness]
delay = 0.0
autothrottle = false
concurrency_per_host = 4
backoff = 0.0
[recrawl]
discovery = 0.0
documents = 0.0
"""


class Site(ThreadingHTTPServer):
    """A site that changes: path -> headers and body; asked for a tag it gave before, it answers 304."""

    daemon_threads = True

    def __init__(self, address="127.0.0.1"):
        self.pages, self.asked, self.busy = {}, [], False
        self.moved, self.hidden = set(), set()
        super().__init__((address, 0), Page)
        self.url = f"http://{address}:{self.server_address[1]}"
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def put(self, path, words, **headers):
        body = f"<html><body><p>{words}</p></body></html>".encode()
        self.pages[path] = (
            {name.replace("_", "-"): value for name, value in headers.items()},
            body,
        )

    def answer(self, path):
        if path == "/sitemap.xml":
            places = "".join(
                f"<url><loc>{self.url}{page}</loc></url>"
                for page in sorted(self.pages.keys() - self.hidden)
            )
            return {}, f"<urlset>{places}</urlset>".encode()
        return self.pages.get(path)


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        tag = self.headers.get("If-None-Match")
        self.server.asked.append((self.path, tag))
        found = self.server.answer(self.path)
        status, (headers, body) = (200, found) if found else (404, ({}, b""))
        if self.path in self.server.moved:
            status, body = 302, b""
        if self.server.busy and len(self.path) == 2:
            status, headers, body = 429, {"Retry-After": "86400"}, b""
        if tag and tag == headers.get("ETag"):
            status, body = 304, b""
        self.send_response(status)
        for name, value in {
            "Content-Type": "text/html",
            **headers,
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    running = Site()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def crawl(tmp_path, gristmill):
    """Crawl sites, each a source; returns the sealed run."""

    def run(*sites, options=()):
        lines = [
            f'[[sources]]\ntype = "news"\nname = "n{n}"\nsites = {json.dumps([s.url])}\n'
            for n, s in enumerate(sites)
        ]
        (tmp_path / "crawl.toml").write_text(CONFIG + "".join(lines))
        done = gristmill(
            "crawl", "--config", tmp_path / "crawl.toml", "--out", tmp_path / "runs", *options
        )
        assert done.returncode == 0, done.stderr
        return open_run(done.stdout.strip())

    return run


def records(run):
    """(type, path, status, headers, body) of every record but requests and metadata, as warcio reads them with digests checked."""
    found = []
    for path in run.files("captures/"):
        with open(path, "rb") as file:
            for record in ArchiveIterator(file, check_digests="raise"):
                if record.rec_type in ("response", "revisit"):
                    where = urlsplit(record.rec_headers["WARC-Target-URI"]).path
                    status = int(record.http_headers.get_statuscode())
                    found.append(
                        (
                            record.rec_type,
                            where,
                            status,
                            record.rec_headers,
                            record.content_stream().read(),
                        )
                    )
    return found


def test_a_page_that_answers_304_or_the_same_again_is_a_revisit_of_its_first_capture(site, crawl):
    site.put("/tagged", "one", ETag='"v1"')
    site.put("/same", "two")
    first, second = crawl(site), crawl(site)
    assert (first.counts["kept"], second.counts["kept"], second.counts["dropped:unchanged"]) == (
        2,
        0,
        2,
    )
    before = {where: headers for kind, where, _, headers, _ in records(first) if kind == "response"}
    after = {
        where: (kind, status, headers, body)
        for kind, where, status, headers, body in records(second)
    }
    profiles = {"/tagged": ("server-not-modified", 304), "/same": ("identical-payload-digest", 200)}
    for where, (profile, status) in profiles.items():
        kind, answered, headers, body = after[where]
        assert (kind, answered, body) == ("revisit", status, b"")
        assert headers["WARC-Profile"].endswith(profile)
        assert headers["WARC-Refers-To-Date"] == before[where]["WARC-Date"]
        assert headers["WARC-Payload-Digest"] == before[where]["WARC-Payload-Digest"]
    assert ("/tagged", '"v1"') in site.asked and ("/same", None) in site.asked


def test_fastwarc_reads_revisits_too(site, crawl):
    site.put("/same", "two")
    crawl(site)
    kinds = Counter()
    for path in crawl(site).files("captures/"):
        with open(path, "rb") as file:
            kinds.update(
                str(record.record_type) for record in FastIterator(file, verify_digests=True)
            )
    assert kinds[str(WarcRecordType.revisit)] >= 1


def test_only_what_changed_and_what_is_new_is_stored_again(site, crawl):
    site.put("/a", "one", ETag='"v1"')
    site.put("/b", "two", ETag='"v1"')
    crawl(site)
    site.put("/b", "two, changed", ETag='"v2"')
    site.put("/c", "three")
    run = crawl(site)
    assert run.counts["kept"] == 2 and run.counts["dropped:unchanged"] == 1
    stored = {
        where: body
        for kind, where, _, _, body in records(run)
        if kind == "response" and len(where) == 2
    }
    assert set(stored) == {"/b", "/c"} and b"changed" in stored["/b"]


def test_what_is_gone_or_refuses_by_now_is_on_a_takedown_list_that_pipelines_read(site, crawl):
    for name in "abcd":
        site.put(f"/{name}", name, ETag='"v1"')
    assert not (crawl(site).path / "takedown.csv").exists()
    del site.pages["/a"]
    site.put("/b", "b", X_Robots_Tag="noai")
    site.put("/c", "changed")
    run = crawl(site)
    assert (
        run.counts["dropped:gone"] == 1
        and run.counts["dropped:opt_out"] == 1
        and run.details["takedowns"] == 2
    )
    rows = list(csv.DictReader((run.path / "takedown.csv").open()))
    assert [(row["kind"], urlsplit(row["value"]).path, row["reason"]) for row in rows] == [
        ("url", "/a", "deleted"),
        ("url", "/b", "opt_out"),
    ]
    listed = read_takedowns(run.path / "takedown.csv")
    assert listed.covers(id="x", url=f"{site.url}/a") and not listed.covers(
        id="x", url=f"{site.url}/c"
    )
    assert (crawl(site).path / "takedown.csv").read_bytes() == (
        run.path / "takedown.csv"
    ).read_bytes()


def test_a_page_behind_a_redirect_is_looked_at_again_like_any_other(site, crawl):
    site.put("/a", "moved", Location="/elsewhere")
    site.moved = {"/a"}
    site.put("/elsewhere", "one")
    site.hidden = {"/elsewhere"}
    first, second = crawl(site), crawl(site)
    assert (first.counts["kept"], second.counts["kept"], second.counts["dropped:unchanged"]) == (
        1,
        0,
        1,
    )
    site.put("/elsewhere", "two")
    assert crawl(site).counts["kept"] == 1


def test_each_call_seals_a_run_of_its_own_and_nothing_due_is_no_run(site, crawl, tmp_path):
    site.put("/a", "one")
    names = [crawl(site).id[-4:], crawl(site).id[-4:]]
    never = ("--set", "recrawl.discovery=24", "--set", "recrawl.documents=24")
    names += [crawl(site, options=never).id[-4:], crawl(site, options=never).id[-4:]]
    assert names == ["0001", "0002", "0003", "0003"]


def test_a_sealed_run_is_never_overwritten_where_the_state_was_lost(site, crawl, tmp_path):
    site.put("/a", "one")
    first = crawl(site)
    before = (first.path / "manifest.json").read_bytes()
    shutil.rmtree(tmp_path / "runs/state")
    second = crawl(site)
    assert (first.id[-4:], second.id[-4:], second.counts["kept"]) == ("0001", "0002", 1)
    assert (first.path / "manifest.json").read_bytes() == before and first.files("captures/")[
        0
    ].is_file()


def test_what_a_killed_call_fetched_itself_is_not_due_again_in_it(site, crawl, tmp_path):
    for name in "abc":
        site.put(f"/{name}", name)
    few = ("--set", "politeness.pages_per_host=4", "--set", "politeness.concurrency_per_host=1")
    run = crawl(site, options=few)  # with recrawl.documents = 0 all of it is due at once
    (state,) = (tmp_path / "runs/state").iterdir()
    with sqlite3.connect(
        state / "frontier.sqlite"
    ) as db:  # as if it had been killed before it was sealed
        db.execute("INSERT INTO tally VALUES ('n0', '', 'kept', '', 0, 0)")
        known = db.execute("SELECT count(*) FROM request WHERE state = 2").fetchone()[0]
    later = crawl(site, options=few)
    assert known > 0 and later.counts["dropped"] == 0
    assert run.counts["kept"] + later.counts["kept"] <= 3


def test_a_changed_file_is_never_sealed(site, crawl, gristmill, tmp_path):
    for name in "abc":
        site.put(f"/{name}", name)
    site.busy = True
    crawl(site, options=("--set", "recrawl.discovery=0"))
    (state,) = (tmp_path / "runs/state").iterdir()
    (state / "captures").mkdir(exist_ok=True)
    (state / "captures/00000.warc.gz").write_bytes(b"damaged")
    with sqlite3.connect(state / "frontier.sqlite") as db:
        db.execute("INSERT INTO file VALUES ('00000.warc.gz', 7, 1, 'another')")
    done = gristmill("crawl", "--config", tmp_path / "crawl.toml", "--out", tmp_path / "runs")
    assert done.returncode == 2 and "its SHA-256 differs" in done.stderr


def test_a_shard_without_sources_says_so(site, gristmill, crawl, tmp_path):
    site.put("/a", "one")
    crawl(site)
    codes = []
    for number in (1, 2, 3):
        done = gristmill(
            "crawl",
            "--config",
            tmp_path / "crawl.toml",
            "--out",
            tmp_path / "three",
            "--set",
            f"shard={number}/3",
        )
        codes.append((done.returncode, "no source falls to this shard" in done.stderr))
    assert sorted(codes) == [(0, False), (2, True), (2, True)]


def test_fresh_forgets_what_was_fetched_and_counts_on(site, crawl):
    site.put("/a", "one", ETag='"v1"')
    crawl(site)
    run = crawl(site, options=("--fresh",))
    assert run.id.endswith("-0002") and run.counts["kept"] == 1
    assert {tag for _, tag in site.asked} == {None}


def test_a_call_is_done_again_whose_run_was_removed(site, crawl):
    site.put("/a", "one")
    first = crawl(site)
    shutil.rmtree(first.path)
    assert crawl(site).counts["kept"] == 1


def test_shards_take_each_host_once_and_sources_of_one_host_together(crawl):
    sites = [Site(f"127.0.0.{n}") for n in (1, 2, 3, 4)]
    for site in sites:
        site.put("/a", site.url)
    runs = [crawl(*sites, options=("--set", f"shard={number}/2")) for number in (1, 2)]
    met = [set(run.details["fetched"]) for run in runs]
    assert met[0] | met[1] == {"n0", "n1", "n2", "n3"} and not met[0] & met[1]
    assert sum(run.counts["kept"] for run in runs) == 4
    assert all([path for path, _ in site.asked].count("/a") == 1 for site in sites)
    for site in sites:
        site.shutdown()
        site.server_close()


def test_settings_of_politeness_may_change_between_calls_without_fetching_anything_twice(
    site, crawl
):
    site.put("/a", "one", ETag='"v1"')
    first = crawl(site)
    second = crawl(site, options=("--set", "politeness.concurrency_per_host=1"))
    assert (
        first.id[:-5] != second.id[:-5]
        and second.id.endswith("-0002")
        and second.counts["dropped:unchanged"] == 1
    )


def test_a_budget_of_a_host_ends_the_call_and_the_next_goes_on(site, crawl):
    for number in range(12):
        site.put(f"/{number:02}", f"page {number}")
    few = (
        "--set",
        "politeness.pages_per_host=7",
        "--set",
        "politeness.concurrency_per_host=1",
        "--set",
        "recrawl.documents=24",
    )
    counts, queued = [], []
    for _ in range(4):
        run = crawl(site, options=few)
        counts.append(run.counts["kept"])
        queued.append(run.details["queued"])
    assert counts[0] < 12 and queued[0] > 0
    assert sum(counts) == 12 and queued[-1] == 0
    pages = [path for path, _ in site.asked if len(path) == 3]
    assert len(pages) == len(set(pages)) == 12


def test_the_state_of_a_crawl_lies_beside_its_runs(site, crawl, tmp_path):
    site.put("/a", "one")
    crawl(site)
    (state,) = Path(tmp_path / "runs/state").iterdir()
    assert state.name.startswith("crawl-") and (state / "frontier.sqlite").is_file()
    assert not list(state.rglob("*.warc.gz"))


def test_decide_heeds_the_takedown_lists_of_the_crawls_it_stands_on(
    site, crawl, tmp_path, environment
):
    for name in "ab":
        site.put(
            f"/{name}",
            f"{name} is a page of some words about mills that grind grain into flour. " * 5,
        )
    first = crawl(site)
    del site.pages["/a"]
    second = crawl(site)

    def step(*arguments):
        command = [
            sys.executable,
            "-c",
            "from gristmill import cli; cli.main()",
            *arguments,
            "--out",
            str(tmp_path / "runs"),
        ]
        done = processes.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return open_run(done.stdout.strip())

    annotated = step("annotate")  # all calls of the crawl, whichever is the newest
    assert annotated.counts["read"] > first.counts["captures"]
    decided = step("decide", "--in", str(annotated.path), "--set", "decide.preset=none")
    assert decided.counts["dropped:takedown"] == 1 and decided.counts["kept"] == 1
    assert decided.details["takedowns"] == 1
    assert (decided.path / "takedown.csv").read_bytes() == (
        second.path / "takedown.csv"
    ).read_bytes()


def test_a_call_that_could_ask_nothing_seals_no_empty_run_and_says_until_when(
    site, crawl, gristmill, tmp_path
):
    site.put("/a", "one")
    site.busy = True
    first = crawl(site, options=("--set", "recrawl.documents=24", "--set", "recrawl.discovery=24"))
    assert (first.counts["kept"], first.details["queued"]) == (0, 1)
    before = sorted(path.name for path in (tmp_path / "runs").iterdir())
    done = gristmill(
        "crawl",
        "--config",
        tmp_path / "crawl.toml",
        "--out",
        tmp_path / "runs",
        "--set",
        "recrawl.documents=24",
        "--set",
        "recrawl.discovery=24",
    )
    assert done.stdout.strip() == str(first.path)
    assert "1 requests wait for their hosts; nothing is due before" in done.stderr
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == before


def test_a_call_killed_while_it_was_sealed_is_sealed_by_the_next(site, crawl, tmp_path):
    """The moment between the move of the files and the manifest, made by hand."""
    site.put("/a", "one")
    first = crawl(site, options=("--set", "recrawl.documents=24"))
    site.put("/b", "two")
    second = crawl(site, options=("--set", "recrawl.documents=24", "--set", "recrawl.discovery=24"))
    assert second.id.endswith("-0002") and second.counts["kept"] == 1
    (state,) = (tmp_path / "runs/state").iterdir()
    with sqlite3.connect(state / "frontier.sqlite") as db:
        file = next((second.path / "captures").iterdir())
        size = file.stat().st_size
        db.execute("UPDATE fact SET value = 2 WHERE name = 'sequence'")
        db.execute("UPDATE fact SET value = ? WHERE name = 'last'", [first.id])
        db.execute("INSERT INTO fact VALUES ('sealing', ?)", [second.id])
        db.execute("INSERT INTO file VALUES (?,?,?,?)", [file.name, size, 3, sha256_file(file)])
        db.execute("INSERT INTO tally VALUES ('n0', '', 'kept', '', 1, 3)")
    (second.path / "manifest.json").unlink()
    (second.path / "ledger.parquet").unlink()
    again = crawl(site, options=("--set", "recrawl.documents=24", "--set", "recrawl.discovery=24"))
    assert again.id.endswith("-0002") and again.counts["kept"] == 1
    assert [file.path for file in again.data_files("captures/")] == ["captures/00000.warc.gz"]
