"""The configuration of `decide`: rules and their thresholds, rights, duplicates and repeated text."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from gristmill.config import Config
from gristmill.corpus.source import check_genre
from gristmill.rights.policy import POLICIES, RightsPolicy
from pipelines.decide.dedup.lsh import choose_bands
from pipelines.signatures import PERMUTATIONS

ESTIMATE_ERROR = 0.1
"""How far below the threshold candidates are still taken: the similarity of two signatures of 112
elements errs by about 0.05, one standard deviation, either way."""

SHORTEST_REPEATED_SPAN = 20
"""Words below which a repeated span is a common phrase, not a copy."""

DEFAULT_PRESETS = {
    "wiki": ("gopher", "edited", "repetition"),
    "news": ("gopher", "edited", "repetition", "plain"),
    "web": ("gopher", "gopher_letters", "repetition", "plain", "fineweb"),
    # 99 % of short posts fail Gopher's rules.
    "social": ("social",),
    "docs": ("gopher", "edited", "repetition"),
    "book": ("gopher", "edited", "repetition"),
    "legal": ("gopher", "edited", "repetition"),
    "speech": ("gopher", "edited", "repetition"),
    "other": ("gopher", "edited", "repetition"),
}
"""The presets of each genre."""

PRESETS_OF = {
    "gopher": ("gopher", "gopher_letters", "repetition"),
    "c4": ("c4",),
    "fineweb": ("gopher", "gopher_letters", "repetition", "fineweb"),
    "fineweb2": ("fineweb2",),
    "none": (),
}
"""What `preset = NAME` stands for: the same rules for every genre, as they were published."""


class Bound(Config):
    """A threshold that replaces a preset's."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _check_order(self) -> "Bound":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}: nothing could pass")
        return self


class CustomRule(Bound):
    """A rule of the user's: drop documents whose `signal` is below `min` or above `max`.

    It judges documents of these `kinds` (genres) and `languages`; none listed: of any.
    """

    signal: str
    kinds: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_bound(self) -> "CustomRule":
        if self.min is None and self.max is None:
            raise ValueError("a rule needs `min` or `max`: without one it drops nothing")
        return self


def choose_min_similarity(threshold: float) -> float:
    """The least similarity of signatures at which pairs are compared, for a wished `threshold`."""
    return min(0.5, max(0.0, round(threshold - ESTIMATE_ERROR, 3)))


class NearConfig(Config):
    """MinHash-LSH: documents that agree in all `rows` elements of any of `bands` are candidates.

    `threshold` chooses the bands and rows that separate best, at this Jaccard similarity, near
    duplicates from other pairs (`pipelines.decide.dedup.lsh`). Candidates whose signatures agree in
    less than `min_similarity` met by chance and are let go; 0: all are taken.
    """

    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    bands: Annotated[int, Field(ge=1)] = 14
    rows: Annotated[int, Field(ge=1)] = 8
    min_similarity: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="before")
    @classmethod
    def _expand_threshold(cls, values: Any) -> Any:
        """Write out bands and rows, so that manifests and reports know what was done."""
        threshold = values.get("threshold") if isinstance(values, Mapping) else None
        if not isinstance(threshold, float) or not 0 < threshold < 1:
            return values  # without a threshold, or with one that its field refuses
        bands, rows = choose_bands(threshold, PERMUTATIONS)
        expanded = {"bands": bands, "rows": rows}
        if any(values.get(name, value) != value for name, value in expanded.items()):
            raise ValueError(
                f"`threshold` chooses {bands} bands of {rows} rows: give it, or `bands` and `rows`"
            )
        return {"min_similarity": choose_min_similarity(threshold), **values, **expanded}

    @model_validator(mode="after")
    def _check_signature_size(self) -> "NearConfig":
        if self.bands * self.rows > PERMUTATIONS:
            raise ValueError(
                f"a signature has {PERMUTATIONS} elements, "
                f"{self.bands} bands x {self.rows} rows need more"
            )
        return self


class UrlConfig(Config):
    """Documents of one canonical address are duplicates where their signatures agree enough.

    Enough is `min_similarity`; 0: the address alone is proof. An address of more than
    `max_documents` documents is that of a collection and proves nothing; with 0 no address does.
    """

    min_similarity: Annotated[float, Field(ge=0, le=1)] = 0.3
    max_documents: Annotated[int, Field(ge=0)] = 100


class RepeatedConfig(Config):
    """What is cut out of kept documents because other documents have it too; 0 turns a part off.

    Lines and paragraphs of at least `documents` kept documents, or of `hosts` hosts, are cut
    everywhere; lines under `line_bytes` bytes only with their paragraph. Spans of at least
    `span_words` words are cut where they are repeated: 50 in Lee et al. 2022, "Deduplicating
    training data makes language models better".
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
    def _check_thresholds(self) -> "RepeatedConfig":
        for name in ("documents", "hosts"):
            if getattr(self, name) == 1:
                raise ValueError(
                    f"`{name}` = 1 would cut every line: give 2 or more, or 0 for none"
                )
        if 0 < self.span_words < SHORTEST_REPEATED_SPAN:
            raise ValueError(
                f"runs of {self.span_words} words repeat by chance: "
                f"give `span_words` of {SHORTEST_REPEATED_SPAN} or more, or 0"
            )
        return self


class DecideConfig(Config):
    """Which documents are kept.

    In place of `presets` by genre, `preset` may name one of PRESETS_OF for all genres.
    """

    presets: dict[str, tuple[str, ...]] = DEFAULT_PRESETS
    thresholds: dict[str, Bound] = Field(default_factory=dict)
    rules: dict[str, CustomRule] = Field(default_factory=dict)
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
    """How many near duplicates of a cluster are kept, the best first; of exact ones always one."""
    upweight: dict[Annotated[int, Field(ge=2)], Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict
    )
    """Least size of a cluster -> how many times `pack` writes the document that survives it."""

    @field_validator("presets")
    @classmethod
    def _check_genres(cls, presets: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for genre in presets:
            check_genre(genre)
        return presets

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, values: Any) -> Any:
        """Write `preset` out, so that configurations, digests and manifests know `presets` only."""
        if not isinstance(values, Mapping) or "preset" not in values:
            return values
        name = values["preset"]
        if not isinstance(name, str) or name not in PRESETS_OF:
            raise ValueError(f"preset {name!r} is none of {', '.join(PRESETS_OF)}")
        if "presets" in values:
            raise ValueError(
                "`preset` is for all kinds of source and `presets` for each: give one of them"
            )
        expanded = {key: value for key, value in values.items() if key != "preset"}
        expanded["presets"] = dict.fromkeys(DEFAULT_PRESETS, PRESETS_OF[name])
        return expanded
