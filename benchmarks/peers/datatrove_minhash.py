"""Deduplicate a corpus with datatrove's four MinHash stages, as its documentation wires them: run in a venv that has it.

    python datatrove_minhash.py CORPUS OUT.parquet

Reads CORPUS/part-*.parquet with 4 tasks and 2 workers, 14 buckets of 8 hashes of five-word shingles. A language is a run of
its own with the word tokenizer datatrove has for it (spaCy's; in Chinese with jieba), so the runs' times add up. Writes id,
cluster (-1: none) and keep, without the texts, which datatrove's users write too. Prints the seconds of each stage.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import JsonlWriter

LANGUAGES = {"en": "eng", "zh": "cmn"}
BUCKETS, TASKS, WORKERS = 14, 4, 2


def of_language(document: object, lang: str) -> bool:
    return document.metadata["lang"] == lang


def without_text(writer: object, document: object) -> dict[str, object]:
    return {"id": document.id, "cluster": document.metadata["minhash_cluster_id"]}


def stages(corpus: str, folder: Path, lang: str) -> dict[str, tuple[list[object], int]]:
    """The steps and the number of tasks of each stage."""
    config = MinhashConfig(n_grams=5, num_buckets=BUCKETS, hashes_per_bucket=8)
    sigs, buckets, removals, kept, dropped = (
        str(folder / name) for name in ("sig", "buckets", "ids", "kept", "dropped")
    )
    read = [
        ParquetReader(corpus, glob_pattern="part-*.parquet"),
        LambdaFilter(lambda document: of_language(document, lang)),
    ]
    excluded, written = (
        JsonlWriter(to, output_filename="${rank}.jsonl", compression=None, adapter=without_text)
        for to in (dropped, kept)
    )
    return {
        "signatures": (
            [*read, MinhashDedupSignature(sigs, config=config, language=LANGUAGES[lang])],
            TASKS,
        ),
        "buckets": ([MinhashDedupBuckets(sigs, buckets, config=config)], BUCKETS),
        "clusters": (
            [MinhashDedupCluster(buckets, removals, config=config, save_cluster_id=True)],
            1,
        ),
        "filter": (
            [*read, MinhashDedupFilter(removals, excluded, load_cluster_ids=True), written],
            TASKS,
        ),
    }


def run(corpus: str, folder: Path, lang: str) -> dict[str, float]:
    """Seconds of each stage."""
    seconds = {}
    for name, (pipeline, tasks) in stages(corpus, folder, lang).items():
        started = time.perf_counter()
        logs = str(folder / "logs" / name)
        LocalPipelineExecutor(
            pipeline=pipeline, tasks=tasks, workers=min(WORKERS, tasks), logging_dir=logs
        ).run()
        seconds[f"{lang} {name}"] = round(time.perf_counter() - started, 2)
    return seconds


def found(folder: Path, first: int) -> list[dict[str, object]]:
    """What a run wrote, its clusters counted from `first` on."""
    rows = []
    for name in ("kept", "dropped"):
        for file in sorted((folder / name).glob("*.jsonl")):
            for line in file.read_text("utf-8").splitlines():
                said = json.loads(line)
                cluster = said["cluster"] + first if said["cluster"] >= 0 else -1
                rows.append({"id": said["id"], "cluster": cluster, "keep": name == "kept"})
    return rows


def main() -> None:
    """Both languages, one after the other."""
    corpus, out = sys.argv[1:]
    rows, seconds = [], {}
    for number, lang in enumerate(LANGUAGES):
        with tempfile.TemporaryDirectory() as name:
            seconds |= run(corpus, Path(name), lang)
            rows += found(Path(name), number << 32)
    pq.write_table(pa.Table.from_pylist(rows), out)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
