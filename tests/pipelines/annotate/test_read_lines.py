"""JSON Lines: every line belongs to one split, a bad line costs exactly itself, and says where it lies."""

import io
import itertools
import json
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.hashing import document_id
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers import lines as reading
from pipelines.annotate.readers.lines import count_lines, iter_lines, read_lines
from pipelines.annotate.readers.records import RECORD_SCHEMA, Quarantined, Split


def read(path, start=0, stop=None, *, columns=InputColumns(), origin="", base=0):
    stop = os.path.getsize(path) if stop is None else stop
    records, broken = [], []
    for item in read_lines(Split(0, "lines", path, start, stop, origin=origin, base=base), columns):
        if isinstance(item, Quarantined):
            broken.append(item)
        else:
            assert item.schema == RECORD_SCHEMA
            records += item.to_pylist()
    return records, broken


def line(text="text", **more):
    return json.dumps({"text": text, **more}).encode()


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=9).map(lambda raw: raw.replace(b"\n", b"")), max_size=12),
    ends_open=st.booleans(),
    cuts=st.lists(st.integers(0, 130), max_size=8),
)
@example(lines=[b"", b"", b""], ends_open=False, cuts=[1, 2])
@example(lines=[b"ab", b"cd"], ends_open=True, cuts=[3])
def test_any_cuts_give_every_line_exactly_once(lines, ends_open, cuts):
    data = b"".join(one + b"\n" for one in lines)
    data = data[:-1] if ends_open else data
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    file = io.BytesIO(data)
    found = [
        item for start, stop in itertools.pairwise(bounds) for item in iter_lines(file, start, stop)
    ]
    assert b"".join(raw for _, raw in found) == data
    assert [at for at, _ in found] == [
        sum(len(raw) for _, raw in found[:i]) for i in range(len(found))
    ]
    assert all(raw.index(b"\n") == len(raw) - 1 for _, raw in found[:-1])


@settings(max_examples=200, deadline=None)
@given(
    widths=st.lists(st.one_of(st.integers(0, 30), st.integers(18, 22)), max_size=8),
    ends_open=st.booleans(),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_an_over_long_line_is_one_line_cut_short_whatever_the_splits(widths, ends_open, cuts):
    lines = [b"x" * width + b"\n" for width in widths]
    data = b"".join(lines)[: -1 if ends_open else None]
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    file = io.BytesIO(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "MAX_LINE", 20)
        patch.setattr(reading, "STEP", 3)
        found = [
            item
            for start, stop in itertools.pairwise(bounds)
            for item in iter_lines(file, start, stop)
        ]
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    assert found == [
        (at, data[at : at + len(raw)][:21])
        for at, raw in zip(starts, lines, strict=True)
        if at < len(data)
    ]


def test_an_over_long_line_costs_one_record(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE", 100)
    path = tmp_path / "a.jsonl"
    path.write_bytes(line("one") + b"\n" + line("x" * 5000) + b"\n" + line("two") + b"\n")
    records, broken = read(str(path))
    assert [record["text"] for record in records] == ["one", "two"]
    assert [(item.offset, item.reason) for item in broken] == [(len(line("one")) + 1, "long_line")]


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 700), max_size=6))
def test_any_split_points_give_the_same_records_and_the_same_broken_ones(cuts, write_file):
    rows = [line(f"text {i}", id=i) if i % 3 else b'{"text": bad' for i in range(20)]
    data = b"\n".join([*rows, b"", b"   ", line("last")])
    path = write_file(data, "a.jsonl")
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [read(path, start, stop) for start, stop in itertools.pairwise(bounds)]
    assert [record for records, _ in parts for record in records] == read(path)[0]
    assert [item for _, broken in parts for item in broken] == read(path)[1]
    assert len(read(path)[0]) == 14 and len(read(path)[1]) == 7
    splits = [Split(0, "lines", path, start, stop) for start, stop in itertools.pairwise(bounds)]
    assert sum(count_lines(split) for split in splits) == 21


BAD = {
    "bad UTF-8": (b'{"text": "\xff\xfe"}', "not_utf8"),
    "cut UTF-8": ('{"text": "中"}'.encode()[:-3] + b'"}', "not_utf8"),
    "no object": (b'["text"]', "bad_json"),
    "a number": (b"12", "bad_json"),
    "null": (b"null", "bad_json"),
    "a lone surrogate": (b'{"text": "a\\ud800b"}', "not_utf8"),
    "no text": (b'{"title": "x"}', "bad_json"),
    "text is null": (b'{"text": null}', "bad_json"),
    "text is a number": (b'{"text": 5}', "bad_json"),
    "text is a list": (b'{"text": ["a"]}', "bad_json"),
    "cut JSON": (b'{"text": "ab', "bad_json"),
    "deep": (b'{"text": ' + b"[" * 200_000 + b"}", "bad_json"),
    "a huge number": (b'{"text": "a", "id": ' + b"9" * 5000 + b"}", "bad_json"),
    "NUL bytes": (b"\0" * 20, "bad_json"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_bad_line_costs_exactly_itself(name, place, tmp_path):
    raw, reason = BAD[name]
    rows = [line(f"good {i}") for i in range(4)]
    rows.insert(place, raw)
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b"\n".join(rows) + b"\n")
    records, broken = read(str(path))
    assert [record["text"] for record in records] == [f"good {i}" for i in range(4)]
    assert [(item.offset, item.reason, item.source) for item in broken] == [
        (sum(len(row) + 1 for row in rows[:place]), reason, "corpus")
    ]
    assert broken[0].error and broken[0].file == "corpus.jsonl"


def test_a_cut_last_line_is_called_one_and_a_whole_last_line_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line("one") + b"\n" + line("two")[:-2])
    records, broken = read(str(path))
    assert [record["text"] for record in records] == ["one"]
    assert [(item.reason, item.offset) for item in broken] == [("cut_line", len(line("one")) + 1)]
    path.write_bytes(line("one") + b"\n" + line("two"))
    assert [record["text"] for record in read(str(path))[0]] == ["one", "two"]


def test_lone_surrogates_beside_the_text_cost_no_record(tmp_path):
    path = tmp_path / "a.jsonl"
    raw = b'{"text": "fine", "title": "\\ud800", "url": "http://x/\\udfff", "source": "s\\ud800", "id": "\\ud800", "license": "\\udc00"}'
    path.write_bytes(raw + b"\n" + line("next") + b"\n")
    records, broken = read(str(path))
    assert broken == [] and [record["text"] for record in records] == ["fine", "next"]
    assert records[0]["title"] == "?" and records[0]["url"] == "http://x/?"


def test_a_record_has_its_fields_by_the_configured_names(tmp_path):
    path = tmp_path / "news.2024.jsonl"
    row = {
        "body": "Text.",
        "key": "k1",
        "link": "https://x.org/1",
        "name": "T",
        "from": "paper",
        "sort": "newspaper",
        "rights": "https://creativecommons.org/licenses/by/4.0/",
        "day": "2024-02-03T10:00:00+02:00",
    }
    path.write_bytes(json.dumps(row).encode())
    names = InputColumns(
        text="body",
        id="key",
        url="link",
        title="name",
        source="from",
        kind="sort",
        licence="rights",
        published="day",
    )
    [record], broken = read(str(path), columns=names)
    assert broken == []
    assert record["published"].isoformat() == "2024-02-03T08:00:00+00:00"
    wanted = {
        "text": "Text.",
        "url": "https://x.org/1",
        "title": "T",
        "source": "paper",
        "kind": "news",
        "licence": "CC-BY-4.0",
        "evidence": [{"signal": "rights", "value": row["rights"]}],
        "opt_out": [],
        "media": "text",
        "author": None,
        "capture": {"file": "news.2024.jsonl", "offset": 0, "item": 0},
        "fetched": None,
        "id": document_id("paper", "k1", b"Text."),
    }
    assert {name: record[name] for name in wanted} == wanted


def test_without_names_the_file_is_the_source_and_the_place_the_id(tmp_path):
    path = tmp_path / "corpus.v2.jsonl"
    path.write_bytes(
        line("a") + b"\n" + line("a", url="http://x/1") + b"\n" + line("a", id=0) + b"\n"
    )
    records, _ = read(str(path))
    assert {record["source"] for record in records} == {"corpus"}
    assert {record["licence"] for record in records} == {"unknown"} and {
        record["kind"] for record in records
    } == {"other"}
    assert records[0]["id"] == document_id("corpus", "corpus.v2.jsonl#0", b"a")
    assert records[1]["id"] == document_id("corpus", "http://x/1", b"a")
    assert len({record["id"] for record in records}) == 3


def test_lines_of_a_slice_are_placed_in_the_file_they_came_from(tmp_path):
    path = tmp_path / "big.jsonl.gz-00003"
    path.write_bytes(line("one") + b"\nbad\n")
    records, broken = read(str(path), origin="/data/big.jsonl.gz", base=1000)
    assert records[0]["capture"] == {"file": "big.jsonl.gz", "offset": 1000, "item": 0}
    assert (broken[0].file, broken[0].offset) == ("big.jsonl.gz", 1000 + len(line("one")) + 1)


def test_a_byte_order_mark_is_let_go_at_the_beginning_of_a_file_and_nowhere_else(tmp_path):
    path = tmp_path / "a.jsonl"
    marked = b"\xef\xbb\xbf" + line("one") + b"\n"
    path.write_bytes(marked * 2 + line("two"))
    records, broken = read(str(path))
    assert [record["text"] for record in records] == ["one", "two"]
    assert [(item.offset, item.reason) for item in broken] == [(len(marked), "bad_json")]


def test_an_empty_file_and_blank_lines_are_no_records(tmp_path):
    path = tmp_path / "a.jsonl"
    for data in (b"", b"\n", b"\n\n  \n\t\r\n"):
        path.write_bytes(data)
        assert read(str(path)) == ([], [])
        assert count_lines(Split(0, "lines", str(path), 0, len(data))) == 0


@settings(max_examples=100, deadline=None)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["text", "id", "url", "date", "license", "type", "source", "title"]
                ),
                inner,
                max_size=8,
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_value_is_a_record_or_broken_and_never_an_exception(value, write_file):
    path = write_file(json.dumps(value).encode() + b"\n", "a.jsonl")
    records, broken = read(path)
    assert len(records) + len(broken) == 1


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.integers(-(10**20), 10**20)
    | st.text()
    | st.datetimes(timezones=st.timezones()).map(str)
    | st.sampled_from(
        [
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "\ud800",
            10**400,
            20210101,
            2019,
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(value=JSON_VALUES, field=st.sampled_from(list(InputColumns().model_dump().values())))
@example(value="0001-01-01T00:00:00+14:00", field="date")
@example(value=1e300, field="date")
@example(value=float("inf"), field="date")
def test_any_value_in_any_field_costs_at_most_its_own_record(value, field, write_file):
    odd = json.dumps({"text": "odd", field: value}).encode()
    path = write_file(b"\n".join([line("before"), odd, line("after")]), "a.jsonl")
    records, broken = read(path)
    assert len(records) + len(broken) == 3
    assert [
        record["text"]
        for record in records
        if record["capture"]["offset"] in (0, len(line("before") + odd) + 2)
    ] == ["before", "after"]


@pytest.mark.parametrize("field", ["title", "id", "license", "date", "type", "source", "url"])
def test_a_value_nested_as_deep_as_can_be_parsed_costs_at_most_its_own_record(field, tmp_path):
    path = tmp_path / "a.jsonl"
    for depth in range(880, 1000, 7):
        deep = b'{"text": "odd", "%s": ' % field.encode() + b"[" * depth + b"]" * depth + b"}"
        path.write_bytes(b"\n".join([line("before"), deep, line("after")]))
        records, broken = read(str(path))
        assert len(records) + len(broken) == 3 and {"before", "after"} <= {
            record["text"] for record in records
        }
