"""Split UTF-8 documents into words in one pass; every word gets its span, length and 64-bit hash.

In: the bytes of a batch and the tables of `pipelines.kernels.unicode`, which says what a word
is. Out: one entry for each word in arrays that the caller allocates. Reference:
`tests/pipelines/annotate/test_words.py`.
"""

# ruff: noqa: SIM109 - numba turns `in` with a tuple into a loop, comparisons into instructions

from typing import NamedTuple

import numpy as np
from numba import uint64

from pipelines.kernels.arrays import Bools, Bytes, Int32s, Int64s, Integers, UInt32s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.unicode import DIGIT, LETTER, MARK, OTHER, SINGLE

# The prime and the offset basis of FNV-1a with 64 bits (Fowler, Noll, Vo), here over code points
# instead of bytes.
PRIME = np.uint64(0x100000001B3)
BASIS = np.uint64(0xCBF29CE484222325)

APOSTROPHE = 0x27
RIGHT_QUOTE = 0x2019
"""The curly apostrophe, hashed as the straight one: most web text mixes both."""


class WordArrays(NamedTuple):
    """What is written for each word of a document, each array as long as the document may have
    words."""

    starts: Int64s
    """Its first byte."""
    ends: Int64s
    """Behind its last byte."""
    lengths: Int32s
    """Its code points."""
    hashes: UInt64s
    """The hash of its lower-case form."""
    letters: Bools
    """Whether it has a letter."""


@compile_kernel
def allocate_words(capacity: int) -> WordArrays:
    """Arrays for documents of up to `capacity` words."""
    return WordArrays(
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.uint64),
        np.empty(capacity, np.bool_),
    )


@compile_kernel
def measure_longest(offsets: Int64s) -> int:
    """Bytes of the longest of the documents that lie between `offsets` (n + 1)."""
    longest = 0
    for d in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    return longest


@inline_kernel
def mix64(digest: np.uint64) -> np.uint64:
    """MurmurHash3's 64-bit finalizer (Appleby, public domain): a bijection that spreads every bit."""
    digest ^= digest >> uint64(33)
    digest *= uint64(0xFF51AFD7ED558CCD)
    digest ^= digest >> uint64(33)
    digest *= uint64(0xC4CEB9FE1A85EC53)
    digest ^= digest >> uint64(33)
    return digest


@inline_kernel
def decode_point(data: Bytes, at: int) -> tuple[int, int]:
    """The code point at byte `at` of valid UTF-8, and its number of bytes (1 to 4).

    Nothing is checked: Arrow's string columns hold valid UTF-8 only.
    """
    first = data[at]
    if first < 0x80:
        return int(first), 1
    if first < 0xE0:
        return (int(first & 0x1F) << 6) | int(data[at + 1] & 0x3F), 2
    if first < 0xF0:
        top = (int(first & 0x0F) << 12) | (int(data[at + 1] & 0x3F) << 6)
        return top | int(data[at + 2] & 0x3F), 3
    high = (int(first & 0x07) << 18) | (int(data[at + 1] & 0x3F) << 12)
    return high | (int(data[at + 2] & 0x3F) << 6) | int(data[at + 3] & 0x3F), 4


@inline_kernel
def measure_point(first_byte: int) -> int:
    """Bytes of the code point that begins with this byte of valid UTF-8."""
    if first_byte < 0x80:
        return 1
    if first_byte < 0xE0:
        return 2
    return 3 if first_byte < 0xF0 else 4


@inline_kernel
def has_prefix(data: Bytes, at: int, stop: int, prefix: Bytes) -> bool:
    """Whether data[at:stop] begins with the bytes of `prefix`."""
    if stop - at < prefix.shape[0]:
        return False
    for i in range(prefix.shape[0]):  # noqa: SIM110 - numba compiles no generator here
        if data[at + i] != prefix[i]:
            return False
    return True


@compile_kernel
def split_words(
    data: Bytes,
    start: int,
    stop: int,
    classes: Bytes,
    lower: UInt32s,
    starts: Int64s,
    ends: Int64s,
    lengths: Int32s,
    hashes: UInt64s,
    letters: Bools,
) -> tuple[int, int]:
    """Split data[start:stop] into words; fills the five arrays of `WordArrays` and returns (words,
    code points).

    `classes` and `lower` are the tables of `pipelines.kernels.unicode`.
    """
    count = 0
    chars = 0
    inside = False
    digest = BASIS
    length = 0
    has_letter = False
    is_single = False
    at = start
    while at < stop:
        code, size = decode_point(data, at)
        word_class = OTHER
        if code < classes.shape[0]:
            word_class = classes[code]
        joins = inside and not is_single and (word_class in (LETTER, DIGIT))
        if inside and word_class == MARK:
            joins = True
        if (
            inside
            and not is_single
            and has_letter
            and (code == APOSTROPHE or code == RIGHT_QUOTE)
            and at + size < stop
        ):
            # An apostrophe belongs to the word only where a letter follows: "don't", but not "dogs'
            # ".
            next_point, _ = decode_point(data, at + size)
            joins = next_point < classes.shape[0] and classes[next_point] == LETTER
            word_class = OTHER
        if inside and not joins:
            ends[count] = at
            lengths[count] = length
            hashes[count] = mix64(digest)
            letters[count] = has_letter
            count += 1
            inside = False
        if not inside and (word_class in (LETTER, DIGIT, SINGLE)):
            inside = True
            is_single = word_class == SINGLE
            digest = BASIS
            length = 0
            has_letter = False
            starts[count] = at
        if inside:
            folded = uint64(code)
            if code < lower.shape[0]:
                folded = uint64(lower[code])
            if code == RIGHT_QUOTE:
                folded = uint64(APOSTROPHE)
            digest = (digest ^ folded) * PRIME
            length += 1
            if word_class in (LETTER, SINGLE):
                has_letter = True
        chars += 1
        at += size
    if inside:
        ends[count] = at
        lengths[count] = length
        hashes[count] = mix64(digest)
        letters[count] = has_letter
        count += 1
    return count, chars


@inline_kernel
def split_into(
    data: Bytes, start: int, stop: int, classes: Bytes, lower: UInt32s, words: WordArrays
) -> int:
    """As `split_words`, into `words`; returns how many words there are."""
    count, _ = split_words(
        data,
        start,
        stop,
        classes,
        lower,
        words.starts,
        words.ends,
        words.lengths,
        words.hashes,
        words.letters,
    )
    return count


@compile_kernel
def hash_word(code_points: Integers) -> np.uint64:
    """The hash that `split_words` gives a word of these (lower-case) code points."""
    digest = BASIS
    for i in range(code_points.shape[0]):
        digest = (digest ^ uint64(code_points[i])) * PRIME
    return mix64(digest)


@inline_kernel
def contains(codes: Integers, code: int | np.uint32) -> bool:
    """Whether a code point is one of a few."""
    for candidate in codes:  # noqa: SIM110 - numba compiles no generator here
        if candidate == code:
            return True
    return False
