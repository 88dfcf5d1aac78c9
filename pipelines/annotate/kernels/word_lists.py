"""How much of a text is on a list of words and phrases: all entries are looked for in one pass,
whatever their number.

Aho and Corasick 1975 over code points: a trie of the entries, and from every node the way to the
longest other beginning of an entry that ends here. Case and runs of white space are folded in
lists and texts alike. In scripts with spaces an entry must be whole words; in Chinese,
Japanese and Thai, written without them, any position will do.
"""

from typing import NamedTuple

import numpy as np
from numba import int64, uint64

from pipelines.kernels.arrays import (
    Bools,
    Bytes,
    Float32s,
    Int32s,
    Int64s,
    Integers,
    UInt32s,
    UInt64s,
)
from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.unicode import (
    DIGIT,
    LETTER,
    MARK,
    SPACE,
    build_class_table,
    build_lower_table,
)
from pipelines.kernels.words import decode_point, measure_longest, mix64

_JOINS, _EXTENDS, _BLANK = 1, 2, 4
"""Bits of a character: it belongs to one word with its like; it belongs to the character before it;
white space."""
_SPACE, _RIGHT_QUOTE, _APOSTROPHE, _EMOJI_STYLE = 0x20, 0x2019, 0x27, 0xFE0F
_BITS = np.uint64(21)
"""Bits of a code point; a key of the table of edges is a node and a code point."""


class WordAutomaton(NamedTuple):
    """The trie of a list; node 0 is its root."""

    keys: UInt64s
    """(2 ** k,): node and code point of every edge by open addressing; 0 is free."""
    targets: Int32s
    """(2 ** k,): the node that the edge in the same slot leads to."""
    fails: Int32s
    """(nodes,): where to go on when no edge fits."""
    depths: Int32s
    """(nodes,): characters from the root."""
    ends: Bools
    """(nodes,): whether an entry ends here."""
    shorter: Int32s
    """(nodes,): the longest other entry that ends here too, as its node; 0 is none."""


@compile_kernel
def _fold_text(
    data: Bytes,
    start: int,
    stop: int,
    classes: Bytes,
    lower: UInt32s,
    code_points: Int32s,
    kinds: Bytes,
) -> int:
    """Fill `code_points` with lower-case code points, a run of white space as one, and `kinds` with
    what each does to words."""
    at = start
    count = 0
    while at < stop:
        code, size = decode_point(data, at)
        at += size
        word_class = classes[code] if code < classes.shape[0] else 0
        if code == _EMOJI_STYLE or (word_class == SPACE and count and kinds[count - 1] & _BLANK):
            continue
        code_points[count] = lower[code] if code < lower.shape[0] else code
        kinds[count] = _JOINS if word_class in (LETTER, DIGIT) else 0
        if word_class == MARK:
            kinds[count] = _EXTENDS | (kinds[count - 1] & _JOINS if count else 0)
        elif word_class == SPACE:
            code_points[count] = _SPACE
            kinds[count] = _BLANK
        elif code == _RIGHT_QUOTE:
            code_points[count] = _APOSTROPHE
        count += 1
    return count


@inline_kernel
def _is_word_boundary(kinds: Bytes, at: int, count: int) -> bool:
    """Whether a word may end or begin before character `at`."""
    if at == 0 or at == count:
        return True
    return not kinds[at] & _EXTENDS and not kinds[at - 1] & kinds[at] & _JOINS


@inline_kernel
def _follow_edge(node: int, code_point: int, keys: UInt64s, targets: Int32s) -> int:
    """The node that the edge of a code point leads to, or 0."""
    key = (uint64(node) << _BITS) | uint64(code_point)
    mask = keys.shape[0] - 1
    at = int64(mix64(key) & uint64(mask))
    while keys[at]:
        if keys[at] == key:
            return targets[at]
        at = (at + 1) & mask
    return 0


@compile_kernel
def _build_trie(
    code_points: Int32s,
    cuts: Int64s,
    keys: UInt64s,
    targets: Int32s,
    parents: Int32s,
    labels: Int32s,
    depths: Int32s,
    ends: Bools,
) -> int:
    """Fill the trie with entries of folded code points; returns how many nodes it has."""
    nodes = 1
    mask = keys.shape[0] - 1
    for entry in range(cuts.shape[0] - 1):
        node = 0
        for i in range(cuts[entry], cuts[entry + 1]):
            child = _follow_edge(node, code_points[i], keys, targets)
            if not child:
                child = nodes
                key = (uint64(node) << _BITS) | uint64(code_points[i])
                at = int64(mix64(key) & uint64(mask))
                while keys[at]:
                    at = (at + 1) & mask
                keys[at] = key
                targets[at] = child
                parents[child] = node
                labels[child] = code_points[i]
                depths[child] = depths[node] + 1
                nodes += 1
            node = child
        ends[node] = node != 0
    return nodes


@compile_kernel
def _link_suffixes(
    order: Int32s,
    keys: UInt64s,
    targets: Int32s,
    parents: Int32s,
    labels: Int32s,
    ends: Bools,
    fails: Int32s,
    shorter: Int32s,
) -> None:
    """Fill `fails` and `shorter` of all nodes but the root; `order` has them by depth."""
    for node in order:
        parent = parents[node]
        code_point = labels[node]
        if parent == 0:
            continue
        suffix = fails[parent]
        target = _follow_edge(suffix, code_point, keys, targets)
        while not target and suffix:
            suffix = fails[suffix]
            target = _follow_edge(suffix, code_point, keys, targets)
        fails[node] = target
        shorter[node] = target if ends[target] else shorter[target]


@compile_kernel
def _fill_reach(
    code_points: Int32s, kinds: Bytes, count: int, automaton: WordAutomaton, reach: Int32s
) -> bool:
    """Fill `reach`: where the longest entry that begins at a character ends, or 0; returns whether
    there is any."""
    keys = automaton.keys
    targets = automaton.targets
    fails = automaton.fails
    depths = automaton.depths
    ends = automaton.ends
    shorter = automaton.shorter
    node = 0
    is_listed = False
    for i in range(count):
        reach[i] = 0
        target = _follow_edge(node, code_points[i], keys, targets)
        while not target and node:
            node = fails[node]
            target = _follow_edge(node, code_points[i], keys, targets)
        node = target
        entry = node if ends[node] else shorter[node]
        if not entry or not _is_word_boundary(kinds, i + 1, count):
            continue
        while entry and not _is_word_boundary(kinds, i + 1 - depths[entry], count):
            entry = shorter[entry]
        if entry:  # what is shorter lies within it
            reach[i + 1 - depths[entry]] = i + 1
            is_listed = True
    return is_listed


@compile_kernel
def _measure_shares(
    data: Bytes,
    offsets: Int64s,
    classes: Bytes,
    lower: UInt32s,
    automaton: WordAutomaton,
    out: Float32s,
) -> None:
    longest = measure_longest(offsets)
    code_points = np.empty(longest, np.int32)
    kinds = np.empty(longest, np.uint8)
    reach = np.empty(longest, np.int32)
    for d in range(offsets.shape[0] - 1):
        count = _fold_text(data, offsets[d], offsets[d + 1], classes, lower, code_points, kinds)
        if not _fill_reach(code_points, kinds, count, automaton, reach):
            continue
        listed_until = 0
        listed = 0
        chars = 0
        for i in range(count):
            listed_until = max(listed_until, reach[i])
            if not kinds[i] & _BLANK:
                chars += 1
                listed += i < listed_until
        out[d] = listed / chars


def build_word_automaton(entries: list[str]) -> WordAutomaton:
    """The automaton of a list of words and phrases, none of them blank."""
    raw = [np.frombuffer(entry.strip().encode(), np.uint8) for entry in entries]
    capacity = sum(len(entry) for entry in raw)
    code_points = np.empty(capacity, np.int32)
    kinds = np.empty(capacity, np.uint8)
    cuts = [0]
    for entry in raw:
        start = cuts[-1]
        size = _fold_text(
            entry,
            0,
            len(entry),
            build_class_table(),
            build_lower_table(),
            code_points[start:],
            kinds[start:],
        )
        cuts.append(start + size)
    max_nodes = cuts[-1] + 1  # the root, and one for each character
    slots = 1 << (2 * max_nodes).bit_length()  # at most half are taken
    keys = np.zeros(slots, np.uint64)
    targets = np.zeros(slots, np.int32)
    parents = np.zeros(max_nodes, np.int32)
    labels = np.zeros(max_nodes, np.int32)
    depths = np.zeros(max_nodes, np.int32)
    fails = np.zeros(max_nodes, np.int32)
    shorter = np.zeros(max_nodes, np.int32)
    ends = np.zeros(max_nodes, np.bool_)
    entry_cuts = np.array(cuts, np.int64)
    nodes = _build_trie(code_points, entry_cuts, keys, targets, parents, labels, depths, ends)
    # By depth: the suffix of a node is shorter, so it is linked before.
    order = np.argsort(depths[:nodes], kind="stable")[1:].astype(np.int32)
    _link_suffixes(order, keys, targets, parents, labels, ends, fails, shorter)
    return WordAutomaton(
        keys, targets, fails[:nodes], depths[:nodes], ends[:nodes], shorter[:nodes]
    )


def measure_listed_shares(data: Bytes, offsets: Integers, automaton: WordAutomaton) -> Float32s:
    """float32 (n,): the share of characters but white space that belong to an entry, for n
    documents in UTF-8 `data`.

    Reference: the plain search in `tests/pipelines/annotate/test_word_list_kernel.py`.
    """
    out = np.zeros(len(offsets) - 1, np.float32)
    _measure_shares(
        data,
        np.asarray(offsets, np.int64),
        build_class_table(),
        build_lower_table(),
        automaton,
        out,
    )
    return out
