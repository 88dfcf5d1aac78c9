"""Whether a WARC file ends with a whole record: the archive reader takes a cut file for a whole one."""

import re
import zlib
from collections.abc import Callable
from typing import Any

import zstandard

from gristmill import storage

MOST = 128 << 20
"""A last record larger than this is not checked."""

_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_PACKERS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"\x28\xb5": lambda: zstandard.ZstdDecompressor().decompressobj(),
}
"""By the first two bytes; LZ4 is not checked."""


def tail_fault(path: str, at: int) -> str | None:
    """What is wrong with the end of the file from its last record (at byte `at`) on; None where nothing is."""
    with storage.open_input(path) as file:
        file.seek(at)
        raw = file.read(MOST)
    if len(raw) == MOST or path.endswith(".lz4"):
        return None
    if start := _PACKERS.get(raw[:2]):
        unpacked = _unpack(raw, start)
        if unpacked is None:
            return "the last compressed record breaks off"
        raw = unpacked
    if not raw.strip():
        return None
    header_end = _HEADER_END.search(raw)
    length = _LENGTH.search(raw[: header_end.start()]) if header_end else None
    if header_end is None or length is None:
        return "the header of the last record breaks off"
    body_end = header_end.end() + int(length[1])
    if body_end > len(raw):
        return "the last record breaks off"
    return "what follows the last record is none" if raw[body_end:].strip(b"\r\n\0") else None


def _unpack(raw: bytes, start: Callable[[], Any]) -> bytes | None:
    """All members or frames of `raw`, or None where the last one is cut or there is something between them."""
    parts = []
    while raw.strip(b"\0"):
        stream = start()
        try:
            parts.append(stream.decompress(raw))
        except (zlib.error, zstandard.ZstdError):
            return None
        if not stream.eof:
            return None
        raw = stream.unused_data
    return b"".join(parts)
