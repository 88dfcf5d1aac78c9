"""Megatron: a `.bin` of ids and an `.idx` that says where documents lie (`MMapIndexedDataset`, version 1).

The index, little endian: magic, version (uint64), code of the type (uint8), sequences and documents (uint64 each; documents
are counted with the end of the last), then lengths (int32) and places in bytes (int64) of all sequences, and the sequence at
which each document begins (int64). Here a document is one sequence. Source: megatron/core/datasets/indexed_dataset.py.
"""

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gristmill.runs import storage
from reports.shards.formats.documents import Batch

MAGIC, VERSION = b"MMIDIDX\x00\x00", 1
CODES = {np.dtype(np.int32): 4, np.dtype(np.uint16): 8}
MOST_16 = 65_500
"""Megatron takes uint16 for vocabularies below this."""


def write(
    folder: Path, split: str, batches: Iterable[Batch], vocabulary: int, end: int | None
) -> list[Path]:
    """Write a split as `<split>_document.bin` and `.idx`; ids as uint16 or int32, as Megatron chooses."""
    dtype = np.dtype(np.uint16 if vocabulary < MOST_16 else np.int32)
    paths = [folder / f"{split}_document.{ending}" for ending in ("bin", "idx")]
    lengths = [np.zeros(0, np.int32)]
    paths[1].unlink(
        missing_ok=True
    )  # killed in between, an older index must not stand beside new ids
    with storage.open_for_commit(paths[0]) as file:
        for batch in batches:
            file.write(np.ascontiguousarray(batch.ids, dtype).tobytes())
            lengths.append(np.diff(batch.ends, prepend=0).astype(np.int32))
    with storage.open_for_commit(paths[1]) as file:
        file.write(index_of(np.concatenate(lengths), dtype))
    return paths


def index_of(lengths: np.ndarray, dtype: np.dtype) -> bytes:
    """The index of documents of so many ids each, one after the other."""
    places = (np.cumsum(lengths, dtype=np.int64) - lengths) * dtype.itemsize
    head = struct.pack("<QBQQ", VERSION, CODES[dtype], len(lengths), len(lengths) + 1)
    documents = np.arange(len(lengths) + 1, dtype="<i8")
    return b"".join(
        [
            MAGIC,
            head,
            lengths.astype("<i4").tobytes(),
            places.astype("<i8").tobytes(),
            documents.tobytes(),
        ]
    )
