"""Count how often each group is mentioned, by source and language, over the documents that were kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bias_audit import lexicon, matcher
from bias_audit.associations import Associations
from bias_audit.corpus import DocumentBatch
from bias_audit.disparity import Disparity
from bias_audit.matcher import LexiconScan
from bias_audit.stats import Estimate, rate_from_sums, ratio_from_sums, rounded

PER_MILLION = 1_000_000
ALL_SOURCES = "(all)"

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Sums:
    """Running sums over the documents of one slice, enough for clustered intervals without keeping the documents."""

    groups: int
    documents: int = 0
    words: float = 0.0
    words_squared: float = 0.0
    mentioning: Floats = field(init=False)
    events: Floats = field(init=False)
    squared: Floats = field(init=False)
    crossed: Floats = field(init=False)
    pronouns: Floats = field(default_factory=lambda: np.zeros(6))

    def __post_init__(self) -> None:
        self.mentioning, self.events, self.squared, self.crossed = (
            np.zeros(self.groups) for _ in range(4)
        )

    def add(self, words: Floats, mentions: Floats, pronouns: Floats) -> None:
        """Add documents: `mentions` is documents x groups, `pronouns` documents x (female, male)."""
        female, male = pronouns.T
        self.documents += words.size
        self.words += words.sum()
        self.words_squared += (words**2).sum()
        self.mentioning += (mentions > 0).sum(axis=0)
        self.events += mentions.sum(axis=0)
        self.squared += (mentions**2).sum(axis=0)
        self.crossed += words @ mentions
        self.pronouns += [
            ((female + male) > 0).sum(),
            female.sum(),
            male.sum(),
            (female**2).sum(),
            (female * male).sum(),
            (male**2).sum(),
        ]

    def rate(self, group: int) -> Estimate | None:
        """Mentions of a group per million words."""
        found = rate_from_sums(
            self.documents,
            self.events[group],
            self.words,
            self.squared[group],
            self.crossed[group],
            self.words_squared,
        )
        if found is None:
            return None
        return Estimate(
            found.value * PER_MILLION, found.low * PER_MILLION, found.high * PER_MILLION, found.n
        )

    def pronoun_log_ratio(self) -> Estimate | None:
        """log(female pronouns / male pronouns); 0 means as many of one as of the other."""
        return ratio_from_sums(int(self.pronouns[0]), *self.pronouns[1:].tolist())


class LanguageScan:
    """Everything counted in the documents of one language, fed batch by batch."""

    def __init__(
        self, lang: str, legend: tuple[str, ...], *, min_count: int, prior_share: float
    ) -> None:
        self.lexicon = lexicon.load_lexicon(lang)
        self.automaton = matcher.compile_lexicon(self.lexicon)
        matcher.scan(
            pa.array([""]), self.automaton
        )  # compiles the kernel now, so that progress shows the scan's own rate
        self.groups = self.lexicon.groups()
        self.slices: dict[str, Sums] = {}
        self.associations = Associations(self.lexicon, min_count=min_count, prior_share=prior_share)
        self.disparity = Disparity(self.groups, legend)
        order = {name: number for number, name in enumerate(self.groups)}
        labels = self.lexicon.labels
        self._group_of = np.array(
            [order.get(label.key, -1) if label.kind == "group" else -1 for label in labels]
        )
        pronoun = {"gender/female": 0, "gender/male": 1}
        self._pronoun_of = np.array(
            [pronoun[label.key] if label.pronoun else -1 for label in labels]
        )

    def add(self, batch: DocumentBatch) -> None:
        """Count one batch: mentions and associations over kept documents, disparity over all."""
        found = matcher.scan(batch.texts, self.automaton)
        words = found.words(len(batch)).astype(np.float64)
        mentions = self._table(found, self._group_of, len(self.groups), len(batch))
        pronouns = self._table(found, self._pronoun_of, 2, len(batch))
        for source in sorted(set(batch.sources[batch.keep])):
            rows = batch.keep & (batch.sources == source)
            sums = self.slices.setdefault(source, Sums(len(self.groups)))
            sums.add(words[rows], mentions[rows], pronouns[rows])
        self.associations.add(found, batch.keep)
        self.disparity.add(batch, mentions > 0, words)

    def _table(
        self, found: LexiconScan, column_of: NDArray[np.int64], columns: int, documents: int
    ) -> Floats:
        """Matches as a table documents x columns; labels whose column is -1 are left out."""
        column = column_of[found.match_label]
        cell = found.match_doc()[column >= 0].astype(np.int64) * columns + column[column >= 0]
        return (
            np.bincount(cell, minlength=documents * columns)
            .reshape(documents, columns)
            .astype(np.float64)
        )

    def slice_rows(self) -> Iterator[dict[str, Any]]:
        """One row for each source, and one for all sources together."""
        total = Sums(len(self.groups))
        for source, sums in sorted(self.slices.items()):
            merge(total, sums)
            yield self._row(source, sums)
        if self.slices:
            yield self._row(ALL_SOURCES, total)

    def _row(self, source: str, sums: Sums) -> dict[str, Any]:
        groups: Mapping[str, Any] = {
            name: {
                "mentions": int(sums.events[number]),
                "documents": int(sums.mentioning[number]),
                "per_million": rounded(sums.rate(number)),
            }
            for number, name in enumerate(self.groups)
        }
        return {
            "source": source,
            "lang": self.lexicon.lang,
            "documents": sums.documents,
            "words": int(sums.words),
            "unit": "word" if self.automaton.spaced else "Han character",
            "pronoun_log_ratio": rounded(sums.pronoun_log_ratio()),
            "groups": groups,
        }


def merge(into: Sums, other: Sums) -> None:
    """Add the sums of one slice to another."""
    into.documents += other.documents
    into.words += other.words
    into.words_squared += other.words_squared
    for name in ("mentioning", "events", "squared", "crossed", "pronouns"):
        getattr(into, name)[:] += getattr(other, name)
