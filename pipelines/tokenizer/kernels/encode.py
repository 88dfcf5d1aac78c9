"""Encode texts with a sentencepiece model: the same ids as sentencepiece, from a table of what was met before.

No piece crosses a place between two characters that are neighbours in no piece, so a text falls there into *segments*
that can be encoded each on its own: in English words with the space before them, in Chinese runs of a few characters.
The ids of short segments are kept in a table of rows, one cache line each: bytes, ids, length. What the table has not is
encoded by `pipelines.tokenizer.kernels.merges` (BPE) or `pipelines.tokenizer.kernels.viterbi` (unigram).

A unigram model adds scores in single precision from the start of the text, so which of two near-equal ways wins can
depend on everything before. A segment's ids are taken from the table only where its lead over every other way is more than
rounding can make up there; elsewhere it is worked out again from the sum so far, as sentencepiece does it.
"""

import numpy as np
from numba import njit, uint64

from pipelines.kernels.words import decode_point, mix64
from pipelines.tokenizer.kernels.merges import ESCAPED, SPACE, merge_segment, spell_bytes
from pipelines.tokenizer.kernels.sentences import mark_sentences
from pipelines.tokenizer.kernels.viterbi import RESET, measure_lead, walk_segment

KEY_WORDS = 6
ROW_WORDS = 8
"""A row: six words of a segment's bytes, one of up to three ids, one of length and count. More ids stand in another table."""
WAYS = 4
"""Rows that a segment may have; where all are taken, it takes the place of another."""
MOST = 16
"""Ids of a segment that has a row."""
LONGEST = 47
"""Bytes of a segment that has a row."""
INLINE = 3
ID_BITS = np.uint64(21)
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(nogil=True, cache=True, inline="always")
def point_at(text, at):  # type: ignore[no-untyped-def]
    """The character at a byte, `▁` as SPACE, and its bytes."""
    byte = uint64(text[at])
    if byte < uint64(0x80):
        return byte, 1
    code, size = decode_point(text, at)
    if code == ESCAPED:
        return uint64(SPACE), size
    return uint64(code), size


@njit(nogil=True, cache=True, inline="always")
def _are_neighbours(before, point, ascii_pairs, bits, shift):  # type: ignore[no-untyped-def]
    """Whether some piece may hold these two characters side by side; wrong only in saying yes."""
    if (before | point) < uint64(128):
        return ascii_pairs[before << uint64(7) | point]
    place = pair_hash(before, point) >> shift
    return ((bits[place >> uint64(6)] >> (place & uint64(63))) & uint64(1)) != 0


@njit(nogil=True, cache=True, inline="always")
def pair_hash(before, point):  # type: ignore[no-untyped-def]
    """A 64-bit hash of two characters (Fibonacci hashing, Knuth 6.4); its upper bits choose a bit of the table."""
    return (uint64(before) << uint64(21) | uint64(point)) * uint64(0x9E3779B97F4A7C15)


@njit(nogil=True, cache=True, inline="always")
def _key_word(words, start, length, number):  # type: ignore[no-untyped-def]
    """Word `number` of the segment's bytes, zeros behind its end; any start, from two aligned words."""
    at = start + 8 * number
    place, shift = at >> 3, uint64((at & 7) * 8)
    word = (words[place] >> shift) | ((words[place + 1] << uint64(1)) << (uint64(63) - shift))
    left = length - 8 * number
    return word if left >= 8 else word & (_ONES >> uint64(64 - 8 * left))


@njit(nogil=True, cache=True, inline="always")
def _find_row(rows, words, start, length):  # type: ignore[no-untyped-def]
    """The row of a segment and True, or the row it may have and False: a free one of its WAYS, else one of them by chance."""
    count = (length + 7) >> 3
    h = uint64(length)
    for number in range(count):
        h = mix64(h ^ _key_word(words, start, length, number))
    first = np.int64(h & uint64(rows.shape[0] - 1))
    victim = first ^ np.int64((h >> uint64(40)) & uint64(WAYS - 1))
    for way in range(WAYS):
        at = first ^ way
        meta = rows[at, ROW_WORDS - 1]
        if meta == 0:
            return at, False
        if np.int64(meta & uint64(0xFF)) == length:
            number = 0
            while number < count and rows[at, number] == _key_word(words, start, length, number):
                number += 1
            if number == count:
                return at, True
    return victim, False


@njit(nogil=True, cache=True)
def _fill_row(rows, more, at, words, start, length, ids, first, count):  # type: ignore[no-untyped-def]
    """Keep `count` ids of a segment in row `at`; more than INLINE of them stand in the same row of `more`."""
    for number in range((length + 7) >> 3):
        rows[at, number] = _key_word(words, start, length, number)
    value = uint64(0)
    for i in range(count):
        if count <= INLINE:
            value |= uint64(ids[first + i]) << (ID_BITS * uint64(i))
        else:
            more[at, i] = ids[first + i]
    rows[at, ROW_WORDS - 2] = value
    rows[at, ROW_WORDS - 1] = uint64(length) | (uint64(count) << uint64(8))


@njit(nogil=True, cache=True, inline="always")
def _copy_row(rows, more, at, out, written):  # type: ignore[no-untyped-def]
    """Append the ids of a row to `out`; returns how many."""
    count = np.int64(rows[at, ROW_WORDS - 1] >> uint64(8))
    value = rows[at, ROW_WORDS - 2]
    for i in range(INLINE):  # all of them, wanted or not: it takes no branch
        out[written + i] = np.int32((value >> (ID_BITS * uint64(i))) & uint64(0x1FFFFF))
    if count > INLINE:
        for i in range(count):
            out[written + i] = more[at, i]
    return count


@njit(nogil=True, cache=True, inline="always")
def _without_run(out, first, count, begin, fallback):  # type: ignore[no-untyped-def]
    """Ids left of a segment's `count` where an unknown one continues a run: sentencepiece writes a run as one."""
    _, byte_fallback, unknown = fallback
    if (
        not byte_fallback
        and count
        and first > begin
        and out[first] == unknown
        and out[first - 1] == unknown
    ):
        for i in range(1, count):
            out[first + i - 1] = out[first + i]
        return count - 1
    return count


@njit(nogil=True, cache=True)
def cut_segments(text, stop, neighbours, ends, lasts):  # type: ignore[no-untyped-def]
    """Fill in where each segment of `text[:stop]` ends and its last character; returns how many there are.

    An end is written at every character and kept by counting on: a branch that nobody can foretell would cost more.
    """
    ascii_pairs, bits, shift = neighbours
    count = np.int64(0)
    before, at = point_at(text, 0)
    while at < stop:
        point, size = point_at(text, at)
        ends[count] = at
        lasts[count] = before
        count += 1 - np.int64(_are_neighbours(before, point, ascii_pairs, bits, shift))
        before = point
        at += size
    ends[count] = stop
    lasts[count] = before
    return count + 1


@njit(nogil=True, cache=True, inline="always")
def _is_lone(at, end, point):  # type: ignore[no-untyped-def]
    """Whether the segment's last character is all of it; a space that is written `▁` is passed over."""
    return end - at == (
        1
        if point < uint64(0x80)
        else 2
        if point < uint64(0x800)
        else 3
        if point < uint64(0x10000)
        else 4
    )


@njit(nogil=True, cache=True, inline="always")
def _lone_character(text, at, end, point, alone, fallback, begin, out, written):  # type: ignore[no-untyped-def]
    """Append the ids of a segment of one character; returns how many ids there are then."""
    byte_ids, byte_fallback, unknown = fallback
    if alone[point] >= 0:
        out[written] = alone[point]
        return written + 1
    if byte_fallback:
        return spell_bytes(text, at, end, byte_ids, out, written)
    if written == begin or out[written - 1] != unknown:
        out[written] = unknown
        return written + 1
    return written


@njit(nogil=True, cache=True)
def _new_segment(text, words, at, end, row, model, table, work, out, written):  # type: ignore[no-untyped-def]
    """Append the ids of a segment without a row by BPE, and keep them in `row` where they fit; returns how many."""
    rows, more, _ = table
    count = merge_segment(text, at, end, out, written, model, work)
    if end - at <= LONGEST and count <= MOST:
        _fill_row(rows, more, row, words, at, end - at, out, written, count)
    return count


@njit(nogil=True, cache=True)
def encode_bpe(
    data, cuts, prefix, neighbours, model, alone, sizes, table, work, room, out, starts, ends
):  # type: ignore[no-untyped-def]
    """Ids of all texts of `data` (cut at `cuts`) into `out`, the tokens at which their sentences start into `starts`.

    `ends` (texts, 2) gets where the ids and the starts of each text end. `prefix`: put a space before each text that is not
    empty. `alone` (code points,) are the ids of characters that are pieces, or -1. `room` is one buffer, as bytes and as
    words, that holds the longest text, and three numbers for each of its bytes. `out` is longer by INLINE than ids can be.
    """
    text, words, segments, lasts, places = room
    rows, more, _ = table
    fallback = (model[3], model[4], model[5])
    written, sentences = 0, 0
    for document in range(cuts.shape[0] - 1):
        begin, stop = written, load_text(data, cuts[document], cuts[document + 1], prefix, text)
        at = 0
        for segment in range(cut_segments(text, stop, neighbours, segments, lasts) if stop else 0):
            end, lone = segments[segment], lasts[segment]
            if _is_lone(at, end, lone):
                written = _lone_character(text, at, end, lone, alone, fallback, begin, out, written)
            else:
                row, found = 0, False
                if end - at <= LONGEST:
                    row, found = _find_row(rows, words, at, end - at)
                if found:
                    count = _copy_row(rows, more, row, out, written)
                else:
                    count = _new_segment(
                        text, words, at, end, row, model, table, work, out, written
                    )
                written += _without_run(out, written, count, begin, fallback)
            at = end
        first = 1 if prefix else 0
        sentences = mark_sentences(
            text, first, stop, out, begin, written, sizes, places, starts, sentences
        )
        ends[document, 0], ends[document, 1] = written, sentences


@njit(nogil=True, cache=True, inline="always")
def _is_settled(lead, lowest, before, after):  # type: ignore[no-untyped-def]
    """Whether rounding between the sums `before` and `after` cannot make up a lead (for each character of the segment), and no
    sum on the way is taken off.

    Two ways of so many steps err by at most half a unit in the last place each step, 2 ** -24 of the sum. The bound is
    twice that.
    """
    return (
        lead > np.abs(np.float64(after)) * 2.0**-22
        and np.float64(before) + lowest > np.float64(RESET) + 1.0
    )


@njit(nogil=True, cache=True)
def _walked_segment(text, words, at, end, row, found, total, model, table, work, out, written):  # type: ignore[no-untyped-def]
    """Append the ids of a segment behind a sum of `total`, and keep those it has by itself in `row`; returns sum and count."""
    rows, more, leads = table
    if not found and end - at <= LONGEST:
        lead, lowest, count = measure_lead(text, at, end, out, written, model, work)
        if 0 <= count <= MOST:
            _fill_row(rows, more, row, words, at, end - at, out, written, count)
            leads[row, 0], leads[row, 1] = lead, lowest
    return walk_segment(text, at, end, total, out, written, model, work)


@njit(nogil=True, cache=True)
def encode_unigram(
    data, cuts, prefix, neighbours, model, alone, sizes, table, work, room, out, starts, ends
):  # type: ignore[no-untyped-def]
    """As `encode_bpe`, for a unigram model: `total` is the sum sentencepiece has reached where a segment begins."""
    text, words, segments, lasts, places = room
    rows, more, leads = table
    scores, fallback = model[3], (model[1], model[2], model[5])
    written, sentences = 0, 0
    for document in range(cuts.shape[0] - 1):
        begin, stop = written, load_text(data, cuts[document], cuts[document + 1], prefix, text)
        at, total = 0, np.float32(0.0)
        for segment in range(cut_segments(text, stop, neighbours, segments, lasts) if stop else 0):
            end, lone = segments[segment], lasts[segment]
            if _is_lone(at, end, lone):
                score = scores[alone[lone]] if alone[lone] >= 0 else model[4]
                total = np.float32((np.float32(0.0) if total < RESET else total) + score)
                written = _lone_character(text, at, end, lone, alone, fallback, begin, out, written)
            else:
                row, found, count = 0, False, -1
                if end - at <= LONGEST:
                    row, found = _find_row(rows, words, at, end - at)
                if found:
                    count = _copy_row(rows, more, row, out, written)
                    after = np.float32(0.0) if total < RESET else total
                    for i in range(written, written + count):
                        after = np.float32(after + scores[out[i]])
                    if _is_settled(leads[row, 0], leads[row, 1], total, after):
                        total = after
                    else:
                        count = -1
                if count < 0:
                    total, count = _walked_segment(
                        text, words, at, end, row, found, total, model, table, work, out, written
                    )
                written += _without_run(out, written, count, begin, fallback)
            at = end
        first = 1 if prefix else 0
        sentences = mark_sentences(
            text, first, stop, out, begin, written, sizes, places, starts, sentences
        )
        ends[document, 0], ends[document, 1] = written, sentences


@njit(nogil=True, cache=True, inline="always")
def load_text(data, start, stop, prefix, text):  # type: ignore[no-untyped-def]
    """Copy a text to the front of `text`, behind a space where `prefix`; returns its bytes."""
    size = stop - start
    if not size:
        return 0
    first = 0
    if prefix:
        text[0] = SPACE
        first = 1
    text[first : first + size] = data[start:stop]
    return first + size
