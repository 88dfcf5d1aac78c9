"""Duplicate clusters: how many, how large, and the largest with a kept and a dropped text side by side."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from gristmill.corpus.view import COPIES
from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_list,
    format_share,
)
from reports.chain.report_data import ClusterSample, ReportData
from reports.drawing.blocks import (
    chart,
    code,
    missing,
    note,
    origin,
    paragraph,
    part,
    quoted,
    sample,
    section,
    table,
)
from reports.drawing.charts import ChartBar, draw_bar_chart
from reports.drawing.diff_view import beside, differences, told
from reports.drawing.glossary import term
from reports.drawing.markup import Html, tag

RANGES = ((2, 2), (3, 3), (4, 4), (5, 9), (10, 19), (20, 99), (100, 999), (1000, 1 << 62))


def draw_duplicates_section(facts: ReportData) -> Html:
    """Section 4."""
    title = "Duplicate clusters"
    if facts.corpus is None or facts.corpus.duplicates is None:
        return section(
            "duplicates",
            title,
            missing(
                "a decide run beside its documents.", "Make it with ", code("gristmill decide"), "."
            ),
        )
    found, documents = facts.corpus.duplicates, facts.corpus.documents
    cost = {reason.name: reason.first for reason in facts.corpus.reasons if reason.name in COPIES}
    clusters = sum(found.sizes.values())
    cut = _cut(facts)
    if not clusters and not any(cost.values()):
        return section(
            "duplicates",
            title,
            paragraph(f"No duplicates among {format_counted(documents, 'document')}."),
            cut,
        )
    return section(
        "duplicates",
        title,
        make_dropped_table(cost, documents),
        paragraph(
            f"{format_counted(clusters, 'cluster')} of near or equal copies: {format_counted(sum(cost.values()), 'document')} dropped for another that is kept."
        ),
        chart(draw_bar_chart("Number of clusters by size", list(make_size_bars(found.sizes)))),
        paragraph(
            tag("a", "More clusters, text beside text", href=quote(facts.clusters)),
            ": the largest and a random sample.",
        )
        if facts.clusters
        else None,
        cut,
        part("The largest clusters", *map(_cluster, found.largest)),
        note(
            f"n = {format_count(documents)} documents. Similarity is estimated from ",
            term("MinHash"),
            " signatures: the share of runs of five words that two texts have in common. Of every ",
            term("cluster"),
            " the kept text stands beside the least similar one that was dropped "
            "for it; a word is a character in Chinese and Japanese. Documents that a rule dropped take no part.",
        ),
    )


WHERE_CUT = {
    "repeated_line": "lines",
    "repeated_paragraph": "paragraphs",
    "repeated_span": "runs of words",
}


def _cut(facts: ReportData) -> Html | None:
    """What repeated text was cut out of kept documents, where it was looked for."""
    decided = facts.last("decide")
    found = decided.details.get("repeated") if decided else None
    if not found:
        return None
    parts = format_list(
        [
            f"{format_bytes(found[reason])} of {what}"
            for reason, what in WHERE_CUT.items()
            if found[reason]
        ]
    )
    sizes = f": {parts}" if parts else ""
    return paragraph(
        f"Repeated text was cut out of {format_counted(found['documents'], 'kept document')}{sizes}."
    )


def make_dropped_table(cost: Mapping[str, int], documents: int) -> Html:
    """How many documents each reason dropped as copies; copies by address only where there are any."""
    names = [name for name in COPIES if name != "url_duplicate" or cost.get(name)]
    rows = [
        (code(name), format_count(cost.get(name, 0)), format_share(cost.get(name, 0), documents))
        for name in names
    ]
    return table("Documents dropped as duplicates", ("reason", "#documents", "#share"), rows)


def make_size_bars(sizes: Mapping[int, int]) -> Iterator[ChartBar]:
    """Clusters in ranges of sizes, empty ranges after the largest left out."""
    largest = max(sizes, default=0)
    for low, high in RANGES:
        if low <= largest:
            name = (
                str(low)
                if low == high
                else f"{low:,} or more"
                if high > 1 << 60
                else f"{low} to {high}"
            )
            yield ChartBar(
                f"{name} documents", sum(n for size, n in sizes.items() if low <= size <= high)
            )


def _cluster(cluster: ClusterSample) -> Html:
    likeness = (
        "" if cluster.similarity is None else f", estimated similarity {cluster.similarity:.2f}"
    )
    title = tag("h4", f"{format_counted(cluster.size, 'document')}{likeness}")
    if cluster.dropped is None or cluster.comparison is None:
        return tag("div", title, sample(cluster.kept))
    found, languages = cluster.comparison, (cluster.kept.lang, cluster.dropped.lang)
    places = differences(found, languages) or quoted(cluster.kept.text or "", cluster.kept.lang)
    return tag(
        "div", title, told(found), beside(origin(cluster.kept), origin(cluster.dropped)), places
    )
