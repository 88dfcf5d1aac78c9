"""Columns read whole say what rows read one by one say: the same records, the same quarantine, in the same batches."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.document import MOMENT
from gristmill.hashing import document_id
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers import plain
from pipelines.annotate.readers.fields import parse_moments, read_row_fields
from pipelines.annotate.readers.plain import (
    LOCATOR,
    NotPlainColumn,
    read_fields_by_row,
    read_plain_fields,
)
from pipelines.annotate.readers.records import RECORD_SCHEMA, Quarantined, Split
from pipelines.annotate.readers.table import iter_table_records

SPLIT = Split(0, "parquet", "/data/corpus.v1.parquet", 0, 100)
WORDS = [
    "",
    "a",
    "wiki",
    "News",
    "zh-CN",
    "eng_Latn",
    "und",
    "MIT",
    "CC BY 4.0",
    "CC BY 4.0 AND MIT",
    "x" * 300,
    "中文",
    "0",
    "\x00",
    " ",
]
ADDRESSES = ["", "https://x.org/1", "https://x.org/1", "http://Y.org/%7e", "no address"]
BAD = [b"fine", b"\xff", b"\xed\xa0\x80", "é".encode(), b"", b"\xc3"]

words = (
    st.none() | st.sampled_from(WORDS) | st.text(max_size=4).filter(lambda text: text.isprintable())
)
TEXT_KINDS = [pa.string(), pa.large_string(), pa.string_view()]


def _strings(values, kind):
    return pa.array(values, kind)


def _encoded(values, _):
    return pa.array(values, pa.string()).dictionary_encode()


def _nulls_in_dictionary(values, _):
    known = [*dict.fromkeys(value for value in values if value is not None), None]
    places = [known.index(value) for value in values]
    return pa.DictionaryArray.from_arrays(
        pa.array(places, pa.int32()), pa.array(known, pa.string())
    )


def _lying(values, _):
    """`string` by its type, whatever the bytes are."""
    raw = pa.array([None if value is None else value.encode() for value in values], pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), raw.buffers())


@st.composite
def text_columns(draw, rows, values=words):
    make = draw(
        st.sampled_from([_strings, _strings, _strings, _encoded, _nulls_in_dictionary, _lying])
    )
    return make(
        draw(st.lists(values, min_size=rows, max_size=rows)), draw(st.sampled_from(TEXT_KINDS))
    )


@st.composite
def odd_columns(draw, rows):
    """What a stranger may have put where we look for text."""
    kind, values = draw(
        st.sampled_from(
            [
                (pa.int64(), st.none() | st.integers(-3, 3)),
                (pa.uint64(), st.integers(0, (1 << 64) - 1)),
                (pa.int8(), st.sampled_from([None, 0, 7])),
                (pa.float64(), st.none() | st.floats()),
                (pa.bool_(), st.none() | st.booleans()),
                (pa.binary(), st.none() | st.sampled_from(BAD)),
                (pa.list_(pa.string()), st.none() | st.lists(words, max_size=2)),
                (pa.struct([("a", pa.int8())]), st.none() | st.just({"a": 1})),
                (pa.timestamp("us"), st.none() | st.integers(-(10**18), 10**18)),
                (pa.timestamp("us", "Nowhere/Land"), st.none() | st.just(0)),
                (pa.date32(), st.none() | st.integers(-(10**6), 10**7)),
                (pa.null(), st.none()),
            ]
        )
    )
    return pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)


@st.composite
def invalid_columns(draw, rows):
    """Bytes that are no UTF-8, under a type that says they are."""
    raw = pa.array(
        draw(st.lists(st.none() | st.sampled_from(BAD), min_size=rows, max_size=rows)), pa.binary()
    )
    return pa.Array.from_buffers(pa.string(), rows, raw.buffers())


@st.composite
def date_columns(draw, rows):
    stated = st.sampled_from(
        [None, "2020", "2021-02-03", "20200102", "yesterday", "1609459200", ""]
    )
    return draw(st.one_of(text_columns(rows, stated), odd_columns(rows)))


@st.composite
def tables(draw):
    """Any of the columns we look for, of any type, as a slice of a larger batch."""
    rows = draw(st.integers(1, 8))
    any_column = st.one_of(*[text_columns(rows)] * 4, odd_columns(rows), invalid_columns(rows))
    columns = {
        name: draw(any_column)
        for name in draw(
            st.sets(st.sampled_from(["id", "title", "source", "type", "license", "lang"]))
        )
    }
    columns["text"] = draw(st.one_of(*[text_columns(rows)] * 3, invalid_columns(rows)))
    if draw(st.booleans()):
        columns["url"] = draw(
            st.one_of(text_columns(rows, st.none() | st.sampled_from(ADDRESSES)), any_column)
        )
    if draw(st.booleans()):
        columns["date"] = draw(date_columns(rows))
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    return batch.slice(draw(st.integers(0, rows - 1)))


NAMES = st.sampled_from(
    [InputColumns()] * 4
    + [
        InputColumns(id="url"),
        InputColumns(title="text"),
        InputColumns(title="date", source="type"),
        InputColumns(id="text", lang="license"),
    ]
)


def found(batch, columns):
    items = list(iter_table_records(batch, 5, SPLIT, columns))
    for item in items:
        if not isinstance(item, Quarantined):
            assert item.schema == RECORD_SCHEMA
            item.validate(full=True)
    return [item if isinstance(item, Quarantined) else item.to_pylist() for item in items]


@settings(max_examples=400, deadline=None)
@given(batch=tables(), columns=NAMES)
def test_any_table_gives_the_same_items_by_columns_and_by_rows(batch, columns):
    by_columns = found(batch, columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "read_plain_fields", plain.read_fields_by_row)
        assert found(batch, columns) == by_columns


def obvious(batch, columns):
    """The records of a batch of plain columns, one by one in Python."""
    dates = parse_moments(
        batch.column(columns.published)
        if columns.published in batch.schema.names
        else pa.nulls(len(batch))
    )
    for place, (row, date) in enumerate(
        zip(batch.to_pylist(), dates.to_pylist(), strict=True), start=5
    ):
        text = row.pop(columns.text)
        fields = read_row_fields(row, columns, default_source="corpus")
        if text is not None:
            locator = row.get(columns.id) or fields["url"] or f"corpus.v1.parquet#{place}"
            yield fields | {
                "id": document_id(fields["source"], str(locator), text.encode()),
                "text": text,
                "published": date,
                "media": "text",
                "capture": {"file": "corpus.v1.parquet", "offset": place, "item": 0},
            }


@st.composite
def plain_tables(draw):
    rows = draw(st.integers(1, 12))
    names = ["text", "id", "url", "title", "source", "type", "license", "lang"]
    columns = {
        name: draw(text_columns(rows)) for name in names if name == "text" or draw(st.booleans())
    }
    if draw(st.booleans()):
        columns["date"] = pa.array(
            draw(st.lists(st.none() | st.datetimes(), min_size=rows, max_size=rows)),
            pa.timestamp("us"),
        )
    if draw(st.booleans()):
        columns["id"] = pa.array(
            draw(st.lists(st.none() | st.integers(-2, 2), min_size=rows, max_size=rows)), pa.int16()
        )
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


@settings(max_examples=200, deadline=None)
@given(plain_tables())
def test_plain_columns_give_what_every_row_says_and_no_row_becomes_a_python_object(batch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            plain, "read_fields_by_row", lambda *_, **__: pytest.fail("rows were read one by one")
        )
        records = [
            row
            for rows in found(batch, InputColumns())
            if not isinstance(rows, Quarantined)
            for row in rows
        ]
    wanted = list(obvious(batch, InputColumns()))
    assert [{name: row[name] for name in sorted(row)} for row in records] == [
        dict(sorted(row.items())) for row in wanted
    ]


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.float64(), pa.bool_(), pa.list_(pa.string()), pa.date32(), pa.timestamp("s")],
)
@pytest.mark.parametrize("name", ["title", "url", "id", "type"])
def test_a_column_that_is_not_plain_is_left_to_the_rows(kind, name):
    batch = pa.RecordBatch.from_pydict({"text": ["a"], name: pa.nulls(1, kind)})
    with pytest.raises(NotPlainColumn, match=name):
        read_plain_fields(batch, InputColumns(), default_source="s")
    fields = read_fields_by_row(batch, InputColumns(), default_source="s")
    assert {name: column.to_pylist() for name, column in fields.items()} == {
        "title": [None],
        "url": [None],
        "source": ["s"],
        "kind": ["other"],
        "stated_lang": [None],
        "fetched": [None],
        "licence": ["unknown"],
        "evidence": [[]],
        "opt_out": [[]],
        "author": [None],
        LOCATOR: [""],
    }


def test_both_ways_give_columns_of_the_same_types():
    table = {
        "text": ["a"] * 3,
        "id": [1, 0, None],
        "url": ["u", "", None],
        "license": ["MIT", None, ""],
        "lang": ["en-GB", "", None],
    }
    batch = pa.RecordBatch.from_pydict(table)
    one, other = (
        way(batch, InputColumns(), default_source="s")
        for way in (read_plain_fields, read_fields_by_row)
    )
    assert list(one) == list(other)
    for name, column in one.items():
        assert column.equals(other[name]) and column.type == other[name].type, name
    assert one[LOCATOR].to_pylist() == ["1", "", ""] and one["stated_lang"].to_pylist() == [
        "en",
        None,
        None,
    ]
    assert one["evidence"].to_pylist() == [[{"signal": "license", "value": "MIT"}], [], []]


def test_two_columns_of_one_name_cost_their_rows():
    batch = pa.RecordBatch.from_arrays([pa.array(["a", "b"])] * 3, ["text", "title", "title"])
    items = list(iter_table_records(batch, 0, SPLIT, InputColumns()))
    assert [(item.offset, item.reason) for item in items] == [(0, "bad_value"), (1, "bad_value")]


def test_dates_beside_plain_columns_are_moments():
    day = datetime.datetime(2021, 1, 2, tzinfo=datetime.UTC)
    batch = pa.RecordBatch.from_pydict(
        {"text": ["a", "b"], "date": pa.array([day, None], pa.timestamp("s", "UTC"))}
    )
    [records] = iter_table_records(batch, 0, SPLIT, InputColumns())
    assert records["published"].type == MOMENT and records["published"].to_pylist() == [day, None]


def test_a_meaning_is_asked_for_once_a_batch(monkeypatch):
    asked = []
    monkeypatch.setattr(plain, "find_genre", lambda word: asked.append(word) or "web")
    batch = pa.RecordBatch.from_pydict(
        {"text": ["t"] * 1000, "type": ["page", "", None, "doc"] * 250}
    )
    [records] = iter_table_records(batch, 0, SPLIT, InputColumns())
    assert asked == ["page", None, "doc"] and np.all(
        records["kind"].to_numpy(zero_copy_only=False) == "web"
    )
