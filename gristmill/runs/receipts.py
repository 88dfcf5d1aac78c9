"""Receipts: the proof that one split of a stage is done - its counts, its files and their hashes -
written last.

A stage is a numbered set of splits. A worker that has a split's files on disk commits the receipt
beside them; after a crash every split with a valid receipt is reused. The ledger is summed from
receipts, so retries cannot count twice.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gristmill.errors import InputError
from gristmill.hashing import sha256_stream
from gristmill.runs.hashed_file import HashedFile
from gristmill.runs.json_files import encode_json, parse_json
from gristmill.runs.ledger import Entry, Unbalanced, check_balance
from gristmill.runs.store import RunStore, StorePlace
from gristmill.runs.store_uris import open_store

FOLDER = "receipts"


@dataclass(frozen=True, slots=True, order=True)
class DataFile:
    """One committed file of a run: its path below the run folder, bytes, SHA-256, and rows (-1: has
    none).
    """

    path: str
    bytes: int
    sha256: str
    rows: int = -1


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one split of one stage read and wrote; `read` is counted by the reader, apart from the
    entries' fates.
    """

    stage: str
    split: int
    read: int
    entries: tuple[Entry, ...] = ()
    files: tuple[DataFile, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.entries:
            check_balance(self.read, self.entries, where=f"{self.stage}, split {self.split}")


def describe_file(run: StorePlace, path: str, *, rows: int = -1) -> DataFile:
    """Describe a file of a run, which is read for its hash."""
    store = open_store(run)
    with store.open(path) as file:
        sha256 = sha256_stream(file)
        size = file.seek(0, io.SEEK_END)
    return DataFile(path, size, sha256, rows)


def describe_written(path: str, file: HashedFile, *, rows: int = -1) -> DataFile:
    """Describe a file that `RunStore.writer` wrote, after its block; nothing is read."""
    return DataFile(path, file.size, file.sha256, rows)


def commit_receipt(run: StorePlace, receipt: Receipt) -> None:
    """Commit a receipt. Its files must be committed before."""
    name = receipt_name(receipt.stage, receipt.split)
    open_store(run).put(name, encode_json(asdict(receipt)))


def receipt_name(stage: str, split: int) -> str:
    """The name of a split's receipt in its run."""
    return f"{FOLDER}/{stage}/{split:05d}.json"


def load_receipts(run: StorePlace, stage: str) -> dict[int, Receipt]:
    """The valid receipts of a stage by split: readable, and all their files are there with the
    recorded size.
    """
    store = open_store(run)
    receipts: dict[int, Receipt] = {}
    for name in store.list_names(f"{FOLDER}/{stage}/"):
        receipt = _read(store, stage, name) if name.endswith(".json") else None
        if receipt is not None:
            receipts[receipt.split] = receipt
    return dict(sorted(receipts.items()))


def read_receipt(run: StorePlace, stage: str, split: int) -> Receipt | None:
    """The valid receipt of one split, or None where it has still to be done."""
    return _read(open_store(run), stage, receipt_name(stage, split))


def count(run: StorePlace, stage: str) -> int:
    """How many receipts a stage has; cheap enough to show progress by."""
    names = open_store(run).list_names(f"{FOLDER}/{stage}/")
    return sum(1 for name in names if name.endswith(".json"))


def _read(store: RunStore, stage: str, name: str) -> Receipt | None:
    """A valid receipt, or None: the split is then simply done again.

    Invalid is one that is absent, garbled, of another split, or whose files are not as recorded.
    """
    try:
        receipt = _parse(parse_json(store.read(name), name))
    except (InputError, Unbalanced, KeyError, TypeError, ValueError):
        return None
    is_own = receipt.stage == stage and receipt_name(stage, receipt.split) == name
    return receipt if is_own and _has_files(store, receipt.files) else None


def _parse(raw: Any) -> Receipt:
    return Receipt(
        stage=raw["stage"],
        split=raw["split"],
        read=raw["read"],
        entries=tuple(Entry(**entry) for entry in raw["entries"]),
        files=tuple(DataFile(**file) for file in raw["files"]),
        details=raw["details"],
    )


def _has_files(store: RunStore, files: Sequence[DataFile]) -> bool:
    return all(store.get_size(file.path) == file.bytes for file in files)
