"""The table in which an encoder keeps the ids of short segments: bytes in, ids out, one cache line
a row.

A row is eight words of 64 bits: six of a segment's bytes, one of up to three ids, one of length
and count. More ids stand in a second table. Reference:
`tests/pipelines/tokenizer/test_encoder.py`, which encodes with tables of few rows.
"""

from typing import NamedTuple

import numpy as np
from numba import int64, uint64

from pipelines.kernels.arrays import Float64s, Int32s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import mix64

ROW_WORDS = 8
"""64 bytes, a cache line."""
MAX_ROW_BYTES = 47
"""Bytes of the longest segment that has a row: six words less one byte, so that a key may be read
past its end."""
MAX_ROW_IDS = 16
"""Ids of a segment that has a row."""
INLINE_IDS = 3
"""Ids that fit into the row itself, at ID_BITS each."""
ID_BITS = np.uint64(21)
_ID_MASK = np.uint64(0x1FFFFF)
_IDS_WORD, _LENGTH_WORD = ROW_WORDS - 2, ROW_WORDS - 1
_LENGTH_BITS = np.uint64(8)
_LENGTH_MASK = np.uint64(0xFF)
_WAYS = 4
"""Rows that a segment may have; where all are taken, it takes that of another."""
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


class SegmentTable(NamedTuple):
    """What an encoder remembers of segments; it changes no answer."""

    rows: UInt64s
    """(2 ** k, ROW_WORDS); a length of 0 is a free row."""
    long_ids: Int32s
    """(2 ** k, MAX_ROW_IDS): the ids of segments that have more than INLINE_IDS."""
    leads: Float64s
    """(2 ** k, 2), only of a unigram model: lead a character and lowest sum, see
    `viterbi.measure_lead`."""


@inline_kernel
def _read_key_word(words: UInt64s, start: int, length: int, number: int) -> np.uint64:
    """Word `number` of the segment that begins at byte `start`, zeros behind its end.

    Two aligned words are read and shifted together. The upper one is shifted in two steps: a
    shift by 64 is undefined.
    """
    at = start + 8 * number
    index = at >> 3
    shift = uint64((at & 7) * 8)
    word = (words[index] >> shift) | ((words[index + 1] << uint64(1)) << (uint64(63) - shift))
    remaining = length - 8 * number
    return word if remaining >= 8 else word & (_ALL_ONES >> uint64(64 - 8 * remaining))


@inline_kernel
def find_row(rows: UInt64s, words: UInt64s, start: int, length: int) -> tuple[int, bool]:
    """The row of a segment and True, or the row it may have and False.

    That is a free one of its _WAYS rows, else one of them, chosen by bits of its hash.
    """
    count = (length + 7) >> 3
    digest = uint64(length)
    for number in range(count):
        digest = mix64(digest ^ _read_key_word(words, start, length, number))
    first = int64(digest & uint64(rows.shape[0] - 1))
    victim = first ^ int64((digest >> uint64(40)) & uint64(_WAYS - 1))
    for way in range(_WAYS):
        # `^` stays within four rows side by side.
        row = first ^ way
        length_and_count = rows[row, _LENGTH_WORD]
        if length_and_count == 0:
            return row, False
        if int64(length_and_count & _LENGTH_MASK) == length:
            number = 0
            while number < count and rows[row, number] == _read_key_word(
                words, start, length, number
            ):
                number += 1
            if number == count:
                return row, True
    return victim, False


@compile_kernel
def fill_row(
    table: SegmentTable,
    row: int,
    words: UInt64s,
    start: int,
    length: int,
    ids: Int32s,
    first: int,
    count: int,
) -> None:
    """Keep `count` ids, from ids[first] on, of the segment that begins at byte `start`."""
    rows = table.rows
    for number in range((length + 7) >> 3):
        rows[row, number] = _read_key_word(words, start, length, number)
    packed_ids = uint64(0)
    for i in range(count):
        if count <= INLINE_IDS:
            packed_ids |= uint64(ids[first + i]) << (ID_BITS * uint64(i))
        else:
            table.long_ids[row, i] = ids[first + i]
    rows[row, _IDS_WORD] = packed_ids
    rows[row, _LENGTH_WORD] = uint64(length) | (uint64(count) << _LENGTH_BITS)


@inline_kernel
def copy_row(rows: UInt64s, long_ids: Int32s, row: int, out: Int32s, written: int) -> int:
    """Append the ids of a row to `out`; returns how many."""
    count = int64(rows[row, _LENGTH_WORD] >> _LENGTH_BITS)
    packed_ids = rows[row, _IDS_WORD]
    # All three are written, as many as there are: it takes no branch, and `out` is longer by
    # INLINE_IDS.
    for i in range(INLINE_IDS):
        out[written + i] = np.int32((packed_ids >> (ID_BITS * uint64(i))) & _ID_MASK)
    if count > INLINE_IDS:
        for i in range(count):
            out[written + i] = long_ids[row, i]
    return count
