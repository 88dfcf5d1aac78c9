"""Find every listed word in a column of texts in one pass over its bytes, and count words and sentences on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from bias_audit.lexicon import Lexicon

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class LexiconAutomaton:
    """A trie over UTF-8 bytes of all surfaces of one language, ready for the kernel."""

    classes: NDArray[np.uint8]
    trie: Ints
    ends: Ints
    label_of: Ints
    capital: NDArray[np.bool_]
    cover_of: Ints
    spaced: bool


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

    Letters match in any case, but a surface that begins with a capital needs it in the text.
    A place is counted once per group, and once per kind of term: 外祖母 is not also 祖母, 外科医生 not also 医生.
    """
    surfaces = [surface.lower().encode() for surface, _ in lexicon.entries]
    classes = _byte_classes(surfaces)
    trie, ends = _grow(surfaces, classes)
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


def _byte_classes(surfaces: list[bytes]) -> NDArray[np.uint8]:
    """Number the bytes that occur in any surface from 1; 0 stands for all others, so that the trie stays narrow."""
    used = sorted(set(b"".join(surfaces)))
    classes = np.zeros(256, dtype=np.uint8)
    classes[used] = np.arange(1, len(used) + 1)
    for upper in range(ord("A"), ord("Z") + 1):
        classes[upper] = classes[upper + 32]
    return classes


def _grow(surfaces: list[bytes], classes: NDArray[np.uint8]) -> tuple[Ints, Ints]:
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


def scan(texts: pa.StringArray, automaton: LexiconAutomaton) -> LexiconScan:
    """Scan one batch of texts. Counts first, then fills arrays of exactly that size."""
    data, offsets = _buffers(texts)
    none = np.empty(0, dtype=np.int32)
    tables = (
        automaton.classes,
        automaton.trie,
        automaton.ends,
        automaton.label_of,
        automaton.capital,
        automaton.cover_of,
        automaton.spaced,
    )
    sentences, matches = _scan(data, offsets, *tables, none, none, none, none)
    sizes = (sentences, sentences, matches, matches)
    found = tuple(np.empty(max(1, size), dtype=np.int32) for size in sizes)
    _scan(data, offsets, *tables, *found)
    return LexiconScan(*(array[:size] for array, size in zip(found, sizes, strict=True)))


def _buffers(texts: pa.StringArray) -> tuple[NDArray[np.uint8], Ints]:
    """The bytes and offsets of a string column; slices keep their parent's buffers, so offsets start where they start."""
    if texts.null_count:
        texts = texts.fill_null("")
    _, offsets, data = texts.buffers()
    if len(texts) == 0 or data is None:
        return np.zeros(1, dtype=np.uint8), np.zeros(len(texts) + 1, dtype=np.int32)
    edges = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, dtype=np.uint8), edges


@njit(nogil=True, cache=True)
def _is_word(data: NDArray[np.uint8], at: int, stop: int, spaced: bool) -> bool:
    """Letter or digit of a spaced script (ASCII, two-byte letters, Latin Extended Additional), or a Han character."""
    byte = data[at]
    if spaced:
        if byte < 0x80:
            return bool(48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122)
        return bool(0xC3 <= byte < 0xE0 or byte == 0xE1)
    if byte == 0xE3:
        return bool(at + 1 < stop and data[at + 1] >= 0x90)
    return bool(0xE4 <= byte <= 0xE9 or (byte == 0xF0 and at + 1 < stop and data[at + 1] >= 0xA0))


@njit(nogil=True, cache=True)
def _ends_sentence(data: NDArray[np.uint8], at: int, stop: int) -> bool:
    """A line break, ! or ?, a full stop before a space or the end, or one of the Chinese marks."""
    byte = data[at]
    if byte == 10 or byte == 33 or byte == 63:
        return True
    if byte == 46:
        return bool(at + 1 >= stop or data[at + 1] <= 34 or data[at + 1] == 39)
    if at + 2 >= stop:
        return False
    if byte == 0xE3:
        return bool(data[at + 1] == 0x80 and data[at + 2] == 0x82)
    return bool(
        byte == 0xEF and data[at + 1] == 0xBC and (data[at + 2] == 0x81 or data[at + 2] == 0x9F)
    )


@njit(nogil=True, cache=True)
def _is_apostrophe(data: NDArray[np.uint8], at: int, stop: int) -> bool:
    if data[at] == 39:
        return True
    return bool(
        at + 2 < stop and data[at] == 0xE2 and data[at + 1] == 0x80 and data[at + 2] == 0x99
    )


@njit(nogil=True, cache=True)
def _longest(data, at, stop, classes, trie, ends, capital, spaced):  # type: ignore[no-untyped-def]
    """The longest entry that begins at `at` and where it ends; (-1, at) when there is none."""
    node, here, best, best_end = 0, at, -1, at
    has_capital = 65 <= data[at] <= 90
    while here < stop:
        node = trie[node, classes[data[here]]]
        if node == 0:
            break
        here += 1
        entry = ends[node]
        if entry < 0 or (capital[entry] and not has_capital):
            continue
        if not spaced or here == stop or not _is_word(data, here, stop, True):
            best, best_end = entry, here
    return best, best_end


@njit(nogil=True, cache=True)
def _scan(  # type: ignore[no-untyped-def]
    data,
    offsets,
    classes,
    trie,
    ends,
    label_of,
    capital,
    cover_of,
    spaced,
    sentence_words,
    sentence_doc,
    match_sentence,
    match_label,
):
    sentences, matches = 0, 0
    covered = np.zeros(cover_of.max() + 1, dtype=np.int64)
    for document in range(offsets.size - 1):
        at, stop, words, blocked = offsets[document], offsets[document + 1], 0, 0
        covered[:] = 0
        previous, joined = False, False
        while at < stop:
            byte = data[at]
            word = _is_word(data, at, stop, spaced)
            begins = word and (not spaced or not previous)
            if begins and not joined:
                words += 1
            if begins and at >= blocked:
                entry, end = _longest(data, at, stop, classes, trie, ends, capital, spaced)
                label = label_of[entry] if entry >= 0 else -1
                if entry >= 0 and label < 0:
                    blocked = end
                if label >= 0 and at >= covered[cover_of[label]]:
                    covered[cover_of[label]] = end
                    if match_label.size:
                        match_sentence[matches], match_label[matches] = sentences, label
                    matches += 1
            if words and _ends_sentence(data, at, stop):
                if sentence_words.size:
                    sentence_words[sentences], sentence_doc[sentences] = words, document
                sentences, words = sentences + 1, 0
            joined = spaced and previous and _is_apostrophe(data, at, stop)
            previous = word
            at += 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        if words:
            if sentence_words.size:
                sentence_words[sentences], sentence_doc[sentences] = words, document
            sentences += 1
    return sentences, matches
