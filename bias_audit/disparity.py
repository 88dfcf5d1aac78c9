"""Compares how often each rule drops documents that mention a group with how often it drops the
others.

In: batches of documents with the reasons they were dropped for, and the groups each mentions.
Out: one row for each rule and group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bias_audit.contract.corpus_rows import RuleComparison
from bias_audit.contract.estimate import Estimate
from bias_audit.corpus import DocumentBatch
from bias_audit.stats import (
    Z95,
    holm,
    mantel_haenszel,
    risk_ratio,
    rounded,
    two_sided_p,
    wilson,
)

ANY = "(dropped)"
"""The row of documents dropped for any reason."""

LENGTH_EDGES = tuple(2 ** (step / 2) for step in range(2, 34))
"""Bins half an octave wide: long documents mention more groups and meet other rules, so length must
be held equal.
"""

FOUR_FIFTHS = 0.8
"""Pass ratio below which US guidelines see adverse impact (29 CFR 1607.4 D): a reason to look."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]


@dataclass(slots=True)
class Stratum:
    """Counts of one source, language and length bin: documents and hits, for all and for those that
    mention a group.

    Shapes: hits (reasons,), mentioning (groups,), mentioning_hits (groups, reasons).
    """

    documents: int
    hits: Longs
    mentioning: Longs
    mentioning_hits: Longs


class Disparity:
    """Drop counts by rule, group and stratum over the documents of one language, fed batch by
    batch.
    """

    def __init__(self, groups: Sequence[str], legend: Sequence[str]) -> None:
        self.groups = list(groups)
        self.reasons = [*legend, ANY]
        self.strata: dict[tuple[str, int], Stratum] = {}

    def add(self, batch: DocumentBatch, mentions: Bools, words: Floats) -> None:
        """Add documents: `mentions` is (documents, groups); every reason of a document counts, not
        only its first.
        """
        hits = self._hits(batch)
        lengths = np.digitize(words, LENGTH_EDGES)
        for source in sorted(set(batch.sources)):
            of_source = batch.sources == source
            for length in np.unique(lengths[of_source]):
                rows = of_source & (lengths == length)
                stratum = self._stratum(source, int(length))
                _add_to_stratum(stratum, mentions[rows].astype(np.int64), hits[rows])

    def _hits(self, batch: DocumentBatch) -> Longs:
        """1 where a document was dropped for a reason, (documents, reasons); the last column is any
        reason.
        """
        bits = np.arange(len(self.reasons) - 1, dtype=np.uint64)
        by_reason = (batch.reasons[:, None] >> bits[None, :]) & np.uint64(1)
        dropped = (~batch.keep)[:, None]
        return np.concatenate([by_reason.astype(np.int64), dropped.astype(np.int64)], axis=1)

    def _stratum(self, source: str, length: int) -> Stratum:
        """The stratum of a source and length bin, made when first needed."""
        key = (source, length)
        if key not in self.strata:
            groups = len(self.groups)
            reasons = len(self.reasons)
            self.strata[key] = Stratum(
                documents=0,
                hits=np.zeros(reasons, dtype=np.int64),
                mentioning=np.zeros(groups, dtype=np.int64),
                mentioning_hits=np.zeros((groups, reasons), dtype=np.int64),
            )
        return self.strata[key]

    def cells(self, group: str, reason: str) -> Floats:
        """One row a stratum: hits and n among documents that mention the group, then among the
        others.
        """
        g = self.groups.index(group)
        r = self.reasons.index(reason)
        rows: list[tuple[int, int, int, int]] = []
        for _, stratum in sorted(self.strata.items()):
            hits = stratum.mentioning_hits[g, r]
            n = stratum.mentioning[g]
            rows.append((hits, n, stratum.hits[r] - hits, stratum.documents - n))
        return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _add_to_stratum(stratum: Stratum, mentions: Longs, hits: Longs) -> None:
    stratum.documents += len(hits)
    stratum.hits += hits.sum(axis=0)
    stratum.mentioning += mentions.sum(axis=0)
    stratum.mentioning_hits += mentions.T @ hits


class _Comparison(NamedTuple):
    """A row before the correction, with the stratified ratio as computed (rows hold it rounded)."""

    row: RuleComparison
    stratified: Estimate | None


def compare_rules(parts: Sequence[Disparity], *, min_documents: int) -> list[RuleComparison]:
    """Every rule and group over all languages, Holm-corrected over the whole table.

    A group needs `min_documents` documents that mention it, and as many that do not; a rule must
    have fired. Rows without a stratified ratio are not tested: their p is None.
    """
    comparisons: list[_Comparison] = []
    for group in dict.fromkeys(group for part in parts for group in part.groups):
        with_group = [part for part in parts if group in part.groups]
        for reason in with_group[0].reasons:
            cells = np.concatenate([part.cells(group, reason) for part in with_group])
            comparison = _compare(group, reason, cells, min_documents)
            if comparison is not None:
                comparisons.append(comparison)
    return _correct(comparisons)


def _compare(group: str, reason: str, cells: Floats, min_documents: int) -> _Comparison | None:
    """One row; None where there are too few documents, or none was dropped."""
    hits, n, other_hits, other_n = (int(total) for total in cells.sum(axis=0))
    if min(n, other_n) < min_documents or hits + other_hits == 0:
        return None
    stratified = mantel_haenszel(cells)
    pass_ratio = risk_ratio(n - hits, n, other_n - other_hits, other_n)
    comparing_strata = (cells[:, 1] > 0) & (cells[:, 3] > 0)
    row = RuleComparison(
        reason=reason,
        group=group,
        drop_rate=wilson(hits, n).rounded(),
        other_drop_rate=wilson(other_hits, other_n).rounded(),
        risk_ratio=rounded(risk_ratio(hits, n, other_hits, other_n)),
        stratified_risk_ratio=rounded(stratified),
        strata=int(comparing_strata.sum()),
        p_holm=None,
        pass_ratio=rounded(pass_ratio),
        four_fifths_warning=pass_ratio is not None and pass_ratio.value < FOUR_FIFTHS,
    )
    return _Comparison(row, stratified)


def _correct(comparisons: Sequence[_Comparison]) -> list[RuleComparison]:
    """The rows with Holm's p where there is a stratified ratio to test."""
    ratios = [item.stratified for item in comparisons if item.stratified is not None]
    adjusted = iter(holm([_test_ratio(ratio) for ratio in ratios]))
    rows: list[RuleComparison] = []
    for row, stratified in comparisons:
        p_holm = None if stratified is None else round(next(adjusted), 6)
        rows.append(replace(row, p_holm=p_holm))
    return rows


def _test_ratio(ratio: Estimate) -> float:
    """Two-sided p against 1, from an interval that is symmetric on the log scale."""
    width = math.log(ratio.high) - math.log(ratio.low)
    if width == 0:
        return 1.0 if ratio.value == 1 else 0.0
    return two_sided_p(math.log(ratio.value) / (width / (2 * Z95)))
