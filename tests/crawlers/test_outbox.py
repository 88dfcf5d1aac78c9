"""The outbox: every capture in exactly one WARC file, in order, whatever happens between the writing and the listing."""

import errno
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from crawlers.downloader.warc import HttpExchange, capture_records, warcinfo_record
from crawlers.frontier.outbox import Outbox
from crawlers.frontier.store import Frontier
from crawlers.spider_output import FetchResult
from gristmill.errors import RunError
from gristmill.hashing import sha256_file
from gristmill.runs import storage


@cache
def capture(n: int, size: int = 200) -> bytes:
    """A capture of page n."""
    exchange = HttpExchange(
        f"https://n.example/{n}",
        "GET",
        [("Accept", "*/*")],
        "HTTP/1.1",
        200,
        "OK",
        [],
        b"%d" % n * size,
    )
    return capture_records(exchange, {"n": n}, datetime(2026, 11, 27, tzinfo=UTC))


class Killed(BaseException):
    """The process ends here."""


class Crawl:
    """A frontier and its outbox over a folder; each `open` is a new process."""

    def __init__(self, folder: Path, rotate: int = 1 << 20) -> None:
        self.captures, self.path, self.rotate = (
            folder / "captures",
            folder / "frontier.sqlite",
            rotate,
        )
        self.open()

    def open(self) -> None:
        self.frontier = Frontier(self.path)
        self.outbox = Outbox(self.frontier, self.captures, file_bytes=self.rotate)

    def again(self) -> None:
        self.frontier.close()
        self.open()

    def commit(self, *captures: bytes) -> None:
        self.frontier.add_results("n", FetchResult(captures=list(captures)))
        self.outbox.count_results(list(captures))

    def files(self) -> list[Path]:
        return sorted(self.captures.iterdir()) if self.captures.is_dir() else []

    def waiting(self) -> list[bytes]:
        return [
            data
            for (data,) in self.frontier.database.fetch_all(
                "SELECT records FROM outbox ORDER BY id"
            )
        ]

    def pages(self) -> list[list[int]]:
        """The pages whose answers each file holds."""
        return [
            [int(uri.rsplit("/", 1)[1]) for kind, uri in read(path) if kind == "response"]
            for path in self.files()
        ]


def read(path: Path) -> list[tuple[str, str]]:
    """(type, address) of the records of a file, read by warcio with its digests checked."""
    found = []
    with open(path, "rb") as file:
        for record in ArchiveIterator(file, check_digests="raise"):
            record.content_stream().read()
            found.append((record.rec_type, record.rec_headers.get_header("WARC-Target-URI") or ""))
    return found


def listed(crawl: Crawl) -> list[tuple]:
    return crawl.frontier.database.fetch_all(
        "SELECT name, bytes, captures, sha256 FROM file ORDER BY name"
    )


def test_captures_wait_until_there_are_enough_of_them(tmp_path):
    crawl = Crawl(tmp_path, rotate=len(capture(0)) * 3 // 2)
    crawl.commit(capture(0))
    assert crawl.files() == [] and len(crawl.waiting()) == 1
    crawl.commit(capture(1))
    assert crawl.pages() == [[0, 1]] and crawl.waiting() == [] and crawl.outbox.waiting == 0


def test_files_are_numbered_and_listed_with_their_bytes_captures_and_digests(tmp_path):
    crawl = Crawl(tmp_path, rotate=1)
    for n in range(3):
        crawl.commit(capture(n))
    paths = crawl.files()
    assert [path.name for path in paths] == ["00000.warc.gz", "00001.warc.gz", "00002.warc.gz"]
    assert listed(crawl) == [
        (path.name, path.stat().st_size, 1, sha256_file(path)) for path in paths
    ]
    total = sum(path.stat().st_size for path in paths)
    assert (crawl.outbox.files, crawl.outbox.captures, crawl.outbox.bytes) == (3, 3, total)


def test_many_captures_of_one_commit_are_parted_where_a_file_is_full(tmp_path):
    crawl = Crawl(tmp_path, rotate=len(capture(0)) * 5 // 2)
    crawl.commit(*[capture(n) for n in range(8)])
    assert crawl.pages() == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_an_empty_outbox_makes_no_file(tmp_path):
    crawl = Crawl(tmp_path)
    crawl.outbox.drain()
    assert crawl.files() == [] and listed(crawl) == []


def test_more_captures_than_are_read_at_once_are_all_written(tmp_path):
    crawl = Crawl(tmp_path)
    crawl.commit(*[capture(n, 1) for n in range(150)])
    crawl.outbox.drain()
    assert crawl.pages() == [list(range(150))]


def test_another_process_goes_on_where_the_last_was(tmp_path):
    crawl = Crawl(tmp_path, rotate=len(capture(0)) * 3 // 2)
    crawl.commit(capture(0), capture(1))
    crawl.commit(capture(2))
    crawl.again()
    assert (crawl.outbox.files, crawl.outbox.captures, crawl.outbox.waiting) == (
        1,
        2,
        len(capture(2)),
    )
    crawl.outbox.drain()
    assert crawl.pages() == [[0, 1], [2]]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 400), max_size=4), max_size=6),
    st.integers(1, 4000),
    st.sets(st.integers(0, 5)),
)
def test_every_capture_is_in_one_file_in_order_however_they_came(
    tmp_path_factory, commits, rotate, stops
):
    crawl, n = Crawl(tmp_path_factory.mktemp("crawl"), rotate), 0
    sizes: dict[int, int] = {}
    for step, group in enumerate(commits):
        records = [capture(n + k, size) for k, size in enumerate(group)]
        sizes |= {n + k: len(data) for k, data in enumerate(records)}
        n += len(group)
        crawl.commit(*records)
        if step in stops:
            crawl.again()
    crawl.outbox.drain()
    pages = crawl.pages()
    assert [page for file in pages for page in file] == list(range(n))
    assert all(sum(sizes[page] for page in file[:-1]) < rotate for file in pages)
    crawl.frontier.close()


def test_killed_between_the_renaming_and_the_listing_the_same_captures_are_written_once(
    tmp_path, monkeypatch
):
    crawl = Crawl(tmp_path)
    crawl.commit(capture(0), capture(1))
    records = crawl.waiting()

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "_list_file", killed)
        with pytest.raises(Killed):
            crawl.outbox.drain()
    assert crawl.pages() == [[0, 1]] and listed(crawl) == []
    crawl.again()
    assert crawl.files() == [] and crawl.waiting() == records
    crawl.outbox.drain()
    assert crawl.pages() == [[0, 1]] and crawl.waiting() == []
    crawl.again()
    assert crawl.pages() == [[0, 1]]


def test_killed_in_the_transaction_that_lists_a_file_it_is_not_listed_and_nothing_left_the_outbox(
    tmp_path,
):
    crawl = Crawl(tmp_path)
    crawl.commit(capture(0))
    records = crawl.waiting()
    crawl.frontier.database.connection.execute(
        "CREATE TEMP TRIGGER t BEFORE DELETE ON outbox BEGIN SELECT raise(ABORT, 'injected'); END"
    )
    with pytest.raises(Exception, match="injected"):
        crawl.outbox.drain()
    assert listed(crawl) == [] and crawl.waiting() == records
    assert crawl.frontier.database.fetch_all("PRAGMA synchronous") == [(1,)]
    crawl.again()
    crawl.outbox.drain()
    assert crawl.pages() == [[0]]


def test_what_a_killed_process_left_half_written_is_removed_and_other_files_are_not(tmp_path):
    crawl = Crawl(tmp_path, rotate=1)
    crawl.commit(capture(0))
    (crawl.captures / f"{storage.TEMPORARY}123-00001.warc.gz").write_bytes(b"half")
    (crawl.captures / "notes.txt").write_bytes(b"mine")
    crawl.again()
    assert [path.name for path in crawl.files()] == ["00000.warc.gz", "notes.txt"]


@pytest.mark.parametrize("damage", ["missing", "cut", "longer", "folder"])
def test_a_listed_file_that_is_gone_or_of_another_size_is_told_with_the_fix(tmp_path, damage):
    crawl = Crawl(tmp_path, rotate=1)
    crawl.commit(capture(0))
    (path,) = crawl.files()
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(data[:-1] if damage == "cut" else data + b"x")
    with pytest.raises(RunError, match=r"(?s)is damaged.*00000\.warc\.gz.*--fresh") as caught:
        crawl.again()
    assert caught.value.where == {
        "file": path,
        "problem": f"it is missing or is not {len(data)} bytes long",
    }


@pytest.mark.parametrize("where", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_the_captures_in_the_outbox_and_no_file(tmp_path, monkeypatch, where):
    crawl = Crawl(tmp_path)
    crawl.commit(capture(0), capture(1))
    records = crawl.waiting()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if where == "write":
            patch.setattr("crawlers.frontier.outbox.warcinfo_record", lambda name: full())
        else:
            patch.setattr(storage.os, "fsync" if where == "fsync" else "replace", full)
        with pytest.raises(OSError, match="No space left") as caught:
            crawl.outbox.drain()
    assert "00000.warc.gz" in str(caught.value.filename)
    assert crawl.files() == [] and crawl.waiting() == records and listed(crawl) == []
    assert crawl.outbox.waiting == sum(map(len, records))
    crawl.outbox.drain()
    assert crawl.pages() == [[0, 1]]


def test_warcio_and_fastwarc_read_the_same_records(tmp_path):
    crawl = Crawl(tmp_path)
    crawl.commit(capture(0), capture(1))
    crawl.outbox.drain()
    (path,) = crawl.files()
    expected = [("warcinfo", "")]
    for n in range(2):
        expected += [
            (kind, f"https://n.example/{n}") for kind in ("request", "response", "metadata")
        ]
    assert read(path) == expected
    with open(path, "rb") as file:
        found = [
            (
                record.headers["WARC-Type"],
                record.headers.get("WARC-Target-URI") or "",
                record.verify_block_digest(),
            )
            for record in FastIterator(file, parse_http=False)
        ]
    assert found == [(kind, uri, True) for kind, uri in expected]


def test_a_file_is_its_first_record_and_the_captures_as_they_were_committed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "crawlers.frontier.outbox.warcinfo_record", lambda name: b"about " + name.encode()
    )
    crawl = Crawl(tmp_path)
    crawl.commit(b"one", b"two")
    crawl.outbox.drain()
    assert crawl.files()[0].read_bytes() == b"about 00000.warc.gzonetwo"
    assert b"WARC" not in warcinfo_record("x")  # it is compressed


def test_an_empty_frontier_beside_captures_is_a_lost_one_and_nothing_is_removed(tmp_path):
    folder = tmp_path / "captures"
    folder.mkdir()
    (folder / "00000.warc.gz").write_bytes(b"x")
    frontier = Frontier(tmp_path / "frontier.sqlite")
    with pytest.raises(RunError, match="it is empty, and there are 1 WARC files beside it"):
        Outbox(frontier, folder, file_bytes=100)
    frontier.close()
    assert (folder / "00000.warc.gz").read_bytes() == b"x"
