"""Sealed runs: what steps read. Opening one, finding the newest, and following it back to what it
was made from.
"""

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq

from gristmill.errors import InputError, RunError
from gristmill.hashing import digest, sha256_bytes, sha256_stream
from gristmill.runs import receipts, storage
from gristmill.runs.json_files import parse_json
from gristmill.runs.ledger import Entry
from gristmill.runs.memory_store import MEMORY
from gristmill.runs.receipts import DataFile
from gristmill.runs.store import RunStore, StorePlace
from gristmill.runs.store_uris import open_store

MANIFEST, LEDGER, TELEMETRY, LOCK = "manifest.json", "ledger.parquet", "telemetry.json", ".lock"
FORMAT = 1
MANIFEST_KEYS = {"id", "step", "inputs", "counts", "details", "files"}
REDO = "copy the run again from where it is whole, or remove its folder and run its command again"


def _numbered(path: str) -> str:
    """A path that sorts by its numbers: part-99999 before part-100000."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(12), path)


@dataclass(frozen=True, slots=True)
class Input:
    """What a step reads: another run, or files. `identity` names its content; `path` (where it
    lies) is not hashed.
    """

    name: str
    identity: str
    path: str

    def record(self) -> dict[str, str]:
        """The part that goes into hashes and manifests."""
        return {"name": self.name, "identity": self.identity}


def file_input(pattern: str) -> Input:
    """An input of raw files (a path, folder, glob or URL), identified by the listing with sizes and
    stamps.
    """
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
    """A sealed run. `address` is its store, or the path or URI of it."""

    address: StorePlace
    manifest: Mapping[str, Any]

    @property
    def store(self) -> RunStore:
        """Where the files of the run lie."""
        return open_store(self.address)

    @property
    def path(self) -> Path:
        """The local folder of the run; raises RunError where it has none."""
        return self.store.path

    @property
    def location(self) -> str:
        """Where the run lies, as people write it."""
        return self.store.location

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
        ending = NAME.search(self.id)
        if ending is None or ending[1] is None:
            return 0
        return int(ending[1].removeprefix("-"))

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
        """The manifest's files whose path begins with `prefix`, in the order of their names and
        numbers.
        """
        records = [raw for raw in self.manifest["files"] if raw["path"].startswith(prefix)]
        files = [DataFile(**record) for record in records]
        return sorted(files, key=lambda file: _numbered(file.path))

    def file(self, path: str) -> Path:
        """The full path of one of the manifest's files, its size checked; raises RunError where it
        is not as sealed.
        """
        return self.locate(self.find_file(path))

    def find_file(self, path: str) -> DataFile:
        """One of the manifest's files by its path; raises RunError where the run has none of it."""
        for raw in self.manifest["files"]:
            if raw["path"] == path:
                return DataFile(**raw)
        raise RunError(
            "this run has no such file",
            {"run": self.location, "file": path},
            f"give another run of `{self.step}`; "
            f"`gristmill runs show {self.location}` tells what this one is",
        )

    def locate(self, file: DataFile) -> Path:
        """The full path of one of `data_files`; raises RunError where its size is not as sealed."""
        self._check_size(file)
        return self.store.local(file.path)

    def open_file(self, path: str) -> IO[bytes]:
        """One of the manifest's files, to read from any position; raises RunError as
        `file` does.
        """
        file = self.find_file(path)
        self._check_size(file)
        return self.store.open(path)

    def _check_size(self, file: DataFile) -> None:
        if self.store.get_size(file.path) != file.bytes:
            where = f"{self.location}/{file.path}"
            raise RunError("a file of this run is missing or cut", {"file": where}, REDO)

    def files(self, prefix: str) -> list[Path]:
        """The full, size-checked paths of all files below `prefix`, in order."""
        return [self.locate(file) for file in self.data_files(prefix)]

    def as_input(self) -> Input:
        """This run as the input of another."""
        return Input(self.id, manifest_digest(self), self.location)

    def verify(self) -> list[str]:
        """The paths of all files whose SHA-256 is not the manifest's; empty = intact."""
        return [file.path for file in self.data_files() if not _is_intact(self.store, file)]

    def ledger(self) -> list[dict[str, Any]]:
        """The rows of the ledger; empty for steps that have none."""
        if not self.store.has(LEDGER):
            return []
        with self.store.open(LEDGER) as file:
            rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
        return rows


def _is_intact(store: RunStore, file: DataFile) -> bool:
    if store.get_size(file.path) != file.bytes:
        return False
    with store.open(file.path) as opened:
        return sha256_stream(opened) == file.sha256


def open_run(path: StorePlace, *, step: str | None = None) -> FinishedRun:
    """Open a sealed run; raises RunError where there is none, where it is unfinished, or not of
    `step`.
    """
    store = open_store(path)
    if not store.has(MANIFEST):
        raise _refuse_unfinished(store)
    run = FinishedRun(store, _read_manifest(store))
    if step is not None and run.step != step:
        raise RunError(
            f"a run of `{step}` is needed here",
            {"run": store.location, "is a run of": run.step},
            f"give a run folder named {step}-..., "
            f"as `gristmill runs list --out {store.parent().location}` shows them",
        )
    return run


def _refuse_unfinished(store: RunStore) -> RunError:
    if not store.exists():
        return RunError(
            "there is no such run folder",
            {"path": store.location},
            f"choose one of those that `gristmill runs list --out {store.parent().location}` shows",
        )
    return RunError(
        "this run is unfinished: it has no manifest",
        {"run": store.location},
        "run the command that writes it again, with the same options: it continues",
    )


def _read_manifest(store: RunStore) -> Mapping[str, Any]:
    try:
        manifest: Any = parse_json(store.read(MANIFEST), MANIFEST)
        if manifest["format"] == FORMAT and set(manifest) >= MANIFEST_KEYS:
            return dict(manifest)
    except (InputError, KeyError, TypeError):
        raise RunError(
            "the manifest of this run is damaged", {"run": store.location}, REDO
        ) from None
    raise RunError(
        "this run was written by another version",
        {"run": store.location, "format": manifest["format"], "known": FORMAT},
        REDO,
    )


def list_runs(out: StorePlace, step: str = "*") -> list[FinishedRun]:
    """The sealed runs (of one step) below `out`, oldest first; a finished run counts as new again
    when its command is repeated.

    Folders with a manifest that is not ours (a web page has one too) are passed over.
    """
    sealed = [store for store in open_store(out).children() if _is_sealed(store, step)]
    sealed.sort(key=lambda store: (store.get_last_used(), store.name))
    return [open_run(store) for store in sealed]


def _is_sealed(store: RunStore, step: str) -> bool:
    """Whether a folder is a sealed run, named as a run of `step` (`*`: of any)."""
    is_of_step = fnmatch.fnmatchcase(store.name, f"{step}-*")
    return is_of_step and NAME.search(store.name) is not None and store.has(MANIFEST)


NAME = re.compile(r"-[0-9a-f]{12}(-\d+)?$")
"""How the names of run folders end: what our settings hash to, and a sequence number where there is
one.
"""


def find_latest(out: StorePlace, step: str) -> FinishedRun:
    """The newest sealed run of a step; raises RunError where there is none."""
    runs = [run for run in list_runs(out, step) if run.step == step]
    if not runs:
        raise RunError(
            f"there is no finished run of `{step}`",
            {"folder": out},
            _suggest_folder(open_store(out), step),
        )
    return runs[-1]


def sibling_sessions(run: FinishedRun) -> list[FinishedRun]:
    """All sealed runs beside `run` that are calls of the same crawl, in their order: each holds
    only what it fetched.
    """
    crawl = run.details.get("crawl")
    if not crawl:
        return [run]
    beside = list_runs(run.store.parent(), run.step)
    sessions = [session for session in beside if session.details.get("crawl") == crawl]
    return sorted(sessions, key=lambda session: (session.sequence, session.id)) or [run]


def _suggest_folder(out: RunStore, step: str) -> str:
    """How to come to a run of `step`: there may be one a folder deeper, where `make
    demo` writes.
    """
    deeper = [store for store in out.children() if _has_manifest(store, step)]
    if deeper:
        folder = deeper[-1].location
        return f"there is one in {folder}: give --out {folder}, or name the run itself with --in"
    return (
        f"run `gristmill {command_of(step)}` first, name the run with --in, "
        "or the folder of your runs with --out"
    )


def _has_manifest(folder: RunStore, step: str) -> bool:
    return any(
        store.name.startswith(f"{step}-") and store.has(MANIFEST) for store in folder.children()
    )


def command_of(step: str) -> str:
    """The command that writes runs of a step."""
    return "tokenizer train" if step == "tokenizer" else step


def open_parents(run: FinishedRun) -> list[FinishedRun]:
    """The runs that `run` read, found beside it by name; raw files and absent runs are left out.

    Raises RunError where one of them was redone since with another content: its numbers would not
    be those of `run`.
    """
    folder = run.store.resolve().parent()
    records = [record for record in run.manifest["inputs"] if _has_run(folder, record["name"])]
    parents = [open_run(folder.child(record["name"])) for record in records]
    for parent, record in zip(parents, records, strict=True):
        if manifest_digest(parent) != record["identity"]:
            raise RunError(
                "a run that this one read has been redone since",
                {"run": run.location, "read": parent.location},
                f"run `gristmill {command_of(run.step)}` again, so that it reads what is there now",
            )
    return parents


def _has_run(folder: RunStore, name: str) -> bool:
    # An input of raw files may have any name, also one that is not a file's.
    is_plain = "/" not in name and name not in ("", ".", "..")
    return is_plain and folder.child(name).has(MANIFEST)


def ancestors(*ends: FinishedRun) -> list[FinishedRun]:
    """All runs that lead to `ends`, the ends included, each after everything that it read."""
    return _chain(ends, lambda _: True)


def corpus_lineage(*ends: FinishedRun) -> list[FinishedRun]:
    """The chain of `ends` without what a tokenizer was trained on: that may be another corpus, or
    another choice of it.
    """
    end_ids = {end.id for end in ends}
    return _chain(ends, lambda run: run.step != "tokenizer" or run.id in end_ids)


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
    """What `--in` names: a sealed run folder, or files. An unfinished run folder is refused, not
    read as files.
    """
    is_store = text.startswith(MEMORY) or (
        storage.is_local(text) and Path(text.removeprefix("file://")).is_dir()
    )
    if is_store:
        store = open_store(text)
        is_begun = store.has(LOCK) or bool(store.list(f"{receipts.FOLDER}/"))
        if store.has(MANIFEST) or is_begun:
            return open_run(store)
    return file_input(text)


def manifest_digest(run: FinishedRun) -> str:
    """The SHA-256 of a run's manifest: equal runs, equal digests."""
    return sha256_bytes(run.store.read(MANIFEST))
