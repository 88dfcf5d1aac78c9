"""Connected components of edges (a, b): by rounds of stars for graphs of any size, by one union-find where it fits.

Rounds: large-star and small-star (Kiveris, Lattanzi, Mirrokni, Rastogi and Vassilvitskii, Connected Components in
MapReduce and Beyond, SoCC 2014) until every edge points at the smallest node of its component. Union-find: 5 bytes a
document, edges streamed (Tarjan; path halving). Both give every node its component's smallest node as label.

All functions take and give pieces of int64 rows as `pipelines.engine.exchange` hands them to a reducer.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pipelines.decide.dedup.groups import locate_in_groups, sort_unique_rows
from pipelines.decide.kernels.union_find import merge_components, resolve_roots

NODES = 1 << 20
"""Nodes whose labels are given out at a time."""


def mirror_edges(rows: np.ndarray) -> np.ndarray:
    """(a, b) in, (a, b) and (b, a) out: what large-star groups."""
    return np.vstack([rows, rows[:, ::-1]])


def orient_edges(rows: np.ndarray) -> np.ndarray:
    """(a, b) in, (larger, smaller) out: what small-star groups."""
    return np.column_stack([rows.max(axis=1), rows.min(axis=1)])


def large_star(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """(node, neighbour) both ways, sorted, in; every larger neighbour is linked to the smallest of node and neighbours."""
    for rows, smallest in _with_smallest(pieces):
        larger = rows[:, 1] > rows[:, 0]
        yield sort_unique_rows(np.column_stack([rows[:, 1], smallest])[larger])


def small_star(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """(node, smaller neighbour), sorted, in; node and neighbours are linked to the smallest neighbour."""
    for rows, smallest in _with_smallest(pieces):
        edges = np.vstack(
            [np.column_stack([rows[:, 0], smallest]), np.column_stack([rows[:, 1], smallest])]
        )
        yield sort_unique_rows(edges[edges[:, 0] != edges[:, 1]])


def _with_smallest(pieces: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every piece with the smallest of each row's node and all its neighbours: the first row of a node has it."""
    node, first = None, 0
    for rows in pieces:
        begin, _ = locate_in_groups(rows[:, 0])
        smallest = rows[begin, 1]
        if rows[0, 0] == node:
            smallest[begin == 0] = first
        node, first = rows[-1, 0], smallest[-1]
        yield rows, np.minimum(smallest, rows[:, 0])


PARENT, CHILD = 0, 1


def list_roles(rows: np.ndarray) -> np.ndarray:
    """(node, smaller neighbour) in; (node, CHILD, neighbour) and (neighbour, PARENT, 0) out, each once."""
    none = np.zeros(len(rows), np.int64)
    return sort_unique_rows(
        np.vstack(
            [
                np.column_stack([rows[:, 0], none + CHILD, rows[:, 1]]),
                np.column_stack([rows[:, 1], none, none]),
            ]
        )
    )


def count_unsettled(rows: np.ndarray) -> int:
    """How many nodes, of whole groups of `roles`, have two parents, or a parent and a child: none once all are stars."""
    rows = sort_unique_rows(rows)
    begin, place = locate_in_groups(rows[:, 0])
    return len(np.unique(begin[(rows[:, 1] == CHILD) & (place > 0)]))


def read_star_components(rows: np.ndarray) -> np.ndarray:
    """Edges (node, smallest) of settled stars in, (node, label) of all nodes out; a centre comes with every block."""
    return sort_unique_rows(np.vstack([rows, np.column_stack([rows[:, 1], rows[:, 1]])]))


def assign_component_ids(
    pieces: Iterable[np.ndarray], shard_rows: Sequence[int]
) -> Iterator[np.ndarray]:
    """Edges (a, b) in any order in, (node, label) of every node that has an edge out, sorted.

    `shard_rows`: how many documents each shard has. They are numbered through, in the order of nodes.
    """
    starts = np.r_[0, np.cumsum(shard_rows)].astype(np.int64)
    parent, met = (
        np.arange(starts[-1], dtype=_narrowest(starts[-1])),
        np.zeros(starts[-1], np.bool_),
    )
    for rows in pieces:
        merge_components(parent, met, starts[rows >> 32] + (rows & 0xFFFFFFFF))
    resolve_roots(parent)
    for begin in range(0, len(parent), NODES):
        found = begin + np.flatnonzero(met[begin : begin + NODES])
        yield np.column_stack(
            [_nodes(found, starts), _nodes(parent[found].astype(np.int64), starts)]
        )


def estimate_union_bytes(documents: int) -> int:
    """The memory that `union_labels` takes for so many documents, but for the edges."""
    return documents * (np.dtype(_narrowest(documents)).itemsize + 1)


def _narrowest(documents: int) -> type[np.signedinteger]:
    return np.int32 if documents < 1 << 31 else np.int64


def _nodes(numbers: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The nodes of documents numbered through all shards."""
    shards = np.searchsorted(starts, numbers, side="right") - 1
    nodes: np.ndarray = (shards << 32) | (numbers - starts[shards])
    return nodes
