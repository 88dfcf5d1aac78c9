"""What a format of inputs is, and what the planners of all formats share.

A planner takes one input file and yields its splits; a reader takes one split and yields its items.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from gristmill.corpus.document import as_text
from gristmill.errors import InputError
from pipelines.annotate.config import AnnotateConfig, InputColumns
from pipelines.annotate.readers.records import Item, Split

NAME_THE_COLUMN = "name it: --set annotate.columns.text=..."


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file to plan: its path and bytes, and the stem of the slices that it may be inflated to."""

    path: str
    size: int
    slice_stem: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFormat:
    """A format of inputs, declared once.

    `suffixes`: what the names of its files end with. `plan` splits a file by its own bytes, never
    by the number of workers. `read` yields the items of a split whose kind is in `split_kinds`.
    `count` counts the records of a split without reading them; None where the plan says it, or
    where only reading can tell.
    """

    name: str
    suffixes: tuple[str, ...]
    split_kinds: tuple[str, ...]
    plan: Callable[[InputFile, AnnotateConfig], Iterator[Split]]
    read: Callable[[Split, InputColumns], Iterator[Item]]
    count: Callable[[Split], int] | None = None


def iter_even_splits(file_split: Split, split_bytes: int) -> Iterator[Split]:
    """Cut the bytes of a file (or of a slice of one) into even ranges of at most `split_bytes`."""
    size = file_split.stop - file_split.start
    count = max(1, math.ceil(size / split_bytes))
    bounds = [file_split.start + size * number // count for number in range(count + 1)]
    for start, stop in itertools.pairwise(bounds):
        # An empty file is one split, so that the ledger shows it.
        if stop > start or file_split.stop == 0:
            yield dataclasses.replace(file_split, start=start, stop=stop)


def check_text_column(schema: pa.Schema, path: str, text: str) -> None:
    """Raise InputError where a file has no column `text`, or one that does not hold strings."""
    if text not in schema.names:
        columns = ", ".join(schema.names)
        where = {"file": path, "wanted": text, "there are": columns}
        raise InputError("this file has no text column", where, NAME_THE_COLUMN)
    try:
        as_text(schema.empty_table()[text])
    except InputError:
        where = {"file": path, "column": text, "type": schema.field(text).type}
        raise InputError("a text column must hold strings", where, NAME_THE_COLUMN) from None
