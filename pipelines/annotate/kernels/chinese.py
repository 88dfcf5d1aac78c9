"""Segment Chinese text into words exactly as jieba does, compiled: the likeliest path through its
dictionary, then its HMM.

FineWeb-2 found its bounds for Chinese with jieba's words (0.42.1, `cut` with HMM), whose code
takes over ten times as long. In: code points and `ChineseWords`. Out: where each word begins and
ends. The hidden Markov model (states begin, end, middle, single; Viterbi 1967) splits runs of
characters that no word covers. Decision record 9. Reference: jieba itself in
`tests/pipelines/annotate/test_chinese.py`.
"""

# ruff: noqa: SIM109 - numba turns `in` with a tuple into a loop, comparisons into instructions

from numba import int64

from pipelines.annotate.kernels.chinese_tables import (
    BEYOND,
    DIGIT_NINE,
    DIGIT_ZERO,
    FIRST_HAN,
    NUMBER_MASK,
    ChineseWords,
    find_slot,
    is_alphanumeric,
    is_han,
    is_in_block,
)
from pipelines.annotate.kernels.token_classes import SPACE
from pipelines.kernels.arrays import Bytes, Float64s, Int32s, UInt16s
from pipelines.kernels.compile import compile_kernel, inline_kernel

_DOT, _PERCENT = 0x2E, 0x25
_BEGIN, _END, _MIDDLE, _SINGLE = range(4)
"""States, in the order of the columns of `ChineseWords`."""


@inline_kernel
def _fill_best_path(
    code_points: Int32s, a: int, b: int, words: ChineseWords, score: Float64s, step: Int32s
) -> None:
    """Fill `step[i]`, the end of the word at `i` on the likeliest path from a to b; the longer at a
    tie.

    A weight above 0 is NO_WORD: a word may still begin so. It is nan where none does, and
    `weight == weight` ends the search there.
    """
    single = words.single
    beginnings = words.beginnings
    weights = words.weights
    unknown = words.unknown
    score[b] = 0.0
    for i in range(b - 1, a - 1, -1):
        weight = single[code_points[i]]
        best = unknown + score[i + 1]
        end = i + 1
        if weight <= 0.0:
            best = weight + score[i + 1]
        has_word = weight <= 0.0
        node = int64(code_points[i])
        at = i + 1
        while weight == weight and at < b:
            slot, entry = find_slot(beginnings, node, code_points[at])
            if entry == 0:
                break
            at += 1
            weight = weights[entry & NUMBER_MASK]
            if weight <= 0.0:
                value = weight + score[at]
                if not has_word or value >= best:
                    best = value
                    end = at
                    has_word = True
            node = slot + BEYOND
        score[i] = best
        step[i] = end


@inline_kernel
def _is_word(code_points: Int32s, a: int, b: int, words: ChineseWords) -> bool:
    """Whether the characters a to b are one word of the dictionary."""
    single = words.single
    beginnings = words.beginnings
    weights = words.weights
    if single[code_points[a]] != single[code_points[a]]:
        return False
    node = int64(code_points[a])
    weight = single[code_points[a]]
    for at in range(a + 1, b):
        slot, entry = find_slot(beginnings, node, code_points[at])
        if entry == 0:
            return False
        node = slot + BEYOND
        weight = weights[entry & NUMBER_MASK]
    return weight <= 0.0


@compile_kernel
def _fill_states(
    code_points: Int32s, a: int, b: int, words: ChineseWords, back_pointers: Bytes
) -> int:
    """Viterbi's forward pass over a run of Han characters; returns the best last state, END or
    SINGLE.

    `back_pointers[4 * i + state]` is the state before that of character `i`. Of the 16
    transitions 8 are possible: END and SINGLE are followed by BEGIN or SINGLE, BEGIN and MIDDLE
    by MIDDLE or END. At a tie the later letter of B, E, M, S wins, as in jieba.
    """
    first_states = words.first_states
    transitions = words.transitions
    emissions = words.emissions
    end_begin = transitions[_END, _BEGIN]
    single_begin = transitions[_SINGLE, _BEGIN]
    end_single = transitions[_END, _SINGLE]
    single_single = transitions[_SINGLE, _SINGLE]
    begin_end = transitions[_BEGIN, _END]
    middle_end = transitions[_MIDDLE, _END]
    begin_middle = transitions[_BEGIN, _MIDDLE]
    middle_middle = transitions[_MIDDLE, _MIDDLE]
    row = code_points[a] - FIRST_HAN
    begin = first_states[_BEGIN] + emissions[row, _BEGIN]
    end = first_states[_END] + emissions[row, _END]
    middle = first_states[_MIDDLE] + emissions[row, _MIDDLE]
    single = first_states[_SINGLE] + emissions[row, _SINGLE]
    for i in range(a + 1, b):
        row = code_points[i] - FIRST_HAN
        cell = 4 * i
        previous_begin = begin
        to_begin = emissions[row, _BEGIN]
        to_end = emissions[row, _END]
        to_middle = emissions[row, _MIDDLE]
        to_single = emissions[row, _SINGLE]

        after_end = end + end_begin + to_begin
        after_single = single + single_begin + to_begin
        back_pointers[cell + _BEGIN] = _SINGLE if after_single >= after_end else _END
        begin = after_single if after_single >= after_end else after_end

        after_end = end + end_single + to_single
        after_single = single + single_single + to_single
        back_pointers[cell + _SINGLE] = _SINGLE if after_single >= after_end else _END
        single = after_single if after_single >= after_end else after_end

        after_begin = previous_begin + begin_end + to_end
        after_middle = middle + middle_end + to_end
        back_pointers[cell + _END] = _MIDDLE if after_middle >= after_begin else _BEGIN
        end = after_middle if after_middle >= after_begin else after_begin

        after_begin = previous_begin + begin_middle + to_middle
        after_middle = middle + middle_middle + to_middle
        back_pointers[cell + _MIDDLE] = _MIDDLE if after_middle >= after_begin else _BEGIN
        middle = after_middle if after_middle >= after_begin else after_begin
    return _SINGLE if single >= end else _END


@compile_kernel
def _segment_hidden(
    code_points: Int32s,
    a: int,
    b: int,
    words: ChineseWords,
    back_pointers: Bytes,
    starts: Int32s,
    ends: Int32s,
    count: int,
) -> int:
    """Segment a run of Han characters by its likeliest states; returns the new number of words."""
    state = _fill_states(code_points, a, b, words, back_pointers)
    # Backwards: a word begins where the state is BEGIN or SINGLE, and what is left in front is one
    # word.
    word_end = b
    first = count
    for i in range(b - 1, a - 1, -1):
        if state == _BEGIN or state == _SINGLE:
            starts[count] = i
            ends[count] = word_end
            count += 1
            word_end = i
        if i > a:
            state = back_pointers[4 * i + state]
    if word_end > a:
        starts[count] = a
        ends[count] = word_end
        count += 1
    _reverse(starts, first, count)
    _reverse(ends, first, count)
    return count


@inline_kernel
def _reverse(values: Int32s, first: int, last: int) -> None:
    """Reverse values[first:last] in place."""
    while first < last - 1:
        last -= 1
        values[first], values[last] = values[last], values[first]
        first += 1


@inline_kernel
def _is_digit(code: int) -> bool:
    return DIGIT_ZERO <= code <= DIGIT_NINE


@inline_kernel
def _find_number_end(code_points: Int32s, a: int, b: int) -> int:
    """The end of the letters and digits at `a`, with a decimal part and a percent sign."""
    while a < b and is_alphanumeric(code_points[a]):
        a += 1
    if a + 1 < b and code_points[a] == _DOT and _is_digit(code_points[a + 1]):
        a += 1
        while a < b and _is_digit(code_points[a]):
            a += 1
    return a + 1 if a < b and code_points[a] == _PERCENT else a


@inline_kernel
def _segment_unknown(
    code_points: Int32s,
    a: int,
    b: int,
    words: ChineseWords,
    back_pointers: Bytes,
    starts: Int32s,
    ends: Int32s,
    count: int,
) -> int:
    """Segment characters that are single steps of the path: Han by the hidden model, the rest into
    numbers and others."""
    while a < b:
        first = a
        if is_han(code_points[a]):
            while a < b and is_han(code_points[a]):
                a += 1
            count = _segment_hidden(
                code_points, first, a, words, back_pointers, starts, ends, count
            )
            continue
        if is_alphanumeric(code_points[a]):
            a = _find_number_end(code_points, a, b)
        else:
            while a < b and not is_han(code_points[a]) and not is_alphanumeric(code_points[a]):
                a += 1
        starts[count] = first
        ends[count] = a
        count += 1
    return count


@inline_kernel
def _segment_singles(
    code_points: Int32s,
    a: int,
    b: int,
    words: ChineseWords,
    back_pointers: Bytes,
    starts: Int32s,
    ends: Int32s,
    count: int,
) -> int:
    """Segment a stretch of two characters or more on which every character is a step of its own.

    jieba asks the hidden model only where the stretch as one is no word of its dictionary.
    """
    if not _is_word(code_points, a, b, words):
        return _segment_unknown(code_points, a, b, words, back_pointers, starts, ends, count)
    for i in range(a, b):
        starts[count] = i
        ends[count] = i + 1
        count += 1
    return count


@inline_kernel
def _segment_block(
    code_points: Int32s,
    a: int,
    b: int,
    words: ChineseWords,
    score: Float64s,
    step: Int32s,
    back_pointers: Bytes,
    starts: Int32s,
    ends: Int32s,
    count: int,
) -> int:
    """Segment the block a to b, whose characters may all be parts of words; returns the new number
    of words."""
    _fill_best_path(code_points, a, b, words, score, step)
    singles_start = a
    while a <= b:
        # Behind the block a step of two closes the last stretch of single characters.
        end = step[a] if a < b else b + 2
        if end - a > 1:
            if a - singles_start > 1:
                count = _segment_singles(
                    code_points, singles_start, a, words, back_pointers, starts, ends, count
                )
            elif a > singles_start:
                starts[count] = singles_start
                ends[count] = a
                count += 1
            if a < b:
                starts[count] = a
                ends[count] = end
                count += 1
            singles_start = end
        a = end
    return count


@compile_kernel
def segment_chinese(
    code_points: Int32s,
    flags: UInt16s,
    chars: int,
    words: ChineseWords,
    score: Float64s,
    step: Int32s,
    back_pointers: Bytes,
    starts: Int32s,
    ends: Int32s,
) -> int:
    """Segment `chars` code points into jieba's words without white space; returns how many.

    `flags` are those of `pipelines.annotate.kernels.token_classes`. Fills `starts` and `ends`
    with positions among the code points; `score`, `step` (chars + 1 each) and `back_pointers` (4
    * chars) are only worked in.
    """
    count = 0
    i = 0
    while i < chars:
        first = i
        while i < chars and is_in_block(code_points[i]):
            i += 1
        if i > first:
            count = _segment_block(
                code_points, first, i, words, score, step, back_pointers, starts, ends, count
            )
        else:
            if not flags[i] & SPACE:
                starts[count] = i
                ends[count] = i + 1
                count += 1
            i += 1
    return count
