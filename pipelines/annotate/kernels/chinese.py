"""Cut Chinese text into words exactly as jieba does, compiled: the likeliest path through its dictionary, then its HMM.

FineWeb-2 found its bounds for Chinese with jieba's words (0.42.1, `cut` with HMM). Its code takes over ten times as long; we
read its data only: the dictionary (word -> frequency) and the hidden Markov model for runs of characters that no word
covers (states begin, end, middle, single; Viterbi 1967). Decision record 9.
"""

import math
import runpy
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, uint64

from pipelines.annotate.kernels.packages import package_folder
from pipelines.annotate.kernels.token_classes import SPACE

FIRST_HAN, LAST_HAN = 0x4E00, 0x9FD5
_BEYOND = LAST_HAN + 1
_SLOTS = 1 << 20
"""Places for beginnings of words, of two characters and more: half as many are taken."""
_NO_WORD = 1.0
"""In place of a weight (a logarithm, never above 0): words begin like this, but it is none."""
_STATES = "BEMS"
"""Begin, end, middle, single: in this order, since jieba takes the later letter at a tie."""
_IMPOSSIBLE = -3.14e100
_DOT, _PERCENT, _NEWLINE, _BLANK = 0x2E, 0x25, 0x0A, 0x20
_IN_BLOCK, _ALNUM = 1, 2


def _ascii_kinds() -> np.ndarray:
    kinds = np.zeros(128, np.uint8)
    for code in range(128):
        char = chr(code)
        kinds[code] = _IN_BLOCK * (char.isalnum() or char in "+#&._%-") | _ALNUM * char.isalnum()
    return kinds


_ASCII = _ascii_kinds()


@njit(nogil=True, cache=True, inline="always")
def _is_han(code):  # type: ignore[no-untyped-def]
    return FIRST_HAN <= code <= LAST_HAN


@njit(nogil=True, cache=True, inline="always")
def _in_block(code):  # type: ignore[no-untyped-def]
    return _is_han(code) or (code < 128 and _ASCII[code] != 0)


@njit(nogil=True, cache=True, inline="always")
def _is_alnum(code):  # type: ignore[no-untyped-def]
    return code < 128 and _ASCII[code] & _ALNUM


@njit(nogil=True, cache=True, inline="always")
def _slot(beginnings, parent, code):  # type: ignore[no-untyped-def]
    """Where the beginning `parent` + `code` is, or the free place where it would be; and what is held there, or 0."""
    key = (uint64(parent) << uint64(16)) | uint64(code)
    at = (key * uint64(0x9E3779B97F4A7C15)) >> uint64(44)
    held = beginnings[at]
    while held != 0 and held >> uint64(16) != key:
        at = (at + uint64(1)) & uint64(_SLOTS - 1)
        held = beginnings[at]
    return np.int64(at), held


@njit(nogil=True, cache=True, inline="always")
def _best_path(points, a, b, words, score, step):  # type: ignore[no-untyped-def]
    """Fill `step[i]`, the end of the word at `i` on the likeliest path through points[a:b]; the longer at a tie."""
    single, beginnings, weights, unknown = words[0], words[1], words[2], words[3]
    score[b] = 0.0
    for i in range(b - 1, a - 1, -1):
        weight = single[points[i]]
        best, end = unknown + score[i + 1], i + 1
        if weight <= 0.0:
            best = weight + score[i + 1]
        hit = weight <= 0.0
        node, at = np.int64(points[i]), i + 1
        while weight == weight and at < b:
            place, held = _slot(beginnings, node, points[at])
            if held == 0:
                break
            at += 1
            weight = weights[held & uint64(0xFFFF)]
            if weight <= 0.0:
                value = weight + score[at]
                if not hit or value >= best:
                    best, end, hit = value, at, True
            node = place + _BEYOND
        score[i], step[i] = best, end


@njit(nogil=True, cache=True, inline="always")
def _is_word(points, a, b, words):  # type: ignore[no-untyped-def]
    single, beginnings, weights = words[0], words[1], words[2]
    if single[points[a]] != single[points[a]]:
        return False
    node, weight = np.int64(points[a]), single[points[a]]
    for at in range(a + 1, b):
        place, held = _slot(beginnings, node, points[at])
        if held == 0:
            return False
        node, weight = place + _BEYOND, weights[held & uint64(0xFFFF)]
    return weight <= 0.0


@njit(nogil=True, cache=True)
def _cut_hidden(points, a, b, words, back, starts, ends, count):  # type: ignore[no-untyped-def]
    """Cut a run of Han characters by the likeliest states (B E M S, in this order; the later one at a tie)."""
    begins, moves, emits = words[4], words[5], words[6]
    end_begin, single_begin, end_single, single_single = (
        moves[1, 0],
        moves[3, 0],
        moves[1, 3],
        moves[3, 3],
    )
    begin_end, middle_end, begin_middle, middle_middle = (
        moves[0, 1],
        moves[2, 1],
        moves[0, 2],
        moves[2, 2],
    )
    row = points[a] - FIRST_HAN
    begin, end = begins[0] + emits[row, 0], begins[1] + emits[row, 1]
    middle, single = begins[2] + emits[row, 2], begins[3] + emits[row, 3]
    for i in range(a + 1, b):
        row = points[i] - FIRST_HAN
        was, place = begin, 4 * i
        to_begin, to_end, to_middle, to_single = (
            emits[row, 0],
            emits[row, 1],
            emits[row, 2],
            emits[row, 3],
        )
        after_end, after_single = end + end_begin + to_begin, single + single_begin + to_begin
        back[place] = 3 if after_single >= after_end else 1
        begin = after_single if after_single >= after_end else after_end
        after_end, after_single = end + end_single + to_single, single + single_single + to_single
        back[place + 3] = 3 if after_single >= after_end else 1
        single = after_single if after_single >= after_end else after_end
        after_begin, after_middle = was + begin_end + to_end, middle + middle_end + to_end
        back[place + 1] = 2 if after_middle >= after_begin else 0
        end = after_middle if after_middle >= after_begin else after_begin
        after_begin, after_middle = (
            was + begin_middle + to_middle,
            middle + middle_middle + to_middle,
        )
        back[place + 2] = 2 if after_middle >= after_begin else 0
        middle = after_middle if after_middle >= after_begin else after_begin
    state, last = 3 if single >= end else 1, b
    # Backwards: a word ends where the state is E or S, and what lies behind a single or a beginning is one whole.
    first = count
    for i in range(b - 1, a - 1, -1):
        if state == 0 or state == 3:
            starts[count], ends[count] = i, last
            count += 1
            last = i
        if i > a:
            state = back[4 * i + state]
    if last > a:
        starts[count], ends[count] = a, last
        count += 1
    _turn(starts, first, count)
    _turn(ends, first, count)
    return count


@njit(nogil=True, cache=True, inline="always")
def _turn(values, first, last):  # type: ignore[no-untyped-def]
    while first < last - 1:
        last -= 1
        values[first], values[last] = values[last], values[first]
        first += 1


@njit(nogil=True, cache=True, inline="always")
def _number_end(points, a, b):  # type: ignore[no-untyped-def]
    """The end of the letters and digits at `a`, with a decimal part and a percent sign."""
    while a < b and _is_alnum(points[a]):
        a += 1
    if a + 1 < b and points[a] == _DOT and 48 <= points[a + 1] <= 57:
        a += 1
        while a < b and 48 <= points[a] <= 57:
            a += 1
    return a + 1 if a < b and points[a] == _PERCENT else a


@njit(nogil=True, cache=True, inline="always")
def _cut_unknown(points, a, b, words, back, starts, ends, count):  # type: ignore[no-untyped-def]
    """Cut characters that stand alone on the path: Han by the hidden model, the rest into numbers and what is between."""
    while a < b:
        first = a
        if _is_han(points[a]):
            while a < b and _is_han(points[a]):
                a += 1
            count = _cut_hidden(points, first, a, words, back, starts, ends, count)
            continue
        if _is_alnum(points[a]):
            a = _number_end(points, a, b)
        else:
            while a < b and not _is_han(points[a]) and not _is_alnum(points[a]):
                a += 1
        starts[count], ends[count] = first, a
        count += 1
    return count


@njit(nogil=True, cache=True, inline="always")
def _cut_alone(points, a, b, words, back, starts, ends, count):  # type: ignore[no-untyped-def]
    """Cut a stretch of the path, of two characters or more, on which every character is a step of its own."""
    if not _is_word(points, a, b, words):
        return _cut_unknown(points, a, b, words, back, starts, ends, count)
    for i in range(a, b):
        starts[count], ends[count] = i, i + 1
        count += 1
    return count


@njit(nogil=True, cache=True, inline="always")
def _cut_block(points, a, b, words, score, step, back, starts, ends, count):  # type: ignore[no-untyped-def]
    _best_path(points, a, b, words, score, step)
    alone = a
    while a <= b:
        end = step[a] if a < b else b + 2
        if end - a > 1:
            if a - alone > 1:
                count = _cut_alone(points, alone, a, words, back, starts, ends, count)
            elif a > alone:
                starts[count], ends[count] = alone, a
                count += 1
            if a < b:
                starts[count], ends[count] = a, end
                count += 1
            alone = end
        a = end
    return count


@njit(nogil=True, cache=True)
def segment_chinese(points, flags, chars, words, score, step, back, starts, ends):  # type: ignore[no-untyped-def]
    """Cut `chars` code points into jieba's words without white space; returns how many.

    `flags` are those of kernels.token_classes. `words` is `chinese_words()`. Fills `starts` and `ends` with places among the
    code points; `score`, `step` (chars + 1 each) and `back` (4 * chars) are room to work in.
    """
    count, i = 0, 0
    while i < chars:
        first = i
        while i < chars and _in_block(points[i]):
            i += 1
        if i > first:
            count = _cut_block(points, first, i, words, score, step, back, starts, ends, count)
        else:
            if not flags[i] & SPACE:
                starts[count], ends[count] = i, i + 1
                count += 1
            i += 1
    return count


@njit(nogil=True, cache=True)
def _read_lines(text, firsts, lasts, freqs):  # type: ignore[no-untyped-def]
    """Find lines `word frequency tag`: the places of the words and their frequencies; returns how many."""
    count, at, size = 0, 0, text.shape[0]
    while at < size:
        firsts[count] = at
        while text[at] != _BLANK:
            at += 1
        lasts[count], freqs[count], at = at, 0, at + 1
        while 48 <= text[at] <= 57:
            freqs[count], at = freqs[count] * 10 + np.int64(text[at]) - 48, at + 1
        while text[at] != _NEWLINE:
            at += 1
        at += 1
        count += 1
    return count


@njit(nogil=True, cache=True)
def _enter(word, number, single, beginnings):  # type: ignore[no-untyped-def]
    """Enter a word with the number of its weight, and its beginnings, up to a character that no block can hold."""
    size = word.shape[0]
    if not _in_block(word[0]):
        return
    node = np.int64(word[0])
    single[node] = number if size == 1 else max(single[node], 0)
    for i in range(1, size):
        if not _in_block(word[i]):
            return
        place, held = _slot(beginnings, node, word[i])
        mine = number if i + 1 == size else np.int64(held & uint64(0xFFFF))
        beginnings[place] = (
            (uint64(node) << uint64(32)) | (uint64(word[i]) << uint64(16)) | uint64(mine)
        )
        node = place + _BEYOND


@njit(nogil=True, cache=True)
def _enter_all(text, firsts, lasts, numbers, single, beginnings):  # type: ignore[no-untyped-def]
    for i in range(numbers.shape[0]):
        _enter(text[firsts[i] : lasts[i]], numbers[i], single, beginnings)


def read_dictionary(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Weights of single characters (nan: no word begins so); longer beginnings; their weights; the weight of no word.

    `text` holds lines `word frequency tag`. A weight is the logarithm of a word's share of all frequencies. A beginning
    holds 37 bits of what it is (its own beginning and last character) and 16 of the number of its weight.
    """
    points = np.frombuffer((text.rstrip("\n") + "\n").encode("utf-32-le"), "<u4")
    firsts, lasts, freqs = (np.empty(text.count("\n") + 1, np.int64) for _ in range(3))
    count = _read_lines(points, firsts, lasts, freqs)
    # By Python's own logarithm, as jieba's: the last bit decides between paths of equal weight.
    log_total = math.log(freqs[:count].sum())
    known, numbers = np.unique(freqs[:count], return_inverse=True)
    weights = np.array([_NO_WORD, *(math.log(freq) - log_total for freq in known.tolist())])
    assert len(weights) <= 0xFFFF, "the number of a weight has 16 bits"
    single, beginnings = np.full(_BEYOND, -1, np.int64), np.zeros(_SLOTS, np.uint64)
    _enter_all(points, firsts, lasts, numbers + 1, single, beginnings)
    return (
        np.where(single < 0, np.nan, weights[np.maximum(single, 0)]),
        beginnings,
        weights,
        -log_total,
    )


def _hidden_model(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms of the first state (4), of the next (4, 4), and of a character in a state (characters, 4)."""
    start, moves, emits = (
        runpy.run_path(str(folder / f"prob_{name}.py"))["P"] for name in ("start", "trans", "emit")
    )
    emitted = np.full((_BEYOND - FIRST_HAN, 4), _IMPOSSIBLE)
    for column, state in enumerate(_STATES):
        for char, value in emits[state].items():
            if FIRST_HAN <= ord(char) <= LAST_HAN:
                emitted[ord(char) - FIRST_HAN, column] = value
    table = [[moves[a].get(b, _IMPOSSIBLE) for b in _STATES] for a in _STATES]
    return np.array([start[state] for state in _STATES]), np.array(table), emitted


@lru_cache(maxsize=1)
def load_chinese_words() -> tuple[Any, ...]:
    """What `cut_chinese` looks up, read from jieba's files: 9 MB. Its code is never imported."""
    folder = package_folder("jieba")
    return (
        *read_dictionary((folder / "dict.txt").read_text(encoding="utf-8")),
        *_hidden_model(folder / "finalseg"),
    )


def make_empty_chinese_words() -> tuple[Any, ...]:
    """Tables of the same types without content, where no document is Chinese."""
    none = np.zeros(0)
    return none, np.zeros(0, np.uint64), none, 0.0, none, np.zeros((0, 0)), np.zeros((0, 0))
