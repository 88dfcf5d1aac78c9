"""Read the documents and decisions of a corpus, by column and in batches: counts in one pass, a few texts in another."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.document import refuse_hashes_only
from gristmill.corpus.view import WITHHELD, decision_files, lowest_bit, read_decisions
from gristmill.progress import Progress
from gristmill.runs.finished import FinishedRun
from reports.chain.report_data import (
    ClusterSample,
    CorpusSummary,
    DuplicateSummary,
    LicenceCount,
    ReasonCount,
    TextSample,
)
from reports.chain.texts import RowLocation, read_pairs, read_samples
from reports.clusters.members import gather_members, keep_smallest, locate_kept
from reports.clusters.sampling import ClusterSizes

COLUMNS = ["id", "source", "licence", "evidence", "opt_out", "personal"]
DECIDED = ["keep", "reasons", "cluster", "cluster_size", "kept_id", "similarity"]
BATCH = 1 << 16
SAMPLES = 2


def scan_corpus(annotated: FinishedRun, decided: FinishedRun | None) -> CorpusSummary:
    """Everything the report says of single documents; texts are read only for the samples."""
    refuse_hashes_only(
        annotated, ["personal"], "a report shows texts, their personal data masked: do without one"
    )
    shards = annotated.files("documents/")
    verdicts = [] if decided is None else decision_files(decided, len(shards))
    scan, clusters = (
        CorpusScan(() if decided is None else tuple(decided.details["reasons"])),
        ClusterSizes(),
    )
    rows = sum(file.rows for file in annotated.data_files("documents/"))
    with Progress("report", total=rows if rows > 0 else None, unit="documents") as bar:
        for number, path in enumerate(shards):
            for start, batch in aligned_batches(path, verdicts[number] if verdicts else None):
                scan.add(batch, number, start)
                clusters.add(batch, number, start)
                bar.advance(batch.num_rows)
    texts = read_samples(shards, [place for chosen in scan.samples.values() for _, place in chosen])
    return CorpusSummary(
        documents=scan.documents,
        decided=decided is not None,
        licences=scan.licence_rows(),
        opt_outs=dict(sorted(scan.opt_outs.items())),
        personal=dict(sorted(scan.personal.items())),
        reasons=scan.reason_rows(texts),
        duplicates=None
        if decided is None
        else _duplicates(clusters, verdicts, shards, scan.legend),
        signals=read_meanings(shards),
    )


def read_meanings(shards: Sequence[Path]) -> dict[str, str]:
    """What the columns of the documents mean, where their files say it."""
    fields = pq.read_schema(shards[0]) if shards else ()
    return {
        field.name: field.metadata[b"is"].decode()
        for field in fields
        if b"is" in (field.metadata or {})
    }


def aligned_batches(documents: Path, decisions: Path | None) -> Iterator[tuple[int, pa.Table]]:
    """Batches of a shard's documents, the columns of its decisions beside them, each with its first row's number."""
    file = pq.ParquetFile(documents)
    verdict = None if decisions is None else read_decisions(decisions, documents, DECIDED)
    start = 0
    for batch in file.iter_batches(BATCH, columns=COLUMNS):
        table = pa.Table.from_batches([batch])
        if verdict is not None:
            for name in DECIDED:
                table = table.append_column(name, verdict[name].slice(start, batch.num_rows))
        yield start, table
        start += batch.num_rows


def _duplicates(
    clusters: ClusterSizes,
    decisions: Sequence[Path],
    documents: Sequence[Path],
    legend: Sequence[str],
) -> DuplicateSummary:
    """The clusters by size, and of the largest the kept text beside the least similar dropped one."""
    members = gather_members(decisions, documents, [label for _, label in clusters.top], legend)
    least = {label: found.least[0] for label, found in members.items() if found.least}
    kept = locate_kept(decisions, documents, members, least.items())
    pairs = {
        label: (place, one.place)
        for label, one in least.items()
        if (place := kept.get((label, one.kept_id))) is not None
    }
    alone = {
        label: found.kept[0][1]
        for label, found in members.items()
        if found.kept and label not in pairs
    }
    texts = read_samples(
        documents, [*alone.values(), *(place for pair in pairs.values() for place in pair)]
    )
    compared = read_pairs(documents, pairs.values())
    largest = []
    for _, label in clusters.top:
        size = members[label].size
        if pair := pairs.get(label):
            two = texts[pair[0]], texts[pair[1]]
            largest.append(ClusterSample(size, least[label].similarity, *two, compared[pair]))
        elif label in alone:
            largest.append(ClusterSample(size, None, texts[alone[label]], None, None))
    return DuplicateSummary(dict(sorted(clusters.sizes.items())), tuple(largest))


@dataclass(slots=True)
class CorpusScan:
    """Running counts over the documents, and the places of the samples: the smallest ids of every reason."""

    legend: Sequence[str]
    documents: int = 0
    licences: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    evidence: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    opt_outs: Counter[tuple[str, str]] = field(default_factory=Counter)
    personal: Counter[str] = field(default_factory=Counter)
    first: Counter[str] = field(default_factory=Counter)
    any: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[str, RowLocation]]] = field(default_factory=dict)

    def add(self, batch: pa.Table, shard: int, start: int) -> None:
        """Count a batch whose first row is row `start` of its shard."""
        self.documents += batch.num_rows
        decided = "keep" in batch.schema.names
        kept = batch.filter(batch["keep"]) if decided else batch
        self.licences.update(count_combinations(batch.select(["source", "licence"])))
        self.kept.update(count_combinations(kept.select(["source", "licence"])))
        self.evidence.update(
            count_combinations(spread_lists(batch, ["source", "licence"], "evidence", "signal"))
        )
        self.opt_outs.update(count_combinations(spread_lists(batch, ["source"], "opt_out")))
        types = pc.struct_field(pc.list_flatten(kept["personal"].combine_chunks()), "type")
        self.personal.update(types.to_pylist())
        if decided:
            self._add_reasons(batch, shard, start)

    def _add_reasons(self, batch: pa.Table, shard: int, start: int) -> None:
        bits = batch["reasons"].to_numpy().astype(np.uint64)
        for place, name in enumerate(self.legend):
            self.any[name] += int(np.count_nonzero(bits >> np.uint64(place) & np.uint64(1)))
            self.alone[name] += int(np.count_nonzero(bits == np.uint64(1) << np.uint64(place)))
        rows = np.flatnonzero(bits)
        ids = batch["id"].take(pa.array(rows)).to_pylist()
        for row, id in zip(rows.tolist(), ids, strict=True):
            name = self.legend[lowest_bit(int(bits[row]))]
            self.first[name] += 1
            keep_smallest(
                self.samples.setdefault(name, []), (id, RowLocation(shard, start + row)), SAMPLES
            )

    def licence_rows(self) -> tuple[LicenceCount, ...]:
        """One row for each source and licence, the most documents of a source first."""
        order = sorted(self.licences, key=lambda key: (key[0], -self.licences[key], key[1]))
        return tuple(
            LicenceCount(
                source,
                licence,
                self.licences[source, licence],
                self.kept[source, licence],
                {
                    signal: n
                    for (*own, signal), n in sorted(self.evidence.items())
                    if own == [source, licence]
                },
            )
            for source, licence in order
        )

    def reason_rows(self, texts: Mapping[RowLocation, TextSample]) -> tuple[ReasonCount, ...]:
        """One row for each reason that occurs, the one that decided most documents first."""
        order = sorted(
            (name for name in self.legend if self.any[name]),
            key=lambda name: (-self.first[name], name),
        )
        return tuple(
            ReasonCount(
                name, self.first[name], self.any[name], self.alone[name], self._shown(name, texts)
            )
            for name in order
        )

    def _shown(self, name: str, texts: Mapping[RowLocation, TextSample]) -> tuple[TextSample, ...]:
        found = (texts[place] for _, place in self.samples.get(name, ()))
        return tuple(replace(sample, text=None) if name in WITHHELD else sample for sample in found)


def count_combinations(table: pa.Table) -> dict[Any, int]:
    """How often each combination of the columns' values occurs."""
    names = table.schema.names
    grouped = table.group_by(names).aggregate([([], "count_all")]).to_pylist()
    return {tuple(row[name] for name in names): row["count_all"] for row in grouped}


def spread_lists(table: pa.Table, beside: Sequence[str], column: str, member: str = "") -> pa.Table:
    """One row for each document and distinct value in a list column, with the columns `beside` it."""
    lists = table[column].combine_chunks()
    owners = pc.list_parent_indices(lists)
    values = pc.list_flatten(lists)
    values = pc.struct_field(values, member) if member else values
    once = pa.table({"owner": owners, "value": values}).group_by(["owner", "value"]).aggregate([])
    columns = {name: table[name].take(once["owner"]) for name in beside}
    return pa.table({**columns, "value": once["value"]})
