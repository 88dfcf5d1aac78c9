"""The list of runs: what lies in a folder and one below it, what state each run is in, and what it was made from."""

import fcntl
import json
import os
import time

import pytest

from gristmill import cli
from gristmill.config import Config
from gristmill.errors import RunError
from gristmill.runs import receipts, storage
from gristmill.runs.finished import Input, find_latest
from gristmill.runs.receipts import Receipt
from gristmill.runs.run import start_run
from reports.run_tools import listing as run_list


class Settings(Config):
    """A small step's configuration."""

    word: str = "a"


FILES = Input("texts.jsonl", "1" * 64, "/here/texts.jsonl")


def finished(out, step="annotate", *, seconds=None, sealed=None, **options):
    with start_run(step, **{"out": out, "config": Settings(), **options}) as run:
        storage.commit_bytes(run.path / "data/a", b"x" * 2_000_000)
        done = run.finish(**(sealed or {}))
    if seconds is not None:
        os.utime(done.path, (seconds, seconds))
    return done


def unfinished(out, step="decide", *, splits=(), seconds=None):
    with start_run(step, out=out, config=Settings()) as run:
        for stage, split in splits:
            receipts.commit_receipt(run.path, Receipt(stage, split, 0))
    if seconds is not None:
        os.utime(run.path / ".lock", (seconds, seconds))
    return run


@pytest.fixture
def listing(monkeypatch, capsys):
    """Run `gristmill runs list --out OUT ...`; returns code, stdout and stderr."""
    monkeypatch.setattr(cli, "entry_points", lambda group: [])

    def run(out, *more):
        code = cli.run(["runs", "list", "--out", str(out), *more])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def in_utc(monkeypatch):
    """Dates are told in the machine's time; here it is UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def test_a_finished_run_is_listed_with_date_size_and_what_it_read(tmp_path):
    crawl = finished(tmp_path, "crawl", sequence=1, seconds=1_000)
    run = finished(
        tmp_path, inputs=[crawl.as_input(), FILES], seconds=2_000, sealed={"counts": {"kept": 3}}
    )
    first, second = run_list.find_runs(tmp_path)
    assert (first.path, first.step, first.parents) == (crawl.path, "crawl", ())
    assert second == run_list.ListedRun(
        run.path,
        "annotate",
        "finished",
        2_000.0,
        2_000_000,
        0,
        (crawl.id, "texts.jsonl"),
        {"kept": 3},
        0,
    )


def test_runs_are_listed_newest_last_whatever_their_state(tmp_path):
    late, early = (
        finished(tmp_path, "pack", seconds=3_000),
        finished(tmp_path, "crawl", seconds=1_000),
    )
    between = unfinished(tmp_path, seconds=2_000)
    assert [run.path for run in run_list.find_runs(tmp_path)] == [
        early.path,
        between.path,
        late.path,
    ]


def test_the_newest_listed_run_of_a_step_is_the_one_that_the_next_step_reads(tmp_path):
    old = finished(tmp_path, config=Settings(word="old"), seconds=1_000)
    finished(tmp_path, config=Settings(word="new"), seconds=2_000)
    with start_run("annotate", out=tmp_path, config=Settings(word="old")):
        pass
    assert (
        run_list.find_runs(tmp_path)[-1].path == find_latest(tmp_path, "annotate").path == old.path
    )


def test_an_unfinished_run_tells_since_when_and_how_many_receipts_of_all_its_stages(tmp_path):
    run = unfinished(tmp_path, splits=[("keys", 0), ("keys", 1), ("decisions", 0)], seconds=5_000)
    (found,) = run_list.find_runs(tmp_path)
    assert (found.path, found.step, found.state, found.changed) == (
        run.path,
        "decide",
        "unfinished",
        5_000.0,
    )
    assert (found.receipts, found.told_state()) == (3, "unfinished, 3 receipts")
    assert found.bytes == sum(info.size for info in storage.list_files(run.path)) > 0


def test_continuing_a_run_does_not_change_since_when_it_is_being_written(tmp_path):
    unfinished(tmp_path, seconds=5_000)
    unfinished(tmp_path)
    assert run_list.find_runs(tmp_path)[0].changed == 5_000.0


def test_a_run_whose_lock_is_held_is_running_and_looking_does_not_take_the_lock_away(tmp_path):
    with start_run("decide", out=tmp_path, config=Settings()) as run:
        (found,) = run_list.find_runs(tmp_path)
        assert (found.state, found.told_state()) == ("running", "running, 0 receipts")
        with open(run.path / ".lock", "rb") as file, pytest.raises(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert run_list.find_runs(tmp_path)[0].state == "unfinished"


def test_a_run_without_a_lock_file_is_not_running(tmp_path):
    run = unfinished(tmp_path, splits=[("keys", 0)])
    (run.path / ".lock").unlink()
    assert [found.state for found in run_list.find_runs(tmp_path)] == ["unfinished"]


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"format": 99}'])
def test_a_damaged_run_is_listed_as_such_and_hides_no_other(tmp_path, content):
    run, whole = finished(tmp_path, "crawl"), finished(tmp_path, "pack")
    (run.path / "manifest.json").write_bytes(content)
    states = {found.path: found.told_state() for found in run_list.find_runs(tmp_path)}
    assert states == {run.path: "damaged", whole.path: "finished"}


def test_a_run_that_ended_with_a_code_tells_it(tmp_path):
    finished(tmp_path, sealed={"exit_code": 3})
    assert run_list.find_runs(tmp_path)[0].told_state() == "finished, exit code 3"


def test_runs_one_folder_deeper_are_found_and_those_below_are_not(tmp_path):
    deep = finished(tmp_path / "demo")
    finished(tmp_path / "one" / "two")
    assert [run.path for run in run_list.find_runs(tmp_path)] == [deep.path]


@pytest.mark.parametrize(
    "name", ["web-site", "annotate-123", "annotate-0123456789ax", "annotate-0123456789ab-x"]
)
def test_a_strangers_folder_is_passed_over(tmp_path, name):
    storage.commit_json(tmp_path / name / "manifest.json", {"short_name": "a page"})
    assert run_list.find_runs(tmp_path) == []


def test_a_folder_named_like_a_run_without_anything_of_ours_is_passed_over(tmp_path):
    (tmp_path / "annotate-0123456789ab").mkdir()
    assert run_list.find_runs(tmp_path) == []


@pytest.mark.parametrize("place", ["none", "file"])
def test_a_folder_that_is_not_there_is_the_users_error(tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match="there is no such folder of runs"):
        run_list.find_runs(tmp_path / place)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("decide-03c95a7e1b2d", "decide-03c9"),
        ("crawl-7c1f2a9be003-0001", "crawl-7c1f-0001"),
        ("texts.jsonl", "texts.jsonl"),
        ("part-0123456789abc", "part-0123456789abc"),
        ("语料.parquet", "语料.parquet"),
    ],
)
def test_a_name_is_shortened_only_where_it_is_a_runs(name, told):
    assert run_list.shorten_name(name) == told


# ---- the command


def test_the_table_has_one_line_a_run_with_a_path_that_can_be_copied(tmp_path, listing, in_utc):
    crawl = finished(tmp_path / "demo", "crawl", sequence=1, seconds=1_700_000_000)
    run = finished(
        tmp_path / "demo",
        inputs=[crawl.as_input()],
        seconds=1_700_000_060,
        sealed={"counts": {"kept": 3}},
    )
    code, out, err = listing(tmp_path)
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["date", "run", "read", "kept", "MB", "state"],
        ["2023-11-14", "22:13", f"demo/{crawl.id}", "-", "-", "2.0", "finished"],
        [
            "2023-11-14",
            "22:14",
            f"demo/{run.id}",
            f"crawl-{crawl.id[6:10]}-0001",
            "3",
            "2.0",
            "finished",
        ],
    ]


def test_json_is_one_list_with_full_names_and_all_counts(tmp_path, listing):
    crawl = finished(tmp_path, "crawl", sequence=1, seconds=1_000)
    run = finished(
        tmp_path,
        inputs=[crawl.as_input()],
        seconds=2_000.5,
        sealed={"counts": {"kept": 3}, "exit_code": 3},
    )
    code, out, err = listing(tmp_path, "--json")
    first, second = json.loads(out)
    assert (code, err, out.count("\n"), first["id"]) == (0, "", 1, crawl.id)
    date = second.pop("date")
    assert (len(date), date[4], date[10]) == (16, "-", " ")
    assert second == {
        "path": str(run.path),
        "id": run.id,
        "step": "annotate",
        "state": "finished",
        "changed": 2_000.5,
        "parents": [crawl.id],
        "bytes": 2_000_000,
        "receipts": 0,
        "counts": {"kept": 3},
        "exit_code": 3,
    }


def test_an_empty_folder_says_so_and_prints_an_empty_list_to_programs(tmp_path, listing):
    assert listing(tmp_path, "--json") == (0, "[]\n", "")
    code, out, err = listing(tmp_path)
    assert (code, out) == (0, "")
    assert err.startswith(f"there are no runs in {tmp_path} or one folder below it")


def test_an_input_named_like_markup_is_printed_as_it_is(tmp_path, listing):
    finished(tmp_path, inputs=[Input("[red]a[/red]", "1" * 64, "x")])
    assert "[red]a[/red]" in listing(tmp_path)[1]
