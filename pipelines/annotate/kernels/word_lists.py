"""How much of a text is on a list of words and phrases: all entries are looked for in one pass, whatever their number.

Aho and Corasick 1975 over code points: a trie of the entries, and from every node the way to the longest other beginning
of an entry that ends here. Case and runs of white space are folded in lists and texts alike. In scripts with spaces an
entry must stand as whole words; in Chinese, Japanese and Thai, written without them, any place will do.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, uint64

from pipelines.kernels.unicode import (
    DIGIT,
    LETTER,
    MARK,
    SPACE,
    build_class_table,
    build_lower_table,
)
from pipelines.kernels.words import decode_point, mix64

_JOINS, _EXTENDS, _BLANK = 1, 2, 4
_SPACE, _CURLY, _STRAIGHT, _EMOJI_STYLE = 0x20, 0x2019, 0x27, 0xFE0F
_BITS = np.uint64(21)
"""Bits of a code point; a key of the table of edges is a node and a code point."""


@dataclass(frozen=True, slots=True)
class WordAutomaton:
    """The trie of a list; node 0 is its root."""

    keys: np.ndarray
    """uint64 (2 ** k,): node and code point of every edge by open addressing; 0 is free."""
    targets: np.ndarray
    """int32 (2 ** k,): the node that the edge at the same place leads to."""
    fails: np.ndarray
    """int32 (nodes,): where to go on when no edge fits."""
    depths: np.ndarray
    """int32 (nodes,): characters from the root."""
    ends: np.ndarray
    """bool (nodes,): whether an entry ends here."""
    shorter: np.ndarray
    """int32 (nodes,): the longest other entry that ends here too, as its node; 0 is none."""

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What the kernel takes after its texts."""
        return self.keys, self.targets, self.fails, self.depths, self.ends, self.shorter


@njit(nogil=True, cache=True)
def _fold(data, start, stop, classes, lower, points, kinds):  # type: ignore[no-untyped-def]
    """Fill `points` with lower-case code points, a run of white space as one, and `kinds` with what each does to words."""
    at, count = start, 0
    while at < stop:
        code, size = decode_point(data, at)
        at += size
        kind = classes[code] if code < classes.shape[0] else 0
        if code == _EMOJI_STYLE or (kind == SPACE and count and kinds[count - 1] & _BLANK):
            continue
        points[count] = lower[code] if code < lower.shape[0] else code
        kinds[count] = _JOINS if kind in (LETTER, DIGIT) else 0
        if kind == MARK:
            kinds[count] = _EXTENDS | (kinds[count - 1] & _JOINS if count else 0)
        elif kind == SPACE:
            points[count], kinds[count] = _SPACE, _BLANK
        elif code == _CURLY:
            points[count] = _STRAIGHT
        count += 1
    return count


@njit(nogil=True, cache=True, inline="always")
def _is_cut(kinds, at, count):  # type: ignore[no-untyped-def]
    """Whether a word may end or begin before character `at`."""
    if at == 0 or at == count:
        return True
    return not kinds[at] & _EXTENDS and not kinds[at - 1] & kinds[at] & _JOINS


@njit(nogil=True, cache=True, inline="always")
def _step(node, point, keys, targets):  # type: ignore[no-untyped-def]
    """The node that the edge of a code point leads to, or 0."""
    key = (uint64(node) << _BITS) | uint64(point)
    mask = keys.shape[0] - 1
    at = np.int64(mix64(key) & uint64(mask))
    while keys[at]:
        if keys[at] == key:
            return targets[at]
        at = (at + 1) & mask
    return 0


@njit(nogil=True, cache=True)
def _grow(points, cuts, keys, targets, parents, labels, depths, ends):  # type: ignore[no-untyped-def]
    """Fill the trie with entries of folded code points; returns how many nodes it has."""
    nodes, mask = 1, keys.shape[0] - 1
    for entry in range(cuts.shape[0] - 1):
        node = 0
        for i in range(cuts[entry], cuts[entry + 1]):
            child = _step(node, points[i], keys, targets)
            if not child:
                child, key = nodes, (uint64(node) << _BITS) | uint64(points[i])
                at = np.int64(mix64(key) & uint64(mask))
                while keys[at]:
                    at = (at + 1) & mask
                keys[at], targets[at] = key, child
                parents[child], labels[child], depths[child] = node, points[i], depths[node] + 1
                nodes += 1
            node = child
        ends[node] = node != 0
    return nodes


@njit(nogil=True, cache=True)
def _link(order, keys, targets, parents, labels, ends, fails, shorter):  # type: ignore[no-untyped-def]
    """Fill `fails` and `shorter` of all nodes but the root; `order` has them by depth."""
    for node in order:
        parent, point = parents[node], labels[node]
        if parent == 0:
            continue
        behind = fails[parent]
        target = _step(behind, point, keys, targets)
        while not target and behind:
            behind = fails[behind]
            target = _step(behind, point, keys, targets)
        fails[node] = target
        shorter[node] = target if ends[target] else shorter[target]


@njit(nogil=True, cache=True)
def _reach(points, kinds, count, keys, targets, fails, depths, ends, shorter, reach):  # type: ignore[no-untyped-def]
    """Fill `reach`: where the longest entry that begins at a character ends, or 0; returns whether there is any."""
    node, found = 0, False
    for i in range(count):
        reach[i] = 0
        target = _step(node, points[i], keys, targets)
        while not target and node:
            node = fails[node]
            target = _step(node, points[i], keys, targets)
        node = target
        entry = node if ends[node] else shorter[node]
        if not entry or not _is_cut(kinds, i + 1, count):
            continue
        while entry and not _is_cut(kinds, i + 1 - depths[entry], count):
            entry = shorter[entry]
        if entry:  # what is shorter lies within it
            reach[i + 1 - depths[entry]] = i + 1
            found = True
    return found


@njit(nogil=True, cache=True)
def _shares(data, offsets, classes, lower, keys, targets, fails, depths, ends, shorter, out):  # type: ignore[no-untyped-def]
    longest = 0
    for d in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    points, kinds = np.empty(longest, np.int32), np.empty(longest, np.uint8)
    reach = np.empty(longest, np.int32)
    for d in range(offsets.shape[0] - 1):
        count = _fold(data, offsets[d], offsets[d + 1], classes, lower, points, kinds)
        if not _reach(points, kinds, count, keys, targets, fails, depths, ends, shorter, reach):
            continue
        end, listed, chars = 0, 0, 0
        for i in range(count):
            end = max(end, reach[i])
            if not kinds[i] & _BLANK:
                chars += 1
                listed += i < end
        out[d] = listed / chars


def build_word_automaton(entries: list[str]) -> WordAutomaton:
    """The automaton of a list of words and phrases, none of them blank."""
    raw = [np.frombuffer(entry.strip().encode(), np.uint8) for entry in entries]
    room = sum(map(len, raw))
    points, kinds, cuts = np.empty(room, np.int32), np.empty(room, np.uint8), [0]
    for entry in raw:
        at = cuts[-1]
        cuts.append(
            at
            + _fold(
                entry,
                0,
                len(entry),
                build_class_table(),
                build_lower_table(),
                points[at:],
                kinds[at:],
            )
        )
    slots, most = 1 << (2 * (cuts[-1] + 1)).bit_length(), cuts[-1] + 1
    keys, targets = np.zeros(slots, np.uint64), np.zeros(slots, np.int32)
    parents, labels, depths, fails, shorter = (np.zeros(most, np.int32) for _ in range(5))
    ends = np.zeros(most, np.bool_)
    nodes = _grow(points, np.array(cuts, np.int64), keys, targets, parents, labels, depths, ends)
    order = np.argsort(depths[:nodes], kind="stable")[1:].astype(np.int32)
    _link(order, keys, targets, parents, labels, ends, fails, shorter)
    return WordAutomaton(
        keys, targets, fails[:nodes], depths[:nodes], ends[:nodes], shorter[:nodes]
    )


def measure_listed_shares(
    data: np.ndarray, offsets: np.ndarray, automaton: WordAutomaton
) -> np.ndarray:
    """float32 (n,): the share of characters but white space that belong to an entry, for n documents in UTF-8 `data`."""
    out = np.zeros(len(offsets) - 1, np.float32)
    _shares(
        data,
        np.asarray(offsets, np.int64),
        build_class_table(),
        build_lower_table(),
        *automaton.arrays,
        out,
    )
    return out
