"""One line of `pairs/MODEL.jsonl`: both sentences of a pair, and which one a model prefers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredSentence:
    """A sentence, whose group it names, and how likely the model finds it, in nats.

    `tokens` counts the whole sentence; a masked model's log-likelihood is of the shared tokens
    only.
    """

    group: str
    sentence: str
    log_likelihood: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecord:
    """Both sentences of a pair; `preferred` is the group of the likelier one, None for a tie."""

    id: str
    axis: str
    stereo: ScoredSentence
    anti: ScoredSentence
    preferred: str | None
    prefers_stereotype: bool | None

    def to_line(self) -> str:
        """The record as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"
