"""Text in a form in which case and spacing make no difference, and a hash of every line that is not
blank in that form.

Lines end at U+000A. A text is folded: every character becomes its one-character lower case
(`unicode.lower_table`: simple, without context, so `İ` stays and a final sigma is as any other),
every run of white space (Unicode's White_Space) one space, none at the ends. The hash is XXH64
(Collet, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md) with seed 0 of the
folded line in UTF-8. Lines with nothing left have none. In a whole text that is folded a line
break is white space like any other.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import uint64

from pipelines.kernels.arrays import Bytes, Int32s, Int64s, Integers, UInt32s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.unicode import SPACE, build_class_table, build_lower_table
from pipelines.kernels.words import decode_point

P1, P2 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F)
P3, P4 = np.uint64(0x165667B19E3779F9), np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)

NEWLINE = 0x0A
SPACE_CHAR = 0x20
_FIRST_HAN_LEAD, _LAST_HAN_LEAD = 0xE4, 0xE9
"""First bytes of U+4000 to U+9FFF in UTF-8: no such character has case or is a space."""


@lru_cache(maxsize=1)
def build_fold_table() -> UInt32s:
    """uint32 (LAST,): what each code point becomes in a folded line; white space is 0x20."""
    table = build_lower_table().copy()
    table[build_class_table() == SPACE] = SPACE_CHAR
    return table


@inline_kernel
def _rotate_left(x: np.uint64, bits: int) -> np.uint64:
    """Rotate 64 bits."""
    return (x << uint64(bits)) | (x >> uint64(64 - bits))


@inline_kernel
def _merge_lane(digest: np.uint64, lane: np.uint64) -> np.uint64:
    """Fold one of the four lanes into the digest: XXH64's round of convergence."""
    return (digest ^ (_rotate_left(lane * P2, 31) * P1)) * P1 + P4


@compile_kernel
def hash_xxh64(words: UInt64s, size: int) -> np.uint64:
    """XXH64, seed 0, of the first `size` bytes of `words` (uint64, little-endian)."""
    as_uint32 = words.view(np.uint32)
    as_bytes = words.view(np.uint8)
    stripes = size // 32
    full_words = size // 8
    digest = P5
    if stripes:
        lane1 = P1 + P2
        lane2 = P2
        lane3 = uint64(0)
        lane4 = uint64(0) - P1
        for i in range(0, 4 * stripes, 4):
            lane1 = _rotate_left(lane1 + words[i] * P2, 31) * P1
            lane2 = _rotate_left(lane2 + words[i + 1] * P2, 31) * P1
            lane3 = _rotate_left(lane3 + words[i + 2] * P2, 31) * P1
            lane4 = _rotate_left(lane4 + words[i + 3] * P2, 31) * P1
        digest = (
            _rotate_left(lane1, 1)
            + _rotate_left(lane2, 7)
            + _rotate_left(lane3, 12)
            + _rotate_left(lane4, 18)
        )
        digest = _merge_lane(
            _merge_lane(_merge_lane(_merge_lane(digest, lane1), lane2), lane3), lane4
        )
    digest += uint64(size)
    for i in range(4 * stripes, full_words):
        digest = _rotate_left(digest ^ (_rotate_left(words[i] * P2, 31) * P1), 27) * P1 + P4
    at = 8 * full_words
    if size - at >= 4:
        digest = _rotate_left(digest ^ (uint64(as_uint32[2 * full_words]) * P1), 23) * P2 + P3
        at += 4
    for i in range(at, size):
        digest = _rotate_left(digest ^ (uint64(as_bytes[i]) * P5), 11) * P1
    digest = (digest ^ (digest >> uint64(33))) * P2
    digest = (digest ^ (digest >> uint64(29))) * P3
    return digest ^ (digest >> uint64(32))


@inline_kernel
def _encode_point(out: Bytes, end: int, code: int) -> int:
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


@compile_kernel
def _fold_line(data: Bytes, at: int, stop: int, fold: UInt32s, out: Bytes) -> tuple[int, int]:
    """Write the folded line that begins at byte `at` into `out`; returns (its bytes, where the next
    begins).

    A space is written at once, and written over by the next one: nothing but the last byte is
    looked back at.
    """
    end = 0
    last = np.uint32(SPACE_CHAR)
    while at < stop:
        byte = data[at]
        if byte == NEWLINE:
            break
        if byte < 0x80:
            code = fold[byte]
            at += 1
        elif (
            _FIRST_HAN_LEAD <= byte <= _LAST_HAN_LEAD
        ):  # U+4000 to U+9FFF: neither case nor space, three bytes as they are
            out[end] = byte
            out[end + 1] = data[at + 1]
            out[end + 2] = data[at + 2]
            end = end + 3
            last = np.uint32(byte)
            at = at + 3
            continue
        else:
            code_point, size = decode_point(data, at)
            code = fold[code_point] if code_point < fold.shape[0] else np.uint32(code_point)
            at += size
        if code < 0x80:
            out[end] = code
            end += (code != SPACE_CHAR) | (last != SPACE_CHAR)
        else:
            end = _encode_point(out, end, code)
        last = code
    return end - (end > 0 and last == SPACE_CHAR), at + 1


@compile_kernel
def _fold_texts(
    data: Bytes,
    offsets: Int64s,
    fold: UInt32s,
    scratch: UInt64s,
    hashes: UInt64s,
    ends: Int32s,
    folded: Bytes,
    cuts: Int64s,
) -> None:
    line = scratch.view(np.uint8)
    count = 0
    target = 0
    for d in range(offsets.shape[0] - 1):
        at = offsets[d]
        stop = offsets[d + 1]
        first = target
        while at < stop:
            size, at = _fold_line(data, at, stop, fold, line)
            if size:
                hashes[count] = hash_xxh64(scratch, size)
                count += 1
                if target > first:
                    folded[target] = SPACE_CHAR
                    target += 1
                for i in range(size):
                    folded[target + i] = line[i]
                target += size
        ends[d + 1] = count
        cuts[d + 1] = target


class FoldedTexts(NamedTuple):
    """Folded documents: those of `text` (uint8) lie between `cuts`, int64 (n + 1), the `hashes`
    (uint64) of their lines, in order, between `ends`, int32 (n + 1)."""

    text: Bytes
    cuts: Int64s
    hashes: UInt64s
    ends: Int32s


def fold_texts(data: Bytes, offsets: Integers) -> FoldedTexts:
    """Fold n documents in UTF-8 `data`, cut by `offsets` (n + 1): whole texts, and hashes of their
    lines, in one pass.

    A folded text is its folded lines that are not blank, a space between them.
    """
    starts = np.asarray(offsets, np.int64)
    breaks = int(np.count_nonzero(data[starts[0] : starts[-1]] == NEWLINE))
    longest = int(np.diff(starts).max(initial=0))
    scratch = np.empty((_bound_folded_size(longest) + 15) // 8, np.uint64)
    hashes = np.empty(breaks + len(starts) - 1, np.uint64)
    ends = np.zeros(len(starts), np.int32)
    folded = np.empty(_bound_folded_size(int(starts[-1] - starts[0])), np.uint8)
    cuts = np.zeros(len(starts), np.int64)
    _fold_texts(data, starts, build_fold_table(), scratch, hashes, ends, folded, cuts)
    return FoldedTexts(folded[: cuts[-1]], cuts, hashes[: ends[-1]], ends)


def _bound_folded_size(size: int) -> int:
    """Bytes that so many may become, and one: two may be three (U+023A), nothing grows more, a
    space may follow."""
    return size * 3 // 2 + 1
