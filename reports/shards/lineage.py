"""The story of documents in shards: where they come from, what was decided, and how their text differs from the original.

Runs behind a pack run are found beside it. Of their Parquet files the column of ids is read, then only the row groups
of the documents asked for; all documents of a call are looked for in one pass.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.errors import RunError
from gristmill.runs.finished import FinishedRun, corpus_lineage, latest_of

TOLD = (
    "title",
    "url",
    "kind",
    "licence",
    "published",
    "fetched",
    "author",
    "opt_out",
    "capture",
    "text_bytes",
)
"""Columns of a document that its story is told by, as far as there are such."""
DECIDED = ("cluster", "cluster_size", "similarity", "repeats")
SHOWN = 60
"""Characters of a cut that are shown."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document lies: its file of documents, that of its decision, and its row in both."""

    documents: Path
    decisions: Path
    row: int


def stories(run: FinishedRun, texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What the runs behind a pack run know of documents, by id; `texts` are those that the shards hold.

    `missing` says what is not there to be asked.
    """
    try:
        chain = corpus_lineage(run)
    except RunError as error:
        return {id: {"missing": str(error)} for id in texts}
    annotated, decided = (latest_of(chain, step) for step in ("annotate", "decide"))
    if annotated is None or decided is None:
        return {
            id: {"missing": "the runs that this one was made from are not beside it"}
            for id in texts
        }
    places = places_of(annotated, decided, set(texts))
    masked = bool(run.manifest["config"].get("mask_personal"))
    absent = {"missing": f"{annotated.id} holds no such document"}
    return {
        id: _story(places[id], text, masked=masked) if id in places else dict(absent)
        for id, text in texts.items()
    }


def places_of(
    annotated: FinishedRun, decided: FinishedRun, wanted: Collection[str]
) -> dict[str, Place]:
    """Where documents lie; of several with one id (the same record, read twice) the first that was kept."""
    found, kept = dict[str, Place](), set[str]()
    for file in annotated.files("documents/"):
        if len(kept) == len(wanted):
            break
        decisions = decided.file(f"decisions/{file.name}")
        for id, row in _rows_of(file, wanted):
            keep = id not in kept and bool(_row(decisions, row, ["keep"])["keep"])
            if keep or id not in found:
                found[id] = Place(file, decisions, row)
            kept |= {id} if keep else set()
    return found


def _rows_of(file: Path, wanted: Collection[str]) -> Iterator[tuple[str, int]]:
    """The ids of a file that are wanted, with their rows; a row group's ids are in memory at a time."""
    values, before = pa.array(sorted(wanted), pa.string()), 0
    for batch in pq.ParquetFile(file).iter_batches(columns=["id"]):
        for row in pc.indices_nonzero(pc.is_in(batch["id"], values)).to_pylist():
            yield batch["id"][row].as_py(), before + row
        before += batch.num_rows


def _row(file: Path, row: int, columns: Sequence[str]) -> dict[str, Any]:
    """Columns of a row of a Parquet file, of which only its row group is read."""
    parquet = pq.ParquetFile(file)
    ends = np.cumsum(
        [parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)]
    )
    group = int(np.searchsorted(ends, row, side="right"))
    there = [name for name in columns if name in parquet.schema_arrow.names]
    table: pa.Table = parquet.read_row_group(group, columns=there)
    return dict(table.slice(row - (int(ends[group - 1]) if group else 0), 1).to_pylist()[0])


def _story(place: Place, text: str, *, masked: bool) -> dict[str, Any]:
    document = _row(place.documents, place.row, [*TOLD, "text", "personal"])
    decision = _row(place.decisions, place.row, [*DECIDED, "cuts"])
    original, personal = str(document.pop("text")).encode(), document.pop("personal", None) or []
    cuts = decision.pop("cuts", None) or []
    edits = edits_of(cuts, personal if masked else [])
    return {
        **document,
        **decision,
        "cuts": [{**cut, "text": _excerpt(original, cut, personal)} for cut in cuts],
        "masked": list(personal) if masked else [],
        "differs": first_difference(original, edits, text),
        "documents": f"{place.documents.parents[1].name}/documents/{place.documents.name}, row {place.row}",
    }


def _excerpt(original: bytes, cut: Mapping[str, Any], personal: Sequence[Mapping[str, Any]]) -> str:
    """The beginning of what was cut, unless personal data lies in it: what is masked elsewhere is not printed here."""
    if any(span["start"] < cut["end"] and cut["start"] < span["end"] for span in personal):
        return "(it holds personal data)"
    text = original[cut["start"] : cut["end"]].decode(errors="replace").strip()
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


Edit = tuple[int, int, bool]
"""A stretch of UTF-8 bytes that is not in a shard's text as it was, and whether a placeholder stands for it."""


def edits_of(cuts: Sequence[Mapping[str, Any]], masked: Sequence[Mapping[str, Any]]) -> list[Edit]:
    """The edits that `pack` makes, in order: what begins inside one before it is done only as far as it goes on behind it."""
    wished = sorted(
        [(c["start"], 0, c["end"]) for c in cuts] + [(m["start"], 1, m["end"]) for m in masked]
    )
    edits, at = list[Edit](), 0
    for start, mask, end in wished:
        if end > at:
            edits.append((max(start, at), end, bool(mask)))
            at = end
    return edits


def first_difference(original: bytes, edits: Sequence[Edit], text: str) -> int | None:
    """Where a shard's text, in characters, first differs from the original but for its edits; None: nowhere.

    A placeholder may be any `<NAME>`; white space around the whole is not counted, as `pack` leaves it out.
    """
    parts, at = list[str | None](), 0
    for start, end, mask in edits:
        parts += [original[at:start].decode(errors="replace"), None if mask else ""]
        at = end
    parts.append(original[at:].decode(errors="replace"))
    return _unlike(_stripped(parts), text.strip())


def _stripped(parts: list[str | None]) -> list[str | None]:
    """The parts without white space in front of the first placeholder or character, and behind the last."""
    for order, strip in ((1, str.lstrip), (-1, str.rstrip)):
        places = list(range(len(parts)))[::order]
        for place in places:
            part = parts[place]
            if part is None:
                break
            parts[place] = strip(part)
            if parts[place]:
                break
    return parts


def _unlike(parts: Sequence[str | None], text: str) -> int | None:
    at = 0
    for part in parts:
        if part is None:
            close = text.find(">", at)
            if not text.startswith("<", at) or close < 0 or not text[at + 1 : close].isalpha():
                return at
            at = close + 1
        elif text.startswith(part, at):
            at += len(part)
        else:
            return at + _alike(part, text[at : at + len(part)])
    return None if at == len(text) else at


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
