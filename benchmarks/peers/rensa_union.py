"""Deduplicate a corpus with rensa's MinHash, bands and a union-find, in one process: run in a venv that has it.

    python rensa_union.py CORPUS OUT.parquet

The short script one writes around a fast MinHash: 112 permutations, 14 bands of 8, shingles of five lower-case words, words by
a regular expression that takes a Chinese character for one. Reads CORPUS/part-*.parquet by row groups, writes id, cluster
(-1: none) and keep. Prints the seconds of each part.
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rensa import RMinHash

WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
BANDS, ROWS, SHINGLE = 14, 8, 5


def shingles(text: str) -> list[str]:
    words = WORD.findall(text.lower())
    return list({" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)})


def batches(corpus: Path) -> Iterator[tuple[list[str], np.ndarray]]:
    """Ids and digests, a row group each."""
    for file in sorted(corpus.glob("part-*.parquet")):
        parquet = pq.ParquetFile(file)
        for group in range(parquet.num_row_groups):
            table = parquet.read_row_group(group, columns=["id", "text"])
            sets = [shingles(text) for text in table["text"].to_pylist()]
            yield (
                table["id"].to_pylist(),
                np.array(RMinHash.digests_from_token_sets(sets, BANDS * ROWS, 1), np.uint32),
            )


def roots(digests: np.ndarray) -> list[int]:
    """The smallest row that each row is joined to by equal bands."""
    parent = list(range(len(digests)))

    def root(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    for band in range(BANDS):
        first: dict[bytes, int] = {}
        for row, part in enumerate(
            np.ascontiguousarray(digests[:, band * ROWS : (band + 1) * ROWS])
        ):
            a, b = root(first.setdefault(part.tobytes(), row)), root(row)
            parent[max(a, b)] = min(a, b)
    return [root(x) for x in range(len(parent))]


def main() -> None:
    """Digests, then clusters; the first of a cluster is kept."""
    corpus, out = sys.argv[1:]
    started = time.perf_counter()
    parts = list(batches(Path(corpus)))
    signed = time.perf_counter()
    ids = [name for names, _ in parts for name in names]
    found = np.array(roots(np.concatenate([digests for _, digests in parts])))
    alone = np.bincount(found, minlength=len(found))[found] == 1
    columns = {
        "id": ids,
        "cluster": np.where(alone, -1, found),
        "keep": found == np.arange(len(found)),
    }
    pq.write_table(pa.table(columns), out)
    print(
        json.dumps(
            {
                "digests": round(signed - started, 2),
                "clusters": round(time.perf_counter() - signed, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
