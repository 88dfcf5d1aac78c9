"""Tokenizing beside sentencepiece, tokenizers and datatrove: speed, equal ids and memory, in one run.

    python benchmarks/pack.py [encode | step | memory | parity ...] [--megabytes 200] [--out results.json]

`encode`: documents in memory, one thread, CPU seconds; for a BPE and a unigram model of 32,000 pieces, in English, Chinese and
a mixture of 40 sets. Ours "cold" begins with an empty table, "warm" has met the same documents; each is the better of two.
`step`: documents -> shards as whole processes, ours with 1 and 2 workers (`pack` of a finished decide run, documents in
Parquet) beside datatrove's DocumentTokenizer with shuffling on the same documents in JSON Lines, with the same tokenizer.
`memory`: the most memory (summed PSS) of `pack` for corpora of growing size. `parity`: ids of every document of the shared
corpus. The models are trained on the first documents of each set, once, and kept beside the peers.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sentencepiece
import tokenizers
from dedup import Cost, measured, stage
from dedup_corpus import corpus, files
from peers.environment import HOME, peer_python

from gristmill.hashing import sha256_bytes
from gristmill.runs.finished import Input, open_parents, open_run
from gristmill.runs.run import start_run
from gristmill.steps.code_identity import digest_code
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.encoder import open_encoder
from pipelines.tokenizer.hugging_face import build_fast_tokenizer, write_tokenizer
from pipelines.tokenizer.training import train

SHARED = Path(__file__).resolve().parents[2] / "shared/data/corpus"
PARTS = {
    "English": ("wiki_en",),
    "Chinese": ("wiki_zh", "legal_laws_zh", "web_oiwiki_zh"),
    "40 sets": ("*",),
}
PART_BYTES, SAMPLE_BYTES, BATCH = 20 << 20, 8 << 20, 1000
KINDS = ("bpe", "unigram")
STEPS = ("encode", "step", "memory", "parity")
VOCABULARY = 32_000


def sets() -> dict[str, list[str]]:
    """The texts of every set of the shared corpus."""
    found = {}
    for path in sorted(SHARED.glob("*.parquet")):
        found[path.stem] = [
            text for text in pq.read_table(path, columns=["text"])["text"].to_pylist() if text
        ]
    return found


def some(texts: Sequence[str], size: int) -> list[str]:
    """The first documents of up to `size` bytes."""
    sums = itertools.accumulate(len(text.encode()) for text in texts)
    return [text for text, held in zip(texts, sums, strict=True) if held <= size]


def part(names: Sequence[str], texts: dict[str, list[str]]) -> list[str]:
    """The documents of a part: of all sets an equal share."""
    chosen = list(texts) if names == ("*",) else list(names)
    return [text for name in chosen for text in some(texts[name], PART_BYTES // len(chosen))]


def model_folder(kind: str, texts: dict[str, list[str]]) -> Path:
    """The folder of a model, trained if it is not there."""
    folder = HOME / f"pack-{kind}-{VOCABULARY}"
    if not (folder / "tokenizer.json").exists():
        print(f"training {kind}", file=sys.stderr)
        sample = [text for name in texts for text in some(texts[name], SAMPLE_BYTES // len(texts))]
        model = train(sample, TokenizerConfig(vocab_size=VOCABULARY, model_type=kind))
        write_tokenizer(folder, model, build_fast_tokenizer(model))
    return folder


def cpu(work: Callable[[], Any]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def batches(texts: Sequence[str]) -> list[list[str]]:
    return [list(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]


def encode_costs(folder: Path, texts: list[str]) -> dict[str, float]:
    """CPU seconds of each way to encode the texts; the better of two."""
    os.environ["RAYON_NUM_THREADS"] = "1"
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    arrays, lists = [pa.array(some, pa.string()) for some in batches(texts)], batches(texts)
    open_encoder(folder).encode(pa.array(["warm up"]))
    found: dict[str, list[float]] = {}
    for _ in range(2):
        encoder = open_encoder(folder)
        for name in ("ours, cold", "ours, warm"):
            took = cpu(lambda encoder=encoder: [encoder.encode(array) for array in arrays])
            found.setdefault(name, []).append(took)
        took = cpu(lambda: [processor.encode(some, num_threads=1) for some in lists])
        found.setdefault("sentencepiece", []).append(took)
    found["tokenizers"] = [
        cpu(lambda: [fast.encode_batch_fast(some, add_special_tokens=False) for some in lists])
    ]
    return {name: min(took) for name, took in found.items()}


def bench_encode(texts: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Rows of the table of encoding."""
    for kind in KINDS:
        folder = model_folder(kind, texts)
        for name, names in PARTS.items():
            documents = part(names, texts)
            size = sum(len(text.encode()) for text in documents) / 1e6
            tokens = len(open_encoder(folder).encode(pa.array(documents, pa.string())).ids)
            costs = encode_costs(folder, documents)
            for way, took in costs.items():
                ratio = costs["sentencepiece"] / took
                yield {
                    "model": kind,
                    "text": name,
                    "MB": size,
                    "way": way,
                    "MB/s": size / took,
                    "Mtok/s": tokens / took / 1e6,
                    "x": ratio,
                }


def tokenizer_run(folder: Path, out: Path) -> Path:
    """A tokenizer run that holds a finished model."""
    model = (folder / "tokenizer.model").read_bytes()
    config = TokenizerConfig(vocab_size=VOCABULARY)
    with start_run(
        "tokenizer",
        out=out,
        config=config,
        inputs=[Input("benchmark", sha256_bytes(model), "")],
        code=digest_code("pipelines.tokenizer.graph"),
    ) as run:
        if run.finished is None:
            write_tokenizer(run.path / "tokenizer", model, build_fast_tokenizer(model))
            run.finish(details={"tokenizer": sha256_bytes(model), "vocab_size": VOCABULARY})
        return run.path


ONLY_EQUAL = ("near.bands=1", "near.rows=112", "url.max_documents=0")
"""No copies but equal ones: documents of a grown corpus share halves."""


def prepared(sources: Sequence[Path], out: Path, options: Sequence[str] = ()) -> Path:
    """The decide run of some files; nothing is filtered but copies."""
    annotated = stage("annotate", sources, out, 2, ["only_hashes=true"])
    return Path(
        stage("decide", [annotated.said["path"]], out, 2, ["preset=none", *options]).said["path"]
    )


def packed(decided: Path, tokenizer: Path, out: Path, workers: int, memory: str) -> Cost:
    """The whole command."""
    options = [
        "--in",
        decided,
        "--tokenizer",
        tokenizer,
        "--out",
        out,
        "--workers",
        str(workers),
        "--memory",
        memory,
    ]
    program = [sys.executable, "-c", "from gristmill.cli import main; main()", "pack"]
    return measured([*program, *options, "--set", "pack.mask_personal=false", "--force", "--json"])


def kept_lines(decided: Path, folder: Path) -> int:
    """Write the kept documents of a decide run as JSON Lines for peers; returns their bytes of text."""
    folder.mkdir()
    documents, size = open_parents(open_run(decided))[0].path / "documents", 0
    for number, file in enumerate(sorted((decided / "decisions").glob("part-*.parquet"))):
        keep = pq.read_table(file, columns=["keep"])["keep"]
        table = pq.read_table(documents / file.name, columns=["id", "text"]).filter(keep)
        size += sum(len(text.encode()) for text in table["text"].to_pylist())
        with open(folder / f"{number:05d}.jsonl", "w") as lines:
            lines.writelines(
                json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()
            )
    return size


def bench_step(texts: dict[str, list[str]], megabytes: int) -> Iterator[dict[str, Any]]:
    """Rows of the table of the whole step."""
    model = model_folder("bpe", texts)
    with tempfile.TemporaryDirectory(prefix="gristmill-bench-") as name:
        out = Path(name)
        decided = prepared(files(corpus(megabytes)), out)
        size = kept_lines(decided, out / "lines") / 1e6
        tokenizer = tokenizer_run(model, out)
        packed(decided, tokenizer, out, 1, "1G")  # what was not read before is read now
        for workers in (1, 2):
            cost = packed(decided, tokenizer, out, workers, "1G")
            yield step_row(
                f"gristmill, {workers} workers", cost, cost.said["counts"]["tokens"], size
            )
        for workers in (1, 2):
            script = Path(__file__).parent / "peers/datatrove_tokens.py"
            cost = measured(
                [
                    peer_python("datatrove"),
                    script,
                    out / "lines",
                    model / "tokenizer.json",
                    str(workers),
                ]
            )
            yield step_row(f"datatrove, {workers} workers", cost, cost.said["tokens"], size)


def step_row(name: str, cost: Cost, tokens: int, size: float) -> dict[str, Any]:
    return {
        "tool": name,
        "MB": size,
        "wall s": cost.wall,
        "CPU s": cost.cpu,
        "peak MB": cost.peak / 1e6,
        "tokens": tokens,
        "MB/CPU-s": size / cost.cpu,
    }


def bench_memory(
    texts: dict[str, list[str]], sizes: Sequence[int], memory: str
) -> Iterator[dict[str, Any]]:
    """Rows of the table of memory; larger corpora are the same documents with other first lines."""
    base = measured(
        [
            sys.executable,
            "-c",
            "import pipelines.prepare, apache_beam.runners.portability.fn_api_runner, time; time.sleep(1); print('{}')",
        ]
    )
    yield {
        "MB": 0,
        "tokens": 0,
        "--memory": "",
        "wall s": base.wall,
        "CPU s": base.cpu,
        "peak MB": base.peak / 1e6,
    }
    model = model_folder("bpe", texts)
    documents = [text for name in texts for text in texts[name]]
    for megabytes in sizes:
        with tempfile.TemporaryDirectory(prefix="gristmill-bench-") as name:
            out = Path(name)
            decided = prepared(list(grown(documents, megabytes, out)), out, ONLY_EQUAL)
            cost = packed(decided, tokenizer_run(model, out), out, 2, memory)
            yield {
                "MB": megabytes,
                "tokens": cost.said["counts"]["tokens"],
                "--memory": memory,
                "wall s": cost.wall,
                "CPU s": cost.cpu,
                "peak MB": cost.peak / 1e6,
            }


def grown(documents: Sequence[str], megabytes: int, out: Path) -> Iterator[Path]:
    """Parquet files of so many megabytes of text: the sentences of real documents in the order of a hash, again and again.

    Every round reads the documents by another stride, and joins the halves of two, so that none is a copy of another.
    """
    wanted, held, number = megabytes * 1_000_000, 0, 0
    for turn in itertools.count(1):
        rows = []
        for at in range(len(documents)):
            first, second = documents[at], documents[(at * 7919 + turn * 104_729) % len(documents)]
            text = first[: len(first) // 2] + "\n" + second[len(second) // 2 :]
            rows.append({"id": f"{turn}-{at}", "text": text})
            held += len(text.encode())
            if held >= wanted or len(rows) == 20_000:
                path = out / f"grown-{number:05d}.parquet"
                pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2000)
                yield path
                rows, number = [], number + 1
            if held >= wanted:
                return


def bench_parity(texts: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Rows of the table of ids: documents of each set, and on how many ours differ from sentencepiece."""
    for kind in KINDS:
        folder = model_folder(kind, texts)
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        encoder = open_encoder(folder)
        for name, documents in texts.items():
            wrong = 0
            for batch in batches(documents):
                found = encoder.encode(pa.array(batch, pa.string()))
                ours = (found.ids[a:b].tolist() for a, b in itertools.pairwise(found.offsets))
                wrong += sum(
                    a != b
                    for a, b in zip(ours, processor.encode(batch, num_threads=1), strict=True)
                )
            yield {"model": kind, "set": name, "documents": len(documents), "different": wrong}


def show(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print rows as a Markdown table while they come."""
    found = []
    for row in rows:
        if not found:
            print(f"\n| {' | '.join(row)} |\n|{'---|' * len(row)}")
        found.append(row)
        cells = [
            f"{value:,.2f}" if isinstance(value, float) else str(value) for value in row.values()
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], default=list(STEPS[:3]))
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[20, 200, 2000], help="megabytes of `memory`"
    )
    parser.add_argument("--memory", default="256M")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    texts = sets()
    work: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "encode": lambda: bench_encode(texts),
        "step": lambda: bench_step(texts, options.megabytes),
        "memory": lambda: bench_memory(texts, options.sizes, options.memory),
        "parity": lambda: bench_parity(texts),
    }
    results = {name: show(work[name]()) for name in options.steps}
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
