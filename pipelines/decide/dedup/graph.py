"""Copies as a Beam graph over packed rows; text never crosses a shuffle.

    content keys -> stars: exact copies --------------------------------+
    address keys -> stars: same address -+                              |
    band rows ----> stars: candidates ---+-> compared by signature -----+-> edges -> components -> clusters, by shard

Exact copies have no band rows: their original stands for them. All kinds of copies are edges of one graph, so a document
has one cluster and one survivor, and that one is kept. A cluster is a connected component: its ends may be less alike
than the bound; the similarity to the survivor tells.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics

from pipelines.annotate.signals.table import signature_matrix
from pipelines.config import PERMUTATIONS, DecideConfig
from pipelines.decide.dedup import components, groups
from pipelines.decide.dedup.groups import EXACT_COPY, MEMBER, PLACE
from pipelines.decide.dedup.keys import BAND_WIDTH, KEY_WIDTH, RANK_WIDTH, compute_survivor_order
from pipelines.document_shards import shard_path
from pipelines.engine.exchange import CHUNK_BYTES, Exchange, Reducer
from pipelines.engine.packed_rows import PartitionBy, pack_rows, unpack_rows
from pipelines.engine.sorted_partition import SortedPartition, iter_whole_groups

SIGNATURE_WIDTH = PERMUTATIONS // 2
"""A signature as int64 columns: two elements each."""

EDGE = 3
"""Columns of an edge: two nodes, and the kind of copy that makes it one."""

NEAR, SAME_URL, EXACT = 0, 1, 2
COMPARED_WITH = 2
"""Centres of a bucket that its documents are compared with: the first may be a stranger to those that are copies."""
LABEL = 0
"""What stands for a kind in rows that are labels."""

CARRIED = 1 << 14
"""Rows with a signature that are handed on at a time: 8 MB."""

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
    piece: int = CHUNK_BYTES

    def exchange(
        self, width: int, reduce: Reducer, *, by: PartitionBy = "hash", every: int = 0
    ) -> Exchange:
        """Regroup rows by the hash of their first column, or by the shard of the node in it."""
        place = {"partitions": self.partitions, "spill": self.spill, "chunk_bytes": self.piece}
        return Exchange(width, by=by, reduce=reduce, every=every, **place)  # type: ignore[arg-type]

    def all_shards(self, width: int, reduce: Reducer) -> Exchange:
        """Regroup rows by shard, and visit the shards without rows too."""
        return self.exchange(width, reduce, by="shard", every=self.shards)

    def in_one(self, width: int, reduce: Reducer) -> Exchange:
        """Bring all rows to one place."""
        return replace(self, partitions=1).exchange(width, reduce)


@dataclass(frozen=True, slots=True)
class DecideJob:
    """What every graph of a run needs to know; `documents` is the folder of document shards, `folder` the run being written."""

    folder: str
    documents: str
    config: DecideConfig
    spread: PartitionPlan

    @property
    def run(self) -> Path:
        """The run being written."""
        return Path(self.folder)


class MapRows(beam.DoFn):  # type: ignore[misc]
    """Apply a pure function to the rows of every block; empty results send nothing on."""

    def __init__(self, width: int, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self.width, self.function = width, function

    def process(self, block: bytes) -> Iterator[bytes]:
        rows = self.function(unpack_rows(block, self.width))
        if len(rows):
            yield pack_rows(rows)


@lru_cache(maxsize=2)
def read_signatures(path: str) -> np.ndarray:
    """uint32 (rows, PERMUTATIONS) of a document shard; zeros where there is none."""
    column = pq.read_table(path, columns=["signature"])["signature"].combine_chunks()
    matrix = signature_matrix(column)
    if column.null_count:
        matrix = np.where(
            column.is_valid().to_numpy(zero_copy_only=False)[:, None], matrix, np.uint32(0)
        )
    return matrix


def get_shard_row(nodes: Any) -> Any:
    """The row number in its shard of a node, or of each node of an array."""
    return nodes & 0xFFFFFFFF


def wire_exact_duplicates(keys: beam.PCollection, spread: PartitionPlan) -> beam.PCollection:
    """Content keys (KEY_WIDTH) in; edges (copy, original, EXACT) out."""
    return keys | "by content" >> spread.exchange(KEY_WIDTH, _stars_of_keys)


def _stars_of_keys(_: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    return _as(EXACT, groups.link_stars(pieces, 2))


def wire_url_candidates(
    keys: beam.PCollection, spread: PartitionPlan, max_documents: int
) -> beam.PCollection:
    """Address keys (KEY_WIDTH) in; candidates (document, best of its address, SAME_URL) out."""
    return keys | "by address" >> spread.exchange(
        KEY_WIDTH, partial(_stars_of_addresses, max_documents)
    )


def _stars_of_addresses(most: int, _: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    sizes = groups.count_group_sizes(pieces, 2)
    few = (rows[sizes[group] <= most] for rows, group, _ in groups.number_groups(pieces, 2))
    return _as(SAME_URL, groups.link_stars((rows for rows in few if len(rows)), 2))


def wire_band_candidates(
    bands: beam.PCollection, spread: PartitionPlan, centres: int
) -> beam.PCollection:
    """Band rows in; candidates (node, centre of its bucket, NEAR) out."""
    return bands | "by band" >> spread.exchange(BAND_WIDTH, partial(_stars_of_buckets, centres))


def _stars_of_buckets(centres: int, _: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    counter = Metrics.counter(METRICS, GIANT)
    return _as(NEAR, groups.link_stars(pieces, 1, centres=centres, on_giant=counter.inc))


def _as(kind: int, edges: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    return (np.column_stack([rows, np.full(len(rows), kind)]) for rows in edges)


@dataclass(frozen=True, slots=True)
class SimilarityCheck:
    """Candidates (a, b, kind) in; (a, b, kind) of those whose signatures agree in as many elements as `least` asks out.

    `least` by kind. The signature of a is carried to the shard of b: 448 bytes a distinct pair.
    """

    documents: str
    least: tuple[int, int]

    def wire(
        self, candidates: tuple[beam.PCollection, ...], spread: PartitionPlan
    ) -> beam.PCollection:
        """The two regroupings."""
        carried = candidates | "to a" >> spread.exchange(3, self.carry, by="shard")
        return carried | "to b" >> spread.exchange(3 + SIGNATURE_WIDTH, self.compare, by="shard")

    def carry(self, shard: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
        """(a, b, kind) -> (b, a, kind, signature of a), every pair once."""
        own = read_signatures(shard_path(self.documents, shard))
        for rows in split_chunks(groups.iter_distinct(pieces)):
            yield np.column_stack(
                [rows[:, 1], rows[:, 0], rows[:, 2], _as_columns(own[get_shard_row(rows[:, 0])])]
            )

    def compare(self, shard: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
        """(b, a, kind, signature of a) -> (a, b, kind) of those alike enough, and never of any without a signature."""
        own = read_signatures(shard_path(self.documents, shard))
        for rows in pieces:
            mine = own[get_shard_row(rows[:, 0])]
            agreed = groups.count_agreement(_as_signatures(rows[:, 3:]), mine)
            alike = (agreed >= np.array(self.least)[rows[:, 2]]) & mine.any(axis=1)
            yield np.column_stack([rows[:, 1], rows[:, 0], rows[:, 2]])[alike]


def split_chunks(pieces: Any) -> Iterator[np.ndarray]:
    """The same rows in pieces of at most CARRIED: what is added to them is much wider than they are."""
    for rows in pieces:
        for start in range(0, len(rows), CARRIED):
            yield rows[start : start + CARRIED]


def _as_columns(signatures: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(signatures, "<u4").view("<i8")


def _as_signatures(columns: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(columns, "<i8").view("<u4")


def compute_min_agreement(similarity: float) -> int:
    """In how many elements signatures agree at least that are estimated to be this similar."""
    return int(np.ceil(similarity * PERMUTATIONS))


def wire_similar_edges(
    bands: beam.PCollection,
    addresses: beam.PCollection,
    documents: str,
    config: DecideConfig,
    spread: PartitionPlan,
) -> beam.PCollection:
    """Band rows and address keys in; edges of what is alike out. Kinds with a bound of 0 are not compared."""
    least = tuple(
        compute_min_agreement(bound)
        for bound in (config.near.min_similarity, config.url.min_similarity)
    )
    near = wire_band_candidates(bands, spread, COMPARED_WITH if least[NEAR] else 1)
    found = {NEAR: near, SAME_URL: wire_url_candidates(addresses, spread, config.url.max_documents)}
    asked = [edges for kind, edges in found.items() if least[kind]]
    taken = [edges for kind, edges in found.items() if not least[kind]]
    if asked:
        taken.append(SimilarityCheck(documents, (least[0], least[1])).wire(tuple(asked), spread))
    return taken | "alike" >> beam.Flatten()


def select_nodes(rows: np.ndarray) -> np.ndarray:
    """(a, b, ...) -> (a, b)."""
    return rows[:, :2]


def wire_union_find(
    edges: beam.PCollection, shard_rows: Sequence[int], spread: PartitionPlan
) -> beam.PCollection:
    """Edges (a, b) in; (node, label) out, by one union-find."""
    return edges | "all edges" >> spread.in_one(2, partial(_union_labels, tuple(shard_rows)))


def _union_labels(
    shard_rows: Sequence[int], _: int, pieces: SortedPartition
) -> Iterator[np.ndarray]:
    return components.assign_component_ids(pieces.unsorted(), shard_rows)


def wire_star_rounds(
    edges: beam.PCollection, spread: PartitionPlan, rounds: int
) -> beam.PCollection:
    """Edges (a, b) in; after so many rounds of large-star and small-star, edges (larger, smaller) out."""
    for number in range(rounds):
        both = edges | f"both ways {number}" >> beam.ParDo(MapRows(2, components.mirror_edges))
        large = both | f"large star {number}" >> spread.exchange(2, _large_star)
        down = large | f"downwards {number}" >> beam.ParDo(MapRows(2, components.orient_edges))
        edges = down | f"small star {number}" >> spread.exchange(2, _small_star)
    return edges


def _large_star(_: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    return components.large_star(groups.iter_distinct(pieces))


def _small_star(_: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    return components.small_star(groups.iter_distinct(pieces))


@dataclass(frozen=True, slots=True)
class ClusterGraph:
    """Labels (node, label) and edges in; members with the survivor's signature, grouped by shard, are handed to `settle`."""

    documents: str
    config: DecideConfig

    def wire(
        self,
        labels: beam.PCollection,
        edges: beam.PCollection,
        spread: PartitionPlan,
        settle: Reducer,
    ) -> beam.PCollection:
        """The four regroupings."""
        tagged = (
            labels | "labels" >> beam.ParDo(MapRows(2, _label_rows)),
            edges | "kinds" >> beam.ParDo(MapRows(EDGE, _kind_rows)),
        )
        ranked = tagged | "rank" >> spread.exchange(3, self.rank, by="shard")
        members = ranked | "by label" >> spread.exchange(4 + RANK_WIDTH, _members)
        carried = members | "to survivor" >> spread.exchange(MEMBER, self.carry, by="shard")
        return carried | "settle" >> spread.all_shards(MEMBER + SIGNATURE_WIDTH, settle)

    def rank(self, shard: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
        """(node, LABEL or kind, label or other) -> (label, exact copy, rank, node, same address)."""
        table = pq.read_table(
            shard_path(self.documents, shard), columns=["id", "source", "kind", "published"]
        )
        newest = self.config.prefer_date == "newest"
        for rows in iter_whole_groups(pieces):
            node, label, exact, address = groups.merge_flags(rows).T
            rank = compute_survivor_order(
                table.take(get_shard_row(node)), self.config.prefer, newest=newest
            )
            yield np.column_stack([label, exact, rank, node, address])

    def carry(self, shard: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
        """Members by survivor -> members by node, with the signature of the survivor."""
        own = read_signatures(shard_path(self.documents, shard))
        for rows in split_chunks(pieces):
            by_node = rows[:, [1, 0, *range(2, MEMBER)]]
            yield np.column_stack([by_node, _as_columns(own[get_shard_row(rows[:, 0])])])


def _label_rows(rows: np.ndarray) -> np.ndarray:
    """(node, label) -> (node, LABEL, label)."""
    return np.column_stack([rows[:, 0], np.full(len(rows), LABEL), rows[:, 1]])


def _kind_rows(rows: np.ndarray) -> np.ndarray:
    """Edges -> (node, kind, other) of those whose kind is a verdict on their first node."""
    verdicts: np.ndarray = rows[rows[:, 2] != NEAR][:, [0, 2, 1]]
    return verdicts


def _members(_: int, pieces: SortedPartition) -> Iterator[np.ndarray]:
    for rows in groups.list_cluster_members(pieces):
        yield rows[:, [1, 0, *range(2, MEMBER)]]


def measure_members(documents: str, shard: int, pieces: SortedPartition) -> np.ndarray:
    """int64 (n, MEMBER + 1): the members of a shard, sorted by node, with their agreement to the survivor as last column.

    -1 where one without a signature is no exact copy: nothing says how alike it is.
    """
    own = read_signatures(shard_path(documents, shard)) if pieces.rows else None
    found = [np.zeros((0, MEMBER + 1), np.int64)]
    for rows in pieces:
        assert own is not None
        mine = own[get_shard_row(rows[:, 0])]
        agreed = groups.count_agreement(_as_signatures(rows[:, MEMBER:]), mine)
        agreed[~mine.any(axis=1) & (rows[:, PLACE] > 0) & (rows[:, EXACT_COPY] == 0)] = -1
        found.append(np.column_stack([rows[:, :MEMBER], agreed]))
    return np.concatenate(found)
