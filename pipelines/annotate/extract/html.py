"""HTML to text: our fast reader takes every page, trafilatura's slow one only those where the fast one fails.

Measured on 941 multilingual pages (docs/decisions/0004, benchmarks/extraction.py): the slow reader where the fast one
found under 200 characters or under 0.3 of what resiliparse takes for the main part.
"""

import re
from dataclasses import dataclass
from typing import Any

from gristmill.rights.policy import UNKNOWN
from pipelines.annotate.config import PageLimits
from pipelines.annotate.extract.main_text import (
    count_visible_characters,
    extract_main_text,
    extract_with_fallbacks,
    parse_html,
    strip_loose_end,
)
from pipelines.annotate.extract.page_facts import read_page_facts

FAST_IS_ENOUGH, LEAST_CHARACTERS = 0.3, 200
MOST_ATTRIBUTES = 5_000
"""Of one element: parsers look for doubles, so their time grows with the square; 500,000 take minutes."""
_TAGS = re.compile(r"<[a-zA-Z]")
_MANY_ATTRIBUTES = re.compile(
    r"""<[a-zA-Z][^\s/>]*+(?:[\s/]*+[^\s=/>]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]++))?+)"""
    rf"{{{MOST_ATTRIBUTES}}}"
)


@dataclass(frozen=True, slots=True)
class ExtractedPage:
    """What a page says: its text and what it says of itself; `text` is empty where there is no article."""

    text: str
    title: str | None = None
    date: str | None = None
    licence: str = UNKNOWN
    author: str | None = None
    language: str | None = None


class PageTooBig(ValueError):
    """A page exceeds a limit; the message says which."""


def check_limits(html: str, limits: PageLimits) -> None:
    """Refuse pages before any tree is built: by size, by the number of their tags and of the attributes of one."""
    if len(html) > limits.page_bytes:
        raise PageTooBig(f"{len(html)} characters, the limit is {limits.page_bytes}")
    if (
        html.count("<") > limits.page_elements
        and (tags := len(_TAGS.findall(html))) > limits.page_elements
    ):
        raise PageTooBig(f"{tags} elements, the limit is {limits.page_elements}")
    if _MANY_ATTRIBUTES.search(html):
        raise PageTooBig(f"an element of more than {MOST_ATTRIBUTES} attributes")


def extract_page(html: str, url: str | None, limits: PageLimits) -> ExtractedPage:
    """Extract the main text of a page with what it says of itself. Raises TooBigError."""
    check_limits(html, limits)
    if (tree := parse_html(html)) is None:
        return ExtractedPage("")
    check_depth(tree, limits.page_depth)
    facts = read_page_facts(tree, url, html)
    text = strip_loose_end(_extract_text(tree, html))
    if not text.strip():
        return ExtractedPage("")
    return ExtractedPage(text, facts.title, facts.date, facts.licence, facts.author, facts.language)


def check_depth(tree: Any, limit: int) -> None:
    """Refuse a tree that is nested deeper than `limit`; the parser itself stops at 2047."""
    if tree.xpath("/*" * (limit + 1)):
        raise PageTooBig(f"elements are nested deeper than {limit}")


def _extract_text(tree: Any, html: str) -> str:
    """The main text, by the slow reader where the fast one leaves too much out."""
    shown = count_visible_characters(tree)
    text = extract_main_text(tree, html)
    if not shown or _is_enough(len(text), shown, html):
        return text
    rescued = extract_with_fallbacks(parse_html(html))
    return rescued if len(rescued) > len(text) else text


def _is_enough(length: int, shown: int, html: str) -> bool:
    """Compare with resiliparse's main part, which is read only where the whole page does not already settle it."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    if length < LEAST_CHARACTERS or length >= FAST_IS_ENOUGH * shown:
        return length >= LEAST_CHARACTERS
    return length >= FAST_IS_ENOUGH * len(
        extract_plain_text(HTMLTree.parse(html), main_content=True)
    )


def extract_status_text(html: str) -> str:
    """The text of a social post, which is a fragment of HTML: paragraphs and breaks become lines."""
    from resiliparse.extract.html2text import extract_plain_text

    text: str = extract_plain_text(html, preserve_formatting=True, list_bullets=False)
    return text
