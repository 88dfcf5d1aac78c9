"""Turns counts and scores into estimates that always carry their interval and their n.

In: counts, running sums, or arrays of scores. Out: `Estimate`, or None where the data cannot give
one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bias_audit.contract.estimate import Estimate

Floats = npt.NDArray[np.float64]
ClusterNumbers = npt.NDArray[np.intp]

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution: half the width of a 95 % interval."""

Z80 = 0.8416212335729143
"""The 80 % point of the standard normal distribution: 80 % power."""

LEAST_EXPECTED = 5.0
"""Hits that must be expected on either side of a stratified ratio (Mantel and Fleiss 1980)."""

UNSEEN_BOUND = 3.0
"""Where nothing was seen, three expected events bound the rate at 95 % (-log 0.05 is 3.0)."""


def around(value: float, error: float, *, n: int) -> Estimate:
    """A normal 95 % interval of the given standard error."""
    return Estimate(value, value - Z95 * error, value + Z95 * error, n)


def wilson(successes: float, n: int) -> Estimate:
    """A share with Wilson's score interval, which stays honest at 0 and 1 where the normal one
    collapses.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got {successes} of {n}")
    share = successes / n
    shrink = 1 + Z95**2 / n
    centre = (share + Z95**2 / (2 * n)) / shrink
    half_width = Z95 / shrink * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    # Rounding errors must not push the interval off the share, or out of 0 to 1.
    low = max(0.0, min(share, centre - half_width))
    high = min(1.0, max(share, centre + half_width))
    return Estimate(share, low, high, n)


class RateSums(NamedTuple):
    """Running sums over documents with m events among w words each."""

    events: float
    words: float
    events_squared: float
    events_times_words: float
    words_squared: float


def rate_from_sums(documents: int, sums: RateSums) -> Estimate | None:
    """Events per word, with an interval that treats each document as one draw.

    Mentions of a group come in bunches: a document about one woman says "she" forty
    times. The ratio estimator's linearised variance over documents keeps the interval
    honest where a Poisson interval would be several times too narrow. None below two
    documents, since one document has no spread.
    """
    if documents < 2 or sums.words <= 0:
        return None
    rate = sums.events / sums.words
    residual = (
        sums.events_squared - 2 * rate * sums.events_times_words + rate**2 * sums.words_squared
    )
    # Below zero by rounding only.
    variance = max(0.0, residual) * documents / (documents - 1)
    error = math.sqrt(variance) / sums.words
    high = rate + Z95 * error if sums.events else UNSEEN_BOUND / sums.words
    return Estimate(rate, max(0.0, rate - Z95 * error), high, documents)


class RatioSums(NamedTuple):
    """Running sums over documents with x events of one kind and y of another."""

    first: float
    second: float
    first_squared: float
    product: float
    second_squared: float


def ratio_from_sums(documents: int, sums: RatioSums) -> Estimate | None:
    """log(sum of first / sum of second) over documents with any event; 0 means as many of both.

    Half an event is added to both sums when one is zero. The error is never smaller than that of
    independent events. None below two documents.
    """
    if documents < 2:
        return None
    added = 0.5 if sums.first == 0 or sums.second == 0 else 0.0
    first = sums.first + added
    second = sums.second + added
    spread = (
        sums.first_squared / first**2
        - 2 * sums.product / (first * second)
        + sums.second_squared / second**2
    )
    over_documents = math.sqrt(max(0.0, spread) * documents / (documents - 1))
    independent = math.sqrt(1 / first + 1 / second)
    return around(math.log(first / second), max(over_documents, independent), n=documents)


def risk_ratio(hits: int, n: int, other_hits: int, other_n: int) -> Estimate | None:
    """How many times likelier the event is in the first group; 1 means equally likely.

    The interval is Katz's on the log scale; half a count is added to all four cells when
    one of the two counts is zero. None when a group is empty or the event never happened.
    """
    if n < 1 or other_n < 1 or hits + other_hits == 0:
        return None
    added = 0.5 if hits == 0 or other_hits == 0 else 0.0
    a = hits + added
    b = other_hits + added
    n1 = n + 2 * added
    n0 = other_n + 2 * added
    error = math.sqrt(max(0.0, 1 / a - 1 / n1 + 1 / b - 1 / n0))
    return _make_ratio((a / n1) / (b / n0), error, n=n + other_n)


def _make_ratio(ratio: float, error: float, *, n: int) -> Estimate:
    """A ratio with its 95 % interval, symmetric on the log scale; `error` is of its logarithm."""
    return Estimate(ratio, ratio * math.exp(-Z95 * error), ratio * math.exp(Z95 * error), n)


def mantel_haenszel(strata: Floats) -> Estimate | None:
    """The risk ratio common to all strata; 1 means equally likely once strata are compared like
    with like.

    Each row is (hits, n, other hits, other n). Strata where one side is empty say nothing
    and are left out. The interval is Greenland and Robins' (1985). None where fewer than
    `LEAST_EXPECTED` hits are expected on either side were the ratio 1: its normal
    approximation cannot be trusted there (Mantel and Fleiss 1980). Where one side then has
    no hit at all, one hit is added to each stratum with hits, shared in proportion to the
    sizes of its sides, so that a rule that drops only one group's documents is not lost.
    """
    strata = strata[(strata[:, 1] > 0) & (strata[:, 3] > 0)]
    a, n1, b, n0 = strata.T
    total = n1 + n0
    expected = ((a + b) * n1 / total).sum()
    other_expected = ((a + b) * n0 / total).sum()
    if min(expected, other_expected) < LEAST_EXPECTED:
        return None
    if a.sum() == 0 or b.sum() == 0:
        has_hits = (a + b > 0).astype(np.float64)
        a = a + has_hits * n1 / total
        b = b + has_hits * n0 / total
    # The names of Greenland and Robins' terms: R, S and P.
    r = float((a * n0 / total).sum())
    s = float((b * n1 / total).sum())
    p = float((((a + b) * n1 * n0 - a * b * total) / total**2).sum())
    error = math.sqrt(max(0.0, p) / (r * s))
    return _make_ratio(r / s, error, n=int(total.sum()))


@dataclass(frozen=True, slots=True)
class PreferenceShare:
    """How often a model prefers the stereotype, with what is needed to read that share."""

    rate: Estimate
    error: float
    ties: int
    clusters: tuple[int, ...]

    @property
    def effective_n(self) -> float:
        """The number of independent pairs that would give the same standard error."""
        return min(float(self.rate.n), 0.25 / self.error**2)

    @property
    def p_value(self) -> float:
        """Two-sided p of the share against 0.5."""
        return two_sided_p((self.rate.value - 0.5) / self.error)


def preference_rate(
    stereo: Floats,
    anti: Floats,
    *,
    clusters: Sequence[Sequence[str]] = (),
    strata: Sequence[str] = (),
    weights: Floats | None = None,
    seed: int,
    resamples: int = 2_000,
) -> PreferenceShare:
    """How often the stereotype scores higher, with a 95 % bootstrap interval; 0.5 means no
    preference.

    `stereo[i]` and `anti[i]` are the model's scores of the two sentences of pair i; ties
    count one half to each side. Pairs that share a template, or an attribute word, are not
    independent: each list in `clusters` names the cluster of every pair, and all lists are
    resampled at once (Owen's pigeonhole bootstrap). What a design fixes is not resampled:
    each stratum keeps its share (`weights`, uniform by default) in every draw. With few
    clusters a bootstrap is too sure of itself, so the interval is never narrower than
    Wilson's for as many independent pairs.
    """
    if stereo.shape != anti.shape or stereo.ndim != 1 or stereo.size == 0:
        raise ValueError(
            f"need two equal, non-empty score lists, got {stereo.shape} and {anti.shape}"
        )
    wins = np.where(stereo == anti, 0.5, (stereo > anti).astype(np.float64))
    parts = np.ones(wins.size) if weights is None else weights
    share = parts / parts.sum()
    value = float((parts * wins).sum() / parts.sum())
    plain = wilson(min(1.0, value) * wins.size, wins.size)
    factors = _select_factors(clusters, wins.size)
    stratum = number_names(strata or ["all"] * wins.size)
    draw_weights = pigeonhole(share, factors, np.random.default_rng(seed), resamples)
    draws = _average_strata(wins, share, stratum, draw_weights)
    error = max(float(draws.std(ddof=1)), 0.5 / math.sqrt(wins.size))
    return PreferenceShare(
        rate=bootstrap_estimate(plain.value, draws, at_least=plain),
        error=error,
        ties=int((stereo == anti).sum()),
        clusters=tuple(int(factor.max()) + 1 for factor in factors),
    )


def number_names(names: Sequence[str]) -> ClusterNumbers:
    """The number (from 0, in sorted order) of each name."""
    numbers: ClusterNumbers = np.unique(np.asarray(names), return_inverse=True)[1]
    return numbers


def _select_factors(clusters: Sequence[Sequence[str]], size: int) -> list[ClusterNumbers]:
    """The factors to resample: those with several clusters, or each observation on its own."""
    factors = [number_names(names) for names in clusters]
    varying = [factor for factor in factors if factor.max() > 0]
    return varying or [np.arange(size)]


def bootstrap_estimate(value: float, draws: Floats, *, at_least: Estimate) -> Estimate:
    """A value with the middle 95 % of its bootstrap draws, never narrower than `at_least`."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(
        value,
        float(min(low, at_least.low)),
        float(max(high, at_least.high)),
        at_least.n,
    )


def pigeonhole(
    share: Floats,
    factors: Sequence[ClusterNumbers],
    random: np.random.Generator,
    resamples: int,
) -> Floats:
    """Weights (resamples, n) of every observation in each draw, all factors resampled at once (Owen
    2007).
    """
    weights = np.broadcast_to(share, (resamples, share.size))
    for factor in factors:
        count = int(factor.max()) + 1
        chances = np.full(count, 1 / count)
        times_drawn = random.multinomial(count, chances, size=resamples)
        weights = weights * times_drawn[:, factor]
    return weights


def _average_strata(
    wins: Floats, share: Floats, stratum: ClusterNumbers, weights: Floats
) -> Floats:
    """Weighted means of all draws: the mean of each stratum, combined by the strata's
    fixed shares.
    """
    member = np.eye(int(stratum.max()) + 1)[stratum]
    mass = weights @ member
    # Two factors can miss every pair of a stratum; such a draw says nothing new about it.
    usual = (share * wins) @ member / (share @ member)
    means = np.broadcast_to(usual, mass.shape).copy()
    np.divide((weights * wins) @ member, mass, out=means, where=mass > 0)
    return np.asarray(means @ (share @ member))


def two_sided_p(z: float) -> float:
    """The chance of a standard normal value at least as far from zero as `z`."""
    return math.erfc(abs(z) / math.sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of the input: they hold for the whole
    family at once.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        remaining_tests = len(p_values) - rank
        # An adjusted value is never smaller than that of a smaller p.
        largest = max(largest, min(1.0, p_values[index] * remaining_tests))
        adjusted[index] = largest
    return adjusted


def minimum_detectable_effect(n: float) -> float:
    """The smallest distance from 0.5 that n independent pairs reveal with 80 % power at
    alpha 0.05.
    """
    if n <= 0:
        raise ValueError(f"need n > 0, got {n}")
    return min(0.5, (Z95 + Z80) * 0.5 / math.sqrt(n))


def log_odds(
    first: Floats,
    first_total: float,
    second: Floats,
    second_total: float,
    *,
    background: Floats,
    prior: float,
) -> tuple[Floats, Floats]:
    """Log-odds ratio of each word between two texts with an informative Dirichlet prior, and its
    variance.

    Monroe, Colaresi and Quinn (2008), equations 16 and 19: `background` holds each word's
    share of all text, `prior` how many words of it are mixed into both sides, so that rare
    words shrink to 0. 0 means the word is as usual beside one group as beside the other.
    """
    alpha = background * prior
    y1 = first + alpha
    y2 = second + alpha
    if np.any(y1 <= 0) or np.any(y2 <= 0):
        raise ValueError(
            "every word needs a positive background share or positive counts on both sides"
        )
    first_odds = y1 / (first_total + prior - y1)
    second_odds = y2 / (second_total + prior - y2)
    delta = np.log(first_odds) - np.log(second_odds)
    return delta, 1 / y1 + 1 / y2


def ppmi(joint: float, first: float, second: float, total: float) -> float:
    """Positive pointwise mutual information in bits: 0 means no more often together
    than by chance.
    """
    if min(joint, first, second, total) <= 0:
        return 0.0
    return max(0.0, math.log2(joint * total / (first * second)))


def rounded(estimate: Estimate | None) -> Estimate | None:
    """The estimate as it is written, or None where the data could not give one."""
    return None if estimate is None else estimate.rounded()
