"""The normal form of texts, over Arrow buffers: what `extract.normalize` says, for all texts that composing cannot change.

Composing (NFC) is left to Python's tables: a text is UNSAFE where Unicode's quick check (UAX 15, section 9) does not say
that it is composed already. Few texts are, so few become Python strings.
"""

import unicodedata
from functools import lru_cache

import numpy as np
from numba import njit

from pipelines.kernels.words import decode_point

KEPT, BLANK, BREAK, REMOVED, UNSAFE = range(5)
"""What becomes of a character: kept, white space within a line, a line break, left out, or for Python to decide."""

_BREAKS = (0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029)
_REMOVED = (
    (0x00, 0x08),
    (0x0E, 0x1B),
    (0x1F, 0x1F),
    (0x7F, 0x84),
    (0x86, 0x9F),
    (0x200B, 0x200B),
    (0x2060, 0x2060),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
)
_JAMO = ((0x1161, 0x1175), (0x11A8, 0x11C2))
"""Vowels and final consonants of Hangul, which compose with what stands before them."""
_LAST = 0x32400


@lru_cache(maxsize=1)
def build_normal_tables() -> tuple[np.ndarray, np.ndarray]:
    """uint8 of every code point below _LAST: what becomes of it; and its canonical combining class."""
    kinds, classes = np.zeros(_LAST, np.uint8), np.zeros(_LAST, np.uint8)
    for code in range(_LAST):
        char = chr(code)
        parts = unicodedata.decomposition(char).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            kinds[int(parts[1], 16)] = UNSAFE
        if not unicodedata.is_normalized("NFC", char):
            kinds[code] = UNSAFE
        if char.isspace():
            kinds[code] = BLANK
        classes[code] = unicodedata.combining(char)
    kinds[list(_BREAKS)] = BREAK
    for ranges, kind in ((_REMOVED, REMOVED), (_JAMO, UNSAFE)):
        for first, last in ranges:
            kinds[first : last + 1] = kind
    return kinds, classes


@njit(nogil=True, cache=True, inline="always")
def _copy_plain(data, at, stop, out, to):  # type: ignore[no-untyped-def]
    """Copy what follows a kept character as long as it is plain; returns where it ends in `out`, and its bytes.

    Most text is this: printable ASCII with single spaces inside, and U+4000 to U+9FFF, which are kept and never move.
    """
    first = at
    while at < stop:
        byte = data[at]
        if 0x20 < byte < 0x7F or (byte == 0x20 and at + 1 < stop and 0x20 < data[at + 1] < 0x7F):
            out[to] = byte
            to, at = to + 1, at + 1
        elif 0xE4 <= byte <= 0xE9:
            out[to], out[to + 1], out[to + 2] = byte, data[at + 1], data[at + 2]
            to, at = to + 3, at + 3
        else:
            break
    return to, at - first


@njit(nogil=True, cache=True)
def _copy_normal(data, start, stop, kinds, classes, out, to):  # type: ignore[no-untyped-def]
    """Write the normal form of data[start:stop] to out[to:]; returns where it ends, or -1 where it is UNSAFE."""
    first, at, blank, breaks, last = to, start, False, 0, np.uint8(0)
    while at < stop:
        code, size = decode_point(data, at)
        kind, order = (
            (kinds[code], classes[code]) if code < kinds.shape[0] else (np.uint8(KEPT), np.uint8(0))
        )
        if kind == KEPT:
            if last > order > 0:
                return -1
            last = order
            if to > first:
                for _ in range(min(breaks, 2)):
                    out[to] = 0x0A
                    to += 1
                if blank and not breaks:
                    out[to] = 0x20
                    to += 1
            blank, breaks = False, 0
            for i in range(size):
                out[to + i] = data[at + i]
            to += size
            to, more = _copy_plain(data, at + size, stop, out, to)
            if more:
                at, last = at + more, np.uint8(0)
        elif kind == BLANK:
            blank, last = True, np.uint8(0)
        elif kind == BREAK:
            breaks, last = breaks + 1, np.uint8(0)
            if code == 0x0D and at + 1 < stop and data[at + 1] == 0x0A:
                at += 1
        elif kind == UNSAFE:
            return -1
        at += size
    return to


@njit(nogil=True, cache=True)
def _normal(data, offsets, kinds, classes, out, ends, unsafe):  # type: ignore[no-untyped-def]
    to = 0
    for d in range(offsets.shape[0] - 1):
        end = _copy_normal(data, offsets[d], offsets[d + 1], kinds, classes, out, to)
        unsafe[d] = end < 0
        to = max(end, to)
        ends[d + 1] = to


def normalize_texts(
    data: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The normal forms of n texts in UTF-8 `data` cut by `offsets`: bytes, int32 offsets (n + 1), and bool: UNSAFE, left empty."""
    documents = len(offsets) - 1
    out = np.empty(int(offsets[-1]) - int(offsets[0]), np.uint8)
    ends, unsafe = np.zeros(documents + 1, np.int32), np.zeros(documents, np.bool_)
    _normal(data, np.asarray(offsets, np.int64), *build_normal_tables(), out, ends, unsafe)
    return out[: ends[-1]], ends, unsafe
