"""Where a run lies: named files that appear whole or not at all, on a local disk or in memory.

A store is named by a URI: `file:///data/runs/pack-e41a...` or `memory://...`. What is pickled is the
URI, never an open client. Names of files are relative and use `/`. The interface has nothing that
an object store could not do: no rename, no append, no lock, no folder.
"""

import atexit
import contextlib
import io
import os
import shutil
import tempfile
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from gristmill.errors import InputError, RunError
from gristmill.hashing import sha256_bytes
from gristmill.runs import storage
from gristmill.runs.hashed_file import HashedFile

CreateOutcome = Literal["made", "same", "other"]
"""What `create` came to: the file is new; it was there with equal bytes; or with other bytes."""

MEMORY = "memory://"


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """One listed file: its name below the store, its size in bytes, and when it was written (ns)."""

    name: str
    size: int
    written: int


class RunStore(ABC):
    """The files of one run."""

    @property
    @abstractmethod
    def uri(self) -> str:
        """What names the store on every machine that can reach it."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the store lies, as people write it: a path, or a URI."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The local folder, for libraries that need one; raises RunError where there is none."""

    @property
    def name(self) -> str:
        """The last part of the URI: the name of the run."""
        return self.uri.rstrip("/").rpartition("/")[2]

    def resolve(self) -> "RunStore":
        """The same store by its real location, where links are followed."""
        return self

    @abstractmethod
    def exists(self) -> bool:
        """Whether anything was ever written here."""

    @abstractmethod
    def parent(self) -> "RunStore":
        """The store that this one lies in: the folder of runs."""

    @abstractmethod
    def child(self, name: str) -> "RunStore":
        """The store of this name inside this one."""

    @abstractmethod
    def children(self) -> "Sequence[RunStore]":
        """The stores one level below, by name."""

    @abstractmethod
    def touch(self) -> None:
        """Note that the run was asked for now."""

    @abstractmethod
    def get_last_used(self) -> int:
        """When the run was written to or asked for last (ns); the newest run is found by it."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> CreateOutcome:
        """Write a file unless one of this name exists. Of several writers exactly one has "made"."""

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Write a file, replacing one of this name."""

    @abstractmethod
    def writer(self, name: str) -> contextlib.AbstractContextManager[HashedFile]:
        """A file to write, which appears whole when the block ends well, replacing one of this name.

        When the block ends with an exception nothing appears. After it, the file has `size` and
        `sha256`.
        """

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """A file to read, seekable; raises InputError where there is none."""

    @abstractmethod
    def get_size(self, name: str) -> int | None:
        """The bytes of a file; None where there is none."""

    @abstractmethod
    def list(self, prefix: str = "") -> Sequence[StoredFile]:
        """The files whose name begins with `prefix`, by name. Half-written ones are left out."""

    @abstractmethod
    def local(self, name: str) -> Path:
        """A local file with this content, for what is memory-mapped or opened by path.

        It must not be changed. Raises InputError where there is none.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    @abstractmethod
    def sweep(self) -> int:
        """Remove what killed writers left half-written; returns how many files."""

    @abstractmethod
    def hold_lock(self, lock: str) -> contextlib.AbstractContextManager[None]:
        """Keep others out of the run while the block lasts; raises RunError where it is held."""

    def read(self, name: str) -> bytes:
        """The whole content of a file; raises InputError where there is none."""
        with self.open(name) as file:
            return file.read()

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return self.get_size(name) is not None

    def list_names(self, prefix: str = "") -> Sequence[str]:
        """The names of `list`, without looking at the files."""
        return [file.name for file in self.list(prefix)]

    def remove_all(self, prefix: str) -> None:
        """Remove the files whose name begins with `prefix`."""
        for file in self.list(prefix):
            self.remove(file.name)


StorePlace = RunStore | Path | str
"""A store, or the path or URI that names one."""


def open_store(place: StorePlace) -> RunStore:
    """The store at a path or URI; a store is returned as it is. Nothing is made or read."""
    if isinstance(place, RunStore):
        return place
    if str(place).startswith(MEMORY):
        return MemoryStore(str(place))
    if not storage.is_local(place):
        raise refuse_remote(place)
    return LocalStore(Path(str(place).removeprefix("file://")))


def refuse_remote(place: object) -> RunError:
    """The error for a run that would lie where no store can write."""
    return RunError(
        "run folders must lie on a local disk",
        {"out": place},
        "give a local folder, and copy it after",
    )


def check_name(name: str) -> str:
    """The name of a file in a store, as it is; raises ValueError for one that leaves the store."""
    parts = PurePosixPath(name).parts
    is_plain = str(PurePosixPath(name)) == name
    if not parts or not is_plain or ".." in parts or name.startswith("/"):
        raise ValueError(f"not the name of a file in a run: {name!r}")
    return name


def refuse_absent(location: str, name: str) -> InputError:
    """The error for a file that a store does not have."""
    return InputError(
        "this run has no such file",
        {"run": location, "file": name},
        "copy the run again from where it is whole, or run its command again",
    )


@dataclass(frozen=True, slots=True)
class LocalStore(RunStore):
    """A folder on a local disk. Files are written aside, flushed to disk, and renamed or linked."""

    folder: Path

    @property
    def uri(self) -> str:
        # Absolute: workers on other machines have another current folder.
        return f"file://{self.folder.absolute()}"

    @property
    def location(self) -> str:
        return str(self.folder)

    @property
    def path(self) -> Path:
        return self.folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open_store, (self.uri,)

    def resolve(self) -> "LocalStore":
        return LocalStore(self.folder.resolve())

    def exists(self) -> bool:
        return self.folder.is_dir()

    def parent(self) -> "LocalStore":
        return LocalStore(self.folder.parent)

    def child(self, name: str) -> "LocalStore":
        return LocalStore(self._path_of(name))

    def children(self) -> Sequence[RunStore]:
        folders = [path for path in self.folder.glob("*") if path.is_dir()]
        return [LocalStore(path) for path in sorted(folders)]

    def touch(self) -> None:
        os.utime(self.folder)

    def get_last_used(self) -> int:
        return self.folder.stat().st_mtime_ns

    def create(self, name: str, data: bytes) -> CreateOutcome:
        target = self._path_of(name)
        storage.make_folder(target.parent)
        aside = target.with_name(f"{storage.TEMPORARY}{uuid.uuid4().hex[:12]}-{target.name}")
        try:
            storage.commit_bytes(aside, data)
            # link(2) fails where the name is taken, on NFS too; rename(2) would replace the file.
            os.link(aside, target)
        except FileExistsError:
            return "same" if target.read_bytes() == data else "other"
        finally:
            aside.unlink(missing_ok=True)
        storage.sync_folder(target.parent)
        return "made"

    def put(self, name: str, data: bytes) -> None:
        storage.commit_bytes(self._path_of(name), data)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[HashedFile]:
        with storage.open_for_commit(self._path_of(name)) as file:
            hashed = HashedFile(file)
            yield hashed
            hashed.seal()

    def open(self, name: str) -> IO[bytes]:
        try:
            return open(self._path_of(name), "rb")
        except (FileNotFoundError, IsADirectoryError):
            raise refuse_absent(self.location, name) from None

    def get_size(self, name: str) -> int | None:
        path = self._path_of(name)
        return path.stat().st_size if path.is_file() else None

    def list(self, prefix: str = "") -> Sequence[StoredFile]:
        files = []
        for name in self.list_names(prefix):
            path = self.folder / name
            if path.is_file():
                status = path.stat()
                files.append(StoredFile(name, status.st_size, status.st_mtime_ns))
        return files

    def list_names(self, prefix: str = "") -> Sequence[str]:
        # Only the folder that the prefix names is walked: `receipts/keys/` may be one of hundreds.
        parent = prefix.rpartition("/")[0]
        names = []
        for folder, _, base_names in os.walk(self.folder / parent, followlinks=True):
            start = Path(folder).relative_to(self.folder).as_posix()
            before = "" if start == "." else f"{start}/"
            names += [
                before + name for name in base_names if not name.startswith(storage.TEMPORARY)
            ]
        return sorted(name for name in names if name.startswith(prefix))

    def local(self, name: str) -> Path:
        path = self._path_of(name)
        if not path.is_file():
            raise refuse_absent(self.location, name)
        return path

    def remove(self, name: str) -> None:
        self._path_of(name).unlink(missing_ok=True)

    def remove_all(self, prefix: str) -> None:
        # Not super(): a dataclass with slots is another class than the one super() would name.
        RunStore.remove_all(self, prefix)
        if prefix.endswith("/"):
            # Folders are no part of the interface, but empty ones would stay behind.
            shutil.rmtree(self.folder / prefix, ignore_errors=True)

    def sweep(self) -> int:
        return storage.sweep_temporaries(self.folder)

    @contextlib.contextmanager
    def hold_lock(self, lock: str) -> Iterator[None]:
        storage.make_folder(self.folder)
        with storage.hold_file_lock(self._path_of(lock)):
            yield

    def _path_of(self, name: str) -> Path:
        return self.folder / check_name(name)


@dataclass(slots=True)
class MemoryFiles:
    """The files of one memory store: content and time of writing (ns) by name."""

    contents: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)
    run_lock: threading.Lock = field(default_factory=threading.Lock)
    touched: int = 0


_MEMORY: dict[str, MemoryFiles] = {}
"""Every memory store of this process, by URI: two stores of one URI have the same files."""

_MEMORY_GUARD = threading.Lock()


@dataclass(frozen=True, slots=True)
class MemoryStore(RunStore):
    """Files in the memory of this process, named by a URI `memory://...`; for tests."""

    address: str

    @property
    def uri(self) -> str:
        return self.address

    @property
    def location(self) -> str:
        return self.address

    @property
    def path(self) -> Path:
        raise RunError(
            "this run has no local folder",
            {"run": self.address},
            "give a run on a local disk",
        )

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open_store, (self.uri,)

    @property
    def _files(self) -> MemoryFiles:
        with _MEMORY_GUARD:
            if self.address not in _MEMORY:
                _MEMORY[self.address] = MemoryFiles()
            return _MEMORY[self.address]

    def exists(self) -> bool:
        return bool(self._files.contents)

    def parent(self) -> "MemoryStore":
        return MemoryStore(self.address.rstrip("/").rpartition("/")[0])

    def child(self, name: str) -> "MemoryStore":
        return MemoryStore(f"{self.address.rstrip('/')}/{check_name(name)}")

    def children(self) -> Sequence[RunStore]:
        start = f"{self.address.rstrip('/')}/"
        with _MEMORY_GUARD:
            written = [uri for uri, files in _MEMORY.items() if files.contents]
        below = [uri.removeprefix(start) for uri in written if uri.startswith(start)]
        names = sorted({name.partition("/")[0] for name in below})
        return [self.child(name) for name in names]

    def touch(self) -> None:
        self._files.touched = time.time_ns()

    def get_last_used(self) -> int:
        written = [file.written for file in self.list()]
        return max([self._files.touched, *written])

    def create(self, name: str, data: bytes) -> CreateOutcome:
        files = self._files
        with files.guard:
            present = files.contents.get(check_name(name))
            if present is None:
                files.contents[name] = (bytes(data), time.time_ns())
                return "made"
        return "same" if present[0] == data else "other"

    def put(self, name: str, data: bytes) -> None:
        files = self._files
        with files.guard:
            files.contents[check_name(name)] = (bytes(data), time.time_ns())

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[HashedFile]:
        check_name(name)
        buffer = io.BytesIO()
        hashed = HashedFile(buffer)
        yield hashed
        hashed.seal()
        self.put(name, buffer.getvalue())

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self._content_of(name))

    def get_size(self, name: str) -> int | None:
        present = self._files.contents.get(check_name(name))
        return None if present is None else len(present[0])

    def list(self, prefix: str = "") -> Sequence[StoredFile]:
        files = self._files
        with files.guard:
            return sorted(
                StoredFile(name, len(data), written)
                for name, (data, written) in files.contents.items()
                if name.startswith(prefix)
            )

    def local(self, name: str) -> Path:
        content = self._content_of(name)
        # The folder is named by the content, the file as in the run: libraries look at suffixes.
        path = _local_cache() / sha256_bytes(content) / PurePosixPath(name).name
        if not path.is_file():
            storage.commit_bytes(path, content)
        return path

    def remove(self, name: str) -> None:
        files = self._files
        with files.guard:
            files.contents.pop(check_name(name), None)

    def sweep(self) -> int:
        return 0

    @contextlib.contextmanager
    def hold_lock(self, lock: str) -> Iterator[None]:
        held = self._files.run_lock
        if not held.acquire(blocking=False):
            raise storage.refuse_locked(self.address)
        try:
            yield
        finally:
            held.release()

    def _content_of(self, name: str) -> bytes:
        present = self._files.contents.get(check_name(name))
        if present is None:
            raise refuse_absent(self.address, name)
        return present[0]


_CACHE: list[Path] = []


def _local_cache() -> Path:
    """A folder of this process for local copies; it is removed when the process ends."""
    if not _CACHE:
        folder = Path(tempfile.mkdtemp(prefix="gristmill-store-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _CACHE.append(folder)
    return _CACHE[0]
