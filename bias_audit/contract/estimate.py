"""A measured number with its interval and its n, and what a metric means.

Nothing in an audit is reported as a bare rate: a share, a ratio or a mean is an `Estimate`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ALPHA = 0.05
"""Adjusted p-values below this are called beyond chance."""


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

    def rounded(self) -> Estimate:
        """The estimate as it is written: six decimals, so that a rerun is byte-identical."""
        # Adding zero turns -0.0 into 0.0, which would be written otherwise.
        value, low, high = (
            round(float(part), 6) + 0.0 for part in (self.value, self.low, self.high)
        )
        return Estimate(value, low, high, int(self.n))


def format_estimate(estimate: Estimate | None, *, digits: int = 3) -> str:
    """An estimate as text: `value [low, high] n=`; or that there is none."""
    if estimate is None:
        return "not measurable"
    value, low, high = (
        f"{part:,.{digits}f}" for part in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}] n={estimate.n:,}"


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """What one metric means: its unit, how to read it, its interval, and the value of no difference."""

    unit: str
    means: str
    interval: str
    null: float | None
