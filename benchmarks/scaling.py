"""What a second worker gains, and what Beam costs: `annotate` on one large file against the same functions in a plain pool.

    python benchmarks/scaling.py [--megabytes 600] [--sets wiki_en wiki_zh books_eltec_en ...]

Texts of the shared data folder beside the checkout are written, again and again, into one Parquet file of that size. Every
row is a fresh start: `gristmill annotate` with one and two workers, then a plain pool of spawned processes over the same
splits. Prints wall seconds, CPU seconds of all processes, and the peak of their summed memory (PSS); then the ratios.
"""

import argparse
import multiprocessing
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prepare import Meter, row

from pipelines import annotate as annotating
from pipelines import splits
from pipelines.config import PrepareConfig
from pipelines.extract.sandbox import Sandbox

SHARED = Path(__file__).resolve().parents[2] / "shared/data/corpus"
SETS = ("wiki_en", "wiki_zh", "books_eltec_en", "wiki_de", "legal_laws_zh", "web_ud_ewt_en", "web_oiwiki_zh")
ROW_GROUP = 2000


def write_corpus(path: Path, sets: Sequence[str], megabytes: float) -> float:
    """Write all texts in a fixed disorder, as often as needed; returns the megabytes of text written."""
    tables = [pq.read_table(SHARED / f"{name}.parquet", columns=["id", "text", "type"]) for name in sets]
    table = pa.concat_tables(tables)
    order = random.Random(1).sample(range(table.num_rows), table.num_rows)
    table = table.take(order).combine_chunks()
    once = pc.sum(pc.binary_length(table["text"])).as_py() / 1e6
    times = max(1, round(megabytes / once))
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(times):
            writer.write_table(table, row_group_size=ROW_GROUP)
    return times * once


def with_beam(source: Path, folder: Path, workers: int) -> Meter:
    """`gristmill annotate` as users run it."""
    command = [Path(sys.executable).parent / "gristmill", "annotate", "--in", source, "--out", folder]
    with Meter(own=False) as meter:
        subprocess.run([*map(str, command), "--workers", str(workers)], check=True, capture_output=True)
    return meter


def plain_split(work: tuple[str, int]) -> int:
    """One split as the Beam graph does it, without Beam."""
    folder, number = work
    config = PrepareConfig().annotate
    with Sandbox(config.limits) as sandbox:
        return annotating.annotate_split(Path(folder), splits.read_plan(Path(folder))[number], config, sandbox).read


def plain_pool(source: Path, folder: Path, workers: int) -> Meter:
    """The same splits in spawned processes, each taking the next one."""
    plan = splits.make_plan(splits.choose_files([str(source)])[0], PrepareConfig().annotate, folder)
    splits.write_plan(folder, plan)
    with Meter(own=False) as meter, multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(plain_split, [(str(folder), split.number) for split in plan], chunksize=1)
    return meter


def main() -> None:
    """Measure the four rows and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=600.0)
    parser.add_argument("--sets", nargs="+", default=SETS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gristmill-bench-") as name:
        folder, source = Path(name), Path(name) / "corpus.parquet"
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
