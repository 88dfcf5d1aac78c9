"""Fetch a few documents by their place: their beginnings, or how two of them differ, with personal data masked before anything is shown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def read_rows(
    shards: Sequence[Path], places: Iterable[RowLocation], columns: Sequence[str] = COLUMNS
) -> Iterator[tuple[RowLocation, Mapping[str, Any]]]:
    """The documents at these places, with those of `columns` that there are; of every shard only the row groups that hold one are read, one at a time."""
    by_shard: dict[int, list[int]] = {}
    for place in sorted(set(places)):
        by_shard.setdefault(place.shard, []).append(place.row)
    for shard, rows in by_shard.items():
        file = pq.ParquetFile(shards[shard])
        there = [name for name in columns if name in file.schema_arrow.names]
        starts = np.cumsum(
            [0, *(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))]
        )
        groups = np.searchsorted(starts, rows, side="right") - 1
        for group in sorted(set(groups.tolist())):
            inside = [row for row, own in zip(rows, groups, strict=True) if own == group]
            table = file.read_row_group(group, columns=there).take(
                pa.array([r - int(starts[group]) for r in inside])
            )
            yield from zip(
                (RowLocation(shard, row) for row in inside), _plain(table).to_pylist(), strict=True
            )


def _plain(table: pa.Table) -> pa.Table:
    """Moments as text: Python has no year above 9999, and a source may state one."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(place, field.name, table[field.name].cast(pa.string()))
    return table


def read_samples(
    shards: Sequence[Path], places: Iterable[RowLocation]
) -> dict[RowLocation, TextSample]:
    """The samples at these places."""
    return {place: make_sample(row) for place, row in read_rows(shards, places)}


def read_texts(shards: Sequence[Path], places: Iterable[RowLocation]) -> dict[RowLocation, str]:
    """The whole texts at these places, personal data masked."""
    rows = read_rows(shards, places, ["text", "personal"])
    return {place: mask_personal(row["text"], row.get("personal") or ()) for place, row in rows}


def read_pairs(
    shards: Sequence[Path],
    pairs: Iterable[tuple[RowLocation, RowLocation]],
    extent: DiffExtent = DiffExtent(),
) -> dict[tuple[RowLocation, RowLocation], Comparison]:
    """How the two documents of each pair differ, personal data masked."""
    wanted = list(pairs)
    texts = read_texts(shards, [place for pair in wanted for place in pair])
    return {(one, other): compare_texts(texts[one], texts[other], extent) for one, other in wanted}


def make_sample(row: Mapping[str, Any]) -> TextSample:
    """A row of documents as a sample."""
    text = mask_personal(row["text"], row.get("personal") or ())
    return TextSample(
        row["id"],
        row["source"],
        row["lang"],
        shorten(text.strip(), SHOWN),
        _capture(row["capture"]),
    )


def _capture(capture: Mapping[str, Any] | None) -> str:
    if not capture or not capture.get("file"):
        return ""
    name = str(capture["file"]).rsplit("/", 1)[-1]
    return f"{name}, offset {capture['offset']}, item {capture['item']}"


def mask_personal(text: str, spans: Iterable[Mapping[str, Any]]) -> str:
    """`text` with its spans (UTF-8 bytes, of a type) replaced by their type in brackets."""
    raw, pieces, at = text.encode(), [], 0
    for start, end, kind in sorted((span["start"], span["end"], span["type"]) for span in spans):
        if end > at:
            pieces += [raw[at : max(start, at)], f"[{kind}]".encode()]
            at = end
    return b"".join([*pieces, raw[at:]]).decode(errors="replace")
