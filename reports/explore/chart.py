"""Draw the histogram of a signal around its threshold: dropped values lie on shaded ground, beyond a dashed line."""

import math
from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from reports.drawing.svg import (
    LEFT,
    RIGHT,
    Scale,
    draw_frame,
    draw_grid_line,
    draw_nothing,
    draw_text,
    format_compact,
    format_percent,
    make_scale,
)
from reports.drawing.svg import choose_ticks as choose_linear_ticks
from reports.explore.bins import HistogramAxis
from reports.explore.explore_report import ThresholdReport

TOP, BOTTOM = 24, 176
"""Pixels from the top of the chart between which bars are drawn."""

STEEP = 50.0
"""Where the tallest bar is so many times the middle one, heights turn logarithmic: low bars stay in sight."""

FAINT = 20.0
"""The same, against the tallest bar of documents that are dropped."""

ALMOST_ZERO = 1e-30
"""A value nearer to zero is only the first number beyond it, and is written as 0."""

MIN_TICK_DISTANCE = 0.11
"""The least share of the width between two numbers below the axis."""


def draw_threshold(title: str, threshold: ThresholdReport, signal: str) -> Markup:
    """The histogram of one threshold."""
    axis = threshold.axis
    if axis is None:
        return draw_nothing(title)
    steep = is_steep(axis, threshold.counts)
    steps, height = choose_heights(max(threshold.counts), steep)
    parts = _draw_dropped_ground(axis)
    parts += [draw_grid_line(height(step), format_compact(step)) for step in steps]
    for low, high, count in zip(axis.edges, axis.edges[1:], threshold.counts, strict=False):
        if count:
            parts.append(_draw_bar(axis, low, high, height(count), count))
    parts += [_draw_tick(axis, value) for value in choose_ticks(axis)]
    parts += _draw_bounds(axis, threshold)
    x_label = f"{signal} (log)" if axis.unit else signal
    y_label = "documents (log)" if steep else "documents"
    parts.append(draw_text("100%", BOTTOM + 34, x_label, "quiet", anchor="end"))
    parts.append(draw_text("0", BOTTOM + 34, y_label, "quiet"))
    description = f"{threshold.documents:,} documents, {threshold.holds:,} of them dropped"
    return draw_frame(title, "".join(parts), BOTTOM + 40, description)


def place_across(axis: HistogramAxis, value: float) -> float:
    """Where a value stands, in percent of the width."""
    return make_scale(0, 1, LEFT, RIGHT)(axis.place(value))


def is_steep(axis: HistogramAxis, counts: Sequence[int]) -> bool:
    """Whether bars of the middle height, or all that are dropped, could hardly be seen beside the tallest."""
    occupied = sorted(count for count in counts if count)
    tallest, middle = occupied[-1], occupied[len(occupied) // 2]
    dropped_counts = [
        count for edge, count in zip(axis.edges, counts, strict=False) if not axis.keeps(edge)
    ]
    dropped = max(dropped_counts, default=0)
    return tallest > STEEP * middle or tallest > FAINT * dropped > 0


def choose_heights(most: int, steep: bool) -> tuple[list[float], Scale]:
    """The steps of the vertical axis, and the position of a count on it; a single document has a height in any case."""
    if not steep:
        steps = choose_linear_ticks(0, most)
        return steps, make_scale(0, steps[-1], BOTTOM, TOP)
    powers = [10.0**power for power in range(math.ceil(math.log10(most)) + 1)]
    # From half a document on: a bar of one, at log 1 = 0, would have no height.
    scale = make_scale(math.log10(0.5), math.log10(max(most, powers[-1])), BOTTOM, TOP)
    return powers, lambda count: scale(math.log10(count))


def choose_ticks(axis: HistogramAxis) -> list[float]:
    """Round numbers below the axis, none too near another: those of a linear axis, or zero and powers of ten first."""
    first, last = axis.edges[0], axis.edges[-1]
    if axis.unit is None:
        candidates = choose_linear_ticks(first, last)
    else:
        candidates = _list_logarithmic_ticks(axis.unit, max(abs(first), abs(last)))
    chosen: list[float] = []
    for value in candidates:
        if first <= value <= last and _has_space(axis, value, chosen):
            chosen.append(value)
    return sorted(chosen)


def _has_space(axis: HistogramAxis, value: float, chosen: Sequence[float]) -> bool:
    position = axis.place(value)
    return all(abs(position - axis.place(other)) >= MIN_TICK_DISTANCE for other in chosen)


def _list_logarithmic_ticks(unit: float, farthest: float) -> list[float]:
    """Zero, then powers of ten from the largest on, then twice and five times them, each with both signs."""
    powers = range(math.floor(math.log10(unit)), math.ceil(math.log10(farthest)) + 1)
    sizes = [factor * 10.0**power for factor in (1, 2, 5) for power in reversed(powers)]
    return [0.0, *(sign * size for size in sizes for sign in (1, -1))]


def _draw_dropped_ground(axis: HistogramAxis) -> list[str]:
    """Shade where documents are dropped: before the first kept value, and from the first beyond the last one."""
    first_kept, first_beyond = axis.kept
    first_edge, last_edge = axis.edges[0], axis.edges[-1]
    below = (first_edge, max(first_kept, first_edge))
    above = (min(first_beyond, last_edge), last_edge)
    rectangles = []
    for start, end in (below, above):
        if end > start:
            left, right = place_across(axis, start), place_across(axis, end)
            box = f'x="{left:.2f}%" width="{right - left:.2f}%"'
            height = f'y="{TOP}" height="{BOTTOM - TOP}"'
            rectangles.append(f'<rect class="band" {box} {height}/>')
    return rectangles


def _draw_bounds(axis: HistogramAxis, threshold: ThresholdReport) -> list[str]:
    """A dashed line at each bound, labelled with what is dropped, towards that side where it fits."""
    lines = []
    # The last number: percent of the width beyond which the label fits to the left of its line.
    for bound, edge, sign, fits_left in (
        (threshold.low, axis.kept[0], "<", 30),
        (threshold.high, axis.kept[1], ">", 80),
    ):
        if math.isfinite(bound):
            x = place_across(axis, edge)
            across = f'x1="{x:.2f}%" x2="{x:.2f}%"'
            lines.append(f'<line class="null" {across} y1="{TOP - 4}" y2="{BOTTOM}"/>')
            anchor = "end" if x > fits_left else "start"
            lines.append(draw_text(format_percent(x), 15, f"{sign} {bound:g}", anchor=anchor))
    return lines


def _draw_bar(axis: HistogramAxis, low: float, high: float, top: float, count: int) -> str:
    ink = "var(--chart-1)" if axis.keeps(low) else "var(--chart-2)"
    left, right = place_across(axis, low), place_across(axis, high)
    across = f'x="{left:.2f}%" y="{top:.1f}" width="{0.94 * (right - left):.2f}%"'
    ends = [format_compact(0.0 if abs(end) < ALMOST_ZERO else end) for end in (low, high)]
    label = escape(f"{ends[0]} to {ends[1]}: {count:,}")
    box = f'{across} height="{BOTTOM - top:.1f}" fill="{ink}"'
    return f"<rect {box}><title>{label}</title></rect>"


def _draw_tick(axis: HistogramAxis, value: float) -> str:
    x = format_percent(place_across(axis, value))
    return draw_text(x, BOTTOM + 16, format_compact(value), "quiet", anchor="middle")
