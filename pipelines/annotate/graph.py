"""`annotate`: read everything once, extract text, compute every signal as a column. Map only: nothing is shuffled.

splits -> read -> extract -> normalize -> language, script, signals -> documents/part-00000.parquet + receipt -> manifest
"""

import gc
import hashlib
import hmac
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.document import DOCUMENT_SCHEMA
from gristmill.rights.policy import UNKNOWN
from gristmill.runs import receipts, storage
from gristmill.runs.ledger import Tally
from gristmill.runs.receipts import DataFile, Receipt, describe_file
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.extract.html import extract_status_text
from pipelines.annotate.extract.normalize import normalize, normalize_column
from pipelines.annotate.extract.sandbox import ExtractionError, Sandbox
from pipelines.annotate.extract.wikitext import extract_wikitext, is_redirect
from pipelines.annotate.readers.fields import parse_moment
from pipelines.annotate.readers.languages import parse_language
from pipelines.annotate.readers.records import (
    IDENTIFIED,
    QUARANTINE_SCHEMA,
    RECORD_SCHEMA,
    Dropped,
    Item,
    Quarantined,
    Split,
)
from pipelines.annotate.readers.registry import count_expected, read_split
from pipelines.annotate.readers.table import ROWS, TEXT_BYTES
from pipelines.annotate.signals.chosen import CustomColumn, load_custom_columns, refuse_edited
from pipelines.annotate.signals.language import compute_language_columns
from pipelines.annotate.signals.script import compute_script_columns
from pipelines.annotate.signals.table import (
    HASH_FIELDS,
    SIGNAL_FIELDS,
    compute_hash_columns,
    compute_signal_columns,
)
from pipelines.annotate.splits import read_plan
from pipelines.engine.exchange import SplitIndices

STAGE = "annotate"
SCHEMA = pa.schema([*DOCUMENT_SCHEMA, *SIGNAL_FIELDS], metadata=DOCUMENT_SCHEMA.metadata)
STATED = DOCUMENT_SCHEMA.field("lang").with_metadata(
    {"is": "language the page or source states, see `stated_lang`; `und` without"}
)
HASHES_SCHEMA = pa.schema(
    [
        *(
            STATED if field.name == "lang" else field
            for field in DOCUMENT_SCHEMA
            if field.name not in IDENTIFIED[1:]
        ),
        *HASH_FIELDS,
    ],
    metadata=DOCUMENT_SCHEMA.metadata,
)
"""The columns of documents that are annotated with `only_hashes`: what was not looked for has no column."""


def build_annotate(
    pipeline: beam.Pipeline, folder: str, config: AnnotateConfig, splits: int
) -> None:
    """The whole graph."""
    (
        pipeline
        | "splits" >> SplitIndices(splits)
        | "annotate" >> beam.ParDo(AnnotateSplit(folder, config))
    )


class AnnotateSplit(beam.DoFn):
    """One split = one element = one call = one file, closed and receipted before the call returns."""

    def __init__(self, folder: str, config: AnnotateConfig) -> None:
        self.folder, self.config = folder, config
        self.custom_files = {column.name: column.files for column in load_custom_columns(config)}

    def setup(self) -> None:
        gc.freeze()  # the collector would look through Beam's million objects for every few batches of rows
        self.plan = read_plan(Path(self.folder))
        self.sandbox = Sandbox(self.config.limits)

    def process(self, number: int) -> Iterator[int]:
        if receipts.read_receipt(Path(self.folder), STAGE, number) is None:
            refuse_edited(load_custom_columns(self.config), self.custom_files)
            annotate_split(Path(self.folder), self.plan[number], self.config, self.sandbox)
        yield number

    def teardown(self) -> None:
        self.sandbox.close()


def annotate_split(folder: Path, split: Split, config: AnnotateConfig, sandbox: Sandbox) -> Receipt:
    """Annotate one split: write its documents, its quarantine and its receipt. Usable without Beam."""
    tally, quarantined, reads, custom = (
        Tally(),
        list[Quarantined](),
        list[int](),
        load_custom_columns(config),
    )
    name = f"documents/part-{split.number:05d}.parquet"
    schema = HASHES_SCHEMA if config.only_hashes else extend_schema(custom)
    coded = (
        choose_hashes_encoding()
        if config.only_hashes
        else {"compression": "zstd", "use_dictionary": list_dictionary_columns(schema)}
    )
    with (
        storage.open_for_commit(folder / name) as file,
        pq.ParquetWriter(file, schema, **coded) as writer,
    ):
        rows = 0
        items = _count_records(read_split(split, config.columns), reads)
        for group in gather_row_groups(
            annotate_item(item, config, sandbox, tally, quarantined, custom) for item in items
        ):
            writer.write_table(group)
            rows += group.num_rows
    read = sum(reads)
    expected = count_expected(split)
    files = [
        describe_file(folder, name, rows=rows),
        *_write_quarantine(folder, split.number, quarantined),
    ]
    receipt = Receipt(
        STAGE,
        split.number,
        read if expected < 0 else expected,
        tuple(tally.entries()),
        tuple(files),
    )
    receipts.commit_receipt(folder, receipt)
    return receipt


def list_dictionary_columns(schema: pa.Schema) -> list[str]:
    """The Parquet columns for which a dictionary is tried: all but hashes of lines, hardly one of which comes twice."""
    return [path for path in _list_parquet_columns(schema) if not path.startswith("line_hashes.")]


def _list_parquet_columns(schema: pa.Schema) -> list[str]:
    file = io.BytesIO()
    pq.write_table(schema.empty_table(), file)
    return [column.path for column in pq.read_metadata(file).schema]


def choose_hashes_encoding() -> dict[str, Any]:
    """How documents of HASHES_SCHEMA are written, where writing is a third of the work: no dictionary is tried for what
    hardly comes twice, and hashes, in which there is nothing to find, are not compressed."""
    hashes = ("text_hash", "signature", "line_hashes.list.element")
    columns = _list_parquet_columns(HASHES_SCHEMA)
    once = {"id", "text", "text_bytes", "capture.offset", *hashes}
    return {
        "compression": {name: "none" if name in hashes else "zstd" for name in columns},
        "use_dictionary": [name for name in columns if name not in once],
    }


def _count_records(items: Iterator[Item], reads: list[int]) -> Iterator[Item]:
    """The items as they come; `reads` gets how many records each is."""
    for item in items:
        reads.append(item.num_rows if isinstance(item, pa.RecordBatch) else 1)
        yield item


def gather_row_groups(batches: Iterator[pa.RecordBatch | None]) -> Iterator[pa.Table]:
    """Gather batches into tables of at most ROWS rows and about TEXT_BYTES of text: a row group each, however read."""
    held, rows, size = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        if batch is None or not batch.num_rows:
            continue
        text = pc.sum(pc.binary_length(batch["text"])).as_py()
        if held and (rows + batch.num_rows > ROWS or size + text > TEXT_BYTES):
            yield pa.Table.from_batches(held)
            held, rows, size = [], 0, 0
        held.append(batch)
        rows, size = rows + batch.num_rows, size + text
    if held:
        yield pa.Table.from_batches(held)


def annotate_item(
    item: Item,
    config: AnnotateConfig,
    sandbox: Sandbox,
    tally: Tally,
    quarantined: list[Quarantined],
    custom: Sequence[CustomColumn] = (),
) -> pa.RecordBatch | None:
    """Extract and annotate a batch; count the outcome of every record; collect what is quarantined."""
    if isinstance(item, Quarantined):
        quarantined.append(item)
        tally.add("quarantined", item.reason, source=item.source, lang="und")
        return None
    if isinstance(item, Dropped):
        tally.add("dropped", item.reason, source=item.source, lang="und")
        return None
    batch = extract_batch(item, config, sandbox, tally, quarantined)
    batch = hash_batch(batch) if config.only_hashes else annotate_batch(batch, custom)
    _count_kept(batch, tally)
    return batch


def _count_kept(batch: pa.RecordBatch, tally: Tally) -> None:
    columns = {
        "source": batch["source"],
        "lang": batch["lang"],
        "size": pc.binary_length(batch["text"]),
    }
    kept = pa.table(columns).group_by(["source", "lang"], use_threads=False)
    for row in kept.aggregate([("size", "count"), ("size", "sum")]).to_pylist():
        sizes = {"documents": row["size_count"], "size": row["size_sum"]}
        tally.add("kept", source=row["source"], lang=row["lang"], **sizes)


def extract_batch(
    batch: pa.RecordBatch,
    config: AnnotateConfig,
    sandbox: Sandbox,
    tally: Tally,
    quarantined: list[Quarantined],
) -> pa.RecordBatch:
    """Plain, normalized text in `text`; rows without any are left out and counted."""
    if (
        pc.all(pc.equal(batch["media"], "text")).as_py()
        and batch["author"].null_count == batch.num_rows
    ):
        return _extract_plain(batch, tally)
    rows = []
    for row in batch.to_pylist():
        try:
            reason = extract_row(row, sandbox)
        except ExtractionError as error:
            place = row["capture"]
            quarantined.append(
                Quarantined(
                    place["file"], place["offset"], error.reason, error.detail, source=row["source"]
                )
            )
            tally.add("quarantined", error.reason, source=row["source"], lang="und")
            continue
        if reason:
            tally.add("dropped", reason, source=row["source"], lang="und")
            continue
        row["author"] = make_pseudonym(row["author"], config.author_key)
        rows.append(row)
    return pa.RecordBatch.from_pylist(rows, RECORD_SCHEMA)


def _extract_plain(batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
    """The same for a batch that holds plain text only and names no authors: all other columns stay as they are."""
    text = normalize_column(batch["text"])
    full = pc.greater(pc.binary_length(text), 0)
    for source in batch["source"].filter(pc.invert(full)).to_pylist():
        tally.add("dropped", "no_text", source=source, lang="und")
    batch = batch.set_column(
        batch.schema.get_field_index("text"), RECORD_SCHEMA.field("text"), text
    )
    return batch if pc.all(full).as_py() else batch.filter(full)  # hardly ever a copy


def extract_row(row: dict[str, Any], sandbox: Sandbox) -> str | None:
    """Replace the markup in row["text"] by its text; returns the reason to drop it, or None. May raise ExtractionError."""
    media = row["media"]
    if media == "html":
        page = sandbox.extract(row["text"], row["url"])
        row["text"], row["title"] = page.text, row["title"] or page.title
        # A page knows better than its server.
        row["stated_lang"] = parse_language(page.language) or row["stated_lang"]
        row["published"], row["author"] = (
            row["published"] or parse_moment(page.date),
            row["author"] or page.author,
        )
        if row["licence"] == UNKNOWN and page.licence != UNKNOWN:
            row["licence"] = page.licence
            row["evidence"] = [*row["evidence"], {"signal": "page", "value": page.licence}]
    elif media == "wikitext":
        if is_redirect(row["text"]):
            return "redirect"
        row["text"] = extract_wikitext(row["text"])
    elif media == "status":
        row["text"] = extract_status_text(row["text"])
    row["text"] = normalize(row["text"])
    return None if row["text"] else "no_text"


def make_pseudonym(author: str | None, key: str) -> str | None:
    """A keyed hash (HMAC-SHA-256) in place of an author's name: linkable within a corpus, not to a person.

    None without a key: a hash that anybody can compute is no pseudonym.
    """
    return (
        hmac.new(key.encode(), author.encode(), hashlib.sha256).hexdigest()[:32]
        if author and key
        else None
    )


def extend_schema(custom: Sequence[CustomColumn]) -> pa.Schema:
    """SCHEMA and the columns of the user."""
    return pa.schema([*SCHEMA, *(column.field for column in custom)], metadata=SCHEMA.metadata)


def annotate_batch(batch: pa.RecordBatch, custom: Sequence[CustomColumn] = ()) -> pa.RecordBatch:
    """Add language, script and signals to a batch of extracted records: RECORD_SCHEMA in, SCHEMA and custom columns out."""
    text = batch["text"]
    columns = {name: batch[name] for name in batch.schema.names if name != "media"}
    columns["lang"], columns["lang_score"] = compute_language_columns(text)
    columns["script"], columns["script_share"] = compute_script_columns(text)
    signals = compute_signal_columns(text, columns["lang"], batch["url"])
    columns |= dict(zip([field.name for field in SIGNAL_FIELDS], signals, strict=True))
    made = pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
    if not custom:
        return made
    return pa.RecordBatch.from_arrays(
        [*made, *(column.column(made) for column in custom)], schema=extend_schema(custom)
    )


def hash_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add what finds copies to a batch of extracted records: RECORD_SCHEMA in, HASHES_SCHEMA out."""
    columns = {name: batch[name] for name in batch.schema.names}
    columns["lang"] = pc.fill_null(batch["stated_lang"], "und")
    hashes = compute_hash_columns(batch["text"], batch["url"])
    columns |= dict(zip([field.name for field in HASH_FIELDS], hashes, strict=True))
    return pa.RecordBatch.from_arrays(
        [columns[name] for name in HASHES_SCHEMA.names], schema=HASHES_SCHEMA
    )


def _write_quarantine(folder: Path, number: int, quarantined: list[Quarantined]) -> list[DataFile]:
    if not quarantined:
        return []
    name = f"quarantine/part-{number:05d}.parquet"
    table = pa.Table.from_pylist([item.row() for item in quarantined], QUARANTINE_SCHEMA)
    with storage.open_for_commit(folder / name) as file:
        pq.write_table(table, file, compression="zstd")
    return [describe_file(folder, name, rows=len(quarantined))]
