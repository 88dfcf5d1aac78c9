"""Read WARC captures: pages become one record, API answers one per item; rights come from our metadata records.

WET files are read by the same hand: a record of kind `conversion` is text that was extracted already.

Files of strangers have no such records: there the page itself must speak (its licence is read when it is extracted).
"""

import dataclasses
import datetime
import io
import json
from collections.abc import Generator, Iterator, Mapping
from typing import IO, Any

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

from gristmill.captures.items import BadItem, CaptureItem, NoContent, ParsedItem
from gristmill.captures.registry import find_format
from gristmill.hashing import document_id
from gristmill.runs import storage
from gristmill.runs.ledger import Unbalanced
from pipelines.annotate.readers.fields import find_genre, parse_moment
from pipelines.annotate.readers.http_body import MAX_BODY, BadBody, decode_body
from pipelines.annotate.readers.languages import parse_language
from pipelines.annotate.readers.records import Dropped, Item, Quarantined, Split, iter_batches
from pipelines.annotate.readers.warc_scan import WarcPiece, iter_pieces
from pipelines.annotate.readers.warc_survey import ABOUT_OTHERS, Rights, WarcSurvey
from pipelines.annotate.readers.window import Window

READ = (WarcRecordType.response, WarcRecordType.conversion)
Row = Mapping[str, Any] | Quarantined | Dropped


def read_warc(split: Split) -> Iterator[Item]:
    """The records of a part of a WARC file (.warc, .warc.gz, .warc.lz4, .warc.zst), and of a WET file.

    Raises Unbalanced where the part has, by a pass of its own over the headers, more or fewer records with content
    than got an outcome here. That an API answer gave all its items is not covered: only reading it can tell their number.
    """
    return iter_batches(_iter_rows(split))


def _iter_rows(split: Split) -> Iterator[Row]:
    with storage.open_input(split.file) as file:
        size = file.seek(0, io.SEEK_END)
        survey, runs = WarcSurvey(), list[_PieceRun]()
        for piece in iter_pieces(file, split.start, split.stop or size):
            first, whole = len(survey.offsets), survey.add(piece)
            if not runs or runs[-1].damaged or runs[-1].stop != piece.start:
                runs.append(_PieceRun(piece.start, piece.stop, first))
            runs[-1].add(piece, whole)
        settled = 0
        for run in runs:
            settled += yield from _iter_run_rows(file, run, survey, split.input_name)
            if run.damaged:
                yield _quarantine_piece(run.damaged, size, split.input_name)
        if settled != len(survey.offsets):
            raise Unbalanced(
                f"{split.input_name}: {len(survey.offsets)} records with content, but {settled} have an outcome"
            )


@dataclasses.dataclass(slots=True)
class _PieceRun:
    """Pieces without a gap between them, up to one that is damaged."""

    start: int
    stop: int
    first: int
    count: int = 0
    damaged: WarcPiece | None = None

    def add(self, piece: WarcPiece, whole: int) -> None:
        """Take the next piece, with `whole` records that have content."""
        self.stop, self.count = piece.stop, self.count + whole
        self.damaged = piece if piece.fault else None


def _iter_run_rows(
    file: IO[bytes], run: _PieceRun, survey: WarcSurvey, name: str
) -> Generator[Row, None, int]:
    """The rows of a run; returns how many of its records got an outcome."""
    settled, number, numbers = 0, run.first, range(run.first, run.first + run.count)
    try:
        for number, record in zip(
            numbers, _iter_content_records(Window(file, run.start, run.stop)), strict=False
        ):
            if (record.headers.get("Content-Length") or "").strip() != str(survey.lengths[number]):
                raise OSError("the archive reader sees other records here than the first pass")
            outcomes = 0
            for row in _iter_outcomes(
                record, survey.offsets[number], survey.rights.get(number, {}), name
            ):
                yield row
                outcomes += 1
            settled += outcomes > 0
    except OSError as error:  # what the first pass took, the archive reader refuses
        for lost in range(number, numbers.stop):
            yield Quarantined(name, survey.offsets[lost], "cut_record", str(error)[:300])
            settled += 1
    return settled


def _quarantine_piece(piece: WarcPiece, size: int, name: str) -> Quarantined:
    url = piece.heads[-1].get("warc-target-uri") if piece.heads else ""
    reason = (
        "unknown_remainder" if piece.stop == size else "cut_record" if piece.heads else "bad_item"
    )
    return Quarantined(
        name, piece.start, reason, f"up to {piece.stop}: {piece.fault}: {url}".removesuffix(": ")
    )


def _iter_content_records(window: Window) -> Iterator[WarcRecord]:
    records = ArchiveIterator(window, record_types=WarcRecordType.any_type, parse_http=True)
    return (record for record in records if _get_warc_type(record) not in ABOUT_OTHERS)


def _get_warc_type(record: WarcRecord) -> str:
    return (record.headers.get("WARC-Type") or "").lower()


def _iter_outcomes(record: WarcRecord, at: int, about: Rights, file: str) -> Iterator[Row]:
    """What becomes of one record with content: documents, or why there are none."""
    source = str((about or {}).get("source") or "web")
    if record.record_type not in READ:
        yield Dropped(
            "revisit" if record.record_type == WarcRecordType.revisit else "not_a_response", source
        )
        return
    try:
        if about is None:
            raise _UnreadableRecord("cut_rights", "the record of its rights is cut or too large")
        body = _read_body(record)
        if reason := _find_drop_reason(record, body, about):
            yield Dropped(reason, source)
        else:
            yield from _make_capture(record, at, body, file, source, about).rows()
    except _UnreadableRecord as error:
        url = record.headers.get("WARC-Target-URI") or ""
        yield Quarantined(file, at, error.reason, f"{error}: {url}", source=source)


class _UnreadableRecord(ValueError):
    """A response that cannot be read."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason


def _read_body(record: WarcRecord) -> bytes:
    """The decoded body of a response. Raises _BrokenError."""
    if record.content_length > MAX_BODY:
        raise _UnreadableRecord("too_large", f"{record.content_length} bytes")
    raw: bytes = record.reader.read(record.content_length)
    if len(raw) != record.content_length:
        raise _UnreadableRecord("cut_record", f"{len(raw)} of {record.content_length} bytes")
    try:
        return decode_body(raw, record.http_headers.get) if record.http_headers else raw
    except BadBody as error:
        raise _UnreadableRecord("bad_encoding", str(error)) from None


def _find_drop_reason(record: WarcRecord, body: bytes, about: Mapping[str, Any]) -> str | None:
    """The reason why a response that was read well is no document, or None."""
    if about.get("format") == "discovery":
        return "not_content"
    if record.http_headers and record.http_headers.status_code != 200:
        return "http_status"
    if not body.strip():
        return "empty_body"
    if record.record_type == WarcRecordType.conversion:
        return (
            None
            if (record.headers.get("Content-Type") or "").lower().startswith("text/plain")
            else "not_text"
        )
    media = (record.http_content_type or "").lower()
    prose = not media or "html" in media or media == "text/plain"
    return None if prose or find_format(str(about.get("format"))) else "not_text"


def _make_capture(
    record: WarcRecord, at: int, body: bytes, file: str, source: str, about: Mapping[str, Any]
) -> "_ResponseCapture":
    url = record.headers.get("WARC-Target-URI") or ""
    extracted = record.record_type == WarcRecordType.conversion
    stated = record.http_headers.get("Content-Language") if record.http_headers else None
    language = parse_language(stated)
    return _ResponseCapture(
        url,
        record.record_date,
        body,
        record.http_charset,
        language,
        extracted,
        file,
        at,
        source,
        about,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _ResponseCapture:
    """One response with its place and what is said of it."""

    url: str
    date: datetime.datetime | None
    body: bytes
    charset: str | None
    language: str | None
    extracted: bool
    file: str
    offset: int
    source: str
    about: Mapping[str, Any]

    def rows(self) -> Iterator[Row]:
        if format := find_format(str(self.about.get("format"))):
            items = enumerate(format.iter_items(self.body))
            return (self._item(number, item) for number, item in items)
        return iter([self._page()])

    def _base(self) -> dict[str, Any]:
        return {
            "title": None,
            "url": self.url,
            "source": self.source,
            "kind": find_genre(self.about.get("kind") or "web"),
            "stated_lang": self.language,
            "published": None,
            "fetched": self.date,
            "licence": str(self.about.get("licence") or "unknown"),
            "evidence": list(self.about.get("evidence") or []),
            "opt_out": list(self.about.get("opt_out") or []),
            "author": None,
            "capture": {"file": self.file, "offset": self.offset, "item": 0},
        }

    def _page(self) -> Row:
        text = self._extracted() if self.extracted else decode_page(self.body, self.charset)
        if text is None:
            raise _UnreadableRecord("undecodable", "no character encoding fits")
        media = "text" if self.extracted else "html"
        return {
            **self._base(),
            "id": document_id(self.source, self.url, self.body),
            "text": text,
            "media": media,
        }

    def _extracted(self) -> str:
        try:
            return self.body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _UnreadableRecord(
                "not_utf8", f"byte {error.start} of the text: {error.reason}"
            ) from None

    def _item(self, number: int, item: ParsedItem) -> Row:
        if isinstance(item, NoContent):
            return Dropped("not_content", self.source)
        if isinstance(item, CaptureItem) and not is_utf8(item):
            item = BadItem("a lone surrogate")
        if isinstance(item, BadItem):
            problem = f"item {number}: {item.problem}"
            return Quarantined(self.file, self.offset, "bad_item", problem, source=self.source)
        identity = json.dumps(item.identity, ensure_ascii=False).encode()
        row = self._base()
        for name in ITEM_FIELDS:
            row[name] = getattr(item, name)
        row["stated_lang"] = parse_language(item.stated_language)
        row["opt_out"] = sorted({*row["opt_out"], *item.opt_out})
        row["evidence"] += [entry._asdict() for entry in item.evidence]
        row["capture"]["item"] = number
        row["published"] = parse_moment(item.published)
        row["id"] = document_id(self.source, item.url, identity)
        return row


def is_utf8(item: CaptureItem) -> bool:
    """Whether all strings of an item can be written as UTF-8: JSON may escape lone surrogates."""
    kept = dataclasses.astuple(dataclasses.replace(item, stated_language=None))
    try:
        json.dumps(kept, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


ITEM_FIELDS = ("text", "title", "url", "author", "media")


def decode_page(body: bytes, charset: str | None = None) -> str | None:
    """A page's bytes as text: by the first encoding that fits, else whatever can be read of it; None where that is
    nearly nothing."""
    for encoding in _iter_encodings(body, charset):
        text = body.decode(encoding, "replace").removeprefix("\ufeff")
        if _is_readable(text):
            return text
    text = bytes_to_str(body, encoding)  # drops what the likeliest encoding does not know
    return text if _is_readable(text) else None


def _iter_encodings(body: bytes, charset: str | None) -> Iterator[str]:
    """The encoding that HTTP states, that the page states, and that it looks like."""
    if charset and (stated := map_encoding_to_html5(charset.strip(" '\""), fallback_utf8=False)):
        yield stated
    for from_html_meta in (True, False):
        yield detect_encoding(body, from_html_meta=from_html_meta) or "utf-8"


def _is_readable(text: str) -> bool:
    return text.count("\ufffd") <= max(2, len(text) // 100)
