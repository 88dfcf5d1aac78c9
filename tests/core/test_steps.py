"""Steps: their declarations, the runner, and the options that commands share."""

import json
import re
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from gristmill.config import Config
from gristmill.errors import ConfigError, InputError, UserError
from gristmill.hashing import sha256_file
from gristmill.runs import receipts, storage
from gristmill.runs.finished import Input, list_runs
from gristmill.runs.ledger import Entry
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.steps.options import (
    PASS_ON,
    SHARED_OPTIONS,
    StepOptions,
    parse_bytes,
    read_runner_options,
    takes_step_options,
)
from gristmill.steps.runner import run_step
from gristmill.steps.step import (
    FILES,
    Sealing,
    Step,
    StepDeclaration,
    load_declarations,
    sort_by_flow,
)


def declare(name: str, *reads: str) -> StepDeclaration:
    return StepDeclaration(
        name=name,
        command=name,
        summary="made for a test",
        reads=reads,
        config="room:Config",
        entry_modules=("gristmill.hashing",),
    )


class CopyConfig(Config):
    times: int = 1


class CopyStep(Step):
    """Writes one file for each of its work splits, and may fail before one of them."""

    declaration = declare("copy", FILES)

    def __init__(self, config: CopyConfig, *, splits: int = 2, fail_at: int | None = None) -> None:
        self.config = config
        self.splits = splits
        self.fail_at = fail_at
        self.calls: list[str] = []

    def hashed_config(self):
        return self.config

    def list_inputs(self):
        return [Input("data", "0" * 64, "data")]

    def plan(self, run):
        self.calls.append("plan")
        return {"copy": self.splits}

    def build(self, run):
        for split in range(self.splits):
            if receipts.read_receipt(run.path, "copy", split) is not None:
                continue
            if split == self.fail_at:
                raise UserError("the disk went away")
            self.calls.append(f"build {split}")
            path = f"copies/part-{split:05d}"
            storage.commit_bytes(run.path / path, b"x" * self.config.times)
            entries = (Entry("wiki", "en", "kept", "", 1, 10),)
            files = (describe_file(run.path, path, rows=1),)
            receipts.commit_receipt(run.path, Receipt("copy", split, 1, entries, files))
        return {"workers": 1}

    def finalize(self, run):
        self.calls.append("finalize")
        return Sealing(
            ledger_stage="copy", details={"times": self.config.times}, counts={"bytes": 2}
        )


class NoteStep(CopyStep):
    """A step without work splits."""

    declaration = declare("note", "copy")

    def plan(self, run):
        return {}

    def build(self, run):
        storage.commit_bytes(run.path / "note.txt", b"a note")
        return {"seconds_of_thought": 1}

    def finalize(self, run):
        return Sealing(counts={"notes": 1}, details={"by": "hand"})


# ---- the runner


def test_a_step_is_planned_built_finalized_and_sealed_in_this_order(tmp_path):
    step = CopyStep(CopyConfig())
    run = run_step(step, out=tmp_path)
    assert step.calls == ["plan", "build 0", "build 1", "finalize"]
    assert run.step == "copy" and re.fullmatch(r"copy-[0-9a-f]{12}", run.id)
    assert run.counts == {"read": 2, "kept": 2, "dropped": 0, "quarantined": 0, "bytes": 2}
    assert run.details == {"times": 1}
    assert [file.path for file in run.data_files("copies/")] == [
        "copies/part-00000",
        "copies/part-00001",
    ]


def test_a_finished_step_is_returned_without_any_of_its_work(tmp_path, capsys):
    first = run_step(CopyStep(CopyConfig()), out=tmp_path)
    again = CopyStep(CopyConfig())
    assert run_step(again, out=tmp_path).id == first.id
    assert again.calls == []
    assert capsys.readouterr().err == f"copy  finished before: {first.path}\n"


def test_force_does_the_work_of_a_finished_step_again(tmp_path):
    run_step(CopyStep(CopyConfig()), out=tmp_path)
    again = CopyStep(CopyConfig())
    run_step(again, out=tmp_path, force=True)
    assert again.calls == ["plan", "build 0", "build 1", "finalize"]


def test_a_step_that_failed_goes_on_with_the_splits_that_have_no_receipt(tmp_path, capsys):
    with pytest.raises(UserError, match="the disk went away"):
        run_step(CopyStep(CopyConfig(), splits=3, fail_at=2), out=tmp_path)
    assert list_runs(tmp_path) == []
    continued = CopyStep(CopyConfig(), splits=3)
    resumed = run_step(continued, out=tmp_path)
    assert continued.calls == ["plan", "build 2", "finalize"]
    assert capsys.readouterr().err == (
        "copy  2 of 3 splits of `copy` were done before and are reused\n"
    )
    undisturbed = run_step(CopyStep(CopyConfig(), splits=3), out=tmp_path / "other")
    assert sha256_file(resumed.path / "manifest.json") == sha256_file(
        undisturbed.path / "manifest.json"
    )


def test_another_configuration_is_another_run(tmp_path):
    first = run_step(CopyStep(CopyConfig(times=1)), out=tmp_path)
    second = run_step(CopyStep(CopyConfig(times=2)), out=tmp_path)
    assert first.id != second.id


def test_a_step_without_work_splits_is_sealed_with_the_files_it_wrote(tmp_path):
    run = run_step(NoteStep(CopyConfig()), out=tmp_path)
    assert [file.path for file in run.data_files()] == ["note.txt"]
    assert (run.counts, run.details) == ({"notes": 1}, {"by": "hand"})
    telemetry = json.loads((run.path / "telemetry.json").read_text())
    assert telemetry["seconds_of_thought"] == 1


def test_a_step_has_no_closing_lines_unless_it_says_so(tmp_path):
    step = NoteStep(CopyConfig())
    assert step.summarize(run_step(step, out=tmp_path)) == []


# ---- declarations


def test_steps_stand_behind_those_they_read_and_ties_go_by_name():
    steps = [declare("c", "b", FILES), declare("b", "a"), declare("z"), declare("a")]
    assert [step.name for step in sort_by_flow(steps)] == ["a", "b", "c", "z"]


def test_steps_that_read_each_other_are_refused():
    with pytest.raises(ValueError, match="in a circle: a, b"):
        sort_by_flow([declare("a", "b"), declare("b", "a")])


def test_a_step_that_is_not_installed_does_not_hold_up_the_others():
    assert [step.name for step in sort_by_flow([declare("b", "not installed")])] == ["b"]


def test_the_steps_of_all_rooms_are_declared_in_the_order_the_data_flows():
    assert [(step.name, step.reads) for step in load_declarations()] == [
        ("crawl", ()),
        ("annotate", ("crawl", FILES)),
        ("decide", ("annotate",)),
        ("export-text", ("decide",)),
        ("tokenizer", ("decide",)),
        ("pack", ("decide", "tokenizer")),
        ("pretrain", ("pack",)),
        ("audit", ("annotate", "decide", "pack", "pretrain")),
    ]


def test_every_declared_configuration_is_a_class_of_that_name():
    import importlib

    for step in load_declarations():
        module, _, name = step.config.partition(":")
        assert issubclass(getattr(importlib.import_module(module), name), Config), step.name


# ---- options


def run_command(command, arguments: list[str]):
    """Run a command of its own application, as a user does."""
    app = typer.Typer()
    app.command(context_settings=PASS_ON)(command)
    return CliRunner().invoke(app, arguments)


def make_command(*names: str):
    """Return a command with the shared options `names` and an own one, and the list it fills."""
    received: list[tuple[StepOptions, int]] = []

    @takes_step_options(*names)
    def command(
        options: StepOptions, limit: Annotated[int, typer.Option("--limit", help="At most.")] = 5
    ) -> None:
        """Do nothing."""
        received.append((options, limit))

    return command, received


def test_a_command_without_arguments_gets_the_defaults():
    command, received = make_command(*SHARED_OPTIONS)
    assert run_command(command, []).exit_code == 0
    assert received == [(StepOptions(), 5)]


def test_all_shared_options_and_the_own_one_reach_the_command():
    command, received = make_command(*SHARED_OPTIONS)
    arguments = [
        "--in",
        "a",
        "--in",
        "b",
        "--config",
        "c.toml",
        "--set",
        "x=1",
        "--out",
        "o",
        "--workers",
        "3",
        "--runner",
        "PortableRunner",
        "--memory",
        "2M",
        "--force",
        "--json",
        "--limit",
        "7",
        "--",
        "--job_endpoint=here",
    ]
    assert run_command(command, arguments).exit_code == 0
    expected = StepOptions(
        inputs=("a", "b"),
        config=Path("c.toml"),
        overrides=("x=1",),
        out=Path("o"),
        workers=3,
        runner="PortableRunner",
        memory=2 << 20,
        force=True,
        as_json=True,
        runner_options=("--job_endpoint=here",),
    )
    assert received == [(expected, 7)]


def test_a_command_has_only_the_shared_options_it_asked_for():
    command, _ = make_command("out", "json")
    assert run_command(command, ["--workers", "2"]).exit_code == 2
    assert run_command(command, ["--json"]).exit_code == 0


def test_a_shared_option_that_does_not_exist_is_refused_when_the_command_is_made():
    with pytest.raises(ValueError, match="not shared options: colour"):
        takes_step_options("out", "colour")


def test_help_shows_the_shared_options_with_their_words():
    command, _ = make_command("memory")
    shown = run_command(command, ["--help"]).output
    assert "--memory" in shown and "Working memory" in shown and "Do nothing." in shown


def test_a_step_that_reads_one_run_refuses_two(tmp_path):
    options = StepOptions(inputs=("a", "b"), out=tmp_path)
    with pytest.raises(InputError, match="reads one run") as caught:
        options.open_single_run("copy")
    assert caught.value.where == {"given": "a, b"}


def test_the_run_that_in_names_is_opened_else_the_newest(tmp_path):
    older = run_step(CopyStep(CopyConfig(times=1)), out=tmp_path)
    newest = run_step(CopyStep(CopyConfig(times=2)), out=tmp_path)
    by_name = StepOptions(inputs=(str(older.path),), out=tmp_path)
    assert by_name.open_single_run("copy").id == older.id
    assert StepOptions(out=tmp_path).open_single_run("copy").id == newest.id


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("512M", 512 << 20), (" 4 gib ", 4 << 30), ("1.5K", 1536), ("1T", 1 << 40)],
)
def test_sizes_are_read_with_their_unit(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1G", "4 P", "many", "0.1"])
def test_what_is_not_a_size_is_refused(text):
    with pytest.raises(ConfigError, match="not a size"):
        parse_bytes(text)


def test_a_word_behind_the_options_is_taken_for_an_input_without_in():
    with pytest.raises(UserError, match="an argument too many") as caught:
        read_runner_options(["corpus.jsonl", "--flag"])
    assert caught.value.fix == "inputs are named with --in: --in corpus.jsonl"
    assert read_runner_options(["--flag"]) == ("--flag",)
