"""One optimizer step, and one validation: gradients and losses over micro-batches.

In: a network, its task and batches. Out: mean losses in nats per part of the task's loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from training.sampler import Draw
from training.tasks.base import BatchT, ModelT, Task, TaskBatch


@dataclass(frozen=True, slots=True)
class StepResult:
    """One optimizer step: mean loss of each part in nats, the gradient's norm before clipping,
    input tokens.
    """

    parts: dict[str, float]
    grad_norm: float
    tokens: int

    @property
    def loss(self) -> float:
        """What was minimised: the sum of the parts' means."""
        return sum(self.parts.values())


def train_step(
    model: ModelT,
    task: Task[ModelT, BatchT],
    batches: Sequence[BatchT],
    optimizer: torch.optim.Optimizer,
    *,
    max_grad_norm: float,
) -> StepResult:
    """Take one optimizer step over micro-batches.

    Each part of the loss is divided by its number of targets in the whole step, so cutting the step
    into other micro-batches never changes the gradient. FloatingPointError where loss or gradient
    is not finite; the weights are then as they were.
    """
    parts = accumulate(model, task, batches)
    loss = sum(parts.values())
    grad_norm = float(nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm))
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        optimizer.zero_grad(set_to_none=True)
        raise FloatingPointError(f"loss {loss}, gradient norm {grad_norm}")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(parts, grad_norm, sum(batch.tokens for batch in batches))


def accumulate(
    model: ModelT, task: Task[ModelT, BatchT], batches: Sequence[BatchT]
) -> dict[str, float]:
    """Add the gradients of all micro-batches; returns the mean loss of each part."""
    totals = _sum_counts(batches)
    if not any(totals.values()):
        raise ValueError("this step has no target: every label is masked")
    parts = dict.fromkeys(totals, 0.0)
    for batch in batches:
        sums = task.loss_sums(model, batch)
        means = {name: part / max(1, totals[name]) for name, part in sums.items()}
        loss = torch.stack(list(means.values())).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        for name, mean in means.items():
            parts[name] += mean.item()
    return parts


def _sum_counts(batches: Sequence[TaskBatch]) -> dict[str, int]:
    return {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}


@torch.no_grad()
def evaluate(
    model: ModelT, task: Task[ModelT, BatchT], draw: Draw, micro_batch: int
) -> dict[str, float]:
    """Mean losses over the drawn samples, and bits per byte of the text that was predicted.

    The losses of single parts are named only where there are several.
    """
    batches = [task.make_batch(part) for part in micro_draws(draw, micro_batch)]
    sums = [task.loss_sums(model, batch) for batch in batches]
    totals = _sum_counts(batches)
    parts = {
        name: sum(part[name].item() for part in sums) / max(1, count)
        for name, count in totals.items()
    }
    row = {"validation_loss": round(sum(parts.values()), 6)}
    if len(parts) > 1:
        row |= {f"validation_{name}_loss": round(value, 6) for name, value in parts.items()}
    main_part = next(iter(parts))
    text_bytes = sum(batch.text_bytes for batch in batches)
    nats = parts[main_part] * totals[main_part]
    bits_per_byte = nats / math.log(2) / text_bytes if text_bytes else math.nan
    row[task.bits_metric] = round(bits_per_byte, 6)
    return row


def micro_draws(draw: Draw, size: int) -> Iterator[Draw]:
    """Cut a draw into parts of `size` samples."""
    for first in range(0, len(draw.samples), size):
        end = first + size
        yield Draw(draw.samples[first:end], draw.epochs[first:end])
