"""The bins of a histogram hold every value once, never kept and dropped ones together, and show a long tail and a far bound."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reports.explore.bins import (
    BINS,
    ROOM,
    HistogramAxis,
    ValueExtent,
    bend_value,
    find_borders,
    make_axis,
    round_bound,
)

F4, F8, I4 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32)
INF = math.inf


def extent_of(values):
    found = ValueExtent()
    found.add(values)
    return found


def axis_of(values, low=-INF, high=INF):
    return make_axis(low, high, extent_of(values), values.dtype)


shares = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=80).map(
    lambda v: np.array(v, np.float32)
)
sizes = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=80).map(
    lambda v: np.array(v, np.int32)
)
numbers = st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=80).map(
    lambda v: np.array(v, np.float32)
)
doubles = st.lists(st.floats(-1e200, 1e200), min_size=1, max_size=80).map(np.array)
any_values = st.one_of(shares, sizes, numbers, doubles)
lows = st.one_of(st.just(-INF), st.floats(-1000, 1000), st.integers(-5, 10**6).map(float))
highs = st.one_of(st.just(INF), st.floats(-1000, 1000), st.integers(-5, 10**6).map(float))


@given(values=any_values, low=lows, high=highs)
def test_every_value_lies_in_exactly_one_bin(values, low, high):
    assume(low <= high)
    found = axis_of(values, low, high)
    counts = found.count(values)
    assert len(counts) == len(found.edges) - 1
    assert counts.sum() == len(values)
    expected = [
        sum(start <= float(value) < end for value in values)
        for start, end in zip(found.edges, found.edges[1:], strict=False)
    ]
    assert counts.tolist() == expected


@given(values=any_values, low=lows, high=highs)
def test_a_bin_holds_either_kept_or_dropped_values_and_knows_which(values, low, high):
    assume(low <= high)
    found = axis_of(values, low, high)
    beyond = (values < round_bound(low, values.dtype)) | (values > round_bound(high, values.dtype))
    bins = np.searchsorted(found.edges, values.astype(np.float64), side="right") - 1
    kept = [found.keeps(edge) for edge in found.edges[:-1]]
    assert [not kept[place] for place in bins.tolist()] == beyond.tolist()


@given(values=any_values, low=lows, high=highs)
def test_edges_rise_and_are_about_as_many_as_asked_for(values, low, high):
    assume(low <= high)
    edges = axis_of(values, low, high).edges
    assert list(edges) == sorted(set(edges))
    assert 1 <= len(edges) - 1 <= BINS + 4
    assert all(map(math.isfinite, edges))


@given(values=any_values, low=lows, high=highs)
def test_places_rise_from_zero_to_one(values, low, high):
    assume(low <= high)
    found = axis_of(values, low, high)
    places = [found.place(edge) for edge in found.edges]
    assert places[0] == 0 and places[-1] == 1
    assert places == sorted(places)


@given(values=any_values, low=lows, high=highs)
def test_the_bounds_lie_inside_the_axis_whatever_the_values(values, low, high):
    assume(low <= high)
    found = axis_of(values, low, high)
    marks = [mark for mark in find_borders(low, high, values.dtype) if math.isfinite(mark)]
    assert set(marks) <= set(found.edges)


@given(values=sizes, low=lows, high=highs)
def test_the_edges_of_whole_numbers_are_whole(values, low, high):
    assume(low <= high)
    assert all(edge == int(edge) for edge in axis_of(values, low, high).edges)


@given(parts=st.lists(shares, min_size=1, max_size=5))
def test_an_extent_gathered_in_parts_is_that_of_the_whole(parts):
    found = ValueExtent()
    for part in parts:
        found.add(part)
    found.add(np.zeros(0, np.float32))
    whole = np.concatenate(parts)
    assert (found.number, found.least, found.most) == (len(whole), whole.min(), whole.max())
    assert found.size == pytest.approx(float(np.abs(whole.astype(np.float64)).sum()))


@pytest.mark.parametrize(
    ("low", "high", "kind", "expected"),
    [
        (50.0, INF, I4, (50, INF)),
        (1.5, 7.0, I4, (2, 8)),
        (-INF, 0.0, I4, (-INF, 1)),
        (0.8, INF, F4, (0.800000011920929, INF)),
        (-INF, 0.3, F4, (-INF, float(np.nextafter(np.float32(0.3), np.float32(1))))),
        (0.8, 0.9, F8, (0.8, float(np.nextafter(0.9, 1)))),
    ],
)
def test_the_first_value_kept_and_the_first_dropped_again(low, high, kind, expected):
    assert find_borders(low, high, kind) == expected


def test_a_bound_is_compared_as_its_column_holds_it():
    assert round_bound(0.3, F4) == float(np.float32(0.3)) != 0.3
    assert round_bound(0.3, F8) == 0.3 and round_bound(50, I4) == 50.0
    assert round_bound(INF, F4) == INF


def test_shares_stand_on_a_linear_axis():
    found = axis_of(np.array([0, 0.5, 1], np.float32), high=0.01)
    assert found.unit is None and found.place(0.5) == pytest.approx(0.5)


def test_a_long_tail_turns_the_axis_logarithmic_beyond_the_bound():
    words = np.array([10, 60, 200, 80_000], np.int32)
    found = axis_of(words, low=50)
    assert found.unit == 50
    tenfold = [found.place(10.0**power) for power in (3, 4)]
    assert tenfold[1] - tenfold[0] == pytest.approx(
        math.log(10) / (math.asinh(1600) - math.asinh(0.2)), rel=0.01
    )
    assert 0.08 < found.place(50) < 0.2


def test_a_bound_far_beyond_all_values_leaves_them_room():
    words = np.arange(100, 900, dtype=np.int32)
    found = axis_of(words, high=100_000)
    assert found.unit == pytest.approx(words.mean())
    assert found.place(900) - found.place(100) > 0.1


def test_few_whole_numbers_have_a_bin_each():
    found = axis_of(np.array([0, 1, 2, 3, 9], np.int32), low=2)
    assert found.edges == tuple(map(float, range(11)))
    assert found.count(np.array([0, 1, 2, 3, 9, 9])).tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 2]


def test_where_nothing_is_dropped_there_is_room_beyond_the_bound_to_say_so():
    found = axis_of(np.array([0.1, 0.2], np.float32), high=0.9)
    assert found.edges[-1] == pytest.approx(0.9 + ROOM * (0.9 - 0.1), rel=1e-3)
    low = axis_of(np.array([60, 90], np.int32), low=50)
    assert low.edges[0] < 50 and low.edges[0] >= 0


def test_room_below_never_passes_zero_for_values_that_cannot_be_negative():
    assert axis_of(np.array([0.5, 0.9], np.float32), low=0.01).edges[0] == 0


def test_negative_values_have_an_axis_as_well():
    found = axis_of(np.array([-9, -4.5, -4], np.float32), low=-5)
    assert found.edges[0] == -9 and -5.0 in found.edges
    assert found.count(np.array([-9, -4.5, -4], np.float32)).sum() == 3


@pytest.mark.parametrize("value", [0, 0.3, -7, 1e-30, 1e30])
def test_a_single_value_has_an_axis_of_some_width(value):
    found = axis_of(np.array([value], np.float32))
    assert (
        found.edges[-1] > found.edges[0] and found.count(np.array([value], np.float32)).sum() == 1
    )


def test_no_values_fill_no_bin():
    assert HistogramAxis((0.0, 1.0, 2.0), None, (-INF, INF)).count(
        np.zeros(0, np.float32)
    ).tolist() == [
        0,
        0,
    ]


@given(value=st.floats(-1e12, 1e12), unit=st.one_of(st.none(), st.floats(1e-3, 1e3)))
def test_bending_keeps_zero_and_the_sign(value, unit):
    assert bend_value(0.0, unit) == 0
    assert (
        math.copysign(1, bend_value(value, unit)) == math.copysign(1, value)
        or bend_value(value, unit) == 0
    )


def test_where_only_zero_is_kept_its_bar_is_as_wide_as_one_can_see():
    found = axis_of(np.array([0] * 95 + [0.1, 0.2, 0.3, 0.4, 0.9], np.float32), high=0.0)
    assert found.place(found.kept[1]) > 0.04
    counts = found.count(np.array([0, 0, 0.5], np.float32))
    assert counts[: sum(found.keeps(edge) for edge in found.edges[:-1])].sum() == 2
