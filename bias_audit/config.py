"""The configuration of an audit: thresholds of the corpus part, benchmarks and seeds of the model
part.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bias_audit.benchmarks.registry import check_benchmark_name
from bias_audit.contract.model_rows import BUILT_IN_BENCHMARK
from gristmill.config import Config

BenchmarkName = Annotated[str, AfterValidator(check_benchmark_name)]
"""The name of a registered benchmark."""


class CorpusConfig(Config):
    """How mentions, associations and rules are counted."""

    min_count: Annotated[int, Field(ge=1)] = 5
    prior_share: Annotated[float, Field(gt=0)] = 0.1
    """Share of all text mixed into both sides of a log-odds ratio, so that rare words shrink to 0.
    """
    min_documents: Annotated[int, Field(ge=1)] = 30


class ProbesConfig(Config):
    """Which minimal pairs are scored, and how their intervals are drawn."""

    benchmarks: Annotated[tuple[BenchmarkName, ...], Field(min_length=1)] = (BUILT_IN_BENCHMARK,)
    """Registered benchmarks, each scored in those of the languages that it has."""
    languages: Annotated[tuple[Literal["en", "zh"], ...], Field(min_length=1)] = ("en", "zh")
    templates: Annotated[int, Field(ge=1)] | None = None
    """Only so many templates of each axis: a quick look with wider intervals.

    None scores all pairs.
    """
    seed: int = 20261123
    resamples: Annotated[int, Field(ge=100)] = 2_000
    quality_sentences: Annotated[int, Field(ge=10)] = 100


class GateConfig(Config):
    """What must hold for the command to end with 0; what is not set is not required.

    A gate that fails ends it with 4.
    """

    measurable: Annotated[float, Field(gt=0, le=1)] | None = None
    """Least share of the axes that must be measurable, for each model and language."""


class AuditConfig(Config):
    """All settings of `gristmill audit`."""

    corpus: CorpusConfig = CorpusConfig()
    probes: ProbesConfig = ProbesConfig()
    gate: GateConfig = GateConfig()
