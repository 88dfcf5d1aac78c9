"""Exchange: the one way anything is regrouped - packed rows of 64-bit integers, never text, never Python objects.

Elements are blocks: int64 arrays of shape (rows, width) as bytes. Locally a mapper writes its block, cut by partition,
to one spill file and only (group of partitions, file, place of their index) goes through Beam, whose local runner would
hold every byte 4 to 6 times in memory. Elsewhere the cut blocks themselves go through the runner. Both give the same rows in the same order:
a reducer sees its partition's rows sorted by all their columns, so nothing depends on which worker sent them first.

Parts are sorted when they are written. A partition that fits PIECE_BYTES is sorted once more as a whole; a larger one,
which a giant group of equal keys can make whatever the number of partitions, is put together piece by piece.
"""

import itertools
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import apache_beam as beam
import numpy as np
from apache_beam.transforms.window import GlobalWindows

from gristmill.runs import storage

PartitionBy = Literal["hash", "shard"]
INLINE, SPILLED = b"\x00", b"\x01"

CHUNK_BYTES = 16 << 20
"""What a reducer is handed at a time, and what a mapper gathers before it cuts, where nothing else is asked."""


def pack_rows(rows: np.ndarray) -> bytes:
    """A block: int64 (n, width) as little-endian bytes."""
    return np.ascontiguousarray(rows, "<i8").tobytes()


def unpack_rows(block: bytes, width: int) -> np.ndarray:
    """The rows of a block, int64 (n, width), read-only."""
    return np.frombuffer(block, "<i8").reshape(-1, width)


def assign_partitions(keys: np.ndarray, partitions: int, by: PartitionBy) -> np.ndarray:
    """int64 (n,): where rows with these keys go: spread by a hash of the key, or to the shard of a node."""
    if by == "shard":
        return keys >> 32
    mixed = keys.astype(np.uint64)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    return (mixed % np.uint64(partitions)).astype(np.int64)


def sort_rows(rows: np.ndarray) -> np.ndarray:
    """Rows in the order of all their columns, the first one leading; equal rows stay equal.

    By the first column alone, which is fast, then by all where that leaves a tie: most keys are hashes and come once.
    """
    if len(rows) < 2:
        return rows
    rows = rows[np.argsort(rows[:, 0])]
    same = rows[1:, 0] == rows[:-1, 0]
    if rows.shape[1] > 1 and same.any():
        tied = np.r_[False, same] | np.r_[same, False]
        some = rows[tied]
        rows[tied] = some[np.lexsort(some.T[::-1])]
    return rows


def partition_rows(
    rows: np.ndarray, partitions: int, by: PartitionBy
) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of each partition that has any, by their first column; sorted."""
    if not len(rows):
        return
    rows = sort_rows(rows)
    places = assign_partitions(rows[:, 0], partitions, by)
    if by == "hash" and partitions > 1:
        order = np.argsort(
            places.astype(np.uint16 if partitions <= 1 << 16 else np.int64), kind="stable"
        )
        rows, places = rows[order], places[order]
    starts = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield int(places[start]), rows[start:stop]


class SplitIndices(beam.PTransform):  # type: ignore[misc]
    """The numbers 0 to count - 1, spread over the workers: workers look up in the plan what they stand for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return pipeline | beam.Create([self.count]) | beam.ParDo(_CountUp()) | beam.Reshuffle()


class _CountUp(beam.DoFn):  # type: ignore[misc]
    def process(self, count: int) -> Iterator[int]:
        yield from range(count)


class EmptyPartitions(beam.DoFn):  # type: ignore[misc]
    """A number as a key without rows, so that a group exists where nothing else was sent."""

    def process(self, number: int) -> Iterator[tuple[int, bytes]]:
        yield number, b""


@dataclass(frozen=True, slots=True)
class SortedRun:
    """Sorted rows of one part: in memory, or a stretch of a spill file that is read as it is needed."""

    width: int
    block: bytes = b""
    path: str = ""
    start: int = 0
    length: int = 0

    @property
    def rows(self) -> int:
        """How many there are."""
        return (self.length if self.path else len(self.block)) // (8 * self.width)

    def read(self, first: int, stop: int) -> np.ndarray:
        """int64 (stop - first, width): these rows. Raises OSError where the file is cut."""
        size = 8 * self.width
        if not self.path:
            return unpack_rows(self.block[first * size : stop * size], self.width)
        return unpack_rows(
            _read_at(self.path, self.start + first * size, (stop - first) * size), self.width
        )

    def view(self) -> np.ndarray:
        """All rows, of a file only those that are looked at."""
        if not self.path:
            return unpack_rows(self.block, self.width)
        _read_at(
            self.path, self.start + self.length - 1, 1
        )  # a mapped file that is cut would end the process
        return np.memmap(self.path, "<i8", "r", self.start, (self.rows, self.width))


def _read_at(path: str, start: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(start)
        found = file.read(length)
    if len(found) != length:
        raise OSError(f"spill file {path} is cut: {len(found)} of {length} bytes at {start}")
    return found


@dataclass(frozen=True, slots=True)
class SortedPartition:
    """The rows of a partition, sorted, in pieces of about `limit` rows; may be walked through more than once."""

    runs: Sequence[SortedRun]
    limit: int

    @property
    def rows(self) -> int:
        """How many there are in all."""
        return sum(run.rows for run in self.runs)

    def __iter__(self) -> Iterator[np.ndarray]:
        if self.rows > self.limit:
            yield from _merged(self.runs, self.limit)
        elif self.runs:
            yield sort_rows(np.concatenate([run.read(0, run.rows) for run in self.runs]))

    def unsorted(self) -> Iterator[np.ndarray]:
        """The same rows in no order, for what needs none: nothing is merged."""
        for run in self.runs:
            for first in range(0, run.rows, self.limit):
                yield run.read(first, min(first + self.limit, run.rows))


SAMPLED = 32
"""Rows looked at for every border between pieces: they come out within a quarter or so of the same size."""


def _merged(runs: Sequence[SortedRun], limit: int) -> Iterator[np.ndarray]:
    """Sorted pieces of sorted runs: borders are drawn by a sample, and of every run the rows between two are sorted together.

    Rows that are equal in all columns are not parted, however many there are.
    """
    views = [run.view() for run in runs]
    borders = _borders(views, max(1, 2 * sum(map(len, views)) // limit))
    cuts = np.array([[_up_to(rows, border) for border in borders] for rows in views], np.int64)
    cuts = np.column_stack(
        [np.zeros(len(runs), np.int64), cuts.reshape(len(runs), -1), [len(rows) for rows in views]]
    )
    del views
    for first, stop in itertools.pairwise(cuts.T):
        if some := [
            run.read(a, b)
            for run, a, b in zip(runs, first.tolist(), stop.tolist(), strict=True)
            if b > a
        ]:
            yield sort_rows(np.concatenate(some))


def _borders(views: Sequence[np.ndarray], pieces: int) -> list[tuple[int, ...]]:
    """Rows that cut all rows into about so many pieces."""
    step = max(1, sum(map(len, views)) // (pieces * SAMPLED))
    ends = np.cumsum([len(rows) for rows in views])
    sample = [
        rows[(-(end - len(rows))) % step :: step]
        for rows, end in zip(views, ends.tolist(), strict=True)
    ]
    found = sort_rows(np.concatenate(sample))
    return sorted(
        {tuple(row) for row in found[len(found) // pieces :: max(1, len(found) // pieces)].tolist()}
    )


def _up_to(rows: np.ndarray, bound: tuple[int, ...]) -> int:
    """How many of these sorted rows are not above `bound`: by the first column, and by whole rows where that is equal."""
    first = rows[:, 0]
    low, high = (int(np.searchsorted(first, bound[0], side)) for side in ("left", "right"))
    while low < high:
        middle = (low + high) // 2
        if tuple(rows[middle].tolist()) <= bound:
            low = middle + 1
        else:
            high = middle
    return low


def iter_whole_groups(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The same rows in pieces that are cut only where the first column changes: a giant group comes as one."""
    held: list[np.ndarray] = []
    for piece in pieces:
        last = piece[-1, 0]
        if held and held[-1][-1, 0] == last == piece[0, 0]:
            held.append(piece)
            continue
        start = int(np.searchsorted(piece[:, 0], last))
        if held or start:
            yield np.concatenate([*held, piece[:start]])
        held = [piece[start:]]
    if held:
        yield np.concatenate(held)


Reducer = Callable[[int, SortedPartition], Iterator[np.ndarray]]
"""What is done with a partition: its number and its rows in, rows out."""


class Exchange(beam.PTransform):  # type: ignore[misc]
    """Blocks, of one collection or several, in; blocks of what `reduce` makes of each partition's sorted rows out.

    Several are cut each on its own: Beam's Flatten in front would hold the rows themselves in memory. `by` the hash of the first column, or the shard of the node in it. `spill` is a folder on this machine, or None
    to send the rows through the runner. `every`: so many partitions are reduced even where they have no rows. `piece`:
    bytes of rows that a worker holds at a time, about; their sorted copies come on top.
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
        piece: int = CHUNK_BYTES,
    ) -> None:
        super().__init__()
        self.width, self.partitions, self.by, self.spill = width, partitions, by, spill
        self.reduce, self.every, self.piece = reduce, every, piece

    def expand(
        self, blocks: Any
    ) -> beam.PCollection:  # Beam warns of any other hint of one or several
        several = blocks if isinstance(blocks, tuple) else (blocks,)
        cutter = _Cut(self.width, self.partitions, self.by, self.spill, self.piece)
        parts = [
            some | f"cut {number}" >> beam.ParDo(cutter) for number, some in enumerate(several)
        ]
        if self.every:
            keys = self.every if self.spill is None else min(self.every, GROUPS)
            parts.append(
                several[0].pipeline
                | "every" >> SplitIndices(keys)
                | "no rows" >> beam.ParDo(EmptyPartitions())
            )
        limit = max(1, self.piece // (8 * self.width))
        reducer = _Reduce(self.width, self.reduce, limit, self.every if self.spill else 0)
        together = parts | "parts" >> beam.Flatten() if len(parts) > 1 else parts[0]
        return together | "group" >> beam.GroupByKey() | "reduce" >> beam.ParDo(reducer)


class _Cut(beam.DoFn):  # type: ignore[misc]
    """Gather blocks, which may be small, up to `piece` bytes or the bundle's end; then cut them by partition."""

    def __init__(
        self,
        width: int,
        partitions: int,
        by: PartitionBy,
        spill: str | None,
        piece: int = CHUNK_BYTES,
    ) -> None:
        self.width, self.partitions, self.by, self.spill, self.piece = (
            width,
            partitions,
            by,
            spill,
            piece,
        )

    def start_bundle(self) -> None:
        self.held: list[bytes] = []
        self.size = 0

    def process(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        self.held.append(block)
        self.size += len(block)
        if self.size >= self.piece:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[beam.utils.windowed_value.WindowedValue]:
        for part in self._flush():
            yield GlobalWindows.windowed_value(part)

    def _flush(self) -> Iterator[tuple[int, bytes]]:
        rows = unpack_rows(b"".join(self.held), self.width)
        self.start_bundle()
        pieces = list(partition_rows(rows, self.partitions, self.by))
        if self.spill is None:
            yield from ((partition, INLINE + pack_rows(rows)) for partition, rows in pieces)
        elif pieces:
            yield from _write_spill(Path(self.spill), pieces)


class _Reduce(beam.DoFn):  # type: ignore[misc]
    """Reduce the partition that a group is, or the partitions of a group of spill files, one after the other."""

    def __init__(self, width: int, reduce: Reducer, limit: int, every: int = 0) -> None:
        self.width, self.reduce, self.limit, self.every = width, reduce, limit, every

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[bytes]:
        key, parts = group
        for partition, runs in self._partitions(key, [part for part in parts if part]):
            for rows in self.reduce(partition, SortedPartition(runs, self.limit)):
                if len(rows):
                    yield pack_rows(rows)

    def _partitions(
        self, key: int, parts: Sequence[bytes]
    ) -> Iterator[tuple[int, list[SortedRun]]]:
        if parts and parts[0][:1] == SPILLED:
            yield from read_spilled_partitions(parts, self.width, range(key, self.every, GROUPS))
        elif self.every:
            yield from ((partition, []) for partition in range(key, self.every, GROUPS))
        else:
            yield key, [SortedRun(self.width, part[1:]) for part in parts]


GROUPS = 64
"""Partitions of spill files go through Beam in so many groups: a file of many partitions is a few elements, not as many."""


def _write_spill(folder: Path, pieces: list[tuple[int, np.ndarray]]) -> Iterator[tuple[int, bytes]]:
    """One file for all pieces, under an attempt's own name: a retried bundle leaves an orphan, never a mixture.

    Behind the rows of a group stands its index, int64 (partitions, 3): partition, start, length; an element names that.
    The file is not flushed to the disk: after a crash nobody reads it again.
    """
    storage.make_folder(folder)
    path = folder / f"block-{uuid.uuid4().hex}"
    places = []
    with open(path, "xb") as file:
        for group, mine in itertools.groupby(
            sorted(pieces, key=lambda piece: (piece[0] % GROUPS, piece[0])), _group_of
        ):
            index = [
                (partition, file.tell(), file.write(pack_rows(rows))) for partition, rows in mine
            ]
            places.append((group, file.tell(), file.write(pack_rows(np.array(index, np.int64)))))
    for group, start, length in places:
        yield group, SPILLED + json.dumps([os.fspath(path), start, length]).encode()


def _group_of(piece: tuple[int, np.ndarray]) -> int:
    return piece[0] % GROUPS


def read_spilled_partitions(
    parts: Sequence[bytes], width: int, wanted: Iterable[int]
) -> Iterator[tuple[int, list[SortedRun]]]:
    """(partition, its runs) of every partition that the indexes of these parts name, and of those `wanted` besides."""
    paths, indexes = [], []
    for number, part in enumerate(parts):
        path, start, length = json.loads(part[1:])
        index = unpack_rows(_read_at(path, start, length), 3)
        paths.append(path)
        indexes.append(np.column_stack([index, np.full(len(index), number)]))
    rows = sort_rows(np.concatenate(indexes))
    partitions = np.unique(np.r_[rows[:, 0], np.fromiter(wanted, np.int64)])
    edges = [*np.searchsorted(rows[:, 0], partitions).tolist(), len(rows)]
    for partition, first, stop in zip(partitions.tolist(), edges[:-1], edges[1:], strict=True):
        mine = rows[first:stop].tolist()
        yield (
            partition,
            [
                SortedRun(width, b"", paths[number], start, length)
                for _, start, length, number in mine
            ],
        )
