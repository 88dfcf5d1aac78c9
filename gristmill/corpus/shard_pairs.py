"""Shards by number: where they are, how many rows they have, and which decisions belong to them.

Beam workers get folders and shard numbers, no open runs. `check_pair` proves for one shard what
`gristmill.corpus.view` proves for readers: that the decisions were made for these very documents.
"""

from functools import lru_cache
from pathlib import Path

import pyarrow.parquet as pq

from gristmill.corpus.decision import DOCUMENT_SHARD_KEY, pair_metadata, refuse_other_documents
from gristmill.runs.finished import FinishedRun, open_run


def shard_path(folder: str, shard: int) -> str:
    """Return the file of a document or decisions shard."""
    return str(Path(folder) / name_shard(shard))


def name_shard(shard: int) -> str:
    """Return the file name of a document or decisions shard."""
    return f"part-{shard:05d}.parquet"


def list_shard_rows(annotated: FinishedRun) -> list[int]:
    """Return the number of documents of every shard, by its number."""
    rows: dict[int, int] = {}
    for file in annotated.data_files("documents/"):
        number = int(Path(file.path).stem.removeprefix("part-"))
        rows[number] = file.rows
    return [rows[shard] for shard in range(len(rows))]


def count_shards(run: FinishedRun, folder: str) -> tuple[int, str]:
    """Return how many shards a run has in `folder`, all their sizes checked, and the folder's path."""
    files = run.files(f"{folder}/")
    return len(files), str(run.path / folder)


def make_pairing(documents: str, shard: int) -> dict[bytes, bytes]:
    """Return the schema metadata that binds decisions to document shard `shard`."""
    return pair_metadata(_read_sealed_hashes(documents)[name_shard(shard)])


def check_pair(documents: str, decisions: str, shard: int) -> None:
    """Raise RunError unless both files have equal rows and the decisions name these documents."""
    decided = pq.read_metadata(shard_path(decisions, shard))
    rows = pq.read_metadata(shard_path(documents, shard)).num_rows
    named = (decided.metadata or {}).get(DOCUMENT_SHARD_KEY)
    expected = make_pairing(documents, shard)[DOCUMENT_SHARD_KEY]
    if named != expected or decided.num_rows != rows:
        raise refuse_other_documents(shard_path(decisions, shard), shard_path(documents, shard))


@lru_cache(maxsize=4)
def _read_sealed_hashes(documents: str) -> dict[str, str]:
    """Return file name -> SHA-256 of a run's document shards, from its manifest."""
    folder = Path(documents)
    sealed = open_run(folder.parent).data_files(f"{folder.name}/")
    return {Path(file.path).name: file.sha256 for file in sealed}
