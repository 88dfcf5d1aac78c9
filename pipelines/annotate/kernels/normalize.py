"""The normal form of texts, over Arrow buffers: what `extract.normalize` says, for all texts that
composing cannot change.

Composing (NFC) is left to Python's tables: a text is UNSAFE where Unicode's quick check (UAX 15,
section 9) does not say that it is composed already. Few texts are, so few become Python strings.
"""

import unicodedata
from functools import lru_cache

import numpy as np

from pipelines.kernels.arrays import Bools, Bytes, Int32s, Int64s, Integers
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import decode_point

_NEWLINE, _RETURN, _SPACE, _DELETE = 0x0A, 0x0D, 0x20, 0x7F
_FIRST_HAN_LEAD, _LAST_HAN_LEAD = 0xE4, 0xE9
"""First bytes of U+4000 to U+9FFF in UTF-8."""
_MAX_LINE_BREAKS = 2
"""A blank line at most stays between paragraphs."""

KEPT, BLANK, BREAK, REMOVED, UNSAFE = range(5)
"""What becomes of a character: kept, white space within a line, a line break, left out, or for
Python to decide."""

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
def build_normal_tables() -> tuple[Bytes, Bytes]:
    """uint8 of every code point below _LAST: what becomes of it; and its canonical combining class."""
    actions = np.zeros(_LAST, np.uint8)
    classes = np.zeros(_LAST, np.uint8)
    for code in range(_LAST):
        char = chr(code)
        parts = unicodedata.decomposition(char).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            actions[int(parts[1], 16)] = UNSAFE
        if not unicodedata.is_normalized("NFC", char):
            actions[code] = UNSAFE
        if char.isspace():
            actions[code] = BLANK
        classes[code] = unicodedata.combining(char)
    actions[list(_BREAKS)] = BREAK
    for ranges, action in ((_REMOVED, REMOVED), (_JAMO, UNSAFE)):
        for first, last in ranges:
            actions[first : last + 1] = action
    return actions, classes


@inline_kernel
def _copy_plain(data: Bytes, at: int, stop: int, out: Bytes, target: int) -> tuple[int, int]:
    """Copy what follows a kept character as long as it is plain; returns where it ends in `out`,
    and its bytes.

    Most text is this: printable ASCII with single spaces inside, and U+4000 to U+9FFF, which are
    kept and never move.
    """
    first = at
    while at < stop:
        byte = data[at]
        is_visible = _SPACE < byte < _DELETE
        if is_visible or (byte == _SPACE and at + 1 < stop and _SPACE < data[at + 1] < _DELETE):
            out[target] = byte
            target = target + 1
            at = at + 1
        elif _FIRST_HAN_LEAD <= byte <= _LAST_HAN_LEAD:
            out[target] = byte
            out[target + 1] = data[at + 1]
            out[target + 2] = data[at + 2]
            target = target + 3
            at = at + 3
        else:
            break
    return target, at - first


@compile_kernel
def _copy_normal(
    data: Bytes, start: int, stop: int, actions: Bytes, classes: Bytes, out: Bytes, target: int
) -> int:
    """Write the normal form of data[start:stop] to out[target:]; returns where it ends, or -1 where
    it is UNSAFE."""
    first = target
    at = start
    has_blank = False
    line_breaks = 0
    last_class = np.uint8(0)
    while at < stop:
        code, size = decode_point(data, at)
        action = np.uint8(KEPT)
        combining_class = np.uint8(0)
        if code < actions.shape[0]:
            action = actions[code]
            combining_class = classes[code]
        if action == KEPT:
            # Marks out of order: composing would sort them.
            if last_class > combining_class > 0:
                return -1
            last_class = combining_class
            if target > first:
                for _ in range(min(line_breaks, _MAX_LINE_BREAKS)):
                    out[target] = _NEWLINE
                    target += 1
                if has_blank and not line_breaks:
                    out[target] = _SPACE
                    target += 1
            has_blank = False
            line_breaks = 0
            for i in range(size):
                out[target + i] = data[at + i]
            target += size
            target, plain_bytes = _copy_plain(data, at + size, stop, out, target)
            if plain_bytes:
                at = at + plain_bytes
                last_class = np.uint8(0)
        elif action == BLANK:
            has_blank = True
            last_class = np.uint8(0)
        elif action == BREAK:
            line_breaks = line_breaks + 1
            last_class = np.uint8(0)
            if code == _RETURN and at + 1 < stop and data[at + 1] == _NEWLINE:
                at += 1
        elif action == UNSAFE:
            return -1
        at += size
    return target


@compile_kernel
def _normalize_texts(
    data: Bytes,
    offsets: Int64s,
    actions: Bytes,
    classes: Bytes,
    out: Bytes,
    ends: Int32s,
    unsafe: Bools,
) -> None:
    target = 0
    for d in range(offsets.shape[0] - 1):
        end = _copy_normal(data, offsets[d], offsets[d + 1], actions, classes, out, target)
        unsafe[d] = end < 0
        target = max(end, target)
        ends[d + 1] = target


def normalize_texts(data: Bytes, offsets: Integers) -> tuple[Bytes, Int32s, Bools]:
    """The normal forms of n texts in UTF-8 `data` cut by `offsets`: bytes, int32 offsets (n + 1),
    and bool: UNSAFE, left empty."""
    documents = len(offsets) - 1
    out = np.empty(int(offsets[-1]) - int(offsets[0]), np.uint8)
    ends = np.zeros(documents + 1, np.int32)
    unsafe = np.zeros(documents, np.bool_)
    _normalize_texts(data, np.asarray(offsets, np.int64), *build_normal_tables(), out, ends, unsafe)
    return out[: ends[-1]], ends, unsafe
