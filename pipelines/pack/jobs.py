"""The jobs that `pack` is run as: encode every document shard, then write the output shards.

How many output shards a split gets is known only when everything is encoded, so that they have the
size that was asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.corpus.shard_pairs import shard_path
from gristmill.corpus.shards import shard_schema
from gristmill.progress import Progress, say
from gristmill.runs.run import Run
from pipelines.contract import list_numeric_columns
from pipelines.engine import launch as engine
from pipelines.engine.release_memory import release_to_os
from pipelines.pack import graph, mixture, shuffle
from pipelines.pack.config import PackConfig
from pipelines.pack.encode import ENCODE, PackJob, iter_training_tables
from pipelines.pack.mixture import MixtureGroup
from pipelines.pack.shuffle import Outputs, ShuffleJob


def plan_mixture(job: PackJob, shards: int, config: PackConfig) -> list[MixtureGroup]:
    """Return the groups of the mixture and how often each is written; none where nothing is mixed.

    Reads columns of documents, no text.
    """
    if not config.mixture.by:
        return []
    if shards:
        columns = list_numeric_columns(pq.read_schema(shard_path(job.documents, 0)))
        mixture.check_quality(config.mixture, columns)
    with Progress("mixture", total=shards, unit="shards") as bar:
        tables = _advance_with(bar, iter_training_tables(job, shards, config))
        sizes = mixture.count_groups(tables, config.mixture)
    return mixture.plan_groups(sizes, config.mixture)


def _advance_with(bar: Progress, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same tables, counting them on `bar` as they pass."""
    for table in tables:
        yield table
        bar.advance()


def print_plan(groups: Sequence[MixtureGroup], config: PackConfig) -> None:
    """Print what is planned."""
    if groups:
        say(
            "pack  the training split is planned as",
            *mixture.format_groups(groups),
            *mixture.describe_left_out(groups, config.mixture.size),
        )


def run_jobs(
    run: Run,
    job: PackJob,
    groups: Sequence[MixtureGroup],
    config: PackConfig,
    shards: int,
    beam_engine: engine.Engine,
    memory: int,
    metadata: Mapping[str, str],
    vocabulary: int,
) -> tuple[Outputs, dict[str, Any]]:
    """Run what is not done; return the output shards of every split, and the telemetry."""
    release_to_os()
    job = replace(job, times={group.key: group.times for group in groups})
    encode_telemetry = engine.run_pipeline(
        lambda pipeline: graph.encode(pipeline, job, config, shards),
        beam_engine,
        mode="threads",
        label="encode",
        folder=run.path,
        stages={ENCODE: shards},
    )
    shares = {
        "train": 1 - config.validation - config.test,
        "validation": config.validation,
        "test": config.test,
    }
    split_bytes = graph.sum_split_bytes(run.path, shards)
    outputs = shuffle.plan_outputs(split_bytes, config.shard_bytes, shares)
    piece_bytes, gathered_bytes = shuffle.divide_memory(memory, beam_engine.workers)
    shuffle_job = ShuffleJob(
        folder=str(run.path),
        shards=shards,
        outputs=outputs,
        schema=shard_schema(vocabulary, metadata),
        piece_bytes=piece_bytes,
        gathered_bytes=gathered_bytes,
    )
    shuffle_telemetry = engine.run_pipeline(
        lambda pipeline: shuffle.shuffle(pipeline, shuffle_job),
        beam_engine,
        mode="threads",
        label="shuffle",
        folder=run.path,
        stages={shuffle.STAGE: outputs.total},
    )
    peak = max(encode_telemetry["peak_bytes"], shuffle_telemetry["peak_bytes"])
    return outputs, {"workers": beam_engine.workers, "peak_bytes": peak, "jobs": 2}


def describe_mixture(
    folder: Path, groups: Sequence[MixtureGroup], shards: int
) -> list[dict[str, Any]]:
    """Return the mixture for the manifest: the plan, and each group's tokens in the training split."""
    tokens = graph.sum_tokens_by_group(folder, shards)
    return [asdict(group) | {"tokens": tokens.get(group.key, 0)} for group in groups]
