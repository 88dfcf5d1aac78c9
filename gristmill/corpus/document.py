"""The document: the one definition of the record that flows from the crawl to the shards, and of
its borders.

`annotate` writes these columns (and its signals beside them); everything later reads them by name.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from gristmill.errors import InputError, RunError

if TYPE_CHECKING:
    from gristmill.runs.finished import FinishedRun

MOMENT = pa.timestamp("ms", tz="UTC")
EVIDENCE = pa.list_(pa.struct([("signal", pa.string()), ("value", pa.string())]))
CAPTURE = pa.struct([("file", pa.string()), ("offset", pa.int64()), ("item", pa.int32())])

DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field(
            "id",
            pa.string(),
            nullable=False,
            metadata={"is": "32 hex digits; see hashing.document_id"},
        ),
        pa.field(
            "text", pa.string(), nullable=False, metadata={"is": "extracted, normalized UTF-8 text"}
        ),
        pa.field("title", pa.string(), metadata={"is": "title as the source gives it"}),
        pa.field("url", pa.string(), metadata={"is": "address it was read from"}),
        pa.field(
            "source",
            pa.string(),
            nullable=False,
            metadata={"is": "name of the source, e.g. wikipedia-en"},
        ),
        pa.field(
            "kind",
            pa.string(),
            nullable=False,
            metadata={"is": "type of source; rules are chosen by it"},
        ),
        pa.field(
            "lang",
            pa.string(),
            nullable=False,
            metadata={"is": "ISO 639-1 where it has one; `und` if unsure"},
        ),
        pa.field(
            "lang_score",
            pa.float32(),
            nullable=False,
            metadata={"is": "the identifier's probability, 0 to 1"},
        ),
        pa.field(
            "script",
            pa.string(),
            nullable=False,
            metadata={
                "is": "ISO 15924 code of the script most letters are in: "
                "`Jpan` is Han with Kana, `Kore` Hangul, `Zyyy` no letters"
            },
        ),
        pa.field(
            "script_share",
            pa.float32(),
            nullable=False,
            metadata={"is": "share of the letters that are in it, 0 to 1"},
        ),
        pa.field(
            "stated_lang",
            pa.string(),
            metadata={
                "is": "language the page or source states: BCP 47 primary subtag, its shortest code"
            },
        ),
        pa.field("published", MOMENT, metadata={"is": "date of publication the source states"}),
        pa.field("fetched", MOMENT, metadata={"is": "when the bytes were captured"}),
        pa.field("licence", pa.string(), nullable=False, metadata={"is": "SPDX id or `unknown`"}),
        pa.field(
            "evidence", EVIDENCE, metadata={"is": "what the licence and opt-outs were read from"}
        ),
        pa.field(
            "opt_out",
            pa.list_(pa.string()),
            metadata={"is": "refusals the source states, e.g. noai"},
        ),
        pa.field(
            "author", pa.string(), metadata={"is": "keyed hash of the author of a social post"}
        ),
        pa.field(
            "capture",
            CAPTURE,
            metadata={
                "is": "file, place (byte offset; row of a table) and item the document was read from"
            },
        ),
    ],
    metadata={"gristmill.format": "documents/1"},
)

MAX_COLUMN_BYTES = (1 << 31) - (1 << 20)
"""Offsets of `string` are signed 32 bits: one column chunk must stay below."""


class PersonalSpan(TypedDict):
    """A span of UTF-8 bytes that holds personal data of one type, such as `email`."""

    start: int
    end: int
    type: str


class CaptureRecord(TypedDict):
    """Where a document was read from: file, byte offset (row of a table) and number of the item."""

    file: str
    offset: int
    item: int


class EvidenceRecord(TypedDict):
    """What a licence or a refusal was read from."""

    signal: str
    value: str


class DocumentRow(TypedDict, total=False):
    """One document as a Python record; it has the columns that were asked for.

    Times are text (`2026-11-30 12:00:00.000Z`): a source may state a year that Python does not
    have.
    """

    id: str
    text: str
    title: str | None
    url: str | None
    source: str
    kind: str
    lang: str
    lang_score: float
    script: str
    script_share: float
    stated_lang: str | None
    published: str | None
    fetched: str | None
    licence: str
    evidence: list[EvidenceRecord] | None
    opt_out: list[str] | None
    author: str | None
    capture: CaptureRecord | None
    text_bytes: int
    words: int
    personal: list[PersonalSpan] | None


def refuse_hashes_only(annotated: "FinishedRun", lacking: Iterable[str], fix: str) -> None:
    """Raise RunError where an annotate run has documents with `only_hashes`, which lack these
    columns; `fix` is one way out.
    """
    if annotated.manifest["config"].get("only_hashes"):
        raise RunError(
            "these documents were annotated with annotate.only_hashes, for finding copies alone",
            {"run": annotated.path, "they lack": ", ".join(lacking)},
            f"{fix}, or annotate again without it",
        )


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The one border for text from outside: any string-like column as one valid-UTF-8 `string`
    array.

    large_string, string_view, dictionary, binary and all-null columns occur in the wild; all become
    `string`, nulls stay. Raises InputError for what is not text, is not UTF-8, or does not fit
    32-bit offsets.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not _is_text(kind):
        raise InputError(
            "a text column must hold strings", {"type": kind}, "name a column of strings"
        )
    # Before anything is unrolled or joined: pyarrow lets offsets of a decoded dictionary overflow
    # without an error.
    size = sum(pc.sum(_lengths(chunk)).as_py() or 0 for chunk in chunks)
    if size > MAX_COLUMN_BYTES:
        raise InputError(
            "a text column chunk is larger than 2 GiB",
            {"bytes": size},
            "write it in smaller row groups",
        )
    try:
        texts = [_plain(chunk).cast(pa.string()) for chunk in chunks]
        text = (
            texts[0] if len(texts) == 1 else pa.concat_arrays([pa.array([], pa.string()), *texts])
        )
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(
            "a text column holds bytes that are not UTF-8",
            {"problem": str(error)[:200]},
            "write the file in UTF-8",
        ) from None
    return text


def _is_text(kind: pa.DataType) -> bool:
    views = kind in (pa.string_view(), pa.binary_view())
    large = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    return bool(
        views
        or large
        or pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_null(kind)
    )


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _lengths(column: pa.Array) -> pa.Array:
    """The bytes of each value, whatever the type: views and dictionaries have no kernel of their
    own.
    """
    if pa.types.is_dictionary(column.type):
        return pc.take(_lengths(column.dictionary), column.indices)
    return pc.binary_length(column.cast(pa.large_binary()))


def slice_batches(
    table: pa.Table, *, rows: int = 1000, text_bytes: int = 8 << 20
) -> Iterator[pa.RecordBatch]:
    """Cut a table with a `text` column into the batches that flow: at most `rows` documents and
    about `text_bytes`.
    """
    lengths = pa.chunked_array([_lengths(chunk) for chunk in table["text"].chunks], pa.int64())
    ends = pc.cumulative_sum(pc.fill_null(lengths, 0)).to_numpy()
    start = 0
    while start < table.num_rows:
        before = int(ends[start - 1]) if start else 0
        fits = int((ends[start : start + rows] - before <= text_bytes).sum())
        stop = start + max(1, fits)
        yield from table.slice(start, stop - start).combine_chunks().to_batches()
        start = stop
