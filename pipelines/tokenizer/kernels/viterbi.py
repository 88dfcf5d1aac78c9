"""The best way through one segment by a unigram model, in the very arithmetic of sentencepiece.

Kudo 2018, "Subword Regularization"; Viterbi's algorithm over a trie of pieces. sentencepiece
adds a piece's score to the sum reached so far in single precision and keeps the first of equals,
that with the longest last piece; here it is done in the same order with the same roundings.
"""

from typing import NamedTuple

import numpy as np
from numba import int64, uint64

from pipelines.kernels.arrays import Bytes, Float32s, Float64s, Int32s, Int64s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import decode_point
from pipelines.tokenizer.kernels.merges import (
    ESCAPED,
    HALF,
    LOWER_HALF,
    NO_VALUE,
    SPACE,
    look_up,
    spell_bytes,
)

_UNKNOWN = -1
"""In place of a piece: a character that is none."""
_INFINITE = 1e30
"""Larger than any sum; a true infinity would make a lead of nan."""
CODE_POINT_BITS = np.uint64(21)
RESET = np.float32(-100_000.0)
"""A sum below it is taken off all sums at hand, so that long texts keep some precision
(sentencepiece 0.2.2)."""


@inline_kernel
def _find_child(trie: UInt64s, node: np.uint64, character: int) -> np.uint64:
    """Child node << 32 | piece + 1 that a character leads to, or all ones."""
    return look_up(trie, (uint64(node) << CODE_POINT_BITS) | uint64(character))


@compile_kernel
def _read_code_points(
    text: Bytes, start: int, stop: int, code_points: Int64s, starts: Int64s
) -> int:
    """Fill in the characters and where they begin; returns how many."""
    count = 0
    at = start
    while at < stop:
        code, size = decode_point(text, at)
        code_points[count] = SPACE if code == ESCAPED else code
        starts[count] = at
        count += 1
        at += size
    starts[count] = stop
    return count


class UnigramModel(NamedTuple):
    """A unigram model as `pipelines.tokenizer.encoding_tables` makes it."""

    trie: UInt64s
    """(2 ** k, 2), see `merges.fill_table`: node << 21 | character -> child << 32 | piece + 1."""
    byte_ids: Int32s
    """(256,): the piece of every byte, -1 where there is none."""
    byte_fallback: bool
    scores: Float32s
    """(vocabulary,)"""
    unknown_score: np.float32
    unknown: int


class ViterbiWorkspace(NamedTuple):
    """Arrays for one segment, with an entry for each border between its characters."""

    code_points: Int64s
    starts: Int64s
    """The first byte of each character."""
    origins: Int32s
    """Where the last piece of the best way to a border begins; -1 where there is no way."""
    pieces: Int32s
    """Which piece that is, or _UNKNOWN."""
    path: Int32s
    best: Float32s
    """The sum of the best way in sentencepiece's arithmetic."""
    exact_best: Float64s
    exact_second: Float64s
    """The best and the second best sum in double precision, from zero."""


@inline_kernel
def _subtract(offset: np.float32, best: Float32s, origins: Int32s, first: int, last: int) -> None:
    """Take `offset` off the sums of all borders from `first` to `last` that a way leads to."""
    for border in range(first, max(first, last) + 1):
        if origins[border] >= 0:
            best[border] -= offset


@compile_kernel
def _fill_best(
    count: int,
    total: np.float32,
    model: UnigramModel,
    code_points: Int64s,
    best: Float32s,
    origins: Int32s,
    pieces: Int32s,
) -> None:
    """Fill in for every border the best sum (float32), where its last piece begins, and which piece
    that is."""
    trie = model.trie
    scores = model.scores
    unknown_score = model.unknown_score
    origins[1 : count + 1] = -1
    origins[0] = 0
    best[0] = total
    frontier = 0
    for i in range(count):
        if best[i] < RESET:
            _subtract(best[i], best, origins, i, frontier)
        node = uint64(0)
        has_single_piece = False
        so_far = best[i]
        for j in range(i, count):
            child = _find_child(trie, node, code_points[j])
            if child == NO_VALUE:
                break
            node = child >> HALF
            piece = int64(child & LOWER_HALF) - 1
            if piece < 0:
                continue
            has_single_piece |= j == i
            frontier = max(frontier, j + 1)
            # Single precision and `>`, not `>=`: of equals the longest last piece stays.
            score = np.float32(scores[piece] + so_far)
            if origins[j + 1] < 0 or score > best[j + 1]:
                best[j + 1] = score
                origins[j + 1] = i
                pieces[j + 1] = piece
        if not has_single_piece:
            frontier = max(frontier, i + 1)
            score = np.float32(unknown_score + so_far)
            if origins[i + 1] < 0 or score > best[i + 1]:
                best[i + 1] = score
                origins[i + 1] = i
                pieces[i + 1] = _UNKNOWN


@compile_kernel
def _fill_two_best(
    count: int,
    model: UnigramModel,
    code_points: Int64s,
    best: Float64s,
    second: Float64s,
    origins: Int32s,
    pieces: Int32s,
) -> bool:
    """As `_fill_best`, from zero in double precision, with the second best sum of every border.

    Returns False at an unknown character.
    """
    trie = model.trie
    scores = model.scores
    for i in range(count + 1):
        best[i] = -_INFINITE
        second[i] = -_INFINITE
        origins[i] = -1
    best[0] = 0.0
    for i in range(count):
        node = uint64(0)
        has_single_piece = False
        for j in range(i, count):
            child = _find_child(trie, node, code_points[j])
            if child == NO_VALUE:
                break
            node = child >> HALF
            piece = int64(child & LOWER_HALF) - 1
            if piece < 0:
                continue
            has_single_piece |= j == i
            score = best[i] + np.float64(scores[piece])
            if score > best[j + 1]:
                second[j + 1] = best[j + 1]
                best[j + 1] = score
                origins[j + 1] = i
                pieces[j + 1] = piece
            elif score > second[j + 1]:
                second[j + 1] = score
        if not has_single_piece:
            return False
    return True


@compile_kernel
def _emit_ids(
    text: Bytes,
    count: int,
    starts: Int64s,
    origins: Int32s,
    pieces: Int32s,
    path: Int32s,
    model: UnigramModel,
    out: Int32s,
    written: int,
) -> int:
    """Append the ids of the best way to the last border; returns how many."""
    steps = 0
    border = count
    while border > 0:
        path[steps] = border
        steps += 1
        border = origins[border]
    first = written
    for step in range(steps - 1, -1, -1):
        border = path[step]
        if pieces[border] != _UNKNOWN:
            out[written] = pieces[border]
            written += 1
        elif model.byte_fallback:
            start = starts[origins[border]]
            written = spell_bytes(text, start, starts[border], model.byte_ids, out, written)
        elif written == first or out[written - 1] != model.unknown:
            # sentencepiece writes a run of unknown characters as one.
            out[written] = model.unknown
            written += 1
    return written - first


@compile_kernel
def _measure_smallest_lead(count: int, best: Float64s, second: Float64s, origins: Int32s) -> float:
    """By how much the best way leads over every other, at the border where that is least."""
    lead = _INFINITE
    border = count
    while border > 0:
        lead = min(lead, best[border] - second[border])
        border = origins[border]
    return lead


@compile_kernel
def measure_lead(
    text: Bytes,
    start: int,
    stop: int,
    out: Int32s,
    written: int,
    model: UnigramModel,
    workspace: ViterbiWorkspace,
) -> tuple[float, float, int]:
    """Append the ids of a short segment by itself; returns its lead a character, its lowest sum and
    how many ids.

    With an unknown character the last is -1. The segment fits the workspace.
    """
    origins = workspace.origins
    pieces = workspace.pieces
    best = workspace.exact_best
    second = workspace.exact_second
    starts = workspace.starts
    count = _read_code_points(text, start, stop, workspace.code_points, starts)
    if not _fill_two_best(count, model, workspace.code_points, best, second, origins, pieces):
        return 0.0, 0.0, -1
    lead = _measure_smallest_lead(count, best, second, origins)
    lowest = best[:count].min()
    ids = _emit_ids(text, count, starts, origins, pieces, workspace.path, model, out, written)
    return lead / count, lowest, ids


@compile_kernel
def walk_segment(
    text: Bytes,
    start: int,
    stop: int,
    total: np.float32,
    out: Int32s,
    written: int,
    model: UnigramModel,
    workspace: ViterbiWorkspace,
) -> tuple[np.float32, int]:
    """Append the ids of `text[start:stop]` behind a text of score `total`; returns the score then,
    and how many ids.

    Long segments get memory of their own. Reference: sentencepiece itself in
    `tests/pipelines/tokenizer/test_encoder.py`.
    """
    code_points = workspace.code_points
    starts = workspace.starts
    origins = workspace.origins
    pieces = workspace.pieces
    path = workspace.path
    best = workspace.best
    if stop - start >= code_points.shape[0]:
        size = stop - start + 1
        code_points = np.empty(size, np.int64)
        starts = np.empty(size, np.int64)
        origins = np.empty(size, np.int32)
        pieces = np.empty(size, np.int32)
        path = np.empty(size, np.int32)
        best = np.empty(size, np.float32)
    count = _read_code_points(text, start, stop, code_points, starts)
    _fill_best(count, total, model, code_points, best, origins, pieces)
    return best[count], _emit_ids(text, count, starts, origins, pieces, path, model, out, written)
