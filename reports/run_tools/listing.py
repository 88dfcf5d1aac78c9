"""What `runs list` shows: the finished, unfinished, damaged and running runs of a folder."""

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
    """One run folder.

    `changed` (seconds since 1970) is when it was sealed or last asked for, or since when it is being
    written.
    """

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
        """Return the moment `changed` as people write it, in the machine's own time."""
        local_time = datetime.fromtimestamp(self.changed).astimezone()
        return local_time.isoformat(" ", "minutes")[:16]  # without the time zone

    def describe_state(self) -> str:
        """Return the state in words, with the work done so far or how it ended."""
        if self.state in ("unfinished", "running"):
            return f"{self.state}, {self.receipts} receipts"
        if self.exit_code:
            return f"{self.state}, exit code {self.exit_code}"
        return self.state

    def as_json(self) -> dict[str, object]:
        """Return all of it as plain values."""
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
    """Return the runs in a folder and one level below it, newest last.

    A folder with another program's manifest is not a run. Raises RunError where `folder` is none.
    """
    if not folder.is_dir():
        raise RunError(
            "there is no such folder of runs",
            {"folder": folder},
            "give the folder of --out: runs list --out DIR",
        )
    listed = [_describe_run(path) for path in _iter_run_folders(folder)]
    return sorted(listed, key=lambda run: (run.changed, run.path))


def shorten_name(name: str) -> str:
    """Return a run's name with four of its twelve hex digits; the name of files as it is."""
    return re.sub(r"-([0-9a-f]{4})[0-9a-f]{8}(-\d+)?$", r"-\1\2", name)


def _iter_run_folders(folder: Path) -> Iterator[Path]:
    for pattern in ("*", "*/*"):
        for path in folder.glob(pattern):
            is_crawl_state = path.parent.name == "state"  # queues of crawls, not runs
            if NAME.search(path.name) and not is_crawl_state and _has_run_files(path):
                yield path


def _has_run_files(path: Path) -> bool:
    return any((path / name).exists() for name in (MANIFEST, LOCK, receipts.FOLDER))


def _describe_run(path: Path) -> ListedRun:
    if not (path / MANIFEST).exists():
        return _describe_unfinished(path)
    changed = path.stat().st_mtime
    try:
        run = open_run(path)
    except RunError:
        step = NAME.sub("", path.name)
        return ListedRun(path, step, "damaged", changed, _sum_bytes(path))
    return ListedRun(
        path=path,
        step=run.step,
        state="finished",
        changed=changed,
        bytes=sum(file.bytes for file in run.data_files()),
        receipts=_count_receipts(path),
        parents=tuple(record["name"] for record in run.manifest["inputs"]),
        counts=run.counts,
        exit_code=run.exit_code,
    )


def _describe_unfinished(path: Path) -> ListedRun:
    lock = path / LOCK
    dated = lock if lock.exists() else path  # the lock is as old as the work
    return ListedRun(
        path=path,
        step=NAME.sub("", path.name),
        state="running" if _is_locked(path) else "unfinished",
        changed=dated.stat().st_mtime,
        bytes=_sum_bytes(path),
        receipts=_count_receipts(path),
    )


def _is_locked(path: Path) -> bool:
    """Whether a process holds the run: it then refuses the shared lock asked for here."""
    if not (path / LOCK).exists():
        return False
    with open(path / LOCK, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _sum_bytes(path: Path) -> int:
    return sum(info.size for info in storage.list_files(path))


def _count_receipts(path: Path) -> int:
    stages = [stage for stage in (path / receipts.FOLDER).glob("*") if stage.is_dir()]
    return sum(receipts.count(path, stage.name) for stage in stages)
