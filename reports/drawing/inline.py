"""Small pieces of markup that stand inside a sentence or a cell: code, links, terms of the glossary.

In: plain text, which is escaped here. Out: `Markup`, which templates print as it stands.
"""

from collections.abc import Iterable

from markupsafe import Markup, escape

# Controls of direction. One that closes an isolate would let a title turn the text behind it.
DIRECTION_CONTROLS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")


def format_code(text: object) -> Markup:
    """An identifier or a command."""
    return Markup("<code>{}</code>").format(text)


def format_link(text: str, target: str) -> Markup:
    """A link to another page, or to a place of this one."""
    return Markup('<a href="{}">{}</a>').format(target, text)


def name_term_anchor(word: str) -> str:
    """The id of a word in the glossary."""
    return f"word-{word.lower().replace(' ', '-')}"


def link_term(word: str, text: str = "") -> Markup:
    """A word that leads to its explanation in the glossary."""
    return Markup('<a href="#{}" class="term">{}</a>').format(name_term_anchor(word), text or word)


def isolate_direction(text: str) -> Markup:
    """A few words from outside within a line; their writing direction ends with them."""
    return Markup("<bdi>{}</bdi>").format(text.translate(DIRECTION_CONTROLS))


def join_markup(separator: str, items: Iterable[str]) -> Markup:
    """Items one after another with a separator between; plain strings are escaped."""
    return escape(separator).join(items)
