"""Storage: a file is there whole or not there, on disk and on object stores; listings see each file once."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import InputError
from gristmill.runs import storage


@pytest.fixture
def bucket():
    """The address of an empty place in memory that behaves like an object store."""
    url = f"memory://bucket-{uuid.uuid4().hex}"
    yield url
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(params=["disk", "memory"])
def place(request, tmp_path, bucket):
    """A folder on disk and one on an object store: what holds for one holds for the other."""
    return str(tmp_path) if request.param == "disk" else bucket


def names(folder):
    """Everything below a folder, temporaries included."""
    return sorted(
        path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()
    )


def write_and_fail(path, error):
    """Begin to write a file, then meet an error."""
    with storage.open_for_commit(path) as file:
        file.write(b"half")
        raise error


def test_a_committed_file_holds_what_was_written(place):
    with storage.open_for_commit(f"{place}/deep/er/file.bin") as file:
        file.write(b"one ")
        file.write(b"two")
    assert storage.read_bytes(f"{place}/deep/er/file.bin") == b"one two"


def test_a_file_is_not_there_before_its_block_ends(place):
    with storage.open_for_commit(f"{place}/file") as file:
        file.write(b"x" * 100_000)
        file.flush()
        assert not storage.file_exists(f"{place}/file")
        assert storage.list_files(place) == []
    assert storage.file_exists(f"{place}/file")


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()]
)
def test_an_exception_in_the_block_leaves_nothing_and_passes_on(place, error):
    with pytest.raises(type(error)):
        write_and_fail(f"{place}/file", error)
    assert not storage.file_exists(f"{place}/file")
    assert storage.list_files(place) == []


def test_an_exception_in_the_block_leaves_the_old_file_as_it_was(place):
    storage.commit_bytes(f"{place}/file", b"old")
    with pytest.raises(ValueError):
        write_and_fail(f"{place}/file", ValueError())
    assert storage.read_bytes(f"{place}/file") == b"old"


def test_a_commit_replaces_the_old_file(place):
    storage.commit_bytes(f"{place}/file", b"a longer old one")
    storage.commit_bytes(f"{place}/file", b"new")
    assert storage.read_bytes(f"{place}/file") == b"new"


def test_nothing_but_the_file_remains_after_a_commit(tmp_path):
    storage.commit_bytes(tmp_path / "file", b"x")
    assert names(tmp_path) == ["file"]


def test_two_writers_of_one_file_leave_one_whole_file(tmp_path):
    with (
        storage.open_for_commit(tmp_path / "file") as one,
        storage.open_for_commit(tmp_path / "file") as other,
    ):
        one.write(b"1" * 1000)
        other.write(b"2" * 1000)
    assert storage.read_bytes(tmp_path / "file") == b"1" * 1000
    assert names(tmp_path) == ["file"]


def test_the_bytes_reach_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path, monkeypatch
):
    steps = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(descriptor):
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "bytes")
        fsync(descriptor)

    def seen_replace(source, target):
        steps.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    storage.commit_bytes(tmp_path / "file", b"x")
    assert steps == ["bytes", "name", "folder"]


def test_a_file_url_is_a_local_path(tmp_path):
    storage.commit_bytes(f"file://{tmp_path}/a", b"1")
    assert storage.read_bytes(tmp_path / "a") == b"1"
    assert storage.is_local(f"file://{tmp_path}/a")
    assert [info.path for info in storage.list_files(f"file://{tmp_path}")] == [f"{tmp_path}/a"]
    assert storage.file_exists(f"file://{tmp_path}/a")


@pytest.mark.parametrize("url", ["gs://b/k", "s3://b/k", "memory://b/k", "https://example.org/k"])
def test_other_protocols_are_not_local(url):
    assert not storage.is_local(url)


@pytest.mark.parametrize("path", ["a", "./a", "/a/b", "a:b", "C", Path("x/y"), "data-*.jsonl"])
def test_a_path_without_a_protocol_is_local(path):
    assert storage.is_local(path)


def test_a_url_that_went_through_a_path_object_is_refused_and_not_written_to_a_local_folder(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="memory:/bucket/file"):
        storage.commit_bytes(Path("memory://bucket/file"), b"x")
    assert names(tmp_path) == []


# ---- killed, cut and full


def python(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


KILLED_IN_THE_MIDDLE = """
import sys
from gristmill.runs import storage
with storage.open_for_commit(sys.argv[1] + "/file") as file:
    file.write(b"x" * 200_000)
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_writer_killed_in_the_middle_leaves_no_file_at_the_name_and_a_sweep_removes_the_rest(
    tmp_path,
):
    writer = python(KILLED_IN_THE_MIDDLE, tmp_path, stdin=subprocess.PIPE)
    assert writer.stdout.readline() == "written\n"
    writer.kill()
    writer.wait()
    left = names(tmp_path)
    assert len(left) == 1 and left[0].startswith(storage.TEMPORARY) and left[0].endswith("-file")
    assert not storage.file_exists(tmp_path / "file")
    assert storage.list_files(tmp_path) == []
    assert storage.sweep_temporaries(tmp_path) == 1
    assert names(tmp_path) == []


def test_a_writer_that_is_told_to_stop_removes_its_temporary_itself(tmp_path):
    code = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
    writer = python("import sys\n" + code + KILLED_IN_THE_MIDDLE, tmp_path, stdin=subprocess.PIPE)
    assert writer.stdout.readline() == "written\n"
    writer.send_signal(signal.SIGTERM)
    assert writer.wait() == 75
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing_and_names_the_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        storage.commit_bytes(tmp_path / "file", b"x")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "file"))
    assert names(tmp_path) == []


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
import pyarrow as pa, pyarrow.parquet as pq
from gristmill.corpus import shards
from gristmill.runs import storage
try:
    if sys.argv[2] == "bytes":
        storage.commit_bytes(sys.argv[1], b"x" * 100_000)
    elif sys.argv[2] == "parquet":
        with storage.open_for_commit(sys.argv[1]) as file:
            pq.write_table(pa.table({"a": list(range(100_000))}), file, compression=None, use_dictionary=False)
    else:
        batch = pa.record_batch({"a": list(range(100_000))})
        shards.write_shard(sys.argv[1], [batch], batch.schema)
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.parametrize("kind", ["bytes", "parquet", "shard"])
def test_a_file_that_outgrows_the_disk_is_not_there_and_the_error_names_it(tmp_path, kind):
    writer = python(LIMITED, tmp_path / "file", kind)
    assert writer.communicate()[0] == f"{errno.EFBIG} {tmp_path / 'file'}\n"
    assert names(tmp_path) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 50_000


def test_an_upload_that_fails_leaves_no_object(bucket, monkeypatch):
    def broken(self, local, key, **options):
        raise OSError(errno.ECONNRESET, "connection reset")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "put_file", broken)
    with pytest.raises(OSError, match="connection reset"):
        storage.commit_bytes(f"{bucket}/file", b"x")
    assert storage.list_files(bucket) == []


def test_an_object_is_uploaded_with_one_call_after_the_block_ended(bucket, monkeypatch):
    calls = []
    kind = type(fsspec.filesystem("memory"))
    put = kind.put_file

    def seen(self, local, key, **options):
        calls.append(Path(local).stat().st_size)
        put(self, local, key, **options)

    monkeypatch.setattr(kind, "put_file", seen)
    with storage.open_for_commit(f"{bucket}/file") as file:
        for _ in range(10):
            file.write(b"x" * 1000)
        assert calls == []
    assert calls == [10_000]


def test_a_sweep_takes_only_what_writers_left_behind(tmp_path):
    for name in (
        "a/.part-123-x.json",
        "a/b/.part-9-y",
        "keep.part-1",
        "a/part-00000.parquet",
        ".lock",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert storage.sweep_temporaries(tmp_path) == 2
    assert names(tmp_path) == [".lock", "a/part-00000.parquet", "keep.part-1"]


def test_many_threads_commit_side_by_side(tmp_path):
    threads = [
        threading.Thread(target=storage.commit_bytes, args=(tmp_path / f"{n}", b"%d" % n))
        for n in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: storage.read_bytes(tmp_path / name) for name in names(tmp_path)} == {
        str(n): b"%d" % n for n in range(30)
    }


# ---- JSON and other writers on top


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
def test_any_json_value_reads_back_equal(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "value.json"
    storage.commit_json(path, value)
    assert storage.read_json(path) == value


def test_json_is_readable_sorted_and_ends_with_a_line_end(tmp_path):
    storage.commit_json(tmp_path / "j", {"b": "中", "a": 1})
    assert (tmp_path / "j").read_text() == '{\n "a": 1,\n "b": "中"\n}\n'


@pytest.mark.parametrize("value", [float("nan"), {"x": float("inf")}, {1, 2}])
def test_json_that_would_not_read_back_is_refused_before_anything_is_written(tmp_path, value):
    with pytest.raises((TypeError, ValueError)):
        storage.commit_json(tmp_path / "j", value)
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b'{"a": 1} x'])
def test_a_file_that_is_no_json_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(InputError, match="not valid JSON") as caught:
        storage.read_json(tmp_path / "j")
    assert caught.value.where["path"] == tmp_path / "j"


def test_a_parquet_table_is_written_and_read_through_an_object_store(bucket):
    table = pa.table({"a": [1, 2, 3]})
    with storage.open_for_commit(f"{bucket}/t.parquet") as file:
        pq.write_table(table, file)
    with storage.open_input(f"{bucket}/t.parquet") as file:
        assert pq.read_table(file) == table


def test_a_missing_file_is_the_users_error(place):
    with pytest.raises(InputError, match="there is no such file"):
        storage.read_bytes(f"{place}/none")
    assert not storage.file_exists(f"{place}/none")


def test_a_folder_read_as_a_file_is_the_users_error(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        storage.read_bytes(tmp_path)


# ---- listings


@pytest.fixture
def tree(place):
    """A small tree of files on either kind of storage."""
    for name in ("a.jsonl", "b.jsonl", "c.txt", "sub/d.jsonl", "sub/deep/e.jsonl"):
        storage.commit_bytes(f"{place}/{name}", name.encode())
    return place


def listed(pattern, place):
    return [
        info.path.split(place.removeprefix("memory://").rstrip("/") + "/", 1)[1]
        for info in storage.list_files(pattern)
    ]


EVERYTHING = ["a.jsonl", "b.jsonl", "c.txt", "sub/d.jsonl", "sub/deep/e.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", EVERYTHING),
        ("/", EVERYTHING),
        ("/a.jsonl", ["a.jsonl"]),
        ("/sub", ["sub/d.jsonl", "sub/deep/e.jsonl"]),
        ("/*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("/*/*.jsonl", ["sub/d.jsonl"]),
        ("/**/*.jsonl", ["a.jsonl", "b.jsonl", "sub/d.jsonl", "sub/deep/e.jsonl"]),
        ("/[ab].jsonl", ["a.jsonl", "b.jsonl"]),
        ("/none", []),
        ("/none/*.x", []),
    ],
)
def test_a_path_a_folder_and_a_glob_name_their_files_in_order(tree, pattern, expected):
    assert listed(tree + pattern, tree) == expected


@pytest.mark.parametrize("pattern", ["/**", "/*", "/s*/**", "/**/*"])
def test_a_glob_that_meets_a_folder_and_its_files_lists_each_file_once(tree, pattern):
    found = listed(tree + pattern, tree)
    assert len(found) == len(set(found))
    assert set(found) <= set(EVERYTHING)
    assert found


def test_a_listing_tells_size_and_a_stamp_that_changes_with_the_content(tmp_path):
    storage.commit_bytes(tmp_path / "f", b"123")
    [before] = storage.list_files(tmp_path)
    os.utime(tmp_path / "f", ns=(1, 1))
    [after] = storage.list_files(tmp_path)
    assert (before.size, after.size, after.stamp) == (3, 3, "1")
    assert before.stamp != after.stamp


def test_an_object_has_a_size_and_a_stamp(bucket):
    storage.commit_bytes(f"{bucket}/f", b"123")
    [info] = storage.list_files(bucket)
    assert info.size == 3
    assert info.stamp
    assert storage.read_bytes(info.path) == b"123"


def test_the_files_of_unfinished_writers_are_not_listed(tmp_path):
    storage.commit_bytes(tmp_path / "a", b"1")
    (tmp_path / ".part-0123456789ab-b").write_bytes(b"2")
    assert [info.path for info in storage.list_files(tmp_path)] == [str(tmp_path / "a")]


@pytest.mark.parametrize(
    "name", ["corpus.part-0001.jsonl", "my.part-2/a.jsonl", "part-00000.parquet"]
)
def test_a_file_whose_own_name_speaks_of_parts_is_listed(tmp_path, name):
    storage.commit_bytes(tmp_path / name, b"1")
    assert [info.path for info in storage.list_files(tmp_path)] == [str(tmp_path / name)]


def test_a_file_whose_name_looks_like_a_glob_is_found_by_that_name(tmp_path):
    storage.commit_bytes(tmp_path / "data[1].jsonl", b"1")
    assert [info.path for info in storage.list_files(tmp_path / "data[1].jsonl")] == [
        str(tmp_path / "data[1].jsonl")
    ]


def test_files_behind_links_are_listed_where_the_links_are(tmp_path):
    storage.commit_bytes(tmp_path / "real" / "a", b"1")
    (tmp_path / "view").mkdir()
    (tmp_path / "view" / "file").symlink_to(tmp_path / "real" / "a")
    (tmp_path / "view" / "folder").symlink_to(tmp_path / "real")
    assert [info.path for info in storage.list_files(tmp_path / "view")] == [
        str(tmp_path / "view" / "file"),
        str(tmp_path / "view" / "folder" / "a"),
    ]


@pytest.mark.parametrize("place", ["file/a", "file/deeper/a", f"{'n' * 300}/a"])
def test_a_file_whose_folder_cannot_be_made_is_the_users_to_mend(tmp_path, place):
    (tmp_path / "file").write_bytes(b"kept")
    with pytest.raises(InputError, match="no folder can be made here") as caught:
        storage.commit_bytes(tmp_path / place, b"x")
    assert caught.value.where["folder"] == (tmp_path / place).parent
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    storage.make_folder(tmp_path)
    storage.make_folder(tmp_path / "deep" / "deeper")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "deep"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_not_told_as_a_wrong_place(tmp_path, monkeypatch, number):
    def full(path, **_):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError) as caught:
        storage.make_folder(tmp_path / "new")
    assert caught.value.errno == number
