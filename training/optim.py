"""AdamW with two decay groups, and the learning rate of every step."""

from __future__ import annotations

import math

import torch
from torch import nn

from training.config import OptimConfig

COSINE_FLOOR = 0.1
"""Share of the learning rate at which `cosine` ends (Hoffmann et al. 2022: a tenth)."""


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves norms and biases alone."""
    matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
    vectors = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        fused=True,
    )


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """The rate of `step` (from 0) in a run of `steps`.

    `wsd` warms up, stays, and falls linearly over the last part (Hu et al. 2024); `cosine` falls
    to a tenth after warming up.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "cosine":
        return config.learning_rate * _compute_cosine_factor(step, steps, config.warmup_steps)
    decay_steps = max(1, round(steps * config.decay_fraction))
    return config.learning_rate * min(1.0, (steps - step) / decay_steps)


def _compute_cosine_factor(step: int, steps: int, warmup_steps: int) -> float:
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    half_range = (1 - COSINE_FLOOR) / 2
    return COSINE_FLOOR + half_range * (1 + math.cos(math.pi * progress))
