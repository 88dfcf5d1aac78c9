"""Find hundreds of phrases in one pass: an Aho-Corasick automaton over bytes, made once from lists of phrases.

Aho and Corasick 1975. Letters of ASCII are found in either case; every byte costs one look-up, whatever the lists hold.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class PhraseAutomaton(NamedTuple):
    """Tables of the automaton; state 0 has read nothing that begins a phrase.

    `symbols` uint8 (256,): the column of a byte; `step` int32 (states, columns): the next state; `found` uint8 (states,):
    the kinds of phrases that end here; `whole` int32 (states,): bytes of the longest phrase of the kind `whole_kind`
    that ends here.
    """

    symbols: np.ndarray
    step: np.ndarray
    found: np.ndarray
    whole: np.ndarray


def build_phrase_automaton(
    phrases: Mapping[int, Sequence[str]], *, whole_kind: int
) -> PhraseAutomaton:
    """The automaton of the phrases of each kind; a kind is one bit of a byte."""
    words = [(phrase.lower().encode(), kind) for kind, group in phrases.items() for phrase in group]
    symbols = _symbols({byte for word, _ in words for byte in word})
    branches: list[dict[int, int]] = [{}]
    found, whole = [0], [0]
    for word, kind in words:
        state = 0
        for byte in word:
            after = branches[state].setdefault(int(symbols[byte]), len(branches))
            if after == len(branches):
                branches.append({})
                found.append(0)
                whole.append(0)
            state = after
        found[state] |= kind
        whole[state] = max(whole[state], len(word) if kind == whole_kind else 0)
    step = _steps(branches, int(symbols.max()) + 1, found, whole)
    return PhraseAutomaton(symbols, step, np.array(found, np.uint8), np.array(whole, np.int32))


def _symbols(used: set[int]) -> np.ndarray:
    """A column for each byte that phrases use, the same for both cases of a letter; column 0 for all others."""
    symbols = np.zeros(256, np.uint8)
    for column, byte in enumerate(sorted(used), start=1):
        symbols[byte] = column
        if 97 <= byte <= 122:
            symbols[byte - 32] = column
    return symbols


def _steps(
    branches: list[dict[int, int]], columns: int, found: list[int], whole: list[int]
) -> np.ndarray:
    """The table of next states; `found` and `whole` take over what ends at the longest proper suffix of a state."""
    step = np.zeros((len(branches), columns), np.int32)
    suffix = [0] * len(branches)
    waiting = deque([0])
    while waiting:
        state = waiting.popleft()
        step[state] = step[suffix[state]] if state else 0
        found[state] |= found[suffix[state]]
        whole[state] = max(whole[state], whole[suffix[state]])
        for column, after in branches[state].items():
            suffix[after] = int(step[state, column]) if state else 0
            step[state, column] = after
            waiting.append(after)
    return step
