"""Deduplicate a corpus with text-dedup's `minhash` command, called with its own options: run in a venv that has it.

    python text_dedup_minhash.py CORPUS OUT.parquet

14 bands of 8, 112 permutations, shingles of five words, 2 processes. Words are what stands between characters that are no
letters, so a Chinese clause is one. Reads CORPUS/part-*.parquet, writes id, cluster (-1: none) and keep.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_from_disk
from text_dedup import minhash

OPTIONS = {
    "path": "parquet",
    "split": "train",
    "column": "text",
    "ngram": "5",
    "b": "14",
    "r": "8",
    "num_perm": "112",
    "num_proc": "2",
}


def main() -> None:
    """The command, then its union-find and the rows it kept."""
    corpus, out = Path(sys.argv[1]), sys.argv[2]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        given = {
            "data_files": f"{corpus}/part-*.parquet",
            "output": f"{folder}/out",
            "cache_dir": f"{folder}/cache",
        }
        arguments = [
            word for name, value in (OPTIONS | given).items() for word in (f"--{name}", value)
        ]
        minhash.main.main(arguments, standalone_mode=False)
        seconds = time.perf_counter() - started
        kept = set(load_from_disk(f"{folder}/out")["id"])
    ids = [
        name
        for file in sorted(corpus.glob("part-*.parquet"))
        for name in pq.read_table(file, columns=["id"])["id"].to_pylist()
    ]
    roots = [minhash.uf.find(row) for row in range(len(ids))]
    sizes = Counter(roots)
    clusters = [root if sizes[root] > 1 else -1 for root in roots]
    pq.write_table(
        pa.table({"id": ids, "cluster": clusters, "keep": [name in kept for name in ids]}), out
    )
    print(json.dumps({"command": round(seconds, 2)}))


if __name__ == "__main__":
    main()
