"""The body of a captured HTTP response, out of its transfer and content encodings.

Many tools store a body decoded and leave the headers as they were, so a body that does not look encoded is taken as
it is. The archive reader's own decoding is not used: one bad body makes it give up the rest of the file.
"""

import zlib
from collections.abc import Callable

MAX_BODY = 64 << 20
WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
"""zlib's window bits by content encoding; servers send `deflate` with and without its header."""


class BadBody(ValueError):
    """A body that cannot be decoded; the message says why."""


def decode_body(raw: bytes, header: Callable[[str], str | None]) -> bytes:
    """The decoded body, at most MAX_BODY bytes. Raises BadBodyError."""
    if "chunked" in (header("Transfer-Encoding") or "").lower():
        raw = dechunk(raw)
    encodings = [name.strip().lower() for name in (header("Content-Encoding") or "").split(",")]
    for name in reversed([name for name in encodings if name not in ("", "identity")]):
        if name not in WINDOWS:
            raise BadBody(f"the content encoding {name[:40]} is not supported")
        raw = _inflate(raw, name)
    return raw


def dechunk(raw: bytes) -> bytes:
    """The body of a chunked transfer (RFC 9112, 7.1), or `raw` where it does not begin with a chunk."""
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = raw.find(b"\r\n", at)
        size = _parse_chunk_size(raw[at:line_end]) if line_end >= 0 else None
        if size is None and not parts:
            return raw
        if size is None or line_end + 2 + size > len(raw):
            raise BadBody("a chunked body that breaks off")
        if size == 0:
            return b"".join(parts)
        parts.append(raw[line_end + 2 : line_end + 2 + size])
        at = line_end + 4 + size


def _parse_chunk_size(line: bytes) -> int | None:
    digits = line.split(b";")[0].strip()
    hexadecimal = 0 < len(digits) <= 8 and all(byte in b"0123456789abcdefABCDEF" for byte in digits)
    return int(digits, 16) if hexadecimal else None


def _inflate(raw: bytes, name: str) -> bytes:
    if name != "deflate" and not raw.startswith(b"\x1f\x8b"):
        return raw
    problem: object = None
    for window in WINDOWS[name]:
        stream = zlib.decompressobj(window)
        try:
            body = stream.decompress(raw, MAX_BODY)
        except zlib.error as error:
            problem = error
            continue
        if stream.eof:
            return body
        if len(body) >= MAX_BODY:
            raise BadBody(f"the {name} body is larger than allowed")
        problem = "it breaks off"
    raise BadBody(f"the {name} body cannot be decoded: {problem}")
