"""Which near copies are found, by how alike they really are: edited articles in English and Chinese, real revisions.

    python benchmarks/dedup_curves.py [--plot FILE.svg]

Pairs of the shared data folder beside the checkout. The truth is the exact Jaccard similarity of the sets of five-word
shingles, with words as our MinHash has them; how far the sets' own figures lie from it is printed. For every choice of
bands and rows: the share of pairs that meet in a band, by similarity; the theory 1 - (1 - s^rows)^bands, averaged over the
same pairs, with two standard errors; and what is left once signatures were compared (0.5, or 0.1 below a lower threshold).
"""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.annotate.kernels.minhash import SHINGLE
from pipelines.annotate.signals.table import compute_signature_column, view_signature_matrix
from pipelines.decide.config import choose_min_similarity
from pipelines.decide.dedup.keys import hash_bands
from pipelines.decide.dedup.lsh import choose_bands, compute_catch_probability
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.unicode import build_class_table, build_lower_table
from pipelines.kernels.words import split_words
from pipelines.signatures import PERMUTATIONS
from reports.drawing.charts import ChartLine, draw_line_chart

SHARED = Path(__file__).resolve().parents[2] / "shared/data/dedup"
SETS = {
    "edited_wikipedia_en": "jaccard",
    "edited_wikipedia_zh": "jaccard",
    "real_wikipedia_revisions_en": "jaccard_w5",
}
"""Files, and what each calls its exact similarity."""
EDGES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.01)
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Choice:
    """Bands and rows, and the agreement that is asked for."""

    name: str
    bands: int
    rows: int
    bound: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of one set: exact similarity, signatures of both sides, and which are no copies."""

    exact: np.ndarray
    stated: np.ndarray
    one: np.ndarray
    other: np.ndarray
    negative: np.ndarray

    @property
    def agreement(self) -> np.ndarray:
        """The estimated similarity."""
        return (self.one == self.other).sum(axis=1) / PERMUTATIONS

    def met(self, choice: Choice) -> np.ndarray:
        """bool: which pairs share a band."""
        keys = [
            hash_bands(side, bands=choice.bands, rows=choice.rows)
            for side in (self.one, self.other)
        ]
        return np.asarray((keys[0] == keys[1]).any(axis=1))


def choices() -> list[Choice]:
    """The default, and what the thresholds stand for."""
    found = [Choice("14 x 8", 14, 8, 0.5)]
    for threshold in THRESHOLDS:
        bands, rows = choose_bands(threshold, PERMUTATIONS)
        found.append(
            Choice(
                f"{threshold:g} = {bands} x {rows}", bands, rows, choose_min_similarity(threshold)
            )
        )
    return found


def words_of(text: str) -> list[int]:
    """The hashes of the words that MinHash has of a text."""
    data, offsets = get_text_buffers(pa.array([text]))
    room = len(data) + 1
    starts, ends, lengths = (
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int32),
    )
    hashes, letters = np.empty(room, np.uint64), np.empty(room, np.bool_)
    ranges = (int(offsets[0]), int(offsets[1]), build_class_table(), build_lower_table())
    count, _ = split_words(data, *ranges, starts, ends, lengths, hashes, letters)
    found: list[int] = hashes[:count].tolist()
    return found


def jaccard(one: str, other: str) -> float:
    """The exact similarity of the sets of shingles."""
    sets = []
    for words in (words_of(one), words_of(other)):
        sets.append({tuple(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)})
    union = len(sets[0] | sets[1])
    return len(sets[0] & sets[1]) / union if union else 0.0


def read(name: str) -> Pairs:
    """A set with its signatures."""
    table = pq.read_table(SHARED / f"{name}.parquet")
    texts = [table[side].combine_chunks() for side in ("a", "b")]
    exact = np.array(
        [jaccard(a, b) for a, b in zip(*(column.to_pylist() for column in texts), strict=True)]
    )
    sides = [
        view_signature_matrix(compute_signature_column(*get_text_buffers(column)))
        for column in texts
    ]
    negative = np.array(
        [str(label) in ("0", "negative", "False") for label in table["label"].to_pylist()]
    )
    return Pairs(exact, table[SETS[name]].to_numpy(), sides[0], sides[1], negative)


def rows_of(pairs: Pairs, choice: Choice) -> Iterator[str]:
    """One line a band of similarity: pairs, share that met, theory with two standard errors, share left by comparing."""
    met = pairs.met(choice)
    left = met & (pairs.agreement >= choice.bound)
    for low, high in itertools.pairwise(EDGES):
        inside = (pairs.exact >= low) & (pairs.exact < high)
        if not inside.any():
            continue
        expected = compute_catch_probability(pairs.exact[inside], choice.bands, choice.rows)
        error = 2 * float(np.sqrt((expected * (1 - expected)).sum())) / inside.sum()
        off = abs(met[inside].mean() - expected.mean()) > error + 0.5 / inside.sum()
        theory = f"{expected.mean():.3f} +- {error:.3f}"
        name = "1" if low == 1 else f"{low:g} to {min(high, 1):g}"
        yield f"| {choice.name} | {name} | {inside.sum()} | {met[inside].mean():.3f} | {theory} | {'no' if off else 'yes'} | {left[inside].mean():.3f} |"


def report(name: str, pairs: Pairs) -> None:
    """Print all that is told of one set."""
    print(f"\n## {name}: {len(pairs.exact)} pairs")
    apart = np.abs(pairs.stated - pairs.exact)
    error = pairs.agreement - pairs.exact
    print(
        f"the set's own similarity lies {apart.mean():.3f} from ours on average, {apart.max():.3f} at most"
    )
    print(
        f"estimated similarity: bias {error.mean():+.4f}, root mean square error {np.sqrt((error**2).mean()):.4f}"
    )
    print(
        "\n| bands x rows | similarity | pairs | met in a band | theory +- 2 s.e. | within | after comparing |\n|---|---|---|---|---|---|---|"
    )
    for choice in choices():
        print(*rows_of(pairs, choice), sep="\n")
    for choice in choices():
        left = pairs.met(choice) & (pairs.agreement >= choice.bound)
        wrong = left & pairs.negative
        print(
            f"{choice.name}: {left.mean():.1%} of all pairs found; {wrong.sum()} of {pairs.negative.sum()} negatives taken for copies"
        )


def advice(found: dict[str, Pairs]) -> None:
    """What to choose, from what was measured on real revisions and on edits."""
    real, edited = found["real_wikipedia_revisions_en"], found["edited_wikipedia_en"]
    shares = {c.name: (real.met(c) & (real.agreement >= c.bound)).mean() for c in choices()}
    same = edited.exact >= 0.9
    kept = {c.name: edited.met(c)[same].mean() for c in choices()}
    print("\n## What to choose")
    print(
        "Share of real revisions of one article found: "
        + ", ".join(f"{name}: {share:.0%}" for name, share in shares.items())
    )
    print(
        "Share of edits at 0.9 or more found: "
        + ", ".join(f"{name}: {share:.1%}" for name, share in kept.items())
    )
    most = max(shares, key=lambda name: float(shares[name]))
    enough = [name for name, share in kept.items() if share >= 0.99]
    print(
        f"For revisions of one text the lowest threshold finds most ({most}). For copies that differ by a menu or a date any of"
    )
    print(
        f"{', '.join(enough)} finds 99 % of those at 0.9 or more; of these the highest takes the fewest others."
    )


def plot(pairs: Pairs, name: str) -> str:
    """The share found by similarity for every choice, as SVG."""
    lines = []
    for choice in choices():
        met, points = pairs.met(choice), []
        for low, high in itertools.pairwise(EDGES):
            inside = (pairs.exact >= low) & (pairs.exact < high)
            if inside.any():
                points.append((float(pairs.exact[inside].mean()), float(met[inside].mean())))
        lines.append(ChartLine(choice.name, tuple(points)))
    return draw_line_chart(
        f"Pairs of {name} that meet in a band", lines, x_label="exact similarity", y_label="share"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--plot", type=Path, help="write the curves of the edited English articles as SVG"
    )
    options = parser.parse_args()
    found = {name: read(name) for name in SETS}
    for name, pairs in found.items():
        report(name, pairs)
    advice(found)
    if options.plot:
        options.plot.write_text(
            plot(found["edited_wikipedia_en"], "edited articles"), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
