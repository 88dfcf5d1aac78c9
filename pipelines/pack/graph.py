"""`pack`: join documents with their decisions, cut, mask, encode, split, mix, shuffle, write shards.

    shards -> encode: a spill file of token rows + receipt        (one job)
    places -> Exchange -> output shard: data-*.arrow + receipt    (another, `pipelines.pack.shuffle`)

The shuffle is exact: a document's place in its split is its rank by a hash of (seed, id), so it does
not depend on the order of inputs. The split of a document is a hash of its id alone, so it stays
when the corpus grows.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import apache_beam as beam

from gristmill.corpus.shards import (
    DATASET_DICT,
    shard_name,
    write_dataset_dict,
    write_dataset_files,
)
from gristmill.hashing import sha256_bytes
from gristmill.runs import receipts, storage
from gristmill.runs.ledger import Unbalanced
from gristmill.runs.receipts import DataFile, Receipt, describe_file
from pipelines.engine.exchange import SplitIndices
from pipelines.pack.config import PackConfig
from pipelines.pack.encode import ENCODE, PackJob, encode_shard
from pipelines.pack.shuffle import SPLITS, STAGE, Outputs
from pipelines.tokenizer.encoder import open_encoder


def encode(pipeline: beam.Pipeline, job: PackJob, config: PackConfig, shards: int) -> None:
    """Build the graph of the first job."""
    numbers = pipeline | "shards" >> SplitIndices(shards)
    numbers | "encode" >> beam.ParDo(EncodeShard(job, config))


class EncodeShard(beam.DoFn):
    """Encode one document shard into a spill file, unless it has a receipt."""

    def __init__(self, job: PackJob, config: PackConfig) -> None:
        self.job = job
        self.config = config

    def setup(self) -> None:
        self.encoder = open_encoder(self.job.tokenizer)

    def process(self, shard: int) -> Iterator[int]:
        if receipts.read_receipt(Path(self.job.folder), ENCODE, shard) is None:
            encode_shard(self.job, shard, self.config, self.encoder)
        yield shard


def load_encode_receipts(folder: Path, shards: int) -> list[Receipt]:
    """Return the receipts of all encoded document shards, in their order."""
    by_shard = receipts.load_receipts(folder, ENCODE)
    return [by_shard[shard] for shard in range(shards)]


def sum_split_bytes(folder: Path, shards: int) -> dict[str, int]:
    """Sum the bytes of every split's rows, from the receipts."""
    encoded = load_encode_receipts(folder, shards)
    return {name: sum(int(each.details["sizes"][name]) for each in encoded) for name in SPLITS}


def sum_tokens_by_group(folder: Path, shards: int) -> dict[str, int]:
    """Sum the tokens of every group of the mixture in the training split, from the receipts."""
    sums = Counter[str]()
    for receipt in load_encode_receipts(folder, shards):
        sums.update(receipt.details["groups"])
    return dict(sums)


def check_complete(folder: Path, shards: int, packed: Mapping[str, Mapping[str, int]]) -> None:
    """Raise Unbalanced unless every encoded document and token reached an output shard."""
    encoded = load_encode_receipts(folder, shards)
    documents = sum(int(receipt.details["rows"]) for receipt in encoded)
    tokens = sum(int(receipt.details["tokens"]) for receipt in encoded)
    packed_documents = sum(split["documents"] for split in packed.values())
    packed_tokens = sum(split["tokens"] for split in packed.values())
    if (documents, tokens) != (packed_documents, packed_tokens):
        raise Unbalanced(
            f"encoded {documents} documents, {tokens} tokens;"
            f" the shards hold {packed_documents}, {packed_tokens}"
        )


def write_sidecars(folder: Path, tokenizer: Path, outputs: Outputs, run: str) -> list[DataFile]:
    """Write the files beside the shards: those that `datasets` reads, and the tokenizer."""
    names: list[str] = []
    written_splits = [split for split, count in outputs.counts.items() if count]
    for split in written_splits:
        count = outputs.counts[split]
        shards = [shard_name(number, count) for number in range(count)]
        fingerprint = sha256_bytes(f"{run}/{split}".encode())
        write_dataset_files(folder / split, shards, fingerprint=fingerprint)
        names += [f"{split}/state.json", f"{split}/dataset_info.json"]
    write_dataset_dict(folder, written_splits)
    names.append(DATASET_DICT)
    for path in sorted(tokenizer.iterdir()):
        storage.commit_bytes(folder / "tokenizer" / path.name, path.read_bytes())
        names.append(f"tokenizer/{path.name}")
    return [describe_file(folder, name) for name in names]


def count_tokens(folder: Path, outputs: Outputs) -> dict[str, dict[str, int]]:
    """Sum documents and tokens of every split, from the receipts of output shards."""
    by_number = receipts.load_receipts(folder, STAGE)
    sums: dict[str, dict[str, int]] = {
        split: {"documents": 0, "tokens": 0} for split, count in outputs.counts.items() if count
    }
    for number in range(outputs.total):
        receipt = by_number[number]
        split = receipt.files[0].path.split("/")[0]
        sums[split]["documents"] += receipt.read
        sums[split]["tokens"] += int(receipt.details["tokens"])
    return sums
