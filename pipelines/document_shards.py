"""Where the shards of a run lie, and the proof that a decisions file belongs to a documents file, row by row."""

from functools import lru_cache
from pathlib import Path

import pyarrow.parquet as pq

from gristmill.errors import RunError
from gristmill.runs.finished import FinishedRun, latest_of, open_parents, open_run

DECIDED = b"gristmill.documents"
"""Key of the decisions' schema metadata: the SHA-256 of the document shard they were made for."""


def documents_of(decided: FinishedRun) -> FinishedRun:
    """The annotate run that a decide run judged; raises RunError where it is gone or is not the same any more."""
    found = latest_of(open_parents(decided), "annotate")
    if found is None:
        raise RunError(
            "the documents of this run are not beside it",
            {"run": decided.path, "needs": decided.details.get("documents")},
        )
    return found


def shard_path(folder: str, shard: int) -> str:
    """The file of a document or decisions shard."""
    return str(Path(folder) / f"part-{shard:05d}.parquet")


def shard_rows(annotated: FinishedRun) -> list[int]:
    """The documents of every shard, by its number."""
    rows = {
        int(Path(file.path).stem.removeprefix("part-")): file.rows
        for file in annotated.data_files("documents/")
    }
    return [rows[shard] for shard in range(len(rows))]


def pairing(documents: str, shard: int) -> dict[bytes, bytes]:
    """The schema metadata that binds decisions to document shard `shard`."""
    return {DECIDED: _sealed_hashes(documents)[f"part-{shard:05d}.parquet"].encode()}


def check_pair(documents: str, decisions: str, shard: int) -> None:
    """Raise RunError unless both files of a shard have equal rows and the decisions were made for these documents."""
    judged = pq.read_metadata(shard_path(decisions, shard))
    rows = pq.read_metadata(shard_path(documents, shard)).num_rows
    if (judged.metadata or {}).get(DECIDED) != pairing(documents, shard)[
        DECIDED
    ] or judged.num_rows != rows:
        raise RunError(
            "these decisions were made for other documents",
            {"decisions": shard_path(decisions, shard), "documents": shard_path(documents, shard)},
            "run `gristmill decide` again",
        )


@lru_cache(maxsize=4)
def _sealed_hashes(documents: str) -> dict[str, str]:
    folder = Path(documents)
    sealed = open_run(folder.parent).data_files(f"{folder.name}/")
    return {Path(file.path).name: file.sha256 for file in sealed}


def count_shards(run: FinishedRun, folder: str) -> tuple[int, str]:
    """Return how many shards a run has in `folder`, all their sizes checked, and the folder's path."""
    files = run.files(f"{folder}/")
    return len(files), str(run.path / folder)
