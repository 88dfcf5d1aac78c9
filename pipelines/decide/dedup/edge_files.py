"""Edges between jobs: one file a partition with its receipt, so that rounds of stars can go on where they ended.

The rounds that a graph needs are known only when they are done. A job runs a fixed number of them, writes what it got,
and counts the nodes that are no star yet; the launcher, which sees that number and no edge, starts another job if need be.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apache_beam as beam
import numpy as np

from gristmill.runs import receipts, storage
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.decide.dedup import components, groups
from pipelines.decide.dedup.graph import MapRows, PartitionPlan, select_nodes, wire_star_rounds
from pipelines.engine.exchange import CHUNK_BYTES, SplitIndices
from pipelines.engine.packed_rows import pack_rows
from pipelines.engine.sorted_partition import SortedPartition, iter_whole_groups

ROUNDS = 4
"""Rounds of one job: copies of web text need two or three, a path of 10^5 nodes with random numbers thirteen."""


@dataclass(frozen=True, slots=True)
class EdgeFiles:
    """The files of one stage: `width` columns in as many files as the edges are plan over partitions.

    The number of partitions is part of the stage's name: receipts of a run that went on with another --memory are of
    other files.
    """

    folder: str
    stage: str
    width: int
    partitions: int
    chunk_bytes: int = CHUNK_BYTES

    @property
    def name(self) -> str:
        """The stage as receipts know it."""
        return f"{self.stage}-of-{self.partitions}"

    @property
    def is_done(self) -> bool:
        """Whether every file is there, with its receipt."""
        return len(receipts.load_receipts(Path(self.folder), self.name)) == self.partitions

    @property
    def is_checked(self) -> bool:
        """Whether, besides, its nodes were looked through for what is no star yet."""
        return (
            self.is_done
            and len(receipts.load_receipts(Path(self.folder), f"{self.name}-check"))
            == self.partitions
        )

    def wire_write(self, edges: beam.PCollection, plan: PartitionPlan) -> beam.PCollection:
        """Write the distinct edges."""
        return edges | f"write {self.stage}" >> plan.exchange(
            self.width, self._write, every=self.partitions
        )

    def wire_check(self, edges: beam.PCollection, plan: PartitionPlan) -> beam.PCollection:
        """Count, into receipts, the nodes of (larger, smaller) edges that are no star yet."""
        roles = edges | "roles" >> beam.ParDo(MapRows(2, components.list_roles))
        return roles | f"check {self.stage}" >> plan.exchange(3, self._check, every=self.partitions)

    def wire_read(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """The edges, in blocks."""
        return (
            pipeline
            | f"{self.stage} files" >> SplitIndices(self.partitions)
            | f"read {self.stage}" >> beam.ParDo(_Read(self))
        )

    def unsettled(self) -> int:
        """How many nodes are no star yet."""
        done = receipts.load_receipts(Path(self.folder), f"{self.name}-check")
        return sum(int(receipt.details["unsettled"]) for receipt in done.values())

    def _write(self, partition: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
        folder, name = Path(self.folder), f"{SPILL}/{self.name}-{partition:05d}.edges"
        if receipts.read_receipt(folder, self.name, partition) is None:
            count = 0
            with storage.open_for_commit(folder / name) as file:
                for rows in groups.iter_distinct(pieces):
                    file.write(pack_rows(rows))
                    count += len(rows)
            receipts.commit_receipt(
                folder,
                Receipt(
                    self.name, partition, count, files=(describe_file(folder, name, rows=count),)
                ),
            )
        yield from ()

    def _check(self, partition: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
        found = sum(components.count_unsettled(rows) for rows in iter_whole_groups(pieces))
        receipts.commit_receipt(
            Path(self.folder),
            Receipt(f"{self.name}-check", partition, pieces.rows, details={"unsettled": found}),
        )
        yield from ()

    def read(self, partition: int) -> Iterator[bytes]:
        """The blocks of one file."""
        limit = max(1, self.chunk_bytes // (8 * self.width)) * 8 * self.width
        with open(Path(self.folder) / SPILL / f"{self.name}-{partition:05d}.edges", "rb") as file:
            yield from iter(partial(file.read, limit), b"")


class _Read(beam.DoFn):
    def __init__(self, files: EdgeFiles) -> None:
        self.files = files

    def process(self, partition: int) -> Iterator[bytes]:
        return self.files.read(partition)


def wire_more_rounds(
    pipeline: beam.Pipeline, before: EdgeFiles, after: EdgeFiles, plan: PartitionPlan
) -> None:
    """One job: read edges, ROUNDS rounds of stars, write edges, count what is no star yet."""
    edges = before.wire_read(pipeline) | "two nodes" >> beam.ParDo(
        MapRows(before.width, select_nodes)
    )
    stars = wire_star_rounds(edges, plan, ROUNDS)
    after.wire_write(stars, plan)
    after.wire_check(stars, plan)


def wire_component_files(pipeline: beam.Pipeline, stars: EdgeFiles) -> beam.PCollection:
    """(node, label) of settled stars; a label may come more than once."""
    return stars.wire_read(pipeline) | "labels of stars" >> beam.ParDo(
        MapRows(stars.width, components.read_star_components)
    )
