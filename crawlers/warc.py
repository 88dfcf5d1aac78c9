"""Writes captures as WARC 1.1: request, response and metadata records, one gzip member a record, in files of about 16 MB."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from gristmill import __version__, storage

ROTATE_BYTES = 16 << 20
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response as they are stored: the body is decoded from its transfer, its bytes are otherwise as sent."""

    url: str
    method: str
    request_headers: Headers
    protocol: str
    status: int
    reason: str
    response_headers: Headers
    body: bytes
    address: str | None = None


def _record_id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"


def _digest(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _one_line(value: str) -> str:
    """A header value cannot hold line breaks: they would end the header block early."""
    return " ".join(value.split("\r\n")).replace("\n", " ").replace("\r", " ")


def _http(first_line: str, headers: Headers, body: bytes) -> bytes:
    # Header bytes were read as latin-1, so writing latin-1 gives them back unchanged.
    lines = [first_line, *(f"{name}: {_one_line(value)}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "xmlcharrefreplace") + body


def record(kind: str, fields: Mapping[str, str], block: bytes, *, content_type: str) -> bytes:
    """One WARC record as one gzip member."""
    named = {
        "WARC-Type": kind,
        **fields,
        "Content-Type": content_type,
        "WARC-Block-Digest": _digest(block),
        "Content-Length": str(len(block)),
    }
    head = "WARC/1.1\r\n" + "".join(f"{name}: {_one_line(value)}\r\n" for name, value in named.items())
    return gzip.compress(head.encode() + b"\r\n" + block + b"\r\n\r\n", compresslevel=6, mtime=0)


def capture_records(exchange: Exchange, metadata: Mapping[str, Any], when: datetime) -> list[bytes]:
    """The three records of one capture: request, response, metadata; the last two name the response they belong to."""
    date = when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    response_id, base = _record_id(), {"WARC-Target-URI": exchange.url, "WARC-Date": date}
    linked = {**base, "WARC-Concurrent-To": response_id}
    path = exchange.url.split("://", 1)[-1].partition("/")[2]
    request = _http(f"{exchange.method} /{path} HTTP/1.1", exchange.request_headers, b"")
    response = _http(
        f"{exchange.protocol} {exchange.status} {exchange.reason}", exchange.response_headers, exchange.body
    )
    place = {"WARC-IP-Address": exchange.address} if exchange.address else {}
    answer = {**base, "WARC-Record-ID": response_id, **place, "WARC-Payload-Digest": _digest(exchange.body)}
    note = json.dumps(metadata, ensure_ascii=False, sort_keys=True).encode()
    return [
        record(
            "request",
            {"WARC-Record-ID": _record_id(), **linked},
            request,
            content_type="application/http; msgtype=request",
        ),
        record("response", answer, response, content_type="application/http; msgtype=response"),
        record("metadata", {"WARC-Record-ID": _record_id(), **linked}, note, content_type="application/json"),
    ]


class WarcWriter:
    """Appends captures to `00000.warc.gz`, `00001.warc.gz`, ... in a folder; a file appears there when it is complete."""

    def __init__(self, folder: Path, *, rotate: int = ROTATE_BYTES) -> None:
        self.folder, self.rotate = folder, rotate
        self.files = self.captures = self.bytes = 0
        self._open: AbstractContextManager[IO[bytes]] | None = None
        self._file: IO[bytes] | None = None

    def write(self, exchange: Exchange, metadata: Mapping[str, Any], *, when: datetime | None = None) -> None:
        """Append one capture; its three records always share a file."""
        for data in capture_records(exchange, metadata, when or datetime.now(UTC)):
            self._current().write(data)
            self.bytes += len(data)
        self.captures += 1
        if self._current().tell() >= self.rotate:
            self.close()

    def _current(self) -> IO[bytes]:
        if self._file is None:
            name = f"{self.files:05}.warc.gz"
            self._open = storage.commit(self.folder / name)
            self._file = self._open.__enter__()
            self._file.write(_about(name))
            self.files += 1
        return self._file

    def close(self) -> None:
        """Flush the open file to disk and give it its name."""
        if self._open is not None:
            self._open.__exit__(None, None, None)
        self._open = self._file = None

    def abandon(self) -> None:
        """Throw the open file away: the crawl was stopped or failed."""
        if self._open is not None:
            stopped = InterruptedError("the crawl was stopped")
            with suppress(InterruptedError):
                self._open.__exit__(InterruptedError, stopped, None)
        self._open = self._file = None


def _about(name: str) -> bytes:
    block = f"software: gristmill/{__version__}\r\nformat: WARC File Format 1.1\r\nisPartOf: {name}\r\n".encode()
    date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return record(
        "warcinfo",
        {"WARC-Record-ID": _record_id(), "WARC-Date": date, "WARC-Filename": name},
        block,
        content_type="application/warc-fields",
    )
