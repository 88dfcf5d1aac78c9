"""Run folders: every step writes one, named by what determines its content, and seals it with a
manifest.

`<step>-<12 hex>`: the hex covers the step's configuration, the digest of its code and libraries,
and the identity of its inputs; never workers, paths or times. A folder without `manifest.json` is
unfinished: readers refuse it, and the same command continues it. Timings live in `telemetry.json`,
so equal runs have equal manifests.
"""

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
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
from gristmill.runs.json_files import encode_json
from gristmill.runs.ledger import check_balance, ledger_table, totals
from gristmill.runs.receipts import DataFile, Receipt, describe_file, describe_written
from gristmill.runs.store import RunStore, StorePlace, refuse_remote
from gristmill.runs.store_uris import open_store


@dataclass(slots=True)
class Run:
    """A run folder being written, or found `finished`."""

    store: RunStore
    step: str
    identity: Mapping[str, Any]
    finished: FinishedRun | None
    started: float

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.store.name

    @property
    def path(self) -> Path:
        """The local folder of the run; raises RunError where it has none."""
        return self.store.path

    def finish(
        self,
        *,
        counts: Mapping[str, int] | None = None,
        details: Mapping[str, Any] | None = None,
        files: Sequence[DataFile] | None = None,
        exit_code: int = 0,
        telemetry: Mapping[str, Any] | None = None,
    ) -> FinishedRun:
        """Seal the folder: list its data files (found by looking where `files` is None), write the
        manifest last.
        """
        self.store.sweep()
        data_files = sorted(_find_files(self.store) if files is None else files)
        _refuse_twice_written(self.id, data_files)
        seconds = round(time.monotonic() - self.started, 3)
        timings = {"seconds": seconds, "sealed": time.time(), **(telemetry or {})}
        self.store.put(TELEMETRY, encode_json(timings))
        manifest = {
            "format": FORMAT,
            "id": self.id,
            "step": self.step,
            "version": __version__,
            **self.identity,
            "counts": dict(counts or {}),
            "details": dict(details or {}),
            "files": [asdict(file) for file in data_files],
            "exit_code": exit_code,
        }
        self.store.put(MANIFEST, encode_json(manifest))
        # After the manifest: a crash before it still needs these files.
        self.store.remove_all(f"{SPILL}/")
        self.finished = open_run(self.store)
        return self.finished


def _refuse_twice_written(run_id: str, files: Sequence[DataFile]) -> None:
    pairs = itertools.pairwise(files)
    twice = sorted({file.path for file, following in pairs if file.path == following.path})
    if twice:
        raise GristmillError(f"{run_id}: two splits wrote the same file: {', '.join(twice[:10])}")


def _find_files(store: RunStore) -> list[DataFile]:
    """Every file of a run that is data: not the bookkeeping, not hidden."""
    bookkeeping = {MANIFEST, TELEMETRY, LOCK, receipts.FOLDER, SPILL}
    names = [PurePosixPath(file.name) for file in store.list()]
    data = [
        name for name in names if name.parts[0] not in bookkeeping and not name.name.startswith(".")
    ]
    return [describe_file(store, str(name)) for name in data]


@contextlib.contextmanager
def start_run(
    step: str,
    *,
    out: StorePlace,
    config: Config,
    inputs: Sequence[Input] = (),
    code: str = "",
    sequence: int | None = None,
    force: bool = False,
) -> Iterator[Run]:
    """Open the run folder these settings name, and hold its lock.

    `code` is the digest of the step's code (`steps.code_identity.digest_code`). `run.finished` is
    set where the work is already done; `force` throws that, and every receipt, away. A `sequence`
    number is appended for steps whose input is the living web.
    """
    identity = {
        "config": config.model_dump(mode="json"),
        "code": code,
        "inputs": [source.record() for source in inputs],
    }
    name = f"{step}-{digest({'step': step, **identity})[:12]}"
    if sequence is not None:
        name = f"{name}-{sequence:04d}"
    # A URI typed by a user is refused: a run in memory would be lost with the process.
    if not isinstance(out, RunStore) and not storage.is_local(out):
        raise refuse_remote(out)
    store = open_store(out).child(name)
    with store.hold_lock(LOCK):
        if force:
            _empty(store)
        swept = store.sweep()
        if swept:
            say(f"{step}  removed {swept} half-written files of an attempt that was stopped")
        finished = open_run(store, step=step) if store.has(MANIFEST) else None
        if finished:
            # `latest` must find what was asked for last, also when it was done before.
            store.touch()
            store.remove_all(f"{SPILL}/")
        yield Run(store, step, identity, finished, time.monotonic())


@contextlib.contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run, or of the state of a crawl; the system drops the lock when
    its holder dies.
    """
    with storage.hold_file_lock(folder / LOCK):
        yield


def _empty(store: RunStore) -> None:
    # The manifest first: killed in between, the run must not look finished.
    store.remove(MANIFEST)
    folders = {file.name.partition("/")[0] for file in store.list() if "/" in file.name}
    for folder in sorted(folders):
        store.remove_all(f"{folder}/")
    for file in store.list():
        if file.name != LOCK:
            store.remove(file.name)


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
    """Seal a run whose stages are all done: sum the ledger, list the receipts' files, write the
    manifest.

    `stages` gives the number of splits of each stage; a missing receipt is a fault of ours and
    raises. Files of subfolders that no receipt names, left by attempts that died, are removed.
    `extra_files` are sealed beside the rest.
    """
    done = {stage: _load_complete(run.store, stage, splits) for stage, splits in stages.items()}
    for split, receipt in done[ledger_stage].items():
        check_balance(receipt.read, receipt.entries, where=f"{ledger_stage}, split {split}")
    entries = {split: receipt.entries for split, receipt in done[ledger_stage].items()}
    every = [entry for of_split in entries.values() for entry in of_split]
    with run.store.writer(LEDGER) as file:
        pq.write_table(ledger_table(entries), file, compression="zstd")
    ledger = describe_written(LEDGER, file, rows=len(every))
    read = sum(receipt.read for receipt in done[ledger_stage].values())
    sums = totals(every)
    files: list[DataFile] = []
    for of_stage in done.values():
        for receipt in of_stage.values():
            files += receipt.files
    orphans = _remove_orphans(run.store, {file.path for file in (*files, *extra_files)})
    if orphans:
        say(
            f"{run.step}  removed {len(orphans)} files without a receipt, "
            f"left by a killed attempt: {orphans[0]}"
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


def _remove_orphans(store: RunStore, listed: set[str]) -> list[str]:
    """Remove the files of subfolders that are not `listed`; returns their names."""
    bookkeeping = (f"{receipts.FOLDER}/", f"{SPILL}/")
    names = [file.name for file in store.list() if "/" in file.name]
    orphans = [name for name in names if name not in listed and not name.startswith(bookkeeping)]
    for name in orphans:
        store.remove(name)
    return orphans


SPILL = "spill"
"""The folder below a run for what only the run itself reads; it is removed when the run
is sealed.
"""


def _load_complete(store: RunStore, stage: str, splits: int) -> dict[int, Receipt]:
    done = receipts.load_receipts(store, stage)
    missing = sorted(set(range(splits)) - set(done))
    if missing:
        raise RunError(
            "splits are without a receipt",
            {"run": store.location, "stage": stage, "splits": missing[:10]},
            "run the same command again",
        )
    return {split: done[split] for split in range(splits)}
