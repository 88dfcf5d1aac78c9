"""What a step is: the declaration that schedulers read, and the work that the runner drives.

A step reads run folders or files and writes one run folder. To add one: a subclass of `Step` beside
its graph, and its `StepDeclaration` in the `declarations.py` of its room (entry point group
`gristmill.steps`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, ClassVar

from gristmill.config import Config
from gristmill.runs.finished import FinishedRun, Input
from gristmill.runs.receipts import DataFile
from gristmill.runs.run import Run

GROUP = "gristmill.steps"
"""Entry points of this group name a tuple of declarations; loading one imports no framework."""

FILES = "files"
"""Stands among what a step reads where it takes files, folders, globs or URLs instead of runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDeclaration:
    """A step as schedulers and people see it, without importing its work."""

    name: str
    """The step's name, with which the names of its run folders begin."""
    command: str
    """The words behind `gristmill` that run it."""
    summary: str
    reads: tuple[str, ...]
    """The steps whose runs it reads, and `FILES`."""
    config: str
    """The configuration that names its runs, as `module:Class`."""
    section: str = ""
    """The section of the room's configuration file that holds it; "" where the whole file does."""
    entry_modules: tuple[str, ...]
    """The modules of its work: their imports are the code that names its runs (decision 21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What a finished step puts into its manifest and telemetry."""

    ledger_stage: str | None = None
    """The stage whose receipts are summed into the ledger; None for a step without work splits."""
    counts: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    extra_files: Sequence[DataFile] = ()
    """Files that no receipt names."""


class Step(ABC):
    """One step with its settings and inputs; the runner calls the methods in the order they stand."""

    declaration: ClassVar[StepDeclaration]

    @abstractmethod
    def hashed_config(self) -> Config:
        """Return the settings that name the run: those that decide about its bytes."""

    @abstractmethod
    def list_inputs(self) -> Sequence[Input]:
        """Return all that is read; raise UserError where it cannot be used."""

    @abstractmethod
    def plan(self, run: Run) -> Mapping[str, int]:
        """Fix the work before it starts; return the number of work splits of each stage."""

    @abstractmethod
    def build(self, run: Run) -> Mapping[str, Any]:
        """Do the work that has no receipt yet; return the telemetry."""

    @abstractmethod
    def finalize(self, run: Run) -> Sealing:
        """Check that all is there, and say what the manifest holds beside the files."""

    def summarize(self, run: FinishedRun) -> list[str]:
        """Return the closing lines for people, also of a run that was finished before."""
        del run
        return []


def load_declarations() -> list[StepDeclaration]:
    """Return the declared steps of all installed rooms, each behind the steps that it reads."""
    declared = [step for entry in entry_points(group=GROUP) for step in entry.load()]
    return sort_by_flow(declared)


def sort_by_flow(declared: Sequence[StepDeclaration]) -> list[StepDeclaration]:
    """Sort steps so that each stands behind those it reads; ties by name.

    Raises ValueError where steps read each other in a circle.
    """
    waiting = {step.name: step for step in declared}
    ordered: list[StepDeclaration] = []
    while waiting:
        ready = [
            step for step in waiting.values() if not any(name in waiting for name in step.reads)
        ]
        if not ready:
            raise ValueError(f"steps read each other in a circle: {', '.join(sorted(waiting))}")
        first = min(ready, key=lambda step: step.name)
        ordered.append(waiting.pop(first.name))
    return ordered
