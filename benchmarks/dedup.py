"""Deduplication beside rensa, datatrove and text-dedup: speed, memory and what is found, on one corpus in one run.

    python benchmarks/dedup.py [--megabytes 200] [--tools ours rensa datatrove text-dedup] [--out results.json]

The corpus is that of `dedup_corpus.py`, with planted copies whose exact Jaccard similarity J to their original is known. All
use 112 hashes, 14 bands of 8, shingles of five words. Each tool is a process of its own with its children: wall seconds from
start to exit, CPU seconds, most memory (summed PSS), once each, after a run on 1 MB that pays for compiling and for files
not read before. Ours is `annotate` and `decide`, two processes whose times add up; "no comparing" decides once more with all
candidates taken for copies, as the others take them.

Prints Markdown: cost; recall (copy and original in one cluster) by J beside what theory says of 14 x 8, the mean over the
pairs of 1 - (1 - J^8)^14, with twice its standard error; then what was removed wrongly. Everything is in the JSON file too.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dedup_corpus import BANDS, band_of, corpus, files, jaccard
from peers.environment import peer_python
from prepare import Meter

from pipelines.annotate.config import AnnotateConfig

ROOT = Path(__file__).resolve().parents[1]
GRISTMILL = [sys.executable, "-c", "from gristmill.cli import main; main()"]
ANNOTATE = ["columns.title=id", "only_hashes=true"]
"""The title carries the corpus's own id. What the checkout's configuration does not know yet is left out."""
DECIDE = ["preset=none", "url.max_documents=0"]
NO_COMPARING = "near.min_similarity=0"
PEERS = {
    "rensa": "rensa_union.py",
    "datatrove": "datatrove_minhash.py",
    "text-dedup": "text_dedup_minhash.py",
}
TOOLS = ("ours", *PEERS)
LSH_BANDS, LSH_ROWS = 14, 8
WARM = 1.0
"""Megabytes of the run before."""
A_COPY = 0.5
"""Documents of this J are taken for copies, planted or not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tool said of each document of the corpus, in the order of ids: its cluster (-1: none), and whether it stays."""

    cluster: np.ndarray
    keep: np.ndarray


@dataclass(frozen=True, slots=True)
class Truth:
    """Planted copies: rows of copy and original, exact J, and the name of what they count for."""

    copy: np.ndarray
    original: np.ndarray
    jaccard: np.ndarray
    edit: np.ndarray
    family: np.ndarray
    lang: np.ndarray

    @property
    def single(self) -> np.ndarray:
        """Pairs that count for recall: no other document brings them together."""
        return self.family == 0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a process and its children; `said` is the last line it printed."""

    wall: float
    cpu: float
    peak: int
    said: dict[str, Any]


def row_of(name: str) -> int:
    """The ids of the corpus count its documents."""
    return int(name.removeprefix("doc-"))


def truth_of(folder: Path) -> Truth:
    table = pq.read_table(folder / "truth.parquet")
    rows = (
        np.array([row_of(name) for name in table[side].to_pylist()])
        for side in ("copy", "original")
    )
    rest = (np.array(table[name].to_pylist()) for name in ("jaccard", "edit", "family", "lang"))
    return Truth(*rows, *rest)


def texts_of(folder: Path) -> list[str]:
    return [
        text
        for file in files(folder)
        for text in pq.read_table(file, columns=["text"])["text"].to_pylist()
    ]


def verdict_of(table: pa.Table) -> Verdict:
    """Of a table of id, cluster and keep, each document once."""
    rows = np.array([row_of(name) for name in table["id"].to_pylist()])
    if len(rows) != len(set(rows.tolist())) or rows.max() != len(rows) - 1:
        raise ValueError(f"a tool must speak of every document once: {len(rows)} rows")
    order = np.argsort(rows)
    return Verdict(*(np.array(table[name].to_pylist())[order] for name in ("cluster", "keep")))


def measured(command: Sequence[str | Path]) -> Cost:
    """Run a command from start to exit; raises with the end of what it wrote where it fails.

    CPU seconds are those of children waited for, or as sampled where these are more: nobody waits for the children of
    datatrove's fork server.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Meter(own=False) as meter:
        done = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(
        meter.wall,
        max(waited, meter.cpu),
        meter.peak,
        json.loads(done.stdout.strip().splitlines()[-1]),
    )


def stage(
    name: str, sources: Sequence[str | Path], out: Path, workers: int, options: Sequence[str]
) -> Cost:
    """One command of ours, as users run it."""
    chosen = [word for option in options for word in ("--set", f"{name}.{option}")]
    given = [word for source in sources for word in ("--in", source)]
    return measured(
        [*GRISTMILL, name, *given, "--out", out, "--workers", str(workers), "--json", *chosen]
    )


def known(options: Sequence[str]) -> list[str]:
    """The options of ANNOTATE whose first key this checkout's configuration has."""
    return [
        option
        for option in options
        if option.partition("=")[0].partition(".")[0] in AnnotateConfig.model_fields
    ]


def decided(annotated: Path, run: Path) -> Verdict:
    """Decisions lie in the order of the documents."""
    parts = [
        pq.read_table(file, columns=["title"])
        .append_column("cluster", decisions["cluster"])
        .append_column("keep", decisions["keep"])
        for file in sorted((annotated / "documents").glob("part-*.parquet"))
        for decisions in [pq.read_table(run / "decisions" / file.name, columns=["cluster", "keep"])]
    ]
    return verdict_of(pa.concat_tables(parts).rename_columns(["id", "cluster", "keep"]))


def ours(folder: Path) -> Iterator[tuple[str, list[Cost], Verdict]]:
    """Two workers, the same without comparing, then one worker."""
    for workers in (2, 1):
        with tempfile.TemporaryDirectory(prefix="gristmill-bench-") as name:
            annotated = stage("annotate", files(folder), Path(name), workers, known(ANNOTATE))
            documents = Path(annotated.said["path"])
            for what, options in ("", DECIDE), (", no comparing", [*DECIDE, NO_COMPARING]):
                if not what or workers == 2:
                    run = stage("decide", [documents], Path(name), workers, options)
                    title = f"gristmill, {workers} worker{'s' * (workers > 1)}{what}"
                    yield title, [annotated, run], decided(documents, Path(run.said["path"]))


def peer(tool: str, folder: Path) -> Iterator[tuple[str, list[Cost], Verdict]]:
    """One of PEERS."""
    with tempfile.TemporaryDirectory(prefix="gristmill-bench-") as name:
        out = Path(name) / "out.parquet"
        cost = measured(
            [peer_python(tool), Path(__file__).parent / "peers" / PEERS[tool], folder, out]
        )
        yield tool, [cost], verdict_of(pq.read_table(out))


def theory(similarities: np.ndarray) -> tuple[float, float]:
    """The share of the pairs that 14 x 8 is expected to find, and twice its standard error."""
    found = 1 - (1 - similarities**LSH_ROWS) ** LSH_BANDS
    return float(found.mean()), float(2 * np.sqrt((found * (1 - found)).sum()) / len(found))


def name_of(pair: tuple[str, float]) -> str | None:
    """What a pair counts for: exact copies, or a band of J."""
    edit, similarity = pair
    band = band_of(similarity)
    if edit == "exact" or band is None:
        return "equal" if edit == "exact" else None
    low, high = BANDS[band]
    return f"{low:g}-{high:g}" if low < high else "1, not equal"


def groups(truth: Truth) -> dict[str, np.ndarray]:
    """Which pairs each row of the table is about."""
    names = np.array(
        [name_of(pair) or "" for pair in zip(truth.edit, truth.jaccard.tolist(), strict=True)]
    )
    rows = [name_of(("", low)) or "" for low, _ in BANDS]
    found = {name: truth.single & (names == name) for name in [*rows, "equal"]}
    least = {f"{low} and more": truth.single & (truth.jaccard >= low) for low in (0.8,)}
    langs = {
        f"0.5-0.8, {lang}": truth.single & (truth.lang == lang) & (truth.jaccard < 0.8)
        for lang in ("en", "zh")
    }
    high = {
        f"0.8 and more, {lang}": least["0.8 and more"] & (truth.lang == lang)
        for lang in ("en", "zh")
    }
    return found | least | langs | high


def recall(truth: Truth, verdict: Verdict) -> dict[str, tuple[int, int]]:
    """By row of the table: pairs in one cluster, of how many."""
    first, second = verdict.cluster[truth.copy], verdict.cluster[truth.original]
    together = (first == second) & (first >= 0)
    return {
        name: (int(together[chosen].sum()), int(chosen.sum()))
        for name, chosen in groups(truth).items()
    }


def unplanted(truth: Truth, verdict: Verdict, texts: Sequence[str]) -> list[float]:
    """For every removed document that is no planted copy nor has one: the highest J to any other of its cluster."""
    planted = np.zeros(len(texts), bool)
    planted[truth.copy] = planted[truth.original] = True
    return [highest(row, verdict, texts) for row in np.flatnonzero(~verdict.keep & ~planted)]


def highest(row: int, verdict: Verdict, texts: Sequence[str]) -> float:
    """0 for a document that is removed alone."""
    cluster = verdict.cluster[row]
    others = np.flatnonzero((verdict.cluster == cluster) & (cluster >= 0))
    return max((jaccard(texts[row], texts[other]) for other in others if other != row), default=0.0)


def lost(truth: Truth, verdict: Verdict) -> int:
    """Originals of which neither they nor any of their copies stay."""
    stays = verdict.keep.copy()
    np.logical_or.at(stays, truth.original, verdict.keep[truth.copy])
    return int((~stays[np.unique(truth.original)]).sum())


def score(truth: Truth, verdict: Verdict, texts: Sequence[str]) -> dict[str, Any]:
    """All that is said of a verdict."""
    strangers = unplanted(truth, verdict, texts)
    removed, wrong = (
        int((~verdict.keep).sum()),
        sum(similarity < A_COPY for similarity in strangers),
    )
    return {
        "recall": recall(truth, verdict),
        "removed": removed,
        "wrong": wrong,
        "precision": 1 - wrong / max(1, removed),
        "unplanted": sorted(round(similarity, 4) for similarity in strangers),
        "lost": lost(truth, verdict),
    }


def cost_rows(results: dict[str, Any], megabytes: float) -> Iterator[list[str]]:
    yield ["", "wall s", "of these", "CPU s", "MB of text per CPU-s", "peak MB", "MB/s"]
    for name, found in results.items():
        costs = found["cost"]
        wall, cpu, peak = (
            sum(c["wall"] for c in costs),
            sum(c["cpu"] for c in costs),
            max(c["peak"] for c in costs),
        )
        parts = " + ".join(f"{c['wall']:.1f}" for c in costs)
        numbers = [
            f"{wall:.1f}",
            parts,
            f"{cpu:.1f}",
            f"{megabytes / cpu:.2f}",
            f"{peak / 1e6:.0f}",
            f"{megabytes / wall:.2f}",
        ]
        yield [name, *numbers]


def recall_rows(results: dict[str, Any], truth: Truth) -> Iterator[list[str]]:
    yield ["J", "pairs", "theory", *results]
    for name, chosen in groups(truth).items():
        if chosen.any():
            expected, error = theory(truth.jaccard[chosen])
            hits = (found["recall"][name][0] / chosen.sum() for found in results.values())
            yield [
                name,
                str(chosen.sum()),
                f"{expected:.4f} ± {error:.4f}",
                *(f"{share:.4f}" for share in hits),
            ]


def removal_rows(results: dict[str, Any]) -> Iterator[list[str]]:
    yield [
        "",
        "removed",
        "not planted",
        "their J, lowest to highest",
        "J < 0.5",
        "precision",
        "clusters wholly lost",
    ]
    for name, found in results.items():
        some = found["unplanted"]
        span = ", ".join(f"{value:.2f}" for value in some[:8]) + (
            f" ... {some[-1]:.2f}" if len(some) > 8 else ""
        )
        yield [
            name,
            str(found["removed"]),
            str(len(some)),
            span,
            str(found["wrong"]),
            f"{found['precision']:.4f}",
            str(found["lost"]),
        ]


def markdown(rows: Iterator[list[str]]) -> str:
    head, *body = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *body])


def report(results: dict[str, Any], truth: Truth, megabytes: float) -> str:
    """The three tables."""
    tables = cost_rows(results, megabytes), recall_rows(results, truth), removal_rows(results)
    return "\n\n".join(map(markdown, tables))


def runs_of(tools: Sequence[str], folder: Path) -> Iterator[tuple[str, list[Cost], Verdict]]:
    """All measurements on a corpus; a tool that fails is told of and left out."""
    for tool in tools:
        run: Callable[[Path], Iterator[tuple[str, list[Cost], Verdict]]] = (
            ours if tool == "ours" else partial(peer, tool)
        )
        try:
            list(run(corpus(WARM)))
            yield from run(folder)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"{tool} is left out: {error}", file=sys.stderr)


def main() -> None:
    """Measure, and print when all is done; the JSON file grows with every tool."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=float, default=200.0)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=TOOLS)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    options = parser.parse_args()
    folder = corpus(options.megabytes)
    truth, texts = truth_of(folder), texts_of(folder)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    results: dict[str, Any] = {}
    for name, costs, verdict in runs_of(options.tools, folder):
        told = [
            {"wall": cost.wall, "cpu": cost.cpu, "peak": cost.peak, "said": cost.said}
            for cost in costs
        ]
        results[name] = {"cost": told} | score(truth, verdict, texts)
        about = {
            "megabytes": megabytes,
            "documents": len(texts),
            "annotate": known(ANNOTATE),
            "decide": DECIDE,
        }
        options.out.write_text(json.dumps(about | {"tools": results}, indent=1), encoding="utf-8")
        print(f"{name}: done", file=sys.stderr, flush=True)
    print(
        f"{megabytes:.1f} MB of text in {len(texts)} documents; ours with {' '.join(known(ANNOTATE) + DECIDE)}\n"
    )
    print(report(results, truth, megabytes))


if __name__ == "__main__":
    main()
