"""MosaicML Streaming: a folder of MDS shards and `index.json` (format version 2), one sample a document.

A shard: number of samples (uint32), where each begins and the last ends (uint32), a JSON of the columns, the samples. A sample:
the sizes of its columns (uint32), then their bytes. Columns are `tokens` (bytes: ids as uint16 or uint32) and `id` (str), as
LLM Foundry reads them with `token_encoding_type`. Written here, for the library may not be installed beside a pinned torch.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gristmill.runs import storage
from reports.shards.formats.documents import Batch

SIZE_LIMIT = 1 << 26
"""Bytes of a shard, Streaming's default."""
HASHES = ("sha1",)
COLUMNS: dict[str, Any] = {
    "column_encodings": ["str", "bytes"],
    "column_names": ["id", "tokens"],
    "column_sizes": [None, None],
    "compression": None,
    "format": "mds",
    "hashes": list(HASHES),
    "size_limit": SIZE_LIMIT,
    "version": 2,
}


def write(
    folder: Path, split: str, batches: Iterable[Batch], vocabulary: int, end: int | None
) -> list[Path]:
    """Write a split as a folder of shards, the index last."""
    dtype = np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")
    paths, entries, index = [], [], folder / split / "index.json"
    index.unlink(
        missing_ok=True
    )  # killed in between, an older index must not stand beside new shards
    for number, samples in enumerate(_shards(_samples(batches, dtype))):
        path, sha1 = folder / split / f"shard.{number:05d}.mds", hashlib.sha1()
        with storage.open_for_commit(path) as file:
            for part in (
                head_of(samples),
                *samples,
            ):  # not joined: that would hold a shard three times over
                file.write(part)
                sha1.update(part)
            size = file.tell()
        raw = {"basename": path.name, "bytes": size, "hashes": {"sha1": sha1.hexdigest()}}
        entries.append(COLUMNS | {"raw_data": raw, "samples": len(samples), "zip_data": None})
        paths.append(path)
    storage.commit_bytes(
        index, json.dumps({"shards": entries, "version": 2}, sort_keys=True).encode()
    )
    return [*paths, index]


def _samples(batches: Iterable[Batch], dtype: np.dtype) -> Iterator[bytes]:
    for batch in batches:
        starts = [0, *batch.ends[:-1].tolist()]
        for name, start, stop in zip(batch.names, starts, batch.ends.tolist(), strict=True):
            columns = [name.encode(), batch.ids[start:stop].astype(dtype).tobytes()]
            yield np.array([len(column) for column in columns], "<u4").tobytes() + b"".join(columns)


def _shards(samples: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Samples in lists that fit a shard, one at least."""
    overhead = len(_described()) + 8
    some, size = list[bytes](), overhead
    for sample in samples:
        if some and size + len(sample) + 4 > SIZE_LIMIT:
            yield some
            some, size = [], overhead
        some.append(sample)
        size += len(sample) + 4
    if some:
        yield some


def _described() -> bytes:
    return json.dumps(COLUMNS, sort_keys=True).encode()


def head_of(samples: Sequence[bytes]) -> bytes:
    """What stands in front of the samples of a shard."""
    head, described = np.array([len(samples)], "<u4").tobytes(), _described()
    sums = np.cumsum([0, *map(len, samples)])
    offsets = (sums + len(head) + 4 * len(sums) + len(described)).astype("<u4")
    return head + offsets.tobytes() + described
