"""A run in the memory of this process, for tests: the same contract without a disk."""

import atexit
import contextlib
import io
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from gristmill.errors import RunError
from gristmill.hashing import sha256_bytes
from gristmill.runs import storage
from gristmill.runs.hashed_file import HashedFile
from gristmill.runs.store import CreateOutcome, RunStore, StoredFile, check_name, refuse_absent

MEMORY = "memory://"


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
        """The address."""
        return self.address

    @property
    def location(self) -> str:
        """The address."""
        return self.address

    @property
    def path(self) -> Path:
        """Always RunError: there is no folder."""
        raise RunError(
            "this run has no local folder",
            {"run": self.address},
            "give a run on a local disk",
        )

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return MemoryStore, (self.uri,)

    @property
    def _files(self) -> MemoryFiles:
        with _MEMORY_GUARD:
            if self.address not in _MEMORY:
                _MEMORY[self.address] = MemoryFiles()
            return _MEMORY[self.address]

    def exists(self) -> bool:
        """Whether it holds a file."""
        return bool(self._files.contents)

    def parent(self) -> "MemoryStore":
        """The address without its last part."""
        return MemoryStore(self.address.rstrip("/").rpartition("/")[0])

    def child(self, name: str) -> "MemoryStore":
        """The address with one part more."""
        return MemoryStore(f"{self.address.rstrip('/')}/{check_name(name)}")

    def children(self) -> Sequence[RunStore]:
        """Stores of this process that hold files and whose address goes on from this one."""
        start = f"{self.address.rstrip('/')}/"
        with _MEMORY_GUARD:
            written = [uri for uri, files in _MEMORY.items() if files.contents]
        below = [uri.removeprefix(start) for uri in written if uri.startswith(start)]
        names = sorted({name.partition("/")[0] for name in below})
        return [self.child(name) for name in names]

    def touch(self) -> None:
        """Note the time."""
        self._files.touched = time.time_ns()

    def get_last_used(self) -> int:
        """The newest time of a file, or of `touch`."""
        written = [file.written for file in self.list()]
        return max([self._files.touched, *written])

    def create(self, name: str, data: bytes) -> CreateOutcome:
        """Under the lock of the store, so that exactly one creator wins."""
        files = self._files
        with files.guard:
            present = files.contents.get(check_name(name))
            if present is None:
                files.contents[name] = (bytes(data), time.time_ns())
                return "made"
        return "same" if present[0] == data else "other"

    def put(self, name: str, data: bytes) -> None:
        """Keep a copy of the bytes."""
        files = self._files
        with files.guard:
            files.contents[check_name(name)] = (bytes(data), time.time_ns())

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[HashedFile]:
        """A buffer, kept when the block ends well."""
        check_name(name)
        buffer = io.BytesIO()
        hashed = HashedFile(buffer)
        yield hashed
        hashed.seal()
        self.put(name, buffer.getvalue())

    def open(self, name: str) -> IO[bytes]:
        """A copy of the bytes as a file."""
        return io.BytesIO(self._content_of(name))

    def get_size(self, name: str) -> int | None:
        """The number of bytes."""
        present = self._files.contents.get(check_name(name))
        return None if present is None else len(present[0])

    def list(self, prefix: str = "") -> Sequence[StoredFile]:
        """From the dictionary of files."""
        files = self._files
        with files.guard:
            return sorted(
                StoredFile(name, len(data), written)
                for name, (data, written) in files.contents.items()
                if name.startswith(prefix)
            )

    def local(self, name: str) -> Path:
        """A copy in a folder of this process, named by its content."""
        content = self._content_of(name)
        # The folder is named by the content, the file as in the run: libraries look at suffixes.
        path = _local_cache() / sha256_bytes(content) / PurePosixPath(name).name
        if not path.is_file():
            storage.commit_bytes(path, content)
        return path

    def remove(self, name: str) -> None:
        """Forget the bytes."""
        files = self._files
        with files.guard:
            files.contents.pop(check_name(name), None)

    def sweep(self) -> int:
        """Nothing is ever half-written: 0."""
        return 0

    @contextlib.contextmanager
    def hold_lock(self, lock: str) -> Iterator[None]:
        """A lock of this process."""
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
