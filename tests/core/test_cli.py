"""The command line: every ending has its message and its exit code, and stdout belongs to programs."""

import errno
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import reports.commands
from gristmill import cli, errors
from gristmill.config import Config
from gristmill.runs import storage
from gristmill.runs.run import start_run

REPOSITORY = Path(__file__).resolve().parents[2]


class Settings(Config):
    """A small step's configuration."""

    word: str = "a"


class Room:
    """A room's entry point with one command `work`, whose body a test gives."""

    name = "crawl"

    def __init__(self, body):
        self.body = body

    def load(self):
        def register(app):
            @app.command()
            def work(count: int = 0, as_json: cli.JsonOption = False) -> None:
                """Do some work."""
                self.body(as_json)

        return register


class ReportsRoom:
    """The entry point of the room that looks at runs."""

    name = "reports"

    def load(self):
        return reports.commands.register


@pytest.fixture
def ending(monkeypatch, capsys):
    """Run `gristmill ARGUMENTS` with a command `work` that has the given body; returns code, stdout and stderr."""
    monkeypatch.delenv("GRISTMILL_DEBUG", raising=False)

    def run(body, *arguments):
        monkeypatch.setattr(cli, "entry_points", lambda group: [Room(body), ReportsRoom()])
        code = cli.run(list(arguments) or ["work"])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield run
    os.environ.pop("GRISTMILL_DEBUG", None)


def raising(error):
    def body(as_json):
        raise error

    return body


def test_a_command_that_returns_ends_with_0(ending):
    assert ending(lambda as_json: None) == (0, "", "")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.GristmillError("broken"), 1, "error: broken\n"),
        (
            errors.UserError("wrong", {"file": "a"}, "mend it"),
            2,
            "error: wrong\n  file    a\n  to fix  mend it\n",
        ),
        (errors.ConfigError("wrong"), 2, "error: wrong\n"),
        (errors.InputError("wrong"), 2, "error: wrong\n"),
        (errors.RunError("wrong"), 2, "error: wrong\n"),
        (errors.GateFailed("a gate"), 4, "error: a gate\n"),
        (errors.Stopped("a worker died"), 75, "stopped: a worker died\n"),
    ],
)
def test_every_error_of_the_tree_ends_with_its_code_and_its_message_on_stderr(
    ending, error, code, message
):
    assert ending(raising(error)) == (code, "", message)


def test_a_missing_extra_ends_with_2(ending):
    code, out, err = ending(raising(errors.MissingExtra("torch", "train")))
    assert (code, out) == (2, "")
    assert err.startswith("error: torch is not installed\n")


def test_an_internal_error_ends_with_1_and_tells_where_without_a_traceback(ending):
    code, out, err = ending(raising(ValueError("surprise")))
    assert (code, out) == (1, "")
    assert err.startswith("internal error: ValueError: surprise\n  at      test_cli.py:")
    assert "gristmill --debug" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("error", [ValueError("surprise"), errors.UserError("wrong")])
def test_debug_shows_the_traceback_and_keeps_the_code(ending, error):
    quiet = ending(raising(error))
    code, _, err = ending(raising(error), "--debug", "work")
    assert code == quiet[0]
    assert "Traceback (most recent call last)" in err
    assert err.endswith(quiet[2])


@pytest.mark.parametrize(
    "arguments",
    [
        ["work", "--unknown"],
        ["unknown"],
        ["work", "--count", "many"],
        ["work", "extra"],
        ["--unknown", "work"],
    ],
    ids=" ".join,
)
def test_a_mistyped_command_line_ends_with_2_and_says_what_is_wrong(ending, arguments):
    code, out, err = ending(lambda as_json: None, *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert err


def test_a_mistyped_option_names_it(ending):
    assert "--unknown" in ending(lambda as_json: None, "work", "--unknown")[2]


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_ends_with_0_on_stdout(ending, flag):
    code, out, err = ending(lambda as_json: None, flag)
    assert (code, err) == (0, "")
    assert "work" in out
    assert "runs" in out


@pytest.mark.parametrize("code", [0, 2, 3])
def test_a_command_may_end_with_a_code_of_its_own(ending, code):
    assert ending(raising(typer.Exit(code))) == (code, "", "")


@pytest.mark.parametrize("filename", ["/somewhere/file", None])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_as_such_and_ends_with_2(ending, number, filename):
    code, out, err = ending(raising(OSError(number, os.strerror(number), filename)))
    assert (code, out) == (2, "")
    place = f"  file    {filename}\n" if filename else ""
    assert (
        err
        == f"error: the disk is full\n{place}  to fix  free some space and run it again; it continues\n"
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_file_we_may_not_touch_is_the_users_to_mend(ending, number):
    code, _, err = ending(raising(OSError(number, os.strerror(number), "/proc/x")))
    assert code == 2
    assert err.startswith(f"error: {os.strerror(number)}\n  file    /proc/x\n  to fix  ")


def test_ctrl_c_ends_with_75_and_says_that_the_same_command_continues(ending):
    code, _, err = ending(raising(KeyboardInterrupt()))
    assert (code, err) == (75, "stopped by Ctrl-C; the same command continues where it was\n")


@pytest.mark.parametrize(
    "message", ["stopped by SIGTERM after step 3; continue", "a worker died; continue"]
)
def test_an_early_end_says_stopped_once(ending, message):
    code, _, err = ending(raising(errors.Stopped(message)))
    assert (code, err.count("stopped"), err.endswith(f"{message}\n")) == (75, 1, True)


def test_ctrl_c_inside_a_run_leaves_it_unfinished_and_the_same_command_finishes_it(
    ending, tmp_path
):
    def stopped(as_json):
        with start_run("annotate", out=tmp_path, config=Settings()) as run:
            storage.commit_bytes(run.path / "a", b"x")
            raise KeyboardInterrupt

    assert ending(stopped)[0] == 75
    assert "unfinished, 0 receipts" in ending(None, "runs", "list", "--out", str(tmp_path))[1]
    assert sealed(tmp_path).files("a")
    assert "finished" in ending(None, "runs", "list", "--out", str(tmp_path))[1]


@pytest.mark.parametrize(
    "command", [["runs", "list", "--out"], ["runs", "show"], ["runs", "verify"], ["quarantine"]]
)
def test_looking_at_what_is_not_there_ends_with_2_and_a_way_out(ending, tmp_path, command):
    code, out, err = ending(None, *command, str(tmp_path / "none"))
    assert (code, out) == (2, "")
    assert "to fix" in err


def test_a_step_that_writes_below_a_file_ends_with_2(ending, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    code, out, err = ending(lambda as_json: sealed(tmp_path / "file"))
    assert (code, out) == (2, "")
    assert err.startswith("error: no folder can be made here\n")


def test_a_cut_gzip_that_nobody_caught_is_an_internal_error_and_not_a_silent_stop(ending):
    code, _, err = ending(
        raising(EOFError("Compressed file ended before the end-of-stream marker was reached"))
    )
    assert code == 1
    assert err.startswith("internal error: EOFError: Compressed file ended")


def test_a_signal_is_not_swallowed_by_code_that_catches_every_error_of_a_record(ending):
    def body(as_json):
        try:
            cli._stop(15, None)
        except Exception:
            cli.say("quarantined one record")

    code, out, err = ending(body)
    assert (code, out) == (75, "")
    assert err == "stopped by SIGTERM; the same command continues where it was\n"


def test_a_user_error_inside_a_context_is_told_as_itself(ending):
    def body(as_json):
        try:
            raise ValueError("cause")
        except ValueError as error:
            raise errors.InputError("wrong") from error

    assert ending(body) == (2, "", "error: wrong\n")


# ---- concluding


def sealed(tmp_path, **options):
    with start_run("annotate", out=tmp_path, config=Settings()) as run:
        storage.commit_bytes(run.path / "a", b"x")
        return run.finish(**{"counts": {"kept": 3}, **options})


def test_the_summary_goes_to_stderr_and_the_path_is_the_last_line_of_stdout(ending, tmp_path):
    run = sealed(tmp_path)
    code, out, err = ending(
        lambda as_json: cli.conclude(run, ["kept 3", "next: decide"], as_json=as_json)
    )
    assert (code, out, err) == (0, f"{run.path}\n", "kept 3\nnext: decide\n")


def test_json_is_one_object_with_path_counts_timings_and_more(ending, tmp_path):
    run = sealed(tmp_path)
    code, out, err = ending(
        lambda as_json: cli.conclude(run, ["x"], as_json=as_json, extra={"more": "中"}),
        "work",
        "--json",
    )
    found = json.loads(out)
    assert (code, err, out.count("\n")) == (0, "x\n", 1)
    assert found["telemetry"]["seconds"] >= 0
    assert {k: found[k] for k in ("path", "counts", "more")} == {
        "path": str(run.path),
        "counts": {"kept": 3},
        "more": "中",
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_sealed_with_a_code_ends_with_it_again_and_still_tells_its_path(
    ending, tmp_path, as_json
):
    run = sealed(tmp_path, exit_code=3)
    code, out, _ = ending(
        lambda as_json: cli.conclude(run, as_json=as_json), *(["work"] + ["--json"] * as_json)
    )
    assert code == 3
    assert str(run.path) in out.splitlines()[-1]


# ---- the core's own commands


def test_runs_list_and_show_print_what_is_sealed(ending, tmp_path):
    run = sealed(tmp_path)
    code, out, _ = ending(None, "runs", "list", "--out", str(tmp_path))
    assert (code, run.id in out) == (0, True)
    code, out, _ = ending(None, "runs", "show", str(run.path))
    assert (code, json.loads(out)["id"], json.loads(out)["files"]) == (0, run.id, 1)


def test_runs_verify_ends_with_2_where_a_byte_was_flipped(ending, tmp_path):
    run = sealed(tmp_path)
    assert ending(None, "runs", "verify", str(run.path)) == (0, "", "1 files as sealed\n")
    (run.path / "a").write_bytes(b"y")
    code, _, err = ending(None, "runs", "verify", str(run.path))
    assert code == 2
    assert err.startswith("error: files differ from their manifest\n")


def test_showing_an_unfinished_run_ends_with_2(ending, tmp_path):
    assert ending(None, "runs", "show", str(tmp_path))[0] == 2


def test_config_show_prints_what_would_run_and_its_overrides(ending, tmp_path, monkeypatch):
    class Point:
        name = "work"

        @staticmethod
        def load():
            return Settings

    monkeypatch.setattr("gristmill.config.entry_points", lambda group: [Point])
    assert ending(None, "config", "show", "work", "--set", "word=b") == (0, 'word = "b"\n', "")
    code, _, err = ending(None, "config", "show", "wrok")
    assert (code, err) == (2, "error: no such step\n  given   wrok\n  to fix  choose one of work\n")


def test_doctor_tells_the_machine_and_ends_with_2_where_a_base_package_is_missing(
    ending, monkeypatch
):
    from reports.run_tools import doctor

    code, out, _ = ending(None, "doctor")
    assert (code, "pyarrow" in out, "cores" in out) == (0, True, True)
    monkeypatch.setattr(
        doctor, "find_version", lambda package: None if package == "pyarrow" else "1.0"
    )
    code, out, _ = ending(None, "doctor")
    assert code == 2
    assert "pip install 'gristmill'" in out


# ---- as a process


PROCESS = """
import sys, time
from gristmill import cli
class Room:
    name = "crawl"
    def load(self):
        return register
def register(app):
    @app.command()
    def work() -> None:
        print("working", flush=True)
        {body}
cli.entry_points = lambda group: [Room()]
cli.main(["work"])
"""


def process(body, **options):
    command = [sys.executable, "-c", PROCESS.format(body=body)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        **options,
    )


@pytest.mark.parametrize(("name", "told"), [("SIGTERM", "SIGTERM"), ("SIGINT", "Ctrl-C")])
def test_a_signal_ends_the_process_with_75_even_where_a_thread_would_wait_for_ever(name, told):
    import signal

    running = process(
        "import threading; threading.Thread(target=threading.Event().wait).start(); time.sleep(60)"
    )
    assert running.stdout.readline() == "working\n"
    running.send_signal(getattr(signal, name))
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (75, "")
    assert err == f"stopped by {told}; the same command continues where it was\n"


def test_a_reader_that_closes_the_pipe_early_gets_no_internal_error():
    running = process("[print('x' * 1000) for _ in range(10_000)]")
    running.stdout.readline()
    running.stdout.close()
    assert running.wait(timeout=30) != 0
    assert "internal error" not in running.stderr.read()


def test_every_entry_point_of_the_rooms_names_a_module_of_this_repository():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["gristmill.commands"]
    rooms = {
        "crawl": "crawlers",
        "prepare": "pipelines",
        "train": "training",
        "audit": "bias_audit",
        "reports": "reports",
    }
    assert (
        points.items()
        <= {name: f"{room}.commands:register" for name, room in rooms.items()}.items()
    )
    assert all((REPOSITORY / rooms[name] / "commands.py").is_file() for name in points)
    assert project["scripts"] == {"gristmill": "gristmill.cli:main"}


def test_without_a_command_the_help_is_shown_and_the_code_is_2(ending):
    code, out, err = ending(lambda as_json: None, "runs")
    assert code == 2
    assert "verify" in out + err
