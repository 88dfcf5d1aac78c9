"""Collect what the page tells: two passes over the signals of a run, then the texts of the chosen documents alone."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.errors import ConfigError
from gristmill.formatting import shorten
from gristmill.progress import Progress
from pipelines.contract import Rule, find_personal_spans
from reports.chain.texts import RowLocation, mask_personal, read_rows
from reports.explore.bins import HistogramAxis, make_axis
from reports.explore.explore_report import (
    BoundSide,
    ExploreReport,
    NearExample,
    RuleReport,
    ThresholdReport,
)
from reports.explore.nearest import NearestDocuments
from reports.explore.source import ExploreSource, SignalBatch, iter_batches
from reports.explore.survey import RuleBounds, SignalSurvey, ThresholdTally, add_histograms

SHOWN = 300
"""Characters of a text that an example shows."""
TEXT = ["id", "text", "title", "source", "lang", "personal"]


@dataclass(frozen=True, slots=True)
class ExploreChoice:
    """What the user wants to see; None means all."""

    rule: str | None = None
    lang: str | None = None
    kind: str | None = None
    seed: int = 0


def collect_rules(source: ExploreSource, choice: ExploreChoice) -> ExploreReport:
    """All that can be told of the rules of a run. Raises ConfigError for names that the run does not know."""
    told = source.chosen(choice.rule)
    judging = told if source.decisions else source.rules
    columns = sorted({rule.signal for rule in judging.values()})
    with Progress("explore", total=2 * source.rows or None, unit="documents") as bar:
        survey = SignalSurvey(judging, told, source.presets_of, choice.seed)
        for batch in _wanted(source, ["id", *columns], choice, bar):
            survey.add(batch)
        axes = _axes(survey.tallies, told, source)
        counts: dict[RuleBounds, np.ndarray] = {}
        for batch in _wanted(source, sorted({rule.signal for rule in told.values()}), choice, bar):
            add_histograms(batch, told, source.presets_of, axes, counts)
    examples = ExampleReader(source, survey.tallies)
    thresholds = {
        bounds: _threshold(bounds, tally, axes.get(bounds), counts.get(bounds), examples)
        for bounds, tally in survey.tallies.items()
    }
    return ExploreReport(
        run=source.run.id,
        version=str(source.run.manifest["version"]),
        decided=source.decisions is not None,
        configured=source.configured,
        kind=choice.kind,
        lang=choice.lang,
        seed=choice.seed,
        documents=survey.documents,
        dropped=survey.dropped,
        rules=tuple(
            _rule(place, rule, survey.tallies, thresholds, source) for place, rule in told.items()
        ),
    )


def _wanted(
    source: ExploreSource, columns: Sequence[str], choice: ExploreChoice, bar: Progress
) -> Iterator[SignalBatch]:
    """The batches of the kind and language chosen; raises ConfigError where a run with documents has none of them."""
    there: Counter[tuple[str, str]] = Counter()
    found = False
    for batch in iter_batches(source, columns):
        wanted = np.array([_fits(pair, choice) for pair in batch.pairs], bool)
        there.update(batch.pairs)
        chosen = batch.only(wanted[batch.cells])
        found = found or len(chosen.rows) > 0
        yield chosen
        bar.advance(len(batch.rows))
    if there and not found:
        raise _nothing_fits(choice, there)


def _fits(pair: tuple[str, str], choice: ExploreChoice) -> bool:
    return choice.kind in (None, pair[0]) and choice.lang in (None, pair[1])


def _nothing_fits(choice: ExploreChoice, there: Mapping[tuple[str, str], int]) -> ConfigError:
    asked = {
        name: value
        for name, value in (("kind", choice.kind), ("lang", choice.lang))
        if value is not None
    }
    kinds, langs = (", ".join(sorted({pair[i] for pair in there})) for i in (0, 1))
    return ConfigError(
        "no document of this run is of this kind and language",
        asked,
        f"kinds: {kinds}; languages: {langs}",
    )


def _axes(
    tallies: Mapping[RuleBounds, ThresholdTally], told: Mapping[int, Rule], source: ExploreSource
) -> dict[RuleBounds, HistogramAxis]:
    """The axis of every threshold that judges a number."""
    fields = source.fields
    found = {}
    for bounds, tally in tallies.items():
        if tally.extent.number:
            kind = np.dtype(fields.field(told[bounds.place].signal).type.to_pandas_dtype())
            found[bounds] = make_axis(bounds.low, bounds.high, tally.extent, kind)
    return found


class ExampleReader:
    """The documents near the thresholds, read once each: only the row groups that hold one, one at a time."""

    def __init__(self, source: ExploreSource, tallies: Mapping[RuleBounds, ThresholdTally]) -> None:
        self.legend = source.legend
        nearest = [near.found for tally in tallies.values() for near in tally.near.values()]
        places = {
            RowLocation(int(one["shard"]), int(one["row"])) for found in nearest for one in found
        }
        rows = read_rows(source.documents, places, TEXT)
        self.texts: dict[RowLocation, dict[str, Any]] = {place: _shown(row) for place, row in rows}

    def of(self, near: NearestDocuments | None, own: int) -> tuple[NearExample, ...]:
        """The examples of one side of a bound of the rule at place `own` of the legend."""
        return () if near is None else tuple(self._one(found, own) for found in near.found)

    def _one(self, found: np.void, own: int) -> NearExample:
        bits = int(found["reasons"])
        others = [
            name for place, name in enumerate(self.legend) if bits >> place & 1 and place != own
        ]
        text = self.texts[RowLocation(int(found["shard"]), int(found["row"]))]
        return NearExample(value=float(found["value"]), others=tuple(others), **text)


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """What of a document may stand on a page: no personal data, in the title neither."""
    title = row["title"] or ""
    [spans] = find_personal_spans(pa.array([title], pa.string())).to_pylist()
    text = shorten(mask_personal(row["text"], row["personal"] or ()).strip(), SHOWN)
    shown = {"title": shorten(mask_personal(title, spans or ()), 120), "text": text}
    return shown | {name: row[name] for name in ("id", "source", "lang")}


def _threshold(
    bounds: RuleBounds,
    tally: ThresholdTally,
    its_axis: HistogramAxis | None,
    counts: np.ndarray | None,
    examples: ExampleReader,
) -> ThresholdReport:
    sides = []
    for name, bound in (("min", bounds.low), ("max", bounds.high)):
        if np.isfinite(bound):
            kept, dropped = (
                examples.of(tally.near.get((name, gone)), bounds.place) for gone in (False, True)
            )
            sides.append(BoundSide(name, bound, kept, dropped))
    return ThresholdReport(
        low=bounds.low,
        high=bounds.high,
        languages=dict(sorted(tally.languages.items(), key=lambda item: (-item[1], item[0]))),
        documents=tally.documents,
        unmeasured=tally.documents - tally.extent.number,
        holds=tally.holds,
        axis=its_axis,
        counts=() if counts is None else tuple(counts.tolist()),
        sides=tuple(sides),
    )


def _rule(
    place: int,
    rule: Rule,
    tallies: Mapping[RuleBounds, ThresholdTally],
    thresholds: Mapping[RuleBounds, ThresholdReport],
    source: ExploreSource,
) -> RuleReport:
    """Its thresholds, the one that judges most documents first, and their sums."""
    own = sorted((b for b in tallies if b.place == place), key=lambda b: (-tallies[b].documents, b))
    fields = source.fields
    about = (fields.field(rule.signal).metadata or {}) if rule.signal in fields.names else {}
    return RuleReport(
        rule=rule,
        kinds=tuple(kind for kind, presets in source.presets.items() if rule.judges(kind, presets)),
        meaning=about.get(b"is", b"").decode(),
        origin=about.get(b"source", b"").decode(),
        judged=sum(tallies[b].documents for b in own),
        holds=sum(tallies[b].holds for b in own),
        first=sum(tallies[b].first for b in own),
        alone=sum(tallies[b].alone for b in own),
        thresholds=tuple(thresholds[b] for b in own),
    )
