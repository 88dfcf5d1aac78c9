"""Run folders: named by content, sealed by a manifest, resumed by receipts, locked, verified, and followed back."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.config import Config
from gristmill.errors import GristmillError, InputError, RunError, UserError
from gristmill.runs import receipts, storage
from gristmill.runs.finished import (
    FinishedRun,
    Input,
    all_entries,
    ancestors,
    corpus_lineage,
    file_input,
    find_latest,
    latest_of,
    list_runs,
    manifest_digest,
    open_parents,
    open_run,
    resolve_input,
    sibling_sessions,
)
from gristmill.runs.ledger import Entry, Unbalanced
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL, seal_from_receipts, start_run

REPOSITORY = Path(__file__).resolve().parents[2]


class Settings(Config):
    """A small step's configuration."""

    threshold: float = 0.5
    word: str = "a"


def start(out, step="annotate", **options):
    return start_run(step, **{"out": out, "config": Settings(), **options})


def finished(out, step="annotate", *, files=None, sealed=None, **options):
    """A sealed run with some files."""
    with start(out, step, **options) as run:
        for path, data in (files or {"data/a.bin": b"abc"}).items():
            storage.commit_bytes(run.path / path, data)
        return run.finish(**(sealed or {}))


def name_of(out, step="annotate", **options):
    """The name that some settings give a run."""
    with start(out, step, **options) as run:
        return run.id


def refused(call, *arguments, **options):
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    return caught.value


# ---- names


def test_a_run_is_named_by_its_step_and_12_hex_digits(tmp_path):
    assert re.fullmatch(r"annotate-[0-9a-f]{12}", name_of(tmp_path))
    assert re.fullmatch(r"crawl-[0-9a-f]{12}-0007", name_of(tmp_path, "crawl", sequence=7))


ONE, TWO = Input("wiki", "1" * 64, "/here/wiki"), Input("news", "2" * 64, "/here/news")


@pytest.mark.parametrize(
    "change",
    [
        {"step": "decide"},
        {"config": Settings(threshold=0.6)},
        {"config": Settings(word="b")},
        {"inputs": [TWO]},
        {"inputs": [ONE, TWO]},
        {"inputs": [TWO, ONE]},
        {"inputs": [Input("wiki", "3" * 64, "/here/wiki")]},
        {"inputs": []},
        {"code": "other"},
        {"code": ""},
        {"sequence": 1},
    ],
    ids=str,
)
def test_a_change_of_step_configuration_code_library_or_input_changes_the_name(tmp_path, change):
    plain = {"step": "annotate", "inputs": [ONE], "code": "digest"}
    assert name_of(tmp_path, **plain) != name_of(tmp_path, **{**plain, **change})


def test_where_the_input_lies_and_where_the_output_goes_do_not_change_the_name(tmp_path):
    here = name_of(tmp_path / "one", inputs=[Input("wiki", "1" * 64, "/here/wiki")])
    there = name_of(tmp_path / "two", inputs=[Input("wiki", "1" * 64, "gs://there/wiki")])
    assert here == there


def test_a_moved_folder_of_files_is_the_same_input(tmp_path):
    for name in ("a.jsonl", "sub/b.jsonl"):
        storage.commit_bytes(tmp_path / "one" / "data" / name, b"x")
    before = file_input(str(tmp_path / "one" / "data"))
    (tmp_path / "one").rename(tmp_path / "two")
    after = file_input(str(tmp_path / "two" / "data") + "/")
    assert before.record() == after.record()
    assert before.path != after.path


@pytest.mark.parametrize("change", ["content", "time", "name", "new file", "gone"])
def test_files_that_changed_are_another_input(tmp_path, change):
    for name in ("a", "b"):
        storage.commit_bytes(tmp_path / "data" / name, b"x")
    before = file_input(str(tmp_path / "data"))
    a = tmp_path / "data" / "a"
    changes = {
        "content": lambda: a.write_bytes(b"xy"),
        "time": lambda: os.utime(a, ns=(1, 1)),
        "name": lambda: a.rename(tmp_path / "data" / "c"),
        "new file": lambda: (tmp_path / "data" / "c").write_bytes(b"x"),
        "gone": a.unlink,
    }
    changes[change]()
    assert file_input(str(tmp_path / "data")).identity != before.identity


def test_a_file_of_an_object_store_is_an_input():
    storage.commit_bytes("memory://input-of-runs/data/a", b"x")
    storage.commit_bytes("memory://input-of-runs/data/b", b"x")
    found = file_input("memory://input-of-runs/data")
    assert (found.name, len(found.identity)) == ("data", 64)
    assert file_input("memory://input-of-runs/data/a").identity != found.identity


def test_an_input_without_files_is_the_users_error(tmp_path):
    assert refused(file_input, str(tmp_path / "none*")).what == "no file matches this input"


def test_an_output_on_an_object_store_is_refused_and_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="must lie on a local disk"), start("memory://bucket/runs"):
        pass
    with pytest.raises(UserError), start(Path("gs://bucket/runs")):
        pass
    assert list(tmp_path.iterdir()) == []


def file_in_the_way(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file"


def loop_of_links(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return tmp_path / "loop"


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        (file_in_the_way, "Not a directory"),
        (lambda tmp_path: file_in_the_way(tmp_path) / "deeper", "Not a directory"),
        (lambda tmp_path: tmp_path / ("n" * 300), "File name too long"),
        (loop_of_links, "Too many levels of symbolic links"),
    ],
    ids=["a file", "below a file", "too long", "a loop of links"],
)
def test_an_output_folder_that_cannot_be_made_is_the_users_to_mend(tmp_path, place, problem):
    out = place(tmp_path)
    error = refused(start(out).__enter__)
    assert (error.exit_code, error.what) == (2, "no folder can be made here")
    assert error.where["folder"].parent == out
    assert error.where["problem"].startswith(f"{problem}: {out}")
    assert (
        error.fix == "give --out a place that is there, or can be made, and that you may write to"
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENODEV, errno.EIO])
def test_a_drive_that_is_gone_or_not_ours_is_the_users_to_mend(tmp_path, monkeypatch, number):
    def unable(path, **_):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", unable)
    error = refused(start(tmp_path).__enter__)
    assert error.where["problem"].startswith(os.strerror(number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stays_a_full_disk_when_the_folder_is_made(tmp_path, monkeypatch, number):
    def unable(path, **_):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", unable)
    with pytest.raises(OSError) as caught:
        start(tmp_path).__enter__()
    assert caught.value.errno == number


# ---- sealing


def test_a_sealed_run_tells_what_was_done(tmp_path):
    run = finished(
        tmp_path,
        inputs=[ONE],
        files={"data/b": b"bb", "data/a": b"a", "top.txt": b"t"},
        sealed={"counts": {"kept": 3}, "details": {"reasons": ["short"]}},
    )
    assert (run.step, run.id, run.path) == ("annotate", run.path.name, tmp_path / run.id)
    assert (run.counts, run.details, run.exit_code) == ({"kept": 3}, {"reasons": ["short"]}, 0)
    assert [(f.path, f.bytes) for f in run.data_files()] == [
        ("data/a", 1),
        ("data/b", 2),
        ("top.txt", 1),
    ]
    assert run.files("data/") == [run.path / "data/a", run.path / "data/b"]
    assert run.file("top.txt").read_bytes() == b"t"
    assert run.manifest["inputs"] == [{"name": "wiki", "identity": "1" * 64}]
    assert run.manifest["config"] == {"threshold": 0.5, "word": "a"}


def test_the_manifest_is_the_last_file_written(tmp_path, monkeypatch):
    written = []
    commit = storage.commit_json
    monkeypatch.setattr(
        storage,
        "commit_json",
        lambda path, value: (written.append(Path(path).name), commit(path, value)),
    )
    finished(tmp_path)
    assert written == ["telemetry.json", "manifest.json"]


def test_equal_runs_have_byte_equal_manifests_in_any_folder(tmp_path):
    one, two = finished(tmp_path / "one", inputs=[ONE]), finished(tmp_path / "two", inputs=[ONE])
    assert (one.path / "manifest.json").read_bytes() == (two.path / "manifest.json").read_bytes()
    assert manifest_digest(one) == manifest_digest(two) == one.as_input().identity
    assert one.as_input().record() == two.as_input().record()


def test_a_manifest_holds_no_time_and_no_path_of_the_machine(tmp_path):
    run = finished(tmp_path, inputs=[Input("wiki", "1" * 64, str(tmp_path / "wiki"))])
    text = (run.path / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert "seconds" not in text
    assert set(storage.read_json(run.path / "telemetry.json")) == {"seconds", "sealed"}


def test_bookkeeping_hidden_and_unfinished_files_are_not_data(tmp_path):
    with start(tmp_path) as run:
        for name in (
            "data/a",
            "spill/keys",
            "receipts/annotate/00000.json",
            ".hidden",
            "data/.part-1-a",
        ):
            (run.path / name).parent.mkdir(parents=True, exist_ok=True)
            (run.path / name).write_bytes(b"x")
        sealed = run.finish()
    assert [file.path for file in sealed.data_files()] == ["data/a"]
    assert not (run.path / "data/.part-1-a").exists()


def test_what_only_the_run_itself_reads_is_removed_after_sealing(tmp_path):
    with start(tmp_path) as run:
        storage.commit_bytes(run.path / SPILL / "keys", b"x")
        run.finish()
        assert not (run.path / SPILL).exists()


def test_two_splits_that_claim_one_file_are_a_fault_of_ours(tmp_path):
    with start(tmp_path) as run:
        storage.commit_bytes(run.path / "a", b"x")
        file = describe_file(run.path, "a")
        with pytest.raises(GristmillError, match="two splits wrote the same file: a"):
            run.finish(files=[file, file])
        assert not (run.path / "manifest.json").exists()


# ---- reading


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with start(tmp_path) as run:
        error = refused(open_run, run.path)
    assert (error.what, error.fix) == (
        "this run is unfinished: it has no manifest",
        "run the command that writes it again, with the same options: it continues",
    )


@pytest.mark.parametrize("place", ["none", "file"])
def test_what_is_no_folder_is_no_run(tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    assert refused(open_run, tmp_path / place).what == "there is no such run folder"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b'{"format": 1}', b"\xff"])
def test_a_damaged_manifest_is_refused(tmp_path, content):
    run = finished(tmp_path)
    (run.path / "manifest.json").write_bytes(content)
    with pytest.raises(
        RunError, match=r"manifest of this run is damaged|written by another version"
    ):
        open_run(run.path)


def test_a_run_of_another_format_is_refused(tmp_path):
    run = finished(tmp_path)
    storage.commit_json(run.path / "manifest.json", {**run.manifest, "format": 99})
    error = refused(open_run, run.path)
    assert (error.what, error.where["format"]) == ("this run was written by another version", 99)


def test_a_run_of_another_step_is_refused_where_one_step_is_needed(tmp_path):
    run = finished(tmp_path)
    assert open_run(run.path, step="annotate").id == run.id
    error = refused(open_run, run.path, step="pack")
    assert (error.what, error.where["is a run of"]) == (
        "a run of `pack` is needed here",
        "annotate",
    )


def test_a_file_that_is_not_in_the_manifest_is_refused(tmp_path):
    run = finished(tmp_path)
    (run.path / "data/stranger").write_bytes(b"x")
    assert refused(run.file, "data/stranger").what == "this run has no such file"
    assert run.files("data/") == [run.path / "data/a.bin"]


@pytest.mark.parametrize("damage", ["cut", "gone", "grown"])
def test_a_file_of_another_size_than_sealed_is_refused_when_it_is_asked_for(tmp_path, damage):
    run = finished(tmp_path)
    file = run.path / "data/a.bin"
    file.unlink() if damage == "gone" else file.write_bytes(b"ab" if damage == "cut" else b"abcd")
    assert refused(run.file, "data/a.bin").what == "a file of this run is missing or cut"
    assert refused(run.files, "data/").fix.startswith(
        "copy the run again from where it is whole, or remove its folder"
    )


def test_an_intact_run_verifies(tmp_path):
    assert finished(tmp_path).verify() == []


@pytest.mark.parametrize("position", [0, 50_000, 99_999])
@pytest.mark.parametrize("bit", [1, 128])
def test_verify_finds_one_flipped_bit(tmp_path, position, bit):
    run = finished(tmp_path, files={"data/a": b"\0" * 100_000, "data/b": b"b"})
    with open(run.path / "data/a", "r+b") as file:
        file.seek(position)
        file.write(bytes([bit]))
    assert run.files("data/")
    assert run.verify() == ["data/a"]


def test_verify_names_missing_and_cut_files(tmp_path):
    run = finished(tmp_path, files={"a": b"aa", "b": b"bb", "c": b"cc"})
    (run.path / "a").unlink()
    (run.path / "b").write_bytes(b"b")
    assert run.verify() == ["a", "b"]


def test_thousands_of_files_are_listed_at_once(tmp_path):
    run = finished(tmp_path)
    raw = run.manifest["files"][0]
    many = FinishedRun(run.path, {**run.manifest, "files": [raw] * 5000})
    assert len(many.files("data/")) == 5000


# ---- again


def test_a_finished_run_again_is_found_with_its_exit_code_and_nothing_is_written(tmp_path):
    run = finished(tmp_path, sealed={"exit_code": 3})
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}
    with start(tmp_path) as again:
        assert again.finished is not None
        assert (again.finished.id, again.finished.exit_code) == (run.id, 3)
    assert {
        path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()
    } == before


def test_an_unfinished_run_is_continued_with_what_is_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), start(tmp_path) as run:  # noqa: PT012 - the state that it leaves is what is tested
        storage.commit_bytes(run.path / "data/a", b"x")
        raise KeyboardInterrupt
    (run.path / "data/.part-0123456789ab-b").write_bytes(b"half")
    with start(tmp_path) as again:
        assert again.finished is None
        assert again.path == run.path
        assert (run.path / "data/a").exists()
        assert not (run.path / "data/.part-0123456789ab-b").exists()


def test_force_empties_the_folder(tmp_path):
    run = finished(tmp_path)
    receipts.commit_receipt(run.path, Receipt("s", 0, 0))
    with start(tmp_path, force=True) as again:
        assert again.finished is None
        assert [path.name for path in run.path.iterdir()] == [".lock"]


def test_force_killed_in_the_middle_does_not_leave_a_run_that_looks_finished(tmp_path, monkeypatch):
    run = finished(tmp_path, files={"a/x": b"1", "b/y": b"2"})

    def killed(path):
        raise SystemExit

    monkeypatch.setattr("gristmill.runs.run.shutil.rmtree", killed)
    with pytest.raises(SystemExit), start(tmp_path, force=True):
        pass
    assert not (run.path / "manifest.json").exists()


def test_a_full_disk_while_sealing_leaves_the_run_unfinished_and_the_next_start_seals_it(
    tmp_path, monkeypatch
):
    def full(path, value):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch, pytest.raises(OSError), start(tmp_path) as run:  # noqa: PT012 - see above
        storage.commit_bytes(run.path / "data/a", b"x")
        patch.setattr(storage, "commit_json", full)
        run.finish()
    assert refused(open_run, run.path).what == "this run is unfinished: it has no manifest"
    with start(tmp_path) as again:
        assert [file.path for file in again.finish().data_files()] == ["data/a"]


# ---- receipts become a run

KEPT, DROPPED = (
    Entry("wiki", "en", "kept", "", 2, 20),
    Entry("wiki", "en", "dropped", "short", 1, 3),
)
BAD = Entry("wiki", "und", "quarantined", "utf8", 1, 0)


def work(run, splits=2, entries=(KEPT, DROPPED, BAD)):
    """Do every split that has no receipt; returns which."""
    todo = [
        split
        for split in range(splits)
        if receipts.read_receipt(run.path, "annotate", split) is None
    ]
    for split in todo:
        path = f"documents/part-{split:05d}"
        storage.commit_bytes(run.path / path, b"x" * (split + 1))
        storage.commit_bytes(run.path / SPILL / f"{split}", b"keys")
        read = sum(entry.documents for entry in entries)
        files = (
            describe_file(run.path, path, rows=2),
            describe_file(run.path, f"{SPILL}/{split}"),
        )
        receipts.commit_receipt(run.path, Receipt("annotate", split, read, tuple(entries), files))
    return todo


def seal(run, splits=2, **options):
    return seal_from_receipts(run, {"annotate": splits}, ledger_stage="annotate", **options)


def test_the_ledger_and_the_counts_are_the_sum_of_the_receipts(tmp_path):
    with start(tmp_path) as run:
        work(run)
        sealed = seal(run, counts={"tokens": 9}, details={"a": 1})
    assert sealed.counts == {
        "read": 8,
        "kept": 4,
        "dropped": 2,
        "dropped:short": 2,
        "quarantined": 2,
        "quarantined:utf8": 2,
        "tokens": 9,
    }
    assert sealed.details == {"a": 1}
    assert [row["split"] for row in sealed.ledger()] == [0, 0, 0, 1, 1, 1]
    assert all_entries(sealed) == sorted([KEPT, DROPPED, BAD]) * 2
    assert [(f.path, f.rows) for f in sealed.data_files()] == [
        ("documents/part-00000", 2),
        ("documents/part-00001", 2),
        ("ledger.parquet", 6),
    ]
    assert sealed.verify() == []


def test_verify_finds_one_flipped_byte_of_the_ledger(tmp_path):
    with start(tmp_path) as run:
        work(run)
        sealed = seal(run)
    with open(sealed.path / "ledger.parquet", "r+b") as file:
        file.seek(10)
        file.write(b"\xff")
    assert sealed.verify() == ["ledger.parquet"]


def test_a_step_without_a_ledger_has_an_empty_one(tmp_path):
    assert finished(tmp_path).ledger() == []


def test_a_missing_receipt_is_named_and_nothing_is_sealed(tmp_path):
    with start(tmp_path) as run:
        work(run, splits=2)
        error = refused(seal, run, splits=4)
    assert (error.what, error.where["splits"]) == ("splits are without a receipt", [2, 3])
    assert not (run.path / "manifest.json").exists()


def test_records_that_were_read_but_have_no_fate_are_never_sealed(tmp_path):
    with start(tmp_path) as run:
        receipts.commit_receipt(run.path, Receipt("annotate", 0, 5))
        with pytest.raises(
            Unbalanced, match="annotate, split 0: read 5 records, but 0 have a fate"
        ):
            seal(run, splits=1)
    assert not (run.path / "manifest.json").exists()


def test_only_the_splits_of_the_plan_are_sealed(tmp_path):
    with start(tmp_path) as run:
        work(run, splits=3)
        assert seal(run, splits=2).counts["read"] == 8


def test_a_run_killed_after_some_splits_and_continued_has_the_same_manifest(tmp_path):
    with start(tmp_path / "whole") as run:
        assert work(run, splits=4) == [0, 1, 2, 3]
        whole = seal(run, splits=4)
    with pytest.raises(KeyboardInterrupt), start(tmp_path / "killed") as run:  # noqa: PT012 - see above
        work(run, splits=2)
        raise KeyboardInterrupt
    receipts.receipt_path(run.path, "annotate", 1).write_bytes(b'{"stage": "anno')
    with start(tmp_path / "killed") as run:
        assert work(run, splits=4) == [1, 2, 3]
        continued = seal(run, splits=4)
    assert manifest_digest(continued) == manifest_digest(whole)
    assert (continued.path / "ledger.parquet").read_bytes() == (
        whole.path / "ledger.parquet"
    ).read_bytes()


def test_a_split_whose_file_was_cut_is_done_again(tmp_path):
    with start(tmp_path) as run:
        work(run, splits=3)
        (run.path / "documents/part-00001").write_bytes(b"")
        assert work(run, splits=3) == [1]
        assert seal(run, splits=3).verify() == []


def test_a_committed_file_whose_receipt_a_kill_prevented_is_swept_and_told(tmp_path, capsys):
    with start(tmp_path) as run:
        work(run, splits=2)
        storage.commit_bytes(run.path / "documents/part-00007", b"of a split that is in no plan")
        storage.commit_bytes(run.path / "documents/deep/part-00008", b"")
        storage.commit_bytes(run.path / "plan.parquet", b"beside the folders: ours")
        sealed = seal(run)
    assert sorted(path.name for path in (run.path / "documents").iterdir() if path.is_file()) == [
        "part-00000",
        "part-00001",
    ]
    assert (run.path / "plan.parquet").exists()
    assert sealed.verify() == []
    assert capsys.readouterr().err == (
        "annotate  removed 2 files without a receipt, left by a killed attempt: documents/deep/part-00008\n"
    )


def test_a_file_committed_without_its_receipt_is_written_again_and_not_swept(tmp_path, capsys):
    with start(tmp_path) as run:
        storage.commit_bytes(run.path / "documents/part-00001", b"of the killed attempt")
    with start(tmp_path) as run:
        assert work(run, splits=2) == [0, 1]
        assert seal(run).file("documents/part-00001").read_bytes() == b"xx"
    assert capsys.readouterr().err == ""


def test_files_beside_the_receipts_that_a_step_names_itself_are_not_swept(tmp_path):
    with start(tmp_path) as run:
        work(run)
        storage.commit_bytes(run.path / "tokenizer/model", b"m")
        sealed = seal(run, extra_files=[describe_file(run.path, "tokenizer/model")])
    assert sealed.file("tokenizer/model").read_bytes() == b"m"


def test_half_written_files_of_a_killed_attempt_are_removed_and_told_once(tmp_path, capsys):
    with start(tmp_path) as run:
        (run.path / "documents").mkdir()
        for name in ("a", "b"):
            (run.path / f"documents/.part-0123456789ab-{name}").write_bytes(b"half")
    for _ in range(2):
        with start(tmp_path) as run:
            assert list((run.path / "documents").iterdir()) == []
    assert (
        capsys.readouterr().err
        == "annotate  removed 2 half-written files of an attempt that was stopped\n"
    )


KILLED = """
import os, sys
from gristmill.runs import receipts, storage
from gristmill.runs.run import start_run
from gristmill.config import Config
from gristmill.runs.ledger import Entry
from gristmill.runs.receipts import Receipt, describe_file
class Settings(Config):
    threshold: float = 0.5
    word: str = "a"
with start_run("annotate", out=sys.argv[1], config=Settings()) as run:
    for split in range(2):
        path = f"documents/part-{split:05d}"
        storage.commit_bytes(run.path / path, b"x" * (split + 1))
        if split == 1:
            print(run.path, flush=True)
            os.kill(os.getpid(), 9)
        entries = (Entry("wiki", "en", "kept", "", 2, 20),)
        receipts.commit_receipt(run.path, Receipt("annotate", split, 2, entries, (describe_file(run.path, path, rows=2),)))
"""


def test_a_process_killed_between_a_file_and_its_receipt_is_continued_with_that_split_only(
    tmp_path,
):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == -9
    with start(tmp_path) as run:
        assert (str(run.path), run.finished) == (done.stdout.strip(), None)
        assert (run.path / "documents/part-00001").read_bytes() == b"xx"
        assert work(run, entries=(KEPT,)) == [1]
        assert seal(run).counts == {"read": 4, "kept": 4, "dropped": 0, "quarantined": 0}


# ---- two at once


HOLDER = """
import sys
from gristmill.runs import storage
from gristmill.runs.run import start_run
from gristmill.config import Config
class Settings(Config):
    threshold: float = 0.5
    word: str = "a"
with start_run("annotate", out=sys.argv[1], config=Settings()) as run:
    storage.commit_bytes(run.path / "data/a.bin", b"abc")
    print(run.path, flush=True)
    if sys.stdin.read() == "go":
        run.finish()
"""


def holder(out):
    """Another process that holds a run until it is killed or told to go on; returns it and the run's path."""
    command = [sys.executable, "-c", HOLDER, str(out)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    return process, Path(process.stdout.readline().strip())


def test_a_second_process_is_kept_out_and_gets_in_when_the_first_is_killed(tmp_path):
    process, path = holder(tmp_path)
    error = refused(start(tmp_path).__enter__)
    assert (error.what, error.where) == ("another process is writing this run", {"run": path})
    process.kill()
    process.wait()
    with start(tmp_path) as run:
        assert (run.path, run.finished) == (path, None)
        assert (run.path / "data/a.bin").exists()


def test_of_two_processes_that_start_the_same_run_one_writes_and_the_other_finds_it_later(tmp_path):
    first, path = holder(tmp_path)
    second, nothing = holder(tmp_path)
    assert (second.wait(), nothing) == (1, Path())
    first.communicate("go")
    assert first.returncode == 0
    with start(tmp_path) as run:
        assert run.path == path
        assert run.finished is not None


def test_a_force_cannot_empty_a_run_that_another_process_writes(tmp_path):
    process, path = holder(tmp_path)
    assert (
        refused(start(tmp_path, force=True).__enter__).what == "another process is writing this run"
    )
    assert (path / "data/a.bin").exists()
    process.kill()
    process.wait()


def test_a_run_of_other_settings_is_not_kept_out(tmp_path):
    with start(tmp_path), start(tmp_path, config=Settings(word="b")) as other:
        assert other.finished is None


def test_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(ValueError), start(tmp_path):
        raise ValueError
    with start(tmp_path) as run:
        assert run.finished is None


# ---- finding runs


def at(run, seconds):
    """Set when a run was last sealed or asked for."""
    os.utime(run.path, (seconds, seconds))
    return run


def test_runs_are_listed_oldest_first_and_unfinished_ones_left_out(tmp_path):
    late, early = at(finished(tmp_path, "pack"), 200), at(finished(tmp_path, "annotate"), 100)
    with start(tmp_path, "decide"):
        pass
    assert [run.id for run in list_runs(tmp_path)] == [early.id, late.id]
    assert list_runs(tmp_path / "none") == []


def test_the_latest_run_of_a_step_is_the_one_sealed_last(tmp_path):
    old = at(finished(tmp_path, config=Settings(word="old")), 100)
    new = at(finished(tmp_path, config=Settings(word="new")), 200)
    at(finished(tmp_path, "pack"), 300)
    assert find_latest(tmp_path, "annotate").id == new.id != old.id


def call(tmp_path, number, crawl, word="x"):
    with start_run("crawl", out=tmp_path, config=Settings(word=word), sequence=number) as run:
        return run.finish(details={"crawl": crawl} if crawl else {})


def test_the_calls_of_a_crawl_belong_together_in_their_order_whatever_their_settings(tmp_path):
    calls = [call(tmp_path, 2, "a/1"), call(tmp_path, 1, "a/1", "other"), call(tmp_path, 3, "a/1")]
    fresh, alone = call(tmp_path, 4, "a/2"), call(tmp_path, 5, None)
    expected = [calls[1].id, calls[0].id, calls[2].id]
    assert [run.id for run in sibling_sessions(calls[0])] == expected
    assert [run.sequence for run in sibling_sessions(calls[0])] == [1, 2, 3]
    assert sibling_sessions(fresh) == [fresh] and sibling_sessions(alone) == [alone]
    assert finished(tmp_path).sequence == 0


def test_a_run_that_is_asked_for_again_is_the_latest_again(tmp_path):
    first = at(finished(tmp_path, config=Settings(word="first")), 100)
    at(finished(tmp_path, config=Settings(word="second")), 200)
    with start(tmp_path, config=Settings(word="first")) as run:
        assert run.finished is not None
    assert find_latest(tmp_path, "annotate").id == first.id


def test_a_step_without_a_run_says_which_command_makes_one(tmp_path):
    error = refused(find_latest, tmp_path, "pack")
    assert error.what == "there is no finished run of `pack`"
    assert (
        error.fix
        == "run `gristmill pack` first, name the run with --in, or the folder of your runs with --out"
    )
    assert refused(find_latest, tmp_path, "tokenizer").fix.startswith(
        "run `gristmill tokenizer train` first"
    )


def test_a_step_whose_run_lies_a_folder_deeper_says_where(tmp_path):
    finished(tmp_path / "demo", "pack")
    error = refused(find_latest, tmp_path, "pack")
    assert (
        error.fix
        == f"there is one in {tmp_path}/demo: give --out {tmp_path}/demo, or name the run itself with --in"
    )


def test_a_strangers_folder_with_a_manifest_beside_the_runs_is_passed_over(tmp_path):
    run = finished(tmp_path)
    storage.commit_json(tmp_path / "web-site" / "manifest.json", {"short_name": "a page"})
    assert [found.id for found in list_runs(tmp_path)] == [run.id]


def chained(out):
    """crawl, files -> annotate -> decide -> pack, and pack also reads annotate."""
    crawl = finished(out, "crawl", sequence=1)
    annotate = finished(out, "annotate", inputs=[crawl.as_input(), ONE])
    decide = finished(out, "decide", inputs=[annotate.as_input()])
    pack = finished(out, "pack", inputs=[decide.as_input(), annotate.as_input()])
    return crawl, annotate, decide, pack


def test_a_chain_holds_every_run_once_and_after_all_that_it_read(tmp_path):
    crawl, annotate, decide, pack = chained(tmp_path)
    assert [run.step for run in ancestors(pack)] == ["crawl", "annotate", "decide", "pack"]
    assert [run.step for run in ancestors(crawl)] == ["crawl"]
    assert [run.step for run in ancestors(annotate, pack, decide)] == [
        "crawl",
        "annotate",
        "decide",
        "pack",
    ]
    assert ancestors() == []


def test_the_line_of_a_corpus_leaves_out_what_its_tokenizer_was_trained_on_unless_that_is_asked_for(
    tmp_path,
):
    crawl, annotate, decide, _ = chained(tmp_path)
    stricter = finished(tmp_path, "decide", inputs=[annotate.as_input(), ONE])
    tokenizer = finished(tmp_path, "tokenizer", inputs=[decide.as_input()])
    pack = finished(tmp_path, "pack", inputs=[stricter.as_input(), tokenizer.as_input()])
    assert [run.id for run in corpus_lineage(pack)] == [
        crawl.id,
        annotate.id,
        stricter.id,
        tokenizer.id,
        pack.id,
    ]
    assert decide.id in {run.id for run in ancestors(pack)}
    assert [run.step for run in corpus_lineage(tokenizer)] == [
        "crawl",
        "annotate",
        "decide",
        "tokenizer",
    ]


def test_a_chain_is_found_from_inside_the_folder_and_through_a_link(tmp_path, monkeypatch):
    *_, pack = chained(tmp_path / "runs")
    monkeypatch.chdir(pack.path)
    assert len(ancestors(open_run("."))) == 4
    (tmp_path / "newest").symlink_to(pack.path)
    assert len(ancestors(open_run(tmp_path / "newest"))) == 4


def test_parents_that_are_gone_and_raw_files_are_left_out(tmp_path):
    crawl, annotate, *_ = chained(tmp_path)
    assert [run.id for run in open_parents(annotate)] == [crawl.id]
    (crawl.path / "manifest.json").unlink()
    assert open_parents(annotate) == []


def test_a_run_that_was_redone_with_another_content_is_not_passed_off_as_the_one_that_was_read(
    tmp_path,
):
    _, annotate, decide, _ = chained(tmp_path)
    with start(
        tmp_path,
        "annotate",
        inputs=[find_latest(tmp_path, "crawl").as_input(), ONE],
        force=True,
    ) as run:
        storage.commit_bytes(run.path / "data/a.bin", b"other")
        assert run.id == annotate.id
        run.finish()
    error = refused(ancestors, decide)
    assert (error.what, error.fix) == (
        "a run that this one read has been redone since",
        "run `gristmill decide` again, so that it reads what is there now",
    )


def test_a_run_that_was_redone_with_the_same_content_is_the_one_that_was_read(tmp_path):
    crawl, annotate, *_ = chained(tmp_path)
    finished(tmp_path, "crawl", sequence=1, force=True)
    assert [run.id for run in open_parents(annotate)] == [crawl.id]


def test_the_last_run_of_a_step_is_found_in_a_chain(tmp_path):
    found = ancestors(chained(tmp_path)[-1])
    assert latest_of(found, "decide").step == "decide"
    assert latest_of(found, "audit") is None


# ---- what --in names


def test_a_sealed_run_is_resolved_as_a_run(tmp_path):
    run = finished(tmp_path)
    assert resolve_input(str(run.path)) == run
    assert resolve_input(f"{run.path}/").id == run.id


@pytest.mark.parametrize("left", ["lock", "receipts"])
def test_an_unfinished_run_folder_is_refused_and_not_read_as_files(tmp_path, left):
    with start(tmp_path) as run:
        storage.commit_bytes(run.path / "documents/part-00000.parquet", b"x")
    if left == "receipts":
        (run.path / ".lock").unlink()
        receipts.commit_receipt(run.path, Receipt("annotate", 0, 0))
    assert (
        refused(resolve_input, str(run.path)).what == "this run is unfinished: it has no manifest"
    )


@pytest.mark.parametrize("pattern", ["data", "data/a.jsonl", "data/*.jsonl"])
def test_files_a_folder_and_a_glob_are_resolved_as_files(tmp_path, pattern):
    storage.commit_bytes(tmp_path / "data/a.jsonl", b"{}")
    found = resolve_input(str(tmp_path / pattern))
    assert isinstance(found, Input)
    assert (found.name, found.path) == (Path(pattern).name, str(tmp_path / pattern))


def test_a_missing_input_is_the_users_error(tmp_path):
    with pytest.raises(InputError, match="no file matches this input"):
        resolve_input(str(tmp_path / "none"))


def test_the_manifest_is_what_its_readers_of_other_languages_expect(tmp_path):
    run = finished(tmp_path)
    manifest = json.loads((run.path / "manifest.json").read_bytes())
    assert sorted(manifest) == [
        "code",
        "config",
        "counts",
        "details",
        "exit_code",
        "files",
        "format",
        "id",
        "inputs",
        "step",
        "version",
    ]
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest["files"] == [{"path": "data/a.bin", "bytes": 3, "sha256": sha, "rows": -1}]
