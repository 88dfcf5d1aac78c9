"""Count documents, tokens and bytes in the shards of a pack run, from offsets and columns, never the ids."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.shards import open_shard
from gristmill.runs.finished import FinishedRun
from reports.chain.report_data import TokenCounts, TokenSlice

SPLITS = ("train", "validation", "test")
LONGEST = 40
"""Powers of two that document lengths are counted by."""


def read_tokens(packed: FinishedRun) -> TokenCounts:
    """The slices of every split and the lengths of all documents; shards are memory-mapped and verified."""
    sums: Counter[tuple[str, str, str, str]] = Counter()
    lengths = np.zeros(LONGEST, np.int64)
    for split, table in _shards(packed):
        for batch in table.to_batches():
            tokens = pc.list_value_length(batch["input_ids"])
            lengths += count_lengths(tokens.to_numpy(zero_copy_only=False))
            for row in _grouped(batch, tokens):
                sums.update(
                    {
                        (split, row["source"], row["lang"], name): row[column]
                        for name, column in COLUMNS.items()
                    }
                )
    keys = sorted({key[:3] for key in sums}, key=lambda key: (SPLITS.index(key[0]), key[1], key[2]))
    return TokenCounts(
        run=packed.id,
        vocabulary=int(packed.details["vocab_size"]),
        tokenizer=str(packed.details["tokenizer"]),
        slices=tuple(TokenSlice(*key, *(sums[*key, name] for name in COLUMNS)) for key in keys),
        lengths=tuple(lengths[: int(np.flatnonzero(lengths).max(initial=-1)) + 1].tolist()),
    )


COLUMNS = {"documents": "tokens_count", "tokens": "tokens_sum", "bytes": "bytes_sum"}


def _shards(packed: FinishedRun) -> Iterator[tuple[str, pa.Table]]:
    for split in SPLITS:
        for file in packed.data_files(f"{split}/"):
            if file.path.endswith(".arrow"):
                yield split, open_shard(packed.path / file.path, rows=file.rows, size=file.bytes)


def _grouped(batch: pa.RecordBatch, tokens: pa.Array) -> list[dict[str, Any]]:
    sizes = {"tokens": tokens.cast(pa.int64()), "bytes": batch["bytes"].cast(pa.int64())}
    grouped = pa.table({"source": batch["source"], "lang": batch["lang"], **sizes})
    rows: list[dict[str, Any]] = (
        grouped.group_by(["source", "lang"])
        .aggregate([("tokens", "count"), ("tokens", "sum"), ("bytes", "sum")])
        .to_pylist()
    )
    return rows


def count_lengths(lengths: np.ndarray) -> np.ndarray:
    """int64 (LONGEST,): how many documents have 2**i to 2**(i+1)-1 tokens; empty ones count to the first."""
    powers = np.frexp(np.maximum(lengths, 1).astype(np.float64))[1] - 1
    return np.bincount(powers, minlength=LONGEST)[:LONGEST].astype(np.int64)
