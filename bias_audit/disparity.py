"""Compare how often each rule drops documents that mention a group with how often it drops the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bias_audit.corpus import DocumentBatch
from bias_audit.stats import (
    Z95,
    Estimate,
    holm,
    mantel_haenszel,
    risk_ratio,
    rounded,
    two_sided_p,
    wilson,
)

ANY = "(dropped)"
LENGTH_EDGES = tuple(2 ** (step / 2) for step in range(2, 34))
"""Bins half an octave wide: long documents mention more groups and meet other rules, so length must be held equal."""

FOUR_FIFTHS = 0.8

Bools = NDArray[np.bool_]
Longs = NDArray[np.int64]


@dataclass(slots=True)
class Stratum:
    """Counts of one source, language and length bin: documents and hits, for all and for those that mention a group."""

    documents: int
    hits: Longs
    mentioning: Longs
    mentioning_hits: Longs


class Disparity:
    """Drop counts by rule, group and stratum over the documents of one language, fed batch by batch."""

    def __init__(self, groups: Sequence[str], legend: Sequence[str]) -> None:
        self.groups, self.reasons = list(groups), [*legend, ANY]
        self.strata: dict[tuple[str, int], Stratum] = {}

    def add(self, batch: DocumentBatch, mentions: Bools, words: NDArray[np.float64]) -> None:
        """Add documents: `mentions` is documents x groups; every reason of a document counts, not only its first."""
        bits = np.arange(len(self.reasons) - 1, dtype=np.uint64)
        reasons = (batch.reasons[:, None] >> bits[None, :]) & np.uint64(1)
        hits = np.concatenate(
            [reasons.astype(np.int64), (~batch.keep)[:, None].astype(np.int64)], axis=1
        )
        bins = np.digitize(words, LENGTH_EDGES)
        for source in sorted(set(batch.sources)):
            for length in np.unique(bins[batch.sources == source]):
                rows = (batch.sources == source) & (bins == length)
                self._add(
                    self._stratum(source, int(length)), mentions[rows].astype(np.int64), hits[rows]
                )

    def _stratum(self, source: str, length: int) -> Stratum:
        groups, reasons = len(self.groups), len(self.reasons)
        empty = Stratum(
            0, *(np.zeros(shape, dtype=np.int64) for shape in (reasons, groups, (groups, reasons)))
        )
        return self.strata.setdefault((source, length), empty)

    def _add(self, stratum: Stratum, mentions: Longs, hits: Longs) -> None:
        stratum.documents += len(hits)
        stratum.hits += hits.sum(axis=0)
        stratum.mentioning += mentions.sum(axis=0)
        stratum.mentioning_hits += mentions.T @ hits

    def cells(self, group: str, reason: str) -> NDArray[np.float64]:
        """One row a stratum: hits and n among documents that mention the group, then among the others."""
        g, r = self.groups.index(group), self.reasons.index(reason)
        rows = [
            (
                s.mentioning_hits[g, r],
                s.mentioning[g],
                s.hits[r] - s.mentioning_hits[g, r],
                s.documents - s.mentioning[g],
            )
            for _, s in sorted(self.strata.items())
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 4)


def compare_rules(parts: Sequence[Disparity], *, min_documents: int) -> list[dict[str, Any]]:
    """Every rule and group over all languages, Holm-corrected over the whole table.

    A group needs `min_documents` documents that mention it, and as many that do not; a rule must have fired.
    Rows without a stratified ratio are not tested: their p is None.
    """
    found: list[tuple[dict[str, Any], Estimate | None]] = []
    for group in dict.fromkeys(group for part in parts for group in part.groups):
        mine = [part for part in parts if group in part.groups]
        for reason in mine[0].reasons:
            cells = np.concatenate([part.cells(group, reason) for part in mine])
            hit, n, other_hit, other_n = (int(total) for total in cells.sum(axis=0))
            if min(n, other_n) >= min_documents and hit + other_hit > 0:
                found.append(_row(group, reason, cells, (hit, n, other_hit, other_n)))
    tested = [(row, _p_of_ratio(pooled)) for row, pooled in found if pooled is not None]
    for (row, _), p in zip(tested, holm([p for _, p in tested]), strict=True):
        row["p_holm"] = round(p, 6)
    return [row for row, _ in found]


def _row(
    group: str, reason: str, cells: NDArray[np.float64], totals: tuple[int, int, int, int]
) -> tuple[dict[str, Any], Estimate | None]:
    hit, n, other_hit, other_n = totals
    pooled = mantel_haenszel(cells)
    passed = risk_ratio(n - hit, n, other_n - other_hit, other_n)
    row = {
        "reason": reason,
        "group": group,
        "drop_rate": wilson(hit, n).as_json(),
        "other_drop_rate": wilson(other_hit, other_n).as_json(),
        "risk_ratio": rounded(risk_ratio(hit, n, other_hit, other_n)),
        "stratified_risk_ratio": rounded(pooled),
        "strata": int(((cells[:, 1] > 0) & (cells[:, 3] > 0)).sum()),
        "p_holm": None,
        "pass_ratio": rounded(passed),
        "four_fifths_warning": passed is not None and passed.value < FOUR_FIFTHS,
    }
    return row, pooled


def _p_of_ratio(ratio: Estimate) -> float:
    """Two-sided p against 1, from an interval that is symmetric on the log scale."""
    width = math.log(ratio.high) - math.log(ratio.low)
    if width == 0:
        return 1.0 if ratio.value == 1 else 0.0
    return two_sided_p(math.log(ratio.value) / (width / (2 * Z95)))
