"""`tokenizer`: train a sentencepiece model on a deterministic sample of the kept documents.

shards -> candidates of kept documents + receipt -> the smallest keys of each stratum -> train
"""

from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np

from gristmill.hashing import sha256_bytes
from gristmill.runs import receipts, storage
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.engine.exchange import SplitIndices
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.hugging_face import build_fast_tokenizer, check_equal, write_tokenizer
from pipelines.tokenizer.sample import (
    CANDIDATE_WIDTH,
    Ints,
    iter_sample_texts,
    list_candidates,
)
from pipelines.tokenizer.training import train

STAGE = "sample"


def collect_candidates(
    pipeline: beam.Pipeline, folder: str, documents: str, decisions: str, seed: int, shards: int
) -> None:
    """Build the whole graph: one file of candidates for each shard."""
    write = WriteCandidates(folder, documents, decisions, seed)
    pipeline | "shards" >> SplitIndices(shards) | "candidates" >> beam.ParDo(write)


class WriteCandidates(beam.DoFn):
    """Write the candidates of one shard and their receipt, unless it has one."""

    def __init__(self, folder: str, documents: str, decisions: str, seed: int) -> None:
        self.folder = folder
        self.documents = documents
        self.decisions = decisions
        self.seed = seed

    def process(self, shard: int) -> Iterator[int]:
        folder = Path(self.folder)
        if receipts.read_receipt(folder, STAGE, shard) is None:
            rows = list_candidates(self.documents, self.decisions, shard, self.seed)
            name = _name_candidates(shard)
            with storage.open_for_commit(folder / name) as file:
                np.save(file, rows)
            files = (describe_file(folder, name),)
            receipts.commit_receipt(folder, Receipt(STAGE, shard, len(rows), files=files))
        yield shard


def _name_candidates(shard: int) -> str:
    return f"{SPILL}/candidates-{shard:05d}.npy"


def load_candidates(folder: Path, shards: int) -> Ints:
    """Return all candidates of a run, int64 (kept documents, CANDIDATE_WIDTH)."""
    parts = [np.load(folder / _name_candidates(shard)) for shard in range(shards)]
    return np.concatenate([np.zeros((0, CANDIDATE_WIDTH), np.int64), *parts])


def train_and_write(
    folder: str, documents: str, decisions: str, nodes: Ints, config: TokenizerConfig
) -> dict[str, object]:
    """Train on the sample, check the Hugging Face form on all of it, write both.

    Returns the manifest's details.
    """
    texts = list(iter_sample_texts(documents, decisions, nodes))
    model = train(texts, config)
    tokenizer = build_fast_tokenizer(model)
    compared_texts = check_equal(model, tokenizer, texts)
    write_tokenizer(Path(folder) / "tokenizer", model, tokenizer)
    return {
        "tokenizer": sha256_bytes(model),
        "vocab_size": tokenizer.get_vocab_size(),
        "sample_documents": compared_texts,
        "sample_bytes": sum(len(text.encode()) for text in texts),
    }
