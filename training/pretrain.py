"""The step `pretrain`: a pack run in; checkpoints, metrics, a checked export and samples out."""

from __future__ import annotations

import itertools
import resource
from pathlib import Path

from gristmill.cli import say
from gristmill.progress import clock
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun, open_run
from gristmill.runs.run import Run, start_run
from gristmill.steps.code_identity import digest_code
from training.checkpoint import complete_steps
from training.config import PretrainConfig
from training.contract import ExportProof, PretrainDetails, samples_to_json
from training.corpus import PackedCorpus, open_corpus
from training.export import check_export, write_export
from training.metrics import read_metrics
from training.tasks.registry import task_module
from training.trainer import Trainer

TEXTS_TO_CHECK = 200


def pretrain(
    source: Path, config: PretrainConfig, out: Path, *, force: bool = False
) -> FinishedRun:
    """Train on a pack run; a finished run of the same settings is returned as it is."""
    pack = open_run(source, step="pack")
    with start_run(
        "pretrain",
        out=out,
        config=config,
        inputs=[pack.as_input()],
        # Of the tasks only the configured one: another task's code does not rename this run.
        code=digest_code("training.pretrain", task_module(config.task)),
        force=force,
    ) as run:
        return run.finished or _train(run, open_corpus(pack), config)


def _train(run: Run, corpus: PackedCorpus, config: PretrainConfig) -> FinishedRun:
    trainer = Trainer(run.path, corpus, config)
    parameters = sum(weight.numel() for weight in trainer.model.parameters())
    _announce(trainer, corpus, parameters)
    telemetry = trainer.run()
    proof = _export(run.path / "export", trainer, corpus)
    samples = trainer.task.write_samples(trainer.model, corpus, config)
    storage.commit_json(run.path / "samples.json", samples_to_json(samples))
    # ru_maxrss counts KiB on Linux.
    peak_memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return run.finish(
        counts={
            "steps": config.loop.steps,
            "tokens": trainer.counters.tokens,
            "parameters": parameters,
        },
        details=_describe_training(trainer, corpus, proof).to_json(),
        telemetry={**telemetry.to_json(), "peak_memory_mb": peak_memory_mb},
    )


def _export(folder: Path, trainer: Trainer, corpus: PackedCorpus) -> ExportProof:
    exporter = trainer.task.exporter()
    write_export(folder, trainer.model, corpus.tokenizer, exporter)
    texts = _decode_validation_texts(corpus)
    return check_export(folder, trainer.model, corpus.tokenizer, texts, exporter)


def _describe_training(
    trainer: Trainer, corpus: PackedCorpus, proof: ExportProof
) -> PretrainDetails:
    rows = read_metrics(trainer.metrics.path)
    validations = [row for row in rows if "validation_loss" in row]
    return PretrainDetails(
        task=trainer.config.task,
        tokenizer=corpus.tokenizer.sha256,
        first_validation=validations[0],
        last_validation=validations[-1],
        export=proof,
    )


def _announce(trainer: Trainer, corpus: PackedCorpus, parameters: int) -> None:
    """Say what will be trained, on how much, and how long it will take, before it starts."""
    config = trainer.config
    loop = config.loop
    step_seconds = trainer.seconds_a_step()
    steps = loop.steps - max(complete_steps(trainer.folder), default=0)
    tokens = steps * loop.batch * config.data.sequence_length
    passes = steps * loop.batch / len(trainer.task)
    train = corpus.train
    validation = corpus.validation
    say(
        f"pretrain  {config.task}: {parameters:,} parameters,"
        f" vocabulary {corpus.tokenizer.vocabulary:,}",
        f"  train       {train.documents:,} documents, {train.tokens:,} tokens",
        f"  validation  {validation.documents:,} documents, {validation.tokens:,} tokens",
        f"  to do       {steps:,} of {loop.steps:,} steps, up to {tokens:,} tokens:"
        f" {passes:.1f} times the training split",
        f"  time        about {clock(step_seconds * steps)} ({step_seconds:.2f} s a step,"
        f" measured on {loop.threads} threads); stop it when you like,"
        " it goes on from the last checkpoint",
    )


def _decode_validation_texts(corpus: PackedCorpus) -> list[str]:
    """The first validation documents as text: what the export's tokenizer is checked on."""
    split = corpus.validation
    starts = split.token_starts[: TEXTS_TO_CHECK + 1].tolist()
    decode = corpus.tokenizer.pieces.decode
    return [
        decode(split.text(begin, end).tolist())
        for begin, end in itertools.pairwise(starts)
        if end > begin
    ]
