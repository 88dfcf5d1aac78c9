"""Sorted lists of 63-bit hashes on disk, one file a partition, that every worker looks up through mapped memory.

A file is little-endian uint64 and nothing else; its receipt has its size, and of how many partitions it is one. Lists of
another number of partitions, left by an attempt with other workers, count as not there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gristmill.errors import RunError
from gristmill.runs import receipts, storage
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.engine.packed_rows import assign_partitions

DTYPE = np.dtype("<u8")


@dataclass(frozen=True, slots=True)
class HashList:
    """All partitions of a list, sorted uint64 each."""

    partitions: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return sum(map(len, self.partitions))

    def contains(self, hashes: np.ndarray) -> np.ndarray:
        """bool (n,): which of `hashes` uint64 (n,), below 2 ** 63, are in the list."""
        if not len(self):
            return np.zeros(len(hashes), np.bool_)
        order = np.argsort(hashes)  # neighbours in a list lie on one page
        places = assign_partitions(hashes[order].astype(np.int64), len(self.partitions), "hash")
        order = order[np.argsort(places, kind="stable")]
        edges = np.r_[0, np.cumsum(np.bincount(places, minlength=len(self.partitions)))]
        found = np.zeros(len(hashes), np.bool_)
        for part, start, stop in zip(self.partitions, edges[:-1], edges[1:], strict=True):
            mine = order[start:stop]
            found[mine] = _among(part, hashes[mine])
        return found


def _among(part: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """bool (n,): which hashes are in a sorted array."""
    if not len(part):
        return np.zeros(len(hashes), np.bool_)
    places = np.minimum(np.searchsorted(part, hashes), len(part) - 1)
    equal: np.ndarray = part[places] == hashes
    return equal


def make_list_path(stage: str, partition: int, partitions: int) -> str:
    """Where one of so many partitions of the list that `stage` makes lies, below the run folder.

    Their number is in the name: the receipt of an attempt with another one must not vouch for this file.
    """
    return f"{SPILL}/lists/{stage}-{partition:05d}-of-{partitions:05d}.u64"


def is_written(folder: Path, stage: str, partition: int, partitions: int) -> bool:
    """Whether a partition of so many is there already."""
    receipt = receipts.read_receipt(folder, stage, partition)
    return receipt is not None and receipt.details.get("partitions") == partitions


def write_list(
    folder: Path, stage: str, partition: int, hashes: Iterable[np.ndarray], *, partitions: int
) -> Receipt:
    """Write a partition, given as ascending int64 or uint64 arrays one after the other, and its receipt."""
    name, rows, last = make_list_path(stage, partition, partitions), 0, -1
    with storage.open_for_commit(folder / name) as file:
        for part in hashes:
            if len(part) and (int(part[0]) <= last or (part[1:] <= part[:-1]).any()):
                raise ValueError(
                    f"hashes of {name} must ascend: after {last} came {int(part[0])} of {len(part)}"
                )
            file.write(part.astype(DTYPE).tobytes())
            rows, last = rows + len(part), int(part[-1]) if len(part) else last
    files = (describe_file(folder, name, rows=rows),)
    receipt = Receipt(stage, partition, rows, files=files, details={"partitions": partitions})
    receipts.commit_receipt(folder, receipt)
    return receipt


def open_list(folder: Path, stage: str) -> HashList:
    """The list that `stage` made; raises RunError where a partition is missing, or is not as long as was written."""
    first = receipts.read_receipt(folder, stage, 0)
    count = first.details["partitions"] if first else 1
    missing = [number for number in range(count) if not is_written(folder, stage, number, count)]
    if missing:
        raise RunError(
            "a list of repeated hashes is not whole",
            {
                "list": folder / make_list_path(stage, missing[0], count),
                "partitions missing": len(missing),
                "of": count,
            },
            "run the same command again",
        )
    return HashList(
        tuple(_mapped(folder / make_list_path(stage, number, count)) for number in range(count))
    )


def _mapped(path: Path) -> np.ndarray:
    """A file as sorted uint64, mapped: pages are shared by all workers; an empty file cannot be mapped."""
    size = path.stat().st_size
    if size % DTYPE.itemsize:
        raise RunError(
            "a list of repeated hashes is cut",
            {"list": path, "bytes": size},
            "run the same command again",
        )
    return np.memmap(path, DTYPE, "r") if size else np.zeros(0, DTYPE)
