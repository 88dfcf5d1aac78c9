"""The sorted rows of one partition, read in chunks however large the partition is.

In: sorted runs, each in memory or a stretch of a spill file. Out: chunks of int64 rows in the order of all columns. A
partition that fits a chunk is sorted once more as a whole. A larger one, which a giant group of equal keys can make
whatever the number of partitions, is merged chunk by chunk.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.engine.packed_rows import BYTES_PER_VALUE, sort_rows, unpack_rows
from pipelines.row_layout import PackedRows

SAMPLES_PER_CHUNK = 32
"""Rows sampled for every border between chunks: chunk sizes then differ by about a quarter."""

Border = tuple[int, ...]
"""A row between two chunks; the rows up to and including it belong to the first."""


@dataclass(frozen=True, slots=True)
class SortedRun:
    """Sorted rows of one part: in memory, or a stretch of a spill file that is read when needed."""

    width: int
    block: bytes = b""
    path: str = ""
    start: int = 0
    length: int = 0

    @property
    def rows(self) -> int:
        """The number of rows."""
        size = self.length if self.path else len(self.block)
        return size // (BYTES_PER_VALUE * self.width)

    def read(self, first: int, stop: int) -> PackedRows:
        """int64 (stop - first, width): these rows. Raises OSError where the file is truncated."""
        row_bytes = BYTES_PER_VALUE * self.width
        begin = first * row_bytes
        end = stop * row_bytes
        if not self.path:
            return unpack_rows(self.block[begin:end], self.width)
        return unpack_rows(read_at(self.path, self.start + begin, end - begin), self.width)

    def view(self) -> PackedRows:
        """All rows; those of a file are mapped, so only what is looked at is read."""
        if not self.path:
            return unpack_rows(self.block, self.width)
        # Reading the last byte first: a mapped file that is truncated ends the process with SIGBUS.
        read_at(self.path, self.start + self.length - 1, 1)
        return np.memmap(self.path, "<i8", "r", self.start, (self.rows, self.width))


def read_at(path: str, start: int, length: int) -> bytes:
    """These bytes of a spill file. Raises OSError where the file is truncated."""
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read(length)
    if len(data) != length:
        raise OSError(f"spill file {path} is cut: {len(data)} of {length} bytes at {start}")
    return data


@dataclass(frozen=True, slots=True)
class SortedPartition:
    """The sorted rows of a partition in chunks of about `limit` rows; may be iterated more than once."""

    runs: Sequence[SortedRun]
    limit: int

    @property
    def rows(self) -> int:
        """The number of rows in all chunks."""
        return sum(run.rows for run in self.runs)

    def __iter__(self) -> Iterator[PackedRows]:
        if self.rows > self.limit:
            yield from merge_runs(self.runs, self.limit)
        elif self.runs:
            yield sort_rows(np.concatenate([run.read(0, run.rows) for run in self.runs]))

    def unsorted(self) -> Iterator[PackedRows]:
        """The same rows in no order: cheaper, because nothing is merged."""
        for run in self.runs:
            for first in range(0, run.rows, self.limit):
                yield run.read(first, min(first + self.limit, run.rows))


def merge_runs(runs: Sequence[SortedRun], limit: int) -> Iterator[PackedRows]:
    """Sorted chunks of sorted runs: a sample gives the borders, and the rows between two are sorted together.

    Rows that are equal in all columns stay in one chunk, however many they are.
    """
    views = [run.view() for run in runs]
    total = sum(map(len, views))
    borders = _sample_borders(views, max(1, 2 * total // limit))
    positions = np.array(
        [[_count_up_to(rows, border) for border in borders] for rows in views], np.int64
    ).reshape(len(runs), -1)
    firsts = np.zeros(len(runs), np.int64)
    lasts = [len(rows) for rows in views]
    # (runs, borders + 2): the positions at which every run is divided.
    positions = np.column_stack([firsts, positions, lasts])
    # The mapped files are closed here: from now on rows are read, so that memory stays bounded.
    del views
    for starts, stops in itertools.pairwise(positions.T):
        parts = [
            run.read(start, stop)
            for run, start, stop in zip(runs, starts.tolist(), stops.tolist(), strict=True)
            if stop > start
        ]
        if parts:
            yield sort_rows(np.concatenate(parts))


def _sample_borders(views: Sequence[PackedRows], chunks: int) -> list[Border]:
    """Rows that divide all rows into about so many chunks."""
    total = sum(map(len, views))
    step = max(1, total // (chunks * SAMPLES_PER_CHUNK))
    samples = []
    before = 0
    for rows in views:
        # Every `step`-th row of all runs laid end to end, not of each run.
        samples.append(rows[(-before) % step :: step])
        before += len(rows)
    sample = sort_rows(np.concatenate(samples))
    stride = len(sample) // chunks
    borders = sample[stride :: max(1, stride)]
    return sorted({tuple(row) for row in borders.tolist()})


def _count_up_to(rows: PackedRows, border: Border) -> int:
    """How many of these sorted rows are not above `border`.

    A search by the first column, then a bisection of the rows that are equal in it.
    """
    first_column = rows[:, 0]
    low = int(np.searchsorted(first_column, border[0], "left"))
    high = int(np.searchsorted(first_column, border[0], "right"))
    while low < high:
        middle = (low + high) // 2
        if tuple(rows[middle].tolist()) <= border:
            low = middle + 1
        else:
            high = middle
    return low


def iter_whole_groups(chunks: Iterable[PackedRows]) -> Iterator[PackedRows]:
    """The same rows in chunks that end only where the first column changes: a giant group comes as one."""
    held: list[PackedRows] = []
    for chunk in chunks:
        last_key = chunk[-1, 0]
        if held and held[-1][-1, 0] == last_key == chunk[0, 0]:
            held.append(chunk)
            continue
        start = int(np.searchsorted(chunk[:, 0], last_key))
        if held or start:
            yield np.concatenate([*held, chunk[:start]])
        held = [chunk[start:]]
    if held:
        yield np.concatenate(held)
