"""Bins for a histogram around a threshold: no bin holds both kept and dropped documents, and a long tail stays in sight."""

from dataclasses import dataclass

import numpy as np

from pipelines.contract import round_to_column

BINS = 40
LONG_TAIL = 25.0
"""Where the values reach so many times further than the threshold, the axis turns logarithmic."""
ROOM = 0.06
"""The share of the axis beyond a bound that no document lies beyond: there is room to say so."""


@dataclass(frozen=True, slots=True)
class HistogramAxis:
    """The edges of the bins; beyond about `unit` the axis is logarithmic, without one it is linear throughout.

    Kept are the values from `kept[0]` up to, but not including, `kept[1]`; both are edges where they are finite.
    """

    edges: tuple[float, ...]
    unit: float | None
    kept: tuple[float, float]

    def place(self, value: float) -> float:
        """Where a value lies between the first edge (0) and the last (1)."""
        first, last, at = (
            bend_value(edge, self.unit) for edge in (self.edges[0], self.edges[-1], value)
        )
        return (at - first) / (last - first)

    def keeps(self, edge: float) -> bool:
        """Whether the bin that begins at this edge holds what is kept."""
        return self.kept[0] <= edge < self.kept[1]

    def count(self, values: np.ndarray) -> np.ndarray:
        """int64 (bins,): how many of the finite values lie in each bin, its lower edge included."""
        found = np.searchsorted(self.edges, values.astype(np.float64), side="right") - 1
        return np.bincount(found, minlength=len(self.edges) - 1)


@dataclass(slots=True)
class ValueExtent:
    """How far the finite values reach, gathered batch by batch."""

    number: int = 0
    least: float = np.inf
    most: float = -np.inf
    size: float = 0.0
    """The sum of the values' sizes."""

    def add(self, values: np.ndarray) -> None:
        """Widen by finite values."""
        if len(values):
            self.number += len(values)
            self.least, self.most = (
                min(self.least, float(values.min())),
                max(self.most, float(values.max())),
            )
            self.size += float(np.abs(values.astype(np.float64)).sum())


def bend_value(value: float, unit: float | None) -> float:
    """A value's place on an axis: itself, or linear near zero and logarithmic far from it."""
    return float(np.arcsinh(value / unit)) if unit else value


def _straighten(place: float, unit: float | None) -> float:
    return float(np.sinh(place) * unit) if unit else place


def round_bound(bound: float, kind: np.dtype) -> float:
    """A bound as a column of this type holds it, as a rule compares it."""
    return float(round_to_column(bound, kind))


def find_borders(low: float, high: float, kind: np.dtype) -> tuple[float, float]:
    """The first value that is kept, and the first beyond that is dropped again; infinite where there is no such."""
    if np.issubdtype(kind, np.integer):
        return float(np.ceil(low)), float(np.floor(high) + 1)
    after = (
        np.nextafter(np.float32(high), np.float32(np.inf))
        if kind == np.float32
        else np.nextafter(high, np.inf)
    )
    return round_bound(low, kind), float(after)


def make_axis(low: float, high: float, extent: ValueExtent, kind: np.dtype) -> HistogramAxis:
    """The axis of a histogram of at least one value of the column type `kind`, around the bounds `low` and `high`."""
    whole = np.issubdtype(kind, np.integer)
    first, beyond = find_borders(low, high, kind)
    marks = [mark for mark in (first, beyond) if np.isfinite(mark)]
    bottom, top = min([extent.least, *marks]), max([_after(extent.most, whole), *marks])
    top = (
        top if top - bottom > 1e-6 * max(abs(bottom), abs(top)) else bottom + max(1.0, abs(bottom))
    )
    unit = _unit(low, high, extent, max(abs(bottom), abs(top)), whole)
    low_end, high_end = bend_value(bottom, unit), bend_value(top, unit)
    reach = ROOM * (high_end - low_end)
    if bottom == first:
        bottom = max(_straighten(low_end - reach, unit), 0.0 if bottom >= 0 else -np.inf)
    if (
        bottom < beyond < _straighten(low_end + reach / 50, unit)
    ):  # 0 alone is kept: its bar could not be seen
        bottom = _straighten(low_end - reach, unit)
    if top == beyond:
        top = _straighten(high_end + reach, unit)
    if whole:
        bottom, top = float(np.floor(bottom)), float(np.ceil(top))
    return HistogramAxis(_edges(bottom, top, marks, unit, whole), unit, (first, beyond))


def _after(value: float, whole: bool) -> float:
    return value + 1 if whole else float(np.nextafter(value, np.inf))


def _unit(low: float, high: float, extent: ValueExtent, far: float, whole: bool) -> float | None:
    """Up to where the axis is linear: the nearest bound or the mean size; None where all values are near it, or shares."""
    sizes = [
        abs(size) for size in (low, high, extent.size / extent.number) if size and np.isfinite(size)
    ]
    unit = max(min(sizes, default=1.0), 1.0 if whole else 1e-6)
    return unit if far > max(1.5, LONG_TAIL * unit) else None


def _edges(
    bottom: float, top: float, marks: list[float], unit: float | None, whole: bool
) -> tuple[float, ...]:
    """About BINS bins of equal width on the page, moved aside where a bound must be an edge."""
    ends = bend_value(bottom, unit), bend_value(top, unit)
    grid = [_straighten(place, unit) for place in np.linspace(*ends, BINS + 1).tolist()]
    grid = [float(np.round(edge)) for edge in grid] if whole else grid
    near = (ends[1] - ends[0]) / BINS / 2
    free = [
        e
        for e in grid
        if bottom < e < top
        and all(abs(bend_value(e, unit) - bend_value(m, unit)) > near for m in marks)
    ]
    return tuple(sorted({bottom, *free, *marks, top}))
