"""The commands as users type them: what they say, and how they refuse."""

import json
import re
from pathlib import Path

import pytest
import typer

from gristmill import cli
from gristmill import config as settings
from gristmill.errors import RunError
from gristmill.runs.finished import find_latest, list_runs, open_parents
from training import commands


@pytest.fixture
def gristmill(monkeypatch):
    """A function running the room's commands in this process; returns the exit code."""

    def only_this_room() -> typer.Typer:
        app = typer.Typer()
        commands.register(app)
        return app

    monkeypatch.setattr(cli, "build_app", only_this_room)
    return lambda *arguments: cli.run([str(argument) for argument in arguments])


@pytest.fixture
def config_file(make_config, tmp_path) -> Path:
    path = tmp_path / "smallest.toml"
    path.write_text(settings.dump_toml(make_config(loop={"steps": 2})))
    return path


def test_without_in_the_newest_pack_run_is_trained_on_and_the_next_command_named(
    gristmill, make_pack, config_file, tmp_path, capsys
):
    pack = make_pack(tmp_path / "runs", train=40, validation=20)
    assert gristmill("pretrain", "--config", config_file, "--out", tmp_path / "runs") == 0
    printed = capsys.readouterr()
    run = find_latest(tmp_path / "runs", "pretrain")
    assert printed.out.splitlines() == [str(run.path)]
    assert "pretrain  causal: " in printed.err
    assert "train       40 documents, " in printed.err
    assert "validation  20 documents, " in printed.err
    assert "  to do       2 of 2 steps, up to 512 tokens: " in printed.err
    assert re.search(
        r"  time        about \d+:\d\d \(\d+\.\d\d s a step, measured on 1 threads\)", printed.err
    )
    assert (
        f"next: gristmill audit --in {pack.path} --model {run.path / 'export'} --out {run.path.parent}"
        in printed.err
    )
    assert [parent.id for parent in open_parents(run)] == [pack.id]


def test_an_empty_validation_split_names_the_setting_and_the_command_that_mends_it(
    gristmill, make_pack, config_file, tmp_path, capsys
):
    pack = make_pack(tmp_path / "runs", train=40, validation=0)
    manifest = json.loads((pack.path / "manifest.json").read_text())
    names = [
        {"name": name, "identity": ""} for name in ("decide-03c95a7e1b2d", "tokenizer-9f2c11ab04de")
    ]
    manifest |= {"inputs": names, "config": {"validation": 0.01}}
    (pack.path / "manifest.json").write_text(json.dumps(manifest))
    assert gristmill("pretrain", "--config", config_file, "--out", tmp_path / "runs") == 2
    told = capsys.readouterr().err
    assert "error: the validation split is too small for one sample" in told
    assert "pack.validation       0.01" in told
    assert (
        f"to fix                `gristmill pack --in {tmp_path / 'runs' / 'decide-03c95a7e1b2d'} --tokenizer "
        f"{tmp_path / 'runs' / 'tokenizer-9f2c11ab04de'} --set pack.validation=0.1`, or lower data.sequence_length"
    ) in told
    assert not list((tmp_path / "runs").glob("pretrain-*/manifest.json"))


def test_a_validation_split_shorter_than_one_window_is_refused_before_any_step(
    gristmill, make_pack, config_file, tmp_path, capsys
):
    make_pack(tmp_path / "runs", train=40, validation=1)
    long = ("--set", "data.sequence_length=512")
    assert gristmill("pretrain", "--config", config_file, "--out", tmp_path / "runs", *long) == 2
    told = capsys.readouterr().err
    assert "documents             1" in told
    assert "data.sequence_length  512" in told
    assert not list((tmp_path / "runs").rglob("step-*"))


def test_without_any_pack_run_the_step_before_is_named(gristmill, config_file, tmp_path, capsys):
    assert gristmill("pretrain", "--config", config_file, "--out", tmp_path / "none") == 2
    assert "there is no finished run of `pack`" in capsys.readouterr().err


def test_two_pack_runs_at_once_are_refused(gristmill, pack, config_file, tmp_path, capsys):
    arguments = ("--in", pack.path, "--in", pack.path, "--config", config_file, "--out", tmp_path)
    assert gristmill("pretrain", *arguments) == 2
    assert "one pack run is trained on at a time" in capsys.readouterr().err


def test_an_unknown_setting_names_the_nearest(gristmill, pack, config_file, tmp_path, capsys):
    arguments = (
        "--in",
        pack.path,
        "--config",
        config_file,
        "--out",
        tmp_path,
        "--set",
        "loop.step=3",
    )
    assert gristmill("pretrain", *arguments) == 2
    assert "steps" in capsys.readouterr().err
    assert list_runs(tmp_path) == []


def test_a_missing_package_names_the_extra(
    gristmill, config_file, pack, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(commands, "find_spec", lambda name: None)
    assert gristmill("pretrain", "--in", pack.path, "--config", config_file, "--out", tmp_path) == 2
    assert "torch is not installed" in capsys.readouterr().err


def test_force_trains_again(gristmill, make_pack, config_file, tmp_path, capsys):
    make_pack(tmp_path / "runs", train=40, validation=20)
    arguments = ("pretrain", "--config", config_file, "--out", tmp_path / "runs")
    assert gristmill(*arguments) == 0
    run = find_latest(tmp_path / "runs", "pretrain")
    before = (run.path / "telemetry.json").read_bytes()
    assert gristmill(*arguments) == 0
    assert (run.path / "telemetry.json").read_bytes() == before
    assert gristmill(*arguments, "--force") == 0
    assert (run.path / "telemetry.json").read_bytes() != before
    assert run.verify() == []


def test_a_diverged_training_ends_with_2_and_says_what_to_change(
    gristmill, make_pack, config_file, tmp_path, capsys
):
    pack = make_pack(tmp_path / "runs", train=40, validation=20)
    huge = ("--set", "optim.learning_rate=1e30", "--set", "optim.warmup_steps=0")
    arguments = ("--in", pack.path, "--config", config_file, "--out", tmp_path / "runs", *huge)
    assert gristmill("pretrain", *arguments) == 2
    said = capsys.readouterr().err
    assert "the loss is not a finite number" in said
    assert "step           2" in said
    assert "lower optim.learning_rate" in said
    with pytest.raises(RunError, match="there is no finished run of `pretrain`"):
        find_latest(tmp_path / "runs", "pretrain")


def test_generate_speaks_with_a_trained_model(gristmill, make_pack, config_file, tmp_path, capsys):
    make_pack(tmp_path / "runs", train=40, validation=20)
    assert gristmill("pretrain", "--config", config_file, "--out", tmp_path / "runs") == 0
    run = find_latest(tmp_path / "runs", "pretrain")
    capsys.readouterr()
    assert gristmill("generate", "--model", run.path, "--prompt", "Old Tomas", "--tokens", 5) == 0
    assert capsys.readouterr().out.startswith("Old Tomas")
