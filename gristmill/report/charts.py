"""Draw charts as inline SVG: numbers in, one string out; every label is escaped, and colours follow the page's theme."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
LABEL_WIDTH = 230
ROW = 24
CHARACTER = 6.6
"""About how wide one letter is at the charts' font size; labels are cut to fit, whole in their tooltip."""

CSS = """
:root { --chart-text: #24292f; --chart-quiet: #6a737d; --chart-grid: #d8dee4; --chart-band: #eaeef2;
  --chart-1: #0a66a8; --chart-2: #b3541e; --chart-3: #2d7d46; --chart-4: #7a4fb5; --chart-5: #8a6d00; --chart-6: #a8325e; }
@media (prefers-color-scheme: dark) { :root { --chart-text: #e6edf3; --chart-quiet: #9aa4ae; --chart-grid: #3d444d;
  --chart-band: #262c34; --chart-1: #6cb6ff; --chart-2: #f0883e; --chart-3: #57c97a; --chart-4: #c297ff;
  --chart-5: #e3b341; --chart-6: #ff7eb6; } }
.chart { overflow-x: auto; margin: 0.5rem 0 1rem; }
.chart svg { width: 100%; min-width: 30rem; max-width: 60rem; height: auto; display: block; }
.chart text { font: 12px system-ui, sans-serif; fill: var(--chart-text); }
.chart .quiet { fill: var(--chart-quiet); }
.chart .head { font-weight: 600; font-size: 13px; }
.chart .grid { stroke: var(--chart-grid); stroke-width: 1; }
.chart .null { stroke: var(--chart-quiet); stroke-width: 1.5; stroke-dasharray: 4 3; }
.chart .band { fill: var(--chart-band); }
"""
"""What a page needs in its style sheet for these charts, light and dark."""

DASHES = ("", "7 4", "2 3", "10 3 2 3", "4 2", "1 4")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label, its value, and a note such as a share, shown behind the value."""

    label: str
    value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a line chart."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Interval:
    """One row of a forest plot: a value with its interval, and the half-width of the range it could not have shown."""

    label: str
    value: float
    low: float
    high: float
    n: int
    blind: float = 0.0


def bar_chart(title: str, bars: Sequence[Bar], *, unit: str = "") -> str:
    """Horizontal bars from zero, the value written beside each."""
    if not bars:
        return nothing(title)
    top = max((bar.value for bar in bars), default=0) or 1.0
    room = WIDTH - LABEL_WIDTH - 150
    rows = []
    for i, bar in enumerate(bars):
        y, length = 34 + i * ROW, max(0.0, bar.value) / top * room
        value = " ".join(part for part in (compact(bar.value), unit, bar.note) if part)
        rows.append(
            label(bar.label, y + 13)
            + f'<rect x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" height="{ROW - 7}" fill="var(--chart-1)"/>'
            + text(LABEL_WIDTH + length + 6, y + 13, value, "quiet")
        )
    said = "; ".join(f"{bar.label}: {compact(bar.value)}" for bar in bars[:20])
    return frame(title, "".join(rows), 44 + len(bars) * ROW, said)


def line_chart(title: str, lines: Sequence[Line], *, x_label: str, y_label: str) -> str:
    """Lines over a numeric axis; lines differ in dash as well as in colour, and each is named below."""
    lines = [Line(line.label, [p for p in line.points if all(map(math.isfinite, p))]) for line in lines]
    lines = [line for line in lines if line.points]
    if not lines:
        return nothing(title)
    every = [point for line in lines for point in line.points]
    left, right, top, bottom = 56, WIDTH - 16, 34, 250
    xs, ys = ticks(*_range(x for x, _ in every)), ticks(*_range(y for _, y in every))
    place_x = scale(xs[0], xs[-1], left, right)
    place_y = scale(ys[0], ys[-1], bottom, top)
    drawn = [_across(place_y(y), left, right, compact(y)) for y in ys]
    drawn += [text(place_x(x), bottom + 16, compact(x), "quiet", anchor="middle") for x in xs]
    drawn += [text(right, bottom + 32, x_label, "quiet", anchor="end"), text(left, bottom + 32, y_label, "quiet")]
    for i, line in enumerate(lines):
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in line.points)
        stroke = f'stroke="{colour(i)}" stroke-width="1.8" stroke-dasharray="{DASHES[i % len(DASHES)]}"'
        drawn.append(f'<polyline points="{path}" fill="none" {stroke}/>')
        if len(line.points) == 1:
            x, y = line.points[0]
            drawn.append(f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3" fill="{colour(i)}"/>')
        row = bottom + 52 + i * 18
        drawn.append(f'<line x1="{left}" x2="{left + 30}" y1="{row - 4}" y2="{row - 4}" {stroke}/>')
        drawn.append(text(left + 38, row, f"{line.label}: last {compact(line.points[-1][1])}"))
    said = "; ".join(f"{x.label}: {compact(x.points[0][1])} to {compact(x.points[-1][1])}" for x in lines)
    return frame(title, "".join(drawn), bottom + 46 + len(lines) * 18, said)


def forest_plot(title: str, rows: Sequence[Interval], *, null: float, unit: str, logarithmic: bool = False) -> str:
    """Values with their intervals around a dashed line of no effect.

    The shaded part of a row is what its n could not have shown (`blind` either side of the line).
    """
    if not rows:
        return nothing(title)
    left, right = LABEL_WIDTH, WIDTH - 190
    turn: Callable[[float], float] = (lambda v: math.log(max(v, 1e-9))) if logarithmic else float
    edges = [turn(v) for row in rows for v in (row.low, row.high, null - row.blind, null + row.blind)]
    low, high = min(edges), max(edges)
    inner = scale(low, high if high > low else low + 1, left + 6, right - 6)
    place: Callable[[float], float] = lambda v: inner(turn(v))  # noqa: E731
    bottom = 44 + len(rows) * ROW
    drawn = [_forest_row(row, 40 + i * ROW, null, place) for i, row in enumerate(rows)]
    drawn.append(f'<line class="null" x1="{place(null):.1f}" x2="{place(null):.1f}" y1="28" y2="{bottom}"/>')
    drawn.append(text(place(null), bottom + 16, f"{compact(null)} = no difference", "quiet", anchor="middle"))
    drawn.append(text(right + 8, 30, f"{unit} [95 %], n", "quiet"))
    said = "; ".join(f"{r.label}: {compact(r.value)} [{compact(r.low)}, {compact(r.high)}], n {r.n}" for r in rows[:20])
    return frame(title, "".join(drawn), bottom + 26, said)


def _forest_row(row: Interval, y: float, null: float, place: Callable[[float], float]) -> str:
    middle = y + ROW / 2 - 4
    clear = row.low > null or row.high < null
    ink = "var(--chart-2)" if clear else "var(--chart-1)"
    band = ""
    if row.blind > 0:
        start, end = place(null - row.blind), place(null + row.blind)
        band = f'<rect class="band" x="{start:.1f}" y="{y - 2}" width="{end - start:.1f}" height="{ROW - 4}"/>'
    mark = f'<circle cx="{place(row.value):.1f}" cy="{middle}" r="4.5" fill="{ink}"/>'
    if clear:  # a square where the interval excludes the line: shape, not only colour
        mark = f'<rect x="{place(row.value) - 4.5:.1f}" y="{middle - 4.5}" width="9" height="9" fill="{ink}"/>'
    line = (
        f'<line x1="{place(row.low):.1f}" x2="{place(row.high):.1f}" y1="{middle}" y2="{middle}" '
        f'stroke="{ink}" stroke-width="2"/>'
    )
    figures = f"{compact(row.value)} [{compact(row.low)}, {compact(row.high)}] {row.n:,}"
    return band + label(row.label, y + 13) + line + mark + text(WIDTH - 182, y + 13, figures, "quiet")


def histogram(title: str, edges: Sequence[float], counts: Sequence[int], *, x_label: str) -> str:
    """Counts between neighbouring edges, as columns."""
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} counts need {len(counts) + 1} edges, got {len(edges)}")
    if not counts or max(counts) <= 0:
        return nothing(title)
    left, right, top, bottom = 56, WIDTH - 16, 34, 220
    steps = ticks(0, max(counts))
    place_x, place_y = scale(edges[0], edges[-1], left, right), scale(0, steps[-1], bottom, top)
    drawn = [_across(place_y(y), left, right, compact(y)) for y in steps]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        x, wide = place_x(low), max(0.5, place_x(high) - place_x(low) - 1)
        y = place_y(count)
        box = f'x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{bottom - y:.1f}"'
        told = escape(f"{compact(low)} to {compact(high)}: {count}")
        drawn.append(f'<rect {box} fill="var(--chart-1)"><title>{told}</title></rect>')
    drawn += [text(place_x(x), bottom + 16, compact(x), "quiet", anchor="middle") for x in _thin(edges, 8)]
    drawn.append(text(right, bottom + 32, x_label, "quiet", anchor="end"))
    return frame(title, "".join(drawn), bottom + 40, f"{sum(counts)} values from {edges[0]} to {edges[-1]}")


def nothing(title: str) -> str:
    """What stands where there are no numbers to draw."""
    return f'<p class="chart-empty">{escape(title)}: nothing to draw.</p>'


def frame(title: str, inner: str, height: float, said: str) -> str:
    """An SVG with its title, and the same figures as words for those who do not see it."""
    return (
        f'<div class="chart"><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>{text(0, 16, title, 'head')}{inner}</svg></div>"
    )


def text(x: float, y: float, words: str, style: str = "", *, anchor: str = "start") -> str:
    """One escaped line of text."""
    kind = f' class="{style}"' if style else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}{where}>{escape(words)}</text>'


def label(words: str, y: float) -> str:
    """A row's name left of the plot, cut to fit, whole in its tooltip."""
    room = int((LABEL_WIDTH - 12) / CHARACTER)
    wide = [2 if ord(char) > 0x2E7F else 1 for char in words]
    shown = words
    if sum(wide) > room:
        keep = next(i for i in range(len(words), -1, -1) if sum(wide[:i]) < room)
        shown = words[:keep] + "…"
    inner = f"<title>{escape(words)}</title>{escape(shown)}"
    return f'<text x="{LABEL_WIDTH - 8}" y="{y:.1f}" text-anchor="end">{inner}</text>'


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


def _across(y: float, left: float, right: float, words: str) -> str:
    line = f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + text(left - 6, y + 4, words, "quiet", anchor="end")


def _range(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)


def _thin(values: Sequence[float], most: int) -> list[float]:
    step = max(1, math.ceil(len(values) / most))
    return list(values[::step])
