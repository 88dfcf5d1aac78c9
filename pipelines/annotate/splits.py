"""The plan of `annotate`: inputs cut into splits by their own bytes, written before work starts.

The number of workers has no part in it, so a run gives the same files with any. Parquet is cut by
row groups and rows, Arrow by batches and rows, JSON Lines and XML dumps by bytes, WARC files where
no record is separated from its metadata, multistream dumps by streams. What is packed as one
stream is inflated once into slices that are cut like any other. What cannot be cut says so in its
note.
"""

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.runs import storage
from gristmill.runs.run import SPILL
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.input_files import make_names, refuse_twins
from pipelines.annotate.readers.input_format import InputFile
from pipelines.annotate.readers.records import Split
from pipelines.annotate.readers.registry import find_input_format

PLAN = "plan.parquet"

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


def make_plan(
    files: Sequence[storage.FileInfo], config: AnnotateConfig, folder: Path
) -> list[Split]:
    """Cut all files into numbered splits; slices of packed files are written below `folder`."""
    paths = [info.path for info in files]
    refuse_twins(paths)
    slices = folder / SPILL / "slices"
    # Slices of a run that was stopped before its plan was written.
    shutil.rmtree(slices, ignore_errors=True)
    splits: list[Split] = []
    for file_number, (info, name) in enumerate(zip(files, make_names(paths), strict=True)):
        stem = slices / f"{file_number:05d}-{os.path.basename(info.path)}"
        file = InputFile(info.path, info.size, stem)
        for split in find_input_format(info.path).plan(file, config):
            splits.append(dataclasses.replace(split, name=name, number=len(splits)))
    return splits


def write_plan(folder: Path, splits: Sequence[Split]) -> None:
    """Commit the plan."""
    table = pa.Table.from_pylist([dataclasses.asdict(split) for split in splits], _SCHEMA)
    with storage.open_for_commit(folder / PLAN) as file:
        pq.write_table(table, file)


def read_plan(folder: Path) -> list[Split]:
    """The splits of a run, as planned."""
    rows = pq.read_table(folder / PLAN).to_pylist()
    return [Split(**row) for row in rows]
