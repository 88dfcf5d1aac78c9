"""Columns of perplexity: how surprised a KenLM language model is by a document, as cc_net reckons it.

Perplexity is 10 ** (-sum of log10 probabilities / (tokens + sentences)): every sentence has an end besides its tokens
(Wenzek et al. 2020, arXiv 1911.00359). Models of Wikipedia find clean prose little surprising; lists and spam much.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.errors import InputError
from pipelines.annotate.config import PerplexityConfig
from pipelines.annotate.signals.from_file import Score, require_library

HIGHEST = 38
"""The highest exponent of 10: models without `<unk>` give unknown words 1e-100, which float32 does not hold."""
MARKS = {"<s>": "<unk>", "</s>": "<unk>"}
"""Words that a model takes for its own marks: of a text they are words like any other, and not known."""
WRITTEN = dict(
    zip(
        "，。、„”“«»」「《》´∶：？！（）；–～’━〈〉【】％►",
        ',.,"""""""""' + "'::?!();-~'-<>[]%-",
        strict=True,
    )
)
WRITTEN |= {"—": " - ", "．": ". ", "…": "..."}
"""Marks, and what cc_net writes for them."""


def meaning(settings: PerplexityConfig) -> str:
    """What the column is."""
    return f"perplexity by {Path(settings.model).name}, 1 and above; 0 where there is no token"


def files(settings: PerplexityConfig) -> list[str]:
    """The files it is made with."""
    return [path for path in (settings.model, settings.sentencepiece) if path is not None]


def libraries(settings: PerplexityConfig) -> tuple[str, ...]:
    """The installed distributions that its numbers depend on; KenLM comes as one of two."""
    return (
        *(["sentencepiece"] if settings.sentencepiece else []),
        *filter(_is_installed, ("ufal-kenlm", "kenlm")),
    )


def _is_installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False


def load(settings: PerplexityConfig, key: str) -> Score:
    """The perplexity of a text; raises MissingExtra, InputError for a model that is broken or none."""
    require_library("kenlm", "kenlm", key)
    log10, cut = read_model(settings.model).score, make_segmenter(settings.sentencepiece)

    def score(text: pa.Array) -> np.ndarray:
        found = (
            compute_perplexity(cut(split_sentences(value, settings)), log10)
            for value in text.to_pylist()
        )
        return np.fromiter(found, np.float32, len(text))

    return score


def compute_perplexity(tokenized: Iterable[bytes], log10: Callable[[bytes], float]) -> float:
    """Of sentences, tokens divided by spaces; one without a token does not count, and without any it is 0."""
    total, length = 0.0, 0
    for sentence in tokenized:
        if tokens := len(sentence.split()):
            total += log10(sentence)
            length += tokens + 1
    return 10.0 ** min(-total / length, HIGHEST) if length else 0.0


def split_sentences(text: str, settings: PerplexityConfig) -> list[str]:
    """The lines of a text or the text as one sentence, normalized or as they stand."""
    parts = text.split("\n") if settings.sentences == "lines" else [text]
    return parts if settings.normalize == "none" else [normalize_text(part) for part in parts]


class _CharacterTable(dict[int, str]):
    """What is written for a character, by code point, found when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = "".join(
            _write_character(part) for part in unicodedata.normalize("NFD", chr(code))
        )
        return self[code]


def _write_character(char: str) -> str:
    kind = unicodedata.category(char)
    if kind in ("Mn", "Cc"):
        return ""
    return "0" if kind == "Nd" else WRITTEN.get(char, char)


_WRITTEN = _CharacterTable()


def normalize_text(text: str) -> str:
    """As cc_net normalizes: ends without white space, lower case, decomposed (NFD) without the marks of accents (Mn), digits
    (Nd) as 0, punctuation by WRITTEN, without control characters (Cc) - in a whole document without line breaks, too.
    """
    return text.strip().lower().translate(_WRITTEN)


def make_segmenter(sentencepiece: str | None) -> Callable[[Sequence[str]], list[bytes]]:
    """What cuts sentences into tokens divided by spaces: pieces of a model, else words between white space."""
    if sentencepiece is None:
        return lambda parts: [
            " ".join(MARKS.get(word, word) for word in part.split()).encode() for part in parts
        ]
    model = _pieces(sentencepiece)
    return lambda parts: [
        " ".join(found).encode() for found in model.encode(list(parts), out_type=str, num_threads=1)
    ]


def _pieces(path: str) -> Any:
    import sentencepiece

    try:
        return sentencepiece.SentencePieceProcessor(model_file=path)
    except (RuntimeError, OSError) as error:
        where = {"file": path, "problem": error}
        raise InputError(
            "this is no sentencepiece model that can be read", where, "give a .model file"
        ) from None


def read_model(path: str) -> Any:
    """A language model in ARPA format, or in KenLM's binary one, which all processes share; raises InputError."""
    import kenlm

    config = kenlm.Config()
    config.show_progress, config.arpa_complain = False, kenlm.ARPALoadComplain.NONE
    config.load_method = kenlm.LoadMethod.LAZY
    try:
        return kenlm.Model(path, config)
    except (
        OSError,
        RuntimeError,
        UnicodeDecodeError,
    ) as error:  # the last: KenLM quotes bytes that are no text
        where = {
            "file": path,
            "problem": str(error).rpartition(" threw ")[2],
        }  # before it stands the place in C++
        raise InputError(
            "this is no KenLM model that can be read", where, "give a .arpa file or KenLM's binary"
        ) from None
