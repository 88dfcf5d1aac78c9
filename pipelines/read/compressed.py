"""Inflate a single-member gzip or zstd file once, into committed slices that workers can share.

Slices end at a line break. Where the stream breaks, everything before the break is kept, and what follows is one
"unknown remainder" with its offsets, decompressed and compressed.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from gristmill import storage
from gristmill.errors import RunError
from pipelines.read.lines import MAX_LINE

READ, STEP = 1 << 18, 1 << 12
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
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


class _Tail:
    """Counts the compressed bytes that were handed out, so that a break can be located."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.read_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.read_bytes += len(data)
        return data


def inflate(path: str, stem: Path, slice_bytes: int) -> tuple[list[Slice], Remainder | None]:
    """Write a gzip or zstd file as slices `stem`-00000 and so on; returns them and, for a broken stream, its remainder."""
    cutter, remainder = _Cutter(stem, slice_bytes), None
    with storage.open_input(path) as file:
        head = file.read(len(ZSTD))
        file.seek(0)
        tail = _Tail(file)
        blocks = _unzstd(tail) if _is_zstd(path, head) else _gunzip(tail)
        while True:
            try:
                block = next(blocks, None)
            except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
                remainder = Remainder(cutter.drop_open_line(), tail.read_bytes, str(error))
                break
            if block is None:
                break
            cutter.add(block)
    cutter.commit(len(cutter.held))
    return cutter.slices, remainder


def _is_zstd(path: str, head: bytes) -> bool:
    """By the first bytes; the name decides only where they are neither's."""
    return head == ZSTD or (path.lower().endswith(".zst") and not head.startswith(GZIP))


class _Cutter:
    """Cuts a stream into slices of whole lines; of a line above MAX_LINE only the beginning is held and written."""

    def __init__(self, stem: Path, slice_bytes: int) -> None:
        self.stem, self.slice_bytes = stem, slice_bytes
        self.slices: list[Slice] = []
        self.held = bytearray()
        self.start = 0  # where `held` begins in the stream
        self.whole = 0  # how much of `held` is whole lines
        self.passed = 0  # bytes of an over-long line that are not held

    def add(self, block: bytes) -> None:
        """Take the next bytes of the stream. Only they are searched: a file may have no line break at all."""
        if self.passed:
            end = block.find(b"\n") + 1
            self.passed += end or len(block)
            if not end:
                return
            self.commit(len(self.held))
            block = block[end:]
        if end := block.rfind(b"\n") + 1:
            self.whole = len(self.held) + end
        self.held += block
        while self.whole and len(self.held) >= self.slice_bytes:
            self.commit((self.held.rfind(b"\n", 0, self.slice_bytes) + 1) or self.held.find(b"\n") + 1)
        if len(self.held) - self.whole > MAX_LINE + 1:  # one byte more than MAX_LINE: the reader sees it is too long
            self.commit(self.whole)
            self.passed = len(self.held) - MAX_LINE - 1
            del self.held[MAX_LINE + 1 :]

    def drop_open_line(self) -> int:
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
        with storage.commit(target) as file, memoryview(self.held) as view, view[:size] as part:  # no copy of a slice
            file.write(part)
        self.slices.append(Slice(str(target), self.start, size))
        del self.held[:size]
        self.start += size + self.passed
        self.whole, self.passed = max(0, self.whole - size), 0


def _gunzip(file: _Tail) -> Iterator[bytes]:
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


def _unzstd(file: _Tail) -> Iterator[bytes]:
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
