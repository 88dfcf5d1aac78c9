"""Repeated n-grams, lines and paragraphs inside one document: the counts behind Gopher's repetition
rules.

Rae et al. 2021 (arXiv 2112.11446), table A1, in the reading of datatrove's
`gopher_repetition_filter`: the top n-gram counts its own characters times its occurrences; a
duplicated n-gram found again is skipped over as a whole.

An n-gram can only repeat where both its (n-1)-grams do. So each n looks at the positions that the
one before left over: in most documents all but a few are gone after n = 2, and nine counts cost
little more than one.
"""

import numpy as np
from numba import int64, uint64

from pipelines.kernels.arrays import Float64s, Int32s, Int64s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel

FIRST_TOP, FIRST_REPEATED, LAST_REPEATED = 2, 5, 10
"""The most frequent n-gram counts for n from 2, all that occurred before for n from 5 to 10."""

_STEP = np.uint64(0x9E3779B97F4A7C15)


@inline_kernel
def choose_table_size(items: int) -> int:
    """The size of a table at most half full with `items` entries: a power of two."""
    size = 16
    while size < 2 * items:
        size *= 2
    return size


@compile_kernel
def index_first_equals(keys: UInt64s, count: int, table: Int32s, firsts: Int32s) -> None:
    """Fill firsts[k] with the index of the first of `count` keys (uint64, well mixed) that equals
    keys[k].

    `table` (int32, `choose_table_size(count)` or more) is worked in: open addressing, an
    index + 1, or 0 where free.
    """
    # The table is at most half full, so every search ends at a free slot.
    mask = choose_table_size(count) - 1
    table[: mask + 1] = 0
    for k in range(count):
        slot = int64(keys[k] & uint64(mask))
        while table[slot] != 0 and keys[table[slot] - 1] != keys[k]:
            slot = (slot + 1) & mask
        if table[slot] == 0:
            table[slot] = k + 1
        firsts[k] = table[slot] - 1


@compile_kernel
def count_repeated_spans(
    keys: UInt64s, chars: Int64s, count: int, table: Int32s, firsts: Int32s
) -> tuple[int, int]:
    """How many of `count` spans (lines or paragraphs) occurred before, and how many characters they
    hold."""
    index_first_equals(keys, count, table, firsts)
    spans = 0
    total = 0
    for k in range(count):
        if firsts[k] != k:
            spans += 1
            total += chars[k]
    return spans, total


@compile_kernel
def _keep_repeatable(
    keys: UInt64s,
    positions: Int32s,
    count: int,
    hashes: UInt64s,
    n: int,
    firsts: Int32s,
    occurrences: Int32s,
) -> int:
    """Keep the positions where an n-gram may repeat: those where both its (n-1)-grams do; returns how
    many.

    Extends their keys by one token. The occurrences of each (n-1)-gram are counted at its first index.
    """
    remaining = 0
    for k in range(count - 1):
        is_adjacent = positions[k + 1] == positions[k] + 1
        if is_adjacent and occurrences[firsts[k]] != 1 and occurrences[firsts[k + 1]] != 1:
            positions[remaining] = positions[k]
            keys[remaining] = keys[k] * _STEP + hashes[positions[k] + n - 1]
            remaining += 1
    return remaining


@compile_kernel
def _count_occurrences(firsts: Int32s, count: int, occurrences: Int32s) -> None:
    for k in range(count):
        if firsts[k] == k:
            occurrences[k] = 1
        else:
            occurrences[firsts[k]] += 1


@compile_kernel
def _measure_top_ngram(
    positions: Int32s, count: int, lengths: Int32s, n: int, firsts: Int32s, occurrences: Int32s
) -> int:
    """Characters (with one space between tokens) of the most frequent n-gram times its occurrences;
    0 if none repeats."""
    best = 1
    best_at = -1
    for k in range(count):
        if firsts[k] == k and occurrences[k] > best:
            best = occurrences[k]
            best_at = positions[k]
    if best_at < 0:
        return 0
    chars = n - 1
    for i in range(best_at, best_at + n):
        chars += lengths[i]
    return chars * best


@compile_kernel
def _measure_repeated_ngrams(
    positions: Int32s, count: int, lengths: Int32s, n: int, firsts: Int32s, occurrences: Int32s
) -> int:
    """Characters in n-grams that occurred before, each character counted once; numbers of those met
    become negative."""
    chars = 0
    next_uncounted = 0
    for k in range(count):
        if positions[k] < next_uncounted or occurrences[firsts[k]] == 1:
            continue
        if occurrences[firsts[k]] > 0:
            occurrences[firsts[k]] = -occurrences[firsts[k]]
            continue
        next_uncounted = positions[k] + n
        for i in range(positions[k], next_uncounted):
            chars += lengths[i]
    return chars


@compile_kernel
def measure_ngrams(
    hashes: UInt64s,
    lengths: Int32s,
    count: int,
    keys: UInt64s,
    positions: Int32s,
    firsts: Int32s,
    occurrences: Int32s,
    table: Int32s,
    chars: Float64s,
) -> None:
    """Fill chars[n - FIRST_TOP] for every n; `hashes` and `lengths` are those of `count` tokens.

    `keys` (uint64), `positions`, `firsts` and `occurrences` (int32), `count` long, and `table`
    are only worked in.
    Reference: the plain counts in `tests/pipelines/annotate/test_quality.py`.
    """
    remaining = max(0, count - 1)
    for i in range(remaining):
        positions[i] = i
        keys[i] = hashes[i] * _STEP + hashes[i + 1]
    for n in range(FIRST_TOP, LAST_REPEATED + 1):
        if n > FIRST_TOP:
            remaining = _keep_repeatable(keys, positions, remaining, hashes, n, firsts, occurrences)
        index_first_equals(keys, remaining, table, firsts)
        _count_occurrences(firsts, remaining, occurrences)
        if n < FIRST_REPEATED:
            chars[n - FIRST_TOP] = _measure_top_ngram(
                positions, remaining, lengths, n, firsts, occurrences
            )
        else:
            chars[n - FIRST_TOP] = _measure_repeated_ngrams(
                positions, remaining, lengths, n, firsts, occurrences
            )
