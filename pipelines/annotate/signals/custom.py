"""Signals of the user: `module:function` of the configuration, loaded, called with a whole batch, and checked.

A function takes a `pyarrow.RecordBatch` (text, lang, title, url, source, kind ...) and returns one finite number for
each of its documents, as an Arrow or NumPy array. Its file's hash is an input of the run: an edit makes a new run.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.errors import ConfigError, UserError
from gristmill.hashing import sha256_file

Function = Callable[[pa.RecordBatch], Any]


@dataclass(frozen=True, slots=True)
class CustomSignal:
    """One signal of the user: its function, and the hash of the file that this comes from."""

    name: str
    target: str
    function: Function
    file: str
    sha256: str

    @property
    def key(self) -> str:
        """Where the configuration names it."""
        return f"annotate.signals.{self.name}"

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        """Path and SHA-256 of the one file that is watched."""
        return ((self.file, self.sha256),)

    @property
    def libraries(self) -> tuple[str, ...]:
        """None that we know of: what the file imports is not watched."""
        return ()

    def open(self) -> None:
        """Nothing is left to do: a function is there once its file was run."""

    @property
    def field(self) -> pa.Field:
        """Its column in the documents."""
        about = (self.function.__doc__ or "").strip().partition("\n")[0].strip() or self.target
        return pa.field(
            self.name, pa.float32(), nullable=False, metadata={"is": about, "source": "own"}
        )

    def column(self, batch: pa.RecordBatch) -> pa.Array:
        """One number for each document; raises UserError where the function fails or gives anything else."""
        where: dict[str, object] = {"signal": self.name, "function": self.target}
        try:
            given = self.function(batch)
        except Exception as error:
            where["problem"] = f"{type(error).__name__}: {error}"
            raise UserError(
                "the function of an own signal failed", where, f"mend {self.file}"
            ) from error
        numbers = self._numbers(given, batch.num_rows, where)
        if not np.isfinite(
            numbers
        ).all():  # a NaN is neither below nor above a bound: it would pass every rule
            where["document"] = batch["id"][int(np.argmin(np.isfinite(numbers)))].as_py()
            raise UserError(
                "an own signal is no finite number",
                where,
                f"return a finite number for it in {self.file}",
            )
        return pa.array(numbers, pa.float32())

    def _numbers(self, given: object, rows: int, where: Mapping[str, object]) -> np.ndarray:
        fix = f"return one finite number for each document, as a pyarrow.Array or numpy.ndarray, in {self.file}"
        if isinstance(given, (pa.Array, pa.ChunkedArray)):
            given = (
                given.to_numpy()
                if isinstance(given, pa.ChunkedArray)
                else given.to_numpy(zero_copy_only=False)
            )
        if not isinstance(given, np.ndarray) or given.shape != (rows,):
            shape = (
                f"an array of shape {given.shape}"
                if isinstance(given, np.ndarray)
                else type(given).__name__
            )
            raise UserError(
                "an own signal needs one number for each document",
                {**where, "documents": rows, "given": shape},
                fix,
            )
        if given.dtype.kind not in "biuf" and rows:
            raise UserError(
                "an own signal must be a number",
                {**where, "given": f"values of {given.dtype}"},
                fix,
            )
        with np.errstate(over="ignore"):
            return given.astype(np.float32)


def load_custom_signals(wanted: Mapping[str, str]) -> tuple[CustomSignal, ...]:
    """The signals of a configuration by name; raises ConfigError where a module or function is not there."""
    return tuple(_load(name, target) for name, target in wanted.items())


def _load(name: str, target: str) -> CustomSignal:
    module, _, attribute = target.partition(":")
    where: dict[str, object] = {"key": f"annotate.signals.{name}", "given": target}
    spec = _find(module, where)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        where["looked in"] = f"{os.getcwd()} and the installed packages"
        raise ConfigError(
            "there is no such Python module for a signal",
            where,
            f"put {module}.py into the folder you work in",
        )
    sha256 = sha256_file(spec.origin)
    function = _run_file(spec.origin, module, sha256, tuple(where.items())).get(attribute)
    if not callable(function):
        fix = f"write `def {attribute}(batch)` there, or name another function"
        raise ConfigError(
            "a signal's module has no such function", {**where, "file": spec.origin}, fix
        )
    return CustomSignal(name, target, function, spec.origin, sha256)


def _find(module: str, where: Mapping[str, object]) -> ModuleSpec | None:
    if (
        os.getcwd() not in sys.path
    ):  # workers start with the same folder, but not always with it on their path
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        return importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(
            "a signal's package cannot be imported", {**where, "problem": problem}, "mend it"
        ) from error


@lru_cache(maxsize=64)
def _run_file(
    file: str, module: str, sha256: str, where: tuple[tuple[str, object], ...]
) -> dict[str, Any]:
    """The names that a file defines. It is run as it stands: what was imported or compiled before may be older."""
    made = ModuleType(f"own_signal_{sha256[:16]}")
    made.__file__, made.__package__ = file, module.rpartition(".")[0]
    sys.modules[made.__name__] = made  # dataclasses, among others, look their module up
    try:
        exec(
            compile(Path(file).read_bytes(), file, "exec"), vars(made)
        )  # the user's own code, which he asks us to run
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise ConfigError(
            "a signal's module cannot be imported",
            {**dict(where), "file": file, "problem": problem},
            "mend the file",
        ) from error
    return vars(made)
