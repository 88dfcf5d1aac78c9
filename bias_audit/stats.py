"""Turn counts and scores into estimates that always carry their interval and their n."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z95 = 1.959963984540054
Z80 = 0.8416212335729143
LEAST_EXPECTED = 5.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """One measured number: its value, a 95 % interval and how many observations stand behind it."""

    value: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            raise ValueError(
                f"an estimate must be finite, got {self.value} [{self.low}, {self.high}]"
            )
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"the interval [{self.low}, {self.high}] does not hold the value {self.value}"
            )
        if self.n < 1:
            raise ValueError(f"an estimate needs at least one observation, got n={self.n}")

    def excludes(self, null: float) -> bool:
        """Say whether the interval lies wholly on one side of `null`."""
        return self.low > null or self.high < null

    def as_json(self) -> dict[str, float | int]:
        """Give the four numbers for audit.json, rounded so that a rerun is byte-identical."""
        value, low, high = (
            round(float(part), 6) + 0.0 for part in (self.value, self.low, self.high)
        )
        return {"value": value, "low": low, "high": high, "n": int(self.n)}


def around(value: float, error: float, *, n: int) -> Estimate:
    """A normal 95 % interval of the given standard error."""
    return Estimate(value, value - Z95 * error, value + Z95 * error, n)


def wilson(successes: float, n: int) -> Estimate:
    """A share with Wilson's score interval, which stays honest at 0 and 1 where the normal one collapses."""
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got {successes} of {n}")
    share = successes / n
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return Estimate(
        share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)), n
    )


def clustered_rate(counts: Floats, sizes: Floats) -> Estimate | None:
    """Events per unit of size, with an interval that treats each document as one draw.

    Mentions of a group come in bunches: a document about one woman says "she" forty
    times. The ratio estimator's linearised variance over documents keeps the interval
    honest where a Poisson interval would be several times too narrow. None when fewer
    than two documents have any size, since one document has no spread.
    """
    used = sizes > 0
    n = int(used.sum())
    if n < 2:
        return None
    counts, sizes = counts[used], sizes[used]
    return rate_from_sums(
        n, counts.sum(), sizes.sum(), (counts**2).sum(), (counts * sizes).sum(), (sizes**2).sum()
    )


def rate_from_sums(
    n: int, events: float, size: float, squared: float, crossed: float, sized: float
) -> Estimate | None:
    """The same as `clustered_rate` from running sums (of m, w, m^2, m*w and w^2), so that documents can stream by."""
    if n < 2 or size <= 0:
        return None
    rate = events / size
    residual = max(0.0, squared - 2 * rate * crossed + rate**2 * sized)
    error = math.sqrt(residual * n / (n - 1)) / size
    # Where nothing was seen the residual is zero; three expected events bound an unseen rate at 95 %.
    high = rate + Z95 * error if events else 3.0 / size
    return Estimate(rate, max(0.0, rate - Z95 * error), high, n)


def clustered_log_ratio(first: Floats, second: Floats) -> Estimate | None:
    """log(sum of first / sum of second) over documents; 0 means as many of one as of the other.

    Half an event is added to both sums when one is zero. None below two documents with any event.
    """
    n = int(((first + second) > 0).sum())
    products = (first**2).sum(), (first * second).sum(), (second**2).sum()
    return ratio_from_sums(n, first.sum(), second.sum(), *products)


def ratio_from_sums(
    n: int, first: float, second: float, first_squared: float, crossed: float, second_squared: float
) -> Estimate | None:
    """The same as `clustered_log_ratio` from running sums; n counts documents with any event of the two."""
    if n < 2:
        return None
    add = 0.5 if first == 0 or second == 0 else 0.0
    top, bottom = first + add, second + add
    spread = first_squared / top**2 - 2 * crossed / (top * bottom) + second_squared / bottom**2
    error = max(math.sqrt(max(0.0, spread) * n / (n - 1)), math.sqrt(1 / top + 1 / bottom))
    return around(math.log(top / bottom), error, n=n)


def risk_ratio(hit: int, n: int, other_hit: int, other_n: int) -> Estimate | None:
    """How many times likelier the event is in the first group; 1 means equally likely.

    The interval is Katz's on the log scale; half a count is added to all four cells when
    one of the two counts is zero. None when a group is empty or the event never happened.
    """
    if n < 1 or other_n < 1 or hit + other_hit == 0:
        return None
    a, b, n1, n0 = float(hit), float(other_hit), float(n), float(other_n)
    if hit == 0 or other_hit == 0:
        a, b, n1, n0 = a + 0.5, b + 0.5, n1 + 1, n0 + 1
    error = math.sqrt(max(0.0, 1 / a - 1 / n1 + 1 / b - 1 / n0))
    value = (a / n1) / (b / n0)
    return Estimate(
        value, value * math.exp(-Z95 * error), value * math.exp(Z95 * error), n + other_n
    )


def mantel_haenszel(strata: Floats) -> Estimate | None:
    """The risk ratio common to all strata; 1 means equally likely once strata are compared like with like.

    Each row is (hits, n, other hits, other n). Strata where one side is empty say nothing
    and are left out. The interval is Greenland and Robins' (1985). None where fewer than
    `LEAST_EXPECTED` hits are expected on either side were the ratio 1: its normal
    approximation cannot be trusted there (Mantel and Fleiss 1980). Where one side then has
    no hit at all, one hit is added to each stratum with hits, shared in proportion to the
    sides' sizes, so that a rule that drops only one group's documents is not lost.
    """
    strata = strata[(strata[:, 1] > 0) & (strata[:, 3] > 0)]
    a, n1, b, n0 = strata.T
    total = n1 + n0
    if min(((a + b) * n1 / total).sum(), ((a + b) * n0 / total).sum()) < LEAST_EXPECTED:
        return None
    if a.sum() == 0 or b.sum() == 0:
        some = (a + b > 0).astype(np.float64)
        a, b = a + some * n1 / total, b + some * n0 / total
    top, bottom = float((a * n0 / total).sum()), float((b * n1 / total).sum())
    spread = float((((a + b) * n1 * n0 - a * b * total) / total**2).sum())
    error = math.sqrt(max(0.0, spread) / (top * bottom))
    value = top / bottom
    return Estimate(
        value, value * math.exp(-Z95 * error), value * math.exp(Z95 * error), int(total.sum())
    )


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
    """How often the stereotype scores higher, with a 95 % bootstrap interval; 0.5 means no preference.

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
    plain = wilson(min(1.0, float((parts * wins).sum() / parts.sum())) * wins.size, wins.size)
    factors = [np.unique(np.asarray(names), return_inverse=True)[1] for names in clusters]
    factors = [factor for factor in factors if factor.max() > 0] or [np.arange(wins.size)]
    stratum = np.unique(np.asarray(strata or ["all"] * wins.size), return_inverse=True)[1]
    weight = pigeonhole(share, factors, np.random.default_rng(seed), resamples)
    draws = _stratified_means(wins, share, stratum, weight)
    low, high = np.quantile(draws, [0.025, 0.975])
    rate = Estimate(
        plain.value, float(min(low, plain.low)), float(max(high, plain.high)), wins.size
    )
    error = max(float(draws.std(ddof=1)), 0.5 / math.sqrt(wins.size))
    sizes = tuple(int(factor.max()) + 1 for factor in factors)
    return PreferenceShare(rate, error, int((stereo == anti).sum()), sizes)


def pigeonhole(
    share: Floats, factors: Sequence[NDArray[np.intp]], random: np.random.Generator, resamples: int
) -> Floats:
    """Weights of every observation in `resamples` draws, all factors (cluster numbers) resampled at once."""
    weight = np.broadcast_to(share, (resamples, share.size))
    for factor in factors:
        count = int(factor.max()) + 1
        weight = (
            weight * random.multinomial(count, np.full(count, 1 / count), size=resamples)[:, factor]
        )
    return weight


def _stratified_means(
    wins: Floats, share: Floats, stratum: NDArray[np.intp], weight: Floats
) -> Floats:
    """Weighted means of all draws: the mean of each stratum, combined by the strata's fixed shares."""
    member = np.eye(int(stratum.max()) + 1)[stratum]
    mass = weight @ member
    # Two factors can miss every pair of a stratum; such a draw says nothing new about it.
    usual = (share * wins) @ member / (share @ member)
    means = np.divide(
        (weight * wins) @ member,
        mass,
        out=np.broadcast_to(usual, mass.shape).copy(),
        where=mass > 0,
    )
    return np.asarray(means @ (share @ member))


def two_sided_p(z: float) -> float:
    """The chance of a standard normal value at least as far from zero as `z`."""
    return math.erfc(abs(z) / math.sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: they hold for the whole family at once."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, worst = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = worst
    return adjusted


def minimum_detectable_effect(n: float) -> float:
    """The smallest distance from 0.5 that n independent pairs reveal with 80 % power at alpha 0.05."""
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
    """Log-odds ratio of each word between two texts with an informative Dirichlet prior, and its variance.

    Monroe, Colaresi and Quinn (2008), equations 16 and 19: `background` holds each word's
    share of all text, `prior` how many words of it are mixed into both sides, so that rare
    words shrink to 0. 0 means the word is as usual beside one group as beside the other.
    """
    alpha = background * prior
    y1, y2 = first + alpha, second + alpha
    if np.any(y1 <= 0) or np.any(y2 <= 0):
        raise ValueError(
            "every word needs a positive background share or positive counts on both sides"
        )
    delta = np.log(y1 / (first_total + prior - y1)) - np.log(y2 / (second_total + prior - y2))
    return delta, 1 / y1 + 1 / y2


def ppmi(joint: float, first: float, second: float, total: float) -> float:
    """Positive pointwise mutual information in bits: 0 means no more often together than by chance."""
    if min(joint, first, second, total) <= 0:
        return 0.0
    return max(0.0, math.log2(joint * total / (first * second)))


def rounded(estimate: Estimate | None) -> dict[str, Any] | None:
    """The JSON form of an estimate, or null where the data could not give one."""
    return None if estimate is None else estimate.as_json()
