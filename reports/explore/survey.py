"""Two passes over the signals, batch by batch: who is judged and who lies next to a threshold, then the histograms."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gristmill.errors import RunError
from gristmill.hashing import key64
from pipelines.contract import Rule, find_outside
from reports.explore.bins import HistogramAxis, ValueExtent, round_bound
from reports.explore.nearest import NearestDocuments
from reports.explore.source import SignalBatch


class RuleBounds(NamedTuple):
    """One threshold of one rule: its place in the legend, and the bounds that hold in some languages."""

    place: int
    low: float
    high: float


@dataclass(slots=True)
class ThresholdTally:
    """What is known of the documents that one threshold judges."""

    documents: int = 0
    holds: int = 0
    first: int = 0
    alone: int = 0
    extent: ValueExtent = field(default_factory=ValueExtent)
    languages: Counter[str] = field(default_factory=Counter)
    near: dict[tuple[str, bool], NearestDocuments] = field(default_factory=dict)
    """By bound (`min`, `max`) and whether the documents are dropped."""


PresetsOf = Callable[[str], Sequence[str]]
Judged = tuple[RuleBounds, np.ndarray, np.ndarray, np.ndarray]
"""A threshold, the places in the batch that it judges, their values, and which of them it drops."""


def judge_batch(
    batch: SignalBatch, rules: Mapping[int, Rule], presets_of: PresetsOf
) -> Iterator[Judged]:
    """What each threshold says of a batch. A rule without a bound in a language does not judge it."""
    for place, rule in rules.items():
        bounds = [_bounds(place, rule, kind, lang, presets_of) for kind, lang in batch.pairs]
        distinct = sorted({one for one in bounds if one is not None})
        numbers = np.array(
            [-1 if one is None else distinct.index(one) for one in bounds], np.int64
        )[batch.cells]
        values = batch.values(rule.signal)
        for number, one in enumerate(distinct):
            places = np.flatnonzero(numbers == number)
            if len(places):
                mine = values[places]
                yield one, places, mine, find_outside(mine, one.low, one.high)


def _bounds(
    place: int, rule: Rule, kind: str, lang: str, presets_of: PresetsOf
) -> RuleBounds | None:
    if not rule.judges(kind, presets_of(kind)):
        return None
    low, high = rule.bounds(lang)
    return RuleBounds(place, low, high) if np.isfinite(low) or np.isfinite(high) else None


@dataclass(slots=True)
class SignalSurvey:
    """The first pass. `rules` judge; of `told` only there are tallies, which spares the rest."""

    rules: Mapping[int, Rule]
    told: Mapping[int, Rule]
    presets_of: PresetsOf
    seed: int
    documents: int = 0
    dropped: int = 0
    """Documents for which any of the rules told of holds."""
    tallies: dict[RuleBounds, ThresholdTally] = field(default_factory=dict)

    def add(self, batch: SignalBatch) -> None:
        """Take in a batch. Raises RunError where recorded reasons are not what the rules say."""
        found = list(judge_batch(batch, self.rules, self.presets_of))
        reasons = self._reasons(batch, found)
        keys = np.fromiter(
            (key64(id, salt=self.seed) for id in batch.table["id"].to_pylist()),
            np.int64,
            len(reasons),
        )
        self.documents += len(reasons)
        any_of = np.uint64(sum(1 << place for place in self.told))
        self.dropped += int(np.count_nonzero(reasons & any_of))
        for bounds, places, values, beyond in found:
            if bounds.place in self.told:
                tally = self.tallies.setdefault(bounds, ThresholdTally())
                self._count(tally, bounds, beyond, reasons[places])
                _count_languages(tally, batch, places)
                self._measure(tally, bounds, batch, places, values, beyond, keys, reasons)

    def _reasons(self, batch: SignalBatch, found: Sequence[Judged]) -> np.ndarray:
        """The reason bits of a batch: those recorded, checked against the rules, or else those of the rules alone."""
        bits = np.zeros(len(batch.rows), np.uint64)
        for bounds, places, _, beyond in found:
            bits[places[beyond]] |= np.uint64(1 << bounds.place)
        if batch.reasons is None:
            return bits
        rules = np.uint64(sum(1 << place for place in self.rules))
        if wrong := np.flatnonzero((batch.reasons & rules) != bits).tolist():
            row = int(batch.rows[wrong[0]])
            raise RunError(
                "the recorded reasons are not what the rules of this run say",
                {"shard": batch.shard, "row": row, "documents": len(wrong)},
                "the run was made by another version: run `gristmill decide` again",
            )
        return batch.reasons

    @staticmethod
    def _count(
        tally: ThresholdTally, bounds: RuleBounds, beyond: np.ndarray, reasons: np.ndarray
    ) -> None:
        own = np.uint64(1 << bounds.place)
        before = np.uint64((1 << bounds.place) - 1)
        tally.documents += len(beyond)
        tally.holds += int(np.count_nonzero(beyond))
        tally.first += int(np.count_nonzero(beyond & ((reasons & before) == 0)))
        tally.alone += int(np.count_nonzero(reasons == own))

    @staticmethod
    def _measure(
        tally: ThresholdTally,
        bounds: RuleBounds,
        batch: SignalBatch,
        places: np.ndarray,
        values: np.ndarray,
        beyond: np.ndarray,
        keys: np.ndarray,
        reasons: np.ndarray,
    ) -> None:
        """Widen the extent, and offer the documents that may be shown to both sides of every bound."""
        number = np.isfinite(values)
        tally.extent.add(values[number])
        shown = number & ~batch.withheld[places]
        for name, bound in (("min", bounds.low), ("max", bounds.high)):
            if not np.isfinite(bound):
                continue
            at = round_bound(bound, values.dtype)
            for dropped, side in (
                (False, ~beyond),
                (True, values < at if name == "min" else values > at),
            ):
                mine = shown & side
                near = tally.near.setdefault((name, dropped), NearestDocuments(at))
                near.add(
                    values[mine],
                    keys[places[mine]],
                    batch.shard,
                    batch.rows[places[mine]],
                    reasons[places[mine]],
                )


def _count_languages(tally: ThresholdTally, batch: SignalBatch, places: np.ndarray) -> None:
    numbers = np.bincount(batch.cells[places], minlength=len(batch.pairs))
    for (_, lang), number in zip(batch.pairs, numbers.tolist(), strict=True):
        if number:
            tally.languages[lang] += number


def add_histograms(
    batch: SignalBatch,
    told: Mapping[int, Rule],
    presets_of: PresetsOf,
    axes: Mapping[RuleBounds, HistogramAxis],
    into: dict[RuleBounds, np.ndarray],
) -> None:
    """The second pass: count a batch into the bins of every threshold; what is no number lies in none."""
    for bounds, _, values, _ in judge_batch(batch, told, presets_of):
        if bounds in axes:
            counted = axes[bounds].count(values[np.isfinite(values)])
            into[bounds] = into[bounds] + counted if bounds in into else counted
