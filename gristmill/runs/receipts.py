"""Receipts: the proof that one split of a stage is done - its counts, its files and their hashes - written last.

A stage is a numbered set of splits. A worker that has a split's files on disk commits the receipt beside them; after a
crash every split with a valid receipt is reused. The ledger is summed from receipts, so retries cannot count twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gristmill.errors import InputError
from gristmill.hashing import sha256_file
from gristmill.runs import storage
from gristmill.runs.ledger import Entry, Unbalanced, check_balance

FOLDER = "receipts"


@dataclass(frozen=True, slots=True, order=True)
class DataFile:
    """One committed file of a run: its path below the run folder, bytes, SHA-256, and rows (-1: has none)."""

    path: str
    bytes: int
    sha256: str
    rows: int = -1


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one split of one stage read and wrote; `read` is counted by the reader, apart from the entries' fates."""

    stage: str
    split: int
    read: int
    entries: tuple[Entry, ...] = ()
    files: tuple[DataFile, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.entries:
            check_balance(self.read, self.entries, where=f"{self.stage}, split {self.split}")


def describe_file(folder: Path, path: str, *, rows: int = -1) -> DataFile:
    """Describe a file that lies below `folder`."""
    full = folder / path
    return DataFile(path, full.stat().st_size, sha256_file(full), rows)


def commit_receipt(folder: Path, receipt: Receipt) -> None:
    """Commit a receipt. Its files must be committed before."""
    storage.commit_json(receipt_path(folder, receipt.stage, receipt.split), asdict(receipt))


def receipt_path(folder: Path, stage: str, split: int) -> Path:
    """Where the receipt of a split lies."""
    return folder / FOLDER / stage / f"{split:05d}.json"


def load_receipts(folder: Path, stage: str) -> dict[int, Receipt]:
    """The valid receipts of a stage by split: readable, and all their files are there with the recorded size."""
    found: dict[int, Receipt] = {}
    for info in storage.list_files(folder / FOLDER / stage):
        if info.path.endswith(".json") and (receipt := _read(folder, stage, Path(info.path))):
            found[receipt.split] = receipt
    return dict(sorted(found.items()))


def read_receipt(folder: Path, stage: str, split: int) -> Receipt | None:
    """The valid receipt of one split, or None where it has still to be done."""
    return _read(folder, stage, receipt_path(folder, stage, split))


def count(folder: Path, stage: str) -> int:
    """How many receipts a stage has; cheap enough to show progress by."""
    place = folder / FOLDER / stage
    return (
        sum(1 for path in place.glob("*.json") if not path.name.startswith(storage.TEMPORARY))
        if place.is_dir()
        else 0
    )


def _read(folder: Path, stage: str, path: Path) -> Receipt | None:
    """A valid receipt; None for one that is absent, garbled, of another split, or whose files are not as recorded:
    the split is simply done again."""
    try:
        raw = storage.read_json(path)
        receipt = Receipt(
            stage=raw["stage"],
            split=raw["split"],
            read=raw["read"],
            entries=tuple(Entry(**entry) for entry in raw["entries"]),
            files=tuple(DataFile(**file) for file in raw["files"]),
            details=raw["details"],
        )
        own = (receipt.stage, receipt_path(folder, stage, receipt.split)) == (stage, path)
        return receipt if own and _files_are_there(folder, receipt.files) else None
    except (InputError, Unbalanced, KeyError, TypeError, ValueError):
        return None


def _files_are_there(folder: Path, files: Sequence[DataFile]) -> bool:
    return all(
        (folder / file.path).is_file() and (folder / file.path).stat().st_size == file.bytes
        for file in files
    )
