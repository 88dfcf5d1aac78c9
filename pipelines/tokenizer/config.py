"""The configuration of `tokenizer`: the model's type and size, and the sample it is trained on."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gristmill.config import Config

MIB = 1 << 20


class TokenizerConfig(Config):
    """A sentencepiece model with byte fallback, trained on a sample of the kept documents.

    `weights`: "lang=zh" or "source=wiki" -> a factor on the share of the sample that such
    documents have.
    """

    model_type: Literal["bpe", "unigram"] = "bpe"
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    vocab_size: Annotated[int, Field(ge=300, le=1 << 20)] = 8192
    sample_bytes: Annotated[int, Field(ge=1024)] = 32 * MIB
    seed: int = 0
    threads: Annotated[int, Field(ge=1)] = 2
    character_coverage: Annotated[float, Field(gt=0, le=1)] = 0.9995

    @model_validator(mode="after")
    def _check_weights(self) -> "TokenizerConfig":
        for name in self.weights:
            if not name.startswith(("lang=", "source=")):
                raise ValueError(f"the weight {name!r} should look like lang=... or source=...")
        return self
