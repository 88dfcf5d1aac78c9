"""Find every listed word in a column of texts in one pass over its bytes, and count words and
sentences on the way."""

# ruff: noqa: SIM109 - numba turns `in` with a tuple into a loop, comparisons into instructions

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from bias_audit.lexicon import Lexicon

Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]

_NEWLINE = 0x0A
_EXCLAMATION, _QUESTION = 0x21, 0x3F
_DOUBLE_QUOTE, _APOSTROPHE = 0x22, 0x27
_FULL_STOP = 0x2E
_ZERO, _NINE = 0x30, 0x39
_UPPER_A, _UPPER_Z = 0x41, 0x5A
_LOWER_A, _LOWER_Z = 0x61, 0x7A
_FIRST_NOT_ASCII = 0x80


class LexiconAutomaton(NamedTuple):
    """A trie over UTF-8 bytes of all surfaces of one language, as the kernel takes it."""

    classes: Bytes
    """(256,): the column of each byte; 0 for bytes of no surface."""
    trie: Ints
    """(nodes, columns): the next node, 0 where no surface goes on."""
    ends: Ints
    """(nodes,): the entry that ends here, or -1."""
    label_of: Ints
    """(entries,): the label of each entry; -1 for an exception, which hides what lies in it."""
    capital: Bools
    """(entries,): whether the surface begins with a capital."""
    cover_of: Ints
    """(labels,): labels of one number are counted once at a position."""
    spaced: bool
    """Whether words are written with spaces between them."""


@dataclass(frozen=True, slots=True)
class LexiconScan:
    """What one batch of texts holds: its sentences (words and document of each) and its matches."""

    sentence_words: Ints
    sentence_doc: Ints
    match_sentence: Ints
    match_label: Ints

    def words(self, documents: int) -> NDArray[np.int64]:
        """Words (Han characters in Chinese) of every document."""
        return np.bincount(
            self.sentence_doc, weights=self.sentence_words, minlength=documents
        ).astype(np.int64)

    def match_doc(self) -> Ints:
        """The document of every match."""
        return self.sentence_doc[self.match_sentence]


def compile_lexicon(lexicon: Lexicon) -> LexiconAutomaton:
    """Build the automaton of one language's lists.

    Letters match in any case, but a surface that begins with a capital needs it in the text. A
    place is counted once per group, and once per kind of term: 外祖母 is not also 祖母, 外科医生 not also
    医生.
    """
    surfaces = [surface.lower().encode() for surface, _ in lexicon.entries]
    classes = _number_bytes(surfaces)
    trie, ends = _build_trie(surfaces, classes)
    keys = [label.key if label.kind == "group" else label.kind for label in lexicon.labels]
    covers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return LexiconAutomaton(
        classes,
        trie,
        ends,
        label_of=np.array([label for _, label in lexicon.entries], dtype=np.int32),
        capital=np.array([surface[0].isupper() for surface, _ in lexicon.entries], dtype=np.bool_),
        cover_of=np.array([covers[key] for key in keys], dtype=np.int32),
        spaced=lexicon.lang != "zh",
    )


def _number_bytes(surfaces: list[bytes]) -> NDArray[np.uint8]:
    """Number the bytes that occur in any surface from 1; 0 stands for all others, so that the trie
    stays narrow."""
    used = sorted(set(b"".join(surfaces)))
    classes = np.zeros(256, dtype=np.uint8)
    classes[used] = np.arange(1, len(used) + 1)
    for upper in range(ord("A"), ord("Z") + 1):
        classes[upper] = classes[upper + 32]
    return classes


def _build_trie(surfaces: list[bytes], classes: NDArray[np.uint8]) -> tuple[Ints, Ints]:
    nodes: list[dict[int, int]] = [{}]
    ends: list[int] = [-1]
    for number, surface in enumerate(surfaces):
        node = 0
        for byte in surface:
            step = int(classes[byte])
            if step not in nodes[node]:
                nodes[node][step] = len(nodes)
                nodes.append({})
                ends.append(-1)
            node = nodes[node][step]
        if ends[node] >= 0:
            raise ValueError(f"two surfaces differ only in case: {surface.decode()!r}")
        ends[node] = number
    trie = np.zeros((len(nodes), int(classes.max()) + 1), dtype=np.int32)
    for node, steps in enumerate(nodes):
        for step, target in steps.items():
            trie[node, step] = target
    return trie, np.array(ends, dtype=np.int32)


class Matches(NamedTuple):
    """Where the kernel writes; arrays of length 0 only count."""

    sentence_words: Ints
    sentence_doc: Ints
    match_sentence: Ints
    match_label: Ints


def scan(texts: pa.StringArray, automaton: LexiconAutomaton) -> LexiconScan:
    """Scan one batch of texts. Counts first, then fills arrays of exactly that size.

    Reference: the plain search in `tests/bias_audit/test_matcher.py`.
    """
    data, offsets = _get_buffers(texts)
    empty = np.empty(0, dtype=np.int32)
    sentences, matches = _scan_texts(data, offsets, automaton, Matches(empty, empty, empty, empty))
    # One slot at least: an array of length 0 would only be counted for.
    out = Matches(
        np.empty(max(1, sentences), dtype=np.int32),
        np.empty(max(1, sentences), dtype=np.int32),
        np.empty(max(1, matches), dtype=np.int32),
        np.empty(max(1, matches), dtype=np.int32),
    )
    _scan_texts(data, offsets, automaton, out)
    return LexiconScan(
        out.sentence_words[:sentences],
        out.sentence_doc[:sentences],
        out.match_sentence[:matches],
        out.match_label[:matches],
    )


def _get_buffers(texts: pa.StringArray) -> tuple[NDArray[np.uint8], Ints]:
    """The bytes and offsets of a string column; slices keep their parent's buffers, so offsets
    start where they start."""
    if texts.null_count:
        texts = texts.fill_null("")
    _, offsets, data = texts.buffers()
    if len(texts) == 0 or data is None:
        return np.zeros(1, dtype=np.uint8), np.zeros(len(texts) + 1, dtype=np.int32)
    edges = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, dtype=np.uint8), edges


@njit(nogil=True, cache=True)
def _is_word(data: Bytes, at: int, stop: int, spaced: bool) -> bool:
    """Letter or digit of a spaced script (ASCII, two-byte letters, Latin Extended Additional), or a
    Han character."""
    byte = data[at]
    if spaced:
        if byte < _FIRST_NOT_ASCII:
            is_digit = _ZERO <= byte <= _NINE
            is_capital = _UPPER_A <= byte <= _UPPER_Z
            return bool(is_digit or is_capital or _LOWER_A <= byte <= _LOWER_Z)
        # 0xC3 leads U+00C0 on, 0xE1 leads U+1E00 to U+1EFF among others.
        return bool(0xC3 <= byte < 0xE0 or byte == 0xE1)
    # U+3400 to U+3FFF, U+4000 to U+9FFF, and from U+20000 on.
    if byte == 0xE3:
        return bool(at + 1 < stop and data[at + 1] >= 0x90)
    return bool(0xE4 <= byte <= 0xE9 or (byte == 0xF0 and at + 1 < stop and data[at + 1] >= 0xA0))


@njit(nogil=True, cache=True)
def _ends_sentence(data: Bytes, at: int, stop: int) -> bool:
    """A line break, ! or ?, a full stop before a space or the end, or one of the Chinese marks."""
    byte = data[at]
    if byte == _NEWLINE or byte == _EXCLAMATION or byte == _QUESTION:
        return True
    if byte == _FULL_STOP:
        # Bytes up to the double quote: white space, `!` and `"`.
        return bool(at + 1 >= stop or data[at + 1] <= _DOUBLE_QUOTE or data[at + 1] == _APOSTROPHE)
    if at + 2 >= stop:
        return False
    # U+3002 is E3 80 82; U+FF01 and U+FF1F are EF BC 81 and EF BC 9F.
    if byte == 0xE3:
        return bool(data[at + 1] == 0x80 and data[at + 2] == 0x82)
    return bool(
        byte == 0xEF and data[at + 1] == 0xBC and (data[at + 2] == 0x81 or data[at + 2] == 0x9F)
    )


@njit(nogil=True, cache=True)
def _is_apostrophe(data: Bytes, at: int, stop: int) -> bool:
    """Whether ' or U+2019 (E2 80 99) stands at `at`."""
    if data[at] == _APOSTROPHE:
        return True
    return bool(
        at + 2 < stop and data[at] == 0xE2 and data[at + 1] == 0x80 and data[at + 2] == 0x99
    )


@njit(nogil=True, cache=True)
def _measure_character(first_byte: int) -> int:
    """Bytes of the character that begins with this byte of valid UTF-8."""
    if first_byte < _FIRST_NOT_ASCII:
        return 1
    if first_byte < 0xE0:
        return 2
    return 3 if first_byte < 0xF0 else 4


@njit(nogil=True, cache=True)
def _find_longest(data: Bytes, at: int, stop: int, automaton: LexiconAutomaton) -> tuple[int, int]:
    """The longest entry that begins at `at` and where it ends; (-1, at) when there is none."""
    node = 0
    end = at
    longest = -1
    longest_end = at
    has_capital = _UPPER_A <= data[at] <= _UPPER_Z
    while end < stop:
        node = automaton.trie[node, automaton.classes[data[end]]]
        if node == 0:
            break
        end += 1
        entry = automaton.ends[node]
        if entry < 0 or (automaton.capital[entry] and not has_capital):
            continue
        if not automaton.spaced or end == stop or not _is_word(data, end, stop, True):
            longest = entry
            longest_end = end
    return longest, longest_end


@njit(nogil=True, cache=True)
def _close_sentence(out: Matches, sentences: int, words: int, document: int) -> None:
    """Write a sentence, unless sentences are only counted."""
    if out.sentence_words.size:
        out.sentence_words[sentences] = words
        out.sentence_doc[sentences] = document


@njit(nogil=True, cache=True)
def _scan_texts(
    data: Bytes, offsets: Ints, automaton: LexiconAutomaton, out: Matches
) -> tuple[int, int]:
    """Find the sentences and matches of a batch; returns how many.

    Fills `out` unless its arrays are empty.
    """
    spaced = automaton.spaced
    cover_of = automaton.cover_of
    label_of = automaton.label_of
    sentences = 0
    matches = 0
    # Up to where a group or kind has been counted; up to where an exception hides everything.
    covered = np.zeros(cover_of.max() + 1, dtype=np.int64)
    for document in range(offsets.size - 1):
        at = offsets[document]
        stop = offsets[document + 1]
        words = 0
        blocked = 0
        covered[:] = 0
        after_word = False
        is_joined = False
        while at < stop:
            byte = data[at]
            is_word = _is_word(data, at, stop, spaced)
            begins = is_word and (not spaced or not after_word)
            # "don't" is one word, but a match may begin behind its apostrophe.
            if begins and not is_joined:
                words += 1
            if begins and at >= blocked:
                entry, end = _find_longest(data, at, stop, automaton)
                label = label_of[entry] if entry >= 0 else -1
                if entry >= 0 and label < 0:
                    blocked = end
                if label >= 0 and at >= covered[cover_of[label]]:
                    covered[cover_of[label]] = end
                    if out.match_label.size:
                        out.match_sentence[matches] = sentences
                        out.match_label[matches] = label
                    matches += 1
            if words and _ends_sentence(data, at, stop):
                _close_sentence(out, sentences, words, document)
                sentences += 1
                words = 0
            is_joined = spaced and after_word and _is_apostrophe(data, at, stop)
            after_word = is_word
            at += _measure_character(byte)
        if words:
            _close_sentence(out, sentences, words, document)
            sentences += 1
    return sentences, matches
