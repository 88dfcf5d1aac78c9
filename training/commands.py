"""The room's commands: `gristmill pretrain` and `gristmill generate`."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from gristmill import cli, config
from gristmill.errors import MissingExtra, UserError
from gristmill.runs.finished import find_latest
from training.config import PretrainConfig

ModelOption = Annotated[Path, typer.Option("--model", help="A pretrain run, or its export folder.")]
PromptOption = Annotated[
    str, typer.Option("--prompt", help="The text to continue, or a text with [MASK] to fill.")
]
TokensOption = Annotated[
    int, typer.Option("--tokens", min=1, help="How many tokens to draw at most.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="The same seed draws the same text.")]


def register(app: typer.Typer) -> None:
    """Add the room's commands to the command line."""
    app.command("pretrain")(pretrain)
    app.command("generate")(generate)


def pretrain(
    source: cli.InOption = None,
    config_file: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    out: cli.OutOption = Path("runs"),
    force: cli.ForceOption = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Train a causal model or a BERT on a pack run, and export it for Hugging Face.

    Without --in the newest pack run is read. Stopped or killed, the same command continues from the last checkpoint.

    Example: gristmill pretrain --in runs/pack-e41a0c7d9f52 --config configs/train/tiny-causal.toml
    """
    settings = config.load(PretrainConfig, config_file, overrides or ())
    packs = [Path(name) for name in source or ()] or [find_latest(out, "pack").path]
    if len(packs) > 1:
        raise UserError(
            "one pack run is trained on at a time", {"given": ", ".join(map(str, packs))}
        )
    _prepare_torch()
    from training.pretrain import pretrain as train

    run = train(packs[0], settings, out, force=force)
    first, last = run.details["first_validation"], run.details["last_validation"]
    cli.conclude(
        run,
        [
            f"pretrain  validation loss {first['validation_loss']:.3f} -> {last['validation_loss']:.3f}"
            f" in {run.counts['steps']:,} steps, {run.counts['tokens']:,} tokens",
            f"  export  {run.path / 'export'}   logits and token ids checked against transformers",
            f"next: gristmill audit --in {packs[0]} --model {run.path / 'export'} --out {run.path.parent}",
        ],
        as_json=as_json,
    )


def generate(
    model: ModelOption, prompt: PromptOption, tokens: TokensOption = 48, seed: SeedOption = 1
) -> None:
    """Let a trained model continue a text, or fill its masks.

    Example: gristmill generate --model runs/pretrain-4c3309136629 --prompt "The baker's daughter"
    """
    _prepare_torch()
    from training.generate_text import generate_text

    typer.echo(generate_text(model, prompt, tokens=tokens, seed=seed))


def _prepare_torch() -> None:
    """Check that torch is there, and let its idle threads sleep: spinning, they make a shared machine ten times slower."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is first imported
    for package in ("torch", "safetensors", "transformers"):
        if find_spec(package) is None:
            raise MissingExtra(package, "train")
