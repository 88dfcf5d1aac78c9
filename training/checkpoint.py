"""Checkpoints that survive any crash: `step-N/` counts only once its manifest, written last, names
every file's hash.

A folder without a manifest is torn and gets removed; one whose bytes do not match is skipped, and
the next older one is taken. All randomness of training is computed from step numbers, so weights,
the optimizer's state and counters are the whole state.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from gristmill.errors import GristmillError, RunError
from gristmill.hashing import sha256_file
from gristmill.runs import storage

MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
MANIFEST = "manifest.json"
FILES = (MODEL, OPTIMIZER, STATE)

STEP_COUNT = "step"
"""The entry of an optimizer's state that counts a parameter's updates."""


@dataclass(frozen=True, slots=True)
class Counters:
    """How far a training is: optimizer steps taken and input tokens seen."""

    step: int = 0
    tokens: int = 0


def folder_of(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / f"step-{step}"


def step_of(folder: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(folder.name.removeprefix("step-"))


def save_checkpoint(
    run: Path, model: nn.Module, optimizer: torch.optim.Optimizer, counters: Counters
) -> Path:
    """Write one checkpoint, manifest last."""
    folder = folder_of(run, counters.step)
    _commit_tensors(folder / MODEL, dict(model.state_dict()))
    _commit_tensors(folder / OPTIMIZER, optimizer_tensors(model, optimizer))
    storage.commit_json(folder / STATE, {"step": counters.step, "tokens": counters.tokens})
    hashes = {name: sha256_file(folder / name) for name in FILES}
    storage.commit_json(folder / MANIFEST, {"sha256": hashes})
    return folder


def complete_steps(run: Path) -> list[int]:
    """The steps that have a manifest, oldest first."""
    return sorted(step_of(path.parent) for path in run.glob(f"step-*/{MANIFEST}"))


def damaged_files(folder: Path) -> list[str]:
    """The files of a checkpoint that are not what its manifest says; empty = intact."""
    hashes: dict[str, str] = storage.read_json(folder / MANIFEST)["sha256"]
    return [name for name, sha256 in hashes.items() if not _has_hash(folder / name, sha256)]


def _has_hash(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def newest_intact(run: Path) -> Path | None:
    """The newest checkpoint whose bytes are as written; torn and damaged newer ones are removed."""
    complete = complete_steps(run)
    for folder in run.glob("step-*"):
        if folder.is_dir() and step_of(folder) not in complete:
            shutil.rmtree(folder)
    for step in reversed(complete):
        folder = folder_of(run, step)
        if not damaged_files(folder):
            return folder
        shutil.rmtree(folder)
    return None


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Counters:
    """Put a checkpoint's weights and optimizer state back; returns its counters.

    RunError where the checkpoint is of another network.
    """
    try:
        model.load_state_dict(read_tensors(folder / MODEL))
    except RuntimeError as error:
        raise RunError(
            "this checkpoint is of another network",
            {"checkpoint": folder, "because": str(error).partition("\n")[0]},
            "remove it, and run `gristmill pretrain` again",
        ) from error
    counters = Counters(**storage.read_json(folder / STATE))
    tensors = read_tensors(folder / OPTIMIZER)
    restore_optimizer(model, optimizer, tensors, step=counters.step)
    return counters


def keep_only(run: Path, steps: set[int]) -> None:
    """Remove all other checkpoints; each loses its manifest first, so that a crash leaves no half
    of one.
    """
    for step in set(complete_steps(run)) - steps:
        folder = folder_of(run, step)
        (folder / MANIFEST).unlink()
        shutil.rmtree(folder)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file."""
    tensors: dict[str, Tensor] = load(path.read_bytes())
    return tensors


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything the optimizer holds for each parameter, as `ENTRY.PARAMETER`
    (`exp_avg.norm.weight`).

    A parameter that never had a gradient has no state, and no entry.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        # `get`, because optimizer.state is a defaultdict: looking would add an empty entry.
        for entry, value in optimizer.state.get(parameter, {}).items():
            if not isinstance(value, Tensor):
                raise GristmillError(
                    f"{type(optimizer).__name__} holds `{entry}` of {name} as"
                    f" {type(value).__name__}; a checkpoint can hold tensors only"
                )
            tensors[f"{entry}.{name}"] = value
    return tensors


def restore_optimizer(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tensors: dict[str, Tensor],
    *,
    step: int,
) -> None:
    """Put the state of each parameter back; `step` counts the updates where the file does not.

    RunError where the file holds state of a parameter that the network does not have.
    """
    parameters = dict(model.named_parameters())
    states: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        # Names of entries have no dot, names of parameters may have several.
        entry, _, name = key.partition(".")
        states.setdefault(name, {})[entry] = tensor
    unknown = sorted(set(states) - set(parameters))
    if unknown:
        raise RunError(
            "this checkpoint holds the optimizer's state of parameters that the network lacks",
            {"parameters": ", ".join(unknown[:5])},
            "remove the checkpoint, and run `gristmill pretrain` again",
        )
    for name, state in states.items():
        # Checkpoints of earlier versions (AdamW's moments alone) leave the count to state.json:
        # all parameters of such a run had a gradient in each step.
        if STEP_COUNT not in state and set(state) == {"exp_avg", "exp_avg_sq"}:
            state[STEP_COUNT] = torch.tensor(float(step))
        optimizer.state[parameters[name]] = state


def _commit_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    storage.commit_bytes(path, save(tensors, metadata={"format": "pt"}))
