"""The packed rows that deduplication shuffles: nodes, content keys with their rank, and MinHash band keys.

A node is one document of one run: (shard << 32) | row. Its rank decides which copy survives: (priority, date, id),
the smallest first. All rows are int64; see `exchange` for how they travel.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

RANK_WIDTH = 4
"""Columns of a rank: priority, date, and the two halves of the id."""

KEY_WIDTH = 2 + RANK_WIDTH + 1
"""Columns of a content or address key: the two halves of its hash, the rank, the node."""

NO_DATE = np.iinfo(np.int64).max


def make_nodes(shard: int, rows: int) -> np.ndarray:
    """int64 (rows,): the nodes of a shard."""
    return (np.int64(shard) << 32) | np.arange(rows, dtype=np.int64)


def split_halves(values: pa.Array) -> np.ndarray:
    """int64 (n, 2): the two halves of 16-byte values, none null, big-endian, shifted so that signed order is byte order."""
    if not len(values):
        return np.zeros((0, 2), np.int64)
    raw = np.frombuffer(values.buffers()[1], ">u8")[2 * values.offset :][: 2 * len(values)].reshape(
        -1, 2
    )
    return (raw ^ np.uint64(1 << 63)).astype(np.uint64).view(np.int64)


ID_HALF, NODE = 4, 6
"""Columns of such a key: the first half of the id, and the node."""


def make_key_rows(
    hashes: pa.Array, rank: np.ndarray, nodes: np.ndarray, used: np.ndarray
) -> np.ndarray:
    """int64 (m, KEY_WIDTH): the 16-byte `hashes`, ranks and nodes of the documents `used` (bool)."""
    chosen = hashes.filter(pa.array(used))
    return np.column_stack([split_halves(chosen), rank[used], nodes[used]])


def join_id(high: int, low: int) -> str:
    """The document id whose halves these are."""
    value = (((int(high) + (1 << 63)) & (2**64 - 1)) << 64) | ((int(low) + (1 << 63)) & (2**64 - 1))
    return f"{value:032x}"


def split_ids(ids: pa.Array) -> np.ndarray:
    """int64 (n, 2): `halves` of document ids in hex."""
    raw = bytes.fromhex("".join(ids.to_pylist()))
    return split_halves(pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(raw)]))


def compute_survivor_order(
    table: pa.Table, prefer: Sequence[str], *, newest: bool = False
) -> np.ndarray:
    """int64 (n, RANK_WIDTH): priority (place in `prefer` of the source or the kind), date, id.

    The oldest date comes first, or the `newest`; documents without one come last.
    """
    priority = np.minimum(*(_preference(table[name], prefer) for name in ("source", "kind")))
    dates = table["published"].cast(pa.int64())
    dates = (pc.negate(dates) if newest else dates).fill_null(NO_DATE).to_numpy()
    ids = split_ids(table["id"].combine_chunks())
    return np.column_stack([priority, dates, ids]).astype(np.int64)


def _preference(names: pa.ChunkedArray, prefer: Sequence[str]) -> np.ndarray:
    """int64 (n,): the place of each name in `prefer`, its length for any other."""
    places = pc.index_in(names, value_set=pa.array(prefer, pa.string()))
    found: np.ndarray = pc.fill_null(places, len(prefer)).to_numpy().astype(np.int64)
    return found


BAND_WIDTH = 3
"""Columns of a band row: the band's key, the first half of the id, the node."""


def make_band_rows(
    signatures: np.ndarray, named: np.ndarray, *, bands: int, rows: int
) -> np.ndarray:
    """int64 (n * bands, BAND_WIDTH): the band keys of signatures uint32 (n, >= bands * rows), `named` by id half and node (n, 2).

    The id orders a bucket, so that its centre, and what is compared with it, does not depend on where documents lie.
    """
    keys = hash_bands(signatures, bands=bands, rows=rows)
    return np.column_stack([keys.ravel(), np.repeat(named, bands, axis=0)])


def hash_bands(signatures: np.ndarray, *, bands: int, rows: int) -> np.ndarray:
    """int64 (n, bands): a 63-bit hash of each band's elements and its number, so bands never share keys.

    Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.
    """
    used = signatures[:, : bands * rows].reshape(len(signatures), bands, rows).astype(np.uint64)
    key = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64), used.shape[:2]).copy()
    for column in range(rows):
        key = _mix(key * np.uint64(0x9E3779B97F4A7C15) + used[:, :, column])
    return (key >> np.uint64(1)).astype(np.int64)


def _mix(x: np.ndarray) -> np.ndarray:
    x = x ^ (x >> np.uint64(33))
    x = x * np.uint64(0xFF51AFD7ED558CCD)
    x = x ^ (x >> np.uint64(33))
    x = x * np.uint64(0xC4CEB9FE1A85EC53)
    mixed: np.ndarray = x ^ (x >> np.uint64(33))
    return mixed
