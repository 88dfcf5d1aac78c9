"""A Hugging Face model and tokenizer as both scorers use them: encoding, batching,
log-probabilities.

In: rows of token ids, and which positions to read. Out: sums of log-probabilities in nats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bias_audit.stats import Floats
from gristmill.errors import InputError

if TYPE_CHECKING:
    import torch

BATCH_TOKENS = 4_096
"""Tokens of one forward pass, padding included."""

DECIMALS = 4
"""Scores are rounded before they are compared: what differs less is a tie, and reruns stay
byte-identical.
"""

UNLIMITED = 1 << 30
"""Tokens that a model without a stated limit reads."""


class Target(NamedTuple):
    """A position of a row, and the token whose probability is read there."""

    position: int
    token: int


@dataclass(frozen=True, slots=True)
class ForwardRow:
    """One row of a forward pass; the sums of several rows of one `owner` are added."""

    owner: int
    ids: tuple[int, ...]
    targets: tuple[Target, ...]


class OwnedSum(NamedTuple):
    """The sum of the log-probabilities of one row's targets."""

    owner: int
    total: float


class HuggingFaceScorer:
    """What both scorers share."""

    name = ""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        positions = getattr(model.config, "max_position_embeddings", 0)
        self.limit = int(positions or UNLIMITED)

    def encode(self, text: str) -> list[int]:
        """Token ids of the text alone: a literal "[MASK]" in it is text.

        Special tokens are added by id.
        """
        options = {"add_special_tokens": False, "truncation": False, "split_special_tokens": True}
        ids: list[int] = self.tokenizer(text, **options)["input_ids"]
        if not ids:
            raise InputError("this model's tokenizer makes no token of a probe", {"probe": text})
        return ids

    def make_row(self, owner: int, ids: Sequence[int], targets: Sequence[Target]) -> ForwardRow:
        """A forward row, refused where the model cannot read that many tokens."""
        if len(ids) > self.limit:
            raise InputError(
                "a probe is longer than this model can read",
                {"tokens": len(ids), "model reads": self.limit},
                "audit a model with a longer context",
            )
        return ForwardRow(owner, tuple(ids), tuple(targets))

    def sum_by_owner(self, rows: Sequence[ForwardRow], owners: int) -> Floats:
        """The summed log-probability (owners,) of every owner."""
        sums = np.zeros(owners)
        for batch in self._forward_all(rows):
            for owner, total in batch:
                sums[owner] += total
        return sums.round(DECIMALS)

    def _forward_all(self, rows: Sequence[ForwardRow]) -> Iterator[list[OwnedSum]]:
        """Forward all rows, longest first, so that a batch has little padding."""
        queue = sorted(rows, key=lambda row: len(row.ids), reverse=True)
        start = 0
        while start < len(queue):
            count = max(1, BATCH_TOKENS // len(queue[start].ids))
            yield self._forward(queue[start : start + count])
            start += count

    def _forward(self, batch: Sequence[ForwardRow]) -> list[OwnedSum]:
        import torch

        ids_bt, mask_bt = _pad_batch(batch)
        targets = [(number, target) for number, row in enumerate(batch) for target in row.targets]
        positions = (
            torch.tensor([number for number, _ in targets]),
            torch.tensor([target.position for _, target in targets]),
        )
        tokens = torch.tensor([target.token for _, target in targets])
        logits_nv = self._logits_at(ids_bt, mask_bt, positions)
        # Float64: sums over a sentence would lose the fourth decimal in float32.
        log_probabilities = logits_nv.double().log_softmax(-1)
        target_values = log_probabilities[torch.arange(len(tokens)), tokens].tolist()
        return _sum_rows(batch, target_values)

    def _logits_at(
        self,
        ids_bt: torch.Tensor,
        mask_bt: torch.Tensor,
        positions: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """Logits (N, V) at the given (row, position) pairs only.

        A masked row asks for one position of fifteen: the hook hands only that one to the
        output layer, which otherwise costs more time and memory than the rest of a small model.
        """
        import torch

        def keep_positions(_: object, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            return (inputs[0][positions][None],)

        head = self.model.get_output_embeddings()
        with torch.inference_mode():
            if head is None:
                logits_btv: torch.Tensor = self.model(
                    input_ids=ids_bt, attention_mask=mask_bt
                ).logits
                return logits_btv[positions]
            hook = head.register_forward_pre_hook(keep_positions)
            try:
                logits_1nv: torch.Tensor = self.model(
                    input_ids=ids_bt, attention_mask=mask_bt
                ).logits
            finally:
                hook.remove()
            return logits_1nv[0]


def _pad_batch(batch: Sequence[ForwardRow]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, T), and a mask (B, T) that is 1 where there are any; the first row is the longest."""
    import torch

    shape = (len(batch), len(batch[0].ids))
    ids_bt = torch.zeros(shape, dtype=torch.long)
    mask_bt = torch.zeros(shape, dtype=torch.long)
    for number, row in enumerate(batch):
        ids_bt[number, : len(row.ids)] = torch.tensor(row.ids)
        mask_bt[number, : len(row.ids)] = 1
    return ids_bt, mask_bt


def _sum_rows(batch: Sequence[ForwardRow], values: Sequence[float]) -> list[OwnedSum]:
    """Add up each row's part of the values of all targets."""
    sums: list[OwnedSum] = []
    start = 0
    for row in batch:
        end = start + len(row.targets)
        sums.append(OwnedSum(row.owner, float(sum(values[start:end]))))
        start = end
    return sums
