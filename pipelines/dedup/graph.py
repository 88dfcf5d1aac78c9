"""Near and exact duplicates as a Beam graph over packed rows; text never crosses a shuffle.

    band rows -> buckets -> edges -> verified by signature -+-> components -> ranks -> clusters -> similarity to survivor
    exact keys -> groups -> edges that need no verifying ---+

Exact copies are edges of the same graph, so a document has one cluster and one survivor, and that one is kept.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq

from pipelines.config import NearConfig
from pipelines.dedup import groups
from pipelines.dedup.keys import EXACT_WIDTH, RANK_WIDTH, ranks
from pipelines.document_shards import shard_path
from pipelines.exchange import Exchange, pack, unpack
from pipelines.signals.table import PERMUTATIONS, signature_matrix

SIGNATURE_WIDTH = PERMUTATIONS // 2
"""A signature as int64 columns: two elements each."""

EXACT_COPY, MEMBER = 2, 7
"""Widths of what comes out: exact copies, and cluster members with their agreement in the last column."""


class OnRows(beam.DoFn):  # type: ignore[misc]
    """Apply a pure function to the rows of every (partition, block); empty results send nothing on."""

    def __init__(self, width: int, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self.width, self.function = width, function

    def process(self, group: tuple[int, bytes]) -> Iterator[bytes]:
        rows = self.function(unpack(group[1], self.width))
        if len(rows):
            yield pack(rows)


class _JoinShard(beam.DoFn):  # type: ignore[misc]
    """Join rows, grouped by the shard of the node in their first column, with that shard's own columns."""

    def __init__(self, width: int, documents: str, join: Callable[[np.ndarray, str], np.ndarray]) -> None:
        self.width, self.documents, self.join = width, documents, join

    def process(self, group: tuple[int, bytes]) -> Iterator[bytes]:
        shard, block = group
        rows = self.join(unpack(block, self.width), shard_path(self.documents, shard))
        if len(rows):
            yield pack(rows)


@lru_cache(maxsize=2)
def shard_signatures(path: str) -> np.ndarray:
    """uint32 (rows, PERMUTATIONS) of a document shard."""
    return signature_matrix(pq.read_table(path, columns=["signature"])["signature"].combine_chunks())


def row_in_shard(nodes: Any) -> Any:
    """The row number in its shard of a node, or of each node of an array."""
    return nodes & 0xFFFFFFFF


class ExactDuplicates(beam.PTransform):  # type: ignore[misc]
    """Exact keys in; blocks of copies (node, first node of its group) out."""

    def __init__(self, *, partitions: int, spill: str | None) -> None:
        super().__init__()
        self.partitions, self.spill = partitions, spill

    def expand(self, keys: beam.PCollection) -> beam.PCollection:
        grouped = keys | "by hash" >> Exchange(EXACT_WIDTH, partitions=self.partitions, spill=self.spill)
        return grouped | "losers" >> beam.ParDo(OnRows(EXACT_WIDTH, groups.exact_losers))


class NearDuplicates(beam.PTransform):  # type: ignore[misc]
    """Band rows and exact copies in; members (survivor, node, label, size, survivor's id halves, agreement) out.

    A cluster is a connected component: its ends may be less alike than `min_similarity`; `similarity` tells.
    """

    def __init__(
        self, config: NearConfig, documents: str, prefer: tuple[str, ...], *, partitions: int, spill: str | None
    ) -> None:
        super().__init__()
        self.config, self.documents, self.prefer = config, documents, prefer
        self.partitions, self.spill = partitions, spill

    def expand(self, bands_and_copies: Any) -> beam.PCollection:  # Beam warns of any other hint of a pair
        bands, copies = bands_and_copies
        some, one = self._exchange(self.partitions), self._exchange(1)
        by_shard = self._exchange(self.partitions, "shard")
        edges = bands | "by band" >> some(2) | "buckets" >> beam.ParDo(OnRows(2, groups.star_edges))
        edges = edges | "by edge" >> some(2) | "distinct" >> beam.ParDo(OnRows(2, groups.unique_rows))
        agreed = edges | "verify" >> Agreement(2, self.documents, by_shard)
        least = int(np.ceil(self.config.min_similarity * PERMUTATIONS))
        alike = agreed | "alike" >> beam.ParDo(_AtLeast(3, least))
        edges = (alike, copies) | "near and exact" >> beam.Flatten()
        labels = edges | "all edges" >> one(2) | "components" >> beam.ParDo(OnRows(2, groups.component_labels))
        nodes = labels | "node first" >> beam.ParDo(Columns(2, (1, 0))) | "by shard" >> by_shard(2)
        ranked = nodes | "rank" >> beam.ParDo(_JoinShard(2, self.documents, _Ranked(self.prefer)))
        width = 2 + RANK_WIDTH
        members = ranked | "by label" >> some(width) | "clusters" >> beam.ParDo(OnRows(width, groups.cluster_members))
        return members | "similarity" >> Agreement(6, self.documents, by_shard)

    def _exchange(self, partitions: int, by: str = "hash") -> Callable[[int], Exchange]:
        return lambda width: Exchange(width, partitions=partitions, by=by, spill=self.spill)  # type: ignore[arg-type]


class Agreement(beam.PTransform):  # type: ignore[misc]
    """Rows (node a, node b, ...) in; the same rows with the agreement of both signatures as last column out."""

    def __init__(self, width: int, documents: str, by_shard: Callable[[int], Exchange]) -> None:
        super().__init__()
        self.width, self.documents, self.by_shard = width, documents, by_shard

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        wide = self.width + SIGNATURE_WIDTH
        carried = (
            rows
            | "to a" >> self.by_shard(self.width)
            | "carry" >> beam.ParDo(_JoinShard(self.width, self.documents, _carry_signature))
        )
        return (
            carried
            | "to b" >> self.by_shard(wide)
            | "compare" >> beam.ParDo(_JoinShard(wide, self.documents, _compare_signature))
        )


def _carry_signature(rows: np.ndarray, path: str) -> np.ndarray:
    """(a, b, ...) -> (b, a, ..., signature of a)."""
    own = np.ascontiguousarray(shard_signatures(path)[row_in_shard(rows[:, 0])], "<u4").view("<i8")
    return np.column_stack([rows[:, 1], rows[:, 0], rows[:, 2:], own])


def _compare_signature(rows: np.ndarray, path: str) -> np.ndarray:
    """(b, a, ..., signature of a) -> (a, b, ..., agreement)."""
    carried = np.ascontiguousarray(rows[:, -SIGNATURE_WIDTH:], "<i8").view("<u4")
    own = shard_signatures(path)[row_in_shard(rows[:, 0])]
    return np.column_stack([rows[:, 1], rows[:, 0], rows[:, 2:-SIGNATURE_WIDTH], groups.agreement(carried, own)])


class _Ranked:
    """(node, label) -> (label, rank, node)."""

    def __init__(self, prefer: tuple[str, ...]) -> None:
        self.prefer = prefer

    def __call__(self, rows: np.ndarray, path: str) -> np.ndarray:
        table = pq.read_table(path, columns=["id", "source", "kind", "published"])
        own = ranks(table.take(row_in_shard(rows[:, 0])), self.prefer)
        return np.column_stack([rows[:, 1], own, rows[:, 0]])


class _AtLeast(beam.DoFn):  # type: ignore[misc]
    """Keep rows whose last column is at least `least`; drop that column."""

    def __init__(self, width: int, least: int) -> None:
        self.width, self.least = width, least

    def process(self, block: bytes) -> Iterator[bytes]:
        rows = unpack(block, self.width)
        kept = rows[rows[:, -1] >= self.least, :-1]
        if len(kept):
            yield pack(kept)


class Columns(beam.DoFn):  # type: ignore[misc]
    """Reorder the columns of blocks."""

    def __init__(self, width: int, order: tuple[int, ...]) -> None:
        self.width, self.order = width, order

    def process(self, block: bytes) -> Iterator[bytes]:
        yield pack(unpack(block, self.width)[:, self.order])
