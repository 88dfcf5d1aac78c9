"""Inflate a gzip, zstd, bzip2 or xz file once, into committed slices that workers can share.

Slices end at a line break (of a dump: behind a page). Where the stream breaks, everything before the break is kept, and
what follows is one "unknown remainder" with its offsets, decompressed and compressed.
"""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zstandard

from gristmill.errors import RunError
from gristmill.runs import storage
from pipelines.annotate.readers.lines import MAX_LINE

READ, STEP, BLOCK = 1 << 18, 1 << 12, 1 << 20
GZIP = b"\x1f\x8b"
FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, UnicodeError)
"""What a damaged stream raises."""
XZ_MEMORY = 1 << 28
LONGEST_WINDOW = 1 << 31
"""What `zstd --long=31` asks for; public archives are packed so."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One committed slice: its path, and where its bytes begin in the decompressed stream."""

    path: str
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Remainder:
    """Where a stream broke off: the last whole line ends at `offset`; `why` it broke, at `compressed_offset`."""

    offset: int
    compressed_offset: int
    why: str


class _CountingReader:
    """Counts the packed bytes that were handed out, so that a break can be located."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.read_bytes += len(data)
        return data


def inflate(
    path: str,
    stem: Path,
    slice_bytes: int,
    *,
    end: bytes = b"\n",
    longest: int | None = None,
    encoding: str = "utf-8",
) -> tuple[list[Slice], Remainder | None]:
    """Write a packed file as slices `stem`-00000 and so on; returns them and, for a broken stream, its remainder.

    Slices are cut behind `end`; of what is longer than `longest` without one only the beginning is written.
    """
    cutter, remainder = _SliceWriter(stem, slice_bytes, end, longest or MAX_LINE), None
    with storage.open_input(path) as file:
        tail = _CountingReader(file)
        blocks = _recode_to_utf8(iter_unpacked(path, tail), encoding)
        while True:
            try:
                block = next(blocks, None)
            except FAULTS as error:
                remainder = Remainder(cutter.drop_open_part(), tail.read_bytes, str(error))
                break
            if block is None:
                break
            cutter.add(block)
    cutter.commit(len(cutter.held))
    return cutter.slices, remainder


def iter_unpacked(path: str, file: Any) -> Iterator[bytes]:
    """The blocks of a file unpacked, by its first bytes; the name decides only where they are nobody's."""
    head = file.read(6)
    joined = _WithHead(head, file)
    for magic, _, unpacked in _UNPACKERS:
        if head.startswith(magic):
            return unpacked(joined)
    return next(
        (unpacked(joined) for _, end, unpacked in _UNPACKERS if path.lower().endswith(end)),
        _read_plain(joined),
    )


def _recode_to_utf8(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    if encoding == "utf-8":
        return blocks
    return (text.encode() for text in codecs.iterdecode(blocks, encoding))


class _WithHead:
    """A file whose first bytes were read already."""

    def __init__(self, head: bytes, file: Any) -> None:
        self.head, self.file = head, file

    def read(self, size: int) -> bytes:
        head, self.head = self.head, b""
        data: bytes = self.file.read(size)
        return head + data if head else data


class _SliceWriter:
    """Cuts a stream into slices of whole lines (or what else ends with `end`); of one above `longest` only the beginning
    is held and written."""

    def __init__(self, stem: Path, slice_bytes: int, end: bytes, longest: int) -> None:
        self.stem, self.slice_bytes, self.end, self.longest = stem, slice_bytes, end, longest
        self.slices: list[Slice] = []
        self.held = bytearray()
        self.start = 0  # where `held` begins in the stream
        self.whole = 0  # how much of `held` is whole lines
        self.passed = 0  # bytes of an over-long line that are not held
        self.seam = b""  # the last of them: an end may lie across two blocks

    def add(self, block: bytes) -> None:
        """Take the next bytes of the stream. Only they are searched: a file may have no line break at all."""
        if self.passed:
            seen = self.seam + block
            if (place := seen.find(self.end)) < 0:
                self.passed += len(block)
                self.seam = seen[max(0, len(seen) - len(self.end) + 1) :]
                return
            used = place + len(self.end) - len(self.seam)
            self.passed += used
            self.commit(len(self.held))
            block = block[used:]
        since = max(self.whole, len(self.held) - len(self.end) + 1)
        self.held += block
        if (place := self.held.rfind(self.end, since)) >= 0:
            self.whole = place + len(self.end)
        while self.whole and len(self.held) >= self.slice_bytes:
            fitting = self.held.rfind(self.end, 0, max(self.slice_bytes, len(self.end)))
            self.commit((fitting if fitting >= 0 else self.held.find(self.end)) + len(self.end))
        if (
            len(self.held) - self.whole > self.longest + 1
        ):  # one byte more: the reader sees it is too long
            self.commit(self.whole)
            self.passed = len(self.held) - self.longest - 1
            self.seam = bytes(self.held[len(self.held) - len(self.end) + 1 :])
            del self.held[self.longest + 1 :]

    def drop_open_part(self) -> int:
        """Forget the line in which the stream broke; returns where it began."""
        del self.held[self.whole :]
        self.passed = 0
        return self.start + self.whole

    def commit(self, size: int) -> None:
        """Write the first `size` bytes held as the next slice."""
        if not size:
            return
        target = self.stem.with_name(f"{self.stem.name}-{len(self.slices):05d}")
        if target.exists():
            raise RunError("a slice of an unpacked input would replace another", {"file": target})
        with (
            storage.open_for_commit(target) as file,
            memoryview(self.held) as view,
            view[:size] as part,
        ):  # no copy of a slice
            file.write(part)
        self.slices.append(Slice(str(target), self.start, size))
        del self.held[:size]
        self.start += size + self.passed
        self.whole, self.passed = max(0, self.whole - size), 0


def _read_plain(file: _WithHead) -> Iterator[bytes]:
    while data := file.read(READ):
        yield data


def _gunzip(file: _WithHead) -> Iterator[bytes]:
    """Blocks of a gzip file of one or more members; raises where a member is damaged or cut.

    Raw zlib in small steps, not `gzip.open`: so all good bytes before a damaged place come out first.
    """
    data = memoryview(file.read(READ))
    while data:
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            data = data or memoryview(file.read(READ))
            if not data:
                raise EOFError("the gzip stream ends before its end-of-stream marker")
            yield stream.decompress(data[:STEP])
            data = data[STEP:]
        rest = (stream.unused_data + bytes(data)).lstrip(b"\0")
        while len(rest) < len(GZIP) and (more := file.read(READ)):
            rest = (rest + more).lstrip(b"\0")
        if rest and not rest.startswith(GZIP):
            raise gzip.BadGzipFile("bytes after the last gzip member are no member")
        data = memoryview(rest)


def _unzstd(file: _WithHead) -> Iterator[bytes]:
    """Blocks of a zstd file of one or more frames; raises where a frame is damaged or cut.

    Frame by frame: the stream reader of `zstandard` takes a cut file for a whole one.
    """
    data = file.read(READ)
    while data:
        stream = zstandard.ZstdDecompressor(max_window_size=LONGEST_WINDOW).decompressobj()
        while not stream.eof:
            data = data or file.read(READ)
            if not data:
                raise EOFError("the zstd stream ends inside a frame")
            yield stream.decompress(data[:STEP])
            data = data[STEP:]
        data = stream.unused_data + data or file.read(READ)


def _make_stream_unpacker(
    make: Callable[[], Any], padding: bytes
) -> Callable[[_WithHead], Iterator[bytes]]:
    """Blocks of a bzip2 or xz file of one or more streams; raises where a stream is damaged or cut."""

    def blocks(file: _WithHead) -> Iterator[bytes]:
        data = file.read(READ)
        while data:
            stream = make()
            while not stream.eof:
                given = b""
                if stream.needs_input:
                    if not (data := data or file.read(READ)):
                        raise EOFError("the compressed stream ends before its end-of-stream marker")
                    given, data = data[:STEP], data[STEP:]
                yield stream.decompress(given, BLOCK)
            data = (stream.unused_data + data).lstrip(padding) or file.read(READ).lstrip(padding)

    return blocks


_UNPACKERS = (
    (GZIP, ".gz", _gunzip),
    (b"\x28\xb5\x2f\xfd", ".zst", _unzstd),
    (b"BZh", ".bz2", _make_stream_unpacker(bz2.BZ2Decompressor, b"")),
    (
        b"\xfd7zXZ\0",
        ".xz",
        _make_stream_unpacker(lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY), b"\0"),
    ),
)
