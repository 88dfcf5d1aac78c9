"""The exact global shuffle: a hash gives every encoded document its place in an output shard.

An encoder's rows lie in a spill file, sorted by (split, key). `Exchange` brings (output shard and
key, file and row, bytes) of all documents into order, in chunks bounded by `--memory`; the token
arrays themselves are read once, by place, while an output shard is written. Where one record batch
ends depends on the rows alone, so shards are equal for any memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.corpus.shards import shard_name, write_shard
from gristmill.runs import receipts, storage
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.engine.exchange import Exchange, SplitIndices
from pipelines.engine.packed_rows import pack_rows
from pipelines.engine.sorted_partition import SortedPartition

Ints = npt.NDArray[np.int64]

STAGE = "shards"
SPLITS = ("train", "validation", "test")

INDEX_WIDTH = 3
"""Columns of a spill's index: number of the split, key, bytes in a shard."""

EXCHANGE_WIDTH = 4
"""Columns of a row of the exchange:
output shard << 32 | upper bits of the key, lower bits, file << 32 | row, bytes."""

NODE_COLUMN = 2
"""The column of the exchange that says where a document lies: file << 32 | row."""

LOW_BITS = 31
"""A key has 63 bits: 32 upper ones and these."""

ROW_MASK = 0xFFFFFFFF
"""The row of a node: its lower 32 bits."""

BATCH_ROWS = 1000
BATCH_BYTES = 8 << 20
"""A record batch of a shard ends after so many rows, or before it would hold more bytes."""

MEMORY_PARTS = 8
"""A worker's memory is divided by this for the token arrays put in order at a time: they are held
three times, beside the chunk of the exchange."""

MAX_PIECE_BYTES = 16 << 20
MAX_GATHERED_BYTES = 1 << 30
"""A list column ends at 2^31 tokens."""

MIN_WORKER_BYTES = 1 << 20

LENGTH_BYTES = 4
"""What the offset of a list or string takes in a shard."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """How many output shards each split has; they are numbered through, by split."""

    counts: Mapping[str, int]

    def offset(self, split: str) -> int:
        """Return the number of a split's first output shard among all."""
        earlier_splits = SPLITS[: SPLITS.index(split)]
        return sum(self.counts[name] for name in earlier_splits)

    @property
    def total(self) -> int:
        """All output shards."""
        return sum(self.counts.values())

    def name_of(self, number: int) -> str:
        """Return the path below the run of output shard `number`."""
        split = next(
            name for name in reversed(SPLITS) if self.counts[name] and number >= self.offset(name)
        )
        return f"{split}/{shard_name(number - self.offset(split), self.counts[split])}"


@dataclass(frozen=True, slots=True)
class ShuffleJob:
    """Where the rows are, how they are written, and how much a worker holds at a time."""

    folder: str
    shards: int
    outputs: Outputs
    schema: pa.Schema
    piece_bytes: int
    """Bytes of rows of the exchange."""
    gathered_bytes: int
    """Bytes of token arrays."""


def plan_outputs(
    sizes: Mapping[str, int], shard_bytes: int, shares: Mapping[str, float]
) -> Outputs:
    """Return as many shards of about `shard_bytes` as each split's bytes need.

    A split with a share has one at least, one without a share has none.
    """
    counts: dict[str, int] = {}
    for name in SPLITS:
        rounded_up = -(-sizes[name] // shard_bytes)
        counts[name] = max(1, rounded_up) if shares[name] > 0 else 0
    return Outputs(counts)


def sort_encoded_rows(
    rows: pa.RecordBatch, splits: Ints, keys: Ints
) -> tuple[pa.RecordBatch, Ints]:
    """Return rows by (split, key), as a spill file holds them, and its index (rows, INDEX_WIDTH)."""
    order = np.lexsort((keys, splits))
    index = np.column_stack([splits, keys, measure_rows(rows)])[order]
    return rows.take(pa.array(order)), index


def measure_rows(rows: pa.RecordBatch) -> Ints:
    """int64 (n,): about how many bytes each row takes in a shard."""
    fixed_bytes = rows["bytes"].type.bit_width // 8
    sizes = np.full(rows.num_rows, fixed_bytes, np.int64)
    for column in rows.columns:
        if pa.types.is_integer(column.type):
            continue
        is_list = pa.types.is_list(column.type)
        element_bytes = column.type.value_type.bit_width // 8 if is_list else 1
        sizes += _measure_lengths(column) * element_bytes + LENGTH_BYTES
    return sizes


def _measure_lengths(column: pa.Array) -> Ints:
    """int64 (n,): elements of each list, or bytes of each string, from the offsets buffer."""
    _, offsets_buffer, *_ = column.buffers()
    if not offsets_buffer:  # an empty column may have none
        return np.zeros(0, np.int64)
    offsets = np.frombuffer(offsets_buffer, np.int32, len(column) + 1, 4 * column.offset)
    return np.diff(offsets).astype(np.int64)


def write_spill(folder: Path, shard: int, rows: pa.RecordBatch, index: Ints) -> list[str]:
    """Write the sorted rows of a document shard and their index; return both paths below `folder`."""
    rows_name = _name_rows(shard)
    index_name = _name_index(shard)
    with (
        storage.open_for_commit(folder / rows_name) as file,
        pa.ipc.new_file(file, rows.schema) as writer,
    ):
        writer.write_batch(rows)
    with storage.open_for_commit(folder / index_name) as file:
        np.save(file, index)
    return [rows_name, index_name]


def _name_rows(shard: int) -> str:
    return f"{SPILL}/tokens-{shard:05d}.arrow"


def _name_index(shard: int) -> str:
    return f"{SPILL}/places-{shard:05d}.npy"


def locate_rows(index: Ints, shard: int, outputs: Outputs) -> Ints:
    """int64 (rows, EXCHANGE_WIDTH): the exchange's rows of a spill file.

    The shards of a split divide the range of keys evenly.
    """
    splits, keys, sizes = index.T
    counts = np.array([outputs.counts[name] for name in SPLITS], np.int64)
    offsets = np.array([outputs.offset(name) for name in SPLITS], np.int64)
    high_bits = keys >> LOW_BITS
    low_bits = keys & ((1 << LOW_BITS) - 1)
    # high_bits < 2^32, so this is floor(counts x the key's fraction of its range)
    output_numbers = offsets[splits] + (high_bits * counts[splits] >> 32)
    nodes = shard << 32 | np.arange(len(index))
    return np.column_stack([output_numbers << 32 | high_bits, low_bits, nodes, sizes])


def divide_memory(memory: int, workers: int) -> tuple[int, int]:
    """Return `piece_bytes` and `gathered_bytes` of a `ShuffleJob` for so much memory in all."""
    worker_bytes = max(MIN_WORKER_BYTES, memory // workers)
    part_bytes = worker_bytes // MEMORY_PARTS
    return min(part_bytes, MAX_PIECE_BYTES), min(part_bytes, MAX_GATHERED_BYTES)


def shuffle(pipeline: beam.Pipeline, job: ShuffleJob) -> None:
    """Build the whole graph: places of all rows -> in order -> output shards."""
    exchange = Exchange(
        EXCHANGE_WIDTH,
        partitions=job.outputs.total,
        by="shard",
        spill=str(Path(job.folder) / SPILL),
        reduce=partial(write_output, job=job),
        every=job.outputs.total,
        chunk_bytes=job.piece_bytes,
    )
    spills = pipeline | "spills" >> SplitIndices(job.shards)
    places = spills | "places" >> beam.ParDo(_LocateRows(job.folder, job.outputs))
    places | "shuffle" >> exchange


class _LocateRows(beam.DoFn):
    """Emit the places of one spill file's rows."""

    def __init__(self, folder: str, outputs: Outputs) -> None:
        self.folder = folder
        self.outputs = outputs

    def process(self, shard: int) -> Iterator[bytes]:
        index = np.load(Path(self.folder) / _name_index(shard))
        rows = locate_rows(index, shard, self.outputs)
        if len(rows):
            yield pack_rows(rows)


def write_output(number: int, pieces: SortedPartition, *, job: ShuffleJob) -> Iterator[Ints]:
    """Write output shard `number` and its receipt; nothing is handed on."""
    folder = Path(job.folder)
    if receipts.read_receipt(folder, STAGE, number) is None:
        name = job.outputs.name_of(number)
        counter = _TokenCounter()
        batches = counter.count(iter_record_batches(pieces, job))
        rows = write_shard(folder / name, batches, job.schema)
        files = (describe_file(folder, name, rows=rows),)
        details = {"tokens": counter.tokens}
        receipt = Receipt(STAGE, number, rows, files=files, details=details)
        receipts.commit_receipt(folder, receipt)
    yield from ()


class _TokenCounter:
    """Counts the ids of record batches as they pass."""

    def __init__(self) -> None:
        self.tokens = 0

    def count(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self.tokens += len(batch["input_ids"].flatten())
            yield batch


def iter_record_batches(pieces: Iterable[Ints], job: ShuffleJob) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of an output shard: blocks of rows, gathered several at a time."""
    for blocks in batch_blocks(iter_blocks(pieces), job.gathered_bytes):
        documents, positions = gather_documents(Path(job.folder), np.concatenate(blocks))
        borders = np.cumsum([len(block) for block in blocks])[:-1]
        for block_positions in np.split(positions, borders):
            # taken, not sliced: a slice of other buffers would be written in other bytes
            batch = documents.take(pa.array(block_positions))
            yield pa.RecordBatch.from_arrays(batch.columns, schema=job.schema)


def iter_blocks(pieces: Iterable[Ints]) -> Iterator[Ints]:
    """Yield the rows of each record batch, wherever one piece ends and the next begins."""
    pending = np.zeros((0, EXCHANGE_WIDTH), np.int64)
    for piece in pieces:
        pending = np.concatenate([pending, piece])
        stops = find_block_ends(pending[:, -1])
        start = 0
        for stop in stops:
            yield pending[start:stop]
            start = stop
        pending = pending[start:]
    if len(pending):
        yield pending


def find_block_ends(sizes: Ints) -> list[int]:
    """Return where blocks end; the rows behind the last end may belong to a block that goes on."""
    sums = np.r_[0, np.cumsum(sizes)]
    stops: list[int] = []
    start = 0
    while start < len(sizes):
        fitting = int(np.searchsorted(sums, sums[start] + BATCH_BYTES, side="right")) - 1
        stop = max(start + 1, fitting)  # a row above BATCH_BYTES is a block of its own
        if stop >= len(sizes) and start + BATCH_ROWS > len(sizes):
            break
        start = min(stop, start + BATCH_ROWS)
        stops.append(start)
    return stops


def batch_blocks(blocks: Iterable[Ints], gathered_bytes: int) -> Iterator[list[Ints]]:
    """Yield blocks in lists of up to `gathered_bytes` of tokens, one block at least."""
    batch: list[Ints] = []
    batch_size = 0
    for block in blocks:
        block_size = int(block[:, -1].sum())
        if batch and batch_size + block_size > gathered_bytes:
            yield batch
            batch = []
            batch_size = 0
        batch.append(block)
        batch_size += block_size
    if batch:
        yield batch


def gather_documents(folder: Path, rows: Ints) -> tuple[pa.RecordBatch, Ints]:
    """Read the encoded documents that rows of the exchange (n, EXCHANGE_WIDTH) name.

    Returns them by file and row, and int64 (n,) the position among them of each row's document.
    """
    order = np.argsort(rows[:, NODE_COLUMN], kind="stable")
    nodes = rows[order, NODE_COLUMN]
    files = nodes >> 32
    is_last_of_file = np.r_[files[1:] != files[:-1], True]
    stops = np.flatnonzero(is_last_of_file) + 1
    starts = [0, *stops[:-1]]
    parts = [
        _read_documents(folder, nodes[start:stop])
        for start, stop in zip(starts, stops, strict=True)
    ]
    positions = np.empty(len(rows), np.int64)
    positions[order] = np.arange(len(rows))
    columns = [
        pa.concat_arrays([part.column(number) for part in parts])
        for number in range(parts[0].num_columns)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=parts[0].schema), positions


def _read_documents(folder: Path, nodes: Ints) -> pa.RecordBatch:
    """Copy rows of one spill file: the file is not mapped for longer than that."""
    shard = int(nodes[0] >> 32)
    file = pa.memory_map(str(folder / _name_rows(shard)))
    return pa.ipc.open_file(file).get_batch(0).take(pa.array(nodes & ROW_MASK))
