"""Read MediaWiki XML dumps (export 0.3 to 0.11; plain, gzip, bzip2 or xz), streaming one page at a time."""

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any
from xml.etree import ElementTree

from gristmill import storage
from gristmill.hashing import document_id
from gristmill.rights import normalize_licence
from pipelines.read.fields import moment
from pipelines.read.records import Broken, Item, Left, Split, batches_of

Row = Mapping[str, Any] | Broken | Left
FAULTS = (ElementTree.ParseError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, LookupError)
"""What a damaged stream raises; the last two come from encodings that the XML parser does not know."""

READ = 1 << 14
MAX_PAGE = 64 << 20
"""Characters of one page with all its revisions; a larger one is quarantined, and never held."""

ELEMENT = 256
"""What an element is counted as, however empty it is."""

WIKIMEDIA_LICENCE = "CC-BY-SA-4.0"
"""The licence of Wikimedia's text since June 2023; dumps do not state one."""


def read_dump(split: Split) -> Iterator[Item]:
    """The pages of a dump as wikitext records: newest revision of each, articles only, redirects left out later."""
    return batches_of(_rows(split.file, split.input_name), size=64)


def open_dump(path: str) -> Any:
    """The decompressed stream of a dump."""
    file = storage.open_input(path)
    if path.endswith(".bz2"):
        return bz2.open(file)
    if path.endswith(".xz"):
        return lzma.open(file)
    return gzip.open(file) if path.endswith(".gz") else file


def _rows(path: str, name: str) -> Iterator[Row]:
    site = {"source": os.path.basename(name).split("-")[0].split(".")[0], "base": "", "licence": "unknown"}
    last = 0
    with open_dump(path) as stream:
        try:
            for tag, element in _children(stream):
                if tag == "siteinfo" and element is not None:
                    site = _site(element, site)
                elif tag == "page":
                    last += 1
                    large = Broken(
                        name, last, "too_large", f"page {last}: over {MAX_PAGE} characters", source=site["source"]
                    )
                    yield large if element is None else _page(element, name, last, site)
        except FAULTS as error:
            yield Broken(name, last, "unknown_remainder", f"after page {last}: {error}", source=site["source"])


def _children(stream: IO[bytes]) -> Iterator[tuple[str, ElementTree.Element | None]]:
    """The elements right below the root with their tags; None for one that is larger than MAX_PAGE."""
    children = _Children()
    parser = ElementTree.XMLParser(target=children)
    data, fault = b" ", None
    while data and fault is None:
        try:
            data = stream.read(READ)
            parser.feed(data) if data else parser.close()
        except FAULTS as error:  # after what was whole before it
            fault = error
        yield from children.done
        children.done.clear()
    if fault is not None:
        raise fault


class _Children:
    """The parser's target: builds one child of the root at a time, and gives up building one that grows too large."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ElementTree.Element | None]] = []
        self._depth = self._size = 0
        self._builder: ElementTree.TreeBuilder | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._builder, self._size = ElementTree.TreeBuilder(), 0
        if builder := self._room(ELEMENT + sum(map(len, attributes.values()))):
            builder.start(tag, attributes)

    def data(self, text: str) -> None:
        if builder := self._room(len(text)):
            builder.data(text)

    def end(self, tag: str) -> None:
        if self._builder is not None:
            self._builder.end(tag)
        if self._depth == 2:
            self.done.append((tag.rsplit("}", 1)[-1], None if self._builder is None else self._builder.close()))
            self._builder = None
        self._depth -= 1

    def close(self) -> None:
        """The end of the document; nothing is left to hand out."""

    def _room(self, size: int) -> ElementTree.TreeBuilder | None:
        """The builder, where `size` more still fits."""
        self._size += size
        if self._size > MAX_PAGE:
            self._builder = None
        return self._builder


def _text_of(element: ElementTree.Element, *path: str) -> str:
    """The text at a path of tags, whatever the name space; empty where there is none."""
    for wanted in path:
        found = next((child for child in element if child.tag.rsplit("}", 1)[-1] == wanted), None)
        if found is None:
            return ""
        element = found
    return element.text or ""


def _site(element: ElementTree.Element, site: dict[str, str]) -> dict[str, str]:
    base = _text_of(element, "base")
    wikimedia = any(
        host in base for host in (".wikipedia.org/", ".wikinews.org/", ".wiktionary.org/", ".wikibooks.org/")
    )
    licence = normalize_licence(WIKIMEDIA_LICENCE) if wikimedia else "unknown"
    return {"source": _text_of(element, "dbname") or site["source"], "base": base.rsplit("/", 1)[0], "licence": licence}


def _in_url(title: str) -> str:
    """A title as the end of a URL: readable, but what would end the path is escaped."""
    return title.replace(" ", "_").replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def _page(page: ElementTree.Element, file: str, number: int, site: Mapping[str, str]) -> Row:
    title, space = _text_of(page, "title"), _text_of(page, "ns")
    revisions = [child for child in page if child.tag.rsplit("}", 1)[-1] == "revision"]
    if space not in ("", "0") or (not space and ":" in title):
        return Left("not_an_article", site["source"])
    if not revisions:
        return Broken(file, number, "bad_item", f"page {title!r} has no revision", source=site["source"])
    newest = max(revisions, key=lambda revision: _text_of(revision, "timestamp"))
    text, revision_id = _text_of(newest, "text"), _text_of(newest, "id")
    url = f"{site['base']}/{_in_url(title)}" if site["base"] else None
    return {
        "id": document_id(site["source"], url or f"page:{_text_of(page, 'id')}", text.encode()),
        "text": text, "media": "wikitext", "title": title, "url": url, "source": site["source"], "kind": "wiki",
        "published": moment(_text_of(newest, "timestamp").replace("Z", "+00:00")), "fetched": None,
        "licence": site["licence"], "evidence": [{"signal": "revision", "value": revision_id}], "opt_out": [],
        "author": None, "capture": {"file": file, "offset": number, "item": 0},
    }  # fmt: skip
