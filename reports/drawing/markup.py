"""Build HTML that cannot be broken into: everything is escaped unless this module made it."""

import re
from collections.abc import Iterable
from html import escape as escape_characters

VOID = frozenset({"meta", "br", "hr", "col"})
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Control characters, lone surrogates and the like: no page may hold them, and crawled text does."""


class Html(str):
    """Markup that is safe as it stands. Adding a plain string to it gives a plain string again: that fails safe."""

    __slots__ = ()


Content = object
"""What may stand inside an element: Html as it is, None as nothing, lists one after another, the rest as text."""


def text(value: object) -> Html:
    """Any value as text of the page."""
    return Html(escape_characters(FORBIDDEN.sub("\ufffd", str(value)), quote=True))


def content(*children: Content) -> Html:
    """The children one after another."""
    return Html("".join(map(_one, children)))


def _one(child: Content) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, Iterable) and not isinstance(child, str):
        return content(*child)
    return text(child)


def tag(name: str, /, *children: Content, **attributes: str | int | bool | None) -> Html:
    """One element. `class_` is written `class`, `aria_label` `aria-label`; None and False leave an attribute out."""
    pairs = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{pairs}>")
    return Html(f"<{name}{pairs}>{content(*children)}</{name}>")


def _attribute(name: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    shown = name.rstrip("_").replace("_", "-")
    return f" {shown}" if value is True else f' {shown}="{text(value)}"'
