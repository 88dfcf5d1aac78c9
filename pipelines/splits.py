"""The plan of `annotate`: inputs cut into splits by their own bytes, never by workers, and written before work starts.

Parquet is cut by row groups and rows, JSON Lines by bytes; a single-member gzip or zstd is inflated once into slices
that are cut like any other. WARC files and XML dumps are one split each: the crawl rotates its files at 16 MB.
"""

import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill import storage
from gristmill.errors import InputError
from gristmill.runs import SPILL
from pipelines.config import AnnotateConfig
from pipelines.read.compressed import inflate
from pipelines.read.records import Split

PLAN = "plan.parquet"
KINDS = {
    "parquet": (".parquet",),
    "lines": (".jsonl", ".ndjson", ".json"),
    "packed": (".jsonl.gz", ".jsonl.zst", ".ndjson.gz", ".ndjson.zst", ".json.gz", ".json.zst"),
    "warc": (".warc", ".warc.gz", ".warc.lz4", ".warc.zst"),
    "dump": (".xml", ".xml.bz2", ".xml.gz", ".xml.xz", ".bz2"),
}
_SCHEMA = pa.schema(
    [
        ("number", pa.int32()), ("kind", pa.string()), ("file", pa.string()), ("start", pa.int64()),
        ("stop", pa.int64()), ("expected", pa.int64()), ("origin", pa.string()), ("base", pa.int64()),
        ("note", pa.string()),
    ]
)  # fmt: skip


def kind_of_file(path: str) -> str:
    """Which reader a file needs, by its name; raises InputError for one that none knows."""
    name = path.lower()
    found = [kind for kind, ends in KINDS.items() if name.endswith(ends)]
    if not found:
        known = sorted({end for ends in KINDS.values() for end in ends})
        raise InputError("no reader for this kind of file", {"file": path}, f"give one of {' '.join(known)}")
    return found[0]


def make_plan(patterns: Sequence[str], config: AnnotateConfig, folder: Path) -> list[Split]:
    """Cut all files that `patterns` name into numbered splits; slices of packed files are written below `folder`."""
    files = [info for pattern in patterns for info in storage.listing(pattern)]
    cuts = [cut for info in files for cut in _cut(info, config, folder)]
    if not cuts:
        raise InputError("there is nothing to read", {"inputs": ", ".join(patterns)})
    return [dataclasses.replace(cut, number=number) for number, cut in enumerate(cuts)]


def write_plan(folder: Path, splits: Sequence[Split]) -> None:
    """Commit the plan."""
    table = pa.Table.from_pylist([dataclasses.asdict(split) for split in splits], _SCHEMA)
    with storage.commit(folder / PLAN) as file:
        pq.write_table(table, file)


def read_plan(folder: Path) -> list[Split]:
    """The splits of a run, as planned."""
    rows: list[dict[str, Any]] = pq.read_table(folder / PLAN).to_pylist()
    return [Split(**row) for row in rows]


def _cut(info: storage.FileInfo, config: AnnotateConfig, folder: Path) -> Iterator[Split]:
    kind = kind_of_file(info.path)
    if kind == "parquet":
        yield from _cut_table(info.path, config)
    elif kind == "lines":
        yield from _cut_bytes(Split(0, "lines", info.path, 0, info.size), config.split_bytes)
    elif kind == "packed":
        yield from _cut_packed(info.path, config, folder)
    else:
        yield Split(0, kind, info.path, 0, info.size, note="read whole: one split")


def _cut_table(path: str, config: AnnotateConfig) -> Iterator[Split]:
    with storage.open_input(path) as file:
        try:
            table = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError("this is no readable Parquet file", {"file": path, "problem": error}) from None
        names, metadata = table.schema_arrow.names, table.metadata
    if config.columns.text not in names:
        raise InputError(
            "this file has no text column",
            {"file": path, "wanted": config.columns.text, "there are": ", ".join(names)},
            "name it: --set annotate.columns.text=...",
        )
    first = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        pieces = max(1, math.ceil(metadata.row_group(group).total_byte_size / config.split_bytes))
        bounds = [first + rows * piece // pieces for piece in range(pieces + 1)]
        for start, stop in itertools.pairwise(bounds):
            if stop > start:
                yield Split(0, "parquet", path, start, stop, expected=stop - start)
        first += rows


def _cut_bytes(whole: Split, split_bytes: int) -> Iterator[Split]:
    pieces = max(1, math.ceil((whole.stop - whole.start) / split_bytes))
    bounds = [whole.start + (whole.stop - whole.start) * piece // pieces for piece in range(pieces + 1)]
    for start, stop in itertools.pairwise(bounds):
        if stop > start:
            yield dataclasses.replace(whole, start=start, stop=stop)


def _cut_packed(path: str, config: AnnotateConfig, folder: Path) -> Iterator[Split]:
    slices, remainder = inflate(path, folder / SPILL / "slices", config.slice_bytes)
    for piece in slices:
        whole = Split(0, "lines", piece.path, 0, piece.size, origin=path, base=piece.start)
        yield from _cut_bytes(whole, config.split_bytes)
    if remainder is not None:
        where = f"{os.path.basename(path)}: {remainder.why}"
        yield Split(0, "remainder", path, remainder.offset, remainder.compressed_offset, expected=1, note=where)
