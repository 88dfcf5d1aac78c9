"""What a pretraining run says about itself: its manifest's details, and the samples its model
wrote.

In: the JSON values of a finished run. Out: typed values, and the same JSON again.
Readers of pretraining runs import this module only: it does not need torch.
`metrics.jsonl` holds one JSON object of numbers a line; its keys depend on the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

MetricRow = Mapping[str, int | float]
"""One line of metrics.jsonl: `step`, and losses or validation losses by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportProof:
    """What was compared before the export was declared good."""

    max_logit_difference: float
    tokenizer_texts_checked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainDetails:
    """The `details` of a pretraining run's manifest; `tokenizer` is the SHA-256 of its model."""

    task: Annotated[str, Field(alias="objective")]
    tokenizer: str
    first_validation: MetricRow
    last_validation: MetricRow
    export: ExportProof

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> PretrainDetails:
        """Read the details of a finished run; unknown keys are ignored."""
        return _DETAILS.validate_python(value)

    def to_json(self) -> dict[str, Any]:
        """The details as they stand in the manifest."""
        written: dict[str, Any] = _DETAILS.dump_python(self, mode="json", by_alias=True)
        return written


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """The beginning of a validation document, and how a causal model goes on."""

    prompt: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskCandidate:
    """One piece that a masked model proposes for a mask, and how likely it finds it."""

    piece: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledMask:
    """The beginning of a validation document with one piece masked, and the likeliest pieces."""

    before: str
    answer: str
    after: str
    candidates: Annotated[tuple[MaskCandidate, ...], Field(alias="guesses")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuations:
    """The samples of a causal model."""

    kind: Literal["continuation"] = "continuation"
    samples: tuple[Continuation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledMasks:
    """The samples of a masked model."""

    kind: Literal["fill_mask"] = "fill_mask"
    samples: tuple[FilledMask, ...]


ModelSamples = Annotated[Continuations | FilledMasks, Field(discriminator="kind")]
"""The whole of samples.json."""


def read_samples(value: object) -> Continuations | FilledMasks:
    """Read the value of a samples.json."""
    return _SAMPLES.validate_python(value)


def samples_to_json(samples: Continuations | FilledMasks) -> dict[str, Any]:
    """The value of samples.json."""
    written: dict[str, Any] = _SAMPLES.dump_python(samples, mode="json", by_alias=True)
    return written


_DETAILS = TypeAdapter(PretrainDetails)
_SAMPLES: TypeAdapter[Continuations | FilledMasks] = TypeAdapter(ModelSamples)
