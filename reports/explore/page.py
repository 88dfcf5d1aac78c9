"""The page of `explore`: a table of all rules, and for each its histogram and the documents on either side of its threshold."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from gristmill.formatting import (
    format_count,
    format_counted,
    format_language,
    format_list,
    format_share,
)
from reports.chain.page import assemble
from reports.chain.reasons import format_bounds
from reports.chain.summary import choose_main_languages
from reports.drawing.blocks import Row, code, note, paragraph, quoted, section, table
from reports.drawing.markup import Content, Html, content, tag
from reports.drawing.style import CSS
from reports.explore.chart import draw_threshold
from reports.explore.explore_report import (
    BoundSide,
    ExploreReport,
    NearExample,
    RuleReport,
    ThresholdReport,
)

STYLE = (
    CSS
    + """
.near { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 0 1.5rem; align-items: start; }
.near ol { list-style: none; margin: 0; padding: 0; } .near li { margin: 0 0 0.7rem; border-top: 1px solid var(--line); padding-top: 0.4rem; }
.near p { margin: 0; font-size: 0.82rem; color: var(--soft); overflow-wrap: anywhere; } .near p b { color: var(--ink); font-size: 0.92rem; }
.near .text { max-height: 11rem; overflow: auto; font-size: 0.84rem; }
"""
)
HEAD = ("Rule", "#Holds for", "~Drops a document if", "#Judged", "#Share", "#Came first", "#Alone")


def draw_page(facts: ExploreReport) -> str:
    """The whole page; equal facts give equal bytes."""
    rules = sorted(facts.rules, key=lambda rule: (-rule.holds, -rule.judged))
    contents = [("top", "Overview"), *((_anchor(rule), rule.rule.name) for rule in rules)]
    title = f"Rules of {facts.run}"
    parts = [_opening(facts, rules), *(_section(rule) for rule in rules), _footer(facts)]
    return assemble(title, contents, *parts, style=STYLE)


def _anchor(rule: RuleReport) -> str:
    return f"rule-{rule.rule.name}"


def _opening(facts: ExploreReport, rules: Sequence[RuleReport]) -> Html:
    return tag(
        "header",
        tag("p", "Gristmill explore", class_="kicker"),
        tag("h1", write_headline(facts)),
        note(*_notes(facts)),
        table("Rules, most often true first", HEAD, map(_row, rules)),
        note(
            "Judged: documents of the kinds and languages that the rule is for. Came first: documents that ",
            "count as dropped by this rule, the first of their reasons in the order of the run. ",
            "Alone: documents with no other reason; without the rule they stay, unless they then prove to be copies.",
        ),
        id="top",
    )


def write_headline(facts: ExploreReport) -> str:
    """One sentence: how many rules over which documents, and how many these drop."""
    kinds = f" of kind {facts.kind}" if facts.kind else ""
    kinds += f" in {format_language(facts.lang)}" if facts.lang else ""
    documents, rules = (
        format_counted(facts.documents, "document"),
        format_counted(len(facts.rules), "rule"),
    )
    one = len(facts.rules) == 1
    drop = ("drops" if one else "drop") if facts.decided else "would drop"
    return f"{rules} over {documents}{kinds}: {'it' if one else 'they'} {drop} {format_count(facts.dropped)}"


def _notes(facts: ExploreReport) -> Iterator[Content]:
    yield code(facts.run)
    if facts.decided:
        yield ". Reasons that are no threshold of a signal (rights, language, duplicates) are told by "
        yield content(code("gristmill report"), ". ")
    else:
        whose = "rules of the configuration given" if facts.configured else "default rules"
        yield f" is an annotate run: these are the {whose}, without rights, language and duplicates. "
    yield (
        "The texts are from outside, as they were found, and may offend: they stay folded until you open them. "
        "Personal data are masked, and documents under a takedown or a refusal of their source are counted, not shown."
    )


def _row(rule: RuleReport) -> Row:
    name = tag("a", rule.rule.name, href=f"#{_anchor(rule)}")
    figures = (
        format_count(rule.judged),
        format_share(rule.holds, rule.judged),
        format_count(rule.first),
        format_count(rule.alone),
    )
    return name, format_count(rule.holds), format_bounds(rule.rule.record()), *figures


def _section(rule: RuleReport) -> Html:
    if not rule.judged:
        return section(
            _anchor(rule),
            rule.rule.name,
            *_definition(rule),
            paragraph("No document here is judged by it."),
        )
    drops = format_counted(rule.first, "document")
    told = (
        f"It judges {format_counted(rule.judged, 'document')} and holds for {format_count(rule.holds)} of them "
        f"({format_share(rule.holds, rule.judged)}). It came first for {drops}; for {format_count(rule.alone)} it is the only reason."
    )
    parts = [_threshold(rule, threshold) for threshold in rule.thresholds]
    return section(_anchor(rule), rule.rule.name, *_definition(rule), paragraph(told), *parts)


def _definition(rule: RuleReport) -> Iterator[Html]:
    kinds = f", for {format_list(list(rule.kinds), most=12)}" if rule.kinds else ""
    yield paragraph(
        "Drops a document if ",
        tag("strong", format_bounds(rule.rule.record())),
        f". Preset {rule.rule.preset}{kinds}.",
    )
    if rule.meaning:
        origin = f" ({rule.origin})" if rule.origin else ""
        yield note(code(rule.rule.signal), f": {rule.meaning}{origin}.")


def _threshold(rule: RuleReport, threshold: ThresholdReport) -> Html:
    title = f"{_languages(threshold)}: {format_counted(threshold.documents, 'document')}, {format_count(threshold.holds)} dropped"
    missing = f"{format_counted(threshold.unmeasured, 'document')} without a number: none of them is dropped."
    return content(
        Html(draw_threshold(title, threshold, rule.rule.signal)),
        note(missing) if threshold.unmeasured else None,
        *(_side(side) for side in threshold.sides),
    )


def _languages(threshold: ThresholdReport) -> str:
    """The main languages by name, the others counted: a handful of documents may be a slip of the identifier."""
    names = choose_main_languages(Counter(threshold.languages))
    others = len(threshold.languages) - len(names)
    return format_list(
        [*names, format_counted(others, "other language")] if others else names, most=6
    )


def _side(side: BoundSide) -> Html:
    bound = f"{side.bound:g}"
    inside, beyond = ("at or above", "below") if side.name == "min" else ("at or below", "above")
    kept = _examples(f"Passed: {inside} {bound}", side.kept, "dropped as")
    dropped = _examples(f"Dropped: {beyond} {bound}", side.dropped, "also")
    return tag("div", kept, dropped, class_="near")


def _examples(title: str, examples: Sequence[NearExample], also: str) -> Html:
    """A folded list; `also` leads in the other reasons of a document."""
    if not examples:
        return tag("p", f"{title}, no document to show.")
    ends = _number(examples[0].value), _number(examples[-1].value)
    spread = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
    summary = f"{title}, the nearest {len(examples)} ({spread})"
    return tag(
        "details",
        tag("summary", summary),
        tag("ol", *(_example(example, also) for example in examples)),
    )


def _example(example: NearExample, also: str) -> Html:
    others = f"{also} {format_list(list(example.others), most=6)}" if example.others else None
    origin = [example.title or None, example.source, format_language(example.lang), others]
    words = [content(" · ", tag("bdi", one)) for one in origin if one]
    head = tag("p", tag("b", _number(example.value)), *words, " · ", code(example.id))
    return tag("li", head, quoted(example.text, example.lang))


def _number(value: float) -> str:
    return f"{value:,.0f}" if math.isclose(value, round(value), abs_tol=1e-9) else f"{value:.5g}"


def _footer(facts: ExploreReport) -> Html:
    words = f"Made by Gristmill {facts.version} from {facts.run}. Equally near documents are drawn with seed {facts.seed}."
    return tag("footer", words)
