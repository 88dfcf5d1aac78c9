"""Run folders: every step writes one, named by what determines its content, and seals it with a manifest.

`<step>-<12 hex>`: the hex covers the step's configuration, the digest of its source files and libraries, and the
identity of its inputs; never workers, paths or times. A folder without `manifest.json` is unfinished: readers refuse
it, and the same command continues it. Timings live in `telemetry.json`, so equal runs have equal manifests.
"""

import contextlib
import fcntl
import itertools
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gristmill import __version__, receipts, storage
from gristmill.config import Config
from gristmill.errors import GristmillError, InputError, RunError
from gristmill.hashing import code_digest, digest, sha256_bytes, sha256_file
from gristmill.ledger import Entry, check_balance, ledger_table, totals
from gristmill.receipts import DataFile, Receipt, data_file

MANIFEST, LEDGER, TELEMETRY, LOCK = "manifest.json", "ledger.parquet", "telemetry.json", ".lock"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Input:
    """What a step reads: another run, or files. `identity` names its content; `path` (where it lies) is not hashed."""

    name: str
    identity: str
    path: str

    def record(self) -> dict[str, str]:
        """The part that goes into hashes and manifests."""
        return {"name": self.name, "identity": self.identity}


def file_input(pattern: str) -> Input:
    """An input of raw files (a path, folder, glob or URL), identified by the listing with sizes and stamps."""
    files = storage.listing(pattern)
    if not files:
        raise InputError(
            "no file matches this input", {"input": pattern}, "give a file, a folder, a glob or a run folder"
        )
    base = os.path.commonpath([os.path.dirname(info.path) for info in files])
    rows = [(os.path.relpath(info.path, base), info.size, info.stamp) for info in files]
    return Input(os.path.basename(pattern.rstrip("/")), digest(rows), pattern)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A sealed run folder."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The folder's name as sealed, e.g. `annotate-1f2e3d4c5b6a`."""
        return str(self.manifest["id"])

    @property
    def step(self) -> str:
        """The step that wrote it."""
        return str(self.manifest["step"])

    @property
    def counts(self) -> Mapping[str, int]:
        """Totals: documents by fate, files, tokens..."""
        return dict(self.manifest["counts"])

    @property
    def details(self) -> Mapping[str, Any]:
        """What this step has to say beside its files."""
        return dict(self.manifest["details"])

    @property
    def exit_code(self) -> int:
        """The code of the command that sealed it: 0, or 3 where too much was quarantined."""
        return int(self.manifest["exit_code"])

    def data_files(self, prefix: str = "") -> list[DataFile]:
        """The manifest's files whose path begins with `prefix`, in order."""
        return [DataFile(**raw) for raw in self.manifest["files"] if raw["path"].startswith(prefix)]

    def file(self, path: str) -> Path:
        """The full path of one of the manifest's files, its size checked; raises RunError where it is not as sealed."""
        known = next((raw for raw in self.manifest["files"] if raw["path"] == path), None)
        if known is None:
            raise RunError("this run has no such file", {"run": self.path, "file": path})
        return self._checked(DataFile(**known))

    def _checked(self, known: DataFile) -> Path:
        full = self.path / known.path
        if not full.is_file() or full.stat().st_size != known.bytes:
            raise RunError("a file of this run is missing or cut", {"file": full}, "run the step again with --force")
        return full

    def files(self, prefix: str) -> list[Path]:
        """The full, size-checked paths of all files below `prefix`, in order."""
        return [self._checked(found) for found in self.data_files(prefix)]

    def as_input(self) -> Input:
        """This run as the input of another."""
        return Input(self.id, sha256_file(self.path / MANIFEST), str(self.path))

    def verify(self) -> list[str]:
        """The paths of all files whose SHA-256 is not the manifest's; empty = intact."""
        return [f.path for f in self.data_files() if not _intact(self.path / f.path, f)]

    def ledger(self) -> list[dict[str, Any]]:
        """The rows of the ledger; empty for steps that have none."""
        place = self.path / LEDGER
        rows: list[dict[str, Any]] = pq.read_table(place).to_pylist() if place.exists() else []
        return rows


def _intact(path: Path, known: DataFile) -> bool:
    return path.is_file() and path.stat().st_size == known.bytes and sha256_file(path) == known.sha256


def open_run(path: str | Path, *, step: str | None = None) -> FinishedRun:
    """Open a sealed run; raises RunError where there is none, where it is unfinished, or not of `step`."""
    place = Path(path)
    if not place.is_dir():
        raise RunError("there is no such run folder", {"path": path}, "`gristmill runs list` shows what is there")
    if not (place / MANIFEST).is_file():
        raise RunError(
            "this run is unfinished: it has no manifest", {"run": place}, "run its command again; it continues"
        )
    run = FinishedRun(place, _manifest(place))
    if step is not None and run.step != step:
        raise RunError(f"a run of `{step}` is needed here", {"run": place, "is a run of": run.step})
    return run


def _manifest(place: Path) -> Mapping[str, Any]:
    try:
        manifest = storage.read_json(place / MANIFEST)
        if manifest["format"] == FORMAT and {"id", "step", "inputs", "counts", "details", "files"} <= set(manifest):
            return dict(manifest)
    except (InputError, KeyError, TypeError):
        raise RunError("the manifest of this run is damaged", {"run": place}, "run the step with --force") from None
    raise RunError("this run was written by another version", {"run": place, "format": manifest["format"]})


def list_runs(out: str | Path, step: str = "*") -> list[FinishedRun]:
    """The sealed runs (of one step) below `out`, oldest first; a finished run counts as new again when its command is repeated.

    Folders with a manifest that is not ours (a web page has one too) are passed over.
    """
    sealed = [path.parent for path in Path(out).glob(f"{step}-*/{MANIFEST}") if _NAME.search(path.parent.name)]
    return [open_run(path) for path in sorted(sealed, key=lambda path: (path.stat().st_mtime_ns, path.name))]


_NAME = re.compile(r"-[0-9a-f]{12}(-\d+)?$")


def latest(out: str | Path, step: str) -> FinishedRun:
    """The newest sealed run of a step; raises RunError where there is none."""
    found = [run for run in list_runs(out, step) if run.step == step]
    if not found:
        raise RunError(
            f"there is no finished run of `{step}`", {"folder": out}, f"run `gristmill {step}` first, or give --in"
        )
    return found[-1]


def parents(run: FinishedRun) -> list[FinishedRun]:
    """The runs that `run` read, found beside it by name; raw files and absent runs are left out.

    Raises RunError where one of them was redone since with another content: its numbers would not be those of `run`.
    """
    folder = run.path.resolve().parent
    records = [record for record in run.manifest["inputs"] if (folder / record["name"] / MANIFEST).is_file()]
    found = [open_run(folder / record["name"]) for record in records]
    for parent, record in zip(found, records, strict=True):
        if manifest_digest(parent) != record["identity"]:
            raise RunError(
                "a run that this one read has been redone since",
                {"run": run.path, "read": parent.path},
                f"run `gristmill {run.step}` again on it",
            )
    return found


def chain(*ends: FinishedRun) -> list[FinishedRun]:
    """All runs that lead to `ends`, the ends included, each after everything that it read."""
    ordered: dict[str, FinishedRun] = {}

    def visit(run: FinishedRun) -> None:
        if run.id not in ordered:
            for parent in parents(run):
                visit(parent)
            ordered[run.id] = run

    for end in ends:
        visit(end)
    return list(ordered.values())


def of_step(runs: Iterable[FinishedRun], step: str) -> FinishedRun | None:
    """The last run of a step among `runs`."""
    return next((run for run in reversed(list(runs)) if run.step == step), None)


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
        storage.sweep(self.path)
        found = sorted(_look(self.path) if files is None else files)
        if twice := sorted({one.path for one, next_ in itertools.pairwise(found) if one.path == next_.path}):
            raise GristmillError(f"{self.id}: two splits wrote the same file: {', '.join(twice[:10])}")
        seconds = round(time.monotonic() - self.started, 3)
        storage.commit_json(self.path / TELEMETRY, {"seconds": seconds, "sealed": time.time(), **(telemetry or {})})
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
        shutil.rmtree(self.path / SPILL, ignore_errors=True)  # after the manifest: a crash before it still needs them
        self.finished = open_run(self.path)
        return self.finished


def _look(folder: Path) -> list[DataFile]:
    """Every file of a folder that is data: not the bookkeeping, not hidden."""
    ours = {MANIFEST, TELEMETRY, LOCK, receipts.FOLDER, SPILL}
    relative = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in relative if path.parts[0] not in ours and not path.name.startswith(".")]
    return [data_file(folder, path.as_posix()) for path in sorted(kept)]


@contextlib.contextmanager
def start(
    step: str,
    *,
    out: str | Path,
    config: Config,
    inputs: Sequence[Input] = (),
    code: Sequence[str] = (),
    libraries: Sequence[str] = (),
    sequence: int | None = None,
    force: bool = False,
) -> Iterator[Run]:
    """Open the run folder these settings name, and hold its lock.

    `code` and `libraries` as in `hashing.code_digest`. `run.finished` is set where the work is already done; `force`
    throws that, and every receipt, away. A `sequence` number is appended for steps whose input is the living web.
    """
    identity = {
        "config": config.model_dump(mode="json"),
        "code": code_digest(code, libraries) if code else "",
        "inputs": [source.record() for source in inputs],
    }
    name = f"{step}-{digest({'step': step, **identity})[:12]}" + ("" if sequence is None else f"-{sequence:04d}")
    if not storage.is_local(out):
        raise RunError("run folders must lie on a local disk", {"out": out}, "give a local folder, and copy it after")
    path = Path(str(out).removeprefix("file://")) / name
    path.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        if force:
            _empty(path)
        storage.sweep(path)
        finished = open_run(path, step=step) if (path / MANIFEST).exists() else None
        if finished:
            os.utime(path)  # `latest` must find what was asked for last, also when it was done before
            shutil.rmtree(path / SPILL, ignore_errors=True)
        yield Run(path, step, identity, finished, time.monotonic())


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run; the system drops the lock when its holder dies."""
    with open(folder / LOCK, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError("another process is writing this run", {"run": folder}, "wait for it, or stop it") from None
        yield


def _empty(folder: Path) -> None:
    (folder / MANIFEST).unlink(missing_ok=True)  # first: killed in between, the run must not look finished
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
    with storage.commit(run.path / LEDGER) as file:
        pq.write_table(ledger_table(entries), file, compression="zstd")
    every = [entry for found in entries.values() for entry in found]
    ledger = data_file(run.path, LEDGER, rows=len(every))
    read = sum(receipt.read for receipt in done[ledger_stage].values())
    sums = totals(every)
    files = [file for found in done.values() for receipt in found.values() for file in receipt.files]
    _remove_orphans(run.path, {file.path for file in (*files, *extra_files)})
    return run.finish(
        counts={"read": read, **sums, **(counts or {})},
        details=details,
        files=[ledger, *extra_files, *(file for file in files if not file.path.startswith(f"{SPILL}/"))],
        telemetry=telemetry,
    )


def _remove_orphans(folder: Path, listed: set[str]) -> None:
    for path in folder.glob("*/**/*"):
        relative = path.relative_to(folder)
        if path.is_file() and relative.parts[0] not in (receipts.FOLDER, SPILL) and relative.as_posix() not in listed:
            path.unlink()


SPILL = "spill"
"""The folder below a run for what only the run itself reads; it is removed when the run is sealed."""


def _complete(folder: Path, stage: str, splits: int) -> dict[int, Receipt]:
    found = receipts.load(folder, stage)
    missing = sorted(set(range(splits)) - set(found))
    if missing:
        raise RunError(
            "splits are without a receipt", {"run": folder, "stage": stage, "splits": missing[:10]}, "run it again"
        )
    return {split: found[split] for split in range(splits)}


def all_entries(run: FinishedRun) -> list[Entry]:
    """The ledger of a sealed run as entries."""
    fields = ("source", "lang", "fate", "reason", "documents", "bytes")
    return [Entry(**{name: row[name] for name in fields}) for row in run.ledger()]


def resolve_input(text: str) -> FinishedRun | Input:
    """What `--in` names: a sealed run folder, or files. An unfinished run folder is refused, not read as files."""
    place = Path(text)
    if storage.is_local(text) and place.is_dir():
        if (place / MANIFEST).exists():
            return open_run(place)
        if (place / LOCK).exists() or (place / receipts.FOLDER).exists():
            return open_run(place)
    return file_input(text)


def manifest_digest(run: FinishedRun) -> str:
    """The SHA-256 of a run's manifest: equal runs, equal digests."""
    return sha256_bytes((run.path / MANIFEST).read_bytes())
