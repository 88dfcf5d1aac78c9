"""Draw the histogram of a signal around its threshold: what is dropped lies on shaded ground, beyond a dashed line."""

import math
from collections.abc import Callable, Sequence
from html import escape

from reports.drawing import charts
from reports.explore.bins import HistogramAxis
from reports.explore.explore_report import ThresholdReport

TOP, BOTTOM = 24, 176
STEEP = 50.0
"""Where the tallest bar is so many times the middle one, heights turn logarithmic: low bars stay in sight."""
FAINT = 20.0
"""And where it is so many times the tallest of those that are dropped."""
NOTHING = 1e-30
"""What is nearer to zero is only the first number beyond it: 0 to whoever reads."""
APART = 0.11
"""The least share of the width between two numbers below the axis."""


def draw_threshold(title: str, threshold: ThresholdReport, signal: str) -> str:
    """The histogram of one threshold."""
    if threshold.axis is None:
        return charts.draw_nothing(title)
    axis, steep = threshold.axis, is_steep(threshold.axis, threshold.counts)
    steps, height = choose_heights(max(threshold.counts), steep)
    drawn = [*_dropped_ground(axis), *(_line(height(step), charts.compact(step)) for step in steps)]
    for low, high, count in zip(axis.edges, axis.edges[1:], threshold.counts, strict=False):
        drawn += [_bar(axis, low, high, height(count), count)] if count else []
    for value in choose_ticks(axis):
        at = charts.percent(place_across(axis, value))
        drawn.append(charts.text(at, BOTTOM + 16, charts.compact(value), "quiet", anchor="middle"))
    drawn += _marks(axis, threshold)
    words = f"{signal} (log)" if axis.unit else signal
    drawn.append(charts.text("100%", BOTTOM + 34, words, "quiet", anchor="end"))
    drawn.append(
        charts.text("0", BOTTOM + 34, "documents (log)" if steep else "documents", "quiet")
    )
    said = f"{threshold.documents:,} documents, {threshold.holds:,} of them dropped"
    return charts.frame(title, "".join(drawn), BOTTOM + 40, said)


def place_across(axis: HistogramAxis, value: float) -> float:
    """Where a value stands, in percent of the width."""
    return charts.scale(0, 1, charts.LEFT, charts.RIGHT)(axis.place(value))


def is_steep(axis: HistogramAxis, counts: Sequence[int]) -> bool:
    """Whether bars of the middle height, or all that are dropped, could hardly be seen beside the tallest."""
    there = sorted(count for count in counts if count)
    dropped = max(
        (n for edge, n in zip(axis.edges, counts, strict=False) if not axis.keeps(edge)), default=0
    )
    return there[-1] > STEEP * there[len(there) // 2] or there[-1] > FAINT * dropped > 0


def choose_heights(most: int, steep: bool) -> tuple[list[float], Callable[[float], float]]:
    """The steps of the vertical axis, and the place of a count on it; a single document has a height in any case."""
    if not steep:
        steps = charts.ticks(0, most)
        return steps, charts.scale(0, steps[-1], BOTTOM, TOP)
    powers = [10.0**power for power in range(math.ceil(math.log10(most)) + 1)]
    place = charts.scale(math.log10(0.5), math.log10(max(most, powers[-1])), BOTTOM, TOP)
    return powers, lambda count: place(math.log10(count))


def choose_ticks(axis: HistogramAxis) -> list[float]:
    """Round numbers below the axis, none too near another: those of a linear axis, or zero and powers of ten first."""
    first, last = axis.edges[0], axis.edges[-1]
    wanted = (
        charts.ticks(first, last)
        if axis.unit is None
        else _logarithmic(axis.unit, max(abs(first), abs(last)))
    )
    found: list[float] = []
    for value in wanted:
        if first <= value <= last and all(
            abs(axis.place(value) - axis.place(other)) >= APART for other in found
        ):
            found.append(value)
    return sorted(found)


def _logarithmic(unit: float, far: float) -> list[float]:
    powers = range(math.floor(math.log10(unit)), math.ceil(math.log10(far)) + 1)
    sizes = [factor * 10.0**power for factor in (1, 2, 5) for power in reversed(powers)]
    return [0.0, *(sign * size for size in sizes for sign in (1, -1))]


def _dropped_ground(axis: HistogramAxis) -> list[str]:
    """Shaded where documents are dropped: from the first edge to what is kept, and from there to the last."""
    first, beyond = axis.kept
    ends = [
        (axis.edges[0], max(first, axis.edges[0])),
        (min(beyond, axis.edges[-1]), axis.edges[-1]),
    ]
    places = [
        (place_across(axis, start), place_across(axis, end)) for start, end in ends if end > start
    ]
    size = f'y="{TOP}" height="{BOTTOM - TOP}"'
    return [
        f'<rect class="band" x="{start:.2f}%" width="{end - start:.2f}%" {size}/>'
        for start, end in places
    ]


def _marks(axis: HistogramAxis, threshold: ThresholdReport) -> list[str]:
    """A dashed line at each bound, and what is dropped beyond it, written towards that side where there is room."""
    drawn = []
    for bound, place, sign, room in (
        (threshold.low, axis.kept[0], "<", 30),
        (threshold.high, axis.kept[1], ">", 80),
    ):
        if math.isfinite(bound):
            at = place_across(axis, place)
            words = f"{sign} {bound:g}"
            drawn.append(
                f'<line class="null" x1="{at:.2f}%" x2="{at:.2f}%" y1="{TOP - 4}" y2="{BOTTOM}"/>'
            )
            drawn.append(
                charts.text(charts.percent(at), 15, words, anchor="end" if at > room else "start")
            )
    return drawn


def _bar(axis: HistogramAxis, low: float, high: float, top: float, count: int) -> str:
    ink = "var(--chart-1)" if axis.keeps(low) else "var(--chart-2)"
    start, end = place_across(axis, low), place_across(axis, high)
    box = f'x="{start:.2f}%" y="{top:.1f}" width="{0.94 * (end - start):.2f}%" height="{BOTTOM - top:.1f}"'
    ends = [charts.compact(0.0 if abs(end) < NOTHING else end) for end in (low, high)]
    told = escape(f"{ends[0]} to {ends[1]}: {count:,}")
    return f'<rect {box} fill="{ink}"><title>{told}</title></rect>'


def _line(y: float, words: str) -> str:
    line = f'<line class="grid" x1="{charts.LEFT:g}%" x2="{charts.RIGHT:g}%" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + charts.text(charts.percent(charts.LEFT - 2), y + 4, words, "quiet", anchor="end")
