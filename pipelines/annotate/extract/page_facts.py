"""What a page says of itself: title, date, author, language and licence, read from its tree before anything is cut."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gristmill.rights.policy import UNKNOWN, normalize_licence

_TITLES = ("og:title", "twitter:title", "citation_title", "dc.title", "dcterms.title", "headline")
_AUTHORS = (
    "author",
    "article:author",
    "citation_author",
    "dc.creator",
    "dcterms.creator",
    "parsely-author",
)
_LANGUAGES = ("content-language", "og:locale", "dc.language", "dcterms.language")
_PROSE = re.compile(r"Article|Posting|Report|Review|WebPage|CreativeWork|Recipe|HowTo")
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_][A-Za-z0-9]+)*")
_TOKENS = "contains(concat(' ', normalize-space({}), ' '), ' {} ')"
_LICENSED = f"//head//link[{_TOKENS.format('@rel', 'license')}] | //a[@href][{_TOKENS.format('@rel', 'license')}]"
_FOOTED = "//footer//a[contains(@href, 'creativecommons.org/')]" + "".join(
    f" | //div[contains({name}, 'footer')]//a[contains(@href, 'creativecommons.org/')]"
    for name in ("@class", "@id")
)


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page states; None where it states nothing. `language` is its tag, with the script where that is given."""

    title: str | None = None
    date: str | None = None
    author: str | None = None
    language: str | None = None
    licence: str = UNKNOWN


def read_page_facts(tree: Any, url: str | None, page: str) -> PageFacts:
    """Read the facts of a page from its tree, which stays as it is, and its source."""
    from htmldate import find_date
    from trafilatura.metadata import extract_title

    said, linked = _read_meta(tree), next(_iter_linked_data(tree), {})
    headline = linked.get("headline")
    return PageFacts(
        title=_get_first(said, _TITLES) or _clean(headline) or _clean(extract_title(tree)),
        date=find_date(tree, url=url, original_date=True, extensive_search=False),
        author=_get_first(said, _AUTHORS) or _join_names(linked.get("author")),
        language=_parse_language_tag(
            tree.get("lang") or tree.get("xml:lang") or _get_first(said, _LANGUAGES)
        ),
        licence=_read_licence(tree)
        if "license" in page or "creativecommons.org/" in page
        else UNKNOWN,
    )


def _read_meta(tree: Any) -> dict[str, str]:
    """The first content of each meta element, by its lower-cased name."""
    said: dict[str, str] = {}
    for element in tree.iter("meta"):
        name = (
            element.get("property")
            or element.get("name")
            or element.get("http-equiv")
            or element.get("itemprop")
        )
        if name and (content := element.get("content")) and content.strip():
            said.setdefault(name.strip().lower(), content)
    return said


def _get_first(said: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((text for name in names if (text := _clean(said.get(name)))), None)


def _clean(value: object) -> str | None:
    """A short text on one line; None for what is none, as an address where a name should stand."""
    text = " ".join(value.split())[:500] if isinstance(value, str) else ""
    return None if not text or text.startswith(("http://", "https://", "//")) else text


def _iter_linked_data(tree: Any) -> Iterator[dict[str, Any]]:
    """The JSON-LD objects that are about prose, outermost first."""
    for script in tree.iter("script"):
        if (script.get("type") or "").strip().lower() == "application/ld+json" and script.text:
            try:
                found = json.loads(script.text, strict=False)
            except (ValueError, RecursionError):
                continue
            for item in found if isinstance(found, list) else [found]:
                graph = item.get("@graph") if isinstance(item, dict) else None
                yield from (
                    one for one in (graph if isinstance(graph, list) else [item]) if _is_prose(one)
                )


def _is_prose(item: object) -> bool:
    return isinstance(item, dict) and bool(_PROSE.search(str(item.get("@type"))))


def _join_names(value: object) -> str | None:
    """The names of one author or several, as JSON-LD gives them."""
    people = value if isinstance(value, list) else [value]
    names = [
        _clean(person.get("name") if isinstance(person, dict) else person) for person in people
    ]
    return "; ".join(dict.fromkeys(name for name in names if name)) or None


def _parse_language_tag(tag: str | None) -> str | None:
    match = _LANGUAGE.fullmatch((tag or "").strip().split(",")[0])
    return (
        "-".join(part for part in (match[1].lower(), (match[2] or "").title()) if part)
        if match
        else None
    )


def _read_licence(tree: Any) -> str:
    """What links marked as the licence say, else Creative Commons links of the page's foot."""
    for query in (_LICENSED, _FOOTED):
        for link in tree.xpath(query):
            for said in (link.get("href"), link.text_content()):
                if (found := normalize_licence(said)) != UNKNOWN:
                    return found
    return UNKNOWN
