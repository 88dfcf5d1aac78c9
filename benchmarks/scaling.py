"""What a second worker gains, and what Beam costs: `annotate` on one large file against the same functions in a plain pool.

    python benchmarks/scaling.py [--megabytes 600] [--sets wiki_en wiki_zh books_eltec_en ...] [--format parquet|jsonl]

Texts of the shared data folder beside the checkout are written, again and again, into one file of that size. Every
row is a fresh start: `gristmill annotate` with one and two workers, then a plain pool over the same splits in a process of
its own, of threads, as the workers of `annotate` are for plain text. Prints wall seconds, CPU seconds of all processes, and the peak of their summed memory (PSS); then the ratios.
"""

import argparse
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prepare import Meter, row

from pipelines import prepare
from pipelines.annotate import graph as annotating
from pipelines.annotate import input_files, splits
from pipelines.annotate.extract.sandbox import Sandbox
from pipelines.config import PrepareConfig

SHARED = Path(__file__).resolve().parents[2] / "shared/data/corpus"
SETS = (
    "wiki_en",
    "wiki_zh",
    "books_eltec_en",
    "wiki_de",
    "legal_laws_zh",
    "web_ud_ewt_en",
    "web_oiwiki_zh",
)
ROW_GROUP = 2000


def write_corpus(path: Path, sets: Sequence[str], megabytes: float) -> float:
    """Write all texts in a fixed disorder, as often as needed; returns the megabytes of text written."""
    tables = [
        pq.read_table(SHARED / f"{name}.parquet", columns=["id", "text", "type"]) for name in sets
    ]
    table = pa.concat_tables(tables)
    order = random.Random(1).sample(range(table.num_rows), table.num_rows)
    table = table.take(order).combine_chunks()
    once = pc.sum(pc.binary_length(table["text"])).as_py() / 1e6
    times = max(1, round(megabytes / once))
    if path.suffix == ".jsonl":
        path.write_text(
            "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in table.to_pylist()) * times
        )
    else:
        with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
            for _ in range(times):
                writer.write_table(table, row_group_size=ROW_GROUP)
    return times * once


def with_beam(source: Path, folder: Path, workers: int) -> Meter:
    """`gristmill annotate` as users run it."""
    command = [
        Path(sys.executable).parent / "gristmill",
        "annotate",
        "--in",
        source,
        "--out",
        folder,
    ]
    with Meter(own=False) as meter:
        subprocess.run(
            [*map(str, command), "--workers", str(workers)], check=True, capture_output=True
        )
    return meter


def plain_split(work: tuple[str, int]) -> int:
    """One split as the Beam graph does it, without Beam."""
    folder, number = work
    config = PrepareConfig().annotate
    with Sandbox(config.limits) as sandbox:
        return annotating.annotate_split(
            Path(folder), splits.read_plan(Path(folder))[number], config, sandbox
        ).read


def plain_pool(source: Path, folder: Path, workers: int) -> Meter:
    """The same splits by the same functions, planned and done in one spawned process without Beam."""
    with Meter(own=False) as meter, multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(plan_and_do, (source, folder, workers))
    return meter


def plan_and_do(source: Path, folder: Path, workers: int) -> None:
    """What a plain pool does, from the plan on: its threads take one split after the other."""
    plan = splits.make_plan(
        input_files.choose_files([str(source)])[0], PrepareConfig().annotate, folder
    )
    assert prepare.workers_of(plan, PrepareConfig().annotate) == "threads"
    splits.write_plan(folder, plan)
    with ThreadPool(workers) as pool:
        pool.map(plain_split, [(str(folder), split.number) for split in plan], chunksize=1)


def main() -> None:
    """Measure the four rows and their ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=600.0)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--format", choices=["parquet", "jsonl"], default="parquet")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gristmill-bench-") as name:
        folder, source = Path(name), Path(name) / f"corpus.{options.format}"
        # In a process of its own: what it holds would count as ours.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            size = pool.apply(write_corpus, (source, options.sets, options.megabytes))
        print(f"{size:.0f} MB of text from {', '.join(options.sets)}", flush=True)
        rows = {}
        for workers in (1, 2):
            for what, work in (("annotate", with_beam), ("plain pool", plain_pool)):
                made = folder / f"{what.replace(' ', '-')}-{workers}"
                made.mkdir()
                rows[what, workers] = meter = work(source, made, workers)
                row(f"{what}, {workers} worker(s)", meter, f"{size / meter.cpu:.2f} MB per CPU-s")
    gained = rows["annotate", 1].wall / rows["annotate", 2].wall
    print(f"two workers against one: {gained:.2f} x as fast (wall)")
    for workers in (1, 2):
        ours, plain = rows["annotate", workers], rows["plain pool", workers]
        print(
            f"Beam against a plain pool of {workers}: {ours.wall / plain.wall:.2f} wall, {ours.cpu / plain.cpu:.2f} CPU"
        )


if __name__ == "__main__":
    main()
