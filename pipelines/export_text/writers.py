"""Write a table of exported documents as Parquet or JSON Lines, equal bytes for equal rows."""

import gzip
import json
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from pipelines.export_text.config import ExportTextConfig
from pipelines.final_text import combine_column

JSON_ROWS = 1000
"""Rows turned into JSON at a time."""

ROW_GROUP_ROWS = 10_000

Convert = Callable[[Any], Any]
"""Makes a value of Python one that JSON may hold."""


def write_table(table: pa.Table, file: IO[bytes], config: ExportTextConfig) -> None:
    """Write a table as `config.format` says."""
    if config.format == "parquet":
        pq.write_table(table, file, compression=config.compression, row_group_size=ROW_GROUP_ROWS)
        return
    with _open_compressed(file, config.compression) as output:
        for batch in table.to_batches(max_chunksize=JSON_ROWS):
            output.write(format_json_lines(batch))


def _open_compressed(file: IO[bytes], compression: str) -> Any:
    """Return a context of a file to write plain bytes to; `file` itself stays open.

    Equal bytes give equal files, whenever they are written: no time of day goes into the header.
    """
    if compression == "gzip":
        return gzip.GzipFile("", "wb", fileobj=file, mtime=0)
    if compression == "zstd":
        return zstandard.ZstdCompressor().stream_writer(file, closefd=False)
    return nullcontext(file)


def format_json_lines(batch: pa.RecordBatch) -> bytes:
    """Return the rows of a batch as UTF-8 JSON, an object a line.

    Hashes are hexadecimal text, times ISO 8601; what is not a number is null.
    """
    columns = {name: _list_json_values(batch[name]) for name in batch.schema.names}
    lines: list[bytes] = []
    for row in range(batch.num_rows):
        record = {name: values[row] for name, values in columns.items()}
        lines.append(json.dumps(record, ensure_ascii=False, default=_convert_object).encode())
    return b"".join(line + b"\n" for line in lines)


def _list_json_values(column: pa.Array) -> list[Any]:
    """Return the values of a column as JSON may hold them."""
    values = combine_column(column).to_pylist()
    convert = _find_converter(column.type)
    return values if convert is None else _convert_all(values, convert)


def _convert_all(values: list[Any], convert: Convert) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def _find_converter(kind: pa.DataType) -> Convert | None:
    """Return what makes a value of this type one that JSON may hold; None where it is one."""
    if not pa.types.is_list(kind):
        return CONVERTERS.get(str(kind))
    convert_element = _find_converter(kind.value_type)
    if convert_element is None:
        return None
    return lambda values: _convert_all(values, convert_element)


def _format_hash(value: int) -> str:
    """64-bit hashes do not survive the numbers of JavaScript: 16 hexadecimal digits."""
    return f"{value:016x}"


def _drop_not_finite(value: float) -> float | None:
    """NaN and infinities are not JSON."""
    return value if math.isfinite(value) else None


CONVERTERS: Mapping[str, Convert] = {
    "uint64": _format_hash,
    "float": _drop_not_finite,
    "double": _drop_not_finite,
}


def _convert_object(value: Any) -> str:
    """Convert what `json` does not know."""
    if isinstance(value, datetime):
        # as precise as the column: Arrow reads no more digits
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"cannot be written as JSON: {type(value).__name__}")
