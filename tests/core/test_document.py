"""The border of text: every string-like column becomes valid UTF-8 `string`, and batches cover every row once."""

import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus import document
from gristmill.corpus.document import DOCUMENT_SCHEMA, as_text, slice_batches
from gristmill.errors import InputError

KINDS = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "dictionary of int8 and large_string": pa.dictionary(pa.int8(), pa.large_string()),
}
texts = st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=30), max_size=12)


def column(values, kind):
    """A column of some string-like type."""
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, pa.string()).cast(kind)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@given(values=texts)
def test_every_string_like_column_becomes_string_with_its_nulls(kind, values):
    text = as_text(column(values, kind))
    assert (text.type, text.to_pylist()) == (pa.string(), values)
    text.validate(full=True)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@given(values=texts, start=st.integers(0, 12), length=st.integers(0, 12))
def test_a_slice_of_a_column_keeps_exactly_its_rows(kind, values, start, length):
    cut = column(values, kind).slice(min(start, len(values)), length)
    assert as_text(cut).to_pylist() == list(values[start : start + length])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@given(values=texts, cuts=st.lists(st.integers(0, 12), max_size=3))
def test_a_column_of_several_chunks_becomes_one_array(kind, values, cuts):
    edges = sorted({0, len(values), *(cut for cut in cuts if cut <= len(values))})
    whole = column(values, kind)
    chunks = [whole.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    text = as_text(pa.chunked_array(chunks, kind))
    assert isinstance(text, pa.StringArray)
    assert text.to_pylist() == values


def test_long_values_of_a_view_column_are_read_too():
    values = ["short", "x" * 1000, None, "中" * 500]
    assert as_text(pa.array(values, pa.string_view())[1:]).to_pylist() == values[1:]


def test_a_column_of_nothing_but_nulls_is_text_without_text():
    assert as_text(pa.nulls(3)).to_pylist() == [None] * 3
    assert as_text(pa.nulls(3)).type == pa.string()


INVALID = [
    b"\xff",
    b"ok\x80",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"\xe4\xb8",
    "中".encode("gb18030"),
]


@pytest.mark.parametrize("bad", INVALID, ids=repr)
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
def test_binary_that_is_not_utf8_is_refused(bad, kind):
    with pytest.raises(InputError, match="not UTF-8"):
        as_text(pa.array([b"good", bad], kind))


def lying(data):
    """A `string` array whose bytes are not checked, as a writer without care makes them."""
    return pa.StringArray.from_buffers(
        1, pa.array([0, len(data)], pa.int32()).buffers()[1], pa.py_buffer(data)
    )


@pytest.mark.parametrize("bad", INVALID, ids=repr)
def test_a_string_column_that_lies_about_its_bytes_is_refused(bad):
    with pytest.raises(InputError, match="not UTF-8"):
        as_text(lying(bad))
    with pytest.raises(InputError, match="not UTF-8"):
        as_text(pa.DictionaryArray.from_arrays(pa.array([0, 0]), lying(bad)))


@given(st.binary(max_size=40))
def test_bytes_pass_the_border_exactly_if_python_can_decode_them(data):
    try:
        expected = data.decode("utf-8")
    except UnicodeDecodeError:
        with pytest.raises(InputError, match="not UTF-8"):
            as_text(pa.array([data], pa.binary()))
    else:
        assert as_text(pa.array([data], pa.binary())).to_pylist() == [expected]


def test_bad_bytes_outside_of_a_slice_do_not_matter():
    assert as_text(pa.array([b"\xff", b"good"], pa.binary())[1:]).to_pylist() == ["good"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1]),
        pa.array([1.5]),
        pa.array([["a"]]),
        pa.array([True]),
        pa.array([1]).dictionary_encode(),
    ],
)
def test_a_column_that_is_no_text_is_refused_with_its_type(values):
    with pytest.raises(InputError, match="a text column must hold strings"):
        as_text(values)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_column_that_32_bit_offsets_cannot_hold_is_refused(monkeypatch, kind):
    monkeypatch.setattr(document, "MAX_COLUMN_BYTES", 100)
    assert len(as_text(column(["x" * 50] * 2, kind))) == 2
    with pytest.raises(InputError, match="larger than 2 GiB"):
        as_text(column(["x" * 50] * 2 + ["y"], kind))


def test_a_dictionary_of_long_texts_is_refused_before_it_is_unrolled():
    long = pa.DictionaryArray.from_arrays(
        pa.array([0] * 5000, pa.int32()), pa.array(["x" * (1 << 20)])
    )
    before = pa.total_allocated_bytes()
    with pytest.raises(InputError, match="larger than 2 GiB"):
        as_text(long)
    assert pa.total_allocated_bytes() - before < 1 << 28


rows = st.lists(st.none() | st.text(max_size=20), max_size=60)


@given(rows, st.integers(1, 9), st.integers(1, 60), st.lists(st.integers(0, 60), max_size=3))
def test_batches_cover_every_row_once_in_order_within_their_bounds(values, most, text_bytes, cuts):
    edges = sorted({0, len(values), *(cut for cut in cuts if cut <= len(values))})
    numbered = pa.table(
        {"n": pa.array(range(len(values)), pa.int64()), "text": pa.array(values, pa.string())}
    )
    pieces = [numbered.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    table = pa.concat_tables(pieces) if pieces else numbered
    batches = list(slice_batches(table, rows=most, text_bytes=text_bytes))
    assert [n for batch in batches for n in batch["n"].to_pylist()] == list(range(len(values)))
    assert [t for batch in batches for t in batch["text"].to_pylist()] == values
    for batch in batches:
        size = sum(len((t or "").encode()) for t in batch["text"].to_pylist())
        assert 1 <= batch.num_rows <= most
        assert size <= text_bytes or batch.num_rows == 1


@given(rows, st.integers(1, 9), st.integers(1, 60))
def test_a_batch_is_never_smaller_than_its_bounds_force(values, most, text_bytes):
    sizes = [len((value or "").encode()) for value in values]
    batches = list(
        slice_batches(
            pa.table({"text": pa.array(values, pa.string())}), rows=most, text_bytes=text_bytes
        )
    )
    ends = [sum(batch.num_rows for batch in batches[: i + 1]) for i in range(len(batches))]
    for batch, end in zip(batches[:-1], ends, strict=False):
        assert batch.num_rows == most or sum(sizes[end - batch.num_rows : end + 1]) > text_bytes


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_table_of_any_string_like_text_is_cut(kind):
    values = ["aaaa", None, "bb", "中"]
    batches = list(slice_batches(pa.table({"text": column(values, kind)}), rows=10, text_bytes=5))
    assert [batch["text"].to_pylist() for batch in batches] == (
        [["aaaa", None], ["bb", "中"]]
        if kind not in (pa.binary(), pa.large_binary(), pa.binary_view())
        else [[b"aaaa", None], [b"bb", "中".encode()]]
    )


def test_a_document_larger_than_the_bound_is_a_batch_of_its_own():
    table = pa.table({"text": ["a", "x" * 100, "b", "c"]})
    assert [batch.num_rows for batch in slice_batches(table, text_bytes=10)] == [1, 1, 2]


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"text": pa.array([], pa.string())}),
        pa.table({"text": pa.chunked_array([], pa.string())}),
    ],
)
def test_an_empty_table_has_no_batch(table):
    assert list(slice_batches(table)) == []


def test_the_default_bounds_are_those_of_the_design():
    table = pa.table({"text": ["x"] * 2500})
    assert [batch.num_rows for batch in slice_batches(table)] == [1000, 1000, 500]
    big = pa.table({"text": ["x" * (1 << 20)] * 20})
    assert [batch.num_rows for batch in slice_batches(big)] == [8, 8, 4]


def test_the_document_has_these_columns_and_each_says_what_it_is():
    assert DOCUMENT_SCHEMA.names == [
        "id",
        "text",
        "title",
        "url",
        "source",
        "kind",
        "lang",
        "lang_score",
        "script",
        "script_share",
        "stated_lang",
        "published",
        "fetched",
        "licence",
        "evidence",
        "opt_out",
        "author",
        "capture",
    ]
    assert all(field.metadata[b"is"] for field in DOCUMENT_SCHEMA)
    required = {
        "id",
        "text",
        "source",
        "kind",
        "lang",
        "lang_score",
        "script",
        "script_share",
        "licence",
    }
    assert {field.name for field in DOCUMENT_SCHEMA if not field.nullable} == required


def test_a_document_survives_parquet(tmp_path):
    row = {
        "id": "0" * 32,
        "text": "grist 石磨",
        "title": None,
        "url": "https://e.org",
        "source": "s",
        "kind": "wiki",
        "lang": "en",
        "lang_score": 0.5,
        "script": "Latn",
        "script_share": 1.0,
        "stated_lang": None,
        "published": None,
        "fetched": 1_700_000_000_000,
        "licence": "CC0-1.0",
        "evidence": [{"signal": "rel=license", "value": "x"}],
        "opt_out": ["noai"],
        "author": None,
        "capture": {"file": "a.warc.gz", "offset": 1 << 40, "item": 3},
    }
    table = pa.Table.from_pylist([row], DOCUMENT_SCHEMA)
    pq.write_table(table, tmp_path / "d.parquet")
    assert pq.read_table(tmp_path / "d.parquet", schema=DOCUMENT_SCHEMA).equals(table)
