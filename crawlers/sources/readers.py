"""Reads what sources answer: sitemaps, feeds, API pages, Link headers. Plain functions over bytes, tested on saved pages."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urljoin

from lxml import etree
from parsel import Selector

LARGEST_INFLATED = 50 << 20


@dataclass(frozen=True, slots=True)
class Sitemap:
    """A sitemap file: an index of other sitemaps, or page addresses; each with its date as written."""

    kind: Literal["index", "pages"]
    entries: tuple[tuple[str, str | None], ...]


class Unreadable(ValueError):
    """An answer is not what its place promises."""


def sitemap_urls(robots: str, base: str) -> list[str]:
    """The sitemaps that a robots.txt names, absolute, each once; the customary place where it names none."""
    named = re.findall(r"(?im)^\s*sitemap\s*:\s*(\S+)", robots)
    return list(dict.fromkeys(urljoin(base, url) for url in named)) or [
        urljoin(base, "/sitemap.xml")
    ]


def _parse_xml(body: bytes) -> etree._Element:
    """The root of an XML file, entities and external files left alone; raises Unreadable."""
    if body[:2] == b"\x1f\x8b":
        body = _inflate(body)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True, huge_tree=False)
    try:
        root = etree.fromstring(body.strip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Unreadable(f"no XML: {error}") from None
    if root is None:
        raise Unreadable("no XML")
    return root


def _inflate(body: bytes) -> bytes:
    """Unpack a gzipped sitemap, up to the size the sitemap protocol allows."""
    try:
        with gzip.open(io.BytesIO(body)) as file:
            return file.read(LARGEST_INFLATED)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"no gzip: {error}") from None


def _tag(node: etree._Element) -> str:
    """The local name in lower case; a prefix that was never declared (feeds do that) counts as one all the same."""
    return re.split("[}:]", node.tag)[-1].lower() if isinstance(node.tag, str) else ""


def _text(node: etree._Element, name: str) -> str | None:
    found = next((child.text for child in node if _tag(child) == name and child.text), None)
    return found.strip() if found else None


def read_sitemap(body: bytes) -> Sitemap:
    """Read a sitemap, a sitemap index or a news sitemap, gzipped or not; raises Unreadable."""
    root = _parse_xml(body)
    if _tag(root) not in ("urlset", "sitemapindex"):
        raise Unreadable(f"<{_tag(root)}> is no sitemap")
    entries = []
    for node in root:
        if _tag(node) in ("url", "sitemap") and (place := _text(node, "loc")):
            entries.append((place, _text(node, "lastmod") or _news_date(node)))
    return Sitemap("index" if _tag(root) == "sitemapindex" else "pages", tuple(entries))


def _news_date(node: etree._Element) -> str | None:
    return next(
        (child.text for child in node.iter() if _tag(child) == "publication_date" and child.text),
        None,
    )


def read_feed(body: bytes, base: str) -> list[str]:
    """The article addresses of an RSS (0.9 to 2.0) or Atom feed, absolute, each once; raises Unreadable."""
    root = _parse_xml(body)
    if _tag(root) not in ("rss", "feed", "rdf"):
        raise Unreadable(f"<{_tag(root)}> is no feed")
    found = [_entry_link(node) for node in root.iter() if _tag(node) in ("item", "entry")]
    return list(dict.fromkeys(urljoin(base, link) for link in found if link))


def forbids_following(directives: str) -> bool:
    """Whether robots directives say `nofollow` or `none`; the latter is also a value, as in `max-image-preview: none`."""
    return re.search(r"(?<![\w:-])(?<!: )(?:nofollow|none)\b", directives.lower()) is not None


def read_links(page: Selector, base: str) -> list[str]:
    """Where the links of an HTML page lead, absolute, each once without its fragment; those with rel="nofollow" do not count.

    A page whose robots meta says `nofollow` or `none` has no links to follow.
    """
    metas = page.xpath('//meta[translate(@name, "ROBTS", "robts") = "robots"]/@content').getall()
    if any(map(forbids_following, metas)):
        return []
    start = (
        next((_joined(base, href) for href in page.xpath("//base/@href").getall()), None) or base
    )
    links = page.xpath(
        '//a[@href][not(contains(translate(@rel, "NOFLW", "noflw"), "nofollow"))]/@href'
    ).getall()
    return list(
        dict.fromkeys(url for url in (_joined(start, href.strip()) for href in links) if url)
    )


def _joined(base: str, href: str) -> str | None:
    try:
        return urljoin(base, href).partition("#")[0]
    except ValueError:  # an IPv6 address that is none
        return None


def _entry_link(node: etree._Element) -> str | None:
    links = [child for child in node if _tag(child) == "link"]
    for link in links:
        if link.get("href") and link.get("rel", "alternate") == "alternate":
            return str(link.get("href"))
    if text := _text(node, "link"):
        return text
    guid = next((child for child in node if _tag(child) == "guid"), None)
    if (
        guid is not None
        and guid.get("isPermaLink", "true") == "true"
        and (guid.text or "").strip().startswith("http")
    ):
        return (guid.text or "").strip()
    return None


@dataclass(frozen=True, slots=True)
class WikiBatch:
    """One answer of a MediaWiki: its pages with content, where to go on, what it says of itself, the error's code if any."""

    pages: tuple[Mapping[str, Any], ...]
    cursor: Mapping[str, str]
    query: Mapping[str, Any]
    error: str | None


def read_wiki(body: bytes) -> WikiBatch:
    """Read an answer of api.php (format=json, formatversion=2); raises Unreadable."""
    found = _json_object(body)
    error = found.get("error")
    query = found.get("query")
    query = query if isinstance(query, dict) else {}
    raw = query.get("pages")
    pages = (
        tuple(page for page in raw if isinstance(page, dict) and page.get("revisions"))
        if isinstance(raw, list)
        else ()
    )
    cursor = found.get("continue")
    cursor = (
        {str(key): str(value) for key, value in cursor.items()} if isinstance(cursor, dict) else {}
    )
    return WikiBatch(
        pages, cursor, query, str(error.get("code", "unknown")) if isinstance(error, dict) else None
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Unreadable("the answer is no JSON object")
    return found


def read_timeline(body: bytes) -> list[Any]:
    """The statuses of one timeline answer, broken ones included; raises Unreadable."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"no JSON: {error}") from None
    if not isinstance(found, list):
        raise Unreadable("the answer is no list of statuses")
    return found


def next_link(header: str, base: str) -> str | None:
    """The address with rel="next" in a Link header."""
    for url, rest in re.findall(r"<([^>]*)>([^<]*)", header):
        relation = re.search(r"\brel\s*=\s*\"?([^\";,]+)", rest)
        if relation and "next" in str(relation[1]).split():
            return urljoin(base, str(url))
    return None
