"""A table as plain data: its caption, the heads of its columns, and rows of text or markup."""

from collections.abc import Sequence
from dataclasses import dataclass

from gristmill.formatting import format_counted

Cell = str
"""Text, escaped when it is drawn, or `Markup`."""

CLASSES = {"#": "n", "~": "w"}
"""First character of a column's head -> style: numbers stand to the right, prose gets room for several words a line."""

FIRST_ROWS = 20
"""Rows of a long table that are not folded away."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """The head of a column, and its style class or None."""

    name: str
    style: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table; a head that begins with # is a column of numbers, with ~ one of prose.

    The first cell of a row is its head. Raises ValueError where a row has another number of cells than `head`.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(
                    f"a row of {len(row)} cells in a table of {len(self.head)} columns"
                )

    @property
    def columns(self) -> list[TableColumn]:
        """The columns in order."""
        return [TableColumn(name.lstrip("#~"), CLASSES.get(name[:1])) for name in self.head]


@dataclass(frozen=True, slots=True)
class LongTable:
    """A table of which the rows beyond the first stand folded in a second one."""

    first: Table
    continued: Table | None

    @property
    def summary(self) -> str:
        """The line that unfolds the second table."""
        rows = 0 if self.continued is None else len(self.continued.rows)
        return format_counted(rows, "more row")


def split_table(table: Table) -> LongTable:
    """Fold away the rows beyond the first FIRST_ROWS."""
    first = Table(table.caption, table.head, table.rows[:FIRST_ROWS])
    more_rows = table.rows[FIRST_ROWS:]
    if not more_rows:
        return LongTable(first, None)
    return LongTable(first, Table(f"{table.caption}, continued", table.head, more_rows))
