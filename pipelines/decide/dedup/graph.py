"""Duplicates as a Beam graph over packed rows; text never crosses a shuffle.

    content keys -> stars: exact duplicates ----------------------------+
    address keys -> stars: same address -+                              |
    band rows ----> stars: candidates ---+-> compared by signature -----+-> edges -> components -> clusters, by shard

In: key rows of `dedup.keys`. Out: rows (MEMBER) with the survivor's signature, grouped by shard. Exact duplicates have
no band rows: their original stands for them. All kinds of duplicates are edges of one graph, so a document has one
cluster and one survivor, which is kept. A cluster is a connected component: its ends may be less similar than the bound;
the similarity to the survivor says how similar.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics

from gristmill.corpus.shard_pairs import shard_path
from pipelines.decide.config import DecideConfig
from pipelines.decide.dedup import components, groups
from pipelines.decide.dedup.groups import (
    CLUSTERED,
    COMPONENT,
    EXACT,
    FLAGGED,
    MEMBER,
    NEAR,
    SAME_URL,
    TAGGED,
)
from pipelines.decide.dedup.keys import BAND, CONTENT_KEY, compute_survivor_order
from pipelines.decide.dedup.signatures import (
    SIGNED_EDGE,
    SIGNED_MEMBER,
    compute_min_agreement,
    get_shard_row,
    pack_signatures,
    read_signatures,
    split_chunks,
    unpack_signatures,
)
from pipelines.engine.exchange import CHUNK_BYTES, Exchange, Reducer
from pipelines.engine.packed_rows import PartitionBy, pack_rows, unpack_rows
from pipelines.engine.sorted_partition import SortedPartition, iter_whole_groups
from pipelines.row_layout import PackedRows, RowLayout

EDGE = RowLayout("edge", (("node", 1), ("other", 1), ("kind", 1)))
"""Two documents and the kind of duplicate that `node` is of `other`."""

NODE_PAIR = RowLayout("node pair", (("node", 1), ("other", 1)))

COMPARED_CENTRES = 2
"""Centres of a bucket that its documents are compared with: the first alone may be unlike two that are duplicates."""

METRICS, GIANT = "decide", "giant buckets"
"""Beam's counter of buckets with more members than a star may have."""


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """How rows are regrouped: over how many partitions and shards, through which folder of this machine, if any.

    No byte of the result depends on it.
    """

    partitions: int
    shards: int
    spill: str | None
    chunk_bytes: int = CHUNK_BYTES

    def exchange(
        self, width: int, reduce: Reducer, *, by: PartitionBy = "hash", every: int = 0
    ) -> Exchange:
        """Regroup rows by the hash of their first column, or by the shard of the node in it."""
        return Exchange(
            width,
            partitions=self.partitions,
            by=by,
            spill=self.spill,
            reduce=reduce,
            every=every,
            chunk_bytes=self.chunk_bytes,
        )

    def all_shards(self, width: int, reduce: Reducer) -> Exchange:
        """Regroup rows by shard, and visit the shards without rows too."""
        return self.exchange(width, reduce, by="shard", every=self.shards)

    def single(self, width: int, reduce: Reducer) -> Exchange:
        """Bring all rows into a single partition."""
        return replace(self, partitions=1).exchange(width, reduce)


@dataclass(frozen=True, slots=True)
class DecideJob:
    """What every graph of a run needs: `documents` is the folder of document shards, `folder` the run being written."""

    folder: str
    documents: str
    config: DecideConfig
    plan: PartitionPlan

    @property
    def run(self) -> Path:
        """The run being written."""
        return Path(self.folder)


class MapRows(beam.DoFn):
    """Apply a pure function to the rows of every block; empty results send nothing on."""

    def __init__(self, width: int, function: Callable[[PackedRows], PackedRows]) -> None:
        self.width = width
        self.function = function

    def process(self, block: bytes) -> Iterator[bytes]:
        rows = self.function(unpack_rows(block, self.width))
        if len(rows):
            yield pack_rows(rows)


def wire_exact_duplicates(keys: beam.PCollection, plan: PartitionPlan) -> beam.PCollection:
    """Rows (CONTENT_KEY) in; edges (duplicate, original, EXACT) out."""
    return keys | "by content" >> plan.exchange(CONTENT_KEY.width, _link_contents)


def _link_contents(_: int, chunks: SortedPartition) -> Iterator[PackedRows]:
    return _add_kind(EXACT, groups.link_stars(chunks, 2))


def wire_url_candidates(
    keys: beam.PCollection, plan: PartitionPlan, max_documents: int
) -> beam.PCollection:
    """Address keys (CONTENT_KEY) in; candidates (document, survivor of its address, SAME_URL) out."""
    reduce = partial(_link_addresses, max_documents)
    return keys | "by address" >> plan.exchange(CONTENT_KEY.width, reduce)


def _link_addresses(max_documents: int, _: int, chunks: SortedPartition) -> Iterator[PackedRows]:
    """Stars of the addresses that have no more documents than this: others are no evidence."""
    return _add_kind(SAME_URL, groups.link_stars(_drop_large_groups(chunks, max_documents), 2))


def _drop_large_groups(chunks: SortedPartition, max_rows: int) -> Iterator[PackedRows]:
    sizes = groups.count_group_sizes(chunks, 2)
    for rows, group, _ in groups.number_groups(chunks, 2):
        small = rows[sizes[group] <= max_rows]
        if len(small):
            yield small


def wire_band_candidates(
    bands: beam.PCollection, plan: PartitionPlan, centres: int
) -> beam.PCollection:
    """Rows (BAND) in; candidates (node, centre of its bucket, NEAR) out."""
    return bands | "by band" >> plan.exchange(BAND.width, partial(_link_buckets, centres))


def _link_buckets(centres: int, _: int, chunks: SortedPartition) -> Iterator[PackedRows]:
    counter = Metrics.counter(METRICS, GIANT)
    return _add_kind(NEAR, groups.link_stars(chunks, 1, centres=centres, on_giant=counter.inc))


def _add_kind(kind: int, pairs: Iterator[PackedRows]) -> Iterator[PackedRows]:
    for rows in pairs:
        yield np.column_stack([rows, np.full(len(rows), kind)])


@dataclass(frozen=True, slots=True)
class SimilarityCheck:
    """Rows (EDGE) in; those out whose signatures agree in at least `min_agreement` elements, by kind.

    The signature of `node` is sent to the shard of `other`: 448 bytes a distinct pair.
    """

    documents: str
    min_agreement: tuple[int, int]

    def wire(
        self, candidates: tuple[beam.PCollection, ...], plan: PartitionPlan
    ) -> beam.PCollection:
        """The two regroupings."""
        signed = candidates | "to a" >> plan.exchange(
            EDGE.width, self.attach_signatures, by="shard"
        )
        return signed | "to b" >> plan.exchange(SIGNED_EDGE.width, self.compare, by="shard")

    def attach_signatures(self, shard: int, chunks: SortedPartition) -> Iterator[PackedRows]:
        """Rows (EDGE) by node -> rows (SIGNED_EDGE), every pair once."""
        signatures = read_signatures(shard_path(self.documents, shard))
        for rows in split_chunks(groups.iter_distinct(chunks)):
            node = EDGE.column(rows, "node")
            yield SIGNED_EDGE.stack(
                other=EDGE.column(rows, "other"),
                node=node,
                kind=EDGE.column(rows, "kind"),
                signature=pack_signatures(signatures[get_shard_row(node)]),
            )

    def compare(self, shard: int, chunks: SortedPartition) -> Iterator[PackedRows]:
        """Rows (SIGNED_EDGE) by other -> rows (EDGE) of similar pairs; never of a document without a signature."""
        signatures = read_signatures(shard_path(self.documents, shard))
        min_agreement = np.array(self.min_agreement)
        for rows in chunks:
            other = SIGNED_EDGE.column(rows, "other")
            kind = SIGNED_EDGE.column(rows, "kind")
            other_signatures = signatures[get_shard_row(other)]
            node_signatures = unpack_signatures(SIGNED_EDGE.block(rows, "signature"))
            agreed = groups.count_agreement(node_signatures, other_signatures)
            similar = (agreed >= min_agreement[kind]) & other_signatures.any(axis=1)
            edges = EDGE.stack(node=SIGNED_EDGE.column(rows, "node"), other=other, kind=kind)
            yield edges[similar]


def wire_similar_edges(
    bands: beam.PCollection,
    addresses: beam.PCollection,
    documents: str,
    config: DecideConfig,
    plan: PartitionPlan,
) -> beam.PCollection:
    """Band rows and address keys in; edges of similar documents out. Kinds with a bound of 0 are not compared."""
    min_near = compute_min_agreement(config.near.min_similarity)
    min_url = compute_min_agreement(config.url.min_similarity)
    near = wire_band_candidates(bands, plan, COMPARED_CENTRES if min_near else 1)
    same_url = wire_url_candidates(addresses, plan, config.url.max_documents)
    candidates = ((near, min_near), (same_url, min_url))
    accepted = [edges for edges, bound in candidates if not bound]
    to_compare = tuple(edges for edges, bound in candidates if bound)
    if to_compare:
        accepted.append(SimilarityCheck(documents, (min_near, min_url)).wire(to_compare, plan))
    return accepted | "alike" >> beam.Flatten()


def select_nodes(rows: PackedRows) -> PackedRows:
    """Rows (EDGE) -> rows (NODE_PAIR)."""
    return rows[:, : NODE_PAIR.width]


def wire_union_find(
    edges: beam.PCollection, shard_rows: Sequence[int], plan: PartitionPlan
) -> beam.PCollection:
    """Rows (NODE_PAIR) in; (node, component id) out, by a single union-find."""
    reduce = partial(_assign_component_ids, tuple(shard_rows))
    return edges | "all edges" >> plan.single(NODE_PAIR.width, reduce)


def _assign_component_ids(
    shard_rows: Sequence[int], _: int, chunks: SortedPartition
) -> Iterator[PackedRows]:
    return components.assign_component_ids(chunks.unsorted(), shard_rows)


def wire_star_rounds(edges: beam.PCollection, plan: PartitionPlan, rounds: int) -> beam.PCollection:
    """Rows (NODE_PAIR) in; after so many rounds of large-star and small-star, edges (larger, smaller) out."""
    width = NODE_PAIR.width
    for number in range(rounds):
        mirror = beam.ParDo(MapRows(width, components.mirror_edges))
        orient = beam.ParDo(MapRows(width, components.orient_edges))
        both = edges | f"both ways {number}" >> mirror
        large = both | f"large star {number}" >> plan.exchange(width, _large_star)
        down = large | f"downwards {number}" >> orient
        edges = down | f"small star {number}" >> plan.exchange(width, _small_star)
    return edges


def _large_star(_: int, chunks: SortedPartition) -> Iterator[PackedRows]:
    return components.large_star(groups.iter_distinct(chunks))


def _small_star(_: int, chunks: SortedPartition) -> Iterator[PackedRows]:
    return components.small_star(groups.iter_distinct(chunks))


@dataclass(frozen=True, slots=True)
class ClusterGraph:
    """Component ids and edges in; members with their survivor's signature go to `finalize`, grouped by shard."""

    documents: str
    config: DecideConfig

    def wire(
        self,
        component_ids: beam.PCollection,
        edges: beam.PCollection,
        plan: PartitionPlan,
        finalize: Reducer,
    ) -> beam.PCollection:
        """The four regroupings."""
        tagged = (
            component_ids | "labels" >> beam.ParDo(MapRows(NODE_PAIR.width, _tag_components)),
            edges | "kinds" >> beam.ParDo(MapRows(EDGE.width, _tag_kinds)),
        )
        ordered = tagged | "rank" >> plan.exchange(
            TAGGED.width, self.attach_survivor_order, by="shard"
        )
        members = ordered | "by label" >> plan.exchange(CLUSTERED.width, _list_members)
        signed = members | "to survivor" >> plan.exchange(
            MEMBER.width, self.attach_signatures, by="shard"
        )
        return signed | "settle" >> plan.all_shards(SIGNED_MEMBER.width, finalize)

    def attach_survivor_order(self, shard: int, chunks: SortedPartition) -> Iterator[PackedRows]:
        """Rows (TAGGED) by node -> rows (CLUSTERED)."""
        table = pq.read_table(
            shard_path(self.documents, shard), columns=["id", "source", "kind", "published"]
        )
        newest = self.config.prefer_date == "newest"
        for rows in iter_whole_groups(chunks):
            flagged = groups.merge_flags(rows)
            node = FLAGGED.column(flagged, "node")
            documents = table.take(get_shard_row(node))
            order = compute_survivor_order(documents, self.config.prefer, newest=newest)
            yield CLUSTERED.stack(
                component_id=FLAGGED.column(flagged, "component_id"),
                exact=FLAGGED.column(flagged, "exact"),
                survivor_order=order,
                node=node,
                same_url=FLAGGED.column(flagged, "same_url"),
            )

    def attach_signatures(self, shard: int, chunks: SortedPartition) -> Iterator[PackedRows]:
        """Members by survivor -> rows (SIGNED_MEMBER) by node."""
        signatures = read_signatures(shard_path(self.documents, shard))
        for rows in split_chunks(chunks):
            survivor = rows[:, 0]  # it leads on the way to its shard, see `_list_members`
            packed = pack_signatures(signatures[get_shard_row(survivor)])
            yield np.column_stack([groups.swap_member_nodes(rows), packed])


def _tag_components(rows: PackedRows) -> PackedRows:
    """(node, component id) -> rows (TAGGED)."""
    tag = np.full(len(rows), COMPONENT)
    return TAGGED.stack(node=rows[:, 0], tag=tag, value=rows[:, 1])


def _tag_kinds(rows: PackedRows) -> PackedRows:
    """Rows (EDGE) -> rows (TAGGED) of those whose kind is a verdict on their first node."""
    tagged = TAGGED.stack(
        node=EDGE.column(rows, "node"),
        tag=EDGE.column(rows, "kind"),
        value=EDGE.column(rows, "other"),
    )
    verdicts: PackedRows = tagged[EDGE.column(rows, "kind") != NEAR]
    return verdicts


def _list_members(_: int, chunks: SortedPartition) -> Iterator[PackedRows]:
    for rows in groups.list_cluster_members(chunks):
        yield groups.swap_member_nodes(rows)
