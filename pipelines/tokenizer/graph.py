"""`tokenizer`: train a sentencepiece model on a deterministic sample of the kept documents; a run of its own.

shards -> (key, bytes, node) of kept documents + receipt -> the smallest keys of each source and language -> train
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import xxhash

from gristmill.errors import InputError
from gristmill.hashing import key64, sha256_bytes
from gristmill.runs import receipts, storage
from gristmill.runs.finished import FinishedRun, all_entries
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import SPILL
from pipelines.config import TokenizerConfig
from pipelines.decide.dedup.keys import make_nodes
from pipelines.document_shards import check_pair, shard_path
from pipelines.engine.exchange import SplitIndices
from pipelines.engine.packed_rows import sort_rows
from pipelines.final_text import final_text
from pipelines.tokenizer.hugging_face import check_equal, fast_tokenizer, write_tokenizer
from pipelines.tokenizer.training import train

STAGE = "sample"
CODE = [
    "pipelines/tokenizer/graph.py",
    "pipelines/tokenizer/hugging_face.py",
    "pipelines/tokenizer/training.py",
    "pipelines/final_text.py",
    "pipelines/config.py",
    "pipelines/engine/exchange.py",
    "pipelines/decide/dedup/keys.py",
]
LIBRARIES = ["sentencepiece", "tokenizers", "numpy", "xxhash"]
WIDTH = 4
"""Columns of a candidate: stratum, key, bytes, node."""


def candidates(
    pipeline: beam.Pipeline, folder: str, documents: str, decisions: str, seed: int, shards: int
) -> None:
    """The whole graph: one file of candidates per shard."""
    work = ShardCandidates(folder, documents, decisions, seed)
    pipeline | "shards" >> SplitIndices(shards) | "candidates" >> beam.ParDo(work)


class ShardCandidates(beam.DoFn):  # type: ignore[misc]
    """Write the candidates of one shard and their receipt."""

    def __init__(self, folder: str, documents: str, decisions: str, seed: int) -> None:
        self.folder, self.documents, self.decisions, self.seed = folder, documents, decisions, seed

    def process(self, shard: int) -> Iterator[int]:
        folder = Path(self.folder)
        if receipts.read_receipt(folder, STAGE, shard) is None:
            rows = shard_candidates(self.documents, self.decisions, shard, self.seed)
            name = f"{SPILL}/candidates-{shard:05d}.npy"
            with storage.open_for_commit(folder / name) as file:
                np.save(file, rows)
            receipts.commit_receipt(
                folder, Receipt(STAGE, shard, len(rows), files=(describe_file(folder, name),))
            )
        yield shard


def shard_candidates(documents: str, decisions: str, shard: int, seed: int) -> np.ndarray:
    """int64 (kept, WIDTH): stratum, key, bytes of text and node of every kept document."""
    check_pair(documents, decisions, shard)
    table = pq.read_table(
        shard_path(documents, shard), columns=["id", "source", "lang", "text_bytes"]
    )
    keep = pq.read_table(shard_path(decisions, shard), columns=["keep"])["keep"].to_numpy()
    names = zip(table["source"].to_pylist(), table["lang"].to_pylist(), strict=True)
    stratum = np.array([stratum_key(source, lang) for source, lang in names], np.int64)
    keys = np.array(
        [xxhash.xxh3_64_intdigest(name.encode(), seed) >> 1 for name in table["id"].to_pylist()],
        np.int64,
    )
    sizes = table["text_bytes"].to_numpy().astype(np.int64)
    rows: np.ndarray = np.column_stack([stratum, keys, sizes, make_nodes(shard, table.num_rows)])[
        keep
    ]
    return rows


def choose(rows: np.ndarray, sample_bytes: int, weights: Mapping[int, float]) -> np.ndarray:
    """The nodes of the sample, sorted: from every stratum its share of `sample_bytes`, by smallest key.

    A share is proportional to bytes x weight (1 where the stratum has none), and no more than the stratum holds.
    """
    rows = sort_rows(rows)
    strata = np.split(rows, np.flatnonzero(np.diff(rows[:, 0])) + 1) if len(rows) else []
    factors = [Fraction(weights.get(int(mine[0, 0]), 1.0)) for mine in strata]
    wanted = [int(mine[:, 2].sum()) * factor for mine, factor in zip(strata, factors, strict=True)]
    total = sum(wanted)
    if total <= sample_bytes and set(factors) <= {1}:
        return np.sort(rows[:, 3])
    chosen = [np.zeros(0, np.int64)]
    for mine, mass in zip(strata, wanted, strict=True):
        before = np.cumsum(mine[:, 2]) - mine[:, 2]
        share = math.ceil(sample_bytes * mass / total) if total else 0
        chosen.append(mine[before < share, 3])
    return np.sort(np.concatenate(chosen))


def stratum_weights(
    names: Iterable[tuple[str, str]], weights: Mapping[str, float]
) -> dict[int, float]:
    """The weight of every stratum (source, lang) that `weights` names; raises InputError for a weight that names none."""
    parts = {
        stratum_key(source, lang): {f"source={source}", f"lang={lang}"} for source, lang in names
    }
    if idle := sorted(set(weights) - set().union(*parts.values())):
        where = {
            "tokenizer.weights": idle[0],
            "there are": ", ".join(sorted(set().union(*parts.values()))[:20]),
        }
        raise InputError(
            "a weight names what no kept document is",
            where,
            "name one of those, or leave the weight out",
        )
    return {key: math.prod(weights.get(part, 1.0) for part in mine) for key, mine in parts.items()}


def training_nodes(rows: np.ndarray, decided: FinishedRun, config: TokenizerConfig) -> np.ndarray:
    """The nodes of the candidates of a decide run that training takes."""
    strata = {(entry.source, entry.lang) for entry in all_entries(decided) if entry.fate == "kept"}
    return choose(rows, config.sample_bytes, stratum_weights(strata, config.weights))


def stratum_key(source: str, lang: str) -> int:
    """The number that stands for a source and language."""
    return key64(f"{source}\t{lang}")


def sample_texts(documents: str, decisions: str, nodes: np.ndarray) -> Iterator[str]:
    """The final texts of the sample: masked, so that no personal data becomes a piece of the vocabulary."""
    for shard in np.unique(nodes >> 32).tolist():
        rows = nodes[nodes >> 32 == shard] & 0xFFFFFFFF
        table = pq.read_table(shard_path(documents, shard), columns=["text", "personal"]).take(rows)
        cuts = (
            pq.read_table(shard_path(decisions, shard), columns=["cuts"])
            .take(rows)["cuts"]
            .to_pylist()
        )
        for text, personal, cut in zip(
            table["text"].to_pylist(), table["personal"].to_pylist(), cuts, strict=True
        ):
            yield final_text(text, cut, personal, mask=True)


def load_candidates(folder: Path, shards: int) -> np.ndarray:
    """All candidates of a run."""
    parts = [np.load(folder / SPILL / f"candidates-{shard:05d}.npy") for shard in range(shards)]
    return np.concatenate([np.zeros((0, WIDTH), np.int64), *parts])


def train_and_write(
    folder: str, documents: str, decisions: str, nodes: np.ndarray, config: TokenizerConfig
) -> dict[str, object]:
    """Train on the sample, check the Hugging Face form on all of it, write both; returns the manifest's details."""
    texts = list(sample_texts(documents, decisions, nodes))
    model = train(texts, config)
    tokenizer = fast_tokenizer(model)
    checked = check_equal(model, tokenizer, texts)
    write_tokenizer(Path(folder) / "tokenizer", model, tokenizer)
    return {
        "tokenizer": sha256_bytes(model),
        "vocab_size": tokenizer.get_vocab_size(),
        "sample_documents": checked,
        "sample_bytes": sum(len(text.encode()) for text in texts),
    }
