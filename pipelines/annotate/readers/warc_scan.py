"""Pass over a WARC file once and say where each record lies, what it is, and which bytes are damaged.

A piece is what can be read alone: a record of an uncompressed file, or the members of gzip (frames of LZ4 or zstd) that
hold one record or more. What is damaged ends at the next place where a record begins, so that it costs only itself.
Nothing is held but headers and the bodies of metadata: a packed record of zeros may unpack to any size.
"""

import contextlib
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import zstandard
from fastwarc.stream_io import Lz4Reader

from pipelines.annotate.readers.http_body import MAX_BODY
from pipelines.annotate.readers.window import Window

MAX_HEADER = 64 << 10
"""Twice what the archive reader takes for a header."""

STEP = 1 << 18
FEED = 256
"""Packed bytes at a time for zstd: at most 8 MB come out, from blocks that are one byte repeated."""

FIRST, UNPACKED = 512, 1 << 20
"""Packed bytes of gzip that go first, so that the header of a damaged record is known, and what is unpacked at a time."""

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_VERSION = rb"WARC/[01]\.\d+\r?\n"
_RECORD = re.compile(_VERSION + rb"[A-Za-z-]+:")
_MAGIC = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18"}
_FIRST = re.compile(b"|".join([*map(re.escape, _MAGIC.values()), rb"WARC/[01]\."]))


@dataclass(slots=True)
class WarcHeader:
    """One record: its header's fields (names in lower case), the bytes of its block, and the block of a metadata record."""

    fields: list[tuple[str, str]]
    length: int
    body: bytearray = field(default_factory=bytearray)

    def get(self, name: str) -> str:
        """The value of a field, or nothing."""
        return next((value for key, value in self.fields if key == name), "")

    @property
    def kind(self) -> str:
        """What the record is, in lower case."""
        return self.get("warc-type").lower()


@dataclass(slots=True)
class WarcPiece:
    """The bytes [start, stop) of a file: whole records, or (with a fault) what is damaged and what of it could be told."""

    start: int
    stop: int
    heads: list[WarcHeader]
    fault: str | None = None


class _FaultError(ValueError):
    """What is wrong with a piece."""


FAULTS = (OSError, EOFError, zlib.error, zstandard.ZstdError, _FaultError)


def iter_pieces(file: IO[bytes], start: int, stop: int) -> Iterator[WarcPiece]:
    """The pieces that begin in the bytes [start, stop) of an opened WARC file, in order; padding is left out."""
    window = Window(file, start, file.seek(0, io.SEEK_END))
    packing = detect_packing(Window(file, 0, MAX_HEADER).read())
    at = start
    while (at := _skip_padding(window, at, b"\0" if packing else b"\r\n")) < stop:
        piece = (
            _read_plain_piece(window, at)
            if packing is None
            else _read_packed_piece(window, at, packing)
        )
        if piece.fault:
            piece.stop = _find_next_record(window, at + 1, packing)
        yield piece
        at = piece.stop


def detect_packing(head: bytes) -> str | None:
    """How a file that begins with `head` is packed; None where it is not. It may begin with damage."""
    if not (match := _FIRST.search(head)):
        return None
    return next((name for name, magic in _MAGIC.items() if magic == match[0]), None)


def _skip_padding(window: Window, at: int, padding: bytes) -> int:
    """The first byte from `at` on that is no padding."""
    window.seek(at - window.start)
    while data := window.read(64):
        if rest := data.lstrip(padding):
            return at + len(data) - len(rest)
        at += len(data)
    return at


def _find_next_record(window: Window, at: int, packing: str | None) -> int:
    """The next place from `at` on where a record begins, or the window's end."""
    pattern = _RECORD if packing is None else re.compile(re.escape(_MAGIC[packing]))
    window.seek(at - window.start)
    held = b""
    while data := window.read(STEP):
        held += data
        for match in pattern.finditer(held):
            place = at + match.start()
            if packing is None or _begins_record(window, place, packing):
                return place
        window.seek(at + len(held) - window.start)
        keep = min(len(held), 64)
        at, held = at + len(held) - keep, held[-keep:]
    return window.stop


def _begins_record(window: Window, at: int, packing: str) -> bool:
    try:
        first = next(_UNPACK[packing](window, at, min(window.stop, at + (1 << 16))), b"")
    except FAULTS:
        return False
    return _RECORD.match(first) is not None


def _parse_header(raw: bytes) -> WarcHeader:
    """Read a header, without the empty line. Raises _FaultError."""
    lines = raw.decode("utf-8", "replace").splitlines()
    named = [line.partition(":") for line in lines[1:] if ":" in line]
    fields = [(name.strip().lower(), value.strip()) for name, _, value in named]
    length = next((value for name, value in fields if name == "content-length"), "")
    if not re.match(_VERSION, raw + b"\n") or not length.isascii() or not length.isdigit():
        raise _FaultError("what should be the header of a record is none")
    return WarcHeader(fields, int(length))


def _read_plain_piece(window: Window, at: int) -> WarcPiece:
    """The record at `at` of an uncompressed file; it is passed over by its length, not read."""
    window.seek(at - window.start)
    raw = b""
    while (
        not (end := _HEADER_END.search(raw))
        and len(raw) < MAX_HEADER
        and (data := window.read(1 << 13))
    ):
        raw += data
    try:
        head = _parse_header(raw[: end.start()] if end else b"")
    except _FaultError as error:
        return WarcPiece(
            at, window.stop, [], "the header of a record breaks off" if end is None else str(error)
        )
    body = at + (end.end() if end else 0)
    stop = body + head.length
    if stop > window.stop:
        return WarcPiece(
            at,
            window.stop,
            [head],
            f"{window.stop - body} of {head.length} bytes of this record are there",
        )
    window.seek(stop - window.start)
    after = window.read(16)
    if (
        not after.startswith((b"\r\n\r\n", b"\n\n"))
        and (rest := after.strip(b"\r\n"))
        and not rest.startswith(b"WARC/")
    ):
        return WarcPiece(
            at, window.stop, [head], f"this record does not end after {head.length} bytes"
        )
    if head.kind == "metadata" and head.length <= MAX_BODY:
        window.seek(body - window.start)
        head.body += window.read(head.length)
    return WarcPiece(at, stop + len(after) - len(after.lstrip(b"\r\n")), [head])


def _read_packed_piece(window: Window, at: int, packing: str) -> WarcPiece:
    """The members from `at` on that end with the end of a record."""
    walk, stop = _RecordWalk(), at
    try:
        while stop == at or not walk.between:
            if stop >= window.stop:
                raise _FaultError("the last record breaks off")
            for number, block in enumerate(_UNPACK[packing](window, stop, window.stop)):
                if not number and stop > at and _RECORD.match(block):
                    raise _FaultError("the next record begins inside this one")
                walk.add(block)
            stop = window.at
    except FAULTS as error:
        return WarcPiece(at, window.stop, walk.heads, str(error))
    return WarcPiece(at, stop, walk.heads)


class _RecordWalk:
    """Takes the unpacked bytes of one record after the other."""

    def __init__(self) -> None:
        self.heads: list[WarcHeader] = []
        self._header = b""
        self._missing = 0

    @property
    def between(self) -> bool:
        """Whether no record is open."""
        return not self._missing and not self._header

    def add(self, block: bytes) -> None:
        """Take the next bytes. Raises _FaultError where they are no record."""
        while block:
            if self._missing:
                if (head := self.heads[-1]).kind == "metadata" and head.length <= MAX_BODY:
                    head.body += block[: self._missing]
                taken = min(len(block), self._missing)
                self._missing, block = self._missing - taken, block[taken:]
                continue
            self._header = (self._header + block).lstrip(b"\r\n\0")
            if not (end := _HEADER_END.search(self._header)):
                if len(self._header) > MAX_HEADER or not b"WARC/".startswith(self._header[:5]):
                    raise _FaultError(
                        "a record is followed by what is none"
                        if self.heads
                        else "this is no record"
                    )
                return
            self.heads.append(_parse_header(self._header[: end.start()]))
            self._missing, block, self._header = (
                self.heads[-1].length,
                self._header[end.end() :],
                b"",
            )


def _unpack_gzip(window: Window, at: int, stop: int) -> Iterator[bytes]:
    """The blocks of the gzip member at `at`; afterwards the window stands behind it."""
    window.seek(at - window.start)
    stream, data, size = zlib.decompressobj(31), b"", FIRST
    while not stream.eof:
        if not (data := data or window.read(min(size, stop - window.at))):
            raise EOFError("the compressed data break off")
        try:
            block = stream.decompress(data, UNPACKED)
        except zlib.error:
            if size == FIRST:
                yield _unpack_until_fault(data)
            raise
        yield block
        data, size = stream.unconsumed_tail, STEP >> 3
    window.seek(-len(stream.unused_data), 1)


def _unpack_until_fault(data: bytes) -> bytes:
    """What the beginning of a damaged member still gives: most often its record's header."""
    stream, found = zlib.decompressobj(31), b""
    with contextlib.suppress(zlib.error):
        for place in range(len(data)):
            found += stream.decompress(data[place : place + 1], UNPACKED)
    return found


def _unpack_zstd(window: Window, at: int, stop: int) -> Iterator[bytes]:
    """The blocks of the zstd frame at `at`; afterwards the window stands behind it."""
    window.seek(at - window.start)
    stream = zstandard.ZstdDecompressor().decompressobj()
    while not stream.eof:
        if not (data := window.read(min(FEED, stop - window.at))):
            raise EOFError("the compressed data break off")
        yield stream.decompress(data)
    window.seek(-len(stream.unused_data), 1)


def _unpack_lz4(window: Window, at: int, stop: int) -> Iterator[bytes]:
    """The blocks of the LZ4 frame at `at`, whose end is found by the lengths it states; afterwards the window is there."""
    end = _find_lz4_end(window, at, stop)
    reader = Lz4Reader(Window(window.file, at, end))
    while block := reader.read(STEP):
        yield block
    window.seek(end - window.start)


def _find_lz4_end(window: Window, at: int, stop: int) -> int:
    window.seek(at - window.start)
    head = window.read(6)
    if len(head) < 6 or not head.startswith(_MAGIC["lz4"]):
        raise _FaultError("this is no LZ4 frame")
    flags = head[4]
    at += 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    size = -1
    while size:
        window.seek(at - window.start)
        if len(raw := window.read(4)) < 4:
            raise EOFError("the compressed data break off")
        size = struct.unpack("<I", raw)[0] & 0x7FFFFFFF
        at += 4 + size + (4 if size and flags & 16 else 0)
    at += 4 if flags & 4 else 0
    if at > stop:
        raise EOFError("the compressed data break off")
    return at


_UNPACK: dict[str, Callable[[Window, int, int], Iterator[Any]]] = {
    "gzip": _unpack_gzip,
    "zstd": _unpack_zstd,
    "lz4": _unpack_lz4,
}
