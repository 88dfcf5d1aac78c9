"""The step of this room as schedulers see it; importing this file needs no framework."""

from gristmill.steps.step import StepDeclaration

PRETRAIN = StepDeclaration(
    name="pretrain",
    command="pretrain",
    summary="train a causal model or a BERT on packed shards, and export it for Hugging Face",
    reads=("pack",),
    config="training.config:PretrainConfig",
    entry_modules=("training.pretrain",),
)
STEPS = (PRETRAIN,)
