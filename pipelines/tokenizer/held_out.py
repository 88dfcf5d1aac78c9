"""The documents that tokenizers are measured on: as their corpus leaves them, those new to every tokenizer first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.document import refuse_hashes_only
from gristmill.corpus.shard_pairs import shard_path
from gristmill.corpus.view import open_documents_run
from gristmill.errors import RunError
from gristmill.runs.finished import FinishedRun, latest_of, open_parents
from pipelines.annotate.signals.table import NUMBERS, compute_number_columns
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.sample import (
    CANDIDATE_WIDTH,
    choose_nodes,
    choose_training_nodes,
    iter_sample_texts,
    list_candidates,
)

KEY_BITS = 63
WORDS = NUMBERS.index("words")


@dataclass(frozen=True, slots=True)
class Trained:
    """A training: on which decide run's documents, and by which choice."""

    decided: FinishedRun
    config: TokenizerConfig


def trainings(given: Sequence[FinishedRun]) -> tuple[list[Trained], list[str]]:
    """What tokenizer runs were trained on, and the names of those of which it is not known: imported, or their corpus is gone."""
    known, unknown = list[Trained](), list[str]()
    for run in given:
        try:
            decided = latest_of(open_parents(run), "decide")
            if decided:
                open_documents_run(decided)
        except RunError:
            decided = None
        if decided:
            known.append(Trained(decided, TokenizerConfig.model_validate(run.manifest["config"])))
        else:
            unknown.append(run.id)
    return known, list(dict.fromkeys(unknown))


def trained_keys(trained: Sequence[Trained], seed: int) -> np.ndarray:
    """int64: the keys, by `seed`, of all documents that were trained on. A key is made of a document's id alone."""
    found, done = [np.zeros(0, np.int64)], set[tuple[object, ...]]()
    for one in trained:
        config = one.config
        identity = (
            one.decided.path.resolve(),
            config.seed,
            config.sample_bytes,
            repr(config.weights),
        )
        if identity not in done:
            done.add(identity)
            rows = candidates(one.decided, config.seed)
            chosen = np.isin(rows[:, 3], choose_training_nodes(rows, one.decided, config))
            keys = rows if seed == config.seed else candidates(one.decided, seed)
            found.append(keys[chosen, 1])
    return np.unique(np.concatenate(found))


def candidates(decided: FinishedRun, seed: int) -> np.ndarray:
    """All kept documents, see `tokenizer.shard_candidates`."""
    documents, decisions = folders_of(decided)
    shards = len(decided.files("decisions/"))
    rows = [list_candidates(documents, decisions, shard, seed) for shard in range(shards)]
    return np.concatenate([np.zeros((0, CANDIDATE_WIDTH), np.int64), *rows])


def folders_of(decided: FinishedRun) -> tuple[str, str]:
    """The folders of a decide run's documents and decisions."""
    return str(open_documents_run(decided).path / "documents"), str(decided.path / "decisions")


def held_out(
    decided: FinishedRun, sample_bytes: int, seed: int, trained: np.ndarray
) -> tuple[pa.Table, int]:
    """Kept documents (text, source, lang, words) of each source and language, and how many of them no training took.

    Those first whose keys are not `trained`, then by the largest keys: training takes the smallest.
    """
    needed = "measure on documents that are annotated with all signals (--in)"
    refuse_hashes_only(open_documents_run(decided), ["personal", "words"], needed)
    rows = candidates(decided, seed)
    if not len(rows):
        raise RunError(
            "no document was kept: there is nothing to measure on", {"run": decided.path}
        )
    seen = np.isin(rows[:, 1], trained)
    nodes = choose_nodes(held_back(rows, seen), sample_bytes, {})
    return measured(*folders_of(decided), nodes), int((~seen)[np.isin(rows[:, 3], nodes)].sum())


def held_back(rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The same candidates with keys in the opposite order, those `seen` in training behind all others."""
    rows, largest = rows.copy(), (1 << KEY_BITS) - 1
    rows[:, 1] = (largest - rows[:, 1]) >> 1 | seen.astype(np.int64) << (KEY_BITS - 1)
    return rows


def measured(documents: str, decisions: str, nodes: np.ndarray) -> pa.Table:
    """text, source, lang and words of documents, cut and masked; words are of the text that is left."""
    columns, parts = ["source", "lang", "words", "personal"], []
    for shard in np.unique(nodes >> 32).tolist():
        rows = pa.array(nodes[nodes >> 32 == shard] & 0xFFFFFFFF)
        table = pq.read_table(shard_path(documents, shard), columns=columns).take(rows)
        cuts = pq.read_table(shard_path(decisions, shard), columns=["cuts"]).take(rows)["cuts"]
        spans = [
            pc.fill_null(pc.list_value_length(column), 0) for column in (cuts, table["personal"])
        ]
        parts.append(table.drop_columns(["personal"]).append_column("edits", pc.add(*spans)))
    texts = pa.array(iter_sample_texts(documents, decisions, nodes), pa.string())
    return recounted(pa.concat_tables(parts).append_column("text", texts))


def recounted(table: pa.Table) -> pa.Table:
    """The table with the words of its texts where `edits` were made: those of the whole text are more, or others."""
    edited = pc.greater(table["edits"], 0).combine_chunks()
    texts, langs = (table[name].combine_chunks().filter(edited) for name in ("text", "lang"))
    words = table["words"].combine_chunks().cast(pa.int64())
    if len(texts):
        words = pc.replace_with_mask(
            words, edited, compute_number_columns(texts, langs)[WORDS].cast(pa.int64())
        )
    return table.drop_columns(["edits", "words"]).append_column("words", words)
