"""Compares our training step with transformers' own models: tokens per CPU-second, paired in one process.

    python benchmarks/train.py [--rounds 3] [--threads 1]

Shapes are those of `small-causal` and `small-bert`; tokens are random, steps alternate between the two sides, and the
median of the rounds counts. Both sides use fused AdamW, gradient clipping and the same batch; dropout is off.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch import Tensor, nn

from training.config import ModelConfig, OptimConfig
from training.export import quiet_transformers
from training.models.bert import Bert
from training.models.bert_form import BertExporter
from training.models.decoder import Decoder
from training.models.llama_form import LlamaExporter
from training.optim import build_optimizer
from training.tasks.base import IGNORE, AnyTask, TaskBatch
from training.tasks.causal import CausalBatch, CausalTask
from training.tasks.masking import mask_tokens
from training.tasks.mlm_nsp import MaskedNextSentenceTask, MaskedPairBatch
from training.train_step import train_step

VOCABULARY = 8192
Step = Callable[[], None]


def causal_steps(length: int, batch: int) -> tuple[Step, Step]:
    """One step of our decoder, and one of LlamaForCausalLM with equal weights' shapes."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = ModelConfig(layers=6, width=384, heads=6, feed_forward=1024)
    ours = Decoder(shape, vocabulary=VOCABULARY, length=length, seed=1)
    theirs = LlamaForCausalLM(LlamaConfig(**LlamaExporter().to_hugging_face(ours).config))
    windows = torch.randint(
        7, VOCABULARY, (batch, length + 1), generator=torch.Generator().manual_seed(0)
    )
    inputs, labels = windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
    made = CausalBatch(
        inputs=(inputs,),
        labels=labels,
        counts={"causal": labels.numel()},
        tokens=labels.numel(),
        text_bytes=0.0,
    )
    return our_step(ours, CausalTask, made), their_step(
        theirs, {"input_ids": inputs, "shift_labels": labels, "labels": labels}
    )


def masked_steps(length: int, batch: int) -> tuple[Step, Step]:
    """One masked-token step of our BERT, and one of BertForMaskedLM; 15 % of the tokens are targets."""
    from transformers import BertConfig, BertForMaskedLM

    shape = ModelConfig(layers=6, width=384, heads=6, feed_forward=1536)
    ours = Bert(shape, vocabulary=VOCABULARY, length=length, seed=1)
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    theirs = BertForMaskedLM(BertConfig(**{**BertExporter().to_hugging_face(ours).config, **off}))
    rng = np.random.default_rng(0)
    rows = [
        mask_tokens(row, rng, rate=0.15, vocabulary=VOCABULARY)
        for row in rng.integers(7, VOCABULARY, (batch, length))
    ]
    ids, labels = (torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))
    segments, attention = torch.zeros_like(ids), torch.ones_like(ids)
    counts = {"mlm": int((labels != IGNORE).sum()), "nsp": batch}
    made = MaskedPairBatch(
        inputs=(ids, segments, attention.bool()),
        labels=labels,
        pair_labels=torch.zeros(batch).long(),
        counts=counts,
        tokens=ids.numel(),
        text_bytes=0.0,
    )
    named = {
        "input_ids": ids,
        "token_type_ids": segments,
        "attention_mask": attention,
        "labels": labels,
    }
    return our_step(ours, MaskedNextSentenceTask, made), their_step(theirs, named)


def our_step(model: nn.Module, task_class: type[AnyTask], batch: TaskBatch) -> Step:
    """The trainer's own step over a ready batch."""
    optimizer = build_optimizer(model, OptimConfig(learning_rate=1e-4))
    task = task_class.__new__(task_class)  # the loss needs no split
    return lambda: void(train_step(model, task, [batch], optimizer, max_grad_norm=1.0))


def their_step(model: nn.Module, named: dict[str, Tensor]) -> Step:
    """The step a user of transformers writes by hand."""
    optimizer = build_optimizer(model, OptimConfig(learning_rate=1e-4))

    def step() -> None:
        model(**named).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def void(_: object) -> None:
    """Drop a result."""


def cpu_seconds(step: Step) -> float:
    """What one step costs, all threads together."""
    started = time.process_time()
    step()
    return time.process_time() - started


def compare(name: str, steps: tuple[Step, Step], tokens: int, rounds: int) -> None:
    """Alternate both sides, and print the medians and their ratio."""
    for step in steps:
        step()
    pairs = [(cpu_seconds(steps[0]), cpu_seconds(steps[1])) for _ in range(rounds)]
    ours, theirs = (tokens / statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(second / first for first, second in pairs)
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}, n={rounds}"
    print(
        f"{name:<28}{ours:>8.0f}{theirs:>15.0f}{ours / theirs:>8.2f}   rounds {spread}", flush=True
    )


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"tokens per CPU-second, fp32, {options.threads} thread(s)    ours   transformers   ratio"
    )
    with quiet_transformers():
        compare("causal L6 d384 ctx256", causal_steps(256, 4), 4 * 256, options.rounds)
        compare("masked L6 d384 ctx128", masked_steps(128, 8), 8 * 128, options.rounds)


if __name__ == "__main__":
    main()
