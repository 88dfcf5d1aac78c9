"""Decisions beside the documents they judge: opened shard by shard, refused where they do not fit, their bits read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.errors import RunError
from gristmill.runs.finished import FinishedRun

WITHHELD = ("takedown", "opt_out", "licence")
"""Reasons whose texts are not ours to show; their ids are."""
COPIES = ("exact_duplicate", "url_duplicate", "near_duplicate")
"""The reasons that drop a document as a copy of another."""
AGAIN = "run `gristmill decide` again"


def decision_files(decided: FinishedRun, shards: int) -> list[Path]:
    """The files of decisions, one for each of so many shards of documents; raises RunError where there are others."""
    found = list(decided.files("decisions/"))
    if len(found) != shards:
        where = {"run": decided.path, "decisions": len(found), "documents": shards}
        raise RunError("this decide run has not as many shards as its documents", where, AGAIN)
    return found


def read_decisions(decisions: Path, documents: Path, columns: Sequence[str]) -> pa.Table:
    """These columns of one shard's decisions; raises RunError where its documents have another number of rows."""
    table = pq.read_table(decisions, columns=list(columns))
    if table.num_rows != (rows := pq.read_metadata(documents).num_rows):
        where = {"decisions": decisions, "rows": table.num_rows, "documents": rows}
        raise RunError("a decisions file has not as many rows as its documents", where, AGAIN)
    return table


def read_shards(
    decisions: Sequence[Path], documents: Sequence[Path], columns: Sequence[str]
) -> Iterator[tuple[int, pa.Table]]:
    """The number of every shard with these columns of its decisions."""
    for shard, (verdict, path) in enumerate(zip(decisions, documents, strict=True)):
        yield shard, read_decisions(verdict, path, columns)


def lowest_bit(bits: int) -> int:
    """The place of the lowest bit set: the reason that comes first in the legend."""
    return (bits & -bits).bit_length() - 1
