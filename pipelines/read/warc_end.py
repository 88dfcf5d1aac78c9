"""Whether a WARC file ends with a whole record: the archive reader takes a cut file for a whole one.

Nothing is held but the header of the record at hand: a packed record of zeros may unpack to any size.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import zstandard

from gristmill import storage
from pipelines.read.http_body import MAX_BODY

MAX_HEADER = 64 << 10
"""Twice what the archive reader takes for a header."""

FEED = 256
"""Packed bytes at a time: at most 8 MB come out, from blocks of zstd that are one byte repeated."""

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_PACKERS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"\x28\xb5": lambda: zstandard.ZstdDecompressor().decompressobj(),
}
"""By the first two bytes; LZ4 is not checked."""


def tail_fault(path: str, at: int) -> str | None:
    """What is wrong with the end of the file from its last record (at byte `at`) on; None where nothing is.

    None also for a record that is larger than any we read: unpacking it would be its author's gain.
    """
    if path.endswith(".lz4"):
        return None
    with storage.open_input(path) as file:
        file.seek(at)
        start = _PACKERS.get(file.read(2))
        file.seek(at)
        try:
            return _fault(filter(None, _unpacked(file, start) if start else _plain(file)))
        except (EOFError, zlib.error, zstandard.ZstdError):
            return "the last compressed record breaks off"


def _plain(file: IO[bytes]) -> Iterator[bytes]:
    while data := file.read(1 << 20):
        yield data


def _unpacked(file: IO[bytes], start: Callable[[], Any]) -> Iterator[bytes]:
    """The content of all members or frames; raises where the last one is cut or there is something between them."""
    data = file.read(FEED)
    while data:
        stream = start()
        while not stream.eof:
            if not (data := data or file.read(FEED)):
                raise EOFError
            yield stream.decompress(data)
            data = b""
        data = stream.unused_data.lstrip(b"\0")
        while not data and (more := file.read(FEED)):
            data = more.lstrip(b"\0")


def _fault(blocks: Iterator[bytes]) -> str | None:
    """What is wrong with the record that these blocks of bytes are, and what follows it."""
    head = b""
    while len(head) < MAX_HEADER and not _HEADER_END.search(head) and (block := next(blocks, b"")):
        head += block
    if not head.strip():
        return None
    header_end = _HEADER_END.search(head)
    length = _LENGTH.search(head[: header_end.start()]) if header_end else None
    if header_end is None or length is None:
        return "the header of the last record breaks off"
    missing, body = int(length[1]), head[header_end.end() :]
    unpacked = 0
    while body or (body := next(blocks, b"")):
        if max(missing, unpacked) > MAX_BODY:
            return None
        unpacked += len(body)
        if body[max(0, missing) :].strip(b"\r\n\0"):
            return "what follows the last record is none"
        missing, body = missing - len(body), b""
    return "the last record breaks off" if missing > 0 else None
