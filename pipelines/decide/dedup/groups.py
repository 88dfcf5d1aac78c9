"""Groups of equal keys in the sorted rows of a partition: stars of edges, clusters and their survivors.

In: chunks of int64 rows, sorted by all columns. Out: edges and members of clusters. A group may be larger than a chunk,
even than memory: what is carried from one chunk to the next is a handful of numbers. Pure functions; the wiring is in
`dedup.graph`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.decide.dedup.keys import ORDER_WIDTH
from pipelines.engine.packed_rows import sort_rows
from pipelines.row_layout import PackedColumn, PackedRows, RowLayout

MAX_STAR = 10_000
"""Members of one star. A larger bucket becomes several stars whose centres are linked to the first. So no node, and no
shard that signatures are carried to, meets more edges of one bucket."""

CLUSTERED = RowLayout(
    "clustered document",
    (
        ("component_id", 1),
        ("exact", 1),
        ("survivor_order", ORDER_WIDTH),
        ("node", 1),
        ("same_url", 1),
    ),
)
"""Sorted, these rows bring the exact duplicates of a cluster behind its other documents, and its survivor to the front."""

MEMBER = RowLayout(
    "member",
    (
        ("node", 1),
        ("survivor", 1),
        ("component_id", 1),
        ("size", 1),
        ("survivor_id", 2),
        ("position", 1),
        ("exact", 1),
        ("same_url", 1),
    ),
)
"""A document of a cluster. `position` counts from the survivor, which has 0; `survivor_id` are the halves of its id."""

FLAGGED = RowLayout(
    "flagged node", (("node", 1), ("component_id", 1), ("exact", 1), ("same_url", 1))
)

TAGGED = RowLayout("tagged node", (("node", 1), ("tag", 1), ("value", 1)))
"""With tag COMPONENT the value is the component id; with SAME_URL or EXACT it is the other document of the edge."""

COMPONENT = 0
"""The tag of component ids. It equals the kind NEAR, whose edges are no verdict on a document and are never tagged."""
NEAR, SAME_URL, EXACT = 0, 1, 2
"""Kinds of duplicates, as edges carry them."""


def find_group_starts(keys: PackedRows) -> npt.NDArray[np.intp]:
    """int64: where each run of equal rows of `keys` (n,) or (n, k) begins."""
    if not len(keys):
        return np.zeros(0, np.int64)
    changed = keys[1:] != keys[:-1]
    if keys.ndim > 1:
        changed = changed.any(axis=1)
    return np.flatnonzero(np.r_[True, changed])


def locate_in_groups(keys: PackedRows, before: int = 0) -> tuple[PackedColumn, PackedColumn]:
    """int64 (n,) twice: the row where each row's group begins, and the row's position in that group.

    `before` rows of the first group went before, in earlier chunks.
    """
    starts = find_group_starts(keys)
    sizes = np.diff(np.r_[starts, len(keys)])
    begin = np.repeat(starts, sizes)
    position = np.arange(len(keys)) - begin
    if before:
        position[: sizes[0]] += before
    return begin, position


@dataclass(frozen=True, slots=True)
class _OpenStars:
    """The group that a chunk ended in: its key, rows so far, first node, and the centres of its last star."""

    key: list[int]
    count: int
    first: int
    centres: list[int]


def link_stars(
    chunks: Iterable[PackedRows],
    keys: int,
    *,
    centres: int = 1,
    cap: int = MAX_STAR,
    on_giant: Callable[[int], object] = lambda _: None,
) -> Iterator[PackedRows]:
    """Rows (key of `keys` columns, ..., node) in; edges (node, centre) out, to the first `centres` nodes of its group.

    At most `centres` edges a row, never the square of a group. A group of more than `cap` rows becomes a star for every
    `cap` rows, whose first node is linked to the first of all; `on_giant` gets the number of such groups in a chunk.
    """
    before: _OpenStars | None = None
    for rows in chunks:
        if before is not None and before.key != rows[0, :keys].tolist():
            before = None
        begin, position = locate_in_groups(rows[:, :keys], before.count if before else 0)
        giants = int((position == cap).sum())
        if giants:
            on_giant(giants)
        nodes = rows[:, -1]
        first = rows[begin, -1]
        if before:
            first[begin == 0] = before.first
        in_star = position % cap
        star_heads = (in_star == 0) & (position > 0)
        edges = [np.column_stack([nodes, first])[star_heads]]
        star_start = np.arange(len(rows)) - in_star
        last_centres = []
        for number in range(centres):
            earlier_centre = before.centres[number] if before else 0
            centre = _take_nodes(rows, star_start + number, earlier_centre)
            edges.append(np.column_stack([nodes, centre])[in_star > number])
            last_centres.append(int(centre[-1]))
        yield np.concatenate(edges)
        before = _OpenStars(
            rows[-1, :keys].tolist(), int(position[-1]) + 1, int(first[-1]), last_centres
        )


def _take_nodes(rows: PackedRows, positions: PackedColumn, before: int) -> PackedColumn:
    """The nodes at these rows; `before` for those that lie before the chunk.

    Behind the end of the chunk there is no node yet. No edge is made of those, so any value will do.
    """
    inside = np.clip(positions, 0, len(rows) - 1)
    nodes: PackedColumn = np.where(positions < 0, before, rows[inside, -1])
    return nodes


def count_group_sizes(chunks: Iterable[PackedRows], keys: int) -> PackedColumn:
    """int64 (groups,): the rows of each group of equal first `keys` columns, in order."""
    counted = [np.zeros(0, np.int64)]
    last_key: list[int] | None = None
    for rows in chunks:
        starts = find_group_starts(rows[:, :keys])
        sizes = np.diff(np.r_[starts, len(rows)])
        if last_key == rows[0, :keys].tolist():
            counted[-1][-1] += sizes[0]
            sizes = sizes[1:]
        if len(sizes):
            counted.append(sizes)
        last_key = rows[-1, :keys].tolist()
    return np.concatenate(counted)


def number_groups(
    chunks: Iterable[PackedRows], keys: int
) -> Iterator[tuple[PackedRows, PackedColumn, PackedColumn]]:
    """(rows, number of each row's group, position of each row in its group) of every chunk.

    Groups count from 0, in order, through all chunks.
    """
    last_key: list[int] | None = None
    last_group = -1
    count = 0
    for rows in chunks:
        key = rows[:, :keys]
        continues = last_key == key[0].tolist()
        begin, position = locate_in_groups(key, count if continues else 0)
        first = last_group if continues else last_group + 1
        group = first + np.cumsum(np.r_[0, np.diff(begin) > 0])
        yield rows, group, position
        last_key = key[-1].tolist()
        last_group = int(group[-1])
        count = int(position[-1]) + 1


def iter_distinct(chunks: Iterable[PackedRows]) -> Iterator[PackedRows]:
    """The rows without repetitions."""
    last: list[int] | None = None
    for rows in chunks:
        distinct = rows[find_group_starts(rows)]
        if last == distinct[0].tolist():
            distinct = distinct[1:]
        last = rows[-1].tolist()
        if len(distinct):
            yield distinct


def sort_unique_rows(rows: PackedRows) -> PackedRows:
    """The distinct rows, sorted."""
    if not len(rows):
        return rows
    return np.concatenate(list(iter_distinct([sort_rows(rows)])))


def list_cluster_members(chunks: Iterable[PackedRows]) -> Iterator[PackedRows]:
    """Sorted rows (CLUSTERED) in, rows (MEMBER) out.

    Exact duplicates come behind all others of their cluster, so the positions of the others count them alone. The
    chunks are iterated twice: how many a cluster has is known at its end only.
    """
    sizes = count_group_sizes(chunks, 1)
    order = CLUSTERED.slice("survivor_order")
    # The survivor order ends with the two halves of the id.
    id_columns = slice(order.stop - 2, order.stop)
    earlier_survivor: PackedColumn | None = None
    for rows, group, position in number_groups(chunks, 1):
        begin, _ = locate_in_groups(rows[:, 0])
        survivors = rows[begin]
        if position[0] and earlier_survivor is not None:
            survivors[begin == 0] = earlier_survivor
        earlier_survivor = survivors[-1]
        yield MEMBER.stack(
            node=CLUSTERED.column(rows, "node"),
            survivor=CLUSTERED.column(survivors, "node"),
            component_id=CLUSTERED.column(rows, "component_id"),
            size=sizes[group],
            survivor_id=survivors[:, id_columns],
            position=position,
            exact=CLUSTERED.column(rows, "exact"),
            same_url=CLUSTERED.column(rows, "same_url"),
        )


def swap_member_nodes(rows: PackedRows) -> PackedRows:
    """Members with node and survivor exchanged, so that the other one leads and decides where the row goes."""
    swapped = rows.copy()
    swapped[:, [0, 1]] = rows[:, [1, 0]]
    return swapped


def merge_flags(rows: PackedRows) -> PackedRows:
    """Sorted rows (TAGGED) of whole nodes in, one row (FLAGGED) a node that has a component id out."""
    nodes = TAGGED.column(rows, "node")
    tags = TAGGED.column(rows, "tag")
    starts = find_group_starts(nodes)
    group = np.cumsum(np.r_[0, np.diff(nodes) != 0])
    exact = np.zeros(len(starts), np.int64)
    same_url = np.zeros(len(starts), np.int64)
    exact[group[tags == EXACT]] = 1
    same_url[group[tags == SAME_URL]] = 1
    # COMPONENT is the smallest tag: where a node has a component id, its first row holds it.
    heads = rows[starts]
    flagged = FLAGGED.stack(
        node=TAGGED.column(heads, "node"),
        component_id=TAGGED.column(heads, "value"),
        exact=exact,
        same_url=same_url,
    )
    components: PackedRows = flagged[TAGGED.column(heads, "tag") == COMPONENT]
    return components


def count_agreement(
    left: npt.NDArray[np.uint32], right: npt.NDArray[np.uint32]
) -> npt.NDArray[np.int64]:
    """int64 (n,): in how many elements two signatures uint32 (n, k) agree; / k estimates the Jaccard similarity."""
    agreed: npt.NDArray[np.int64] = (left == right).sum(axis=1, dtype=np.int64)
    return agreed
