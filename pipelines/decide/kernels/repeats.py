"""Where text repeats: the spans of lines, hashes of paragraphs and of runs of words, and which
bytes are cut.

Lines are those of kernels.line_hashes, one to one; words those of kernels.words. Fingerprints
are winnowing's (Schleimer, Wilkerson and Aiken 2003, "Winnowing: local algorithms for document
fingerprinting"): of every `w` neighbouring hashes of `k` words the smallest, the rightmost of
equals. A run of `t = k + w - 1` words is one such window, so wherever it occurs it selects the
same fingerprint at the same place within it.
"""

from typing import NamedTuple

import numpy as np
from numba import uint64

from pipelines.kernels.arrays import Bools, Bytes, Int64s, Integers, UInt32s, UInt64s
from pipelines.kernels.compile import compile_kernel
from pipelines.kernels.line_hashes import NEWLINE
from pipelines.kernels.unicode import SPACE, build_class_table, build_lower_table
from pipelines.kernels.words import allocate_words, decode_point, measure_longest, mix64, split_into

UNCUT, LINE, PARAGRAPH, SPAN = range(4)
"""What a byte is: it stays, or goes with a repeated line, a repeated paragraph or a repeated run of
words."""

FACTOR = np.uint64(0x9E3779B97F4A7C15)
_OF_PARAGRAPHS, _OF_RUNS = np.uint64(0x70617261), np.uint64(0x72756E73)


class LineSpans(NamedTuple):
    """The lines of a batch that are not blank."""

    starts: Int64s
    """int64 (m,): where each begins in the data."""
    ends: Int64s
    """int64 (m,): where each ends, without its line break."""
    opens: Bools
    """bool (m,): whether a blank line, or the border of the text, stands before it."""
    cuts: Int64s
    """int64 (n + 1): document i has the lines cuts[i] to cuts[i + 1]."""


class Fingerprints(NamedTuple):
    """The fingerprints that winnowing selects in a batch."""

    values: UInt64s
    """uint64 (m,), below 2 ** 63."""
    firsts: Int64s
    """int64 (m,): the first word, in its document, of the first run that selects it; the next one's
    ends its runs."""
    cuts: Int64s
    """int64 (n + 1): document i has the fingerprints cuts[i] to cuts[i + 1]."""
    words: Int64s
    """int64 (n,): the words of each document."""


@compile_kernel
def _bound_words(offsets: Int64s) -> int:
    """The most words that a document of the batch can have: a word and the space behind it take two
    bytes."""
    return measure_longest(offsets) // 2 + 2


@compile_kernel
def _skip_blank(data: Bytes, at: int, stop: int, classes: Bytes) -> tuple[bool, int]:
    """Whether the line that begins at `at` is white space up to its break, and up to where that is
    known."""
    while at < stop and data[at] != NEWLINE:
        code, size = decode_point(data, at)
        if code >= classes.shape[0] or classes[code] != SPACE:
            return False, at
        at += size
    return True, at


@compile_kernel
def _locate_lines(
    data: Bytes,
    offsets: Int64s,
    classes: Bytes,
    starts: Int64s,
    ends: Int64s,
    opens: Bools,
    cuts: Int64s,
) -> None:
    count = 0
    for d in range(offsets.shape[0] - 1):
        start = offsets[d]
        stop = offsets[d + 1]
        after_blank = True
        while start < stop:
            is_blank, at = _skip_blank(data, start, stop, classes)
            if not is_blank:
                while at < stop and data[at] != NEWLINE:
                    at += 1
                starts[count] = start
                ends[count] = at
                opens[count] = after_blank
                count += 1
            after_blank = is_blank
            start = at + 1
        cuts[d + 1] = count


def locate_lines(data: Bytes, offsets: Integers) -> LineSpans:
    """The lines that are not blank of documents in UTF-8 `data` (uint8), cut by `offsets` (n + 1)."""
    edges = np.asarray(offsets, np.int64)
    capacity = int(np.count_nonzero(data[edges[0] : edges[-1]] == NEWLINE)) + len(edges) - 1
    starts = np.empty(capacity, np.int64)
    ends = np.empty(capacity, np.int64)
    opens = np.empty(capacity, np.bool_)
    cuts = np.zeros(len(edges), np.int64)
    _locate_lines(data, edges, build_class_table(), starts, ends, opens, cuts)
    return LineSpans(starts[: cuts[-1]], ends[: cuts[-1]], opens[: cuts[-1]], cuts)


@compile_kernel
def _hash_paragraphs(hashes: UInt64s, firsts: Int64s, ends: Int64s, out: UInt64s) -> None:
    for p in range(firsts.shape[0]):
        digest = _OF_PARAGRAPHS
        for i in range(firsts[p], ends[p]):
            digest = mix64(digest * FACTOR + hashes[i])
        out[p] = digest


def hash_paragraphs(hashes: UInt64s, opens: Bools) -> tuple[UInt64s, Int64s, Int64s]:
    """Paragraphs of two lines and more: uint64 hashes over those of their lines, int64 first lines
    and ends (p,)."""
    firsts = np.flatnonzero(opens)
    ends = np.r_[firsts[1:], len(opens)].astype(np.int64)[: len(firsts)]
    has_two_lines = ends - firsts > 1
    firsts = firsts[has_two_lines]
    ends = ends[has_two_lines]
    out = np.empty(int(has_two_lines.sum()), np.uint64)
    _hash_paragraphs(hashes, firsts, ends, out)
    return out, firsts, ends


@compile_kernel
def _hash_grams(words: UInt64s, count: int, size: int, out: UInt64s) -> int:
    """Fill `out` with a hash of all runs of `size` words; returns how many.

    The hash rolls (Karp and Rabin 1987, modulo 2 ** 64), so it costs the same for any size.
    """
    if count < size:
        return 0
    rolling = uint64(0)
    power = uint64(1)
    for i in range(size):
        rolling = rolling * FACTOR + words[i]
        power *= FACTOR
    out[0] = mix64(rolling)
    for i in range(size, count):
        rolling = rolling * FACTOR + words[i] - power * words[i - size]
        out[i - size + 1] = mix64(rolling)
    return count - size + 1


@compile_kernel
def _select_minima(
    grams: UInt64s, count: int, window: int, values: UInt64s, firsts: Int64s, written: int
) -> int:
    """Write the fingerprints of a document from index `written` on; returns where they end."""
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
        # Without the lowest bit values fit int64, as columns of rows need them.
        values[written] = grams[best] >> uint64(1)
        firsts[written] = first
        written += 1
    return written


@compile_kernel
def _select_fingerprints(
    data: Bytes,
    offsets: Int64s,
    classes: Bytes,
    lower: UInt32s,
    span: int,
    values: UInt64s,
    firsts: Int64s,
    cuts: Int64s,
    counts: Int64s,
) -> None:
    gram_size = span // 2 + 1
    window = span - gram_size + 1
    capacity = _bound_words(offsets)
    words = allocate_words(capacity)
    grams = np.empty(capacity, np.uint64)
    for d in range(offsets.shape[0] - 1):
        count = split_into(data, offsets[d], offsets[d + 1], classes, lower, words)
        gram_count = _hash_grams(words.hashes, count, gram_size, grams)
        cuts[d + 1] = _select_minima(grams, gram_count, window, values, firsts, cuts[d])
        counts[d] = count


def select_fingerprints(data: Bytes, offsets: Integers, span: int) -> Fingerprints:
    """What winnowing selects for runs of `span` words, at least 4, in documents in UTF-8 `data` cut
    by `offsets` (n + 1)."""
    edges = np.asarray(offsets, np.int64)
    documents = len(edges) - 1
    capacity = int(edges[-1] - edges[0]) // 2 + documents
    values = np.empty(capacity, np.uint64)
    firsts = np.empty(capacity, np.int64)
    cuts = np.zeros(documents + 1, np.int64)
    counts = np.zeros(documents, np.int64)
    _select_fingerprints(
        data, edges, build_class_table(), build_lower_table(), span, values, firsts, cuts, counts
    )
    return Fingerprints(values[: cuts[-1]], firsts[: cuts[-1]], cuts, counts)


@compile_kernel
def _hash_runs(hashes: UInt64s, count: int, span: int, level: UInt64s, out: UInt64s) -> None:
    """Fill `out` with the hash of every run of `span` words, made of hashes of 1, 2, 4... words,
    which `level` holds.

    Not rolling: unlike fingerprints, which are only a sieve, equal run hashes decide what is
    cut.
    """
    runs = count - span + 1
    level[:count] = hashes[:count]
    out[:runs] = _OF_RUNS
    covered = 0
    level_words = 1
    remaining = span
    while remaining:
        if remaining & 1:
            for i in range(runs):
                out[i] = mix64(out[i] * FACTOR + level[i + covered])
            covered += level_words
        for i in range(count - 2 * level_words + 1):
            level[i] = mix64(level[i] * FACTOR + level[i + level_words])
        remaining >>= 1
        level_words *= 2


@compile_kernel
def _collect_runs(
    data: Bytes,
    offsets: Int64s,
    classes: Bytes,
    lower: UInt32s,
    span: int,
    firsts: Int64s,
    cuts: Int64s,
    chosen: Bools,
    values: UInt64s,
    documents: Int64s,
    positions: Int64s,
) -> None:
    written = 0
    capacity = _bound_words(offsets)
    words = allocate_words(capacity)
    level = np.empty(capacity, np.uint64)
    runs = np.empty(capacity, np.uint64)
    for d in range(offsets.shape[0] - 1):
        if not chosen[cuts[d] : cuts[d + 1]].any():
            continue
        count = split_into(data, offsets[d], offsets[d + 1], classes, lower, words)
        _hash_runs(words.hashes, count, span, level, runs)
        for s in range(cuts[d], cuts[d + 1]):
            if not chosen[s]:
                continue
            end = firsts[s + 1] if s + 1 < cuts[d + 1] else count - span + 1
            for i in range(firsts[s], end):
                values[written] = runs[i] >> uint64(1)
                documents[written] = d
                positions[written] = i
                written += 1


def collect_runs(
    data: Bytes, offsets: Integers, span: int, selected: Fingerprints, chosen: Bools
) -> tuple[UInt64s, Int64s, Int64s]:
    """The runs of `span` words that selected a chosen fingerprint; `selected` are those of the
    batch, `chosen` bool (m,).

    Hashes uint64 (r,) below 2 ** 63; number of the document in the batch and of the run's first
    word, int64 (r,).
    """
    ends = np.r_[selected.firsts[1:], 0][: len(chosen)]
    last = selected.cuts[1:][np.diff(selected.cuts) > 0] - 1
    ends[last] = selected.words[np.diff(selected.cuts) > 0] - span + 1
    capacity = int((ends - selected.firsts)[chosen].sum())
    values = np.empty(capacity, np.uint64)
    documents = np.empty(capacity, np.int64)
    positions = np.empty(capacity, np.int64)
    edges = np.asarray(offsets, np.int64)
    tables = (build_class_table(), build_lower_table())
    _collect_runs(
        data,
        edges,
        *tables,
        span,
        selected.firsts,
        selected.cuts,
        chosen,
        values,
        documents,
        positions,
    )
    return values, documents, positions


@compile_kernel
def _mark_emptied(
    lines: LineSpans,
    reasons: Bytes,
    first: int,
    stop: int,
    starts: Int64s,
    words: int,
    labels: Bytes,
    base: int,
) -> None:
    """Give SPAN as reason to lines that lost their last word, and to lines without words within
    what was cut."""
    word = 0
    for line in range(first, stop):
        has_word = False
        has_uncut_word = False
        while word < words and starts[word] < lines.ends[line]:
            has_word = True
            has_uncut_word = has_uncut_word or labels[starts[word] - base] == UNCUT
            word += 1
        within = has_word or labels[lines.starts[line] - base] == SPAN
        if reasons[line] == UNCUT and within and not has_uncut_word:
            reasons[line] = SPAN


@compile_kernel
def _count_newlines(data: Bytes, start: int, stop: int) -> int:
    """Line breaks in data[start:stop]."""
    count = 0
    for i in range(start, stop):
        count += data[i] == NEWLINE
    return count


@compile_kernel
def _choose_line_bounds(
    data: Bytes,
    start: int,
    stop: int,
    lines: LineSpans,
    first: int,
    end: int,
    i: int,
    j: int,
    labels: Bytes,
    base: int,
) -> tuple[int, int]:
    """The bytes that go with the lines i to j - 1 of a document that has the lines first to end -
    1.

    That is the lines and the white space on one side of them. White space beside what else is
    cut goes; of two the wider stays, so that a paragraph's border never gets lost.
    """
    if i == first:
        return (start, stop) if j == end else (lines.starts[i], lines.starts[j])
    end_before = lines.ends[i - 1]
    last_end = lines.ends[j - 1]
    if j == end:
        return end_before, last_end
    is_cut_before = labels[end_before - base] != UNCUT
    is_cut_after = labels[last_end - base] != UNCUT
    space_after = _count_newlines(data, last_end, lines.starts[j])
    space_before = _count_newlines(data, end_before, lines.starts[i])
    if is_cut_before or (space_after > space_before and not is_cut_after):
        return end_before, last_end
    return lines.starts[i], lines.starts[j]


@compile_kernel
def _label_lines(
    data: Bytes,
    start: int,
    stop: int,
    lines: LineSpans,
    reasons: Bytes,
    first: int,
    end: int,
    labels: Bytes,
    base: int,
) -> None:
    """Label the bytes of all lines first to end - 1 that have a reason, neighbours together."""
    i = first
    while i < end:
        j = i
        while j < end and reasons[j] != UNCUT:
            j += 1
        if j > i:
            at, last = _choose_line_bounds(data, start, stop, lines, first, end, i, j, labels, base)
            for line in range(i, j):
                line_stop = lines.starts[line + 1] if line + 1 < j else last
                labels[at - base : line_stop - base] = reasons[line]
                at = line_stop
        i = j + 1


@compile_kernel
def _label_bytes(
    data: Bytes,
    offsets: Int64s,
    classes: Bytes,
    lower: UInt32s,
    lines: LineSpans,
    reasons: Bytes,
    runs: Int64s,
    run_cuts: Int64s,
    labels: Bytes,
) -> None:
    base = offsets[0]
    # Words are needed only where runs are: without any the arrays stay tiny.
    capacity = 2
    for d in range(offsets.shape[0] - 1):
        if run_cuts[d] < run_cuts[d + 1]:
            capacity = max(capacity, (offsets[d + 1] - offsets[d]) // 2 + 2)
    words = allocate_words(capacity)
    for d in range(offsets.shape[0] - 1):
        start = offsets[d]
        stop = offsets[d + 1]
        first = lines.cuts[d]
        end = lines.cuts[d + 1]
        if run_cuts[d] < run_cuts[d + 1]:
            count = split_into(data, start, stop, classes, lower, words)
            for run in range(run_cuts[d], run_cuts[d + 1]):
                first_word = runs[run, 0]
                end_word = runs[run, 1]
                if end_word > count:
                    raise ValueError("a repeated run ends behind the last word of its document")
                labels[words.starts[first_word] - base : words.ends[end_word - 1] - base] = SPAN
            _mark_emptied(lines, reasons, first, end, words.starts, count, labels, base)
        _label_lines(data, start, stop, lines, reasons, first, end, labels, base)


def label_bytes(
    data: Bytes,
    offsets: Integers,
    lines: LineSpans,
    reasons: Bytes,
    runs: Int64s,
    run_cuts: Int64s,
) -> Bytes:
    """uint8 (bytes of the batch): why each byte is cut, or UNCUT.

    `reasons` uint8 (lines,): LINE or PARAGRAPH where a line goes as such, else UNCUT. `runs`
    int64 (r, 2): first word and end of what repeats, disjoint; document i has the runs
    run_cuts[i] to run_cuts[i + 1]. A line of which no word is left goes as one. Lines that go
    take the white space to one side of them along: the wider stays, none at the borders of the
    text. Each label begins and ends at a border of a word or a line, so no character is split.
    Reference: `tests/pipelines/decide/test_repeated_kernels.py`.
    """
    edges = np.asarray(offsets, np.int64)
    labels = np.zeros(int(edges[-1] - edges[0]), np.uint8)
    _label_bytes(
        data,
        edges,
        build_class_table(),
        build_lower_table(),
        lines,
        reasons.copy(),  # lines that lost their last word get a reason
        runs,
        run_cuts,
        labels,
    )
    return labels
