"""Rates rise, hold and fall where they should; only matrices decay."""

import pytest

from training.config import OptimConfig
from training.optim import build_optimizer, learning_rate
from training.tasks.build import build_model


def rates(config: OptimConfig, steps: int) -> list[float]:
    return [learning_rate(step, steps, config) for step in range(steps)]


def test_wsd_warms_up_holds_and_falls_linearly():
    config = OptimConfig(learning_rate=1.0, warmup_steps=2, decay_fraction=0.4)
    assert rates(config, 10) == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_cosine_falls_to_a_tenth():
    config = OptimConfig(learning_rate=1.0, warmup_steps=1, schedule="cosine")
    found = rates(config, 101)
    assert found[0] == 1
    assert found[1] == pytest.approx(1.0)
    assert found[51] == pytest.approx(0.55)
    assert found[100] == pytest.approx(0.1, abs=0.001)
    assert found[1:] == sorted(found[1:], reverse=True)


def test_no_rate_is_zero_or_negative_within_the_run():
    for schedule in ("wsd", "cosine"):
        for decay in (0.0, 0.5, 1.0):
            config = OptimConfig(
                learning_rate=1.0, warmup_steps=0, decay_fraction=decay, schedule=schedule
            )
            assert min(rates(config, 17)) > 0


def test_norms_and_biases_do_not_decay(make_config):
    model = build_model(make_config("mlm_nsp"), vocabulary=512)
    matrices, others = build_optimizer(model, OptimConfig(weight_decay=0.1)).param_groups
    assert (matrices["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(weight.dim() == 2 for weight in matrices["params"])
    assert all(weight.dim() == 1 for weight in others["params"])
    assert len(matrices["params"]) + len(others["params"]) == len(list(model.parameters()))
