"""The fields of a whole batch of rows: column by column where all that is read is plain text, else row by row.

A plain column holds strings of any of Arrow's types, in a dictionary or not, or nothing; ids may be integers too. What
`fields.row_fields` says of each row holds for both ways, and the row is the reference: whatever a column cannot tell
(bytes that are no UTF-8, nested values, dates in place of titles) is left to it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.document import EVIDENCE, as_text
from gristmill.errors import InputError
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers.fields import find_genre, parse_licence, read_row_fields
from pipelines.annotate.readers.languages import parse_language
from pipelines.annotate.readers.records import RECORD_SCHEMA

FAULTS = (InputError, pa.ArrowException, ValueError, OverflowError, LookupError)
"""What a value raises that is no text, or that Python cannot tell (a far-out time, a time zone nobody knows)."""
LOCATOR = "locator"
"""The field that names a row within its source: its id, else its address, else empty. It is part of the document's id."""


class NotPlainColumn(ValueError):
    """A column that is not plain."""


def read_batch_fields(
    batch: pa.RecordBatch, columns: InputColumns, *, default_source: str
) -> dict[str, pa.Array]:
    """The fields of `row_fields`, and LOCATOR, as columns; raises one of FAULTS where a row has a value it cannot tell."""
    try:
        return read_plain_fields(batch, columns, default_source=default_source)
    except FAULTS:
        return read_fields_by_row(batch, columns, default_source=default_source)


def read_fields_by_row(
    batch: pa.RecordBatch, columns: InputColumns, *, default_source: str
) -> dict[str, pa.Array]:
    """The fields of any batch with a row: every value becomes a Python object."""
    wanted = set(columns.model_dump(exclude={"text", "published"}).values()) - {columns.text}
    rows = batch.select([name for name in batch.schema.names if name in wanted]).to_pylist()
    fields = [read_row_fields(row, columns, default_source=default_source) for row in rows]
    named = [
        str(row.get(columns.id) or field["url"] or "")
        for row, field in zip(rows, fields, strict=True)
    ]
    made = {name: _make_column(name, [field[name] for field in fields]) for name in fields[0]}
    return made | {LOCATOR: pa.array(named, pa.string())}


def _make_column(name: str, values: list[Any]) -> pa.Array:
    return pa.array(values, RECORD_SCHEMA.field(name).type)


def read_plain_fields(
    batch: pa.RecordBatch, columns: InputColumns, *, default_source: str
) -> dict[str, pa.Array]:
    """The fields of a batch of plain columns: no Python object a row. Raises OddColumn, or another of FAULTS."""
    rows = batch.num_rows
    texts = {
        name: _read_column(batch, getattr(columns, name), columns)
        for name in ("title", "url", "source", "licence")
    }
    key = _read_ids(batch, columns)
    return {
        "title": texts["title"],
        "url": texts["url"],
        "source": pc.fill_null(texts["source"], default_source)
        if texts["source"].null_count
        else texts["source"],
        "kind": _map_distinct(_read_column(batch, columns.kind, columns), find_genre),
        "stated_lang": _map_distinct(_read_column(batch, columns.lang, columns), parse_language),
        "fetched": pa.nulls(rows, RECORD_SCHEMA.field("fetched").type),
        "licence": _map_distinct(texts["licence"], parse_licence),
        "evidence": _make_evidence(texts["licence"], columns.licence),
        "opt_out": pa.ListArray.from_arrays(
            np.zeros(rows + 1, np.int32), pa.array([], pa.string())
        ),
        "author": pa.nulls(rows, pa.string()),
        LOCATOR: pc.fill_null(pc.coalesce(key, texts["url"]), ""),
    }


def _read_column(batch: pa.RecordBatch, name: str, columns: InputColumns) -> pa.Array:
    """The column `name` as `string`, null where it is empty; a column of nulls where there is none, as is the text's own."""
    if name == columns.text or name not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    column = batch.column(name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if kind not in (pa.string(), pa.large_string(), pa.string_view(), pa.null()):
        raise NotPlainColumn(f"{name} is of {kind}")
    text = as_text(column)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _read_ids(batch: pa.RecordBatch, columns: InputColumns) -> pa.Array:
    """The ids that the rows have; null where that is 0 or empty, which names nothing."""
    column = batch.column(columns.id) if columns.id in batch.schema.names else None
    if column is None or columns.id == columns.text or not pa.types.is_integer(column.type):
        return _read_column(batch, columns.id, columns)
    return pc.if_else(pc.equal(column, 0), pa.scalar(None, pa.string()), column.cast(pa.string()))


def _map_distinct(stated: pa.Array, meaning: Callable[[str | None], str | None]) -> pa.Array:
    """What each value means: each distinct one is asked for once."""
    coded = pc.dictionary_encode(stated, null_encoding="encode")
    told = [meaning(value) for value in coded.dictionary.to_pylist()]
    return pa.array(told, pa.string()).take(coded.indices)


def _make_evidence(licence: pa.Array, signal: str) -> pa.Array:
    """What the licences were read from: one item where one is stated, else none."""
    stated = licence.drop_null()
    ends = np.cumsum([False, *licence.is_valid().to_numpy(zero_copy_only=False)], dtype=np.int32)
    parts = [pa.repeat(pa.scalar(signal, pa.string()), len(stated)), stated]
    return pa.ListArray.from_arrays(
        ends, pa.StructArray.from_arrays(parts, fields=list(EVIDENCE.value_type))
    )
