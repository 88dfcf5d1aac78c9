"""The benchmarks an audit can score, by the name that configurations and audit.json use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bias_audit.benchmarks import built_in
from bias_audit.benchmarks.pairs import Probe, refuse_repeated_ids
from bias_audit.contract.model_rows import BUILT_IN_BENCHMARK
from bias_audit.contract.result import BenchmarkCard


class Benchmark(Protocol):
    """What a benchmark's module has."""

    LANGUAGES: Sequence[str]
    """The languages it has pairs in."""

    def load_pairs(self, lang: str, *, templates: int | None = None) -> list[Probe]:
        """All pairs of a language in a fixed order, or those of each axis' first templates only.

        Each pair names the benchmark, and its id is unique over all benchmarks.
        """

    def describe(self, lang: str) -> BenchmarkCard:
        """Version, licence, source, size and hash of the pairs of a language."""


BENCHMARKS: Mapping[str, Benchmark] = {
    BUILT_IN_BENCHMARK: built_in,
}
"""Name -> module. Pages show rows in the order in which a configuration lists them."""


def check_benchmark_name(name: str) -> str:
    """Return the name of a benchmark; ValueError where no benchmark has it."""
    if name not in BENCHMARKS:
        raise ValueError(f"no benchmark is called {name!r}: choose of {', '.join(BENCHMARKS)}")
    return name


@dataclass(frozen=True, slots=True)
class PairSet:
    """The pairs of one benchmark in one language: a model is scored on each set for itself."""

    benchmark: str
    lang: str
    pairs: tuple[Probe, ...]


def load_pair_sets(
    benchmarks: Sequence[str], languages: Sequence[str], *, templates: int | None = None
) -> list[PairSet]:
    """Load the pairs of each benchmark in those of the languages that it has."""
    sets: list[PairSet] = []
    for name in benchmarks:
        benchmark = BENCHMARKS[name]
        for lang in languages:
            if lang in benchmark.LANGUAGES:
                pairs = benchmark.load_pairs(lang, templates=templates)
                sets.append(PairSet(name, lang, tuple(pairs)))
    refuse_repeated_ids([pair for pair_set in sets for pair in pair_set.pairs])
    return sets


def describe_pair_sets(sets: Sequence[PairSet]) -> list[BenchmarkCard]:
    """The cards of the sets that were scored."""
    return [BENCHMARKS[pair_set.benchmark].describe(pair_set.lang) for pair_set in sets]
