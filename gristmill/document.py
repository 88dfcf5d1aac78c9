"""The document: the one definition of the record that flows from the crawl to the shards, and of its borders.

`annotate` writes these columns (and its signals beside them); everything later reads them by name.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from gristmill.errors import InputError

MOMENT = pa.timestamp("ms", tz="UTC")
EVIDENCE = pa.list_(pa.struct([("signal", pa.string()), ("value", pa.string())]))
CAPTURE = pa.struct([("file", pa.string()), ("offset", pa.int64()), ("item", pa.int32())])

DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False, metadata={"is": "32 hex digits; see hashing.document_id"}),
        pa.field("text", pa.string(), nullable=False, metadata={"is": "extracted, normalized UTF-8 text"}),
        pa.field("title", pa.string(), metadata={"is": "title as the source gives it"}),
        pa.field("url", pa.string(), metadata={"is": "address it was read from"}),
        pa.field("source", pa.string(), nullable=False, metadata={"is": "name of the source, e.g. wikipedia-en"}),
        pa.field("kind", pa.string(), nullable=False, metadata={"is": "type of source; rules are chosen by it"}),
        pa.field("lang", pa.string(), nullable=False, metadata={"is": "ISO 639-1 where it has one; `und` if unsure"}),
        pa.field("lang_score", pa.float32(), nullable=False, metadata={"is": "the identifier's probability, 0 to 1"}),
        pa.field("published", MOMENT, metadata={"is": "date of publication the source states"}),
        pa.field("fetched", MOMENT, metadata={"is": "when the bytes were captured"}),
        pa.field("licence", pa.string(), nullable=False, metadata={"is": "SPDX id or `unknown`"}),
        pa.field("evidence", EVIDENCE, metadata={"is": "what the licence and opt-outs were read from"}),
        pa.field("opt_out", pa.list_(pa.string()), metadata={"is": "refusals the source states, e.g. noai"}),
        pa.field("author", pa.string(), metadata={"is": "keyed hash of the author of a social post"}),
        pa.field("capture", CAPTURE, metadata={"is": "file, byte offset and item the document was read from"}),
    ],
    metadata={"gristmill.format": "documents/1"},
)

KINDS = ("wiki", "news", "social", "web", "book", "docs", "legal", "speech", "other")
"""The kinds of source that presets know; any other kind of an input becomes `other`."""

MAX_COLUMN_BYTES = (1 << 31) - (1 << 20)
"""Offsets of `string` are signed 32 bits: one column chunk must stay below."""


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The one border for text from outside: any string-like column as one valid-UTF-8 `string` array.

    large_string, string_view, dictionary and binary columns occur in the wild; all become `string`, nulls stay.
    Raises InputError for what is not text, is not UTF-8, or does not fit 32-bit offsets.
    """
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if not (_is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()):
        raise InputError("a text column must hold strings", {"type": kind})
    if _bytes_of(column) > MAX_COLUMN_BYTES:
        raise InputError("a text column chunk is larger than 2 GiB", {"bytes": _bytes_of(column)}, "read fewer rows")
    try:
        text = column.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError("a text column holds bytes that are not UTF-8", {"problem": str(error)[:200]}) from None
    return text


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or kind == pa.binary_view())


def _bytes_of(column: pa.Array) -> int:
    return pc.sum(pc.binary_length(column.cast(pa.large_binary()))).as_py() or 0


def slice_batches(table: pa.Table, *, rows: int = 1000, text_bytes: int = 8 << 20) -> Iterator[pa.RecordBatch]:
    """Cut a table with a `text` column into the batches that flow: at most `rows` documents and about `text_bytes`."""
    ends = pc.cumulative_sum(pc.fill_null(pc.binary_length(table["text"]), 0).cast(pa.int64())).to_numpy()
    start = 0
    while start < table.num_rows:
        before = int(ends[start - 1]) if start else 0
        fits = int((ends[start : start + rows] - before <= text_bytes).sum())
        stop = start + max(1, fits)
        yield from table.slice(start, stop - start).combine_chunks().to_batches()
        start = stop
