"""Inflate a single-member gzip or zstd file once, into committed slices that workers can share.

Slices end at a line break. Where the stream breaks, everything before the break is kept, and what follows is one
"unknown remainder" with its offsets, decompressed and compressed.
"""

import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from gristmill import storage

READ, STEP = 1 << 18, 1 << 12
GZIP = b"\x1f\x8b"
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


def inflate(path: str, folder: Path, slice_bytes: int) -> tuple[list[Slice], Remainder | None]:
    """Write the slices of `path` (.gz or .zst) below `folder`; returns them and, for a broken stream, its remainder."""
    slices: list[Slice] = []
    held, start = bytearray(), 0
    remainder = None
    with storage.open_input(path) as file:
        tail = _Tail(file)
        blocks = _gunzip(tail) if path.endswith(".gz") else _unzstd(tail)
        while True:
            try:
                block = next(blocks, None)
            except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
                remainder = Remainder(start + held.rfind(b"\n") + 1, tail.read_bytes, str(error))
                del held[held.rfind(b"\n") + 1 :]
                break
            if block is None:
                break
            held += block
            while len(held) >= slice_bytes and b"\n" in held:
                cut = (held.rfind(b"\n", 0, slice_bytes) + 1) or held.find(b"\n") + 1
                slices.append(_commit(folder, path, len(slices), start, bytes(held[:cut])))
                del held[:cut]
                start += cut
    if held:
        slices.append(_commit(folder, path, len(slices), start, bytes(held)))
    return slices, remainder


def _commit(folder: Path, path: str, number: int, start: int, data: bytes) -> Slice:
    target = folder / f"{os.path.basename(path)}-{number:05d}"
    storage.commit_bytes(target, data)
    return Slice(str(target), start, len(data))


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
