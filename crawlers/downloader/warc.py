"""Writes captures as WARC 1.1: request, response (or revisit) and metadata records.

Each record is one gzip member. A revisit (WARC 1.1, 6.7) stands for a response whose payload is that of
an earlier capture, or for a 304.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gristmill import __version__

SAME_PAYLOAD = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
NOT_MODIFIED = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"
GZIP_LEVEL = 4
"""4 % larger than level 6 on pages of 117 kB, in 0.6 of its time; a tenth of the time of a request."""
HttpHeaders = Sequence[tuple[str, str]]
"""Names and values in the order in which they were sent."""


@dataclass(frozen=True, slots=True)
class HttpExchange:
    """One request and its response as they are stored.

    The body is decoded from its transfer and content encoding, its bytes are otherwise as sent.
    `address` is the IP address that answered.
    """

    url: str
    method: str
    request_headers: HttpHeaders
    protocol: str
    status: int
    reason: str
    response_headers: HttpHeaders
    body: bytes
    address: str | None = None


@dataclass(frozen=True, slots=True)
class EarlierCapture:
    """The capture a revisit refers to: the digest of its payload, and its WARC-Date."""

    payload: str
    date: str


def _make_record_id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"


def payload_digest(body: bytes) -> str:
    """Return the digest by which payloads are compared: SHA-1 in base 32, as WARC tools write it."""
    digest = hashlib.sha1(body, usedforsecurity=False).digest()
    return "sha1:" + base64.b32encode(digest).decode()


def format_warc_date(moment: datetime) -> str:
    """Format a time as WARC-Date, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _join_lines(value: str) -> str:
    """Replace line breaks in a header value: they would end the header block early."""
    return value.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")


def _format_http(first_line: str, headers: HttpHeaders, body: bytes) -> bytes:
    lines = [first_line]
    lines += [f"{name}: {_join_lines(value)}" for name, value in headers]
    head = "\r\n".join([*lines, "", ""])
    # Header bytes were read as latin-1, so writing latin-1 stores them unchanged.
    return head.encode("latin-1", "xmlcharrefreplace") + body


def format_record(
    record_type: str, fields: Mapping[str, str], block: bytes, *, content_type: str
) -> bytes:
    """Format one WARC record as one gzip member."""
    header = {
        "WARC-Type": record_type,
        **fields,
        "Content-Type": content_type,
        "WARC-Block-Digest": payload_digest(block),
        "Content-Length": str(len(block)),
    }
    lines = [f"{name}: {_join_lines(value)}\r\n" for name, value in header.items()]
    head = "WARC/1.1\r\n" + "".join(lines)
    record = head.encode() + b"\r\n" + block + b"\r\n\r\n"
    # mtime=0: equal records have equal bytes.
    return gzip.compress(record, compresslevel=GZIP_LEVEL, mtime=0)


def capture_records(
    exchange: HttpExchange,
    metadata: Mapping[str, object],
    captured_at: datetime,
    earlier: EarlierCapture | None = None,
) -> bytes:
    """Format the records of one capture: request, response, metadata, in this order.

    Request and metadata name the response they belong to. With an `earlier` capture of the same payload
    the response is a revisit: its headers without its body.
    """
    common = {"WARC-Target-URI": exchange.url, "WARC-Date": format_warc_date(captured_at)}
    response_id = _make_record_id()
    linked = {**common, "WARC-Concurrent-To": response_id}
    request = format_record(
        "request",
        {"WARC-Record-ID": _make_record_id(), **linked},
        _format_request(exchange),
        content_type="application/http; msgtype=request",
    )
    response = format_record(
        "response" if earlier is None else "revisit",
        {**common, "WARC-Record-ID": response_id, **_payload_fields(exchange, earlier)},
        _format_response(exchange, with_body=earlier is None),
        content_type="application/http; msgtype=response",
    )
    note = json.dumps(metadata, ensure_ascii=False, sort_keys=True)
    metadata_record = format_record(
        "metadata",
        {"WARC-Record-ID": _make_record_id(), **linked},
        note.encode("utf-8", "replace"),
        content_type="application/json",
    )
    return request + response + metadata_record


def _format_request(exchange: HttpExchange) -> bytes:
    without_scheme = exchange.url.split("://", 1)[-1]
    path = without_scheme.partition("/")[2]
    first_line = f"{exchange.method} /{path} HTTP/1.1"
    return _format_http(first_line, exchange.request_headers, b"")


def _format_response(exchange: HttpExchange, *, with_body: bool) -> bytes:
    first_line = f"{exchange.protocol} {exchange.status} {exchange.reason}"
    body = exchange.body if with_body else b""
    return _format_http(first_line, exchange.response_headers, body)


def _payload_fields(exchange: HttpExchange, earlier: EarlierCapture | None) -> dict[str, str]:
    address = {"WARC-IP-Address": exchange.address} if exchange.address else {}
    if earlier is None:
        return {**address, "WARC-Payload-Digest": payload_digest(exchange.body)}
    return {
        **address,
        "WARC-Profile": NOT_MODIFIED if exchange.status == 304 else SAME_PAYLOAD,
        "WARC-Refers-To-Target-URI": exchange.url,
        "WARC-Refers-To-Date": earlier.date,
        "WARC-Payload-Digest": earlier.payload,
    }


def warcinfo_record(name: str) -> bytes:
    """Format the record that begins a WARC file: which software wrote it."""
    lines = (
        f"software: gristmill/{__version__}",
        "format: WARC File Format 1.1",
        f"isPartOf: {name}",
    )
    fields = {
        "WARC-Record-ID": _make_record_id(),
        "WARC-Date": format_warc_date(datetime.now(UTC)),
        "WARC-Filename": name,
    }
    block = "".join(f"{line}\r\n" for line in lines).encode()
    return format_record("warcinfo", fields, block, content_type="application/warc-fields")
