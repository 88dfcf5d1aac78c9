"""`pack`: join documents with their decisions, cut, mask, encode, split, shuffle globally, write Arrow shards.

    shards -> encode: token rows cut by output shard + receipt -> by output shard -> sorted by a keyed hash -> data-*.arrow

The shuffle is exact: a document's place in its split is its rank by a hash of (seed, id), so it does not depend on the
order of inputs. The split of a document is a hash of its id alone, so it stays when the corpus grows.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sentencepiece
import xxhash

from gristmill import receipts, storage
from gristmill.hashing import KEY_MASK, sha256_bytes
from gristmill.ledger import Fate, Tally, Unbalanced
from gristmill.receipts import DataFile, Receipt, data_file
from gristmill.runs import SPILL
from gristmill.shards import shard_name, shard_schema, write_dataset_files, write_shard
from pipelines.config import PackConfig
from pipelines.document_shards import check_pair, shard_path
from pipelines.exchange import Keyed, Numbers
from pipelines.final_text import Span, final_text
from pipelines.tokens.sentences import sentence_starts, surface_lengths, token_starts

ENCODE, STAGE = "encode", "shards"
CODE = [
    "pipelines/pack.py",
    "pipelines/tokens/sentences.py",
    "pipelines/final_text.py",
    "pipelines/config.py",
    "gristmill/shards.py",
]
LIBRARIES = ["sentencepiece", "pyarrow", "numpy", "xxhash"]
SPLITS = ("train", "validation", "test")
BYTES_PER_TOKEN_BYTE = 0.6
"""Bytes of ids per byte of text, a rough prior: it only steers how many shards are planned."""
ROWS = 1000
"""Rows of a record batch in a shard."""
ENCODE_ROWS = 256
"""Documents encoded at a time: their ids are Python integers for a moment, 36 bytes each."""
KEY = pa.field("key", pa.int64())


@dataclass(frozen=True, slots=True)
class Places:
    """What an encoder needs to know: where things are, and how many output shards each split has."""

    folder: str
    documents: str
    decisions: str
    model: str
    outputs: Mapping[str, int]

    def offset(self, split: str) -> int:
        """The number of a split's first output shard among all."""
        return sum(self.outputs[name] for name in SPLITS[: SPLITS.index(split)])

    @property
    def total(self) -> int:
        """All output shards."""
        return sum(self.outputs.values())

    def name_of(self, number: int) -> str:
        """The path below the run of output shard `number`."""
        split = next(name for name in reversed(SPLITS) if self.outputs[name] and number >= self.offset(name))
        return f"{split}/{shard_name(number - self.offset(split), self.outputs[split])}"


def plan_outputs(text_bytes: int, config: PackConfig) -> dict[str, int]:
    """How many shards each split gets for a corpus of `text_bytes` kept bytes; a split with no share has none."""
    shares = {"train": 1 - config.validation - config.test, "validation": config.validation, "test": config.test}
    wanted = {name: text_bytes * BYTES_PER_TOKEN_BYTE * share / config.shard_bytes for name, share in shares.items()}
    return {name: max(1, int(np.ceil(size))) if shares[name] > 0 else 0 for name, size in wanted.items()}


def pack(pipeline: beam.Pipeline, places: Places, config: PackConfig, shards: int, metadata: Mapping[str, str]) -> None:
    """The whole graph."""
    encoded = pipeline | "shards" >> Numbers(shards) | "encode" >> beam.ParDo(EncodeShard(places, config))
    outputs = pipeline | "outputs" >> Numbers(places.total) | "empty" >> beam.ParDo(Keyed())
    (
        (encoded, outputs)
        | "both" >> beam.Flatten()
        | "by output" >> beam.GroupByKey()
        | "write" >> beam.ParDo(WriteShard(places, dict(metadata)))
    )


class EncodeShard(beam.DoFn):  # type: ignore[misc]
    """Encode one document shard into a file of token rows, one record batch per output shard."""

    def __init__(self, places: Places, config: PackConfig) -> None:
        self.places, self.config = places, config

    def setup(self) -> None:
        self.processor = sentencepiece.SentencePieceProcessor(model_file=self.places.model)
        self.lengths = surface_lengths(self.processor)

    def process(self, shard: int) -> Iterator[tuple[int, bytes]]:
        receipt = receipts.done(Path(self.places.folder), ENCODE, shard)
        if receipt is None:
            receipt = encode_shard(self.places, shard, self.config, self.processor, self.lengths)
        for place, number in enumerate(receipt.details["outputs"]):
            yield number, json.dumps([shard, place]).encode()


def encode_shard(
    places: Places, shard: int, config: PackConfig, processor: sentencepiece.SentencePieceProcessor, lengths: np.ndarray
) -> Receipt:
    """Encode the kept documents of a shard; write their rows by output shard, and the receipt."""
    folder = Path(places.folder)
    check_pair(places.documents, places.decisions, shard)
    table = pq.read_table(shard_path(places.documents, shard), columns=_read(config))
    decisions = read_decisions(shard_path(places.decisions, shard))
    tally = Tally()
    _tally(tally, "dropped", "decided", table.filter(pc.invert(decisions["keep"])))
    for name in ("cuts", "repeats"):
        table = table.append_column(name, decisions[name])
    rows = encode_table(table.filter(decisions["keep"]), config, processor, lengths, tally)
    numbers = output_numbers(rows["id"].to_pylist(), rows["key"].to_pylist(), places, config)
    outputs = np.unique(numbers).tolist()
    name = f"{SPILL}/tokens-{shard:05d}.arrow"
    with storage.commit(folder / name) as file, pa.ipc.new_file(file, rows.schema) as writer:
        for number in outputs:
            writer.write_batch(rows.take(pa.array(np.flatnonzero(numbers == number))))
    details = {"outputs": outputs, "rows": rows.num_rows, "tokens": len(rows["input_ids"].values)}
    receipt = Receipt(ENCODE, shard, table.num_rows, tuple(tally.entries()), (data_file(folder, name),), details)
    receipts.commit(folder, receipt)
    return receipt


def read_decisions(path: str) -> pa.Table:
    """What `pack` needs of a decisions shard; an earlier version wrote every document once."""
    table = pq.read_table(path)
    if "repeats" not in table.schema.names:
        table = table.append_column("repeats", pa.array(np.ones(table.num_rows, np.int32)))
    return table.select(["keep", "cuts", "repeats"])


def _read(config: PackConfig) -> list[str]:
    """The columns of documents that encoding reads; where nothing is masked, personal data need not have been looked for."""
    return ["id", "text", "source", "lang", *(["personal"] if config.mask_personal else [])]


def _spans(kept: pa.Table) -> Sequence[Sequence[Span]]:
    """The personal data of each document, where they were read."""
    spans: Sequence[Sequence[Span]] = (
        kept["personal"].to_pylist() if "personal" in kept.schema.names else [[]] * len(kept)
    )
    return spans


def _tally(tally: Tally, fate: Fate, reason: str, table: pa.Table | pa.RecordBatch) -> None:
    """Count every row of a table, with its bytes where it has them."""
    sizes = table["bytes"].to_pylist() if "bytes" in table.schema.names else [0] * table.num_rows
    for source, lang, size in zip(table["source"].to_pylist(), table["lang"].to_pylist(), sizes, strict=True):
        tally.add(fate, reason, source=source, lang=lang, size=size)


def encode_table(
    kept: pa.Table,
    config: PackConfig,
    processor: sentencepiece.SentencePieceProcessor,
    lengths: np.ndarray,
    tally: Tally,
) -> pa.RecordBatch:
    """The shard rows (with their sort key) of kept documents, as often as `repeats` says; a text that cuts leave empty is dropped."""
    dtype = np.uint16 if processor.get_piece_size() <= 1 << 16 else np.uint32
    tokens, starts, sizes = list[np.ndarray](), list[np.ndarray](), list[int]()
    for at in range(0, kept.num_rows, ENCODE_ROWS):
        part = kept.slice(at, ENCODE_ROWS)
        texts = [
            final_text(text, cuts, personal, mask=config.mask_personal).strip()
            for text, cuts, personal in zip(
                part["text"].to_pylist(), part["cuts"].to_pylist(), _spans(part), strict=True
            )
        ]
        for text, ids in zip(texts, processor.encode(texts, num_threads=1), strict=True):
            raw = text.encode()
            tokens.append(np.array(ids, dtype))
            starts.append(token_starts(tokens[-1], sentence_starts(raw), lengths, raw))
            sizes.append(len(raw))
    full = np.array([len(ids) > 0 for ids in tokens], bool)
    names = kept.select(["id", "source", "lang"]).combine_chunks()
    columns = {name: names[name].combine_chunks() for name in names.schema.names}
    columns |= {
        "input_ids": _lists(tokens, dtype),
        "sentences": _lists(starts, np.uint32),
        "bytes": pa.array(sizes, pa.uint32()),
    }
    columns["key"] = pa.array([shuffle_key(id, config.seed) for id in columns["id"].to_pylist()], pa.int64())
    schema = shard_schema(processor.get_piece_size(), {}).append(KEY)
    rows = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    _tally(tally, "dropped", "empty_after_cuts", rows.filter(pa.array(~full)))
    rows = rows.filter(pa.array(full))
    _tally(tally, "kept", "", rows)
    return repeated(rows, kept["repeats"].to_numpy()[full], config)


def repeated(rows: pa.RecordBatch, times: np.ndarray, config: PackConfig) -> pa.RecordBatch:
    """Every row of the training split as many times as `times` (n,) says, each with a key of its own; the others once."""
    if (times == 1).all():
        return rows
    ids = rows["id"].to_pylist()
    times = np.where([split_of(id, config) == "train" for id in ids], times, 1).astype(np.int64)
    again = [(row, number) for row, count in enumerate(times.tolist()) for number in range(1, count)]
    copies = rows.take(pa.array([row for row, _ in again], pa.int64()))
    keys = pa.array([shuffle_key(f"{ids[row]} again {number}", config.seed) for row, number in again], pa.int64())
    copies = copies.set_column(copies.schema.get_field_index("key"), KEY, keys)
    return pa.Table.from_batches([rows, copies]).combine_chunks().to_batches()[0]


def _lists(values: list[np.ndarray], dtype: type[np.generic]) -> pa.ListArray:
    """Arrays as one Arrow list column, without a Python object per element."""
    offsets = np.cumsum([0, *map(len, values)])
    if offsets[-1] >= 1 << 31:
        raise ValueError(
            f"a split of {offsets[-1]} tokens does not fit a list column: make annotate.split_bytes smaller"
        )
    flat = np.concatenate([np.zeros(0, dtype), *values]).astype(dtype)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat))


def shuffle_key(id: str, seed: int) -> int:
    """The 63-bit key by which a document is ordered within its split."""
    return xxhash.xxh3_64_intdigest(id.encode(), seed) & KEY_MASK


def split_of(id: str, config: PackConfig) -> str:
    """train, validation or test, by a hash of the id alone."""
    share = xxhash.xxh3_64_intdigest(f"split of {id}".encode()) / 2**64
    if share < config.validation:
        return "validation"
    return "test" if share < config.validation + config.test else "train"


def output_numbers(ids: Sequence[str], keys: Sequence[int], places: Places, config: PackConfig) -> np.ndarray:
    """int64 (n,): the output shard of every document: its split's shards share the range of keys evenly."""
    splits = [split_of(id, config) for id in ids]
    return np.array(
        [
            places.offset(split) + key * places.outputs[split] // (KEY_MASK + 1)
            for split, key in zip(splits, keys, strict=True)
        ],
        np.int64,
    )


class WriteShard(beam.DoFn):  # type: ignore[misc]
    """Gather the rows of one output shard, sort them by key, write the shard and its receipt."""

    def __init__(self, places: Places, metadata: dict[str, str]) -> None:
        self.places, self.metadata = places, metadata

    def process(self, group: tuple[int, Iterable[bytes]]) -> Iterator[int]:
        number, parts = group
        folder = Path(self.places.folder)
        if receipts.done(folder, STAGE, number) is None:
            write_output(self.places, number, sorted(json.loads(part) for part in parts if part), self.metadata)
        yield number


def write_output(places: Places, number: int, parts: list[list[int]], metadata: Mapping[str, str]) -> Receipt:
    """Write output shard `number` from the (shard, batch) parts that hold its rows."""
    folder = Path(places.folder)
    processor = sentencepiece.SentencePieceProcessor(model_file=places.model)
    schema = shard_schema(processor.get_piece_size(), metadata)
    with_key = shard_schema(processor.get_piece_size(), {}).append(KEY)
    rows = pa.Table.from_batches([_part(folder, shard, place) for shard, place in parts], with_key)
    rows = rows.sort_by([("key", "ascending"), ("id", "ascending")]).drop_columns(["key"]).combine_chunks()
    name = places.name_of(number)
    write_shard(folder / name, rows.cast(schema).to_batches(max_chunksize=ROWS), schema)
    tokens = sum(len(chunk.values) for chunk in rows["input_ids"].chunks)
    receipt = Receipt(
        STAGE, number, rows.num_rows, files=(data_file(folder, name, rows=rows.num_rows),), details={"tokens": tokens}
    )
    receipts.commit(folder, receipt)
    return receipt


def _part(folder: Path, shard: int, place: int) -> pa.RecordBatch:
    return pa.ipc.open_file(pa.memory_map(str(folder / SPILL / f"tokens-{shard:05d}.arrow"))).get_batch(place)


def check_complete(folder: Path, shards: int, packed: Mapping[str, Mapping[str, int]]) -> None:
    """Raise Unbalanced unless every encoded document and token reached an output shard."""
    done = receipts.load(folder, ENCODE)
    encoded = [done[shard] for shard in range(shards)]
    sent = sum(int(receipt.details["rows"]) for receipt in encoded)
    sent_tokens = sum(int(receipt.details["tokens"]) for receipt in encoded)
    got, got_tokens = (sum(split[what] for split in packed.values()) for what in ("documents", "tokens"))
    if (sent, sent_tokens) != (got, got_tokens):
        raise Unbalanced(f"encoded {sent} documents, {sent_tokens} tokens; the shards hold {got}, {got_tokens}")


def write_sidecars(folder: Path, tokenizer: Path, outputs: Mapping[str, int], run: str) -> list[DataFile]:
    """Write what lies beside the shards: the files `datasets` wants, and the tokenizer. Returns them."""
    written = []
    for split, count in outputs.items():
        if count:
            names = [shard_name(number, count) for number in range(count)]
            write_dataset_files(folder / split, names, fingerprint=sha256_bytes(f"{run}/{split}".encode()))
            written += [f"{split}/state.json", f"{split}/dataset_info.json"]
    for path in sorted(tokenizer.iterdir()):
        storage.commit_bytes(folder / "tokenizer" / path.name, path.read_bytes())
        written.append(f"tokenizer/{path.name}")
    return [data_file(folder, name) for name in written]


def count_tokens(folder: Path, outputs: Mapping[str, int], shards: int) -> dict[str, dict[str, int]]:
    """Documents and tokens of every split, from the receipts."""
    done = receipts.load(folder, STAGE)
    sums: dict[str, dict[str, int]] = {
        split: {"documents": 0, "tokens": 0} for split, count in outputs.items() if count
    }
    for number in range(shards):
        receipt = done[number]
        split = receipt.files[0].path.split("/")[0]
        sums[split]["documents"] += receipt.read
        sums[split]["tokens"] += int(receipt.details["tokens"])
    return sums
