"""Read a decide run and the documents beside it into the facts of the page of clusters, in passes of bounded memory."""

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
"""More of every difference than the report shows: here one judges it."""
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
    line = corpus_lineage(run)
    decided = single("decide", line)
    if decided is None:
        fix = f"give one that came after it: gristmill runs list --out {run.path.parent}"
        raise RunError("no decide run led to this run", {"run": run.path, "is of": run.step}, fix)
    annotated = single("annotate", open_parents(decided))
    if annotated is None:
        where = {"run": decided.path, "needs": decided.details.get("documents")}
        raise RunError(
            "the documents of this run are not beside it",
            where,
            "copy the annotate run into the same folder",
        )
    documents = annotated.files("documents/")
    return ClusterCorpus(
        decided,
        annotated,
        decision_files(decided, len(documents)),
        documents,
        tuple(decided.details["reasons"]),
    )


def collect_clusters(corpus: ClusterCorpus, wish: ClusterQuery) -> ClusterReport:
    """All that the page tells; texts are read only of the documents shown, a cluster at a time."""
    clusters, losses = ClusterSizes(wish.largest), DropCounts(corpus.legend)
    draw = Reservoir(wish.largest + wish.sample, wish.seed)
    rows = sum(file.rows for file in corpus.annotated.data_files("documents/"))
    with Progress("clusters", total=rows if rows > 0 else None, unit="decisions") as bar:
        for shard, table in read_shards(corpus.decisions, corpus.documents, READ):
            clusters.add(table, shard, 0)
            draw.add(table)
            losses.add(table)
            bar.advance(table.num_rows)
    named = _named(corpus, wish.named)
    largest = [label for _, label in clusters.top]
    sample = [label for label in draw.found if label not in largest][: wish.sample]
    cards = read_cards(corpus, dict.fromkeys([*named, *largest, *sample]))
    settings = corpus.decided.manifest["config"]
    return ClusterReport(
        run=corpus.decided.id,
        documents_run=corpus.annotated.id,
        version=str(corpus.decided.manifest["version"]),
        near=settings.get("near") or {},
        url=settings.get("url") or {},
        prefer=tuple(settings.get("prefer") or ()),
        keeps=int(settings.get("keep_per_cluster", 1)),
        documents=losses.documents,
        sizes=dict(sorted(clusters.sizes.items())),
        dropped=dict(losses.dropped),
        bins=tuple(losses.bins.tolist()),
        unmeasured=losses.unmeasured,
        masked=all("personal" in pq.read_schema(path).names for path in corpus.documents[:1]),
        seed=wish.seed,
        named=tuple(cards[label] for label in named),
        largest=tuple(cards[label] for label in largest),
        sample=tuple(cards[label] for label in sample),
    )


def _named(corpus: ClusterCorpus, names: Sequence[str]) -> list[int]:
    """The labels of the clusters named; raises UserError for a name that is neither a label nor the id of a member."""
    if not names:
        return []
    labels = {int(name) for name in names if LABEL.fullmatch(name) and int(name) < 1 << 63}
    there: set[int] = set()
    by_id: dict[str, int] = {}
    for shard, table in read_shards(corpus.decisions, corpus.documents, ["cluster"]):
        there.update(set(pc.unique(table["cluster"]).to_pylist()) & labels if labels else ())
        by_id |= _labels_of(table, corpus.documents[shard], names)
    found = [
        int(name) if LABEL.fullmatch(name) and int(name) in there else by_id.get(name, -1)
        for name in names
    ]
    if -1 in found:
        where = {"given": names[found.index(-1)], "run": corpus.decided.path}
        fix = "give the label of a cluster, or the id of a document that has copies; without --cluster the page has both"
        raise UserError(
            "no cluster has this label, and no document of a cluster this id", where, fix
        )
    return list(dict.fromkeys(found))


def _labels_of(table: pa.Table, documents: Path, ids: Sequence[str]) -> dict[str, int]:
    """The clusters of the documents of one shard that have these ids."""
    read = pq.read_table(documents, columns=["id"]).append_column("cluster", table["cluster"])
    inside = pc.is_in(read["id"], value_set=pa.array(ids, pa.string()))
    found = read.filter(pc.and_(inside, pc.greater_equal(read["cluster"], 0)))
    return dict(zip(found["id"].to_pylist(), found["cluster"].to_pylist(), strict=True))


def read_cards(corpus: ClusterCorpus, labels: Collection[int]) -> dict[int, ClusterCard]:
    """The clusters with these labels as they are shown."""
    if not labels:
        return {}
    members = gather_members(corpus.decisions, corpus.documents, list(labels), corpus.legend)
    compared = {label: choose_compared(members[label]) for label in labels}
    every = [(label, one) for label, chosen in compared.items() for _, one in chosen]
    kept = locate_kept(corpus.decisions, corpus.documents, members, every)
    places = [place for found in members.values() for _, place in found.kept] + list(kept.values())
    places += [one.place for found in members.values() for one in found.least] + [
        one.place for _, one in every
    ]
    records = {place: _record(row) for place, row in read_rows(corpus.documents, places, RECORD)}
    cards = {}
    with Progress("clusters", total=len(labels), unit="clusters") as bar:
        for label in labels:
            survivor = {id: place for (own, id), place in kept.items() if own == label}
            cards[label] = _card(
                label, members[label], compared[label], survivor, records, corpus.documents
            )
            bar.advance()
    return cards


def choose_compared(members: ClusterMembers) -> list[tuple[str, DroppedMember]]:
    """Which dropped documents are compared with the kept one: the least similar, and two between it and the most similar."""
    if not members.least:
        return []
    chosen = [("the least similar", members.least[0])]
    for which, share in (
        ("a third of the way up", 1 / 3),
        ("two thirds of the way up", 2 / 3),
        ("the most similar", 1.0),
    ):
        one = members.at(share)
        if one is not None and one.id not in {other.id for _, other in chosen}:
            chosen.append((which, one))
    return chosen


def _card(
    label: int,
    members: ClusterMembers,
    compared: Sequence[tuple[str, DroppedMember]],
    kept: Mapping[str, RowLocation],
    records: Mapping[RowLocation, DocumentRecord],
    documents: Sequence[Path],
) -> ClusterCard:
    shown = dict.fromkeys(kept[one.kept_id] for _, one in compared if one.kept_id in kept)
    shown |= dict.fromkeys(place for _, place in members.kept)
    found = [(which, kept[one.kept_id], one) for which, one in compared if one.kept_id in kept]
    return ClusterCard(
        label=label,
        size=members.size,
        keeps=members.keeps,
        dropped=dict(members.dropped),
        kept=tuple(records[place] for place in shown),
        listed=tuple(_dropped(one, records) for one in members.least),
        pairs=tuple(_pairs(found, records, documents)),
    )


def _pairs(
    found: Sequence[tuple[str, RowLocation, DroppedMember]],
    records: Mapping[RowLocation, DocumentRecord],
    documents: Sequence[Path],
) -> Iterable[TextPair]:
    texts = read_texts(documents, [place for _, kept, one in found for place in (kept, one.place)])
    for which, kept, one in found:
        comparison = compare_texts(texts[kept], texts[one.place], EXTENT)
        beginning = shorten(texts[kept].strip(), BEGINNING)
        yield TextPair(which, records[kept], _dropped(one, records), comparison, beginning)


def _dropped(
    member: DroppedMember, records: Mapping[RowLocation, DocumentRecord]
) -> DroppedDocument:
    return DroppedDocument(records[member.place], member.reason, member.similarity)


def _record(row: Mapping[str, Any]) -> DocumentRecord:
    """What of a document may stand on a page: no address of mail, in title and address neither."""
    title, url = (MAIL.sub("[email]", row[name] or "") for name in ("title", "url"))
    date = (row["published"] or "").partition(" ")[0]
    return DocumentRecord(
        row["id"],
        row["source"],
        row["lang"],
        shorten(title, TITLE),
        shorten(url, ADDRESS),
        date,
    )
