"""Repeated n-grams, lines and paragraphs inside one document: the counts behind Gopher's repetition rules.

Rae et al. 2021 (arXiv 2112.11446), table A1, in the reading of datatrove's `gopher_repetition_filter`: the top n-gram
counts its own characters times its occurrences; a duplicated n-gram found again is skipped over as a whole.

An n-gram can only repeat where both its (n-1)-grams do. So each n looks at the places that the one before left over:
in most documents all but a few are gone after n = 2, and nine counts cost little more than one.
"""

import numpy as np
from numba import njit, uint64

FIRST_TOP, FIRST_REPEATED, LAST_REPEATED = 2, 5, 10
"""The most frequent n-gram counts for n from 2, all that occurred before for n from 5 to 10."""

_STEP = np.uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True, inline="always")
def table_size(items):  # type: ignore[no-untyped-def]
    """The size of a table at most half full with `items` places: a power of two."""
    size = 16
    while size < 2 * items:
        size *= 2
    return size


@njit(nogil=True, cache=True)
def first_equals(keys, count, table, firsts):  # type: ignore[no-untyped-def]
    """Fill firsts[k] with the place of the first of `count` keys (uint64, well mixed) that equals keys[k].

    `table` (int32, `table_size(count)` or more) is room to work in: open addressing, a place + 1, or 0 where free.
    """
    mask = table_size(count) - 1
    table[: mask + 1] = 0
    for k in range(count):
        at = np.int64(keys[k] & uint64(mask))
        while table[at] != 0 and keys[table[at] - 1] != keys[k]:
            at = (at + 1) & mask
        if table[at] == 0:
            table[at] = k + 1
        firsts[k] = table[at] - 1


@njit(nogil=True, cache=True)
def repeated_spans(keys, chars, count, table, firsts):  # type: ignore[no-untyped-def]
    """How many of `count` spans (lines or paragraphs) occurred before, and how many characters they hold."""
    first_equals(keys, count, table, firsts)
    spans, total = 0, 0
    for k in range(count):
        if firsts[k] != k:
            spans += 1
            total += chars[k]
    return spans, total


@njit(nogil=True, cache=True)
def _keep_repeated(keys, places, count, hashes, n, firsts, numbers):  # type: ignore[no-untyped-def]
    """Leave the places where an n-gram may repeat: those where both its (n-1)-grams do; returns how many.

    Extends their keys by one token. The number of each (n-1)-gram stands at its first place.
    """
    kept = 0
    for k in range(count - 1):
        together = places[k + 1] == places[k] + 1
        if together and numbers[firsts[k]] != 1 and numbers[firsts[k + 1]] != 1:
            places[kept] = places[k]
            keys[kept] = keys[k] * _STEP + hashes[places[k] + n - 1]
            kept += 1
    return kept


@njit(nogil=True, cache=True)
def _count(firsts, count, numbers):  # type: ignore[no-untyped-def]
    for k in range(count):
        if firsts[k] == k:
            numbers[k] = 1
        else:
            numbers[firsts[k]] += 1


@njit(nogil=True, cache=True)
def _top_chars(places, count, lengths, n, firsts, numbers):  # type: ignore[no-untyped-def]
    """Characters (with one space between tokens) of the most frequent n-gram times its occurrences; 0 if none repeats."""
    best, best_at = 1, -1
    for k in range(count):
        if firsts[k] == k and numbers[k] > best:
            best, best_at = numbers[k], places[k]
    if best_at < 0:
        return 0
    chars = n - 1
    for i in range(best_at, best_at + n):
        chars += lengths[i]
    return chars * best


@njit(nogil=True, cache=True)
def _repeated_chars(places, count, lengths, n, firsts, numbers):  # type: ignore[no-untyped-def]
    """Characters in n-grams that occurred before, each character counted once; numbers of those met become negative."""
    chars, free = 0, 0
    for k in range(count):
        if places[k] < free or numbers[firsts[k]] == 1:
            continue
        if numbers[firsts[k]] > 0:
            numbers[firsts[k]] = -numbers[firsts[k]]
            continue
        free = places[k] + n
        for i in range(places[k], free):
            chars += lengths[i]
    return chars


@njit(nogil=True, cache=True)
def ngram_chars(hashes, lengths, count, keys, places, firsts, numbers, table, chars):  # type: ignore[no-untyped-def]
    """Fill chars[n - FIRST_TOP] for every n; `hashes` and `lengths` are those of `count` tokens.

    `keys` (uint64), `places`, `firsts` and `numbers` (int32), `count` long, and `table` are room to work in.
    """
    held = max(0, count - 1)
    for i in range(held):
        places[i] = i
        keys[i] = hashes[i] * _STEP + hashes[i + 1]
    for n in range(FIRST_TOP, LAST_REPEATED + 1):
        if n > FIRST_TOP:
            held = _keep_repeated(keys, places, held, hashes, n, firsts, numbers)
        first_equals(keys, held, table, firsts)
        _count(firsts, held, numbers)
        if n < FIRST_REPEATED:
            chars[n - FIRST_TOP] = _top_chars(places, held, lengths, n, firsts, numbers)
        else:
            chars[n - FIRST_TOP] = _repeated_chars(places, held, lengths, n, firsts, numbers)
