"""Duplicate clusters: how many, how large, and the largest with a kept and a dropped text side by side."""

from collections.abc import Iterator, Mapping, Sequence

from gristmill.report.alike import PLACES, Comparison, Piece, Place
from gristmill.report.blocks import chart, code, missing, note, origin, paragraph, part, quoted, sample, section, table
from gristmill.report.charts import Bar, bar_chart
from gristmill.report.facts import Cluster, Facts, Sample
from gristmill.report.glossary import term
from gristmill.report.markup import Html, content, tag
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
        paragraph(f"{counted(clusters, 'cluster')} of near or equal copies. One document of each is kept, so {count(sum(cost.values()))} were dropped."),
        chart(bar_chart("Number of clusters by size", list(size_bars(found.sizes)))),
        part("The largest clusters", *map(_cluster, found.largest)),
        note(f"n = {count(documents)} documents. Similarity is estimated from ", term("MinHash"), " signatures: the share of runs of five words "
             "that two texts have in common. Of every ", term("cluster"), " the kept text stands beside the least similar one that was dropped "
             "for it; a word is a character in Chinese and Japanese. Documents that a rule dropped take no part."),
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
    title = tag("h4", f"{counted(cluster.size, 'document')}{likeness}")
    if cluster.dropped is None or cluster.comparison is None:
        return tag("div", title, sample(cluster.kept))
    found = cluster.comparison
    places = [_place(place, cluster) for place in found.places] or [quoted(cluster.kept.text or "", cluster.kept.lang)]
    pair = (("kept", cluster.kept), ("dropped", cluster.dropped))
    sides = [tag("div", tag("b", name), origin(one)) for name, one in pair]
    return tag("div", title, paragraph(_told(found)), tag("div", *sides, class_="sides"), *places)


def _told(found: Comparison) -> str:
    """How much is alike, and how many of the differences are shown."""
    where = "the first " if found.cut else ""
    alike = f"{count(found.alike)} of {where}{counted(found.compared, 'word')} of the kept text also stand in the dropped one, in the same order"
    if not found.differing:
        return (
            f"{alike}: {'no difference in what was compared' if found.cut else 'they differ in white space at most'}."
        )
    first = "the first of them are" if found.differing > PLACES else "each is" if found.differing > 1 else "it is"
    return f"{alike}. They differ in {counted(found.differing, 'place')}: {first} shown and marked."


def _place(place: Place, cluster: Cluster) -> Html:
    """The same place of both texts side by side; what stands before it alike is counted."""
    assert cluster.dropped is not None
    passed = note(f"… after {counted(place.before, 'more word')} alike:") if place.before else None
    sides = [_side("kept", place.kept, cluster.kept), _side("dropped", place.dropped, cluster.dropped)]
    return content(passed, tag("div", *sides, class_="sides"))


def _side(name: str, pieces: Sequence[Piece], found: Sample) -> Html:
    words = [tag("mark", piece.words) if piece.own else piece.words for piece in pieces]
    return tag(
        "div", tag("p", name, class_="side"), quoted(words, found.lang) if words else note("(nothing stands here)")
    )
