"""The loop: the same bytes however it is cut or interrupted, and a clear end when something is wrong."""

import dataclasses
import json
import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from gristmill.errors import InputError, Stopped, UserError
from gristmill.hashing import sha256_file
from training.checkpoint import complete_steps
from training.metrics import MetricsFile, read_metrics
from training.optim import build_optimizer
from training.sampler import Draw
from training.tasks.build import build_model, build_task
from training.train_step import accumulate, evaluate, micro_draws, train_step
from training.trainer import Trainer

BOTH = pytest.mark.parametrize("objective", ["causal", "mlm_nsp"])


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def first_draw(count: int) -> Draw:
    return Draw(np.arange(count), np.zeros(count, dtype=np.int64))


@BOTH
def test_cutting_a_batch_differently_never_changes_the_gradient(corpus, make_config, objective):
    config = make_config(objective)
    task = build_task(corpus.train, config, vocabulary=512)
    gradients, losses = [], []
    for size in (8, 2, 1):
        model = build_model(config, vocabulary=512)
        losses.append(
            sum(
                accumulate(
                    model,
                    task,
                    [task.make_batch(part) for part in micro_draws(first_draw(8), size)],
                ).values()
            )
        )
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    for gradient, loss in zip(gradients[1:], losses[1:], strict=True):
        torch.testing.assert_close(gradient, gradients[0], atol=1e-6, rtol=0)
        assert loss == pytest.approx(losses[0], abs=1e-5)


@BOTH
def test_one_batch_can_be_learnt_by_heart(corpus, make_config, objective):
    config = make_config(objective)
    task, model = (
        build_task(corpus.train, config, vocabulary=512),
        build_model(config, vocabulary=512),
    )
    optimizer = build_optimizer(model, config.optim)
    batches = [task.make_batch(first_draw(4))]
    for group in optimizer.param_groups:
        group["lr"] = 1e-2
    losses = [
        train_step(model, task, batches, optimizer, max_grad_norm=1.0).loss for _ in range(80)
    ]
    assert losses[0] > 5
    assert losses[-1] < 0.1


GOLDEN = {
    "causal": [6.2537, 6.2089, 6.0946, 5.9902, 5.8782, 5.8007, 5.6985, 5.6435],
    "mlm_nsp": [6.9201, 6.8923, 6.8998, 6.8804, 6.1498, 6.6735, 6.0984, 6.6503],
}


@BOTH
def test_the_loss_curve_of_a_known_seed_never_changes(corpus, make_config, tmp_path, objective):
    Trainer(tmp_path, corpus, make_config(objective)).run()
    losses = [row["loss"] for row in read_metrics(tmp_path / "metrics.jsonl") if "loss" in row]
    assert losses == pytest.approx(
        GOLDEN[objective], abs=2e-3
    )  # other CPUs add floats in another order


@BOTH
def test_resuming_at_any_checkpoint_gives_the_bytes_of_an_uninterrupted_run(
    corpus, make_config, tmp_path, objective
):
    config = make_config(objective)
    Trainer(tmp_path / "whole", corpus, config).run()
    wanted = hashes(tmp_path / "whole")
    assert set(wanted) == {"metrics.jsonl", *(f"step-8/{name}" for name in CHECKPOINT)}
    for stop_after in (1, 2, 5):
        folder = tmp_path / f"stopped-{stop_after}"
        run_until(Trainer(folder, corpus, config), stop_after)
        Trainer(folder, corpus, config).run()
        assert hashes(folder) == wanted


def test_two_threads_give_the_same_bytes_every_time_and_after_a_resume(
    corpus, make_config, tmp_path
):
    config = make_config(loop={"threads": 2}, model={"width": 128}, data={"sequence_length": 64})
    Trainer(tmp_path / "whole", corpus, config).run()
    run_until(Trainer(tmp_path / "stopped", corpus, config), 5)
    assert Trainer(tmp_path / "stopped", corpus, config).run().threads == 2
    assert hashes(tmp_path / "stopped") == hashes(tmp_path / "whole")


CHECKPOINT = ("manifest.json", "model.safetensors", "optimizer.safetensors", "state.json")


class KilledError(Exception):
    """Stands for the process dying right after a step."""


def run_until(training: Trainer, step: int) -> None:
    """Run, and die without saving once `step` is done."""
    take_step = training._step

    def step_then_die():
        result = take_step()
        if training.counters.step == step:
            raise KilledError
        return result

    training._step = step_then_die
    with pytest.raises(KilledError):
        training.run()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_and_stops_with_75(corpus, make_config, tmp_path, number):
    config = make_config()
    training = Trainer(tmp_path / "stopped", corpus, config)
    take_step = training._step

    def step_then_signal():
        if training.counters.step == 2:
            os.kill(os.getpid(), number)
        return take_step()

    training._step = step_then_signal
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"stopped by {number.name} after step 3") as stopped:
        training.run()
    assert stopped.value.exit_code == 75
    assert signal.getsignal(number) is before
    assert complete_steps(tmp_path / "stopped") == [2, 3]
    Trainer(tmp_path / "stopped", corpus, config).run()
    Trainer(tmp_path / "whole", corpus, config).run()
    assert hashes(tmp_path / "stopped") == hashes(tmp_path / "whole")


def test_a_signal_in_the_last_step_does_not_spoil_a_finished_training(
    corpus, make_config, tmp_path
):
    training = Trainer(tmp_path, corpus, make_config())
    take_step = training._step

    def signal_late():
        if training.counters.step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return take_step()

    training._step = signal_late
    assert training.run().steps == 8


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(corpus, make_config, tmp_path):
    config = make_config(loop={"keep_checkpoints": 3})
    Trainer(tmp_path / "whole", corpus, config).run()
    Trainer(tmp_path / "damaged", corpus, config).run()
    weights = tmp_path / "damaged" / "step-8" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    training = Trainer(tmp_path / "damaged", corpus, config)
    assert training.run().steps == 2
    assert hashes(tmp_path / "damaged") == hashes(tmp_path / "whole")


def test_as_many_checkpoints_stay_as_configured(corpus, make_config, tmp_path):
    Trainer(tmp_path, corpus, make_config(loop={"keep_checkpoints": 3})).run()
    assert complete_steps(tmp_path) == [4, 6, 8]


def test_metrics_hold_every_step_and_every_validation_and_no_clock(corpus, make_config, tmp_path):
    telemetry = Trainer(tmp_path, corpus, make_config()).run()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 9))
    assert [row["step"] for row in rows if "validation_loss" in row] == [0, 4, 8]
    assert set(rows[1]) == {"step", "tokens", "loss", "lr", "grad_norm"}
    assert set(rows[0]) == {"step", "validation_loss", "bits_per_byte"}
    assert rows[-2]["tokens"] == 8 * 8 * 32
    assert telemetry.tokens_per_second > 0
    assert telemetry.threads == 1


def test_bert_metrics_name_both_parts_of_the_loss(corpus, make_config, tmp_path):
    Trainer(tmp_path, corpus, make_config("mlm_nsp")).run()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert set(rows[1]) == {"step", "tokens", "loss", "mlm_loss", "nsp_loss", "lr", "grad_norm"}
    parts = {"validation_mlm_loss", "validation_nsp_loss"}
    assert set(rows[0]) == {"step", "validation_loss", "masked_bits_per_byte", *parts}
    assert rows[0]["validation_loss"] == pytest.approx(
        sum(rows[0][part] for part in parts), abs=1e-5
    )


def test_validation_loss_falls(corpus, make_config, tmp_path):
    config = make_config(
        loop={"steps": 60, "validate_every": 60, "checkpoint_every": 60},
        optim={"learning_rate": 1e-2},
    )
    Trainer(tmp_path, corpus, config).run()
    losses = [
        row["validation_loss"]
        for row in read_metrics(tmp_path / "metrics.jsonl")
        if "validation_loss" in row
    ]
    assert losses[0] - losses[-1] > 2


def test_bits_per_byte_counts_each_byte_of_the_predicted_text_once(make_split, make_config):
    split = make_split([[[10, 11, 12]], [[20, 21, 22, 23]], [[30, 31]]])
    config = make_config(data={"sequence_length": 8})
    task, model = (
        build_task(split, config, vocabulary=512),
        build_model(config, vocabulary=512),
    )
    found = evaluate(model, task, first_draw(1), 1)
    # The window's targets are 10 11 12 </s> 20 21 22, its <s> being none: seven targets, six of them text of two bytes.
    assert found["bits_per_byte"] == pytest.approx(
        found["validation_loss"] * 7 / math.log(2) / 12, abs=1e-4
    )


def test_a_loss_that_is_not_finite_is_refused_with_the_way_out(corpus, make_config, tmp_path):
    training = Trainer(tmp_path, corpus, make_config())
    with torch.no_grad():
        training.model.norm.weight.fill_(float("inf"))
    with pytest.raises(UserError, match="the training diverged") as refused:
        training.run()
    assert refused.value.where["step"] == 1
    assert "lower optim.learning_rate" in str(refused.value)


@BOTH
def test_a_split_too_small_for_one_sample_is_refused_before_training(
    corpus, make_config, make_split, tmp_path, objective
):
    empty = make_split([])
    with pytest.raises(InputError, match="the train split is too small"):
        Trainer(tmp_path, dataclasses.replace(corpus, train=empty), make_config(objective))


def test_a_step_without_any_target_is_refused(corpus, make_config):
    config = make_config()
    task = build_task(corpus.train, config, vocabulary=512)
    batch = dataclasses.replace(task.make_batch(first_draw(1)), counts={"causal": 0})
    with pytest.raises(ValueError, match="every label is masked"):
        accumulate(build_model(config, vocabulary=512), task, [batch])


def test_the_estimate_before_the_start_changes_nothing(corpus, make_config, tmp_path):
    config = make_config()
    probed, plain = Trainer(tmp_path / "a", corpus, config), Trainer(tmp_path / "b", corpus, config)
    assert probed.seconds_a_step() > 0
    probed.run()
    plain.run()
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_more_epochs_than_one_are_no_problem(make_split, corpus, make_config, tmp_path):
    small = make_split([[[10 + i] * 6 for i in range(8)]] * 2)
    Trainer(tmp_path, dataclasses.replace(corpus, train=small), make_config()).run()
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["step"] == 8


def test_a_half_written_line_of_metrics_is_dropped_on_resume(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    MetricsFile(path).cut_after(2)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1},
        {"step": 2},
    ]
