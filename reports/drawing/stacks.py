"""Draw stacked bars of shares: how each row divides into the same parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from reports.drawing import charts

PATTERNS = 6
"""Colours of the charts; a part beyond them is drawn in grey."""
NUMBERED = 6.0
"""Percent of the width that a part needs for its number to stand in it."""


@dataclass(frozen=True, slots=True)
class StackedBar:
    """One bar: its label, the value of every part, and a note such as the total."""

    label: str
    values: Sequence[int]
    note: str = ""


def draw_stacked_bars(title: str, parts: Sequence[str], rows: Sequence[StackedBar]) -> str:
    """Bars of full length, each divided as its values are; the parts are named below, and numbered in the bars."""
    rows = [row for row in rows if sum(row.values) > 0]
    if not rows:
        return charts.draw_nothing(title)
    drawn = [_bar(row, parts, i * charts.ROW) for i, row in enumerate(rows)]
    said = "; ".join(
        f"{row.label}: "
        + ", ".join(
            f"{name} {value}" for name, value in zip(parts, row.values, strict=True) if value
        )
        for row in rows[:20]
    )
    return charts.frame(title, "".join(drawn), len(rows) * charts.ROW, said, below=_legend(parts))


def _bar(row: StackedBar, parts: Sequence[str], y: float) -> str:
    total, at, drawn = sum(row.values), 0.0, [charts.row_head(row.label, row.note, y)]
    for place, (name, value) in enumerate(zip(parts, row.values, strict=True)):
        wide = 100 * value / total
        if value:
            told = escape(f"{row.label}, {name}: {value:,} of {total:,} ({value / total:.1%})")
            box = (
                f'x="{charts.percent(at)}" y="{y + 19}" width="{charts.percent(wide)}" height="15"'
            )
            drawn.append(
                f'<rect {box} class="part" fill="{shade(place)}"><title>{told}</title></rect>'
            )
        if wide > NUMBERED:
            drawn.append(
                charts.text(
                    charts.percent(at + wide / 2), y + 30.5, str(place + 1), "on", anchor="middle"
                )
            )
        at += wide
    return "".join(drawn)


def _legend(parts: Sequence[str]) -> str:
    """The names of the parts beside their numbers: a list, so that it wraps."""
    items = (
        f'<li><b class="c{min(i, PATTERNS) + 1}">{i + 1}</b> {escape(name)}</li>'
        for i, name in enumerate(parts)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def shade(place: int) -> str:
    """The colour of a part."""
    return charts.colour(place) if place < PATTERNS else "var(--chart-quiet)"
