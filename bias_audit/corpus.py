"""Reads documents row by row with the decisions made about them, as batches of plain arrays.

In: an annotate run, and the decide run over it where there is one. Out: batches of one language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.document import as_text
from gristmill.corpus.view import CorpusBatch, CorpusView, open_view
from gristmill.runs.finished import FinishedRun

BATCH_ROWS = 2_000
"""Documents scanned at once: a batch's matches are held in memory."""

NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class DocumentBatch:
    """Some documents of one language, and what `decide` did with each; arrays are (documents,).

    `reasons` is a bit set in the order of the legend; 0 means the document was kept.
    """

    lang: str
    texts: pa.StringArray
    sources: npt.NDArray[np.object_]
    keep: npt.NDArray[np.bool_]
    reasons: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class AuditedCorpus:
    """An annotate run, with the decide run over it where there is one."""

    view: CorpusView
    legend: tuple[str, ...]
    rows: int

    def batches(self) -> Iterator[DocumentBatch]:
        """All documents, split by language, in file order."""
        columns = ["text", "source", "lang"]
        for batch in self.view.batches(columns, ["keep", "reasons"], rows=BATCH_ROWS):
            yield from _split_by_language(batch)


def open_corpus(annotate: FinishedRun, decide: FinishedRun | None) -> AuditedCorpus:
    """Open both runs; RunError where any decisions do not belong to these documents."""
    view = open_view(annotate, decide)
    for shard in view.shards:
        # Opening proves the pair: a bad one is refused before the first document is scanned.
        view.read_rows(shard, NO_ROWS, [], ["keep"])
    return AuditedCorpus(view, tuple(view.legend), view.count_rows())


def _split_by_language(batch: CorpusBatch) -> Iterator[DocumentBatch]:
    texts = as_text(_join_chunks(batch.table["text"]))
    langs = as_text(_join_chunks(batch.table["lang"]))
    source_texts = as_text(_join_chunks(batch.table["source"]))
    sources = np.asarray(source_texts.to_pylist(), dtype=object)
    keep = batch.keep
    reasons = batch.reasons
    for lang in sorted(pc.unique(langs).to_pylist()):
        rows = np.flatnonzero(pc.equal(langs, lang).to_numpy(zero_copy_only=False))
        yield DocumentBatch(
            lang=lang,
            texts=texts.take(pa.array(rows)),
            sources=sources[rows],
            keep=keep[rows],
            reasons=reasons[rows],
        )


def _join_chunks(column: pa.ChunkedArray) -> pa.Array:
    """A column of a batch as one array."""
    return column.combine_chunks()
