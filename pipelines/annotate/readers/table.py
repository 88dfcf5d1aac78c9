"""Read tables by row ranges, column by column: Parquet files, and the batches that others hand over."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.document import as_text, slice_batches
from gristmill.errors import InputError
from gristmill.hashing import document_ids
from gristmill.runs import storage
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers.fields import parse_moments
from pipelines.annotate.readers.plain import FAULTS, LOCATOR, read_batch_fields
from pipelines.annotate.readers.records import (
    RECORD_SCHEMA,
    Item,
    Quarantined,
    Split,
    make_capture_column,
)
from pipelines.kernels.buffers import get_text_buffers

ROWS, TEXT_BYTES = 1000, 8 << 20


def read_table(split: Split, columns: InputColumns) -> Iterator[Item]:
    """The records of rows [start, stop) of a Parquet file."""
    with storage.open_input(split.file) as file:
        for start, batch in _iter_row_batches(pq.ParquetFile(file), split, columns):
            yield from iter_table_records(batch, start, split, columns)


def select_columns(columns: InputColumns, there: Sequence[str]) -> list[str]:
    """The columns that are read, of those that are there; one may serve two fields."""
    return [name for name in dict.fromkeys(columns.model_dump().values()) if name in there]


def _iter_row_batches(
    table: pq.ParquetFile, split: Split, columns: InputColumns
) -> Iterator[tuple[int, pa.RecordBatch]]:
    wanted = select_columns(columns, table.schema_arrow.names)
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


def iter_table_records(
    batch: pa.RecordBatch, start: int, split: Split, columns: InputColumns
) -> Iterator[Item]:
    """The records of a batch whose first row is the input's row `start`, in pieces of at most ROWS rows and about
    TEXT_BYTES of text: a piece whose columns are not all plain becomes Python objects, row by row."""
    at = 0
    for piece in slice_batches(
        pa.table({"text": batch.column(columns.text)}), rows=ROWS, text_bytes=TEXT_BYTES
    ):
        yield from _iter_records(batch.slice(at, piece.num_rows), split, start + at, columns)
        at += piece.num_rows


def _iter_records(
    batch: pa.RecordBatch, split: Split, start: int, columns: InputColumns
) -> Iterator[Item]:
    try:
        text = as_text(batch.column(columns.text))
        fields = read_batch_fields(batch, columns, default_source=split.source)
        fields["published"] = _read_published(batch, columns)
    except FAULTS as error:
        yield from _read_in_halves(error, batch, split, start, columns)
        return
    at = np.arange(start, start + batch.num_rows)
    if text.null_count:
        full = text.is_valid()
        yield from _quarantine_nulls(
            fields["source"].filter(pc.invert(full)), at[_to_mask(text.is_null())], split
        )
        text, at = text.filter(full), at[_to_mask(full)]
        fields = {name: column.filter(full) for name, column in fields.items()}
    if len(text):
        yield _make_batch(text, fields, at, split.input_name)


def _to_mask(column: pa.Array) -> np.ndarray:
    mask: np.ndarray = column.to_numpy(zero_copy_only=False)
    return mask


def _quarantine_nulls(sources: pa.Array, rows: np.ndarray, split: Split) -> Iterator[Quarantined]:
    why = "the text of this row is null"
    for source, row in zip(sources.to_pylist(), rows.tolist(), strict=True):
        yield Quarantined(split.input_name, row, "no_text", why, source=source)


def _read_in_halves(
    error: Exception, batch: pa.RecordBatch, split: Split, start: int, columns: InputColumns
) -> Iterator[Item]:
    """A batch that holds a bad value: read in halves, until the bad rows stand alone."""
    if batch.num_rows == 1:
        reason = "not_utf8" if isinstance(error, InputError | UnicodeDecodeError) else "bad_value"
        yield Quarantined(
            split.input_name, start, reason, str(error).split("\n")[0][:300], source=split.source
        )
        return
    half = batch.num_rows // 2
    yield from _iter_records(batch.slice(0, half), split, start, columns)
    yield from _iter_records(batch.slice(half), split, start + half, columns)


def _read_published(batch: pa.RecordBatch, columns: InputColumns) -> pa.Array:
    if columns.published not in batch.schema.names:
        return parse_moments(pa.nulls(batch.num_rows))
    return parse_moments(batch.column(columns.published))


def _make_batch(
    text: pa.Array, fields: dict[str, pa.Array], at: np.ndarray, file: str
) -> pa.RecordBatch:
    """The records of rows `at` of a file: their texts, and the fields of `batch_fields`, of each."""
    arrays = {name: column for name, column in fields.items() if name != LOCATOR}
    arrays |= {"id": _make_ids(text, fields["source"], fields[LOCATOR], at, file), "text": text}
    arrays |= {
        "media": pa.repeat(pa.scalar("text"), len(at)),
        "capture": make_capture_column(file, at),
    }
    return pa.RecordBatch.from_arrays(
        [arrays[name] for name in RECORD_SCHEMA.names], schema=RECORD_SCHEMA
    )


def _make_ids(
    text: pa.Array, source: pa.Array, locator: pa.Array, at: np.ndarray, file: str
) -> pa.Array:
    data, cuts = get_text_buffers(text)
    raw = data.data
    contents = [raw[first:last] for first, last in pairwise(cuts.tolist())]
    places = [
        name or f"{file}#{row}".encode()
        for name, row in zip(_to_bytes(locator), at.tolist(), strict=True)
    ]
    return pa.array(document_ids(_to_bytes(source), places, contents), pa.string())


def _to_bytes(column: pa.Array) -> list[bytes]:
    """The values of a `string` column in UTF-8: far cheaper than as Python's own strings."""
    values: list[bytes] = column.cast(pa.binary()).to_numpy(zero_copy_only=False).tolist()
    return values
