"""Where a run lies: named files that appear whole or not at all, on a local disk or in memory.

A store is named by a URI: `file:///data/runs/pack-e41a...` or `memory://...`. What is pickled is
the URI, never an open client. Names of files are relative and use `/`. The interface has nothing
that an object store could not do: no rename, no append, no lock, no folder.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from gristmill.errors import InputError, RunError
from gristmill.runs.hashed_file import HashedFile

CreateOutcome = Literal["made", "same", "other"]
"""What `create` came to: the file is new; it was there with equal bytes; or with other bytes."""


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """One listed file: its name below the store, its size in bytes, and when it was
    written (ns).
    """

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
        """Write a file unless one of this name exists. Of several writers exactly one
        has "made".
        """

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Write a file, replacing one of this name."""

    @abstractmethod
    def writer(self, name: str) -> contextlib.AbstractContextManager[HashedFile]:
        """A file to write, which appears whole when the block ends well, replacing one of this
        name.

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
