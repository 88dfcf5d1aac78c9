"""The configuration of `annotate`: how inputs are split and read, and which columns users add."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gristmill.config import Config

MIB = 1 << 20
FUNCTION_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
"""`package.module:function`, each part an identifier."""

FASTTEXT_SUFFIXES = (".bin", ".ftz")
ONNX_SUFFIX = ".onnx"


class InputColumns(Config):
    """What the columns of JSON Lines, Parquet and Arrow inputs are called."""

    text: str = "text"
    id: str = "id"
    url: str = "url"
    title: str = "title"
    source: str = "source"
    kind: str = "type"
    licence: str = "license"
    published: str = "date"
    lang: str = "lang"


class PageLimits(Config):
    """Limits on untrusted pages; a page that exceeds one is quarantined, never read in part."""

    page_bytes: int = 4 * MIB
    page_elements: int = 100_000
    page_depth: int = 500
    seconds: float = 30.0
    memory_bytes: int = 2048 * MIB


class FileSignalConfig(Config):
    """A column that is computed with a file of the user's.

    Only documents in `languages` are looked at; the others have 0. No languages: all documents.
    """

    languages: tuple[str, ...] = ()


class ClassifierConfig(FileSignalConfig):
    """A fastText or an ONNX classifier, applied to the first `max_chars` characters of a document.

    fastText: the column is the probability of `label`. ONNX: the model reads the first `max_tokens`
    tokens of the `tokenizer.json` beside it, or of `tokenizer`. `label` is then the name or index
    of an output; it is left out where there is one output. `output` is `probability` (softmax; a
    sigmoid where the labels do not exclude each other or there is one), `sigmoid`, or `score`, the
    number as the model returns it.
    """

    model: str
    label: str | int | None = None
    max_chars: Annotated[int, Field(ge=1, le=MIB)] = 10_000
    tokenizer: str | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MIB)] = 512
    output: Literal["probability", "sigmoid", "score"] = "probability"

    @property
    def is_onnx(self) -> bool:
        """Whether the model is an ONNX file, else it is one of fastText."""
        return self.model.endswith(ONNX_SUFFIX)

    @field_validator("model")
    @classmethod
    def _check_suffix(cls, model: str) -> str:
        if not model.endswith((*FASTTEXT_SUFFIXES, ONNX_SUFFIX)):
            raise ValueError(
                "a classifier is a fastText model, a file that ends in .bin or .ftz, "
                "or one that ends in .onnx"
            )
        return model

    @model_validator(mode="after")
    def _check_keys_of_fasttext(self) -> "ClassifierConfig":
        if self.is_onnx:
            return self
        if not isinstance(self.label, str):
            raise ValueError("a fastText model needs `label`, the name of one of its labels")
        only_onnx = {"tokenizer", "max_tokens", "output"}
        misplaced = sorted(only_onnx & self.model_fields_set)
        if misplaced:
            raise ValueError(
                f"`{misplaced[0]}` is for ONNX models: "
                "a fastText model cuts words and gives probabilities by itself"
            )
        return self


class PerplexityConfig(FileSignalConfig):
    """The perplexity of a document under a KenLM model.

    The model reads the pieces of a `sentencepiece` model, else words. `normalize`: as
    `pipelines.annotate.signals.perplexity` describes it, or not at all. A sentence is a line, or
    the whole document.
    """

    model: str
    sentencepiece: str | None = None
    normalize: Literal["cc_net", "none"] = "cc_net"
    sentences: Literal["lines", "document"] = "lines"


class WordListConfig(FileSignalConfig):
    """The share of characters, without white space, that belong to an entry of a word list.

    The list has one word or phrase a line.
    """

    path: str


class AnnotateConfig(Config):
    """How inputs are split, read and extracted, and which columns documents get by configuration."""

    split_bytes: Annotated[int, Field(ge=1024)] = 16 * MIB
    slice_bytes: Annotated[int, Field(ge=1024)] = 64 * MIB
    columns: InputColumns = InputColumns()
    limits: PageLimits = PageLimits()
    author_key: str = ""
    """Key of the pseudonyms of authors, long and secret; without one, authors are left out."""
    signals: dict[str, str] = Field(default_factory=dict)
    """Custom signals: column -> "module:function", see `pipelines.annotate.signals.custom`."""
    classifiers: dict[str, ClassifierConfig] = Field(default_factory=dict)
    """Columns of classifiers by name, see `pipelines.annotate.signals.classifier`."""
    word_lists: dict[str, WordListConfig] = Field(default_factory=dict)
    """Columns of word lists by name, see `pipelines.annotate.signals.word_list`."""
    perplexity: dict[str, PerplexityConfig] = Field(default_factory=dict)
    """Columns of language models by name, see `pipelines.annotate.signals.perplexity`."""
    only_hashes: bool = False
    """Write only what deduplication needs: no signals, no personal data, `lang` as stated."""

    @property
    def custom_columns(self) -> list[str]:
        """The names of all columns that documents have by this configuration alone."""
        return [*self.signals, *self.classifiers, *self.word_lists, *self.perplexity]

    @model_validator(mode="after")
    def _check_custom_columns(self) -> "AnnotateConfig":
        names = self.custom_columns
        for name in names:
            if not name.isidentifier():
                raise ValueError(f"`{name}` cannot be a column: use letters, digits and _")
            if names.count(name) > 1:
                raise ValueError(
                    f"two columns are called `{name}`: choose another name for one of them"
                )
        if names and self.only_hashes:
            raise ValueError(
                f"`only_hashes` leaves out all signals, but `{names[0]}` is one: "
                "give up one of them"
            )
        return self

    @field_validator("signals")
    @classmethod
    def _check_function_paths(cls, signals: dict[str, str]) -> dict[str, str]:
        for function_path in signals.values():
            if not FUNCTION_PATH.fullmatch(function_path):
                raise ValueError(f"`{function_path}` must look like module:function")
        return signals
