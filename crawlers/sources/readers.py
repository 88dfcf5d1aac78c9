"""Reads what web sites answer: sitemaps, feeds, links of pages, Link headers.

Pure functions over bytes and text. Answers that are not what they should be raise `Unreadable`.
JSON answers of interfaces are read by `gristmill.captures`.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from lxml import etree

if TYPE_CHECKING:
    from parsel import Selector

LARGEST_INFLATED = 50 << 20
"""Bytes of an unpacked sitemap that are read: the limit of the protocol (sitemaps.org)."""


@dataclass(frozen=True, slots=True)
class Sitemap:
    """A sitemap: addresses of pages, or of other sitemaps if it is an index, with dates as written."""

    is_index: bool
    entries: tuple[tuple[str, str | None], ...]


class Unreadable(ValueError):
    """An answer is not a sitemap or feed; the message says how it differs."""


def find_sitemap_urls(robots: str, base: str) -> list[str]:
    """Return the sitemaps of a robots.txt, absolute, each once; `/sitemap.xml` if it names none."""
    locations = re.findall(r"(?im)^\s*sitemap\s*:\s*(\S+)", robots)
    urls = [urljoin(base, location) for location in locations]
    return list(dict.fromkeys(urls)) or [urljoin(base, "/sitemap.xml")]


def _parse_xml(body: bytes) -> etree._Element:
    """Parse XML without resolving entities or external files; raises Unreadable."""
    if body[:2] == b"\x1f\x8b":
        body = _inflate(body)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True, huge_tree=False)
    try:
        root = etree.fromstring(body.strip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Unreadable(f"not XML: {error}") from None
    if root is None:
        raise Unreadable("not XML")
    return root


def _inflate(body: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(body)) as file:
            return file.read(LARGEST_INFLATED)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"not gzip: {error}") from None


def _local_name(node: etree._Element) -> str:
    """The name of an element without its namespace, in lower case; empty for comments."""
    if not isinstance(node.tag, str):
        return ""
    # Feeds use prefixes that they never declare; those stay in the name, before a colon.
    return re.split("[}:]", node.tag)[-1].lower()


def _child_text(node: etree._Element, name: str) -> str | None:
    """The text of the first child of that name that has any."""
    for child in node:
        if _local_name(child) == name and child.text:
            return str(child.text).strip()
    return None


def read_sitemap(body: bytes) -> Sitemap:
    """Read a sitemap, a sitemap index or a news sitemap, gzipped or not; raises Unreadable."""
    root = _parse_xml(body)
    root_name = _local_name(root)
    if root_name not in ("urlset", "sitemapindex"):
        raise Unreadable(f"<{root_name}> is not a sitemap")
    entries = []
    for node in root:
        if _local_name(node) not in ("url", "sitemap"):
            continue
        url = _child_text(node, "loc")
        if url:
            date = _child_text(node, "lastmod") or _find_publication_date(node)
            entries.append((url, date))
    return Sitemap(root_name == "sitemapindex", tuple(entries))


def _find_publication_date(node: etree._Element) -> str | None:
    """The date inside the `news:news` element of a news sitemap."""
    for child in node.iter():
        if _local_name(child) == "publication_date" and child.text:
            return str(child.text)
    return None


def read_feed(body: bytes, base: str) -> list[str]:
    """Return the articles of an RSS (0.9 to 2.0) or Atom feed, absolute, each once; raises Unreadable."""
    root = _parse_xml(body)
    root_name = _local_name(root)
    if root_name not in ("rss", "feed", "rdf"):
        raise Unreadable(f"<{root_name}> is not a feed")
    entries = [node for node in root.iter() if _local_name(node) in ("item", "entry")]
    links = [_find_entry_link(entry) for entry in entries]
    return list(dict.fromkeys(urljoin(base, link) for link in links if link))


def _find_entry_link(entry: etree._Element) -> str | None:
    """The address of an entry: an Atom link, the text of an RSS link, or a permanent guid."""
    for child in entry:
        if _local_name(child) != "link":
            continue
        address = child.get("href")
        if address and child.get("rel", "alternate") == "alternate":
            return str(address)
    text = _child_text(entry, "link")
    if text:
        return text
    for child in entry:
        if _local_name(child) == "guid":
            return _read_guid(child)
    return None


def _read_guid(guid: etree._Element) -> str | None:
    address = (guid.text or "").strip()
    is_permalink = guid.get("isPermaLink", "true") == "true"
    return address if is_permalink and address.startswith("http") else None


def forbids_following(directives: str) -> bool:
    """Whether robots directives say `nofollow` or `none`.

    `none` is also a value of other directives (`max-image-preview: none`), which says nothing here.
    """
    pattern = r"(?<![\w:-])(?<!: )(?:nofollow|none)\b"
    return re.search(pattern, directives.lower()) is not None


# translate() spells the attribute in lower case: XPath 1.0 has no other way to ignore case.
ROBOTS_META = '//meta[translate(@name, "ROBTS", "robts") = "robots"]/@content'
FOLLOWED_LINKS = '//a[@href][not(contains(translate(@rel, "NOFLW", "noflw"), "nofollow"))]/@href'


def read_links(page: Selector, base: str) -> list[str]:
    """Return where the links of an HTML page lead, absolute, each once without its fragment.

    Links with rel="nofollow" do not count, nor do those of a page whose robots meta says `nofollow`.
    """
    for directives in page.xpath(ROBOTS_META).getall():
        if forbids_following(directives):
            return []
    base_hrefs = page.xpath("//base/@href").getall()
    stated_base = _join_url(base, base_hrefs[0]) if base_hrefs else None
    start = stated_base or base
    hrefs = page.xpath(FOLLOWED_LINKS).getall()
    urls = [_join_url(start, href.strip()) for href in hrefs]
    return list(dict.fromkeys(url for url in urls if url))


def _join_url(base: str, href: str) -> str | None:
    """The absolute address without its fragment; None for brackets that hold no IPv6 address."""
    try:
        return urljoin(base, href).partition("#")[0]
    except ValueError:
        return None


def find_next_link(header: str, base: str) -> str | None:
    """Return the address with rel="next" in a Link header (RFC 8288), absolute."""
    for url, parameters in re.findall(r"<([^>]*)>([^<]*)", header):
        relation = re.search(r"\brel\s*=\s*\"?([^\";,]+)", parameters)
        if relation and "next" in relation[1].split():
            return str(urljoin(base, url))
    return None
