"""`prepare`: annotate, decide, tokenizer and pack in order, each one idempotent step.

In: files or crawl runs. Out: the runs of the four steps. Finished work is found by its name and
returned as it is, so a repeated command continues where the last one ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.progress import say
from gristmill.runs.finished import FinishedRun, Input
from gristmill.steps.options import StepOptions
from gristmill.steps.runner import run_step
from gristmill.steps.step import Step
from pipelines.annotate.step import AnnotateStep
from pipelines.config import PrepareConfig
from pipelines.decide.step import DecideStep, check_choices, check_only_hashes
from pipelines.engine.launch import Engine
from pipelines.pack.step import PackStep
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.step import TokenizerStep, find_earlier_tokenizer


@dataclass(frozen=True, slots=True)
class PreparedRuns:
    """The runs of the four steps of `prepare`."""

    annotated: FinishedRun
    decided: FinishedRun
    tokenizer: FinishedRun
    packed: FinishedRun


def make_engine(options: StepOptions) -> Engine:
    """Return how Beam runs, from a command's options."""
    return Engine(runner=options.runner, workers=options.workers, beam=options.runner_options)


def run_and_report(step: Step, options: StepOptions) -> FinishedRun:
    """Run a step and print its closing lines."""
    run = run_step(step, out=options.out, force=options.force)
    say(*step.summarize(run))
    return run


def prepare(
    sources: Sequence[FinishedRun | Input],
    settings: PrepareConfig,
    options: StepOptions,
    *,
    tokenizer: FinishedRun | None = None,
    new_tokenizer: bool = False,
) -> PreparedRuns:
    """Run the four steps; a given `tokenizer` skips the third.

    Without `new_tokenizer` an earlier tokenizer stays where only thresholds changed since.
    """
    check_choices(settings.decide, settings.annotate.custom_columns)
    check_only_hashes(settings, has_tokenizer=tokenizer is not None)
    engine = make_engine(options)
    annotated = run_and_report(AnnotateStep(sources, settings.annotate, engine), options)
    decided = run_and_report(
        DecideStep(annotated, settings.decide, engine, options.memory), options
    )
    if tokenizer is None and not new_tokenizer and not options.force:
        tokenizer = keep_tokenizer(decided, settings.tokenizer, options.out)
    if tokenizer is None:
        tokenizer = run_and_report(TokenizerStep(decided, settings.tokenizer, engine), options)
    packed = run_and_report(
        PackStep(decided, tokenizer, settings.pack, engine, options.memory), options
    )
    return PreparedRuns(annotated, decided, tokenizer, packed)


def keep_tokenizer(decided: FinishedRun, config: TokenizerConfig, out: Path) -> FinishedRun | None:
    """Return the tokenizer that a moved threshold leaves in place, and say so; else None.

    One that was trained on this very decide run is returned by running its step, as any finished run.
    """
    earlier = find_earlier_tokenizer(decided, config, out)
    if earlier is None:
        return None
    trained_on = {source["name"] for source in earlier.manifest["inputs"]}
    if decided.id in trained_on:
        return None
    say(
        f"tokenizer  kept: only thresholds changed since {earlier.path}"
        " (--new-tokenizer trains another)"
    )
    return earlier
