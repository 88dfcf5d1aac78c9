"""Fetch a few documents by their place: their beginnings, or how two of them differ.

In: files of documents, and row numbers. Out: samples and comparisons; personal data is masked before anything is shown.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.formatting import shorten
from reports.chain.report_data import TextSample
from reports.drawing.text_diff import Comparison, DiffExtent, compare_texts

COLUMNS = ["id", "text", "source", "lang", "capture", "personal"]

SHOWN = 320
"""Characters of a text that a sample shows."""


class RowLocation(NamedTuple):
    """Where a document lies: the number of its shard and its row."""

    shard: int
    row: int


Pair = tuple[RowLocation, RowLocation]


def read_rows(
    shards: Sequence[Path], places: Iterable[RowLocation], columns: Sequence[str] = COLUMNS
) -> Iterator[tuple[RowLocation, Mapping[str, Any]]]:
    """The documents at these places, each once, in order, with those of `columns` that there are.

    Of every shard only the row groups that hold one are read, one at a time.
    """
    rows_of_shard: dict[int, list[int]] = {}
    for place in sorted(set(places)):
        rows_of_shard.setdefault(place.shard, []).append(place.row)
    for shard, rows in rows_of_shard.items():
        file = pq.ParquetFile(shards[shard])
        present = [name for name in columns if name in file.schema_arrow.names]
        for group, start, rows_inside in _split_by_group(file, rows):
            positions = pa.array([row - start for row in rows_inside])
            table = file.read_row_group(group, columns=present).take(positions)
            records = _write_times_as_text(table).to_pylist()
            for row, record in zip(rows_inside, records, strict=True):
                yield RowLocation(shard, row), record


def _split_by_group(
    file: pq.ParquetFile, rows: Sequence[int]
) -> Iterator[tuple[int, int, list[int]]]:
    """The row groups that hold some of the rows: number, first row, and those rows."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    starts = np.cumsum([0, *sizes])
    groups = np.searchsorted(starts, rows, side="right") - 1
    for group in np.unique(groups).tolist():
        inside = [row for row, own in zip(rows, groups, strict=True) if own == group]
        yield group, int(starts[group]), inside


def _write_times_as_text(table: pa.Table) -> pa.Table:
    """Times as text: Python has no year above 9999, and a source may state one."""
    for position, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            text = table[field.name].cast(pa.string())
            table = table.set_column(position, field.name, text)
    return table


def read_samples(
    shards: Sequence[Path], places: Iterable[RowLocation]
) -> dict[RowLocation, TextSample]:
    """The samples at these places."""
    return {place: make_sample(row) for place, row in read_rows(shards, places)}


def read_texts(shards: Sequence[Path], places: Iterable[RowLocation]) -> dict[RowLocation, str]:
    """The full texts at these places, personal data masked."""
    rows = read_rows(shards, places, ["text", "personal"])
    return {place: mask_personal(row["text"], row.get("personal") or ()) for place, row in rows}


def read_pairs(
    shards: Sequence[Path], pairs: Iterable[Pair], extent: DiffExtent = DiffExtent()
) -> dict[Pair, Comparison]:
    """How the two documents of each pair differ, personal data masked."""
    listed = list(pairs)
    texts = read_texts(shards, chain.from_iterable(listed))
    return {
        (kept, dropped): compare_texts(texts[kept], texts[dropped], extent)
        for kept, dropped in listed
    }


def make_sample(row: Mapping[str, Any]) -> TextSample:
    """A row of documents as a sample."""
    text = mask_personal(row["text"], row.get("personal") or ())
    return TextSample(
        id=row["id"],
        source=row["source"],
        lang=row["lang"],
        text=shorten(text.strip(), SHOWN),
        capture=_describe_capture(row["capture"]),
    )


def _describe_capture(capture: Mapping[str, Any] | None) -> str:
    if not capture or not capture.get("file"):
        return ""
    name = str(capture["file"]).rsplit("/", 1)[-1]
    return f"{name}, offset {capture['offset']}, item {capture['item']}"


def mask_personal(text: str, spans: Iterable[Mapping[str, Any]]) -> str:
    """`text` with its spans (start and end in UTF-8 bytes, and a type) replaced by their type in brackets."""
    raw = text.encode()
    pieces: list[bytes] = []
    masked_until = 0
    ordered = sorted((span["start"], span["end"], span["type"]) for span in spans)
    for start, end, kind in ordered:
        # A span inside one that is masked already adds nothing; one that overlaps it masks its own rest.
        if end > masked_until:
            pieces.append(raw[masked_until : max(start, masked_until)])
            pieces.append(f"[{kind}]".encode())
            masked_until = end
    pieces.append(raw[masked_until:])
    # A span may cut a character in two.
    return b"".join(pieces).decode(errors="replace")
