"""Bands and rows of MinHash-LSH: what a choice finds, and the choice that tells best at a threshold."""

import numpy as np

STEPS = 1000
"""Steps in which an area is summed up."""


def compute_catch_probability(similarity: np.ndarray | float, bands: int, rows: int) -> np.ndarray:
    """The probability that documents of this Jaccard similarity meet in a band: 1 - (1 - s^rows)^bands.

    Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.2.
    """
    return 1 - (1 - np.asarray(similarity, float) ** rows) ** bands


def choose_bands(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, rows) that fit `permutations` with the smallest area of false positives below and negatives above `threshold`.

    Both weigh the same. Zhu, Nargesian, Pu and Miller, LSH Ensemble, VLDB 2016, section 5.5; datasketch chooses the same.
    """
    choices = [
        (bands, rows)
        for bands in range(1, permutations + 1)
        for rows in range(1, permutations // bands + 1)
    ]
    return min(choices, key=lambda choice: _error(threshold, *choice))


def _error(threshold: float, bands: int, rows: int) -> float:
    middles = (np.arange(STEPS) + 0.5) / STEPS
    below, above = threshold * middles, threshold + (1 - threshold) * middles
    wrong = threshold * compute_catch_probability(below, bands, rows).mean()
    missed = (1 - threshold) * (1 - compute_catch_probability(above, bands, rows)).mean()
    return float(wrong + missed)
