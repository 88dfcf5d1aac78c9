"""Find the pages of a MediaWiki XML dump in any range of its bytes, and the ranges that it can be cut into.

A page is found by its tags, which text cannot hold (`<` is escaped in it). It is read by the split in which it begins,
and so is what lies behind it and is none.
"""

import bz2
import codecs
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gristmill.runs import storage
from pipelines.annotate.readers.compressed import BLOCK, FAULTS, READ, STEP, inflate, iter_unpacked
from pipelines.annotate.readers.records import Quarantined, Split
from pipelines.annotate.readers.window import Window

OPEN, CLOSE, END = b"<page>", b"</page>", b"</mediawiki>"
NO_END = "the dump breaks off: it has no end"
STREAM = re.compile(rb"BZh[1-9]1AY&SY")
"""How a bzip2 stream begins."""

HEAD = 1 << 16
"""How far into a dump its site is looked for, and how much of what is no page is looked at."""

FIRST_STREAMS = 1 << 22
"""Packed bytes within which the second stream of a multistream dump begins: the first holds its head alone."""

MAX_PAGE = 64 << 20
"""Bytes of one page with all its revisions; a larger one is quarantined, and never held."""


@dataclass(frozen=True, slots=True)
class DumpPage:
    """A page (None: too large to hold), or what is none, at its offset and number there."""

    offset: int
    item: int
    page: bytes | None
    gap: bytes = b""


def read_dump_head(path: str) -> tuple[str, str]:
    """The beginning of a dump, unpacked and decoded, and its encoding."""
    raw = b""
    with storage.open_input(path) as file:
        blocks = iter_unpacked(path, file)
        try:
            while len(raw) < HEAD and (block := next(blocks, None)) is not None:
                raw += block
        except FAULTS:
            pass
    encoding = _detect_encoding(raw)
    return raw.decode(encoding, "replace"), encoding


def _detect_encoding(raw: bytes) -> str:
    """What a dump says it is encoded in; UTF-8 where nobody knows that."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if raw[:2] in (b"<\0", b"\0<"):
        return "utf-16-le" if raw[0] else "utf-16-be"
    stated = re.match(rb"(?:\xef\xbb\xbf)?<\?xml[^>]*\bencoding=[\"']([\w.-]{1,40})", raw)
    try:
        name = codecs.lookup(stated[1].decode()).name if stated else "utf-8"
        return "utf-8" if name == "ascii" or "x".encode(name) != b"x" else name
    except (LookupError, TypeError, ValueError):
        return "utf-8"


def plan_dump(
    path: str, size: int, split_bytes: int, slice_bytes: int, stem: Path
) -> Iterator[Split]:
    """The splits of a dump: ranges of an unpacked one, streams of a multistream one, else of slices below `stem`."""
    text, encoding = read_dump_head(path)
    if not size:
        yield Split(0, "dump", path, 0, 0)
    elif "<mediawiki" not in text:
        yield Split(0, "remainder", path, 0, 0, expected=1, note="this is no MediaWiki dump")
    elif path.lower().endswith(".xml") and encoding == "utf-8":
        yield from _iter_ranges(Split(0, "dump", path, 0, size), split_bytes)
        yield from _find_unclosed(Split(0, "dump", path, 0, size))
    elif path.lower().endswith(".bz2") and _is_multistream(path, size):
        yield from _plan_streams(path, size, split_bytes)
    else:
        yield from _plan_slices(path, split_bytes, slice_bytes, stem, encoding)


def _iter_ranges(whole: Split, split_bytes: int) -> Iterator[Split]:
    pieces = max(1, math.ceil(whole.stop / split_bytes))
    for piece in range(pieces):
        yield replace(
            whole, start=whole.stop * piece // pieces, stop=whole.stop * (piece + 1) // pieces
        )


def _plan_slices(
    path: str, split_bytes: int, slice_bytes: int, stem: Path, encoding: str
) -> Iterator[Split]:
    longest = MAX_PAGE + HEAD
    slices, remainder = inflate(
        path, stem, slice_bytes, end=CLOSE, longest=longest, encoding=encoding
    )
    wholes = [
        Split(0, "dump", piece.path, 0, piece.size, origin=path, base=piece.start)
        for piece in slices
    ]
    for whole in wholes:
        yield from _iter_ranges(whole, split_bytes)
    if remainder is not None:
        place, packed, why = remainder.offset, remainder.compressed_offset, remainder.why
        yield Split(0, "remainder", path, place, packed, expected=1, note=why)
    elif wholes:
        yield from _find_unclosed(wholes[-1])


def _find_unclosed(last: Split) -> Iterator[Split]:
    """A remainder behind the last whole page, where the dump (or its last slice) has no end."""
    with storage.open_input(last.file) as file:
        window = Window(file, max(0, last.stop - HEAD), last.stop)
        if END in window.read():
            return
        place = 0
        for start in range(last.stop, 0, -READ):
            tail = Window(file, max(0, start - READ - len(CLOSE)), start).read()
            if (found := tail.rfind(CLOSE)) >= 0:
                place = max(0, start - READ - len(CLOSE)) + found + len(CLOSE)
                break
    path = last.origin or last.file
    yield Split(0, "remainder", path, last.base + place, -1, expected=1, note=NO_END)


def _is_multistream(path: str, size: int) -> bool:
    """Whether the second bzip2 stream begins with a page, as MediaWiki writes them (pbzip2 cuts anywhere)."""
    with storage.open_input(path) as file:
        window = Window(file, 0, min(size, FIRST_STREAMS))
        at = _find_next_stream(window, 1)
        return at < window.stop and _begins_with_page(Window(file, at, size))


def _begins_with_page(window: Window) -> bool:
    try:
        return next(_unpack_stream(window), b"").lstrip().startswith(OPEN)
    except FAULTS:
        return False


def _plan_streams(path: str, size: int, split_bytes: int) -> Iterator[Split]:
    start = 0
    with storage.open_input(path) as file:
        window = Window(file, 0, size)
        at = split_bytes
        while at < size and (at := _find_next_stream(window, at)) < size:
            if _begins_with_page(Window(file, at, size)):
                yield Split(0, "streams", path, start, at)
                start, at = at, at + split_bytes
            else:
                at += 1
    yield Split(0, "streams", path, start, size)


def iter_pages_of_bytes(split: Split) -> Iterator[DumpPage]:
    """The pages that begin in bytes [start, stop) of an unpacked dump, or of a slice of one that was packed."""
    pages = _PageFinder(split.start)
    with storage.open_input(split.file) as file:
        file.seek(split.start)
        if split.start + split.base == 0:
            pages.gap_at = 0
        while data := file.read(READ):
            for found in pages.add(data):
                if not found.gap and found.offset >= split.stop:
                    return
                yield DumpPage(split.base + found.offset, 0, found.page, found.gap)
            if pages.page_at >= split.stop or (
                pages.page_at < 0 and pages.gap_at < 0 and pages.at >= split.stop
            ):
                return
        for found in pages.rest():
            yield DumpPage(split.base + found.offset, 0, found.page, found.gap)


def iter_pages_of_streams(split: Split) -> Iterator[DumpPage | Quarantined]:
    """The pages of the bzip2 streams [start, stop) of a multistream dump; what is damaged costs its stream."""
    pages = _PageFinder(0)
    with storage.open_input(split.file) as file:
        size = file.seek(0, io.SEEK_END)
        window = Window(file, split.start, split.stop)
        at = item = 0
        while window.at < split.stop:
            at = window.at
            if at == 0:
                pages.gap_at = 0
            item = 0
            try:
                for block in _unpack_stream(window):
                    for found in pages.add(block):
                        yield DumpPage(at, item, found.page, found.gap)
                        item += not found.gap
            except FAULTS as error:
                stop = _find_next_stream(window, at + 1)
                reason = "unknown_remainder" if stop == size else "cut_record"
                yield Quarantined(
                    split.input_name,
                    at,
                    reason,
                    f"a damaged stream, up to {stop}: {error}",
                    at,
                    split.source,
                )
                pages = _PageFinder(0)
                window.seek(stop - split.start)
        for found in pages.rest():
            yield DumpPage(at, item, found.page, found.gap)
        if split.stop == size and not pages.ended:
            yield Quarantined(
                split.input_name, size, "unknown_remainder", NO_END, size, split.source
            )


def _unpack_stream(window: Window) -> Iterator[bytes]:
    """The blocks of the bzip2 stream where the window stands; afterwards it stands behind it."""
    stream = bz2.BZ2Decompressor()
    while not stream.eof:
        given = window.read(STEP) if stream.needs_input else b""
        if stream.needs_input and not given:
            raise EOFError("the stream breaks off")
        yield stream.decompress(given, BLOCK)
    window.seek(-len(stream.unused_data), io.SEEK_CUR)


def _find_next_stream(window: Window, at: int) -> int:
    """Where the next bzip2 stream from `at` on begins, or the window's end."""
    window.seek(at - window.start)
    held = b""
    while data := window.read(READ):
        held += data
        if match := STREAM.search(held):
            return at + match.start()
        at, held = at + max(0, len(held) - 16), held[-16:]
    return window.stop


class _PageFinder:
    """Finds the pages in the bytes of a dump as they come, and what lies between them and is none.

    `at` is where `held` begins; what is before the first page is not looked at unless `gap_at` is set.
    """

    def __init__(self, at: int) -> None:
        self.at, self.held = at, bytearray()
        self.page_at = self.gap_at = -1
        self.gap = b""
        self.ended = False
        self._searched = 0
        self._large = False

    def add(self, block: bytes) -> Iterator[DumpPage]:
        """Take the next bytes."""
        self.held += block
        while True:
            if self.page_at < 0:
                place = self.held.find(OPEN)
                self._pass(place if place >= 0 else max(0, len(self.held) - len(END)))
                if place < 0:
                    return
                if self.gap_at >= 0 and (gap := _strip_dump_markup(self.gap)):
                    yield DumpPage(self.gap_at, 0, None, gap)
                self.page_at, self.gap_at, self.gap, self.ended = self.at, -1, b"", False
                self._searched, self._large = 0, False
            place = self.held.find(CLOSE, self._searched)
            if place < 0:
                self._wait()
                return
            size = place + len(CLOSE)
            large = self._large or size > MAX_PAGE
            yield DumpPage(self.page_at, 0, None if large else bytes(self.held[:size]))
            self._drop(size)
            self.page_at, self.gap_at = -1, self.at

    def rest(self) -> Iterator[DumpPage]:
        """What the end of the bytes shows: a page too large to hold, or something behind the last one."""
        if self.page_at >= 0 and self._large:
            yield DumpPage(self.page_at, 0, None)
        elif (
            self.page_at < 0
            and self.gap_at >= 0
            and self.ended
            and (gap := _strip_dump_markup(self.gap + bytes(self.held)))
        ):
            yield DumpPage(self.gap_at, 0, None, gap)

    def _wait(self) -> None:
        """The page goes on in the next block; of one that is too large only what may be its end is held."""
        self._large = self._large or len(self.held) > MAX_PAGE
        if self._large:
            self._drop(max(0, len(self.held) - len(CLOSE)))
        self._searched = max(0, len(self.held) - len(CLOSE))

    def _pass(self, size: int) -> None:
        """Leave behind what is no page, but for its beginning."""
        if self.gap_at >= 0 and len(self.gap) < HEAD:
            self.gap += bytes(self.held[:size])
        self.ended = self.ended or END in self.held
        self._drop(size)

    def _drop(self, size: int) -> None:
        del self.held[:size]
        self.at += size


_AROUND = re.compile(
    rb"\xef\xbb\xbf|<\?xml[^>]*>|<mediawiki\b[^>]*>|<siteinfo>.*?</siteinfo>|</mediawiki>|<!--.*?-->",
    re.DOTALL,
)


def _strip_dump_markup(gap: bytes) -> bytes:
    """What of the bytes between two pages belongs to no dump."""
    return b"" if gap.isspace() else _AROUND.sub(b"", gap).strip()
