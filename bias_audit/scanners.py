"""Counts how often each group is mentioned, by source and language, over the documents that were
kept.

In: batches of documents of one language. Out: running sums, and the rows made of them; documents
are not held in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bias_audit import matcher
from bias_audit.associations import Associations
from bias_audit.contract.corpus_rows import ALL_SOURCES, GroupMentions, MentionSlice
from bias_audit.contract.estimate import Estimate
from bias_audit.corpus import DocumentBatch
from bias_audit.disparity import Disparity
from bias_audit.lexicon import Label, load_lexicon
from bias_audit.matcher import LexiconScan
from bias_audit.stats import RateSums, RatioSums, rate_from_sums, ratio_from_sums, rounded

PER_MILLION = 1_000_000

PRONOUN_COLUMNS = {"gender/female": 0, "gender/male": 1}
"""Columns of the table of pronouns; other groups have no pronouns in the lexicons."""

NO_COLUMN = -1

Floats = npt.NDArray[np.float64]
Columns = npt.NDArray[np.int64]


@dataclass(slots=True)
class PronounSums:
    """Running sums over documents with x female and y male pronouns."""

    documents: float = 0.0
    female: float = 0.0
    male: float = 0.0
    female_squared: float = 0.0
    product: float = 0.0
    male_squared: float = 0.0

    def add(self, female: Floats, male: Floats) -> None:
        """Add documents, each with its two counts (n,)."""
        self.documents += ((female + male) > 0).sum()
        self.female += female.sum()
        self.male += male.sum()
        self.female_squared += (female**2).sum()
        self.product += (female * male).sum()
        self.male_squared += (male**2).sum()

    def merge(self, other: PronounSums) -> None:
        """Add the sums of other documents."""
        self.documents += other.documents
        self.female += other.female
        self.male += other.male
        self.female_squared += other.female_squared
        self.product += other.product
        self.male_squared += other.male_squared


@dataclass(slots=True)
class MentionSums:
    """Running sums over the documents of one slice, enough for clustered intervals.

    Arrays are (groups,): documents with a mention, mentions, and sums of their squares and of their
    products with the document's words.
    """

    groups: int
    documents: int = 0
    words: float = 0.0
    words_squared: float = 0.0
    mentioning: Floats = field(init=False)
    events: Floats = field(init=False)
    events_squared: Floats = field(init=False)
    events_times_words: Floats = field(init=False)
    pronouns: PronounSums = field(default_factory=PronounSums)

    def __post_init__(self) -> None:
        self.mentioning = np.zeros(self.groups)
        self.events = np.zeros(self.groups)
        self.events_squared = np.zeros(self.groups)
        self.events_times_words = np.zeros(self.groups)

    def add(self, words: Floats, mentions: Floats, pronouns: Floats) -> None:
        """Add documents: `mentions` is (documents, groups), `pronouns` (documents, 2): female,
        male.
        """
        self.documents += words.size
        self.words += words.sum()
        self.words_squared += (words**2).sum()
        self.mentioning += (mentions > 0).sum(axis=0)
        self.events += mentions.sum(axis=0)
        self.events_squared += (mentions**2).sum(axis=0)
        self.events_times_words += words @ mentions
        female, male = pronouns.T
        self.pronouns.add(female, male)

    def merge(self, other: MentionSums) -> None:
        """Add the sums of other documents."""
        self.documents += other.documents
        self.words += other.words
        self.words_squared += other.words_squared
        self.mentioning += other.mentioning
        self.events += other.events
        self.events_squared += other.events_squared
        self.events_times_words += other.events_times_words
        self.pronouns.merge(other.pronouns)

    def rate(self, group: int) -> Estimate | None:
        """Mentions of a group per million words."""
        sums = RateSums(
            events=self.events[group],
            words=self.words,
            events_squared=self.events_squared[group],
            events_times_words=self.events_times_words[group],
            words_squared=self.words_squared,
        )
        rate = rate_from_sums(self.documents, sums)
        if rate is None:
            return None
        return Estimate(
            rate.value * PER_MILLION, rate.low * PER_MILLION, rate.high * PER_MILLION, rate.n
        )

    def pronoun_log_ratio(self) -> Estimate | None:
        """log(female pronouns / male pronouns); 0 means as many of one as of the other."""
        pronouns = self.pronouns
        sums = RatioSums(
            first=float(pronouns.female),
            second=float(pronouns.male),
            first_squared=float(pronouns.female_squared),
            product=float(pronouns.product),
            second_squared=float(pronouns.male_squared),
        )
        return ratio_from_sums(int(pronouns.documents), sums)


class LanguageScan:
    """Everything counted in the documents of one language, fed batch by batch."""

    def __init__(
        self, lang: str, legend: tuple[str, ...], *, min_count: int, prior_share: float
    ) -> None:
        self.lexicon = load_lexicon(lang)
        self.automaton = matcher.compile_lexicon(self.lexicon)
        # Compiles the kernel now, so that the progress bar shows the scan's own rate.
        matcher.scan(pa.array([""]), self.automaton)
        self.groups = self.lexicon.groups()
        self.slices: dict[str, MentionSums] = {}
        self.associations = Associations(self.lexicon, min_count=min_count, prior_share=prior_share)
        self.disparity = Disparity(self.groups, legend)
        self._group_columns = np.array([self._group_column(label) for label in self.lexicon.labels])
        self._pronoun_columns = np.array(
            [_find_pronoun_column(label) for label in self.lexicon.labels]
        )

    def add(self, batch: DocumentBatch) -> None:
        """Count one batch: mentions and associations over kept documents, disparity over all."""
        scan = matcher.scan(batch.texts, self.automaton)
        words = scan.words(len(batch)).astype(np.float64)
        mentions = _count_matches(scan, self._group_columns, len(self.groups), len(batch))
        pronouns = _count_matches(scan, self._pronoun_columns, 2, len(batch))
        for source in sorted(set(batch.sources[batch.keep])):
            rows = batch.keep & (batch.sources == source)
            sums = self.slices.setdefault(source, MentionSums(len(self.groups)))
            sums.add(words[rows], mentions[rows], pronouns[rows])
        self.associations.add(scan, batch.keep)
        self.disparity.add(batch, mentions > 0, words)

    def slice_rows(self) -> Iterator[MentionSlice]:
        """One row for each source, and one for all sources together."""
        total = MentionSums(len(self.groups))
        for source, sums in sorted(self.slices.items()):
            total.merge(sums)
            yield self._row(source, sums)
        if self.slices:
            yield self._row(ALL_SOURCES, total)

    def _row(self, source: str, sums: MentionSums) -> MentionSlice:
        groups = {
            name: GroupMentions(
                mentions=int(sums.events[number]),
                documents=int(sums.mentioning[number]),
                per_million=rounded(sums.rate(number)),
            )
            for number, name in enumerate(self.groups)
        }
        return MentionSlice(
            source=source,
            lang=self.lexicon.lang,
            documents=sums.documents,
            words=int(sums.words),
            unit="word" if self.automaton.spaced else "Han character",
            pronoun_log_ratio=rounded(sums.pronoun_log_ratio()),
            groups=groups,
        )

    def _group_column(self, label: Label) -> int:
        return self.groups.index(label.key) if label.kind == "group" else NO_COLUMN


def _find_pronoun_column(label: Label) -> int:
    return PRONOUN_COLUMNS[label.key] if label.pronoun else NO_COLUMN


def _count_matches(scan: LexiconScan, column_of: Columns, columns: int, documents: int) -> Floats:
    """Matches as a table (documents, columns); `column_of` (labels,), labels without a column are
    left out.
    """
    column = column_of[scan.match_label]
    has_column = column >= 0
    document = scan.match_doc()[has_column].astype(np.int64)
    cell = document * columns + column[has_column]
    counts = np.bincount(cell, minlength=documents * columns)
    return counts.reshape(documents, columns).astype(np.float64)
