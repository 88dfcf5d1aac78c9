"""The training loop: steps, validation, metrics and checkpoints, resumable at any moment to the same bytes."""

import json
import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import nn

from gristmill.cli import say
from gristmill.errors import Stopped, UserError
from gristmill.progress import Progress
from gristmill.runs import storage
from training.checkpoint import (
    Counters,
    complete_steps,
    keep_only,
    load_checkpoint,
    newest_intact,
    save_checkpoint,
)
from training.config import PretrainConfig
from training.corpus import PackedCorpus, refuse_too_small
from training.objectives import Batch, Objective, build_model, build_objective
from training.optim import build_optimizer, learning_rate
from training.sampler import Draw, Sampler, shuffled

VALIDATION_KEY = 0x76616C  # another shuffle than any training epoch's


@dataclass(frozen=True, slots=True)
class StepResult:
    """One optimizer step: mean loss of each part in nats, the gradient's norm before clipping, input tokens."""

    parts: dict[str, float]
    grad_norm: float
    tokens: int

    @property
    def loss(self) -> float:
        """What was minimised: the sum of the parts' means."""
        return sum(self.parts.values())


def train_step(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    max_grad_norm: float,
) -> StepResult:
    """Take one optimizer step over micro-batches.

    Each part of the loss is divided by its number of targets in the whole step, so cutting the step into other
    micro-batches never changes the gradient.
    """
    parts = accumulate(model, objective, batches)
    grad_norm = float(nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm))
    if not (math.isfinite(sum(parts.values())) and math.isfinite(grad_norm)):
        optimizer.zero_grad(set_to_none=True)
        raise FloatingPointError(f"loss {sum(parts.values())}, gradient norm {grad_norm}")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return StepResult(parts, grad_norm, sum(batch.tokens for batch in batches))


def accumulate(
    model: nn.Module, objective: Objective, batches: Sequence[Batch]
) -> dict[str, float]:
    """Add the gradients of all micro-batches; returns the mean loss of each part."""
    totals = _total_counts(batches)
    if not any(totals.values()):
        raise ValueError("this step has no target: every label is masked")
    parts = dict.fromkeys(totals, 0.0)
    for batch in batches:
        means = {
            name: part / max(1, totals[name])
            for name, part in objective.loss_sums(model, batch).items()
        }
        torch.stack(list(means.values())).sum().backward()  # type: ignore[no-untyped-call]
        for name, mean in means.items():
            parts[name] += mean.item()
    return parts


def _total_counts(batches: Sequence[Batch]) -> dict[str, int]:
    return {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}


@torch.no_grad()
def evaluate(
    model: nn.Module, objective: Objective, draw: Draw, micro_batch: int
) -> dict[str, float]:
    """Mean losses over the drawn samples, and bits per byte of the text that was predicted."""
    batches = [objective.batch(part) for part in micro_draws(draw, micro_batch)]
    sums = [objective.loss_sums(model, batch) for batch in batches]
    totals = _total_counts(batches)
    parts = {
        name: sum(found[name].item() for found in sums) / max(1, count)
        for name, count in totals.items()
    }
    main = next(iter(parts))
    text_bytes = sum(batch.text_bytes for batch in batches)
    bits = parts[main] * totals[main] / math.log(2) / text_bytes if text_bytes else math.nan
    named = (
        {f"validation_{name}_loss": round(value, 6) for name, value in parts.items()}
        if len(parts) > 1
        else {}
    )
    bits_name = "bits_per_byte" if main == "causal" else "masked_bits_per_byte"
    return {"validation_loss": round(sum(parts.values()), 6), **named, bits_name: round(bits, 6)}


def micro_draws(draw: Draw, size: int) -> Iterator[Draw]:
    """Cut a draw into parts of `size` samples."""
    for first in range(0, len(draw.samples), size):
        yield Draw(draw.samples[first : first + size], draw.epochs[first : first + size])


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying, so that the step under way can be finished and saved."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Trainer:
    """One training in one run folder; `run` continues from the newest intact checkpoint there."""

    def __init__(self, folder: Path, corpus: PackedCorpus, config: PretrainConfig) -> None:
        torch.set_num_threads(config.loop.threads)
        self.folder, self.config = folder, config
        vocabulary = corpus.tokenizer.vocabulary
        self.model = build_model(config, vocabulary=vocabulary)
        self.optimizer = build_optimizer(self.model, config.optim)
        self.objective = build_objective(corpus.train, config, vocabulary=vocabulary)
        self.validation = build_objective(corpus.validation, config, vocabulary=vocabulary)
        for objective, split in (
            (self.objective, corpus.train),
            (self.validation, corpus.validation),
        ):
            refuse_too_small(
                corpus, split, samples=len(objective), length=config.data.sequence_length
            )
        self.sampler = Sampler(len(self.objective), config.loop.batch, config.seed)
        self.counters = Counters()
        self.metrics = Metrics(folder / "metrics.jsonl")

    def run(self) -> dict[str, Any]:
        """Train to the last step; returns telemetry. Raises Stopped, its work saved, when a signal asks to stop."""
        self._resume()
        started, first = time.monotonic(), self.counters
        loop = self.config.loop
        with (
            Progress("pretrain", total=loop.steps, unit="steps", done=first.step) as bar,
            stop_requests() as stops,
        ):
            while self.counters.step < loop.steps:
                result = self._step()
                bar.advance(note=f"loss {result.loss:.3f}")
                due = (
                    self.counters.step % loop.checkpoint_every == 0
                    or self.counters.step == loop.steps
                )
                if due or stops:
                    self._save()
                if stops and self.counters.step < loop.steps:
                    name = signal.Signals(stops[0]).name
                    raise Stopped(
                        f"stopped by {name} after step {self.counters.step}; the same command continues there"
                    )
        keep_only(self.folder, self._kept())
        return _telemetry(
            self.counters.tokens - first.tokens,
            time.monotonic() - started,
            self.counters.step - first.step,
        )

    def seconds_a_step(self) -> float:
        """How long a step will take here: one forward and backward pass, measured after one to warm up."""
        draws = list(micro_draws(self.sampler.draw(0), self.config.loop.micro_batch))
        seconds = 0.0
        for _ in range(2):
            started = time.monotonic()
            accumulate(self.model, self.objective, [self.objective.batch(draws[0])])
            seconds = time.monotonic() - started
        self.optimizer.zero_grad(set_to_none=True)
        return seconds * len(draws)

    def _resume(self) -> None:
        folder = newest_intact(self.folder)
        if folder is not None:
            self.counters = load_checkpoint(folder, self.model, self.optimizer)
            say(f"  continuing from {folder.name}")
        self.metrics.cut_after(self.counters.step)
        if self.counters.step == 0:
            self.metrics.append({"step": 0, **self._validate()})

    def _step(self) -> StepResult:
        """One step, its metrics included."""
        loop, optim, step = self.config.loop, self.config.optim, self.counters.step
        rate = learning_rate(step, loop.steps, optim)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batches = [
            self.objective.batch(part)
            for part in micro_draws(self.sampler.draw(step), loop.micro_batch)
        ]
        try:
            result = train_step(
                self.model,
                self.objective,
                batches,
                self.optimizer,
                max_grad_norm=optim.max_grad_norm,
            )
        except FloatingPointError as error:
            raise self._diverged(step + 1, rate, error) from None
        self.counters = Counters(step + 1, self.counters.tokens + result.tokens)
        self.metrics.append(self._row(result, rate))
        if self.counters.step % loop.validate_every == 0 or self.counters.step == loop.steps:
            self.metrics.append({"step": self.counters.step, **self._validate()})
        return result

    def _row(self, result: StepResult, rate: float) -> dict[str, float]:
        parts = (
            {f"{name}_loss": round(value, 6) for name, value in result.parts.items()}
            if len(result.parts) > 1
            else {}
        )
        counters = {"step": self.counters.step, "tokens": self.counters.tokens}
        return {
            **counters,
            "loss": round(result.loss, 6),
            **parts,
            "lr": rate,
            "grad_norm": round(result.grad_norm, 6),
        }

    def _diverged(self, step: int, rate: float, error: FloatingPointError) -> UserError:
        return UserError(
            "the loss is not a finite number: the training diverged",
            {"run": self.folder, "step": step, "learning rate": rate, "found": error},
            "lower optim.learning_rate, or raise optim.warmup_steps; the last checkpoint is intact",
        )

    def _validate(self) -> dict[str, float]:
        size = len(self.validation)
        samples = np.arange(min(size, self.config.loop.validation_samples))
        draw = Draw(
            shuffled(samples, size, (self.config.seed, VALIDATION_KEY)), np.zeros_like(samples)
        )
        return evaluate(self.model, self.validation, draw, self.config.loop.micro_batch)

    def _save(self) -> None:
        self.metrics.sync()
        save_checkpoint(self.folder, self.model, self.optimizer, self.counters)
        keep_only(self.folder, self._kept() | {self.counters.step})

    def _kept(self) -> set[int]:
        """The newest checkpoints of the regular rhythm: what stays must not depend on where a run was stopped."""
        loop = self.config.loop
        regular = [
            step
            for step in complete_steps(self.folder)
            if step % loop.checkpoint_every == 0 or step == loop.steps
        ]
        return set(regular[-loop.keep_checkpoints :])


class Metrics:
    """`metrics.jsonl`: one JSON object a line, in step order, without any clock in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: dict[str, float]) -> None:
        """Add one line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def sync(self) -> None:
        """Flush the lines to disk; a checkpoint relies on those before it."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())

    def cut_after(self, step: int) -> None:
        """Drop what a killed process wrote beyond its last checkpoint, a half line included."""
        lines = (
            self.path.read_bytes().splitlines(keepends=True) if self.path.exists() and step else []
        )
        whole = [
            line for line in lines if line.endswith(b"\n") and json.loads(line)["step"] <= step
        ]
        storage.commit_bytes(self.path, b"".join(whole))


def read_metrics(path: Path) -> list[dict[str, float]]:
    """All lines of a metrics file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _telemetry(tokens: int, seconds: float, steps: int) -> dict[str, Any]:
    return {
        "steps": steps,
        "train_seconds": round(seconds, 3),
        "tokens_per_second": round(tokens / seconds, 1) if steps else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
