"""Which occupations and adjectives stand in the same sentence as one group rather than the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bias_audit.lexicon import Lexicon
from bias_audit.matcher import LexiconScan
from bias_audit.stats import Estimate, around, holm, log_odds, ppmi, two_sided_p

KINDS = ("occupations", "adjectives")

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]


@dataclass(slots=True)
class Side:
    """Sentences that mention exactly one of an axis' two groups."""

    terms: int
    sentences: int = 0
    words: int = 0
    counts: Longs = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.terms, dtype=np.int64)


@dataclass(slots=True)
class Axis:
    """The two groups of one axis, what was counted beside them, and the (term, document, side) events."""

    name: str
    groups: tuple[str, str]
    sides: tuple[Side, Side]
    both: int = 0
    events: list[Longs] = field(default_factory=list)


class Associations:
    """Sentence counts of terms beside the groups of every axis that has exactly two groups."""

    def __init__(self, lexicon: Lexicon, *, min_count: int, prior_share: float) -> None:
        self.min_count, self.prior_share = min_count, prior_share
        self.terms = [label for label in lexicon.labels if label.kind in KINDS]
        number = {id(label): place for place, label in enumerate(self.terms)}
        self._term_of = np.array([number.get(id(label), -1) for label in lexicon.labels])
        self.axes = list(_two_group_axes(lexicon, len(self.terms)))
        self._side_of = [
            np.array(
                [_side(axis, label.key) if label.kind == "group" else 0 for label in lexicon.labels]
            )
            for axis in self.axes
        ]
        self.background = np.zeros(len(self.terms), dtype=np.int64)
        self.sentences = self.words = self.documents = 0

    def add(self, found: LexiconScan, keep: NDArray[np.bool_]) -> None:
        """Count the sentences of kept documents; a term counts once per sentence."""
        kept_sentence = keep[found.sentence_doc]
        self.sentences += int(kept_sentence.sum())
        self.words += int(found.sentence_words[kept_sentence].sum())
        live = kept_sentence[found.match_sentence]
        sentence, label = found.match_sentence[live].astype(np.int64), found.match_label[live]
        term = self._term_of[label]
        pairs = np.unique(np.stack([sentence[term >= 0], term[term >= 0]], axis=1), axis=0)
        self.background += np.bincount(pairs[:, 1], minlength=len(self.terms))
        for axis, side_of in zip(self.axes, self._side_of, strict=True):
            mask = np.zeros(found.sentence_words.size, dtype=np.int64)
            np.bitwise_or.at(mask, sentence, side_of[label])
            self._add_axis(axis, mask, pairs, found)
        self.documents += keep.size

    def _add_axis(self, axis: Axis, mask: Longs, pairs: Longs, found: LexiconScan) -> None:
        axis.both += int((mask == 3).sum())
        for bit, side in zip((1, 2), axis.sides, strict=True):
            side.sentences += int((mask == bit).sum())
            side.words += int(found.sentence_words[mask == bit].sum())
            near = pairs[mask[pairs[:, 0]] == bit]
            side.counts += np.bincount(near[:, 1], minlength=len(self.terms))
            document = found.sentence_doc[near[:, 0]].astype(np.int64) + self.documents
            axis.events.append(
                np.stack([near[:, 1], document, np.full(len(near), bit - 1)], axis=1)
            )

    def rows(self) -> list[dict[str, Any]]:
        """One row for each axis and term seen often enough, Holm-corrected within axis and kind."""
        found: list[dict[str, Any]] = []
        for axis in self.axes:
            for kind in KINDS:
                found += self._family(axis, kind)
        return found

    def _family(self, axis: Axis, kind: str) -> list[dict[str, Any]]:
        first, second = axis.sides
        if not axis.events:
            return []
        # Counted in documents, not sentences: one document that repeats itself is one piece of evidence.
        often = self._documents(axis) >= self.min_count
        chosen = np.flatnonzero(often & np.array([label.kind == kind for label in self.terms]))
        if chosen.size == 0 or min(first.sentences, second.sentences) == 0:
            return []
        background, prior = self.background[chosen] / self.words, self.prior_share * self.words
        delta, variance = log_odds(
            first.counts[chosen].astype(np.float64),
            first.words,
            second.counts[chosen].astype(np.float64),
            second.words,
            background=background,
            prior=prior,
        )
        spread, documents = self._document_spread(axis, chosen, background * prior)
        error = np.sqrt(np.maximum(variance, spread))
        adjusted = holm([two_sided_p(float(z)) for z in delta / error])
        return [
            self._row(
                axis, int(term), around(float(delta[i]), float(error[i]), n=int(documents[i])), z, p
            )
            for i, (term, z, p) in enumerate(
                zip(chosen, delta / np.sqrt(variance), adjusted, strict=True)
            )
        ]

    def _documents(self, axis: Axis) -> Longs:
        """In how many documents each term stands beside one of the groups."""
        events = np.unique(np.concatenate(axis.events)[:, :2], axis=0)
        return np.bincount(events[:, 0], minlength=len(self.terms))

    def _document_spread(self, axis: Axis, chosen: Longs, alpha: Floats) -> tuple[Floats, Longs]:
        """Variance of the log-odds over documents (linearised), and how many documents hold the term."""
        events = np.concatenate(axis.events)
        spread, documents = np.zeros(chosen.size), np.zeros(chosen.size, dtype=np.int64)
        for place, term in enumerate(chosen):
            mine = events[events[:, 0] == term]
            ids, row = np.unique(mine[:, 1], return_inverse=True)
            pull = np.zeros(ids.size)
            for side, sign in ((0, 1.0), (1, -1.0)):
                weight = (
                    sign * (mine[:, 2] == side) / (axis.sides[side].counts[term] + alpha[place])
                )
                pull += np.bincount(row, weights=weight, minlength=ids.size)
            documents[place] = ids.size
            spread[place] = (pull**2).sum() * ids.size / max(1, ids.size - 1)
        return spread, documents

    def _row(self, axis: Axis, term: int, estimate: Estimate, z: float, p: float) -> dict[str, Any]:
        counts = [int(side.counts[term]) for side in axis.sides]
        return {
            "axis": axis.name,
            "first": axis.groups[0],
            "second": axis.groups[1],
            "kind": self.terms[term].kind,
            "term": self.terms[term].name,
            "log_odds": estimate.as_json(),
            "z": round(float(z), 4),
            "p_holm": round(p, 6),
            "counts": counts,
            "ppmi": [
                round(ppmi(count, side.sentences, int(self.background[term]), self.sentences), 4)
                if count >= self.min_count
                else None
                for count, side in zip(counts, axis.sides, strict=True)
            ],
        }

    def totals(self) -> list[dict[str, Any]]:
        """What the rows were counted over: sentences and words beside each group."""
        return [
            {
                "axis": axis.name,
                "groups": list(axis.groups),
                "sentences": [side.sentences for side in axis.sides],
                "words": [side.words for side in axis.sides],
                "sentences_with_both": axis.both,
                "all_sentences": self.sentences,
            }
            for axis in self.axes
        ]


def _two_group_axes(lexicon: Lexicon, terms: int) -> list[Axis]:
    names: dict[str, list[str]] = {}
    for key in lexicon.groups():
        names.setdefault(key.split("/")[0], []).append(key)
    return [
        Axis(name, (groups[0], groups[1]), (Side(terms), Side(terms)))
        for name, groups in names.items()
        if len(groups) == 2
    ]


def _side(axis: Axis, key: str) -> int:
    return 1 if key == axis.groups[0] else 2 if key == axis.groups[1] else 0
