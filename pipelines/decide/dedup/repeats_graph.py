"""Repeated text as Beam graphs, one after the other, and the cuts of a shard. Text is read where it lies, never sent.

    units:         shards -> (unit, host, documents) -> sums -> lists of repeated lines and paragraphs
    fingerprints:  shards -> (fingerprint, occurrences) -> sums -> lists of fingerprints that come twice
    spans:         shards -> runs at listed fingerprints, by rank -> all but the first of each -> places of a shard

Each ends in files with receipts, so what is done is not done again; a whole graph that is done can be left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.corpus.shard_pairs import shard_path
from gristmill.errors import RunError
from gristmill.runs import receipts, storage
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.decide.dedup.graph import DecideJob
from pipelines.decide.dedup.hash_list import HashList, is_written, open_list, write_list
from pipelines.decide.dedup.keys import compute_survivor_order, make_nodes
from pipelines.decide.dedup.repeated import (
    FINGERPRINT,
    NO_HOST,
    PLACE,
    RUN,
    UNIT,
    TextCuts,
    assign_line_reasons,
    compute_cuts,
    hash_hosts,
    locate_units,
    make_fingerprint_rows,
    make_run_rows,
    make_unit_rows,
    merge_covered_words,
    select_later_places,
    select_repeated_fingerprints,
    select_repeated_units,
    sum_rows,
)
from pipelines.decide.dedup.signatures import get_shard_row
from pipelines.engine.exchange import SplitIndices
from pipelines.engine.packed_rows import pack_rows, unpack_rows
from pipelines.engine.sorted_partition import SortedPartition

UNITS, FINGERPRINTS, SPANS = "units", "fingerprints", "spans"
ROWS = 1000
"""Documents read at a time, of one row group."""
RANKED_BY = 3
"""Columns of a rank that order runs: priority, date and the first half of the id; the node comes after them."""
EMPTY_LIST = HashList((np.zeros(0, np.uint64),))


@dataclass(frozen=True, slots=True)
class RepeatGraph:
    """One graph: its name, which is the stage of its receipts, how many there are, and what wires it."""

    stage: str
    splits: int
    build: Callable[[beam.Pipeline], None]


def list_pending_graphs(work: DecideJob) -> tuple[RepeatGraph, ...]:
    """The graphs that the configuration asks for and that are not done, in the order in which they have to run."""
    partitions, shards = work.plan.partitions, work.plan.shards
    units = RepeatGraph(UNITS, partitions, partial(wire_units, work=work))
    fingerprints = RepeatGraph(FINGERPRINTS, partitions, partial(wire_fingerprints, work=work))
    spans = RepeatGraph(SPANS, shards, partial(wire_spans, work=work))
    asked = [units] if work.config.repeated.asks_units else []
    if work.config.repeated.span_words and not _is_done(work, spans):
        asked += [fingerprints, spans]
    return tuple(graph for graph in asked if not _is_done(work, graph))


def _is_done(work: DecideJob, graph: RepeatGraph) -> bool:
    if graph.stage == SPANS:
        return all(receipts.read_receipt(work.run, SPANS, shard) for shard in range(graph.splits))
    return all(
        is_written(work.run, graph.stage, number, graph.splits) for number in range(graph.splits)
    )


def wire_units(pipeline: beam.Pipeline, work: DecideJob) -> None:
    """Write the lists of repeated lines and paragraphs."""
    rows = (
        pipeline
        | "shards" >> SplitIndices(work.plan.shards)
        | "count units" >> beam.ParDo(_Rows(work, count_shard_units))
    )
    plan = work.plan
    _ = rows | "by unit" >> plan.exchange(UNIT, partial(write_units, work), every=plan.partitions)


def wire_fingerprints(pipeline: beam.Pipeline, work: DecideJob) -> None:
    """Write the lists of fingerprints that come more than once."""
    shards = pipeline | "shards" >> SplitIndices(work.plan.shards)
    rows = shards | "fingerprints" >> beam.ParDo(_Rows(work, count_shard_fingerprints))
    reduce, every = partial(write_fingerprints, work), work.plan.partitions
    _ = rows | "by fingerprint" >> work.plan.exchange(FINGERPRINT, reduce, every=every)


def wire_spans(pipeline: beam.Pipeline, work: DecideJob) -> None:
    """Write the places of runs that stand before; needs the lists of `find_fingerprints`."""
    runs = (
        pipeline
        | "shards" >> SplitIndices(work.plan.shards)
        | "runs" >> beam.ParDo(_Rows(work, list_shard_runs))
    )
    places = runs | "by run" >> work.plan.exchange(RUN, _later)
    _ = places | "by shard" >> work.plan.all_shards(PLACE, partial(write_places, work))


class _Rows(beam.DoFn):
    """The rows that a function makes of each shard, as blocks."""

    def __init__(
        self, work: DecideJob, function: Callable[[DecideJob, int], Iterator[np.ndarray]]
    ) -> None:
        self.work, self.function = work, function

    def process(self, shard: int) -> Iterator[bytes]:
        for rows in self.function(self.work, shard):
            if len(rows):
                yield pack_rows(rows)


def _later(_: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    return select_later_places(pieces)


def read_keep_mask(folder: Path, shard: int) -> np.ndarray:
    """bool (rows,): which documents of a shard are kept."""
    with np.load(folder / SPILL / f"settled-{shard:05d}.npz") as saved:
        keep: np.ndarray = saved["keep"]
    return keep


def iter_kept_batches(
    work: DecideJob, shard: int, columns: list[str]
) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    """(rows in the shard, columns) of its kept documents, at most ROWS at a time; a row group at most is in memory."""
    keep, at = read_keep_mask(work.run, shard), 0
    with pq.ParquetFile(shard_path(work.documents, shard)) as file:
        if file.metadata.num_rows != len(keep):
            raise ValueError(
                f"shard {shard} has {file.metadata.num_rows} documents, {len(keep)} were judged"
            )
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(
                ROWS, row_groups=[group], columns=columns, use_threads=False
            ):
                mine = keep[at : at + batch.num_rows]
                if mine.any():
                    yield at + np.flatnonzero(mine), batch.filter(pa.array(mine))
                at += batch.num_rows


def count_shard_units(work: DecideJob, shard: int) -> Iterator[np.ndarray]:
    """Rows (UNIT) of the kept documents of a shard; without hosts where none are asked for."""
    asked, found = work.config.repeated.hosts > 0, [np.zeros((0, UNIT), np.int64)]
    for _, batch in iter_kept_batches(
        work, shard, ["text", "line_hashes", *(["url"] if asked else [])]
    ):
        hosts = hash_hosts(batch["url"]) if asked else np.full(batch.num_rows, NO_HOST, np.int64)
        found.append(make_unit_rows(locate_units(batch), hosts, work.config.repeated.line_bytes))
    yield sum_rows(np.concatenate(found))


def count_shard_fingerprints(work: DecideJob, shard: int) -> Iterator[np.ndarray]:
    """Rows (FINGERPRINT) of the kept documents of a shard."""
    batches = iter_kept_batches(work, shard, ["text"])
    found = [make_fingerprint_rows(batch, work.config.repeated.span_words) for _, batch in batches]
    yield sum_rows(np.concatenate([np.zeros((0, FINGERPRINT), np.int64), *found]))


def list_shard_runs(work: DecideJob, shard: int) -> Iterator[np.ndarray]:
    """Rows (RUN) of the kept documents of a shard, where fingerprints are listed."""
    listed, newest = open_list(work.run, FINGERPRINTS), work.config.prefer_date == "newest"
    for rows, batch in iter_kept_batches(
        work, shard, ["text", "id", "source", "kind", "published"]
    ):
        rank = compute_survivor_order(pa.table(batch), work.config.prefer, newest=newest)[
            :, :RANKED_BY
        ]
        yield from make_run_rows(
            batch,
            work.config.repeated.span_words,
            listed,
            rank,
            make_nodes(shard, rows[-1] + 1)[rows],
        )


def write_units(work: DecideJob, partition: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    """Write the units of a partition that repeat."""
    found = select_repeated_units(
        pieces, documents=work.config.repeated.documents, hosts=work.config.repeated.hosts
    )
    return _write(work, UNITS, partition, found)


def write_fingerprints(
    work: DecideJob, partition: int, pieces: SortedPartition
) -> Iterator[np.ndarray]:
    """Write the fingerprints of a partition that repeat."""
    return _write(work, FINGERPRINTS, partition, select_repeated_fingerprints(pieces))


def _write(
    work: DecideJob, stage: str, partition: int, hashes: Iterator[np.ndarray]
) -> Iterator[np.ndarray]:
    partitions = work.plan.partitions
    if not is_written(work.run, stage, partition, partitions):
        write_list(work.run, stage, partition, hashes, partitions=partitions)
    yield from ()


def make_places_path(shard: int) -> str:
    """Where the places of a shard's repeated runs lie, below the run folder: little-endian int64 (m, PLACE), sorted."""
    return f"{SPILL}/repeated-{shard:05d}.i64"


def write_places(work: DecideJob, shard: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    """Write the places of a shard, and the receipt."""
    if receipts.read_receipt(work.run, SPANS, shard) is None:
        name, count = make_places_path(shard), 0
        with storage.open_for_commit(work.run / name) as file:
            for rows in pieces:
                file.write(pack_rows(rows))
                count += len(rows)
        files = (describe_file(work.run, name, rows=count),)
        receipts.commit_receipt(work.run, Receipt(SPANS, shard, count, files=files))
    yield from ()


def read_places(folder: Path, shard: int) -> np.ndarray:
    """int64 (m, PLACE): what `write_places` wrote; raises RunError where it is not there whole."""
    if receipts.read_receipt(folder, SPANS, shard) is None:
        told = {"file": folder / make_places_path(shard)}
        raise RunError(
            "the places of repeated text are missing or cut", told, "run the same command again"
        )
    return unpack_rows((folder / make_places_path(shard)).read_bytes(), PLACE)


def compute_shard_cuts(work: DecideJob, shard: int) -> TextCuts:
    """What is cut from all documents of a shard, in order, by the lists and places that the graphs wrote."""
    asked = work.config.repeated
    units = open_list(work.run, UNITS) if asked.asks_units else EMPTY_LIST
    places = read_places(work.run, shard) if asked.span_words else np.zeros((0, PLACE), np.int64)
    words = merge_covered_words(places, asked.span_words)
    words[:, 0] = get_shard_row(words[:, 0])
    counts, found = np.zeros(len(read_keep_mask(work.run, shard)), np.int64), list[TextCuts]()
    for rows, batch in iter_kept_batches(work, shard, ["text", "line_hashes"]):
        first, end = np.searchsorted(words[:, 0], [rows[0], rows[-1] + 1])
        mine = words[first:end]
        mine = np.column_stack([np.searchsorted(rows, mine[:, 0]), mine[:, 1:]])
        lines = locate_units(batch)
        found.append(
            compute_cuts(batch, assign_line_reasons(lines, units, asked.line_bytes), lines, mine)
        )
        counts[rows] = found[-1].counts
    return _joined(counts, found)


def _joined(counts: np.ndarray, found: list[TextCuts]) -> TextCuts:
    """The cuts of all batches of a shard."""
    none = TextCuts(counts[:0], np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.uint8))
    every = [none, *found]
    starts, ends, labels = (
        np.concatenate([getattr(c, name) for c in every]) for name in ("starts", "ends", "labels")
    )
    return TextCuts(counts, starts, ends, labels)
