"""The audit's statistics, checked against published values, scipy and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from bias_audit.stats import (
    Estimate,
    clustered_log_ratio,
    clustered_rate,
    holm,
    log_odds,
    mantel_haenszel,
    minimum_detectable_effect,
    ppmi,
    preference_rate,
    risk_ratio,
    rounded,
    two_sided_p,
    wilson,
)


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("value", "low", "high", "n", "complaint"),
    [
        (math.nan, 0, 1, 5, "finite"),
        (0.5, 0.2, math.inf, 5, "finite"),
        (0.5, 0.6, 0.7, 5, "does not hold"),
        (0.5, 0.1, 0.4, 5, "does not hold"),
        (0.5, 0.4, 0.6, 0, "at least one observation"),
    ],
)
def test_an_impossible_estimate_is_refused(value, low, high, n, complaint):
    with pytest.raises(ValueError, match=complaint):
        Estimate(value, low, high, n)


def test_an_estimate_is_written_with_its_interval_and_n():
    assert Estimate(0.12345678, 0.1, 0.2, 7).as_json() == {
        "value": 0.123457,
        "low": 0.1,
        "high": 0.2,
        "n": 7,
    }
    assert rounded(None) is None


def test_an_estimate_excludes_a_value_only_when_its_whole_interval_lies_on_one_side():
    assert Estimate(0.6, 0.51, 0.7, 9).excludes(0.5)
    assert Estimate(0.4, 0.3, 0.49, 9).excludes(0.5)
    assert not Estimate(0.6, 0.5, 0.7, 9).excludes(0.5)


@given(st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy_and_stays_between_zero_and_one(case):
    successes, n = case
    ours = wilson(successes, n)
    theirs = reference.binomtest(successes, n).proportion_ci(method="wilson")
    assert ours.value == successes / n
    assert ours.low == pytest.approx(theirs.low, abs=1e-9)
    assert ours.high == pytest.approx(theirs.high, abs=1e-9)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 4), (5, 4)])
def test_wilson_refuses_impossible_counts(successes, n):
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, n)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_equals_its_textbook_definition_and_never_lowers_a_p_value(p_values):
    adjusted = holm(p_values)
    assert all(after >= before for after, before in zip(adjusted, p_values, strict=True))
    ranked = sorted(p_values)
    textbook = [
        max(min(1.0, p * (len(ranked) - i)) for i, p in enumerate(ranked[: j + 1]))
        for j in range(len(ranked))
    ]
    assert sorted(adjusted) == pytest.approx(sorted(textbook))


def test_holm_of_a_known_family():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.floats(-8, 8))
def test_two_sided_p_equals_scipy(z):
    assert two_sided_p(z) == pytest.approx(2 * reference.norm.sf(abs(z)), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("n", "points"), [(60, 18.1), (105, 13.7), (262, 8.7), (516, 6.2), (1_508, 3.6), (2_106, 3.1)]
)
def test_the_detectable_effect_equals_the_measured_table_of_the_notes(n, points):
    assert round(100 * minimum_detectable_effect(n), 1) == pytest.approx(points, abs=0.051)


def test_a_detectable_effect_is_never_more_than_all_pairs_and_needs_some():
    assert minimum_detectable_effect(1) == 0.5
    with pytest.raises(ValueError, match="n > 0"):
        minimum_detectable_effect(0)


def test_the_risk_ratio_equals_scipys():
    ours = risk_ratio(30, 120, 20, 180)
    theirs = reference.contingency.relative_risk(30, 120, 20, 180)
    interval = theirs.confidence_interval(0.95)
    assert ours is not None
    assert ours.value == pytest.approx(theirs.relative_risk)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.n == 300


def test_the_risk_ratio_is_not_measurable_without_documents_or_events():
    assert risk_ratio(0, 10, 0, 10) is None
    assert risk_ratio(0, 0, 3, 10) is None


def test_the_risk_ratio_of_a_zero_count_is_finite_and_wide():
    ours = risk_ratio(0, 50, 10, 50)
    assert ours is not None
    assert ours.value == pytest.approx((0.5 / 51) / (10.5 / 51))
    assert ours.low < 0.01 and ours.high < 1


def test_one_stratum_of_mantel_haenszel_is_the_plain_risk_ratio():
    pooled, plain = mantel_haenszel(floats(30, 120, 20, 180)[None, :]), risk_ratio(30, 120, 20, 180)
    assert pooled is not None and plain is not None
    assert (pooled.value, pooled.low, pooled.high) == pytest.approx(
        (plain.value, plain.low, plain.high)
    )


def test_mantel_haenszel_removes_a_ratio_that_only_comes_from_the_mix_of_strata():
    strata = np.array([[80, 100, 800, 1_000], [10, 1_000, 1, 100]], dtype=np.float64)
    pooled = mantel_haenszel(strata)
    crude = risk_ratio(90, 1_100, 801, 1_100)
    assert pooled is not None and crude is not None
    assert pooled.value == pytest.approx(1.0)
    assert pooled.low < 1 < pooled.high
    assert crude.high < 0.2


def test_mantel_haenszel_weighs_strata_as_worked_out_by_hand():
    strata = np.array([[8, 20, 4, 20], [6, 20, 3, 30], [5, 5, 0, 0]], dtype=np.float64)
    top, bottom = 8 * 20 / 40 + 6 * 30 / 50, 4 * 20 / 40 + 3 * 20 / 50
    spread = (12 * 400 - 32 * 40) / 1_600 + (9 * 600 - 18 * 50) / 2_500
    error = math.sqrt(spread / (top * bottom))
    pooled = mantel_haenszel(strata)
    assert pooled is not None
    assert pooled.value == pytest.approx(top / bottom)
    assert pooled.low == pytest.approx(top / bottom * math.exp(-1.959963985 * error))
    assert pooled.n == 90


@pytest.mark.parametrize(
    "strata",
    [
        [[30, 100, 0, 0], [0, 0, 40, 90]],
        [[0, 100, 0, 90]],
        [[4, 100, 4, 100]],
        [[1, 1, 900, 90_000]],
    ],
)
def test_mantel_haenszel_is_not_measurable_where_few_hits_are_expected_or_no_stratum_compares(
    strata,
):
    assert mantel_haenszel(np.array(strata, dtype=np.float64)) is None


def test_a_rule_that_hits_only_one_side_is_strong_and_not_lost():
    pooled = mantel_haenszel(np.array([[20, 30, 0, 60], [0, 5, 0, 5]], dtype=np.float64))
    assert pooled is not None
    assert pooled.value == pytest.approx((20 + 1 / 3) / 30 / ((2 / 3) / 60))
    assert pooled.low > 4
    assert pooled.n == 100


def test_a_small_group_that_is_never_hit_is_not_made_to_look_hit():
    pooled = mantel_haenszel(
        np.array([[0, 10, 900, 1_000]] + [[0, 1, 10, 1_000]] * 5, dtype=np.float64)
    )
    assert pooled is not None
    assert pooled.value < 0.2


def test_preference_counts_a_tie_one_half_to_each_side():
    found = preference_rate(floats(2, 1, 3, 5), floats(1, 2, 3, 4), seed=1)
    assert found.rate.value == 2.5 / 4
    assert found.rate.n == 4
    assert found.ties == 1


def test_preference_is_the_same_for_the_same_seed():
    stereo, anti = np.random.default_rng(3).normal(size=(2, 80))
    names = [[f"t{i % 8}" for i in range(80)]]
    assert preference_rate(stereo, anti, clusters=names, seed=5) == preference_rate(
        stereo, anti, clusters=names, seed=5
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**16))
def test_preference_interval_holds_the_value_and_is_never_narrower_than_wilson(size, seed):
    stereo, anti = np.random.default_rng(seed).integers(0, 3, size=(2, size)).astype(np.float64)
    found = preference_rate(stereo, anti, seed=seed, resamples=200)
    wins = float(np.where(stereo == anti, 0.5, stereo > anti).sum())
    plain = wilson(wins, size)
    assert found.rate.value == pytest.approx(wins / size)
    assert found.rate.low <= plain.low + 1e-12 and found.rate.high >= plain.high - 1e-12


def test_pairs_that_repeat_a_template_count_as_fewer_independent_pairs():
    stereo = np.repeat([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0], 20)
    anti = np.zeros(160)
    alone = preference_rate(stereo, anti, seed=2)
    clustered = preference_rate(
        stereo, anti, clusters=[[f"t{i // 20}" for i in range(160)]], seed=2
    )
    assert alone.rate.value == clustered.rate.value == 0.625
    assert clustered.rate.high - clustered.rate.low > 3 * (alone.rate.high - alone.rate.low)
    assert clustered.effective_n < 12 < alone.effective_n <= 160
    assert alone.p_value < 0.01 < 0.4 < clustered.p_value
    assert clustered.clusters == (8,)


def test_two_kinds_of_clusters_are_resampled_together():
    stereo = np.tile([1.0, 1.0, 1.0, -1.0, -1.0], 6)
    templates = [f"t{i // 5}" for i in range(30)]
    words = [f"w{i % 5}" for i in range(30)]
    both = preference_rate(stereo, np.zeros(30), clusters=[templates, words], seed=4)
    one = preference_rate(stereo, np.zeros(30), clusters=[templates], seed=4)
    assert both.clusters == (6, 5)
    assert both.error > 2 * one.error


def test_what_the_design_fixes_is_not_resampled():
    wins = np.array([1.0] * 20 + [-1.0] * 20)
    words = [f"w{i // 4}" for i in range(40)]
    sides = ["a"] * 20 + ["b"] * 20
    free = preference_rate(wins, np.zeros(40), clusters=[words], seed=1)
    fixed = preference_rate(wins, np.zeros(40), clusters=[words], strata=sides, seed=1)
    assert fixed.rate.value == free.rate.value == 0.5
    assert (fixed.rate.low, fixed.rate.high) == (wilson(20, 40).low, wilson(20, 40).high)
    assert free.rate.low < 0.25 < fixed.rate.low


def test_weights_give_unequal_sides_equal_parts():
    wins, weights = np.array([1.0, 1.0, 1.0, -1.0]), floats(1, 1, 1, 3)
    found = preference_rate(wins, np.zeros(4), weights=weights, strata=["a", "a", "a", "b"], seed=1)
    assert (found.rate.value, found.rate.n) == (0.5, 4)


def test_preference_refuses_lists_that_do_not_pair_up():
    with pytest.raises(ValueError, match="equal, non-empty"):
        preference_rate(floats(1, 2), floats(1), seed=0)
    with pytest.raises(ValueError, match="equal, non-empty"):
        preference_rate(floats(), floats(), seed=0)


def test_the_interval_of_the_preference_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for trial in range(200):
        random = np.random.default_rng(trial)
        templates = random.normal(0.3, 1.0, size=20)
        scores = (templates[:, None] + random.normal(size=(20, 10))).ravel()
        names = [[f"t{i // 10}" for i in range(200)]]
        rate = preference_rate(
            scores, np.zeros(200), clusters=names, seed=trial, resamples=200
        ).rate
        covered += rate.low <= reference.norm.cdf(0.3 / math.sqrt(2)) <= rate.high
    assert 176 <= covered <= 199


def test_a_clustered_rate_of_equal_documents_is_the_plain_mean_with_its_standard_error():
    counts = floats(1, 2, 3, 6)
    found = clustered_rate(counts, np.full(4, 100.0))
    error = counts.std(ddof=1) / math.sqrt(4) / 100
    assert found is not None
    assert found.value == 0.03
    assert found.high - found.value == pytest.approx(1.959963985 * error)
    assert found.n == 4


def test_a_clustered_rate_agrees_with_resampling_documents():
    random = np.random.default_rng(8)
    sizes = random.integers(50, 500, size=300).astype(np.float64)
    counts = np.where(random.random(300) < 0.2, random.poisson(0.05 * sizes), 0).astype(np.float64)
    found = clustered_rate(counts, sizes)
    picks = random.integers(0, 300, size=(4_000, 300))
    draws = counts[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    assert found is not None
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(draws.std(), rel=0.08)


def test_an_unseen_group_has_rate_zero_with_the_rule_of_three_above_it():
    found = clustered_rate(floats(0, 0, 0), floats(100, 100, 100))
    assert found == Estimate(0.0, 0.0, 0.01, 3)


def test_one_document_has_no_rate_interval():
    assert clustered_rate(floats(3, 0), floats(100, 0)) is None


def test_the_log_ratio_is_zero_for_equal_sums_and_changes_sign_with_the_sides():
    first, second = floats(3, 0, 2), floats(1, 4, 0)
    forward, backward = clustered_log_ratio(first, second), clustered_log_ratio(second, first)
    assert forward is not None and backward is not None
    assert forward.value == 0
    assert clustered_log_ratio(floats(6, 2), floats(1, 1)).value == pytest.approx(math.log(4))  # type: ignore[union-attr]
    assert clustered_log_ratio(floats(4, 5), floats(0, 0)).value == pytest.approx(
        math.log(9.5 / 0.5)
    )  # type: ignore[union-attr]
    assert clustered_log_ratio(floats(4), floats(2)) is None


def test_log_odds_follow_monroe_and_others_worked_out_by_hand():
    delta, variance = log_odds(
        floats(9, 1), 1_000, floats(1, 1), 2_000, background=floats(0.002, 0.001), prior=500
    )
    assert delta[0] == pytest.approx(math.log(10 / 1_490) - math.log(2 / 2_498))
    assert variance[0] == pytest.approx(1 / 10 + 1 / 2)
    assert delta[1] == pytest.approx(math.log(1.5 / 1_498.5) - math.log(1.5 / 2_498.5))


def test_a_stronger_prior_pulls_log_odds_towards_zero():
    weak, _ = log_odds(floats(5), 1_000, floats(0), 1_000, background=floats(0.002), prior=100)
    strong, _ = log_odds(floats(5), 1_000, floats(0), 1_000, background=floats(0.002), prior=10_000)
    assert 0 < strong[0] < weak[0]


def test_log_odds_refuse_a_word_that_was_never_seen():
    with pytest.raises(ValueError, match="background"):
        log_odds(floats(0), 10, floats(0), 10, background=floats(0), prior=5)


def test_ppmi_counts_bits_above_chance_and_never_less_than_zero():
    assert ppmi(8, 20, 10, 100) == 2.0
    assert ppmi(1, 50, 50, 100) == 0.0
    assert ppmi(0, 5, 5, 100) == 0.0
