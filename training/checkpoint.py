"""Checkpoints that survive any crash: `step-N/` counts only once its manifest, written last, names every file's hash.

A folder without a manifest is torn and gets removed; one whose bytes do not match is skipped, and the next older one
is taken. All randomness of training is computed from step numbers, so weights, moments and counters are the whole state.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from gristmill.hashing import sha256_file
from gristmill.runs import storage

MODEL, OPTIMIZER, STATE, MANIFEST = (
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
    "manifest.json",
)
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True)
class Counters:
    """How far a training is: optimizer steps taken and input tokens seen."""

    step: int = 0
    tokens: int = 0


def folder_of(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / f"step-{step}"


def save_checkpoint(
    run: Path, model: nn.Module, optimizer: torch.optim.Optimizer, counters: Counters
) -> Path:
    """Write one checkpoint, manifest last."""
    folder = folder_of(run, counters.step)
    _commit_tensors(folder / MODEL, dict(model.state_dict()))
    _commit_tensors(folder / OPTIMIZER, _moments(model, optimizer))
    storage.commit_json(folder / STATE, {"step": counters.step, "tokens": counters.tokens})
    hashes = {name: sha256_file(folder / name) for name in (MODEL, OPTIMIZER, STATE)}
    storage.commit_json(folder / MANIFEST, {"sha256": hashes})
    return folder


def complete_steps(run: Path) -> list[int]:
    """The steps that have a manifest, oldest first."""
    return sorted(
        int(path.parent.name.removeprefix("step-")) for path in run.glob(f"step-*/{MANIFEST}")
    )


def damaged_files(folder: Path) -> list[str]:
    """The files of a checkpoint that are not what its manifest says; empty = intact."""
    hashes: dict[str, str] = storage.read_json(folder / MANIFEST)["sha256"]
    return [
        name
        for name, known in hashes.items()
        if not (folder / name).is_file() or sha256_file(folder / name) != known
    ]


def newest_intact(run: Path) -> Path | None:
    """The newest checkpoint whose bytes are as written; torn and damaged newer ones are removed."""
    done = complete_steps(run)
    for folder in run.glob("step-*"):
        if folder.is_dir() and int(folder.name.removeprefix("step-")) not in done:
            shutil.rmtree(folder)
    for step in reversed(done):
        folder = folder_of(run, step)
        if not damaged_files(folder):
            return folder
        shutil.rmtree(folder)
    return None


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Counters:
    """Put a checkpoint's weights and moments back; returns its counters."""
    model.load_state_dict(read_tensors(folder / MODEL))
    state = storage.read_json(folder / STATE)
    moments = read_tensors(folder / OPTIMIZER)
    for name, weight in model.named_parameters():
        restored: dict[str, Any] = {moment: moments[f"{moment}.{name}"] for moment in MOMENTS}
        optimizer.state[weight] = {"step": torch.tensor(float(state["step"])), **restored}
    return Counters(step=state["step"], tokens=state["tokens"])


def keep_only(run: Path, steps: set[int]) -> None:
    """Remove all other checkpoints; each loses its manifest first, so that a crash leaves no half of one."""
    for step in set(complete_steps(run)) - steps:
        folder = folder_of(run, step)
        (folder / MANIFEST).unlink()
        shutil.rmtree(folder)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file."""
    tensors: dict[str, Tensor] = load(path.read_bytes())
    return tensors


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    named = model.named_parameters()
    return {
        f"{moment}.{name}": optimizer.state[weight][moment]
        for name, weight in named
        for moment in MOMENTS
    }


def _commit_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    storage.commit_bytes(path, save(tensors, metadata={"format": "pt"}))
