"""The scorer `causal_sum`: log-likelihood of all text tokens behind an explicit begin-of-sequence
token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bias_audit.scorers.hugging_face import ForwardRow, HuggingFaceScorer, Target
from bias_audit.scorers.scores import NumberedScore, PairScore, Score
from gristmill.errors import InputError

PAIRS_A_BATCH = 64


class CausalScorer(HuggingFaceScorer):
    """Log-likelihood of a sentence behind an explicit begin-of-sequence token."""

    name = "causal_sum"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        candidates = (
            tokenizer.bos_token_id,
            getattr(model.config, "bos_token_id", None),
            # GPT-2 and its kin open a text with the token that ends one.
            tokenizer.eos_token_id,
        )
        begin = next((token for token in candidates if token is not None), None)
        if begin is None or begin < 0:
            raise InputError(
                "this model has no begin-of-sequence token",
                {"model": type(model).__name__},
                "without one the first word of a sentence has no likelihood;"
                " set bos_token in its tokenizer",
            )
        self.begin: int = begin

    def score_sentences(self, texts: Sequence[str]) -> list[Score]:
        """The sum over all tokens of each sentence."""
        rows = [self._sentence_row(number, text) for number, text in enumerate(texts)]
        sums = self.sum_by_owner(rows, len(rows))
        return [Score(float(total), len(row.ids)) for total, row in zip(sums, rows, strict=True)]

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[NumberedScore]]:
        """Score both sentences of each pair whole."""
        for start in range(0, len(pairs), PAIRS_A_BATCH):
            chunk = pairs[start : start + PAIRS_A_BATCH]
            scores = self.score_sentences([text for pair in chunk for text in pair])
            batch: list[NumberedScore] = []
            for number in range(len(chunk)):
                stereo = scores[2 * number]
                anti = scores[2 * number + 1]
                score = PairScore(stereo, anti, stereo.tokens, anti.tokens)
                batch.append(NumberedScore(start + number, score))
            yield batch

    def _sentence_row(self, owner: int, text: str) -> ForwardRow:
        """The begin token and all but the last token; each position is asked for the next token."""
        ids = self.encode(text)
        targets = [Target(position, token) for position, token in enumerate(ids)]
        return self.make_row(owner, [self.begin, *ids[:-1]], targets)
