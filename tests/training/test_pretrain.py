"""The command `pretrain` from outside: killed, stopped, repeated, refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill import config as settings
from gristmill.errors import InputError, RunError
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun, list_runs, open_run
from training.config import PretrainConfig
from training.pretrain import pretrain

DRIVER = """
import os, signal, sys, typer
from gristmill import cli
from gristmill.runs import storage
from training import commands

def only_this_room():
    app = typer.Typer()
    commands.register(app)
    return app

def dying_commit(path, data, commit=storage.commit_bytes, seen=[]):
    commit(path, data)
    seen.append(path)
    if len(seen) == int(os.environ["DIE_AT_COMMIT"]):
        os.kill(os.getpid(), getattr(signal, os.environ["DIE_BY"]))

cli.build_app = only_this_room
if "DIE_AT_COMMIT" in os.environ:
    storage.commit_bytes = dying_commit
cli.main(sys.argv[1:])
"""


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `gristmill` with these arguments in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", DRIVER, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        cwd=Path(__file__).resolve().parents[2],
    )


@pytest.fixture(scope="module")
def config_file(make_config, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "smallest.toml"
    path.write_text(settings.dump_toml(make_config()))
    return path


@pytest.fixture(scope="module")
def whole(pack, config_file, tmp_path_factory):
    """A run that nothing interrupted."""
    return pretrain(
        pack.path, settings.load(PretrainConfig, config_file), tmp_path_factory.mktemp("whole")
    )


def data(run: FinishedRun) -> dict[str, str]:
    """SHA-256 by path of the data files, as they lie on the disk now."""
    assert run.verify() == []
    return {file.path: file.sha256 for file in run.data_files()}


def test_a_run_holds_checkpoint_export_metrics_and_samples(whole, pack):
    files = data(whole)
    assert {path.split("/")[0] for path in files} == {
        "step-8",
        "export",
        "metrics.jsonl",
        "samples.json",
    }
    assert {
        "export/config.json",
        "export/model.safetensors",
        "export/tokenizer.json",
        "export/tokenizer.model",
    } <= set(files)
    assert whole.counts["steps"] == 8
    assert whole.counts["tokens"] == 8 * 8 * 32
    assert whole.details["tokenizer"] == pack.details["tokenizer"]
    assert (
        whole.details["last_validation"]["validation_loss"]
        < whole.details["first_validation"]["validation_loss"]
    )
    assert whole.details["export"]["max_logit_difference"] <= 2e-5
    telemetry = storage.read_json(whole.path / "telemetry.json")
    assert telemetry["threads"] == 1
    assert telemetry["tokens_per_second"] > 0


# Commits in order: metrics (1), then four a checkpoint with the manifest last: step 2 (2-5), step 4 (6-9), ...
@pytest.mark.parametrize(
    "commit", [1, 5, 8, 17, 19], ids=["start", "saved", "torn", "last", "export"]
)
def test_a_run_killed_at_any_commit_and_repeated_has_the_bytes_of_an_uninterrupted_one(
    pack, config_file, whole, tmp_path, commit
):
    arguments = ("pretrain", "--in", pack.path, "--config", config_file, "--out", tmp_path)
    killed = command(*arguments, DIE_AT_COMMIT=str(commit), DIE_BY="SIGKILL")
    assert killed.returncode == -9, killed.stderr
    assert list_runs(tmp_path) == []
    resumed = pretrain(pack.path, settings.load(PretrainConfig, config_file), tmp_path)
    assert resumed.id == whole.id
    assert data(resumed) == data(whole)
    assert storage.read_bytes(resumed.path / "manifest.json") == storage.read_bytes(
        whole.path / "manifest.json"
    )


def test_sigterm_ends_with_75_and_the_same_command_finishes(pack, config_file, whole, tmp_path):
    arguments = ("pretrain", "--in", pack.path, "--config", config_file, "--out", tmp_path)
    stopped = command(*arguments, DIE_AT_COMMIT="5", DIE_BY="SIGTERM")
    assert stopped.returncode == 75, stopped.stderr
    assert "stopped by SIGTERM after step" in stopped.stderr
    finished = command(*arguments, "--json")
    assert finished.returncode == 0, finished.stderr
    assert "continuing from step-" in finished.stderr
    printed = json.loads(finished.stdout.splitlines()[-1])
    assert data(open_run(printed["path"])) == data(whole)


def test_a_finished_run_is_not_trained_again(pack, config_file, whole):
    before = {
        path: path.stat().st_mtime_ns
        for path in whole.path.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    again = command(
        "pretrain", "--in", pack.path, "--config", config_file, "--out", whole.path.parent
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == str(whole.path)
    assert "validation loss" in again.stderr
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_changed_setting_is_another_run(pack, config_file, whole):
    changed = settings.load(PretrainConfig, config_file, ["seed=2"])
    assert pretrain(pack.path, changed, whole.path.parent).id != whole.id


def test_shards_of_another_tokenizer_are_refused_with_exit_code_2(make_pack, config_file, tmp_path):
    pack = make_pack(tmp_path, train=10, validation=10, made_with="51ab" * 16)
    refused = command("pretrain", "--in", pack.path, "--config", config_file, "--out", tmp_path)
    assert refused.returncode == 2
    assert "error: these shards were made with another tokenizer" in refused.stderr
    assert "51ab51ab51ab" in refused.stderr
    assert "to fix" in refused.stderr


def test_a_run_of_another_step_is_refused(whole, config_file, tmp_path):
    with pytest.raises(RunError, match="a run of `pack` is needed here"):
        pretrain(whole.path, settings.load(PretrainConfig, config_file), tmp_path)


def test_a_cut_shard_is_refused(make_pack, config_file, tmp_path):
    pack = make_pack(tmp_path, train=10, validation=10)
    shard = next((pack.path / "train").glob("*.arrow"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(InputError, match="another size than its manifest says"):
        pretrain(pack.path, settings.load(PretrainConfig, config_file), tmp_path)


def test_a_bert_run_fills_masks_in_its_samples(make_config, pack, tmp_path):
    run = pretrain(pack.path, make_config("mlm_nsp"), tmp_path)
    samples = storage.read_json(run.path / "samples.json")
    assert samples["kind"] == "fill_mask"
    assert storage.read_json(run.path / "export" / "config.json")["architectures"] == [
        "BertForPreTraining"
    ]
    spoken = command("generate", "--model", run.path, "--prompt", "Mara painted [MASK] geese.")
    assert spoken.returncode == 0, spoken.stderr
    assert len(spoken.stdout.split()) == 10


def test_generate_continues_a_prompt_the_same_way_for_the_same_seed(whole):
    from training.generate_text import generate_text

    spoken = generate_text(whole.path, "Mara painted", tokens=6, seed=3)
    assert spoken.startswith("Mara painted")
    assert generate_text(whole.path / "export", "Mara painted", tokens=6, seed=3) == spoken


def test_generate_refuses_a_folder_without_a_model(tmp_path):
    from training.generate_text import generate_text

    with pytest.raises(InputError, match="there is no model here"):
        generate_text(tmp_path, "Mara", tokens=1, seed=1)


def test_the_commands_are_listed_without_loading_torch():
    found = subprocess.run(
        [sys.executable, "-c", "import sys, training.commands; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert found.stdout.strip() == "False"
