"""Columns of ONNX classifiers: how probable a label is, or its score, by a model exported from any framework.

Probabilities are those of Hugging Face's text classification; FineWeb-Edu (Penedo et al. 2024, arXiv 2406.17557) and its
like are regressions: `output = "score"`. `config.json` beside the model or its tokenizer names the labels.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.errors import ConfigError, InputError
from pipelines.annotate.config import ClassifierConfig
from pipelines.annotate.signals.classifier import find_label
from pipelines.annotate.signals.from_file import Score, require_library
from pipelines.annotate.signals.onnx_model import find_tokenizer, list_model_files, open_model

SEPARATE, REGRESSION = "multi_label_classification", "regression"
"""Kinds of problem of config.json: labels that exclude not each other, and a score."""


def meaning(settings: ClassifierConfig) -> str:
    """What the column is."""
    of = "" if settings.label is None else f" of `{settings.label}`"
    kind = "score" if settings.output == "score" else "probability"
    limits = "" if settings.output == "score" else ", 0 to 1"
    return f"{kind}{of} by {Path(settings.model).name}{limits}, of the first {settings.max_tokens} tokens"


def files(settings: ClassifierConfig) -> list[str]:
    """The files it is made with."""
    return [*list_model_files(settings), *_config_path(settings)]


def libraries(settings: ClassifierConfig) -> tuple[str, ...]:
    """The distributions that its numbers depend on."""
    return ("onnxruntime", "tokenizers")


def load(settings: ClassifierConfig, key: str) -> Score:
    """What the model says; raises MissingExtra, InputError for what is broken, ConfigError where it has no such label."""
    require_library("onnxruntime", "onnx", key)
    model, about = open_model(settings), read_config(settings)
    place = find_output(settings, _names(about, model.outputs, settings), model.outputs, key)
    output = _kind(settings, about, model.outputs, key)

    def score(text: pa.Array) -> np.ndarray:
        return np.array(
            [0.0 if row is None else compute_score(row, place, output) for row in model.rows(text)],
            np.float32,
        )

    return score


def compute_score(row: np.ndarray, place: int, output: str) -> float:
    """One output of a text, as it comes (`score`), by itself (`sigmoid`), or beside the others (softmax: `probability`)."""
    if output == "score":
        return float(row[place])
    if output == "sigmoid":  # a softmax beside 0, which overflows nowhere
        row, place = np.array([row[place], 0.0]), 0
    shares = np.exp(row - row.max())
    return float(shares[place] / math.fsum(shares))


def find_output(settings: ClassifierConfig, names: list[str], outputs: int, key: str) -> int:
    """The place of the label; raises ConfigError that says which there are."""
    where: dict[str, object] = {"key": f"{key}.label", "file": settings.model}
    if isinstance(settings.label, str) and names:
        return find_label(settings.label, names, where)
    if settings.label is None and outputs == 1:
        return 0
    if isinstance(settings.label, int) and 0 <= settings.label < outputs:
        return settings.label
    choice = (
        f"choose from {', '.join(names[:10])}"
        if names
        else "there is no config.json that names labels"
    )
    fix = f"{choice}, or give a place from 0 to {outputs - 1}"
    raise ConfigError("a classifier has no such label", where | {"given": settings.label}, fix)


def _kind(settings: ClassifierConfig, about: Mapping[str, Any], outputs: int, key: str) -> str:
    """How the outputs become the number; raises ConfigError for a regression that is taken for a probability."""
    if settings.output != "probability":
        return settings.output
    if about.get("problem_type") == REGRESSION:
        where = {"key": f"{key}.output", "file": settings.model, "problem_type": REGRESSION}
        raise ConfigError(
            "this model gives a score, no probability", where, 'set `output = "score"`'
        )
    return "sigmoid" if outputs == 1 or about.get("problem_type") == SEPARATE else "probability"


def read_config(settings: ClassifierConfig) -> dict[str, Any]:
    """What config.json says, nothing where there is none; raises InputError for one that cannot be read."""
    for path in _config_path(settings):
        try:
            return dict(json.loads(Path(path).read_bytes()))
        except (ValueError, TypeError) as error:
            where = {"file": path, "problem": error}
            raise InputError(
                "a model's config.json cannot be read", where, "mend it, or take it away"
            ) from None
    return {}


def _config_path(settings: ClassifierConfig) -> list[str]:
    """config.json beside the model, else beside the tokenizer, else none."""
    places = [
        Path(path).with_name("config.json") for path in (settings.model, find_tokenizer(settings))
    ]
    return [str(path) for path in places if path.is_file()][:1]


def _names(about: Mapping[str, Any], outputs: int, settings: ClassifierConfig) -> list[str]:
    """The labels by place, none where config.json does not name them; raises InputError where it names others."""
    named = about.get("id2label") or {}
    if not named:
        return []
    if isinstance(named, dict) and set(named) == {str(place) for place in range(outputs)}:
        return [str(named[str(place)]) for place in range(outputs)]
    where = {
        "file": _config_path(settings)[0],
        "id2label": str(named)[:200],
        "outputs of the model": outputs,
    }
    raise InputError(
        "a model's config.json names other labels than it has outputs",
        where,
        "give the one that belongs to it",
    )
