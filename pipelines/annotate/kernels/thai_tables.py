"""The tables by which Thai is segmented: an automaton of character clusters and PyThaiNLP's list of
words.

In: `corpus/words_th.txt` of the installed package; none of its code is imported. Out:
`ThaiWords`, the arrays that `pipelines.annotate.kernels.thai` walks.
"""

import unicodedata
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from pipelines.annotate.kernels.packages import package_folder
from pipelines.kernels.arrays import Bytes, Int16s, Int32s, UInt16s
from pipelines.kernels.unicode import LAST

FIRST_THAI, LAST_THAI = 0x0E00, 0x0E7F

WORD, LONG = 1, 2
"""Bits of a beginning: it is a word; it is a word of more than two consonants."""
LABEL_SHIFT = 2
"""From this bit on stands the label of its last character."""

# Clusters (PyThaiNLP's `tcc_p`), of which the first that fits is taken. C is a consonant, T a tone,
# K an ending silenced
# by ์ or nothing, ~K nothing only before a consonant, a leading vowel or the end; a-b is any from a
# to b, ? may be missing.
_CLUSTERS = (
    "เ C ็ C K",
    "เ C C T? า ะ K",
    "เ C C ี T? ย ะ K",
    "เ C C ี T? ย ~K",
    "เ C C ็ C K",
    "เ C ิ C ์ C K",
    "เ C ิ T? C K",
    "เ C ี T? ย ะ? K",
    "เ C ื T? อ ะ? K",
    "เ C ิีุู T? ย ~K",
    "เ C T? า? ะ? K",
    "C ั T? ว ะ K",
    "C ัื T? C ุิะ? K",
    "C ิุู ์",
    "C ะ-ู T? K",
    "C ร ร C ์",
    "C ็",
    "C T? ะาำ? K",
    "แ C ็ C",
    "แ C C ์",
    "แ C T? ะ",
    "แ C C ็ C",
    "แ C C C ์",
    "โ C T? ะ",
    "เ-ไ C T?",
)
_NAMES = {"C": "ก-ฮ", "T": "่-๋", "V": "เ-ไก-ฮ"}
_SILENCED = (("C", "C", "ูุิ", "์"), ("C", "C", "์"), ("C", "ูุิ", "์"), ("C", "์"))
_FOLLOWED = "followed"
"""An item that takes no character: a consonant, a leading vowel or the end must come next."""
_END = "end"
"""In place of a character: the end of the text."""

State = tuple[int, tuple[int, ...]]
"""A state of the automaton while it is built: characters read, and the sequences that fit so far."""


class ThaiWords(NamedTuple):
    """What `segment_thai` looks up: the dictionary, the automaton of clusters, decimal digits."""

    labels: Bytes
    """(characters,): a small number for each character of the dictionary, 0 for all others."""
    firsts: Int32s
    """(beginnings + 1,): the beginnings one character longer than `i` are firsts[i] to firsts[i +
    1]."""
    ends: UInt16s
    """(beginnings + 1,): the label of the last character, with the bits WORD and LONG; ascending
    among siblings."""
    kinds: Bytes
    """(128,): the kind of each Thai character in clusters."""
    steps: Int16s
    """(states, kinds): 2 * the next state + whether a cluster ends."""
    zeros: Int32s
    """The digit 0 of every script with decimal numbers, ascending: nine more follow each."""


@lru_cache(maxsize=64)
def _expand_item(item: str) -> frozenset[str]:
    """The characters that an item of _CLUSTERS stands for."""
    item = _NAMES.get(item, item)
    chars = set(item)
    for i, char in enumerate(item):
        if char == "-":
            chars.update(map(chr, range(ord(item[i - 1]), ord(item[i + 1]))))
    return frozenset(chars - {"-"})


def _list_alternatives(item: str) -> list[tuple[str, ...]]:
    """What an item may be, as sequences of items that cannot be missing, the preferred one first."""
    if item == "K":
        return [*_SILENCED, ()]
    if item == "~K":
        return [*_SILENCED, (_FOLLOWED,)]
    if item.endswith("?"):
        return [(item[:-1],), ()]
    return [(item,)]


def _list_sequences() -> list[tuple[str, ...]]:
    """All clusters spelt out; of those that a text begins with the first is its cluster."""
    sequences = []
    for rule in _CLUSTERS:
        for parts in product(*map(_list_alternatives, rule.split())):
            sequences.append(tuple(item for part in parts for item in part))
    return sequences


def _step_automaton(
    sequences: list[tuple[str, ...]], state: tuple[int, ...], depth: int, char: str
) -> tuple[tuple[int, ...], bool]:
    """Which sequences go on with `char` at `depth`, and whether one ends before it that goes before
    all others."""
    going = list[int]()
    for number in state:
        remaining = sequences[number][depth:]
        if not remaining:
            return tuple(going), True
        if remaining[0] == _FOLLOWED:
            if char == _END or char in _expand_item("V"):
                return tuple(going), True
        elif char in _expand_item(remaining[0]):
            going.append(number)
    return tuple(going), False


def build_cluster_automaton() -> tuple[Bytes, Int16s]:
    """The fields `kinds` and `steps` of `ThaiWords`.

    Kind 0 is in no cluster, the last kind is the end of the text. State 0 is none, 1 the beginning.
    """
    sequences = _list_sequences()
    items = sorted({item for sequence in sequences for item in sequence} - {_FOLLOWED})
    thai = [chr(code) for code in range(FIRST_THAI, LAST_THAI + 1)]
    # Two characters that fit the same items are of one kind: the automaton cannot tell them apart.
    signatures = [tuple(char in _expand_item(item) for item in [*items, "V"]) for char in thai]
    in_no_cluster = (False,) * len(signatures[0])
    order = [in_no_cluster, *sorted(set(signatures) - {in_no_cluster})]
    examples = ["x", *(thai[signatures.index(signature)] for signature in order[1:]), _END]
    dead: State = (0, ())
    start: State = (0, tuple(range(len(sequences))))
    states = [dead, start]
    numbers = {dead: 0, start: 1}
    rows = [[0] * len(examples)]
    # States are appended while their rows are written, until no row leads to a new one.
    while len(rows) < len(states):
        depth, state = states[len(rows)]
        row = []
        for char in examples:
            going, ended = _step_automaton(sequences, state, depth, char)
            target = (depth + 1, going) if going else dead
            if target not in numbers:
                numbers[target] = len(states)
                states.append(target)
            row.append(2 * numbers[target] + ended)
        rows.append(row)
    kinds = np.array([order.index(signature) for signature in signatures], np.uint8)
    return kinds, np.array(rows, np.int16)


def _classify_word(word: str) -> int:
    """The bits WORD and LONG of a word of the dictionary."""
    is_long = len(word) > 2 or not set(word) <= _expand_item("C")
    return WORD | LONG * is_long


def read_words(text: str) -> tuple[Bytes, Int32s, UInt16s]:
    """The fields `labels`, `firsts` and `ends` of `ThaiWords`, from one word a line.

    The dictionary is a trie whose nodes, the beginnings of words, are numbered in order of
    length: 0 is the empty one.
    """
    words = sorted({line.strip() for line in text.splitlines()} - {""})
    alphabet = sorted(set().union(*words))
    sizes = np.array([len(word) for word in words], np.int64)
    assert len(alphabet) < 256, "a label has 8 bits"
    labels = np.zeros(max(map(ord, alphabet), default=0) + 1, np.uint8)
    labels[[ord(char) for char in alphabet]] = np.arange(1, len(alphabet) + 1)
    code_points = np.frombuffer("".join(words).encode("utf-32-le"), "<u4")
    flat = labels[code_points].astype(np.int64)
    word_bits = np.array([_classify_word(word) for word in words], np.uint16)
    offsets = np.cumsum(sizes) - sizes
    nodes = np.zeros(len(words), np.int64)  # that each word has reached

    first = 1
    parents = [np.zeros(0, np.int64)]
    ends = [np.zeros(1, np.uint16)]
    # One level of the trie a turn. Words are sorted, so equal (node, label) pairs are neighbours
    # and siblings ascend.
    for depth in range(int(sizes.max(initial=0))):
        going = sizes > depth
        edges, numbers = np.unique(
            nodes[going] << 8 | flat[offsets[going] + depth], return_inverse=True
        )
        nodes[going] = first + numbers
        parents.append(edges >> 8)
        level = ((edges & 0xFF) << LABEL_SHIFT).astype(np.uint16)
        ended = sizes == depth + 1
        level[nodes[ended] - first] |= word_bits[ended]
        ends.append(level)
        first += len(edges)
    firsts = 1 + np.searchsorted(np.concatenate(parents), np.arange(first + 1))
    # One end more: a beginning without longer ones may be the last, and the kernel reads what comes
    # behind it.
    return labels, firsts.astype(np.int32), np.append(np.concatenate(ends), np.uint16(0))


@lru_cache(maxsize=1)
def load_thai_words() -> ThaiWords:
    """Read the tables from PyThaiNLP's list of words: 1.5 MB."""
    folder = package_folder("pythainlp")
    text = (folder / "corpus/words_th.txt").read_text(encoding="utf-8-sig")
    zeros = [code for code in range(LAST) if unicodedata.decimal(chr(code), -1) == 0]
    return ThaiWords(*read_words(text), *build_cluster_automaton(), np.array(zeros, np.int32))


def make_empty_thai_words() -> ThaiWords:
    """Tables of the same types without content, where no document is Thai."""
    empty = np.zeros(0, np.uint8)
    numbers = np.zeros(0, np.int32)
    steps = np.zeros((0, 0), np.int16)
    return ThaiWords(empty, numbers, np.zeros(0, np.uint16), empty, steps, numbers)
