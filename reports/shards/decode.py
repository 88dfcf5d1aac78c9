"""`gristmill shards decode`: a row of a shard back to text, with what is known of its document."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from gristmill.corpus.shards import open_shard
from gristmill.errors import InputError
from gristmill.runs.finished import FinishedRun
from reports.shards.lineage import DECIDED, stories


@dataclass(frozen=True, slots=True)
class DecodedRow:
    """A row of a shard: its place, its columns, its text, and its document's story."""

    split: str
    number: int
    columns: dict[str, Any]
    text: str
    sentences: list[str]
    story: dict[str, Any]


def decode(run: FinishedRun, split: str, first: int, count: int) -> list[DecodedRow]:
    """`count` rows of a split from `first` on, counted through its shards; raises InputError where there are not so many."""
    found = [(split, number, columns) for number, columns in _rows(run, split, first, count)]
    if not found:
        documents = run.details["splits"].get(split, {"documents": 0})["documents"]
        raise InputError(
            "there is no such row",
            {"split": split, "row": first, "documents": documents},
            "count from 0",
        )
    return _decoded(run, found)


def find(run: FinishedRun, id: str) -> list[DecodedRow]:
    """Every row of a document, in any split; raises InputError where there is none."""
    found = list[Place]()
    for split in run.details["splits"]:
        before = 0
        for table in _tables(run, split):
            for row in pc.indices_nonzero(pc.equal(table["id"], id)).to_pylist():
                found.append((split, before + row, table.slice(row, 1).to_pylist()[0]))
            before += table.num_rows
    if not found:
        raise InputError(
            "no shard holds this document",
            {"id": id, "run": run.path},
            "it may have been dropped (`gristmill explore`), or left out by the mixture (`pack --plan`)",
        )
    return _decoded(run, found)


def _tables(run: FinishedRun, split: str) -> Any:
    for file in run.data_files(f"{split}/"):
        if file.path.endswith(".arrow"):
            yield open_shard(
                run.path / file.path, size=file.bytes, rows=file.rows if file.rows >= 0 else None
            )


def _rows(run: FinishedRun, split: str, first: int, count: int) -> list[tuple[int, dict[str, Any]]]:
    found, before = list[tuple[int, dict[str, Any]]](), 0
    for table in _tables(run, split):
        start, stop = max(0, first - before), min(table.num_rows, first + count - before)
        if start < stop:
            rows = table.slice(start, stop - start).to_pylist()
            found += [(before + start + place, row) for place, row in enumerate(rows)]
        before += table.num_rows
    return found


Place = tuple[str, int, dict[str, Any]]
"""A row's split, its number there, and its columns."""


def _decoded(run: FinishedRun, found: Sequence[Place]) -> list[DecodedRow]:
    """Rows as text: all in one call of the tokenizer, their stories in one pass over the documents."""
    pieces = [_pieces(columns) for _, _, columns in found]
    texts = iter(texts_of(run.path / "tokenizer", [ids for row in pieces for ids in row]))
    told = [(next(texts), [next(texts) for _ in row[1:]]) for row in pieces]
    ids = [columns["id"] for _, _, columns in found]
    known = stories(run, {id: text for id, (text, _) in zip(ids, told, strict=True)})
    return [
        DecodedRow(*place, text, sentences, known[id])
        for place, (text, sentences), id in zip(found, told, ids, strict=True)
    ]


def _pieces(columns: Mapping[str, Any]) -> list[list[int]]:
    """The ids of a row, and those of each of its sentences."""
    ids, starts = columns["input_ids"], columns["sentences"]
    return [ids, *(ids[a:b] for a, b in zip(starts, [*starts[1:], len(ids)], strict=True))]


def texts_of(folder: Path, rows: Sequence[Sequence[int]]) -> list[str]:
    """The texts of ids, by the tokenizer of a folder."""
    if (folder / "tokenizer.model").is_file():
        import sentencepiece

        pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        return [pieces.decode(list(ids)) for ids in rows]
    import tokenizers

    return list(
        tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).decode_batch(
            list(map(list, rows))
        )
    )


def as_lines(row: DecodedRow) -> list[str]:
    """A row as lines for people: what it is, its story, its sentences."""
    apart = (*EDITS, *DECIDED)
    told = {
        name: value
        for name, value in row.story.items()
        if value not in (None, [], "", {}) and name not in apart
    }
    head = f"{row.split} row {row.number}  {row.columns['id']}  {len(row.columns['input_ids'])} tokens, {row.columns['bytes']} bytes"
    facts = {"source": row.columns["source"], "lang": row.columns["lang"], **told}
    decision = [("decision", decision_of(row.story))] if "cluster_size" in row.story else []
    rows = [
        *((name, _told(value)) for name, value in facts.items()),
        *decision,
        *edit_rows(row.story),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name.ljust(width)}  {value}" for name, value in rows]
    return [
        head,
        *lines,
        "",
        *(f"  | {line}" for sentence in row.sentences for line in sentence.splitlines() or [""]),
    ]


def decision_of(story: Mapping[str, Any]) -> str:
    """What was decided about a document that stands in a shard."""
    size, repeats = story["cluster_size"], story.get("repeats") or 1
    copies = f", for the {size} copies of cluster {story['cluster']}" if size > 1 else ""
    return f"kept{copies}" + (
        f", to be written {repeats} times (decide.upweight)" if repeats > 1 else ""
    )


EDITS = ("cuts", "masked", "differs")
"""What a story says of how the text differs from the original."""


def edit_rows(story: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a text differs from the original, a row for every cut and mask; personal data itself is not shown."""
    if "differs" not in story:
        return []
    cuts = [
        ("cut", f"bytes {cut['start']} to {cut['end']}, {cut['reason']}: {cut['text']}")
        for cut in story["cuts"]
    ]
    masked = [
        ("masked", f"bytes {span['start']} to {span['end']}, {span['type']}")
        for span in story["masked"]
    ]
    at, but = story["differs"], " but for what is cut and masked" if cuts or masked else ""
    further = f"differs from character {at} on, as its tokenizer normalizes or lacks pieces"
    return [*cuts, *masked, ("text", f"as it was extracted{but}" if at is None else further)]


def _told(value: Any) -> str:
    return (
        json.dumps(value, ensure_ascii=False, default=str)
        if isinstance(value, (dict, list))
        else str(value)
    )


def as_json(row: DecodedRow) -> dict[str, Any]:
    """A row as JSON."""
    return {
        "split": row.split,
        "row": row.number,
        "id": row.columns["id"],
        "source": row.columns["source"],
        "lang": row.columns["lang"],
        "text": row.text,
        "input_ids": row.columns["input_ids"],
        "sentences": row.columns["sentences"],
        "story": json.loads(json.dumps(row.story, default=str)),
    }
