"""Bands and rows: the choice for a threshold is datasketch's, and what a choice finds is the textbook's curve."""

import numpy as np
import pytest
from datasketch.lsh import MinHashLSH
from pydantic import ValidationError

from pipelines.decide.config import NearConfig
from pipelines.decide.dedup.lsh import choose_bands, compute_catch_probability


@pytest.mark.parametrize("permutations", [64, 112, 128, 256])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95])
def test_the_choice_is_that_of_datasketch(threshold, permutations):
    theirs = MinHashLSH(threshold=threshold, num_perm=permutations)
    assert choose_bands(threshold, permutations) == (theirs.b, theirs.r)


def test_the_curve_is_steep_where_the_textbook_says():
    assert compute_catch_probability(0.0, 14, 8) == 0 and compute_catch_probability(1.0, 14, 8) == 1
    assert compute_catch_probability(0.8, 14, 8) == pytest.approx(1 - (1 - 0.8**8) ** 14)
    assert (np.diff(compute_catch_probability(np.linspace(0, 1, 101), 14, 8)) >= 0).all()


def test_a_threshold_is_spelled_out_as_bands_and_rows_and_bounds_the_comparison():
    assert NearConfig(threshold=0.8).model_dump() == {
        "threshold": 0.8,
        "bands": 9,
        "rows": 12,
        "min_similarity": 0.5,
    }
    assert [NearConfig(threshold=t).min_similarity for t in (0.05, 0.4, 0.6, 0.7)] == [
        0,
        0.3,
        0.5,
        0.5,
    ]
    assert NearConfig(threshold=0.4, min_similarity=0.1).min_similarity == 0.1
    assert NearConfig.model_validate(NearConfig(threshold=0.6).model_dump()) == NearConfig(
        threshold=0.6
    )


@pytest.mark.parametrize("given", [{"threshold": 0.8, "bands": 14}, {"threshold": 0.8, "rows": 8}])
def test_a_threshold_beside_other_bands_or_rows_is_refused(given):
    with pytest.raises(ValidationError, match="chooses 9 bands of 12 rows"):
        NearConfig.model_validate(given)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, "high"])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(ValidationError):
        NearConfig.model_validate({"threshold": threshold})


def test_too_many_bands_for_a_signature_are_refused():
    with pytest.raises(ValueError, match="112 elements"):
        NearConfig(bands=15, rows=8)
