"""The task `mlm_nsp`: predict masked tokens, and judge whether two segments belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import PretrainConfig
from training.contract import FilledMasks
from training.corpus import PackedCorpus
from training.data import Int64, SegmentPairs, Special, TokenSplit
from training.export import Exporter
from training.generate import fill_beginnings
from training.models.bert import Bert
from training.models.bert_form import BertExporter
from training.sampler import Draw
from training.tasks.base import IGNORE, Task, TaskBatch
from training.tasks.masking import mask_tokens, masked_loss_sum, pad_rows, sample_generator

FOLLOWS = 0
FROM_ELSEWHERE = 1


@dataclass(frozen=True, slots=True)
class MaskedPair:
    """One sample: what the model sees, the masked tokens, the segment of each token (each (T,))."""

    ids: Int64
    labels: Int64
    segments: Int64
    pair_label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedPairBatch(TaskBatch):
    """Inputs are ids, segments and attention; `labels` (B, T) and `pair_labels` (B,) are the
    targets.
    """

    labels: Tensor
    pair_labels: Tensor


class MaskedNextSentenceTask(Task[Bert, MaskedPairBatch]):
    """BERT's two tasks at once; all randomness of a sample comes from (seed, epoch,
    sample number).
    """

    bits_metric = "masked_bits_per_byte"

    def __init__(self, split: TokenSplit, config: PretrainConfig, *, vocabulary: int) -> None:
        self._split = split
        self._vocabulary = vocabulary
        self._seed = config.seed
        self._mask_rate = config.data.mask_rate
        self.pairs = SegmentPairs(split, config.data.sequence_length)

    def __len__(self) -> int:
        return len(self.pairs)

    def make_sample(self, number: int, epoch: int) -> MaskedPair:
        """Make one sample: [CLS] first [SEP] second [SEP], or one segment alone."""
        rng = sample_generator(self._seed, epoch=epoch, number=number)
        pair = self.pairs.pair(number, rng)
        spans = [pair.first] if pair.second is None else [pair.first, pair.second]
        texts = [self._split.text(*span).astype(np.int64) for span in spans]
        closed = [np.append(text, Special.SEP) for text in texts]
        ids = np.concatenate([[Special.CLS], *closed])
        segments = np.repeat(np.arange(len(closed)), [len(part) for part in closed])
        masked = mask_tokens(ids, rng, rate=self._mask_rate, vocabulary=self._vocabulary)
        return MaskedPair(
            masked.ids,
            masked.labels,
            np.concatenate([[0], segments]),
            _label_pair(pair.from_elsewhere),
        )

    def make_batch(self, draw: Draw) -> MaskedPairBatch:
        """Samples padded to the longest of them."""
        drawn = zip(draw.samples, draw.epochs, strict=True)
        samples = [self.make_sample(int(number), int(epoch)) for number, epoch in drawn]
        ids = pad_rows([sample.ids for sample in samples], Special.PAD)
        segments = pad_rows([sample.segments for sample in samples], 0)
        attention = ids != Special.PAD
        labels = pad_rows([sample.labels for sample in samples], IGNORE)
        pair_labels = torch.tensor([sample.pair_label for sample in samples])
        targets = int((labels != IGNORE).sum())
        pairs = int((pair_labels != IGNORE).sum())
        return MaskedPairBatch(
            inputs=(ids, segments, attention),
            labels=labels,
            pair_labels=pair_labels,
            counts={"mlm": targets, "nsp": pairs},
            tokens=int(attention.sum()),
            # The split's own bytes per token: single tokens have no bytes of their own.
            text_bytes=targets * self._split.bytes / max(1, self._split.tokens),
        )

    def loss_sums(self, model: Bert, batch: MaskedPairBatch) -> dict[str, Tensor]:
        """Cross-entropy of masked tokens, and of pairs."""
        states_btd = model.hidden(*batch.inputs)
        masked_loss = masked_loss_sum(model, states_btd, batch.labels)
        pair_loss = F.cross_entropy(
            model.pair_logits(states_btd),
            batch.pair_labels,
            ignore_index=IGNORE,
            reduction="sum",
        )
        return {"mlm": masked_loss, "nsp": pair_loss}

    @classmethod
    def build_model(cls, config: PretrainConfig, *, vocabulary: int) -> Bert:
        """A BERT with both heads."""
        return Bert(
            config.model,
            vocabulary=vocabulary,
            length=config.data.sequence_length,
            seed=config.seed,
        )

    @classmethod
    def exporter(cls) -> Exporter[Bert]:
        """BertForPreTraining."""
        return BertExporter()

    @classmethod
    def write_samples(
        cls, model: Bert, corpus: PackedCorpus, config: PretrainConfig
    ) -> FilledMasks:
        """One mask filled in the beginning of some validation documents."""
        return fill_beginnings(model, corpus, config)


def _label_pair(from_elsewhere: bool | None) -> int:
    if from_elsewhere is None:
        return IGNORE
    return FROM_ELSEWHERE if from_elsewhere else FOLLOWS
