"""Read Parquet and Arrow files by row ranges, column by column."""

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill import storage
from gristmill.document import as_text
from gristmill.errors import InputError
from gristmill.hashing import document_id
from pipelines.config import Columns
from pipelines.read.fields import moment, row_fields
from pipelines.read.records import RECORD_SCHEMA, Broken, Item, Split, capture_column

ROWS = 1000


def read_table(split: Split, columns: Columns) -> Iterator[Item]:
    """The records of rows [start, stop) of a Parquet file."""
    with storage.open_input(split.file) as file:
        for start, batch in _row_batches(pq.ParquetFile(file), split, columns):
            yield from _records(batch, os.path.basename(split.file), start, columns)


def _row_batches(table: pq.ParquetFile, split: Split, columns: Columns) -> Iterator[tuple[int, pa.RecordBatch]]:
    named = dict.fromkeys(columns.model_dump().values())  # one column may serve two fields
    wanted = [name for name in named if name in table.schema_arrow.names]
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


def _records(batch: pa.RecordBatch, file: str, start: int, columns: Columns) -> Iterator[Item]:
    source = file.split(".")[0]
    try:
        text = as_text(batch.column(columns.text))
        rows = batch.select([name for name in batch.schema.names if name != columns.text]).to_pylist()
    except (InputError, UnicodeDecodeError) as error:
        if batch.num_rows == 1:
            yield Broken(file, start, "not_utf8", str(error).split("\n")[0], source=source)
        else:  # read each row for itself, so that only the bad ones are lost
            for place in range(batch.num_rows):
                yield from _records(batch.slice(place, 1), file, start + place, columns)
        return
    fields = [row_fields(row, columns, default_source=source) for row in rows]
    for place, value in enumerate(text.is_null().to_pylist()):
        if value:
            yield Broken(file, start + place, "no_text", "the text of this row is null", source=fields[place]["source"])
    keep = [place for place, value in enumerate(text.is_valid().to_pylist()) if value]
    if keep:
        yield _batch(text.take(pa.array(keep)), [rows[i] for i in keep], [fields[i] for i in keep],
                     [start + i for i in keep], file, columns)  # fmt: skip


def _batch(
    text: pa.Array, rows: list[dict[str, Any]], fields: list[dict[str, Any]], at: list[int], file: str, columns: Columns
) -> pa.RecordBatch:
    given = [
        str(row.get(columns.id) or field["url"] or f"{file}#{offset}")
        for row, field, offset in zip(rows, fields, at, strict=True)
    ]
    ids = [
        document_id(field["source"], name, value.encode())
        for field, name, value in zip(fields, given, text.to_pylist(), strict=True)
    ]
    plain = {name: [field[name] for field in fields] for name in fields[0]}
    plain |= {"id": ids, "published": [moment(row.get(columns.published)) for row in rows], "media": ["text"] * len(at)}
    arrays = {name: pa.array(values, RECORD_SCHEMA.field(name).type) for name, values in plain.items()}
    arrays |= {"text": text, "capture": capture_column(file, at)}
    return pa.RecordBatch.from_arrays([arrays[name] for name in RECORD_SCHEMA.names], schema=RECORD_SCHEMA)
