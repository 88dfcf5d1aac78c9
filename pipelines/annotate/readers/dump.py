"""Read MediaWiki XML dumps (export 0.3 to 0.11): each page is parsed alone, so a damaged one costs itself."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from gristmill.hashing import document_id
from gristmill.rights.policy import normalize_licence
from pipelines.annotate.readers import dump_pages
from pipelines.annotate.readers.dump_pages import (
    DumpPage,
    iter_pages_of_bytes,
    iter_pages_of_streams,
    read_dump_head,
)
from pipelines.annotate.readers.fields import parse_moment
from pipelines.annotate.readers.languages import parse_language
from pipelines.annotate.readers.records import Dropped, Item, Quarantined, Split, iter_batches

Row = Mapping[str, Any] | Quarantined | Dropped

ELEMENT = 256
"""What an element is counted as, however empty it is."""

_LANGUAGE = re.compile(r"<mediawiki\b[^>]*\sxml:lang=[\"']([^\"'>]*)")

WIKIMEDIA_LICENCE = "CC-BY-SA-4.0"
"""The licence of Wikimedia's text since June 2023; dumps do not state one."""


def read_dump(split: Split) -> Iterator[Item]:
    """The pages of a split as wikitext records: newest revision of each, articles only, redirects left out later.

    A page's address is its byte in the unpacked dump; in a multistream dump its stream and its number there.
    """
    found = iter_pages_of_streams(split) if split.kind == "streams" else iter_pages_of_bytes(split)
    return iter_batches(_iter_rows(found, split.input_name, _read_site(split)), size=64)


def _iter_rows(
    found: Iterator[DumpPage | Quarantined], file: str, site: Mapping[str, Any]
) -> Iterator[Row]:
    for one in found:
        yield one if isinstance(one, Quarantined) else _make_row(one, file, site)


def _make_row(found: DumpPage, file: str, site: Mapping[str, Any]) -> Row:
    limit, source = dump_pages.MAX_PAGE, site["source"]
    if found.gap:
        return Quarantined(
            file, found.offset, "bad_item", f"this is no page: {found.gap[:80]!r}", source=source
        )
    if found.page is None or found.page.count(b"<") // 2 * ELEMENT + len(found.page) > limit:
        return Quarantined(
            file, found.offset, "too_large", f"a page of more than {limit} bytes", source=source
        )
    try:
        return _parse_page(ElementTree.fromstring(found.page), found, file, site)
    except ElementTree.ParseError as error:
        return Quarantined(
            file, found.offset, "bad_item", f"a page that is no XML: {error}", source=source
        )


def _get_text(element: ElementTree.Element, *path: str) -> str:
    """The text at a path of tags, whatever the name space; empty where there is none."""
    for wanted in path:
        found = next((child for child in element if child.tag.rsplit("}", 1)[-1] == wanted), None)
        if found is None:
            return ""
        element = found
    return element.text or ""


def _read_site(split: Split) -> Mapping[str, Any]:
    """What the head of a dump says of its wiki; its source is called after the file where it says nothing."""
    source = os.path.basename(split.input_name).split("-")[0].split(".")[0]
    text, _ = read_dump_head(split.origin or split.file)
    stated = re.search(r"<siteinfo>.*?</siteinfo>", text, re.DOTALL)
    try:
        about = ElementTree.fromstring(stated[0]) if stated else ElementTree.Element("siteinfo")
    except (ElementTree.ParseError, ValueError):
        about = ElementTree.Element("siteinfo")
    base = _get_text(about, "base")
    wikimedia = any(
        host in base
        for host in (".wikipedia.org/", ".wikinews.org/", ".wiktionary.org/", ".wikibooks.org/")
    )
    licence = normalize_licence(WIKIMEDIA_LICENCE) if wikimedia else "unknown"
    root = _LANGUAGE.search(text)
    return {
        "source": _get_text(about, "dbname") or source,
        "base": base.rsplit("/", 1)[0],
        "licence": licence,
        "stated_lang": parse_language(root[1]) if root else None,
    }


def _escape_title(title: str) -> str:
    """A title as the end of a URL: readable, but what would end the path is escaped."""
    return title.replace(" ", "_").replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def _parse_page(
    page: ElementTree.Element, found: DumpPage, file: str, site: Mapping[str, Any]
) -> Row:
    title, space = _get_text(page, "title"), _get_text(page, "ns")
    revisions = [child for child in page if child.tag.rsplit("}", 1)[-1] == "revision"]
    if space not in ("", "0") or (not space and ":" in title):
        return Dropped("not_an_article", site["source"])
    if not revisions:
        return Quarantined(
            file, found.offset, "bad_item", f"page {title!r} has no revision", source=site["source"]
        )
    newest = max(revisions, key=lambda revision: _get_text(revision, "timestamp"))
    text, revision_id = _get_text(newest, "text"), _get_text(newest, "id")
    url = f"{site['base']}/{_escape_title(title)}" if site["base"] else None
    return {
        "id": document_id(site["source"], url or f"page:{_get_text(page, 'id')}", text.encode()),
        "text": text,
        "media": "wikitext",
        "title": title,
        "url": url,
        "source": site["source"],
        "kind": "wiki",
        "stated_lang": site["stated_lang"],
        "published": parse_moment(_get_text(newest, "timestamp").replace("Z", "+00:00")),
        "fetched": None,
        "licence": site["licence"],
        "evidence": [{"signal": "revision", "value": revision_id}],
        "opt_out": [],
        "author": None,
        "capture": {"file": file, "offset": found.offset, "item": found.item},
    }
