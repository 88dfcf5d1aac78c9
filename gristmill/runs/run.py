"""Run folders: every step writes one, named by what determines its content, and seals it with a manifest.

`<step>-<12 hex>`: the hex covers the step's configuration, the digest of its code and libraries, and the
identity of its inputs; never workers, paths or times. A folder without `manifest.json` is unfinished: readers refuse
it, and the same command continues it. Timings live in `telemetry.json`, so equal runs have equal manifests.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gristmill import __version__
from gristmill.config import Config
from gristmill.errors import GristmillError, RunError
from gristmill.hashing import digest
from gristmill.progress import say
from gristmill.runs import receipts, storage
from gristmill.runs.finished import (
    FORMAT,
    LEDGER,
    LOCK,
    MANIFEST,
    TELEMETRY,
    FinishedRun,
    Input,
    open_run,
)
from gristmill.runs.ledger import check_balance, ledger_table, totals
from gristmill.runs.receipts import DataFile, Receipt, describe_file


@dataclass(slots=True)
class Run:
    """A run folder being written, or found `finished`."""

    path: Path
    step: str
    identity: Mapping[str, Any]
    finished: FinishedRun | None
    started: float

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    def finish(
        self,
        *,
        counts: Mapping[str, int] | None = None,
        details: Mapping[str, Any] | None = None,
        files: Sequence[DataFile] | None = None,
        exit_code: int = 0,
        telemetry: Mapping[str, Any] | None = None,
    ) -> FinishedRun:
        """Seal the folder: list its data files (found by looking where `files` is None), write the manifest last."""
        storage.sweep_temporaries(self.path)
        found = sorted(_look(self.path) if files is None else files)
        if twice := sorted(
            {one.path for one, next_ in itertools.pairwise(found) if one.path == next_.path}
        ):
            raise GristmillError(
                f"{self.id}: two splits wrote the same file: {', '.join(twice[:10])}"
            )
        seconds = round(time.monotonic() - self.started, 3)
        storage.commit_json(
            self.path / TELEMETRY, {"seconds": seconds, "sealed": time.time(), **(telemetry or {})}
        )
        manifest = {
            "format": FORMAT,
            "id": self.id,
            "step": self.step,
            "version": __version__,
            **self.identity,
            "counts": dict(counts or {}),
            "details": dict(details or {}),
            "files": [asdict(file) for file in found],
            "exit_code": exit_code,
        }
        storage.commit_json(self.path / MANIFEST, manifest)
        shutil.rmtree(
            self.path / SPILL, ignore_errors=True
        )  # after the manifest: a crash before it still needs them
        self.finished = open_run(self.path)
        return self.finished


def _look(folder: Path) -> list[DataFile]:
    """Every file of a folder that is data: not the bookkeeping, not hidden."""
    ours = {MANIFEST, TELEMETRY, LOCK, receipts.FOLDER, SPILL}
    relative = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    kept = [
        path for path in relative if path.parts[0] not in ours and not path.name.startswith(".")
    ]
    return [describe_file(folder, path.as_posix()) for path in sorted(kept)]


@contextlib.contextmanager
def start_run(
    step: str,
    *,
    out: str | Path,
    config: Config,
    inputs: Sequence[Input] = (),
    code: str = "",
    sequence: int | None = None,
    force: bool = False,
) -> Iterator[Run]:
    """Open the run folder these settings name, and hold its lock.

    `code` is the digest of the step's code (`steps.code_identity.digest_code`). `run.finished` is set where the work is already done; `force`
    throws that, and every receipt, away. A `sequence` number is appended for steps whose input is the living web.
    """
    identity = {
        "config": config.model_dump(mode="json"),
        "code": code,
        "inputs": [source.record() for source in inputs],
    }
    name = f"{step}-{digest({'step': step, **identity})[:12]}" + (
        "" if sequence is None else f"-{sequence:04d}"
    )
    if not storage.is_local(out):
        raise RunError(
            "run folders must lie on a local disk",
            {"out": out},
            "give a local folder, and copy it after",
        )
    path = Path(str(out).removeprefix("file://")) / name
    storage.make_folder(path)
    with hold_lock(path):
        if force:
            _empty(path)
        if left := storage.sweep_temporaries(path):
            say(f"{step}  removed {left} half-written files of an attempt that was stopped")
        finished = open_run(path, step=step) if (path / MANIFEST).exists() else None
        if finished:
            os.utime(
                path
            )  # `latest` must find what was asked for last, also when it was done before
            shutil.rmtree(path / SPILL, ignore_errors=True)
        yield Run(path, step, identity, finished, time.monotonic())


@contextlib.contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run, or of the state of a crawl; the system drops the lock when its holder dies."""
    with open(folder / LOCK, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                "another process is writing this run", {"run": folder}, "wait for it, or stop it"
            ) from None
        yield


def _empty(folder: Path) -> None:
    (folder / MANIFEST).unlink(
        missing_ok=True
    )  # first: killed in between, the run must not look finished
    for path in folder.iterdir():
        if path.name == LOCK:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def seal_from_receipts(
    run: Run,
    stages: Mapping[str, int],
    *,
    ledger_stage: str,
    details: Mapping[str, Any] | None = None,
    counts: Mapping[str, int] | None = None,
    extra_files: Sequence[DataFile] = (),
    telemetry: Mapping[str, Any] | None = None,
) -> FinishedRun:
    """Seal a run whose stages are all done: sum the ledger, list the receipts' files, write the manifest.

    `stages` gives the number of splits of each stage; a missing receipt is a fault of ours and raises. Files of
    subfolders that no receipt names, left by attempts that died, are removed. `extra_files` are sealed beside the rest.
    """
    done = {stage: _complete(run.path, stage, splits) for stage, splits in stages.items()}
    for split, receipt in done[ledger_stage].items():
        check_balance(receipt.read, receipt.entries, where=f"{ledger_stage}, split {split}")
    entries = {split: receipt.entries for split, receipt in done[ledger_stage].items()}
    with storage.open_for_commit(run.path / LEDGER) as file:
        pq.write_table(ledger_table(entries), file, compression="zstd")
    every = [entry for found in entries.values() for entry in found]
    ledger = describe_file(run.path, LEDGER, rows=len(every))
    read = sum(receipt.read for receipt in done[ledger_stage].values())
    sums = totals(every)
    files = [
        file for found in done.values() for receipt in found.values() for file in receipt.files
    ]
    if orphans := _remove_orphans(run.path, {file.path for file in (*files, *extra_files)}):
        say(
            f"{run.step}  removed {len(orphans)} files without a receipt, left by a killed attempt: {orphans[0]}"
        )
    return run.finish(
        counts={"read": read, **sums, **(counts or {})},
        details=details,
        files=[
            ledger,
            *extra_files,
            *(file for file in files if not file.path.startswith(f"{SPILL}/")),
        ],
        telemetry=telemetry,
    )


def _remove_orphans(folder: Path, listed: set[str]) -> list[str]:
    """Remove the files of subfolders that are not `listed`; returns their paths."""
    relative = sorted(path.relative_to(folder) for path in folder.glob("*/**/*") if path.is_file())
    data = [path.as_posix() for path in relative if path.parts[0] not in (receipts.FOLDER, SPILL)]
    orphans = [path for path in data if path not in listed]
    for path in orphans:
        (folder / path).unlink()
    return orphans


SPILL = "spill"
"""The folder below a run for what only the run itself reads; it is removed when the run is sealed."""


def _complete(folder: Path, stage: str, splits: int) -> dict[int, Receipt]:
    found = receipts.load_receipts(folder, stage)
    missing = sorted(set(range(splits)) - set(found))
    if missing:
        raise RunError(
            "splits are without a receipt",
            {"run": folder, "stage": stage, "splits": missing[:10]},
            "run the same command again",
        )
    return {split: found[split] for split in range(splits)}
