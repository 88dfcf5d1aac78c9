"""Find hundreds of phrases in one pass: an Aho-Corasick automaton over bytes, made once from lists
of phrases.

In: phrases by kind. Out: the tables that `pipelines.annotate.kernels.lines` walks. Letters of
ASCII match in either case; every byte costs one look-up, whatever the lists hold. Aho and
Corasick 1975, "Efficient string matching".
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipelines.kernels.arrays import Bytes, Int32s

_LOWER_A, _LOWER_Z = 0x61, 0x7A
_CASE_DISTANCE = 0x20
"""How far capitals of ASCII lie below small letters."""


class PhraseAutomaton(NamedTuple):
    """Tables of the automaton; state 0 has read nothing that begins a phrase."""

    symbols: Bytes
    """(256,): the column of a byte."""
    step: Int32s
    """(states, columns): the next state."""
    kinds: Bytes
    """(states,): the kinds of phrases that end here, as bits."""
    lengths: Int32s
    """(states,): bytes of the longest phrase of the kind `length_kind` that ends here."""


class _Trie:
    """The trie of the phrases, one entry a state in each list."""

    def __init__(self) -> None:
        self.branches: list[dict[int, int]] = [{}]
        self.kinds = [0]
        self.lengths = [0]

    def add_state(self) -> int:
        """Append a state without branches; returns its number."""
        self.branches.append({})
        self.kinds.append(0)
        self.lengths.append(0)
        return len(self.branches) - 1

    def insert(self, columns: list[int]) -> int:
        """The state that is reached by these columns, made where it is new."""
        state = 0
        for column in columns:
            if column not in self.branches[state]:
                self.branches[state][column] = self.add_state()
            state = self.branches[state][column]
        return state


def build_phrase_automaton(
    phrases: Mapping[int, Sequence[str]], *, length_kind: int
) -> PhraseAutomaton:
    """The automaton of the phrases of each kind; a kind is one bit of a byte."""
    encoded = []
    for kind, group in phrases.items():
        for phrase in group:
            encoded.append((phrase.lower().encode(), kind))
    symbols = _number_bytes({byte for word, _ in encoded for byte in word})
    trie = _Trie()
    for word, kind in encoded:
        state = trie.insert([int(symbols[byte]) for byte in word])
        trie.kinds[state] |= kind
        if kind == length_kind:
            trie.lengths[state] = max(trie.lengths[state], len(word))
    step = _link_states(trie, int(symbols.max()) + 1)
    kinds = np.array(trie.kinds, np.uint8)
    return PhraseAutomaton(symbols, step, kinds, np.array(trie.lengths, np.int32))


def _number_bytes(used: set[int]) -> Bytes:
    """A column for each byte that phrases use, the same for both cases of a letter; column 0 for
    all others."""
    symbols = np.zeros(256, np.uint8)
    for column, byte in enumerate(sorted(used), start=1):
        symbols[byte] = column
        if _LOWER_A <= byte <= _LOWER_Z:
            symbols[byte - _CASE_DISTANCE] = column
    return symbols


def _link_states(trie: _Trie, columns: int) -> Int32s:
    """The table of next states.

    Each state takes over the kinds and lengths of the longest proper suffix of what it has read:
    phrases that end there end here too. States are visited by depth, so the suffix, which is
    shorter, is complete.
    """
    step = np.zeros((len(trie.branches), columns), np.int32)
    suffix = [0] * len(trie.branches)
    queue = deque([0])
    while queue:
        state = queue.popleft()
        shorter = suffix[state]
        step[state] = step[shorter] if state else 0
        trie.kinds[state] |= trie.kinds[shorter]
        trie.lengths[state] = max(trie.lengths[state], trie.lengths[shorter])
        for column, target in trie.branches[state].items():
            suffix[target] = int(step[state, column]) if state else 0
            step[state, column] = target
            queue.append(target)
    return step
