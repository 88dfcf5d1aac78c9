"""Repeated n-grams, lines and paragraphs inside one document: the counts behind Gopher's repetition rules.

Rae et al. 2021 (arXiv 2112.11446), table A1, in the reading of datatrove's `gopher_repetition_filter`: the top n-gram
counts its own characters times its occurrences; a duplicated n-gram found again is skipped over as a whole.
"""

import numpy as np
from numba import njit, uint64

from pipelines.kernels.words import mix64


@njit(nogil=True, cache=True)
def _slot(table, mask, key):  # type: ignore[no-untyped-def]
    """The slot of `key` in an open-addressing table of uint64 keys, or the free slot for it (0 = free)."""
    at = np.int64(key & uint64(mask))
    while table[at] != uint64(0) and table[at] != key:
        at = (at + 1) & mask
    return at


@njit(nogil=True, cache=True)
def table_mask(items):  # type: ignore[no-untyped-def]
    """The mask of a table at most half full with `items` keys."""
    size = 16
    while size < 2 * items:
        size *= 2
    return size - 1


@njit(nogil=True, cache=True, inline="always")
def _ngram(hashes, at, n):  # type: ignore[no-untyped-def]
    h = uint64(n)
    for j in range(n):
        h = h * uint64(0x9E3779B97F4A7C15) + hashes[at + j]
    h = mix64(h)
    return h if h != uint64(0) else uint64(1)


@njit(nogil=True, cache=True)
def top_ngram_chars(hashes, lengths, count, n, table, number, first):  # type: ignore[no-untyped-def]
    """Characters (with one space between words) of the most frequent n-gram times its occurrences; 0 if none repeats."""
    grams = count - n + 1
    if grams < 1:
        return 0
    mask = table_mask(grams)
    table[: mask + 1] = 0
    best, best_at = 1, -1
    for i in range(grams):
        key = _ngram(hashes, i, n)
        slot = _slot(table, mask, key)
        if table[slot] == uint64(0):
            table[slot], number[slot], first[slot] = key, 1, i
        else:
            number[slot] += 1
            if number[slot] > best or (number[slot] == best and best > 1 and first[slot] < best_at):
                best, best_at = number[slot], first[slot]
    if best_at < 0:
        return 0
    chars = n - 1
    for j in range(n):
        chars += lengths[best_at + j]
    return chars * best


@njit(nogil=True, cache=True)
def repeated_ngram_chars(hashes, lengths, count, n, table):  # type: ignore[no-untyped-def]
    """Characters in n-grams that occurred before, each character counted once."""
    grams = count - n + 1
    if grams < 1:
        return 0
    mask = table_mask(grams)
    table[: mask + 1] = 0
    repeated = 0
    i = 0
    while i < grams:
        key = _ngram(hashes, i, n)
        slot = _slot(table, mask, key)
        if table[slot] == uint64(0):
            table[slot] = key
            i += 1
        else:
            for j in range(n):
                repeated += lengths[i + j]
            i += n
    return repeated


@njit(nogil=True, cache=True)
def repeated_spans(hashes, chars, count, table):  # type: ignore[no-untyped-def]
    """How many of `count` spans (lines or paragraphs) occurred before, and how many characters they hold."""
    mask = table_mask(count)
    table[: mask + 1] = 0
    spans, total = 0, 0
    for i in range(count):
        key = hashes[i] if hashes[i] != uint64(0) else uint64(1)
        slot = _slot(table, mask, key)
        if table[slot] == uint64(0):
            table[slot] = key
        else:
            spans += 1
            total += chars[i]
    return spans, total
