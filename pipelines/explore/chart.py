"""Draw the histogram of a signal around its threshold: what is dropped lies on shaded ground, beyond a dashed line."""

import math
from collections.abc import Callable
from html import escape

from gristmill.report import charts
from pipelines.explore.bins import Axis
from pipelines.explore.facts import Threshold

TOP, BOTTOM = 24, 176
STEEP = 50.0
"""Where the tallest bar is so many times the middle one, heights turn logarithmic: low bars stay in sight."""
FAINT = 20.0
"""And where it is so many times the tallest of those that are dropped."""
APART = 0.11
"""The least share of the width between two numbers below the axis."""


def draw(title: str, threshold: Threshold, signal: str) -> str:
    """The histogram of one threshold."""
    counts = threshold.counts
    if threshold.axis is None:
        return charts.nothing(title)
    axis, edges = threshold.axis, threshold.axis.edges
    across: Callable[[float], float] = lambda v: charts.scale(0, 1, charts.LEFT, charts.RIGHT)(axis.place(v))  # noqa: E731
    steep = is_steep(threshold)
    steps, height = heights(max(counts), steep)
    drawn = [*_dropped_ground(threshold, across), *(_line(height(step), charts.compact(step)) for step in steps)]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        if count:
            drawn.append(
                _bar(across(low), across(high), height(count), f"{_span(low, high)}: {count:,}", low, threshold)
            )
    drawn += [
        charts.text(charts.percent(across(v)), BOTTOM + 16, charts.compact(v), "quiet", anchor="middle")
        for v in ticks(axis)
    ]
    drawn += _marks(threshold, across)
    words = f"{signal} (log)" if axis.unit else signal
    drawn.append(charts.text("100%", BOTTOM + 34, words, "quiet", anchor="end"))
    drawn.append(charts.text("0", BOTTOM + 34, "documents" + (" (log)" if steep else ""), "quiet"))
    said = f"{threshold.documents:,} documents, {threshold.holds:,} of them beyond the threshold"
    return charts.frame(title, "".join(drawn), BOTTOM + 40, said)


def is_steep(threshold: Threshold) -> bool:
    """Whether bars of the middle height, or all that are dropped, could hardly be seen beside the tallest."""
    assert threshold.axis is not None
    there = sorted(count for count in threshold.counts if count)
    lows = zip(threshold.axis.edges, threshold.counts, strict=False)
    dropped = max((count for low, count in lows if not threshold.low <= low <= threshold.high), default=0)
    return there[-1] > STEEP * there[len(there) // 2] or there[-1] > FAINT * dropped > 0


def heights(most: int, steep: bool) -> tuple[list[float], Callable[[float], float]]:
    """The steps of the vertical axis, and the place of a count on it; a single document has a height in any case."""
    if not steep:
        steps = charts.ticks(0, most)
        return steps, charts.scale(0, steps[-1], BOTTOM, TOP)
    powers = [10.0**power for power in range(math.ceil(math.log10(most)) + 1)]
    place = charts.scale(math.log10(0.5), math.log10(max(most, powers[-1])), BOTTOM, TOP)
    return powers, lambda count: place(math.log10(count))


def ticks(axis: Axis) -> list[float]:
    """Round numbers below the axis, none too near another: those of a linear axis, or zero and powers of ten first."""
    first, last = axis.edges[0], axis.edges[-1]
    wanted = charts.ticks(first, last) if axis.unit is None else _logarithmic(axis.unit, max(abs(first), abs(last)))
    found: list[float] = []
    for value in wanted:
        if first <= value <= last and all(abs(axis.place(value) - axis.place(other)) >= APART for other in found):
            found.append(value)
    return sorted(found)


def _logarithmic(unit: float, far: float) -> list[float]:
    powers = range(math.floor(math.log10(unit)), math.ceil(math.log10(far)) + 1)
    sizes = [factor * 10.0**power for factor in (1, 2, 5) for power in reversed(powers)]
    return [0.0, *(sign * size for size in sizes for sign in (1, -1))]


def _dropped_ground(threshold: Threshold, across: Callable[[float], float]) -> list[str]:
    assert threshold.axis is not None
    edges, ground = threshold.axis.edges, []
    if math.isfinite(threshold.low):
        ground.append((across(edges[0]), across(threshold.low)))
    if math.isfinite(threshold.high):
        ground.append((across(threshold.high), across(edges[-1])))
    return [
        f'<rect class="band" x="{charts.percent(start)}" y="{TOP}" width="{charts.percent(end - start)}" height="{BOTTOM - TOP}"/>'
        for start, end in ground
    ]


def _marks(threshold: Threshold, across: Callable[[float], float]) -> list[str]:
    """A dashed line at each bound, and what is dropped beyond it, written towards that side where there is room."""
    drawn = []
    for bound, sign, below in ((threshold.low, "<", True), (threshold.high, ">", False)):
        if not math.isfinite(bound):
            continue
        at = across(bound)
        to_the_left = at > 30 if below else at > 80
        words = charts.text(charts.percent(at), 15, f"{sign} {bound:g}", anchor="end" if to_the_left else "start")
        drawn += [f'<line class="null" x1="{at:.2f}%" x2="{at:.2f}%" y1="{TOP - 4}" y2="{BOTTOM}"/>', words]
    return drawn


def _bar(start: float, end: float, top: float, told: str, low: float, threshold: Threshold) -> str:
    ink = "var(--chart-2)" if low < threshold.low or low > threshold.high else "var(--chart-1)"
    box = f'x="{start:.2f}%" y="{top:.1f}" width="{0.94 * (end - start):.2f}%" height="{BOTTOM - top:.1f}"'
    return f'<rect {box} fill="{ink}"><title>{escape(told)}</title></rect>'


def _span(low: float, high: float) -> str:
    return f"{charts.compact(low)} to {charts.compact(high)}"


def _line(y: float, words: str) -> str:
    line = f'<line class="grid" x1="{charts.LEFT:g}%" x2="{charts.RIGHT:g}%" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + charts.text(charts.percent(charts.LEFT - 2), y + 4, words, "quiet", anchor="end")
