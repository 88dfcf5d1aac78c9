"""The scorer `mlm_pll_shared`: pseudo-log-likelihood of the tokens both sentences share (Nangia et
al. 2020).

Each token is masked alone and predicted from the rest. A word split into several tokens is
predicted from its own other pieces; the audit therefore reports tokens per word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from bias_audit.scorers.hugging_face import ForwardRow, HuggingFaceScorer, Target
from bias_audit.scorers.scores import NumberedScore, PairScore, Score
from gristmill.errors import InputError

PAIRS_A_BATCH = 32


class SharedPosition(NamedTuple):
    """Where a token that both sentences share stands in each."""

    first: int
    second: int


class MaskedScorer(HuggingFaceScorer):
    """Pseudo-log-likelihood of the tokens that both sentences of a pair share."""

    name = "mlm_pll_shared"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        special = {
            "[CLS]": tokenizer.cls_token_id,
            "[SEP]": tokenizer.sep_token_id,
            "[MASK]": tokenizer.mask_token_id,
        }
        missing = [name for name, token in special.items() if token is None]
        if missing:
            raise InputError(
                "this masked model's tokenizer lacks special tokens",
                {"missing": ", ".join(missing)},
                "set cls_token, sep_token and mask_token in its special_tokens_map.json",
            )
        self.first = int(special["[CLS]"])
        self.last = int(special["[SEP]"])
        self.mask = int(special["[MASK]"])

    def score_sentences(self, texts: Sequence[str]) -> list[Score]:
        """The pseudo-log-likelihood of all tokens of each sentence."""
        encoded = [self.encode(text) for text in texts]
        rows: list[ForwardRow] = []
        for number, ids in enumerate(encoded):
            rows += self._masked_rows(number, ids, range(len(ids)))
        sums = self.sum_by_owner(rows, len(texts))
        return [Score(float(total), len(ids)) for total, ids in zip(sums, encoded, strict=True)]

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[NumberedScore]]:
        """Score the shared tokens of each pair, in the context of the differing ones."""
        for start in range(0, len(pairs), PAIRS_A_BATCH):
            chunk = pairs[start : start + PAIRS_A_BATCH]
            scores = self._score_chunk(chunk)
            yield [NumberedScore(start + number, score) for number, score in enumerate(scores)]

    def _score_chunk(self, chunk: Sequence[tuple[str, str]]) -> list[PairScore]:
        encoded = [(self.encode(stereo), self.encode(anti)) for stereo, anti in chunk]
        positions = [find_shared_tokens(stereo, anti) for stereo, anti in encoded]
        rows: list[ForwardRow] = []
        for number, (stereo, anti) in enumerate(encoded):
            # The two sentences of pair i are the owners 2 i and 2 i + 1.
            in_both = positions[number]
            rows += self._masked_rows(2 * number, stereo, [spot.first for spot in in_both])
            rows += self._masked_rows(2 * number + 1, anti, [spot.second for spot in in_both])
        sums = self.sum_by_owner(rows, 2 * len(chunk))
        scores: list[PairScore] = []
        for number, (stereo, anti) in enumerate(encoded):
            tokens = len(positions[number])
            scores.append(
                PairScore(
                    stereo=Score(float(sums[2 * number]), tokens),
                    anti=Score(float(sums[2 * number + 1]), tokens),
                    stereo_length=len(stereo),
                    anti_length=len(anti),
                )
            )
        return scores

    def _masked_rows(
        self, owner: int, ids: Sequence[int], positions: Sequence[int]
    ) -> list[ForwardRow]:
        """One row for each position, with only that token masked."""
        framed = [self.first, *ids, self.last]
        rows: list[ForwardRow] = []
        for position in positions:
            masked = [*framed]
            masked[position + 1] = self.mask  # one further for [CLS]
            rows.append(self.make_row(owner, masked, [Target(position + 1, ids[position])]))
        return rows


def find_shared_tokens(first: Sequence[int], second: Sequence[int]) -> list[SharedPosition]:
    """The positions of the tokens both sequences share, aligned as CrowS-Pairs does (difflib over
    token ids).
    """
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    return [
        SharedPosition(block.a + step, block.b + step)
        for block in blocks
        for step in range(block.size)
    ]
