"""Estimates do not depend on how the data is cut into batches, nor on which side is called first."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bias_audit.corpus import DocumentBatch
from bias_audit.disparity import Disparity, compare_rules
from bias_audit.probe import load
from bias_audit.stats import (
    clustered_log_ratio,
    clustered_rate,
    log_odds,
    mantel_haenszel,
    pigeonhole,
    ppmi,
    preference_rate,
    risk_ratio,
)

counts = st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, counts)
def test_the_risk_ratio_turned_around_is_its_inverse(first, second):
    there, back = risk_ratio(*first, *second), risk_ratio(*second, *first)
    if there is None or back is None:
        assert there is back is None and first[0] + second[0] == 0
        return
    assert there.value * back.value == pytest.approx(1)
    assert there.low * back.high == pytest.approx(1) and there.n == back.n


strata = st.lists(st.tuples(counts, counts), min_size=1, max_size=6)


@given(strata)
def test_mantel_haenszel_turned_around_is_its_inverse_and_the_order_of_strata_does_not_matter(
    cells,
):
    table = np.array([[*first, *second] for first, second in cells], dtype=np.float64)
    found, turned, mixed = (
        mantel_haenszel(table),
        mantel_haenszel(table[:, [2, 3, 0, 1]]),
        mantel_haenszel(table[::-1]),
    )
    if found is None or turned is None or mixed is None:
        assert found is turned is mixed is None
        return
    assert found.value * turned.value == pytest.approx(1)
    assert mixed.value == pytest.approx(found.value) and mixed.low == pytest.approx(found.low)


@given(strata)
def test_a_stratum_with_one_empty_side_changes_nothing(cells):
    table = np.array([[*first, *second] for first, second in cells], dtype=np.float64)
    assert mantel_haenszel(np.vstack([table, [7, 9, 0, 0], [0, 0, 3, 4]])) == mantel_haenszel(table)


scores = st.lists(st.tuples(st.integers(-9, 0), st.integers(-9, 0)), min_size=2, max_size=30)


@given(scores, st.integers(0, 999))
@settings(max_examples=50, deadline=None)
def test_a_preference_for_the_other_side_is_what_is_missing_to_one(pairs, seed):
    stereo, anti = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    there = preference_rate(stereo, anti, seed=seed, resamples=60)
    back = preference_rate(anti, stereo, seed=seed, resamples=60)
    assert there.rate.value + back.rate.value == pytest.approx(1)
    assert there.rate.low == pytest.approx(1 - back.rate.high) and there.p_value == pytest.approx(
        back.p_value
    )


documents = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=20)


@given(documents)
def test_the_log_ratio_turned_around_changes_its_sign(cells):
    first, second = (np.array(side, dtype=np.float64) for side in zip(*cells, strict=True))
    there, back = clustered_log_ratio(first, second), clustered_log_ratio(second, first)
    if there is None or back is None:
        assert there is back is None
        return
    assert there.value == pytest.approx(-back.value) and there.low == pytest.approx(-back.high)


@given(documents)
def test_a_rate_is_the_same_in_other_units_and_documents_without_size_do_not_count(cells):
    events, sizes = (np.array(side, dtype=np.float64) for side in zip(*cells, strict=True))
    found, scaled = clustered_rate(events, sizes), clustered_rate(events, 10 * sizes)
    if found is None or scaled is None:
        assert found is scaled is None and (sizes > 0).sum() < 2
        return
    assert (
        scaled.value == pytest.approx(found.value / 10) and scaled.n == found.n == (sizes > 0).sum()
    )


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8))
def test_log_odds_turned_around_change_their_sign_and_keep_their_variance(cells):
    first, second = (np.array(side, dtype=np.float64) for side in zip(*cells, strict=True))
    share = np.full(len(cells), 1 / (len(cells) + 1))
    totals = first.sum() + 1, second.sum() + 1
    there, spread = log_odds(first, totals[0], second, totals[1], background=share, prior=10.0)
    back, same = log_odds(second, totals[1], first, totals[0], background=share, prior=10.0)
    assert there == pytest.approx(-back) and spread == pytest.approx(same)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50), st.integers(50, 5_000))
def test_ppmi_is_the_same_from_either_side_and_doubles_of_chance_are_one_bit(
    joint, first, second, total
):
    assert ppmi(joint, first, second, total) == ppmi(joint, second, first, total)
    assert ppmi(2 * first * second / total, first, second, total) == pytest.approx(1)


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_resampled_weights_keep_whole_clusters_together_and_their_number_in_every_draw(
    size, clusters, seed
):
    factor = np.arange(size) % clusters
    weights = pigeonhole(np.ones(size), [factor], np.random.default_rng(seed), 20)
    for cluster in range(min(clusters, size)):
        members = weights[:, factor == cluster]
        assert (members == members[:, :1]).all()
    firsts = weights[:, : int(factor.max()) + 1]
    assert (firsts.sum(axis=1) == int(factor.max()) + 1).all()


rows_of = st.lists(
    st.tuples(
        st.sampled_from(["wiki", "news"]), st.integers(0, 3), st.booleans(), st.integers(1, 60)
    ),
    min_size=6,
    max_size=40,
)


@given(rows_of, st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_drop_rates_do_not_depend_on_how_documents_are_batched(table, step):
    def measured(size: int) -> list[dict]:
        found = Disparity(["religion/muslim"], ["too_short", "blocked_word"])
        for start in range(0, len(table), size):
            sources, reasons, mentions, words = zip(*table[start : start + size], strict=True)
            bits = np.array(reasons, dtype=np.uint64)
            batch = DocumentBatch(
                "en", pa.array([""] * len(bits)), np.array(sources, dtype=object), bits == 0, bits
            )
            found.add(batch, np.array(mentions)[:, None], np.array(words, dtype=np.float64))
        return compare_rules([found], min_documents=1)

    assert measured(step) == measured(len(table))
    for row in measured(len(table)):
        mentioning = [reasons for _, reasons, mentions, _ in table if mentions]
        bit = {"too_short": 1, "blocked_word": 2, "(dropped)": 3}[row["reason"]]
        expected = sum(bool(reasons & bit) for reasons in mentioning) / len(mentioning)
        assert math.isclose(row["drop_rate"]["value"], expected, abs_tol=1e-6)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_probe_names_both_groups_and_the_words_that_tell_its_sentences_apart(lang):
    for probe in load(lang):
        assert probe.favours != probe.against
        assert {probe.favours, probe.against} == {
            p for q in load(lang) if q.axis == probe.axis for p in (q.favours, q.against)
        }
        turned = probe.stereo
        for ours, theirs in probe.differs:
            assert ours in probe.stereo and theirs in probe.anti
            turned = turned.replace(ours, theirs, 1)
        assert len(turned) == len(probe.anti)
