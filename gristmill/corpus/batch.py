"""Rows of one shard of a corpus: documents beside their decisions, as a table or as Python records."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.corpus.decision import Bits, DecisionRow, Legend
from gristmill.corpus.document import DocumentRow
from gristmill.corpus.parquet_shard import RowNumbers, times_as_text


class ShardRow(NamedTuple):
    """Where a document lies: the number of its shard and its row there."""

    shard: int
    row: int


class JoinedRow(DocumentRow, DecisionRow, total=False):
    """One document and its decision as a Python record."""


@dataclass(frozen=True, slots=True)
class CorpusBatch:
    """Rows of one shard: `table` has the columns of the documents, then those of the decisions."""

    shard: int
    rows: RowNumbers
    table: pa.Table
    legend: Legend
    decided: bool

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def keep(self) -> npt.NDArray[np.bool_]:
        """Which documents are kept: all of them where nothing was decided. Reads column `keep`."""
        if not self.decided:
            return np.ones(len(self.rows), np.bool_)
        return np.asarray(self.table["keep"].to_numpy(), np.bool_)

    @property
    def reasons(self) -> Bits:
        """The reasons as bit sets, 0 where nothing was decided. Reads column `reasons`."""
        if not self.decided:
            return np.zeros(len(self.rows), np.uint64)
        return np.asarray(self.table["reasons"].to_numpy(), np.uint64)

    def filter(self, mask: npt.NDArray[np.bool_]) -> "CorpusBatch":
        """The rows for which `mask` (rows,) is true."""
        table = self.table.filter(pa.array(mask))
        return CorpusBatch(self.shard, self.rows[mask], table, self.legend, self.decided)

    def select_kept(self) -> "CorpusBatch":
        """The kept documents."""
        return self.filter(self.keep)

    def select_dropped(self) -> "CorpusBatch":
        """The dropped documents."""
        return self.filter(~self.keep)

    def list_reasons(self) -> list[tuple[str, ...]]:
        """The reasons of every row by name, in the order of the legend; kept rows have none."""
        return [self.legend.read_reasons(int(bits)) for bits in self.reasons]

    def iter_rows(self) -> Iterator[tuple[ShardRow, JoinedRow]]:
        """Every row as a Python record with its place. Times come as text, see DocumentRow."""
        records = cast(list[JoinedRow], times_as_text(self.table).to_pylist())
        for row, record in zip(self.rows.tolist(), records, strict=True):
            yield ShardRow(self.shard, row), record
