"""Cut documents into tokens, words and punctuation marks, as spaCy's English tokenizer does, in one
compiled pass.

Published thresholds of Gopher's and FineWeb's rules were found with such tokens: marks count,
"don't" is two, "2,000" one. Space-separated chunks lose marks at both ends, then are cut inside
at hyphens, slashes and the like. In scripts without spaces a character with its marks is a
token. MinHash keeps to the plain words of kernels.words.
"""

# ruff: noqa: SIM109 - numba turns `in` with a tuple into a loop, comparisons into instructions

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import int64, uint64

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
from pipelines.kernels.arrays import Bools, Bytes, Int32s, Int64s, UInt16s, UInt32s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.unicode import build_lower_table
from pipelines.kernels.words import (
    APOSTROPHE,
    BASIS,
    PRIME,
    RIGHT_QUOTE,
    contains,
    decode_point,
    hash_word,
    mix64,
)

_DOT = 0x2E
_COMMA = 0x2C
_PLUS = 0x2B
_MINUS = 0x2D
_COLON = 0x3A
_SLASH = 0x2F
_ELLIPSIS = 0x2026
_EM_DASH = 0x2014
_LOWER_A, _LOWER_C, _LOWER_M, _LOWER_S, _LOWER_W, _LOWER_Z = (ord(char) for char in "acmswz")
_TO_LOWER = 0x20
"""The bit that makes a capital of ASCII a small letter."""

_INFIX_NUMBER = np.array([ord(char) for char in "+-*^"], np.int32)
_INFIX_WORD = np.array([ord(char) for char in ":<>=/"], np.int32)
_CANNOT_CHARS = len("cannot")
_LONGEST_UNIT = 4
"""Characters of the longest of UNITS."""
_LONGEST_SPECIAL = 11
"""No chunk of ABBREVIATIONS or of `list_contractions` has more characters: longer ones are never
hashed."""
_PLAIN = ALPHA | DIGIT | UPPER | LOWER | BEFORE_DOT
"""Flags of letters and digits that no rule but the one of "cannot" looks at, where they stand among
their like."""


class TokenTables(NamedTuple):
    """What `split_tokens` looks up."""

    flags: UInt16s
    """(LAST,): see `pipelines.annotate.kernels.token_classes`."""
    lower: UInt32s
    """(LAST,): lower-case code points."""
    abbreviations: UInt64s
    """Hashes, ascending, of the chunks that keep their last dot."""
    contractions: UInt64s
    """Hashes, ascending, of the folded chunks that are split before their last characters."""
    contraction_tails: Int64s
    """How many characters are split off each of them."""
    units: UInt64s
    """Hashes, ascending, of what is split off behind a digit."""


@compile_kernel
def _hash_folded(code_points: Int32s, first: int, last: int, lower: UInt32s) -> np.uint64:
    """The hash of a chunk in lower case with straight apostrophes."""
    digest = BASIS
    for i in range(first, last):
        code = code_points[i]
        folded = lower[code] if code < lower.shape[0] else code
        digest = (digest ^ uint64(APOSTROPHE if code == RIGHT_QUOTE else folded)) * PRIME
    return mix64(digest)


@inline_kernel
def _find_hash(hashes: UInt64s, key: np.uint64) -> int:
    """The index of a hash among ascending ones, or -1."""
    position = int64(np.searchsorted(hashes, key))
    return position if position < hashes.shape[0] and hashes[position] == key else -1


@inline_kernel
def _is_apostrophe(code: int) -> bool:
    """Whether a code point is a straight or a curly apostrophe."""
    return code == APOSTROPHE or code == RIGHT_QUOTE


@compile_kernel
def _measure_special(
    code_points: Int32s, flags: UInt16s, a: int, b: int, tables: TokenTables
) -> int:
    """How many characters are cut off the end of a chunk with a cut of its own: 0 = it stays whole,
    -1 = it has none."""
    size = b - a
    last = code_points[b - 1]
    if size > _LONGEST_SPECIAL or size < 2:
        return -1
    if last == _DOT:
        # spaCy lists `a.` to `z.`.
        if size == 2 and _LOWER_A <= code_points[a] <= _LOWER_Z:
            return 0
        if _find_hash(tables.abbreviations, hash_word(code_points[a:b])) >= 0:
            return 0
    # Few chunks can be contractions; hashing all others would cost more than the rest of this
    # function.
    has_apostrophe = False
    for i in range(max(a, b - 3), b):
        has_apostrophe |= _is_apostrophe(code_points[i])
    may_be_hour = flags[a] & DIGIT and (last == _DOT or last == _LOWER_M)
    may_be_cannot = size == _CANNOT_CHARS and (code_points[a] | _TO_LOWER) == _LOWER_C
    if has_apostrophe or may_be_hour or may_be_cannot:
        index = _find_hash(tables.contractions, _hash_folded(code_points, a, b, tables.lower))
        if index >= 0:
            return tables.contraction_tails[index]
    return -1


@compile_kernel
def _is_address(code_points: Int32s, a: int, b: int) -> bool:
    """Whether a chunk is a web address, which is never cut inside: it begins with `www.`, or has
    `://` early on."""
    if b - a < 5:
        return False
    if (
        code_points[a + 3] == _DOT
        and (code_points[a] | _TO_LOWER)
        == (code_points[a + 1] | _TO_LOWER)
        == (code_points[a + 2] | _TO_LOWER)
        == _LOWER_W
    ):
        return True
    # Schemes of three to five letters, as ftp and https.
    for i in range(a + 3, min(a + 6, b - 2)):
        if (
            code_points[i] == _COLON
            and code_points[i + 1] == _SLASH
            and code_points[i + 2] == _SLASH
        ):
            return True
    return False


@compile_kernel
def _measure_prefix(code_points: Int32s, flags: UInt16s, a: int, b: int) -> int:
    """How many characters are cut off the beginning of a chunk."""
    if code_points[a] == _DOT and a + 1 < b and code_points[a + 1] == _DOT:
        end = a
        while end < b and code_points[end] == _DOT:
            end += 1
        return end - a
    if flags[a] & PREFIX:
        return 1
    before_digit = a + 1 < b and flags[a + 1] & DIGIT
    return 1 if code_points[a] == _PLUS and not before_digit else 0


@compile_kernel
def _measure_suffix(code_points: Int32s, flags: UInt16s, a: int, b: int, units: UInt64s) -> int:
    """How many characters are cut off the end of a chunk."""
    last = code_points[b - 1]
    if last == _DOT and b - a > 1 and code_points[b - 2] == _DOT:
        first_dot = b
        while first_dot > a and code_points[first_dot - 1] == _DOT:
            first_dot -= 1
        return b - first_dot
    # The possessive: `'s`.
    if b - a > 2 and (last | _TO_LOWER) == _LOWER_S and _is_apostrophe(code_points[b - 2]):
        return 2
    if flags[b - 1] & SUFFIX:
        return 1
    if b - a < 2:
        return 0
    if flags[b - 2] & DIGIT and (last == _PLUS or flags[b - 1] & CURRENCY):
        return 1
    for size in range(_LONGEST_UNIT, 0, -1):
        first = b - size
        behind_digit = first > a and flags[first - 1] & DIGIT and not flags[first] & DIGIT
        if behind_digit and _find_hash(units, hash_word(code_points[first:b])) >= 0:
            return size
    if last == _DOT:
        if flags[b - 2] & BEFORE_DOT:
            return 1
        if b - a > 2 and flags[b - 2] & UPPER and flags[b - 3] & UPPER:
            return 1
    return 0


@compile_kernel
def _measure_infix(code_points: Int32s, flags: UInt16s, i: int, b: int) -> int:
    """How many characters at `i`, inside a chunk that ends at `b`, are a token of their own."""
    code = code_points[i]
    before = flags[i - 1]
    # `flags[i] & 0` is a zero of the same type, so that numba sees one type for both branches.
    behind = flags[i + 1] if i + 1 < b else flags[i] & 0
    if code == _DOT and i + 1 < b and code_points[i + 1] == _DOT:
        end = i
        while end < b and code_points[end] == _DOT:
            end += 1
        return end - i
    if code == _ELLIPSIS or flags[i] & ICON:
        return 1
    if (
        before & DIGIT
        and contains(_INFIX_NUMBER, code)
        and i + 1 < b
        and (behind & DIGIT or code_points[i + 1] == _MINUS)
    ):
        return 1
    if code == _DOT:
        return 1 if before & (LOWER | QUOTE) and behind & (UPPER | QUOTE) else 0
    if code == _COMMA:
        return 1 if before & ALPHA and behind & ALPHA else 0
    if flags[i] & HYPHEN and before & (ALPHA | DIGIT):
        end = i + 1
        repeats = code == _MINUS or code == _EM_DASH
        while end < b and code_points[end] == code and end - i < 3 and repeats:
            end += 1
        return end - i if end < b and flags[end] & ALPHA else 0
    between_words = before & (ALPHA | DIGIT) and behind & ALPHA
    return 1 if contains(_INFIX_WORD, code) and between_words else 0


@inline_kernel
def _append(first: int, end: int, starts: Int32s, ends: Int32s, count: int) -> int:
    """Append a token; returns how many there are then."""
    starts[count] = first
    ends[count] = end
    return count + 1


@compile_kernel
def _cut_inside(
    code_points: Int32s, flags: UInt16s, a: int, b: int, starts: Int32s, ends: Int32s, count: int
) -> int:
    """Cut the chunk of code points a to b at its infixes; returns the new number of tokens."""
    i = a + 1
    while i < b:
        size = _measure_infix(code_points, flags, i, b)
        if size:
            if i > a:
                count = _append(a, i, starts, ends, count)
            count = _append(i, i + size, starts, ends, count)
            a = i + size
            i = a + 1
        else:
            i += 1
    if a < b:
        count = _append(a, b, starts, ends, count)
    return count


@compile_kernel
def _cut_chunk(
    code_points: Int32s,
    flags: UInt16s,
    a: int,
    b: int,
    tables: TokenTables,
    starts: Int32s,
    ends: Int32s,
    suffix_starts: Int32s,
    count: int,
) -> int:
    """Cut the chunk of code points a to b; returns the new number of tokens.

    Marks are cut off both ends in turn, those at the beginning first, until neither end has one.
    Suffixes come from the end of the chunk, so their starts wait in `suffix_starts` and are
    written last.
    """
    suffixes = 0
    chunk_end = b
    while a < b:
        tail = _measure_special(code_points, flags, a, b, tables)
        prefix = _measure_prefix(code_points, flags, a, b) if tail < 0 else 0
        is_address = tail < 0 and _is_address(code_points, a, b)
        # A long run of dots at the end must not be walked once for every mark at the beginning.
        looks_at_end = tail < 0 and (is_address or not prefix)
        size = _measure_suffix(code_points, flags, a, b, tables.units) if looks_at_end else 0
        if tail >= 0 or (size == 0 and is_address):
            count = _append(a, b - max(0, tail), starts, ends, count)
            if tail > 0:
                count = _append(b - tail, b, starts, ends, count)
            a = b
            break
        if prefix:
            count = _append(a, a + prefix, starts, ends, count)
            a += prefix
        elif size and size < b - a:
            suffix_starts[suffixes] = b - size
            suffixes += 1
            b -= size
        else:
            break
    if a < b:
        if _is_address(code_points, a, b):
            count = _append(a, b, starts, ends, count)
        else:
            count = _cut_inside(code_points, flags, a, b, starts, ends, count)
    for i in range(suffixes - 1, -1, -1):
        suffix_end = suffix_starts[i - 1] if i else chunk_end
        count = _append(suffix_starts[i], suffix_end, starts, ends, count)
    return count


@compile_kernel
def read_code_points(
    data: Bytes, start: int, stop: int, table: UInt16s, code_points: Int32s, flags: UInt16s
) -> int:
    """Fill `code_points` and `flags` with the code points of data[start:stop] (UTF-8) and their
    flags; returns how many."""
    chars = 0
    position = start
    while position < stop:
        code, size = decode_point(data, position)
        code_points[chars] = code
        flags[chars] = table[code] if code < table.shape[0] else 0
        chars += 1
        position += size
    return chars


@inline_kernel
def _find_plain_end(flags: UInt16s, start: int, stop: int) -> int:
    """Where a run of letters, or of digits, that begins at `start` ends."""
    run_flags = flags[start] & (ALPHA | DIGIT) if start < stop else flags[0] & 0
    end = start
    while end < stop and flags[end] & run_flags and not flags[end] & ~_PLAIN:
        end += 1
    return end


@inline_kernel
def _is_simple(code_points: Int32s, first: int, word_start: int, end: int, stop: int) -> bool:
    """Whether a plain run, with a mark before it and behind it at most, has no cut but off those
    marks."""
    if word_start > first and _is_apostrophe(code_points[first]):
        return False
    if stop > end and _is_apostrophe(code_points[end]):
        return False
    # "cannot" is two tokens.
    is_cannot_size = end - word_start == _CANNOT_CHARS
    return not is_cannot_size or (code_points[word_start] | _TO_LOWER) != _LOWER_C


@inline_kernel
def _append_simple(
    first: int, word_start: int, end: int, stop: int, starts: Int32s, ends: Int32s, count: int
) -> int:
    """Append the mark before a plain run, the run, and the mark behind it; returns the new number
    of tokens."""
    if word_start > first:
        starts[count] = first
        ends[count] = word_start
        count += 1
    starts[count] = word_start
    ends[count] = end
    count += 1
    if stop > end:
        starts[count] = end
        ends[count] = stop
        count += 1
    return count


@compile_kernel
def split_tokens(
    code_points: Int32s,
    flags: UInt16s,
    chars: int,
    tables: TokenTables,
    starts: Int32s,
    ends: Int32s,
    suffix_starts: Int32s,
) -> int:
    """Split `chars` code points with their flags into tokens; returns how many.

    Fills `starts` and `ends` with positions among the code points; `suffix_starts` is only
    worked in. All three are as long as the text: no token is empty. Reference: spaCy's rules in
    `tests/pipelines/tokenizer/test_token_cuts.py`.
    """
    count = 0
    i = 0
    while i < chars:
        if flags[i] & SPACE:
            i += 1
            continue
        first = i
        if flags[i] & ALONE:
            i += 1
            while i < chars and flags[i] & MARK:
                i += 1
            starts[count] = first
            ends[count] = i
            count += 1
            continue
        # Most chunks are one plain word with at most one mark on each side: they need none of the
        # rules.
        word_start = first + ((flags[first] & PREFIX) != 0)
        end = _find_plain_end(flags, word_start, chars)
        i = end + (end < chars and (flags[end] & SUFFIX) != 0)
        if (
            end > word_start
            and (i == chars or flags[i] & (SPACE | ALONE))
            and _is_simple(code_points, first, word_start, end, i)
        ):
            count = _append_simple(first, word_start, end, i, starts, ends, count)
            continue
        while i < chars and not flags[i] & (SPACE | ALONE):
            i += 1
        count = _cut_chunk(code_points, flags, first, i, tables, starts, ends, suffix_starts, count)
    return count


@compile_kernel
def describe_tokens(
    code_points: Int32s,
    flags: UInt16s,
    starts: Int32s,
    ends: Int32s,
    count: int,
    lengths: Int32s,
    hashes: UInt64s,
    letters: Bools,
    symbols: Bools,
) -> None:
    """Fill in for every token: its characters, its hash, whether one is alphabetic, whether all are
    symbols."""
    for i in range(count):
        has_letter = False
        is_symbol = True
        for position in range(starts[i], ends[i]):
            has_letter |= (flags[position] & ALPHA) != 0
            is_symbol &= (flags[position] & SYMBOL) != 0
        lengths[i] = ends[i] - starts[i]
        letters[i] = has_letter
        symbols[i] = is_symbol
        hashes[i] = hash_word(code_points[starts[i] : ends[i]])


@lru_cache(maxsize=1)
def build_token_tables() -> TokenTables:
    """The tables of spaCy's English rules."""
    tails = list_contractions()
    # By hash, since the kernel looks them up by binary search.
    ordered = sorted(tails, key=hash_token)
    return TokenTables(
        flags=build_flag_table(),
        lower=build_lower_table(),
        abbreviations=hash_tokens(ABBREVIATIONS),
        contractions=np.array([hash_token(word) for word in ordered], np.uint64),
        contraction_tails=np.array([tails[word] for word in ordered], np.int64),
        units=hash_tokens(UNITS),
    )


def hash_token(token: str) -> int:
    """The hash that `describe` gives a token of these characters."""
    return int(hash_word(np.array([ord(char) for char in token], np.int32)))


def hash_tokens(tokens: list[str]) -> UInt64s:
    """uint64, sorted: the hashes of `tokens`."""
    return np.sort(np.array([hash_token(token) for token in tokens], np.uint64))
