"""The decision: the record that `decide` writes beside every document, and how its reasons are read.

A decisions file has the same number and the same rows as the documents file it was made for. Its
schema metadata names that file by SHA-256. The reasons of a document are a bit set; which bit is
which reason is said by the legend of the run.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gristmill.errors import RunError
from gristmill.runs.finished import FinishedRun

DOCUMENT_SHARD_KEY = b"gristmill.documents"
"""Key of a decisions file's schema metadata: the SHA-256 of the documents file it was made for."""

WITHHELD = ("takedown", "opt_out", "licence")
"""Reasons whose texts must not be shown. Their ids may be."""
COPIES = ("exact_duplicate", "url_duplicate", "near_duplicate")
"""Reasons that drop a document as a duplicate of another."""

NO_CLUSTER = -1
"""Value of `cluster` where a document has no duplicate."""

CUTS = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("reason", pa.string())]))

DECISION_SCHEMA = pa.schema(
    [
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field(
            "reasons",
            pa.uint64(),
            nullable=False,
            metadata={"is": "bit i = reason i of the run's legend"},
        ),
        pa.field(
            "cluster",
            pa.int64(),
            nullable=False,
            metadata={"is": "smallest node of the cluster of copies, or -1"},
        ),
        pa.field(
            "cluster_size",
            pa.int32(),
            nullable=False,
            metadata={"is": "documents in the cluster"},
        ),
        pa.field(
            "kept_id",
            pa.string(),
            metadata={"is": "the copy that survives; null where this one is kept"},
        ),
        pa.field(
            "similarity",
            pa.float32(),
            metadata={"is": "estimated Jaccard similarity to the copy that survives"},
        ),
        pa.field(
            "repeats",
            pa.int32(),
            nullable=False,
            metadata={"is": "how many times pack writes the document"},
        ),
        pa.field(
            "cuts",
            CUTS,
            nullable=False,
            metadata={"is": "spans of UTF-8 bytes that pack leaves out"},
        ),
    ],
    metadata={"gristmill.format": "decisions/2"},
)


class CutSpan(TypedDict):
    """A span of UTF-8 bytes that `pack` leaves out, and why."""

    start: int
    end: int
    reason: str


class DecisionRow(TypedDict, total=False):
    """One decision as a Python record; it has the columns that were asked for."""

    keep: bool
    reasons: int
    cluster: int
    cluster_size: int
    kept_id: str | None
    similarity: float | None
    repeats: int
    cuts: list[CutSpan]


Bits = npt.NDArray[np.uint64]
"""The reasons of documents: shape (documents,)."""


@dataclass(frozen=True, slots=True)
class Legend:
    """The reasons that a decide run may drop a document for; reason i is bit i, the first decides.

    The first reason that holds is the one a document is counted under.
    """

    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def read_reasons(self, bits: int) -> tuple[str, ...]:
        """All reasons in `bits`, in the order of the legend; empty for a kept document."""
        return tuple(name for place, name in enumerate(self.names) if bits >> place & 1)

    def first_reason(self, bits: int) -> str | None:
        """The reason that a document is counted under; None for a kept document."""
        if bits == 0:
            return None
        return self.names[lowest_bit(bits)]

    def make_mask(self, reasons: Iterable[str]) -> int:
        """The bit set of these reasons. A reason that this run does not know has no bit."""
        chosen = set(reasons)
        return sum(1 << place for place, name in enumerate(self.names) if name in chosen)

    def has_any(self, bits: Bits, reasons: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which documents have one of `reasons`, among others or alone: shape of `bits`."""
        matches: npt.NDArray[np.bool_] = (bits & np.uint64(self.make_mask(reasons))) != 0
        return matches

    def is_withheld(self, bits: Bits) -> npt.NDArray[np.bool_]:
        """Which documents must not be shown: those with a reason of WITHHELD."""
        return self.has_any(bits, WITHHELD)


def read_legend(decided: FinishedRun) -> Legend:
    """The legend of a decide run."""
    names: Sequence[str] = decided.details["reasons"]
    return Legend(tuple(str(name) for name in names))


def lowest_bit(bits: int) -> int:
    """The number of the lowest bit that is set: the first reason in the order of the legend."""
    # Two's complement: -bits keeps the lowest set bit and inverts all above it.
    lowest = bits & -bits
    return lowest.bit_length() - 1


def pair_metadata(sha256: str) -> dict[bytes, bytes]:
    """The schema metadata that binds decisions to the documents file with this SHA-256."""
    return {DOCUMENT_SHARD_KEY: sha256.encode()}


def refuse_other_documents(decisions: object, documents: object) -> RunError:
    """The error for a decisions file that was not made for this documents file."""
    return RunError(
        "these decisions were made for other documents",
        {"decisions": decisions, "documents": documents},
        "run `gristmill decide` again",
    )
