"""The configuration of `pack`: how the corpus is split, mixed, shuffled and cut into shards."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from gristmill.config import Config

MIB = 1 << 20


class QualityConfig(Config):
    """Groups of quality: documents whose `signal` is below, between or above `bounds`.

    The signal is any numeric column of documents.
    """

    signal: str
    bounds: Annotated[tuple[float, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_order(self) -> "QualityConfig":
        if list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"bounds must ascend: {self.bounds}")
        return self


class MixtureConfig(Config):
    """How much of the training split each group of documents is, see `pipelines.pack.mixture`.

    Without `by`, documents are written in the shares they have. `weights`: "lang=zh" or
    "source=wiki" -> a factor on the share. `size`: bytes of training over bytes kept.
    `max_repeats`: times a document is written at most, not counting the `upweight` of clusters.
    """

    renamed_keys: ClassVar[Mapping[str, str]] = {"most": "max_repeats"}

    by: tuple[Literal["source", "lang", "quality"], ...] = ()
    temperature: Annotated[float, Field(ge=1)] = 1.0
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    size: Annotated[float, Field(gt=0)] = 1.0
    max_repeats: Annotated[float, Field(gt=0)] = 4.0
    quality: QualityConfig | None = None

    @model_validator(mode="after")
    def _check_groups(self) -> "MixtureConfig":
        if ("quality" in self.by) != (self.quality is not None):
            raise ValueError('`quality` (signal, bounds) and "quality" in `by` go together')
        if not self.by and self.model_fields_set - {"by"}:
            raise ValueError(
                "say what documents are grouped by: "
                'by = ["source"], ["lang"], ["quality"] or several'
            )
        for name in self.weights:
            if name.partition("=")[0] not in self.by or "=" not in name:
                raise ValueError(f"the weight {name!r} should look like {self.by[0]}=...")
        return self


class PackConfig(Config):
    """Token shards: how the corpus is split, mixed, shuffled and cut into files."""

    shard_bytes: Annotated[int, Field(ge=1024)] = 256 * MIB
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.01
    test: Annotated[float, Field(ge=0, lt=1)] = 0.01
    seed: int = 0
    mask_personal: bool = True
    mixture: MixtureConfig = MixtureConfig()

    @model_validator(mode="after")
    def _check_training_share(self) -> "PackConfig":
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation} and test {self.test} leave nothing to train on"
            )
        return self
