"""Duplicate clusters: how many, how large, and the largest with a kept and a dropped text side by side."""

from collections.abc import Iterator, Mapping

from gristmill.report.blocks import chart, code, missing, note, paragraph, part, sample, section, table
from gristmill.report.charts import Bar, bar_chart
from gristmill.report.facts import Cluster, Facts
from gristmill.report.markup import Html, tag
from gristmill.report.words import count, counted, share

RANGES = ((2, 2), (3, 3), (4, 4), (5, 9), (10, 19), (20, 99), (100, 999), (1000, 1 << 62))
NAMES = ("exact_duplicate", "near_duplicate")


def duplicates(facts: Facts) -> Html:
    """Section 4."""
    title = "Duplicate clusters"
    if facts.corpus is None or facts.corpus.duplicates is None:
        return section(
            "duplicates",
            title,
            missing("a decide run beside its documents.", "Make it with ", code("gristmill decide"), "."),
        )
    found, documents = facts.corpus.duplicates, facts.corpus.documents
    cost = {reason.name: reason.first for reason in facts.corpus.reasons if reason.name in NAMES}
    clusters = sum(found.sizes.values())
    if not clusters and not any(cost.values()):
        return section("duplicates", title, paragraph(f"No duplicates among {counted(documents, 'document')}."))
    rows = [(code(name), count(cost.get(name, 0)), share(cost.get(name, 0), documents)) for name in NAMES]
    return section(
        "duplicates", title,
        table("Documents dropped as duplicates", ("reason", "#documents", "#share"), rows),
        paragraph(f"{counted(clusters, 'cluster')} of near or equal copies. One document of each is kept."),
        chart(bar_chart("Number of clusters by size", list(size_bars(found.sizes)))),
        part("The largest clusters", *map(_cluster, found.largest)),
        note(f"n = {count(documents)} documents. Similarity is estimated from MinHash signatures; beside each kept text stands the least "
             "similar one dropped for it. Documents that a rule dropped take no part."),
    )  # fmt: skip


def size_bars(sizes: Mapping[int, int]) -> Iterator[Bar]:
    """Clusters in ranges of sizes, empty ranges after the largest left out."""
    largest = max(sizes, default=0)
    for low, high in RANGES:
        if low <= largest:
            name = str(low) if low == high else f"{low:,} or more" if high > 1 << 60 else f"{low} to {high}"
            yield Bar(f"{name} documents", sum(n for size, n in sizes.items() if low <= size <= high))


def _cluster(cluster: Cluster) -> Html:
    likeness = "" if cluster.similarity is None else f", estimated similarity {cluster.similarity:.2f}"
    sides = [tag("div", tag("h5", "kept"), sample(cluster.kept))]
    if cluster.dropped:
        sides.append(tag("div", tag("h5", "dropped"), sample(cluster.dropped)))
    return tag("div", tag("h4", f"{counted(cluster.size, 'document')}{likeness}"), tag("div", *sides, class_="sides"))
