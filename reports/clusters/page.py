"""The page of duplicate clusters: numbers, settings and how to read them, then clusters with text beside text.

In: a `ClusterReport`. Out: the page, laid out by the templates in `templates/clusters/`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from gristmill.formatting import (
    format_count,
    format_counted,
    format_language,
    format_list,
    format_share,
)
from reports.chain.duplicates import make_dropped_table, make_size_bars
from reports.clusters.cluster_report import (
    ClusterCard,
    ClusterReport,
    DocumentRecord,
    DroppedDocument,
    TextPair,
)
from reports.clusters.sampling import BINS
from reports.drawing.charts import draw_bar_chart, draw_histogram
from reports.drawing.inline import format_code, format_link, isolate_direction, join_markup
from reports.drawing.tables import Cell, Table
from reports.drawing.templates import ContentsEntry, render, render_page

SIMILARITIES = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Similarities of pairs for which the page says how many are compared."""

MEMBER_HEAD = ("Id", "Became", "#Similarity", "Source", "Date")

READING = (
    "Dropping was right where the texts say the same: another date or menu around an equal article, a revision, a mirror.",
    "It was wrong where what differs is what matters: tables, poems, laws and product pages of one form with other numbers or names. "
    "Then raise decide.near.min_similarity, and decide again.",
    "Each card shows the least similar text first. If that one is a copy, the others are. A word is a character in Chinese and Japanese.",
)


@dataclass(frozen=True, slots=True)
class PairView:
    """A kept and a dropped text: a title, and what is said of either document."""

    title: str
    kept: Markup
    dropped: Markup
    pair: TextPair


@dataclass(frozen=True, slots=True)
class CardView:
    """One cluster as it is laid out: the first pair in full, the others folded."""

    anchor: str
    title: str
    label: str
    kept: list[Markup]
    more_kept: str
    pairs: list[PairView]
    members_summary: str
    members: Table
    more_members: str


@dataclass(frozen=True, slots=True)
class CardGroup:
    """Clusters that were chosen in the same way."""

    anchor: str
    title: str
    note: str
    table: Table
    cards: list[CardView]


@dataclass(frozen=True, slots=True)
class SimilarityView:
    """How similar dropped documents are to the kept text."""

    chart: Markup
    measured: str
    unmeasured: str


def draw_page(report: ClusterReport, *, back: str = "") -> str:
    """The whole page; equal data give equal bytes. `back` is the report that it lies beside, if there is one."""
    groups = list(make_groups(report))
    contents = [ContentsEntry("top", "Overview"), ContentsEntry("settings", "How they were found")]
    contents += [ContentsEntry(group.anchor, group.title) for group in groups]
    body = render(
        "clusters/clusters.html.jinja",
        report=report,
        headline=write_headline(report),
        back=quote(back),
        dropped=make_dropped_table(report.dropped, report.documents),
        sizes=_draw_sizes(report),
        similarity=summarize_similarity(report),
        settings=make_settings_table(report),
        reading=READING,
        groups=groups,
    )
    return render_page(f"Duplicate clusters of {report.run}", contents, body)


def write_headline(report: ClusterReport) -> str:
    """One sentence: how many clusters among how many documents, and what they cost."""
    documents = format_counted(report.documents, "document")
    dropped = sum(report.dropped.values())
    if not report.clusters and not dropped:
        return f"No duplicates among {documents}"
    were = "was" if dropped == 1 else "were"
    clusters = format_counted(report.clusters, "cluster")
    return f"{clusters} of copies among {documents}: {format_count(dropped)} {were} dropped"


def _draw_sizes(report: ClusterReport) -> Markup | None:
    if not report.sizes:
        return None
    return draw_bar_chart("Number of clusters by size", list(make_size_bars(report.sizes)))


def summarize_similarity(report: ClusterReport) -> SimilarityView | None:
    """The histogram of similarity, whose axis begins at the first document; None where nothing was dropped."""
    if not sum(report.dropped.values()):
        return None
    occupied = [i for i, number in enumerate(report.bins) if number]
    first = occupied[0] if occupied else BINS - 1
    edges = [i / BINS for i in range(first, BINS + 1)]
    title = "Dropped documents by similarity to the kept text"
    unmeasured = format_counted(report.unmeasured, "document") if report.unmeasured else ""
    return SimilarityView(
        chart=draw_histogram(title, edges, report.bins[first:], x_label="estimated similarity"),
        measured=format_count(sum(report.bins)),
        unmeasured=unmeasured,
    )


def make_settings_table(report: ClusterReport) -> Table | None:
    """The settings of decide that found the clusters; None where none was recorded."""
    rows = [*_list_near_settings(report.near), *_list_other_settings(report)]
    if not rows:
        return None
    return Table("Settings of decide", ("Setting", "Value", "~How to read it"), rows)


def _list_near_settings(near: Mapping[str, Any]) -> Iterator[tuple[Cell, Cell, Cell]]:
    if not {"bands", "rows", "min_similarity"} <= set(near):
        return
    shares = [
        f"{similarity:g}: {format_share(compute_candidate_probability(similarity, near), 1)}"
        for similarity in SIMILARITIES
    ]
    compared = format_list(shares, most=len(shares))
    yield (
        format_code("near.bands"),
        format_count(near["bands"]),
        "So many parts of a signature. Two texts are compared where one part is equal: "
        f"of pairs by similarity {compared}. More bands miss fewer copies.",
    )
    yield (
        format_code("near.rows"),
        format_count(near["rows"]),
        "Numbers in each part. More rows compare fewer pairs, and only the more similar.",
    )
    yield (
        format_code("near.min_similarity"),
        f"{near['min_similarity']:g}",
        "The bound: pairs that were compared and are less similar are let go.",
    )


def _list_other_settings(report: ClusterReport) -> Iterator[tuple[Cell, Cell, Cell]]:
    if report.url.get("max_documents"):
        most = format_count(report.url["max_documents"])
        yield (
            format_code("url.min_similarity"),
            f"{report.url['min_similarity']:g}",
            f"The bound for documents of one address, of which there are {most} at most.",
        )
    if report.keeps > 1:
        yield (
            format_code("keep_per_cluster"),
            format_count(report.keeps),
            "So many of a cluster stay, the best first; exact copies never do.",
        )
    if report.prefer:
        yield (
            format_code("prefer"),
            format_list(list(report.prefer), most=12),
            "Of a cluster a document of the first of these stays; then the earliest, then the smallest id.",
        )


def compute_candidate_probability(similarity: float, near: Mapping[str, Any]) -> float:
    """The probability that a pair of this similarity is compared, 1 - (1 - s^rows)^bands.

    Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.2.
    """
    band_is_equal = similarity ** near["rows"]
    return float(1 - (1 - band_is_equal) ** near["bands"])


def make_groups(report: ClusterReport) -> Iterator[CardGroup]:
    """The clusters named by the user, the largest, and the sample; groups without a cluster are left out."""
    drawn = (
        f"Drawn at random (seed {report.seed}) from the clusters that lost a document "
        "and are not among the largest."
    )
    choices = (
        ("named", "Clusters asked for", report.named, "As named on the command line."),
        ("largest", "The largest clusters", report.largest, "Largest first."),
        ("sample", "A random sample", report.sample, drawn),
    )
    head = ("Cluster", "#Documents", "#Kept", "#Least similarity", "~Kept document")
    for anchor, title, cards, note in choices:
        if cards:
            table = Table(title, head, [_write_card_row(card, anchor) for card in cards])
            views = [make_card_view(card, anchor) for card in cards]
            yield CardGroup(anchor, title, note, table, views)


def _write_card_row(card: ClusterCard, group: str) -> list[Cell]:
    least_similar = card.listed[0].similarity if card.listed else None
    return [
        format_link(str(card.label), f"#{group}-{card.label}"),
        format_count(card.size),
        format_count(card.keeps),
        _format_similarity(least_similar),
        _format_title(card.kept[0]) if card.kept else "–",
    ]


def make_card_view(card: ClusterCard, group: str) -> CardView:
    """One cluster as the template lays it out."""
    more_kept = card.keeps - len(card.kept)
    # A pair shows its kept document already; where that is the only one it is not listed again.
    lists_kept = len(card.kept) > 1 or not card.pairs
    members = [*map(_write_kept_row, card.kept), *map(_write_dropped_row, card.listed)]
    more_members = card.size - len(members)
    caption = f"Members of cluster {card.label} ({group}): kept ones, then the least similar"
    return CardView(
        anchor=f"{group}-{card.label}",
        title=_write_card_title(card),
        label=str(card.label),
        kept=[describe_document(record) for record in card.kept] if lists_kept else [],
        more_kept=format_count(more_kept) if more_kept > 0 else "",
        pairs=[_make_pair_view(pair) for pair in card.pairs],
        members_summary=f"Members ({format_count(card.size)})",
        members=Table(caption, MEMBER_HEAD, members),
        more_members=format_count(more_members) if more_members > 0 else "",
    )


def _write_card_title(card: ClusterCard) -> str:
    title = f"{format_counted(card.size, 'document')}: {format_count(card.keeps)} kept"
    if not card.dropped:
        return f"{title}, none dropped"
    reasons = [f"{format_count(number)} as {name}" for name, number in sorted(card.dropped.items())]
    dropped = format_count(sum(card.dropped.values()))
    return f"{title}, {dropped} dropped ({', '.join(reasons)})"


def _make_pair_view(pair: TextPair) -> PairView:
    similarity = pair.dropped.similarity
    likeness = "similarity not recorded"
    if similarity is not None:
        likeness = f"similarity {similarity:.2f}"
    return PairView(
        title=f"Kept and dropped text, {pair.which}: {pair.dropped.reason}, {likeness}",
        kept=describe_document(pair.kept),
        dropped=describe_document(pair.dropped.record),
        pair=pair,
    )


def describe_document(record: DocumentRecord) -> Markup:
    """Title, id, source, language, date and address of a document."""
    parts: list[Cell] = [
        _format_title(record),
        format_code(record.id),
        isolate_direction(record.source),
        format_language(record.lang),
    ]
    if record.date:
        parts.append(record.date)
    if record.url:
        parts.append(isolate_direction(record.url))
    return Markup('<span class="origin">{}</span>').format(join_markup(" · ", parts))


def _format_title(record: DocumentRecord) -> Markup:
    if not record.title.strip():
        return Markup("<em>no title</em>")
    return Markup("<strong>{}</strong>").format(isolate_direction(record.title))


def _format_similarity(similarity: float | None) -> str:
    return "–" if similarity is None else f"{similarity:.2f}"


def _write_kept_row(record: DocumentRecord) -> Sequence[Cell]:
    source = isolate_direction(record.source)
    return format_code(record.id), "kept", "–", source, record.date or "–"


def _write_dropped_row(document: DroppedDocument) -> Sequence[Cell]:
    record = document.record
    return (
        format_code(record.id),
        format_code(document.reason),
        _format_similarity(document.similarity),
        isolate_direction(record.source),
        record.date or "–",
    )
