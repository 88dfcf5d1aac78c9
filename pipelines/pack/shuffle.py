"""The exact global shuffle: every encoded document gets its place in an output shard by a hash, whatever came before it.

An encoder's rows lie in a spill file, sorted by (split, key). `Exchange` brings (output shard and key, file and row, bytes)
of all documents into order, in pieces bounded by `--memory`; the token arrays themselves are read once, by place, while an
output shard is written. Where one record batch ends depends on the rows alone, so shards are equal for any memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa

from gristmill.corpus.shards import shard_name, write_shard
from gristmill.runs import receipts, storage
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.engine.exchange import Exchange, SplitIndices
from pipelines.engine.packed_rows import pack_rows
from pipelines.engine.sorted_partition import SortedPartition

STAGE = "shards"
SPLITS = ("train", "validation", "test")
PLACE_WIDTH = 3
"""Columns of a spill's index: number of the split, key, bytes in a shard."""
WIDTH = 4
"""Columns of a row of the exchange: output shard << 32 | upper bits of the key, lower bits, file << 32 | row, bytes."""
LOW_BITS = 31
"""A key has 63 bits: 32 upper ones and these."""
ROWS, BATCH_BYTES = 1000, 8 << 20
"""A record batch of a shard ends after so many rows, or before it would hold more bytes."""
GATHERED = 8
"""Parts of a worker's memory of which token arrays that are put in order at a time take one: they are held three times."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """How many output shards each split has; they are numbered through, by split."""

    counts: Mapping[str, int]

    def offset(self, split: str) -> int:
        """The number of a split's first output shard among all."""
        return sum(self.counts[name] for name in SPLITS[: SPLITS.index(split)])

    @property
    def total(self) -> int:
        """All output shards."""
        return sum(self.counts.values())

    def name_of(self, number: int) -> str:
        """The path below the run of output shard `number`."""
        split = next(
            name for name in reversed(SPLITS) if self.counts[name] and number >= self.offset(name)
        )
        return f"{split}/{shard_name(number - self.offset(split), self.counts[split])}"


def plan_outputs(
    sizes: Mapping[str, int], shard_bytes: int, shares: Mapping[str, float]
) -> Outputs:
    """As many shards of about `shard_bytes` as each split's bytes need; one at least, none for a split without a share."""
    return Outputs(
        {name: max(1, -(-sizes[name] // shard_bytes)) if shares[name] > 0 else 0 for name in SPLITS}
    )


def sorted_rows(
    rows: pa.RecordBatch, splits: np.ndarray, keys: np.ndarray
) -> tuple[pa.RecordBatch, np.ndarray]:
    """Rows by (split, key), as a spill file holds them, and its index (rows, PLACE_WIDTH)."""
    order = np.lexsort((keys, splits))
    index = np.column_stack([splits, keys, bytes_of(rows)])[order]
    return rows.take(pa.array(order)), index


def bytes_of(rows: pa.RecordBatch) -> np.ndarray:
    """int64 (n,): what each row takes in a shard, about."""
    found = np.full(rows.num_rows, rows["bytes"].type.bit_width // 8, np.int64)
    for column in rows.columns:
        if not pa.types.is_integer(column.type):
            _, buffer, *_ = column.buffers()
            cuts = (
                np.frombuffer(buffer, np.int32, len(column) + 1, 4 * column.offset)
                if buffer
                else np.zeros(1, np.int32)
            )
            width = column.type.value_type.bit_width // 8 if pa.types.is_list(column.type) else 1
            found += np.diff(cuts).astype(np.int64) * width + 4
    return found


def write_spill(folder: Path, shard: int, rows: pa.RecordBatch, index: np.ndarray) -> list[str]:
    """Write the sorted rows of a document shard and their index; returns both paths below `folder`."""
    names = [_spill(shard), _index(shard)]
    with (
        storage.open_for_commit(folder / names[0]) as file,
        pa.ipc.new_file(file, rows.schema) as writer,
    ):
        writer.write_batch(rows)
    with storage.open_for_commit(folder / names[1]) as file:
        np.save(file, index)
    return names


def _spill(shard: int) -> str:
    return f"{SPILL}/tokens-{shard:05d}.arrow"


def _index(shard: int) -> str:
    return f"{SPILL}/places-{shard:05d}.npy"


def placed(index: np.ndarray, shard: int, outputs: Outputs) -> np.ndarray:
    """int64 (rows, WIDTH): the exchange's rows of a spill file; a split's shards share the range of keys evenly."""
    splits, keys, sizes = index.T
    counts = np.array([outputs.counts[name] for name in SPLITS], np.int64)
    offsets = np.array([outputs.offset(name) for name in SPLITS], np.int64)
    high, low = keys >> LOW_BITS, keys & ((1 << LOW_BITS) - 1)
    numbers = offsets[splits] + (high * counts[splits] >> 32)
    return np.column_stack([numbers << 32 | high, low, shard << 32 | np.arange(len(index)), sizes])


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Where the rows are, how they are written, and how many bytes of rows and of tokens a worker holds at a time."""

    folder: str
    shards: int
    outputs: Outputs
    schema: pa.Schema
    piece: int
    held: int


def memory_of(memory: int, workers: int) -> tuple[int, int]:
    """(piece, held) of a `Shuffle` for so many bytes of memory and workers."""
    each = max(1 << 20, memory // workers)
    return min(each // GATHERED, 16 << 20), min(
        each // GATHERED, 1 << 30
    )  # a list column ends at 2^31 tokens


def shuffle(pipeline: beam.Pipeline, how: Shuffle) -> None:
    """The whole graph: places of all rows -> in order -> output shards."""
    exchange = Exchange(
        WIDTH,
        partitions=how.outputs.total,
        by="shard",
        spill=str(Path(how.folder) / SPILL),
        reduce=partial(write_output, how=how),
        every=how.outputs.total,
        chunk_bytes=how.piece,
    )
    places = (
        pipeline
        | "spills" >> SplitIndices(how.shards)
        | "places" >> beam.ParDo(_Place(how.folder, how.outputs))
    )
    places | "shuffle" >> exchange


class _Place(beam.DoFn):  # type: ignore[misc]
    """The places of one spill file's rows."""

    def __init__(self, folder: str, outputs: Outputs) -> None:
        self.folder, self.outputs = folder, outputs

    def process(self, shard: int) -> Iterator[bytes]:
        rows = placed(np.load(Path(self.folder) / _index(shard)), shard, self.outputs)
        if len(rows):
            yield pack_rows(rows)


def write_output(number: int, pieces: SortedPartition, *, how: Shuffle) -> Iterator[np.ndarray]:
    """Write output shard `number` and its receipt; there is nothing to hand on."""
    folder = Path(how.folder)
    if receipts.read_receipt(folder, STAGE, number) is None:
        name, tokens = how.outputs.name_of(number), [0]
        rows = write_shard(folder / name, _counted(record_batches(pieces, how), tokens), how.schema)
        files = (describe_file(folder, name, rows=rows),)
        receipts.commit_receipt(
            folder, Receipt(STAGE, number, rows, files=files, details={"tokens": tokens[0]})
        )
    yield from ()


def _counted(batches: Iterable[pa.RecordBatch], tokens: list[int]) -> Iterator[pa.RecordBatch]:
    """The same batches; their ids are counted as they pass."""
    for batch in batches:
        tokens[0] += len(batch["input_ids"].flatten())
        yield batch


def record_batches(pieces: Iterable[np.ndarray], how: Shuffle) -> Iterator[pa.RecordBatch]:
    """The record batches of an output shard: blocks of rows, gathered as many at a time as may be held."""
    for blocks in several(blocks_of(pieces), how.held):
        rows, places = gather(Path(how.folder), np.concatenate(blocks))
        for mine in np.split(places, np.cumsum([len(block) for block in blocks])[:-1]):
            # taken, not sliced: a slice of other buffers would be written in other bytes
            batch = rows.take(pa.array(mine))
            yield pa.RecordBatch.from_arrays(batch.columns, schema=how.schema)


def blocks_of(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The rows of each record batch: by their number and bytes, wherever one piece ends and the next begins."""
    held = np.zeros((0, WIDTH), np.int64)
    for piece in pieces:
        held = np.concatenate([held, piece])
        stops = _whole_blocks(held[:, -1])
        yield from (held[start:stop] for start, stop in zip([0, *stops], stops, strict=False))
        held = held[stops[-1] if stops else 0 :]
    if len(held):
        yield held


def _whole_blocks(sizes: np.ndarray) -> list[int]:
    """Where blocks end; what follows the last is not yet known to be one."""
    sums, stops, at = np.r_[0, np.cumsum(sizes)], list[int](), 0
    while at < len(sizes):
        stop = max(at + 1, int(np.searchsorted(sums, sums[at] + BATCH_BYTES, side="right")) - 1)
        if stop >= len(sizes) and at + ROWS > len(sizes):
            break
        at = min(stop, at + ROWS)
        stops.append(at)
    return stops


def several(blocks: Iterable[np.ndarray], held: int) -> Iterator[list[np.ndarray]]:
    """Blocks in lists of up to `held` bytes of tokens, one block at least."""
    some, size = list[np.ndarray](), 0
    for block in blocks:
        mine = int(block[:, -1].sum())
        if some and size + mine > held:
            yield some
            some, size = [], 0
        some.append(block)
        size += mine
    if some:
        yield some


def gather(folder: Path, rows: np.ndarray) -> tuple[pa.RecordBatch, np.ndarray]:
    """The encoded documents that rows of the exchange (n, WIDTH) name, and where among them each row's document is."""
    order = np.argsort(rows[:, 2], kind="stable")
    nodes = rows[order, 2]
    stops = np.flatnonzero(np.r_[nodes[1:] >> 32 != nodes[:-1] >> 32, True]) + 1
    parts = [
        _taken(folder, nodes[start:stop])
        for start, stop in zip([0, *stops[:-1]], stops, strict=True)
    ]
    places = np.empty(len(rows), np.int64)
    places[order] = np.arange(len(rows))
    columns = [
        pa.concat_arrays([part.column(number) for part in parts])
        for number in range(parts[0].num_columns)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=parts[0].schema), places


def _taken(folder: Path, nodes: np.ndarray) -> pa.RecordBatch:
    """Rows of one spill file, copied: the file is not mapped for longer than that."""
    file = pa.memory_map(str(folder / _spill(int(nodes[0] >> 32))))
    return pa.ipc.open_file(file).get_batch(0).take(pa.array(nodes & 0xFFFFFFFF))
