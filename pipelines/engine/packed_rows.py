"""Packed rows: int64 matrices as bytes, their total order, and which partition a row belongs to.

In: int64 arrays of shape (rows, width). Out: the same rows as bytes, sorted, or divided by partition. Pure functions.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from pipelines.row_layout import PackedColumn, PackedRows

PartitionBy = Literal["hash", "shard"]
"""By a hash of the first column, or by the shard of the node that the first column holds."""

BYTES_PER_VALUE = 8

MIX = np.uint64(0xFF51AFD7ED558CCD)
"""The first multiplier of MurmurHash3's 64-bit finalizer (Appleby, public domain)."""

SHARD_BITS = 32
"""A node is (shard << 32) | row."""

MAX_UINT16_PARTITIONS = 1 << 16


def pack_rows(rows: PackedRows) -> bytes:
    """A block: int64 (n, width) as little-endian bytes."""
    return np.ascontiguousarray(rows, "<i8").tobytes()


def unpack_rows(block: bytes, width: int) -> PackedRows:
    """The rows of a block, int64 (n, width), read-only."""
    return np.frombuffer(block, "<i8").reshape(-1, width)


def assign_partitions(keys: PackedColumn, partitions: int, by: PartitionBy) -> PackedColumn:
    """int64 (n,): the partition of rows with these keys."""
    if by == "shard":
        return keys >> SHARD_BITS
    mixed = keys.astype(np.uint64)
    mixed ^= mixed >> np.uint64(33)
    mixed *= MIX
    mixed ^= mixed >> np.uint64(33)
    return (mixed % np.uint64(partitions)).astype(np.int64)


def sort_rows(rows: PackedRows) -> PackedRows:
    """Rows in the order of all their columns, the first one leading; equal rows stay equal.

    Sorted by the first column alone, which is fast, then by all columns where that leaves ties: most keys are hashes
    and come once.
    """
    if len(rows) < 2:
        return rows
    rows = rows[np.argsort(rows[:, 0])]
    equals_next = rows[1:, 0] == rows[:-1, 0]
    if rows.shape[1] > 1 and equals_next.any():
        tied = np.r_[False, equals_next] | np.r_[equals_next, False]
        tied_rows = rows[tied]
        # lexsort takes the leading key last.
        rows[tied] = tied_rows[np.lexsort(tied_rows.T[::-1])]
    return rows


def partition_rows(
    rows: PackedRows, partitions: int, by: PartitionBy
) -> Iterator[tuple[int, PackedRows]]:
    """(partition, its sorted rows) of each partition that has any."""
    if not len(rows):
        return
    rows = sort_rows(rows)
    assigned = assign_partitions(rows[:, 0], partitions, by)
    # Rows sorted by node are in the order of their shards already.
    if by == "hash" and partitions > 1:
        order = _order_partitions(assigned, partitions)
        rows = rows[order]
        assigned = assigned[order]
    starts = np.flatnonzero(np.r_[True, assigned[1:] != assigned[:-1]])
    stops = [*starts[1:], len(rows)]
    for start, stop in zip(starts, stops, strict=True):
        yield int(assigned[start]), rows[start:stop]


def _order_partitions(assigned: PackedColumn, partitions: int) -> PackedColumn:
    """Positions that sort rows by partition and keep their order within one.

    numpy sorts 16-bit integers by radix, several times faster than wider ones.
    """
    narrow = np.uint16 if partitions <= MAX_UINT16_PARTITIONS else np.int64
    return np.argsort(assigned.astype(narrow), kind="stable")
