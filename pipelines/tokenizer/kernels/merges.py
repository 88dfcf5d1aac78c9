"""BPE of one segment as sentencepiece does it: of all pairs that make a piece, the one with the
best score is joined first.

Sennrich, Haddow and Birch 2016; among equal scores the leftmost goes first. A heap of (rank of
the score, index of the left symbol) holds the pairs; one whose symbols have changed since is
recognized by its rank and passed over. O(n log n).
"""

from typing import NamedTuple

import numpy as np
from numba import int64, uint64

from pipelines.kernels.arrays import Bytes, Int32s, Int64s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import decode_point, mix64

_GONE = -2
"""In place of a symbol that was joined to the one on its left."""
NO_VALUE = np.uint64(0xFFFFFFFFFFFFFFFF)
"""What a key without a value has; no value is all ones."""
HALF = np.uint64(32)
LOWER_HALF = np.uint64(0xFFFFFFFF)
"""Two numbers of 32 bits lie in one of 64."""
SPACE, ESCAPED = 0x20, 0x2581
"""In models `▁` is written for a space; here a space is written for `▁`, however that is written in the
text."""


@compile_kernel
def fill_table(keys: UInt64s, values: UInt64s, table: UInt64s) -> None:
    """Put uint64 pairs of key and value into `table` (2 ** k, 2) by open addressing; a free row's
    key is all ones."""
    mask = table.shape[0] - 1
    table[:, 0] = NO_VALUE
    for i in range(keys.shape[0]):
        at = int64(mix64(keys[i]) & uint64(mask))
        while table[at, 0] != NO_VALUE:
            at = (at + 1) & mask
        table[at, 0] = keys[i]
        table[at, 1] = values[i]


@inline_kernel
def look_up(table: UInt64s, key: np.uint64) -> np.uint64:
    """The value of a key in such a table, all ones where it has none."""
    mask = table.shape[0] - 1
    at = int64(mix64(key) & uint64(mask))
    while table[at, 0] != NO_VALUE:
        if table[at, 0] == key:
            return table[at, 1]
        at = (at + 1) & mask
    return NO_VALUE


@inline_kernel
def _push(heap: UInt64s, size: int, value: np.uint64) -> int:
    """Put a value on the binary heap of `size`, the smallest on top; returns its new size."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if heap[parent] <= value:
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = value
    return size + 1


@inline_kernel
def _pop(heap: UInt64s, size: int) -> np.uint64:
    """Take the smallest off the heap of `size`; returns it."""
    smallest = heap[0]
    last = heap[size - 1]
    size -= 1
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if last <= heap[child]:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = last
    return smallest


@inline_kernel
def _look_up_pair(pairs: UInt64s, left_symbol: int, right_symbol: int) -> np.uint64:
    """Rank and id (rank << 32 | id) of the piece that two symbols make, or all ones."""
    if left_symbol < 0 or right_symbol < 0:
        return NO_VALUE
    return look_up(pairs, (uint64(left_symbol) << HALF) | uint64(right_symbol))


@inline_kernel
def _push_pair(
    heap: UInt64s, size: int, pairs: UInt64s, symbols: Int32s, left_symbol: int, right_symbol: int
) -> int:
    """Put the pair of two symbols on the heap where it makes a piece; returns the heap's size."""
    value = _look_up_pair(pairs, symbols[left_symbol], symbols[right_symbol])
    if value == NO_VALUE:
        return size
    return _push(heap, size, ((value >> HALF) << HALF) | uint64(left_symbol))


@compile_kernel
def _join_pairs(
    count: int,
    pairs: UInt64s,
    symbols: Int32s,
    next_of: Int32s,
    previous_of: Int32s,
    heap: UInt64s,
) -> None:
    """Join all symbols that make pieces, the best pair first; those joined to their left become
    _GONE."""
    size = 0
    for i in range(count):
        next_of[i] = i + 1
        previous_of[i] = i - 1
    for i in range(count - 1):
        size = _push_pair(heap, size, pairs, symbols, i, i + 1)
    while size:
        top = _pop(heap, size)
        size -= 1
        left_symbol = int64(top & LOWER_HALF)
        right_symbol = next_of[left_symbol]
        if symbols[left_symbol] == _GONE or right_symbol == count:
            continue
        value = _look_up_pair(pairs, symbols[left_symbol], symbols[right_symbol])
        # A pair whose symbols were joined since has another rank now, or is no piece.
        if value == NO_VALUE or value >> HALF != top >> HALF:
            continue
        symbols[left_symbol] = np.int32(value & LOWER_HALF)
        symbols[right_symbol] = _GONE
        next_of[left_symbol] = next_of[right_symbol]
        if next_of[left_symbol] < count:
            previous_of[next_of[left_symbol]] = left_symbol
            size = _push_pair(heap, size, pairs, symbols, left_symbol, next_of[left_symbol])
        if previous_of[left_symbol] >= 0:
            size = _push_pair(heap, size, pairs, symbols, previous_of[left_symbol], left_symbol)


class BpeModel(NamedTuple):
    """A BPE model as `pipelines.tokenizer.encoding_tables` makes it."""

    symbol_of: Int32s
    """(code points,): the symbol of each character: its piece, a number above all pieces, or -1."""
    pairs: UInt64s
    """(2 ** k, 2), see `fill_table`: left << 32 | right symbol -> rank << 32 | id of the piece that
    they make."""
    vocabulary: int
    byte_ids: Int32s
    """(256,): the piece of every byte, -1 where there is none."""
    byte_fallback: bool
    unknown: int


class MergeWorkspace(NamedTuple):
    """Arrays for one segment, as long as the longest one that has a row in the encoder's table."""

    symbols: Int32s
    starts: Int64s
    """The first byte of each symbol, and the end of the last one."""
    next_of: Int32s
    previous_of: Int32s
    heap: UInt64s
    """Three for each symbol: each pair at first, and two new ones for each join."""


@compile_kernel
def merge_segment(
    text: Bytes,
    start: int,
    stop: int,
    out: Int32s,
    written: int,
    model: BpeModel,
    workspace: MergeWorkspace,
) -> int:
    """Append the ids of `text[start:stop]` to `out`; returns how many. Long segments get memory of
    their own.

    Reference: sentencepiece itself in `tests/pipelines/tokenizer/test_encoder.py`.
    """
    if stop - start <= workspace.symbols.shape[0] - 1:
        return _merge_in(text, start, stop, out, written, model, workspace)
    size = stop - start + 1
    larger = MergeWorkspace(
        np.empty(size, np.int32),
        np.empty(size, np.int64),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
        np.empty(3 * size, np.uint64),
    )
    return _merge_in(text, start, stop, out, written, model, larger)


@compile_kernel
def _merge_in(
    text: Bytes,
    start: int,
    stop: int,
    out: Int32s,
    written: int,
    model: BpeModel,
    workspace: MergeWorkspace,
) -> int:
    symbols = workspace.symbols
    starts = workspace.starts
    next_of = workspace.next_of
    symbol_of = model.symbol_of
    count = 0
    at = start
    while at < stop:
        code, size = decode_point(text, at)
        symbols[count] = symbol_of[SPACE if code == ESCAPED else code]
        starts[count] = at
        count += 1
        at += size
    starts[count] = stop
    _join_pairs(count, model.pairs, symbols, next_of, workspace.previous_of, workspace.heap)
    first = written
    i = 0
    while i < count:
        symbol = symbols[i]
        if 0 <= symbol < model.vocabulary:
            out[written] = symbol
            written += 1
        elif model.byte_fallback:
            written = spell_bytes(text, starts[i], starts[next_of[i]], model.byte_ids, out, written)
        elif written == first or out[written - 1] != model.unknown:
            # sentencepiece writes a run of unknown characters as one.
            out[written] = model.unknown
            written += 1
        i = next_of[i]
    return written - first


@inline_kernel
def spell_bytes(
    text: Bytes, start: int, stop: int, byte_ids: Int32s, out: Int32s, written: int
) -> int:
    """Append the ids of the pieces for single bytes; returns how many ids there are then."""
    for at in range(start, stop):
        out[written] = byte_ids[text[at]]
        written += 1
    return written
