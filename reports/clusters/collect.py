"""Read a decide run and the documents beside it into the data of the page of clusters.

In: a `ClusterCorpus` and a `ClusterQuery`. Out: a `ClusterReport`. Passes over decisions take bounded memory; texts are
read of the documents shown only, a cluster at a time.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.view import decision_files, read_shards
from gristmill.errors import RunError, UserError
from gristmill.formatting import shorten
from gristmill.progress import Progress
from gristmill.runs.finished import FinishedRun, corpus_lineage, open_parents
from reports.chain.collect import single
from reports.chain.texts import RowLocation, read_rows, read_texts
from reports.clusters.cluster_report import (
    ClusterCard,
    ClusterReport,
    DocumentRecord,
    DroppedDocument,
    TextPair,
)
from reports.clusters.members import (
    READ,
    ClusterMembers,
    DroppedMember,
    gather_members,
    locate_kept,
)
from reports.clusters.sampling import ClusterSizes, DropCounts, Reservoir
from reports.drawing.text_diff import DiffExtent, compare_texts

EXTENT = DiffExtent(places=6, around=24, longest=120)
"""More of every difference than the report shows: on this page readers judge it."""
RECORD = ["id", "source", "lang", "title", "url", "published"]
LABEL = re.compile(r"\d{1,19}")
MAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
TITLE, ADDRESS, BEGINNING = 200, 300, 600
"""Characters of a title, an address, and the beginning of a text that the page shows."""


@dataclass(frozen=True, slots=True)
class ClusterQuery:
    """How many clusters are shown, by what seed they are drawn, and which are `named`, by label or by id of a document."""

    largest: int = 20
    sample: int = 20
    seed: int = 0
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterCorpus:
    """A decide run with the documents it judged, file by file."""

    decided: FinishedRun
    annotated: FinishedRun
    decisions: Sequence[Path]
    documents: Sequence[Path]
    legend: Sequence[str]


def open_corpus(run: FinishedRun) -> ClusterCorpus:
    """The decide run that led to `run`, or is it; raises RunError where there is none, or its documents are gone."""
    decided = single("decide", corpus_lineage(run))
    if decided is None:
        raise RunError(
            "no decide run led to this run",
            {"run": run.path, "is of": run.step},
            f"give one that came after it: gristmill runs list --out {run.path.parent}",
        )
    annotated = single("annotate", open_parents(decided))
    if annotated is None:
        raise RunError(
            "the documents of this run are not beside it",
            {"run": decided.path, "needs": decided.details.get("documents")},
            "copy the annotate run into the same folder",
        )
    documents = annotated.files("documents/")
    return ClusterCorpus(
        decided=decided,
        annotated=annotated,
        decisions=decision_files(decided, len(documents)),
        documents=documents,
        legend=tuple(decided.details["reasons"]),
    )


def collect_clusters(corpus: ClusterCorpus, query: ClusterQuery) -> ClusterReport:
    """Read all that the page shows."""
    sizes, drops = ClusterSizes(query.largest), DropCounts(corpus.legend)
    # Some of those drawn may be among the largest: so many more are drawn.
    reservoir = Reservoir(query.largest + query.sample, query.seed)
    rows = sum(file.rows for file in corpus.annotated.data_files("documents/"))
    with Progress("clusters", total=rows if rows > 0 else None, unit="decisions") as bar:
        for shard, table in read_shards(corpus.decisions, corpus.documents, READ):
            sizes.add(table, shard, 0)
            reservoir.add(table)
            drops.add(table)
            bar.advance(table.num_rows)
    named = _find_named(corpus, query.named)
    largest = [label for _, label in sizes.top]
    others = [label for label in reservoir.chosen if label not in largest]
    sample = others[: query.sample]
    cards = read_cards(corpus, dict.fromkeys([*named, *largest, *sample]))
    settings = corpus.decided.manifest["config"]
    first_documents = corpus.documents[:1]
    return ClusterReport(
        run=corpus.decided.id,
        documents_run=corpus.annotated.id,
        version=str(corpus.decided.manifest["version"]),
        near=settings.get("near") or {},
        url=settings.get("url") or {},
        prefer=tuple(settings.get("prefer") or ()),
        keeps=int(settings.get("keep_per_cluster", 1)),
        documents=drops.documents,
        sizes=dict(sorted(sizes.sizes.items())),
        dropped=dict(drops.dropped),
        bins=tuple(drops.bins.tolist()),
        unmeasured=drops.unmeasured,
        masked=all("personal" in pq.read_schema(path).names for path in first_documents),
        seed=query.seed,
        named=tuple(cards[label] for label in named),
        largest=tuple(cards[label] for label in largest),
        sample=tuple(cards[label] for label in sample),
    )


def _find_named(corpus: ClusterCorpus, names: Sequence[str]) -> list[int]:
    """The labels of the clusters named, each once.

    Raises UserError for a name that is neither a label nor the id of a member.
    """
    if not names:
        return []
    # A column of int64 holds no larger label, and comparing with one would overflow.
    asked = {int(name) for name in names if LABEL.fullmatch(name) and int(name) < 1 << 63}
    existing: set[int] = set()
    label_of_id: dict[str, int] = {}
    for shard, table in read_shards(corpus.decisions, corpus.documents, ["cluster"]):
        if asked:
            existing |= asked & set(pc.unique(table["cluster"]).to_pylist())
        label_of_id |= _find_labels(table, corpus.documents[shard], names)
    labels = list[int]()
    for name in names:
        if LABEL.fullmatch(name) and int(name) in existing:
            labels.append(int(name))
        elif name in label_of_id:
            labels.append(label_of_id[name])
        else:
            raise UserError(
                "no cluster has this label, and no document of a cluster this id",
                {"given": name, "run": corpus.decided.path},
                "give the label of a cluster, or the id of a document that has copies; "
                "without --cluster the page has both",
            )
    return list(dict.fromkeys(labels))


def _find_labels(table: pa.Table, documents: Path, ids: Sequence[str]) -> dict[str, int]:
    """The clusters of the documents of one shard that have these ids."""
    joined = pq.read_table(documents, columns=["id"]).append_column("cluster", table["cluster"])
    has_id = pc.is_in(joined["id"], value_set=pa.array(ids, pa.string()))
    members = joined.filter(pc.and_(has_id, pc.greater_equal(joined["cluster"], 0)))
    return dict(zip(members["id"].to_pylist(), members["cluster"].to_pylist(), strict=True))


def read_cards(corpus: ClusterCorpus, labels: Collection[int]) -> dict[int, ClusterCard]:
    """The clusters with these labels as they are shown."""
    if not labels:
        return {}
    members = gather_members(corpus.decisions, corpus.documents, list(labels), corpus.legend)
    compared = {label: choose_compared(members[label]) for label in labels}
    shown = [(label, member) for label, pairs in compared.items() for _, member in pairs]
    kept = locate_kept(corpus.decisions, corpus.documents, members, shown)
    places = [member.place for _, member in shown]
    places += kept.values()
    for cluster in members.values():
        places += [place for _, place in cluster.kept]
        places += [member.place for member in cluster.least]
    rows = read_rows(corpus.documents, places, RECORD)
    records = {place: _make_record(row) for place, row in rows}
    cards = {}
    with Progress("clusters", total=len(labels), unit="clusters") as bar:
        for label in labels:
            kept_here = {id: place for (own, id), place in kept.items() if own == label}
            cards[label] = _make_card(
                label, members[label], compared[label], kept_here, records, corpus.documents
            )
            bar.advance()
    return cards


def choose_compared(members: ClusterMembers) -> list[tuple[str, DroppedMember]]:
    """Which dropped documents are compared with the kept one: the least similar, and up to three above it."""
    if not members.least:
        return []
    chosen = [("the least similar", members.least[0])]
    for which, share in (
        ("a third of the way up", 1 / 3),
        ("two thirds of the way up", 2 / 3),
        ("the most similar", 1.0),
    ):
        member = members.at(share)
        if member is not None and member.id not in {other.id for _, other in chosen}:
            chosen.append((which, member))
    return chosen


def _make_card(
    label: int,
    members: ClusterMembers,
    compared: Sequence[tuple[str, DroppedMember]],
    kept: Mapping[str, RowLocation],
    records: Mapping[RowLocation, DocumentRecord],
    documents: Sequence[Path],
) -> ClusterCard:
    pairs = [
        (which, kept[member.kept_id], member)
        for which, member in compared
        if member.kept_id in kept
    ]
    # The kept documents of the pairs come first, each once.
    places = dict.fromkeys(place for _, place, _ in pairs)
    places |= dict.fromkeys(place for _, place in members.kept)
    return ClusterCard(
        label=label,
        size=members.size,
        keeps=members.keeps,
        dropped=dict(members.dropped),
        kept=tuple(records[place] for place in places),
        listed=tuple(_make_dropped(member, records) for member in members.least),
        pairs=tuple(_compare_pairs(pairs, records, documents)),
    )


def _compare_pairs(
    pairs: Sequence[tuple[str, RowLocation, DroppedMember]],
    records: Mapping[RowLocation, DocumentRecord],
    documents: Sequence[Path],
) -> Iterable[TextPair]:
    places = [place for _, kept, member in pairs for place in (kept, member.place)]
    texts = read_texts(documents, places)
    for which, kept, member in pairs:
        yield TextPair(
            which=which,
            kept=records[kept],
            dropped=_make_dropped(member, records),
            comparison=compare_texts(texts[kept], texts[member.place], EXTENT),
            beginning=shorten(texts[kept].strip(), BEGINNING),
        )


def _make_dropped(
    member: DroppedMember, records: Mapping[RowLocation, DocumentRecord]
) -> DroppedDocument:
    return DroppedDocument(records[member.place], member.reason, member.similarity)


def _make_record(row: Mapping[str, Any]) -> DocumentRecord:
    """A document as a page may show it: mail addresses in its title and address are masked."""
    title, url = (MAIL.sub("[email]", row[name] or "") for name in ("title", "url"))
    return DocumentRecord(
        id=row["id"],
        source=row["source"],
        lang=row["lang"],
        title=shorten(title, TITLE),
        url=shorten(url, ADDRESS),
        date=(row["published"] or "").partition(" ")[0],
    )
