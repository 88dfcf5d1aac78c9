"""The section on duplicate clusters: how many, how large, and the largest with kept and dropped text side by side.

In: the `ReportData` of a chain. Out: section 4, laid out by `templates/chain/duplicates.html.jinja`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from gristmill.corpus.view import COPIES
from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_list,
    format_share,
)
from reports.chain.report_data import ClusterSample, ReportData
from reports.drawing.charts import ChartBar, draw_bar_chart
from reports.drawing.inline import format_code
from reports.drawing.tables import Table
from reports.drawing.templates import render

UNBOUNDED = 1 << 62
SIZE_RANGES = (
    (2, 2),
    (3, 3),
    (4, 4),
    (5, 9),
    (10, 19),
    (20, 99),
    (100, 999),
    (1000, UNBOUNDED),
)
"""Sizes of clusters, both ends included."""

KINDS_OF_CUTS = {
    "repeated_line": "lines",
    "repeated_paragraph": "paragraphs",
    "repeated_span": "runs of words",
}


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One cluster as it is shown: its title, and the texts to compare."""

    title: str
    cluster: ClusterSample


@dataclass(frozen=True, slots=True)
class DuplicatesContext:
    """What the template lays out; `costs` is None where there are no duplicates."""

    documents: str
    cuts: str | None
    costs: Table | None
    summary: str
    sizes: Markup | None
    clusters_page: str | None
    largest: list[ClusterView]
    document_count: str


def draw_duplicates_section(report: ReportData) -> Markup:
    """Section 4."""
    return render("chain/duplicates.html.jinja", duplicates=summarize_duplicates(report))


def summarize_duplicates(report: ReportData) -> DuplicatesContext | None:
    """Count the clusters and their costs; None where no decide run stands beside its documents."""
    corpus = report.corpus
    if corpus is None or corpus.duplicates is None:
        return None
    sizes = corpus.duplicates.sizes
    costs = {reason.name: reason.first for reason in corpus.reasons if reason.name in COPIES}
    clusters, dropped = sum(sizes.values()), sum(costs.values())
    has_duplicates = bool(clusters or dropped)
    summary = (
        f"{format_counted(clusters, 'cluster')} of near or equal copies: "
        f"{format_counted(dropped, 'document')} dropped for another that is kept."
    )
    chart = draw_bar_chart("Number of clusters by size", list(make_size_bars(sizes)))
    return DuplicatesContext(
        documents=format_counted(corpus.documents, "document"),
        cuts=describe_cuts(report),
        costs=make_dropped_table(costs, corpus.documents) if has_duplicates else None,
        summary=summary,
        sizes=chart,
        clusters_page=quote(report.clusters) or None,
        largest=[_make_view(cluster) for cluster in corpus.duplicates.largest],
        document_count=format_count(corpus.documents),
    )


def describe_cuts(report: ReportData) -> str | None:
    """What repeated text was cut out of kept documents; None where it was not looked for."""
    decide = report.last("decide")
    repeated = decide.details.get("repeated") if decide else None
    if not repeated:
        return None
    parts = [
        f"{format_bytes(repeated[reason])} of {kind}"
        for reason, kind in KINDS_OF_CUTS.items()
        if repeated[reason]
    ]
    sizes = f": {format_list(parts)}" if parts else ""
    documents = format_counted(repeated["documents"], "kept document")
    return f"Repeated text was cut out of {documents}{sizes}."


def make_dropped_table(costs: Mapping[str, int], documents: int) -> Table:
    """How many documents each reason dropped as copies; copies by address only where there are any."""
    names = [name for name in COPIES if name != "url_duplicate" or costs.get(name)]
    rows = [
        (
            format_code(name),
            format_count(costs.get(name, 0)),
            format_share(costs.get(name, 0), documents),
        )
        for name in names
    ]
    return Table("Documents dropped as duplicates", ("reason", "#documents", "#share"), rows)


def make_size_bars(sizes: Mapping[int, int]) -> Iterator[ChartBar]:
    """Clusters in ranges of sizes, empty ranges after the largest left out."""
    largest = max(sizes, default=0)
    for low, high in SIZE_RANGES:
        if low <= largest:
            clusters = sum(count for size, count in sizes.items() if low <= size <= high)
            yield ChartBar(f"{_name_range(low, high)} documents", clusters)


def _name_range(low: int, high: int) -> str:
    if low == high:
        return str(low)
    return f"{low:,} or more" if high == UNBOUNDED else f"{low} to {high}"


def _make_view(cluster: ClusterSample) -> ClusterView:
    title = format_counted(cluster.size, "document")
    if cluster.similarity is not None:
        title += f", estimated similarity {cluster.similarity:.2f}"
    return ClusterView(title, cluster)
