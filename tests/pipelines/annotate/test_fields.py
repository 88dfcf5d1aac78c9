"""Dates of strangers: what is one becomes UTC, what is none becomes null, and nothing raises."""

import datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.document import MOMENT
from pipelines.annotate.readers.fields import find_genre, parse_moment, parse_moments


def utc(*parts):
    return datetime.datetime(*parts, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "when"),
    [
        ("2021-01-01T00:00:00+23:59", utc(2020, 12, 31, 0, 1)),
        (" 2021-01-02 ", utc(2021, 1, 2)),
        ("20210102", utc(2021, 1, 2)),
        (20210102, utc(2021, 1, 2)),
        (20210102.0, utc(2021, 1, 2)),
        (2019, utc(2019, 1, 1)),
        ("2019", utc(2019, 1, 1)),
        (2019.0, utc(2019, 1, 1)),
        (1609459200, utc(2021, 1, 1)),
        ("1609459200", utc(2021, 1, 1)),
        (1609459200.5, utc(2021, 1, 1, 0, 0, 0, 500_000)),
        (1609459200000, utc(2021, 1, 1)),
        (100_000_000_000, utc(1973, 3, 3, 9, 46, 40)),
        (datetime.datetime(2021, 1, 1, 5), utc(2021, 1, 1, 5)),
        (
            datetime.datetime(2021, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
            utc(2020, 12, 31, 22),
        ),
    ],
)
def test_what_is_a_date_is_its_moment_in_utc(value, when):
    assert parse_moment(value) == when and parse_moment(value).tzinfo is datetime.UTC


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        20211399,
        20210229,
        "20211301",
        0,
        5,
        999,
        12345,
        -2019,
        10**14,
        10**400,
        1e300,
        float("nan"),
        float("inf"),
        True,
        "",
        "yesterday",
        "٢٠١٩",
        "9" * 5000,
        None,
        [2019],
        {"year": 2019},
        b"2019",
    ],
)
def test_what_is_no_date_is_none(value):
    assert parse_moment(value) is None


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.integers(), st.floats(), st.text(), st.datetimes(timezones=st.none() | st.timezones())
    )
)
def test_no_value_raises_and_every_moment_fits_the_column(value):
    for given_value in (value, str(value)):
        found = parse_moment(given_value)
        assert pa.array([found], MOMENT).to_pylist()[0] is None or found is not None


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.none(), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(10**13), 10**13)
        ),
        max_size=6,
    ),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    zone=st.sampled_from([None, "UTC", "Asia/Shanghai", "Nowhere/Land"]),
)
def test_any_timestamps_stay_the_same_moments_or_become_null(values, unit, zone):
    found = parse_moments(pa.array(values, pa.timestamp(unit, zone)))
    assert found.type == MOMENT
    per_second = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[unit]
    for value, when in zip(values, found.to_pylist(), strict=True):
        if when is None:
            assert value is None or not -62_135_596_800 < value / per_second < 253_402_300_800
        else:
            assert abs((when - utc(1970, 1, 1)).total_seconds() - value / per_second) < 0.01


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(1 << 31), (1 << 31) - 1)), max_size=5))
def test_any_days_become_moments_or_null(days):
    found = parse_moments(pa.array(days, pa.date32())).to_pylist()
    reach = (utc(9999, 12, 31) - utc(1970, 1, 1)).days, (utc(1, 1, 1) - utc(1970, 1, 1)).days
    assert found == [
        utc(1970, 1, 1) + datetime.timedelta(days)
        if days is not None and reach[1] <= days <= reach[0]
        else None
        for days in days
    ]


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pa.array(["2020", None, "x"]), [utc(2020, 1, 1), None, None]),
        (pa.array(["2020"]).dictionary_encode(), [utc(2020, 1, 1)]),
        (pa.array([2020, 20200102, 7]), [utc(2020, 1, 1), utc(2020, 1, 2), None]),
        (pa.array([float("nan"), 1.6e9]), [None, utc(2020, 9, 13, 12, 26, 40)]),
        (pa.array([[1]]), [None]),
        (pa.array([5], pa.duration("s")), [None]),
        (pa.array([5], pa.time32("s")), [None]),
        (pa.array([b"2020"]), [None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_other_columns_are_read_by_value(column, found):
    assert parse_moments(column).to_pylist() == found


@pytest.mark.parametrize(
    ("stated", "genre"),
    [
        ("news", "news"),
        ("News articles", "news"),
        ("newspaper", "news"),
        ("wikipedia", "wiki"),
        ("wiki-news", "wiki"),
        ("mediawiki", "wiki"),
        ("mastodon", "social"),
        ("hackernews", "social"),
        ("hackernews-comments", "social"),
        ("bluesky", "social"),
        ("blog_posts", "social"),
        ("web page", "web"),
        ("document", "docs"),
        ("public domain poetry", "book"),
    ],
)
def test_the_type_of_a_data_set_is_a_genre_by_its_whole_words(stated, genre):
    assert find_genre(stated) == genre


@pytest.mark.parametrize("stated", ["renewsletter", "outlaws", "cobweb", "postal", "", None, 5, []])
def test_a_part_of_a_word_is_no_genre(stated):
    assert find_genre(stated) == "other"
