"""Where sentences start in an encoded text, as tokens: for objectives that need segments (NSP,
SOP).

A sentence ends at `.`, `!` or `?`, closing quotes and a space; at `。`, `！` or `？` with a closing
quote; at line breaks.
"""

import numpy as np

from pipelines.kernels.arrays import Bytes, Int32s, UInt32s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import decode_point, measure_point

_NEWLINE, _SPACE = 0x0A, 0x20
_ENDS = (0x2E, 0x21, 0x3F)
_CLOSERS = (0x22, 0x27, 0x29, 0x5D)
_ESCAPED_BYTES = 3
_WIDE_ENDS = (0x3002, 0xFF01, 0xFF1F)
_WIDE_CLOSERS = (0x201D, 0x300D, 0x2019)
_MAY_END = np.zeros(256, np.bool_)
_MAY_END[[_NEWLINE, *_ENDS, 0xE3, 0xEF]] = True
"""Bytes that may end a sentence, or begin the character that does: most are passed over by this
alone."""


@inline_kernel
def _measure_space(text: Bytes, at: int, stop: int) -> int:
    """Bytes of the space at a byte, also where it is written `▁`; 0 where there is none."""
    if at < stop and text[at] == _SPACE:
        return 1
    if at + 2 < stop and text[at] == 0xE2 and text[at + 1] == 0x96 and text[at + 2] == 0x81:
        return _ESCAPED_BYTES
    return 0


@inline_kernel
def _skip_bytes(text: Bytes, at: int, stop: int, skipped: tuple[int, ...]) -> int:
    """The first byte from `at` on that holds none of these bytes."""
    while at < stop and text[at] in skipped:
        at += 1
    return at


@compile_kernel
def _follow_narrow_end(text: Bytes, at: int, stop: int) -> tuple[int, int]:
    """Where the sentence behind the `.`, `!` or `?` at `at` starts, and where to look on; the
    former is 0 where none does."""
    end = _skip_bytes(text, at, stop, _ENDS)
    start = _skip_bytes(text, end, stop, _CLOSERS)
    first = start
    size = _measure_space(text, start, stop)
    while size:
        start += size
        size = _measure_space(text, start, stop)
    return (start if start > first else 0), end


@compile_kernel
def _follow_wide_end(text: Bytes, at: int, stop: int) -> tuple[int, int]:
    """As `_follow_narrow_end`, for the character of three bytes at `at`, which may be none that
    ends a sentence."""
    code, size = decode_point(text, at)
    at += size
    if code not in _WIDE_ENDS:
        return 0, at
    if at < stop and text[at] >= 0xE2:
        code, size = decode_point(text, at)
        at += size if code in _WIDE_CLOSERS else 0
    return at, at


@compile_kernel
def find_next_sentence(text: Bytes, at: int, stop: int) -> int:
    """Where the first sentence behind `at` starts in the UTF-8 bytes `text[:stop]`; `stop` where
    none does."""
    while True:
        while at < stop and not _MAY_END[text[at]]:
            at += 1
        if at >= stop:
            return stop
        if text[at] == _NEWLINE:
            return _skip_bytes(text, at, stop, (_NEWLINE,))
        if text[at] < 0x80:
            start, at = _follow_narrow_end(text, at, stop)
        else:
            start, at = _follow_wide_end(text, at, stop)
        if start:
            return start


@inline_kernel
def _locate_token_end(text: Bytes, at: int, characters: int) -> int:
    """Where a token of so many characters that begins at `at` ends; a token of none is one byte."""
    if characters == 0:
        return at + 1
    for _ in range(characters):
        at += measure_point(text[at])
    return at


@compile_kernel
def locate_token_ends(
    text: Bytes, stop: int, ids: Int32s, begin: int, end: int, sizes: Int32s, token_stops: Int32s
) -> bool:
    """Fill in where each of the tokens `ids[begin:end]` of `text[:stop]` ends; returns False where
    that is not known.

    `sizes` (2, vocabulary) are every piece's characters (0 of a byte, -1 of the unknown one) and
    its bytes with a space for `▁`. Where bytes do not add up to the text, in which then somebody
    wrote a `▁`, characters are counted.
    """
    at = 0
    for token in range(begin, end):
        at += sizes[1, ids[token]]
        token_stops[token - begin] = at
    if at == stop:
        return True
    at = 0
    for token in range(begin, end):
        characters = sizes[0, ids[token]]
        if characters < 0:
            return False
        at = _locate_token_end(text, at, characters)
        token_stops[token - begin] = at
    return True


@compile_kernel
def mark_sentences(
    text: Bytes,
    first: int,
    stop: int,
    ids: Int32s,
    begin: int,
    end: int,
    sizes: Int32s,
    token_stops: Int32s,
    starts: UInt32s,
    count: int,
) -> int:
    """Append the tokens in `ids[begin:end]` at which sentences of `text[first:stop]` start; returns
    how many there are then.

    A sentence starts with the token that holds the space before it, or else its first byte;
    where that token ends the sentence before with this space (a model that puts spaces behind
    words), with the next one. The first is 0, and the only one where the text has an unknown
    character that is not spelled in bytes. `token_stops` has an entry for every token.
    """
    if begin == end:
        return count
    starts[count] = 0
    count += 1
    start = find_next_sentence(text, first, stop)
    if start == stop or not locate_token_ends(text, stop, ids, begin, end, sizes, token_stops):
        return count
    token = 0
    while start < stop:
        target = start - _measure_space_before(text, start)
        while token_stops[token] <= target:
            token += 1
        token_start = token_stops[token - 1] if token else 0
        if (
            token_stops[token] == start
            and token_start < target
            and not _measure_space(text, token_start, stop)
        ):
            token += 1
        if token > starts[count - 1]:
            starts[count] = token
            count += 1
        start = find_next_sentence(text, start, stop)
    return count


@inline_kernel
def _measure_space_before(text: Bytes, at: int) -> int:
    """Bytes of the space that ends at `at`."""
    if text[at - 1] == _SPACE:
        return 1
    if at >= _ESCAPED_BYTES and _measure_space(text, at - _ESCAPED_BYTES, at) == _ESCAPED_BYTES:
        return _ESCAPED_BYTES
    return 0
