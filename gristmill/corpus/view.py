"""The corpus view: documents joined with the decisions made about them, same shard, same row.

In go a sealed annotate run and, if there is one, the decide run over it. Out come tables in which
the columns of documents and decisions stand side by side: in batches, for one whole shard, for
chosen rows, or for chosen document ids. Only the columns that are named are read.

Rows are joined by position. Before a shard is joined, both files must have the sizes that their
manifests state, equal numbers of rows, and the decisions must name their documents file by SHA-256.
This is proven once per pair of files and process. `gristmill runs verify` reads all bytes.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.decision import (
    COPIES,
    DOCUMENT_SHARD_KEY,
    WITHHELD,
    Bits,
    DecisionRow,
    Legend,
    lowest_bit,
    read_legend,
    refuse_other_documents,
)
from gristmill.corpus.document import DocumentRow
from gristmill.errors import RunError
from gristmill.runs.finished import FinishedRun, latest_of, open_parents, open_run
from gristmill.runs.receipts import DataFile

DOCUMENTS = "documents/"
DECISIONS = "decisions/"

BATCH_ROWS = 1 << 16
"""Rows of a batch where the caller does not say: about 10 MB for ten columns without texts."""

RowNumbers = npt.NDArray[np.int64]
"""Numbers of rows in a shard: shape (rows,)."""


class ShardRow(NamedTuple):
    """Where a document lies: the number of its shard and its row there."""

    shard: int
    row: int


class JoinedRow(DocumentRow, DecisionRow, total=False):
    """One document and its decision as a Python record."""


@dataclass(frozen=True, slots=True)
class CorpusBatch:
    """Rows of one shard: `table` has the columns of the documents, then those of the decisions."""

    shard: int
    rows: RowNumbers
    table: pa.Table
    legend: Legend
    decided: bool

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def keep(self) -> npt.NDArray[np.bool_]:
        """Which documents are kept: all of them where nothing was decided. Reads column `keep`."""
        if not self.decided:
            return np.ones(len(self.rows), np.bool_)
        return np.asarray(self.table["keep"].to_numpy(), np.bool_)

    @property
    def reasons(self) -> Bits:
        """The reasons as bit sets, 0 where nothing was decided. Reads column `reasons`."""
        if not self.decided:
            return np.zeros(len(self.rows), np.uint64)
        return np.asarray(self.table["reasons"].to_numpy(), np.uint64)

    def filter(self, mask: npt.NDArray[np.bool_]) -> "CorpusBatch":
        """The rows for which `mask` (rows,) is true."""
        table = self.table.filter(pa.array(mask))
        return CorpusBatch(self.shard, self.rows[mask], table, self.legend, self.decided)

    def select_kept(self) -> "CorpusBatch":
        """The kept documents."""
        return self.filter(self.keep)

    def select_dropped(self) -> "CorpusBatch":
        """The dropped documents."""
        return self.filter(~self.keep)

    def list_reasons(self) -> list[tuple[str, ...]]:
        """The reasons of every row by name, in the order of the legend; kept rows have none."""
        return [self.legend.read_reasons(int(bits)) for bits in self.reasons]

    def iter_rows(self) -> Iterator[tuple[ShardRow, JoinedRow]]:
        """Every row as a Python record with its place. Times come as text, see DocumentRow."""
        records = cast(list[JoinedRow], times_as_text(self.table).to_pylist())
        for row, record in zip(self.rows.tolist(), records, strict=True):
            yield ShardRow(self.shard, row), record


class CorpusView:
    """The documents of an annotate run, and the decisions of a decide run over them if there is one.

    A view that is pickled carries the paths of its runs alone; it is opened again where it arrives.
    """

    def __init__(self, annotated: FinishedRun, decided: FinishedRun | None = None) -> None:
        """Raises RunError unless the decide run has one decisions file for every documents file."""
        self.annotated = annotated
        self.decided = decided
        self.legend = Legend() if decided is None else read_legend(decided)
        self._documents = annotated.data_files(DOCUMENTS)
        self._decisions = [] if decided is None else decided.data_files(DECISIONS)
        if decided is not None:
            _check_same_shards(annotated, self._documents, decided, self._decisions)

    def __reduce__(self) -> tuple[object, tuple[str, str | None]]:
        decided = None if self.decided is None else str(self.decided.path)
        return open_view_at, (str(self.annotated.path), decided)

    @property
    def shards(self) -> range:
        """The numbers of the shards."""
        return range(len(self._documents))

    @property
    def has_decisions(self) -> bool:
        """Whether the documents have been decided upon."""
        return self.decided is not None

    def count_shard_rows(self) -> list[int]:
        """Documents of every shard, from the manifest, or the file where the manifest has no number."""
        counts = []
        for shard, file in enumerate(self._documents):
            is_counted = file.rows >= 0
            counts.append(file.rows if is_counted else self._open_documents(shard).num_rows)
        return counts

    def count_rows(self) -> int:
        """How many documents there are."""
        return sum(self.count_shard_rows())

    def read_document_schema(self) -> pa.Schema:
        """The columns of the documents; empty where there is no shard."""
        if not self._documents:
            return pa.schema([])
        return self._open_documents(0).schema

    def read_decision_schema(self) -> pa.Schema:
        """The columns of the decisions; empty where nothing was decided or there is no shard."""
        if not self._decisions:
            return pa.schema([])
        return self._open_decisions(0).schema

    def batches(
        self,
        columns: Sequence[str],
        decisions: Sequence[str] = (),
        *,
        optional: Sequence[str] = (),
        rows: int = BATCH_ROWS,
    ) -> Iterator[CorpusBatch]:
        """All documents in order, at most `rows` at a time, with these columns of both files.

        Of documents one batch is in memory at a time, of decisions the named columns of one shard.
        Columns of `optional` are read from documents that have them.
        Raises RunError where documents or decisions lack one of the other columns.
        """
        for shard in self.shards:
            yield from self.shard_batches(shard, columns, decisions, optional=optional, rows=rows)

    def shard_batches(
        self,
        shard: int,
        columns: Sequence[str],
        decisions: Sequence[str] = (),
        *,
        optional: Sequence[str] = (),
        rows: int = BATCH_ROWS,
    ) -> Iterator[CorpusBatch]:
        """`batches` of one shard."""
        documents = self._open_documents(shard)
        verdicts = self._read_decisions(shard, decisions)
        names = documents.choose(columns, optional)
        start = 0
        for part in documents.file.iter_batches(rows, columns=names):
            stop = start + part.num_rows
            table = pa.Table.from_batches([part])
            table = _put_beside(table, verdicts.slice(start, part.num_rows))
            yield self._make_batch(shard, np.arange(start, stop, dtype=np.int64), table)
            start = stop

    def read_shard(
        self,
        shard: int,
        columns: Sequence[str] | None = None,
        decisions: Sequence[str] | None = None,
        *,
        optional: Sequence[str] = (),
    ) -> CorpusBatch:
        """One whole shard with these columns of both files; None means all columns of a file."""
        documents = self._open_documents(shard)
        names = None if columns is None else documents.choose(columns, optional)
        table = _put_beside(documents.file.read(names), self._read_decisions(shard, decisions))
        return self._make_batch(shard, np.arange(documents.num_rows, dtype=np.int64), table)

    def decision_tables(self, columns: Sequence[str]) -> Iterator[CorpusBatch]:
        """These columns of the decisions alone, a shard at a time; of the documents nothing is read."""
        for shard in self.shards:
            decisions = self._open_decisions(shard)
            table = decisions.file.read(decisions.choose(columns))
            yield self._make_batch(shard, np.arange(table.num_rows, dtype=np.int64), table)

    def read_rows(
        self,
        shard: int,
        rows: RowNumbers,
        columns: Sequence[str],
        decisions: Sequence[str] = (),
        *,
        optional: Sequence[str] = (),
    ) -> CorpusBatch:
        """These rows of one shard, in the order of `rows`. Only the row groups that hold one are read."""
        documents = self._open_documents(shard)
        table = documents.take_rows(rows, documents.choose(columns, optional))
        table = _put_beside(table, self._take_decisions(shard, rows, decisions))
        return self._make_batch(shard, rows, table)

    def iter_rows(
        self,
        places: Iterable[ShardRow],
        columns: Sequence[str],
        decisions: Sequence[str] = (),
        *,
        optional: Sequence[str] = (),
    ) -> Iterator[tuple[ShardRow, JoinedRow]]:
        """The documents at these places as Python records, sorted by place, each once.

        Of every shard only the row groups that hold one are read, one at a time.
        """
        for shard, rows in _group_by_shard(places):
            documents = self._open_documents(shard)
            names = documents.choose(columns, optional)
            verdicts = self._take_decisions(shard, rows, decisions)
            start = 0
            for inside, table in documents.iter_row_groups(rows, names):
                joined = _put_beside(table, verdicts.slice(start, len(inside)))
                start += len(inside)
                yield from self._make_batch(shard, inside, joined).iter_rows()

    def find_documents(self, ids: Collection[str]) -> dict[str, ShardRow]:
        """Where the documents with these ids lie; an id that is not there is left out.

        One record that was read twice gives two documents with one id: then it is the first that
        was kept, or the first. The column of ids is read, a batch at a time, and no further than
        the shard in which the last id is settled.
        """
        places: dict[str, ShardRow] = {}
        settled: set[str] = set()
        values = pa.array(sorted(ids), pa.string())
        for shard in self.shards:
            if len(settled) == len(values):
                break
            rows, matched = self._find_in_shard(shard, values)
            keeps = self._read_keep(shard, rows)
            for row, document_id, keep in zip(rows.tolist(), matched, keeps, strict=True):
                is_first_kept = keep and document_id not in settled
                if is_first_kept or document_id not in places:
                    places[document_id] = ShardRow(shard, row)
                if keep:
                    settled.add(document_id)
        return places

    def name_place(self, place: ShardRow) -> str:
        """A place as people read it, e.g. `annotate-1f2e/documents/part-00000.parquet, row 7`."""
        return f"{self.annotated.id}/{self._documents[place.shard].path}, row {place.row}"

    def _find_in_shard(self, shard: int, values: pa.Array) -> tuple[RowNumbers, list[str]]:
        rows: list[int] = []
        matched: list[str] = []
        start = 0
        for batch in self._open_documents(shard).file.iter_batches(columns=["id"]):
            positions = pc.indices_nonzero(pc.is_in(batch["id"], values))
            matched += batch["id"].take(positions).to_pylist()
            rows += [start + position for position in positions.to_pylist()]
            start += batch.num_rows
        return np.array(rows, np.int64), matched

    def _read_keep(self, shard: int, rows: RowNumbers) -> list[bool]:
        if self.decided is None:
            return [True] * len(rows)
        keeps: list[bool] = self._take_decisions(shard, rows, ["keep"])["keep"].to_pylist()
        return keeps

    def _make_batch(self, shard: int, rows: RowNumbers, table: pa.Table) -> CorpusBatch:
        return CorpusBatch(shard, rows, table, self.legend, self.has_decisions)

    def _open_documents(self, shard: int) -> "ParquetShard":
        if self.decided is not None:
            self._prove_pair(shard)
        return ParquetShard.open(self.annotated, self._documents[shard], "annotate")

    def _open_decisions(self, shard: int) -> "ParquetShard":
        if self.decided is None:
            raise RunError(
                "these documents have not been decided upon",
                {"run": self.annotated.path},
                "run `gristmill decide` on them first",
            )
        self._prove_pair(shard)
        return ParquetShard.open(self.decided, self._decisions[shard], "decide")

    def _read_decisions(self, shard: int, columns: Sequence[str] | None) -> pa.Table:
        """These columns of a shard's decisions; no column at all where nothing was decided."""
        if self.decided is None or (columns is not None and not columns):
            return pa.table({})
        decisions = self._open_decisions(shard)
        if columns is None:
            return decisions.file.read()
        return decisions.file.read(decisions.choose(columns))

    def _take_decisions(self, shard: int, rows: RowNumbers, columns: Sequence[str]) -> pa.Table:
        if self.decided is None or not columns:
            return pa.table({})
        decisions = self._open_decisions(shard)
        return decisions.take_rows(rows, decisions.choose(columns))

    def _prove_pair(self, shard: int) -> None:
        if self.decided is None:
            return
        documents, decisions = self._documents[shard], self._decisions[shard]
        # Sizes are checked each time: a footer can only be read where the file is not cut.
        document_path = self.annotated.locate(documents)
        decision_path = self.decided.locate(decisions)
        _prove_pair(str(document_path), documents.sha256, str(decision_path), decisions.sha256)


def open_view(annotated: FinishedRun, decided: FinishedRun | None = None) -> CorpusView:
    """The view of an annotate run, with the decisions of `decided` where it is given."""
    return CorpusView(annotated, decided)


def open_decided_view(decided: FinishedRun) -> CorpusView:
    """The view of a decide run and the documents it judged, which lie beside it."""
    return CorpusView(open_documents_run(decided), decided)


def open_view_at(annotated: str | Path, decided: str | Path | None = None) -> CorpusView:
    """The view of the runs in these folders, as a worker opens it."""
    decide_run = None if decided is None else open_run(decided, step="decide")
    return CorpusView(open_run(annotated, step="annotate"), decide_run)


def open_documents_run(decided: FinishedRun) -> FinishedRun:
    """The annotate run that a decide run judged; raises RunError where it is gone or was redone."""
    annotated = latest_of(open_parents(decided), "annotate")
    if annotated is None:
        raise RunError(
            "the documents of this run are not beside it",
            {"run": decided.path, "needs": decided.details.get("documents")},
            "copy the annotate run into the same folder",
        )
    return annotated


@dataclass(frozen=True, slots=True)
class ParquetShard:
    """One Parquet file of a sealed run, opened."""

    path: Path
    step: str
    file: pq.ParquetFile

    @classmethod
    def open(cls, run: FinishedRun, data_file: DataFile, step: str) -> "ParquetShard":
        """Open one file of a run; raises RunError where its size is not as sealed."""
        path = run.locate(data_file)
        return cls(path, step, pq.ParquetFile(path))

    @property
    def num_rows(self) -> int:
        """Rows, from the file's footer."""
        return int(self.file.metadata.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """Columns, with what their metadata says of them."""
        return self.file.schema_arrow

    def choose(self, columns: Sequence[str], optional: Sequence[str] = ()) -> list[str]:
        """The columns to read, each once; raises RunError where one of `columns` is missing.

        Parquet readers of Arrow leave out what is not there, without an error.
        """
        available = set(self.schema.names)
        missing = [name for name in columns if name not in available]
        if missing:
            raise RunError(
                "the files of this run lack a column",
                {"file": self.path, "without": ", ".join(sorted(missing))},
                f"run `gristmill {self.step}` again",
            )
        present = [name for name in optional if name in available]
        return list(dict.fromkeys([*columns, *present]))

    def take_rows(self, rows: RowNumbers, columns: Sequence[str]) -> pa.Table:
        """These rows, in the order of `rows`, which may repeat."""
        ascending, positions = np.unique(rows, return_inverse=True)
        parts = [table for _, table in self.iter_row_groups(ascending, columns)]
        if not parts:
            return self.schema.empty_table().select(list(columns))
        table = pa.concat_tables(parts)
        is_ascending = len(ascending) == len(rows) and bool((positions[1:] > positions[:-1]).all())
        return table if is_ascending else table.take(pa.array(positions))

    def iter_row_groups(
        self, rows: RowNumbers, columns: Sequence[str]
    ) -> Iterator[tuple[RowNumbers, pa.Table]]:
        """Ascending `rows` group by group: the numbers of those in a row group, and their table."""
        metadata = self.file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        ends = np.cumsum(sizes, dtype=np.int64)
        groups = np.searchsorted(ends, rows, side="right")
        for group in np.unique(groups).tolist():
            inside = rows[groups == group]
            first_row = int(ends[group]) - sizes[group]
            table = self.file.read_row_group(group, columns=list(columns))
            yield inside, table.take(pa.array(inside - first_row))


def times_as_text(table: pa.Table) -> pa.Table:
    """The table with its times as text: Python has no year above 9999, and a source may state one."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            text = table[field.name].cast(pa.string())
            table = table.set_column(number, field.name, text)
    return table


def _check_same_shards(
    annotated: FinishedRun,
    documents: Sequence[DataFile],
    decided: FinishedRun,
    decisions: Sequence[DataFile],
) -> None:
    document_names = [file.path.removeprefix(DOCUMENTS) for file in documents]
    decision_names = [file.path.removeprefix(DECISIONS) for file in decisions]
    if document_names == decision_names:
        return
    if len(documents) != len(decisions):
        raise RunError(
            "this decide run has not as many shards as its documents",
            {"run": decided.path, "decisions": len(decisions), "documents": len(documents)},
            "run `gristmill decide` again",
        )
    raise refuse_other_documents(decided.path, annotated.path)


@lru_cache(maxsize=1 << 16)
def _prove_pair(documents: str, sha256: str, decisions: str, _decisions_sha256: str) -> None:
    """Raise RunError unless these decisions were made for these documents.

    Cached by the sealed hashes too: a run that is redone in the same folder is proven anew. An
    error is not cached.
    """
    judged = pq.read_metadata(decisions)
    rows = pq.read_metadata(documents).num_rows
    metadata = judged.metadata or {}
    if metadata.get(DOCUMENT_SHARD_KEY) != sha256.encode():
        raise refuse_other_documents(decisions, documents)
    if judged.num_rows != rows:
        raise RunError(
            "a decisions file has not as many rows as its documents",
            {"decisions": decisions, "rows": judged.num_rows, "documents": rows},
            "run `gristmill decide` again",
        )


def _put_beside(table: pa.Table, decisions: pa.Table) -> pa.Table:
    for name in decisions.schema.names:
        # Without the field's metadata: written files had none for decisions' columns.
        table = table.append_column(name, decisions[name])
    return table


def _group_by_shard(places: Iterable[ShardRow]) -> Iterator[tuple[int, RowNumbers]]:
    rows_of: dict[int, list[int]] = {}
    for place in sorted(set(places)):
        rows_of.setdefault(place.shard, []).append(place.row)
    for shard, rows in rows_of.items():
        yield shard, np.array(rows, np.int64)


# The functions below, and COPIES, WITHHELD and lowest_bit as names of this module, serve joins that
# do not go through the view yet. They go with the last of those joins.
__all__ = [
    "COPIES",
    "WITHHELD",
    "CorpusBatch",
    "CorpusView",
    "JoinedRow",
    "ShardRow",
    "decision_files",
    "lowest_bit",
    "open_decided_view",
    "open_documents_run",
    "open_view",
    "open_view_at",
    "read_decisions",
    "read_shards",
    "times_as_text",
]


def decision_files(decided: FinishedRun, shards: int) -> list[Path]:
    """The decisions files, one for each of so many shards; raises RunError where there are others."""
    files = decided.files(DECISIONS)
    if len(files) != shards:
        raise RunError(
            "this decide run has not as many shards as its documents",
            {"run": decided.path, "decisions": len(files), "documents": shards},
            "run `gristmill decide` again",
        )
    return files


def read_decisions(decisions: Path, documents: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of one decisions file; raises RunError where its documents have other rows."""
    table = pq.read_table(decisions, columns=list(columns))
    rows = pq.read_metadata(documents).num_rows
    if table.num_rows != rows:
        raise RunError(
            "a decisions file has not as many rows as its documents",
            {"decisions": decisions, "rows": table.num_rows, "documents": rows},
            "run `gristmill decide` again",
        )
    return table


def read_shards(
    decisions: Sequence[Path], documents: Sequence[Path], columns: Sequence[str]
) -> Iterator[tuple[int, pa.Table]]:
    """The number of every shard with these columns of its decisions."""
    for shard, (verdict, path) in enumerate(zip(decisions, documents, strict=True)):
        yield shard, read_decisions(verdict, path, columns)
