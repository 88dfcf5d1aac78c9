"""What is done with the sorted rows of one partition: exact groups, buckets, edges, components, survivors.

Pure functions over int64 arrays, rows sorted by all columns; the wiring is in `dedup.graph`.
"""

import numpy as np

from pipelines.dedup.keys import RANK_WIDTH


def group_starts(keys: np.ndarray) -> np.ndarray:
    """int64: where each run of equal rows of `keys` (n,) or (n, k) begins."""
    if not len(keys):
        return np.zeros(0, np.int64)
    changed = keys[1:] != keys[:-1]
    return np.flatnonzero(np.r_[True, changed if keys.ndim == 1 else changed.any(axis=1)])


def exact_losers(rows: np.ndarray) -> np.ndarray:
    """Exact keys in, (node, first node of its group) of every other copy out: int64 (m, 2).

    Rows come sorted by hash, then rank: the first of each group is the one its copies point to.
    """
    starts = group_starts(rows[:, :2])
    sizes = np.diff(np.r_[starts, len(rows)])
    first = np.repeat(starts, sizes)
    losers = np.flatnonzero(first != np.arange(len(rows)))
    return np.column_stack([rows[losers, -1], rows[first[losers], -1]])


def star_edges(rows: np.ndarray) -> np.ndarray:
    """Band rows (key, node) in, edges (smallest node of the bucket, other node) out: m - 1 a bucket, never m squared."""
    starts = group_starts(rows[:, 0])
    sizes = np.diff(np.r_[starts, len(rows)])
    centre = np.repeat(rows[starts, 1], sizes) if len(rows) else rows[:, 1]
    edges = np.column_stack([centre, rows[:, 1]])
    return unique_rows(edges[edges[:, 0] != edges[:, 1]])


def unique_rows(rows: np.ndarray) -> np.ndarray:
    """The distinct rows, sorted."""
    if not len(rows):
        return rows
    rows = rows[np.lexsort(rows.T[::-1])]
    distinct: np.ndarray = rows[group_starts(rows)]
    return distinct


def component_labels(edges: np.ndarray) -> np.ndarray:
    """Edges (a, b) in, (label, node) of every node in a component out, sorted; the label is its smallest node.

    scipy's union of one machine's memory: 16 bytes an edge. Components that do not fit are issue 4's.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(edges):
        return np.zeros((0, 2), np.int64)
    nodes, places = np.unique(edges, return_inverse=True)
    places = places.reshape(edges.shape)
    graph = coo_matrix((np.ones(len(edges), np.int8), (places[:, 0], places[:, 1])), shape=(len(nodes), len(nodes)))
    _, component = connected_components(graph, directed=False)
    smallest = np.full(component.max() + 1, len(nodes), np.int64)
    np.minimum.at(smallest, component, np.arange(len(nodes)))
    labels = np.column_stack([nodes[smallest[component]], nodes])
    return unique_rows(labels)


def cluster_members(rows: np.ndarray) -> np.ndarray:
    """(label, rank, node) sorted in, (survivor, node, label, size, survivor's id halves) of every member out."""
    starts = group_starts(rows[:, 0])
    sizes = np.diff(np.r_[starts, len(rows)])
    first = np.repeat(starts, sizes)
    low = 1 + RANK_WIDTH - 2
    return np.column_stack(
        [rows[first, -1], rows[:, -1], rows[:, 0], np.repeat(sizes, sizes), rows[first, low : low + 2]]
    )


def agreement(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """int64 (n,): in how many elements two signatures uint32 (n, k) agree; / k estimates Jaccard's similarity."""
    counted: np.ndarray = (left == right).sum(axis=1, dtype=np.int64)
    return counted
