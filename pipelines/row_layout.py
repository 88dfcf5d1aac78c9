"""Name the columns of packed rows: int64 matrices whose columns would else be known by position only.

A layout goes beside the code that makes the rows. In: column names with their widths. Out: positions and slices, views
of columns, and rows stacked in the order of the layout. Kernels take positions as plain integers (`layout.index`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PackedRows = npt.NDArray[np.int64]
"""int64 (rows, width)."""
PackedColumn = npt.NDArray[np.int64]
"""int64 (rows,)."""


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The columns of one kind of packed rows, in order. `columns` are (name, width) pairs."""

    name: str
    columns: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"a column of {self.name} rows appears twice: {names}")
        if any(width < 1 for _, width in self.columns):
            raise ValueError(f"a column of {self.name} rows has no width: {self.columns}")

    @property
    def width(self) -> int:
        """All columns together."""
        return sum(width for _, width in self.columns)

    def slice(self, name: str) -> slice:
        """Where the column `name` lies. Raises KeyError for a name that is not of this layout."""
        start = 0
        for column, width in self.columns:
            if column == name:
                return slice(start, start + width)
            start += width
        raise KeyError(f"{self.name} rows have no column {name!r}")

    def index(self, name: str) -> int:
        """The position of the column `name`. Raises ValueError where it is several columns wide."""
        columns = self.slice(name)
        start, stop = columns.start, columns.stop
        if stop - start != 1:
            raise ValueError(f"column {name!r} of {self.name} rows is {stop - start} columns wide")
        return int(start)

    def column(self, rows: PackedRows, name: str) -> PackedColumn:
        """int64 (rows,): a view of the column `name`, which is one column wide."""
        column: PackedColumn = rows[:, self.index(name)]
        return column

    def block(self, rows: PackedRows, name: str) -> PackedRows:
        """int64 (rows, its width): a view of the column `name`, however wide it is."""
        return rows[:, self.slice(name)]

    def check(self, rows: PackedRows) -> PackedRows:
        """The same rows. Raises ValueError where they do not have the width of this layout."""
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ValueError(f"{self.name} rows are {self.width} columns wide, not {rows.shape}")
        return rows

    def stack(self, **columns: PackedColumn | PackedRows) -> PackedRows:
        """int64 (rows, width): these columns in the order of the layout.

        Raises ValueError unless exactly the columns of the layout are given, each with its width.
        """
        names = [name for name, _ in self.columns]
        if set(columns) != set(names):
            raise ValueError(f"{self.name} rows have the columns {names}, not {sorted(columns)}")
        return self.check(np.column_stack([columns[name] for name in names]))

    def make_empty(self) -> PackedRows:
        """int64 (0, width): no rows."""
        return np.zeros((0, self.width), np.int64)
