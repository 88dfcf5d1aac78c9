"""What a model learns to predict: the next token, or masked tokens and whether two segments belong together.

An objective turns sample numbers into a batch, and a batch into loss sums with target counts. Sums and counts, not
means: the trainer divides once per step, so cutting a batch differently never changes the gradient.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import PretrainConfig
from training.data import FIRST_TEXT_ID, CausalWindows, Int64, SegmentPairs, Special, TokenSplit
from training.models.bert import Bert
from training.models.decoder import Decoder
from training.sampler import Draw

IGNORE = -100
"""The label of a position that is no target (torch's own convention)."""
FOLLOWS, FROM_ELSEWHERE = 0, 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Model inputs and labels of some samples; `counts` names how many targets each part of the loss has."""

    inputs: tuple[Tensor, ...]
    labels: Tensor
    pair_labels: Tensor | None
    counts: dict[str, int]
    tokens: int
    text_bytes: float


class Objective(Protocol):
    """A way to learn from a split."""

    def __len__(self) -> int:
        """How many samples the split gives."""

    def batch(self, draw: Draw) -> Batch:
        """Make the batch of these samples."""

    def loss_sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Sums of cross-entropy in nats, one per part of the loss."""


class Causal:
    """Predict each next token of fixed windows."""

    def __init__(self, split: TokenSplit, config: PretrainConfig) -> None:
        self._windows = CausalWindows(split, config.data.sequence_length)

    def __len__(self) -> int:
        return len(self._windows)

    def batch(self, draw: Draw) -> Batch:
        """Windows as inputs, shifted by one as labels; <s> is no target."""
        ids = np.stack([self._windows.window(int(number)) for number in draw.samples])
        targets = np.where(ids[:, 1:] == Special.BOS, IGNORE, ids[:, 1:])
        return Batch(
            inputs=(torch.from_numpy(ids[:, :-1].copy()),),
            labels=torch.from_numpy(targets),
            pair_labels=None,
            counts={"causal": int((targets != IGNORE).sum())},
            tokens=targets.size,
            text_bytes=sum(self._windows.target_bytes(int(number)) for number in draw.samples),
        )

    def loss_sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of every target, summed."""
        logits: Tensor = model(*batch.inputs)
        loss = F.cross_entropy(
            logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORE, reduction="sum"
        )
        return {"causal": loss}


@dataclass(frozen=True, slots=True)
class MaskedPair:
    """One BERT sample: what the model sees, what it must say, and in which segment each token is."""

    ids: Int64
    labels: Int64
    segments: Int64
    pair_label: int


class MaskedAndNextSentence:
    """Guess masked tokens (80 % shown as [MASK], 10 % as another token, 10 % as they are) and judge segment pairs.

    All randomness of a sample comes from (seed, epoch, sample number): any step can be made again on its own.
    """

    def __init__(self, split: TokenSplit, config: PretrainConfig, *, vocabulary: int) -> None:
        self._split, self._vocabulary = split, vocabulary
        self._seed, self._rate = config.seed, config.data.mask_rate
        self.pairs = SegmentPairs(split, config.data.sequence_length)

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, number: int, epoch: int) -> MaskedPair:
        """Make one sample."""
        rng = np.random.Generator(
            np.random.Philox(key=np.array([self._seed << 32 | epoch, number], dtype=np.uint64))
        )
        pair = self.pairs.pair(number, rng)
        parts = [pair.first] if pair.second is None else [pair.first, pair.second]
        texts = [self._split.text(*part).astype(np.int64) for part in parts]
        ids = np.concatenate([[Special.CLS], *(np.append(text, Special.SEP) for text in texts)])
        segments = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
        label = (
            IGNORE
            if pair.from_elsewhere is None
            else FROM_ELSEWHERE
            if pair.from_elsewhere
            else FOLLOWS
        )
        shown, labels = mask_tokens(ids, rng, rate=self._rate, vocabulary=self._vocabulary)
        return MaskedPair(shown, labels, np.concatenate([[0], segments]), label)

    def batch(self, draw: Draw) -> Batch:
        """Samples padded to the longest of them."""
        drawn = zip(draw.samples, draw.epochs, strict=True)
        samples = [self.sample(int(number), int(epoch)) for number, epoch in drawn]
        ids = _pad([sample.ids for sample in samples], Special.PAD)
        labels = _pad([sample.labels for sample in samples], IGNORE)
        pair_labels = torch.tensor([sample.pair_label for sample in samples])
        targets = int((labels != IGNORE).sum())
        attention = ids != Special.PAD
        return Batch(
            inputs=(ids, _pad([sample.segments for sample in samples], 0), attention),
            labels=labels,
            pair_labels=pair_labels,
            counts={"mlm": targets, "nsp": int((pair_labels != IGNORE).sum())},
            tokens=int(attention.sum()),
            text_bytes=targets * self._split.bytes / max(1, self._split.tokens),
        )

    def loss_sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of masked tokens and of pairs; the vocabulary head runs at labelled positions only."""
        assert isinstance(model, Bert)
        assert batch.pair_labels is not None
        states = model.hidden(*batch.inputs)
        labels = batch.labels.flatten()
        places = (labels != IGNORE).nonzero().squeeze(1)
        token_logits = model.token_logits(states.flatten(0, 1).index_select(0, places))
        mlm = F.cross_entropy(token_logits, labels[places], reduction="sum")
        pair_logits = model.pair_logits(states)
        nsp = F.cross_entropy(pair_logits, batch.pair_labels, ignore_index=IGNORE, reduction="sum")
        return {"mlm": mlm, "nsp": nsp}


def mask_tokens(
    ids: Int64, rng: np.random.Generator, *, rate: float, vocabulary: int
) -> tuple[Int64, Int64]:
    """Choose `rate` of the text tokens (at least one) as targets; returns what the model sees, and the labels."""
    text = np.flatnonzero(ids >= FIRST_TEXT_ID)
    count = max(1, round(len(text) * rate))
    chosen = rng.permutation(text)[:count]
    shown, labels = ids.copy(), np.full_like(ids, IGNORE)
    labels[chosen] = ids[chosen]
    lot = rng.random(len(chosen))
    others = rng.integers(FIRST_TEXT_ID, vocabulary, len(chosen))
    shown[chosen] = np.where(lot < 0.8, Special.MASK, np.where(lot < 0.9, others, ids[chosen]))
    return shown, labels


def _pad(rows: list[Int64], filler: int) -> Tensor:
    padded = np.full((len(rows), max(len(row) for row in rows)), filler, dtype=np.int64)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return torch.from_numpy(padded)


def build_objective(
    split: TokenSplit, config: PretrainConfig, *, vocabulary: int
) -> Causal | MaskedAndNextSentence:
    """The configured objective over one split."""
    if config.objective == "causal":
        return Causal(split, config)
    return MaskedAndNextSentence(split, config, vocabulary=vocabulary)


def build_model(config: PretrainConfig, *, vocabulary: int) -> Decoder | Bert:
    """The network the configured objective trains, freshly initialised from the seed."""
    kind = Decoder if config.objective == "causal" else Bert
    return kind(
        config.model, vocabulary=vocabulary, length=config.data.sequence_length, seed=config.seed
    )
