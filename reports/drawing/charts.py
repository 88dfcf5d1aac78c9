"""Draw charts as inline SVG: bars, lines, forest plots, histograms.

In: titles, labels and numbers. Out: markup in which every label is escaped, and colours follow the page's theme.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from reports.drawing.svg import (
    LEFT,
    RIGHT,
    ROW_HEIGHT,
    Scale,
    choose_colour,
    choose_ticks,
    draw_frame,
    draw_grid_line,
    draw_nothing,
    draw_row_head,
    draw_text,
    format_compact,
    format_percent,
    make_scale,
)

DASHES = ("", "7 4", "2 3", "10 3 2 3", "4 2", "1 4")
"""Lines differ in dash as well as in colour, for those who do not see colours."""

MAX_DESCRIBED = 20
"""Rows whose figures stand in a chart's description."""

SMALLEST_LOGARITHMIC = 1e-9
"""What a value of 0 is drawn as on a logarithmic axis."""


@dataclass(frozen=True, slots=True)
class ChartBar:
    """One bar: its label, its value, and a note such as a share, shown behind the value."""

    label: str
    value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One line of a line chart."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class ChartInterval:
    """One row of a forest plot: a value with its interval and its n.

    `minimum_detectable_effect` is the half-width of the shaded range around no difference; 0 shades nothing.
    """

    label: str
    value: float
    low: float
    high: float
    n: int
    minimum_detectable_effect: float = 0.0


def draw_bar_chart(title: str, bars: Sequence[ChartBar], *, unit: str = "") -> Markup:
    """Horizontal bars from zero, the value written above each."""
    if not bars:
        return draw_nothing(title)
    longest = max(bar.value for bar in bars) or 1.0
    rows = [_draw_bar(bar, i * ROW_HEIGHT, longest, unit) for i, bar in enumerate(bars)]
    figures = [f"{bar.label}: {format_compact(bar.value)}" for bar in bars[:MAX_DESCRIBED]]
    return draw_frame(title, "".join(rows), len(bars) * ROW_HEIGHT, "; ".join(figures))


def _draw_bar(bar: ChartBar, y: float, longest: float, unit: str) -> str:
    length = max(0.0, bar.value) / longest * 100
    figures = [part for part in (format_compact(bar.value), unit, bar.note) if part]
    rectangle = (
        f'<rect x="0" y="{y + 19}" width="{length:.2f}%" height="12" fill="var(--chart-1)"/>'
    )
    return draw_row_head(bar.label, " ".join(figures), y) + rectangle


def draw_line_chart(
    title: str, lines: Sequence[ChartLine], *, x_label: str, y_label: str
) -> Markup:
    """Lines over a numeric axis, each named below; points that are not finite are left out."""
    finite = [ChartLine(line.label, _drop_infinite(line.points)) for line in lines]
    drawable = [line for line in finite if line.points]
    if not drawable:
        return draw_nothing(title)
    top, bottom = 10, 226
    points = [point for line in drawable for point in line.points]
    x_ticks = choose_ticks(*_find_range(x for x, _ in points))
    y_ticks = choose_ticks(*_find_range(y for _, y in points))
    x_scale = make_scale(x_ticks[0], x_ticks[-1], LEFT, RIGHT)
    y_scale = make_scale(y_ticks[0], y_ticks[-1], bottom, top)
    parts = [draw_grid_line(y_scale(y), format_compact(y)) for y in y_ticks]
    parts += [_draw_x_tick(x_scale(x), bottom, x) for x in x_ticks]
    parts.append(draw_text("100%", bottom + 34, x_label, "quiet", anchor="end"))
    parts.append(draw_text("0", bottom + 34, y_label, "quiet"))
    # Within its own box a line is drawn 1000 units wide, and the box is stretched to the page.
    box_x = make_scale(x_ticks[0], x_ticks[-1], 0, 1000)
    box_y = make_scale(y_ticks[0], y_ticks[-1], bottom - top, 0)
    for i, line in enumerate(drawable):
        stroke = _choose_stroke(i)
        parts.append(_draw_path(line, stroke, box_x, box_y, top, bottom - top))
        if len(line.points) == 1:
            x, y = line.points[0]
            parts.append(_draw_dot(x_scale(x), y_scale(y), choose_colour(i)))
        parts += _draw_key(line, stroke, bottom + 54 + i * 18)
    description = "; ".join(_describe_line(line) for line in drawable)
    height = bottom + 44 + len(drawable) * 18
    return draw_frame(title, "".join(parts), height, description)


def _drop_infinite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _find_range(values: Iterable[float]) -> tuple[float, float]:
    listed = list(values)
    return min(listed), max(listed)


def _choose_stroke(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    return f'stroke="{choose_colour(number)}" stroke-width="1.8" stroke-dasharray="{dash}"'


def _draw_x_tick(position: float, bottom: float, value: float) -> str:
    return draw_text(
        format_percent(position), bottom + 16, format_compact(value), "quiet", anchor="middle"
    )


def _draw_path(
    line: ChartLine, stroke: str, x_scale: Scale, y_scale: Scale, top: float, height: float
) -> str:
    """The line in a box of its own, which is stretched to the width of the page; its stroke is not."""
    points = " ".join(f"{x_scale(x):.1f},{y_scale(y):.1f}" for x, y in line.points)
    box = f'x="{LEFT:g}%" y="{top}" width="{RIGHT - LEFT:g}%" height="{height}"'
    stretch = f'viewBox="0 0 1000 {height}" preserveAspectRatio="none" overflow="visible"'
    return (
        f'<svg {box} {stretch}><polyline points="{points}" fill="none" {stroke} '
        'vector-effect="non-scaling-stroke"/></svg>'
    )


def _draw_dot(x: float, y: float, colour: str) -> str:
    """A line of one point has no length: it is a dot."""
    return f'<circle cx="{format_percent(x)}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _draw_key(line: ChartLine, stroke: str, y: float) -> list[str]:
    last = format_compact(line.points[-1][1])
    return [
        f'<line x1="0" x2="30" y1="{y - 4}" y2="{y - 4}" {stroke}/>',
        draw_text("38", y, f"{line.label}: last {last}"),
    ]


def _describe_line(line: ChartLine) -> str:
    first, last = format_compact(line.points[0][1]), format_compact(line.points[-1][1])
    return f"{line.label}: {first} to {last}"


def draw_forest_plot(
    title: str,
    rows: Sequence[ChartInterval],
    *,
    null: float,
    unit: str,
    logarithmic: bool = False,
) -> Markup:
    """Values with their intervals around a dashed line of no effect at `null`."""
    if not rows:
        return draw_nothing(title)
    place = _make_forest_scale(rows, null, logarithmic)
    bottom = 24 + len(rows) * ROW_HEIGHT
    middle = place(null)
    centre = format_percent(middle)
    null_line = f'<line class="null" x1="{centre}" x2="{centre}" y1="18" y2="{bottom}"/>'
    null_label = f"{format_compact(null)} = no difference"
    parts = [null_line]  # first, so that text stands over it
    for i, row in enumerate(rows):
        parts.append(_draw_forest_row(row, 20 + i * ROW_HEIGHT, null, place))
    anchor = _choose_anchor(middle)
    parts.append(draw_text(centre, bottom + 14, null_label, "quiet", anchor=anchor))
    parts.append(draw_text("100%", 12, f"{unit} [95 %], n", "quiet", anchor="end"))
    description = "; ".join(_describe_interval(row) for row in rows[:MAX_DESCRIBED])
    return draw_frame(title, "".join(parts), bottom + 22, description)


def _make_forest_scale(rows: Sequence[ChartInterval], null: float, logarithmic: bool) -> Scale:
    """A scale that holds all intervals and shaded ranges."""

    def transform(value: float) -> float:
        return math.log(max(value, SMALLEST_LOGARITHMIC)) if logarithmic else value

    edges = []
    for row in rows:
        effect = row.minimum_detectable_effect
        edges += [transform(v) for v in (row.low, row.high, null - effect, null + effect)]
    low, high = min(edges), max(edges)
    linear = make_scale(low, high if high > low else low + 1, 2, 98)
    return lambda value: linear(transform(value))


def _choose_anchor(middle: float) -> str:
    """Where the label of the dashed line begins, so that it does not leave the chart."""
    if middle < 25:
        return "start"
    return "end" if middle > 75 else "middle"


def _describe_interval(row: ChartInterval) -> str:
    return f"{row.label}: {_format_interval(row)}, n {row.n}"


def _format_interval(row: ChartInterval) -> str:
    low, high = format_compact(row.low), format_compact(row.high)
    return f"{format_compact(row.value)} [{low}, {high}]"


def _draw_forest_row(
    row: ChartInterval, y: float, null: float, place: Callable[[float], float]
) -> str:
    middle = y + 25
    excludes_null = row.low > null or row.high < null
    ink = "var(--chart-2)" if excludes_null else "var(--chart-1)"
    band = ""
    if row.minimum_detectable_effect > 0:
        start = place(null - row.minimum_detectable_effect)
        end = place(null + row.minimum_detectable_effect)
        box = f'x="{format_percent(start)}" y="{y + 17}" width="{format_percent(end - start)}"'
        band = f'<rect class="band" {box} height="16"/>'
    at = format_percent(place(row.value))
    mark = f'<circle cx="{at}" cy="{middle}" r="4.5" fill="{ink}"/>'
    if excludes_null:  # a square: shape, not only colour
        size = 'width="9" height="9" transform="translate(-4.5 -4.5)"'
        mark = f'<rect x="{at}" y="{middle}" {size} fill="{ink}"/>'
    low, high = format_percent(place(row.low)), format_percent(place(row.high))
    ends = f'x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"'
    line = f'<line {ends} stroke="{ink}" stroke-width="2"/>'
    figures = f"{_format_interval(row)} {row.n:,}"
    return band + draw_row_head(row.label, figures, y) + line + mark


def draw_histogram(
    title: str, edges: Sequence[float], counts: Sequence[int], *, x_label: str
) -> Markup:
    """Counts between neighbouring edges, as columns."""
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} counts need {len(counts) + 1} edges, got {len(edges)}")
    if not counts or max(counts) <= 0:
        return draw_nothing(title)
    top, bottom = 10, 196
    steps = choose_ticks(0, max(counts))
    x_scale = make_scale(edges[0], edges[-1], LEFT, RIGHT)
    y_scale = make_scale(0, steps[-1], bottom, top)
    parts = [draw_grid_line(y_scale(step), format_compact(step)) for step in steps]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        x, width, y = x_scale(low), 0.94 * (x_scale(high) - x_scale(low)), y_scale(count)
        left, right = f'x="{format_percent(x)}"', f'width="{format_percent(width)}"'
        box = f'{left} y="{y:.1f}" {right} height="{bottom - y:.1f}"'
        label = escape(f"{format_compact(low)} to {format_compact(high)}: {count}")
        parts.append(f'<rect {box} fill="var(--chart-1)"><title>{label}</title></rect>')
    parts += [_draw_x_tick(x_scale(x), bottom, x) for x in _thin_out(edges, 6)]
    parts.append(draw_text("100%", bottom + 34, x_label, "quiet", anchor="end"))
    description = f"{sum(counts)} values from {edges[0]} to {edges[-1]}"
    return draw_frame(title, "".join(parts), bottom + 42, description)


def _thin_out(values: Sequence[float], most: int) -> list[float]:
    step = max(1, math.ceil(len(values) / most))
    return list(values[::step])
