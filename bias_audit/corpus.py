"""Read documents row by row with the decisions made about them, as batches of plain arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gristmill.corpus.document import as_text
from gristmill.errors import RunError
from gristmill.runs.finished import FinishedRun

BATCH_ROWS = 2_000

DECIDED = b"gristmill.documents"
"""Key of the schema metadata of a decisions file: the SHA-256 of the documents file it was made for."""


@dataclass(frozen=True, slots=True)
class DocumentBatch:
    """Some documents of one language, and what `decide` said about each: reasons is a bit set, 0 means kept."""

    lang: str
    texts: pa.StringArray
    sources: NDArray[np.object_]
    keep: NDArray[np.bool_]
    reasons: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class AuditedCorpus:
    """An annotate run, with the decide run over it where there is one."""

    documents: tuple[Path, ...]
    decisions: tuple[Path, ...]
    legend: tuple[str, ...]
    rows: int

    def batches(self) -> Iterator[DocumentBatch]:
        """All documents, split by language, in file order."""
        verdicts: Sequence[Path | None] = self.decisions or [None] * len(self.documents)
        for documents, decisions in zip(self.documents, verdicts, strict=True):
            yield from _read(documents, decisions)


def open_corpus(annotate: FinishedRun, decide: FinishedRun | None) -> AuditedCorpus:
    """Find the files of both runs and refuse decisions that do not belong to these documents."""
    documents = tuple(annotate.files("documents/"))
    rows = sum(pq.ParquetFile(path).metadata.num_rows for path in documents)
    if decide is None:
        return AuditedCorpus(documents, (), (), rows)
    decisions = tuple(decide.files("decisions/"))
    if [path.name for path in decisions] != [path.name for path in documents]:
        raise RunError(
            "these decisions were not made about these documents",
            {"documents": annotate.path, "decisions": decide.path},
            "give the decide run, or any later run; its documents are found through it",
        )
    sealed = {Path(file.path).name: file.sha256 for file in annotate.data_files("documents/")}
    for path, judged in zip(documents, decisions, strict=True):
        _check_pair(path, sealed[path.name], judged)
    return AuditedCorpus(documents, decisions, tuple(decide.details["reasons"]), rows)


def _check_pair(documents: Path, sha256: str, decisions: Path) -> None:
    """Rows are joined by position, so a decisions file must name these very documents, and have as many rows."""
    judged, rows = pq.read_metadata(decisions), pq.read_metadata(documents).num_rows
    if (judged.metadata or {}).get(DECIDED) != sha256.encode() or judged.num_rows != rows:
        raise RunError(
            "these decisions were made for other documents",
            {
                "documents": f"{documents} ({rows} rows)",
                "decisions": f"{decisions} ({judged.num_rows} rows)",
            },
            "run `gristmill decide` again on these documents",
        )


def _read(documents: Path, decisions: Path | None) -> Iterator[DocumentBatch]:
    file = pq.ParquetFile(documents)
    verdicts = None if decisions is None else pq.read_table(decisions, columns=["keep", "reasons"])
    start = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=["text", "source", "lang"]):
        rows = None if verdicts is None else verdicts.slice(start, batch.num_rows)
        start += batch.num_rows
        yield from _by_language(batch, rows)


def _by_language(batch: pa.RecordBatch, verdicts: pa.Table | None) -> Iterator[DocumentBatch]:
    texts, langs = as_text(batch["text"]), as_text(batch["lang"])
    sources = np.asarray(as_text(batch["source"]).to_pylist(), dtype=object)
    if verdicts is None:
        keep, reasons = np.ones(len(texts), dtype=np.bool_), np.zeros(len(texts), dtype=np.uint64)
    else:
        keep = verdicts["keep"].to_numpy().astype(np.bool_)
        reasons = verdicts["reasons"].to_numpy().astype(np.uint64)
    for lang in sorted(pc.unique(langs).to_pylist()):
        rows = np.flatnonzero(pc.equal(langs, lang).to_numpy(zero_copy_only=False))
        yield DocumentBatch(
            lang, texts.take(pa.array(rows)), sources[rows], keep[rows], reasons[rows]
        )
