"""How much memory and disk `decide` takes for 10^5, 10^6 and 10^7 documents: does memory stay within what is asked?

    python benchmarks/dedup_memory.py [--documents 100000 1000000 10000000] [--memory 256M 1G] [--workers 2] [--keep FOLDER]

The documents have random signatures, no text, and planted copies: clusters of Pareto sizes whose members differ in some
elements, and one bucket of 2 % of all documents that agree in one band and in nothing else. Prints, for each run: wall and
CPU seconds, peak memory (summed PSS), how much of that lies above a process that only imports what `decide` needs, the
most bytes its spill folder held, and whether decisions are equal for every --memory. 10^7 take 8 GB of disk.
"""

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.runs import receipts
from gristmill.runs.finished import Input, list_runs
from gristmill.runs.ledger import Tally
from gristmill.runs.receipts import Receipt, describe_file
from gristmill.runs.run import seal_from_receipts, start_run
from gristmill.steps.code_identity import digest_code
from pipelines.annotate import graph as annotating
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.signals.table import SIGNATURE
from pipelines.signatures import PERMUTATIONS

IN_CLUSTERS, GIANT, CHANGED = 0.3, 0.02, 8
"""Shares of documents in clusters and in the giant bucket; elements of a member that are not its cluster's."""
ROWS, SEED, ROWS_OF_A_BAND = 20_000, 1, 8
LOOK_SECONDS = 0.2


def clusters(documents: int, rng: np.random.Generator) -> np.ndarray:
    """int64 (documents,): the cluster of every document in a random order, or -1."""
    wanted, sizes = int(IN_CLUSTERS * documents), list[int]()
    while sum(sizes) < wanted:
        sizes += np.minimum(2 + rng.pareto(1.3, 1000).astype(int), 5000).tolist()
    member = np.repeat(np.arange(len(sizes)), sizes)[:wanted]
    found = np.full(documents, -1)
    found[rng.permutation(documents)[:wanted]] = member
    return found


def shard(numbers: np.ndarray, cluster: np.ndarray, giant: np.ndarray) -> pa.Table:
    """The documents with these numbers, as `annotate.only_hashes` writes them, but for their texts."""
    rng = np.random.default_rng([SEED, int(numbers[0])])
    found = rng.integers(0, 1 << 32, (len(numbers), PERMUTATIONS), np.uint32)
    members = np.flatnonzero(cluster >= 0)
    labels, places = np.unique(cluster[members], return_inverse=True)
    centres = np.stack([_centre(int(label)) for label in labels]) if len(labels) else found[:0]
    kept = rng.random((len(members), PERMUTATIONS)) >= CHANGED / PERMUTATIONS
    found[members] = np.where(kept, centres[places], found[members])
    found[giant, :ROWS_OF_A_BAND] = 7
    return _table(numbers, found)


def _centre(label: int) -> np.ndarray:
    return np.random.default_rng([SEED, 1, label]).integers(0, 1 << 32, PERMUTATIONS, np.uint32)


def _table(numbers: np.ndarray, signature: np.ndarray) -> pa.Table:
    count = len(numbers)
    names = [hashlib.blake2b(number.tobytes(), digest_size=16) for number in numbers]
    ids, hashes = [name.hexdigest() for name in names], [name.digest() for name in names]
    columns: dict[str, pa.Array] = {
        "id": pa.array(ids),
        "text_hash": pa.array(hashes, pa.binary(16)),
    }
    columns["signature"] = pa.Array.from_buffers(
        SIGNATURE, count, [None, pa.py_buffer(np.ascontiguousarray(signature))]
    )
    fixed = {"text": "", "source": "synthetic", "kind": "web", "lang": "und", "licence": "CC0-1.0"}
    for field in annotating.HASHES_SCHEMA:
        if field.name in columns:
            continue
        if field.name in fixed:
            columns[field.name] = pa.array([fixed[field.name]] * count)
        elif field.name == "line_hashes":
            columns[field.name] = pa.array([[]] * count, field.type)
        else:
            columns[field.name] = (
                pa.nulls(count, field.type) if field.nullable else pa.array([0] * count, field.type)
            )
    return pa.table(
        [columns[field.name] for field in annotating.HASHES_SCHEMA], schema=annotating.HASHES_SCHEMA
    )


def make(documents: int, out: Path) -> Path:
    """The annotate run of so many documents."""
    given = [Input(f"synthetic {documents}", "", "")]
    config = AnnotateConfig(only_hashes=True)
    with start_run(
        "annotate",
        out=out,
        config=config,
        inputs=given,
        code=digest_code("pipelines.annotate.graph"),
    ) as run:
        if not run.finished:
            rng = np.random.default_rng(SEED)
            cluster, giant = clusters(documents, rng), rng.random(documents) < GIANT
            for number, numbers in enumerate(_portions(documents)):
                _write(
                    run.path,
                    number,
                    shard(numbers, cluster[numbers], giant[numbers] & (cluster[numbers] < 0)),
                )
            seal_from_receipts(run, {"annotate": number + 1}, ledger_stage="annotate")
        return run.path


def _portions(documents: int) -> Iterator[np.ndarray]:
    for start in range(0, documents, ROWS):
        yield np.arange(start, min(documents, start + ROWS))


def _write(folder: Path, number: int, table: pa.Table) -> None:
    name = f"documents/part-{number:05d}.parquet"
    (folder / "documents").mkdir(exist_ok=True)
    pq.write_table(table, folder / name, compression="none", row_group_size=5000)
    tally = Tally()
    tally.add("kept", source="synthetic", lang="und", documents=table.num_rows)
    files = (describe_file(folder, name, rows=table.num_rows),)
    receipts.commit_receipt(
        folder, Receipt("annotate", number, table.num_rows, tuple(tally.entries()), files)
    )


def watch(command: list[str], spill: Path | None = None) -> dict[str, float]:
    """Run a command to its end; its seconds, CPU, most memory, and most bytes below `spill`."""
    begin, peak, held, before = time.perf_counter(), 0, 0, _cpu_of_children()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        try:
            tree = [
                psutil.Process(process.pid),
                *psutil.Process(process.pid).children(recursive=True),
            ]
            peak = max(peak, sum(one.memory_full_info().pss for one in tree))
        except psutil.Error:
            pass
        if spill:
            held = max(
                held,
                sum(
                    path.stat().st_size
                    for path in list(spill.glob("decide-*/spill/*"))
                    if path.exists()
                ),
            )
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        sys.exit(process.stderr.read() if process.stderr else "")
    return {
        "wall": time.perf_counter() - begin,
        "cpu": _cpu_of_children() - before,
        "peak": peak,
        "spill": held,
    }


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def baseline() -> float:
    """Memory of a process that imported what `decide` needs, and does nothing."""
    program = "import pipelines.prepare, apache_beam.runners.portability.fn_api_runner, time; time.sleep(1)"
    return watch([sys.executable, "-c", program])["peak"]


def digest(out: Path) -> str:
    """A hash of all decisions."""
    [run] = list_runs(out)
    hashed = hashlib.sha256("".join(file.sha256 for file in run.data_files("decisions/")).encode())
    return hashed.hexdigest()[:12]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--documents", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000]
    )
    parser.add_argument("--memory", nargs="+", default=["256M", "1G"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="make the documents here, and leave them")
    options = parser.parse_args()
    base = baseline()
    print(f"importing only: {base / 1e6:.0f} MB\n")
    print(
        "| documents | --memory | wall s | CPU s | peak MB | above importing | spill MB | decisions |\n|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for documents in options.documents:
            annotated = make(documents, options.keep or Path(folder))
            for memory in options.memory:
                out = Path(folder) / f"{documents}-{memory}"
                program = "from gristmill.cli import main; main()"
                command = [
                    sys.executable,
                    "-c",
                    program,
                    "decide",
                    "--in",
                    str(annotated),
                    "--out",
                    str(out),
                ]
                asked = [
                    "--set",
                    "decide.preset=none",
                    "--memory",
                    memory,
                    "--workers",
                    str(options.workers),
                ]
                took = watch([*command, *asked], out)
                cells = [
                    f"{documents:,}",
                    memory,
                    f"{took['wall']:.1f}",
                    f"{took['cpu']:.1f}",
                    f"{took['peak'] / 1e6:.0f}",
                ]
                cells += [
                    f"{(took['peak'] - base) / 1e6:.0f}",
                    f"{took['spill'] / 1e6:.0f}",
                    digest(out),
                ]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
