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

from gristmill.errors import RunError
from gristmill.runs import receipts, storage
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.decide.dedup.graph import Work, row_in_shard
from pipelines.decide.dedup.hash_list import HashList, is_written, open_list, write_list
from pipelines.decide.dedup.keys import nodes_of, ranks
from pipelines.decide.dedup.repeated import (
    FINGERPRINT,
    NO_HOST,
    PLACE,
    RUN,
    UNIT,
    Cuts,
    covered_words,
    cuts_of,
    fingerprint_rows,
    host_keys,
    later_places,
    reasons_of_lines,
    repeated_fingerprints,
    repeated_units,
    run_rows,
    summed,
    unit_rows,
    units_of,
)
from pipelines.document_shards import shard_path
from pipelines.engine.exchange import Numbers, Pieces, pack, unpack

UNITS, FINGERPRINTS, SPANS = "units", "fingerprints", "spans"
ROWS = 1000
"""Documents read at a time, of one row group."""
RANKED_BY = 3
"""Columns of a rank that order runs: priority, date and the first half of the id; the node comes after them."""
NOTHING = HashList((np.zeros(0, np.uint64),))


@dataclass(frozen=True, slots=True)
class Graph:
    """One graph: its name, which is the stage of its receipts, how many there are, and what wires it."""

    stage: str
    splits: int
    build: Callable[[beam.Pipeline], None]


def graphs(work: Work) -> tuple[Graph, ...]:
    """The graphs that the configuration asks for and that are not done, in the order in which they have to run."""
    partitions, shards = work.spread.partitions, work.spread.shards
    units = Graph(UNITS, partitions, partial(find_units, work=work))
    fingerprints = Graph(FINGERPRINTS, partitions, partial(find_fingerprints, work=work))
    spans = Graph(SPANS, shards, partial(find_spans, work=work))
    asked = [units] if work.config.repeated.asks_units else []
    if work.config.repeated.span_words and not _is_done(work, spans):
        asked += [fingerprints, spans]
    return tuple(graph for graph in asked if not _is_done(work, graph))


def _is_done(work: Work, graph: Graph) -> bool:
    if graph.stage == SPANS:
        return all(receipts.read_receipt(work.run, SPANS, shard) for shard in range(graph.splits))
    return all(
        is_written(work.run, graph.stage, number, graph.splits) for number in range(graph.splits)
    )


def find_units(pipeline: beam.Pipeline, work: Work) -> None:
    """Write the lists of repeated lines and paragraphs."""
    rows = (
        pipeline
        | "shards" >> Numbers(work.spread.shards)
        | "count units" >> beam.ParDo(_Rows(work, shard_units))
    )
    spread = work.spread
    _ = rows | "by unit" >> spread.exchange(
        UNIT, partial(write_units, work), every=spread.partitions
    )


def find_fingerprints(pipeline: beam.Pipeline, work: Work) -> None:
    """Write the lists of fingerprints that come more than once."""
    shards = pipeline | "shards" >> Numbers(work.spread.shards)
    rows = shards | "fingerprints" >> beam.ParDo(_Rows(work, shard_fingerprints))
    reduce, every = partial(write_fingerprints, work), work.spread.partitions
    _ = rows | "by fingerprint" >> work.spread.exchange(FINGERPRINT, reduce, every=every)


def find_spans(pipeline: beam.Pipeline, work: Work) -> None:
    """Write the places of runs that stand before; needs the lists of `find_fingerprints`."""
    runs = (
        pipeline
        | "shards" >> Numbers(work.spread.shards)
        | "runs" >> beam.ParDo(_Rows(work, shard_runs))
    )
    places = runs | "by run" >> work.spread.exchange(RUN, _later)
    _ = places | "by shard" >> work.spread.all_shards(PLACE, partial(write_places, work))


class _Rows(beam.DoFn):  # type: ignore[misc]
    """The rows that a function makes of each shard, as blocks."""

    def __init__(self, work: Work, function: Callable[[Work, int], Iterator[np.ndarray]]) -> None:
        self.work, self.function = work, function

    def process(self, shard: int) -> Iterator[bytes]:
        for rows in self.function(self.work, shard):
            if len(rows):
                yield pack(rows)


def _later(_: int, pieces: Pieces) -> Iterator[np.ndarray]:
    return later_places(pieces)


def keep_mask(folder: Path, shard: int) -> np.ndarray:
    """bool (rows,): which documents of a shard are kept."""
    with np.load(folder / SPILL / f"settled-{shard:05d}.npz") as saved:
        keep: np.ndarray = saved["keep"]
    return keep


def kept_batches(
    work: Work, shard: int, columns: list[str]
) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    """(rows in the shard, columns) of its kept documents, at most ROWS at a time; a row group at most is in memory."""
    keep, at = keep_mask(work.run, shard), 0
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


def shard_units(work: Work, shard: int) -> Iterator[np.ndarray]:
    """Rows (UNIT) of the kept documents of a shard; without hosts where none are asked for."""
    asked, found = work.config.repeated.hosts > 0, [np.zeros((0, UNIT), np.int64)]
    for _, batch in kept_batches(work, shard, ["text", "line_hashes", *(["url"] if asked else [])]):
        hosts = host_keys(batch["url"]) if asked else np.full(batch.num_rows, NO_HOST, np.int64)
        found.append(unit_rows(units_of(batch), hosts, work.config.repeated.line_bytes))
    yield summed(np.concatenate(found))


def shard_fingerprints(work: Work, shard: int) -> Iterator[np.ndarray]:
    """Rows (FINGERPRINT) of the kept documents of a shard."""
    batches = kept_batches(work, shard, ["text"])
    found = [fingerprint_rows(batch, work.config.repeated.span_words) for _, batch in batches]
    yield summed(np.concatenate([np.zeros((0, FINGERPRINT), np.int64), *found]))


def shard_runs(work: Work, shard: int) -> Iterator[np.ndarray]:
    """Rows (RUN) of the kept documents of a shard, where fingerprints are listed."""
    listed, newest = open_list(work.run, FINGERPRINTS), work.config.prefer_date == "newest"
    for rows, batch in kept_batches(work, shard, ["text", "id", "source", "kind", "published"]):
        rank = ranks(pa.table(batch), work.config.prefer, newest=newest)[:, :RANKED_BY]
        yield from run_rows(
            batch,
            work.config.repeated.span_words,
            listed,
            rank,
            nodes_of(shard, rows[-1] + 1)[rows],
        )


def write_units(work: Work, partition: int, pieces: Pieces) -> Iterator[np.ndarray]:
    """Write the units of a partition that repeat."""
    found = repeated_units(
        pieces, documents=work.config.repeated.documents, hosts=work.config.repeated.hosts
    )
    return _write(work, UNITS, partition, found)


def write_fingerprints(work: Work, partition: int, pieces: Pieces) -> Iterator[np.ndarray]:
    """Write the fingerprints of a partition that repeat."""
    return _write(work, FINGERPRINTS, partition, repeated_fingerprints(pieces))


def _write(
    work: Work, stage: str, partition: int, hashes: Iterator[np.ndarray]
) -> Iterator[np.ndarray]:
    partitions = work.spread.partitions
    if not is_written(work.run, stage, partition, partitions):
        write_list(work.run, stage, partition, hashes, partitions=partitions)
    yield from ()


def places_path(shard: int) -> str:
    """Where the places of a shard's repeated runs lie, below the run folder: little-endian int64 (m, PLACE), sorted."""
    return f"{SPILL}/repeated-{shard:05d}.i64"


def write_places(work: Work, shard: int, pieces: Pieces) -> Iterator[np.ndarray]:
    """Write the places of a shard, and the receipt."""
    if receipts.read_receipt(work.run, SPANS, shard) is None:
        name, count = places_path(shard), 0
        with storage.open_for_commit(work.run / name) as file:
            for rows in pieces:
                file.write(pack(rows))
                count += len(rows)
        files = (describe_file(work.run, name, rows=count),)
        receipts.commit_receipt(work.run, Receipt(SPANS, shard, count, files=files))
    yield from ()


def read_places(folder: Path, shard: int) -> np.ndarray:
    """int64 (m, PLACE): what `write_places` wrote; raises RunError where it is not there whole."""
    if receipts.read_receipt(folder, SPANS, shard) is None:
        told = {"file": folder / places_path(shard)}
        raise RunError(
            "the places of repeated text are missing or cut", told, "run the same command again"
        )
    return unpack((folder / places_path(shard)).read_bytes(), PLACE)


def cuts_of_shard(work: Work, shard: int) -> Cuts:
    """What is cut from all documents of a shard, in order, by the lists and places that the graphs wrote."""
    asked = work.config.repeated
    units = open_list(work.run, UNITS) if asked.asks_units else NOTHING
    places = read_places(work.run, shard) if asked.span_words else np.zeros((0, PLACE), np.int64)
    words = covered_words(places, asked.span_words)
    words[:, 0] = row_in_shard(words[:, 0])
    counts, found = np.zeros(len(keep_mask(work.run, shard)), np.int64), list[Cuts]()
    for rows, batch in kept_batches(work, shard, ["text", "line_hashes"]):
        first, end = np.searchsorted(words[:, 0], [rows[0], rows[-1] + 1])
        mine = words[first:end]
        mine = np.column_stack([np.searchsorted(rows, mine[:, 0]), mine[:, 1:]])
        lines = units_of(batch)
        found.append(cuts_of(batch, reasons_of_lines(lines, units, asked.line_bytes), lines, mine))
        counts[rows] = found[-1].counts
    return _joined(counts, found)


def _joined(counts: np.ndarray, found: list[Cuts]) -> Cuts:
    """The cuts of all batches of a shard."""
    none = Cuts(counts[:0], np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.uint8))
    every = [none, *found]
    starts, ends, labels = (
        np.concatenate([getattr(c, name) for c in every]) for name in ("starts", "ends", "labels")
    )
    return Cuts(counts, starts, ends, labels)
