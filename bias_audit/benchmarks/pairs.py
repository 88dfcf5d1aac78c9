"""One item of a benchmark: a minimal pair, two sentences that differ only in the group
they name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bias_audit.contract.model_rows import BUILT_IN_BENCHMARK


@dataclass(frozen=True, slots=True)
class Probe:
    """One minimal pair.

    `stereo` names the group that the attribute is stereotyped for (`stereotyped_group`), `anti` the
    other one. Pairs that share `template` or `word` (the attribute) are not independent of each
    other. `differing_words` are (in `stereo`, in `anti`).
    """

    id: str
    lang: str
    axis: str
    template: str
    word: str
    stereotyped_group: str
    other_group: str
    stereo: str
    anti: str
    differing_words: tuple[tuple[str, str], ...]
    benchmark: str = BUILT_IN_BENCHMARK

    @property
    def groups(self) -> tuple[str, str]:
        """Both groups, the stereotyped one first."""
        return self.stereotyped_group, self.other_group

    def count_words(self) -> tuple[int, int]:
        """Length of both sentences: words in English, characters in Chinese."""
        return count_words(self.stereo, self.lang), count_words(self.anti, self.lang)


def count_words(sentence: str, lang: str) -> int:
    """Count words, or characters in a language written without spaces."""
    return len(sentence) if lang == "zh" else len(sentence.split())


def refuse_repeated_ids(pairs: Sequence[Probe]) -> None:
    """Raise ValueError where two pairs have one id."""
    ids: set[str] = set()
    for pair in pairs:
        if pair.id in ids:
            raise ValueError(
                f"two probes have the id {pair.id}: a word or template is listed twice"
            )
        ids.add(pair.id)
