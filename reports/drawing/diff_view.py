"""Draw how two texts differ: what stands in one place of both side by side, words of only one marked."""

import re
from collections.abc import Sequence

from gristmill.formatting import format_count, format_counted
from reports.drawing.blocks import note, paragraph, quoted
from reports.drawing.markup import Content, Html, content, tag
from reports.drawing.text_diff import Comparison, DifferingPlace, DiffPiece

LANGUAGES = tuple[str, str]
"""The languages of the kept and of the dropped text."""
SPACE = re.compile(r"(\s{40})\s+")
"""White space that would push the rest off the screen."""


def beside(one: Content, other: Content) -> Html:
    """What is said of the kept document, and beside it what is said of the dropped one."""
    sides = [tag("div", tag("b", name), said) for name, said in (("kept", one), ("dropped", other))]
    return tag("div", *sides, class_="sides")


def differences(found: Comparison, languages: LANGUAGES) -> Html:
    """The places where two texts differ."""
    return content(*(_place(place, languages) for place in found.places))


def told(found: Comparison) -> Html:
    """How much is alike, and how many of the differences are shown."""
    where = "the first " if found.cut else ""
    alike = f"{format_count(found.alike)} of {where}{format_counted(found.compared, 'word')} of the kept text also stand in the dropped one, in the same order"
    if not found.differing:
        return paragraph(
            f"{alike}: {'no difference in what was compared' if found.cut else 'they differ in white space at most'}."
        )
    first = "the first of them are" if found.left else "each is" if found.differing > 1 else "it is"
    return paragraph(
        f"{alike}. They differ in {format_counted(found.differing, 'place')}: {first} shown and marked."
    )


def _place(place: DifferingPlace, languages: LANGUAGES) -> Html:
    """The same place of both texts side by side; what stands before it alike is counted."""
    passed = (
        note(f"… after {format_counted(place.before, 'more word')} alike:")
        if place.before
        else None
    )
    sides = [_side("kept", place.kept, languages[0]), _side("dropped", place.dropped, languages[1])]
    return content(passed, tag("div", *sides, class_="sides"))


def _side(name: str, pieces: Sequence[DiffPiece], lang: str) -> Html:
    words = [
        tag("mark", _narrow(piece.words)) if piece.own else _narrow(piece.words) for piece in pieces
    ]
    return tag(
        "div",
        tag("p", name, class_="side"),
        quoted(words, lang) if words else note("(nothing stands here)"),
    )


def _narrow(words: str) -> str:
    return SPACE.sub(r"\1", words)
