"""`gristmill shards decode`: a row of a shard back to text, with what is known of its document."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill import runs
from gristmill.errors import InputError, RunError
from gristmill.sealed import FinishedRun
from gristmill.shards import open_shard

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
    "personal",
)
"""Columns of a document that its story is told by, as far as there are such."""
DECIDED = ("cluster", "cluster_size", "similarity", "repeats", "cuts")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a shard: its place, its columns, its text, and its document's story."""

    split: str
    number: int
    columns: dict[str, Any]
    text: str
    sentences: list[str]
    story: dict[str, Any]


def decode(run: FinishedRun, split: str, first: int, count: int) -> list[Row]:
    """`count` rows of a split from `first` on, counted through its shards; raises InputError where there are not so many."""
    found = [_decoded(run, split, number, columns) for number, columns in _rows(run, split, first, count)]
    if not found:
        documents = run.details["splits"].get(split, {"documents": 0})["documents"]
        raise InputError("there is no such row", {"split": split, "row": first, "documents": documents}, "count from 0")
    return found


def find(run: FinishedRun, id: str) -> list[Row]:
    """Every row of a document, in any split; raises InputError where there is none."""
    found = []
    for split in run.details["splits"]:
        before = 0
        for table in _tables(run, split):
            for row in pc.indices_nonzero(pc.equal(table["id"], id)).to_pylist():
                found.append(_decoded(run, split, before + row, table.slice(row, 1).to_pylist()[0]))
            before += table.num_rows
    if not found:
        raise InputError(
            "no shard holds this document", {"id": id, "run": run.path}, "was it kept? see `gristmill explore`"
        )
    return found


def _tables(run: FinishedRun, split: str) -> Any:
    for file in run.data_files(f"{split}/"):
        if file.path.endswith(".arrow"):
            yield open_shard(run.path / file.path, size=file.bytes, rows=file.rows if file.rows >= 0 else None)


def _rows(run: FinishedRun, split: str, first: int, count: int) -> list[tuple[int, dict[str, Any]]]:
    found, before = list[tuple[int, dict[str, Any]]](), 0
    for table in _tables(run, split):
        start, stop = max(0, first - before), min(table.num_rows, first + count - before)
        if start < stop:
            rows = table.slice(start, stop - start).to_pylist()
            found += [(before + start + place, row) for place, row in enumerate(rows)]
        before += table.num_rows
    return found


def _decoded(run: FinishedRun, split: str, number: int, columns: dict[str, Any]) -> Row:
    ids, starts = columns["input_ids"], columns["sentences"]
    pieces = [ids[a:b] for a, b in zip(starts, [*starts[1:], len(ids)], strict=True)]
    text, *sentences = texts_of(run.path / "tokenizer", [ids, *pieces])
    return Row(split, number, columns, text, sentences, story_of(run, columns["id"]))


def texts_of(folder: Path, rows: Sequence[Sequence[int]]) -> list[str]:
    """The texts of ids, by the tokenizer of a folder."""
    if (folder / "tokenizer.model").is_file():
        import sentencepiece

        pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        return [pieces.decode(list(ids)) for ids in rows]
    import tokenizers

    return list(tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).decode_batch(list(map(list, rows))))


def story_of(run: FinishedRun, id: str) -> dict[str, Any]:
    """What the runs behind a pack run know of a document; `missing` says what is not there to be asked."""
    try:
        chain = runs.corpus_line(run)
    except RunError as error:
        return {"missing": str(error)}
    annotated, decided = (runs.of_step(chain, step) for step in ("annotate", "decide"))
    if annotated is None or decided is None:
        return {"missing": "the runs that this one was made from are not beside it"}
    for file in annotated.files("documents/"):
        ids = pq.read_table(file, columns=["id"])["id"]
        if places := pc.indices_nonzero(pc.equal(ids, id)).to_pylist():
            decisions = decided.path / "decisions" / file.name
            return (
                _row(file, places[0], TOLD)
                | _row(decisions, places[0], DECIDED)
                | {"documents": f"{file.name}, row {places[0]}"}
            )
    return {"missing": f"{annotated.id} holds no such document"}


def _row(file: Path, row: int, columns: Sequence[str]) -> dict[str, Any]:
    """Columns of a row of a Parquet file, of which only its row group is read."""
    parquet = pq.ParquetFile(file)
    ends = np.cumsum([parquet.metadata.row_group(number).num_rows for number in range(parquet.num_row_groups)])
    group = int(np.searchsorted(ends, row, side="right"))
    there = [name for name in columns if name in parquet.schema_arrow.names]
    table: pa.Table = parquet.read_row_group(group, columns=there)
    return dict(table.slice(row - (int(ends[group - 1]) if group else 0), 1).to_pylist()[0])


def as_lines(row: Row) -> list[str]:
    """A row as lines for people: what it is, its story, its sentences."""
    told = {name: value for name, value in row.story.items() if value not in (None, [], "", {})}
    head = f"{row.split} row {row.number}  {row.columns['id']}  {len(row.columns['input_ids'])} tokens, {row.columns['bytes']} bytes"
    facts = {"source": row.columns["source"], "lang": row.columns["lang"], **told}
    width = max(map(len, facts))
    lines = [f"  {name.ljust(width)}  {_told(value)}" for name, value in facts.items()]
    return [head, *lines, "", *(f"  | {line}" for sentence in row.sentences for line in sentence.splitlines() or [""])]


def _told(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (dict, list)) else str(value)


def as_json(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    return {
        "split": row.split, "row": row.number, "id": row.columns["id"], "source": row.columns["source"],
        "lang": row.columns["lang"], "text": row.text, "input_ids": row.columns["input_ids"],
        "sentences": row.columns["sentences"], "story": json.loads(json.dumps(row.story, default=str)),
    }  # fmt: skip
