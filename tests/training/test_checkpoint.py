"""A checkpoint is whole or it does not count."""

import pytest
import torch

from training.checkpoint import (
    Counters,
    complete_steps,
    damaged_files,
    folder_of,
    keep_only,
    load_checkpoint,
    newest_intact,
    save_checkpoint,
)
from training.config import OptimConfig
from training.objectives import build_model
from training.optim import build_optimizer


@pytest.fixture
def trained(make_config):
    """A model and its optimizer after one step."""
    model = build_model(make_config(), vocabulary=512)
    optimizer = build_optimizer(model, OptimConfig())
    model(torch.arange(7, 27).view(2, 10)).square().mean().backward()
    optimizer.step()
    return model, optimizer


def test_a_checkpoint_brings_back_weights_moments_and_counters(trained, make_config, tmp_path):
    model, optimizer = trained
    save_checkpoint(tmp_path, model, optimizer, Counters(step=1, tokens=20))
    other = build_model(make_config().model_copy(update={"seed": 9}), vocabulary=512)
    other_optimizer = build_optimizer(other, OptimConfig())
    assert load_checkpoint(folder_of(tmp_path, 1), other, other_optimizer) == Counters(
        step=1, tokens=20
    )
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert optimizer.state[mine].keys() == other_optimizer.state[theirs].keys()
        for name, value in optimizer.state[mine].items():
            assert torch.equal(value, other_optimizer.state[theirs][name]), name


def test_equal_states_give_equal_bytes(trained, tmp_path):
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, *trained, Counters(step=1, tokens=20))
    for file in ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"):
        assert (tmp_path / "a" / "step-1" / file).read_bytes() == (
            tmp_path / "b" / "step-1" / file
        ).read_bytes()


def test_a_folder_without_manifest_is_torn_and_removed(trained, tmp_path):
    save_checkpoint(tmp_path, *trained, Counters(step=1))
    torn = save_checkpoint(tmp_path, *trained, Counters(step=2))
    (torn / "manifest.json").unlink()
    assert newest_intact(tmp_path) == folder_of(tmp_path, 1)
    assert not torn.exists()


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-4], lambda data: bytes([data[0] ^ 1]) + data[1:]]
)
def test_a_file_that_was_cut_or_changed_is_noticed(trained, tmp_path, damage):
    save_checkpoint(tmp_path, *trained, Counters(step=1))
    newer = save_checkpoint(tmp_path, *trained, Counters(step=2))
    place = newer / "optimizer.safetensors"
    place.write_bytes(damage(place.read_bytes()))
    assert damaged_files(newer) == ["optimizer.safetensors"]
    assert newest_intact(tmp_path) == folder_of(tmp_path, 1)


def test_a_missing_file_is_noticed(trained, tmp_path):
    folder = save_checkpoint(tmp_path, *trained, Counters(step=1))
    (folder / "state.json").unlink()
    assert damaged_files(folder) == ["state.json"]
    assert newest_intact(tmp_path) is None


def test_steps_are_ordered_by_number_not_by_name(trained, tmp_path):
    for step in (2, 10, 9):
        save_checkpoint(tmp_path, *trained, Counters(step=step))
    assert complete_steps(tmp_path) == [2, 9, 10]
    assert newest_intact(tmp_path) == folder_of(tmp_path, 10)


def test_only_the_named_checkpoints_are_kept(trained, tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, *trained, Counters(step=step))
    keep_only(tmp_path, {2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-2"]


def test_no_checkpoint_is_no_error(tmp_path):
    assert newest_intact(tmp_path) is None
