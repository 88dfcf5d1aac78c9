"""Writes the captures of a frontier into WARC files: every capture once, also after a crash.

A file is written, flushed and renamed before the transaction that lists it and removes its captures
from the outbox table. If the process is killed between the two, the file is on disk but not listed:
the next start removes it and writes the same captures again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crawlers.downloader.warc import warcinfo_record
from crawlers.frontier.database import Row
from crawlers.frontier.store import Frontier
from gristmill.errors import RunError
from gristmill.hashing import sha256_file
from gristmill.runs import storage

CAPTURES_A_READ = 64
"""Captures read from the outbox at once: bounds memory, since one may hold 16 MB."""


class Outbox:
    """Moves captures to `00000.warc.gz`, `00001.warc.gz`, ... of about `file_bytes` bytes each.

    `waiting` counts the bytes in the outbox; `files`, `captures` and `bytes` count what is in files.
    """

    def __init__(self, frontier: Frontier, folder: Path, *, file_bytes: int) -> None:
        """Check the listed files and remove others; raises RunError if a listed one is damaged."""
        self.frontier = frontier
        self.folder = folder
        self.file_bytes = file_bytes
        self._database = frontier.database
        self._remove_unlisted()
        ((self.waiting,),) = self._database.fetch_all(
            "SELECT coalesce(sum(length(records)), 0) FROM outbox"
        )
        ((self.files, self.captures, self.bytes),) = self._database.fetch_all(
            "SELECT count(*), coalesce(sum(captures), 0), coalesce(sum(bytes), 0) FROM file"
        )

    def _remove_unlisted(self) -> None:
        listed: dict[str, int] = dict(self._database.fetch_all("SELECT name, bytes FROM file"))
        on_disk = sorted(self.folder.glob("*.warc.gz")) if self.folder.is_dir() else []
        if on_disk and not listed and self._is_frontier_empty():
            # A frontier that was deleted by mistake: its captures must not be swept with it.
            raise _damaged(
                self.frontier.path,
                f"it is empty, and there are {len(on_disk)} WARC files beside it",
            )
        for path in on_disk:
            if path.name not in listed:
                path.unlink()
        for name, size in listed.items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise _damaged(path, f"it is missing or is not {size} bytes long")

    def _is_frontier_empty(self) -> bool:
        return not self.frontier.queue.count_known() and not self.frontier.results.has_unsealed()

    def check(self) -> None:
        """Raise RunError if a listed file is not what was written: it would be sealed as if it were."""
        for name, sha256 in self._database.fetch_all("SELECT name, sha256 FROM file ORDER BY name"):
            if sha256_file(self.folder / name) != sha256:
                raise _damaged(self.folder / name, "its SHA-256 differs")

    def count_results(self, captures: list[bytes]) -> None:
        """Count captures that were committed; writes a file once there are enough of them."""
        self.waiting += sum(len(capture) for capture in captures)
        if self.waiting >= self.file_bytes:
            self.drain()

    def drain(self) -> None:
        """Write all waiting captures; raises OSError if the disk is full, and then they wait on."""
        while self.waiting:
            self._write_file()

    def _write_file(self) -> None:
        name = f"{self.files:05}.warc.gz"
        path = self.folder / name
        last_id = 0
        captures = 0
        written = 0
        with storage.open_for_commit(path) as file:
            file.write(warcinfo_record(name))
            for id, records in self._iter_captures():
                file.write(records)
                last_id = id
                captures += 1
                written += len(records)
                if written >= self.file_bytes:
                    break
            size = file.tell()
        self._list_file(name, size, captures, sha256_file(path), last_id)
        self.files += 1
        self.captures += captures
        self.bytes += size
        self.waiting -= written

    def _iter_captures(self) -> Iterator[Row]:
        """Yield (id, records) in the order in which they were committed."""
        last_id = -1
        while rows := self._database.fetch_all(
            "SELECT id, records FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
            [last_id, CAPTURES_A_READ],
        ):
            yield from rows
            last_id = rows[-1][0]

    def _list_file(self, name: str, size: int, captures: int, sha256: str, last_id: int) -> None:
        # The file survives a power cut, so the note that its captures left the outbox must too.
        with self._database.durable_transaction():
            self._database.execute(
                "INSERT INTO file VALUES (?,?,?,?)", [name, size, captures, sha256]
            )
            self._database.execute("DELETE FROM outbox WHERE id <= ?", [last_id])


def list_capture_files(frontier: Frontier) -> list[str]:
    """Return the names of the WARC files of this session, sorted."""
    rows = frontier.database.fetch_all("SELECT name FROM file ORDER BY name")
    return [name for (name,) in rows]


def _damaged(path: Path, problem: str) -> RunError:
    return RunError(
        "a file of this crawl is damaged",
        {"file": path, "problem": problem},
        "copy it back from where it is whole, or start anew with --fresh",
    )
