"""What the lines of a document are: prose that C4 would keep with its sentences, notices and menus,
source code.

The rules of C4 are those of Raffel et al. 2020 as datatrove's C4QualityFilter (v0.10) has them;
a sentence ends as with spaCy's sentencizer behind its English tokenizer, which datatrove asks.
Columns are named in LINE_FIELDS.
"""

# ruff: noqa: SIM109 - numba turns `in` with a tuple into a loop, comparisons into instructions

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import int64, uint64

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
from pipelines.kernels.arrays import Bytes, Float64s, Int32s, Int64s, Integers, UInt16s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.line_hashes import NEWLINE
from pipelines.kernels.words import decode_point, has_prefix

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
LEAST_WORDS, LONGEST_WORD = 3, 1000
"""C4 keeps lines of so many words and more, without a longer word (characters)."""
LONGEST_NOTICE = 200
"""Characters of the longest line that is a notice as a whole."""

_C4_SENTENCES, _C4_CURLY_BRACES, _LOREM_IPSUM, _BOILERPLATE_LINE_RATIO, _CODE_LINE_RATIO = range(
    len(LINE_FIELDS)
)

_BLANK = 0x20
"""No byte up to it is visible."""
_DOUBLE_QUOTE = 0x22
_APOSTROPHE = 0x27
_OPEN_PAREN = 0x28
_DOT = 0x2E
_SLASH = 0x2F
_COLON = 0x3A
_SEMICOLON = 0x3B
_GREATER = 0x3E
_EXCLAMATION, _QUESTION = 0x21, 0x3F
_OPEN_BRACKET, _CLOSE_BRACKET = 0x5B, 0x5D
_UNDERSCORE = 0x5F
_LOWER_A, _LOWER_C, _LOWER_Z = 0x61, 0x63, 0x7A
_OPEN_BRACE, _CLOSE_BRACE = 0x7B, 0x7D
_PIPE = 0x7C
_ZERO, _NINE = 0x30, 0x39
_TO_LOWER = 0x20
"""The bit that makes a capital of ASCII a small letter."""
_LATIN_1_LEAD, _MIDDLE_DOT_TAIL, _GUILLEMET_TAIL = 0xC2, 0xB7, 0xBB
"""The bytes of U+00B7 and U+00BB in UTF-8."""
_NEEDED_CHARS = 7
"""Characters of `needed]`."""
_ELLIPSIS_DOTS = 3
_CODE_SIGNS = 3
"""So many signs of code, and one in ten characters or more, make a line code."""
_MAX_CODE_GAPS = 4
"""A line that begins as code and prose alike is code where it has few words."""
_EDIT = np.frombuffer(b"[edit]", np.uint8)
_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@compile_kernel
def measure_citation(data: Bytes, at: int, stop: int) -> int:
    """Bytes of the mark of a citation that begins at `at`, as `[3]`, `[]` or `[edit]`; 0 if there
    is none."""
    end = at + 1
    while end < stop and _ZERO <= data[end] <= _NINE:
        end += 1
    if end < stop and data[end] == _CLOSE_BRACKET:
        return end + 1 - at
    if has_prefix(data, at, stop, _EDIT):
        return _EDIT.shape[0]
    return _NEEDED.shape[0] if has_prefix(data, at, stop, _NEEDED) else 0


@compile_kernel
def _is_dot_token(
    chunk_bytes: np.uint64,
    size: int,
    before: np.uint16,
    second_before: np.uint16,
    abbreviations: UInt64s,
) -> bool:
    """Whether a dot is a token of its own: `chunk_bytes` holds the last bytes of the chunk before
    it, `size` its characters."""
    if size == 0 or (before & ALONE):
        return True
    if not (before & BEFORE_DOT or (before & UPPER and second_before & UPPER)):
        return False
    if size == 1 and _LOWER_A <= chunk_bytes <= _LOWER_Z:
        return False
    if size >= ABBREVIATED:
        return True
    key = (chunk_bytes << uint64(8)) | uint64(_DOT)
    position = np.searchsorted(abbreviations, key)
    return position >= abbreviations.shape[0] or abbreviations[position] != key


@compile_kernel
def measure_prose(
    data: Bytes, start: int, stop: int, table: UInt16s, abbreviations: UInt64s
) -> tuple[int, bool, bool, int]:
    """(words, whether one is too long, whether the line ends a sentence, sentences) of the line
    data[start:stop]."""
    words = 0
    word_length = 0
    has_long_word = False
    last = int64(0)
    second_last = int64(0)
    dots = 0
    after_space = True
    sentences = 1
    end_seen = False
    end_pending = False
    dot_inside = False
    chunk_bytes = uint64(0)
    size = 0
    before = np.uint16(0)
    second_before = np.uint16(0)
    at = start
    while at < stop:
        code, width = decode_point(data, at)
        flags = table[code] if code < table.shape[0] else np.uint16(0)
        if code == _OPEN_BRACKET:
            cut = measure_citation(data, at, stop)
            if cut:
                words += word_length == 0
                word_length += cut
                if data[at + 1] == _LOWER_C:  # `[citation needed]` is two words
                    words += 1
                    word_length = _NEEDED_CHARS
                has_long_word |= word_length > LONGEST_WORD
                if after_space:
                    last = int64(_BLANK)
                    second_last = int64(0)
                    dots = 0
                at += cut
                continue
        at += width
        if flags & SPACE:
            end_seen |= end_pending
            word_length = 0
            after_space = True
            end_pending = False
            dot_inside = False
            size = 0
            chunk_bytes = uint64(0)
            before = np.uint16(0)
            second_before = np.uint16(0)
            continue
        if flags & ALONE:
            words += 1
            word_length = 0
        elif word_length or after_space or not flags & MARK:
            words += word_length == 0
            word_length += 1
            has_long_word |= word_length > LONGEST_WORD
        dots = (0 if after_space else dots) + 1 if code == _DOT else 0
        if code == _DOT:
            if dots > 1:
                end_pending = False
                dot_inside = False
            else:
                dot_inside = _is_dot_token(chunk_bytes, size, before, second_before, abbreviations)
                end_pending |= dot_inside
                dot_inside = dot_inside and (before & (LOWER | QUOTE)) != 0
        elif flags & END:
            end_seen |= size == 0 or (flags & WIDE) != 0
            end_pending = True
            dot_inside = False
        else:
            end_seen |= dot_inside and (flags & (UPPER | QUOTE)) != 0
            dot_inside = False
            if not flags & PUNCTUATION:
                sentences += end_seen
                end_seen = False
                end_pending = False
        if size or not flags & PUNCTUATION:
            chunk_bytes = (chunk_bytes << uint64(8)) | uint64(min(code, 255))
            size += 1
        # A bracket ends a sentence right behind its mark only: "He came。)", not "He came。 )".
        second_last = int64(0) if after_space else last
        last = int64(code)
        second_before = before
        before = flags
        after_space = False
    return words, has_long_word, _is_end(last, second_last, dots, table), sentences


@compile_kernel
def _is_end(last: int, second_last: int, dots: int, table: UInt16s) -> bool:
    """Whether a line that ends with these two characters, and so many dots, ends as C4 wants it."""
    if last == _DOUBLE_QUOTE or last == _APOSTROPHE:
        return True
    flags = table[last] if last < table.shape[0] else np.uint16(0)
    if flags & CLOSING:
        return second_last < table.shape[0] and (table[second_last] & WIDE) != 0
    return (flags & END) != 0 and dots < _ELLIPSIS_DOTS


@inline_kernel
def _is_wide_separator(data: Bytes, at: int, start: int, stop: int) -> bool:
    """Whether byte `at` is one of the two of a middle dot or of a right guillemet."""
    first = at if at < stop and data[at] == _LATIN_1_LEAD else at - 1
    return (
        first >= start
        and first + 1 < stop
        and data[first] == _LATIN_1_LEAD
        and (data[first + 1] == _MIDDLE_DOT_TAIL or data[first + 1] == _GUILLEMET_TAIL)
    )


@compile_kernel
def match_phrases(
    data: Bytes,
    start: int,
    stop: int,
    symbols: Bytes,
    step: Int32s,
    phrase_kinds: Bytes,
    menu_lengths: Int32s,
) -> tuple[int, int, bool]:
    """(kinds of phrases in the line, how often the filler text, whether all parts are menu words)."""
    kinds = 0
    lorem = 0
    menu = True
    menu_parts = 0
    state = 0
    first = -1
    length = 0
    match = 0
    for at in range(start, stop + 1):
        byte = data[at] if at < stop else _PIPE
        if (
            byte == _PIPE
            or byte == _GREATER
            or byte == _SLASH
            or (byte >= _MIDDLE_DOT_TAIL and _is_wide_separator(data, at, start, stop))
        ):
            if first >= 0:
                menu_parts += 1
                menu &= match == length
            state = 0
            first = -1
            length = 0
            match = 0
            continue
        if first < 0:
            if byte <= _BLANK:
                continue
            first = at
        state = step[state, symbols[byte]]
        kinds |= phrase_kinds[state]
        lorem += (phrase_kinds[state] & LOREM) != 0
        if byte > _BLANK:
            length = at + 1 - first
            match = menu_lengths[state]
    return kinds, lorem, menu and menu_parts > 0


@compile_kernel
def detect_code(
    data: Bytes, start: int, stop: int, signs: Bytes, heads: Bytes, cuts: Int64s, certain_heads: int
) -> tuple[int, bool]:
    """(characters, whether it looks like source code) of the line data[start:stop], which begins
    with a visible character.

    `heads` are the words that code begins with, one after the other, cut by `cuts`; the first
    `certain_heads` leave no doubt.
    """
    chars = 0
    visible = 0
    code_signs = 0
    word_gaps = 0
    last = data[start]
    before = data[start] & 0
    for at in range(start, stop):
        byte = data[at]
        chars += (byte & 0xC0) != 0x80
        if byte <= _BLANK:
            word_gaps += before > _BLANK
        else:
            visible += (byte & 0xC0) != 0x80
            last = byte
            is_letter = _LOWER_A <= before | _TO_LOWER <= _LOWER_Z or before == _UNDERSCORE
            code_signs += signs[byte] or (byte == _OPEN_PAREN and is_letter)
        before = byte
    if (
        last == _OPEN_BRACE
        or last == _CLOSE_BRACE
        or (last == _SEMICOLON and code_signs > 1)
        or (code_signs >= _CODE_SIGNS and 10 * code_signs >= visible)
    ):
        return chars, True
    for i in range(cuts.shape[0] - 1):
        if data[start] == heads[cuts[i]] and has_prefix(
            data, start, stop, heads[cuts[i] : cuts[i + 1]]
        ):
            if i < certain_heads:
                return chars, True
            ends_prose = last == _DOT or last == _EXCLAMATION or last == _QUESTION
            has_code_sign = code_signs > 0 or last == _COLON
            inner_gaps = word_gaps - (before <= _BLANK)
            return chars, not ends_prose and (has_code_sign or inner_gaps <= _MAX_CODE_GAPS)
    return chars, False


class CodeHeads(NamedTuple):
    """Words that lines of code begin with: all bytes, where each is cut, and how many of the first
    leave no doubt."""

    data: Bytes
    cuts: Int64s
    certain_count: int


@compile_kernel
def _measure_document(
    row: Float64s,
    data: Bytes,
    start: int,
    stop: int,
    table: UInt16s,
    abbreviations: UInt64s,
    phrases: PhraseAutomaton,
    signs: Bytes,
    heads: CodeHeads,
) -> None:
    """Fill the columns of one document, line by line."""
    lines = 0
    boilerplate = 0
    code_lines = 0
    while start < stop:
        end = start
        while end < stop and data[end] != NEWLINE:
            end += 1
        while start < end and data[start] <= _BLANK:
            start += 1
        words, has_long_word, ends, sentences = measure_prose(
            data, start, end, table, abbreviations
        )
        if words:
            lines += 1
            kinds, lorem, is_menu = match_phrases(
                data, start, end, phrases.symbols, phrases.step, phrases.kinds, phrases.lengths
            )
            chars, is_code = detect_code(
                data, start, end, signs, heads.data, heads.cuts, heads.certain_count
            )
            row[_LOREM_IPSUM] += lorem
            has_notice = (kinds & (JAVASCRIPT | POLICY | NOTE)) != 0
            boilerplate += is_menu or (has_notice and chars <= LONGEST_NOTICE)
            code_lines += is_code
            if ends and words >= LEAST_WORDS and not has_long_word and not kinds & JAVASCRIPT:
                braces = 0
                for at in range(start, end):
                    braces += data[at] == _OPEN_BRACE
                row[_C4_CURLY_BRACES] += braces
                row[_C4_SENTENCES] += 0 if kinds & POLICY else sentences
        start = end + 1
    row[_BOILERPLATE_LINE_RATIO] = boilerplate / lines if lines else 0.0
    row[_CODE_LINE_RATIO] = code_lines / lines if lines else 0.0


@compile_kernel
def _measure_documents(
    data: Bytes,
    offsets: Int64s,
    out: Float64s,
    table: UInt16s,
    abbreviations: UInt64s,
    phrases: PhraseAutomaton,
    signs: Bytes,
    heads: CodeHeads,
) -> None:
    for d in range(offsets.shape[0] - 1):
        _measure_document(
            out[d], data, offsets[d], offsets[d + 1], table, abbreviations, phrases, signs, heads
        )


def encode_heads(certain: Sequence[str], likely: Sequence[str]) -> CodeHeads:
    """The words as the kernel takes them."""
    words = [word.encode() for word in (*certain, *likely)]
    cuts = np.cumsum([0, *map(len, words)]).astype(np.int64)
    return CodeHeads(np.frombuffer(b"".join(words), np.uint8), cuts, len(certain))


def measure_lines(
    data: Bytes, offsets: Integers, phrases: PhraseAutomaton, heads: CodeHeads
) -> Float64s:
    """float64 (n, len(LINE_FIELDS)) for n documents in UTF-8 `data` cut by `offsets` (n + 1).

    Reference: `tests/pipelines/annotate/test_line_signals.py`.
    """
    out = np.zeros((len(offsets) - 1, len(LINE_FIELDS)), np.float64)
    _measure_documents(
        data,
        np.asarray(offsets, np.int64),
        out,
        build_line_table(),
        encode_abbreviations(),
        phrases,
        build_sign_table(),
        heads,
    )
    return out
