"""Read Arrow files and streams (data sets of Hugging Face on disk) by ranges of rows, each found without reading others.

The metadata before every batch say how long it is, so the plan hops over the data. A split begins at a batch: the file's
head (schema and dictionaries) and what follows from there on are read as one stream.
"""

import dataclasses
import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import pyarrow as pa

from gristmill.errors import InputError
from gristmill.runs import storage
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers.records import Item, Quarantined, Split
from pipelines.annotate.readers.table import iter_table_records, select_columns
from pipelines.annotate.readers.window import Window

MAGIC = b"ARROW1"
SCHEMA, DICTIONARY, BATCH = 1, 2, 3
MAX_METADATA = 1 << 26
ROWS_A_BYTE = 1 << 16
"""More rows than this for a byte of (perhaps compressed) data are no rows, but damage."""
LATE = "its dictionaries change midway: one split"


@dataclass(frozen=True, slots=True)
class ArrowMessage:
    """One message of a stream: what it is, its bytes [start, stop) with the data that follow it, and the rows of a batch."""

    kind: int
    start: int
    stop: int
    rows: int


def iter_messages(file: IO[bytes]) -> Iterator[ArrowMessage]:
    """The messages of an Arrow file or stream, without their data. Raises ValueError where one is damaged or cut."""
    at, size = _find_bounds(file)
    while at < size:
        file.seek(at)
        start, raw = at, file.read(8)
        if raw[:4] != b"\xff\xff\xff\xff" or len(raw) < 8:
            raise ValueError("this is no Arrow message")
        length: int = struct.unpack("<i", raw[4:])[0]
        if length == 0:
            return
        if not 0 < length <= MAX_METADATA:
            raise ValueError("this is no Arrow message")
        kind, body, rows = _read_metadata(file.read(length))
        at += 8 + length + body
        if at > size or body < 0 or not 0 <= rows <= (body + 64) * ROWS_A_BYTE:
            raise ValueError("an Arrow message breaks off, or says what cannot be")
        yield ArrowMessage(kind, start, at, rows)


def _find_bounds(file: IO[bytes]) -> tuple[int, int]:
    """Where the stream of messages begins, and where it ends at the latest: a file has a footer, a stream has none."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        return 0, size
    file.seek(max(0, size - 10))
    tail = file.read(10)
    footer = struct.unpack("<i", tail[:4])[0] if tail.endswith(MAGIC) and len(tail) == 10 else 0
    return 8, size - (10 + footer if 0 < footer < size else 0)


def _read_metadata(raw: bytes) -> tuple[int, int, int]:
    """Kind, bytes of data and rows, out of the flatbuffer that a message's metadata are."""
    try:
        root = struct.unpack_from("<I", raw)[0]
        kind_at, header_at, body_at = (_locate_field(raw, root, number) for number in (1, 2, 3))
        kind = raw[kind_at] if kind_at else 0
        body = struct.unpack_from("<q", raw, body_at)[0] if body_at else 0
        rows = 0
        if kind == BATCH and header_at:
            header = header_at + struct.unpack_from("<I", raw, header_at)[0]
            rows_at = _locate_field(raw, header, 0)
            rows = struct.unpack_from("<q", raw, rows_at)[0] if rows_at else 0
    except (struct.error, IndexError) as error:
        raise ValueError(f"the metadata of an Arrow message are damaged: {error}") from None
    return kind, body, rows


def _locate_field(raw: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table lies; 0 where it has its default."""
    vtable = table - struct.unpack_from("<i", raw, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", raw, vtable)[0]:
        return 0
    offset: int = struct.unpack_from("<H", raw, vtable + 4 + 2 * number)[0]
    return table + offset if offset else 0


def read_arrow_schema(path: str) -> pa.Schema:
    """The schema of an Arrow file or stream. Raises InputError."""
    try:
        with storage.open_input(path) as file:
            schema = pa.ipc.read_schema(Window(file, *_find_bounds(file)))
            schema.names  # noqa: B018 - raises where a name is no UTF-8
            return schema
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            "this is no readable Arrow file", {"file": path, "problem": error}
        ) from None


def plan_arrow(path: str, split_bytes: int) -> Iterator[Split]:
    """The splits of an Arrow file or stream: batches gathered up to `split_bytes`, or the rows of a large batch."""
    batches, late, fault, after = list[ArrowMessage](), False, "", 0
    with storage.open_input(path) as file:
        try:
            for message in iter_messages(file):
                after = message.stop
                if message.kind == BATCH:
                    batches.append(message)
                late = late or (message.kind == DICTIONARY and bool(batches))
        except ValueError as error:
            fault = str(error)
    rows = sum(message.rows for message in batches)
    if late or not rows:
        base = batches[0].start if batches else 0
        yield Split(0, "arrow", path, 0, rows, expected=rows, base=base, note=LATE if late else "")
    else:
        yield from _group_batches(path, [batch for batch in batches if batch.rows], split_bytes)
    if fault:
        yield Split(0, "remainder", path, after, -1, expected=1, note=fault)


def _group_batches(path: str, batches: list[ArrowMessage], split_bytes: int) -> Iterator[Split]:
    first = at = 0
    begin = batches[0].start
    for batch in batches:
        if at > first and batch.stop - begin > split_bytes:
            yield Split(0, "arrow", path, first, at, expected=at - first, base=begin)
            first, begin = at, batch.start
        at += batch.rows
        pieces = min(batch.rows, math.ceil((batch.stop - batch.start) / split_bytes))
        if pieces > 1:
            whole = Split(0, "arrow", path, first, at, base=begin)
            yield from _split_rows(whole, pieces)
            first, begin = at, batch.stop
    if at > first:
        yield Split(0, "arrow", path, first, at, expected=at - first, base=begin)


def _split_rows(whole: Split, pieces: int) -> Iterator[Split]:
    rows = whole.stop - whole.start
    for piece in range(pieces):
        low, high = rows * piece // pieces, rows * (piece + 1) // pieces
        start, stop = whole.start + low, whole.start + high
        yield dataclasses.replace(whole, start=start, stop=stop, expected=high - low, skip=low)


def read_arrow(split: Split, columns: InputColumns) -> Iterator[Item]:
    """The records of rows [start, stop) of an Arrow file or stream."""
    if split.stop <= split.start:
        return
    at = split.start - split.skip
    with storage.open_input(split.file) as file:
        stream = pa.ipc.open_stream(
            _open_at_batch(file, split.base), options=_make_options(split.file, columns)
        )
        try:
            while at < split.stop:
                batch = stream.read_next_batch()
                low, high = max(at, split.start), min(at + batch.num_rows, split.stop)
                if low < high:
                    yield from _iter_records(batch.slice(low - at, high - low), low, split, columns)
                at += batch.num_rows
        except (pa.ArrowException, OSError, StopIteration) as error:
            yield from _quarantine_rows(split, max(at, split.start), split.stop, error)


def _iter_records(
    batch: pa.RecordBatch, start: int, split: Split, columns: InputColumns
) -> Iterator[Item]:
    """The records of a batch; none of one whose buffers do not fit together (text that is no UTF-8 is found later)."""
    try:
        for column in batch.columns:
            raw = column.cast(pa.binary()) if pa.types.is_string(column.type) else column
            raw.validate(full=not pa.types.is_string_view(column.type))
    except pa.ArrowException as error:
        yield from _quarantine_rows(split, start, start + batch.num_rows, error)
        return
    yield from iter_table_records(batch, start, split, columns)


def _quarantine_rows(
    split: Split, start: int, stop: int, error: Exception
) -> Iterator[Quarantined]:
    why = f"its batch is damaged: {str(error).splitlines()[0] if str(error) else 'it ends early'}"[
        :300
    ]
    return (
        Quarantined(split.input_name, row, "bad_value", why, source=split.source)
        for row in range(start, stop)
    )


def _make_options(path: str, columns: InputColumns) -> pa.ipc.IpcReadOptions:
    schema = read_arrow_schema(path)
    wanted = [schema.get_field_index(name) for name in select_columns(columns, schema.names)]
    return pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)


def _open_at_batch(file: IO[bytes], base: int) -> "_HeadThenRest":
    """The stream that begins with the file's head and goes on with the message at `base`."""
    first = next((message for message in iter_messages(file) if message.kind == BATCH), None)
    start, size = _find_bounds(file)
    return _HeadThenRest(
        Window(file, start, first.start if first else size), Window(file, base, size)
    )


class _HeadThenRest(io.RawIOBase):
    """Two windows as one file that is read from its beginning to its end."""

    def __init__(self, first: Window, second: Window) -> None:
        super().__init__()
        self.first, self.second = first, second

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        """How much was read."""
        return self.first.tell() + self.second.tell()

    def read(self, size: int | None = -1) -> bytes:
        data = self.first.read(size)
        rest = -1 if size is None or size < 0 else size - len(data)
        return data + self.second.read(rest) if rest else data
