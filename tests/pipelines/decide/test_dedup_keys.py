"""The keys of deduplication: ids survive their halves, ranks order as stated, bands never share keys."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.document import MOMENT
from pipelines.decide.dedup.keys import (
    BAND,
    CONTENT_KEY,
    NO_DATE,
    compute_survivor_order,
    hash_bands,
    join_id,
    make_band_rows,
    make_key_rows,
    make_nodes,
    split_halves,
    split_ids,
)
from pipelines.decide.dedup.signatures import get_shard_row

IDS = st.integers(0, 2**128 - 1).map(lambda value: f"{value:032x}")


@given(ids=st.lists(IDS, min_size=1, max_size=10))
def test_an_id_survives_its_halves_and_halves_sort_as_ids_do(ids):
    parts = split_ids(pa.array(ids))
    assert [join_id(high, low) for high, low in parts.tolist()] == ids
    assert [ids[i] for i in np.lexsort(parts.T[::-1])] == sorted(ids)


def test_the_extreme_ids_survive():
    for name in ("0" * 32, "f" * 32, "8" + "0" * 31, "7" + "f" * 31):
        assert join_id(*split_ids(pa.array([name]))[0]) == name


def test_no_values_have_no_halves():
    assert split_halves(pa.array([], pa.binary(16))).shape == (0, 2)
    assert split_ids(pa.array([], pa.string())).shape == (0, 2)


def table(rows):
    names = ["id", "source", "kind", "published"]
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 4
    types = [pa.string(), pa.string(), pa.string(), MOMENT]
    return pa.table(
        [pa.array(list(column), kind) for column, kind in zip(columns, types, strict=True)], names
    )


def day(number):
    return datetime.datetime(2024, 1, number, tzinfo=datetime.UTC)


def test_a_preferred_source_or_kind_comes_first_then_the_older_then_the_smaller_id():
    rows = [
        ("c" * 32, "blog", "web", None),
        ("b" * 32, "blog", "web", None),
        ("d" * 32, "blog", "web", day(2)),
        ("e" * 32, "blog", "web", day(1)),
        ("f" * 32, "wire", "news", None),
        ("a" * 32, "enwiki", "wiki", day(9)),
    ]
    found = compute_survivor_order(table(rows), ["enwiki", "news"])
    order = np.lexsort(found.T[::-1]).tolist()
    assert [rows[i][0][0] for i in order] == ["a", "f", "e", "d", "b", "c"]
    assert found[0].tolist()[:2] == [2, NO_DATE]


def test_the_newest_may_come_first_and_documents_without_a_date_still_last():
    rows = [
        ("a" * 32, "s", "web", None),
        ("b" * 32, "s", "web", day(1)),
        ("c" * 32, "s", "web", day(2)),
    ]
    found = compute_survivor_order(table(rows), [], newest=True)
    assert np.lexsort(found.T[::-1]).tolist() == [2, 1, 0]


def test_no_documents_have_no_ranks():
    assert compute_survivor_order(table([]), []).shape == (0, 4)


def test_keys_are_hash_rank_and_node_of_the_documents_that_are_used():
    hashes = pa.array([b"\x80" + b"\0" * 15, None, b"\x80" + b"\0" * 14 + b"\1"], pa.binary(16))
    rank = np.arange(12, dtype=np.int64).reshape(3, 4)
    found = make_key_rows(hashes, rank, make_nodes(2, 3), np.array([True, False, True]))
    low = -(1 << 63)
    assert found.tolist() == [
        [0, low, 0, 1, 2, 3, 2 << 32],
        [0, low + 1, 8, 9, 10, 11, (2 << 32) + 2],
    ]
    assert make_key_rows(hashes, rank, make_nodes(2, 3), np.zeros(3, bool)).shape == (
        0,
        CONTENT_KEY.width,
    )


def test_a_node_names_its_shard_and_row():
    nodes = make_nodes(7, 3)
    assert nodes.tolist() == [(7 << 32) + row for row in range(3)]
    assert get_shard_row(nodes).tolist() == [0, 1, 2] and get_shard_row(int(nodes[2])) == 2


def test_equal_bands_share_a_key_and_bands_of_different_places_never_do():
    signatures = np.zeros((3, 112), np.uint32)
    signatures[1, :8] = 5
    rows = make_band_rows(signatures, np.array([[7, 10], [8, 11], [9, 12]]), bands=14, rows=8)
    assert rows.shape == (42, BAND.width) and (rows[:, 0] >= 0).all()
    assert set(map(tuple, rows[:, 1:].tolist())) == {(7, 10), (8, 11), (9, 12)}
    keys = {node: set(rows[rows[:, 2] == node, 0].tolist()) for node in (10, 11, 12)}
    assert keys[10] == keys[12] and len(keys[10]) == 14 and len(keys[10] & keys[11]) == 13


@pytest.mark.parametrize(("bands", "rows"), [(1, 1), (9, 12), (14, 8), (112, 1)])
def test_any_bands_that_fit_give_a_row_a_band(bands, rows):
    signatures = np.random.default_rng(1).integers(0, 2**32, (5, 112)).astype(np.uint32)
    assert hash_bands(signatures, bands=bands, rows=rows).shape == (5, bands)
    assert make_band_rows(
        signatures[:0], np.zeros((0, 2), np.int64), bands=bands, rows=rows
    ).shape == (
        0,
        BAND.width,
    )
