"""The configuration of a pretraining run: task, model shape, data windows, optimizer,
and the loop.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gristmill.config import Config
from training.tasks.registry import check_task_name
from training.tasks.settings import MaskingConfig

TaskName = Annotated[str, AfterValidator(check_task_name)]
"""The name of a registered task."""


class ModelConfig(Config):
    """The shape of the network; the task decides whether it becomes a decoder or a BERT."""

    layers: int = Field(default=4, ge=1)
    width: int = Field(default=256, ge=8)
    heads: int = Field(default=4, ge=1)
    feed_forward: int = Field(default=688, ge=8)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                "width must be an even multiple of heads: rotary positions turn pairs of channels"
            )
        return self


class DataConfig(MaskingConfig):
    """How documents become model input; the settings of tasks are inherited."""

    sequence_length: int = Field(default=128, ge=8)


class OptimConfig(Config):
    """AdamW and the path of its learning rate."""

    learning_rate: float = Field(default=2e-3, gt=0)
    schedule: Literal["wsd", "cosine"] = "wsd"
    warmup_steps: int = Field(default=20, ge=0)
    decay_fraction: float = Field(default=0.3, ge=0, le=1)
    """Share of the steps, at the end, over which `wsd` falls to zero."""
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, gt=0, lt=1)
    beta2: float = Field(default=0.95, gt=0, lt=1)
    max_grad_norm: float = Field(default=1.0, gt=0)


class LoopConfig(Config):
    """How long, how much at once, and how often to look and to save."""

    steps: int = Field(default=100, ge=1)
    batch: int = Field(default=16, ge=1)
    """Sequences an optimizer step."""
    micro_batch: int = Field(default=16, ge=1)
    """Sequences a forward pass; several add up to one step without changing its gradient."""
    validate_every: int = Field(default=25, ge=1)
    validation_samples: int = Field(default=128, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)
    keep_checkpoints: int = Field(default=1, ge=1)
    threads: int = Field(default=2, ge=1)
    """Part of the run's identity: another number of threads adds floats in another order."""

    @model_validator(mode="after")
    def _micro_batches_fill_the_batch(self) -> Self:
        if self.batch % self.micro_batch:
            raise ValueError("batch must be a multiple of micro_batch")
        return self


class PretrainConfig(Config):
    """Everything that decides the bytes of a pretraining run, apart from its shards."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"objective": "task"}

    task: TaskName = "causal"
    seed: int = Field(default=1, ge=0, lt=2**32)
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    loop: LoopConfig = LoopConfig()

    @model_validator(mode="after")
    def _warmup_ends_before_the_run(self) -> Self:
        if self.optim.warmup_steps > self.loop.steps:
            raise ValueError(
                f"optim.warmup_steps ({self.optim.warmup_steps}) exceeds"
                f" loop.steps ({self.loop.steps})"
            )
        return self
