"""The tasks a model can be trained for, by the name that configurations use.

This module is read by the configuration, so it imports neither torch nor any task: a task's
module is imported when a training starts.
"""

from __future__ import annotations

from collections.abc import Mapping

TASKS: Mapping[str, str] = {
    "causal": "training.tasks.causal:CausalTask",
    "mlm_nsp": "training.tasks.mlm_nsp:MaskedNextSentenceTask",
}
"""Name in configurations -> module and class."""


def check_task_name(name: str) -> str:
    """Return the name of a task; ValueError where no task has it."""
    if name not in TASKS:
        names = " or ".join(f"'{task}'" for task in TASKS)
        raise ValueError(f"Input should be {names}")
    return name


def task_module(name: str) -> str:
    """The module that holds a task."""
    return TASKS[name].partition(":")[0]
