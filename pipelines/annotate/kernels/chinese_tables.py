"""The tables by which Chinese is segmented, read from jieba's data files: its dictionary and its
hidden Markov model.

In: `dict.txt` (word, frequency, tag) and `finalseg/prob_*.py` of the installed package; none of
its code is imported. Out: `ChineseWords`, the arrays that `pipelines.annotate.kernels.chinese`
walks.
"""

import math
import runpy
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import int64, uint64

from pipelines.annotate.kernels.packages import package_folder
from pipelines.kernels.arrays import Bytes, Float64s, Int64s, UInt32s, UInt64s
from pipelines.kernels.compile import compile_kernel, inline_kernel

FIRST_HAN, LAST_HAN = 0x4E00, 0x9FD5
"""The Han characters that jieba's regular expressions know (Unicode 8.0's block)."""

BEYOND = LAST_HAN + 1
"""Number of the first node that is no single character: smaller ones are code points."""

NO_WORD = 1.0
"""In place of a weight (a logarithm, never above 0): words begin like this, but it is none."""

NUMBER_MASK = np.uint64(0xFFFF)
"""The lower 16 bits of an entry: the number of its weight."""

DIGIT_ZERO, DIGIT_NINE = 0x30, 0x39

_LOG2_SLOTS = 20
_SLOTS = 1 << _LOG2_SLOTS
"""Slots for beginnings of words, of two characters and more: jieba's dictionary takes half as many."""

_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
"""2 ** 64 divided by the golden ratio: Fibonacci hashing (Knuth, volume 3, 6.4)."""

_STATES = "BEMS"
"""Begin, end, middle, single: in this order, since jieba takes the later letter at a tie."""

_IMPOSSIBLE = -3.14e100
"""jieba's logarithm of 0."""

_NEWLINE, _SPACE = 0x0A, 0x20
_IN_BLOCK, _ALNUM = 1, 2


class ChineseWords(NamedTuple):
    """What `segment_chinese` looks up: the dictionary, then the hidden Markov model."""

    single: Float64s
    """(BEYOND,): the weight of each character as a word; NO_WORD where words only begin so, nan
    where none does."""
    beginnings: UInt64s
    """(slots,): longer beginnings by open addressing: 48 bits of parent and character, 16 of the
    weight's number."""
    weights: Float64s
    """Logarithms of shares of all frequencies, by number."""
    unknown: float
    """The weight of a character that is no word."""
    first_states: Float64s
    """(4,): logarithms of the probabilities of the first state."""
    transitions: Float64s
    """(4, 4): from state, to state."""
    emissions: Float64s
    """(characters from FIRST_HAN on, 4): of a character in a state."""


def _classify_ascii() -> Bytes:
    """Which ASCII characters jieba keeps in one block with Han, and which are letters and digits."""
    classes = np.zeros(128, np.uint8)
    for code in range(128):
        char = chr(code)
        if char.isalnum():
            classes[code] |= _IN_BLOCK | _ALNUM
        elif char in "+#&._%-":
            classes[code] |= _IN_BLOCK
    return classes


_ASCII = _classify_ascii()


@inline_kernel
def is_han(code: int) -> bool:
    """Whether a code point is a Han character of the hidden model."""
    return FIRST_HAN <= code <= LAST_HAN


@inline_kernel
def is_in_block(code: int) -> bool:
    """Whether a code point may be part of a word: Han, letters, digits and a few marks of ASCII."""
    return is_han(code) or (code < 128 and _ASCII[code] != 0)


@inline_kernel
def is_alphanumeric(code: int) -> bool:
    """Whether a code point is a letter or digit of ASCII."""
    return code < 128 and _ASCII[code] & _ALNUM


@inline_kernel
def find_slot(beginnings: UInt64s, parent: int, code: int) -> tuple[int, np.uint64]:
    """The slot of the beginning `parent` + `code`, or the free one where it would be; and its
    entry, or 0.

    The search ends because half of all slots are free.
    """
    key = (uint64(parent) << uint64(16)) | uint64(code)
    slot = (key * _GOLDEN_RATIO) >> uint64(64 - _LOG2_SLOTS)
    entry = beginnings[slot]
    while entry != 0 and entry >> uint64(16) != key:
        slot = (slot + uint64(1)) & uint64(_SLOTS - 1)
        entry = beginnings[slot]
    return int64(slot), entry


@compile_kernel
def _read_lines(text: UInt32s, firsts: Int64s, lasts: Int64s, frequencies: Int64s) -> int:
    """Read lines `word frequency tag`: where the words begin and end, and their frequencies;
    returns how many."""
    count = 0
    at = 0
    size = text.shape[0]
    while at < size:
        firsts[count] = at
        while text[at] != _SPACE:
            at += 1
        lasts[count] = at
        frequencies[count] = 0
        at = at + 1
        while DIGIT_ZERO <= text[at] <= DIGIT_NINE:
            frequencies[count] = frequencies[count] * 10 + int64(text[at]) - DIGIT_ZERO
            at = at + 1
        while text[at] != _NEWLINE:
            at += 1
        at += 1
        count += 1
    return count


@compile_kernel
def _store_word(word: UInt32s, number: int, single: Int64s, beginnings: UInt64s) -> None:
    """Store a word with the number of its weight, and its beginnings, up to a character that no
    block can hold."""
    size = word.shape[0]
    if not is_in_block(word[0]):
        return
    node = int64(word[0])
    single[node] = number if size == 1 else max(single[node], 0)
    for i in range(1, size):
        if not is_in_block(word[i]):
            return
        slot, entry = find_slot(beginnings, node, word[i])
        # A beginning that is a word already keeps its weight.
        weight_number = number if i + 1 == size else int64(entry & NUMBER_MASK)
        key = (uint64(node) << uint64(32)) | (uint64(word[i]) << uint64(16))
        beginnings[slot] = key | uint64(weight_number)
        node = slot + BEYOND


@compile_kernel
def _store_words(
    text: UInt32s,
    firsts: Int64s,
    lasts: Int64s,
    numbers: Int64s,
    single: Int64s,
    beginnings: UInt64s,
) -> None:
    for i in range(numbers.shape[0]):
        _store_word(text[firsts[i] : lasts[i]], numbers[i], single, beginnings)


def read_dictionary(text: str) -> tuple[Float64s, UInt64s, Float64s, float]:
    """The first four fields of `ChineseWords`, from lines `word frequency tag`.

    A weight is the logarithm of a word's share of all frequencies.
    """
    code_points = np.frombuffer((text.rstrip("\n") + "\n").encode("utf-32-le"), "<u4")
    lines = text.count("\n") + 1
    firsts = np.empty(lines, np.int64)
    lasts = np.empty(lines, np.int64)
    frequencies = np.empty(lines, np.int64)
    count = _read_lines(code_points, firsts, lasts, frequencies)
    # By Python's own logarithm, as jieba's: the last bit decides between paths of equal weight.
    log_total = math.log(frequencies[:count].sum())
    distinct, numbers = np.unique(frequencies[:count], return_inverse=True)
    logarithms = [math.log(frequency) - log_total for frequency in distinct.tolist()]
    weights = np.array([NO_WORD, *logarithms])
    assert len(weights) <= NUMBER_MASK, "the number of a weight has 16 bits"
    single = np.full(BEYOND, -1, np.int64)
    beginnings = np.zeros(_SLOTS, np.uint64)
    _store_words(code_points, firsts, lasts, numbers + 1, single, beginnings)
    single_weights = np.where(single < 0, np.nan, weights[np.maximum(single, 0)])
    return single_weights, beginnings, weights, -log_total


def _read_hidden_model(folder: Path) -> tuple[Float64s, Float64s, Float64s]:
    """The last three fields of `ChineseWords`, from the files `prob_start.py`, `prob_trans.py` and
    `prob_emit.py`."""
    start, transitions, emissions = (
        runpy.run_path(str(folder / f"prob_{name}.py"))["P"] for name in ("start", "trans", "emit")
    )
    emitted = np.full((BEYOND - FIRST_HAN, len(_STATES)), _IMPOSSIBLE)
    for column, state in enumerate(_STATES):
        for char, value in emissions[state].items():
            if FIRST_HAN <= ord(char) <= LAST_HAN:
                emitted[ord(char) - FIRST_HAN, column] = value
    table = np.full((len(_STATES), len(_STATES)), _IMPOSSIBLE)
    for row, state in enumerate(_STATES):
        for next_state, value in transitions[state].items():
            table[row, _STATES.index(next_state)] = value
    return np.array([start[state] for state in _STATES]), table, emitted


@lru_cache(maxsize=1)
def load_chinese_words() -> ChineseWords:
    """Read the tables of the installed jieba: 9 MB."""
    folder = package_folder("jieba")
    dictionary = (folder / "dict.txt").read_text(encoding="utf-8")
    return ChineseWords(*read_dictionary(dictionary), *_read_hidden_model(folder / "finalseg"))


def make_empty_chinese_words() -> ChineseWords:
    """Tables of the same types without content, where no document is Chinese."""
    empty = np.zeros(0)
    square = np.zeros((0, 0))
    return ChineseWords(empty, np.zeros(0, np.uint64), empty, 0.0, empty, square, square)
