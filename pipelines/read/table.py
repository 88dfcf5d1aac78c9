"""Read tables by row ranges, column by column: Parquet files, and the batches that others hand over."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill import storage
from gristmill.document import as_text, slice_batches
from gristmill.errors import InputError
from gristmill.hashing import document_id
from pipelines.config import Columns
from pipelines.kernels.buffers import text_buffers
from pipelines.read.fields import moments, row_fields
from pipelines.read.records import RECORD_SCHEMA, Broken, Item, Split, capture_column

ROWS, TEXT_BYTES = 1000, 8 << 20
FAULTS = (InputError, pa.ArrowException, ValueError, OverflowError, LookupError)
"""What a value raises that is no text, or that Python cannot tell (a far-out time, a time zone nobody knows)."""


def read_table(split: Split, columns: Columns) -> Iterator[Item]:
    """The records of rows [start, stop) of a Parquet file."""
    with storage.open_input(split.file) as file:
        for start, batch in _row_batches(pq.ParquetFile(file), split, columns):
            yield from table_records(batch, start, split, columns)


def wanted_columns(columns: Columns, there: Sequence[str]) -> list[str]:
    """The columns that are read, of those that are there; one may serve two fields."""
    return [name for name in dict.fromkeys(columns.model_dump().values()) if name in there]


def _row_batches(table: pq.ParquetFile, split: Split, columns: Columns) -> Iterator[tuple[int, pa.RecordBatch]]:
    wanted = wanted_columns(columns, table.schema_arrow.names)
    first = 0
    for group in range(table.metadata.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        if first < split.stop and first + rows > split.start:
            at = first
            for batch in table.iter_batches(ROWS, row_groups=[group], columns=wanted):
                low, high = max(at, split.start), min(at + batch.num_rows, split.stop)
                if low < high:
                    yield low, batch.slice(low - at, high - low)
                at += batch.num_rows
        first += rows


def table_records(batch: pa.RecordBatch, start: int, split: Split, columns: Columns) -> Iterator[Item]:
    """The records of a batch whose first row is the input's row `start`, in pieces of at most ROWS rows and about
    TEXT_BYTES of text: rows become Python objects, piece by piece."""
    at = 0
    for piece in slice_batches(pa.table({"text": batch.column(columns.text)}), rows=ROWS, text_bytes=TEXT_BYTES):
        yield from _records(batch.slice(at, piece.num_rows), split, start + at, columns)
        at += piece.num_rows


def _records(batch: pa.RecordBatch, split: Split, start: int, columns: Columns) -> Iterator[Item]:
    try:
        text = as_text(batch.column(columns.text))
        plain = set(columns.model_dump(exclude={"text", "published"}).values()) - {columns.text}
        rows = batch.select([name for name in batch.schema.names if name in plain]).to_pylist()
        source = split.source
        fields = [row_fields(row, columns, default_source=source) for row in rows]
        published = _published(batch, columns)
    except FAULTS as error:
        yield from _bad(error, batch, split, start, columns)
        return
    for place, value in enumerate(text.is_null().to_pylist()):
        if value:
            named = fields[place]["source"]
            yield Broken(split.input_name, start + place, "no_text", "the text of this row is null", source=named)
    keep = [place for place, value in enumerate(text.is_valid().to_pylist()) if value]
    if keep:
        places = pa.array(keep)
        yield _batch(text.take(places), published.take(places), [rows[i] for i in keep], [fields[i] for i in keep],
                     [start + i for i in keep], split.input_name, columns)  # fmt: skip


def _bad(error: Exception, batch: pa.RecordBatch, split: Split, start: int, columns: Columns) -> Iterator[Item]:
    """A batch that holds a bad value: read in halves, until the bad rows stand alone."""
    if batch.num_rows == 1:
        reason = "not_utf8" if isinstance(error, InputError | UnicodeDecodeError) else "bad_value"
        yield Broken(split.input_name, start, reason, str(error).split("\n")[0][:300], source=split.source)
        return
    half = batch.num_rows // 2
    yield from _records(batch.slice(0, half), split, start, columns)
    yield from _records(batch.slice(half), split, start + half, columns)


def _published(batch: pa.RecordBatch, columns: Columns) -> pa.Array:
    if columns.published not in batch.schema.names:
        return moments(pa.nulls(batch.num_rows))
    return moments(batch.column(columns.published))


def _batch(
    text: pa.Array, published: pa.Array, rows: list[dict[str, Any]], fields: list[dict[str, Any]], at: list[int],
    file: str, columns: Columns,
) -> pa.RecordBatch:  # fmt: skip
    given = [
        str(row.get(columns.id) or field["url"] or f"{file}#{offset}")
        for row, field, offset in zip(rows, fields, at, strict=True)
    ]
    data, cuts = text_buffers(text)
    contents = (data[first:last].tobytes() for first, last in pairwise(cuts.tolist()))
    ids = [
        document_id(field["source"], name, content)
        for field, name, content in zip(fields, given, contents, strict=True)
    ]
    plain = {name: [field[name] for field in fields] for name in fields[0]} | {"id": ids, "media": ["text"] * len(at)}
    arrays = {name: pa.array(values, RECORD_SCHEMA.field(name).type) for name, values in plain.items()}
    arrays |= {"text": text, "published": published, "capture": capture_column(file, at)}
    return pa.RecordBatch.from_arrays([arrays[name] for name in RECORD_SCHEMA.names], schema=RECORD_SCHEMA)
