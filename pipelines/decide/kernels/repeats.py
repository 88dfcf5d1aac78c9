"""Where text repeats: the spans of lines, hashes of paragraphs and of runs of words, and which bytes are cut.

Lines are those of kernels.line_hashes, one to one; words those of kernels.words. Fingerprints are winnowing's (Schleimer,
Wilkerson and Aiken 2003, "Winnowing: local algorithms for document fingerprinting"): of every `w` neighbouring hashes of
`k` words the smallest, the rightmost of equals. A run of `t = k + w - 1` words is one such window, so wherever it occurs it
selects the same fingerprint at the same place within it.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pipelines.kernels.line_hashes import NEWLINE
from pipelines.kernels.unicode import SPACE, build_class_table, build_lower_table
from pipelines.kernels.words import decode_point, mix64, split_words

UNCUT, LINE, PARAGRAPH, SPAN = range(4)
"""What a byte is: it stays, or goes with a repeated line, a repeated paragraph or a repeated run of words."""

FACTOR = np.uint64(0x9E3779B97F4A7C15)
_OF_PARAGRAPHS, _OF_RUNS = np.uint64(0x70617261), np.uint64(0x72756E73)


class LineSpans(NamedTuple):
    """The lines of a batch that are not blank."""

    starts: np.ndarray
    """int64 (m,): where each begins in the data."""
    ends: np.ndarray
    """int64 (m,): where each ends, without its line break."""
    opens: np.ndarray
    """bool (m,): whether a blank line, or the border of the text, stands before it."""
    cuts: np.ndarray
    """int64 (n + 1): document i has the lines cuts[i] to cuts[i + 1]."""


class Fingerprints(NamedTuple):
    """The fingerprints that winnowing selects in a batch."""

    values: np.ndarray
    """uint64 (m,), below 2 ** 63."""
    firsts: np.ndarray
    """int64 (m,): the first word, in its document, of the first run that selects it; the next one's ends its runs."""
    cuts: np.ndarray
    """int64 (n + 1): document i has the fingerprints cuts[i] to cuts[i + 1]."""
    words: np.ndarray
    """int64 (n,): the words of each document."""


@njit(nogil=True, cache=True)
def _is_blank(data, at, stop, classes):  # type: ignore[no-untyped-def]
    """Whether the line that begins at `at` is white space up to its break, and the place up to which that is known."""
    while at < stop and data[at] != NEWLINE:
        code, size = decode_point(data, at)
        if code >= classes.shape[0] or classes[code] != SPACE:
            return False, at
        at += size
    return True, at


@njit(nogil=True, cache=True)
def _line_spans(data, offsets, classes, starts, ends, opens, cuts):  # type: ignore[no-untyped-def]
    count = 0
    for d in range(offsets.shape[0] - 1):
        start, stop, fresh = offsets[d], offsets[d + 1], True
        while start < stop:
            blank, at = _is_blank(data, start, stop, classes)
            if not blank:
                while at < stop and data[at] != NEWLINE:
                    at += 1
                starts[count], ends[count], opens[count] = start, at, fresh
                count += 1
            fresh = blank
            start = at + 1
        cuts[d + 1] = count


def locate_lines(data: np.ndarray, offsets: np.ndarray) -> LineSpans:
    """The lines that are not blank of documents in UTF-8 `data` (uint8), cut by `offsets` (n + 1)."""
    edges = np.asarray(offsets, np.int64)
    room = int(np.count_nonzero(data[edges[0] : edges[-1]] == NEWLINE)) + len(edges) - 1
    starts, ends, opens = (
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.bool_),
    )
    cuts = np.zeros(len(edges), np.int64)
    _line_spans(data, edges, build_class_table(), starts, ends, opens, cuts)
    return LineSpans(starts[: cuts[-1]], ends[: cuts[-1]], opens[: cuts[-1]], cuts)


@njit(nogil=True, cache=True)
def _paragraph_hashes(hashes, firsts, ends, out):  # type: ignore[no-untyped-def]
    for p in range(firsts.shape[0]):
        h = _OF_PARAGRAPHS
        for i in range(firsts[p], ends[p]):
            h = mix64(h * FACTOR + hashes[i])
        out[p] = h


def hash_paragraphs(
    hashes: np.ndarray, opens: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paragraphs of two lines and more: uint64 hashes over those of their lines, int64 first lines and ends (p,)."""
    firsts = np.flatnonzero(opens)
    ends = np.r_[firsts[1:], len(opens)].astype(np.int64)[: len(firsts)]
    several = ends - firsts > 1
    firsts, ends, out = firsts[several], ends[several], np.empty(int(several.sum()), np.uint64)
    _paragraph_hashes(hashes, firsts, ends, out)
    return out, firsts, ends


@njit(nogil=True, cache=True)
def _gram_hashes(words, count, size, out):  # type: ignore[no-untyped-def]
    """Fill `out` with a rolling hash (Karp and Rabin 1987, mod 2 ** 64) of all `size` neighbouring words; how many."""
    if count < size:
        return 0
    h, power = uint64(0), uint64(1)
    for i in range(size):
        h = h * FACTOR + words[i]
        power *= FACTOR
    out[0] = mix64(h)
    for i in range(size, count):
        h = h * FACTOR + words[i] - power * words[i - size]
        out[i - size + 1] = mix64(h)
    return count - size + 1


@njit(nogil=True, cache=True)
def _winnow(grams, count, window, values, firsts, at):  # type: ignore[no-untyped-def]
    """Write the fingerprints of a document from place `at` on; returns where they end."""
    best = -1
    for first in range(count - window + 1):
        last = first + window - 1
        if best < first:
            best = first
            for i in range(first + 1, last + 1):
                if grams[i] <= grams[best]:
                    best = i
        elif grams[last] <= grams[best]:
            best = last
        else:
            continue
        values[at], firsts[at] = grams[best] >> uint64(1), first
        at += 1
    return at


@njit(nogil=True, cache=True)
def _fingerprints(data, offsets, classes, lower, span, values, firsts, cuts, counts):  # type: ignore[no-untyped-def]
    size = span // 2 + 1
    room = 2
    for d in range(offsets.shape[0] - 1):
        room = max(room, (offsets[d + 1] - offsets[d]) // 2 + 2)
    starts, ends, lengths = (
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int32),
    )
    hashes, letters, grams = (
        np.empty(room, np.uint64),
        np.empty(room, np.bool_),
        np.empty(room, np.uint64),
    )
    for d in range(offsets.shape[0] - 1):
        words, _ = split_words(
            data, offsets[d], offsets[d + 1], classes, lower, starts, ends, lengths, hashes, letters
        )
        found = _gram_hashes(hashes, words, size, grams)
        cuts[d + 1] = _winnow(grams, found, span - size + 1, values, firsts, cuts[d])
        counts[d] = words


def select_fingerprints(data: np.ndarray, offsets: np.ndarray, span: int) -> Fingerprints:
    """What winnowing selects for runs of `span` words, at least 4, in documents in UTF-8 `data` cut by `offsets` (n + 1)."""
    edges = np.asarray(offsets, np.int64)
    documents = len(edges) - 1
    room = int(edges[-1] - edges[0]) // 2 + documents
    values, firsts = np.empty(room, np.uint64), np.empty(room, np.int64)
    cuts, counts = np.zeros(documents + 1, np.int64), np.zeros(documents, np.int64)
    _fingerprints(
        data, edges, build_class_table(), build_lower_table(), span, values, firsts, cuts, counts
    )
    return Fingerprints(values[: cuts[-1]], firsts[: cuts[-1]], cuts, counts)


@njit(nogil=True, cache=True)
def _run_hashes(words, count, span, level, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the hash of every run of `span` words, made of hashes of 1, 2, 4... words, which `level` holds."""
    runs = count - span + 1
    level[:count] = words[:count]
    out[:runs] = _OF_RUNS
    covered, size, rest = 0, 1, span
    while rest:
        if rest & 1:
            for i in range(runs):
                out[i] = mix64(out[i] * FACTOR + level[i + covered])
            covered += size
        for i in range(count - 2 * size + 1):
            level[i] = mix64(level[i] * FACTOR + level[i + size])
        rest >>= 1
        size *= 2


@njit(nogil=True, cache=True)
def _chosen_runs(
    data, offsets, classes, lower, span, firsts, cuts, chosen, values, documents, places
):  # type: ignore[no-untyped-def]
    room, count = 2, 0
    for d in range(offsets.shape[0] - 1):
        room = max(room, (offsets[d + 1] - offsets[d]) // 2 + 2)
    starts, ends, lengths = (
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int32),
    )
    hashes, letters = np.empty(room, np.uint64), np.empty(room, np.bool_)
    level, runs = np.empty(room, np.uint64), np.empty(room, np.uint64)
    for d in range(offsets.shape[0] - 1):
        if not chosen[cuts[d] : cuts[d + 1]].any():
            continue
        words, _ = split_words(
            data, offsets[d], offsets[d + 1], classes, lower, starts, ends, lengths, hashes, letters
        )
        _run_hashes(hashes, words, span, level, runs)
        for s in range(cuts[d], cuts[d + 1]):
            end = firsts[s + 1] if s + 1 < cuts[d + 1] else words - span + 1
            for i in range(firsts[s], end if chosen[s] else firsts[s]):
                values[count], documents[count], places[count] = runs[i] >> uint64(1), d, i
                count += 1


def collect_runs(
    data: np.ndarray, offsets: np.ndarray, span: int, found: Fingerprints, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The runs of `span` words that selected a chosen fingerprint; `found` are those of the batch, `chosen` bool (m,).

    Hashes uint64 (r,) below 2 ** 63; number of the document in the batch and of the run's first word, int64 (r,).
    """
    ends = np.r_[found.firsts[1:], 0][: len(chosen)]
    last = found.cuts[1:][np.diff(found.cuts) > 0] - 1
    ends[last] = found.words[np.diff(found.cuts) > 0] - span + 1
    room = int((ends - found.firsts)[chosen].sum())
    values, documents, places = (
        np.empty(room, np.uint64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
    )
    edges, tables = np.asarray(offsets, np.int64), (build_class_table(), build_lower_table())
    _chosen_runs(
        data, edges, *tables, span, found.firsts, found.cuts, chosen, values, documents, places
    )
    return values, documents, places


@njit(nogil=True, cache=True)
def _mark_emptied(line_starts, line_ends, reasons, first, stop, starts, words, labels, base):  # type: ignore[no-untyped-def]
    """Give SPAN as reason to lines that lost their last word, and to lines without words within what was cut."""
    word = 0
    for line in range(first, stop):
        had, left = False, False
        while word < words and starts[word] < line_ends[line]:
            had, left = True, left or labels[starts[word] - base] == UNCUT
            word += 1
        within = had or labels[line_starts[line] - base] == SPAN
        if reasons[line] == UNCUT and within and not left:
            reasons[line] = SPAN


@njit(nogil=True, cache=True)
def _breaks(data, start, stop):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(start, stop):
        count += data[i] == NEWLINE
    return count


@njit(nogil=True, cache=True)
def _bounds(data, start, stop, line_starts, line_ends, first, end, i, j, labels, base):  # type: ignore[no-untyped-def]
    """The bytes that go with the lines i to j - 1: theirs, and the white space on one side of them.

    White space beside what else is cut goes; of two the wider stays, so that a paragraph's border never gets lost.
    """
    if i == first:
        return (start, stop) if j == end else (line_starts[i], line_starts[j])
    if j == end:
        return line_ends[i - 1], line_ends[j - 1]
    before, after = (
        labels[line_ends[i - 1] - base] != UNCUT,
        labels[line_ends[j - 1] - base] != UNCUT,
    )
    wider = _breaks(data, line_ends[j - 1], line_starts[j]) > _breaks(
        data, line_ends[i - 1], line_starts[i]
    )
    if before or (wider and not after):
        return line_ends[i - 1], line_ends[j - 1]
    return line_starts[i], line_starts[j]


@njit(nogil=True, cache=True)
def _label_lines(data, start, stop, line_starts, line_ends, reasons, first, end, labels, base):  # type: ignore[no-untyped-def]
    """Label the bytes of all lines first to end - 1 that have a reason, neighbours together."""
    i = first
    while i < end:
        j = i
        while j < end and reasons[j] != UNCUT:
            j += 1
        if j > i:
            at, last = _bounds(
                data, start, stop, line_starts, line_ends, first, end, i, j, labels, base
            )
            for line in range(i, j):
                to = line_starts[line + 1] if line + 1 < j else last
                labels[at - base : to - base] = reasons[line]
                at = to
        i = j + 1


@njit(nogil=True, cache=True)
def _labels(
    data,
    offsets,
    classes,
    lower,
    line_starts,
    line_ends,
    line_cuts,
    reasons,
    runs,
    run_cuts,
    labels,
):  # type: ignore[no-untyped-def]
    base, room = offsets[0], 2
    for d in range(offsets.shape[0] - 1):
        if run_cuts[d] < run_cuts[d + 1]:
            room = max(room, (offsets[d + 1] - offsets[d]) // 2 + 2)
    starts, ends, lengths = (
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int32),
    )
    hashes, letters = np.empty(room, np.uint64), np.empty(room, np.bool_)
    for d in range(offsets.shape[0] - 1):
        start, stop, first, end = offsets[d], offsets[d + 1], line_cuts[d], line_cuts[d + 1]
        if run_cuts[d] < run_cuts[d + 1]:
            words, _ = split_words(
                data, start, stop, classes, lower, starts, ends, lengths, hashes, letters
            )
            for r in range(run_cuts[d], run_cuts[d + 1]):
                if runs[r, 1] > words:
                    raise ValueError("a repeated run ends behind the last word of its document")
                labels[starts[runs[r, 0]] - base : ends[runs[r, 1] - 1] - base] = SPAN
            _mark_emptied(line_starts, line_ends, reasons, first, end, starts, words, labels, base)
        _label_lines(data, start, stop, line_starts, line_ends, reasons, first, end, labels, base)


def label_bytes(
    data: np.ndarray,
    offsets: np.ndarray,
    lines: LineSpans,
    reasons: np.ndarray,
    runs: np.ndarray,
    run_cuts: np.ndarray,
) -> np.ndarray:
    """uint8 (bytes of the batch): why each byte is cut, or WHOLE.

    `reasons` uint8 (lines,): LINE or PARAGRAPH where a line goes as such, else WHOLE. `runs` int64 (r, 2): first word and
    end of what repeats, disjoint; document i has the runs run_cuts[i] to run_cuts[i + 1]. A line of which no word
    is left goes whole. Lines that go take the white space to one side of them along: the wider stays, none at the borders
    of the text. Each label begins and ends at a border of a word or a line, so no character is split.
    """
    edges = np.asarray(offsets, np.int64)
    labels = np.zeros(int(edges[-1] - edges[0]), np.uint8)
    tables = (build_class_table(), build_lower_table())
    _labels(
        data,
        edges,
        *tables,
        lines.starts,
        lines.ends,
        lines.cuts,
        reasons.copy(),
        runs,
        run_cuts,
        labels,
    )
    return labels
