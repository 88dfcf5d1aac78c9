"""Count duplicate clusters by size, and choose which are shown - the largest, and a sample - in bounded memory."""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.view import COPIES
from gristmill.hashing import key64

LARGEST = 5

BINS = 40
"""Columns of the histogram of similarity, from 0 to 1."""


@dataclass(slots=True)
class ClusterSizes:
    """Running counts of clusters of near and equal copies, and the largest of them.

    A cluster's label is the smallest of its nodes (shard << 32 | row), so exactly one row of each has its own node as
    its label, however many are kept.
    """

    most: int = LARGEST
    sizes: Counter[int] = field(default_factory=Counter)
    top: list[tuple[int, int]] = field(default_factory=list)
    """(-size, label) of the largest clusters, sorted."""

    def add(self, batch: pa.Table, shard: int, start: int) -> None:
        """Count the clusters that begin in this batch, whose first row is row `start` of its shard."""
        if "cluster" not in batch.schema.names:
            return
        labels, sizes = batch["cluster"].to_numpy(), batch["cluster_size"].to_numpy()
        nodes = (shard << 32) + np.arange(start, start + len(labels))
        is_first = (labels == nodes) & (sizes > 1)
        self.sizes.update(sizes[is_first].tolist())
        ranked = zip((-sizes[is_first]).tolist(), labels[is_first].tolist(), strict=True)
        self.top = heapq.nsmallest(self.most, [*self.top, *ranked])


@dataclass(slots=True)
class Reservoir:
    """A random sample of the clusters that lost a document: those whose kept id has the smallest hash with `seed`.

    It depends on nothing but the ids: not on the order of documents, nor on how they lie in shards (bottom-k sampling;
    Cohen and Kaplan, Summarizing data using bottom-k sketches, 2007).
    """

    most: int
    seed: int
    chosen: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Label -> (hash, kept id), the smallest first."""

    def add(self, batch: pa.Table) -> None:
        """Draw from the dropped rows of this batch."""
        is_copy = pc.and_(pc.is_valid(batch["kept_id"]), pc.greater_equal(batch["cluster"], 0))
        columns = ["cluster", "kept_id"]
        pairs = batch.filter(is_copy).select(columns).group_by(columns).aggregate([])
        labels, kept_ids = pairs["cluster"].to_pylist(), pairs["kept_id"].to_pylist()
        for label, kept_id in zip(labels, kept_ids, strict=True):
            candidate = (key64(kept_id, salt=self.seed), kept_id)
            self.chosen[label] = min(candidate, self.chosen.get(label, candidate))
        smallest = heapq.nsmallest(self.most, self.chosen.items(), key=_order_by_hash)
        self.chosen = dict(smallest)


def _order_by_hash(item: tuple[int, tuple[int, str]]) -> tuple[tuple[int, str], int]:
    """By hash, then kept id, then label: a total order, so that the sample is the same in every run."""
    label, hash_and_id = item
    return hash_and_id, label


@dataclass(slots=True)
class DropCounts:
    """Running counts of the documents dropped as copies: by reason, and by their similarity to the kept text."""

    legend: Sequence[str]
    documents: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    bins: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    unmeasured: int = 0

    def add(self, batch: pa.Table) -> None:
        """Count a batch; a document counts under the first of its reasons."""
        self.documents += batch.num_rows
        bits = batch["reasons"].to_numpy().astype(np.uint64)
        lowest = bits & (~bits + np.uint64(1))
        is_copy = np.zeros(len(bits), bool)
        for position, name in enumerate(self.legend):
            if name in COPIES:
                is_reason = lowest == np.uint64(1) << np.uint64(position)
                self.dropped[name] += int(np.count_nonzero(is_reason))
                is_copy |= is_reason
        self._count_similarities(batch["similarity"].cast(pa.float64()).to_numpy()[is_copy])

    def _count_similarities(self, similarities: npt.NDArray[Any]) -> None:
        measured = similarities[~np.isnan(similarities)]
        self.unmeasured += len(similarities) - len(measured)
        # 1e-6: a float32 just below the edge of a bin belongs to the bin that its printed value names.
        columns = np.clip(measured * BINS + 1e-6, 0, BINS - 1).astype(np.int64)
        self.bins += np.bincount(columns, minlength=BINS)
