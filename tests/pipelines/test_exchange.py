"""Exchange: the same rows come out whatever the blocks, their order, the partitions and the way they travel."""

import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.exchange import (
    INLINE,
    Exchange,
    Numbers,
    _Cut,
    _Join,
    cut,
    pack,
    partition_of,
    read_part,
    sort_rows,
    unpack,
)

I64 = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
BLOCKS = st.lists(st.lists(st.tuples(I64, I64, st.integers(0, 2)), max_size=8), max_size=6)


def array(rows):
    return np.array(rows, np.int64).reshape(-1, 3)


def exchange(blocks, *, partitions, spill, by="hash"):
    """The stages without Beam: partition -> rows."""
    groups = {}
    for block in blocks:
        for partition, part in _Cut(3, partitions, by, spill).process(pack(array(block))):
            groups.setdefault(partition, []).append(part)
    joined = [next(_Join(3).process(group)) for group in groups.items()]
    return {partition: unpack(block, 3).tolist() for partition, block in joined}


@settings(max_examples=100, deadline=None)
@given(blocks=BLOCKS, partitions=st.integers(1, 7), spills=st.booleans(), data=st.data())
def test_any_order_of_blocks_and_any_way_give_the_same_sorted_rows(blocks, partitions, spills, data, tmp_path_factory):
    spill = str(tmp_path_factory.mktemp("spill")) if spills else None
    shuffled = data.draw(st.permutations(blocks))
    found = exchange(shuffled, partitions=partitions, spill=spill)
    rows = [row for block in blocks for row in block]
    places = partition_of(array(rows)[:, 0], partitions, "hash").tolist() if rows else []
    expected = {}
    for place, row in zip(places, rows, strict=True):
        expected.setdefault(place, []).append(list(row))
    assert found == {place: sorted(mine) for place, mine in expected.items()}
    assert found == exchange(blocks, partitions=partitions, spill=None)


@settings(max_examples=50, deadline=None)
@given(blocks=BLOCKS, one=st.integers(1, 7), other=st.integers(1, 7))
def test_the_number_of_partitions_changes_no_row(blocks, one, other):
    def rows(partitions):
        return sorted(row for part in exchange(blocks, partitions=partitions, spill=None).values() for row in part)

    assert rows(one) == rows(other)


@given(keys=st.lists(I64, max_size=50), partitions=st.integers(1, 9))
def test_every_key_has_one_partition_within_bounds(keys, partitions):
    places = partition_of(np.array(keys, np.int64), partitions, "hash")
    assert ((places >= 0) & (places < partitions)).all()
    assert len({(k, p) for k, p in zip(keys, places.tolist(), strict=True)}) == len(set(keys))


def test_keys_are_spread_evenly():
    counts = np.bincount(partition_of(np.arange(70_000, dtype=np.int64) << 32, 7, "hash"), minlength=7)
    assert counts.min() > 9_000


def test_by_shard_a_node_goes_to_its_shard():
    nodes = np.array([0, 5, 1 << 32, (3 << 32) | 7], np.int64)
    assert partition_of(nodes, 2, "shard").tolist() == [0, 0, 1, 3]


@given(rows=st.lists(st.tuples(I64, I64, I64), max_size=20))
def test_rows_are_sorted_as_python_sorts_tuples_and_blocks_round_trip(rows):
    assert [tuple(row) for row in sort_rows(array(rows)).tolist()] == sorted(rows)
    assert unpack(pack(array(rows)), 3).tolist() == array(rows).tolist()


def test_no_rows_are_cut_to_nothing():
    assert list(cut(array([]), 5, "hash")) == []
    assert list(_Cut(3, 5, "hash", None).process(b"")) == []


def test_a_block_of_another_width_is_refused():
    with pytest.raises(ValueError, match="reshape"):
        unpack(pack(np.zeros((1, 3), np.int64)), 2)


def test_one_spill_file_a_block_holds_all_its_partitions(tmp_path):
    rows = array([(key, 0, 0) for key in range(100)])
    parts = list(_Cut(3, 5, "hash", str(tmp_path)).process(pack(rows)))
    assert len(parts) == 5 and len(list(tmp_path.iterdir())) == 1
    assert sum(len(read_part(part)) for _, part in parts) == rows.nbytes


def test_an_attempt_never_writes_over_another(tmp_path):
    for _ in range(3):
        list(_Cut(3, 1, "hash", str(tmp_path)).process(pack(array([(1, 2, 3)]))))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("keep", [0, 1, 23])
def test_a_cut_spill_file_is_an_error_and_never_fewer_rows(keep, tmp_path):
    [(_, part)] = _Cut(3, 1, "hash", str(tmp_path)).process(pack(array([(1, 2, 3)])))
    path = Path(json.loads(part[1:])[0])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(OSError, match=f"is cut: {keep} of 24 bytes at 0"):
        read_part(part)


def test_a_spill_file_that_is_gone_is_an_error(tmp_path):
    [(_, part)] = _Cut(3, 1, "hash", str(tmp_path)).process(pack(array([(1, 2, 3)])))
    next(tmp_path.iterdir()).unlink()
    with pytest.raises(FileNotFoundError):
        read_part(part)


def test_an_inline_part_is_its_block():
    assert read_part(INLINE + b"12345678") == b"12345678"


class Collect(beam.DoFn):
    def __init__(self, folder):
        self.folder = folder

    def process(self, group):
        partition, block = group
        Path(self.folder, f"{partition}.json").write_text(json.dumps(unpack(block, 3).tolist()))
        yield partition


@pytest.mark.parametrize("spills", [False, True])
def test_it_runs_on_beam(spills, tmp_path):
    rng = np.random.default_rng(1)
    blocks = [rng.integers(-9, 9, (n, 3)) for n in (5, 0, 7, 1)]
    out = tmp_path / "out"
    out.mkdir()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        spill = str(tmp_path / "spill") if spills else None
        made = pipeline | beam.Create([pack(block) for block in blocks]) | Exchange(3, partitions=3, spill=spill)
        made | beam.ParDo(Collect(str(out)))
    found = {int(path.stem): json.loads(path.read_text()) for path in out.iterdir()}
    assert found == exchange([block.tolist() for block in blocks], partitions=3, spill=None)


def test_numbers_count_up(tmp_path):
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        pipeline | Numbers(5) | beam.Map(lambda number, folder: (folder / str(number)).touch(), folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == list("01234")
