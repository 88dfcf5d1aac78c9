"""A run in a folder on a local disk.

Files are written aside, flushed to disk, and then renamed or linked to their name, so a crash or a
full disk leaves no half file under it.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gristmill.runs import storage
from gristmill.runs.hashed_file import HashedFile
from gristmill.runs.store import CreateOutcome, RunStore, StoredFile, check_name, refuse_absent


@dataclass(frozen=True, slots=True)
class LocalStore(RunStore):
    """A folder on a local disk. Files are written aside, flushed to disk, and renamed or linked."""

    folder: Path

    @property
    def uri(self) -> str:
        """`file://` and the absolute folder."""
        # Absolute: workers on other machines have another current folder.
        return f"file://{self.folder.absolute()}"

    @property
    def location(self) -> str:
        """The folder as it was given."""
        return str(self.folder)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return LocalStore.from_uri, (self.uri,)

    @classmethod
    def from_uri(cls, uri: str) -> "LocalStore":
        """The store in a local folder, by its URI `file://...` or by its path."""
        return cls(Path(uri.removeprefix("file://")))

    def resolve(self) -> "LocalStore":
        """The store in the folder that links lead to."""
        return LocalStore(self.folder.resolve())

    def exists(self) -> bool:
        """Whether the folder is there."""
        return self.folder.is_dir()

    def parent(self) -> "LocalStore":
        """The folder above."""
        return LocalStore(self.folder.parent)

    def child(self, name: str) -> "LocalStore":
        """The folder of this name, which need not exist."""
        return LocalStore(self._path_of(name))

    def children(self) -> Sequence[RunStore]:
        """All folders directly below."""
        folders = [path for path in self.folder.glob("*") if path.is_dir()]
        return [LocalStore(path) for path in sorted(folders)]

    def touch(self) -> None:
        """Set the folder's time."""
        os.utime(self.folder)

    def get_last_used(self) -> int:
        """The folder's time, which every new file sets."""
        return self.folder.stat().st_mtime_ns

    def create(self, name: str, data: bytes) -> CreateOutcome:
        """Link a finished file to the name: link(2) decides between several creators."""
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
        """Rename a finished file to the name."""
        storage.commit_bytes(self._path_of(name), data)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[HashedFile]:
        """A file beside the name, renamed to it when the block ends well."""
        with storage.open_for_commit(self._path_of(name)) as file:
            hashed = HashedFile(file)
            yield hashed
            hashed.seal()

    def open(self, name: str) -> IO[bytes]:
        """The file itself."""
        try:
            return open(self._path_of(name), "rb")
        except (FileNotFoundError, IsADirectoryError):
            raise refuse_absent(self.location, name) from None

    def get_size(self, name: str) -> int | None:
        """From the file system."""
        path = self._path_of(name)
        return path.stat().st_size if path.is_file() else None

    def list(self, prefix: str = "") -> Sequence[StoredFile]:
        """A walk of the folder that the prefix names."""
        files = []
        for name in self.list_names(prefix):
            path = self.folder / name
            if path.is_file():
                status = path.stat()
                files.append(StoredFile(name, status.st_size, status.st_mtime_ns))
        return files

    def list_names(self, prefix: str = "") -> Sequence[str]:
        """The same walk, without a look at the files."""
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
        """The file itself: nothing is copied."""
        path = self._path_of(name)
        if not path.is_file():
            raise refuse_absent(self.location, name)
        return path

    def remove(self, name: str) -> None:
        """Unlink the file."""
        self._path_of(name).unlink(missing_ok=True)

    def remove_all(self, prefix: str) -> None:
        """Unlink the files, and the folder that the prefix names."""
        # Not super(): a dataclass with slots is another class than the one super() would name.
        RunStore.remove_all(self, prefix)
        if prefix.endswith("/"):
            # Folders are no part of the interface, but empty ones would stay behind.
            shutil.rmtree(self.folder / prefix, ignore_errors=True)

    def sweep(self) -> int:
        """Unlink all half-written files below the folder."""
        return storage.sweep_temporaries(self.folder)

    @contextlib.contextmanager
    def hold_lock(self, lock: str) -> Iterator[None]:
        """An flock, which the system drops when the holder dies."""
        storage.make_folder(self.folder)
        with storage.hold_file_lock(self._path_of(lock)):
            yield

    def _path_of(self, name: str) -> Path:
        return self.folder / check_name(name)
