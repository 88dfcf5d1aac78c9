"""Read token shards with tf.data: documents as ragged rows, or packed windows of a fixed length.

    python examples/tf_data.py runs/pack-e41a0c7d9f52/train --length 256 --batch 8

Needs tensorflow, numpy and pyarrow, not Gristmill, and no tensorflow-io.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa


def documents(folder: str) -> Iterator[np.ndarray]:
    """int32 (tokens,) of every document of a split, in the order of its shards."""
    paths = sorted(Path(folder).glob("data-*.arrow"))
    if not paths:
        raise FileNotFoundError(f"no shards in {folder}: give the folder of a split, as .../train")
    for path in paths:
        for batch in pa.ipc.open_stream(pa.memory_map(str(path))):
            ids, offsets = (
                batch["input_ids"].values.to_numpy(),
                batch["input_ids"].offsets.to_numpy(),
            )
            yield from (ids[a:b].astype(np.int32) for a, b in itertools.pairwise(offsets))


def windows(folder: str, length: int, end: int = 3) -> Iterator[np.ndarray]:
    """int32 (length,): the documents one after the other, with `end` behind each, in stretches; the rest is left out."""
    held = np.zeros(0, np.int32)
    for ids in documents(folder):
        held = np.concatenate([held, ids, np.array([end], np.int32)])
        while len(held) >= length:
            yield held[:length]
            held = held[length:]


def dataset(folder: str, length: int, batch: int, end: int = 3):  # type: ignore[no-untyped-def]
    """A tf.data.Dataset of int32 (batch, length)."""
    import tensorflow as tf

    signature = tf.TensorSpec((length,), tf.int32)
    rows = tf.data.Dataset.from_generator(
        lambda: windows(folder, length, end), output_signature=signature
    )
    return rows.shuffle(1000, seed=0).batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--end",
        type=int,
        default=3,
        help="the id between documents; another in imported tokenizers",
    )
    options = parser.parse_args()
    for batch in dataset(options.folder, options.length, options.batch, options.end).take(1):
        print(f"a batch: {tuple(batch.shape)}")


if __name__ == "__main__":
    main()
