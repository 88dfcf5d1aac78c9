"""The whole of audit.json as one typed value, and the details of an audit's manifest.

In: the JSON value of an `audit.json` (`AuditResult.from_json`), or rows made by the audit itself.
Out: the JSON value again (`AuditResult.to_json`), equal to the one read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from bias_audit.contract.corpus_rows import CorpusAudit, RuleAudit
from bias_audit.contract.estimate import MetricDefinition
from bias_audit.contract.model_rows import BUILT_IN_BENCHMARK, GateOutcome, ModelAudit
from gristmill.errors import InputError

SCHEMA = "gristmill.audit/2"
"""The format of audit.json, described in bias_audit/README.md; raised when a field changes its meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LexiconCard:
    """Version, licence, source and hash of one word list."""

    kind: str
    lang: str
    version: str
    licence: str
    source: str
    limits: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCard:
    """Version, licence, source, size and hash of the pairs of one benchmark and language."""

    benchmark: str = BUILT_IN_BENCHMARK
    lang: str
    version: str
    licence: str
    source: str
    pairs: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """One audit. A part is null or empty where there was nothing of its kind to look at."""

    schema: str
    definitions: Mapping[str, MetricDefinition]
    limits: tuple[str, ...]
    inputs: tuple[str, ...]
    corpus: CorpusAudit | None
    rules: RuleAudit | None
    models: tuple[ModelAudit, ...]
    gates: tuple[GateOutcome, ...]
    lexicons: tuple[LexiconCard, ...]
    benchmarks: Annotated[tuple[BenchmarkCard, ...], Field(alias="probes")]

    @classmethod
    def from_json(cls, value: object) -> AuditResult:
        """Read the value of an audit.json; InputError where it is of another format."""
        schema = value.get("schema") if isinstance(value, Mapping) else None
        if schema != SCHEMA:
            raise InputError(
                "this audit.json is of another format",
                {"format": schema, "this version reads": SCHEMA},
                "run `gristmill audit` again",
            )
        try:
            return _RESULT.validate_python(value, extra="forbid")
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(step) for step in first["loc"])
            raise InputError(
                "this audit.json cannot be read",
                {"field": field, "because": first["msg"], "faults": error.error_count()},
                "run `gristmill audit` again",
            ) from error

    def to_json(self) -> dict[str, Any]:
        """The value of audit.json: only lists, dicts and plain values."""
        written: dict[str, Any] = _RESULT.dump_python(self, mode="json", by_alias=True)
        for model in written["models"]:
            for row in model["rows"]:
                if row["p_holm"] is None:
                    del row["p_holm"]
        _drop_built_in_name(written)
        return written


_RESULT = TypeAdapter(AuditResult)


def _drop_built_in_name(written: dict[str, Any]) -> None:
    """Leave the built-in benchmark unnamed, as in every audit.json before there were others."""
    rows = [*written["gates"], *written["probes"]]
    for model in written["models"]:
        rows += [*model["rows"], *model["quality"]]
    for row in rows:
        if row["benchmark"] == BUILT_IN_BENCHMARK:
            del row["benchmark"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDetails:
    """The `details` of an audit's manifest: its headlines, and the format of its audit.json."""

    headlines: tuple[str, ...]
    schema: str

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> AuditDetails:
        """Read the details of a finished audit; unknown keys are ignored."""
        return _DETAILS.validate_python(value)

    def to_json(self) -> dict[str, Any]:
        """The details as they stand in the manifest."""
        written: dict[str, Any] = _DETAILS.dump_python(self, mode="json")
        return written


_DETAILS = TypeAdapter(AuditDetails)
