"""`gristmill shards verify`: everything that can be wrong with the shards of a pack run, each fault with its file.

A truncated stream reads as fewer rows without an error, and a flipped bit as another token: sizes, markers, hashes, schema,
ids, sentences and sums are looked at, shard by shard, with a shard's buffers mapped and not copied.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from gristmill.corpus.shards import DATASET_DICT, REDO, open_shard, shard_schema, token_view
from gristmill.errors import InputError
from gristmill.hashing import sha256_file
from gristmill.runs.finished import FinishedRun
from gristmill.runs.receipts import DataFile

SPLITS = ("train", "validation", "test")
STATE = "state.json"
TOKENIZER = b"gristmill.tokenizer"
DEFINING = ("tokenizer.model", "tokenizer.json")
"""The file that defines a tokenizer: the first of these that is there."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file of a run, and what to do."""

    file: str
    what: str
    fix: str = REDO


def faults(run: FinishedRun, told: Callable[[int], None] = lambda _: None) -> Iterator[Fault]:
    """All faults of a pack run, its tokenizer's first, then split by split; `told` hears the bytes of every shard looked at."""
    yield from tokenizer_faults(run)
    yield from (
        fault for file in run.data_files(DATASET_DICT) for fault in sealed_faults(run, file)
    )
    for split in SPLITS:
        known = [file for file in run.data_files(f"{split}/") if file.path.endswith(".arrow")]
        by_file = [(file, list(_looked_at(run, file, told))) for file in known]
        yield from (fault for _, found in by_file for fault in found)
        yield from folder_faults(run, split, [Path(file.path).name for file in known])
        if not any(found for _, found in by_file):
            yield from sum_faults(run, split, known)


def _looked_at(run: FinishedRun, known: DataFile, told: Callable[[int], None]) -> Iterator[Fault]:
    yield from shard_faults(run, known)
    told(known.bytes)


def tokenizer_faults(run: FinishedRun) -> Iterator[Fault]:
    """Whether the run's tokenizer is the one that its shards were made with, and the files beside it are as sealed."""
    folder = run.path / "tokenizer"
    place = next((folder / name for name in DEFINING if (folder / name).is_file()), None)
    if place is None:
        yield Fault("tokenizer", "there is no tokenizer")
        return
    if sha256_file(place) != run.details["tokenizer"]:
        yield Fault(
            f"tokenizer/{place.name}", "it is not the tokenizer that these shards were made with"
        )
    others = (file for file in run.data_files("tokenizer/") if run.path / file.path != place)
    yield from (fault for file in others for fault in sealed_faults(run, file))


def sealed_faults(run: FinishedRun, known: DataFile) -> Iterator[Fault]:
    """Whether a small file is there, with the content that was sealed."""
    path = run.path / known.path
    if not path.is_file():
        yield Fault(known.path, "there is no such file")
    elif sha256_file(path) != known.sha256:
        yield Fault(known.path, "its content is not what was sealed: the SHA-256 differs")


def shard_faults(run: FinishedRun, known: DataFile) -> Iterator[Fault]:
    """What is wrong with one shard; nothing further is looked at in one that cannot be read or is not what was sealed."""
    path = run.path / known.path
    try:
        table = open_shard(path, size=known.bytes, rows=known.rows if known.rows >= 0 else None)
    except InputError as error:
        yield Fault(known.path, error.what)
        return
    if sha256_file(path) != known.sha256:
        yield Fault(known.path, "its content is not what was sealed: the SHA-256 differs")
        return
    yield from (Fault(known.path, what) for what in content_faults(table, run))


def content_faults(table: pa.Table, run: FinishedRun) -> Iterator[str]:
    """What is wrong with the rows of a shard that is whole."""
    vocabulary = int(run.details["vocab_size"])
    if not table.schema.equals(shard_schema(vocabulary, {})):
        yield f"its columns are not those of a vocabulary of {vocabulary}: {', '.join(map(str, table.schema))}"
        return
    try:
        table.validate(
            full=True
        )  # offsets that descend, nulls where none may be, bytes that are not UTF-8
    except pa.ArrowInvalid as error:
        yield f"its columns are not valid Arrow: {error}"
        return
    if any(column.null_count for column in table.columns):
        yield "a value is missing: no column of a shard may have nulls"
        return
    if (table.schema.metadata or {}).get(TOKENIZER, b"").decode() != run.details["tokenizer"]:
        yield "it was made with another tokenizer than the run's"
    if any(values.max(initial=0) >= vocabulary for values, _ in token_view(table)):
        yield f"an id is beyond the vocabulary of {vocabulary}"
    if not all(_are_inside(chunk_ids, chunk) for chunk_ids, chunk in _lists(table)):
        yield "a sentence does not start inside its document, or before the one in front of it"


def _lists(table: pa.Table) -> Iterator[tuple[pa.ListArray, pa.ListArray]]:
    yield from zip(table["input_ids"].chunks, table["sentences"].chunks, strict=True)


def _are_inside(ids: pa.ListArray, sentences: pa.ListArray) -> bool:
    """Whether the starts of each row ascend from 0 and lie inside its tokens."""
    counts = np.diff(sentences.offsets.to_numpy())
    starts = sentences.flatten().to_numpy().astype(np.int64)
    rows = np.repeat(np.arange(len(sentences)), counts)
    lengths = np.diff(ids.offsets.to_numpy())
    first = np.r_[True, rows[1:] != rows[:-1]][: len(rows)]
    ascends = np.r_[True, starts[1:] > starts[:-1]][: len(rows)]
    return bool(
        ((counts > 0) == (lengths > 0)).all()
        and (starts < lengths[rows]).all()
        and np.where(first, starts == 0, ascends).all()
    )


def folder_faults(run: FinishedRun, split: str, shards: list[str]) -> Iterator[Fault]:
    """What is wrong in a split's folder beside its shards: foreign files, and those that `datasets` opens it by."""
    folder, known = run.path / split, run.data_files(f"{split}/")
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for name in sorted(there - {Path(file.path).name for file in known}):
        yield Fault(
            f"{split}/{name}",
            "it is no file of this run",
            "remove it: `datasets` and others may read it as a shard",
        )
    if shards and (listed := _listed(folder)) != shards:
        yield Fault(
            f"{split}/{STATE}",
            f"it names other files than the run has: {', '.join(listed) or 'none'}",
        )
        known = [file for file in known if Path(file.path).name != STATE]
    beside = (file for file in known if not file.path.endswith(".arrow"))
    yield from (fault for file in beside for fault in sealed_faults(run, file))


def sum_faults(run: FinishedRun, split: str, known: list[DataFile]) -> Iterator[Fault]:
    """Whether the shards of a split, all found whole, hold the documents and tokens that the manifest says."""
    tables = (open_shard(run.path / file.path) for file in known)
    counted = [
        (table.num_rows, sum(int(ends[-1] - ends[0]) for _, ends in token_view(table)))
        for table in tables
    ]
    told = run.details["splits"].get(split, {"documents": 0, "tokens": 0})
    for what, count in zip(
        ("documents", "tokens"), map(sum, zip((0, 0), *counted, strict=True)), strict=True
    ):
        if count != told[what]:
            yield Fault(
                split, f"its shards hold {count} {what}, and the manifest says {told[what]}"
            )


def _listed(folder: Path) -> list[str]:
    try:
        return [
            file["filename"] for file in json.loads((folder / STATE).read_text())["_data_files"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
