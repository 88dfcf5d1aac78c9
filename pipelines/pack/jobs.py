"""The jobs that `pack` is run as: encode every document shard, then write the output shards; and the plan of a mixture before.

How many output shards a split gets is known only when everything is encoded, so that they have the size one asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gristmill import cli
from gristmill.corpus.shards import shard_schema
from gristmill.progress import Progress
from gristmill.runs.run import Run
from pipelines.config import PackConfig
from pipelines.contract import list_numeric_columns
from pipelines.document_shards import shard_path
from pipelines.engine import launch as engine
from pipelines.engine.release_memory import release_to_os
from pipelines.pack import graph as packing
from pipelines.pack import mixture, shuffle
from pipelines.pack.mixture import Group
from pipelines.pack.shuffle import Outputs, Shuffle


def plan_mixture(work: packing.Work, shards: int, config: PackConfig) -> list[Group]:
    """The groups of the mixture and how often each is written; none where nothing is mixed. Reads columns, no text."""
    if not config.mixture.by:
        return []
    if shards:
        mixture.check_quality(
            config.mixture, list_numeric_columns(pq.read_schema(shard_path(work.documents, 0)))
        )
    with Progress("mixture", total=shards, unit="shards") as bar:
        counted = mixture.count_groups(
            _told(packing.kept_tables(work, shards, config), bar), config.mixture
        )
    return mixture.plan(counted, config.mixture)


def _told(tables: Any, bar: Progress) -> Any:
    for table in tables:
        yield table
        bar.advance()


def tell_plan(groups: Sequence[Group], config: PackConfig) -> None:
    """Print what is planned."""
    if groups:
        cli.say(
            "pack  the training split is planned as",
            *mixture.as_lines(groups),
            *mixture.left_out(groups, config.mixture.size),
        )


def run_jobs(
    run: Run,
    work: packing.Work,
    groups: Sequence[Group],
    config: PackConfig,
    shards: int,
    how: engine.Engine,
    memory: int,
    metadata: Mapping[str, str],
    vocabulary: int,
) -> tuple[Outputs, dict[str, Any]]:
    """Run what is not done; returns the output shards of every split, and what it took."""
    release_to_os()
    work = replace(work, times={group.key: group.times for group in groups})
    first = engine.run_pipeline(
        lambda pipeline: packing.encode(pipeline, work, config, shards),
        how,
        mode="threads",
        label="encode",
        folder=run.path,
        stages={packing.ENCODE: shards},
    )
    shares = {
        "train": 1 - config.validation - config.test,
        "validation": config.validation,
        "test": config.test,
    }
    outputs = shuffle.plan_outputs(
        packing.planned_bytes(run.path, shards), config.shard_bytes, shares
    )
    schema = shard_schema(vocabulary, metadata)
    order = Shuffle(str(run.path), shards, outputs, schema, *shuffle.memory_of(memory, how.workers))
    second = engine.run_pipeline(
        lambda pipeline: shuffle.shuffle(pipeline, order),
        how,
        mode="threads",
        label="shuffle",
        folder=run.path,
        stages={shuffle.STAGE: outputs.total},
    )
    peak = max(job["peak_bytes"] for job in (first, second))
    return outputs, {"workers": how.workers, "peak_bytes": peak, "jobs": 2}


def mixture_details(folder: Path, groups: Sequence[Group], shards: int) -> list[dict[str, Any]]:
    """The mixture for the manifest: what was planned, and the tokens that each group has in the training split."""
    tokens = packing.tokens_of_groups(folder, shards)
    return [asdict(group) | {"tokens": tokens.get(group.key, 0)} for group in groups]
