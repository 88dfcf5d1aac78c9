"""Read token shards with pyarrow alone: every document as a view of the mapped file, nothing copied.

    python examples/pyarrow_reader.py runs/pack-e41a0c7d9f52/train

Needs numpy and pyarrow, not Gristmill. A stream that was cut between two messages reads as fewer documents without any error:
this looks for the marker that ends a whole one, and `gristmill shards verify` for all that can be wrong.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def batches(folder: str) -> Iterator[pa.RecordBatch]:
    """The record batches of a split, shard by shard."""
    paths = sorted(Path(folder).glob("data-*.arrow"))
    if not paths:
        raise FileNotFoundError(f"no shards in {folder}: give the folder of a split, as .../train")
    for path in paths:
        source = pa.memory_map(str(path))
        if source.size() < 8 or source.read_at(8, source.size() - 8) != END_OF_STREAM:
            raise ValueError(f"{path} is cut off")
        yield from pa.ipc.open_stream(source)


def documents(folder: str) -> Iterator[tuple[str, np.ndarray]]:
    """The id of every document and its tokens, uint16 or uint32 (tokens,), in the order of training."""
    for batch in batches(folder):
        column = batch["input_ids"]
        values, offsets = column.values.to_numpy(), column.offsets.to_numpy()
        for id, (start, stop) in zip(
            batch["id"].to_pylist(), itertools.pairwise(offsets), strict=True
        ):
            yield id, values[start:stop]


def main() -> None:
    count = tokens = 0
    for id, ids in documents(sys.argv[1]):
        if not count:
            print(f"the first: {id}, {len(ids)} tokens of type {ids.dtype}")
        count, tokens = count + 1, tokens + len(ids)
    print(f"{count} documents, {tokens} tokens")


if __name__ == "__main__":
    main()
