"""Columns of word lists: how much of a document is on a list, such as one of words not for children.

A list is a text file in UTF-8 with one word or phrase a line, the format of LDNOOBW, whose lists C4 drops every page by
that has an entry of (Raffel et al. 2020): `max = 0` in a rule does the same.
"""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from gristmill.errors import InputError
from pipelines.annotate.config import WordListConfig
from pipelines.annotate.extract.normalize import normalize
from pipelines.annotate.kernels.word_lists import build_word_automaton, measure_listed_shares
from pipelines.annotate.signals.from_file import Score
from pipelines.kernels.buffers import get_text_buffers


def meaning(settings: WordListConfig) -> str:
    """What the column is."""
    return f"share of characters, but white space, in words and phrases of {Path(settings.path).name}, 0 to 1"


def files(settings: WordListConfig) -> list[str]:
    """The files it is made with."""
    return [settings.path]


def load(settings: WordListConfig, key: str) -> Score:
    """The share of a text that is on the list; raises InputError for one that is empty or not in UTF-8."""
    automaton = build_word_automaton(read_list(settings.path, key))

    def score(text: pa.Array) -> np.ndarray:
        return measure_listed_shares(*get_text_buffers(text), automaton)

    return score


def read_list(path: str | os.PathLike[str], key: str) -> list[str]:
    """The entries of a list in the normal form of documents, without blank lines."""
    where: dict[str, object] = {"key": key, "file": path}
    try:
        lines = Path(path).read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        where["line"] = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            "a word list is not in UTF-8", where, "save it in UTF-8, one word or phrase a line"
        ) from None
    if entries := [entry for line in lines if (entry := normalize(line))]:
        return entries
    raise InputError("a word list has no entries", where, "write one word or phrase a line into it")
