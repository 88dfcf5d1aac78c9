"""Encode the kept documents of one shard: cut, mask, tokenize, and choose split, key and repeats.

In: a document shard with its decisions. Out: rows of the shards' schema, sorted into a spill file,
and a receipt with their counts.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from gristmill.corpus.shard_pairs import check_pair, shard_path
from gristmill.corpus.shards import shard_schema
from gristmill.hashing import KEY_MASK
from gristmill.runs import receipts
from gristmill.runs.ledger import Fate, Tally
from gristmill.runs.receipts import Receipt, describe_file
from pipelines.final_text import combine_column, count_cut_bytes, final_texts
from pipelines.pack.config import PackConfig
from pipelines.pack.mixture import draw_repeats, group_keys, list_group_columns
from pipelines.pack.shuffle import SPLITS, sort_encoded_rows, write_spill
from pipelines.tokenizer.encoder import Encoder

ENCODE = "encode"
"""The stage of the receipts."""

TEXT_BYTES = 4 << 20
"""Bytes of text encoded at a time."""

LIST_LIMIT = 1 << 31
"""Elements at which the int32 offsets of an Arrow list column wrap."""

TRAIN = SPLITS.index("train")


@dataclass(frozen=True, slots=True)
class PackJob:
    """What an encoder needs to know: folders, and how often each group of the mixture is written."""

    folder: str
    documents: str
    decisions: str
    tokenizer: str
    times: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Rows of the shards' schema, each as often as it is written, and the tokens of every group.

    `splits` and `keys` are int64 (rows,): the number of the split, and the key within it.
    """

    rows: pa.RecordBatch
    splits: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    groups: Mapping[str, int]


def encode_shard(job: PackJob, shard: int, config: PackConfig, encoder: Encoder) -> Receipt:
    """Encode the kept documents of a shard; write their rows, and the receipt."""
    folder = Path(job.folder)
    tally = Tally()
    check_pair(job.documents, job.decisions, shard)
    table, keep = read_shard(job, shard, list_encoded_columns(config))
    _tally_rows(tally, "dropped", "decided", table.filter(pc.invert(keep)))
    encoded = encode_table(table.filter(keep), config, encoder, tally, job.times)
    rows, index = sort_encoded_rows(encoded.rows, encoded.splits, encoded.keys)
    split_sizes = np.bincount(index[:, 0], index[:, 2], len(SPLITS)).astype(int)
    details = {
        "rows": rows.num_rows,
        "tokens": len(rows["input_ids"].flatten()),
        "sizes": dict(zip(SPLITS, split_sizes.tolist(), strict=True)),
        "groups": encoded.groups,
    }
    names = write_spill(folder, shard, rows, index)
    files = tuple(describe_file(folder, name) for name in names)
    receipt = Receipt(ENCODE, shard, table.num_rows, tuple(tally.entries()), files, details)
    receipts.commit_receipt(folder, receipt)
    return receipt


def read_shard(
    job: PackJob, shard: int, columns: Sequence[str]
) -> tuple[pa.Table, pa.ChunkedArray]:
    """Read `columns` of a document shard with its cuts and repeats, and the mask of kept documents."""
    table = pq.read_table(shard_path(job.documents, shard), columns=columns)
    decisions = read_decisions(shard_path(job.decisions, shard))
    for name in ("cuts", "repeats"):
        table = table.append_column(name, decisions[name])
    return table, decisions["keep"]


def read_decisions(path: str) -> pa.Table:
    """Read what `pack` needs of a decisions shard; an earlier version wrote every document once."""
    table = pq.read_table(path)
    if "repeats" not in table.schema.names:
        once = pa.array(np.ones(table.num_rows, np.int32))
        table = table.append_column("repeats", once)
    return table.select(["keep", "cuts", "repeats"])


def list_encoded_columns(config: PackConfig) -> list[str]:
    """Return the columns of documents that encoding reads.

    Where nothing is masked, `personal` need not have been computed.
    """
    names = ["id", "text", "source", "lang"]
    if config.mask_personal:
        names.append("personal")
    names += list_group_columns(config.mixture)
    return list(dict.fromkeys(names))


def iter_training_tables(job: PackJob, shards: int, config: PackConfig) -> Iterator[pa.Table]:
    """Yield, for every shard, the kept documents of the training split that a mixture counts.

    `text_bytes` is what is left of a document after its cuts.
    """
    columns = list(dict.fromkeys(["id", "text_bytes", *list_group_columns(config.mixture)]))
    for shard in range(shards):
        table, keep = read_shard(job, shard, columns)
        kept_documents = table.filter(keep)
        ids = kept_documents["id"].to_pylist()
        is_train = pa.array([choose_split(id, config) == "train" for id in ids], pa.bool_())
        text_bytes = kept_documents["text_bytes"].to_numpy().astype(np.int64)
        remaining = text_bytes - count_cut_bytes(combine_column(kept_documents["cuts"]))
        position = kept_documents.schema.get_field_index("text_bytes")
        counted = kept_documents.set_column(position, "text_bytes", pa.array(remaining))
        yield counted.filter(is_train)


def _tally_rows(tally: Tally, outcome: Fate, reason: str, table: pa.Table | pa.RecordBatch) -> None:
    """Count every row of a table, with its bytes where it has them."""
    has_bytes = "bytes" in table.schema.names
    sizes = table["bytes"].to_pylist() if has_bytes else [0] * table.num_rows
    sources = table["source"].to_pylist()
    languages = table["lang"].to_pylist()
    for source, lang, size in zip(sources, languages, sizes, strict=True):
        tally.add(outcome, reason, source=source, lang=lang, size=size)


def encode_table(
    documents: pa.Table,
    config: PackConfig,
    encoder: Encoder,
    tally: Tally,
    times: Mapping[str, float],
) -> EncodedRows:
    """Encode kept documents; drop those that cuts leave empty or the mixture never writes."""
    rows = encode_rows(documents, config, encoder)
    has_tokens = pc.greater(pc.list_value_length(rows["input_ids"]), 0)
    _tally_rows(tally, "dropped", "empty_after_cuts", rows.filter(pc.invert(has_tokens)))
    rows = rows.filter(has_tokens)
    documents = documents.filter(has_tokens)
    split_numbers = [SPLITS.index(choose_split(id, config)) for id in rows["id"].to_pylist()]
    splits = np.array(split_numbers, np.int64)
    groups = group_keys(documents, config.mixture) if times else None
    repeats = count_repeats(documents, splits, groups, times)
    _tally_rows(tally, "dropped", "mixture", rows.filter(pa.array(repeats == 0)))
    _tally_rows(tally, "kept", "", rows.filter(pa.array(repeats > 0)))
    lengths = pc.list_value_length(rows["input_ids"]).to_numpy()
    training_tokens = lengths * (repeats * (splits == TRAIN))
    written, written_splits, keys = repeat_rows(rows, splits, repeats, config.seed)
    return EncodedRows(written, written_splits, keys, sum_group_tokens(groups, training_tokens))


def count_repeats(
    documents: pa.Table,
    splits: npt.NDArray[np.int64],
    groups: pa.Array | None,
    times: Mapping[str, float],
) -> npt.NDArray[np.int64]:
    """int64 (n,): how often each document is written; those held out from training once."""
    repeats = documents["repeats"].to_numpy().astype(np.int64)
    if groups is not None:
        group_times = np.array([times[group] for group in groups.to_pylist()], np.float64)
        repeats = draw_repeats(documents["id"].to_pylist(), repeats * group_times)
    return np.where(splits == TRAIN, repeats, 1)


def sum_group_tokens(groups: pa.Array | None, tokens: npt.NDArray[np.int64]) -> dict[str, int]:
    """Sum `tokens` (n,), those in the training split, by group."""
    sums = Counter[str]()
    if groups is not None:
        for group, count in zip(groups.to_pylist(), tokens.tolist(), strict=True):
            sums[group] += count
    return dict(sorted(sums.items()))


def encode_rows(documents: pa.Table, config: PackConfig, encoder: Encoder) -> pa.RecordBatch:
    """Return one row of the shards' schema for every document, in their order."""
    texts = final_texts(documents, mask=config.mask_personal)
    schema = shard_schema(encoder.vocabulary, {})
    parts = [_encode_part(part, encoder, schema) for part in split_by_bytes(texts)]
    columns = {name: pa.concat_arrays([part[name] for part in parts]) for name in parts[0]}
    for name in ("id", "source", "lang"):
        columns[name] = documents[name].combine_chunks().cast(pa.string())
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _encode_part(texts: pa.StringArray, encoder: Encoder, schema: pa.Schema) -> dict[str, pa.Array]:
    encoded = encoder.encode(texts)
    ids_type = schema.field("input_ids").type
    sentences_type = schema.field("sentences").type
    return {
        "input_ids": make_lists(encoded.ids, encoded.offsets, ids_type),
        "sentences": make_lists(encoded.sentences, encoded.sentence_offsets, sentences_type),
        "bytes": pc.binary_length(texts).cast(pa.uint32()),
    }


def split_by_bytes(texts: pa.StringArray) -> Iterator[pa.StringArray]:
    """Yield the texts in parts of about TEXT_BYTES, one part at least."""
    sizes = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    part_numbers = np.cumsum(sizes) // TEXT_BYTES
    borders = np.flatnonzero(np.diff(part_numbers)) + 1
    for start, stop in itertools.pairwise([0, *borders, len(texts)]):
        yield texts.slice(start, stop - start)


def make_lists(
    values: npt.NDArray[np.integer], offsets: npt.NDArray[np.int64], kind: pa.ListType
) -> pa.ListArray:
    """Return arrays as one Arrow list column, without a Python object for each element."""
    _refuse_wrapping(int(offsets[-1]), "a split of {} tokens does not fit a list column")
    numbers = values.astype(kind.value_type.to_pandas_dtype())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(numbers))


def _refuse_wrapping(tokens: int, message: str) -> None:
    if tokens >= LIST_LIMIT:
        raise ValueError(f"{message.format(tokens)}: make annotate.split_bytes smaller")


def repeat_rows(
    rows: pa.RecordBatch,
    splits: npt.NDArray[np.int64],
    repeats: npt.NDArray[np.int64],
    seed: int,
) -> tuple[pa.RecordBatch, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return every row as often as `repeats` (n,) says, with its split and a key of its own."""
    ids = rows["id"].to_pylist()
    keys: list[int] = []
    for id, times in zip(ids, repeats.tolist(), strict=True):
        for number in range(times):
            # a repeat gets another key than the first copy, so that they lie far apart
            label = f"{id} again {number}" if number else id
            keys.append(hash_shuffle_key(label, seed))
    lengths = pc.list_value_length(rows["input_ids"]).to_numpy().astype(np.int64)
    # Arrow's `take` would wrap the offsets without an error
    _refuse_wrapping(
        int((lengths * repeats).sum()),
        "a split of {} tokens with its repeats does not fit a list column",
    )
    positions = np.repeat(np.arange(len(ids)), repeats)
    is_unchanged = bool((repeats == 1).all())
    written = rows if is_unchanged else rows.take(pa.array(positions))
    return written, splits[positions], np.array(keys, np.int64)


def hash_shuffle_key(id: str, seed: int) -> int:
    """Return the 63-bit key by which a document is ordered within its split."""
    return xxhash.xxh3_64_intdigest(id.encode(), seed) & KEY_MASK


def choose_split(id: str, config: PackConfig) -> str:
    """Return train, validation or test, by a hash of the id alone."""
    share = xxhash.xxh3_64_intdigest(f"split of {id}".encode()) / 2**64
    if share < config.validation:
        return "validation"
    if share < config.validation + config.test:
        return "test"
    return "train"
