"""Cut UTF-8 documents into words in one pass; every word gets its span, length and 64-bit hash."""

import numpy as np
from numba import njit, uint64

from pipelines.kernels.unicode import DIGIT, LETTER, MARK, OTHER, SINGLE

PRIME = np.uint64(0x100000001B3)
BASIS = np.uint64(0xCBF29CE484222325)


@njit(nogil=True, cache=True, inline="always")
def mix64(h: np.uint64) -> np.uint64:
    """MurmurHash3's 64-bit finalizer (Appleby, public domain): a bijection that spreads every bit."""
    h ^= h >> uint64(33)
    h *= uint64(0xFF51AFD7ED558CCD)
    h ^= h >> uint64(33)
    h *= uint64(0xC4CEB9FE1A85EC53)
    h ^= h >> uint64(33)
    return h


@njit(nogil=True, cache=True, inline="always")
def decode_point(data: np.ndarray, at: int) -> tuple[int, int]:
    """The code point at byte `at` of valid UTF-8, and its number of bytes."""
    first = data[at]
    if first < 0x80:
        return int(first), 1
    if first < 0xE0:
        return (int(first & 0x1F) << 6) | int(data[at + 1] & 0x3F), 2
    if first < 0xF0:
        return (int(first & 0x0F) << 12) | (int(data[at + 1] & 0x3F) << 6) | int(
            data[at + 2] & 0x3F
        ), 3
    high = (int(first & 0x07) << 18) | (int(data[at + 1] & 0x3F) << 12)
    return high | (int(data[at + 2] & 0x3F) << 6) | int(data[at + 3] & 0x3F), 4


@njit(nogil=True, cache=True)
def split_words(data, start, stop, classes, lower, starts, ends, lengths, hashes, letters):  # type: ignore[no-untyped-def]
    """Cut data[start:stop] into words; fills the five output arrays and returns (words, characters).

    `lengths` counts characters, `hashes` are of the lower-case form, `letters` tells whether a word has a letter.
    """
    count = 0
    chars = 0
    inside = False
    h = BASIS
    length = 0
    has_letter = False
    alone = False
    at = start
    while at < stop:
        code, size = decode_point(data, at)
        kind = OTHER
        if code < classes.shape[0]:
            kind = classes[code]
        joins = inside and not alone and (kind in (LETTER, DIGIT))
        if inside and kind == MARK:
            joins = True
        if (
            inside
            and not alone
            and has_letter
            and (code == 0x27 or code == 0x2019)
            and at + size < stop
        ):
            after, _ = decode_point(data, at + size)
            joins = after < classes.shape[0] and classes[after] == LETTER
            kind = OTHER
        if inside and not joins:
            starts[count], ends[count], lengths[count] = starts[count], at, length
            hashes[count], letters[count] = mix64(h), has_letter
            count += 1
            inside = False
        if not inside and (kind in (LETTER, DIGIT, SINGLE)):
            inside = True
            alone = kind == SINGLE
            h = BASIS
            length = 0
            has_letter = False
            starts[count] = at
        if inside:
            folded = uint64(code)
            if code < lower.shape[0]:
                folded = uint64(lower[code])
            if code == 0x2019:
                folded = uint64(0x27)
            h = (h ^ folded) * PRIME
            length += 1
            if kind in (LETTER, SINGLE):
                has_letter = True
        chars += 1
        at += size
    if inside:
        ends[count], lengths[count], hashes[count], letters[count] = (
            at,
            length,
            mix64(h),
            has_letter,
        )
        count += 1
    return count, chars


@njit(nogil=True, cache=True)
def hash_word(code_points):  # type: ignore[no-untyped-def]
    """uint64: the hash that `split_words` gives a word of these (lower-case) code points."""
    h = BASIS
    for i in range(code_points.shape[0]):
        h = (h ^ uint64(code_points[i])) * PRIME
    return mix64(h)


@njit(nogil=True, cache=True, inline="always")
def contains(code, codes):  # type: ignore[no-untyped-def]
    """Whether a code point is one of a few."""
    for c in codes:  # noqa: SIM110 - numba compiles no generator here
        if c == code:
            return True
    return False
