"""The parts that every section is built of: tables in their own scrolling box, charts, notes, samples of text."""

from collections.abc import Iterable, Sequence

from gristmill.formatting import format_language
from reports.chain.report_data import TextSample
from reports.drawing.markup import Content, Html, content, tag

Row = Sequence[Content]


def section(anchor: str, title: str, *parts: Content) -> Html:
    """One numbered part of the page."""
    return tag(
        "section",
        tag("h2", title, id=f"{anchor}-title"),
        *parts,
        id=anchor,
        aria_labelledby=f"{anchor}-title",
    )


def part(title: str, *parts: Content) -> Html:
    """A headed part of a section; nothing where it has no content."""
    return content(tag("h3", title), *parts) if any(parts) else Html()


def note(*words: Content) -> Html:
    """A quiet paragraph: what a number means, its n, what it does not say."""
    return tag("p", *words, class_="note")


def paragraph(*words: Content) -> Html:
    """A plain paragraph."""
    return tag("p", *words)


def code(words: object) -> Html:
    """An identifier or a command in a line."""
    return tag("code", words)


STYLES = {"#": "n", "~": "w"}
"""What the first character of a column's head says of it: numbers stand to the right, prose is not squeezed to a word a line."""


def table(caption: str, head: Sequence[str], rows: Iterable[Row]) -> Html:
    """A table that scrolls sideways in its own box; a head that begins with # is a column of numbers, with ~ one of prose."""
    styles = [STYLES.get(name[:1]) for name in head]
    names = [
        tag("th", name.lstrip("#~"), scope="col", class_=style)
        for name, style in zip(head, styles, strict=True)
    ]
    body = [tag("tr", *map(_cell, row, styles, range(len(head)))) for row in rows]
    inner = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *names)), tag("tbody", *body)
    )
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _cell(value: Content, style: str | None, place: int) -> Html:
    return tag("td", value, class_=style) if place else tag("th", value, scope="row", class_=style)


def chart(drawn: str) -> Html:
    """A chart of `charts`, which escapes what it is given."""
    return Html(drawn)


def folded(title: str, *parts: Content) -> Html:
    """What opens on demand, without any script."""
    return tag("details", tag("summary", title), *parts)


def bullets(lines: Iterable[Content]) -> Html:
    """A list."""
    return tag("ul", *(tag("li", line) for line in lines))


def missing(what: str, *how: Content) -> Html:
    """What stands in place of a part whose run is not in the chain, and how to get it."""
    return tag("p", tag("strong", "Not part of this chain: "), what, " ", *how, class_="missing")


def quoted(words: Content, lang: str | None = None) -> Html:
    """Text from outside, in a box of its own: its direction and length cannot disturb the page."""
    return tag(
        "blockquote",
        words,
        dir="auto",
        lang=lang if lang and lang.isalnum() else None,
        class_="text",
    )


def origin(found: TextSample) -> Html:
    """Where a document came from: its id, source, language and capture."""
    items = filter(None, [code(found.id), found.source, format_language(found.lang), found.capture])
    return tag(
        "div",
        *(content(" · " if place else "", item) for place, item in enumerate(items)),
        class_="origin",
    )


def sample(found: TextSample) -> Html:
    """The beginning of a document, and where it came from."""
    shown = note("Its text is withheld.") if found.text is None else quoted(found.text, found.lang)
    return tag("figure", shown, tag("figcaption", origin(found)), class_="sample")
