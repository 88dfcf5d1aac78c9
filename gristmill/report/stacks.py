"""Draw stacked bars of shares: how each row divides into the same parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gristmill.report import charts

LEFT, RIGHT, TOP = charts.LABEL_WIDTH, charts.WIDTH - 90, 34
PATTERNS = 6
"""Colours of the charts; a part beyond them is drawn in grey."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One bar: its label, the value of every part, and a note such as the total."""

    label: str
    values: Sequence[int]
    note: str = ""


def stacked_bars(title: str, parts: Sequence[str], rows: Sequence[Stack]) -> str:
    """Bars of full length, each divided as its values are; the parts are named below, and numbered in the bars."""
    rows = [row for row in rows if sum(row.values) > 0]
    if not rows:
        return charts.nothing(title)
    drawn = [_bar(row, parts, TOP + i * charts.ROW) for i, row in enumerate(rows)]
    bottom = TOP + len(rows) * charts.ROW + 10
    legend, height = _legend(parts, bottom)
    said = "; ".join(
        f"{row.label}: " + ", ".join(f"{name} {value}" for name, value in zip(parts, row.values, strict=True) if value)
        for row in rows[:20]
    )
    return charts.frame(title, "".join(drawn) + legend, height, said)


def _bar(row: Stack, parts: Sequence[str], y: float) -> str:
    total, at, drawn = sum(row.values), float(LEFT), [charts.label(row.label, y + 13)]
    for place, (name, value) in enumerate(zip(parts, row.values, strict=True)):
        wide = (RIGHT - LEFT) * value / total
        if value:
            told = escape(f"{row.label}, {name}: {value:,} of {total:,} ({value / total:.1%})")
            box = f'x="{at:.1f}" y="{y}" width="{max(wide - 1, 0.6):.1f}" height="{charts.ROW - 7}"'
            drawn.append(f'<rect {box} fill="{shade(place)}"><title>{told}</title></rect>')
        if wide > 16:
            drawn.append(charts.text(at + wide / 2, y + 12.5, str(place + 1), "on", anchor="middle"))
        at += wide
    return "".join(drawn) + charts.text(RIGHT + 8, y + 13, row.note, "quiet")


def _legend(parts: Sequence[str], y: float) -> tuple[str, float]:
    """Names of the parts in lines, and where they end."""
    x, line, drawn = 8.0, y + 12, []
    for place, name in enumerate(parts):
        wide = 38 + sum(2 if ord(char) > 0x2E7F else 1 for char in name) * charts.CHARACTER
        if x + wide > charts.WIDTH and x > 8:
            x, line = 8.0, line + 18
        drawn.append(f'<rect x="{x:.1f}" y="{line - 11}" width="16" height="14" fill="{shade(place)}"/>')
        drawn.append(charts.text(x + 8, line, str(place + 1), "on", anchor="middle") + charts.text(x + 21, line, name))
        x += wide
    return "".join(drawn), line + 10


def shade(place: int) -> str:
    """The colour of a part."""
    return charts.colour(place) if place < PATTERNS else "var(--chart-quiet)"
