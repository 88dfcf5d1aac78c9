"""Count documents, tokens and bytes in the shards of a pack run.

Only offsets and small columns are read: the token ids themselves stay on disk.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.shards import open_shard
from gristmill.runs.finished import FinishedRun
from reports.chain.report_data import TokenCounts, TokenSlice

SPLITS = ("train", "validation", "test")

MAX_POWERS = 40
"""Powers of two that document lengths are counted by: up to 2**40 tokens."""

Int64s = npt.NDArray[np.int64]
SliceKey = tuple[str, str, str]
"""Split, source and language."""


def read_tokens(packed: FinishedRun) -> TokenCounts:
    """The slices of every split and the lengths of all documents; shards are memory-mapped and verified."""
    documents, tokens, sizes = Counter[SliceKey](), Counter[SliceKey](), Counter[SliceKey]()
    lengths = np.zeros(MAX_POWERS, np.int64)
    for split, table in _iter_shards(packed):
        for batch in table.to_batches():
            token_counts = pc.list_value_length(batch["input_ids"])
            lengths += count_lengths(token_counts.to_numpy(zero_copy_only=False))
            for row in _sum_by_source(batch, token_counts):
                key = (split, row["source"], row["lang"])
                documents[key] += row["tokens_count"]
                tokens[key] += row["tokens_sum"]
                sizes[key] += row["bytes_sum"]
    order = sorted(documents, key=lambda key: (SPLITS.index(key[0]), key[1], key[2]))
    used_powers = int(np.flatnonzero(lengths).max(initial=-1)) + 1
    return TokenCounts(
        run=packed.id,
        vocabulary=int(packed.details["vocab_size"]),
        tokenizer=str(packed.details["tokenizer"]),
        slices=tuple(TokenSlice(*key, documents[key], tokens[key], sizes[key]) for key in order),
        lengths=tuple(lengths[:used_powers].tolist()),
    )


def _iter_shards(packed: FinishedRun) -> Iterator[tuple[str, pa.Table]]:
    for split in SPLITS:
        for file in packed.data_files(f"{split}/"):
            if file.path.endswith(".arrow"):
                yield split, open_shard(packed.path / file.path, rows=file.rows, size=file.bytes)


def _sum_by_source(batch: pa.RecordBatch, token_counts: pa.Array) -> list[dict[str, Any]]:
    """One row for each source and language: tokens_count (documents), tokens_sum, bytes_sum."""
    # int64: sums of 32-bit lengths overflow on large shards.
    sizes = {"tokens": token_counts.cast(pa.int64()), "bytes": batch["bytes"].cast(pa.int64())}
    table = pa.table({"source": batch["source"], "lang": batch["lang"], **sizes})
    grouped = table.group_by(["source", "lang"])
    sums = grouped.aggregate([("tokens", "count"), ("tokens", "sum"), ("bytes", "sum")])
    rows: list[dict[str, Any]] = sums.to_pylist()
    return rows


def count_lengths(lengths: npt.NDArray[Any]) -> Int64s:
    """int64 (MAX_POWERS,): how many documents have 2**i to 2**(i+1)-1 tokens; empty ones count to the first."""
    # frexp gives x = m * 2**e with 0.5 <= m < 1, so the power of two below x is e - 1.
    powers = np.frexp(np.maximum(lengths, 1).astype(np.float64))[1] - 1
    return np.bincount(powers, minlength=MAX_POWERS)[:MAX_POWERS].astype(np.int64)
