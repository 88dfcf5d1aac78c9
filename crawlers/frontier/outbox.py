"""Empties the outbox of a frontier into WARC files: every capture once, whatever happens in between.

A file is written, flushed and renamed before the transaction that lists it and removes its captures from the outbox. Killed
between the two, the file is on disk but not listed: the next start removes it and writes the same captures again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from crawlers.downloader.warc import about
from crawlers.frontier.store import Frontier
from gristmill.errors import RunError
from gristmill.hashing import sha256_file
from gristmill.runs import storage


class Outbox:
    """The way from the frontier's captures to `00000.warc.gz`, `00001.warc.gz`, ... of about `rotate` bytes in a folder."""

    def __init__(self, frontier: Frontier, folder: Path, *, rotate: int) -> None:
        self.frontier, self.folder, self.rotate = frontier, folder, rotate
        self._remove_unlisted()
        ((self.waiting,),) = frontier.table("SELECT coalesce(sum(length(records)), 0) FROM outbox")
        ((self.files, self.captures, self.bytes),) = frontier.table(
            "SELECT count(*), coalesce(sum(captures), 0), coalesce(sum(bytes), 0) FROM file"
        )

    def _remove_unlisted(self) -> None:
        listed = dict(self.frontier.table("SELECT name, bytes FROM file"))
        found = sorted(self.folder.glob("*.warc.gz")) if self.folder.is_dir() else []
        if found and not listed and not self.frontier.known() and not self.frontier.unsealed():
            raise _damaged(
                self.frontier.path, f"it is empty, and there are {len(found)} WARC files beside it"
            )
        for path in found:
            if path.name not in listed:
                path.unlink()
        for name, size in listed.items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise _damaged(path, f"it is missing or has not its {size} bytes")

    def check(self) -> None:
        """Raise RunError where a listed file is not what was written: it would be sealed as if it were."""
        for name, sha256 in self.frontier.table("SELECT name, sha256 FROM file ORDER BY name"):
            if sha256_file(self.folder / name) != sha256:
                raise _damaged(self.folder / name, "its SHA-256 differs")

    def came(self, captures: list[bytes]) -> None:
        """Hear of captures that were committed; writes a file once there are enough."""
        self.waiting += sum(map(len, captures))
        if self.waiting >= self.rotate:
            self.drain()

    def drain(self) -> None:
        """Write all captures that wait; raises OSError where the disk is full, and then they wait on."""
        while self.waiting:
            self._write_one()

    def _write_one(self) -> None:
        name, last, captures, taken = f"{self.files:05}.warc.gz", 0, 0, 0
        with storage.open_for_commit(self.folder / name) as file:
            file.write(about(name))
            for id, records in self._captures():
                file.write(records)
                last, captures, taken = id, captures + 1, taken + len(records)
                if taken >= self.rotate:
                    break
            size = file.tell()
        self._list(name, size, captures, sha256_file(self.folder / name), last)
        self.files, self.captures, self.bytes = (
            self.files + 1,
            self.captures + captures,
            self.bytes + size,
        )
        self.waiting -= taken

    def _captures(self) -> Iterator[tuple[int, bytes]]:
        last = -1
        while rows := self.frontier.table(
            f"SELECT id, records FROM outbox WHERE id > {last} ORDER BY id LIMIT 64"
        ):
            yield from rows
            last = rows[-1][0]

    def _list(self, name: str, size: int, captures: int, sha256: str, last: int) -> None:
        with (
            self.frontier.durably()
        ):  # the file is on disk for good: so must be that its captures left the outbox
            self.frontier.db.execute(
                "INSERT INTO file VALUES (?,?,?,?)", [name, size, captures, sha256]
            )
            self.frontier.db.execute("DELETE FROM outbox WHERE id <= ?", [last])


def _damaged(path: Path, problem: str) -> RunError:
    fix = "copy it back from where it is whole, or start anew with --fresh"
    return RunError("a file of this crawl is damaged", {"file": path, "problem": problem}, fix)
