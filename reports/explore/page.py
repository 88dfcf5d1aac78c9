"""The page of `explore`: a table of all rules, and for each its histogram and the documents beside its threshold.

In: an `ExploreReport`. Out: the page, laid out by `templates/explore/explore.html.jinja`.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gristmill.formatting import (
    format_count,
    format_counted,
    format_language,
    format_list,
    format_share,
)
from reports.chain.reasons import format_bounds
from reports.chain.summary import choose_main_languages
from reports.drawing.inline import format_code, format_link, join_markup
from reports.drawing.tables import Cell, Table
from reports.drawing.templates import ContentsEntry, render, render_page
from reports.explore.chart import draw_threshold
from reports.explore.explore_report import (
    BoundSide,
    ExploreReport,
    NearExample,
    RuleReport,
    ThresholdReport,
)

HEAD = ("Rule", "#Holds for", "~Drops a document if", "#Judged", "#Share", "#Came first", "#Alone")


@dataclass(frozen=True, slots=True)
class ExampleView:
    """One document near a bound: its value, where it came from, and its text."""

    value: str
    origin: Markup
    text: str
    lang: str


@dataclass(frozen=True, slots=True)
class ExampleList:
    """The documents on one side of a bound; without any, the summary says so."""

    summary: str
    examples: list[ExampleView]


@dataclass(frozen=True, slots=True)
class SideView:
    """The documents nearest to one bound: those that passed, and those that were dropped."""

    passed: ExampleList
    dropped: ExampleList


@dataclass(frozen=True, slots=True)
class ThresholdView:
    """One threshold: its histogram, and the documents near its bounds."""

    chart: Markup
    unmeasured: str
    sides: list[SideView]


@dataclass(frozen=True, slots=True)
class RuleSection:
    """One rule; `costs` is empty where it judges no document."""

    anchor: str
    name: str
    condition: str
    preset: str
    signal: str
    meaning: str
    costs: str
    thresholds: list[ThresholdView]


def draw_page(report: ExploreReport) -> str:
    """The whole page; equal data give equal bytes."""
    rules = sorted(report.rules, key=lambda rule: (-rule.holds, -rule.judged))
    contents = [ContentsEntry("top", "Overview")]
    contents += [ContentsEntry(_name_anchor(rule), rule.rule.name) for rule in rules]
    table = Table("Rules, most often true first", HEAD, [_write_row(rule) for rule in rules])
    body = render(
        "explore/explore.html.jinja",
        report=report,
        headline=write_headline(report),
        table=table,
        rules=[make_rule_section(rule) for rule in rules],
    )
    return render_page(f"Rules of {report.run}", contents, body)


def _name_anchor(rule: RuleReport) -> str:
    return f"rule-{rule.rule.name}"


def write_headline(report: ExploreReport) -> str:
    """One sentence: how many rules over which documents, and how many these drop."""
    scope = format_counted(report.documents, "document")
    if report.kind:
        scope += f" of kind {report.kind}"
    if report.lang:
        scope += f" in {format_language(report.lang)}"
    is_single = len(report.rules) == 1
    drop = "would drop"
    if report.decided:
        drop = "drops" if is_single else "drop"
    they = "it" if is_single else "they"
    rules = format_counted(len(report.rules), "rule")
    return f"{rules} over {scope}: {they} {drop} {format_count(report.dropped)}"


def _write_row(rule: RuleReport) -> list[Cell]:
    return [
        format_link(rule.rule.name, f"#{_name_anchor(rule)}"),
        format_count(rule.holds),
        format_bounds(rule.rule.record()),
        format_count(rule.judged),
        format_share(rule.holds, rule.judged),
        format_count(rule.first),
        format_count(rule.alone),
    ]


def make_rule_section(rule: RuleReport) -> RuleSection:
    """What the page says of one rule."""
    kinds = f", for {format_list(list(rule.kinds), most=12)}" if rule.kinds else ""
    meaning = ""
    if rule.meaning:
        origin = f" ({rule.origin})" if rule.origin else ""
        meaning = f"{rule.meaning}{origin}"
    return RuleSection(
        anchor=_name_anchor(rule),
        name=rule.rule.name,
        condition=format_bounds(rule.rule.record()),
        preset=f"{rule.rule.preset}{kinds}",
        signal=rule.rule.signal,
        meaning=meaning,
        costs=_describe_costs(rule),
        thresholds=[_make_threshold_view(rule, threshold) for threshold in rule.thresholds],
    )


def _describe_costs(rule: RuleReport) -> str:
    if not rule.judged:
        return ""
    judged, holds = format_counted(rule.judged, "document"), format_count(rule.holds)
    share = format_share(rule.holds, rule.judged)
    first, alone = format_counted(rule.first, "document"), format_count(rule.alone)
    return (
        f"It judges {judged} and holds for {holds} of them ({share}). "
        f"It came first for {first}; for {alone} it is the only reason."
    )


def _make_threshold_view(rule: RuleReport, threshold: ThresholdReport) -> ThresholdView:
    documents = format_counted(threshold.documents, "document")
    dropped = format_count(threshold.holds)
    title = f"{_name_languages(threshold)}: {documents}, {dropped} dropped"
    unmeasured = ""
    if threshold.unmeasured:
        number = format_counted(threshold.unmeasured, "document")
        unmeasured = f"{number} without a number: none of them is dropped."
    return ThresholdView(
        chart=draw_threshold(title, threshold, rule.rule.signal),
        unmeasured=unmeasured,
        sides=[_make_side_view(side) for side in threshold.sides],
    )


def _name_languages(threshold: ThresholdReport) -> str:
    """The main languages by name, the others counted: a handful of documents may be a slip of the identifier."""
    names = choose_main_languages(Counter(threshold.languages))
    others = len(threshold.languages) - len(names)
    if others:
        names = [*names, format_counted(others, "other language")]
    return format_list(names, most=6)


def _make_side_view(side: BoundSide) -> SideView:
    inside, beyond = ("at or above", "below") if side.name == "min" else ("at or below", "above")
    bound = f"{side.bound:g}"
    return SideView(
        passed=_list_examples(f"Passed: {inside} {bound}", side.kept, "dropped as"),
        dropped=_list_examples(f"Dropped: {beyond} {bound}", side.dropped, "also"),
    )


def _list_examples(title: str, examples: Sequence[NearExample], others_label: str) -> ExampleList:
    """Documents with their values; `others_label` leads in the other reasons of a document."""
    if not examples:
        return ExampleList(f"{title}, no document to show.", [])
    nearest, farthest = _format_value(examples[0].value), _format_value(examples[-1].value)
    values = nearest if nearest == farthest else f"{nearest} to {farthest}"
    views = [_make_example_view(example, others_label) for example in examples]
    return ExampleList(f"{title}, the nearest {len(examples)} ({values})", views)


def _make_example_view(example: NearExample, others_label: str) -> ExampleView:
    others = ""
    if example.others:
        others = f"{others_label} {format_list(list(example.others), most=6)}"
    parts = [example.title, example.source, format_language(example.lang), others]
    # Words from outside keep their writing direction to themselves.
    isolated: list[Cell] = [Markup("<bdi>{}</bdi>").format(part) for part in parts if part]
    origin = join_markup(" · ", [*isolated, format_code(example.id)])
    return ExampleView(_format_value(example.value), origin, example.text, example.lang)


def _format_value(value: float) -> str:
    is_integer = math.isclose(value, round(value), abs_tol=1e-9)
    return f"{value:,.0f}" if is_integer else f"{value:.5g}"
