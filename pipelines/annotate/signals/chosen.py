"""The columns that a configuration adds to every document: functions, classifiers and word lists of the user."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from gristmill.errors import UserError
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.signals import (
    classifier,
    from_file,
    onnx_classifier,
    onnx_model,
    perplexity,
    word_list,
)
from pipelines.annotate.signals.custom import load_custom_signals
from pipelines.annotate.signals.from_file import load_file_columns


class CustomColumn(Protocol):
    """One number for each document, made with files of the user's that name the run by their hashes."""

    @property
    def name(self) -> str:
        """What the column is called."""

    @property
    def key(self) -> str:
        """Where the configuration names it."""

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        """Path and SHA-256 of every file it is made with."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions, beyond those that every document is made with, whose versions name the run too."""

    @property
    def field(self) -> pa.Field:
        """Its Arrow field: a number that is never null, and what it is."""

    def open(self) -> object:
        """Read its files; raises UserError for what cannot be used. A process does this once."""

    def column(self, batch: pa.RecordBatch) -> pa.Array:
        """The numbers of a batch that has `id`, `text` and `lang`; raises UserError where one is not finite."""


def load_custom_columns(config: AnnotateConfig) -> tuple[CustomColumn, ...]:
    """The columns of a configuration; raises UserError where a module, function or file is not there."""
    onnx = {name: settings for name, settings in config.classifiers.items() if settings.is_onnx}
    fasttext = {name: settings for name, settings in config.classifiers.items() if name not in onnx}
    return (
        *load_custom_signals(config.signals),
        *load_file_columns(
            "classifiers", fasttext, classifier.meaning, classifier.files, classifier.load
        ),
        *load_file_columns(
            "classifiers",
            onnx,
            onnx_classifier.meaning,
            onnx_classifier.files,
            onnx_classifier.load,
            onnx_classifier.libraries,
        ),
        *load_file_columns(
            "word_lists", config.word_lists, word_list.meaning, word_list.files, word_list.load
        ),
        *load_file_columns(
            "perplexity",
            config.perplexity,
            perplexity.meaning,
            perplexity.files,
            perplexity.load,
            perplexity.libraries,
        ),
    )


def refuse_edited(
    columns: Sequence[CustomColumn], started_with: Mapping[str, tuple[tuple[str, str], ...]]
) -> None:
    """Raise UserError where a file is no longer what the run, named by its hash, began with."""
    for column in columns:
        if edited := sorted(set(column.files) - set(started_with[column.name])):
            where = {"signal": column.name, "file": edited[0][0]}
            raise UserError(
                "an own signal was edited while its run goes on",
                where,
                "run the same command again",
            )


def unload_models() -> None:
    """Let go of all models and lists that this process has loaded."""
    classifier.read_once.cache_clear()
    onnx_model.read_once.cache_clear()
    from_file.load_once.cache_clear()
