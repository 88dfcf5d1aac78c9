"""The ledger: what became of every record that was read. read = kept + dropped(reason) +
quarantined(reason).

It is the sum of committed receipts, never of counters that a retried bundle could count twice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from gristmill.errors import GristmillError

Fate = Literal["kept", "dropped", "quarantined"]
FATES: tuple[Fate, ...] = ("kept", "dropped", "quarantined")

LEDGER_SCHEMA = pa.schema(
    [
        pa.field("split", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("fate", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """So many documents (and bytes of their text) of one source and language had one fate for one
    reason.
    """

    source: str
    lang: str
    fate: Fate
    reason: str
    documents: int
    bytes: int

    def __post_init__(self) -> None:
        if self.fate not in FATES or (self.fate == "kept") == bool(self.reason):
            raise ValueError(
                f"a kept entry has no reason, any other has one: {self.fate!r}, {self.reason!r}"
            )
        if self.documents < 0 or self.bytes < 0:
            raise ValueError(f"counts cannot be negative: {self.documents}, {self.bytes}")


class Tally:
    """Counts fates while a split is read; `entries` gives them sorted."""

    def __init__(self) -> None:
        self._documents: Counter[tuple[str, str, Fate, str]] = Counter()
        self._bytes: Counter[tuple[str, str, Fate, str]] = Counter()

    def add(
        self,
        fate: Fate,
        reason: str = "",
        *,
        source: str,
        lang: str,
        documents: int = 1,
        size: int = 0,
    ) -> None:
        """Count `documents` with `size` bytes of text in all."""
        key = (source, lang, fate, reason)
        self._documents[key] += documents
        self._bytes[key] += size

    def entries(self) -> list[Entry]:
        """One entry per source, language, fate and reason, sorted."""
        return sorted(
            Entry(*key, documents=n, bytes=self._bytes[key])
            for key, n in self._documents.items()
            if n
        )


class Unbalanced(GristmillError):
    """Records were lost or invented: a fault of ours that must never pass silently."""


def check_balance(read: int, entries: Iterable[Entry], *, where: str) -> None:
    """Raise Unbalanced unless `read` equals the documents of all entries."""
    counted = sum(entry.documents for entry in entries)
    if read != counted:
        raise Unbalanced(f"{where}: read {read} records, but {counted} have a fate")


def ledger_table(by_split: Mapping[int, Iterable[Entry]]) -> pa.Table:
    """The ledger as a table, one row per split and entry, in order."""
    rows = [
        (split, *_row(entry)) for split in sorted(by_split) for entry in sorted(by_split[split])
    ]
    return pa.table(
        [pa.array([row[i] for row in rows], f.type) for i, f in enumerate(LEDGER_SCHEMA)],
        LEDGER_SCHEMA,
    )


def _row(entry: Entry) -> tuple[str, str, str, str, int, int]:
    return entry.source, entry.lang, entry.fate, entry.reason, entry.documents, entry.bytes


def totals(entries: Iterable[Entry]) -> dict[str, int]:
    """Documents by fate, and by "fate:reason" for what was not kept: the funnel in one
    dictionary.
    """
    count: Counter[str] = Counter(dict.fromkeys(FATES, 0))
    for entry in entries:
        count[entry.fate] += entry.documents
        if entry.reason:
            count[f"{entry.fate}:{entry.reason}"] += entry.documents
    return dict(sorted(count.items()))
