"""The page of duplicate clusters: the numbers, the settings and how to read them, then clusters with text beside text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from gristmill.formatting import (
    format_count,
    format_counted,
    format_language,
    format_list,
    format_share,
)
from reports.chain.duplicates import make_dropped_table, make_size_bars
from reports.chain.page import assemble
from reports.clusters.cluster_report import (
    ClusterCard,
    ClusterReport,
    DocumentRecord,
    DroppedDocument,
    TextPair,
)
from reports.clusters.sampling import BINS
from reports.drawing.blocks import (
    Row,
    bullets,
    chart,
    code,
    folded,
    note,
    paragraph,
    quoted,
    section,
    table,
)
from reports.drawing.charts import draw_bar_chart, draw_histogram
from reports.drawing.diff_view import beside, differences, told
from reports.drawing.markup import Content, Html, content, tag
from reports.drawing.style import CSS
from reports.drawing.text_diff import Comparison

STYLE = (
    CSS
    + """
.card { border: 1px solid var(--line); border-radius: 8px; padding: 0.2rem 1rem 0.8rem; margin: 1.2rem 0; }
.card h3 { margin-top: 0.8rem; } .card .origin { display: block; margin: 0.1rem 0; max-width: none; } .card strong { font-weight: 600; }
"""
)
SIMILARITIES = (0.5, 0.6, 0.7, 0.8, 0.9)
MEMBERS = ("Id", "Became", "#Similarity", "Source", "Date")


def draw_page(facts: ClusterReport, *, back: str = "") -> str:
    """The whole page; equal facts give equal bytes. `back` is the report that it lies beside, if there is one."""
    groups = [group for group in _groups(facts) if group[2]]
    contents = [("top", "Overview"), ("settings", "How they were found")]
    contents += [(anchor, title) for anchor, title, *_ in groups]
    parts = [
        _opening(facts, back),
        _settings(facts),
        *(_group(*group) for group in groups),
        _footer(facts),
    ]
    return assemble(f"Duplicate clusters of {facts.run}", contents, *parts, style=STYLE)


def write_headline(facts: ClusterReport) -> str:
    """One sentence: how many clusters among how many documents, and what they cost."""
    documents, lost = format_counted(facts.documents, "document"), sum(facts.dropped.values())
    if not facts.clusters and not lost:
        return f"No duplicates among {documents}"
    were = "was" if lost == 1 else "were"
    return f"{format_counted(facts.clusters, 'cluster')} of copies among {documents}: {format_count(lost)} {were} dropped"


def _masking(facts: ClusterReport) -> str:
    if facts.masked:
        return "Personal data that were found in them are masked, and mail addresses in titles and links."
    return (
        "Personal data were not looked for (annotate.only_hashes), so none in the texts are masked."
    )


def _opening(facts: ClusterReport, back: str) -> Html:
    lost = sum(facts.dropped.values())
    return tag(
        "header",
        tag("p", "Gristmill clusters", class_="kicker"),
        tag("h1", write_headline(facts)),
        paragraph(tag("a", "Back to the report", href=quote(back))) if back else None,
        note(
            code(facts.run),
            " judged the documents of ",
            code(facts.documents_run),
            ". The texts are from outside, as they were found, and may offend. ",
            _masking(facts),
        ),
        make_dropped_table(facts.dropped, facts.documents),
        chart(draw_bar_chart("Number of clusters by size", list(make_size_bars(facts.sizes))))
        if facts.sizes
        else None,
        *(_similarity(facts) if lost else ()),
        id="top",
    )


def _similarity(facts: ClusterReport) -> Iterator[Html]:
    """How alike the dropped documents are to what was kept; the axis begins where there are any."""
    first = next((i for i, number in enumerate(facts.bins) if number), BINS - 1)
    edges = [i / BINS for i in range(first, BINS + 1)]
    title = "Dropped documents by similarity to the kept text"
    yield chart(draw_histogram(title, edges, facts.bins[first:], x_label="estimated similarity"))
    unknown = (
        f" Of {format_counted(facts.unmeasured, 'document')} it is not recorded."
        if facts.unmeasured
        else ""
    )
    yield note(
        f"n = {format_count(sum(facts.bins))}. Similarity is the share of runs of five words (in Chinese and Japanese: characters) "
        f"that two texts have in common, estimated from their MinHash signatures; 1 means the same runs.{unknown}"
    )


def _settings(facts: ClusterReport) -> Html:
    rows = list(_setting_rows(facts))
    return section(
        "settings",
        "How they were found",
        table("Settings of decide", ("Setting", "Value", "~How to read it"), rows)
        if rows
        else None,
        paragraph(
            "A ",
            tag("strong", "cluster"),
            " is a chain: each of its documents is a copy of some other in it, so its ends may be "
            "less alike than the bound. The similarity shown is that of a dropped text to the one kept in its place. "
            "Documents that a rule dropped take no part.",
        ),
        bullets(READING),
    )


READING = (
    "Dropping was right where the texts say the same: another date or menu around an equal article, a revision, a mirror.",
    "It was wrong where what differs is what matters: tables, poems, laws and product pages of one form with other numbers or names. "
    "Then raise decide.near.min_similarity, and decide again.",
    "Each card shows the least similar text first. If that one is a copy, the others are. A word is a character in Chinese and Japanese.",
)


def _setting_rows(facts: ClusterReport) -> Iterator[Row]:
    near = facts.near
    if {"bands", "rows", "min_similarity"} <= set(near):
        bands, rows, bound = near["bands"], near["rows"], near["min_similarity"]
        caught = format_list(
            [
                f"{s:g}: {format_share(compute_candidate_probability(s, near), 1)}"
                for s in SIMILARITIES
            ],
            most=len(SIMILARITIES),
        )
        yield (
            code("near.bands"),
            format_count(bands),
            f"So many parts of a signature. Two texts are compared where one part is equal: of pairs by similarity {caught}. "
            "More bands miss fewer copies.",
        )
        yield (
            code("near.rows"),
            format_count(rows),
            "Numbers in each part. More rows compare fewer pairs, and only the more similar.",
        )
        yield (
            code("near.min_similarity"),
            f"{bound:g}",
            "The bound: pairs that were compared and are less similar are let go.",
        )
    if facts.url.get("max_documents"):
        yield (
            code("url.min_similarity"),
            f"{facts.url['min_similarity']:g}",
            f"The bound for documents of one address, of which there are {format_count(facts.url['max_documents'])} at most.",
        )
    if facts.keeps > 1:
        yield (
            code("keep_per_cluster"),
            format_count(facts.keeps),
            "So many of a cluster stay, the best first; exact copies never do.",
        )
    if facts.prefer:
        preferred = format_list(list(facts.prefer), most=12)
        yield (
            code("prefer"),
            preferred,
            "Of a cluster a document of the first of these stays; then the earliest, then the smallest id.",
        )


def compute_candidate_probability(similarity: float, near: Mapping[str, Any]) -> float:
    """The probability that a pair of this similarity is compared, 1 - (1 - s^rows)^bands.

    Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4.2.
    """
    return float(1 - (1 - similarity ** near["rows"]) ** near["bands"])


def _groups(facts: ClusterReport) -> Iterator[tuple[str, str, Sequence[ClusterCard], str]]:
    yield "named", "Clusters asked for", facts.named, "As named on the command line."
    yield "largest", "The largest clusters", facts.largest, "Largest first."
    told_of = f"Drawn at random (seed {facts.seed}) from the clusters that lost a document and are not among the largest."
    yield "sample", "A random sample", facts.sample, told_of


def _group(anchor: str, title: str, cards: Sequence[ClusterCard], what: str) -> Html:
    rows = [_row(card, anchor) for card in cards]
    head = ("Cluster", "#Documents", "#Kept", "#Least similarity", "~Kept document")
    return section(
        anchor,
        title,
        note(what),
        table(title, head, rows),
        *(_card(card, anchor) for card in cards),
    )


def _anchor(card: ClusterCard, group: str) -> str:
    return f"{group}-{card.label}"


def _row(card: ClusterCard, group: str) -> Row:
    name = tag("a", str(card.label), href=f"#{_anchor(card, group)}")
    first = _title(card.kept[0]) if card.kept else "–"
    return name, format_count(card.size), format_count(card.keeps), _number(_least(card)), first


def _least(card: ClusterCard) -> float | None:
    return card.listed[0].similarity if card.listed else None


def _number(similarity: float | None) -> str:
    return "–" if similarity is None else f"{similarity:.2f}"


def _card(card: ClusterCard, group: str) -> Html:
    reasons = [f"{format_count(n)} as {name}" for name, n in sorted(card.dropped.items())]
    lost = (
        f", {format_count(sum(card.dropped.values()))} dropped ({', '.join(reasons)})"
        if reasons
        else ", none dropped"
    )
    first, others = card.pairs[:1], card.pairs[1:]
    more = card.keeps - len(card.kept)
    return tag(
        "article",
        tag(
            "h3",
            f"{format_counted(card.size, 'document')}: {format_count(card.keeps)} kept{lost}",
            id=_anchor(card, group),
        ),
        tag("p", "Cluster ", code(card.label), class_="origin"),
        *(
            tag("p", tag("b", "Kept: "), _described(one), class_="origin")
            for one in card.kept
            if len(card.kept) > 1 or not card.pairs
        ),
        note(f"… and {format_count(more)} more kept") if more > 0 else None,
        *(_pair(pair) for pair in first),
        *(folded(_which(pair), _pair_body(pair)) for pair in others),
        folded(f"Members ({format_count(card.size)})", *_members(card, group)),
        class_="card",
    )


def _pair(pair: TextPair) -> Html:
    return content(tag("h4", _which(pair)), _pair_body(pair))


def _which(pair: TextPair) -> str:
    similarity = pair.dropped.similarity
    alike = "similarity not recorded" if similarity is None else f"similarity {similarity:.2f}"
    return f"Kept and dropped text, {pair.which}: {pair.dropped.reason}, {alike}"


def _pair_body(pair: TextPair) -> Html:
    kept, dropped = pair.kept, pair.dropped.record
    texts = differences(pair.comparison, (kept.lang, dropped.lang)) or _same(pair.comparison, pair)
    return content(told(pair.comparison), beside(_described(kept), _described(dropped)), texts)


def _same(comparison: Comparison, pair: TextPair) -> Html:
    """Both texts where there is nothing to set side by side: the beginning of one."""
    if not comparison.compared:
        return note("Both texts are empty.")
    return quoted(pair.beginning, pair.kept.lang)


def _described(record: DocumentRecord) -> Html:
    """Title, id, source, language, date and address of a document."""
    items: list[Content] = [
        _title(record),
        code(record.id),
        isolated(record.source),
        format_language(record.lang),
    ]
    items += [item for item in (record.date, isolated(record.url) if record.url else "") if item]
    return tag(
        "span",
        *(content(" · " if place else "", item) for place, item in enumerate(items)),
        class_="origin",
    )


def _title(record: DocumentRecord) -> Html:
    return tag("strong", isolated(record.title)) if record.title.strip() else tag("em", "no title")


BIDI = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
"""Controls of direction: one that closes an isolate would let a title turn what stands behind it."""


def isolated(words: str) -> Html:
    """A few words from outside in a line of ours; their direction ends with them."""
    return tag("bdi", words.translate(BIDI))


def _members(card: ClusterCard, group: str) -> Iterator[Content]:
    rows: list[Row] = [
        (code(one.id), "kept", "–", isolated(one.source), one.date or "–") for one in card.kept
    ]
    rows += [_member(one) for one in card.listed]
    yield table(
        f"Members of cluster {card.label} ({group}): kept ones, then the least similar",
        MEMBERS,
        rows,
    )
    if (more := card.size - len(rows)) > 0:
        yield note(f"… and {format_count(more)} more.")


def _member(one: DroppedDocument) -> Row:
    record = one.record
    return (
        code(record.id),
        code(one.reason),
        _number(one.similarity),
        isolated(record.source),
        record.date or "–",
    )


def _footer(facts: ClusterReport) -> Html:
    again = "gristmill clusters RUN --cluster LABEL"
    return tag(
        "footer",
        f"Made by Gristmill {facts.version} from {facts.run}. Another cluster: ",
        code(again),
        ", or the id of a document.",
    )
