"""Groups of copies: whatever the pieces that rows come in, stars, sizes, clusters and flags are those of whole groups."""

import itertools

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.decide.dedup.groups import (
    MAX_STAR,
    MEMBER,
    count_agreement,
    count_group_sizes,
    find_group_starts,
    iter_distinct,
    link_stars,
    list_cluster_members,
    locate_in_groups,
    merge_flags,
    number_groups,
    sort_unique_rows,
)
from pipelines.decide.dedup.keys import join_id, split_ids
from pipelines.engine.packed_rows import sort_rows

KEYS = st.lists(st.integers(0, 3), max_size=24).map(sorted)
CUTS = st.lists(st.integers(1, 23), max_size=6)


def in_pieces(rows, cuts):
    """The rows cut at these places; no piece is empty."""
    borders = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    return [rows[a:b] for a, b in itertools.pairwise(borders)]


def together(pieces, width):
    return np.concatenate([np.zeros((0, width), np.int64), *pieces]).tolist()


def keyed(keys):
    """Rows (key, node): nodes count up."""
    return np.column_stack([np.array(keys, np.int64), np.arange(len(keys), dtype=np.int64)])


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20))
def test_unique_rows_are_the_sorted_set(rows):
    assert [
        tuple(row) for row in sort_unique_rows(np.array(rows, np.int64).reshape(-1, 2)).tolist()
    ] == sorted(set(rows))


@given(keys=KEYS)
def test_groups_start_where_the_key_changes(keys):
    expected = [i for i in range(len(keys)) if i == 0 or keys[i] != keys[i - 1]]
    assert find_group_starts(np.array(keys, np.int64)).tolist() == expected
    assert (
        find_group_starts(np.array([[k, 1] for k in keys], np.int64).reshape(-1, 2)).tolist()
        == expected
    )


def test_places_count_on_where_a_group_began_before():
    begin, place = locate_in_groups(np.array([5, 5, 6, 6, 6]), before=3)
    assert begin.tolist() == [0, 0, 2, 2, 2] and place.tolist() == [3, 4, 0, 1, 2]


@settings(max_examples=300, deadline=None)
@given(keys=KEYS, cuts=CUTS, centres=st.integers(1, 3), cap=st.integers(1, 5) | st.just(1000))
def test_a_bucket_becomes_stars_around_its_first_nodes_however_it_is_cut(keys, cuts, centres, cap):
    expected = []
    for key in sorted(set(keys)):
        nodes = [node for node, k in enumerate(keys) if k == key]
        for at in range(0, len(nodes), cap):
            star = nodes[at : at + cap]
            expected += [[star[0], nodes[0]]] * (at > 0)
            expected += [
                [node, centre] for i, node in enumerate(star) for centre in star[: min(i, centres)]
            ]
    found = together(link_stars(in_pieces(keyed(keys), cuts), 1, centres=centres, cap=cap), 2)
    assert sorted(found) == sorted(expected)


def test_a_bucket_of_a_million_has_two_edges_a_document_and_no_node_meets_more_than_a_star():
    rows = keyed([5] * 1_000_000)
    edges = np.concatenate(list(link_stars(np.array_split(rows, 7), 1, centres=2)))
    assert len(edges) < 2 * len(rows)
    assert np.unique(edges[:, 1], return_counts=True)[1].max() <= MAX_STAR + 100


def test_keys_of_two_columns_are_one_key():
    rows = np.array([[1, 1, 10], [1, 1, 11], [1, 2, 12], [2, 2, 13], [2, 2, 14]], np.int64)
    assert together(link_stars([rows[:1], rows[1:]], 2), 2) == [[11, 10], [14, 13]]


@settings(max_examples=200, deadline=None)
@given(keys=KEYS, cuts=CUTS)
def test_groups_are_counted_and_numbered_across_pieces(keys, cuts):
    rows = keyed(keys)
    groups = sorted(set(keys))
    assert count_group_sizes(in_pieces(rows, cuts), 1).tolist() == [
        keys.count(key) for key in groups
    ]
    found = [
        (row[0], group, place)
        for piece, numbers, places in number_groups(in_pieces(rows, cuts), 1)
        for row, group, place in zip(piece.tolist(), numbers.tolist(), places.tolist(), strict=True)
    ]
    assert found == [(key, groups.index(key), keys[:i].count(key)) for i, key in enumerate(keys)]


@settings(max_examples=200, deadline=None)
@given(keys=KEYS, cuts=CUTS)
def test_distinct_rows_are_given_once_also_across_pieces(keys, cuts):
    rows = np.column_stack([np.array(keys, np.int64)] * 2)
    found = list(iter_distinct(in_pieces(rows, cuts)))
    assert together(found, 2) == [[key, key] for key in sorted(set(keys))]
    assert all(len(piece) for piece in found), "no reducer is handed a piece without rows"


def ranked(label, exact, priority, node, name, url=0):
    return [label, exact, priority, 0, *split_ids(pa.array([name * 32]))[0].tolist(), node, url]


def test_a_cluster_names_its_survivor_label_size_and_every_members_place():
    rows = sort_rows(
        np.array(
            [
                ranked(1, 0, 2, 1, "0"),
                ranked(1, 0, 0, 4, "c"),
                ranked(1, 0, 1, 9, "0", url=1),
                ranked(1, 1, 0, 5, "d"),
                ranked(7, 0, 0, 7, "e"),
            ],
            np.int64,
        )
    )
    c, e = (split_ids(pa.array([name * 32]))[0].tolist() for name in "ce")
    for cuts in ([], [1], [2], [3], [4], [1, 2, 3, 4]):
        assert together(list_cluster_members(in_pieces(rows, cuts)), MEMBER.width) == [
            [4, 4, 1, 4, *c, 0, 0, 0],
            [9, 4, 1, 4, *c, 1, 0, 1],
            [1, 4, 1, 4, *c, 2, 0, 0],
            [5, 4, 1, 4, *c, 3, 1, 0],
            [7, 7, 7, 1, *e, 0, 0, 0],
        ]
    assert join_id(*c) == "c" * 32


@settings(max_examples=200, deadline=None)
@given(members=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=20), cuts=CUTS)
def test_every_cluster_has_one_survivor_the_best_ranked(members, cuts):
    rows = sort_rows(
        np.array(
            [ranked(label, 0, prior, node, "0") for node, (label, prior) in enumerate(members)],
            np.int64,
        ).reshape(-1, 8)
    )
    found = together(list_cluster_members(in_pieces(rows, cuts)), MEMBER.width)
    assert sorted(row[0] for row in found) == list(range(len(members)))
    for node, survivor, label, size, *_, place, _, _ in found:
        mine = [(prior, n) for n, (own, prior) in enumerate(members) if own == label]
        assert (survivor, size) == (min(mine)[1], len(mine))
        assert sorted(mine)[place][1] == node


def test_a_label_meets_the_verdicts_on_its_node():
    rows = [
        [5, 0, 2],
        [5, 1, 3],
        [6, 0, 2],
        [7, 0, 2],
        [7, 2, 4],
        [8, 0, 2],
        [8, 0, 2],
        [8, 1, 3],
        [8, 2, 4],
        [9, 1, 3],
    ]
    assert merge_flags(np.array(rows, np.int64)).tolist() == [
        [5, 2, 0, 1],
        [6, 2, 0, 0],
        [7, 2, 1, 0],
        [8, 2, 1, 1],
    ]


def test_agreement_counts_equal_elements():
    left = np.array([[1, 2, 3], [4, 5, 6]], np.uint32)
    assert count_agreement(left, np.array([[1, 2, 9], [0, 0, 0]], np.uint32)).tolist() == [2, 0]
