"""Text in a form in which case and spacing make no difference, and a hash of every line that is not blank in that form.

Lines end at U+000A. A text is folded: every character becomes its one-character lower case (`unicode.lower_table`: simple,
without context, so `İ` stays and a final sigma is as any other), every run of white space (Unicode's White_Space) one
space, none at the ends. The hash is XXH64 (Collet, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md) with
seed 0 of the folded line in UTF-8. Lines with nothing left have none. In a whole text that is folded a line break is white
space like any other.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pipelines.kernels.unicode import SPACE, build_class_table, build_lower_table
from pipelines.kernels.words import decode_point

P1, P2 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F)
P3, P4 = np.uint64(0x165667B19E3779F9), np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)

NEWLINE = 10
_BLANK = 0x20


@lru_cache(maxsize=1)
def build_fold_table() -> np.ndarray:
    """uint32 (LAST,): what each code point becomes in a folded line; white space is 0x20."""
    table = build_lower_table().copy()
    table[build_class_table() == SPACE] = _BLANK
    return table


@njit(nogil=True, cache=True, inline="always")
def _turn(x, bits):  # type: ignore[no-untyped-def]
    return (x << uint64(bits)) | (x >> uint64(64 - bits))


@njit(nogil=True, cache=True, inline="always")
def _merge(h, lane):  # type: ignore[no-untyped-def]
    return (h ^ (_turn(lane * P2, 31) * P1)) * P1 + P4


@njit(nogil=True, cache=True)
def hash_xxh64(words, size):  # type: ignore[no-untyped-def]
    """XXH64, seed 0, of the first `size` bytes of `words` (uint64, little-endian)."""
    halves, singles = words.view(np.uint32), words.view(np.uint8)
    stripes, whole = size // 32, size // 8
    h = P5
    if stripes:
        one, two, three, four = P1 + P2, P2, uint64(0), uint64(0) - P1
        for i in range(0, 4 * stripes, 4):
            one = _turn(one + words[i] * P2, 31) * P1
            two = _turn(two + words[i + 1] * P2, 31) * P1
            three = _turn(three + words[i + 2] * P2, 31) * P1
            four = _turn(four + words[i + 3] * P2, 31) * P1
        h = _turn(one, 1) + _turn(two, 7) + _turn(three, 12) + _turn(four, 18)
        h = _merge(_merge(_merge(_merge(h, one), two), three), four)
    h += uint64(size)
    for i in range(4 * stripes, whole):
        h = _turn(h ^ (_turn(words[i] * P2, 31) * P1), 27) * P1 + P4
    at = 8 * whole
    if size - at >= 4:
        h = _turn(h ^ (uint64(halves[2 * whole]) * P1), 23) * P2 + P3
        at += 4
    for i in range(at, size):
        h = _turn(h ^ (uint64(singles[i]) * P5), 11) * P1
    h = (h ^ (h >> uint64(33))) * P2
    h = (h ^ (h >> uint64(29))) * P3
    return h ^ (h >> uint64(32))


@njit(nogil=True, cache=True, inline="always")
def _put(out, end, code):  # type: ignore[no-untyped-def]
    """Write a code point as UTF-8 behind out[:end]; returns the new end."""
    if code < 0x80:
        out[end] = code
        return end + 1
    if code < 0x800:
        out[end] = 0xC0 | (code >> 6)
        out[end + 1] = 0x80 | (code & 0x3F)
        return end + 2
    if code < 0x10000:
        out[end] = 0xE0 | (code >> 12)
        out[end + 1] = 0x80 | ((code >> 6) & 0x3F)
        out[end + 2] = 0x80 | (code & 0x3F)
        return end + 3
    out[end] = 0xF0 | (code >> 18)
    out[end + 1] = 0x80 | ((code >> 12) & 0x3F)
    out[end + 2] = 0x80 | ((code >> 6) & 0x3F)
    out[end + 3] = 0x80 | (code & 0x3F)
    return end + 4


@njit(nogil=True, cache=True)
def _fold_line(data, at, stop, fold, out):  # type: ignore[no-untyped-def]
    """Write the folded line that begins at byte `at` into `out`; returns (its bytes, where the next begins).

    A space is written at once, and written over by the next one: nothing but the last byte is looked back at.
    """
    end, last = 0, np.uint32(_BLANK)
    while at < stop:
        byte = data[at]
        if byte == NEWLINE:
            break
        if byte < 0x80:
            code = fold[byte]
            at += 1
        elif (
            0xE4 <= byte <= 0xE9
        ):  # U+4000 to U+9FFF: neither case nor space, three bytes as they are
            out[end], out[end + 1], out[end + 2] = byte, data[at + 1], data[at + 2]
            end, last, at = end + 3, np.uint32(byte), at + 3
            continue
        else:
            point, size = decode_point(data, at)
            code = fold[point] if point < fold.shape[0] else np.uint32(point)
            at += size
        if code < 0x80:
            out[end] = code
            end += (code != _BLANK) | (last != _BLANK)
        else:
            end = _put(out, end, code)
        last = code
    return end - (end > 0 and last == _BLANK), at + 1


@njit(nogil=True, cache=True)
def _fold_texts(data, offsets, fold, scratch, hashes, ends, folded, cuts):  # type: ignore[no-untyped-def]
    line, count, to = scratch.view(np.uint8), 0, 0
    for d in range(offsets.shape[0] - 1):
        at, stop, first = offsets[d], offsets[d + 1], to
        while at < stop:
            size, at = _fold_line(data, at, stop, fold, line)
            if size:
                hashes[count] = hash_xxh64(scratch, size)
                count += 1
                if to > first:
                    folded[to] = _BLANK
                    to += 1
                for i in range(size):
                    folded[to + i] = line[i]
                to += size
        ends[d + 1], cuts[d + 1] = count, to


class FoldedTexts(NamedTuple):
    """Folded documents: those of `text` (uint8) lie between `cuts`, int64 (n + 1), the `hashes` (uint64) of their lines, in
    order, between `ends`, int32 (n + 1)."""

    text: np.ndarray
    cuts: np.ndarray
    hashes: np.ndarray
    ends: np.ndarray


def fold_texts(data: np.ndarray, offsets: np.ndarray) -> FoldedTexts:
    """Fold n documents in UTF-8 `data`, cut by `offsets` (n + 1): whole texts, and hashes of their lines, in one pass.

    A folded text is its folded lines that are not blank, a space between them.
    """
    starts = np.asarray(offsets, np.int64)
    breaks = int(np.count_nonzero(data[starts[0] : starts[-1]] == NEWLINE))
    longest = int(np.diff(starts).max(initial=0))
    scratch = np.empty((_most_folded(longest) + 15) // 8, np.uint64)
    hashes, ends = np.empty(breaks + len(starts) - 1, np.uint64), np.zeros(len(starts), np.int32)
    folded, cuts = (
        np.empty(_most_folded(int(starts[-1] - starts[0])), np.uint8),
        np.zeros(len(starts), np.int64),
    )
    _fold_texts(data, starts, build_fold_table(), scratch, hashes, ends, folded, cuts)
    return FoldedTexts(folded[: cuts[-1]], cuts, hashes[: ends[-1]], ends)


def _most_folded(size: int) -> int:
    """Bytes that so many may become, and one: two may be three (U+023A), nothing grows more, a space may follow."""
    return size * 3 // 2 + 1
