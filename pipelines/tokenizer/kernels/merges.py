"""BPE of one segment as sentencepiece does it: of all pairs that make a piece, the one with the best score is joined first.

Sennrich, Haddow and Birch 2016; among equal scores the leftmost goes first. A heap of (rank of the score, place of the left
symbol) holds the pairs; one whose symbols have changed since is recognized by its rank and passed over. O(n log n).
"""

import numpy as np
from numba import njit, uint64

from pipelines.kernels.words import decode_point, mix64

_GONE = -2
_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
SPACE, ESCAPED = 0x20, 0x2581
"""In models `▁` stands for a space; here a space stands for `▁`, however that is written in the text."""


@njit(nogil=True, cache=True)
def fill_table(keys, values, table):  # type: ignore[no-untyped-def]
    """Put uint64 pairs of key and value into `table` (2 ** k, 2) by open addressing; a free row's key is all ones."""
    mask = table.shape[0] - 1
    table[:, 0] = _NONE
    for i in range(keys.shape[0]):
        at = np.int64(mix64(keys[i]) & uint64(mask))
        while table[at, 0] != _NONE:
            at = (at + 1) & mask
        table[at, 0] = keys[i]
        table[at, 1] = values[i]


@njit(nogil=True, cache=True, inline="always")
def look_up(table, key):  # type: ignore[no-untyped-def]
    """The value of a key in such a table, all ones where it has none."""
    mask = table.shape[0] - 1
    at = np.int64(mix64(key) & uint64(mask))
    while table[at, 0] != _NONE:
        if table[at, 0] == key:
            return table[at, 1]
        at = (at + 1) & mask
    return _NONE


@njit(nogil=True, cache=True, inline="always")
def _push(heap, size, value):  # type: ignore[no-untyped-def]
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if heap[above] <= value:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = value
    return size + 1


@njit(nogil=True, cache=True, inline="always")
def _pop(heap, size):  # type: ignore[no-untyped-def]
    """Take the smallest off the heap of `size`; returns it."""
    smallest, last = heap[0], heap[size - 1]
    size -= 1
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and heap[below + 1] < heap[below]:
            below += 1
        if last <= heap[below]:
            break
        heap[at] = heap[below]
        at = below
    heap[at] = last
    return smallest


@njit(nogil=True, cache=True, inline="always")
def _value_of(pairs, left, right):  # type: ignore[no-untyped-def]
    """Rank and id (rank << 32 | id) of the piece that two symbols make, or all ones."""
    if left < 0 or right < 0:
        return _NONE
    return look_up(pairs, (uint64(left) << uint64(32)) | uint64(right))


@njit(nogil=True, cache=True, inline="always")
def _offer(heap, size, pairs, symbols, left, right):  # type: ignore[no-untyped-def]
    """Put the pair of two places on the heap where it makes a piece; returns the heap's size."""
    value = _value_of(pairs, symbols[left], symbols[right])
    if value == _NONE:
        return size
    return _push(heap, size, ((value >> uint64(32)) << uint64(32)) | uint64(left))


@njit(nogil=True, cache=True)
def _join(count, pairs, symbols, after, before, heap):  # type: ignore[no-untyped-def]
    """Join all symbols that make pieces; those joined to their left are _GONE."""
    size = 0
    for i in range(count):
        after[i], before[i] = i + 1, i - 1
    for i in range(count - 1):
        size = _offer(heap, size, pairs, symbols, i, i + 1)
    while size:
        top = _pop(heap, size)
        size -= 1
        left = np.int64(top & uint64(0xFFFFFFFF))
        right = after[left]
        if symbols[left] == _GONE or right == count:
            continue
        value = _value_of(pairs, symbols[left], symbols[right])
        if value == _NONE or value >> uint64(32) != top >> uint64(32):
            continue
        symbols[left], symbols[right] = np.int32(value & uint64(0xFFFFFFFF)), _GONE
        after[left] = after[right]
        if after[left] < count:
            before[after[left]] = left
            size = _offer(heap, size, pairs, symbols, left, after[left])
        if before[left] >= 0:
            size = _offer(heap, size, pairs, symbols, before[left], left)


@njit(nogil=True, cache=True)
def merge_segment(text, start, stop, out, written, model, work):  # type: ignore[no-untyped-def]
    """Append the ids of `text[start:stop]` to `out`; returns how many. Long segments get memory of their own."""
    if stop - start <= work[0].shape[0] - 1:
        return _merge(
            text, start, stop, out, written, model, work[0], work[1], work[2], work[3], work[4]
        )
    size = stop - start + 1
    symbols, begins = np.empty(size, np.int32), np.empty(size, np.int64)
    after, before = np.empty(size, np.int32), np.empty(size, np.int32)
    return _merge(
        text,
        start,
        stop,
        out,
        written,
        model,
        symbols,
        begins,
        after,
        before,
        np.empty(3 * size, np.uint64),
    )


@njit(nogil=True, cache=True)
def _merge(text, start, stop, out, written, model, symbols, begins, after, before, heap):  # type: ignore[no-untyped-def]
    symbol_of, pairs, vocabulary, byte_ids, byte_fallback, unknown = model
    count, at = 0, start
    while at < stop:
        code, size = decode_point(text, at)
        symbols[count] = symbol_of[SPACE if code == ESCAPED else code]
        begins[count] = at
        count += 1
        at += size
    begins[count] = stop
    _join(count, pairs, symbols, after, before, heap)
    first, i = written, 0
    while i < count:
        symbol = symbols[i]
        if 0 <= symbol < vocabulary:
            out[written] = symbol
            written += 1
        elif byte_fallback:
            written = spell_bytes(text, begins[i], begins[after[i]], byte_ids, out, written)
        elif written == first or out[written - 1] != unknown:
            out[written] = unknown
            written += 1
        i = after[i]
    return written - first


@njit(nogil=True, cache=True, inline="always")
def spell_bytes(text, start, stop, byte_ids, out, written):  # type: ignore[no-untyped-def]
    """Append the ids of the pieces for single bytes; returns how many ids there are then."""
    for at in range(start, stop):
        out[written] = byte_ids[text[at]]
        written += 1
    return written
