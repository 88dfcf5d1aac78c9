"""Union-find over dense numbers, the smaller root always winning: a component's root is its
smallest member.

Tarjan and van Leeuwen, Worst-case analysis of set union algorithms, 1984: path halving.
Reference: the plain search in `tests/pipelines/decide/test_dedup_components.py`.
"""

import numpy as np

from pipelines.kernels.arrays import Bools, Int64s, Integers
from pipelines.kernels.compile import compile_kernel, inline_kernel


@inline_kernel
def _find_root(parent: Integers, node: int) -> int:
    """The root of a node. Every second node on the way is hung below its grandparent: later ways
    get shorter."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@compile_kernel
def _merge_edges(parent: Integers, touched: Bools, edges: Int64s) -> None:
    """See `merge_components`."""
    for i in range(edges.shape[0]):
        first = edges[i, 0]
        second = edges[i, 1]
        touched[first] = True
        touched[second] = True
        first_root = _find_root(parent, first)
        second_root = _find_root(parent, second)
        if first_root < second_root:
            parent[second_root] = first_root
        elif second_root < first_root:
            parent[first_root] = second_root


@compile_kernel
def _flatten(parent: Integers) -> None:
    """See `resolve_roots`."""
    for node in range(parent.shape[0]):
        parent[node] = parent[parent[node]]


def merge_components(parent: Integers, touched: Bools, edges: Int64s) -> None:
    """Merge the components of both ends of each edge.

    `edges` int64 (n, 2). `parent` int32 or int64 (documents,) is changed; the ends are marked in
    `touched` bool (documents,).
    """
    _merge_edges(parent, touched, np.ascontiguousarray(edges, np.int64))


def resolve_roots(parent: Integers) -> None:
    """Make every parent a root: no parent is above its child, so in ascending order one look is
    enough."""
    _flatten(parent)
