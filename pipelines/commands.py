"""The commands of preparation: `prepare`, and its steps one by one.

Frameworks are imported inside the commands, so that `gristmill --help` needs none of them.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill import cli
from gristmill.config import load
from gristmill.errors import ConfigError
from gristmill.progress import say
from gristmill.runs.finished import (
    FinishedRun,
    Input,
    find_latest,
    open_run,
    resolve_input,
    sibling_sessions,
)
from gristmill.steps.options import PASS_ON, StepOptions, takes_step_options
from pipelines import lookup_commands
from pipelines.tokenizer import commands as tokenizer_commands

if TYPE_CHECKING:
    from pipelines.config import PrepareConfig
    from pipelines.decide.dedup.estimate import DecideEstimate

TokenizerOption = Annotated[
    Path | None,
    typer.Option("--tokenizer", help="A finished tokenizer run; without it one is trained."),
]
NewTokenizerOption = Annotated[
    bool,
    typer.Option(
        "--new-tokenizer", help="Train one even where only a threshold changed since the last."
    ),
]
EstimateOption = Annotated[
    bool,
    typer.Option(
        "--estimate", help="Only say what it will take: memory, bytes regrouped, disk, time."
    ),
]
DocumentsOption = Annotated[
    int | None,
    typer.Option(
        "--documents", min=1, help="With --estimate: for so many documents, without a run."
    ),
]
PlanOption = Annotated[
    bool,
    typer.Option(
        "--plan", help="Only print the mixture: shares, and how often documents are written."
    ),
]

QUARANTINE_EXIT_CODE = 3
"""Done, but more records were quarantined than the error budget allows."""

ALL_OPTIONS = ("in", "config", "set", "out", "workers", "runner", "memory", "force", "json")


def register(app: typer.Typer) -> None:
    """Add the commands of this room."""
    app.command(context_settings=PASS_ON)(prepare)
    app.command(context_settings=PASS_ON)(annotate)
    app.command(context_settings=PASS_ON)(decide)
    group = typer.Typer(help="Train, import and export tokenizers.", no_args_is_help=True)
    group.command("train", context_settings=PASS_ON)(tokenizer_train)
    tokenizer_commands.register(group)
    app.add_typer(group, name="tokenizer")
    app.command(context_settings=PASS_ON)(pack)
    app.command("export-text", context_settings=PASS_ON)(export_text)
    app.command()(pseudonym)
    app.command("compile")(compile_kernels)
    lookup_commands.register(app)


@takes_step_options(*ALL_OPTIONS)
def prepare(
    options: StepOptions,
    tokenizer: TokenizerOption = None,
    new_tokenizer: NewTokenizerOption = False,
) -> None:
    """Turn a crawl or files into token shards: annotate, decide, tokenizer, pack.

    Reads WARC, MediaWiki dumps, JSON Lines (also .gz, .zst) and Parquet. Without --in the newest crawl run is read.

    Examples: gristmill prepare --in runs/crawl-7c1f2a9be003-0001 --workers 2;
    gristmill prepare --in 'dumps/*.parquet' --config configs/prepare/default.toml --set decide.near.bands=9
    """
    from pipelines.pack.step import suggest_next_command
    from pipelines.prepare import prepare as prepare_runs

    settings = _load_settings(options)
    runs = prepare_runs(
        _open_sources(options),
        settings,
        options,
        tokenizer=_open_tokenizer(tokenizer),
        new_tokenizer=new_tokenizer,
    )
    in_order = (runs.annotated, runs.decided, runs.tokenizer, runs.packed)
    cli.conclude(
        runs.packed,
        [suggest_next_command(runs.packed)],
        as_json=options.as_json,
        extra={"runs": {run.step: str(run.path) for run in in_order}},
        exit_code=_judge_quarantine(runs.annotated, settings),
    )


@takes_step_options(*ALL_OPTIONS)
def annotate(options: StepOptions) -> None:
    """Read documents, extract their text, and compute every signal once.

    Example: gristmill annotate --in corpus.jsonl.gz --out runs --workers 2
    """
    from pipelines.annotate.step import AnnotateStep
    from pipelines.prepare import make_engine, run_and_report

    settings = _load_settings(options)
    step = AnnotateStep(_open_sources(options), settings.annotate, make_engine(options))
    run = run_and_report(step, options)
    cli.conclude(run, as_json=options.as_json, exit_code=_judge_quarantine(run, settings))


@takes_step_options(*ALL_OPTIONS)
def decide(
    options: StepOptions,
    estimate: EstimateOption = False,
    documents: DocumentsOption = None,
) -> None:
    """Keep or drop every document of an annotate run, with all reasons; find copies and repeated text.

    Examples: gristmill decide --in runs/annotate-0f3c55d21a7e --set decide.thresholds.too_few_words.min=30;
    gristmill decide --set decide.near.threshold=0.6 --set decide.repeated.documents=100;
    gristmill decide --estimate --documents 1000000000 --memory 64G --workers 32
    """
    from pipelines.decide.step import DecideStep, estimate_decide
    from pipelines.prepare import make_engine, run_and_report

    settings = _load_settings(options)
    engine = make_engine(options)
    if estimate:
        count = documents or options.open_single_run("annotate").counts["kept"]
        needs = estimate_decide(count, settings.decide, engine, options.memory, options.out)
        _print_estimate(needs, as_json=options.as_json)
        return
    step = DecideStep(options.open_single_run("annotate"), settings.decide, engine, options.memory)
    cli.conclude(run_and_report(step, options), as_json=options.as_json)


@takes_step_options(*ALL_OPTIONS)
def tokenizer_train(options: StepOptions) -> None:
    """Train a sentencepiece model on a sample of the documents that a decide run kept.

    Example: gristmill tokenizer train --in runs/decide-03c95a7e1b2d --set tokenizer.vocab_size=16384
    """
    from pipelines.prepare import make_engine, run_and_report
    from pipelines.tokenizer.step import TokenizerStep

    settings = _load_settings(options)
    decided = options.open_single_run("decide")
    step = TokenizerStep(decided, settings.tokenizer, make_engine(options))
    cli.conclude(run_and_report(step, options), as_json=options.as_json)


@takes_step_options(*ALL_OPTIONS)
def pack(options: StepOptions, tokenizer: TokenizerOption = None, plan: PlanOption = False) -> None:
    """Write the kept documents of a decide run as token shards.

    Examples: gristmill pack --in runs/decide-03c95a7e1b2d --tokenizer runs/tokenizer-9f2c11ab04de --workers 2;
    gristmill pack --plan --set 'pack.mixture.by=["lang"]' --set pack.mixture.temperature=3;
    gristmill pack --set 'pack.mixture.by=["source"]' --set 'pack.mixture.weights={"source=wiki"=2.0}'
    """
    from pipelines.pack.step import PackStep, format_pack_plan, suggest_next_command
    from pipelines.prepare import make_engine, run_and_report

    settings = _load_settings(options)
    engine = make_engine(options)
    decided = options.open_single_run("decide")
    trained = _open_tokenizer(tokenizer) or find_latest(options.out, "tokenizer")
    if plan:
        lines = format_pack_plan(decided, trained, settings.pack, options.out)
        typer.echo("\n".join(lines))
        return
    step = PackStep(decided, trained, settings.pack, engine, options.memory)
    run = run_and_report(step, options)
    cli.conclude(run, [suggest_next_command(run)], as_json=options.as_json)


@takes_step_options(*ALL_OPTIONS)
def export_text(options: StepOptions) -> None:
    """Write the kept documents of a decide run as text, cut and masked, with all their columns: Parquet or JSON Lines.

    For use with another tokenizer. Without --in the newest decide run is read.

    Examples: gristmill export-text --in runs/decide-03c95a7e1b2d --workers 2;
    gristmill export-text --set export_text.format=jsonl --set export_text.compression=gzip;
    gristmill export-text --set 'export_text.columns=["id","text","url","licence"]'
    """
    from pipelines.export_text.step import ExportTextStep
    from pipelines.prepare import make_engine, run_and_report

    settings = _load_settings(options)
    decided = options.open_single_run("decide")
    step = ExportTextStep(decided, settings.export_text, make_engine(options))
    cli.conclude(run_and_report(step, options), as_json=options.as_json)


def compile_kernels() -> None:
    """Compile the kernels of preparation now, which the first run on a machine would else do: about a minute.

    For images of workers: with NUMBA_CACHE_DIR set to a folder of the image, its machines compile nothing. Prints that folder.

    Example: gristmill compile
    """
    from pipelines.compiling import compile_all, is_compiled

    if is_compiled():
        say("compile  the kernels were compiled before")
    else:
        say("compile  about a minute")
        say(f"compile  done in {compile_all():.0f} s")
    typer.echo(os.environ["NUMBA_CACHE_DIR"])


def pseudonym(
    author: Annotated[
        str, typer.Argument(help="The author's account URL or name, as the source gives it.")
    ],
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
) -> None:
    """Print the pseudonym that documents carry in place of an author, for a takedown list.

    Example: gristmill pseudonym https://social.example/@name --set annotate.author_key=the-key-of-the-corpus
    """
    from pipelines.annotate.graph import make_pseudonym as derive_pseudonym
    from pipelines.config import PrepareConfig

    settings = load(PrepareConfig, config, overrides or [])
    derived = derive_pseudonym(author, settings.annotate.author_key)
    if derived is None:
        raise ConfigError(
            "a pseudonym needs the key of the corpus", fix="--set annotate.author_key=..."
        )
    typer.echo(derived)


def _load_settings(options: StepOptions) -> "PrepareConfig":
    from pipelines.config import PrepareConfig

    return options.load_config(PrepareConfig)


def _open_sources(options: StepOptions) -> list[FinishedRun | Input]:
    """Return what --in names; without it all sessions of the newest crawl."""
    if not options.inputs:
        return list(sibling_sessions(find_latest(options.out, "crawl")))
    return [resolve_input(text) for text in options.inputs]


def _open_tokenizer(path: Path | None) -> FinishedRun | None:
    return open_run(path, step="tokenizer") if path else None


def _judge_quarantine(annotated: FinishedRun, settings: "PrepareConfig") -> int:
    """Return the exit code that the error budget gives an annotate run."""
    is_over_budget = annotated.counts["quarantined"] > settings.errors.budget
    return QUARANTINE_EXIT_CODE if is_over_budget else 0


def _print_estimate(needs: "DecideEstimate", *, as_json: bool) -> None:
    from pipelines.decide.dedup.estimate import format_estimate

    if as_json:
        typer.echo(json.dumps(asdict(needs) | {"total": needs.total}))
    else:
        typer.echo("\n".join(format_estimate(needs)))
