"""What readers yield: Arrow batches of records (a document before extraction), and the records that are broken."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import pyarrow as pa

from gristmill.corpus.document import CAPTURE, DOCUMENT_SCHEMA

IDENTIFIED = ("lang", "lang_score", "script", "script_share")
"""The columns of a document that are found in its text, once it is extracted."""

RECORD_SCHEMA = pa.schema(
    [
        *(field for field in DOCUMENT_SCHEMA if field.name not in IDENTIFIED),
        pa.field(
            "media", pa.string(), nullable=False
        ),  # what `text` still is: text, html, wikitext or status
    ]
)
"""A document that is not yet extracted: `text` holds the source's own markup."""

QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("compressed_offset", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that cannot be read: where it lies (decompressed and, or -1, compressed offset), and why."""

    file: str
    offset: int
    reason: str
    error: str
    compressed_offset: int = -1
    source: str = "unknown"

    def row(self) -> dict[str, Any]:
        """As a row of QUARANTINE_SCHEMA."""
        return {name: getattr(self, name) for name in QUARANTINE_SCHEMA.names}


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that was read well and is no document: why, and of which source."""

    reason: str
    source: str


Item = Union[pa.RecordBatch, Quarantined, Dropped]  # noqa: UP007 - pyarrow is untyped: `|` would be no type to mypy


@dataclass(frozen=True, slots=True)
class Split:
    """One unit of work: records `start` to `stop` of `file` (rows, or bytes), for the reader `kind`.

    `origin` and `base` say where the bytes came from when `file` is a slice that we inflated; `expected` is an
    independent count of its records (-1: only reading can tell). `name` is set where other inputs have the same
    base name: their path below the folder they have in common. Of an Arrow file `base` is the byte of the batch in which
    row `start` lies, and `skip` its rows before that one.
    """

    number: int
    kind: str
    file: str
    start: int
    stop: int
    expected: int = -1
    origin: str = ""
    base: int = 0
    note: str = ""
    name: str = ""
    skip: int = 0

    @property
    def input_name(self) -> str:
        """What records call the input they were read from: unique within a plan, and the same on every machine."""
        return self.name or os.path.basename(self.origin or self.file)

    @property
    def source(self) -> str:
        """The source of records that state none: the input's base name up to its first dot."""
        return os.path.basename(self.input_name).split(".")[0]


def iter_batches(
    rows: Iterator[Mapping[str, Any] | Quarantined | Dropped],
    *,
    size: int = 256,
    text_bytes: int = 8 << 20,
) -> Iterator[Item]:
    """Gather row dictionaries into batches of RECORD_SCHEMA; everything else passes through in order."""
    held: list[Mapping[str, Any]] = []
    held_bytes = 0
    for row in rows:
        if not isinstance(row, Mapping):
            yield row
            continue
        held.append(row)
        held_bytes += len(row["text"])
        if len(held) >= size or held_bytes >= text_bytes:
            yield _batch(held)
            held, held_bytes = [], 0
    if held:
        yield _batch(held)


def _batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(row) for row in rows], RECORD_SCHEMA)


def make_capture_column(file: str, offsets: Sequence[int] | np.ndarray) -> pa.Array:
    """The `capture` of records that are rows or lines of a file."""
    items = pa.repeat(pa.scalar(0, pa.int32()), len(offsets))
    parts = [pa.repeat(pa.scalar(file), len(offsets)), pa.array(offsets, pa.int64()), items]
    return pa.StructArray.from_arrays(parts, fields=list(CAPTURE))
