"""The task `causal`: predict each next token of fixed windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import PretrainConfig
from training.contract import Continuations
from training.corpus import PackedCorpus
from training.data import CausalWindows, Special, TokenSplit
from training.export import Exporter
from training.generate import continue_beginnings
from training.models.decoder import Decoder
from training.models.llama_form import LlamaExporter
from training.sampler import Draw
from training.tasks.base import IGNORE, Task, TaskBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class CausalBatch(TaskBatch):
    """Windows (B, T), and for each position the token that follows it: `labels` (B, T)."""

    labels: Tensor


class CausalTask(Task[Decoder, CausalBatch]):
    """Next-token prediction over the stream of all documents."""

    bits_metric = "bits_per_byte"

    def __init__(self, split: TokenSplit, config: PretrainConfig, *, vocabulary: int) -> None:
        self._windows = CausalWindows(split, config.data.sequence_length)

    def __len__(self) -> int:
        return len(self._windows)

    def make_batch(self, draw: Draw) -> CausalBatch:
        """Windows as inputs, shifted by one as labels; <s> is no target."""
        numbers = [int(number) for number in draw.samples]
        ids = np.stack([self._windows.window(number) for number in numbers])
        # What follows </s> tells the model nothing, so <s> is not predicted.
        labels = np.where(ids[:, 1:] == Special.BOS, IGNORE, ids[:, 1:])
        # torch cannot take the view without its last column: it is not contiguous.
        inputs = ids[:, :-1].copy()
        return CausalBatch(
            inputs=(torch.from_numpy(inputs),),
            labels=torch.from_numpy(labels),
            counts={"causal": int((labels != IGNORE).sum())},
            tokens=labels.size,
            text_bytes=sum(self._windows.target_bytes(number) for number in numbers),
        )

    def loss_sums(self, model: Decoder, batch: CausalBatch) -> dict[str, Tensor]:
        """Cross-entropy of every target, summed."""
        logits_btv: Tensor = model(*batch.inputs)
        loss = F.cross_entropy(
            logits_btv.flatten(0, 1),
            batch.labels.flatten(),
            ignore_index=IGNORE,
            reduction="sum",
        )
        return {"causal": loss}

    @classmethod
    def build_model(cls, config: PretrainConfig, *, vocabulary: int) -> Decoder:
        """A decoder that reads one window."""
        return Decoder(
            config.model,
            vocabulary=vocabulary,
            length=config.data.sequence_length,
            seed=config.seed,
        )

    @classmethod
    def exporter(cls) -> Exporter[Decoder]:
        """LlamaForCausalLM."""
        return LlamaExporter()

    @classmethod
    def write_samples(
        cls, model: Decoder, corpus: PackedCorpus, config: PretrainConfig
    ) -> Continuations:
        """Continuations of some validation documents."""
        return continue_beginnings(model, corpus, config)
