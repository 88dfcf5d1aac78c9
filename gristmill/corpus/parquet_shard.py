"""One Parquet file of a sealed run: chosen columns, and chosen rows by row group."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.errors import RunError
from gristmill.runs.finished import FinishedRun
from gristmill.runs.receipts import DataFile

RowNumbers = npt.NDArray[np.int64]
"""Numbers of rows in a shard: shape (rows,)."""


@dataclass(frozen=True, slots=True)
class ParquetShard:
    """One Parquet file of a sealed run, opened."""

    path: Path
    step: str
    file: pq.ParquetFile

    @classmethod
    def open(cls, run: FinishedRun, data_file: DataFile, step: str) -> "ParquetShard":
        """Open one file of a run; raises RunError where its size is not as sealed."""
        path = run.locate(data_file)
        return cls(path, step, pq.ParquetFile(path))

    @property
    def num_rows(self) -> int:
        """Rows, from the file's footer."""
        return int(self.file.metadata.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """Columns, with what their metadata says of them."""
        return self.file.schema_arrow

    def choose(self, columns: Sequence[str], optional: Sequence[str] = ()) -> list[str]:
        """The columns to read, each once; raises RunError where one of `columns` is missing.

        Parquet readers of Arrow leave out what is not there, without an error.
        """
        available = set(self.schema.names)
        missing = [name for name in columns if name not in available]
        if missing:
            raise RunError(
                "the files of this run lack a column",
                {"file": self.path, "without": ", ".join(sorted(missing))},
                f"run `gristmill {self.step}` again",
            )
        present = [name for name in optional if name in available]
        return list(dict.fromkeys([*columns, *present]))

    def take_rows(self, rows: RowNumbers, columns: Sequence[str]) -> pa.Table:
        """These rows, in the order of `rows`, which may repeat."""
        ascending, positions = np.unique(rows, return_inverse=True)
        parts = [table for _, table in self.iter_row_groups(ascending, columns)]
        if not parts:
            return self.schema.empty_table().select(list(columns))
        table = pa.concat_tables(parts)
        is_ascending = len(ascending) == len(rows) and bool((positions[1:] > positions[:-1]).all())
        return table if is_ascending else table.take(pa.array(positions))

    def iter_row_groups(
        self, rows: RowNumbers, columns: Sequence[str]
    ) -> Iterator[tuple[RowNumbers, pa.Table]]:
        """Ascending `rows` group by group: the numbers of those in a row group, and their table."""
        metadata = self.file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        ends = np.cumsum(sizes, dtype=np.int64)
        groups = np.searchsorted(ends, rows, side="right")
        for group in np.unique(groups).tolist():
            inside = rows[groups == group]
            first_row = int(ends[group]) - sizes[group]
            table = self.file.read_row_group(group, columns=list(columns))
            yield inside, table.take(pa.array(inside - first_row))


def times_as_text(table: pa.Table) -> pa.Table:
    """The table with its times as text: Python has no year above 9999, and a source may
    state one.
    """
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            text = table[field.name].cast(pa.string())
            table = table.set_column(number, field.name, text)
    return table
