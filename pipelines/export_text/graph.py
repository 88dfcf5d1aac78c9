"""`export-text`: the kept documents with their final text, cut and masked as `pack` would, for those who tokenize elsewhere.

    shards -> export: text/part-*.parquet or .jsonl + receipt

One file a document shard and nothing regrouped. A document that `pack` would write several times stands here once, with
`repeats`. The column `text` comes with all columns of the document and of its decision but SCAFFOLD.
"""

import gzip
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from gristmill.errors import ConfigError
from gristmill.runs import receipts, storage
from gristmill.runs.ledger import Tally
from gristmill.runs.receipts import Receipt, describe_file
from pipelines.config import ExportTextConfig
from pipelines.document_shards import check_pair, shard_path
from pipelines.engine.exchange import SplitIndices
from pipelines.final_text import final_texts, one_array

STAGE = "export"
CODE = [
    "pipelines/export_text/graph.py",
    "pipelines/export_text/features.py",
    "pipelines/final_text.py",
    "pipelines/kernels/edits.py",
]
LIBRARIES = ["pyarrow", "zstandard"]
SCAFFOLD = ("signature", "line_hashes", "personal", "cuts", "keep", "reasons")
"""What served to decide and would mislead beside the final text: hashes of the text before, and spans in it. `columns` may name them."""
ROWS = 1000
"""Rows turned into JSON at a time."""


@dataclass(frozen=True, slots=True)
class Work:
    """Where things are."""

    folder: str
    documents: str
    decisions: str


def export(pipeline: beam.Pipeline, work: Work, config: ExportTextConfig, shards: int) -> None:
    """The whole graph."""
    pipeline | "shards" >> SplitIndices(shards) | "export" >> beam.ParDo(ExportShard(work, config))


class ExportShard(beam.DoFn):  # type: ignore[misc]
    """Write the final texts of one document shard and their receipt."""

    def __init__(self, work: Work, config: ExportTextConfig) -> None:
        self.work, self.config = work, config

    def process(self, shard: int) -> Iterator[int]:
        if receipts.read_receipt(Path(self.work.folder), STAGE, shard) is None:
            export_shard(self.work, shard, self.config)
        yield shard


def export_shard(work: Work, shard: int, config: ExportTextConfig) -> Receipt:
    """Write one shard."""
    folder, tally = Path(work.folder), Tally()
    check_pair(work.documents, work.decisions, shard)
    table = pq.read_table(shard_path(work.documents, shard))
    decisions = pq.read_table(shard_path(work.decisions, shard))
    read = table.num_rows
    _count(tally, "decided", table.filter(pc.invert(decisions["keep"])))
    for name in decisions.schema.names:
        table = table.append_column(name, decisions[name])
    kept = final_table(table.filter(decisions["keep"]), config)
    empty = pc.equal(kept["text"], "")
    _count(tally, "empty_after_cuts", kept.filter(empty))
    kept = kept.filter(pc.invert(empty))
    _count(tally, "", kept)
    name = f"text/part-{shard:05d}{config.ending}"
    with storage.open_for_commit(folder / name) as file:
        write(kept.select(chosen(kept.schema, config.columns)), file, config)
    files = (describe_file(folder, name, rows=kept.num_rows),)
    receipt = Receipt(STAGE, shard, read, tuple(tally.entries()), files)
    receipts.commit_receipt(folder, receipt)
    return receipt


def _count(tally: Tally, reason: str, table: pa.Table) -> None:
    """Count the rows of a table as kept, or dropped for `reason`; bytes of those kept."""
    sizes = table.select(["source", "lang"]).append_column("size", pc.binary_length(table["text"]))
    groups = sizes.group_by(["source", "lang"]).aggregate([("size", "count"), ("size", "sum")])
    for row in groups.to_pylist():
        key, size = {"source": row["source"], "lang": row["lang"]}, 0 if reason else row["size_sum"]
        tally.add(
            "dropped" if reason else "kept", reason, **key, documents=row["size_count"], size=size
        )


def final_table(kept: pa.Table, config: ExportTextConfig) -> pa.Table:
    """The documents with their final text in place of the one before."""
    text = final_texts(kept, mask=config.mask_personal)
    return kept.set_column(kept.schema.get_field_index("text"), "text", text)


def chosen(schema: pa.Schema, wanted: Sequence[str]) -> list[str]:
    """The columns to write; raises ConfigError for one that there is not."""
    if unknown := [name for name in wanted if name not in schema.names]:
        raise ConfigError(
            "documents have no such column",
            {"columns": unknown[0]},
            f"choose of {', '.join(schema.names)}",
        )
    return list(wanted) or [name for name in schema.names if name not in SCAFFOLD]


def written_schema(documents: str, decisions: str, config: ExportTextConfig) -> pa.Schema:
    """The columns that will be written, by the first shard; raises ConfigError, before any work, for one there is not."""
    fields = [
        field
        for folder in (documents, decisions)
        for field in pq.read_schema(shard_path(folder, 0))
    ]
    schema = pa.schema(fields)
    return pa.schema([schema.field(name) for name in chosen(schema, config.columns)])


def write(table: pa.Table, file: IO[bytes], config: ExportTextConfig) -> None:
    """Write a table as Parquet or JSON Lines."""
    if config.format == "parquet":
        pq.write_table(table, file, compression=config.compression, row_group_size=10_000)
        return
    with _opened(file, config.compression) as out:
        for batch in table.to_batches(max_chunksize=ROWS):
            out.write(json_lines(batch))


def _opened(file: IO[bytes], compression: str) -> Any:
    """A file to write plain bytes to: equal bytes give equal files, whenever they are written."""
    if compression == "gzip":
        return gzip.GzipFile("", "wb", fileobj=file, mtime=0)
    if compression == "zstd":
        return zstandard.ZstdCompressor().stream_writer(file, closefd=False)
    return _Plain(file)


class _Plain:
    """A file that is left open."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write

    def __enter__(self) -> "_Plain":
        return self

    def __exit__(self, *_: object) -> None:
        return None


def json_lines(batch: pa.RecordBatch) -> bytes:
    """The rows of a batch as UTF-8 JSON, an object a line: hashes as hexadecimal text, times in ISO 8601, no number as null."""
    columns = {name: _plain(batch[name]) for name in batch.schema.names}
    rows = (
        {name: values[row] for name, values in columns.items()} for row in range(batch.num_rows)
    )
    return b"".join(
        json.dumps(row, ensure_ascii=False, default=_as_json).encode() + b"\n" for row in rows
    )


def _plain(column: pa.Array) -> list[Any]:
    """The values of a column as JSON may hold them."""
    values = one_array(column).to_pylist()
    convert = _converter(column.type)
    return [None if value is None else convert(value) for value in values] if convert else values


def _converter(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """What makes a value of this type one that JSON may hold; None where it is one."""
    if not pa.types.is_list(kind):
        return CONVERT.get(str(kind))
    inside = _converter(kind.value_type)
    return (
        (lambda values: [None if value is None else inside(value) for value in values])
        if inside
        else None
    )


CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "uint64": lambda value: (
        f"{value:016x}"
    ),  # 64-bit hashes do not survive the numbers of JavaScript
    "float": lambda value: value if math.isfinite(value) else None,
    "double": lambda value: value if math.isfinite(value) else None,
}


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(
            timespec="milliseconds"
        )  # as precise as the column: Arrow reads no more digits
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"cannot be written as JSON: {type(value).__name__}")
