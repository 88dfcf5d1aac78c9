"""Mixtures: shares that are asked for are reached, caps hold, and a document's fate depends on its id and its group alone."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import ConfigError, InputError
from pipelines.pack.config import MixtureConfig, QualityConfig
from pipelines.pack.mixture import (
    MixtureGroup,
    check_quality,
    count_groups,
    describe_left_out,
    draw_repeats,
    format_groups,
    format_written_mixture,
    group_keys,
    label_qualities,
    list_group_columns,
    plan_groups,
)


def mixture(**options):
    return MixtureConfig(**({"by": ("lang",)} | options))


SIZES = {"lang=en": (90, 9_000), "lang=zh": (10, 1_000)}


def times(config, sizes=SIZES):
    return {group.key: round(group.times, 6) for group in plan_groups(sizes, config)}


def test_without_weights_and_at_temperature_1_every_document_is_written_once():
    assert times(mixture()) == {"lang=en": 1.0, "lang=zh": 1.0}
    assert [(g.natural, g.planned) for g in plan_groups(SIZES, mixture())] == [
        (0.9, 0.9),
        (0.1, 0.1),
    ]


def test_a_weight_is_a_factor_on_a_share():
    [english, chinese] = plan_groups(SIZES, mixture(weights={"lang=zh": 3.0}))
    assert chinese.planned / english.planned == pytest.approx(3 * 1_000 / 9_000)
    assert english.planned + chinese.planned == pytest.approx(1.0)


def test_temperature_raises_shares_to_its_inverse():
    [english, chinese] = plan_groups(SIZES, mixture(temperature=2.0, most=100))
    assert english.planned / chinese.planned == pytest.approx(3.0)  # the root of 9


def test_no_group_is_written_more_often_than_most_and_the_rest_goes_to_the_others():
    sizes = SIZES | {"lang=de": (1, 10)}
    found = plan_groups(sizes, mixture(temperature=1_000.0, most=4.0))
    by_key = {group.key: group for group in found}
    assert by_key["lang=de"].times == by_key["lang=zh"].times == 4.0
    written = sum(group.times * group.bytes for group in found)
    assert written == pytest.approx(10_010)


def test_where_all_groups_are_capped_less_is_written_than_asked():
    assert times(mixture(size=10.0, max_repeats=2.0)) == {"lang=en": 2.0, "lang=zh": 2.0}


def test_size_is_bytes_of_training_over_bytes_kept():
    assert times(mixture(size=0.5)) == {"lang=en": 0.5, "lang=zh": 0.5}


def test_a_weight_of_0_leaves_a_group_out():
    assert times(mixture(weights={"lang=zh": 0})) == {
        "lang=en": pytest.approx(10 / 9),
        "lang=zh": 0.0,
    }


def test_empty_groups_and_no_groups_are_no_error():
    assert times(mixture(), {"lang=en": (3, 0)}) == {"lang=en": 0.0}
    assert plan_groups({}, mixture()) == []


def test_a_weight_that_names_nothing_is_refused_with_what_there_is():
    with pytest.raises(InputError, match="lang=de") as caught:
        plan_groups(SIZES, mixture(weights={"lang=de": 2.0}))
    assert "lang=en, lang=zh" in str(caught.value)


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(InputError, match="this mixture writes nothing"):
        plan_groups(SIZES, mixture(weights={"lang=zh": 0, "lang=en": 0}))


@given(
    st.dictionaries(st.integers(0, 50), st.integers(1, 10**12), min_size=1, max_size=12),
    st.floats(1, 20),
    st.floats(0.1, 5),
    st.floats(0.5, 8),
)
def test_shares_are_those_wanted_but_for_capped_groups_and_never_exceed_the_size(
    sizes, temperature, size, most
):
    config = mixture(temperature=temperature, size=size, most=most)
    groups = plan_groups({f"lang={key}": (1, count) for key, count in sizes.items()}, config)
    assert all(0 <= group.times <= most for group in groups)
    total = sum(group.bytes for group in groups)
    assert sum(group.times * group.bytes for group in groups) <= size * total * (1 + 1e-9)
    free = [group for group in groups if group.times < most]
    rates = [group.times * group.bytes ** (1 - 1 / temperature) for group in free]
    assert not rates or max(rates) == pytest.approx(min(rates), rel=1e-6)


def table(**columns):
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def test_groups_are_counted_over_all_tables_with_the_repeats_of_clusters():
    config = MixtureConfig(by=("source", "lang"))
    one = table(
        source=["w", "w", "n"], lang=["en", "zh", "en"], text_bytes=[5, 6, 7], repeats=[1, 2, 1]
    )
    two = table(source=["w"], lang=["en"], text_bytes=[100], repeats=[1])
    assert list_group_columns(config) == ["source", "lang"]
    assert count_groups([one, two], config) == {
        "source=w\tlang=en": (2, 105),
        "source=w\tlang=zh": (1, 12),
        "source=n\tlang=en": (1, 7),
    }


def test_weights_of_several_parts_multiply():
    sizes = {
        "source=w\tlang=en": (1, 100),
        "source=w\tlang=zh": (1, 100),
        "source=n\tlang=zh": (1, 100),
    }
    config = MixtureConfig(
        by=("source", "lang"), weights={"source=w": 2.0, "lang=zh": 3.0}, max_repeats=100
    )
    planned = {group.key: group.planned for group in plan_groups(sizes, config)}
    assert planned == pytest.approx(
        {"source=w\tlang=en": 2 / 11, "source=w\tlang=zh": 6 / 11, "source=n\tlang=zh": 3 / 11}
    )


def test_qualities_are_told_by_bounds_the_lower_one_belonging_to_the_upper_group():
    values = pa.chunked_array([[0.1, 0.3], [0.69, 0.7, None, float("nan")]])
    assert label_qualities(values, (0.3, 0.7)).to_pylist() == [
        "quality=<0.3",
        "quality=0.3-0.7",
        "quality=0.3-0.7",
        "quality=>=0.7",
        "quality=unknown",
        "quality=unknown",
    ]
    assert label_qualities(pa.chunked_array([[1, 5]]), (3,)).to_pylist() == [
        "quality=<3",
        "quality=>=3",
    ]


def test_a_quality_is_a_numeric_column_of_the_documents():
    config = MixtureConfig(by=("quality",), quality=QualityConfig(signal="edu", bounds=(2,)))
    assert list_group_columns(config) == ["edu"]
    check_quality(config, ["edu"])
    with pytest.raises(ConfigError, match="documents have no such number"):
        check_quality(config, ["words"])
    rows = table(edu=[1, 3], text_bytes=[1, 1], repeats=[1, 1])
    assert group_keys(rows, config).to_pylist() == ["quality=<2", "quality=>=2"]


IDS = [f"{number:032x}" for number in range(20_000)]


@pytest.mark.parametrize("wanted", [0.0, 0.25, 1.0, 2.75])
def test_documents_are_written_so_often_on_average(wanted):
    often = draw_repeats(IDS, np.full(len(IDS), wanted))
    assert set(often.tolist()) <= {int(wanted), int(wanted) + 1}
    assert often.mean() == pytest.approx(wanted, abs=0.01)


def test_who_is_written_stays_when_more_are():
    few, many = (draw_repeats(IDS, np.full(len(IDS), share)) for share in (0.3, 0.8))
    assert (few <= many).all()
    assert (draw_repeats(IDS[:50][::-1], np.full(50, 0.3))[::-1] == few[:50]).all()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"weights": {"lang=zh": 1.0}}, "say what documents are grouped by"),
        ({"by": ["lang"], "weights": {"source=a": 1.0}}, "should look like lang="),
        ({"by": ["lang"], "weights": {"lang": 1.0}}, "should look like lang="),
        ({"by": ["quality"]}, "go together"),
        ({"by": ["lang"], "quality": {"signal": "x", "bounds": [1]}}, "go together"),
        ({"by": ["quality"], "quality": {"signal": "x", "bounds": [2, 1]}}, "bounds must ascend"),
        ({"by": ["lang"], "temperature": 0.5}, "greater than or equal to 1"),
    ],
)
def test_impossible_mixtures_are_refused_when_they_are_made(config, told):
    with pytest.raises(ValueError, match=told):
        MixtureConfig(**config)


def test_the_table_shows_the_largest_groups_and_counts_the_rest():
    lines = format_groups(plan_groups(SIZES, mixture(weights={"lang=zh": 3.0})))
    assert lines == [
        "  group    documents  bytes  share  planned  times",
        "  lang=en         90  9,000  90.0%    75.0%   0.83",
        "  lang=zh         10  1,000  10.0%    25.0%   2.50",
    ]
    many = format_groups(plan_groups({f"lang={n}": (1, 10 + n) for n in range(30)}, mixture()))
    assert len(many) == 22 and many[-1] == "  and 10 smaller groups"


def test_what_times_below_1_mean_is_said_with_the_size_that_leaves_nothing_out():
    groups = plan_groups(SIZES, mixture(weights={"lang=zh": 3.0}))
    assert describe_left_out(groups, 1.0) == [
        "  times below 1: about 15 of 100 documents are left out; pack.mixture.size=1.2 keeps all"
    ]
    assert (
        describe_left_out(plan_groups(SIZES, mixture(weights={"lang=zh": 3.0}, size=1.2)), 1.2)
        == []
    )
    assert describe_left_out(plan_groups(SIZES, mixture()), 1.0) == []


def test_what_was_written_stands_beside_what_was_planned():
    groups = [MixtureGroup("source=w\tlang=en", 2, 100, 1.0, 1.0, 1.0)]
    rows = [
        {name: getattr(group, name) for name in MixtureGroup.__slots__} | {"tokens": 40}
        for group in groups
    ]
    assert format_written_mixture(rows)[1].split() == [
        "source=w",
        "lang=en",
        "2",
        "100",
        "100.0%",
        "100.0%",
        "1.00",
        "40",
        "100.0%",
    ]


def test_near_bounds_have_names_of_their_own():
    bounds = (1_000_000.0, 1_000_001.0, 1_000_002.0)
    found = label_qualities(
        pa.chunked_array([pa.array([1_000_000.5, 1_000_001.5])]), bounds
    ).to_pylist()
    assert found == ["quality=1000000-1000001", "quality=1000001-1000002"]


def test_the_old_key_of_max_repeats_is_taken_with_a_warning(capsys):
    config = MixtureConfig.model_validate({"by": ("lang",), "most": 2.0})
    assert config == MixtureConfig(by=("lang",), max_repeats=2.0)
    warning = "the key `most` is now called `max_repeats`"
    assert warning in "".join(capsys.readouterr())
