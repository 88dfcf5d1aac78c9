"""`pack`: join documents with their decisions, cut, mask, encode, split, mix, shuffle globally, write Arrow shards.

    shards -> encode: a spill file of token rows + receipt        (one job)
    places -> Exchange -> output shard: data-*.arrow + receipt    (another, `pipelines.pack.shuffle`)

The shuffle is exact: a document's place in its split is its rank by a hash of (seed, id), so it does not depend on the
order of inputs. The split of a document is a hash of its id alone, so it stays when the corpus grows.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from gristmill.corpus.shards import (
    DATASET_DICT,
    shard_name,
    shard_schema,
    write_dataset_dict,
    write_dataset_files,
)
from gristmill.hashing import KEY_MASK, sha256_bytes
from gristmill.runs import receipts, storage
from gristmill.runs.ledger import Fate, Tally, Unbalanced
from gristmill.runs.receipts import DataFile, Receipt, describe_file
from pipelines.config import PackConfig
from pipelines.document_shards import check_pair, shard_path
from pipelines.engine.exchange import SplitIndices
from pipelines.final_text import cut_bytes, final_texts, one_array
from pipelines.pack.mixture import columns_of, group_keys, writings
from pipelines.pack.shuffle import SPLITS, STAGE, Outputs, sorted_rows, write_spill
from pipelines.tokenizer.encoder import Encoder, open_encoder

ENCODE = "encode"
CODE = [
    "pipelines/pack/graph.py",
    "pipelines/pack/jobs.py",
    *(
        f"pipelines/tokens/{name}.py"
        for name in ("compiled", "encoder", "mixture", "sentences", "shuffle")
    ),
    *(
        f"pipelines/kernels/{name}.py"
        for name in ("buffers", "edits", "encode", "merges", "sentences", "viterbi", "words")
    ),
    "pipelines/final_text.py",
    "pipelines/config.py",
    "pipelines/engine/exchange.py",
    "gristmill/corpus/shards.py",
]
LIBRARIES = ["sentencepiece", "tokenizers", "pyarrow", "numpy", "xxhash"]
TEXT_BYTES = 4 << 20
"""Bytes of text encoded at a time."""


@dataclass(frozen=True, slots=True)
class Work:
    """What an encoder needs to know: where things are, and how often each group of the mixture is written."""

    folder: str
    documents: str
    decisions: str
    tokenizer: str
    times: Mapping[str, float]


def encode(pipeline: beam.Pipeline, work: Work, config: PackConfig, shards: int) -> None:
    """The graph of the first job."""
    pipeline | "shards" >> SplitIndices(shards) | "encode" >> beam.ParDo(EncodeShard(work, config))


class EncodeShard(beam.DoFn):  # type: ignore[misc]
    """Encode one document shard into a spill file."""

    def __init__(self, work: Work, config: PackConfig) -> None:
        self.work, self.config = work, config

    def setup(self) -> None:
        self.encoder = open_encoder(self.work.tokenizer)

    def process(self, shard: int) -> Iterator[int]:
        if receipts.read_receipt(Path(self.work.folder), ENCODE, shard) is None:
            encode_shard(self.work, shard, self.config, self.encoder)
        yield shard


def encode_shard(work: Work, shard: int, config: PackConfig, encoder: Encoder) -> Receipt:
    """Encode the kept documents of a shard; write their rows, and the receipt."""
    folder, tally = Path(work.folder), Tally()
    check_pair(work.documents, work.decisions, shard)
    table, keep = read_shard(work, shard, columns_read(config))
    _tally(tally, "dropped", "decided", table.filter(pc.invert(keep)))
    encoded = encode_table(table.filter(keep), config, encoder, tally, work.times)
    rows, index = sorted_rows(encoded.rows, encoded.splits, encoded.keys)
    sizes = np.bincount(index[:, 0], index[:, 2], len(SPLITS)).astype(int).tolist()
    details = {
        "rows": rows.num_rows,
        "tokens": len(rows["input_ids"].flatten()),
        "sizes": dict(zip(SPLITS, sizes, strict=True)),
        "groups": encoded.groups,
    }
    files = tuple(describe_file(folder, name) for name in write_spill(folder, shard, rows, index))
    receipt = Receipt(ENCODE, shard, table.num_rows, tuple(tally.entries()), files, details)
    receipts.commit_receipt(folder, receipt)
    return receipt


def read_shard(work: Work, shard: int, columns: Sequence[str]) -> tuple[pa.Table, pa.ChunkedArray]:
    """`columns` of a document shard with the cuts and repeats that were decided, and which documents stay."""
    table = pq.read_table(shard_path(work.documents, shard), columns=columns)
    decisions = read_decisions(shard_path(work.decisions, shard))
    for name in ("cuts", "repeats"):
        table = table.append_column(name, decisions[name])
    return table, decisions["keep"]


def read_decisions(path: str) -> pa.Table:
    """What `pack` needs of a decisions shard; an earlier version wrote every document once."""
    table = pq.read_table(path)
    if "repeats" not in table.schema.names:
        table = table.append_column("repeats", pa.array(np.ones(table.num_rows, np.int32)))
    return table.select(["keep", "cuts", "repeats"])


def columns_read(config: PackConfig) -> list[str]:
    """The columns of documents that encoding reads; where nothing is masked, personal data need not have been looked for."""
    names = ["id", "text", "source", "lang", *(["personal"] if config.mask_personal else [])]
    return list(dict.fromkeys([*names, *columns_of(config.mixture)]))


def kept_tables(work: Work, shards: int, config: PackConfig) -> Iterator[pa.Table]:
    """What `mixture.count_groups` counts of every shard: documents of the training split, their bytes without what is cut."""
    for shard in range(shards):
        table, keep = read_shard(
            work, shard, list(dict.fromkeys(["id", "text_bytes", *columns_of(config.mixture)]))
        )
        kept = table.filter(keep)
        train = pa.array(
            [split_of(id, config) == "train" for id in kept["id"].to_pylist()], pa.bool_()
        )
        left = kept["text_bytes"].to_numpy().astype(np.int64) - cut_bytes(one_array(kept["cuts"]))
        place = kept.schema.get_field_index("text_bytes")
        yield kept.set_column(place, "text_bytes", pa.array(left)).filter(train)


def _tally(tally: Tally, fate: Fate, reason: str, table: pa.Table | pa.RecordBatch) -> None:
    """Count every row of a table, with its bytes where it has them."""
    sizes = table["bytes"].to_pylist() if "bytes" in table.schema.names else [0] * table.num_rows
    for source, lang, size in zip(
        table["source"].to_pylist(), table["lang"].to_pylist(), sizes, strict=True
    ):
        tally.add(fate, reason, source=source, lang=lang, size=size)


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Rows of the shards' schema, each as often as it is written, with split and key, and the tokens of every group."""

    rows: pa.RecordBatch
    splits: np.ndarray
    keys: np.ndarray
    groups: Mapping[str, int]


def encode_table(
    kept: pa.Table, config: PackConfig, encoder: Encoder, tally: Tally, times: Mapping[str, float]
) -> EncodedRows:
    """The rows of kept documents; one that cuts leave empty is dropped, and one that the mixture never writes."""
    rows = token_rows(kept, config, encoder)
    full = pc.greater(pc.list_value_length(rows["input_ids"]), 0)
    _tally(tally, "dropped", "empty_after_cuts", rows.filter(pc.invert(full)))
    rows, kept = rows.filter(full), kept.filter(full)
    splits = np.array(
        [SPLITS.index(split_of(id, config)) for id in rows["id"].to_pylist()], np.int64
    )
    groups = group_keys(kept, config.mixture) if times else None
    often = times_written(kept, splits, groups, times)
    _tally(tally, "dropped", "mixture", rows.filter(pa.array(often == 0)))
    _tally(tally, "kept", "", rows.filter(pa.array(often > 0)))
    tokens = pc.list_value_length(rows["input_ids"]).to_numpy() * (often * (splits == 0))
    return EncodedRows(*repeated(rows, splits, often, config.seed), group_tokens(groups, tokens))


def times_written(
    kept: pa.Table, splits: np.ndarray, groups: pa.Array | None, times: Mapping[str, float]
) -> np.ndarray:
    """int64 (n,): how often each document is written; those held out from training once, whatever the mixture."""
    often = kept["repeats"].to_numpy().astype(np.int64)
    if groups is not None:
        wanted = np.array([times[group] for group in groups.to_pylist()], np.float64)
        often = writings(kept["id"].to_pylist(), often * wanted)
    return np.where(splits == SPLITS.index("train"), often, 1)


def group_tokens(groups: pa.Array | None, tokens: np.ndarray) -> dict[str, int]:
    """The tokens of every group in the training split."""
    found = Counter[str]()
    for group, count in zip(
        groups.to_pylist() if groups is not None else [], tokens.tolist(), strict=False
    ):
        found[group] += count
    return dict(sorted(found.items()))


def token_rows(kept: pa.Table, config: PackConfig, encoder: Encoder) -> pa.RecordBatch:
    """One row of the shards' schema for every document, in their order."""
    texts = final_texts(kept, mask=config.mask_personal)
    schema = shard_schema(encoder.vocabulary, {})
    parts = [_encoded(part, encoder, schema) for part in parts_of(texts)]
    columns = {name: pa.concat_arrays([part[name] for part in parts]) for name in parts[0]}
    columns |= {
        name: kept[name].combine_chunks().cast(pa.string()) for name in ("id", "source", "lang")
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _encoded(texts: pa.StringArray, encoder: Encoder, schema: pa.Schema) -> dict[str, pa.Array]:
    found = encoder.encode(texts)
    return {
        "input_ids": lists(found.ids, found.offsets, schema.field("input_ids").type),
        "sentences": lists(found.sentences, found.sentence_offsets, schema.field("sentences").type),
        "bytes": pc.binary_length(texts).cast(pa.uint32()),
    }


def parts_of(texts: pa.StringArray) -> Iterator[pa.StringArray]:
    """The texts in parts of about TEXT_BYTES, one at least."""
    sums = np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64))
    marks = np.flatnonzero(np.diff(sums // TEXT_BYTES)) + 1
    yield from (
        texts.slice(start, stop - start)
        for start, stop in itertools.pairwise([0, *marks, len(texts)])
    )


def lists(values: np.ndarray, offsets: np.ndarray, kind: pa.ListType) -> pa.ListArray:
    """Arrays as one Arrow list column, without a Python object per element."""
    if offsets[-1] >= 1 << 31:
        raise ValueError(
            f"a split of {offsets[-1]} tokens does not fit a list column: make annotate.split_bytes smaller"
        )
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(values.astype(kind.value_type.to_pandas_dtype()))
    )


def repeated(
    rows: pa.RecordBatch, splits: np.ndarray, often: np.ndarray, seed: int
) -> tuple[pa.RecordBatch, np.ndarray, np.ndarray]:
    """Every row as often as `often` (n,) says, with its split and a key of its own each time."""
    ids = rows["id"].to_pylist()
    keys = [
        shuffle_key(id if not number else f"{id} again {number}", seed)
        for id, times in zip(ids, often.tolist(), strict=True)
        for number in range(times)
    ]
    tokens = int(
        (pc.list_value_length(rows["input_ids"]).to_numpy().astype(np.int64) * often).sum()
    )
    if tokens >= 1 << 31:  # Arrow's `take` would wrap the offsets and say nothing
        raise ValueError(
            f"a split of {tokens} tokens with its repeats does not fit a list column: make annotate.split_bytes smaller"
        )
    places = np.repeat(np.arange(len(ids)), often)
    copies = rows if (often == 1).all() else rows.take(pa.array(places))
    return copies, splits[places], np.array(keys, np.int64)


def shuffle_key(id: str, seed: int) -> int:
    """The 63-bit key by which a document is ordered within its split."""
    return xxhash.xxh3_64_intdigest(id.encode(), seed) & KEY_MASK


def split_of(id: str, config: PackConfig) -> str:
    """train, validation or test, by a hash of the id alone."""
    share = xxhash.xxh3_64_intdigest(f"split of {id}".encode()) / 2**64
    if share < config.validation:
        return "validation"
    return "test" if share < config.validation + config.test else "train"


def planned_bytes(folder: Path, shards: int) -> dict[str, int]:
    """The bytes of every split's rows, from the receipts."""
    done = receipts.load_receipts(folder, ENCODE)
    return {
        name: sum(int(done[shard].details["sizes"][name]) for shard in range(shards))
        for name in SPLITS
    }


def tokens_of_groups(folder: Path, shards: int) -> dict[str, int]:
    """The tokens of every group of the mixture in the training split, from the receipts."""
    done = receipts.load_receipts(folder, ENCODE)
    return dict(
        sum((Counter(done[shard].details["groups"]) for shard in range(shards)), Counter[str]())
    )


def check_complete(folder: Path, shards: int, packed: Mapping[str, Mapping[str, int]]) -> None:
    """Raise Unbalanced unless every encoded document and token reached an output shard."""
    done = receipts.load_receipts(folder, ENCODE)
    encoded = [done[shard] for shard in range(shards)]
    sent = sum(int(receipt.details["rows"]) for receipt in encoded)
    sent_tokens = sum(int(receipt.details["tokens"]) for receipt in encoded)
    got, got_tokens = (
        sum(split[what] for split in packed.values()) for what in ("documents", "tokens")
    )
    if (sent, sent_tokens) != (got, got_tokens):
        raise Unbalanced(
            f"encoded {sent} documents, {sent_tokens} tokens; the shards hold {got}, {got_tokens}"
        )


def write_sidecars(folder: Path, tokenizer: Path, outputs: Outputs, run: str) -> list[DataFile]:
    """Write what lies beside the shards: the files `datasets` wants, and the tokenizer. Returns them."""
    written = []
    for split, count in outputs.counts.items():
        if count:
            names = [shard_name(number, count) for number in range(count)]
            write_dataset_files(
                folder / split, names, fingerprint=sha256_bytes(f"{run}/{split}".encode())
            )
            written += [f"{split}/state.json", f"{split}/dataset_info.json"]
    write_dataset_dict(folder, [split for split, count in outputs.counts.items() if count])
    written.append(DATASET_DICT)
    for path in sorted(tokenizer.iterdir()):
        storage.commit_bytes(folder / "tokenizer" / path.name, path.read_bytes())
        written.append(f"tokenizer/{path.name}")
    return [describe_file(folder, name) for name in written]


def count_tokens(folder: Path, outputs: Outputs) -> dict[str, dict[str, int]]:
    """Documents and tokens of every split, from the receipts."""
    done = receipts.load_receipts(folder, STAGE)
    sums: dict[str, dict[str, int]] = {
        split: {"documents": 0, "tokens": 0} for split, count in outputs.counts.items() if count
    }
    for number in range(outputs.total):
        receipt = done[number]
        split = receipt.files[0].path.split("/")[0]
        sums[split]["documents"] += receipt.read
        sums[split]["tokens"] += int(receipt.details["tokens"])
    return sums
