"""What lies in a folder of runs and its subfolders: finished, unfinished, damaged and running ones, for `runs list`."""

import fcntl
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from gristmill.errors import RunError
from gristmill.runs import receipts, storage
from gristmill.runs.finished import LOCK, MANIFEST, NAME, open_run

State = Literal["finished", "unfinished", "running", "damaged"]


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One run folder; `changed` (seconds) is when it was sealed or last asked for, or since when it is being written."""

    path: Path
    step: str
    state: State
    changed: float
    bytes: int
    receipts: int = 0
    parents: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    exit_code: int = 0

    def date(self) -> str:
        """The moment `changed` as people write it, in the machine's own time."""
        return datetime.fromtimestamp(self.changed).astimezone().isoformat(" ", "minutes")[:16]

    def told_state(self) -> str:
        """The state in words, with what was done so far or how it ended."""
        if self.state in ("unfinished", "running"):
            return f"{self.state}, {self.receipts} receipts"
        return f"{self.state}, exit code {self.exit_code}" if self.exit_code else self.state

    def as_json(self) -> dict[str, object]:
        """All of it as plain values."""
        return {
            "path": str(self.path),
            "id": self.path.name,
            "step": self.step,
            "state": self.state,
            "date": self.date(),
            "changed": self.changed,
            "parents": list(self.parents),
            "bytes": self.bytes,
            "receipts": self.receipts,
            "counts": dict(self.counts),
            "exit_code": self.exit_code,
        }


def find_runs(folder: Path) -> list[ListedRun]:
    """The runs in a folder and one level below it, newest last; a folder with another program's manifest is none."""
    if not folder.is_dir():
        raise RunError(
            "there is no such folder of runs",
            {"folder": folder},
            "give the folder of --out: runs list --out DIR",
        )
    return sorted(
        (_look(path) for path in _candidates(folder)), key=lambda run: (run.changed, run.path)
    )


def shorten_name(name: str) -> str:
    """A run's name with four of its twelve hex digits; the name of files as it is."""
    return re.sub(r"-([0-9a-f]{4})[0-9a-f]{8}(-\d+)?$", r"-\1\2", name)


def _candidates(folder: Path) -> Iterator[Path]:
    for pattern in ("*", "*/*"):
        for path in folder.glob(pattern):
            if path.parent.name == "state":  # of crawls: queues, no runs
                continue
            if NAME.search(path.name) and any(
                (path / name).exists() for name in (MANIFEST, LOCK, receipts.FOLDER)
            ):
                yield path


def _look(path: Path) -> ListedRun:
    step = NAME.sub("", path.name)
    if not (path / MANIFEST).exists():
        state: State = "running" if _is_locked(path) else "unfinished"
        place = path / LOCK if (path / LOCK).exists() else path
        return ListedRun(
            path, step, state, place.stat().st_mtime, _size(path), _count_receipts(path)
        )
    changed = path.stat().st_mtime
    try:
        run = open_run(path)
    except RunError:
        return ListedRun(path, step, "damaged", changed, _size(path))
    size = sum(file.bytes for file in run.data_files())
    parents = tuple(record["name"] for record in run.manifest["inputs"])
    done = _count_receipts(path)
    return ListedRun(
        path, run.step, "finished", changed, size, done, parents, run.counts, run.exit_code
    )


def _is_locked(path: Path) -> bool:
    """Whether a process holds the run; a shared lock of a moment asks."""
    if not (path / LOCK).exists():
        return False
    with open(path / LOCK, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _size(path: Path) -> int:
    return sum(info.size for info in storage.list_files(path))


def _count_receipts(path: Path) -> int:
    return sum(
        receipts.count(path, stage.name)
        for stage in (path / receipts.FOLDER).glob("*")
        if stage.is_dir()
    )
