"""Exchange: the one way anything is regrouped - packed rows of 64-bit integers, never text, never Python objects.

Elements are blocks: int64 arrays of shape (rows, width) as bytes. Locally a mapper writes its block, cut by partition,
to one spill file and only (partition, file, place) goes through Beam, whose local runner would hold every byte 4 to 6
times in memory. Elsewhere the cut blocks themselves go through the runner. Both give the same rows in the same order:
a reducer sees its partition's rows sorted by all their columns, so nothing depends on which worker sent them first.

Parts are sorted when they are written. A partition that fits PIECE_BYTES is sorted once more as a whole; a larger one,
which a giant group of equal keys can make whatever the number of partitions, is merged from its parts piece by piece.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import apache_beam as beam
import numpy as np
from apache_beam.transforms.window import GlobalWindows

from gristmill import storage

By = Literal["hash", "shard"]
INLINE, SPILLED = b"\x00", b"\x01"

PIECE_BYTES = 16 << 20
"""What a reducer is handed at a time, and what a mapper gathers before it cuts, where nothing else is asked."""


def pack(rows: np.ndarray) -> bytes:
    """A block: int64 (n, width) as little-endian bytes."""
    return np.ascontiguousarray(rows, "<i8").tobytes()


def unpack(block: bytes, width: int) -> np.ndarray:
    """The rows of a block, int64 (n, width), read-only."""
    return np.frombuffer(block, "<i8").reshape(-1, width)


def partition_of(keys: np.ndarray, partitions: int, by: By) -> np.ndarray:
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


def cut(rows: np.ndarray, partitions: int, by: By) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of each partition that has any, by their first column; sorted."""
    if not len(rows):
        return
    rows = sort_rows(rows)
    places = partition_of(rows[:, 0], partitions, by)
    if by == "hash" and partitions > 1:
        order = np.argsort(places.astype(np.uint16 if partitions <= 1 << 16 else np.int64), kind="stable")
        rows, places = rows[order], places[order]
    starts = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield int(places[start]), rows[start:stop]


class Numbers(beam.PTransform):  # type: ignore[misc]
    """The numbers 0 to count - 1, spread over the workers: workers look up in the plan what they stand for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        return pipeline | beam.Create([self.count]) | beam.ParDo(_CountUp()) | beam.Reshuffle()


class _CountUp(beam.DoFn):  # type: ignore[misc]
    def process(self, count: int) -> Iterator[int]:
        yield from range(count)


class Keyed(beam.DoFn):  # type: ignore[misc]
    """A number as a key without rows, so that a group exists where nothing else was sent."""

    def process(self, number: int) -> Iterator[tuple[int, bytes]]:
        yield number, b""


@dataclass(frozen=True, slots=True)
class Run:
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

    def read(self, first: int, count: int) -> np.ndarray:
        """int64 (<= count, width): the rows from number `first` on. Raises OSError where the file is cut."""
        size = 8 * self.width
        start, stop = first * size, min(first + count, self.rows) * size
        if not self.path:
            return unpack(self.block[start:stop], self.width)
        with open(self.path, "rb") as file:
            file.seek(self.start + start)
            found = file.read(stop - start)
        if len(found) != stop - start:
            told = f"{len(found)} of {stop - start} bytes at {self.start + start}"
            raise OSError(f"spill file {self.path} is cut: {told}")
        return unpack(found, self.width)


def run_of(part: bytes, width: int) -> Run:
    """The rows that a part of a group is, or names in a spill file."""
    if part[:1] == INLINE:
        return Run(width, part[1:])
    path, start, length = json.loads(part[1:])
    return Run(width, b"", path, start, length)


@dataclass(frozen=True, slots=True)
class Pieces:
    """The rows of a partition, sorted, in pieces of about `limit` rows; may be walked through more than once."""

    runs: Sequence[Run]
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


def _merged(runs: Sequence[Run], limit: int) -> Iterator[np.ndarray]:
    """Sorted pieces of sorted runs: what is not above the last row at hand of any run that goes on is safe to give out."""
    share = max(256, limit // len(runs))
    heads = {place: run.read(0, share) for place, run in enumerate(runs)}
    read = dict.fromkeys(heads, share)
    while heads:
        going_on = [tuple(heads[place][-1].tolist()) for place in heads if read[place] < runs[place].rows]
        bound = min(going_on) if going_on else None
        safe = {place: len(rows) if bound is None else _up_to(rows, bound) for place, rows in heads.items()}
        yield sort_rows(np.concatenate([heads[place][:count] for place, count in safe.items()]))
        for place, count in safe.items():
            heads[place] = heads[place][count:]
            if not len(heads[place]) and read[place] < runs[place].rows:
                heads[place] = runs[place].read(read[place], share)
                read[place] += share
        heads = {place: rows for place, rows in heads.items() if len(rows)}


def _up_to(rows: np.ndarray, bound: tuple[int, ...]) -> int:
    """How many of these sorted rows are not above `bound`: a binary search over whole rows."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        if tuple(rows[middle].tolist()) <= bound:
            low = middle + 1
        else:
            high = middle
    return low


def whole_groups(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
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


Reduce = Callable[[int, Pieces], Iterator[np.ndarray]]
"""What is done with a partition: its number and its rows in, rows out."""


class Exchange(beam.PTransform):  # type: ignore[misc]
    """Blocks in; blocks of what `reduce` makes of each partition's sorted rows out.

    `by` the hash of the first column, or the shard of the node in it. `spill` is a folder on this machine, or None
    to send the rows through the runner. `every`: so many partitions are reduced even where they have no rows. `piece`:
    bytes of rows that a worker holds at a time, about; their sorted copies come on top.
    """

    def __init__(
        self, width: int, *, partitions: int, by: By = "hash", spill: str | None, reduce: Reduce, every: int = 0,
        piece: int = PIECE_BYTES,
    ) -> None:  # fmt: skip
        super().__init__()
        self.width, self.partitions, self.by, self.spill = width, partitions, by, spill
        self.reduce, self.every, self.piece = reduce, every, piece

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        parts = blocks | "cut" >> beam.ParDo(_Cut(self.width, self.partitions, self.by, self.spill, self.piece))
        if self.every:
            empty = blocks.pipeline | "every" >> Numbers(self.every) | "no rows" >> beam.ParDo(Keyed())
            parts = (parts, empty) | "with every" >> beam.Flatten()
        limit = max(1, self.piece // (8 * self.width))
        return parts | "group" >> beam.GroupByKey() | "reduce" >> beam.ParDo(_Reduce(self.width, self.reduce, limit))


class _Cut(beam.DoFn):  # type: ignore[misc]
    """Gather blocks, which may be small, up to `piece` bytes or the bundle's end; then cut them by partition."""

    def __init__(self, width: int, partitions: int, by: By, spill: str | None, piece: int = PIECE_BYTES) -> None:
        self.width, self.partitions, self.by, self.spill, self.piece = width, partitions, by, spill, piece

    def start_bundle(self) -> None:
        self.held: list[bytes] = []

    def process(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        self.held.append(block)
        if sum(map(len, self.held)) >= self.piece:
            yield from self._flush()

    def finish_bundle(self) -> Iterator[beam.utils.windowed_value.WindowedValue]:
        for part in self._flush():
            yield GlobalWindows.windowed_value(part)

    def _flush(self) -> Iterator[tuple[int, bytes]]:
        rows = unpack(b"".join(self.held), self.width)
        self.held = []
        pieces = list(cut(rows, self.partitions, self.by))
        if self.spill is None:
            yield from ((partition, INLINE + pack(rows)) for partition, rows in pieces)
        elif pieces:
            yield from _write_spill(Path(self.spill), pieces)


class _Reduce(beam.DoFn):  # type: ignore[misc]
    def __init__(self, width: int, reduce: Reduce, limit: int) -> None:
        self.width, self.reduce, self.limit = width, reduce, limit

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[bytes]:
        partition, parts = group
        runs = [run_of(part, self.width) for part in parts if part]
        for rows in self.reduce(partition, Pieces(runs, self.limit)):
            if len(rows):
                yield pack(rows)


def _write_spill(folder: Path, pieces: list[tuple[int, np.ndarray]]) -> Iterator[tuple[int, bytes]]:
    """One file for all pieces, under an attempt's own name: a retried bundle leaves an orphan, never a mixture.

    It is not flushed to the disk: after a crash nobody reads it again.
    """
    storage.make_folder(folder)
    path = folder / f"block-{uuid.uuid4().hex}"
    at, places = 0, []
    with open(path, "xb") as file:
        for partition, rows in pieces:
            block = pack(rows)
            file.write(block)
            places.append((partition, at, len(block)))
            at += len(block)
    for partition, start, length in places:
        yield partition, SPILLED + json.dumps([os.fspath(path), start, length]).encode()
