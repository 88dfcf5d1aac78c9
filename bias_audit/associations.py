"""Which occupations and adjectives stand in the same sentence as one group rather than the other.

In: scans of batches of documents of one language. Out: one row for each axis and term seen often
enough, and the totals behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bias_audit.contract.corpus_rows import AssociationTotals, TermAssociation
from bias_audit.contract.estimate import Estimate
from bias_audit.lexicon import Lexicon
from bias_audit.matcher import LexiconScan
from bias_audit.stats import around, holm, log_odds, ppmi, two_sided_p

KINDS = ("occupations", "adjectives")

FIRST_GROUP = 1
"""Bit of a sentence that mentions the first group."""

SECOND_GROUP = 2
"""Bit of a sentence that mentions the second group."""

BOTH_GROUPS = FIRST_GROUP | SECOND_GROUP

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]


@dataclass(slots=True)
class GroupSide:
    """Sentences that mention exactly one of an axis' two groups; `counts` (terms,) of those with
    each term.
    """

    terms: int
    sentences: int = 0
    words: int = 0
    counts: Longs = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.terms, dtype=np.int64)


@dataclass(slots=True)
class AxisCounts:
    """The two groups of one axis, and what was counted beside them.

    `events` holds arrays (n, 3) of (term, document, side) for each sentence in which a term stands
    beside one group.
    """

    name: str
    groups: tuple[str, str]
    sides: tuple[GroupSide, GroupSide]
    sentences_with_both: int = 0
    events: list[Longs] = field(default_factory=list)

    def all_events(self) -> Longs:
        """The events (n, 3) of all batches."""
        return np.concatenate(self.events)


class DocumentSpread(NamedTuple):
    """The variance of each term's log-odds over documents, and how many documents hold the term."""

    variance: Floats
    documents: Longs


class Associations:
    """Sentence counts of terms beside the groups of every axis that has exactly two groups."""

    def __init__(self, lexicon: Lexicon, *, min_count: int, prior_share: float) -> None:
        self.lang = lexicon.lang
        self.min_count = min_count
        self.prior_share = prior_share
        self.terms = [label for label in lexicon.labels if label.kind in KINDS]
        numbers = {id(label): number for number, label in enumerate(self.terms)}
        self._term_of = np.array([numbers.get(id(label), -1) for label in lexicon.labels])
        self._kind_of = np.array([label.kind for label in self.terms])
        self.axes = list(_iter_two_group_axes(lexicon, len(self.terms)))
        self._side_of = [_read_side_bits(lexicon, axis) for axis in self.axes]
        self.background = np.zeros(len(self.terms), dtype=np.int64)
        self.sentences = 0
        self.words = 0
        self.documents = 0

    def add(self, scan: LexiconScan, keep: Bools) -> None:
        """Count the sentences of kept documents; a term counts once per sentence."""
        is_kept = keep[scan.sentence_doc]
        self.sentences += int(is_kept.sum())
        self.words += int(scan.sentence_words[is_kept].sum())
        in_kept = is_kept[scan.match_sentence]
        sentence = scan.match_sentence[in_kept].astype(np.int64)
        label = scan.match_label[in_kept]
        term = self._term_of[label]
        is_term = term >= 0
        # Rows (sentence, term), each once.
        pairs = np.unique(np.stack([sentence[is_term], term[is_term]], axis=1), axis=0)
        self.background += np.bincount(pairs[:, 1], minlength=len(self.terms))
        for axis, side_of in zip(self.axes, self._side_of, strict=True):
            groups = np.zeros(scan.sentence_words.size, dtype=np.int64)
            # Unlike `groups[sentence] |= ...`, `at` counts every match of a repeated sentence.
            np.bitwise_or.at(groups, sentence, side_of[label])
            self._add_axis(axis, groups, pairs, scan)
        self.documents += keep.size

    def _add_axis(self, axis: AxisCounts, groups: Longs, pairs: Longs, scan: LexiconScan) -> None:
        """Count one batch for one axis; `groups` (sentences,) are the bits of the
        groups mentioned.
        """
        axis.sentences_with_both += int((groups == BOTH_GROUPS).sum())
        for number, bit in enumerate((FIRST_GROUP, SECOND_GROUP)):
            side = axis.sides[number]
            mentions_one = groups == bit
            side.sentences += int(mentions_one.sum())
            side.words += int(scan.sentence_words[mentions_one].sum())
            beside = pairs[groups[pairs[:, 0]] == bit]
            terms = beside[:, 1]
            side.counts += np.bincount(terms, minlength=len(self.terms))
            # Documents are numbered over all batches.
            document = scan.sentence_doc[beside[:, 0]].astype(np.int64) + self.documents
            axis.events.append(np.stack([terms, document, np.full(len(terms), number)], axis=1))

    def rows(self) -> list[TermAssociation]:
        """One row for each axis and term seen often enough, Holm-corrected within axis and kind."""
        rows: list[TermAssociation] = []
        for axis in self.axes:
            for kind in KINDS:
                rows += self._family(axis, kind)
        return rows

    def _family(self, axis: AxisCounts, kind: str) -> list[TermAssociation]:
        """The rows of one family of tests."""
        if not axis.events:
            return []
        chosen = self._frequent_terms(axis, kind)
        first, second = axis.sides
        if chosen.size == 0 or min(first.sentences, second.sentences) == 0:
            return []
        background = self.background[chosen] / self.words
        prior = self.prior_share * self.words
        delta, variance = log_odds(
            first.counts[chosen].astype(np.float64),
            first.words,
            second.counts[chosen].astype(np.float64),
            second.words,
            background=background,
            prior=prior,
        )
        spread = self._document_spread(axis, chosen, background * prior)
        error = np.sqrt(np.maximum(variance, spread.variance))
        adjusted = holm([two_sided_p(float(z)) for z in delta / error])
        z_scores = delta / np.sqrt(variance)
        rows: list[TermAssociation] = []
        for i, term in enumerate(chosen):
            n = int(spread.documents[i])
            estimate = around(float(delta[i]), float(error[i]), n=n)
            rows.append(self._row(axis, int(term), estimate, float(z_scores[i]), adjusted[i]))
        return rows

    def _frequent_terms(self, axis: AxisCounts, kind: str) -> Longs:
        """The terms of a kind that stand beside one of the groups in `min_count` documents."""
        # In documents, not sentences: a document that repeats itself is one piece of evidence.
        events = np.unique(axis.all_events()[:, :2], axis=0)
        documents = np.bincount(events[:, 0], minlength=len(self.terms))
        return np.flatnonzero((documents >= self.min_count) & (self._kind_of == kind))

    def _document_spread(self, axis: AxisCounts, chosen: Longs, alpha: Floats) -> DocumentSpread:
        """Variance of the log-odds over documents (linearised); `alpha` (chosen,) is the prior's
        share.
        """
        events = axis.all_events()
        variance = np.zeros(chosen.size)
        documents = np.zeros(chosen.size, dtype=np.int64)
        for i, term in enumerate(chosen):
            of_term = events[events[:, 0] == term]
            ids, document = np.unique(of_term[:, 1], return_inverse=True)
            # What each document adds to the log-odds, to first order.
            influence = np.zeros(ids.size)
            for side, sign in ((0, 1.0), (1, -1.0)):
                count = axis.sides[side].counts[term] + alpha[i]
                weights = sign * (of_term[:, 2] == side) / count
                influence += np.bincount(document, weights=weights, minlength=ids.size)
            documents[i] = ids.size
            variance[i] = (influence**2).sum() * ids.size / max(1, ids.size - 1)
        return DocumentSpread(variance, documents)

    def _row(
        self, axis: AxisCounts, term: int, estimate: Estimate, z: float, p: float
    ) -> TermAssociation:
        first, second = axis.sides
        label = self.terms[term]
        return TermAssociation(
            lang=self.lang,
            axis=axis.name,
            first_group=axis.groups[0],
            second_group=axis.groups[1],
            kind=label.kind,
            term=label.name,
            log_odds=estimate.rounded(),
            z=round(z, 4),
            p_holm=round(p, 6),
            counts=(int(first.counts[term]), int(second.counts[term])),
            ppmi=(self._ppmi(first, term), self._ppmi(second, term)),
        )

    def _ppmi(self, side: GroupSide, term: int) -> float | None:
        """Positive pointwise mutual information of a group and a term; None where seen
        too rarely.
        """
        count = int(side.counts[term])
        if count < self.min_count:
            return None
        return round(ppmi(count, side.sentences, int(self.background[term]), self.sentences), 4)

    def totals(self) -> list[AssociationTotals]:
        """What the rows were counted over: sentences and words beside each group."""
        return [self._totals_of(axis) for axis in self.axes]

    def _totals_of(self, axis: AxisCounts) -> AssociationTotals:
        first, second = axis.sides
        return AssociationTotals(
            lang=self.lang,
            axis=axis.name,
            groups=axis.groups,
            sentences=(first.sentences, second.sentences),
            words=(first.words, second.words),
            sentences_with_both=axis.sentences_with_both,
            all_sentences=self.sentences,
        )


def _iter_two_group_axes(lexicon: Lexicon, terms: int) -> Iterator[AxisCounts]:
    groups_by_axis: dict[str, list[str]] = {}
    for key in lexicon.groups():
        groups_by_axis.setdefault(key.split("/")[0], []).append(key)
    for name, groups in groups_by_axis.items():
        if len(groups) == 2:
            sides = (GroupSide(terms), GroupSide(terms))
            yield AxisCounts(name, (groups[0], groups[1]), sides)


def _read_side_bits(lexicon: Lexicon, axis: AxisCounts) -> Longs:
    """For each label (labels,) the bit of the axis' group it stands for; 0 for all other labels."""
    bits = {axis.groups[0]: FIRST_GROUP, axis.groups[1]: SECOND_GROUP}
    return np.array(
        [bits.get(label.key, 0) if label.kind == "group" else 0 for label in lexicon.labels]
    )
