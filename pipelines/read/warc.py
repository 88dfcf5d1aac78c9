"""Read WARC captures: pages become one record, API answers one per item; rights evidence comes with our metadata records.

Files of strangers have no metadata record: there the page itself must speak (its licence is read when it is extracted).
"""

import datetime
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from pydantic import BaseModel
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from gristmill import storage
from gristmill.hashing import document_id
from pipelines.extract.api import mastodon_items, mediawiki_items
from pipelines.read.fields import kind_of, moment
from pipelines.read.http_body import MAX_BODY, BadBodyError, decode_body
from pipelines.read.records import Broken, Item, Left, Split, batches_of
from pipelines.read.warc_end import tail_fault

READERS = {"mediawiki-api": mediawiki_items, "mastodon-api": mastodon_items}
Row = Mapping[str, Any] | Broken | Left


def read_warc(split: Split) -> Iterator[Item]:
    """The records of a WARC file (.warc, .warc.gz, .warc.lz4, .warc.zst)."""
    return batches_of(_rows(split.file))


def _rows(path: str) -> Iterator[Row]:
    name = os.path.basename(path)
    held: _Capture | None = None
    with storage.open_input(path) as file:
        at, fault = 0, None
        try:
            for record in ArchiveIterator(file, record_types=WarcRecordType.any_type, parse_http=True):
                at = record.stream_pos
                found = _read_record(record, name)
                if isinstance(found, dict) and held:
                    yield from held.rows(found)
                elif held and not (isinstance(found, Broken) and record.record_type == WarcRecordType.metadata):
                    yield from held.rows({})  # a capture whose own rights record is cut goes with it
                held = found if isinstance(found, _Capture) else None
                if isinstance(found, Broken):
                    yield found
        except OSError as error:  # a fault of the archive itself: what follows it cannot be located
            fault = str(error)[:300]
        fault = fault or tail_fault(path, at)
        if held and not (fault and held.offset == at):
            yield from held.rows({})
        if fault:
            yield Broken(name, at, "unknown_remainder", fault, compressed_offset=file.tell())


class Evidence(BaseModel):
    """One thing that a licence or an opt-out was read from."""

    signal: str
    value: str


class RightsRecord(BaseModel):
    """What our crawler says of a capture; a metadata record of another shape is a stranger's."""

    source: str | None = None
    kind: str | None = None
    format: str | None = None
    licence: str | None = None
    evidence: list[Evidence] | None = None
    opt_out: list[str] | None = None


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
            try:
                content = json.dumps(item.get("raw"), sort_keys=True, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                yield Broken(self.file, self.offset, "bad_item", f"item {number}: a lone surrogate", source=source)
                continue
            yield {**row, "id": document_id(source, str(item["url"]), content)}


ITEM_FIELDS = ("text", "title", "url", "author", "media")


def _read_record(record: WarcRecord, file: str) -> _Capture | dict[str, Any] | Broken | None:
    """A capture, what a metadata record says, a broken record, or None for one of no interest."""
    if record.record_type not in (WarcRecordType.response, WarcRecordType.metadata):
        return None
    url, at = record.headers.get("WARC-Target-URI") or "", record.stream_pos
    if record.content_length > MAX_BODY:
        return Broken(file, at, "too_large", f"{record.content_length} bytes: {url}")
    raw: bytes = record.reader.read(MAX_BODY)
    if len(raw) != record.content_length:
        return Broken(file, at, "cut_record", f"{len(raw)} of {record.content_length} bytes: {url}")
    if record.record_type == WarcRecordType.metadata:
        return _metadata(raw)
    http = record.http_headers
    try:
        body = decode_body(raw, http.get) if http else raw
    except BadBodyError as error:
        return Broken(file, at, "bad_encoding", f"{error}: {url}")
    return _Capture(url, record.record_date, (http.status_code if http else 200) or 0, body, file, at)


def _metadata(raw: bytes) -> dict[str, Any]:
    """The rights evidence of the capture before it; {} for metadata records of strangers."""
    try:
        return RightsRecord.model_validate_json(raw).model_dump(exclude_none=True)
    except ValueError:
        return {}


def decode_page(body: bytes) -> str | None:
    """A page's bytes as text by the encoding they declare or look like; None where nearly nothing fits."""
    text: str = bytes_to_str(body, detect_encoding(body, from_html_meta=True) or "utf-8")
    broken = text.count("�")
    return None if broken > max(2, len(text) // 100) else text
