"""Choose the documents that a tokenizer is trained on: the smallest hash keys of each stratum.

A stratum is a source and language. In: documents and decisions by shard. Out: the nodes
(shard << 32 | row) of the sample, the same for any number of workers, and their final texts.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import xxhash

from gristmill.corpus.shard_pairs import check_pair, shard_path
from gristmill.errors import InputError
from gristmill.hashing import key64
from gristmill.runs.finished import FinishedRun, all_entries
from pipelines.decide.dedup.keys import make_nodes
from pipelines.engine.packed_rows import sort_rows
from pipelines.final_text import final_text
from pipelines.tokenizer.config import TokenizerConfig

Ints = npt.NDArray[np.int64]

CANDIDATE_WIDTH = 4
STRATUM, KEY, BYTES, NODE = range(CANDIDATE_WIDTH)
"""Columns of a candidate: key of the stratum, key of the document, bytes of text, node."""

PARTS_SHOWN = 20
"""Names of strata in an error message."""

ROW_MASK = 0xFFFFFFFF
"""The row of a node: its lower 32 bits."""


def list_candidates(documents: str, decisions: str, shard: int, seed: int) -> Ints:
    """int64 (kept documents, CANDIDATE_WIDTH): the candidates of one shard."""
    check_pair(documents, decisions, shard)
    columns = ["id", "source", "lang", "text_bytes"]
    table = pq.read_table(shard_path(documents, shard), columns=columns)
    decided = pq.read_table(shard_path(decisions, shard), columns=["keep"])
    keep = decided["keep"].to_numpy()
    names = zip(table["source"].to_pylist(), table["lang"].to_pylist(), strict=True)
    strata = np.array([hash_stratum(source, lang) for source, lang in names], np.int64)
    ids = table["id"].to_pylist()
    # 64 bits without the lowest: Arrow and the exchange hold signed numbers
    keys = np.array([xxhash.xxh3_64_intdigest(id.encode(), seed) >> 1 for id in ids], np.int64)
    sizes = table["text_bytes"].to_numpy().astype(np.int64)
    nodes = make_nodes(shard, table.num_rows)
    candidates: Ints = np.column_stack([strata, keys, sizes, nodes])[keep]
    return candidates


def hash_stratum(source: str, lang: str) -> int:
    """Return the number that stands for a source and language."""
    return key64(f"{source}\t{lang}")


def choose_nodes(candidates: Ints, sample_bytes: int, weights: Mapping[int, float]) -> Ints:
    """Return the sorted nodes of the sample: from every stratum its share, by smallest key.

    A share of `sample_bytes` is proportional to bytes x weight (1 where the stratum has none), and no
    more than the stratum holds. Fractions keep shares exact whatever the order of strata.
    """
    rows = sort_rows(candidates)
    strata = _split_by_stratum(rows)
    factors = [Fraction(weights.get(int(stratum[0, STRATUM]), 1.0)) for stratum in strata]
    masses = [
        int(stratum[:, BYTES].sum()) * factor
        for stratum, factor in zip(strata, factors, strict=True)
    ]
    total = sum(masses)
    is_unweighted = set(factors) <= {1}
    if total <= sample_bytes and is_unweighted:
        return np.sort(rows[:, NODE])
    chosen = [np.zeros(0, np.int64)]
    for stratum, mass in zip(strata, masses, strict=True):
        share = math.ceil(sample_bytes * mass / total) if total else 0
        bytes_before = np.cumsum(stratum[:, BYTES]) - stratum[:, BYTES]
        chosen.append(stratum[bytes_before < share, NODE])
    return np.sort(np.concatenate(chosen))


def _split_by_stratum(rows: Ints) -> list[Ints]:
    """Split sorted candidates into those of each stratum."""
    if not len(rows):
        return []
    borders = np.flatnonzero(np.diff(rows[:, STRATUM])) + 1
    return np.split(rows, borders)


def weigh_strata(
    names: Iterable[tuple[str, str]], weights: Mapping[str, float]
) -> dict[int, float]:
    """Return the weight of every stratum (source, lang), by its key.

    Raises InputError for a weight that names no stratum: a misspelt name must not pass silently.
    """
    parts_by_key = {
        hash_stratum(source, lang): {f"source={source}", f"lang={lang}"} for source, lang in names
    }
    all_parts = set[str]().union(*parts_by_key.values())
    idle = sorted(set(weights) - all_parts)
    if idle:
        raise InputError(
            "a weight names what no kept document is",
            {
                "tokenizer.weights": idle[0],
                "there are": ", ".join(sorted(all_parts)[:PARTS_SHOWN]),
            },
            "name one of those, or leave the weight out",
        )
    return {
        key: math.prod(weights.get(part, 1.0) for part in parts)
        for key, parts in parts_by_key.items()
    }


def choose_training_nodes(candidates: Ints, decided: FinishedRun, config: TokenizerConfig) -> Ints:
    """Return the nodes of the candidates of a decide run that training takes."""
    strata = {(entry.source, entry.lang) for entry in all_entries(decided) if entry.fate == "kept"}
    return choose_nodes(candidates, config.sample_bytes, weigh_strata(strata, config.weights))


def iter_sample_texts(documents: str, decisions: str, nodes: Ints) -> Iterator[str]:
    """Yield the final texts of the sample, by shard and row.

    They are masked, so that no personal data becomes a piece of the vocabulary.
    """
    shards = nodes >> 32
    for shard in np.unique(shards).tolist():
        rows = nodes[shards == shard] & ROW_MASK
        texts = pq.read_table(shard_path(documents, shard), columns=["text", "personal"])
        cuts = pq.read_table(shard_path(decisions, shard), columns=["cuts"])
        chosen = texts.append_column("cuts", cuts["cuts"]).take(rows).to_pylist()
        for document in chosen:
            yield final_text(document["text"], document["cuts"], document["personal"], mask=True)
