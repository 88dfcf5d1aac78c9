"""Count duplicate clusters by size, and choose which are shown - the largest, and a sample - in bounded memory."""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
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
        cluster, size = batch["cluster"].to_numpy(), batch["cluster_size"].to_numpy()
        heads = (cluster == (shard << 32) + np.arange(start, start + len(cluster))) & (size > 1)
        self.sizes.update(size[heads].tolist())
        found = zip((-size[heads]).tolist(), cluster[heads].tolist(), strict=True)
        self.top = heapq.nsmallest(self.most, [*self.top, *found])


@dataclass(slots=True)
class Reservoir:
    """A random sample of the clusters that lost a document: those whose kept id has the smallest hash with `seed`.

    It depends on nothing but the ids: not on the order of documents, nor on how they lie in shards (bottom-k sampling;
    Cohen and Kaplan, Summarizing data using bottom-k sketches, 2007).
    """

    most: int
    seed: int
    found: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Label -> (hash, kept id), the smallest first."""

    def add(self, batch: pa.Table) -> None:
        """Draw from the dropped rows of this batch."""
        lost = batch.filter(
            pc.and_(pc.is_valid(batch["kept_id"]), pc.greater_equal(batch["cluster"], 0))
        )
        pairs = lost.select(["cluster", "kept_id"]).group_by(["cluster", "kept_id"]).aggregate([])
        for label, id in zip(
            pairs["cluster"].to_pylist(), pairs["kept_id"].to_pylist(), strict=True
        ):
            new = (key64(id, salt=self.seed), id)
            self.found[label] = min(new, self.found.get(label, new))
        kept = heapq.nsmallest(self.most, self.found.items(), key=lambda item: (item[1], item[0]))
        self.found = dict(kept)


@dataclass(slots=True)
class DropCounts:
    """Running counts of the documents dropped as copies: by reason, and by their similarity to the kept text."""

    legend: Sequence[str]
    documents: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    bins: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    unmeasured: int = 0

    def add(self, batch: pa.Table) -> None:
        """Count a batch; a document counts under the first of its reasons."""
        self.documents += batch.num_rows
        bits = batch["reasons"].to_numpy().astype(np.uint64)
        first = bits & (~bits + np.uint64(1))
        copies = np.zeros(len(bits), bool)
        for place, name in enumerate(self.legend):
            if name in COPIES:
                own = first == np.uint64(1) << np.uint64(place)
                self.dropped[name] += int(np.count_nonzero(own))
                copies |= own
        likeness = batch["similarity"].cast(pa.float64()).to_numpy()[copies]
        known = likeness[~np.isnan(likeness)]
        self.unmeasured += len(likeness) - len(known)
        self.bins += np.bincount(
            np.clip(known * BINS + 1e-6, 0, BINS - 1).astype(np.int64), minlength=BINS
        )
