"""The plan: every row and line in exactly one split, cut by the inputs' own bytes, refused where there is nothing."""

import bz2
import collections
import gzip
import json
import os

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import InputError
from pipelines.annotate.config import AnnotateConfig, InputColumns
from pipelines.annotate.input_files import choose_files, list_inputs
from pipelines.annotate.readers.lines import count_lines
from pipelines.annotate.readers.parquet_plan import iter_row_ranges
from pipelines.annotate.readers.records import Quarantined
from pipelines.annotate.readers.registry import find_input_format, read_split
from pipelines.annotate.splits import make_plan, read_plan, write_plan

SMALL = AnnotateConfig(split_bytes=1024, slice_bytes=4096)


def texts(count, size=80):
    return [f"{number:05d} " + "x" * (number % size) for number in range(count)]


def lines(rows):
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in rows)


def all_texts(plan, config=SMALL):
    read = [item for split in plan for item in read_split(split, config.columns)]
    return [
        text
        for item in read
        if not isinstance(item, Quarantined)
        for text in item["text"].to_pylist()
    ], [item for item in read if isinstance(item, Quarantined)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.parquet", "parquet"),
        ("a.jsonl", "lines"),
        ("a.JSON", "lines"),
        ("a.ndjson", "lines"),
        ("a.jsonl.gz", "packed"),
        ("a.json.zst", "packed"),
        ("a.warc", "warc"),
        ("a.warc.gz", "warc"),
        ("a.WARC.GZ", "warc"),
        ("a.xml", "dump"),
        ("a.xml.bz2", "dump"),
        ("enwiki-p1-shortened.bz2", "dump"),
        ("a.xml.xz", "dump"),
    ],
)
def test_a_file_is_read_by_its_name(name, kind):
    assert find_input_format(f"/x/{name}").name == kind


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a", "a.gz", "a.parquet.gz", "a.warc.gz.part"])
def test_a_file_that_no_reader_knows_is_refused_with_the_known_ends(name):
    with pytest.raises(InputError, match=r"no reader for this kind of file") as caught:
        find_input_format(name)
    assert ".jsonl" in str(caught.value) and caught.value.exit_code == 2


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 60), min_size=1, max_size=6), split_bytes=st.integers(1024, 9000)
)
def test_row_groups_of_any_size_give_every_row_once_and_in_order(
    groups, split_bytes, tmp_path_factory
):
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
    plan = make_plan(choose_files([str(path)])[0], config, folder)
    if not rows:
        assert [(split.kind, split.start, split.stop, split.expected) for split in plan] == [
            ("parquet", 0, 0, 0)
        ]
    assert [split.number for split in plan] == list(range(len(plan)))
    assert [(split.start, split.expected) for split in plan] == [
        (sum(s.expected for s in plan[:i]), s.stop - s.start) for i, s in enumerate(plan)
    ]
    assert all_texts(plan, config) == (rows, [])


@given(
    groups=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 400)), max_size=20),
    split_bytes=st.integers(1, 500),
)
def test_small_row_groups_share_a_split_and_no_split_but_a_row_is_larger_than_asked(
    groups, split_bytes
):
    ranges = list(iter_row_ranges(groups, split_bytes))
    assert [row for low, high in ranges for row in range(low, high)] == list(
        range(sum(rows for rows, _ in groups))
    )
    share = [size / rows for rows, size in groups if rows for _ in range(rows)]
    assert all(
        high - low == 1 or sum(share[low:high]) < 2 * split_bytes + max(share)
        for low, high in ranges
    )


def test_row_groups_are_gathered_up_to_the_size_of_a_split():
    assert list(iter_row_ranges([(10, 40)] * 7, 100)) == [(0, 20), (20, 40), (40, 60), (60, 70)]
    assert list(iter_row_ranges([(10, 40), (10, 250), (10, 40)], 100)) == [
        (0, 10),
        (10, 13),
        (13, 16),
        (16, 20),
        (20, 30),
    ]


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 120),
    split_bytes=st.integers(1024, 5000),
    slice_bytes=st.integers(1024, 20_000),
    end=st.sampled_from(["jsonl", "jsonl.gz", "jsonl.zst"]),
)
def test_lines_plain_or_packed_are_each_in_one_split(
    count, split_bytes, slice_bytes, end, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("plan")
    raw = lines(texts(count))
    packed = {
        "jsonl": raw,
        "jsonl.gz": gzip.compress(raw, mtime=0),
        "jsonl.zst": zstandard.compress(raw),
    }[end]
    (folder / f"a.{end}").write_bytes(packed)
    config = AnnotateConfig(split_bytes=split_bytes, slice_bytes=slice_bytes)
    plan = make_plan(choose_files([str(folder / f"a.{end}")])[0], config, folder)
    assert all_texts(plan, config) == (texts(count), [])
    assert sum(count_lines(split) for split in plan) == count
    assert {split.kind for split in plan} == {"lines"}


def test_a_broken_packed_file_adds_one_remainder_with_its_place(tmp_path):
    raw = lines(texts(200))
    packed = gzip.compress(raw, mtime=0)[:-30]
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    plan = make_plan(choose_files([str(tmp_path / "a.jsonl.gz")])[0], SMALL, tmp_path)
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
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(raw, mtime=0))
    plan = make_plan(choose_files([str(tmp_path / "a.jsonl.gz")])[0], SMALL, tmp_path)
    assert len(plan) > 3
    [broken] = all_texts(plan)[1]
    assert raw[broken.offset :].startswith(b'{"text": bad}')


def test_a_plan_reads_back_as_it_was_written(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(texts(100)))
    (tmp_path / "b.warc").write_bytes(b"")
    plan = make_plan(choose_files([str(tmp_path)])[0], SMALL, tmp_path / "run")
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    assert plan[-1].kind == "warc"


def test_the_plan_follows_the_names_of_the_files(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "c.jsonl"):
        (tmp_path / name).write_bytes(lines([name]))
    assert all_texts(make_plan(choose_files([str(tmp_path)])[0], SMALL, tmp_path / "run"))[0] == [
        "a.jsonl",
        "b.jsonl",
        "c.jsonl",
    ]


@pytest.mark.parametrize(
    "make",
    [lambda folder: [], lambda folder: [str(folder / "none*.jsonl")], lambda folder: [str(folder)]],
)
def test_nothing_to_read_is_the_users_error(make, tmp_path):
    with pytest.raises(InputError, match="nothing to read"):
        make_plan(choose_files(make(tmp_path))[0], SMALL, tmp_path / "run")


@pytest.mark.parametrize("raw", [b"", b"PAR1", b"no parquet at all, but long enough to look"])
def test_a_damaged_parquet_file_is_refused_by_name(raw, tmp_path):
    (tmp_path / "bad.parquet").write_bytes(raw)
    with pytest.raises(InputError, match="no readable Parquet file") as caught:
        make_plan(choose_files([str(tmp_path / "bad.parquet")])[0], SMALL, tmp_path)
    assert "bad.parquet" in str(caught.value)


@pytest.mark.parametrize(
    "kind",
    [
        pa.int64(),
        pa.float64(),
        pa.list_(pa.string()),
        pa.bool_(),
        pa.date32(),
        pa.dictionary(pa.int8(), pa.int64()),
    ],
)
def test_a_parquet_text_column_that_holds_no_strings_is_refused_by_name_and_type(kind, tmp_path):
    pq.write_table(pa.schema([("text", kind)]).empty_table(), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="must hold strings") as caught:
        make_plan(choose_files([str(tmp_path / "a.parquet")])[0], SMALL, tmp_path)
    assert "a.parquet" in str(caught.value) and caught.value.fix


def empty_of(name):
    if name.endswith(".parquet"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), sink)
        return sink.getvalue().to_pybytes()
    return gzip.compress(b"", mtime=0) if name.endswith(".gz") else b""


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz", "b.jsonl.zst"])
def test_an_empty_file_is_a_split_of_no_records_alone_and_beside_others(name, tmp_path):
    (tmp_path / name).write_bytes(empty_of(name))
    [split] = make_plan(choose_files([str(tmp_path / name)])[0], SMALL, tmp_path / "run")
    assert (split.start, split.stop) == (0, 0) and split.input_name == name
    assert all_texts([split]) == ([], [])
    (tmp_path / "c.jsonl").write_bytes(lines(["one"]))
    plan = make_plan(choose_files([str(tmp_path)])[0], SMALL, tmp_path.parent / "run2")
    assert [split.input_name for split in plan] == [name, "c.jsonl"] and all_texts(plan) == (
        ["one"],
        [],
    )


def test_a_file_that_no_reader_knows_is_passed_over_in_a_folder_or_glob_and_refused_by_name(
    tmp_path,
):
    (tmp_path / "a.jsonl").write_bytes(lines(["one"]))
    (tmp_path / "README.md").write_bytes(b"about")
    for pattern in (str(tmp_path), str(tmp_path / "*")):
        files, passed_over = choose_files([pattern])
        assert ([os.path.basename(info.path) for info in files], passed_over) == (
            ["a.jsonl"],
            ["README.md"],
        )
    with pytest.raises(InputError, match="no reader for this kind of file"):
        choose_files([str(tmp_path), str(tmp_path / "README.md")])
    with pytest.raises(InputError, match="nothing to read") as caught:
        choose_files([str(tmp_path / "*.md")])
    assert "README.md" in str(caught.value) and ".jsonl" in str(caught.value)


@pytest.mark.parametrize(
    "pack", [lambda raw: ("a.jsonl", raw), lambda raw: ("a.jsonl.gz", gzip.compress(raw, mtime=0))]
)
def test_lines_without_the_text_field_are_refused_with_the_fields_that_are_there(pack, tmp_path):
    name, raw = pack(b'not json\n{"body": "one", "id": 1}\n{"body": "two", "date": 2}\n')
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError, match="no text field") as caught:
        make_plan(choose_files([str(tmp_path / name)])[0], SMALL, tmp_path / "run")
    assert caught.value.where == {
        "file": str(tmp_path / name),
        "wanted": "text",
        "there are": "body, date, id",
    }
    assert "annotate.columns.text" in caught.value.fix
    named = SMALL.model_copy(update={"columns": InputColumns(text="body")})
    assert len(make_plan(choose_files([str(tmp_path / name)])[0], named, tmp_path / "run")) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"not json\n",
        b'{"text": "one"}\n{"body": "two"}\n',
        b"[1]\n\n2\n",
        b'{"text": 7}\n',
        b"\xff\n",
        b"[" * 9000,
    ],
)
def test_lines_of_which_one_has_the_field_or_none_is_an_object_go_to_the_reader(raw, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(raw)
    assert make_plan(choose_files([str(tmp_path / "a.jsonl")])[0], SMALL, tmp_path / "run")


def test_every_input_file_is_listed_with_its_bytes_and_the_records_its_splits_had(tmp_path):
    for name, count in (("x/a.jsonl", 40), ("y/a.jsonl", 2), ("b.jsonl", 0)):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(lines(texts(count)))
    (tmp_path / "in" / "c.jsonl.gz").write_bytes(gzip.compress(lines(texts(7)), mtime=0)[:-30])
    plan = make_plan(choose_files([str(tmp_path / "in")])[0], SMALL, tmp_path / "run")
    read = {split.number: 1 if split.kind == "remainder" else count_lines(split) for split in plan}
    found = {
        row["name"]: row for row in list_inputs(choose_files([str(tmp_path / "in")])[0], plan, read)
    }
    assert list(found) == ["b.jsonl", "c.jsonl.gz", "x/a.jsonl", "y/a.jsonl"]
    assert [found[name]["records"] for name in ("b.jsonl", "x/a.jsonl", "y/a.jsonl")] == [0, 40, 2]
    assert (
        found["c.jsonl.gz"]["records"]
        == sum(read[split.number] for split in plan if split.origin) + 1
    )
    assert all(
        row["bytes"] == (tmp_path / "in" / name).stat().st_size for name, row in found.items()
    )


def test_damaged_warc_files_and_dumps_of_one_name_are_told_apart_in_the_quarantine(tmp_path):
    for name in ("x/a.warc.gz", "y/a.warc.gz", "x/a.xml", "y/a.xml"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(
            gzip.compress(b"WARC/1.0\r\n", mtime=0)[:-3] if "warc" in name else b"<mediawiki>"
        )
    broken = all_texts(make_plan(choose_files([str(tmp_path / "in")])[0], SMALL, tmp_path / "run"))[
        1
    ]
    assert sorted(item.file for item in broken) == [
        "x/a.warc.gz",
        "x/a.xml",
        "y/a.warc.gz",
        "y/a.xml",
    ]


def test_one_file_named_twice_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(["one"]))
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "a.jsonl")
    for again in (tmp_path / "a.jsonl", tmp_path, tmp_path / "link.jsonl", tmp_path / "*.jsonl"):
        with pytest.raises(InputError, match="one file is named twice") as caught:
            make_plan(
                choose_files([str(tmp_path / "a.jsonl"), str(again)])[0], SMALL, tmp_path / "run"
            )
        assert "a.jsonl" in str(caught.value)


def write_twins(folder, end, langs=("en", "zh")):
    raw = {lang: lines([f"{lang} {i}" for i in range(100)]) + b"bad\n" for lang in langs}
    for lang in langs:
        (folder / lang).mkdir(parents=True)
        packed = gzip.compress(raw[lang], mtime=0) if end.endswith("gz") else raw[lang]
        (folder / lang / f"data.{end}").write_bytes(packed)
    return raw


@pytest.mark.parametrize("end", ["jsonl", "jsonl.gz"])
def test_files_of_one_name_in_two_folders_are_each_read_and_told_apart(end, tmp_path):
    raw = write_twins(tmp_path / "in", end)
    (tmp_path / "in" / "zz.jsonl").write_bytes(lines(["other"]))
    plan = make_plan(choose_files([str(tmp_path / "in")])[0], SMALL, tmp_path / "run")
    found, broken = all_texts(plan)
    assert found == [f"{lang} {i}" for lang in ("en", "zh") for i in range(100)] + ["other"]
    assert [(item.file, item.source, item.offset) for item in broken] == [
        (f"{lang}/data.{end}", "data", len(raw[lang]) - 4) for lang in ("en", "zh")
    ]
    records = [
        row
        for split in plan
        for item in read_split(split, SMALL.columns)
        if not isinstance(item, Quarantined)
        for row in item.to_pylist()
    ]
    assert {row["capture"]["file"] for row in records} == {
        f"en/data.{end}",
        f"zh/data.{end}",
        "zz.jsonl",
    }
    assert len({row["id"] for row in records}) == len(records)


def test_equal_records_of_two_files_of_one_name_have_two_ids_that_no_folder_of_the_machine_changes(
    tmp_path,
):
    ids = []
    for place in ("here", "there/deeper"):
        for lang in ("en", "zh"):
            (tmp_path / place / lang).mkdir(parents=True)
            (tmp_path / place / lang / "data.jsonl").write_bytes(lines(["same"]))
        plan = make_plan(choose_files([str(tmp_path / place)])[0], SMALL, tmp_path / "run")
        ids.append(
            [item["id"][0].as_py() for split in plan for item in read_split(split, SMALL.columns)]
        )
    assert ids[0] == ids[1] and len(set(ids[0])) == 2


def test_a_remainder_of_a_file_whose_name_is_shared_says_which_it_is(tmp_path):
    write_twins(tmp_path / "in", "jsonl.gz")
    cut = tmp_path / "in" / "zh" / "data.jsonl.gz"
    cut.write_bytes(cut.read_bytes()[:-5])
    plan = make_plan(choose_files([str(tmp_path / "in")])[0], SMALL, tmp_path / "run")
    assert [(item.file, item.reason) for item in all_texts(plan)[1]][-1] == (
        "zh/data.jsonl.gz",
        "unknown_remainder",
    )
    assert read_back(plan, tmp_path) == plan


def read_back(plan, folder):
    write_plan(folder, plan)
    return read_plan(folder)


def test_slices_of_a_run_that_was_stopped_before_its_plan_are_made_anew(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(texts(100)), mtime=0))
    first = make_plan(choose_files([str(tmp_path / "a.jsonl.gz")])[0], SMALL, tmp_path / "run")
    assert (
        make_plan(choose_files([str(tmp_path / "a.jsonl.gz")])[0], SMALL, tmp_path / "run") == first
    )
    assert all_texts(first) == (texts(100), [])


def every_kind():
    rows = [f"text {number} " + "x" * 300 for number in range(60)]
    table, sink, stream = pa.table({"text": rows}), pa.BufferOutputStream(), pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=9)
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    record = "WARC/1.1\r\nWARC-Type: conversion\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{}\r\n\r\n"
    wet = [record.format(len(text), text).encode() for text in rows]
    pages = [
        f"<page><title>A{text[5]}</title><revision><text>{text}</text></revision></page>"
        for text in rows
    ]
    streams = ["<mediawiki>", *("".join(pages[i : i + 6]) for i in range(0, 60, 6)), "</mediawiki>"]
    return rows, {
        "a.jsonl": lines(rows),
        "b.jsonl.gz": gzip.compress(lines(rows), mtime=0),
        "c.parquet": sink.getvalue().to_pybytes(),
        "d.arrow": stream.getvalue().to_pybytes(),
        "e.warc": b"".join(wet),
        "f.wet.gz": b"".join(map(gzip.compress, wet)),
        "g.xml": "".join(streams).encode(),
        "h.xml.gz": gzip.compress("".join(streams).encode(), mtime=0),
        "i.xml.bz2": b"".join(bz2.compress(part.encode()) for part in streams),
    }


@pytest.mark.parametrize("scheme", ["memory://in{}", "file://{}"])
def test_every_kind_of_file_is_planned_and_read_through_any_file_system(scheme, tmp_path):
    base = scheme.format(tmp_path / "in")
    rows, files = every_kind()
    for name, data in files.items():
        with (
            fsspec.open(f"{base}/{name}", "wb", auto_mkdir=True)
            if scheme.startswith("file")
            else fsspec.open(f"{base}/{name}", "wb") as file
        ):
            file.write(data)
    for patterns in (
        [base],
        [f"{base}/*"],
        [f"{base}/[a-e]*", *(f"{base}/{name}" for name in sorted(files)[5:])],
    ):
        plan = make_plan(choose_files(patterns)[0], SMALL, tmp_path / f"run-{len(patterns[0])}")
        assert all_texts(plan) == (rows * len(files), []) and not any(split.note for split in plan)
        per_file = collections.Counter(split.input_name for split in plan)
        assert set(per_file) == set(files) and min(per_file.values()) > 1


def test_a_file_that_cannot_be_cut_is_named_in_the_plan(tmp_path):
    (tmp_path / "a.warc.gz").write_bytes(gzip.compress(every_kind()[1]["e.warc"], mtime=0))
    [split] = make_plan(
        choose_files([str(tmp_path / "a.warc.gz")])[0],
        AnnotateConfig(split_bytes=1024),
        tmp_path / "run",
    )
    assert split.note == "" and split.stop < 1024  # a small file needs no cut
    (tmp_path / "a.warc.gz").write_bytes(gzip.compress(every_kind()[1]["e.warc"], 0, mtime=0))
    assert [
        bool(split.note)
        for split in make_plan(
            choose_files([str(tmp_path / "a.warc.gz")])[0], SMALL, tmp_path / "run"
        )
    ] == [True]
