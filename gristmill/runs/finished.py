"""Sealed runs: what steps read. Opening one, finding the newest, and following it back to what it was made from."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gristmill.errors import InputError, RunError
from gristmill.hashing import digest, sha256_bytes, sha256_file
from gristmill.runs import receipts, storage
from gristmill.runs.ledger import Entry
from gristmill.runs.receipts import DataFile

MANIFEST, LEDGER, TELEMETRY, LOCK = "manifest.json", "ledger.parquet", "telemetry.json", ".lock"
FORMAT = 1
REDO = "copy the run again from where it is whole, or remove its folder and run its command again"


def _numbered(path: str) -> str:
    """A path that sorts by its numbers: part-99999 before part-100000."""
    return re.sub(r"\d+", lambda found: found[0].zfill(12), path)


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
    files = storage.list_files(pattern)
    if not files:
        raise InputError(
            "no file matches this input",
            {"input": pattern},
            "give a file, a folder, a glob or a run folder",
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
    def sequence(self) -> int:
        """The number of the call, for steps whose input is the living web; 0 for others."""
        found = NAME.search(self.id)
        return int(found[1].removeprefix("-")) if found and found[1] else 0

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
        """The manifest's files whose path begins with `prefix`, in the order of their names and numbers."""
        found = [
            DataFile(**raw) for raw in self.manifest["files"] if raw["path"].startswith(prefix)
        ]
        return sorted(found, key=lambda file: _numbered(file.path))

    def file(self, path: str) -> Path:
        """The full path of one of the manifest's files, its size checked; raises RunError where it is not as sealed."""
        known = next((raw for raw in self.manifest["files"] if raw["path"] == path), None)
        if known is None:
            raise RunError(
                "this run has no such file",
                {"run": self.path, "file": path},
                f"give another run of `{self.step}`; `gristmill runs show {self.path}` tells what this one is",
            )
        return self.locate(DataFile(**known))

    def locate(self, file: DataFile) -> Path:
        """The full path of one of `data_files`; raises RunError where its size is not as sealed."""
        full = self.path / file.path
        if not full.is_file() or full.stat().st_size != file.bytes:
            raise RunError("a file of this run is missing or cut", {"file": full}, REDO)
        return full

    def files(self, prefix: str) -> list[Path]:
        """The full, size-checked paths of all files below `prefix`, in order."""
        return [self.locate(file) for file in self.data_files(prefix)]

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
    return (
        path.is_file() and path.stat().st_size == known.bytes and sha256_file(path) == known.sha256
    )


def open_run(path: str | Path, *, step: str | None = None) -> FinishedRun:
    """Open a sealed run; raises RunError where there is none, where it is unfinished, or not of `step`."""
    place = Path(path)
    if not place.is_dir():
        raise RunError(
            "there is no such run folder",
            {"path": path},
            f"choose one of those that `gristmill runs list --out {place.parent}` shows",
        )
    if not (place / MANIFEST).is_file():
        raise RunError(
            "this run is unfinished: it has no manifest",
            {"run": place},
            "run the command that writes it again, with the same options: it continues",
        )
    run = FinishedRun(place, _manifest(place))
    if step is not None and run.step != step:
        raise RunError(
            f"a run of `{step}` is needed here",
            {"run": place, "is a run of": run.step},
            f"give a run folder named {step}-..., as `gristmill runs list --out {place.parent}` shows them",
        )
    return run


def _manifest(place: Path) -> Mapping[str, Any]:
    try:
        manifest = storage.read_json(place / MANIFEST)
        if manifest["format"] == FORMAT and {
            "id",
            "step",
            "inputs",
            "counts",
            "details",
            "files",
        } <= set(manifest):
            return dict(manifest)
    except (InputError, KeyError, TypeError):
        raise RunError("the manifest of this run is damaged", {"run": place}, REDO) from None
    raise RunError(
        "this run was written by another version",
        {"run": place, "format": manifest["format"], "known": FORMAT},
        REDO,
    )


def list_runs(out: str | Path, step: str = "*") -> list[FinishedRun]:
    """The sealed runs (of one step) below `out`, oldest first; a finished run counts as new again when its command is repeated.

    Folders with a manifest that is not ours (a web page has one too) are passed over.
    """
    sealed = [
        path.parent
        for path in Path(out).glob(f"{step}-*/{MANIFEST}")
        if NAME.search(path.parent.name)
    ]
    return [
        open_run(path)
        for path in sorted(sealed, key=lambda path: (path.stat().st_mtime_ns, path.name))
    ]


NAME = re.compile(r"-[0-9a-f]{12}(-\d+)?$")
"""How the names of run folders end: what our settings hash to, and a sequence number where there is one."""


def find_latest(out: str | Path, step: str) -> FinishedRun:
    """The newest sealed run of a step; raises RunError where there is none."""
    found = [run for run in list_runs(out, step) if run.step == step]
    if not found:
        raise RunError(
            f"there is no finished run of `{step}`", {"folder": out}, _where_else(Path(out), step)
        )
    return found[-1]


def sibling_sessions(run: FinishedRun) -> list[FinishedRun]:
    """All sealed runs beside `run` that are calls of the same crawl, in their order: each holds only what it fetched."""
    crawl = run.details.get("crawl")
    found = [
        one
        for one in list_runs(run.path.parent, run.step)
        if crawl and one.details.get("crawl") == crawl
    ]
    return sorted(found, key=lambda one: (one.sequence, one.id)) or [run]


def _where_else(out: Path, step: str) -> str:
    """How to come to a run of `step`: there may be one a folder deeper, where `make demo` writes."""
    if deeper := [path.parents[1] for path in sorted(out.glob(f"*/{step}-*/{MANIFEST}"))]:
        return f"there is one in {deeper[-1]}: give --out {deeper[-1]}, or name the run itself with --in"
    return f"run `gristmill {command_of(step)}` first, name the run with --in, or the folder of your runs with --out"


def command_of(step: str) -> str:
    """The command that writes runs of a step."""
    return "tokenizer train" if step == "tokenizer" else step


def open_parents(run: FinishedRun) -> list[FinishedRun]:
    """The runs that `run` read, found beside it by name; raw files and absent runs are left out.

    Raises RunError where one of them was redone since with another content: its numbers would not be those of `run`.
    """
    folder = run.path.resolve().parent
    records = [
        record
        for record in run.manifest["inputs"]
        if (folder / record["name"] / MANIFEST).is_file()
    ]
    found = [open_run(folder / record["name"]) for record in records]
    for parent, record in zip(found, records, strict=True):
        if manifest_digest(parent) != record["identity"]:
            raise RunError(
                "a run that this one read has been redone since",
                {"run": run.path, "read": parent.path},
                f"run `gristmill {command_of(run.step)}` again, so that it reads what is there now",
            )
    return found


def ancestors(*ends: FinishedRun) -> list[FinishedRun]:
    """All runs that lead to `ends`, the ends included, each after everything that it read."""
    return _chain(ends, lambda _: True)


def corpus_lineage(*ends: FinishedRun) -> list[FinishedRun]:
    """The chain of `ends` without what a tokenizer was trained on: that may be another corpus, or another choice of it."""
    given = {end.id for end in ends}
    return _chain(ends, lambda run: run.step != "tokenizer" or run.id in given)


def _chain(
    ends: Sequence[FinishedRun], goes_on: Callable[[FinishedRun], bool]
) -> list[FinishedRun]:
    ordered: dict[str, FinishedRun] = {}

    def visit(run: FinishedRun) -> None:
        if run.id not in ordered:
            for parent in open_parents(run) if goes_on(run) else ():
                visit(parent)
            ordered[run.id] = run

    for end in ends:
        visit(end)
    return list(ordered.values())


def latest_of(runs: Iterable[FinishedRun], step: str) -> FinishedRun | None:
    """The last run of a step among `runs`."""
    return next((run for run in reversed(list(runs)) if run.step == step), None)


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
