"""Union-find over dense numbers, the smaller root always winning: a component's root is its smallest member.

Tarjan and van Leeuwen, Worst-case analysis of set union algorithms, 1984: path halving.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, inline="always")
def _root(parent, x):  # type: ignore[no-untyped-def]
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@njit(nogil=True, cache=True)
def _union(parent, met, edges):  # type: ignore[no-untyped-def]
    for i in range(edges.shape[0]):
        a, b = edges[i, 0], edges[i, 1]
        met[a] = True
        met[b] = True
        a, b = _root(parent, a), _root(parent, b)
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b


@njit(nogil=True, cache=True)
def _settle(parent):  # type: ignore[no-untyped-def]
    for x in range(parent.shape[0]):
        parent[x] = parent[parent[x]]


def merge_components(parent: np.ndarray, met: np.ndarray, edges: np.ndarray) -> None:
    """Unite the ends of `edges` int64 (n, 2) in `parent` int32 or int64 (documents,), and mark them in `met` bool (documents,)."""
    _union(parent, met, np.ascontiguousarray(edges, np.int64))


def resolve_roots(parent: np.ndarray) -> None:
    """Make every parent a root: no parent is above its child, so in ascending order one look is enough."""
    _settle(parent)
