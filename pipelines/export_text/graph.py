"""`export-text`: the kept documents with their final text, cut and masked as `pack` would.

    shards -> export: text/part-*.parquet or .jsonl + receipt

One file a document shard and nothing regrouped. A document that `pack` would write several times
stands here once, with `repeats`. The column `text` comes with all columns of the document and of its
decision but SCAFFOLD.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.shard_pairs import check_pair, shard_path
from gristmill.errors import ConfigError
from gristmill.runs import receipts, storage
from gristmill.runs.ledger import Fate, Tally
from gristmill.runs.receipts import Receipt, describe_file
from pipelines.engine.exchange import SplitIndices
from pipelines.export_text.config import ExportTextConfig
from pipelines.export_text.writers import write_table
from pipelines.final_text import final_texts

STAGE = "export"
SCAFFOLD = ("signature", "line_hashes", "personal", "cuts", "keep", "reasons")
"""Columns that served to decide and would mislead beside the final text: hashes of the text before
it was cut, and spans in it. `export_text.columns` may name them."""


@dataclass(frozen=True, slots=True)
class ExportJob:
    """The folders of the run that is written, and of documents and decisions."""

    folder: str
    documents: str
    decisions: str


def export(pipeline: beam.Pipeline, job: ExportJob, config: ExportTextConfig, shards: int) -> None:
    """Build the whole graph."""
    numbers = pipeline | "shards" >> SplitIndices(shards)
    numbers | "export" >> beam.ParDo(ExportShard(job, config))


class ExportShard(beam.DoFn):
    """Write the final texts of one document shard and their receipt, unless it has one."""

    def __init__(self, job: ExportJob, config: ExportTextConfig) -> None:
        self.job = job
        self.config = config

    def process(self, shard: int) -> Iterator[int]:
        if receipts.read_receipt(Path(self.job.folder), STAGE, shard) is None:
            export_shard(self.job, shard, self.config)
        yield shard


def export_shard(job: ExportJob, shard: int, config: ExportTextConfig) -> Receipt:
    """Write one shard, and its receipt."""
    folder = Path(job.folder)
    tally = Tally()
    check_pair(job.documents, job.decisions, shard)
    documents = pq.read_table(shard_path(job.documents, shard))
    decisions = pq.read_table(shard_path(job.decisions, shard))
    _tally_rows(tally, "decided", documents.filter(pc.invert(decisions["keep"])))
    judged = documents
    for name in decisions.schema.names:
        judged = judged.append_column(name, decisions[name])
    exported = replace_text(judged.filter(decisions["keep"]), config)
    is_empty = pc.equal(exported["text"], "")
    _tally_rows(tally, "empty_after_cuts", exported.filter(is_empty))
    exported = exported.filter(pc.invert(is_empty))
    _tally_rows(tally, "", exported)
    columns = choose_columns(exported.schema, config.columns)
    name = f"text/part-{shard:05d}{config.ending}"
    with storage.open_for_commit(folder / name) as file:
        write_table(exported.select(columns), file, config)
    files = (describe_file(folder, name, rows=exported.num_rows),)
    receipt = Receipt(STAGE, shard, documents.num_rows, tuple(tally.entries()), files)
    receipts.commit_receipt(folder, receipt)
    return receipt


def _tally_rows(tally: Tally, reason: str, table: pa.Table) -> None:
    """Count the rows of a table as kept, or dropped for `reason`; the bytes of kept ones."""
    sizes = table.select(["source", "lang"]).append_column("size", pc.binary_length(table["text"]))
    groups = sizes.group_by(["source", "lang"]).aggregate([("size", "count"), ("size", "sum")])
    outcome: Fate = "dropped" if reason else "kept"
    for row in groups.to_pylist():
        tally.add(
            outcome,
            reason,
            source=row["source"],
            lang=row["lang"],
            documents=row["size_count"],
            size=0 if reason else row["size_sum"],
        )


def replace_text(documents: pa.Table, config: ExportTextConfig) -> pa.Table:
    """Return the documents with their final text in place of the one before."""
    text = final_texts(documents, mask=config.mask_personal)
    return documents.set_column(documents.schema.get_field_index("text"), "text", text)


def choose_columns(schema: pa.Schema, requested: Sequence[str]) -> list[str]:
    """Return the columns to write; raise ConfigError for one that documents do not have."""
    unknown = [name for name in requested if name not in schema.names]
    if unknown:
        raise ConfigError(
            "documents have no such column",
            {"columns": unknown[0]},
            f"choose of {', '.join(schema.names)}",
        )
    if requested:
        return list(requested)
    return [name for name in schema.names if name not in SCAFFOLD]


def read_written_schema(documents: str, decisions: str, config: ExportTextConfig) -> pa.Schema:
    """Return the columns that will be written, by the first shard.

    Raises ConfigError, before any work, for a column that documents do not have.
    """
    fields = [*pq.read_schema(shard_path(documents, 0)), *pq.read_schema(shard_path(decisions, 0))]
    schema = pa.schema(fields)
    return pa.schema([schema.field(name) for name in choose_columns(schema, config.columns)])
