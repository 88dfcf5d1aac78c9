"""Count duplicate clusters by size, and find the largest with one dropped text each, in bounded memory."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.report.alike import Comparison
from gristmill.report.facts import Cluster, Duplicates, Sample
from gristmill.report.texts import Place

LARGEST = 5


@dataclass(frozen=True, slots=True)
class Pair:
    """The kept document of a cluster, and the least similar of those dropped for it."""

    size: int
    similarity: float | None
    kept: Place
    dropped: Place | None


@dataclass(slots=True)
class Clusters:
    """Running counts of clusters, of near and equal copies: each has exactly one kept row, which says its size."""

    sizes: Counter[int] = field(default_factory=Counter)
    top: list[tuple[int, int]] = field(default_factory=list)
    """(-size, label) of the largest clusters, sorted."""

    def add(self, batch: pa.Table) -> None:
        """Count the clusters whose kept row is in this batch."""
        if "cluster" not in batch.schema.names:
            return
        cluster, size = batch["cluster"].to_numpy(), batch["cluster_size"].to_numpy()
        copy = batch["kept_id"].is_valid().to_numpy()
        heads = ~copy & (cluster >= 0) & (size > 1)
        self.sizes.update(size[heads].tolist())
        found = [*self.top, *zip((-size[heads]).tolist(), cluster[heads].tolist(), strict=True)]
        self.top = sorted(found)[:LARGEST]

    def choose(self, decisions: Iterable[tuple[int, pa.Table, Path]]) -> list[Pair]:
        """The largest clusters with the places of their kept and their least similar dropped text."""
        labels = pa.array([label for _, label in self.top], pa.int64())
        kept: dict[int, Place] = {}
        dropped: dict[int, tuple[float, str, Place]] = {}
        for shard, table, documents in decisions:
            rows = np.flatnonzero(pc.is_in(table["cluster"], value_set=labels).to_numpy())
            if not len(rows):
                continue
            ids = pq.read_table(documents, columns=["id"])["id"].take(pa.array(rows)).to_pylist()
            members = table.take(pa.array(rows)).to_pylist()
            for row, id, member in zip(rows.tolist(), ids, members, strict=True):
                place, label = Place(shard, row), member["cluster"]
                if member["keep"]:
                    kept[label] = place
                else:
                    likeness = 1.0 if member["similarity"] is None else member["similarity"]
                    new = (likeness, id, place)
                    dropped[label] = min(new, dropped.get(label, new))
        return [_pair(-size, kept[label], dropped.get(label)) for size, label in self.top if label in kept]

    def facts(
        self, pairs: Sequence[Pair], texts: Mapping[Place, Sample], compared: Mapping[tuple[Place, Place], Comparison]
    ) -> Duplicates:
        """What the report says of them."""
        largest = tuple(
            Cluster(pair.size, pair.similarity, texts[pair.kept], None, None)
            if pair.dropped is None
            else Cluster(
                pair.size, pair.similarity, texts[pair.kept], texts[pair.dropped], compared[pair.kept, pair.dropped]
            )
            for pair in pairs
        )
        return Duplicates(dict(sorted(self.sizes.items())), largest)


def _pair(size: int, kept: Place, found: tuple[float, str, Place] | None) -> Pair:
    return Pair(size, None, kept, None) if found is None else Pair(size, found[0], kept, found[2])
