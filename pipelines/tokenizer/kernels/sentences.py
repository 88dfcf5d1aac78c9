"""Where sentences start in an encoded text, as tokens: for objectives that need segments (NSP, SOP).

A sentence ends at `.`, `!` or `?`, closing quotes and a space; at `。`, `！` or `？` with a closing quote; at line breaks.
"""

import numpy as np
from numba import njit

from pipelines.kernels.words import decode_point

_LINE, _SPACE = 0x0A, 0x20
_ENDS = (0x2E, 0x21, 0x3F)
_CLOSERS = (0x22, 0x27, 0x29, 0x5D)
_ESCAPED_BYTES = 3
_WIDE_ENDS = (0x3002, 0xFF01, 0xFF1F)
_WIDE_CLOSERS = (0x201D, 0x300D, 0x2019)
_MAY_END = np.zeros(256, np.bool_)
_MAY_END[[_LINE, *_ENDS, 0xE3, 0xEF]] = True
"""Bytes that may end a sentence, or begin the character that does: most are passed over by this alone."""


@njit(nogil=True, cache=True, inline="always")
def _space_at(text, at, stop):  # type: ignore[no-untyped-def]
    """Bytes of the space at a place, also where it is written `▁`; 0 where there is none."""
    if at < stop and text[at] == _SPACE:
        return 1
    if at + 2 < stop and text[at] == 0xE2 and text[at + 1] == 0x96 and text[at + 2] == 0x81:
        return _ESCAPED_BYTES
    return 0


@njit(nogil=True, cache=True, inline="always")
def _after(text, at, stop, some):  # type: ignore[no-untyped-def]
    """The first place from `at` on that holds none of these bytes."""
    while at < stop and text[at] in some:
        at += 1
    return at


@njit(nogil=True, cache=True)
def _after_narrow_end(text, at, stop):  # type: ignore[no-untyped-def]
    """Where the sentence behind the `.`, `!` or `?` at `at` starts, and where to look on; the former is 0 where none does."""
    end = _after(text, at, stop, _ENDS)
    start = _after(text, end, stop, _CLOSERS)
    first, size = start, _space_at(text, start, stop)
    while size:
        start += size
        size = _space_at(text, start, stop)
    return (start if start > first else 0), end


@njit(nogil=True, cache=True)
def _after_wide_end(text, at, stop):  # type: ignore[no-untyped-def]
    """As `_after_narrow_end`, for the character of three bytes at `at`, which may be none that ends a sentence."""
    code, size = decode_point(text, at)
    at += size
    if code not in _WIDE_ENDS:
        return 0, at
    if at < stop and text[at] >= 0xE2:
        code, size = decode_point(text, at)
        at += size if code in _WIDE_CLOSERS else 0
    return at, at


@njit(nogil=True, cache=True)
def find_next_sentence(text, at, stop):  # type: ignore[no-untyped-def]
    """Where the first sentence behind `at` starts in the UTF-8 bytes `text[:stop]`; `stop` where none does."""
    while True:
        while at < stop and not _MAY_END[text[at]]:
            at += 1
        if at >= stop:
            return stop
        if text[at] == _LINE:
            return _after(text, at, stop, (_LINE,))
        if text[at] < 0x80:
            start, at = _after_narrow_end(text, at, stop)
        else:
            start, at = _after_wide_end(text, at, stop)
        if start:
            return start


@njit(nogil=True, cache=True, inline="always")
def _token_end(text, at, characters):  # type: ignore[no-untyped-def]
    """Where a token of so many characters that begins at `at` ends; one of none is a single byte."""
    if characters == 0:
        return at + 1
    for _ in range(characters):
        byte = text[at]
        at += 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
    return at


@njit(nogil=True, cache=True)
def locate_token_ends(text, stop, ids, begin, end, sizes, places):  # type: ignore[no-untyped-def]
    """Fill in where each of the tokens `ids[begin:end]` of `text[:stop]` ends; returns False where that is not known.

    `sizes` (2, vocabulary) are every piece's characters (0 of a byte, -1 of the unknown one) and its bytes with a space for
    `▁`. Where bytes do not add up to the text, in which then somebody wrote a `▁`, characters are counted.
    """
    at = 0
    for token in range(begin, end):
        at += sizes[1, ids[token]]
        places[token - begin] = at
    if at == stop:
        return True
    at = 0
    for token in range(begin, end):
        characters = sizes[0, ids[token]]
        if characters < 0:
            return False
        at = _token_end(text, at, characters)
        places[token - begin] = at
    return True


@njit(nogil=True, cache=True)
def mark_sentences(text, first, stop, ids, begin, end, sizes, places, starts, count):  # type: ignore[no-untyped-def]
    """Append the places in `ids[begin:end]` where sentences of `text[first:stop]` start; returns how many there are then.

    A sentence starts with the token that holds the space before it, or else its first byte; where that token ends the sentence
    before with this space (a model that puts spaces behind words), with the next one. The first is 0, and the only
    one where the text has an unknown character that is not spelled in bytes. `places` is room for every token.
    """
    if begin == end:
        return count
    starts[count] = 0
    count += 1
    start = find_next_sentence(text, first, stop)
    if start == stop or not locate_token_ends(text, stop, ids, begin, end, sizes, places):
        return count
    token = 0
    while start < stop:
        wanted = start - _space_before(text, start)
        while places[token] <= wanted:
            token += 1
        begin_of = places[token - 1] if token else 0
        if places[token] == start and begin_of < wanted and not _space_at(text, begin_of, stop):
            token += 1
        if token > starts[count - 1]:
            starts[count] = token
            count += 1
        start = find_next_sentence(text, start, stop)
    return count


@njit(nogil=True, cache=True, inline="always")
def _space_before(text, at):  # type: ignore[no-untyped-def]
    """Bytes of the space that ends at a place."""
    if text[at - 1] == _SPACE:
        return 1
    if at >= _ESCAPED_BYTES and _space_at(text, at - _ESCAPED_BYTES, at) == _ESCAPED_BYTES:
        return _ESCAPED_BYTES
    return 0
