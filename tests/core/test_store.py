"""The run store: one contract for every backend, and what only a disk can do wrong."""

import errno
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.config import Config
from gristmill.errors import InputError, RunError
from gristmill.hashing import sha256_bytes
from gristmill.runs import storage
from gristmill.runs.finished import ancestors, find_latest, list_runs, open_run, resolve_input
from gristmill.runs.hashed_file import HashedFile
from gristmill.runs.ledger import Entry
from gristmill.runs.local_store import LocalStore
from gristmill.runs.memory_store import MemoryStore
from gristmill.runs.receipts import (
    Receipt,
    commit_receipt,
    count,
    describe_file,
    describe_written,
    load_receipts,
    read_receipt,
)
from gristmill.runs.run import seal_from_receipts, start_run
from gristmill.runs.store import StoredFile, check_name
from gristmill.runs.store_uris import open_store

BACKENDS = ("local", "memory")


def make_store(backend, tmp_path):
    if backend == "local":
        return open_store(tmp_path / "runs")
    return open_store(f"memory://{uuid.uuid4().hex}/runs")


@pytest.fixture(params=BACKENDS)
def store(request, tmp_path):
    return make_store(request.param, tmp_path)


# ---- the contract


def test_of_several_creators_one_makes_the_file_and_the_others_learn_whether_theirs_is_equal(store):
    assert store.create("a/b", b"one") == "made"
    assert store.create("a/b", b"one") == "same"
    assert store.create("a/b", b"two") == "other"
    assert store.read("a/b") == b"one"


def test_exactly_one_of_many_threads_creates_a_file(store):
    barrier = threading.Barrier(8)

    def create(number):
        barrier.wait()
        return store.create("file", bytes([number]))

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(create, range(8)))
    assert sorted(outcomes) == ["made", *["other"] * 7]
    assert store.read("file") == bytes([outcomes.index("made")])
    assert store.list_names() == ["file"]


def test_put_replaces(store):
    store.put("a", b"one")
    store.put("a", b"three")
    assert (store.read("a"), store.get_size("a")) == (b"three", 5)


def test_a_writer_knows_size_and_hash_without_reading_again(store):
    with store.writer("data/a") as file:
        file.write(b"one ")
        file.write(memoryview(b"two"))
    assert store.read("data/a") == b"one two"
    assert (file.size, file.sha256) == (7, sha256_bytes(b"one two"))
    assert describe_written("data/a", file, rows=2) == describe_file(store, "data/a", rows=2)


def test_a_writer_that_fails_leaves_nothing_and_what_was_there_before(store):
    store.put("a", b"before")
    with pytest.raises(ZeroDivisionError), store.writer("a") as file:  # noqa: PT012 - it is the block that fails
        file.write(b"half")
        _ = 1 / 0
    with pytest.raises(ZeroDivisionError), store.writer("new"):
        _ = 1 / 0
    assert store.read("a") == b"before"
    assert store.list_names() == ["a"]


def test_a_half_written_file_is_neither_listed_nor_there(store):
    with store.writer("a") as file:
        file.write(b"half")
        file.flush()
        assert (store.list(), store.has("a")) == ([], False)
    assert store.has("a")


def test_a_file_is_read_from_any_position(store):
    store.put("a", bytes(range(100)))
    with store.open("a") as file:
        file.seek(90)
        assert file.read(5) == bytes(range(90, 95))
        file.seek(-2, io.SEEK_END)
        assert file.read() == bytes([98, 99])


def test_what_is_not_there_is_refused_by_name(store):
    store.put("a", b"")
    for read in (store.open, store.read, store.local):
        with pytest.raises(InputError, match="no such file") as caught:
            read("b")
        assert caught.value.where == {"run": store.location, "file": "b"}
    assert (store.get_size("b"), store.has("b"), store.get_size("a")) == (None, False, 0)


def test_files_are_listed_by_prefix_in_the_order_of_their_names(store):
    for name in ("b", "a/2", "a/10", "a/c/1", "ab"):
        store.put(name, name.encode())
    assert store.list_names() == ["a/10", "a/2", "a/c/1", "ab", "b"]
    assert store.list_names("a/") == ["a/10", "a/2", "a/c/1"]
    assert store.list_names("a") == ["a/10", "a/2", "a/c/1", "ab"]
    assert store.list_names("a/c/1") == ["a/c/1"]
    assert store.list_names("nowhere/") == []
    [file] = store.list("a/2")
    assert file == StoredFile("a/2", 3, file.written)
    assert file.written > 0


def test_removed_files_are_gone_and_removing_twice_is_no_error(store):
    for name in ("a/1", "a/2", "b"):
        store.put(name, b"x")
    store.remove("b")
    store.remove("b")
    store.remove_all("a/")
    store.remove_all("a/")
    assert store.list() == []


def test_a_local_copy_has_the_content_and_the_suffix(store):
    store.put("data/a.npy", b"content")
    path = store.local("data/a.npy")
    assert (path.read_bytes(), path.suffix) == (b"content", ".npy")
    assert store.local("data/a.npy") == path


def test_a_local_copy_is_of_the_content_of_today(store):
    store.put("a", b"one")
    assert store.local("a").read_bytes() == b"one"
    store.put("a", b"two")
    assert store.local("a").read_bytes() == b"two"


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", "."])
def test_names_that_leave_the_store_or_have_two_spellings_are_refused(store, name):
    with pytest.raises(ValueError, match="not the name of a file"):
        store.put(name, b"")
    with pytest.raises(ValueError, match="not the name of a file"):
        check_name(name)


def test_what_is_pickled_is_the_uri(store):
    store.put("a", b"content")
    data = pickle.dumps(store)
    again = pickle.loads(data)
    assert store.uri.encode() in data
    assert len(data) < 300
    assert (again.read("a"), again.uri) == (b"content", store.uri)
    assert open_store(store.uri).read("a") == b"content"
    assert open_store(store) is store


def test_stores_lie_inside_stores(store):
    inside = store.child("pack-1")
    assert (inside.name, inside.parent().uri) == ("pack-1", store.uri)
    assert (inside.exists(), store.children()) == (False, [])
    inside.put("a", b"")
    store.child("audit-1").put("a", b"")
    assert [child.name for child in store.children()] == ["audit-1", "pack-1"]
    assert inside.exists()


def test_the_store_that_was_asked_for_last_is_the_newest(store):
    first, second = store.child("a"), store.child("b")
    for each in (first, second):
        each.put("file", b"")
    assert first.get_last_used() <= second.get_last_used()
    first.touch()
    assert first.get_last_used() >= second.get_last_used()


def test_one_holder_keeps_others_out(store):
    with (
        store.hold_lock(".lock"),
        pytest.raises(RunError, match="another process is writing"),
        store.hold_lock(".lock"),
    ):
        pass
    with store.hold_lock(".lock"):
        pass


def test_libraries_write_the_same_bytes_as_into_a_plain_file(store, tmp_path):
    table = pa.table({"a": list(range(1000)), "b": ["x" * (i % 7) for i in range(1000)]})
    arrays = {"x": np.arange(1000), "y": np.ones((3, 4))}
    with store.writer("table") as file:
        pq.write_table(table, file, compression="zstd")
    with store.writer("stream") as stream, pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    with store.writer("arrays") as zipped:
        np.savez(zipped, **arrays)
    with store.writer("array") as array:
        np.save(array, arrays["x"])
    pq.write_table(table, tmp_path / "table", compression="zstd")
    np.savez(open(tmp_path / "arrays", "wb"), **arrays)  # noqa: SIM115 - a file, so no suffix
    np.save(open(tmp_path / "array", "wb"), arrays["x"])  # noqa: SIM115
    for name in ("table", "arrays", "array"):
        assert store.read(name) == (tmp_path / name).read_bytes()
    for name, written in (("table", file), ("stream", stream), ("arrays", zipped)):
        assert (written.size, written.sha256) == (
            store.get_size(name),
            sha256_bytes(store.read(name)),
        )
    assert pq.read_table(store.open("table")).equals(table)
    assert np.load(store.local("array"), mmap_mode="r").sum() == arrays["x"].sum()


WRITES = st.lists(st.tuples(st.none() | st.integers(0, 40), st.binary(max_size=20)), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(writes=WRITES)
def test_the_hash_is_that_of_the_content_however_the_writer_jumps(writes):
    plain, buffer = io.BytesIO(), io.BytesIO()
    hashed = HashedFile(buffer)
    for position, data in writes:
        for file in (plain, hashed):
            if position is not None:
                file.seek(position)
            file.write(data)
    hashed.seal()
    assert buffer.getvalue() == plain.getvalue()
    assert (hashed.size, hashed.sha256) == (
        len(plain.getvalue()),
        sha256_bytes(plain.getvalue()),
    )


NAMES = st.sampled_from(["a", "b/a", "b/c", "c"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["create", "put", "write", "remove"]), NAMES, st.binary(max_size=3)),
    max_size=12,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_both_backends_hold_the_same_after_any_steps(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("steps")
    stores = [make_store(backend, folder) for backend in BACKENDS]
    contents = []
    for store in stores:
        outcomes = []
        for step, name, data in steps:
            if step == "write":
                with store.writer(name) as file:
                    file.write(data)
                outcomes.append(file.sha256)
            elif step == "remove":
                store.remove(name)
            else:
                outcomes.append(getattr(store, step)(name, data))
        contents.append((outcomes, {name: store.read(name) for name in store.list_names()}))
    assert contents[0] == contents[1]


# ---- runs on every backend


class StepConfig(Config):
    """What names the runs of these tests."""

    word: str = ""


def make_run(out, step, *, inputs=(), word="", splits=2):
    """A run of receipts, as every step writes it."""
    records = [run.as_input() for run in inputs]
    with start_run(step, out=out, config=StepConfig(word=word), inputs=records) as run:
        if run.finished:
            return run.finished
        for split in range(splits):
            if read_receipt(run.store, "work", split) is not None:
                continue
            name = f"data/part-{split:05d}"
            with run.store.writer(name) as file:
                file.write(f"{step} {word} {split}".encode())
            entries = (Entry("wiki", "en", "kept", "", 2, 20),)
            files = (describe_written(name, file, rows=2),)
            commit_receipt(run.store, Receipt("work", split, 2, entries, files))
        return seal_from_receipts(run, {"work": splits}, ledger_stage="work")


def test_a_run_is_written_sealed_opened_and_verified(store):
    run = make_run(store, "annotate")
    assert run.counts == {"read": 4, "kept": 4, "dropped": 0, "quarantined": 0}
    assert [file.path for file in run.data_files("data/")] == ["data/part-00000", "data/part-00001"]
    assert (run.verify(), len(run.ledger())) == ([], 2)
    again = open_run(run.store.uri, step="annotate")
    assert (again.id, again.manifest) == (run.id, run.manifest)
    assert run.open_file("data/part-00001").read() == b"annotate  1"
    assert run.file("data/part-00001").read_bytes() == b"annotate  1"
    assert resolve_input(run.store.uri).id == run.id
    assert list_runs(store)[0].id == find_latest(store, "annotate").id == run.id


def test_a_finished_run_is_found_and_not_done_again(store):
    run = make_run(store, "annotate")
    written = run.store.list("data/")
    assert make_run(store, "annotate").id == run.id
    assert run.store.list("data/") == written


def test_a_run_that_was_stopped_goes_on_with_the_splits_that_have_no_receipt(store):
    with pytest.raises(KeyboardInterrupt), start_run("x", out=store, config=StepConfig()) as run:  # noqa: PT012
        run.store.put("data/part-00000", b"x  0")
        files = (describe_file(run.store, "data/part-00000", rows=2),)
        entries = (Entry("wiki", "en", "kept", "", 2, 20),)
        commit_receipt(run.store, Receipt("work", 0, 2, entries, files))
        raise KeyboardInterrupt
    before = run.store.list("data/part-00000")
    with pytest.raises(RunError, match="unfinished"):
        open_run(run.store)
    assert count(run.store, "work") == 1
    sealed = make_run(store, "x")
    assert sealed.store.list("data/part-00000") == before
    assert count(sealed.store, "work") == 2


def test_a_damaged_file_makes_its_receipt_invalid_and_fails_verification(store):
    run = make_run(store, "annotate")
    run.store.put("data/part-00000", b"flipped  0!")
    assert run.verify() == ["data/part-00000"]
    run.store.put("data/part-00000", b"cut")
    assert list(load_receipts(run.store, "work")) == [1]
    with pytest.raises(RunError, match="missing or cut"):
        run.file("data/part-00000")


def test_parents_are_found_beside_a_run(store):
    first = make_run(store, "annotate")
    second = make_run(store, "decide", inputs=[first])
    assert [run.id for run in ancestors(second)] == [first.id, second.id]


def test_force_empties_the_run(store):
    run = make_run(store, "annotate")
    with start_run("annotate", out=store, config=StepConfig(), force=True) as again:
        assert again.finished is None
        assert [name for name in run.store.list_names() if name != ".lock"] == []


def test_files_without_a_receipt_are_removed_at_the_seal(store):
    with pytest.raises(KeyboardInterrupt), start_run("x", out=store, config=StepConfig()) as run:  # noqa: PT012
        run.store.put("data/orphan", b"")
        run.store.put("spill/keys", b"")
        raise KeyboardInterrupt
    sealed = make_run(store, "x")
    assert sealed.store.list_names("data/") == ["data/part-00000", "data/part-00001"]
    assert sealed.store.list_names("spill/") == []


def test_runs_on_both_backends_are_equal_byte_by_byte(tmp_path):
    contents = []
    for backend in BACKENDS:
        out = make_store(backend, tmp_path)
        runs = [make_run(out, "annotate", word="one")]
        runs.append(make_run(out, "decide", inputs=runs))
        not_compared = {"telemetry.json", ".lock"}
        contents.append(
            {
                (run.id, name): run.store.read(name)
                for run in runs
                for name in run.store.list_names()
                if name not in not_compared
            }
        )
    assert contents[0] == contents[1]
    assert len(contents[0]) == 12


# ---- what only one backend has


def test_a_uri_typed_by_a_user_is_no_place_for_a_run():
    for out in ("memory://runs", "gs://bucket/runs", "s3://bucket"):
        with (
            pytest.raises(RunError, match="must lie on a local disk"),
            start_run("x", out=out, config=StepConfig()),
        ):
            pass


def test_a_run_in_memory_has_no_folder():
    with pytest.raises(RunError, match="no local folder"):
        _ = MemoryStore("memory://x").path


def test_two_memory_stores_of_one_uri_have_the_same_files():
    name = f"memory://{uuid.uuid4().hex}"
    open_store(name).put("a", b"1")
    assert open_store(name).read("a") == b"1"
    assert not open_store(f"{name}-other").has("a")


def test_the_uri_of_a_relative_folder_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert LocalStore(storage.Path("runs")).uri == f"file://{tmp_path}/runs"
    assert open_store("runs").location == "runs"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_leaves_no_file_and_names_the_one_that_was_to_be_written(
    tmp_path, monkeypatch, number
):
    store = open_store(tmp_path)
    store.put("before", b"whole")

    def fail(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    for write in (store.create, store.put):
        with pytest.raises(OSError) as caught:
            write("new", b"data")
        assert caught.value.errno == number
        assert "new" in caught.value.filename
    with pytest.raises(OSError), store.writer("new") as file:
        file.write(b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["before"]


def test_the_folder_is_flushed_after_the_link(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(storage, "sync_folder", flushed.append)
    open_store(tmp_path).create("data/a", b"x")
    assert flushed[-1] == tmp_path / "data"


KILLED = """
import sys
from gristmill.runs.store_uris import open_store
with open_store(sys.argv[1]).writer("data/a") as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_writer_that_is_killed_leaves_no_file_and_a_sweep_removes_the_half(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "written\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    store = open_store(tmp_path)
    assert (store.list(), store.has("data/a")) == ([], False)
    assert len(list(tmp_path.rglob(".part-*"))) == 1
    assert (store.sweep(), store.sweep()) == (1, 0)
    assert store.create("data/a", b"whole") == "made"
