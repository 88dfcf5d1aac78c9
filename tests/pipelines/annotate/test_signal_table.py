"""The table of signals: schema and columns agree, folding is what exact duplicates mean, signatures survive slicing."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.signals.table import (
    PERMUTATIONS,
    SIGNAL_FIELDS,
    SIGNALS,
    compute_signal_columns,
    compute_signature_column,
    view_signature_matrix,
)
from pipelines.kernels.buffers import get_text_buffers

TEXTS = [
    "The old mill stood beside the river and the door was shut.",
    "short",
    "",
    "这座老磨坊在河边没有人",
    "THE  old\nmill",
]


def columns(texts, langs):
    made = compute_signal_columns(pa.array(texts, pa.string()), pa.array(langs, pa.string()))
    return dict(zip([field.name for field in SIGNAL_FIELDS], made, strict=True))


def test_columns_have_the_types_of_the_schema_and_a_row_a_document():
    urls = pa.array(["http://a.org/", None, "no address", "HTTP://A.org", "http://b.org/"])
    made = compute_signal_columns(pa.array(TEXTS), pa.array(["en", "en", "und", "zh", "en"]), urls)
    assert [column.type for column in made] == [field.type for field in SIGNAL_FIELDS]
    assert {len(column) for column in made} == {len(TEXTS)}
    table = pa.table(made, pa.schema(SIGNAL_FIELDS))
    table.validate(full=True)
    assert [name for name in table.column_names if table[name].null_count] == [
        "url_hash",
        "signature",
    ]
    assert table["url_hash"].is_valid().to_pylist() == [True, False, False, True, True]
    assert (
        table["url_hash"].to_pylist()[0]
        == table["url_hash"].to_pylist()[3]
        != table["url_hash"].to_pylist()[4]
    )
    assert [len(hashes) for hashes in table["line_hashes"].to_pylist()] == [1, 1, 0, 1, 2]


def test_texts_without_addresses_have_no_hash_of_one():
    assert columns(TEXTS, ["en"] * len(TEXTS))["url_hash"].null_count == len(TEXTS)


def test_every_numeric_signal_says_its_meaning_and_its_source():
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS) == 34
    for field, signal in zip(SIGNAL_FIELDS, SIGNALS, strict=False):
        assert field.metadata == {b"is": signal.meaning.encode(), b"source": signal.source.encode()}
        assert signal.meaning and signal.source and not field.nullable


def test_no_documents_give_empty_columns():
    assert {
        len(column)
        for column in compute_signal_columns(pa.array([], pa.string()), pa.array([], pa.string()))
    } == {0}


def test_stop_words_are_those_of_the_documents_own_language():
    text = "the mill and the river"
    assert columns([text] * 3, ["en", "zh", "xx"])["stop_words"].to_pylist() == [2, 0, 0]
    assert columns(["我的书是在这里"], ["zh"])["stop_words"].to_pylist() == [3]


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("The Mill", "the mill", True),
        ("a  b\n\nc ", "A b c", True),
        ("a\u3000b", "a b", True),
        ("ab", "a b", False),
        ("a, b", "a b", False),
        ("磨坊", "磨 坊", False),
    ],
)
def test_case_and_spacing_are_folded_and_nothing_else(left, right, same):
    hashes = columns([left, right], ["en", "en"])["text_hash"].to_pylist()
    assert (hashes[0] == hashes[1]) is same
    assert hashes[0] == xxhash.xxh3_128_digest(" ".join(left.lower().split()).encode())


def test_a_signature_is_null_under_five_words():
    found = columns(
        ["one two three four", "one two three four five", "中文字字", "中文字字字"],
        ["en", "en", "zh", "zh"],
    )
    assert found["signature"].is_valid().to_pylist() == [False, True, False, True]


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=20),
    start=st.integers(0, 20),
    length=st.integers(0, 20),
)
def test_the_matrix_of_any_slice_is_the_slice_of_the_matrix(sizes, start, length):
    texts = [" ".join(f"w{place}x{i}" for i in range(size)) for place, size in enumerate(sizes)]
    column = compute_signature_column(*get_text_buffers(pa.array(texts)))
    matrix = view_signature_matrix(column)
    assert matrix.shape == (len(texts), PERMUTATIONS)
    part = column.slice(min(start, len(column)), length)
    valid = part.is_valid().to_numpy(zero_copy_only=False)
    assert (
        view_signature_matrix(part)[valid].tolist()
        == matrix[start : start + length][valid].tolist()
    )
    raw = [np.frombuffer(value, "<u4").tolist() for value in part.to_pylist() if value is not None]
    assert raw == view_signature_matrix(part)[valid].tolist()


def test_signatures_survive_parquet():
    column = compute_signature_column(*get_text_buffers(pa.array(TEXTS)))
    file = io.BytesIO()
    pq.write_table(pa.table({"signature": column}), file, row_group_size=2)
    back = pq.read_table(file)["signature"].combine_chunks()
    assert back.equals(column)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    assert (view_signature_matrix(back)[valid] == view_signature_matrix(column)[valid]).all()


def test_the_matrix_of_no_rows_is_empty():
    for empty in (
        pa.array([], pa.binary(4 * PERMUTATIONS)),
        pa.chunked_array([], pa.binary(4 * PERMUTATIONS)).combine_chunks(),
    ):
        assert view_signature_matrix(empty).shape == (0, PERMUTATIONS)
