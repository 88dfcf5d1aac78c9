"""Exchange: the one way rows are regrouped. Packed rows of 64-bit integers travel, never text or Python objects.

Elements are blocks: int64 arrays of shape (rows, width) as bytes. Locally a mapper writes its rows, partitioned, to one
spill file, and only (group of partitions, place of their index) goes through Beam, whose local runner would hold every
byte 4 to 6 times in memory. Elsewhere the partitioned blocks themselves go through the runner. Both give the same rows
in the same order: a reducer sees the rows of its partition sorted by all their columns, so nothing depends on which
worker sent them first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from pipelines.engine.packed_rows import (
    BYTES_PER_VALUE,
    PartitionBy,
    pack_rows,
    partition_rows,
    unpack_rows,
)
from pipelines.engine.sorted_partition import SortedPartition, SortedRun
from pipelines.engine.spill import GROUPS, INLINE, SPILLED, read_spilled_partitions, write_spill
from pipelines.row_layout import PackedRows

CHUNK_BYTES = 16 << 20
"""Default bytes of rows that a reducer gets at a time and that a mapper gathers before it partitions them."""

Reducer = Callable[[int, SortedPartition], Iterator[PackedRows]]
"""What is done with a partition: its number and its rows in, rows out."""


class SplitIndices(beam.PTransform):
    """The numbers 0 to count - 1, distributed over the workers, which look up in the plan what each stands for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return pipeline | beam.Create([self.count]) | beam.ParDo(_CountUp()) | beam.Reshuffle()


class _CountUp(beam.DoFn):
    def process(self, count: int) -> Iterator[int]:
        yield from range(count)


class EmptyPartitions(beam.DoFn):
    """Every number as a key without rows, so that its group exists even if no mapper sends it anything."""

    def process(self, number: int) -> Iterator[tuple[int, bytes]]:
        yield number, b""


class Exchange(beam.PTransform):
    """Regroup the blocks of one collection or a tuple of them, and reduce the sorted rows of each partition to blocks.

    Several collections are partitioned separately: a Flatten in front would hold the rows themselves in memory.

    Args:
        width: columns of the rows that come in.
        partitions: how many partitions rows are hashed over; without effect where `by` is "shard".
        by: the hash of the first column, or the shard of the node in it.
        spill: a folder on this machine, or None to send the rows through the runner.
        reduce: what is done with each partition.
        every: so many partitions are reduced even where they have no rows; 0 means only those with rows.
        chunk_bytes: bytes of rows that a worker holds at a time, about; their sorted copies come on top.
    """

    def __init__(
        self,
        width: int,
        *,
        partitions: int,
        by: PartitionBy = "hash",
        spill: str | None,
        reduce: Reducer,
        every: int = 0,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        super().__init__()
        self.width = width
        self.partitions = partitions
        self.by = by
        self.spill = spill
        self.reduce = reduce
        self.every = every
        self.chunk_bytes = chunk_bytes

    # Beam warns of any narrower hint for "one collection or several".
    def expand(self, blocks: Any) -> beam.PCollection:
        collections = blocks if isinstance(blocks, tuple) else (blocks,)
        mapper = PartitionBlocks(self.width, self.partitions, self.by, self.spill, self.chunk_bytes)
        parts = [
            collection | f"partition {number}" >> beam.ParDo(mapper)
            for number, collection in enumerate(collections)
        ]
        if self.every:
            parts.append(self._wire_empty_partitions(collections[0].pipeline))
        limit = max(1, self.chunk_bytes // (BYTES_PER_VALUE * self.width))
        reducer = ReducePartitions(
            self.width, self.reduce, limit, every=self.every if self.spill else 0
        )
        together = parts | "parts" >> beam.Flatten() if len(parts) > 1 else parts[0]
        return together | "group" >> beam.GroupByKey() | "reduce" >> beam.ParDo(reducer)

    def _wire_empty_partitions(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """A key without rows for each partition, or for each group of them where rows are spilled."""
        keys = self.every if self.spill is None else min(self.every, GROUPS)
        numbers = pipeline | "every" >> SplitIndices(keys)
        return numbers | "no rows" >> beam.ParDo(EmptyPartitions())


class PartitionBlocks(beam.DoFn):
    """Gather blocks, which may be small, up to `chunk_bytes` or the end of the bundle, then partition them."""

    def __init__(
        self,
        width: int,
        partitions: int,
        by: PartitionBy,
        spill: str | None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.width = width
        self.partitions = partitions
        self.by = by
        self.spill = spill
        self.chunk_bytes = chunk_bytes

    def start_bundle(self) -> None:
        self.held: list[bytes] = []
        self.size = 0

    def process(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        self.held.append(block)
        self.size += len(block)
        if self.size >= self.chunk_bytes:
            yield from self._flush()

    # Beam takes only windowed values at the end of a bundle.
    def finish_bundle(self) -> Iterator[beam.utils.windowed_value.WindowedValue]:
        for part in self._flush():
            yield GlobalWindows.windowed_value(part)

    def _flush(self) -> Iterator[tuple[int, bytes]]:
        rows = unpack_rows(b"".join(self.held), self.width)
        self.start_bundle()
        partitions = list(partition_rows(rows, self.partitions, self.by))
        if self.spill is None:
            for partition, partition_values in partitions:
                yield partition, INLINE + pack_rows(partition_values)
        elif partitions:
            yield from write_spill(Path(self.spill), partitions)


class ReducePartitions(beam.DoFn):
    """Reduce the partition that a group is, or one after the other the partitions of a group of spill files."""

    def __init__(self, width: int, reduce: Reducer, limit: int, every: int = 0) -> None:
        self.width = width
        self.reduce = reduce
        self.limit = limit
        self.every = every

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[bytes]:
        key, parts = group
        parts_with_rows = [part for part in parts if part]
        for partition, runs in self._iter_partitions(key, parts_with_rows):
            for rows in self.reduce(partition, SortedPartition(runs, self.limit)):
                if len(rows):
                    yield pack_rows(rows)

    def _iter_partitions(
        self, key: int, parts: Sequence[bytes]
    ) -> Iterator[tuple[int, list[SortedRun]]]:
        """(partition, its runs); `every` is not 0 only where keys are groups of spilled partitions."""
        expected = range(key, self.every, GROUPS)
        if parts and parts[0][:1] == SPILLED:
            yield from read_spilled_partitions(parts, self.width, expected)
        elif self.every:
            for partition in expected:
                yield partition, []
        else:
            yield key, [SortedRun(self.width, part[1:]) for part in parts]
