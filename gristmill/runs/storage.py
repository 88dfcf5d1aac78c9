"""All reading and writing of files, local or remote: a file is there whole, or it is not there.

Local files are written under a temporary name, flushed to disk, renamed, and their folder flushed
(rename(2) is atomic within one file system). Object stores commit with the one PUT that uploads the
finished bytes. A `with fs.open()` of fsspec is never used to write: it commits a partial file when
an exception passes through it.
"""

import contextlib
import errno
import fcntl
import glob
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec
import fsspec.utils

from gristmill.errors import InputError, RunError
from gristmill.runs.json_files import encode_json, parse_json

TEMPORARY = ".part-"
"""What a temporary name begins with; sweepers and listings know it."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One listed file: its path or URL, its size in bytes, and a stamp that changes when its
    content does.
    """

    path: str
    size: int
    stamp: str


def is_local(path: str | Path) -> bool:
    """Whether `path` lies on a local disk (no protocol, or file://).

    Raises InputError for a URL that went through a `Path`, which made "gs://b" the local folder
    "gs:/b".
    """
    scheme, colon, after_scheme = str(path).partition(":/")
    if colon and not after_scheme.startswith("/") and scheme in fsspec.available_protocols():
        raise InputError(
            "a URL cannot be given here, only a local path",
            {"path": path},
            "give a local path, and copy it after",
        )
    return bool(fsspec.utils.get_protocol(str(path)) == "file")


@contextlib.contextmanager
def open_for_commit(path: str | Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that appears at `path`, whole, when the block ends without an exception;
    else nothing does.
    """
    if not is_local(path):
        with _upload(str(path)) as remote:
            yield remote
        return
    target = Path(str(path).removeprefix("file://"))
    make_folder(target.parent)
    temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:12]}-{target.name}")
    try:
        with open(temporary, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(
                target
            )  # a failed write or fsync names no file: the message would help nobody
        raise
    sync_folder(target.parent)


def make_folder(folder: Path) -> None:
    """Make a local folder and those above it; raises InputError where there can be none. A full
    disk stays an OSError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            "no folder can be made here",
            {"folder": folder, "problem": f"{error.strerror}: {error.filename or folder}"},
            "give --out a place that is there, or can be made, and that you may write to",
        ) from None


def commit_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, atomically."""
    with open_for_commit(path) as file:
        file.write(data)


def commit_json(path: str | Path, value: object) -> None:
    """Write `value` to `path` as readable JSON with sorted keys, atomically."""
    commit_bytes(path, encode_json(value))


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _upload(url: str) -> Iterator[IO[bytes]]:
    """Collect the bytes aside, and upload them with one call when the block ended well."""
    file_system, key = fsspec.core.url_to_fs(url)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "upload"
        with open(local, "wb") as file:
            yield file
        file_system.makedirs(file_system._parent(key), exist_ok=True)
        file_system.put_file(str(local), key)


def open_input(path: str | Path) -> IO[bytes]:
    """Open a local or remote file for reading; raises InputError where there is none."""
    try:
        if is_local(path):
            return open(str(path).removeprefix("file://"), "rb")
        file: IO[bytes] = fsspec.open(str(path), "rb").open()
        return file
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(
            "there is no such file", {"path": path}, "check the spelling, and that it is a file"
        ) from None


def read_bytes(path: str | Path) -> bytes:
    """The whole content of a file."""
    with open_input(path) as file:
        return file.read()


def read_json(path: str | Path) -> Any:
    """The value of a JSON file; raises InputError where it is no JSON."""
    return parse_json(read_bytes(path), path)


def file_exists(path: str | Path) -> bool:
    """Whether a file or folder is there."""
    if is_local(path):
        return Path(str(path).removeprefix("file://")).exists()
    file_system, key = fsspec.core.url_to_fs(str(path))
    return bool(file_system.exists(key))


def list_files(pattern: str | Path) -> list[FileInfo]:
    """The files that a path, a folder (its files, recursively) or a glob names, sorted by path;
    temporaries left out.
    """
    listed = (
        _local_listing(str(pattern).removeprefix("file://"))
        if is_local(pattern)
        else _remote_listing(str(pattern))
    )
    return sorted(
        (info for info in listed if not _is_temporary(info.path)), key=lambda info: info.path
    )


def _is_temporary(path: str) -> bool:
    return os.path.basename(path).startswith(TEMPORARY)


def _local_listing(pattern: str) -> list[FileInfo]:
    roots = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
    walked: set[tuple[int, int]] = set()
    listed: dict[str, FileInfo] = {}  # `**` names a folder and its files: each file is listed once
    for root in roots:
        for path in [Path(root)] if os.path.isfile(root) else _walk(root, walked):
            status = path.stat()
            listed[str(path)] = FileInfo(str(path), status.st_size, str(status.st_mtime_ns))
    return list(listed.values())


def _walk(root: str, walked: set[tuple[int, int]]) -> Iterator[Path]:
    """The files below a folder, links followed; no real folder twice (links may circle), and none
    passed over.
    """
    for folder, below, names in os.walk(root, onerror=_raise, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in walked:
            below.clear()
            continue
        walked.add((status.st_dev, status.st_ino))
        yield from (path for name in names if (path := Path(folder, name)).is_file())


def _raise(error: OSError) -> None:
    raise error


def _remote_listing(pattern: str) -> Iterator[FileInfo]:
    file_system, key = fsspec.core.url_to_fs(pattern)
    magic = glob.has_magic(key)
    listed = file_system.glob(key, detail=True) if magic else file_system.find(key, detail=True)
    for name, info in listed.items():
        if info["type"] == "file":
            stamp = next(
                (
                    str(info[k])
                    for k in ("etag", "ETag", "md5Hash", "mtime", "created")
                    if info.get(k)
                ),
                "",
            )
            yield FileInfo(file_system.unstrip_protocol(name), info["size"] or 0, stamp)


@contextlib.contextmanager
def hold_file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a local file; raises RunError where another process holds it.

    The system drops the lock when its holder dies.
    """
    with open(path, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise refuse_locked(path.parent) from None
        yield


def refuse_locked(run: object) -> RunError:
    """The error for a run that another process is writing."""
    return RunError("another process is writing this run", {"run": run}, "wait for it, or stop it")


def sweep_temporaries(folder: Path) -> int:
    """Remove what killed writers left behind below `folder`; returns how many files."""
    half_written = [path for path in folder.rglob(f"{TEMPORARY}*") if path.is_file()]
    for path in half_written:
        path.unlink(missing_ok=True)
    return len(half_written)
