"""The parts that every section is built of: tables in their own scrolling box, charts, notes, samples of text."""

from collections.abc import Iterable, Sequence

from gristmill.report.facts import Sample
from gristmill.report.markup import Content, Html, content, tag
from gristmill.report.words import language

Row = Sequence[Content]


def section(anchor: str, title: str, *parts: Content) -> Html:
    """One numbered part of the page."""
    return tag("section", tag("h2", title, id=f"{anchor}-title"), *parts, id=anchor, aria_labelledby=f"{anchor}-title")


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


def table(caption: str, head: Sequence[str], rows: Iterable[Row]) -> Html:
    """A table that scrolls sideways in its own box; a head that begins with # is a column of numbers."""
    numeric = [name.startswith("#") for name in head]
    names = [
        tag("th", name.lstrip("#"), scope="col", class_="n" if number else None)
        for name, number in zip(head, numeric, strict=True)
    ]
    body = [tag("tr", *map(_cell, row, numeric, range(len(head)))) for row in rows]
    inner = tag("table", tag("caption", caption), tag("thead", tag("tr", *names)), tag("tbody", *body))
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _cell(value: Content, number: bool, place: int) -> Html:
    style = "n" if number else None
    return tag("td", value, class_=style) if place else tag("th", value, scope="row", class_=style)


def chart(drawn: str) -> Html:
    """A chart of `charts`, which escapes what it is given; its box can be scrolled by keyboard."""
    return Html(drawn.replace('<div class="chart">', '<div class="chart" tabindex="0">', 1))


def folded(title: str, *parts: Content) -> Html:
    """What opens on demand, without any script."""
    return tag("details", tag("summary", title), *parts)


def bullets(lines: Iterable[Content]) -> Html:
    """A list."""
    return tag("ul", *(tag("li", line) for line in lines))


def missing(what: str, *how: Content) -> Html:
    """What stands in place of a part whose run is not in the chain, and how to get it."""
    return tag("p", tag("strong", "Not part of this chain: "), what, " ", *how, class_="missing")


def quoted(words: str, lang: str | None = None) -> Html:
    """Text from outside, in a box of its own: its direction and length cannot disturb the page."""
    return tag("blockquote", words, dir="auto", lang=lang if lang and lang.isalnum() else None, class_="text")


def sample(found: Sample) -> Html:
    """The beginning of a document, and where it came from."""
    origin = [code(found.id), found.source, language(found.lang), found.capture]
    line = [content(" · " if place else "", item) for place, item in enumerate(filter(None, origin))]
    if found.text is None:
        return tag(
            "figure", tag("p", "Its text is withheld.", class_="note"), tag("figcaption", *line), class_="sample"
        )
    return tag("figure", quoted(found.text, found.lang), tag("figcaption", *line), class_="sample")
