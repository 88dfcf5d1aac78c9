"""`decide` as Beam graphs: keep or drop every document, with all reasons, from signals and hashes alone.

shards -> keys (rules, hashes) -> exact duplicates -> bands of the others -> near duplicates ---+-> edges -> clusters
                                -> same addresses ----------------------------------------------+

edges -> components -> clusters -> by shard: finalized -> decisions/part-00000.parquet + receipt

One job where the components fit in memory. Else three and more: edges to files, rounds of stars until all components are
stars, clusters. Each continues where it was stopped. Text is read for `repeated` only, see `dedup.repeats_graph`. This
module only wires; what is decided stands in `shard_keys`, `decisions` and `dedup`.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import apache_beam as beam

from pipelines.decide.decisions import FINALIZE, STAGE, finalize_shard, write_decisions
from pipelines.decide.dedup import graph
from pipelines.decide.dedup.edge_files import EdgeFiles, wire_component_files
from pipelines.decide.dedup.graph import EDGE, DecideJob, MapRows
from pipelines.decide.shard_keys import (
    KEYS,
    list_shard_addresses,
    list_shard_bands,
    write_shard_keys,
)
from pipelines.engine.exchange import SplitIndices
from pipelines.engine.packed_rows import pack_rows

STAGES = (KEYS, FINALIZE, STAGE)
"""The stages of a run's receipts, in order."""


def wire_decide(pipeline: beam.Pipeline, job: DecideJob, shard_rows: Sequence[int]) -> None:
    """The whole graph, its components by one union-find: `shard_rows` are the documents of each shard."""
    edges = wire_edges(pipeline, job)
    pairs = edges | "two nodes" >> beam.ParDo(MapRows(EDGE.width, graph.select_nodes))
    component_ids = graph.wire_union_find(pairs, shard_rows, job.plan)
    wire_finalize(component_ids, edges, job)


def wire_edge_files(pipeline: beam.Pipeline, job: DecideJob, files: EdgeFiles) -> None:
    """The first job of a large graph."""
    files.wire_write(wire_edges(pipeline, job), job.plan)


def wire_finalize_files(
    pipeline: beam.Pipeline, job: DecideJob, edges: EdgeFiles, stars: EdgeFiles
) -> None:
    """The last job of a large graph."""
    wire_finalize(wire_component_files(pipeline, stars), edges.wire_read(pipeline), job)


def wire_edges(pipeline: beam.Pipeline, job: DecideJob) -> beam.PCollection:
    """Judge the shards; rows (EDGE) between documents that pass and are duplicates."""
    plan = job.plan
    shards = pipeline | "shards" >> SplitIndices(plan.shards)
    keys = shards | "keys" >> beam.ParDo(WriteShardKeys(job))
    copies = graph.wire_exact_duplicates(keys, plan)
    bands = copies | "bands" >> plan.all_shards(EDGE.width, partial(list_shard_bands, job))
    addresses = copies | "addresses" >> plan.all_shards(
        EDGE.width, partial(list_shard_addresses, job)
    )
    similar = graph.wire_similar_edges(bands, addresses, job.documents, job.config, plan)
    return (copies, similar) | "edges" >> beam.Flatten()


def wire_finalize(component_ids: beam.PCollection, edges: beam.PCollection, job: DecideJob) -> None:
    """Component ids and edges to finalized shards."""
    clusters = graph.ClusterGraph(job.documents, job.config)
    clusters.wire(component_ids, edges, job.plan, partial(finalize_shard, job))


class WriteShardKeys(beam.DoFn):
    """Judge one shard by rules, and send the content keys of what passes."""

    def __init__(self, job: DecideJob) -> None:
        self.job = job

    def process(self, shard: int) -> Iterator[bytes]:
        contents = write_shard_keys(self.job, shard)
        if len(contents):
            yield pack_rows(contents)


def wire_write_decisions(pipeline: beam.Pipeline, job: DecideJob) -> None:
    """The job that writes the decisions where repeated text was looked for before."""
    shards = pipeline | "shards" >> SplitIndices(job.plan.shards)
    _ = shards | "write" >> beam.ParDo(_WriteDecisions(job))


class _WriteDecisions(beam.DoFn):
    def __init__(self, job: DecideJob) -> None:
        self.job = job

    def process(self, shard: int) -> Iterator[int]:
        write_decisions(self.job, shard)
        yield shard
