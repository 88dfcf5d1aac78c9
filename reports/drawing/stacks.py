"""Draw stacked bars of shares: how each row divides into the same parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from reports.drawing.svg import (
    COLOURS,
    ROW_HEIGHT,
    choose_colour,
    draw_frame,
    draw_nothing,
    draw_row_head,
    draw_text,
    format_percent,
)

NUMBERED_SHARE = 6.0
"""Percent of the width that a part needs for its number to stand in it."""


@dataclass(frozen=True, slots=True)
class StackedBar:
    """One bar: its label, the value of every part, and a note such as the total."""

    label: str
    values: Sequence[int]
    note: str = ""


def draw_stacked_bars(title: str, parts: Sequence[str], rows: Sequence[StackedBar]) -> Markup:
    """Bars of full length, each divided as its values are; the parts are numbered in the bars and named below."""
    filled = [row for row in rows if sum(row.values) > 0]
    if not filled:
        return draw_nothing(title)
    bars = [_draw_bar(row, parts, i * ROW_HEIGHT) for i, row in enumerate(filled)]
    description = "; ".join(_describe_bar(row, parts) for row in filled[:20])
    height = len(filled) * ROW_HEIGHT
    return draw_frame(title, "".join(bars), height, description, below=_draw_legend(parts))


def choose_shade(position: int) -> str:
    """The colour of a part; those beyond the colours of the theme are grey."""
    return choose_colour(position) if position < COLOURS else "var(--chart-quiet)"


def _describe_bar(row: StackedBar, parts: Sequence[str]) -> str:
    values = [f"{name} {value}" for name, value in zip(parts, row.values, strict=True) if value]
    return f"{row.label}: {', '.join(values)}"


def _draw_bar(row: StackedBar, parts: Sequence[str], y: float) -> str:
    total = sum(row.values)
    start = 0.0
    drawn = [draw_row_head(row.label, row.note, y)]
    for position, (name, value) in enumerate(zip(parts, row.values, strict=True)):
        width = 100 * value / total
        if value:
            label = f"{row.label}, {name}: {value:,} of {total:,} ({value / total:.1%})"
            across = f'x="{format_percent(start)}" y="{y + 19}" width="{format_percent(width)}"'
            fill = f'class="part" fill="{choose_shade(position)}"'
            title = f"<title>{escape(label)}</title>"
            drawn.append(f'<rect {across} height="15" {fill}>{title}</rect>')
        if width > NUMBERED_SHARE:
            middle = format_percent(start + width / 2)
            drawn.append(draw_text(middle, y + 30.5, str(position + 1), "on", anchor="middle"))
        start += width
    return "".join(drawn)


def _draw_legend(parts: Sequence[str]) -> str:
    """The names of the parts beside their numbers: a list, so that it wraps."""
    items = [
        f'<li><b class="c{min(i, COLOURS) + 1}">{i + 1}</b> {escape(name)}</li>'
        for i, name in enumerate(parts)
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'
