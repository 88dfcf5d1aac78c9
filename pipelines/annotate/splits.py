"""The plan of `annotate`: inputs cut into splits by their own bytes, never by workers, and written before work starts.

Parquet is cut by row groups and rows, Arrow by batches and rows, JSON Lines and XML dumps by bytes, WARC files where no
record is torn from what is said of it, multistream dumps by streams. What is packed as one is inflated once into slices
that are cut like any other. What cannot be cut says so in its note.
"""

import collections
import dataclasses
import itertools
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.corpus.document import as_text
from gristmill.errors import InputError
from gristmill.runs import storage
from gristmill.runs.run import SPILL
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.readers.arrow import cut_arrow, schema_of
from pipelines.annotate.readers.compressed import inflate
from pipelines.annotate.readers.dump_pages import cut_dump
from pipelines.annotate.readers.records import Split
from pipelines.annotate.readers.warc_survey import cut

PLAN = "plan.parquet"
PEEK, PEEK_LINES = 1 << 20, 100
"""How far into a JSON Lines file is looked for its text field before anything is read."""
NAME_IT = "name it: --set annotate.columns.text=..."
KINDS = {
    "parquet": (".parquet",),
    "lines": (".jsonl", ".ndjson", ".json"),
    "packed": (".jsonl.gz", ".jsonl.zst", ".ndjson.gz", ".ndjson.zst", ".json.gz", ".json.zst"),
    "arrow": (".arrow",),
    "warc": (".warc", ".warc.gz", ".warc.lz4", ".warc.zst", ".wet", ".wet.gz"),
    "dump": (".xml", ".xml.bz2", ".xml.gz", ".xml.xz", ".xml.zst", ".bz2"),
}
ABOUT_ARROW = ("state.json", "dataset_info.json", "dataset_dict.json")
"""What lies beside the Arrow files of a data set of Hugging Face."""
_SCHEMA = pa.schema(
    [
        ("number", pa.int32()),
        ("kind", pa.string()),
        ("file", pa.string()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("expected", pa.int64()),
        ("origin", pa.string()),
        ("base", pa.int64()),
        ("note", pa.string()),
        ("name", pa.string()),
        ("skip", pa.int64()),
    ]
)


def kind_of_file(path: str) -> str:
    """Which reader a file needs, by its name; raises InputError for one that none knows."""
    name = path.lower()
    found = [kind for kind, ends in KINDS.items() if name.endswith(ends)]
    if not found:
        known = sorted({end for ends in KINDS.values() for end in ends})
        raise InputError(
            "no reader for this kind of file", {"file": path}, f"give one of {' '.join(known)}"
        )
    return found[0]


def make_plan(
    files: Sequence[storage.FileInfo], config: AnnotateConfig, folder: Path
) -> list[Split]:
    """Cut all chosen files into numbered splits; slices of packed files are written below `folder`."""
    _refuse_twins([info.path for info in files])
    names = _names([info.path for info in files])
    slices = folder / SPILL / "slices"
    shutil.rmtree(
        slices, ignore_errors=True
    )  # of a run that was stopped before its plan was written
    cuts = [
        dataclasses.replace(cut, name=name)
        for place, (info, name) in enumerate(zip(files, names, strict=True))
        for cut in _cut(info, config, slices / f"{place:05d}-{os.path.basename(info.path)}")
    ]
    return [dataclasses.replace(cut, number=number) for number, cut in enumerate(cuts)]


def choose_files(patterns: Sequence[str]) -> tuple[list[storage.FileInfo], list[str]]:
    """The files that `patterns` name and that have a reader, and the names of those that have none.

    In a folder or a glob a file that no reader knows is passed over; named itself it is an error, and so is a choice
    that leaves nothing. Raises InputError.
    """
    files, passed_over = list[storage.FileInfo](), list[str]()
    for pattern in patterns:
        found = storage.list_files(pattern)
        beside = _beside_arrow(found)
        for info in found:
            if info.path in beside and info.path != pattern:
                passed_over += (
                    []
                    if os.path.basename(info.path) in ABOUT_ARROW
                    else [os.path.basename(info.path)]
                )
                continue
            try:
                kind_of_file(info.path)
                files.append(info)
            except InputError:
                if info.path == pattern:
                    raise
                passed_over.append(os.path.basename(info.path))
    if not files:
        known = " ".join(sorted({end for ends in KINDS.values() for end in ends}))
        there = ", ".join(passed_over[:5]) or "no file"
        raise InputError(
            "there is nothing to read",
            {"inputs": ", ".join(patterns), "there": there},
            f"give files in {known}",
        )
    return files, sorted(passed_over)


def _beside_arrow(files: Sequence[storage.FileInfo]) -> set[str]:
    """What is no input in the folder of a data set of Hugging Face: the files about it, and Arrow files that its state
    does not name (caches of what somebody computed from it)."""
    folders = {os.path.dirname(info.path) for info in files if info.path.endswith(".arrow")}
    above = folders | {os.path.dirname(folder) for folder in folders}
    beside = {
        info.path
        for info in files
        if os.path.basename(info.path) in ABOUT_ARROW and os.path.dirname(info.path) in above
    }
    for state in [path for path in beside if os.path.basename(path) == "state.json"]:
        named = {
            str(entry["filename"]) for entry in storage.read_json(state).get("_data_files") or []
        }
        folder = os.path.dirname(state)
        there = {
            info.path
            for info in files
            if os.path.dirname(info.path) == folder and info.path.endswith(".arrow")
        }
        beside |= {path for path in there if os.path.basename(path) not in named}
    return beside


def _names(paths: Sequence[str]) -> list[str]:
    """What to call each file: "" (by its base name), or where several share that, its path below their common folder."""
    parts = [
        (os.path.abspath(path) if storage.is_local(path) else path).split("/") for path in paths
    ]
    alike = collections.Counter(part[-1] for part in parts)
    folders = zip(*(part[:-1] for part in parts if alike[part[-1]] > 1), strict=False)
    depth = sum(1 for _ in itertools.takewhile(lambda level: len(set(level)) == 1, folders))
    return ["/".join(part[depth:]).strip("/") if alike[part[-1]] > 1 else "" for part in parts]


def _refuse_twins(paths: Sequence[str]) -> None:
    """Raise InputError where one file is named twice: each of its records would be read twice."""
    seen: dict[str, str] = {}
    for path in paths:
        real = os.path.realpath(path) if storage.is_local(path) else path
        if real in seen:
            raise InputError(
                "one file is named twice",
                {"file": seen[real], "again": path},
                "name each file once",
            )
        seen[real] = path


def listed(
    files: Sequence[storage.FileInfo], plan: Sequence[Split], read: Mapping[int, int]
) -> list[dict[str, str | int]]:
    """Every input file with its bytes and the records that its splits (by number in `read`) had."""
    records = collections.Counter[str]()
    for split in plan:
        records[split.origin or split.file] += read[split.number]
    names = _names([info.path for info in files])
    return [
        {
            "name": name or os.path.basename(info.path),
            "bytes": info.size,
            "records": records[info.path],
        }
        for info, name in zip(files, names, strict=True)
    ]


def write_plan(folder: Path, splits: Sequence[Split]) -> None:
    """Commit the plan."""
    table = pa.Table.from_pylist([dataclasses.asdict(split) for split in splits], _SCHEMA)
    with storage.open_for_commit(folder / PLAN) as file:
        pq.write_table(table, file)


def read_plan(folder: Path) -> list[Split]:
    """The splits of a run, as planned."""
    rows: list[dict[str, Any]] = pq.read_table(folder / PLAN).to_pylist()
    return [Split(**row) for row in rows]


def _cut(info: storage.FileInfo, config: AnnotateConfig, slices: Path) -> Iterator[Split]:
    kind = kind_of_file(info.path)
    if kind == "parquet":
        yield from _cut_table(info.path, config)
    elif kind == "lines":
        _check_fields(info.path, config.columns.text)
        yield from _cut_bytes(Split(0, "lines", info.path, 0, info.size), config.split_bytes)
    elif kind == "packed":
        yield from _cut_packed(info.path, config, slices)
    elif kind == "arrow":
        _check_text(schema_of(info.path), info.path, config.columns.text)
        yield from cut_arrow(info.path, config.split_bytes)
    elif kind == "dump":
        yield from cut_dump(info.path, info.size, config.split_bytes, config.slice_bytes, slices)
    else:
        yield from _cut_warc(info, config.split_bytes)


def _cut_warc(info: storage.FileInfo, split_bytes: int) -> Iterator[Split]:
    ranges = [(0, info.size)]
    if info.size > split_bytes:
        with storage.open_input(info.path) as file:
            ranges = list(cut(file, info.size, split_bytes))
    note = (
        "its records cannot be read apart: one split"
        if info.size > split_bytes and len(ranges) == 1
        else ""
    )
    for start, stop in ranges:
        yield Split(0, "warc", info.path, start, stop, note=note)


def _cut_table(path: str, config: AnnotateConfig) -> Iterator[Split]:
    with storage.open_input(path) as file:
        try:
            table = pq.ParquetFile(file)
            schema, metadata = table.schema_arrow, table.metadata
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                "this is no readable Parquet file", {"file": path, "problem": error}
            ) from None
    _check_text(schema, path, config.columns.text)
    if not metadata.num_rows:
        yield Split(0, "parquet", path, 0, 0, expected=0)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    for start, stop in _row_ranges(
        [(group.num_rows, group.total_byte_size) for group in groups], config.split_bytes
    ):
        yield Split(0, "parquet", path, start, stop, expected=stop - start)


def _row_ranges(groups: Sequence[tuple[int, int]], split_bytes: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows of about `split_bytes`, from row groups (rows, bytes): small ones go together, large ones are cut evenly."""
    start, first, held = 0, 0, 0
    for rows, size in groups:
        if start < first and held + size > split_bytes:
            yield start, first
            start, held = first, 0
        first, held = first + rows, held + size
        if held > split_bytes:  # of one group: it began here
            pieces = math.ceil(held / split_bytes)
            bounds = [start + (first - start) * piece // pieces for piece in range(pieces + 1)]
            yield from ((low, high) for low, high in itertools.pairwise(bounds) if high > low)
            start, held = first, 0
    if start < first:
        yield start, first


def _check_text(schema: pa.Schema, path: str, text: str) -> None:
    """Raise InputError where the file has no column `text`, or one that holds no strings."""
    if text not in schema.names:
        there = ", ".join(schema.names)
        raise InputError(
            "this file has no text column",
            {"file": path, "wanted": text, "there are": there},
            NAME_IT,
        )
    try:
        as_text(schema.empty_table()[text])
    except InputError:
        kind = schema.field(text).type
        raise InputError(
            "a text column must hold strings", {"file": path, "column": text, "type": kind}, NAME_IT
        ) from None


def _check_fields(path: str, text: str, origin: str = "") -> None:
    """Raise InputError where not one of the first objects of a JSON Lines file has the field `text`."""
    with storage.open_input(path) as file:
        lines = file.read(PEEK).splitlines()[:PEEK_LINES]
    objects = [value for line in lines if isinstance(value := _json_of(line), dict)]
    if objects and not any(text in value for value in objects):
        there = ", ".join(sorted({str(key) for value in objects for key in value})[:20])
        where = {"file": origin or path, "wanted": text, "there are": there}
        raise InputError("the lines of this file have no text field", where, NAME_IT)


def _json_of(line: bytes) -> object:
    """The value of a line, or None for what is no JSON: the reader will say so of each."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _cut_bytes(whole: Split, split_bytes: int) -> Iterator[Split]:
    pieces = max(1, math.ceil((whole.stop - whole.start) / split_bytes))
    bounds = [
        whole.start + (whole.stop - whole.start) * piece // pieces for piece in range(pieces + 1)
    ]
    for start, stop in itertools.pairwise(bounds):
        if (
            stop > start or whole.stop == 0
        ):  # an empty file is one split, so that the ledger shows it
            yield dataclasses.replace(whole, start=start, stop=stop)


def _cut_packed(path: str, config: AnnotateConfig, stem: Path) -> Iterator[Split]:
    slices, remainder = inflate(path, stem, config.slice_bytes)
    if not slices and remainder is None:
        yield Split(0, "lines", path, 0, 0)
    if slices:
        _check_fields(slices[0].path, config.columns.text, path)
    for piece in slices:
        whole = Split(0, "lines", piece.path, 0, piece.size, origin=path, base=piece.start)
        yield from _cut_bytes(whole, config.split_bytes)
    if remainder is not None:
        where = f"{os.path.basename(path)}: {remainder.why}"
        yield Split(
            0,
            "remainder",
            path,
            remainder.offset,
            remainder.compressed_offset,
            expected=1,
            note=where,
        )
