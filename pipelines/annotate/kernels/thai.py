"""Segment Thai text into words exactly as PyThaiNLP's `newmm-safe` does, compiled: the fewest words
of its dictionary.

FineWeb-2 found its bounds for Thai with these words (datatrove's ThaiTokenizer). In: code points
and `ThaiWords`. Out: where each word begins and ends. A word begins and ends between character
clusters (Theeramunkong et al. 2000: a consonant with its vowels, tone and silenced ending, never
torn). Where the dictionary has several ways to the next position that all of them share, the one
of fewest words is taken. Text is cut into pieces of at most 140 characters first, so no text
takes more than linear time. Decision record 11. Reference: PyThaiNLP itself in
`tests/pipelines/annotate/test_thai.py`.
"""

import numpy as np
from numba import int64

from pipelines.annotate.kernels.thai_tables import (
    FIRST_THAI,
    LABEL_SHIFT,
    LAST_THAI,
    LONG,
    WORD,
    ThaiWords,
)
from pipelines.annotate.kernels.token_classes import DIGIT, SPACE
from pipelines.kernels.arrays import Bytes, Int16s, Int32s, UInt16s
from pipelines.kernels.compile import compile_kernel, inline_kernel

_SCAN, _PIECE = 100, 140
"""Text of _PIECE characters and more is cut somewhere from its character _SCAN on (PyThaiNLP's
`_TEXT_SCAN_*`)."""
_MAX_EDGES = 50
"""Words that may be ambiguous together (PyThaiNLP's `_MAX_GRAPH_SIZE`); then no beginning gets more
than one."""

_TAB = 0x09
_NEWLINE = 0x0A
_RETURN = 0x0D
_BLANK = 0x20
_COMMA = 0x2C
_HYPHEN = 0x2D
_DOT = 0x2E
_COLON = 0x3A
_LOWER_A, _LOWER_Z = 0x61, 0x7A
_TO_LOWER = 0x20
"""The bit that makes a capital of ASCII a small letter."""

_BOUNDARY, _OPEN = 1, 2
"""Of a position in a piece: no cluster is torn here; and a word of some path ends here."""

# The workspace, int16 (_WORKSPACE_SIZE,), holds seven tables one behind the other. The first has
# _BOUNDARY or _OPEN for
# every position of a piece; these are where the others begin: labels of characters, first and last
# edge of a position,
# parents and queue of the shortest path, all edges.
_SIDE = _PIECE + 1
_LABELS, _FIRST, _LAST, _PARENT, _QUEUE, _EDGES = (_SIDE * part for part in range(1, 7))
_WORKSPACE_SIZE = 7 * _SIDE + _MAX_EDGES


@inline_kernel
def _is_thai(code: int) -> bool:
    return FIRST_THAI <= code <= LAST_THAI


@inline_kernel
def _is_latin(code: int) -> bool:
    return _LOWER_A <= code | _TO_LOWER <= _LOWER_Z or code == _HYPHEN


@inline_kernel
def _is_gap(code: int) -> bool:
    return code in (_BLANK, _TAB, _NEWLINE, _RETURN)


@compile_kernel
def _is_decimal(code_points: Int32s, flags: UInt16s, i: int, zeros: Int32s) -> bool:
    """Whether a character is a digit of some script's decimal numbers; ² and ① are none."""
    if not flags[i] & DIGIT:
        return False
    at = np.searchsorted(zeros, code_points[i] + 1) - 1
    return at >= 0 and code_points[i] - zeros[at] < 10


@compile_kernel
def _find_child(node: int, label: int, firsts: Int32s, ends: UInt16s) -> int:
    """The beginning that is one character longer, or 0."""
    # One way out, here and below: else numba counts references to every array, which takes longer
    # than the search.
    low = firsts[node]
    high = firsts[node + 1] - 1
    has_children = low <= high
    while low < high:
        middle = (low + high) >> 1
        if ends[middle] >> LABEL_SHIFT < label:
            low = middle + 1
        else:
            high = middle
    return low * int64(has_children & (ends[low] >> LABEL_SHIFT == label))


@compile_kernel
def _mark_clusters(
    code_points: Int32s, a: int, b: int, kinds: Bytes, steps: Int16s, workspace: Int16s
) -> None:
    """Set workspace[i - a] to _BOUNDARY where a cluster ends before `i`, else to 0; what begins
    none is one by itself."""
    workspace[: b - a + 1] = 0
    first = a
    text_end = b - 1 if code_points[b - 1] == _NEWLINE else b
    while first < b:
        state = 1
        end = first + 1
        at = first
        while state:
            kind = steps.shape[1] - 1
            if at < text_end:
                kind = kinds[code_points[at] - FIRST_THAI] if _is_thai(code_points[at]) else 0
            step = steps[state, kind]
            if step & 1:
                end = at
            state = step >> 1
            at += 1
        workspace[end - a] = _BOUNDARY
        first = end


@compile_kernel
def _find_number_end(code_points: Int32s, flags: UInt16s, a: int, b: int, zeros: Int32s) -> int:
    """The end of the decimal digits at `a`."""
    while a < b and _is_decimal(code_points, flags, a, zeros):
        a += 1
    return a


@compile_kernel
def _find_other_end(code_points: Int32s, flags: UInt16s, a: int, b: int, zeros: Int32s) -> int:
    """The end of what is no Thai word at `a`: Latin letters, a number, blanks, a line's end,
    anything else; or `a`."""
    code = code_points[a]
    at = a
    if _is_latin(code):
        while at < b and _is_latin(code_points[at]):
            at += 1
    elif _is_decimal(code_points, flags, a, zeros):
        at = _find_number_end(code_points, flags, a, b, zeros)
        while (
            at + 1 < b
            and (code_points[at] == _COMMA or code_points[at] == _DOT)
            and _is_decimal(code_points, flags, at + 1, zeros)
        ):
            at = _find_number_end(code_points, flags, at + 1, b, zeros)
    elif code in (_BLANK, _TAB):
        while at < b and (code_points[at] == _BLANK or code_points[at] == _TAB):
            at += 1
    elif code == _NEWLINE:
        at = a + 1
    elif code == _RETURN:
        at = a + 2 if a + 1 < b and code_points[a + 1] == _NEWLINE else a
    else:
        while at < b and not _is_thai(code_points[at]) and not _is_gap(code_points[at]):
            at += 1
    return at


@compile_kernel
def _begins_long_word(at: int, size: int, firsts: Int32s, ends: UInt16s, workspace: Int16s) -> bool:
    """Whether a word with the bit LONG begins at `at` and ends where no cluster is torn."""
    node = 0
    is_long_word = False
    going = True
    while going:
        node = _find_child(node, workspace[_LABELS + at], firsts, ends)
        at += 1
        is_long_word = (ends[node] & LONG != 0) & (workspace[at] != 0)
        going = (node != 0) & (at < size) & ~is_long_word
    return is_long_word


@compile_kernel
def _find_unknown_end(
    code_points: Int32s,
    flags: UInt16s,
    base: int,
    a: int,
    size: int,
    firsts: Int32s,
    ends: UInt16s,
    zeros: Int32s,
    workspace: Int16s,
) -> int:
    """The end of what no word of the dictionary begins at `a`."""
    b = base + size
    end = _find_other_end(code_points, flags, base + a, b, zeros) - base
    if end > a:
        return end
    for at in range(a + 1, size):
        if workspace[at] and (
            _begins_long_word(at, size, firsts, ends, workspace)
            or _find_other_end(code_points, flags, base + at, b, zeros) > base + at
        ):
            return at
    return size


@compile_kernel
def _find_words(
    a: int, size: int, firsts: Int32s, ends: UInt16s, workspace: Int16s, edge: int
) -> tuple[int, int]:
    """Store the words that begin at `a` as edges from `edge` on; returns the new number of edges
    and of ends first met."""
    node = 0
    at = a
    new_ends = 0
    going = True
    workspace[_FIRST + a] = edge
    while going:
        node = _find_child(node, workspace[_LABELS + at], firsts, ends)
        at += 1
        going = (node != 0) & (at < size)
        if (ends[node] & WORD != 0) & (workspace[at] != 0):
            workspace[_EDGES + edge] = at
            edge += 1
            new_ends += workspace[at] == _BOUNDARY
            workspace[at] = _OPEN
            going &= edge <= _MAX_EDGES
    workspace[_LAST + a] = edge
    return edge, new_ends


@compile_kernel
def _write_shortest_path(
    base: int, first: int, last: int, workspace: Int16s, starts: Int32s, stops: Int32s, count: int
) -> int:
    """Write the path of fewest words from `first` to `last`; of equals the one whose first words
    are shorter."""
    workspace[_PARENT + first : _PARENT + last + 1] = -1
    workspace[_QUEUE] = first
    head = 0
    tail = 1
    while workspace[_PARENT + last] < 0:
        at = workspace[_QUEUE + head]
        head += 1
        for edge in range(workspace[_FIRST + at], workspace[_LAST + at]):
            end = workspace[_EDGES + edge]
            if workspace[_PARENT + end] < 0:
                workspace[_PARENT + end] = at
                workspace[_QUEUE + tail] = end
                tail += 1
    stop = count
    at = last
    while at != first:
        at = workspace[_PARENT + at]
        stop += 1
    at = last
    for position in range(stop - 1, count - 1, -1):
        stops[position] = base + at
        at = workspace[_PARENT + at]
        starts[position] = base + at
    return stop


@compile_kernel
def _segment_piece(
    code_points: Int32s,
    flags: UInt16s,
    base: int,
    stop: int,
    words: ThaiWords,
    workspace: Int16s,
    starts: Int32s,
    stops: Int32s,
    count: int,
) -> int:
    """Segment the code points base to stop (at most _PIECE); returns the new number of words, which
    lie side by side."""
    labels = words.labels
    firsts = words.firsts
    ends = words.ends
    zeros = words.zeros
    size = stop - base
    for i in range(size):
        code = code_points[base + i]
        workspace[_LABELS + i] = labels[code] if code < labels.shape[0] else 0
    _mark_clusters(code_points, base, stop, words.kinds, words.steps, workspace)
    # Positions come in ascending order. `open_ends` counts the open ones beyond `at`; from
    # `path_start` on all is ambiguous.
    path_start = 0
    at = 0
    open_ends = 0
    edge = 0
    while at < size:
        edge, new_ends = _find_words(at, size, firsts, ends, workspace, edge)
        open_ends += new_ends
        if open_ends == 0:
            starts[count] = base + at
            at = _find_unknown_end(
                code_points, flags, base, at, size, firsts, ends, zeros, workspace
            )
            path_start = at
            stops[count] = base + at
            edge = 0
            count += 1
            continue
        at += 1
        while workspace[at] != _OPEN:
            at += 1
        if open_ends == 1:
            count = _write_shortest_path(base, path_start, at, workspace, starts, stops, count)
            path_start = at
            edge = 0
        open_ends -= 1
    return count


@compile_kernel
def _find_piece_end(
    code_points: Int32s,
    flags: UInt16s,
    a: int,
    words: ThaiWords,
    workspace: Int16s,
    starts: Int32s,
    stops: Int32s,
    count: int,
) -> int:
    """Where a text that goes on at `a` is cut first: behind the last blank in reach, else before
    the longest word there."""
    first = a + _SCAN
    last = a + _PIECE
    for at in range(last - 1, first - 1, -1):
        if code_points[at] == _BLANK:
            return at + 1
    # These words are written over by the next ones.
    stop = _segment_piece(code_points, flags, first, last, words, workspace, starts, stops, count)
    longest = 0
    position = first
    for i in range(count, stop):
        if stops[i] - starts[i] >= longest:
            longest = stops[i] - starts[i]
            position = starts[i]
    return position


@compile_kernel
def _find_next_number(
    code_points: Int32s, flags: UInt16s, at: int, chars: int, zeros: Int32s
) -> tuple[int, int]:
    """Beginning and end of the next digits joined by dots, commas or colons, from `at` on; (chars,
    chars): none."""
    while at < chars:
        if not _is_decimal(code_points, flags, at, zeros):
            at += 1
            continue
        first = at
        at = _find_number_end(code_points, flags, at, chars, zeros)
        joined = False
        while at + 1 < chars and (
            code_points[at] == _DOT or code_points[at] == _COMMA or code_points[at] == _COLON
        ):
            if not _is_decimal(code_points, flags, at + 1, zeros):
                break
            at = _find_number_end(code_points, flags, at + 1, chars, zeros)
            joined = True
        if joined:
            return first, at
    return chars, chars


@compile_kernel
def _join_numbers(
    code_points: Int32s,
    flags: UInt16s,
    chars: int,
    zeros: Int32s,
    starts: Int32s,
    stops: Int32s,
    count: int,
) -> int:
    """Make one of the words that hold parts of a number, beginning with the first that does not
    begin before it."""
    first, last = _find_next_number(code_points, flags, 0, chars, zeros)
    joined_count = 0
    i = 0
    while i < count:
        a = starts[i]
        b = stops[i]
        i += 1
        while last <= a:
            first, last = _find_next_number(code_points, flags, last, chars, zeros)
        if first <= a:
            while b < last:
                b = stops[i]
                i += 1
            first, last = _find_next_number(code_points, flags, last, chars, zeros)
        starts[joined_count] = a
        stops[joined_count] = b
        joined_count += 1
    return joined_count


@compile_kernel
def _strip_spaces(flags: UInt16s, starts: Int32s, stops: Int32s, count: int) -> int:
    """Cut white space off both ends of every word; words that are nothing else are left out."""
    kept_count = 0
    for i in range(count):
        a = starts[i]
        b = stops[i]
        while a < b and flags[a] & SPACE:
            a += 1
        while a < b and flags[b - 1] & SPACE:
            b -= 1
        starts[kept_count] = a
        stops[kept_count] = b
        kept_count += a < b
    return kept_count


@compile_kernel
def segment_thai(
    code_points: Int32s, flags: UInt16s, chars: int, words: ThaiWords, starts: Int32s, stops: Int32s
) -> int:
    """Cut `chars` code points into PyThaiNLP's words without white space around them; returns how
    many.

    `flags` are those of kernels.token_classes. Fills `starts` and `stops` with positions among
    the code points.
    """
    workspace = np.empty(_WORKSPACE_SIZE, np.int16)
    count = 0
    at = 0
    while at < chars:
        end = chars
        if chars - at >= _PIECE:
            end = _find_piece_end(code_points, flags, at, words, workspace, starts, stops, count)
        count = _segment_piece(code_points, flags, at, end, words, workspace, starts, stops, count)
        at = end
    count = _join_numbers(code_points, flags, chars, words.zeros, starts, stops, count)
    return _strip_spaces(flags, starts, stops, count)
