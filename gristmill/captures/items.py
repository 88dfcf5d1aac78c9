"""What a captured answer is parsed into: items with text, answers without content, and bad items.

A bad item costs only itself: its neighbours in the same answer are parsed all the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gristmill.captures.json_answer import JsonValue


class ItemEvidence(NamedTuple):
    """One statement that a licence, a refusal or a revision was read from."""

    signal: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureItem:
    """One text of an answer, still in the markup of its source, with what the answer says about it.

    `published` and `stated_language` are as the server wrote them. `identity` is what the id of the
    document is made of: nothing that changes while the text stays the same (counters of views).
    """

    text: str
    media: Literal["wikitext", "status"]
    url: str
    identity: tuple[JsonValue, ...]
    title: str | None = None
    stated_language: JsonValue = None
    published: JsonValue = None
    author: str | None = None
    opt_out: tuple[str, ...] = ()
    evidence: tuple[ItemEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class NoContent:
    """A valid answer, or an entry of one, that holds no text: an error, an empty list, a page
    that is listed without its revision.
    """

    why: str


@dataclass(frozen=True, slots=True)
class BadItem:
    """An answer, or an entry of one, that is not in the form of its format."""

    problem: str


ParsedItem = CaptureItem | NoContent | BadItem


@dataclass(frozen=True, slots=True)
class CaptureFormat:
    """A format of captured answers: its name in the capture's metadata, and how to parse it."""

    name: str
    iter_items: Callable[[bytes], Iterator[ParsedItem]]
