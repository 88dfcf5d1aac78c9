"""Columns of fastText classifiers: how probable a label is, for quality, toxicity or topic.

Models as they are published for quality (Li et al. 2024, arXiv 2406.11794) and toxicity (Soldaini et al. 2024, arXiv
2402.00159) give the probabilities that fastText gives for a text whose line breaks are spaces.
"""

import difflib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from gristmill.errors import ConfigError
from pipelines.annotate.config import ClassifierConfig
from pipelines.annotate.kernels.fasttext import score_label
from pipelines.annotate.signals.fasttext_model import LABEL, FastTextModel, read_model
from pipelines.annotate.signals.from_file import Score
from pipelines.kernels.buffers import get_text_buffers


def meaning(settings: ClassifierConfig) -> str:
    """What the column is."""
    return f"probability of `{settings.label}` by {Path(settings.model).name}, 0 to 1"


def files(settings: ClassifierConfig) -> list[str]:
    """The files it is made with."""
    return [settings.model]


def load(settings: ClassifierConfig, key: str) -> Score:
    """The probability of the label; raises InputError for a broken model, ConfigError where it has no such label."""
    model = read_once(settings.model, Path(settings.model).stat().st_mtime_ns)
    label = find_label(
        str(settings.label).removeprefix(LABEL),
        model.labels,
        {"key": f"{key}.label", "file": settings.model},
    )
    nodes, rights = model.path(label)

    def score(text: pa.Array) -> np.ndarray:
        data, offsets = get_text_buffers(text)
        out = np.empty(len(text), np.float32)
        cuts = np.asarray(offsets, np.int64)
        score_label(
            data, cuts, settings.max_chars, *model.arrays, label, nodes, rights, model.separate, out
        )
        return out

    return score


@lru_cache(maxsize=4)
def read_once(path: str, changed: int) -> FastTextModel:
    """A model file, in memory once for all of its labels that have a column."""
    return read_model(path)


def find_label(wanted: str, labels: Sequence[str], where: dict[str, object]) -> int:
    """The place of a label; raises ConfigError that names those there are, the nearest first."""
    if wanted in labels:
        return list(labels).index(wanted)
    near = difflib.get_close_matches(wanted, labels, n=3)
    choice = [*near, *(label for label in labels if label not in near)]
    more = f" and {len(choice) - 10} more" if len(choice) > 10 else ""
    raise ConfigError(
        "a classifier has no such label",
        where | {"given": wanted},
        f"choose from {', '.join(choice[:10])}{more}",
    )
