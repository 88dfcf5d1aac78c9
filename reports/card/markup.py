"""Markdown from values: tables, code and names that may hold anything, such as the markup of whoever wrote them."""

import html
import re
from collections.abc import Iterator, Sequence

SHOWN = 40
"""Rows of a table at most; the run's own files have all."""

LONGEST = 200
"""Characters of a bullet, above which it is cut into several."""


def text(value: object) -> str:
    """A value as plain text in Markdown: numbers with separators, what would be markup escaped, in one line."""
    if isinstance(value, Written):
        return value.written
    if isinstance(value, int):
        return f"{value:,}"
    flat = " ".join(str(value).split())
    quiet = re.sub(r"([\\`*|~]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])|^[#>+-](?=\s))", r"\\\1", flat)
    return re.sub(r"<(?=[\w/!?])", "&lt;", re.sub(r"&(?=#?\w+;)", "&amp;", quiet))


class Written:
    """A sentence of ours that is Markdown already."""

    def __init__(self, written: str) -> None:
        self.written = written


class Code(Written):
    """A value in the type of code."""

    def __init__(self, value: object) -> None:
        inside = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
        super().__init__(f"`{inside}`" if inside else "")


def table(
    head: Sequence[str], rows: Sequence[Sequence[object]], *, rest: str = "rows"
) -> Iterator[str]:
    """A table of at most SHOWN rows, numbers to the right; says how many `rest` it leaves out."""
    numbers = [
        bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(head))
    ]
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---:' if number else '---' for number in numbers)}|"
    for row in rows[:SHOWN]:
        yield f"| {' | '.join(map(text, row))} |"
    if len(rows) > SHOWN:
        yield f"\n{len(rows) - SHOWN:,} more {rest} are left out here."


def bullets(line: str) -> Iterator[str]:
    """A bullet; a line of more than LONGEST characters as one with sub-bullets, cut where its sentences and clauses end."""
    first, *rest = [line] if len(line) <= LONGEST else re.split(r"(?<=[.]) |; ", line)
    yield f"- {first}"
    yield from (f"  - {piece}" for piece in rest)


def folded(title: str, lines: Sequence[str]) -> Iterator[str]:
    """Lines that a reader unfolds."""
    yield f"<details><summary>{html.escape(title, quote=False)}</summary>\n"
    yield from lines
    yield "\n</details>"
