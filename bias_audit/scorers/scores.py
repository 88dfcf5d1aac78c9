"""What a scorer gives, whatever the model behind it: scores of sentences and of pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Score:
    """The log-likelihood of one sentence in nats, and the number of tokens it was summed over."""

    total: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Mean log-likelihood of a token."""
        return self.total / max(1, self.tokens)


@dataclass(frozen=True, slots=True)
class PairScore:
    """Both sentences of a pair, scored, with their full lengths in tokens."""

    stereo: Score
    anti: Score
    stereo_length: int
    anti_length: int

    @property
    def equal_length(self) -> bool:
        """Whether both sentences have the same number of tokens, so that neither is favoured for
        being short.
        """
        return self.stereo_length == self.anti_length


class NumberedScore(NamedTuple):
    """The position of a pair among those to be scored, and its score."""

    position: int
    score: PairScore


class Scorer(Protocol):
    """What the audit needs of a model."""

    name: str

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[NumberedScore]]:
        """Score pairs in any order, by batches so that progress can be shown."""

    def score_sentences(self, texts: Sequence[str]) -> list[Score]:
        """Score whole sentences."""
