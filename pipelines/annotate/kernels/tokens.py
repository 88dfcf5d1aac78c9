"""Cut documents into tokens, words and punctuation marks, as spaCy's English tokenizer does, in one compiled pass.

Published thresholds of Gopher's and FineWeb's rules were found with such tokens: marks count, "don't" is two, "2,000" one.
Space-separated chunks lose marks at both ends, then are cut inside at hyphens, slashes and the like. In scripts without
spaces a character with its marks is a token. MinHash keeps to the plain words of kernels.words.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, uint64

from pipelines.annotate.kernels.token_classes import (
    ABBREVIATIONS,
    ALONE,
    ALPHA,
    BEFORE_DOT,
    CURRENCY,
    DIGIT,
    HYPHEN,
    ICON,
    LOWER,
    MARK,
    PREFIX,
    QUOTE,
    SPACE,
    SUFFIX,
    SYMBOL,
    UNITS,
    UPPER,
    build_flag_table,
    list_contractions,
)
from pipelines.kernels.unicode import build_lower_table
from pipelines.kernels.words import BASIS, PRIME, contains, decode_point, hash_word, mix64

_DOT, _COMMA, _PLUS, _COLON, _SLASH, _STRAIGHT, _CURLY = 0x2E, 0x2C, 0x2B, 0x3A, 0x2F, 0x27, 0x2019
_INFIX_NUMBER = np.array([ord(c) for c in "+-*^"], np.int32)
_INFIX_WORD = np.array([ord(c) for c in ":<>=/"], np.int32)
_LONGEST_SPECIAL = 11
_PLAIN = ALPHA | DIGIT | UPPER | LOWER | BEFORE_DOT
"""Flags of letters and digits that no rule but the one of "cannot" looks at, where they stand among their like."""


@njit(nogil=True, cache=True)
def _loose_hash(points, first, last, lower):  # type: ignore[no-untyped-def]
    h = BASIS
    for i in range(first, last):
        code = points[i]
        folded = lower[code] if code < lower.shape[0] else code
        h = (h ^ uint64(0x27 if code == 0x2019 else folded)) * PRIME
    return mix64(h)


@njit(nogil=True, cache=True, inline="always")
def _find(hashes, key):  # type: ignore[no-untyped-def]
    at = np.searchsorted(hashes, key)
    return at if at < hashes.shape[0] and hashes[at] == key else -1


@njit(nogil=True, cache=True)
def _special(points, flags, a, b, lower, whole, split, tails):  # type: ignore[no-untyped-def]
    """How many characters are cut off the end of a chunk with a cut of its own: 0 = it stays whole, -1 = it has none."""
    size, last = b - a, points[b - 1]
    if size > _LONGEST_SPECIAL or size < 2:
        return -1
    if last == _DOT:
        if size == 2 and 97 <= points[a] <= 122:
            return 0
        if _find(whole, hash_word(points[a:b])) >= 0:
            return 0
    apostrophe = False
    for i in range(max(a, b - 3), b):
        apostrophe |= points[i] == _STRAIGHT or points[i] == _CURLY
    clock = flags[a] & DIGIT and (last == _DOT or last == 109)
    cannot = size == 6 and (points[a] | 32) == 99
    if apostrophe or clock or cannot:
        at = _find(split, _loose_hash(points, a, b, lower))
        if at >= 0:
            return tails[at]
    return -1


@njit(nogil=True, cache=True)
def _is_address(points, a, b):  # type: ignore[no-untyped-def]
    """Whether a chunk is a web address, which is never cut inside."""
    if b - a < 5:
        return False
    if (
        points[a + 3] == _DOT
        and (points[a] | 32) == (points[a + 1] | 32) == (points[a + 2] | 32) == 119
    ):
        return True
    for i in range(a + 3, min(a + 6, b - 2)):
        if points[i] == _COLON and points[i + 1] == _SLASH and points[i + 2] == _SLASH:
            return True
    return False


@njit(nogil=True, cache=True)
def _prefix(points, flags, a, b):  # type: ignore[no-untyped-def]
    """How many characters are cut off the beginning of a chunk."""
    if points[a] == _DOT and a + 1 < b and points[a + 1] == _DOT:
        at = a
        while at < b and points[at] == _DOT:
            at += 1
        return at - a
    if flags[a] & PREFIX:
        return 1
    return 1 if points[a] == _PLUS and not (a + 1 < b and flags[a + 1] & DIGIT) else 0


@njit(nogil=True, cache=True)
def _suffix(points, flags, a, b, units):  # type: ignore[no-untyped-def]
    """How many characters are cut off the end of a chunk."""
    last = points[b - 1]
    if last == _DOT and b - a > 1 and points[b - 2] == _DOT:
        at = b
        while at > a and points[at - 1] == _DOT:
            at -= 1
        return b - at
    if b - a > 2 and (last | 32) == 115 and (points[b - 2] == _STRAIGHT or points[b - 2] == _CURLY):
        return 2
    if flags[b - 1] & SUFFIX:
        return 1
    if b - a < 2:
        return 0
    if flags[b - 2] & DIGIT and (last == _PLUS or flags[b - 1] & CURRENCY):
        return 1
    for size in range(4, 0, -1):
        behind_digit = b - size > a and flags[b - size - 1] & DIGIT and not flags[b - size] & DIGIT
        if behind_digit and _find(units, hash_word(points[b - size : b])) >= 0:
            return size
    if last == _DOT:
        if flags[b - 2] & BEFORE_DOT:
            return 1
        if b - a > 2 and flags[b - 2] & UPPER and flags[b - 3] & UPPER:
            return 1
    return 0


@njit(nogil=True, cache=True)
def _infix(points, flags, a, i, b):  # type: ignore[no-untyped-def]
    """How many characters at `i`, inside a chunk, are a token of their own."""
    code, left = points[i], flags[i - 1]
    right = flags[i + 1] if i + 1 < b else flags[i] & 0
    if code == _DOT and i + 1 < b and points[i + 1] == _DOT:
        at = i
        while at < b and points[at] == _DOT:
            at += 1
        return at - i
    if code == 0x2026 or flags[i] & ICON:
        return 1
    if (
        left & DIGIT
        and contains(code, _INFIX_NUMBER)
        and i + 1 < b
        and (right & DIGIT or points[i + 1] == 0x2D)
    ):
        return 1
    if code == _DOT:
        return 1 if left & (LOWER | QUOTE) and right & (UPPER | QUOTE) else 0
    if code == _COMMA:
        return 1 if left & ALPHA and right & ALPHA else 0
    if flags[i] & HYPHEN and left & (ALPHA | DIGIT):
        at = i + 1
        while at < b and points[at] == code and at - i < 3 and (code == 0x2D or code == 0x2014):
            at += 1
        return at - i if at < b and flags[at] & ALPHA else 0
    return 1 if contains(code, _INFIX_WORD) and left & (ALPHA | DIGIT) and right & ALPHA else 0


@njit(nogil=True, cache=True)
def _cut_inside(points, flags, a, b, starts, ends, count):  # type: ignore[no-untyped-def]
    i = a + 1
    while i < b:
        size = _infix(points, flags, a, i, b)
        if size:
            if i > a:
                starts[count], ends[count] = a, i
                count += 1
            starts[count], ends[count] = i, i + size
            count += 1
            a = i + size
            i = a + 1
        else:
            i += 1
    if a < b:
        starts[count], ends[count] = a, b
        count += 1
    return count


@njit(nogil=True, cache=True)
def _cut_chunk(points, flags, a, b, lower, whole, split, tails, units, starts, ends, held, count):  # type: ignore[no-untyped-def]
    """Cut the chunk of code points a to b; returns the new number of tokens. `held` has room for its suffixes."""
    waiting, end = 0, b
    while a < b:
        tail = _special(points, flags, a, b, lower, whole, split, tails)
        ahead = _prefix(points, flags, a, b) if tail < 0 else 0
        address = tail < 0 and _is_address(points, a, b)
        # A long run of dots at the end must not be walked once for every mark at the beginning.
        size = _suffix(points, flags, a, b, units) if tail < 0 and (address or not ahead) else 0
        if tail >= 0 or (size == 0 and address):
            starts[count], ends[count] = a, b - max(0, tail)
            count += 1
            if tail > 0:
                starts[count], ends[count] = b - tail, b
                count += 1
            a = b
            break
        if ahead:
            starts[count], ends[count] = a, a + ahead
            count += 1
            a += ahead
        elif size and size < b - a:
            held[waiting] = b - size
            waiting += 1
            b -= size
        else:
            break
    if a < b:
        if _is_address(points, a, b):
            starts[count], ends[count] = a, b
            count += 1
        else:
            count = _cut_inside(points, flags, a, b, starts, ends, count)
    for i in range(waiting - 1, -1, -1):
        starts[count], ends[count] = held[i], held[i - 1] if i else end
        count += 1
    return count


@njit(nogil=True, cache=True)
def read_code_points(data, start, stop, table, points, flags):  # type: ignore[no-untyped-def]
    """Fill `points` and `flags` with the code points of data[start:stop] (UTF-8) and their flags; returns how many."""
    chars, at = 0, start
    while at < stop:
        code, size = decode_point(data, at)
        points[chars] = code
        flags[chars] = table[code] if code < table.shape[0] else 0
        chars += 1
        at += size
    return chars


@njit(nogil=True, cache=True, inline="always")
def _plain_end(flags, at, stop):  # type: ignore[no-untyped-def]
    """Where a run of letters, or of digits, that begins at `at` ends."""
    every = flags[at] & (ALPHA | DIGIT) if at < stop else flags[0] & 0
    while at < stop and flags[at] & every and not flags[at] & ~_PLAIN:
        at += 1
    return at


@njit(nogil=True, cache=True, inline="always")
def _is_simple(points, first, core, end, stop):  # type: ignore[no-untyped-def]
    """Whether a plain run, with a mark before it and behind it at most, has no cut but off those marks."""
    if core > first and (points[first] == _STRAIGHT or points[first] == _CURLY):
        return False
    if stop > end and (points[end] == _STRAIGHT or points[end] == _CURLY):
        return False
    return end - core != 6 or (points[core] | 32) != 99  # "cannot" is two tokens


@njit(nogil=True, cache=True, inline="always")
def _put_simple(first, core, end, stop, starts, ends, count):  # type: ignore[no-untyped-def]
    """Append the mark before a plain run, the run, and the mark behind it; returns the new number of tokens."""
    if core > first:
        starts[count], ends[count] = first, core
        count += 1
    starts[count], ends[count] = core, end
    count += 1
    if stop > end:
        starts[count], ends[count] = end, stop
        count += 1
    return count


@njit(nogil=True, cache=True)
def split_tokens(points, flags, chars, tables, starts, ends, held):  # type: ignore[no-untyped-def]
    """Cut `chars` code points with their flags; returns how many tokens. `tables` is `token_tables()`.

    Fills `starts` and `ends` with the tokens as places among the code points; `held` is room to work in.
    """
    _, lower, whole, split, tails, units = tables
    count, i = 0, 0
    while i < chars:
        if flags[i] & SPACE:
            i += 1
            continue
        first = i
        if flags[i] & ALONE:
            i += 1
            while i < chars and flags[i] & MARK:
                i += 1
            starts[count], ends[count] = first, i
            count += 1
            continue
        core = first + ((flags[first] & PREFIX) != 0)
        end = _plain_end(flags, core, chars)
        i = end + (end < chars and (flags[end] & SUFFIX) != 0)
        if (
            end > core
            and (i == chars or flags[i] & (SPACE | ALONE))
            and _is_simple(points, first, core, end, i)
        ):
            count = _put_simple(first, core, end, i, starts, ends, count)
            continue
        while i < chars and not flags[i] & (SPACE | ALONE):
            i += 1
        count = _cut_chunk(
            points, flags, first, i, lower, whole, split, tails, units, starts, ends, held, count
        )
    return count


@njit(nogil=True, cache=True)
def describe_tokens(points, flags, starts, ends, count, lengths, hashes, letters, symbols):  # type: ignore[no-untyped-def]
    """Fill what is known of every token: characters, hash, whether one is alphabetic, whether all are symbols."""
    for i in range(count):
        some, only = False, True
        for at in range(starts[i], ends[i]):
            some |= (flags[at] & ALPHA) != 0
            only &= (flags[at] & SYMBOL) != 0
        lengths[i], letters[i], symbols[i] = ends[i] - starts[i], some, only
        hashes[i] = hash_word(points[starts[i] : ends[i]])


@lru_cache(maxsize=1)
def build_token_tables() -> tuple[Any, ...]:
    """What `split_tokens` looks up: flags, lower case, abbreviations, contractions with their cuts, units."""
    cuts = list_contractions()
    order = sorted(cuts, key=hash_token)
    tails = np.array([cuts[word] for word in order], np.int64)
    split = np.array([hash_token(word) for word in order], np.uint64)
    return (
        build_flag_table(),
        build_lower_table(),
        hash_tokens(ABBREVIATIONS),
        split,
        tails,
        hash_tokens(UNITS),
    )


def hash_token(token: str) -> int:
    """The hash that `describe` gives a token of these characters."""
    return int(hash_word(np.array([ord(char) for char in token], np.int32)))


def hash_tokens(tokens: list[str]) -> np.ndarray:
    """uint64, sorted: the hashes of `tokens`."""
    return np.sort(np.array([hash_token(token) for token in tokens], np.uint64))
