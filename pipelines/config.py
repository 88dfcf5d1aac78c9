"""The configuration of corpus preparation: one section per step, each hashed on its own into its run's name."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from gristmill.config import Config
from gristmill.rights.policy import POLICIES, RightsPolicy
from pipelines.decide.dedup.lsh import choose_bands

MIB = 1 << 20
TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


class Columns(Config):
    """What the columns of JSON Lines and Parquet inputs are called."""

    text: str = "text"
    id: str = "id"
    url: str = "url"
    title: str = "title"
    source: str = "source"
    kind: str = "type"
    licence: str = "license"
    published: str = "date"
    lang: str = "lang"


class Limits(Config):
    """Deterministic limits on untrusted pages; what exceeds them is quarantined, never half-read."""

    page_bytes: int = 4 * MIB
    page_elements: int = 100_000
    page_depth: int = 500
    seconds: float = 30.0
    memory_bytes: int = 2048 * MIB


class FromFile(Config):
    """A column made with a file of the user's; `languages` says which documents are looked at, the others have 0."""

    languages: tuple[str, ...] = ()


class Classifier(FromFile):
    """What a classifier says of the first `max_chars` characters of a document: of a fastText or an ONNX model.

    fastText: the probability of `label`. ONNX: the first `max_tokens` tokens, cut by the `tokenizer.json` beside the model
    or by `tokenizer`; `label` is the name or place of an output, to be left out where there is one. `output` is
    `probability` (softmax; a sigmoid where labels exclude not each other or there is one), `sigmoid`, or `score` as it comes.
    """

    model: str
    label: str | int | None = None
    max_chars: Annotated[int, Field(ge=1, le=MIB)] = 10_000
    tokenizer: str | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MIB)] = 512
    output: Literal["probability", "sigmoid", "score"] = "probability"

    @property
    def is_onnx(self) -> bool:
        """Whether the model is a file of ONNX, else of fastText."""
        return self.model.endswith(".onnx")

    @field_validator("model")
    @classmethod
    def _is_known(cls, model: str) -> str:
        if not model.endswith((".bin", ".ftz", ".onnx")):
            raise ValueError(
                "a classifier is a fastText model, a file that ends in .bin or .ftz, or one that ends in .onnx"
            )
        return model

    @model_validator(mode="after")
    def _fits_its_model(self) -> "Classifier":
        if self.is_onnx:
            return self
        if not isinstance(self.label, str):
            raise ValueError("a fastText model needs `label`, the name of one of its labels")
        if extra := sorted({"tokenizer", "max_tokens", "output"} & self.model_fields_set):
            raise ValueError(
                f"`{extra[0]}` is for ONNX models: a fastText model cuts words and gives probabilities by itself"
            )
        return self


class Perplexity(FromFile):
    """How surprised a KenLM model is by a document; it reads the pieces of a `sentencepiece` model, else words.

    `normalize`: as `pipelines.annotate.signals.perplexity.normalized` says, or not at all. A sentence is a line, or the whole document.
    """

    model: str
    sentencepiece: str | None = None
    normalize: Literal["cc_net", "none"] = "cc_net"
    sentences: Literal["lines", "document"] = "lines"


class WordList(FromFile):
    """The share of characters, but white space, that belong to an entry of a list with one word or phrase a line."""

    path: str


class AnnotateConfig(Config):
    """How inputs are cut, read and extracted, and which columns of one's own documents get."""

    split_bytes: Annotated[int, Field(ge=1024)] = 16 * MIB
    slice_bytes: Annotated[int, Field(ge=1024)] = 64 * MIB
    columns: Columns = Columns()
    limits: Limits = Limits()
    author_key: str = ""
    """Key of the pseudonyms of authors, long and secret; without one, authors are left out."""
    signals: dict[str, str] = Field(default_factory=dict)
    """Signals of one's own: column -> "module:function", see `pipelines.annotate.signals.custom`."""
    classifiers: dict[str, Classifier] = Field(default_factory=dict)
    """Columns of classifiers by name, see `pipelines.annotate.signals.classifier`."""
    word_lists: dict[str, WordList] = Field(default_factory=dict)
    """Columns of word lists by name, see `pipelines.annotate.signals.word_list`."""
    perplexity: dict[str, Perplexity] = Field(default_factory=dict)
    """Columns of language models by name, see `pipelines.annotate.signals.perplexity`."""
    only_hashes: bool = False
    """Only what finding copies needs, for those who filter elsewhere: no signals, no personal data, `lang` as stated."""

    @property
    def own_columns(self) -> list[str]:
        """The names of all columns that documents have by this configuration alone."""
        return [*self.signals, *self.classifiers, *self.word_lists, *self.perplexity]

    @model_validator(mode="after")
    def _names_columns(self) -> "AnnotateConfig":
        names = self.own_columns
        for name in names:
            if not name.isidentifier():
                raise ValueError(f"`{name}` cannot be a column: use letters, digits and _")
            if names.count(name) > 1:
                raise ValueError(
                    f"two columns are called `{name}`: choose another name for one of them"
                )
        if names and self.only_hashes:
            raise ValueError(
                f"`only_hashes` leaves out all signals, but `{names[0]}` is one: give up one of them"
            )
        return self

    @field_validator("signals")
    @classmethod
    def _name_functions(cls, signals: dict[str, str]) -> dict[str, str]:
        for target in signals.values():
            if not TARGET.fullmatch(target):
                raise ValueError(f"`{target}` must look like module:function")
        return signals


class Bound(Config):
    """A threshold that replaces a preset's."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _leaves_something(self) -> "Bound":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing could pass")
        return self


class OwnRule(Bound):
    """A rule of one's own: drop documents whose `signal` is below `min` or above `max`, of these `kinds` and `languages`.

    None given: of any.
    """

    signal: str
    kinds: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_a_bound(self) -> "OwnRule":
        if self.min is None and self.max is None:
            raise ValueError("a rule needs `min` or `max`: without one it drops nothing")
        return self


PERMUTATIONS = 112
"""Elements of a signature."""


def bound_below(threshold: float) -> float:
    """The bound for pairs compared where this threshold is wished: below it, for an estimate errs by 0.05 either way."""
    return min(0.5, max(0.0, round(threshold - 0.1, 3)))


class NearConfig(Config):
    """MinHash-LSH: documents that agree in all `rows` elements of any of `bands` are candidates for near copies.

    `threshold`: bands and rows that tell best, at this Jaccard similarity, what is a copy from what is none (`lsh.optimal`).
    Candidates whose signatures agree in less than `min_similarity` met by chance and are let go; 0: all are taken.
    """

    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    bands: Annotated[int, Field(ge=1)] = 14
    rows: Annotated[int, Field(ge=1)] = 8
    min_similarity: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="before")
    @classmethod
    def _of_threshold(cls, given: Any) -> Any:
        """Bands and rows are spelled out, so that manifests and reports know what was done."""
        threshold = given.get("threshold") if isinstance(given, dict) else None
        if not isinstance(threshold, float) or not 0 < threshold < 1:
            return given  # none, or refused by its field
        bands, rows = choose_bands(threshold, PERMUTATIONS)
        chosen = {"bands": bands, "rows": rows}
        if any(given.get(name, value) != value for name, value in chosen.items()):
            raise ValueError(
                f"`threshold` chooses {bands} bands of {rows} rows: give it, or `bands` and `rows`"
            )
        return {"min_similarity": bound_below(threshold), **given, **chosen}

    @model_validator(mode="after")
    def _fits(self) -> "NearConfig":
        if self.bands * self.rows > PERMUTATIONS:
            raise ValueError(
                f"a signature has 112 elements, {self.bands} bands x {self.rows} rows need more"
            )
        return self


class UrlConfig(Config):
    """Documents of one canonical address are copies where their signatures agree in at least `min_similarity`.

    0: the address alone is proof. An address of more than `max_documents` is that of a collection, not theirs; with 0
    addresses count for nothing.
    """

    min_similarity: Annotated[float, Field(ge=0, le=1)] = 0.3
    max_documents: Annotated[int, Field(ge=0)] = 100


DEFAULT_PRESETS = {
    "wiki": ("gopher", "edited", "repetition"),
    "news": ("gopher", "edited", "repetition", "plain"),
    "web": ("gopher", "gopher_letters", "repetition", "plain", "fineweb"),
    "social": ("social",),
    "docs": ("gopher", "edited", "repetition"),
    "book": ("gopher", "edited", "repetition"),
    "legal": ("gopher", "edited", "repetition"),
    "speech": ("gopher", "edited", "repetition"),
    "other": ("gopher", "edited", "repetition"),
}
"""99 % of short posts fail Gopher, so presets are chosen by kind of source."""


PRESETS_OF = {
    "gopher": ("gopher", "gopher_letters", "repetition"),
    "c4": ("c4",),
    "fineweb": ("gopher", "gopher_letters", "repetition", "fineweb"),
    "fineweb2": ("fineweb2",),
    "none": (),
}
"""What `preset = NAME` stands for: the same rules for every kind of source, as they were published."""


class RepeatedConfig(Config):
    """What is cut out of kept documents because it stands in others too; 0 asks for none of it.

    Lines and paragraphs of at least `documents` kept documents, or of `hosts` hosts, go everywhere; lines under `line_bytes`
    bytes only with their paragraph. Runs of at least `span_words` words go where they come again: 50 in Lee et al. 2022,
    "Deduplicating training data makes language models better".
    """

    documents: Annotated[int, Field(ge=0)] = 0
    hosts: Annotated[int, Field(ge=0)] = 0
    line_bytes: Annotated[int, Field(ge=0)] = 30
    span_words: Annotated[int, Field(ge=0)] = 0

    @property
    def asks_units(self) -> bool:
        """Whether lines and paragraphs are looked for."""
        return self.documents > 0 or self.hosts > 0

    @property
    def is_asked(self) -> bool:
        """Whether anything is looked for."""
        return self.asks_units or self.span_words > 0

    @model_validator(mode="after")
    def _needs_another(self) -> "RepeatedConfig":
        for name in ("documents", "hosts"):
            if getattr(self, name) == 1:
                raise ValueError(
                    f"`{name}` = 1 would cut every line: give 2 or more, or 0 for none"
                )
        if 0 < self.span_words < 20:
            raise ValueError(
                f"runs of {self.span_words} words repeat by chance: give `span_words` of 20 or more, or 0"
            )
        return self


class DecideConfig(Config):
    """Which documents stay. In place of `presets` by kind, `preset` may name one of PRESETS_OF for all kinds."""

    presets: dict[str, tuple[str, ...]] = DEFAULT_PRESETS
    thresholds: dict[str, Bound] = Field(default_factory=dict)
    rules: dict[str, OwnRule] = Field(default_factory=dict)
    languages: tuple[str, ...] = ()
    min_language_score: Annotated[float, Field(ge=0, le=1)] = 0.0
    rights: RightsPolicy = POLICIES["strict-eu"]
    takedown: str | None = None
    prefer: tuple[str, ...] = ()
    prefer_date: Literal["oldest", "newest"] = "oldest"
    near: NearConfig = NearConfig()
    repeated: RepeatedConfig = RepeatedConfig()
    url: UrlConfig = UrlConfig()
    keep_per_cluster: Annotated[int, Field(ge=1)] = 1
    """How many of a cluster of near copies stay, the best first; exact copies never do."""
    upweight: dict[Annotated[int, Field(ge=2)], Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict
    )
    """Size a cluster has at least -> how many times `pack` writes the document that survives it."""

    @model_validator(mode="before")
    @classmethod
    def _one_for_all(cls, given: Any) -> Any:
        """`preset` is spelled out, so that configurations, digests and manifests know `presets` only."""
        if not isinstance(given, dict) or "preset" not in given:
            return given
        name = given["preset"]
        if not isinstance(name, str) or name not in PRESETS_OF:
            raise ValueError(f"preset {name!r} is none of {', '.join(PRESETS_OF)}")
        if "presets" in given:
            raise ValueError(
                "`preset` is for all kinds of source and `presets` for each: give one of them"
            )
        rest = {key: value for key, value in given.items() if key != "preset"}
        return rest | {"presets": dict.fromkeys(DEFAULT_PRESETS, PRESETS_OF[name])}


class TokenizerConfig(Config):
    """A sentencepiece model with byte fallback, trained on a sample of the kept documents.

    `weights`: "lang=zh" or "source=wiki" -> a factor on how much of the sample such documents are.
    """

    model_type: Literal["bpe", "unigram"] = "bpe"
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    vocab_size: Annotated[int, Field(ge=300, le=1 << 20)] = 8192
    sample_bytes: Annotated[int, Field(ge=1024)] = 32 * MIB
    seed: int = 0
    threads: Annotated[int, Field(ge=1)] = 2
    character_coverage: Annotated[float, Field(gt=0, le=1)] = 0.9995

    @model_validator(mode="after")
    def _names_strata(self) -> "TokenizerConfig":
        for name in self.weights:
            if not name.startswith(("lang=", "source=")):
                raise ValueError(f"the weight {name!r} should look like lang=... or source=...")
        return self


class QualityConfig(Config):
    """Groups of quality: documents whose `signal`, any numeric column, lies below, between or above `bounds`."""

    signal: str
    bounds: Annotated[tuple[float, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ascends(self) -> "QualityConfig":
        if list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"bounds must ascend: {self.bounds}")
        return self


class MixtureConfig(Config):
    """How much of the training split each group of documents is, see `pipelines.pack.mixture`; as they come without `by`.

    `weights`: "lang=zh" or "source=wiki" -> a factor on the share. `size`: bytes of training over bytes kept. `most`: times
    a document is written at most, but for the `upweight` of clusters.
    """

    by: tuple[Literal["source", "lang", "quality"], ...] = ()
    temperature: Annotated[float, Field(ge=1)] = 1.0
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    size: Annotated[float, Field(gt=0)] = 1.0
    most: Annotated[float, Field(gt=0)] = 4.0
    quality: QualityConfig | None = None

    @model_validator(mode="after")
    def _fits_its_groups(self) -> "MixtureConfig":
        if ("quality" in self.by) != (self.quality is not None):
            raise ValueError('`quality` (signal, bounds) and "quality" in `by` go together')
        if not self.by and self.model_fields_set - {"by"}:
            raise ValueError(
                'say what documents are grouped by: by = ["source"], ["lang"], ["quality"] or several'
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
    def _leaves_training(self) -> "PackConfig":
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation} and test {self.test} leave nothing to train on"
            )
        return self


class ExportTextConfig(Config):
    """How `export-text` writes: `columns` in place of all but what served to decide; `compression` is zstd, gzip or none."""

    format: Literal["parquet", "jsonl"] = "parquet"
    compression: Literal["zstd", "gzip", "none"] = "zstd"
    columns: tuple[str, ...] = ()
    mask_personal: bool = True

    @property
    def ending(self) -> str:
        """What the names of files end with."""
        if self.format == "parquet":
            return ".parquet"
        return ".jsonl" + {"zstd": ".zst", "gzip": ".gz", "none": ""}[self.compression]

    @model_validator(mode="after")
    def _has_text(self) -> "ExportTextConfig":
        if self.columns and "text" not in self.columns:
            raise ValueError("`columns` must name `text`")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("`columns` must name each column once: readers refuse two of one name")
        return self


class Errors(Config):
    """How many quarantined records a run may have before it ends with exit code 3."""

    budget: Annotated[int, Field(ge=0)] = 0


class PrepareConfig(Config):
    """All steps of preparation."""

    annotate: AnnotateConfig = AnnotateConfig()
    decide: DecideConfig = DecideConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    pack: PackConfig = PackConfig()
    export_text: ExportTextConfig = ExportTextConfig()
    errors: Errors = Errors()
