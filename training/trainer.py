"""The training loop: steps, validation, metrics and checkpoints, resumable at any moment to the
same bytes.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import torch

from gristmill.cli import say
from gristmill.errors import Stopped, UserError
from gristmill.progress import Progress
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
from training.metrics import MetricsFile
from training.optim import build_optimizer, learning_rate
from training.sampler import Draw, Sampler, shuffled
from training.tasks.build import build_model, build_task
from training.train_step import StepResult, accumulate, evaluate, micro_draws, train_step

VALIDATION_KEY = 0x76616C  # "val": another shuffle than that of any training epoch


@dataclass(frozen=True, slots=True)
class TrainingTelemetry:
    """How fast a training was; `steps` counts those of this process only."""

    steps: int
    train_seconds: float
    tokens_per_second: float | None
    threads: int
    torch: str

    def to_json(self) -> dict[str, float | str | None]:
        """The numbers as they stand in telemetry.json."""
        return asdict(self)


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying, so that the step under way can be finished and
    saved.
    """
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    handlers = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Trainer:
    """One training in one run folder; `run` continues from the newest intact checkpoint there."""

    def __init__(self, folder: Path, corpus: PackedCorpus, config: PretrainConfig) -> None:
        torch.set_num_threads(config.loop.threads)
        self.folder = folder
        self.config = config
        vocabulary = corpus.tokenizer.vocabulary
        self.model = build_model(config, vocabulary=vocabulary)
        self.optimizer = build_optimizer(self.model, config.optim)
        self.task = build_task(corpus.train, config, vocabulary=vocabulary)
        self.validation = build_task(corpus.validation, config, vocabulary=vocabulary)
        length = config.data.sequence_length
        refuse_too_small(corpus, corpus.train, samples=len(self.task), length=length)
        refuse_too_small(corpus, corpus.validation, samples=len(self.validation), length=length)
        self.sampler = Sampler(len(self.task), config.loop.batch, config.seed)
        self.counters = Counters()
        self.metrics = MetricsFile(folder / "metrics.jsonl")

    def run(self) -> TrainingTelemetry:
        """Train to the last step; returns telemetry.

        Raises Stopped, its work saved, when a signal asks to stop.
        """
        self._resume()
        started = time.monotonic()
        first = self.counters
        steps = self.config.loop.steps
        with (
            Progress("pretrain", total=steps, unit="steps", done=first.step) as bar,
            stop_requests() as stops,
        ):
            while self.counters.step < steps:
                result = self._step()
                bar.advance(note=f"loss {result.loss:.3f}")
                if stops or self._is_checkpoint_step(self.counters.step):
                    self._save()
                if stops and self.counters.step < steps:
                    raise self._stopped_by(stops[0])
        keep_only(self.folder, self._regular_checkpoints())
        return self._telemetry(first, time.monotonic() - started)

    def seconds_a_step(self) -> float:
        """How long a step will take here: one forward and backward pass, measured after one to warm
        up.
        """
        draws = list(micro_draws(self.sampler.draw(0), self.config.loop.micro_batch))
        seconds = 0.0
        for _ in range(2):
            started = time.monotonic()
            accumulate(self.model, self.task, [self.task.make_batch(draws[0])])
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
        loop = self.config.loop
        step = self.counters.step
        rate = learning_rate(step, loop.steps, self.config.optim)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        try:
            result = self._update_weights(step)
        except FloatingPointError as error:
            raise self._diverged(step + 1, rate, error) from None
        self.counters = Counters(step + 1, self.counters.tokens + result.tokens)
        self.metrics.append(self._metrics_row(result, rate))
        if self.counters.step % loop.validate_every == 0 or self.counters.step == loop.steps:
            self.metrics.append({"step": self.counters.step, **self._validate()})
        return result

    def _update_weights(self, step: int) -> StepResult:
        draws = micro_draws(self.sampler.draw(step), self.config.loop.micro_batch)
        batches = [self.task.make_batch(draw) for draw in draws]
        max_grad_norm = self.config.optim.max_grad_norm
        return train_step(
            self.model, self.task, batches, self.optimizer, max_grad_norm=max_grad_norm
        )

    def _metrics_row(self, result: StepResult, rate: float) -> dict[str, float]:
        """The line of a step; the losses of single parts are named only where there are several."""
        row: dict[str, float] = {
            "step": self.counters.step,
            "tokens": self.counters.tokens,
            "loss": round(result.loss, 6),
        }
        if len(result.parts) > 1:
            row |= {f"{name}_loss": round(value, 6) for name, value in result.parts.items()}
        return {**row, "lr": rate, "grad_norm": round(result.grad_norm, 6)}

    def _diverged(self, step: int, rate: float, error: FloatingPointError) -> UserError:
        return UserError(
            "the loss is not a finite number: the training diverged",
            {"run": self.folder, "step": step, "learning rate": rate, "found": error},
            "lower optim.learning_rate, or raise optim.warmup_steps; the last checkpoint is intact",
        )

    def _stopped_by(self, number: int) -> Stopped:
        name = signal.Signals(number).name
        return Stopped(
            f"stopped by {name} after step {self.counters.step}; the same command continues there"
        )

    def _validate(self) -> dict[str, float]:
        size = len(self.validation)
        positions = np.arange(min(size, self.config.loop.validation_samples))
        samples = shuffled(positions, size, (self.config.seed, VALIDATION_KEY))
        draw = Draw(samples, np.zeros_like(samples))
        return evaluate(self.model, self.validation, draw, self.config.loop.micro_batch)

    def _save(self) -> None:
        self.metrics.sync()
        save_checkpoint(self.folder, self.model, self.optimizer, self.counters)
        keep_only(self.folder, self._regular_checkpoints() | {self.counters.step})

    def _is_checkpoint_step(self, step: int) -> bool:
        loop = self.config.loop
        return step % loop.checkpoint_every == 0 or step == loop.steps

    def _regular_checkpoints(self) -> set[int]:
        """The newest checkpoints of the regular rhythm: what stays must not depend on where a run
        was stopped.
        """
        regular = [step for step in complete_steps(self.folder) if self._is_checkpoint_step(step)]
        return set(regular[-self.config.loop.keep_checkpoints :])

    def _telemetry(self, first: Counters, seconds: float) -> TrainingTelemetry:
        steps = self.counters.step - first.step
        tokens = self.counters.tokens - first.tokens
        return TrainingTelemetry(
            steps=steps,
            train_seconds=round(seconds, 3),
            tokens_per_second=round(tokens / seconds, 1) if steps else None,
            threads=torch.get_num_threads(),
            torch=torch.__version__,
        )
