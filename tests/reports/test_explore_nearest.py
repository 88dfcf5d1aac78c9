"""The documents nearest to a bound are those a plain sort would give, however they arrive, and memory stays small."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reports.explore.nearest import MOST, NEAR, NearestDocuments

documents = st.lists(
    st.tuples(st.integers(-6, 6).map(lambda v: v / 2), st.integers(0, 3), st.integers(0, 7)),
    max_size=60,
)
"""(value, key, reasons): few different ones, so that ties are the rule."""


def offer(near, shard, rows, found):
    columns = list(zip(*found, strict=True)) if found else ([], [], [])
    values, keys, reasons = (
        np.array(c, t) for c, t in zip(columns, (np.float32, np.int64, np.uint64), strict=True)
    )
    near.add(values, keys, shard, np.array(rows, np.int64), reasons)


def reference(bound, shards, most):
    rows = [
        (abs(value - bound), key, shard, row, value, reasons)
        for shard, found in enumerate(shards)
        for row, (value, key, reasons) in enumerate(found)
    ]
    return sorted(rows)[:most]


@given(
    shards=st.lists(documents, max_size=4),
    bound=st.integers(-3, 3).map(float),
    most=st.integers(1, 25),
    step=st.integers(1, 9),
)
def test_the_nearest_are_those_of_a_plain_sort(shards, bound, most, step):
    near = NearestDocuments(bound, most)
    for shard, found in enumerate(shards):
        for start in range(0, len(found), step):
            part = found[start : start + step]
            offer(near, shard, range(start, start + len(part)), part)
    assert [tuple(one.tolist()) for one in near.found] == reference(bound, shards, most)


@given(found=documents, data=st.data())
def test_the_order_in_which_documents_arrive_does_not_matter(found, data):
    order = data.draw(st.permutations(range(len(found))))
    one, other = NearestDocuments(0.5, 5), NearestDocuments(0.5, 5)
    offer(one, 0, range(len(found)), found)
    for place in order:
        offer(other, 0, [place], [found[place]])
    assert one.found.tolist() == other.found.tolist()


def test_nothing_offered_is_nothing_found():
    near = NearestDocuments(1.0)
    offer(near, 0, [], [])
    assert len(near.found) == 0 and near.found.dtype == NEAR


def test_no_more_are_held_than_asked_for_however_many_pass_by():
    near = NearestDocuments(0.0)
    rng = np.random.default_rng(1)
    for shard in range(5):
        values = rng.random(10_000, np.float32)
        near.add(values, np.arange(10_000), shard, np.arange(10_000), np.zeros(10_000, np.uint64))
    assert len(near.found) == MOST == 20
    assert near.found.nbytes == MOST * NEAR.itemsize and near.found.base is None


def test_of_many_equally_near_the_smallest_keys_are_shown():
    near = NearestDocuments(0.0, 3)
    keys = np.array([9, 4, 7, 1, 8, 2], np.int64)
    near.add(np.zeros(6, np.float32), keys, 2, np.arange(6), np.arange(6, dtype=np.uint64))
    assert near.found["key"].tolist() == [1, 2, 4]
    assert near.found["row"].tolist() == near.found["reasons"].tolist() == [3, 5, 1]


def test_a_nearer_one_that_comes_late_displaces_the_farthest():
    near = NearestDocuments(10.0, 2)
    offer(near, 0, [0, 1, 2], [(3.0, 1, 0), (8.0, 1, 0), (15.0, 1, 0)])
    assert near.found["value"].tolist() == [8.0, 15.0]
    offer(near, 1, [0], [(11.0, 9, 0)])
    assert near.found["value"].tolist() == [11.0, 8.0]
    assert near.found["distance"].tolist() == [1.0, 2.0]
