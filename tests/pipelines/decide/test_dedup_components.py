"""Components: union-find and rounds of stars give every node the smallest node of its component, on any graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.decide.dedup.components import (
    assign_component_ids,
    count_unsettled,
    estimate_union_bytes,
    large_star,
    list_roles,
    mirror_edges,
    orient_edges,
    read_star_components,
    small_star,
)
from pipelines.decide.dedup.groups import sort_unique_rows

SHARD_ROWS = [4, 0, 7, 3]
NODES = [(shard << 32) | row for shard, rows in enumerate(SHARD_ROWS) for row in range(rows)]
EDGES = st.lists(
    st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)).filter(lambda e: e[0] != e[1]),
    max_size=30,
)


def array(edges):
    return np.array(edges, np.int64).reshape(-1, 2)


def reference(edges):
    """[node, label] of every node: the smallest of its component, by a plain union-find."""
    parent = {}

    def root(node):
        parent.setdefault(node, node)
        while parent[node] != node:
            node = parent[node]
        return node

    for a, b in edges:
        x, y = sorted((root(a), root(b)))
        parent[y] = x
    return sorted([node, root(node)] for node in parent)


def pieces_of(rows, size):
    """Sorted pieces as a reducer is handed them."""
    rows = sort_unique_rows(rows)
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def joined(pieces):
    return np.concatenate([np.zeros((0, 2), np.int64), *pieces])


def one_round(edges, size):
    edges = joined(large_star(pieces_of(mirror_edges(edges), size)))
    return joined(small_star(pieces_of(orient_edges(edges), size)))


def are_stars(edges):
    return count_unsettled(list_roles(orient_edges(edges))) == 0


@settings(max_examples=300, deadline=None)
@given(edges=EDGES, size=st.integers(1, 7))
def test_one_union_find_gives_the_smallest_node_of_the_component(edges, size):
    found = list(assign_component_ids(pieces_of(array(edges), size), SHARD_ROWS))
    assert joined(found).tolist() == reference(edges)


@settings(max_examples=300, deadline=None)
@given(edges=EDGES, size=st.integers(1, 7))
def test_rounds_end_in_stars_with_the_same_labels_however_rows_are_cut(edges, size):
    made, rounds = array(edges), 0
    while not are_stars(made):
        made, rounds = one_round(made, size), rounds + 1
        assert rounds < 10
    assert sort_unique_rows(read_star_components(orient_edges(made))).tolist() == reference(edges)


@settings(max_examples=200, deadline=None)
@given(edges=EDGES)
def test_a_graph_is_settled_exactly_where_every_edge_points_at_the_smallest_node(edges):
    made = sort_unique_rows(orient_edges(array(edges)))
    labels = dict(map(tuple, reference(edges)))
    settled = made.tolist() == sorted(
        [node, label] for node, label in labels.items() if node != label
    )
    assert are_stars(made) == settled


@pytest.mark.parametrize(("nodes", "most"), [(2, 1), (100, 6), (20_000, 13)])
def test_a_path_in_random_order_is_settled_in_about_as_many_rounds_as_its_length_has_bits(
    nodes, most
):
    order = np.random.default_rng(2).permutation(nodes).astype(np.int64)
    edges, rounds = np.column_stack([order[:-1], order[1:]]), 0
    while not are_stars(edges):
        edges, rounds = one_round(edges, 1 << 20), rounds + 1
    assert rounds <= most
    assert edges.tolist() == [[node, 0] for node in range(1, nodes)] or nodes == 2


def test_one_union_find_takes_five_bytes_a_document_and_nine_where_numbers_need_more_bits():
    assert estimate_union_bytes(1000) == 5000
    assert estimate_union_bytes(1 << 31) == 9 << 31


def test_no_edges_have_no_labels():
    assert joined(assign_component_ids([], SHARD_ROWS)).tolist() == []
    assert joined(assign_component_ids([], [])).tolist() == []
