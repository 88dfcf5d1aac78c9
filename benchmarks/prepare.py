"""How long preparation takes, and how our signatures compare with datasketch's, in one run on the same text.

    python benchmarks/prepare.py [FILE.parquet ...]

Without files the Wikipedia and social sets of the shared data folder beside the checkout are read. Prints one table:
wall seconds, CPU seconds of all processes, peak memory (summed PSS) per step, and ratios against peers.
"""

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from gristmill.runs.finished import FinishedRun, all_entries, file_input
from pipelines import prepare
from pipelines.config import PrepareConfig
from pipelines.engine.launch import Engine

SETS = ("wiki_en", "wiki_zh", "social_wnut17_en")
SAMPLE = 2000


class Meter:
    """Wall time, CPU time and peak summed PSS of this process, if `own`, and its children while a block runs."""

    def __init__(self, *, own: bool = True) -> None:
        self.own = own

    def __enter__(self) -> "Meter":
        self.peak, self._cpu, self._done = 0, {}, threading.Event()
        self._start_cpu = self._sample()
        self._start = time.perf_counter()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.wall = time.perf_counter() - self._start
        self.cpu = self._sample() - self._start_cpu

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            self._sample()

    def _sample(self) -> float:
        total = 0
        for process in [psutil.Process()] * self.own + psutil.Process().children(recursive=True):
            try:
                used = process.cpu_times()
                self._cpu[process.pid] = used.user + used.system
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        self.peak = max(self.peak, total)
        return sum(self._cpu.values())


def row(name: str, meter: Meter, note: str = "") -> None:
    print(
        f"{name:<34} {meter.wall:8.1f} s wall {meter.cpu:8.1f} s CPU {meter.peak / 1e6:8.0f} MB  {note}",
        flush=True,
    )


def steps(files: list[str], workers: int, out: Path) -> FinishedRun:
    """Time the four steps."""
    config = PrepareConfig()
    how = prepare.RunOptions(out=out, engine=Engine(workers=workers), memory=1 << 30)
    with Meter() as meter:
        annotated = prepare.run_annotate([file_input(name) for name in files], config.annotate, how)
    size = sum(entry.bytes for entry in all_entries(annotated)) / 1e6
    row(
        f"annotate, {workers} worker(s)",
        meter,
        f"{size:.1f} MB of text, {size / meter.cpu:.1f} MB per CPU-s",
    )
    with Meter() as meter:
        decided = prepare.run_decide(annotated, config.decide, how)
    row(
        f"decide, {workers} worker(s)",
        meter,
        f"{decided.counts['kept']} of {decided.counts['read']} kept",
    )
    with Meter() as meter:
        tokenizer = prepare.run_tokenizer(decided, config.tokenizer, how)
    row("tokenizer, 8192 pieces", meter)
    with Meter() as meter:
        packed = prepare.run_pack(decided, tokenizer, config.pack, how)
    row(f"pack, {workers} worker(s)", meter, f"{packed.counts['tokens']} tokens")
    return annotated


def compare(texts: list[str]) -> None:
    """Signatures against datasketch, per CPU-second on the same documents."""
    import re

    import pyarrow as pa
    from datasketch import MinHash

    from pipelines.annotate.kernels.minhash import signatures
    from pipelines.kernels.buffers import text_buffers

    array = pa.array(texts)
    size = sum(len(text.encode()) for text in texts) / 1e6
    data, offsets = text_buffers(array)
    words = re.compile(r"\w+")

    def peer() -> None:
        for text in texts:
            found = words.findall(text.lower())
            sketch = MinHash(num_perm=112)
            sketch.update_batch(
                [" ".join(found[i : i + 5]).encode() for i in range(len(found) - 4)]
            )

    signatures(data, offsets, 112)
    ours = size / cpu(lambda: signatures(data, offsets, 112))
    theirs = size / cpu(peer)
    print(
        f"{'signature, 112 x 5 words':<34} ours {ours:.0f} MB per CPU-s, datasketch {theirs:.2f}: ratio {ours / theirs:.0f}"
    )


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of `work` in this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Run everything and print the table."""
    import pyarrow.parquet as pq

    shared = Path(__file__).resolve().parents[2] / "shared/data/corpus"
    files = sys.argv[1:] or [str(shared / f"{name}.parquet") for name in SETS]
    folder = Path(tempfile.mkdtemp(prefix="gristmill-bench-"))
    try:
        annotated = steps(files, 2, folder / "two")
        first = pq.read_table(annotated.files("documents/")[0], columns=["text"])[
            "text"
        ].to_pylist()
        compare(first[:SAMPLE])
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
