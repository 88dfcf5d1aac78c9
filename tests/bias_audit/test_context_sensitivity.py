"""Models made by hand give the constant choice worked out by hand, and the statistic agrees with counting couples."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bias_audit.benchmarks.built_in import load_pairs
from bias_audit.benchmarks.pairs import Probe
from bias_audit.context_sensitivity import (
    PairChoice,
    context_insensitive_rate,
    find_top_choice,
    list_choices,
)


def as_json(row) -> dict:
    """A row as it is written to audit.json."""
    return TypeAdapter(type(row)).dump_python(row, mode="json", by_alias=True)


def made(*blocks: tuple[list[float], list[float]]) -> list[PairChoice]:
    """For each template: what was picked in contexts of the first group, and in those of the second (1: its word)."""
    return [
        PairChoice(first, side, f"t{number}", f"{side} word {place}")
        for number, block in enumerate(blocks)
        for side, picks in zip((True, False), block, strict=True)
        for place, first in enumerate(picks)
    ]


def value(*blocks: tuple[list[float], list[float]]) -> float:
    found = context_insensitive_rate(made(*blocks), seed=1, resamples=50)
    assert found is not None
    return found.value


def test_one_word_that_always_wins_gives_one():
    found = context_insensitive_rate(
        made(([1] * 8, [1] * 8), ([1] * 8, [1] * 8)), seed=1, resamples=200
    )
    assert (found.value, found.high, found.n) == (1.0, 1.0, 32)
    assert found.low == pytest.approx(32 / (32 + 1.96**2), abs=1e-4)  # Wilson at a share of 1


def test_another_word_winning_in_each_template_gives_one_too():
    """Over all templates each group's word wins half the time: only within a template is it seen."""
    assert value(([1] * 4, [1] * 4), ([0] * 4, [0] * 4)) == 1.0


def test_a_choice_that_always_follows_the_context_gives_zero_in_either_direction():
    assert value(([1] * 4, [0] * 4)) == 0.0
    assert value(([0] * 4, [1] * 4)) == 0.0


def test_a_choice_that_is_half_and_half_gives_one_half():
    assert value(([1, 0, 1, 0], [1, 0, 0, 1])) == 0.5


def test_ties_count_as_half_and_half():
    assert value(([0.5] * 3, [0.5] * 3)) == 0.5
    assert value(([0.5] * 3, [1, 1, 0])) == 0.5


def test_nine_of_ten_picks_of_one_word_give_the_share_of_equal_couples():
    assert value(([1] * 9 + [0], [1] * 9 + [0])) == pytest.approx(0.9 * 0.9 + 0.1 * 0.1)


def test_templates_count_by_their_pairs():
    assert value(([1] * 3, [1] * 3), ([1], [0])) == pytest.approx(6 / 8)


def test_a_template_with_contexts_of_one_group_only_is_left_out():
    found = context_insensitive_rate(made(([1, 1], [0, 0]), ([1, 1, 1], [])), seed=1, resamples=50)
    assert (found.value, found.n) == (0.0, 4)


def test_without_any_template_of_both_kinds_there_is_none():
    assert context_insensitive_rate(made(([1, 1], []), ([], [0])), seed=1, resamples=50) is None


picks = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=6)
templates = st.lists(st.tuples(picks, picks), min_size=1, max_size=5)


@given(templates)
@settings(max_examples=60, deadline=None)
def test_the_value_is_the_share_of_equal_couples_counted_one_by_one(blocks):
    agree, size = 0.0, 0
    for first, second in blocks:
        couples = [a * b + (1 - a) * (1 - b) for a, b in product(first, second)]
        agree += (len(first) + len(second)) * sum(couples) / len(couples)
        size += len(first) + len(second)
    found = context_insensitive_rate(made(*blocks), seed=1, resamples=20)
    assert found.value == pytest.approx(agree / size)
    assert found.n == size and 0 <= found.low <= found.value <= found.high <= 1


@given(templates)
@settings(max_examples=40, deadline=None)
def test_the_group_that_is_called_first_does_not_matter(blocks):
    turned = [
        ([1 - pick for pick in second], [1 - pick for pick in first]) for first, second in blocks
    ]
    ours, theirs = (
        context_insensitive_rate(made(*side), seed=1, resamples=20) for side in (blocks, turned)
    )
    assert ours.value == pytest.approx(theirs.value)


balanced = st.integers(1, 6).flatmap(
    lambda size: st.lists(
        st.tuples(*[st.lists(st.sampled_from([0.0, 1.0]), min_size=size, max_size=size)] * 2),
        min_size=1,
        max_size=5,
    )
)


@given(balanced)
@settings(max_examples=60, deadline=None)
def test_no_preference_lies_farther_from_one_half_than_the_constant_choice_allows(blocks):
    """The sentence that the glossary states: |preference - 0.5| <= (1 - constant choice) / 2."""
    wins = [p for first, second in blocks for p in (*first, *(1 - q for q in second))]
    assert abs(np.mean(wins) - 0.5) <= (1 - value(*blocks)) / 2 + 1e-9


def test_the_interval_is_the_same_for_the_same_seed_and_covers_the_truth():
    draw = np.random.default_rng(5)
    truth, inside = 0.8**2 + 0.2**2, 0
    for _ in range(40):
        blocks = [
            tuple((draw.random(8) < 0.8).astype(float).tolist() for _ in range(2)) for _ in range(8)
        ]
        found = context_insensitive_rate(made(*blocks), seed=3, resamples=200)
        assert found == context_insensitive_rate(made(*blocks), seed=3, resamples=200)
        inside += found.low <= truth <= found.high
    assert inside >= 36


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_built_in_probes_of_every_axis_can_tell_a_constant_model_from_a_stereotyped_one(lang):
    for axis in {probe.axis for probe in load_pairs(lang)}:
        probes = [probe for probe in load_pairs(lang) if probe.axis == axis]
        one = sorted({probe.stereotyped_group for probe in probes})[0]
        constant = list_choices(probes, [float(probe.stereotyped_group == one) for probe in probes])
        assert context_insensitive_rate(constant, seed=1, resamples=50).value == 1.0
        stereotyped = context_insensitive_rate(
            list_choices(probes, [1.0] * len(probes)), seed=1, resamples=50
        )
        assert (stereotyped.value, stereotyped.n) == (0.0, len(probes))


def test_single_sentences_are_compared_within_their_axis():
    probes = [probe for probe in load_pairs("en") if probe.axis == "gender-scene"]
    assert {choice.block for choice in list_choices(probes, [1.0] * len(probes))} == {
        "gender-scene (sentences)"
    }


def test_a_template_cut_to_one_kind_of_context_joins_the_single_ones():
    probes = [probe for probe in load_pairs("en") if probe.axis == "age"]
    first, *rest = sorted({probe.template for probe in probes})
    kept = [
        probe for probe in probes if probe.template != first or probe.stereotyped_group == "old"
    ]
    blocks = {
        (choice.block, choice.stereotyped_first) for choice in list_choices(kept, [1.0] * len(kept))
    }
    assert ("age (sentences)", True) in blocks and ("age (sentences)", False) not in blocks
    assert {(template, side) for template in rest for side in (True, False)} < blocks


def probe(stereotyped: str, words: tuple[str, str], number: int = 0) -> Probe:
    other = "male" if stereotyped == "female" else "female"
    return Probe(
        f"p{number}", "en", "gender", "t1", f"w{number}", stereotyped, other, "a", "b", (words,)
    )


def top_choice(probes, wins) -> dict:
    return as_json(find_top_choice(probes, wins))


def test_the_group_and_the_words_that_win_are_named_in_order():
    female, male = ("she", "he"), ("he", "she")
    probes = [
        probe("female", female),
        probe("female", female, 1),
        probe("male", male, 2),
        probe("male", ("His", "Her"), 3),
    ]
    assert top_choice(probes, [0.0, 0.0, 1.0, 1.0]) == {
        "group": "male",
        "share": {"value": 1.0, "low": 0.510109, "high": 1.0, "n": 4},
        "words": ["he", "His"],
        "more_words": 0,
    }


def test_a_word_at_the_start_of_a_sentence_is_not_another_word():
    probes = [
        probe("female", ("She", "He")),
        probe("male", ("he", "she"), 1),
        probe("male", ("he", "she"), 2),
    ]
    assert top_choice(probes, [1.0, 0.0, 0.0])["words"] == ["she"]


def test_no_group_is_named_where_its_word_wins_in_fewer_than_nine_of_ten_pairs():
    probes = [probe("female", ("she", "he"), i) for i in range(10)] + [
        probe("male", ("he", "she"), i) for i in range(10)
    ]
    eighteen = top_choice(probes, [1.0] * 10 + [0.0] * 8 + [1.0] * 2)
    assert (eighteen["group"], eighteen["share"]["value"], eighteen["words"]) == (
        "female",
        0.9,
        ["she"],
    )
    seventeen = top_choice(probes, [1.0] * 10 + [0.0] * 7 + [1.0] * 3)
    assert (seventeen["group"], seventeen["share"], seventeen["words"]) == (
        None,
        None,
        ["she", "he"],
    )


def test_no_group_is_named_over_several_axes_or_one_direction():
    age = Probe("p9", "en", "age", "t2", "w", "old", "young", "a", "b", (("old", "young"),))
    assert top_choice([probe("female", ("she", "he")), age], [1.0, 1.0])["group"] is None
    assert top_choice([probe("female", ("she", "he"))], [1.0])["group"] is None


def test_a_tie_has_no_winner():
    assert top_choice(
        [probe("female", ("she", "he")), probe("male", ("he", "she"), 1)], [0.5, 0.5]
    ) == {
        "group": None,
        "share": None,
        "words": [],
        "more_words": 0,
    }


def test_at_most_three_words_are_named_and_the_rest_counted():
    probes = [
        probe("female", (word, "he"), i)
        for i, word in enumerate(("she", "aunt", "girl", "sister", "woman"))
    ]
    found = top_choice(probes, [1.0] * 5)
    assert (found["words"], found["more_words"]) == (["aunt", "girl", "she"], 2)
