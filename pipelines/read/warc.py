"""Read WARC captures: pages become one record, API answers one per item; rights evidence comes with our metadata records.

Files of strangers have no metadata record: there the page itself must speak (its licence is read when it is extracted).
"""

import datetime
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from gristmill import storage
from gristmill.hashing import document_id
from pipelines.extract.api import mastodon_items, mediawiki_items
from pipelines.read.fields import kind_of, moment
from pipelines.read.records import Broken, Item, Left, Split, batches_of

MAX_BODY = 64 << 20
READERS = {"mediawiki-api": mediawiki_items, "mastodon-api": mastodon_items}
Row = Mapping[str, Any] | Broken | Left


def read_warc(split: Split) -> Iterator[Item]:
    """The records of a WARC file (.warc, .warc.gz, .warc.lz4, .warc.zst)."""
    return batches_of(_rows(split.file))


def _rows(path: str) -> Iterator[Row]:
    name = os.path.basename(path)
    held: _Capture | None = None
    with storage.open_input(path) as file:
        records = ArchiveIterator(file, record_types=WarcRecordType.response | WarcRecordType.metadata, parse_http=True)
        at = 0
        while True:
            try:
                record = next(records, None)
                at = record.stream_pos if record is not None else at
                found = _read_record(record, name) if record is not None else None
            except Exception as error:  # any fault of the archive itself: what follows it cannot be located
                if held:
                    yield from held.rows({})
                yield Broken(name, at, "unknown_remainder", str(error)[:300], compressed_offset=file.tell())
                return
            if isinstance(found, dict):
                if held:
                    yield from held.rows(found)
                held = None
                continue
            if held:
                yield from held.rows({})
            held = None
            if found is None:
                return
            if isinstance(found, Broken):
                yield found
            else:
                held = found


class _Capture:
    """One response with its place, held until it is known whether a metadata record follows."""

    def __init__(
        self, url: str, date: datetime.datetime | None, status: int, body: bytes, file: str, offset: int
    ) -> None:
        self.url, self.date, self.status, self.body, self.file, self.offset = url, date, status, body, file, offset

    def rows(self, about: Mapping[str, Any]) -> Iterator[Row]:
        source = str(about.get("source") or "web")
        form = str(about.get("format") or "html")
        if form == "discovery":
            yield Left("not_content", source)
        elif self.status != 200:
            yield Left("http_status", source)
        elif not self.body.strip():
            yield Left("empty_body", source)
        elif reader := READERS.get(form):
            yield from self._items(reader(self.body), source, about)
        else:
            yield self._page(source, about)

    def _base(self, source: str, about: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "title": None,
            "url": self.url,
            "source": source,
            "kind": kind_of(about.get("kind") or "web"),
            "published": None,
            "fetched": self.date,
            "licence": str(about.get("licence") or "unknown"),
            "evidence": list(about.get("evidence") or []),
            "opt_out": list(about.get("opt_out") or []),
            "author": None,
            "capture": {"file": self.file, "offset": self.offset, "item": 0},
        }

    def _page(self, source: str, about: Mapping[str, Any]) -> Row:
        text = decode_page(self.body)
        if text is None:
            return Broken(
                self.file, self.offset, "undecodable", f"no character encoding fits {self.url}", source=source
            )
        row = self._base(source, about)
        return {**row, "id": document_id(source, self.url, self.body), "text": text, "media": "html"}

    def _items(self, items: Iterator[Mapping[str, Any] | str], source: str, about: Mapping[str, Any]) -> Iterator[Row]:
        for number, item in enumerate(items):
            if isinstance(item, str):
                yield Broken(self.file, self.offset, "bad_item", f"item {number}: {item}", source=source)
                continue
            row = self._base(source, about) | {key: value for key, value in item.items() if key in ITEM_FIELDS}
            row["opt_out"] = sorted({*row["opt_out"], *item.get("opt_out", [])})
            row["evidence"] = [*self._base(source, about)["evidence"], *item.get("evidence", [])]
            row["capture"]["item"] = number
            row["published"] = moment(item.get("published"))
            content = json.dumps(item.get("raw"), sort_keys=True, ensure_ascii=False).encode()
            yield {**row, "id": document_id(source, str(item["url"]), content)}


ITEM_FIELDS = ("text", "title", "url", "author", "media")


def _read_record(record: WarcRecord, file: str) -> _Capture | dict[str, Any] | Broken | None:
    if record.record_type == WarcRecordType.metadata:
        return _metadata(record)
    url = record.headers.get("WARC-Target-URI") or ""
    if record.content_length > MAX_BODY:
        return Broken(file, record.stream_pos, "too_large", f"{record.content_length} bytes: {url}")
    status = record.http_headers.status_code if record.http_headers else 200
    if record.http_headers and record.http_headers.get("Content-Encoding"):
        body = _decoded(record)
        if body is None:
            return Broken(file, record.stream_pos, "bad_encoding", f"the body's content encoding is broken: {url}")
    else:
        body = record.reader.read(MAX_BODY)
    return _Capture(url, record.record_date, status or 0, body, file, record.stream_pos)


def _decoded(record: WarcRecord) -> bytes | None:
    import gzip
    import zlib

    encoding = (record.http_headers.get("Content-Encoding") or "").lower()
    raw: bytes = record.reader.read(MAX_BODY)
    try:
        if "gzip" in encoding:
            return gzip.decompress(raw)
        return zlib.decompress(raw) if "deflate" in encoding else raw
    except (OSError, EOFError, zlib.error):
        return None


def _metadata(record: WarcRecord) -> dict[str, Any]:
    """The rights evidence of the capture before it; {} for metadata records of strangers."""
    try:
        value = json.loads(record.reader.read(MAX_BODY))
        return value if isinstance(value, dict) else {}
    except ValueError:
        return {}


def decode_page(body: bytes) -> str | None:
    """A page's bytes as text by the encoding they declare or look like; None where nearly nothing fits."""
    text: str = bytes_to_str(body, detect_encoding(body, from_html_meta=True) or "utf-8")
    broken = text.count("�")
    return None if broken > max(2, len(text) // 100) else text
