"""Dumps in parts: every page once whatever the split size and the packing, and damage costs itself."""

import bz2
import gzip
import io
import itertools
import lzma
import random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.input_files import choose_files
from pipelines.annotate.readers import dump_pages
from pipelines.annotate.readers.records import Dropped, Quarantined
from pipelines.annotate.readers.registry import read_split
from pipelines.annotate.splits import make_plan

RUNS = itertools.count()
HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">\n'
    "  <siteinfo><dbname>enwiki</dbname><base>https://en.wikipedia.org/wiki/Main_Page</base></siteinfo>\n"
)
END = "</mediawiki>\n"


def page(number, size=50):
    noise = random.Random(number).randbytes(size).hex()
    return (
        f"  <page>\n    <title>P{number}</title>\n    <ns>0</ns>\n    <id>{number}</id>\n    <revision><id>{number}</id>"
        f'<timestamp>2026-01-01T00:00:00Z</timestamp><text xml:space="preserve">text {number} &lt;page&gt; 磨坊 {noise}</text></revision>\n  </page>\n'
    )


def read(path, folder, split_bytes=1 << 24, slice_bytes=1 << 26):
    config = AnnotateConfig().model_copy(
        update={"split_bytes": split_bytes, "slice_bytes": slice_bytes}
    )
    plan = make_plan(choose_files([str(path)])[0], config, folder / f"run{next(RUNS)}")
    items = list(itertools.chain.from_iterable(read_split(split, config.columns) for split in plan))
    rows = [
        row
        for item in items
        if not isinstance(item, Quarantined | Dropped)
        for row in item.to_pylist()
    ]
    return plan, rows, [item for item in items if isinstance(item, Quarantined)]


def titles(rows):
    return [row["title"] for row in rows]


def multistream(pages, of=3):
    groups = ["".join(pages[i : i + of]) for i in range(0, len(pages), of)]
    return [bz2.compress(part.encode()) for part in [HEAD, *groups, END]]


def pbzip2(data):
    return b"".join(bz2.compress(data[i : i + 700]) for i in range(0, len(data), 700))


PACKERS = {
    "xml": bytes,
    "xml.gz": gzip.compress,
    "xml.bz2": bz2.compress,
    "bz2": pbzip2,
    "xml.xz": lzma.compress,
    "xml.zst": zstandard.compress,
}


@pytest.mark.parametrize("end", PACKERS)
@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 900), max_size=12),
    split_bytes=st.integers(1, 4000),
    slice_bytes=st.integers(1, 9000),
)
def test_any_size_of_splits_and_slices_gives_the_same_pages(
    end, sizes, split_bytes, slice_bytes, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("dump")
    text = HEAD + "".join(page(i, size) for i, size in enumerate(sizes)) + END
    path = folder / f"enwiki.{end}"
    path.write_bytes(PACKERS[end](text.encode()))
    _, rows, broken = read(path, folder, split_bytes, slice_bytes)
    assert titles(rows) == [f"P{i}" for i in range(len(sizes))] and broken == []
    assert rows == read(path, folder)[1]
    raw = text.encode()
    assert all(raw[row["capture"]["offset"] :].startswith(b"<page>") for row in rows)
    assert {row["source"] for row in rows} <= {"enwiki"} and {row["licence"] for row in rows} <= {
        "CC-BY-SA-4.0"
    }


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 30), of=st.integers(1, 5), split_bytes=st.integers(1, 3000))
def test_a_multistream_dump_is_cut_between_its_streams(count, of, split_bytes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    streams = multistream([page(i) for i in range(count)], of)
    path = folder / "enwiki.xml.bz2"
    path.write_bytes(b"".join(streams))
    starts = [sum(map(len, streams[:i])) for i in range(len(streams))]
    plan, rows, broken = read(path, folder, split_bytes)
    assert titles(rows) == [f"P{i}" for i in range(count)] and broken == []
    assert [(row["capture"]["offset"], row["capture"]["item"]) for row in rows] == [
        (starts[1 + i // of], i % of) for i in range(count)
    ]
    assert {split.start for split in plan} <= set(starts) and {split.kind for split in plan} == {
        "streams"
    }
    assert (split_bytes > 200 or len(plan) >= len(streams) - 3) and not list(
        folder.glob("run*/spill/slices/*")
    )


@pytest.mark.parametrize("split_bytes", [1, 900, 1 << 24])
def test_a_damaged_stream_costs_itself(split_bytes, tmp_path):
    streams = multistream([page(i) for i in range(20)])
    bad = bytearray(streams[3])
    bad[len(bad) // 2] ^= 0xFF
    path = tmp_path / "enwiki.xml.bz2"
    path.write_bytes(b"".join([*streams[:3], bytes(bad), *streams[4:]]))
    _, rows, broken = read(path, tmp_path, split_bytes)
    assert titles(rows) == [f"P{i}" for i in range(20) if i not in (6, 7, 8)]
    assert [(item.reason, item.offset) for item in broken] == [
        ("cut_record", sum(map(len, streams[:3])))
    ]


@pytest.mark.parametrize("split_bytes", [300, 1 << 24])
def test_a_multistream_dump_that_breaks_off_says_so(split_bytes, tmp_path):
    streams = multistream([page(i) for i in range(9)])
    path = tmp_path / "enwiki.xml.bz2"
    for data, pages in ((b"".join(streams[:-1]), 9), (b"".join(streams[:3]) + streams[3][:-50], 6)):
        path.write_bytes(data)
        _, rows, broken = read(path, tmp_path, split_bytes)
        assert titles(rows) == [f"P{i}" for i in range(pages)]
        assert {item.reason for item in broken} == {"unknown_remainder"}


@pytest.mark.parametrize("end", ["xml", "xml.gz"])
@pytest.mark.parametrize("split_bytes", [100, 1 << 24])
def test_what_lies_between_pages_and_is_none_is_named_with_its_place(end, split_bytes, tmp_path):
    garbage = "<pge><title>lost</title></pge>"
    text = HEAD + page(0) + garbage + page(1) + "\n\n" + page(2) + END
    (tmp_path / f"a.{end}").write_bytes(PACKERS[end](text.encode()))
    _, rows, broken = read(tmp_path / f"a.{end}", tmp_path, split_bytes)
    assert titles(rows) == ["P0", "P1", "P2"]
    [item] = broken
    assert item.reason == "bad_item" and "lost" in item.error
    assert text.encode()[item.offset :].lstrip().startswith(garbage.encode())


@pytest.mark.parametrize("split_bytes", [700, 1 << 24])
@pytest.mark.parametrize("end", ["xml", "xml.gz", "xml.bz2"])
def test_a_page_too_large_costs_itself_in_any_part(end, split_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(dump_pages, "MAX_PAGE", 4000)
    monkeypatch.setattr(dump_pages, "HEAD", 600)
    text = HEAD + page(0) + page(1, 9000) + page(2) + END
    (tmp_path / f"a.{end}").write_bytes(PACKERS[end](text.encode()))
    _, rows, broken = read(tmp_path / f"a.{end}", tmp_path, split_bytes, 3000)
    assert titles(rows) == ["P0", "P2"] and [item.reason for item in broken] == ["too_large"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "gb18030", "iso-8859-1"])
def test_a_dump_in_another_encoding_is_read(encoding, tmp_path):
    text = (
        f'<?xml version="1.0" encoding="{encoding}"?>'
        + HEAD
        + page(0).replace("磨坊", "é")
        + page(1).replace("磨坊", "é")
        + END
    )
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    _, rows, broken = read(tmp_path / "a.xml", tmp_path, 200)
    assert (
        titles(rows) == ["P0", "P1"]
        and broken == []
        and " é " in rows[0]["text"]
        and rows[0]["source"] == "enwiki"
    )


def test_a_plain_dump_is_read_by_ranges_and_not_from_its_beginning(tmp_path, monkeypatch):
    path = tmp_path / "a.xml"
    path.write_bytes((HEAD + "".join(page(i, 2000) for i in range(400)) + END).encode())
    plan, _, _ = read(path, tmp_path, 100_000)
    monkeypatch.setattr(dump_pages, "READ", 1 << 12)
    taken = []

    class Counting(io.FileIO):
        def read(self, size=-1):
            taken.append(len(found := super().read(size)))
            return found

    monkeypatch.setattr(dump_pages.storage, "open_input", Counting)
    assert sum(item.num_rows for item in read_split(plan[-1], AnnotateConfig().columns)) > 10
    assert sum(taken) < 600_000 < path.stat().st_size


@pytest.mark.parametrize(
    "name",
    [
        "bgwiki-latest-pages-articles-shortened.xml.bz2",
        "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    ],
)
def test_real_dumps_are_read_the_same_in_parts(name, shared_data, tmp_path):
    whole, parts = (
        read(shared_data / "corpus" / name, tmp_path, size, 1 << 20) for size in (1 << 24, 50_000)
    )
    assert whole[1:] == parts[1:] and len(parts[0]) > len(whole[0])
