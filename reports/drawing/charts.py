"""Draw charts as inline SVG: numbers in, one string out; every label is escaped, and colours follow the page's theme."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

NARROWEST = 328
"""The width in pixels that everything fits into: places across are shares of the width, only heights are fixed."""
ROW = 40
"""A row: its label and its figures in one line, what is drawn of them in the next."""
CHARACTER = 6.6
"""About how wide one letter is at the charts' font size; labels are cut to fit, whole in their tooltip."""
LEFT, RIGHT = 13.0, 95.0
"""Percent of the width between which charts with a vertical axis are drawn: left of it stand the axis' numbers."""

CSS = """
:root { --chart-text: #24292f; --chart-quiet: #6a737d; --chart-grid: #d8dee4; --chart-band: #eaeef2;
  --chart-1: #0a66a8; --chart-2: #b3541e; --chart-3: #2d7d46; --chart-4: #7a4fb5; --chart-5: #8a6d00; --chart-6: #a8325e; }
@media (prefers-color-scheme: dark) { :root { --chart-text: #e6edf3; --chart-quiet: #9aa4ae; --chart-grid: #3d444d;
  --chart-band: #262c34; --chart-1: #6cb6ff; --chart-2: #f0883e; --chart-3: #57c97a; --chart-4: #c297ff;
  --chart-5: #e3b341; --chart-6: #ff7eb6; } }
.chart { margin: 0.7rem 0 1.1rem; max-width: 42rem; }
.chart svg { width: 100%; display: block; }
.chart text { font: 12px system-ui, sans-serif; fill: var(--chart-text); }
.chart .quiet { fill: var(--chart-quiet); }
.chart .head { font-weight: 600; font-size: 0.9rem; line-height: 1.35; margin: 0 0 0.3rem; color: var(--chart-text); }
.chart .grid { stroke: var(--chart-grid); stroke-width: 1; }
.chart .null { stroke: var(--chart-quiet); stroke-width: 1.5; stroke-dasharray: 4 3; }
.chart .band { fill: var(--chart-band); }
"""
"""What a page needs in its style sheet for these charts, light and dark."""

DASHES = ("", "7 4", "2 3", "10 3 2 3", "4 2", "1 4")


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
    """One row of a forest plot: a value with its interval, and the half-width of the range it could not have shown."""

    label: str
    value: float
    low: float
    high: float
    n: int
    blind: float = 0.0


def draw_bar_chart(title: str, bars: Sequence[ChartBar], *, unit: str = "") -> str:
    """Horizontal bars from zero, the value written above each."""
    if not bars:
        return draw_nothing(title)
    top = max((bar.value for bar in bars), default=0) or 1.0
    rows = []
    for i, bar in enumerate(bars):
        y, length = i * ROW, max(0.0, bar.value) / top * 100
        value = " ".join(part for part in (compact(bar.value), unit, bar.note) if part)
        rows.append(
            row_head(bar.label, value, y)
            + f'<rect x="0" y="{y + 19}" width="{length:.2f}%" height="12" fill="var(--chart-1)"/>'
        )
    said = "; ".join(f"{bar.label}: {compact(bar.value)}" for bar in bars[:20])
    return frame(title, "".join(rows), len(bars) * ROW, said)


def draw_line_chart(title: str, lines: Sequence[ChartLine], *, x_label: str, y_label: str) -> str:
    """Lines over a numeric axis; lines differ in dash as well as in colour, and each is named below."""
    lines = [
        ChartLine(line.label, [p for p in line.points if all(map(math.isfinite, p))])
        for line in lines
    ]
    lines = [line for line in lines if line.points]
    if not lines:
        return draw_nothing(title)
    every = [point for line in lines for point in line.points]
    top, bottom = 10, 226
    xs, ys = ticks(*_range(x for x, _ in every)), ticks(*_range(y for _, y in every))
    place_x, place_y = scale(xs[0], xs[-1], LEFT, RIGHT), scale(ys[0], ys[-1], bottom, top)
    drawn = [_across(place_y(y), compact(y)) for y in ys]
    drawn += [
        text(percent(place_x(x)), bottom + 16, compact(x), "quiet", anchor="middle") for x in xs
    ]
    drawn += [
        text("100%", bottom + 34, x_label, "quiet", anchor="end"),
        text("0", bottom + 34, y_label, "quiet"),
    ]
    inner_x = scale(xs[0], xs[-1], 0, 1000)
    for i, line in enumerate(lines):
        stroke = (
            f'stroke="{colour(i)}" stroke-width="1.8" stroke-dasharray="{DASHES[i % len(DASHES)]}"'
        )
        drawn.append(
            _path(line, stroke, inner_x, scale(ys[0], ys[-1], bottom - top, 0), top, bottom - top)
        )
        if len(line.points) == 1:
            x, y = line.points[0]
            drawn.append(
                f'<circle cx="{percent(place_x(x))}" cy="{place_y(y):.1f}" r="3" fill="{colour(i)}"/>'
            )
        row = bottom + 54 + i * 18
        drawn.append(f'<line x1="0" x2="30" y1="{row - 4}" y2="{row - 4}" {stroke}/>')
        drawn.append(text("38", row, f"{line.label}: last {compact(line.points[-1][1])}"))
    said = "; ".join(
        f"{x.label}: {compact(x.points[0][1])} to {compact(x.points[-1][1])}" for x in lines
    )
    return frame(title, "".join(drawn), bottom + 44 + len(lines) * 18, said)


def _path(
    line: ChartLine,
    stroke: str,
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
    top: float,
    height: float,
) -> str:
    """The line in a box of its own that is stretched to the width there is, its stroke not."""
    points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line.points)
    return (
        f'<svg x="{LEFT:g}%" y="{top}" width="{RIGHT - LEFT:g}%" height="{height}" viewBox="0 0 1000 {height}" '
        f'preserveAspectRatio="none" overflow="visible"><polyline points="{points}" fill="none" {stroke} '
        'vector-effect="non-scaling-stroke"/></svg>'
    )


def draw_forest_plot(
    title: str, rows: Sequence[ChartInterval], *, null: float, unit: str, logarithmic: bool = False
) -> str:
    """Values with their intervals around a dashed line of no effect.

    The shaded part of a row is what its n could not have shown (`blind` either side of the line).
    """
    if not rows:
        return draw_nothing(title)
    turn: Callable[[float], float] = (lambda v: math.log(max(v, 1e-9))) if logarithmic else float
    edges = [
        turn(v) for row in rows for v in (row.low, row.high, null - row.blind, null + row.blind)
    ]
    low, high = min(edges), max(edges)
    inner = scale(low, high if high > low else low + 1, 2, 98)
    place: Callable[[float], float] = lambda v: inner(turn(v))  # noqa: E731
    bottom = 24 + len(rows) * ROW
    middle = place(null)
    drawn = [_forest_row(row, 20 + i * ROW, null, place) for i, row in enumerate(rows)]
    drawn.insert(
        0,
        f'<line class="null" x1="{percent(middle)}" x2="{percent(middle)}" y1="18" y2="{bottom}"/>',
    )  # first: what is written stands over it
    side = "start" if middle < 25 else "end" if middle > 75 else "middle"
    drawn.append(
        text(percent(middle), bottom + 14, f"{compact(null)} = no difference", "quiet", anchor=side)
    )
    drawn.append(text("100%", 12, f"{unit} [95 %], n", "quiet", anchor="end"))
    said = "; ".join(
        f"{r.label}: {compact(r.value)} [{compact(r.low)}, {compact(r.high)}], n {r.n}"
        for r in rows[:20]
    )
    return frame(title, "".join(drawn), bottom + 22, said)


def _forest_row(row: ChartInterval, y: float, null: float, place: Callable[[float], float]) -> str:
    middle = y + 25
    clear = row.low > null or row.high < null
    ink = "var(--chart-2)" if clear else "var(--chart-1)"
    band = ""
    if row.blind > 0:
        start, end = place(null - row.blind), place(null + row.blind)
        band = f'<rect class="band" x="{percent(start)}" y="{y + 17}" width="{percent(end - start)}" height="16"/>'
    at = percent(place(row.value))
    mark = f'<circle cx="{at}" cy="{middle}" r="4.5" fill="{ink}"/>'
    if clear:  # a square where the interval excludes the line: shape, not only colour
        box = 'width="9" height="9" transform="translate(-4.5 -4.5)"'
        mark = f'<rect x="{at}" y="{middle}" {box} fill="{ink}"/>'
    line = (
        f'<line x1="{percent(place(row.low))}" x2="{percent(place(row.high))}" y1="{middle}" y2="{middle}" '
        f'stroke="{ink}" stroke-width="2"/>'
    )
    figures = f"{compact(row.value)} [{compact(row.low)}, {compact(row.high)}] {row.n:,}"
    return band + row_head(row.label, figures, y) + line + mark


def draw_histogram(
    title: str, edges: Sequence[float], counts: Sequence[int], *, x_label: str
) -> str:
    """Counts between neighbouring edges, as columns."""
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} counts need {len(counts) + 1} edges, got {len(edges)}")
    if not counts or max(counts) <= 0:
        return draw_nothing(title)
    top, bottom = 10, 196
    steps = ticks(0, max(counts))
    place_x, place_y = scale(edges[0], edges[-1], LEFT, RIGHT), scale(0, steps[-1], bottom, top)
    drawn = [_across(place_y(y), compact(y)) for y in steps]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        x, wide, y = place_x(low), 0.94 * (place_x(high) - place_x(low)), place_y(count)
        box = f'x="{percent(x)}" y="{y:.1f}" width="{percent(wide)}" height="{bottom - y:.1f}"'
        told = escape(f"{compact(low)} to {compact(high)}: {count}")
        drawn.append(f'<rect {box} fill="var(--chart-1)"><title>{told}</title></rect>')
    drawn += [
        text(percent(place_x(x)), bottom + 16, compact(x), "quiet", anchor="middle")
        for x in _thin(edges, 6)
    ]
    drawn.append(text("100%", bottom + 34, x_label, "quiet", anchor="end"))
    return frame(
        title, "".join(drawn), bottom + 42, f"{sum(counts)} values from {edges[0]} to {edges[-1]}"
    )


def draw_nothing(title: str) -> str:
    """What stands where there are no numbers to draw."""
    return f'<p class="chart-empty">{escape(title)}: nothing to draw.</p>'


def frame(title: str, inner: str, height: float, said: str, below: str = "") -> str:
    """An SVG under its title, and the same figures as words for those who do not see it."""
    return (
        f'<div class="chart"><p class="head" aria-hidden="true">{escape(title)}</p>'
        f'<svg height="{height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>{inner}</svg>{below}</div>"
    )


def text(x: str, y: float, words: str, style: str = "", *, anchor: str = "start") -> str:
    """One escaped line of text at `x`, a number of pixels or a share of the width."""
    kind = f' class="{style}"' if style else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x}" y="{y:.1f}"{kind}{where}>{escape(words)}</text>'


def row_head(name: str, figures: str, y: float) -> str:
    """The line above what a row draws: its name, and at the right its figures."""
    beside = text("100%", y + 13, figures, "quiet", anchor="end") if figures else ""
    return label(name, y + 13, room=NARROWEST - int((_wide(figures) + 2) * CHARACTER)) + beside


def label(words: str, y: float, *, room: int = NARROWEST) -> str:
    """A row's name, cut to fit into `room` pixels, whole in its tooltip."""
    letters, shown = max(8, int(room / CHARACTER)), words
    if _wide(words) > letters:
        keep = next(i for i in range(len(words), -1, -1) if _wide(words[:i]) < letters)
        shown = words[:keep] + "…"
    return f'<text x="0" y="{y:.1f}"><title>{escape(words)}</title>{escape(shown)}</text>'


def _wide(words: str) -> int:
    """How many letters wide a text is; those of East Asia count two."""
    return sum(2 if ord(char) > 0x2E7F else 1 for char in words)


def percent(share: float) -> str:
    """A place across the chart."""
    return f"{share:.2f}%"


def compact(value: float) -> str:
    """A number in few characters: 1234567 -> 1.23M, 0.123456 -> 0.123."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round numbers that enclose low to high in about that many steps."""
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        high = low + max(1.0, abs(low))
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 9) for i in range(first, last + 1)]


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """A function from values to places on the page."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def colour(number: int) -> str:
    """The theme's colour of the number-th line; they repeat after six."""
    return f"var(--chart-{number % 6 + 1})"


def _across(y: float, words: str) -> str:
    line = f'<line class="grid" x1="{LEFT:g}%" x2="{RIGHT:g}%" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + text(percent(LEFT - 2), y + 4, words, "quiet", anchor="end")


def _range(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)


def _thin(values: Sequence[float], most: int) -> list[float]:
    step = max(1, math.ceil(len(values) / most))
    return list(values[::step])
