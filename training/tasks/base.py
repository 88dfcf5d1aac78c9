"""What every task has: samples of a split, batches, losses, a network and its Hugging Face form.

A task turns sample numbers into a batch, and a batch into loss sums with target counts. Sums and
counts, not means: the trainer divides once per step, so cutting a batch differently never changes
the gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn

from training.contract import Continuations, FilledMasks
from training.sampler import Draw

if TYPE_CHECKING:
    from training.config import PretrainConfig
    from training.corpus import PackedCorpus
    from training.data import TokenSplit
    from training.export import Exporter

IGNORE = -100
"""The label of a position that is no target (the default `ignore_index` of torch's cross_entropy).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBatch:
    """What a batch of any task tells the trainer; a task adds its labels.

    `inputs` go to the network in this order, each (B, T). `counts` says how many targets each
    part of the loss has; `text_bytes` how many bytes of text the targets of the first part cover.
    """

    inputs: tuple[Tensor, ...]
    counts: Mapping[str, int]
    tokens: int
    text_bytes: float


ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT", bound=TaskBatch)


class Task(ABC, Generic[ModelT, BatchT]):
    """A way to learn from one split; the class also knows the network it trains.

    The first part of the loss is the main one: bits per byte are counted from it.
    """

    bits_metric: ClassVar[str]
    """Under which name the bits per byte of a validation are reported."""

    @abstractmethod
    def __init__(self, split: TokenSplit, config: PretrainConfig, *, vocabulary: int) -> None:
        """Plan the samples of a split."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples the split gives."""

    @abstractmethod
    def make_batch(self, draw: Draw) -> BatchT:
        """Make the batch of these samples: a pure function of the draw."""

    @abstractmethod
    def loss_sums(self, model: ModelT, batch: BatchT) -> dict[str, Tensor]:
        """Sums of cross-entropy in nats (scalars), one per part of the loss."""

    @classmethod
    @abstractmethod
    def build_model(cls, config: PretrainConfig, *, vocabulary: int) -> ModelT:
        """Make the network with all heads of this task, initialised from the seed."""

    @classmethod
    @abstractmethod
    def exporter(cls) -> Exporter[ModelT]:
        """How the network becomes a Hugging Face folder."""

    @classmethod
    @abstractmethod
    def write_samples(
        cls, model: ModelT, corpus: PackedCorpus, config: PretrainConfig
    ) -> Continuations | FilledMasks:
        """What the finished model makes of the beginnings of some validation documents."""


AnyTask = Task[Any, Any]
