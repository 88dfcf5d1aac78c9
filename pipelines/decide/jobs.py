"""The jobs that `decide` is run as: how many there are depends on memory, the graph of copies and what is looked for.

    one union-find over all documents fits:   decide
    else:                                     edges, stars 1, stars 2 ..., clusters
    where repeated text is looked for too:    ..., units, fingerprints, spans, decide

A job that was done before a crash is not done again, and no number of the result depends on how many there were.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gristmill import cli
from gristmill.runs import receipts
from gristmill.runs.run import SPILL
from pipelines.decide import graph as deciding
from pipelines.decide.config import DecideConfig
from pipelines.decide.decisions import FINALIZE, STAGE
from pipelines.decide.dedup.components import estimate_union_bytes
from pipelines.decide.dedup.edge_files import EdgeFiles, wire_more_rounds
from pipelines.decide.dedup.graph import EDGE, GIANT, DecideJob, PartitionPlan
from pipelines.decide.dedup.groups import MAX_STAR
from pipelines.decide.dedup.keys import BAND
from pipelines.decide.dedup.repeats_graph import list_pending_graphs
from pipelines.decide.shard_keys import KEYS
from pipelines.engine import launch as engine
from pipelines.engine.release_memory import release_to_os

LEAST_PIECE, MOST_PIECE = 1 << 16, 64 << 20
PIECES_IN_MEMORY = 32
"""A piece is so small a part of a worker's memory: it holds several, and sorted copies of them."""

SMALL_PART = 4
"""Band rows that are a smaller part of the memory leave no holes worth the time."""

Job = Callable[..., None]


def plan_partitions(
    documents: int, shards: int, config: DecideConfig, *, memory: int, workers: int, folder: Path
) -> PartitionPlan:
    """How the rows of so many documents are regrouped within `memory` bytes of so many workers.

    A partition of bands is half a piece, so that chance makes few larger than one.
    """
    piece = max(LEAST_PIECE, min(MOST_PIECE, memory // (PIECES_IN_MEMORY * workers)))
    return PartitionPlan(
        max(4, 2 * count_band_bytes(documents, config) // piece + 1),
        shards,
        str(folder / SPILL),
        piece,
    )


def count_band_bytes(documents: int, config: DecideConfig) -> int:
    """The bytes of all band rows of so many documents."""
    return documents * config.near.bands * BAND.width * 8


def run_jobs(
    work: DecideJob, shard_rows: Sequence[int], how: engine.Engine, memory: int
) -> dict[str, Any]:
    """Run those that are not done, over shards of so many documents; returns what they took."""
    took: list[Mapping[str, int]] = []
    if count_band_bytes(sum(shard_rows), work.config) > memory // SMALL_PART:
        release_to_os()

    def job(build: Callable[[Any], None], label: str, **stages: int) -> None:
        took.append(
            engine.run_pipeline(
                build, how, mode="threads", label=label, folder=work.run, stages=stages
            )
        )

    written = {STAGE: len(shard_rows)}
    if not work.config.repeated.is_asked:
        _settle(work, shard_rows, memory, job, written)
    else:
        if len(receipts.load_receipts(work.run, FINALIZE)) < len(shard_rows):
            _settle(work, shard_rows, memory, job, {})
        for graph in list_pending_graphs(work):
            job(graph.build, graph.stage, **{graph.stage: graph.splits})
        job(lambda pipeline: deciding.wire_write_decisions(pipeline, work), "decide", **written)
    return _summed(took)


def _settle(
    work: DecideJob, shard_rows: Sequence[int], memory: int, job: Job, written: Mapping[str, int]
) -> None:
    """Find the copies and settle every shard: at once where a union-find takes less than half of the memory."""
    settled = {FINALIZE: len(shard_rows), **written}
    if estimate_union_bytes(sum(shard_rows)) <= memory // 2:
        keys = {KEYS: len(shard_rows)}
        job(
            lambda pipeline: deciding.wire_decide(pipeline, work, shard_rows),
            "decide",
            **keys,
            **settled,
        )
    else:
        edges, stars = _stars(work, job)
        job(
            lambda pipeline: deciding.wire_finalize_files(pipeline, work, edges, stars),
            "clusters",
            **settled,
        )


def _stars(work: DecideJob, job: Job) -> tuple[EdgeFiles, EdgeFiles]:
    """The files of all edges, and of the stars they were made into, by as many jobs as that takes."""
    partitions = work.plan.partitions
    edges = EdgeFiles(work.folder, "edges", EDGE.width, partitions, work.plan.chunk_bytes)
    if not edges.is_done:
        stages = {KEYS: work.plan.shards, edges.name: partitions}
        job(lambda pipeline: deciding.wire_edge_files(pipeline, work, edges), "edges", **stages)
    before, number = edges, 0
    while True:
        number += 1
        after = EdgeFiles(work.folder, f"stars-{number}", 2, partitions, work.plan.chunk_bytes)
        if not after.is_checked:
            build = partial(wire_more_rounds, before=before, after=after, plan=work.plan)
            job(build, f"stars {number}", **{after.name: partitions})
        if not after.unsettled():
            return edges, after
        before = after


def _summed(jobs: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """What several jobs took: the most memory of any, and the sums of what they counted; giant buckets are told of."""
    counted = sum((Counter(job) for job in jobs), Counter[str]())
    if counted[GIANT]:
        cli.say(
            f"decide  {counted[GIANT]} bands were shared by more than {MAX_STAR:,} documents: each is compared star by star"
        )
    alike = {name: max(job[name] for job in jobs) for name in ("workers", "peak_bytes")}
    return {**counted, **alike, "jobs": len(jobs)}


def sum_cuts(folder: Path) -> dict[str, int]:
    """How many documents of a run lose repeated text, and how many bytes for each reason."""
    found = Counter[str]()
    for receipt in receipts.load_receipts(folder, STAGE).values():
        found.update({"documents": receipt.details["cut"], **receipt.details["cut_bytes"]})
    return dict(found)
