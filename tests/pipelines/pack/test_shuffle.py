"""The shuffle of encoded documents: every row comes out once, in the order of its key, in the same batches for any memory."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.shards import open_shard, shard_schema
from gristmill.hashing import KEY_MASK
from gristmill.runs.run import SPILL
from pipelines.engine.packed_rows import pack_rows, sort_rows
from pipelines.engine.sorted_partition import SortedPartition, SortedRun
from pipelines.pack import shuffle
from pipelines.pack.shuffle import (
    EXCHANGE_WIDTH,
    Outputs,
    ShuffleJob,
    batch_blocks,
    divide_memory,
    gather_documents,
    iter_blocks,
    iter_record_batches,
    locate_rows,
    measure_rows,
    plan_outputs,
    sort_encoded_rows,
    write_output,
    write_spill,
)

SCHEMA = shard_schema(1000, {})
SHARES = {"train": 0.8, "validation": 0.2, "test": 0.0}


def outputs(**counts):
    return Outputs({"train": 1, "validation": 1, "test": 1} | counts)


def rows_of(ids, lengths):
    """Rows of a shard, one for each id, with so many tokens."""
    tokens = [list(range(length)) for length in lengths]
    columns = [
        tokens,
        [[0] if some else [] for some in tokens],
        ids,
        ["s"] * len(ids),
        ["en"] * len(ids),
        lengths,
    ]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"train": 0, "validation": 0, "test": 0}, (1, 1, 0)),
        ({"train": 100, "validation": 100, "test": 0}, (1, 1, 0)),
        ({"train": 101, "validation": 1, "test": 0}, (2, 1, 0)),
        ({"train": 1000, "validation": 250, "test": 0}, (10, 3, 0)),
    ],
)
def test_a_split_has_as_many_shards_as_its_bytes_need_and_none_without_a_share(sizes, expected):
    assert tuple(plan_outputs(sizes, 100, SHARES).counts.values()) == expected


def test_shards_are_numbered_by_split():
    where = outputs(train=2, validation=0)
    assert [where.offset(split) for split in ("train", "validation", "test")] == [
        0,
        2,
        2,
    ] and where.total == 3
    assert [where.name_of(number) for number in range(3)] == [
        "train/data-00000-of-00002.arrow",
        "train/data-00001-of-00002.arrow",
        "test/data-00000-of-00001.arrow",
    ]


def test_the_extreme_keys_go_to_the_first_and_the_last_shard_of_their_split():
    index = np.array([[0, 0, 1], [0, KEY_MASK // 2, 1], [0, KEY_MASK, 1], [2, KEY_MASK, 1]])
    rows = locate_rows(index, 5, outputs(train=7, validation=0, test=3))
    assert (rows[:, 0] >> 32).tolist() == [0, 3, 6, 9]
    assert (
        rows[:, 2].tolist() == [5 << 32 | row for row in range(4)]
        and rows[:, 3].tolist() == [1] * 4
    )


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, KEY_MASK)), min_size=1, max_size=40),
    st.integers(1, 9),
)
def test_rows_of_the_exchange_are_in_the_order_of_split_and_key(keys, train):
    index = np.array([[split, key, 1] for split, key in sorted(keys)])
    rows = locate_rows(index, 0, outputs(train=train))
    assert [tuple(row) for row in rows.tolist()] == sorted(tuple(row) for row in rows.tolist())
    assert all(
        row[0] >> 32 < train
        for row, (split, _) in zip(rows.tolist(), sorted(keys), strict=True)
        if split == 0
    )


def test_a_spill_is_sorted_by_split_and_key_and_knows_its_bytes():
    rows, index = sort_encoded_rows(
        rows_of(["a", "b", "c"], [3, 1, 2]), np.array([1, 0, 0]), np.array([5, 9, 7])
    )
    assert rows["id"].to_pylist() == ["c", "b", "a"] and index[:, :2].tolist() == [
        [0, 7],
        [0, 9],
        [1, 5],
    ]
    # ids of 2 bytes, one sentence of 4, id, source and lang, an offset for each of the five, and a number
    assert index[:, 2].tolist() == [2 * length + 4 + 1 + 1 + 2 + 5 * 4 + 4 for length in (2, 1, 3)]
    assert measure_rows(rows.slice(1)).tolist() == index[1:, 2].tolist()
    assert measure_rows(rows.slice(0, 0)).tolist() == []


def sizes_of(blocks):
    return [len(block) for block in blocks]


def exchange_rows(sizes):
    return np.array(
        [[0, number, number, size] for number, size in enumerate(sizes)], np.int64
    ).reshape(-1, EXCHANGE_WIDTH)


@settings(max_examples=200)
@given(st.lists(st.integers(1, 60), max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_batches_end_by_rows_and_bytes_wherever_pieces_end(sizes, cuts):
    rows = exchange_rows(sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shuffle, "BATCH_ROWS", 7)
        patch.setattr(shuffle, "BATCH_BYTES", 100)
        pieces = np.split(rows, sorted(min(cut, len(rows)) for cut in cuts))
        found = list(iter_blocks(pieces))
        assert sizes_of(found) == sizes_of(iter_blocks([rows]))
    assert not found or np.array_equal(np.concatenate(found), rows)
    for block, following in zip(found, [*found[1:], None], strict=False):
        assert len(block) <= 7 and (len(block) == 1 or block[:, 3].sum() <= 100)
        assert following is None or len(block) == 7 or block[:, 3].sum() + following[0, 3] > 100


def test_blocks_are_gathered_in_lists_of_so_many_bytes_but_one_at_least():
    blocks = [exchange_rows(sizes) for sizes in ([50], [40], [30], [200], [1])]
    assert [len(some) for some in batch_blocks(blocks, 100)] == [2, 1, 1, 1]


@pytest.fixture
def spilled(tmp_path):
    """Two spill files of 60 documents together, and all rows of the exchange."""
    rng = np.random.default_rng(3)
    rows = []
    for shard in range(2):
        ids = [f"{shard}-{number}" for number in range(30)]
        keys, splits = rng.integers(0, KEY_MASK, 30), rng.integers(0, 2, 30)
        batch, index = sort_encoded_rows(
            rows_of(ids, rng.integers(0, 50, 30).tolist()), splits, keys
        )
        write_spill(tmp_path, shard, batch, index)
        rows.append(locate_rows(index, shard, outputs(train=2)))
    return tmp_path, np.concatenate(rows)


def documents(folder, rows):
    return [
        pa.ipc.open_file(str(folder / SPILL / f"tokens-{node >> 32:05d}.arrow"))
        .get_batch(0)["id"][node & 0xFFFFFFFF]
        .as_py()
        for node in rows[:, 2].tolist()
    ]


def test_documents_are_gathered_in_the_order_asked_for(spilled):
    folder, rows = spilled
    wanted = rows[np.random.default_rng(1).permutation(len(rows))]
    batch, places = gather_documents(folder, wanted)
    assert batch.take(pa.array(places))["id"].to_pylist() == documents(folder, wanted)


def how(folder, held=1 << 20):
    return ShuffleJob(str(folder), 2, outputs(train=2), SCHEMA, 1 << 20, held)


@pytest.mark.parametrize("held", [1, 500, 1 << 20])
def test_an_output_shard_is_written_in_order_and_equal_for_any_memory(spilled, held, monkeypatch):
    monkeypatch.setattr(shuffle, "BATCH_ROWS", 4)
    folder, rows = spilled
    ordered = sort_rows(rows[rows[:, 0] >> 32 == 0])
    pieces = SortedPartition(
        [SortedRun(EXCHANGE_WIDTH, pack_rows(ordered))], limit=max(1, held // 100)
    )
    assert list(write_output(0, pieces, job=how(folder, held))) == []
    written = folder / "train/data-00000-of-00002.arrow"
    table = open_shard(written)
    assert table["id"].to_pylist() == documents(folder, ordered)
    assert [len(chunk) for chunk in table["id"].chunks[:-1]] == [4] * (len(table["id"].chunks) - 1)
    once = written.read_bytes()
    assert b"".join(b for b in [once]) == rewritten(folder, ordered)


def rewritten(folder, rows):
    """The bytes of an output shard that is written with all memory it could want."""
    (folder / "receipts/shards/00000.json").unlink()
    list(
        write_output(
            0,
            SortedPartition([SortedRun(EXCHANGE_WIDTH, pack_rows(rows))], limit=10**6),
            job=how(folder),
        )
    )
    return (folder / "train/data-00000-of-00002.arrow").read_bytes()


def test_an_output_shard_that_is_done_is_left_alone(spilled):
    folder, rows = spilled
    ordered = sort_rows(rows[rows[:, 0] >> 32 == 0])
    list(
        write_output(
            0,
            SortedPartition([SortedRun(EXCHANGE_WIDTH, pack_rows(ordered))], limit=100),
            job=how(folder),
        )
    )
    assert list(write_output(0, SortedPartition([], limit=100), job=how(folder))) == []
    assert open_shard(folder / "train/data-00000-of-00002.arrow").num_rows == len(ordered)


def test_an_output_shard_without_documents_is_written_too(spilled):
    folder, _ = spilled
    list(write_output(3, SortedPartition([], limit=100), job=how(folder)))
    assert open_shard(folder / "test/data-00000-of-00001.arrow", rows=0).num_rows == 0
    assert list(iter_record_batches([], how(folder))) == []


def test_workers_share_the_memory():
    assert divide_memory(1 << 30, 1) == (16 << 20, 128 << 20)
    assert divide_memory(1 << 30, 2) == (16 << 20, 64 << 20)
    assert divide_memory(1, 2) == (1 << 17, 1 << 17)
