"""Exchange: the one way anything is regrouped - packed rows of 64-bit integers, never text, never Python objects.

Elements are blocks: int64 arrays of shape (rows, width) as bytes. Locally a mapper writes its block, cut by partition,
to one spill file and only (partition, file, place) goes through Beam, whose local runner would hold every byte 4 to 6
times in memory. Elsewhere the cut blocks themselves go through the runner. Both give the same rows in the same order:
a partition's rows come out sorted by all their columns, so nothing depends on which worker sent them first.
"""

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import apache_beam as beam
import numpy as np

from gristmill import storage

By = Literal["hash", "shard"]
INLINE, SPILLED = b"\x00", b"\x01"


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
    """Rows in the order of all their columns, the first one leading; equal rows stay equal."""
    return rows[np.lexsort(rows.T[::-1])] if len(rows) else rows


def cut(rows: np.ndarray, partitions: int, by: By) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of each partition that has any, by their first column."""
    if not len(rows):
        return
    places = partition_of(rows[:, 0], partitions, by)
    order = np.argsort(places, kind="stable")
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


class Exchange(beam.PTransform):  # type: ignore[misc]
    """Blocks in, (partition, block with all rows of that partition, sorted) out.

    `by` the hash of the first column, or the shard of the node in it. `spill` is a folder on this machine, or None
    to send the rows through the runner.
    """

    def __init__(self, width: int, *, partitions: int, by: By = "hash", spill: str | None) -> None:
        super().__init__()
        self.width, self.partitions, self.by, self.spill = width, partitions, by, spill

    def expand(self, blocks: beam.PCollection) -> beam.PCollection:
        return (
            blocks
            | "cut" >> beam.ParDo(_Cut(self.width, self.partitions, self.by, self.spill))
            | "group" >> beam.GroupByKey()
            | "join" >> beam.ParDo(_Join(self.width))
        )


class _Cut(beam.DoFn):  # type: ignore[misc]
    def __init__(self, width: int, partitions: int, by: By, spill: str | None) -> None:
        self.width, self.partitions, self.by, self.spill = width, partitions, by, spill

    def process(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        pieces = list(cut(unpack(block, self.width), self.partitions, self.by))
        if self.spill is None:
            yield from ((partition, INLINE + pack(rows)) for partition, rows in pieces)
        elif pieces:
            yield from _write_spill(Path(self.spill), pieces)


class _Join(beam.DoFn):  # type: ignore[misc]
    def __init__(self, width: int) -> None:
        self.width = width

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[tuple[int, bytes]]:
        partition, parts = group
        rows = [unpack(read_part(part), self.width) for part in parts]
        yield partition, pack(sort_rows(np.concatenate(rows)))


def _write_spill(folder: Path, pieces: list[tuple[int, np.ndarray]]) -> Iterator[tuple[int, bytes]]:
    """One file for all pieces, under an attempt's own name: a retried bundle leaves an orphan, never a mixture."""
    path = folder / f"block-{uuid.uuid4().hex}"
    at, places = 0, []
    with storage.commit(path) as file:
        for partition, rows in pieces:
            block = pack(rows)
            file.write(block)
            places.append((partition, at, len(block)))
            at += len(block)
    for partition, start, length in places:
        yield partition, SPILLED + json.dumps([os.fspath(path), start, length]).encode()


def read_part(part: bytes) -> bytes:
    """The block that a part of a group is, or names in a spill file."""
    if part[:1] == INLINE:
        return part[1:]
    path, start, length = json.loads(part[1:])
    with open(path, "rb") as file:
        file.seek(start)
        block = file.read(length)
    if len(block) != length:
        raise OSError(f"spill file {path} is cut: {len(block)} of {length} bytes at {start}")
    return block
