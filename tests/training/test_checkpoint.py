"""A checkpoint is whole or it does not count."""

import pytest
import torch
from safetensors.torch import save

from gristmill.errors import GristmillError, RunError
from training.checkpoint import (
    Counters,
    complete_steps,
    damaged_files,
    folder_of,
    keep_only,
    load_checkpoint,
    newest_intact,
    optimizer_tensors,
    read_tensors,
    restore_optimizer,
    save_checkpoint,
)
from training.config import OptimConfig
from training.optim import build_optimizer
from training.tasks.build import build_model


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


def test_a_head_that_never_had_a_gradient_can_be_saved_and_resumed(make_config, tmp_path):
    """The next-sentence head has none where no sample of a batch is a pair."""
    model = build_model(make_config("mlm_nsp"), vocabulary=512)
    optimizer = build_optimizer(model, OptimConfig())
    step_without_pair_head(model, optimizer)
    folder = save_checkpoint(tmp_path, model, optimizer, Counters(step=1, tokens=20))
    keys = read_tensors(folder / "optimizer.safetensors").keys()
    assert "exp_avg.transform.weight" in keys
    assert not [key for key in keys if "next_sentence" in key or "pooler" in key]

    resumed = build_model(make_config("mlm_nsp"), vocabulary=512)
    resumed_optimizer = build_optimizer(resumed, OptimConfig())
    load_checkpoint(folder, resumed, resumed_optimizer)
    for either, its_optimizer in ((model, optimizer), (resumed, resumed_optimizer)):
        step_without_pair_head(either, its_optimizer)
    for first, second in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(first, second)


def step_without_pair_head(model, optimizer):
    ids = torch.arange(7, 27).view(2, 10)
    states = model.hidden(ids, torch.zeros_like(ids), torch.ones_like(ids).bool())
    model.token_logits(states).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def test_a_parameter_that_got_its_gradient_late_keeps_its_own_count_of_updates(
    make_config, tmp_path
):
    model = build_model(make_config("mlm_nsp"), vocabulary=512)
    optimizer = build_optimizer(model, OptimConfig())
    step_without_pair_head(model, optimizer)
    ids = torch.arange(7, 27).view(2, 10)
    model(ids, torch.zeros_like(ids), torch.ones_like(ids).bool())[1].square().mean().backward()
    optimizer.step()
    folder = save_checkpoint(tmp_path, model, optimizer, Counters(step=2, tokens=40))
    resumed = build_model(make_config("mlm_nsp"), vocabulary=512)
    resumed_optimizer = build_optimizer(resumed, OptimConfig())
    load_checkpoint(folder, resumed, resumed_optimizer)
    assert resumed_optimizer.state[resumed.next_sentence.weight]["step"] == 1
    assert resumed_optimizer.state[resumed.embedding.weight]["step"] == 2
    assert resumed_optimizer.state[resumed.transform.weight]["step"] == 1


def test_the_state_of_another_optimizer_comes_back_by_parameter_name(make_config, tmp_path):
    model = build_model(make_config(), vocabulary=512)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.arange(7, 27).view(2, 10)).square().mean().backward()
    optimizer.step()
    folder = save_checkpoint(tmp_path, model, optimizer, Counters(step=1, tokens=20))
    resumed = build_model(make_config(), vocabulary=512)
    resumed_optimizer = torch.optim.SGD(resumed.parameters(), lr=0.1, momentum=0.9)
    load_checkpoint(folder, resumed, resumed_optimizer)
    for first, second in zip(model.parameters(), resumed.parameters(), strict=True):
        assert set(resumed_optimizer.state[second]) == {"momentum_buffer"}
        assert torch.equal(
            optimizer.state[first]["momentum_buffer"],
            resumed_optimizer.state[second]["momentum_buffer"],
        )


def test_a_checkpoint_of_an_earlier_version_counts_updates_by_its_step(
    trained, make_config, tmp_path
):
    """Those hold AdamW's moments only; the count of updates was the step of the run."""
    model, optimizer = trained
    folder = save_checkpoint(tmp_path, model, optimizer, Counters(step=7, tokens=20))
    tensors = read_tensors(folder / "optimizer.safetensors")
    earlier = {name: tensor for name, tensor in tensors.items() if not name.startswith("step.")}
    (folder / "optimizer.safetensors").write_bytes(save(earlier, metadata={"format": "pt"}))
    resumed = build_model(make_config(), vocabulary=512)
    resumed_optimizer = build_optimizer(resumed, OptimConfig())
    assert load_checkpoint(folder, resumed, resumed_optimizer) == Counters(step=7, tokens=20)
    for parameter in resumed.parameters():
        assert set(resumed_optimizer.state[parameter]) == {"step", "exp_avg", "exp_avg_sq"}
        assert resumed_optimizer.state[parameter]["step"] == 7


def test_a_checkpoint_of_another_network_is_refused(trained, make_config, tmp_path):
    folder = save_checkpoint(tmp_path, *trained, Counters(step=1, tokens=20))
    other = build_model(make_config("mlm_nsp"), vocabulary=512)
    with pytest.raises(RunError, match="this checkpoint is of another network"):
        load_checkpoint(folder, other, build_optimizer(other, OptimConfig()))


def test_state_of_a_parameter_that_the_network_lacks_is_refused(trained):
    model, optimizer = trained
    tensors = {"exp_avg.no.such.weight": torch.zeros(1)}
    with pytest.raises(RunError, match="of parameters that the network lacks"):
        restore_optimizer(model, optimizer, tensors, step=1)


def test_an_optimizer_whose_state_is_no_tensor_is_refused(trained):
    model, optimizer = trained
    optimizer.state[model.embedding.weight]["history"] = [1.0]
    with pytest.raises(GristmillError, match=r"`history` of embedding\.weight as list"):
        optimizer_tensors(model, optimizer)
