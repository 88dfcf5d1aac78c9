"""One pass over the documents of a corpus beside their decisions: licences, refusals, personal data, dates, copies.

Only the columns that are counted are read, in batches, so memory does not depend on the corpus.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.view import decision_files, read_decisions
from gristmill.progress import Progress
from gristmill.rights.policy import UNKNOWN
from gristmill.runs.finished import FinishedRun
from reports.chain.corpus import count_combinations, spread_lists

NAMING = ("kind", "author", "url")
COLUMNS = ("source", "licence", "evidence", "opt_out", "personal", "published", "fetched", *NAMING)
DECIDED = ("keep", "cluster_size")
BATCH = 1 << 16


@dataclass(frozen=True, slots=True)
class Dates:
    """The first and the last day of a column of times in UTC, and how many documents have none."""

    first: date
    last: date
    missing: int


@dataclass(slots=True)
class Scan:
    """What was found. All counts are kept documents unless they say otherwise; each document counts once."""

    read: int = 0
    """Documents read, kept or not."""
    kept: int = 0
    licences: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(source, licence)."""
    stated: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(source, signal) of the evidence that documents of unknown licence come with: it names no licence for certain."""
    examples: dict[tuple[str, str], str] = field(default_factory=dict)
    """The first in order of the values of such evidence."""
    silent: Counter[str] = field(default_factory=Counter)
    """Source -> documents of unknown licence without any evidence."""
    refused_read: Counter[str] = field(default_factory=Counter)
    """Refusal (`noai` and the like) -> documents read."""
    refused_kept: Counter[str] = field(default_factory=Counter)
    personal: Counter[str] | None = None
    """Kind of personal data -> spans; None where they were not looked for."""
    authors: Counter[str] = field(default_factory=Counter)
    """Kind of source -> documents with the pseudonym of an author."""
    addresses: Counter[str] = field(default_factory=Counter)
    """Kind of source -> documents with an address (`url`)."""
    times: dict[str, tuple[date, date]] = field(default_factory=dict)
    dated: Counter[str] = field(default_factory=Counter)
    copied: int = 0
    """Documents that stand for copies which were dropped, or near copies."""
    largest: int = 1
    """Documents in the largest cluster of copies."""

    def add(self, batch: pa.Table) -> None:
        """Count documents with the columns COLUMNS (`personal` and NAMING may lack) and DECIDED."""
        kept = batch.filter(batch["keep"])
        self.read += batch.num_rows
        self.kept += kept.num_rows
        self.licences.update(count_combinations(kept.select(["source", "licence"])))
        for found, table in ((self.refused_read, batch), (self.refused_kept, kept)):
            found.update(
                {
                    word: n
                    for (word,), n in count_combinations(spread_lists(table, [], "opt_out")).items()
                }
            )
        self._add_unknown(kept.filter(pc.equal(kept["licence"], UNKNOWN)))
        if "personal" in kept.schema.names:
            kinds = pc.struct_field(pc.list_flatten(kept["personal"].combine_chunks()), "type")
            self.personal = (self.personal or Counter[str]()) + Counter(kinds.to_pylist())
        if set(NAMING) <= set(kept.schema.names):
            for found, name in ((self.authors, "author"), (self.addresses, "url")):
                found.update(
                    {
                        kind: n
                        for (kind,), n in count_combinations(
                            kept.filter(pc.is_valid(kept[name])).select(["kind"])
                        ).items()
                    }
                )
        for name in ("published", "fetched"):
            self._add_times(name, kept[name])
        self.copied += pc.sum(pc.greater(kept["cluster_size"], 1)).as_py() or 0
        self.largest = max(self.largest, pc.max(batch["cluster_size"]).as_py() or 1)

    def _add_unknown(self, unknown: pa.Table) -> None:
        shown = pc.fill_null(pc.greater(pc.list_value_length(unknown["evidence"]), 0), False)
        self.silent.update(
            {
                source: n
                for (source,), n in count_combinations(
                    unknown.filter(pc.invert(shown)).select(["source"])
                ).items()
            }
        )
        lists = unknown["evidence"].combine_chunks()
        parts = pc.list_flatten(lists)
        table = pa.table(
            {
                "document": pc.list_parent_indices(lists),
                "source": unknown["source"].combine_chunks().take(pc.list_parent_indices(lists)),
                "signal": pc.struct_field(parts, "signal"),
                "value": pc.struct_field(parts, "value"),
            }
        )
        grouped = table.group_by(["source", "signal"]).aggregate(
            [("document", "count_distinct"), ("value", "min")]
        )
        for row in grouped.to_pylist():
            key = row["source"], row["signal"]
            self.stated[key] += row["document_count_distinct"]
            self.examples[key] = min(
                row["value_min"] or "", self.examples.get(key, row["value_min"] or "")
            )

    def _add_times(self, name: str, column: pa.ChunkedArray) -> None:
        self.dated[name] += len(column) - column.null_count
        found = pc.min_max(column).as_py()
        if found["min"] is not None:
            first, last = found["min"].date(), found["max"].date()
            before = self.times.get(name, (first, last))
            self.times[name] = min(first, before[0]), max(last, before[1])

    def dates(self, name: str) -> Dates | None:
        """The days of `published` or `fetched`; None where no document has any."""
        if name not in self.times:
            return None
        return Dates(*self.times[name], self.kept - self.dated[name])

    def of_licence(self) -> Mapping[str, int]:
        """Licence -> documents, the most first."""
        found = Counter[str]()
        for (_, licence), number in self.licences.items():
            found[licence] += number
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def of_source(self, source: str) -> Mapping[str, int]:
        """Licence -> documents of one source, the most first."""
        found = {
            licence: number for (name, licence), number in self.licences.items() if name == source
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def scan(annotated: FinishedRun, decided: FinishedRun) -> Scan:
    """Count all documents of an annotate run as a decide run judged them; raises RunError where they do not fit."""
    shards, found = annotated.files("documents/"), Scan()
    verdicts = decision_files(decided, len(shards))
    rows = sum(file.rows for file in annotated.data_files("documents/"))
    with Progress("card", total=rows if rows > 0 else None, unit="documents") as bar:
        for documents, decisions in zip(shards, verdicts, strict=True):
            for batch in batches(documents, decisions):
                found.add(batch)
                bar.advance(batch.num_rows)
    return found


def batches(documents: Path, decisions: Path) -> Iterator[pa.Table]:
    """The columns to count of one shard, the decisions beside them."""
    file, start = pq.ParquetFile(documents), 0
    verdict = read_decisions(decisions, documents, DECIDED)
    there = [name for name in COLUMNS if name in file.schema_arrow.names]
    for batch in file.iter_batches(BATCH, columns=there):
        table = pa.Table.from_batches([batch])
        for name in DECIDED:
            table = table.append_column(name, verdict[name].slice(start, batch.num_rows))
        yield table
        start += batch.num_rows
