"""MinHash signatures beside packed rows: read from a shard, attached to edges and members, and compared.

In: a document shard's `signature` column and packed rows. Out: the same rows with signatures as int64 columns, and the
number of elements in which two signatures agree.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import overload

import numpy as np
import pyarrow.parquet as pq

from gristmill.corpus.shard_pairs import shard_path
from pipelines.annotate.signals.table import view_signature_matrix
from pipelines.decide.dedup import groups
from pipelines.decide.dedup.groups import MEMBER
from pipelines.decide.dedup.keys import Signatures
from pipelines.engine.sorted_partition import SortedPartition
from pipelines.row_layout import PackedColumn, PackedRows, RowLayout
from pipelines.signatures import PERMUTATIONS

SIGNATURE_WIDTH = PERMUTATIONS // 2
"""A signature as int64 columns: two uint32 elements each."""

SIGNED_EDGE = RowLayout(
    "edge with signature", (("other", 1), ("node", 1), ("kind", 1), ("signature", SIGNATURE_WIDTH))
)
"""An edge on its way to the shard of `other`, with the signature of `node`."""

SIGNED_MEMBER = RowLayout(
    "member with signature", (*MEMBER.columns, ("signature", SIGNATURE_WIDTH))
)
"""A member on its way to its own shard, with the signature of its survivor."""

MEASURED_MEMBER = RowLayout("measured member", (*MEMBER.columns, ("agreement", 1)))
"""A member with the number of signature elements that agree with the survivor's, or UNMEASURED."""

UNMEASURED = -1

SIGNED_CHUNK_ROWS = 1 << 14
"""Rows with a signature that are sent at a time: 8 MB."""

ROW_MASK = 0xFFFFFFFF


@lru_cache(maxsize=2)
def read_signatures(path: str) -> Signatures:
    """uint32 (rows, PERMUTATIONS) of a document shard; zeros where a document has none."""
    column = pq.read_table(path, columns=["signature"])["signature"].combine_chunks()
    matrix = view_signature_matrix(column)
    if column.null_count:
        is_signed = column.is_valid().to_numpy(zero_copy_only=False)
        matrix = np.where(is_signed[:, None], matrix, np.uint32(0))
    return matrix


@overload
def get_shard_row(nodes: int) -> int: ...
@overload
def get_shard_row(nodes: PackedColumn) -> PackedColumn: ...
def get_shard_row(nodes: int | PackedColumn) -> int | PackedColumn:
    """The row in its shard of a node, or of each node of an array."""
    return nodes & ROW_MASK


def split_chunks(chunks: Iterable[PackedRows]) -> Iterator[PackedRows]:
    """The same rows, at most SIGNED_CHUNK_ROWS at a time: what is added to them is much wider than they are."""
    for rows in chunks:
        for start in range(0, len(rows), SIGNED_CHUNK_ROWS):
            yield rows[start : start + SIGNED_CHUNK_ROWS]


def pack_signatures(signatures: Signatures) -> PackedRows:
    return np.ascontiguousarray(signatures, "<u4").view("<i8")


def unpack_signatures(columns: PackedRows) -> Signatures:
    return np.ascontiguousarray(columns, "<i8").view("<u4")


def compute_min_agreement(similarity: float) -> int:
    """The least number of equal elements in signatures that are estimated to be this similar."""
    return int(np.ceil(similarity * PERMUTATIONS))


def measure_members(documents: str, shard: int, chunks: SortedPartition) -> PackedRows:
    """int64 (n, MEASURED_MEMBER.width): the members of a shard, sorted by node, from its rows (SIGNED_MEMBER).

    The agreement of a member without a signature that is no exact duplicate is UNMEASURED.
    """
    measured = [MEASURED_MEMBER.make_empty()]
    # Without rows there may be no signature column to read either.
    signatures = read_signatures(shard_path(documents, shard)) if chunks.rows else _NO_SIGNATURES
    for rows in chunks:
        own_signatures = signatures[get_shard_row(SIGNED_MEMBER.column(rows, "node"))]
        survivor_signatures = unpack_signatures(SIGNED_MEMBER.block(rows, "signature"))
        agreement = groups.count_agreement(survivor_signatures, own_signatures)
        is_copy = SIGNED_MEMBER.column(rows, "position") > 0
        is_exact = SIGNED_MEMBER.column(rows, "exact") != 0
        agreement[~own_signatures.any(axis=1) & is_copy & ~is_exact] = UNMEASURED
        measured.append(np.column_stack([rows[:, : MEMBER.width], agreement]))
    return np.concatenate(measured)


_NO_SIGNATURES: Signatures = np.zeros((0, PERMUTATIONS), np.uint32)
