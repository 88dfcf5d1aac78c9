"""What the lines of a document are: prose that C4 would keep with its sentences, notices and menus, source code.

The rules of C4 are those of Raffel et al. 2020 as datatrove's C4QualityFilter (v0.10) has them; a sentence ends as with
spaCy's sentencizer behind its English tokenizer, which datatrove asks. Columns are named in LINE_FIELDS.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from pipelines.annotate.kernels.line_classes import (
    ABBREVIATED,
    ALONE,
    BEFORE_DOT,
    CLOSING,
    END,
    LOWER,
    MARK,
    PUNCTUATION,
    QUOTE,
    SPACE,
    UPPER,
    WIDE,
    build_line_table,
    build_sign_table,
    encode_abbreviations,
)
from pipelines.annotate.kernels.phrases import PhraseAutomaton
from pipelines.kernels.words import decode_point

LINE_FIELDS = (
    "c4_sentences",
    "c4_curly_braces",
    "lorem_ipsum",
    "boilerplate_line_ratio",
    "code_line_ratio",
)
"""The columns of `line_signals`, in order."""

JAVASCRIPT, POLICY, LOREM, NOTE, MENU = 1, 2, 4, 8, 16
"""Kinds of phrases, as the automaton has them."""
LEAST_WORDS, LONGEST_WORD, LONGEST_NOTICE = 3, 1000, 200

_DOT, _OPENING, _BRACE = 0x2E, 0x5B, 0x7B
_EDIT = np.frombuffer(b"[edit]", np.uint8)
_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@njit(nogil=True, cache=True)
def _starts(data, at, stop, word):  # type: ignore[no-untyped-def]
    if stop - at < word.shape[0]:
        return False
    for i in range(word.shape[0]):  # noqa: SIM110 - numba compiles no generator here
        if data[at + i] != word[i]:
            return False
    return True


@njit(nogil=True, cache=True)
def citation(data, at, stop):  # type: ignore[no-untyped-def]
    """Bytes of the mark of a citation that begins at `at`, as `[3]`, `[]` or `[edit]`; 0 if there is none."""
    end = at + 1
    while end < stop and 48 <= data[end] <= 57:
        end += 1
    if end < stop and data[end] == 0x5D:
        return end + 1 - at
    if _starts(data, at, stop, _EDIT):
        return _EDIT.shape[0]
    return _NEEDED.shape[0] if _starts(data, at, stop, _NEEDED) else 0


@njit(nogil=True, cache=True)
def _dot_ends(core, size, before, before2, abbreviations):  # type: ignore[no-untyped-def]
    """Whether a dot is a token of its own: `core` holds the last bytes of the chunk before it, `size` its characters."""
    if size == 0 or (before & ALONE):
        return True
    if not (before & BEFORE_DOT or (before & UPPER and before2 & UPPER)):
        return False
    if size == 1 and 97 <= core <= 122:
        return False
    if size >= ABBREVIATED:
        return True
    key = (core << uint64(8)) | uint64(_DOT)
    place = np.searchsorted(abbreviations, key)
    return place >= abbreviations.shape[0] or abbreviations[place] != key


@njit(nogil=True, cache=True)
def prose(data, start, stop, table, abbreviations):  # type: ignore[no-untyped-def]
    """(words, whether one is too long, whether the line ends a sentence, sentences) of the line data[start:stop]."""
    words, run, long = 0, 0, False
    last, last2, dots, parted = np.int64(0), np.int64(0), 0, True
    sentences, seen, maybe, inside = 1, False, False, False
    core, size, before, before2 = uint64(0), 0, np.uint16(0), np.uint16(0)
    at = start
    while at < stop:
        code, width = decode_point(data, at)
        flags = table[code] if code < table.shape[0] else np.uint16(0)
        if code == _OPENING:
            cut = citation(data, at, stop)
            if cut:
                words += run == 0
                run += cut
                if data[at + 1] == 0x63:  # `[citation needed]` is two words
                    words += 1
                    run = 7
                long |= run > LONGEST_WORD
                if parted:
                    last, last2, dots = np.int64(32), np.int64(0), 0
                at += cut
                continue
        at += width
        if flags & SPACE:
            seen |= maybe
            run, parted, maybe, inside, size = 0, True, False, False, 0
            core, before, before2 = uint64(0), np.uint16(0), np.uint16(0)
            continue
        if flags & ALONE:
            words += 1
            run = 0
        elif run or parted or not flags & MARK:
            words += run == 0
            run += 1
            long |= run > LONGEST_WORD
        dots = (0 if parted else dots) + 1 if code == _DOT else 0
        if code == _DOT:
            if dots > 1:
                maybe, inside = False, False
            else:
                inside = _dot_ends(core, size, before, before2, abbreviations)
                maybe |= inside
                inside = inside and (before & (LOWER | QUOTE)) != 0
        elif flags & END:
            seen |= size == 0 or (flags & WIDE) != 0
            maybe, inside = True, False
        else:
            seen |= inside and (flags & (UPPER | QUOTE)) != 0
            inside = False
            if not flags & PUNCTUATION:
                sentences += seen
                seen, maybe = False, False
        if size or not flags & PUNCTUATION:
            core = (core << uint64(8)) | uint64(min(code, 255))
            size += 1
        last2, last, before2, before, parted = last, np.int64(code), before, flags, False
    return words, long, _is_end(last, last2, dots, table), sentences


@njit(nogil=True, cache=True)
def _is_end(last, last2, dots, table):  # type: ignore[no-untyped-def]
    """Whether a line that ends with these two characters, and so many dots, ends as C4 wants it."""
    if last == 0x22 or last == 0x27:
        return True
    flags = table[last] if last < table.shape[0] else np.uint16(0)
    if flags & CLOSING:
        return last2 < table.shape[0] and (table[last2] & WIDE) != 0
    return (flags & END) != 0 and dots < 3


@njit(nogil=True, cache=True, inline="always")
def _is_wide_separator(data, at, start, stop):  # type: ignore[no-untyped-def]
    """Whether byte `at` is one of the two of a middle dot or of a right guillemet."""
    first = at if at < stop and data[at] == 0xC2 else at - 1
    return (
        first >= start
        and first + 1 < stop
        and data[first] == 0xC2
        and (data[first + 1] == 0xB7 or data[first + 1] == 0xBB)
    )


@njit(nogil=True, cache=True)
def phrases_of(data, start, stop, symbols, step, found, whole):  # type: ignore[no-untyped-def]
    """(kinds of phrases in the line, how often the filler text, whether all parts are menu words)."""
    kinds, lorem, menu, parts = 0, 0, True, 0
    state, first, length, match = 0, -1, 0, 0
    for at in range(start, stop + 1):
        byte = data[at] if at < stop else 0x7C
        if (
            byte == 0x7C
            or byte == 0x3E
            or byte == 0x2F
            or (byte >= 0xB7 and _is_wide_separator(data, at, start, stop))
        ):
            if first >= 0:
                parts += 1
                menu &= match == length
            state, first, length, match = 0, -1, 0, 0
            continue
        if first < 0:
            if byte <= 32:
                continue
            first = at
        state = step[state, symbols[byte]]
        kinds |= found[state]
        lorem += (found[state] & LOREM) != 0
        if byte > 32:
            length, match = at + 1 - first, whole[state]
    return kinds, lorem, menu and parts > 0


@njit(nogil=True, cache=True)
def code_of(data, start, stop, signs, heads, cuts, sure):  # type: ignore[no-untyped-def]
    """(characters, whether it looks like source code) of the line data[start:stop], which begins with ink.

    `heads` are the words that code begins with, one after the other, cut by `cuts`; the first `sure` leave no doubt.
    """
    chars, ink, found, gaps, last, before = 0, 0, 0, 0, data[start], data[start] & 0
    for at in range(start, stop):
        byte = data[at]
        chars += (byte & 0xC0) != 0x80
        if byte <= 32:
            gaps += before > 32
        else:
            ink += (byte & 0xC0) != 0x80
            last = byte
            letter = 97 <= before | 32 <= 122 or before == 0x5F
            found += signs[byte] or (byte == 0x28 and letter)
        before = byte
    if (
        last == 0x7B
        or last == 0x7D
        or (last == 0x3B and found > 1)
        or (found >= 3 and 10 * found >= ink)
    ):
        return chars, True
    for i in range(cuts.shape[0] - 1):
        if data[start] == heads[cuts[i]] and _starts(
            data, start, stop, heads[cuts[i] : cuts[i + 1]]
        ):
            if i < sure:
                return chars, True
            ends = last == 0x2E or last == 0x21 or last == 0x3F
            return chars, not ends and (found > 0 or last == 0x3A or gaps - (before <= 32) <= 4)
    return chars, False


@njit(nogil=True, cache=True)
def _document(
    row,
    data,
    start,
    stop,
    table,
    abbreviations,
    symbols,
    step,
    found,
    whole,
    signs,
    heads,
    cuts,
    sure,
):  # type: ignore[no-untyped-def]
    """Fill the columns of one document, line by line."""
    lines, plates, codes = 0, 0, 0
    while start < stop:
        end = start
        while end < stop and data[end] != 10:
            end += 1
        while start < end and data[start] <= 32:
            start += 1
        words, long, ends, sentences = prose(data, start, end, table, abbreviations)
        if words:
            lines += 1
            kinds, lorem, menu = phrases_of(data, start, end, symbols, step, found, whole)
            chars, code = code_of(data, start, end, signs, heads, cuts, sure)
            row[2] += lorem
            plates += menu or (
                (kinds & (JAVASCRIPT | POLICY | NOTE)) != 0 and chars <= LONGEST_NOTICE
            )
            codes += code
            if ends and words >= LEAST_WORDS and not long and not kinds & JAVASCRIPT:
                braces = 0
                for at in range(start, end):
                    braces += data[at] == _BRACE
                row[1] += braces
                row[0] += 0 if kinds & POLICY else sentences
        start = end + 1
    row[3], row[4] = (plates / lines, codes / lines) if lines else (0.0, 0.0)


@njit(nogil=True, cache=True)
def _line_signals(
    data, offsets, out, table, abbreviations, symbols, step, found, whole, signs, heads, cuts, sure
):  # type: ignore[no-untyped-def]
    for d in range(offsets.shape[0] - 1):
        _document(
            out[d],
            data,
            offsets[d],
            offsets[d + 1],
            table,
            abbreviations,
            symbols,
            step,
            found,
            whole,
            signs,
            heads,
            cuts,
            sure,
        )


class CodeHeads(NamedTuple):
    """Words that lines of code begin with: all bytes, where each is cut, and how many of the first leave no doubt."""

    data: np.ndarray
    cuts: np.ndarray
    sure: int


def encode_heads(sure: Sequence[str], maybe: Sequence[str]) -> CodeHeads:
    """The words as the kernel wants them."""
    words = [word.encode() for word in (*sure, *maybe)]
    cuts = np.cumsum([0, *map(len, words)]).astype(np.int64)
    return CodeHeads(np.frombuffer(b"".join(words), np.uint8), cuts, len(sure))


def measure_lines(
    data: np.ndarray, offsets: np.ndarray, phrases: PhraseAutomaton, heads: CodeHeads
) -> np.ndarray:
    """float64 (n, len(LINE_FIELDS)) for n documents in UTF-8 `data` cut by `offsets` (n + 1)."""
    out = np.zeros((len(offsets) - 1, len(LINE_FIELDS)), np.float64)
    _line_signals(
        data,
        np.asarray(offsets, np.int64),
        out,
        build_line_table(),
        encode_abbreviations(),
        *phrases,
        build_sign_table(),
        *heads,
    )
    return out
