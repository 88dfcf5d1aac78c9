"""The best way through one segment by a unigram model, in the very arithmetic of sentencepiece.

Kudo 2018, "Subword Regularization"; Viterbi's algorithm over a trie of pieces. sentencepiece adds a piece's score to the
sum reached so far in single precision and keeps the first of equals, that with the longest last piece; here it is done in
the same order with the same roundings.
"""

import numpy as np
from numba import njit, uint64

from pipelines.kernels.words import decode_point
from pipelines.tokenizer.kernels.merges import ESCAPED, SPACE, look_up, spell_bytes

_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
_UNKNOWN = -1
_FAR = 1e30
RESET = np.float32(-100_000.0)
"""A sum below it is taken off all sums at hand, so that long texts keep some precision (sentencepiece 0.2.2)."""


@njit(nogil=True, cache=True, inline="always")
def _child(trie, node, point):  # type: ignore[no-untyped-def]
    """Child node << 32 | piece + 1 that a character leads to, or all ones."""
    return look_up(trie, (uint64(node) << uint64(21)) | uint64(point))


@njit(nogil=True, cache=True)
def _points(text, start, stop, points, begins):  # type: ignore[no-untyped-def]
    """Fill in the characters and where they begin; returns how many."""
    count, at = 0, start
    while at < stop:
        code, size = decode_point(text, at)
        points[count] = SPACE if code == ESCAPED else code
        begins[count] = at
        count += 1
        at += size
    begins[count] = stop
    return count


@njit(nogil=True, cache=True, inline="always")
def _take_off(offset, best, origins, first, last):  # type: ignore[no-untyped-def]
    for place in range(first, max(first, last) + 1):
        if origins[place] >= 0:
            best[place] -= offset


@njit(nogil=True, cache=True)
def _walk(count, total, model, points, best, origins, pieces):  # type: ignore[no-untyped-def]
    """Fill the best score of every place (float32), where its last piece begins, and which piece that is."""
    trie, scores, unknown_score = model[0], model[3], model[4]
    origins[1 : count + 1] = -1
    origins[0] = 0
    best[0] = total
    frontier = 0
    for i in range(count):
        if best[i] < RESET:
            _take_off(best[i], best, origins, i, frontier)
        node, alone, so_far = uint64(0), False, best[i]
        for j in range(i, count):
            found = _child(trie, node, points[j])
            if found == _NONE:
                break
            node = found >> uint64(32)
            piece = np.int64(found & uint64(0xFFFFFFFF)) - 1
            if piece < 0:
                continue
            alone |= j == i
            frontier = max(frontier, j + 1)
            score = np.float32(scores[piece] + so_far)
            if origins[j + 1] < 0 or score > best[j + 1]:
                best[j + 1], origins[j + 1], pieces[j + 1] = score, i, piece
        if not alone:
            frontier = max(frontier, i + 1)
            score = np.float32(unknown_score + so_far)
            if origins[i + 1] < 0 or score > best[i + 1]:
                best[i + 1], origins[i + 1], pieces[i + 1] = score, i, _UNKNOWN


@njit(nogil=True, cache=True)
def _lead(count, model, points, best, second, origins, pieces):  # type: ignore[no-untyped-def]
    """As `_walk`, from zero in double precision, with the second best score of every place; returns False at an unknown character."""
    trie, scores = model[0], model[3]
    for i in range(count + 1):
        best[i], second[i], origins[i] = -_FAR, -_FAR, -1
    best[0] = 0.0
    for i in range(count):
        node, alone = uint64(0), False
        for j in range(i, count):
            found = _child(trie, node, points[j])
            if found == _NONE:
                break
            node = found >> uint64(32)
            piece = np.int64(found & uint64(0xFFFFFFFF)) - 1
            if piece < 0:
                continue
            alone |= j == i
            score = best[i] + np.float64(scores[piece])
            if score > best[j + 1]:
                best[j + 1], second[j + 1], origins[j + 1], pieces[j + 1] = (
                    score,
                    best[j + 1],
                    i,
                    piece,
                )
            elif score > second[j + 1]:
                second[j + 1] = score
        if not alone:
            return False
    return True


@njit(nogil=True, cache=True)
def _emit(text, count, begins, origins, pieces, path, model, out, written):  # type: ignore[no-untyped-def]
    """Append the ids of the best way to the last place; returns how many."""
    byte_ids, byte_fallback, unknown = model[1], model[2], model[5]
    steps, at = 0, count
    while at > 0:
        path[steps] = at
        steps += 1
        at = origins[at]
    first = written
    for step in range(steps - 1, -1, -1):
        at = path[step]
        if pieces[at] != _UNKNOWN:
            out[written] = pieces[at]
            written += 1
        elif byte_fallback:
            written = spell_bytes(text, begins[origins[at]], begins[at], byte_ids, out, written)
        elif written == first or out[written - 1] != unknown:
            out[written] = unknown
            written += 1
    return written - first


@njit(nogil=True, cache=True)
def _smallest_lead(count, best, second, origins):  # type: ignore[no-untyped-def]
    """By how much the best way leads over every other, at the place where that is least."""
    lead, at = _FAR, count
    while at > 0:
        lead = min(lead, best[at] - second[at])
        at = origins[at]
    return lead


@njit(nogil=True, cache=True)
def measure_lead(text, start, stop, out, written, model, work):  # type: ignore[no-untyped-def]
    """Append the ids of a short segment taken alone; returns its lead a character, its lowest sum and how many ids, -1 with one unknown."""
    points, begins, origins, pieces, path, _, best, second = work
    count = _points(text, start, stop, points, begins)
    if not _lead(count, model, points, best, second, origins, pieces):
        return 0.0, 0.0, -1
    lead, lowest = _smallest_lead(count, best, second, origins), best[:count].min()
    return (
        lead / count,
        lowest,
        _emit(text, count, begins, origins, pieces, path, model, out, written),
    )


@njit(nogil=True, cache=True)
def walk_segment(text, start, stop, total, out, written, model, work):  # type: ignore[no-untyped-def]
    """Append the ids of `text[start:stop]` behind a text of score `total`; returns the score then, and how many ids."""
    points, begins, origins, pieces, path, best = (
        work[0],
        work[1],
        work[2],
        work[3],
        work[4],
        work[5],
    )
    if stop - start >= points.shape[0]:
        size = stop - start + 1
        points, begins = np.empty(size, np.int64), np.empty(size, np.int64)
        origins, pieces, path = (
            np.empty(size, np.int32),
            np.empty(size, np.int32),
            np.empty(size, np.int32),
        )
        best = np.empty(size, np.float32)
    count = _points(text, start, stop, points, begins)
    _walk(count, total, model, points, best, origins, pieces)
    return best[count], _emit(text, count, begins, origins, pieces, path, model, out, written)
