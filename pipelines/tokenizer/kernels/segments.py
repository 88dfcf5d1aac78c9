"""Where a text falls into segments that can be encoded each on its own.

No piece crosses a border between two characters that are neighbours in no piece: in English that
splits words with the space before them, in Chinese runs of a few characters. In: a text and the
neighbours of a model. Out: where each segment ends and its last character.
"""

from typing import NamedTuple

import numpy as np
from numba import int64, uint64

from pipelines.kernels.arrays import Bools, Bytes, Int32s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import decode_point
from pipelines.tokenizer.kernels.merges import ESCAPED, SPACE

_ASCII = 0x80
_ASCII_BITS = np.uint64(7)
_CODE_POINT_BITS = np.uint64(21)
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
"""2 ** 64 divided by the golden ratio: Fibonacci hashing (Knuth, volume 3, 6.4)."""


class Neighbours(NamedTuple):
    """Which two characters are side by side in some piece."""

    ascii_pairs: Bools
    """(128 * 128,): exact for two characters of ASCII."""
    bits: UInt64s
    """A Bloom filter of one hash for all others, 2 ** (64 - shift) bits."""
    shift: np.uint64


@inline_kernel
def read_character(text: Bytes, at: int) -> tuple[np.uint64, int]:
    """The character at a byte, `▁` as SPACE, and its bytes."""
    byte = uint64(text[at])
    if byte < uint64(_ASCII):
        return byte, 1
    code, size = decode_point(text, at)
    if code == ESCAPED:
        return uint64(SPACE), size
    return uint64(code), size


@inline_kernel
def hash_pair(previous: int | np.uint64, character: int | np.uint64) -> np.uint64:
    """A 64-bit hash of two characters; its upper bits choose a bit of `Neighbours.bits`."""
    return (uint64(previous) << _CODE_POINT_BITS | uint64(character)) * _GOLDEN_RATIO


@inline_kernel
def _are_neighbours(
    previous: np.uint64,
    character: np.uint64,
    ascii_pairs: Bools,
    bits: UInt64s,
    shift: np.uint64,
) -> bool:
    """Whether some piece may hold these two characters side by side; wrong only in saying yes."""
    if (previous | character) < uint64(_ASCII):
        return ascii_pairs[previous << _ASCII_BITS | character]
    position = hash_pair(previous, character) >> shift
    return ((bits[position >> uint64(6)] >> (position & uint64(63))) & uint64(1)) != 0


@compile_kernel
def split_segments(
    text: Bytes, stop: int, neighbours: Neighbours, ends: Int32s, lasts: Int32s
) -> int:
    """Fill in where each segment of `text[:stop]` ends and its last character; returns how many
    there are.

    An end is written at every character and kept by counting on: an unpredictable branch would
    cost more.
    """
    ascii_pairs, bits, shift = neighbours
    count = int64(0)
    previous, at = read_character(text, 0)
    while at < stop:
        character, size = read_character(text, at)
        ends[count] = at
        lasts[count] = previous
        count += 1 - int64(_are_neighbours(previous, character, ascii_pairs, bits, shift))
        previous = character
        at += size
    ends[count] = stop
    lasts[count] = previous
    return count + 1


@inline_kernel
def load_text(data: Bytes, start: int, stop: int, prefix: bool, text: Bytes) -> int:
    """Copy a text to the front of `text`, behind a space where `prefix`; returns its bytes."""
    size = stop - start
    if not size:
        return 0
    first = 0
    if prefix:
        text[0] = SPACE
        first = 1
    text[first : first + size] = data[start:stop]
    return first + size
