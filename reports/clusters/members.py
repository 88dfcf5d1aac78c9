"""Find the members of chosen clusters: counts of all, and the places of the few that are shown, in bounded memory."""

from bisect import insort
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.view import WITHHELD, lowest_bit, read_shards
from reports.chain.texts import RowLocation

READ = ("keep", "reasons", "cluster", "cluster_size", "kept_id", "similarity")
KEPT, LISTED = 5, 8
"""Kept documents, and dropped ones, that are listed of a cluster."""
UNKNOWN = -1.0
"""Where no similarity is recorded, nothing vouches for the text: it comes before the least similar."""


class DroppedMember(NamedTuple):
    """A document that was dropped for `kept_id`; they sort by likeness, then by id."""

    likeness: float
    id: str
    place: RowLocation
    reason: str
    kept_id: str

    @property
    def similarity(self) -> float | None:
        """Estimated similarity to the kept text, None where it is not recorded."""
        return None if self.likeness == UNKNOWN else self.likeness


class LikenessClass(NamedTuple):
    """How many dropped documents have this likeness and reason, and the one with the smallest id."""

    documents: int
    example: DroppedMember


@dataclass(slots=True)
class ClusterMembers:
    """What is held of one cluster: a signature has 112 elements, so there are few `kinds` whatever its size."""

    size: int = 0
    keeps: int = 0
    kept: list[tuple[str, RowLocation]] = field(default_factory=list)
    """The smallest ids that are kept, sorted."""
    dropped: Counter[str] = field(default_factory=Counter)
    least: list[DroppedMember] = field(default_factory=list)
    """The least similar that were dropped, sorted."""
    kinds: dict[tuple[float, str], LikenessClass] = field(default_factory=dict)

    def add_kept(self, documents: int, some: Iterable[tuple[str, RowLocation]]) -> None:
        """Count so many kept documents, of which `some` have the smallest ids."""
        self.keeps += documents
        for one in some:
            keep_smallest(self.kept, one, KEPT)

    def add_dropped(self, documents: int, some: Sequence[DroppedMember], *, shown: bool) -> None:
        """Count so many documents dropped alike, of which `some` have the smallest ids; their texts may be `shown` or not."""
        self.dropped[some[0].reason] += documents
        if not shown:
            return
        key = (some[0].likeness, some[0].reason)
        before = self.kinds.get(key, LikenessClass(0, some[0]))
        self.kinds[key] = LikenessClass(before.documents + documents, min(before.example, some[0]))
        for one in some:
            keep_smallest(self.least, one, LISTED)

    def at(self, share: float) -> DroppedMember | None:
        """The dropped document below which this share of them lies in the order of likeness; None where none was dropped."""
        left = share * sum(kind.documents for kind in self.kinds.values())
        found = None
        for key in sorted(self.kinds):
            found = self.kinds[key].example
            left -= self.kinds[key].documents
            if left < 0:
                break
        return found


Row = TypeVar("Row", bound=tuple[Any, ...])


def keep_smallest(found: list[Row], new: Row, most: int) -> None:
    """Insert into a sorted list that holds at most `most`."""
    if len(found) < most or new < found[-1]:
        insort(found, new)
        del found[most:]


def gather_members(
    decisions: Sequence[Path],
    documents: Sequence[Path],
    labels: Collection[int],
    legend: Sequence[str],
) -> dict[int, ClusterMembers]:
    """The members of the clusters with these labels; of the documents only the ids are read."""
    found = {label: ClusterMembers() for label in labels}
    for shard, table in read_shards(decisions, documents, READ):
        for run in _runs(table, shard, documents[shard], labels):
            _add(found[run.label], run, legend)
    return found


class MemberRun(NamedTuple):
    """Documents of one shard and cluster that were decided alike: how many, and those with the smallest ids."""

    label: int
    size: int
    kept: bool
    likeness: float
    bits: int
    documents: int
    rows: Sequence[tuple[str, RowLocation, str]]
    """Id, place and kept id."""


def _add(members: ClusterMembers, run: MemberRun, legend: Sequence[str]) -> None:
    members.size = run.size
    if run.kept:
        members.add_kept(run.documents, ((id, place) for id, place, _ in run.rows))
        return
    reason = legend[lowest_bit(run.bits)]
    shown = not any(name in WITHHELD and run.bits >> place & 1 for place, name in enumerate(legend))
    some = [
        DroppedMember(run.likeness, id, place, reason, kept_id or "")
        for id, place, kept_id in run.rows
    ]
    members.add_dropped(run.documents, some, shown=shown)


ALIKE = ("cluster", "keep", "likeness", "reasons")


def _runs(
    table: pa.Table, shard: int, documents: Path, labels: Collection[int]
) -> Iterator[MemberRun]:
    """The rows of a shard that belong to these clusters, sorted and cut where they differ in what counts."""
    found = _rows(table, documents, labels)
    if not found.num_rows:
        return
    found = found.sort_by([(name, "ascending") for name in (*ALIKE, "id", "row")])
    columns = [found[name].to_numpy() for name in ALIKE]
    cuts = (
        np.flatnonzero(np.logical_or.reduce([column[1:] != column[:-1] for column in columns])) + 1
    )
    for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), found.num_rows], strict=True):
        few = found.slice(start, min(stop - start, max(KEPT, LISTED))).to_pylist()
        one = few[0]
        rows = [(row["id"], RowLocation(shard, row["row"]), row["kept_id"]) for row in few]
        decided = (
            one["cluster"],
            one["cluster_size"],
            one["keep"],
            one["likeness"],
            one["reasons"],
        )
        yield MemberRun(*decided, stop - start, rows)


def _rows(table: pa.Table, documents: Path, labels: Collection[int]) -> pa.Table:
    rows = pa.array(
        np.flatnonzero(
            pc.is_in(table["cluster"], value_set=pa.array(labels, pa.int64())).to_numpy()
        )
    )
    found = table.take(rows)
    likeness = pc.fill_null(found["similarity"].cast(pa.float64()), UNKNOWN)
    ids = (
        pq.read_table(documents, columns=["id"])["id"].take(rows)
        if len(rows)
        else pa.nulls(0, pa.string())
    )
    for name, column in (("likeness", likeness), ("id", ids), ("row", rows)):
        found = found.append_column(name, column)
    return found


def locate_survivors(
    decisions: Sequence[Path], documents: Sequence[Path], wanted: Mapping[int, Collection[str]]
) -> dict[tuple[int, str], RowLocation]:
    """Where the kept documents with these ids lie, by label and id. A dropped copy may have the id of its kept one."""
    found: dict[tuple[int, str], RowLocation] = {}
    for shard, table in read_shards(decisions, documents, ("keep", "cluster")):
        inside = pc.is_in(table["cluster"], value_set=pa.array(list(wanted), pa.int64()))
        rows = np.flatnonzero(pc.and_(inside, table["keep"]).to_numpy())
        if len(rows):
            ids = (
                pq.read_table(documents[shard], columns=["id"])["id"]
                .take(pa.array(rows))
                .to_pylist()
            )
            labels = table["cluster"].take(pa.array(rows)).to_pylist()
            for row, id, label in zip(rows.tolist(), ids, labels, strict=True):
                if id in wanted[label]:
                    found.setdefault((label, id), RowLocation(shard, row))
    return found


def locate_kept(
    decisions: Sequence[Path],
    documents: Sequence[Path],
    chosen: Mapping[int, ClusterMembers],
    shown: Iterable[tuple[int, DroppedMember]],
) -> dict[tuple[int, str], RowLocation]:
    """Where the kept documents lie for which the `shown` members were dropped; decisions are read only for those not yet met."""
    known = {(label, id): place for label, members in chosen.items() for id, place in members.kept}
    wanted: dict[int, set[str]] = {}
    for label, member in shown:
        if (label, member.kept_id) not in known:
            wanted.setdefault(label, set()).add(member.kept_id)
    return known | (locate_survivors(decisions, documents, wanted) if wanted else {})
