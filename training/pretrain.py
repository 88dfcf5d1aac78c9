"""The step `pretrain`: a pack run in; checkpoints, metrics, a checked export and samples out."""

import itertools
import resource
from pathlib import Path

from gristmill.cli import say
from gristmill.progress import clock
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun, open_run
from gristmill.runs.run import Run, start_run
from training.checkpoint import complete_steps
from training.config import PretrainConfig
from training.corpus import PackedCorpus, open_corpus
from training.export import check_export, write_export
from training.generate import report_samples
from training.trainer import Trainer, read_metrics

CODE = (
    "training",
    "gristmill/config.py",
    "gristmill/hashing.py",
    "gristmill/corpus/shards.py",
    "gristmill/runs/storage.py",
)
LIBRARIES = ("torch", "numpy", "safetensors", "sentencepiece", "tokenizers")
TEXTS_TO_CHECK = 200


def pretrain(
    source: Path, config: PretrainConfig, out: Path, *, force: bool = False
) -> FinishedRun:
    """Train on a pack run; a finished run of the same settings is returned as it is."""
    pack = open_run(source, step="pack")
    inputs = [pack.as_input()]
    with start_run(
        "pretrain",
        out=out,
        config=config,
        inputs=inputs,
        code=CODE,
        libraries=LIBRARIES,
        force=force,
    ) as run:
        return run.finished or _train(run, open_corpus(pack), config)


def _train(run: Run, corpus: PackedCorpus, config: PretrainConfig) -> FinishedRun:
    trainer = Trainer(run.path, corpus, config)
    parameters = sum(weight.numel() for weight in trainer.model.parameters())
    _announce(trainer, corpus, config, parameters)
    telemetry = trainer.run()
    export = run.path / "export"
    write_export(export, trainer.model, corpus.tokenizer)
    proof = check_export(export, trainer.model, corpus.tokenizer, _texts(corpus))
    storage.commit_json(run.path / "samples.json", report_samples(trainer.model, corpus, config))
    last = [row for row in read_metrics(run.path / "metrics.jsonl") if "validation_loss" in row]
    return run.finish(
        counts={
            "steps": config.loop.steps,
            "tokens": trainer.counters.tokens,
            "parameters": parameters,
        },
        details={
            "objective": config.objective,
            "tokenizer": corpus.tokenizer.sha256,
            "first_validation": last[0],
            "last_validation": last[-1],
            "export": proof,
        },
        telemetry={
            **telemetry,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        },
    )


def _announce(
    trainer: Trainer, corpus: PackedCorpus, config: PretrainConfig, parameters: int
) -> None:
    """Say what will be trained, on how much, and how long it will take, before it starts."""
    loop = config.loop
    step_seconds = trainer.seconds_a_step()
    left = loop.steps - max(complete_steps(trainer.folder), default=0)
    tokens = left * loop.batch * config.data.sequence_length
    passes = left * loop.batch / len(trainer.objective)
    say(
        f"pretrain  {config.objective}: {parameters:,} parameters, vocabulary {corpus.tokenizer.vocabulary:,}",
        f"  train       {corpus.train.documents:,} documents, {corpus.train.tokens:,} tokens",
        f"  validation  {corpus.validation.documents:,} documents, {corpus.validation.tokens:,} tokens",
        f"  to do       {left:,} of {loop.steps:,} steps, up to {tokens:,} tokens: {passes:.1f} times the training split",
        f"  time        about {clock(step_seconds * left)} ({step_seconds:.2f} s a step, measured on {loop.threads}"
        f" threads); stop it when you like, it goes on from the last checkpoint",
    )


def _texts(corpus: PackedCorpus) -> list[str]:
    """The first validation documents as text: what the export's tokenizer is checked on."""
    split = corpus.validation
    starts = split.token_starts[: TEXTS_TO_CHECK + 1].tolist()
    spans = itertools.pairwise(starts)
    return [
        corpus.tokenizer.pieces.decode(split.text(begin, end).tolist())
        for begin, end in spans
        if end > begin
    ]
