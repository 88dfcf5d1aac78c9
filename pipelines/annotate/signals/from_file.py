"""Columns made with a file of the user's, such as a model: hashed when it changes, read once in a process."""

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.errors import InputError, MissingExtra, UserError
from gristmill.hashing import sha256_file
from pipelines.annotate.config import FileSignalConfig

Files = tuple[tuple[str, str], ...]
Score = Callable[[pa.Array], np.ndarray]
"""Gives one number for each text of a `string` column without nulls."""
Load = Callable[[Any, str], Score]
"""Makes the score of a section of the configuration, whose key it is given; raises UserError."""


@dataclass(frozen=True, slots=True)
class FileColumn:
    """One column: its meaning, what it is made with, and how that is read."""

    name: str
    key: str
    meaning: str
    settings: FileSignalConfig
    files: Files
    load: Load
    libraries: tuple[str, ...] = ()
    """Distributions beyond those of every document that its numbers depend on."""

    @property
    def field(self) -> pa.Field:
        """Its column in the documents."""
        return pa.field(
            self.name, pa.float32(), nullable=False, metadata={"is": self.meaning, "source": "own"}
        )

    def open(self) -> Score:
        """What gives the numbers; the files are read by the first call in a process."""
        return load_once(self.load, self.settings, self.key, self.files)

    def column(self, batch: pa.RecordBatch) -> pa.Array:
        """One number for each document, 0 where its language is not looked at; raises UserError for one that is not finite."""
        score, numbers = self.open(), np.zeros(batch.num_rows, np.float32)
        wanted = pa.array(self.settings.languages or [], pa.string())
        mine = (
            pc.is_in(batch["lang"], wanted).to_numpy(zero_copy_only=False)
            if len(wanted)
            else numbers == 0
        )
        if mine.any():
            numbers[mine] = score(batch["text"].filter(pa.array(mine)))
        if not np.isfinite(numbers).all():
            document = batch["id"][int(np.argmin(np.isfinite(numbers)))].as_py()
            where = {"signal": self.name, "file": self.files[0][0], "document": document}
            raise UserError(
                "an own signal is no finite number",
                where,
                "this model cannot be used: choose another",
            )
        return pa.array(numbers, pa.float32())


@lru_cache(maxsize=32)
def load_once(load: Load, settings: FileSignalConfig, key: str, files: Files) -> Score:
    """The score of these settings, and of files with these hashes."""
    return load(settings, key)


def load_file_columns(
    section: str,
    chosen: Mapping[str, FileSignalConfig],
    meaning: Callable[[Any], str],
    paths: Callable[[Any], Iterable[str]],
    load: Load,
    libraries: Callable[[Any], tuple[str, ...]] = lambda _: (),
) -> list[FileColumn]:
    """The columns of one section of `annotate`; raises InputError naming a file that cannot be read."""
    found = []
    for name, settings in chosen.items():
        key = f"annotate.{section}.{name}"
        files = tuple((path, _hash(path, key)) for path in paths(settings))
        only = (
            f"; 0 in other languages than {', '.join(settings.languages)}"
            if settings.languages
            else ""
        )
        found.append(
            FileColumn(
                name, key, meaning(settings) + only, settings, files, load, libraries(settings)
            )
        )
    return found


def require_library(module: str, extra: str, key: str) -> None:
    """Raise MissingExtra where the module that this key of the configuration needs is not installed."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtra(module, extra, needed_by=f"`{key}`")


def _hash(path: str, key: str) -> str:
    try:
        there = os.stat(path)
        return _hash_file(path, there.st_ino, there.st_size, there.st_mtime_ns)
    except OSError as error:
        where = {"key": key, "file": path, "problem": error.strerror, "looked in": os.getcwd()}
        raise InputError(
            "a file that a column is made with cannot be read", where, "give its path"
        ) from None


@lru_cache(maxsize=256)
def _hash_file(path: str, *_: int) -> str:
    """A file's SHA-256; gigabytes are not read again for every split while size and time stay the same."""
    return sha256_file(path)
