"""Exchange: the same rows come out whatever the blocks, their order, the partitions and the way they travel."""

import itertools
import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.engine.exchange import Exchange, PartitionBlocks, ReducePartitions, SplitIndices
from pipelines.engine.packed_rows import (
    assign_partitions,
    pack_rows,
    partition_rows,
    sort_rows,
    unpack_rows,
)
from pipelines.engine.sorted_partition import (
    SortedPartition,
    SortedRun,
    iter_whole_groups,
    merge_runs,
)
from pipelines.engine.spill import GROUPS, INLINE, read_spilled_partitions

I64 = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
BLOCKS = st.lists(st.lists(st.tuples(I64, I64, st.integers(0, 2)), max_size=8), max_size=6)


def array(rows):
    return np.array(rows, np.int64).reshape(-1, 3)


def parts_of(blocks, cutter):
    """What a mapper sends for one bundle of blocks: (partition, part)."""
    cutter.start_bundle()
    sent = [part for block in blocks for part in cutter.process(pack_rows(array(block)))]
    return sent + [value.value for value in cutter.finish_bundle()]


def exchange(blocks, *, partitions, spill, by="hash", limit=1 << 20, bundle=2):
    """The stages without Beam: partition -> rows."""
    groups = {}
    for start in range(0, len(blocks), bundle):
        for partition, part in parts_of(
            blocks[start : start + bundle], PartitionBlocks(3, partitions, by, spill)
        ):
            groups.setdefault(partition, []).append(part)
    found = {}

    def keep(partition, pieces):
        found[partition] = [row for piece in pieces for row in piece.tolist()]
        return iter(())

    for group in groups.items():
        assert list(ReducePartitions(3, keep, limit).process(group)) == []
    return found


@settings(max_examples=100, deadline=None)
@given(blocks=BLOCKS, partitions=st.integers(1, 7), spills=st.booleans(), data=st.data())
def test_any_order_of_blocks_and_any_way_give_the_same_sorted_rows(
    blocks, partitions, spills, data, tmp_path_factory
):
    spill = str(tmp_path_factory.mktemp("spill")) if spills else None
    shuffled = data.draw(st.permutations(blocks))
    found = exchange(shuffled, partitions=partitions, spill=spill)
    rows = [row for block in blocks for row in block]
    places = assign_partitions(array(rows)[:, 0], partitions, "hash").tolist() if rows else []
    expected = {}
    for place, row in zip(places, rows, strict=True):
        expected.setdefault(place, []).append(list(row))
    assert found == {place: sorted(mine) for place, mine in expected.items()}
    assert found == exchange(blocks, partitions=partitions, spill=None)


@settings(max_examples=200, deadline=None)
@given(blocks=BLOCKS, limit=st.integers(1, 9), bundle=st.integers(1, 3))
def test_a_partition_larger_than_a_piece_is_merged_to_the_same_rows(blocks, limit, bundle):
    found = exchange(blocks, partitions=1, spill=None, limit=limit, bundle=bundle)
    assert found == exchange(blocks, partitions=1, spill=None)


RUNS = st.lists(
    st.lists(st.tuples(I64, I64), min_size=1, max_size=30).map(sorted), min_size=1, max_size=5
)


def run(rows, width=2):
    return SortedRun(width, pack_rows(np.array(rows, np.int64).reshape(-1, width)))


@settings(max_examples=300, deadline=None)
@given(runs=RUNS, limit=st.integers(1, 40))
def test_merging_gives_every_row_once_in_order(runs, limit):
    pieces = list(merge_runs([run(rows) for rows in runs], limit))
    assert [tuple(row) for piece in pieces for row in piece.tolist()] == sorted(
        row for rows in runs for row in rows
    )
    assert all(len(piece) for piece in pieces)


@pytest.mark.parametrize("giant", [False, True])
def test_merged_pieces_are_about_as_large_as_asked_also_where_one_key_has_all_rows(giant, tmp_path):
    rng = np.random.default_rng(1)
    blocks = [
        [
            (5 if giant else key, node, 0)
            for key, node in rng.integers(0, 1 << 62, (2000, 2)).tolist()
        ]
        for _ in range(60)
    ]
    parts = [
        part
        for block in blocks
        for _, part in parts_of([block], PartitionBlocks(3, 1, "hash", str(tmp_path)))
    ]
    [(_, runs)] = read_spilled_partitions(parts, 3, [])
    sizes = [len(piece) for piece in SortedPartition(runs, 10_000)]
    assert sum(sizes) == 120_000 and max(sizes) <= 10_000 and len(sizes) < 40


def runs_of(part, width=3):
    """The runs that a part of one partition names."""
    [(_, runs)] = read_spilled_partitions([part], width, [])
    return runs


def test_pieces_can_be_walked_through_twice_and_in_no_order_too(tmp_path):
    rows = [(key, 1, 2) for key in range(1000)]
    parts = [
        part
        for block in (rows[500:], rows[:500])
        for _, part in parts_of([block], PartitionBlocks(3, 1, "hash", str(tmp_path)))
    ]
    pieces = SortedPartition([run for part in parts for run in runs_of(part)], 300)
    assert pieces.rows == 1000 and len(list(pieces)) > 1
    assert [row for piece in pieces for row in piece.tolist()] == [
        row for piece in pieces for row in piece.tolist()
    ]
    assert [piece[0, 0] for piece in pieces.unsorted()] == [500, 800, 0, 300]


def test_many_partitions_are_few_elements_and_one_file_a_flush(tmp_path):
    parts = parts_of(
        [[(key << 32, 0, 0) for key in range(1000)]], PartitionBlocks(3, 1, "shard", str(tmp_path))
    )
    assert len(parts) == GROUPS and len(list(tmp_path.iterdir())) == 1
    found = {
        partition: runs
        for _, part in parts
        for partition, runs in read_spilled_partitions([part], 3, [])
    }
    assert sorted(found) == list(range(1000)) and all(
        sum(run.rows for run in runs) == 1 for runs in found.values()
    )


def test_partitions_without_rows_that_are_wanted_stand_among_those_with_some(tmp_path):
    parts = parts_of([[(64 << 32, 0, 0)]], PartitionBlocks(3, 1, "shard", str(tmp_path)))
    [(group, part)] = parts
    assert group == 0
    found = read_spilled_partitions([part], 3, range(0, 200, GROUPS))
    assert [(partition, len(runs)) for partition, runs in found] == [
        (0, 0),
        (64, 1),
        (128, 0),
        (192, 0),
    ]


@settings(max_examples=200, deadline=None)
@given(
    keys=st.lists(st.integers(0, 4), max_size=40).map(sorted),
    cuts=st.lists(st.integers(1, 39), max_size=5),
)
def test_whole_groups_are_cut_only_where_the_first_column_changes(keys, cuts):
    rows = np.column_stack([np.array(keys, np.int64), np.arange(len(keys), dtype=np.int64)])
    borders = sorted({0, len(keys), *(cut for cut in cuts if cut < len(keys))})
    pieces = [rows[a:b] for a, b in itertools.pairwise(borders)]
    found = list(iter_whole_groups(pieces))
    assert [row for piece in found for row in piece.tolist()] == rows.tolist()
    assert all(len(piece) for piece in found)
    assert all(a[-1, 0] != b[0, 0] for a, b in itertools.pairwise(found))


@settings(max_examples=50, deadline=None)
@given(blocks=BLOCKS, one=st.integers(1, 7), other=st.integers(1, 7))
def test_the_number_of_partitions_changes_no_row(blocks, one, other):
    def rows(partitions):
        return sorted(
            row
            for part in exchange(blocks, partitions=partitions, spill=None).values()
            for row in part
        )

    assert rows(one) == rows(other)


@given(keys=st.lists(I64, max_size=50), partitions=st.integers(1, 9))
def test_every_key_has_one_partition_within_bounds(keys, partitions):
    places = assign_partitions(np.array(keys, np.int64), partitions, "hash")
    assert ((places >= 0) & (places < partitions)).all()
    assert len({(k, p) for k, p in zip(keys, places.tolist(), strict=True)}) == len(set(keys))


def test_keys_are_spread_evenly():
    counts = np.bincount(
        assign_partitions(np.arange(70_000, dtype=np.int64) << 32, 7, "hash"), minlength=7
    )
    assert counts.min() > 9_000


def test_by_shard_a_node_goes_to_its_shard():
    nodes = np.array([0, 5, 1 << 32, (3 << 32) | 7], np.int64)
    assert assign_partitions(nodes, 2, "shard").tolist() == [0, 0, 1, 3]


@given(rows=st.lists(st.tuples(I64, I64, I64), max_size=20))
def test_rows_are_sorted_as_python_sorts_tuples_and_blocks_round_trip(rows):
    assert [tuple(row) for row in sort_rows(array(rows)).tolist()] == sorted(rows)
    assert unpack_rows(pack_rows(array(rows)), 3).tolist() == array(rows).tolist()


def test_no_rows_are_cut_to_nothing():
    assert list(partition_rows(array([]), 5, "hash")) == []
    assert parts_of([[]], PartitionBlocks(3, 5, "hash", None)) == []


def test_a_block_of_another_width_is_refused():
    with pytest.raises(ValueError, match="reshape"):
        unpack_rows(pack_rows(np.zeros((1, 3), np.int64)), 2)


def test_one_spill_file_a_block_holds_all_its_partitions(tmp_path):
    rows = array([(key, 0, 0) for key in range(100)])
    parts = parts_of([rows.tolist()], PartitionBlocks(3, 5, "hash", str(tmp_path)))
    assert len(parts) == 5 and len(list(tmp_path.iterdir())) == 1
    assert sum(run.rows for _, part in parts for run in runs_of(part)) == len(rows)


def test_small_blocks_are_gathered_to_one_spill_file_and_large_ones_are_not_kept_waiting(tmp_path):
    blocks = [[(key, 0, 0)] for key in range(20)]
    assert len(parts_of(blocks, PartitionBlocks(3, 1, "hash", str(tmp_path / "one")))) == 1
    assert (
        len(
            parts_of(
                blocks, PartitionBlocks(3, 1, "hash", str(tmp_path / "many"), chunk_bytes=5 * 24)
            )
        )
        == 4
    )


@pytest.mark.parametrize("spills", [False, True])
def test_every_partition_is_reduced_where_that_is_asked_also_those_without_rows(spills, tmp_path):
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        spill = str(tmp_path / "spill") if spills else None
        blocks = pipeline | beam.Create([pack_rows(array([(1, 2, 3)]))])
        blocks | Exchange(3, partitions=5, spill=spill, every=5, reduce=Touch(str(tmp_path)))
    sizes = {path.name: int(path.read_text()) for path in tmp_path.glob("reduced-*")}
    assert len(sizes) == 5 and sorted(sizes.values()) == [0, 0, 0, 0, 1]


def test_an_attempt_never_writes_over_another(tmp_path):
    for _ in range(3):
        parts_of([[(1, 2, 3)]], PartitionBlocks(3, 1, "hash", str(tmp_path)))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("keep", [0, 1, 23])
def test_a_cut_spill_file_is_an_error_and_never_fewer_rows(keep, tmp_path):
    [(_, part)] = parts_of([[(1, 2, 3)]], PartitionBlocks(3, 1, "hash", str(tmp_path)))
    [run] = runs_of(part)
    Path(run.path).write_bytes(Path(run.path).read_bytes()[:keep])
    with pytest.raises(OSError, match=f"is cut: {keep} of 24 bytes at 0"):
        run.read(0, 1)
    with pytest.raises(OSError, match="is cut"):
        run.view()
    with pytest.raises(OSError, match="is cut"):
        runs_of(part)


def test_a_spill_file_that_is_gone_is_an_error(tmp_path):
    [(_, part)] = parts_of([[(1, 2, 3)]], PartitionBlocks(3, 1, "hash", str(tmp_path)))
    next(tmp_path.iterdir()).unlink()
    with pytest.raises(FileNotFoundError):
        runs_of(part)


def test_an_inline_part_is_its_block():
    [(_, part)] = parts_of([[(1, 2, 3)]], PartitionBlocks(3, 1, "hash", None))
    assert part == INLINE + pack_rows(array([(1, 2, 3)]))


class Touch:
    """Writes down how many rows a partition has."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, partition, pieces):
        Path(self.folder, f"reduced-{partition}").write_text(str(pieces.rows))
        return iter(())


class Collect:
    """Writes down the rows of a partition."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, partition, pieces):
        rows = [row for piece in pieces for row in piece.tolist()]
        Path(self.folder, f"{partition}.json").write_text(json.dumps(rows))
        return iter(())


@pytest.mark.parametrize("spills", [False, True])
def test_it_runs_on_beam(spills, tmp_path):
    rng = np.random.default_rng(1)
    blocks = [rng.integers(-9, 9, (n, 3)) for n in (5, 0, 7, 1)]
    out = tmp_path / "out"
    out.mkdir()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        spill = str(tmp_path / "spill") if spills else None
        made = pipeline | beam.Create([pack_rows(block) for block in blocks])
        made | Exchange(3, partitions=3, spill=spill, reduce=Collect(str(out)))
    found = {int(path.stem): json.loads(path.read_text()) for path in out.iterdir()}
    assert found == exchange([block.tolist() for block in blocks], partitions=3, spill=None)


def test_numbers_count_up(tmp_path):
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        (
            pipeline
            | SplitIndices(5)
            | beam.Map(lambda number, folder: (folder / str(number)).touch(), folder=tmp_path)
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == list("01234")
