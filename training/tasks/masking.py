"""What tasks with masked tokens share: choosing the targets, padding, and the loss of
the targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data import FIRST_TEXT_ID, Int64, Special
from training.models.bert import MaskedBert
from training.tasks.base import IGNORE

SHOWN_AS_MASK = 0.8
"""Share of the targets that the model sees as [MASK] (Devlin et al. 2019)."""

SHOWN_AS_MASK_OR_OTHER = 0.9
"""Up to here a target is shown as a random token; beyond it stays as it is."""


class MaskedTokens(NamedTuple):
    """What the model sees, and the labels: the token at a target, IGNORE elsewhere. Both (T,)."""

    ids: Int64
    labels: Int64


def mask_tokens(
    ids: Int64, rng: np.random.Generator, *, rate: float, vocabulary: int
) -> MaskedTokens:
    """Choose `rate` of the text tokens (at least one) as targets, and hide them.

    80 % of the targets are shown as [MASK], 10 % as another token, 10 % as they are. The draws are
    made in a fixed order (targets, fates, other tokens): another order would change every sample.
    """
    text_positions = np.flatnonzero(ids >= FIRST_TEXT_ID)
    count = max(1, round(len(text_positions) * rate))
    targets = rng.permutation(text_positions)[:count]
    labels = np.full_like(ids, IGNORE)
    labels[targets] = ids[targets]
    draws = rng.random(len(targets))
    others = rng.integers(FIRST_TEXT_ID, vocabulary, len(targets))
    other_or_same = np.where(draws < SHOWN_AS_MASK_OR_OTHER, others, ids[targets])
    visible = ids.copy()
    visible[targets] = np.where(draws < SHOWN_AS_MASK, Special.MASK, other_or_same)
    return MaskedTokens(visible, labels)


def sample_generator(seed: int, *, epoch: int, number: int) -> np.random.Generator:
    """The randomness of one sample: any step can be made again on its own."""
    key = np.array([seed << 32 | epoch, number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def pad_rows(rows: Sequence[Int64], filler: int) -> Tensor:
    """Stack rows as (B, T), T the longest of them, filled up with `filler`."""
    width = max(len(row) for row in rows)
    padded = np.full((len(rows), width), filler, dtype=np.int64)
    for target, values in zip(padded, rows, strict=True):
        target[: len(values)] = values
    return torch.from_numpy(padded)


def masked_loss_sum(model: MaskedBert, states_btd: Tensor, labels_bt: Tensor) -> Tensor:
    """Cross-entropy of the targets, summed; the vocabulary head runs at the targets only."""
    labels = labels_bt.flatten()
    positions = (labels != IGNORE).nonzero().squeeze(1)
    states_nd = states_btd.flatten(0, 1).index_select(0, positions)
    logits_nv = model.token_logits(states_nd)
    return F.cross_entropy(logits_nv, labels[positions], reduction="sum")
