"""The packed rows that deduplication shuffles: nodes, content keys with their survivor order, and MinHash band keys.

A node is one document of one run: (shard << 32) | row. Its survivor order decides which duplicate survives: (priority,
date, id), the smallest first. In: Arrow columns. Out: int64 rows; see `pipelines.engine.exchange` for how they travel.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.row_layout import PackedColumn, PackedRows, RowLayout

ORDER_WIDTH = 4
"""Columns of a survivor order: priority, date, and the two halves of the id."""

CONTENT_KEY = RowLayout("key", (("hash", 2), ("survivor_order", ORDER_WIDTH), ("node", 1)))
"""A content or address key: the two halves of its hash come first, so equal keys meet and the survivor leads them."""

ID_HALF = CONTENT_KEY.slice("survivor_order").start + 2
"""The column of such a key with the first half of the id."""

BAND = RowLayout("band", (("key", 1), ("id_half", 1), ("node", 1)))
"""The first half of the id orders a bucket, so that its centres do not depend on where documents lie."""

NO_DATE = np.iinfo(np.int64).max

SIGN_BIT = np.uint64(1 << 63)
MASK_64 = 2**64 - 1
GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
"""2 ** 64 divided by the golden ratio, as in Fibonacci hashing (Knuth, TAOCP 3, 6.4)."""

Signatures = npt.NDArray[np.uint32]
"""MinHash signatures, uint32 (documents, permutations)."""


def make_nodes(shard: int, rows: int) -> PackedColumn:
    """int64 (rows,): the nodes of a shard."""
    return (np.int64(shard) << 32) | np.arange(rows, dtype=np.int64)


def split_halves(values: pa.Array) -> PackedRows:
    """int64 (n, 2): the two halves of 16-byte values, none of them null.

    They are read big-endian and their sign bit is flipped, so that the order of signed integers is that of the bytes.
    """
    if not len(values):
        return np.zeros((0, 2), np.int64)
    data = np.frombuffer(values.buffers()[1], ">u8")
    # A sliced array shares the buffer of the whole one: two integers a value, from its offset on.
    first = 2 * values.offset
    raw = data[first : first + 2 * len(values)].reshape(-1, 2)
    return (raw ^ SIGN_BIT).astype(np.uint64).view(np.int64)


def make_key_rows(
    hashes: pa.Array, order: PackedRows, nodes: PackedColumn, used: npt.NDArray[np.bool_]
) -> PackedRows:
    """int64 (m, CONTENT_KEY.width): the 16-byte `hashes`, survivor orders and nodes of the documents `used`."""
    chosen = hashes.filter(pa.array(used))
    return CONTENT_KEY.stack(
        hash=split_halves(chosen), survivor_order=order[used], node=nodes[used]
    )


def join_id(high: int, low: int) -> str:
    """The document id, in hex, whose halves these are."""
    flipped = (int(high) + (1 << 63)) & MASK_64
    value = (flipped << 64) | ((int(low) + (1 << 63)) & MASK_64)
    return f"{value:032x}"


def split_ids(ids: pa.Array) -> PackedRows:
    """int64 (n, 2): `split_halves` of document ids in hex."""
    raw = bytes.fromhex("".join(ids.to_pylist()))
    return split_halves(pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(raw)]))


def compute_survivor_order(
    table: pa.Table, prefer: Sequence[str], *, newest: bool = False
) -> PackedRows:
    """int64 (n, ORDER_WIDTH): priority (position in `prefer` of the source or the kind), date, id.

    The oldest date comes first, or the `newest`; documents without a date come last.
    """
    by_source = _locate_preference(table["source"], prefer)
    by_kind = _locate_preference(table["kind"], prefer)
    priority = np.minimum(by_source, by_kind)
    dates = table["published"].cast(pa.int64())
    if newest:
        dates = pc.negate(dates)
    dates = dates.fill_null(NO_DATE).to_numpy()
    ids = split_ids(table["id"].combine_chunks())
    return np.column_stack([priority, dates, ids]).astype(np.int64)


def _locate_preference(names: pa.ChunkedArray, prefer: Sequence[str]) -> PackedColumn:
    """int64 (n,): the position of each name in `prefer`, its length for any other."""
    positions = pc.index_in(names, value_set=pa.array(prefer, pa.string()))
    found: PackedColumn = pc.fill_null(positions, len(prefer)).to_numpy().astype(np.int64)
    return found


def make_band_rows(
    signatures: Signatures, identified: PackedRows, *, bands: int, rows: int
) -> PackedRows:
    """int64 (n * bands, BAND.width): the band keys of signatures uint32 (n, >= bands * rows).

    `identified` (n, 2) holds the first half of the id and the node of each.
    """
    keys = hash_bands(signatures, bands=bands, rows=rows)
    repeated = np.repeat(identified, bands, axis=0)
    return BAND.stack(key=keys.ravel(), id_half=repeated[:, 0], node=repeated[:, 1])


def hash_bands(signatures: Signatures, *, bands: int, rows: int) -> PackedRows:
    """int64 (n, bands): a 63-bit hash of each band's elements and its number, so bands never share keys.

    Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.
    """
    elements = signatures[:, : bands * rows].reshape(len(signatures), bands, rows)
    elements = elements.astype(np.uint64)
    numbers = np.arange(1, bands + 1, dtype=np.uint64)
    key = np.broadcast_to(numbers, elements.shape[:2]).copy()
    for element in range(rows):
        key = _mix(key * GOLDEN_RATIO + elements[:, :, element])
    return (key >> np.uint64(1)).astype(np.int64)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """MurmurHash3's 64-bit finalizer (Appleby, public domain)."""
    x = x ^ (x >> np.uint64(33))
    x = x * np.uint64(0xFF51AFD7ED558CCD)
    x = x ^ (x >> np.uint64(33))
    x = x * np.uint64(0xC4CEB9FE1A85EC53)
    mixed: npt.NDArray[np.uint64] = x ^ (x >> np.uint64(33))
    return mixed
