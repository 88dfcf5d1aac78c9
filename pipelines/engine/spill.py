"""Spill files: sorted rows of many partitions in one file of a mapper, found again by a small index.

In: (partition, sorted rows) of one mapper. Out: a few small parts that name where the rows lie, one for each group of
partitions, and from those parts the sorted runs of each partition.
"""

import itertools
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gristmill.runs import storage
from pipelines.engine.packed_rows import pack_rows, sort_rows, unpack_rows
from pipelines.engine.sorted_partition import SortedRun, read_at
from pipelines.row_layout import PackedRows, RowLayout

INLINE, SPILLED = b"\x00", b"\x01"
"""First byte of a part: its rows follow, or it names a place in a spill file."""

GROUPS = 64
"""Partitions of spill files go through Beam in so many groups: a file of many partitions is a few elements."""

INDEX = RowLayout("spill index", (("partition", 1), ("start", 1), ("length", 1)))

Partitioned = tuple[int, PackedRows]


def write_spill(folder: Path, partitions: Sequence[Partitioned]) -> Iterator[tuple[int, bytes]]:
    """Write one file for all partitions; yield (group, part that names the place of its index).

    Behind the rows of a group stands its index, rows of INDEX. The file has a random name of its own, so a retried
    bundle leaves an orphan and never a mixture. It is not flushed to the disk: after a crash nobody reads it again.
    """
    storage.make_folder(folder)
    path = folder / f"block-{uuid.uuid4().hex}"
    index_places = []
    ordered = sorted(partitions, key=lambda partition: (_find_group(partition), partition[0]))
    with open(path, "xb") as file:
        for group, members in itertools.groupby(ordered, _find_group):
            index = np.array(list(_write_partitions(file, members)), np.int64)
            start = file.tell()
            length = file.write(pack_rows(INDEX.check(index)))
            index_places.append((group, start, length))
    for group, start, length in index_places:
        yield group, SPILLED + json.dumps([os.fspath(path), start, length]).encode()


def _write_partitions(
    file: BinaryIO, partitions: Iterable[Partitioned]
) -> Iterator[tuple[int, int, int]]:
    for partition, rows in partitions:
        start = file.tell()
        yield partition, start, file.write(pack_rows(rows))


def _find_group(partition: Partitioned) -> int:
    return partition[0] % GROUPS


def read_spilled_partitions(
    parts: Sequence[bytes], width: int, expected: Iterable[int]
) -> Iterator[tuple[int, list[SortedRun]]]:
    """(partition, its runs) of every partition that these parts name, and of the `expected` ones even without rows."""
    paths = []
    indexes = []
    for number, part in enumerate(parts):
        path, start, length = json.loads(part[1:])
        index = unpack_rows(read_at(path, start, length), INDEX.width)
        paths.append(path)
        indexes.append(np.column_stack([index, np.full(len(index), number)]))
    # Rows of INDEX with the number of their file as a last column.
    entries = sort_rows(np.concatenate(indexes))
    keys = entries[:, 0]
    partitions = np.unique(np.r_[keys, np.fromiter(expected, np.int64)])
    edges = [*np.searchsorted(keys, partitions).tolist(), len(entries)]
    for partition, (first, stop) in zip(
        partitions.tolist(), itertools.pairwise(edges), strict=True
    ):
        runs = [
            SortedRun(width, b"", paths[number], start, length)
            for _, start, length, number in entries[first:stop].tolist()
        ]
        yield partition, runs
