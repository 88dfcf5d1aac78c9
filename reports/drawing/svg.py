"""What all charts are made of: the frame with its title and description, lines of text, scales and ticks.

Positions across are shares of the width, so that a chart fits any screen; only heights are in pixels.
"""

import math
from collections.abc import Callable
from html import escape

from markupsafe import Markup

NARROWEST = 328
"""The width in pixels that everything fits into: a telephone of 360 pixels less its margins."""

ROW_HEIGHT = 40
"""A row in pixels: its label and figures in one line, its drawing in the next."""

CHARACTER_WIDTH = 6.6
"""About how many pixels a letter takes at the charts' font size; labels are cut to fit by it."""

LEFT, RIGHT = 13.0, 95.0
"""Percent of the width between which charts with a vertical axis are drawn: left of it stand the axis' numbers."""

COLOURS = 6
"""Colours of the style sheet, --chart-1 to --chart-6."""

FIRST_WIDE_CHARACTER = 0x2E80
"""From here on (CJK radicals) letters take two columns."""

Scale = Callable[[float], float]
"""From a value to a position."""


def draw_nothing(title: str) -> Markup:
    """A sentence in place of a chart without numbers."""
    return Markup('<p class="chart-empty">{}: nothing to draw.</p>').format(title)


def draw_frame(title: str, inner: str, height: float, description: str, below: str = "") -> Markup:
    """An SVG under its title, and the same figures as words for those who do not see it.

    `inner` and `below` are markup already; title and description are escaped here.
    """
    return Markup(
        f'<div class="chart"><p class="head" aria-hidden="true">{escape(title)}</p>'
        f'<svg height="{height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{inner}</svg>{below}</div>"
    )


def draw_text(x: str, y: float, words: str, style: str = "", *, anchor: str = "start") -> str:
    """One escaped line of text at `x`, a number of pixels or a share of the width."""
    css_class = f' class="{style}"' if style else ""
    text_anchor = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x}" y="{y:.1f}"{css_class}{text_anchor}>{escape(words)}</text>'


def draw_row_head(name: str, figures: str, y: float) -> str:
    """The line above the drawing of a row: its name, and at the right its figures."""
    figures_width = int((count_columns(figures) + 2) * CHARACTER_WIDTH)
    label = draw_label(name, y + 13, max_width=NARROWEST - figures_width)
    if not figures:
        return label
    return label + draw_text("100%", y + 13, figures, "quiet", anchor="end")


def draw_label(words: str, y: float, *, max_width: int = NARROWEST) -> str:
    """A row's name, cut to fit into `max_width` pixels; its tooltip has it uncut."""
    columns = max(8, int(max_width / CHARACTER_WIDTH))
    shown = words
    if count_columns(words) > columns:
        length = len(words)
        while count_columns(words[:length]) >= columns:
            length -= 1
        shown = words[:length] + "…"
    title = f"<title>{escape(words)}</title>"
    return f'<text x="0" y="{y:.1f}">{title}{escape(shown)}</text>'


def draw_grid_line(y: float, words: str) -> str:
    """A horizontal line across the chart, with its number at the left."""
    line = f'<line class="grid" x1="{LEFT:g}%" x2="{RIGHT:g}%" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + draw_text(format_percent(LEFT - 2), y + 4, words, "quiet", anchor="end")


def count_columns(words: str) -> int:
    """How many letters wide a text is; those of East Asia count two."""
    return sum(2 if ord(char) >= FIRST_WIDE_CHARACTER else 1 for char in words)


def format_percent(share: float) -> str:
    """A position across the chart."""
    return f"{share:.2f}%"


def format_compact(value: float) -> str:
    """A number in few characters: 1234567 -> 1.23M, 0.123456 -> 0.123."""
    # Up to 10,000 a number is written out, so the k comes later than its size.
    for smallest, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= smallest:
            return f"{value / unit:.3g}{letter}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"


def choose_ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round numbers that enclose low to high in about that many steps."""
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        high = low + max(1.0, abs(low))
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    # 0.999: a step that is smaller by a rounding error alone is taken.
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 9) for i in range(first, last + 1)]


def make_scale(low: float, high: float, start: float, end: float) -> Scale:
    """A function that puts `low` at `start`, `high` at `end`, and values between in proportion."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def choose_colour(number: int) -> str:
    """The theme's colour of the number-th line; they repeat after six."""
    return f"var(--chart-{number % COLOURS + 1})"
