"""Makes the task and the network that a configuration names."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from training.config import PretrainConfig
from training.data import TokenSplit
from training.tasks.base import AnyTask
from training.tasks.registry import TASKS


def load_task(name: str) -> type[AnyTask]:
    """Import the class of a task."""
    module, _, attribute = TASKS[name].partition(":")
    task: type[AnyTask] = getattr(import_module(module), attribute)
    return task


def build_task(split: TokenSplit, config: PretrainConfig, *, vocabulary: int) -> AnyTask:
    """The configured task over one split."""
    return load_task(config.task)(split, config, vocabulary=vocabulary)


def build_model(config: PretrainConfig, *, vocabulary: int) -> nn.Module:
    """The network that the configured task trains, freshly initialised from the seed."""
    model: nn.Module = load_task(config.task).build_model(config, vocabulary=vocabulary)
    return model
