"""Read MediaWiki XML dumps (export 0.3 to 0.11): each page is parsed alone, so a damaged one costs itself."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from gristmill.hashing import document_id
from gristmill.rights.policy import normalize_licence
from pipelines.annotate.readers import dump_pages
from pipelines.annotate.readers.dump_pages import Found, head_of, in_bytes, in_streams
from pipelines.annotate.readers.fields import moment
from pipelines.annotate.readers.languages import primary_language
from pipelines.annotate.readers.records import Broken, Item, Left, Split, batches_of

Row = Mapping[str, Any] | Broken | Left

ELEMENT = 256
"""What an element is counted as, however empty it is."""

_LANGUAGE = re.compile(r"<mediawiki\b[^>]*\sxml:lang=[\"']([^\"'>]*)")

WIKIMEDIA_LICENCE = "CC-BY-SA-4.0"
"""The licence of Wikimedia's text since June 2023; dumps do not state one."""


def read_dump(split: Split) -> Iterator[Item]:
    """The pages of a split as wikitext records: newest revision of each, articles only, redirects left out later.

    A page's address is its byte in the unpacked dump; in a multistream dump its stream and its number there.
    """
    found = in_streams(split) if split.kind == "streams" else in_bytes(split)
    return batches_of(_rows(found, split.input_name, _site_of(split)), size=64)


def _rows(found: Iterator[Found | Broken], file: str, site: Mapping[str, Any]) -> Iterator[Row]:
    for one in found:
        yield one if isinstance(one, Broken) else _row(one, file, site)


def _row(found: Found, file: str, site: Mapping[str, Any]) -> Row:
    limit, source = dump_pages.MAX_PAGE, site["source"]
    if found.gap:
        return Broken(
            file, found.offset, "bad_item", f"this is no page: {found.gap[:80]!r}", source=source
        )
    if found.page is None or found.page.count(b"<") // 2 * ELEMENT + len(found.page) > limit:
        return Broken(
            file, found.offset, "too_large", f"a page of more than {limit} bytes", source=source
        )
    try:
        return _page(ElementTree.fromstring(found.page), found, file, site)
    except ElementTree.ParseError as error:
        return Broken(
            file, found.offset, "bad_item", f"a page that is no XML: {error}", source=source
        )


def _text_of(element: ElementTree.Element, *path: str) -> str:
    """The text at a path of tags, whatever the name space; empty where there is none."""
    for wanted in path:
        found = next((child for child in element if child.tag.rsplit("}", 1)[-1] == wanted), None)
        if found is None:
            return ""
        element = found
    return element.text or ""


def _site_of(split: Split) -> Mapping[str, Any]:
    """What the head of a dump says of its wiki; its source is called after the file where it says nothing."""
    source = os.path.basename(split.input_name).split("-")[0].split(".")[0]
    text, _ = head_of(split.origin or split.file)
    stated = re.search(r"<siteinfo>.*?</siteinfo>", text, re.DOTALL)
    try:
        about = ElementTree.fromstring(stated[0]) if stated else ElementTree.Element("siteinfo")
    except (ElementTree.ParseError, ValueError):
        about = ElementTree.Element("siteinfo")
    base = _text_of(about, "base")
    wikimedia = any(
        host in base
        for host in (".wikipedia.org/", ".wikinews.org/", ".wiktionary.org/", ".wikibooks.org/")
    )
    licence = normalize_licence(WIKIMEDIA_LICENCE) if wikimedia else "unknown"
    root = _LANGUAGE.search(text)
    return {
        "source": _text_of(about, "dbname") or source,
        "base": base.rsplit("/", 1)[0],
        "licence": licence,
        "stated_lang": primary_language(root[1]) if root else None,
    }


def _in_url(title: str) -> str:
    """A title as the end of a URL: readable, but what would end the path is escaped."""
    return title.replace(" ", "_").replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def _page(page: ElementTree.Element, found: Found, file: str, site: Mapping[str, Any]) -> Row:
    title, space = _text_of(page, "title"), _text_of(page, "ns")
    revisions = [child for child in page if child.tag.rsplit("}", 1)[-1] == "revision"]
    if space not in ("", "0") or (not space and ":" in title):
        return Left("not_an_article", site["source"])
    if not revisions:
        return Broken(
            file, found.offset, "bad_item", f"page {title!r} has no revision", source=site["source"]
        )
    newest = max(revisions, key=lambda revision: _text_of(revision, "timestamp"))
    text, revision_id = _text_of(newest, "text"), _text_of(newest, "id")
    url = f"{site['base']}/{_in_url(title)}" if site["base"] else None
    return {
        "id": document_id(site["source"], url or f"page:{_text_of(page, 'id')}", text.encode()),
        "text": text,
        "media": "wikitext",
        "title": title,
        "url": url,
        "source": site["source"],
        "kind": "wiki",
        "stated_lang": site["stated_lang"],
        "published": moment(_text_of(newest, "timestamp").replace("Z", "+00:00")),
        "fetched": None,
        "licence": site["licence"],
        "evidence": [{"signal": "revision", "value": revision_id}],
        "opt_out": [],
        "author": None,
        "capture": {"file": file, "offset": found.offset, "item": found.item},
    }
