"""The plan: every row and line in exactly one split, cut by the inputs' own bytes, refused where there is nothing."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import InputError
from pipelines.annotate import read_split
from pipelines.config import AnnotateConfig
from pipelines.read.lines import count_lines
from pipelines.read.records import Broken
from pipelines.splits import kind_of_file, make_plan, read_plan, write_plan

SMALL = AnnotateConfig(split_bytes=1024, slice_bytes=4096)


def texts(count, size=80):
    return [f"{number:05d} " + "x" * (number % size) for number in range(count)]


def lines(rows):
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in rows)


def all_texts(plan, config=SMALL):
    read = [item for split in plan for item in read_split(split, config)]
    return [text for item in read if not isinstance(item, Broken) for text in item["text"].to_pylist()], [
        item for item in read if isinstance(item, Broken)
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.parquet", "parquet"), ("a.jsonl", "lines"), ("a.JSON", "lines"), ("a.ndjson", "lines"), ("a.jsonl.gz", "packed"), ("a.json.zst", "packed"),
     ("a.warc", "warc"), ("a.warc.gz", "warc"), ("a.WARC.GZ", "warc"), ("a.xml", "dump"), ("a.xml.bz2", "dump"), ("enwiki-p1-shortened.bz2", "dump"), ("a.xml.xz", "dump")],
)  # fmt: skip
def test_a_file_is_read_by_its_name(name, kind):
    assert kind_of_file(f"/x/{name}") == kind


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a", "a.gz", "a.parquet.gz", "a.warc.gz.part"])
def test_a_file_that_no_reader_knows_is_refused_with_the_known_ends(name):
    with pytest.raises(InputError, match=r"no reader for this kind of file") as caught:
        kind_of_file(name)
    assert ".jsonl" in str(caught.value) and caught.value.exit_code == 2


@settings(max_examples=40, deadline=None)
@given(groups=st.lists(st.integers(0, 60), min_size=1, max_size=6), split_bytes=st.integers(1024, 9000))
def test_row_groups_of_any_size_give_every_row_once_and_in_order(groups, split_bytes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    path = folder / "a.parquet"
    rows = texts(sum(groups))
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        at = 0
        for size in groups:
            writer.write_table(pa.table({"text": rows[at : at + size]}, schema))
            at += size
    config = AnnotateConfig(split_bytes=split_bytes)
    if not rows:
        with pytest.raises(InputError, match="nothing to read"):
            make_plan([str(path)], config, folder)
        return
    plan = make_plan([str(path)], config, folder)
    assert [split.number for split in plan] == list(range(len(plan)))
    assert [(split.start, split.expected) for split in plan] == [
        (sum(s.expected for s in plan[:i]), s.stop - s.start) for i, s in enumerate(plan)
    ]
    assert all_texts(plan, config) == (rows, [])


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 120),
    split_bytes=st.integers(1024, 5000),
    slice_bytes=st.integers(1024, 20_000),
    end=st.sampled_from(["jsonl", "jsonl.gz", "jsonl.zst"]),
)
def test_lines_plain_or_packed_are_each_in_one_split(count, split_bytes, slice_bytes, end, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    raw = lines(texts(count))
    packed = {"jsonl": raw, "jsonl.gz": gzip.compress(raw), "jsonl.zst": zstandard.compress(raw)}[end]
    (folder / f"a.{end}").write_bytes(packed)
    config = AnnotateConfig(split_bytes=split_bytes, slice_bytes=slice_bytes)
    plan = make_plan([str(folder / f"a.{end}")], config, folder)
    assert all_texts(plan, config) == (texts(count), [])
    assert sum(count_lines(split) for split in plan) == count
    assert {split.kind for split in plan} == {"lines"}


def test_a_broken_packed_file_adds_one_remainder_with_its_place(tmp_path):
    raw = lines(texts(200))
    packed = gzip.compress(raw)[:-30]
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    plan = make_plan([str(tmp_path / "a.jsonl.gz")], SMALL, tmp_path)
    found, broken = all_texts(plan)
    assert found == texts(200)[: len(found)]
    assert [(item.reason, item.offset, item.compressed_offset, item.file) for item in broken] == [
        ("unknown_remainder", len(lines(found)), len(packed), "a.jsonl.gz")
    ]
    assert plan[-1].expected == 1


def test_offsets_of_packed_lines_count_in_the_unpacked_file(tmp_path):
    rows = texts(150)
    rows[140] = "x"
    raw = lines(rows).replace(b'{"text": "x"}', b'{"text": bad}')
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(raw))
    plan = make_plan([str(tmp_path / "a.jsonl.gz")], SMALL, tmp_path)
    assert len(plan) > 3
    [broken] = all_texts(plan)[1]
    assert raw[broken.offset :].startswith(b'{"text": bad}')


def test_a_plan_reads_back_as_it_was_written(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(texts(100)))
    (tmp_path / "b.warc").write_bytes(b"")
    plan = make_plan([str(tmp_path)], SMALL, tmp_path / "run")
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    assert plan[-1].kind == "warc" and plan[-1].note


def test_the_plan_follows_the_names_of_the_files(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "c.jsonl"):
        (tmp_path / name).write_bytes(lines([name]))
    assert all_texts(make_plan([str(tmp_path)], SMALL, tmp_path / "run"))[0] == ["a.jsonl", "b.jsonl", "c.jsonl"]


@pytest.mark.parametrize(
    "make", [lambda folder: [], lambda folder: [str(folder / "none*.jsonl")], lambda folder: [str(folder)]]
)
def test_nothing_to_read_is_the_users_error(make, tmp_path):
    with pytest.raises(InputError, match="nothing to read"):
        make_plan(make(tmp_path), SMALL, tmp_path / "run")


@pytest.mark.parametrize("raw", [b"", b"PAR1", b"no parquet at all, but long enough to look"])
def test_a_damaged_parquet_file_is_refused_by_name(raw, tmp_path):
    (tmp_path / "bad.parquet").write_bytes(raw)
    with pytest.raises(InputError, match="no readable Parquet file") as caught:
        make_plan([str(tmp_path / "bad.parquet")], SMALL, tmp_path)
    assert "bad.parquet" in str(caught.value)
