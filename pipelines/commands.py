"""The commands of preparation: `prepare`, and its steps `annotate`, `decide`, `tokenizer train`, `pack`."""

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gristmill import cli
from gristmill.errors import ConfigError, InputError, UserError
from gristmill.runs.finished import (
    FinishedRun,
    Input,
    find_latest,
    open_run,
    resolve_input,
    sibling_sessions,
)
from pipelines import lookup_commands
from pipelines.tokenizer import commands as tokenizer_commands

if TYPE_CHECKING:
    from pipelines.config import PrepareConfig
    from pipelines.decide.dedup.estimate import DecideEstimate
    from pipelines.prepare import RunOptions

RunnerOption = Annotated[
    str, typer.Option("--runner", help="FnApiRunner, or PortableRunner with LOOPBACK workers.")
]
MemoryOption = Annotated[
    str, typer.Option("--memory", help="Working memory for grouping band keys, e.g. 512M or 4G.")
]
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
PASS_ON = {"allow_extra_args": True}
"""What stands behind `--` is Beam's; anything else we do not know is refused."""


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


def prepare(
    context: typer.Context,
    inputs: cli.InOption = None,
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    out: cli.OutOption = Path("runs"),
    tokenizer: TokenizerOption = None,
    new_tokenizer: NewTokenizerOption = False,
    workers: cli.WorkersOption = 1,
    runner: RunnerOption = "FnApiRunner",
    memory: MemoryOption = "1G",
    force: cli.ForceOption = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Turn a crawl or files into token shards: annotate, decide, tokenizer, pack.

    Reads WARC, MediaWiki dumps, JSON Lines (also .gz, .zst) and Parquet. Without --in the newest crawl run is read.

    Examples: gristmill prepare --in runs/crawl-7c1f2a9be003-0001 --workers 2;
    gristmill prepare --in 'dumps/*.parquet' --config configs/prepare/default.toml --set decide.near.bands=9
    """
    from pipelines import prepare as steps

    settings, how = _settings(config, overrides), _how(context, out, workers, runner, memory, force)
    steps.check_choices(settings.decide, settings.annotate.own_columns)
    steps.check_only_hashes(settings, tokenizer=tokenizer is not None)
    annotated = steps.run_annotate(_inputs(inputs, out), settings.annotate, how)
    _tell_annotated(annotated)
    decided = steps.run_decide(annotated, settings.decide, how)
    _tell_decided(decided)
    trained = _tokenizer(tokenizer) or _kept_tokenizer(decided, settings, how, new=new_tokenizer)
    trained = trained or steps.run_tokenizer(decided, settings.tokenizer, how)
    packed = steps.run_pack(decided, trained, settings.pack, how)
    _tell_packed(packed)
    runs_made = {run.step: str(run.path) for run in (annotated, decided, trained, packed)}
    code = _over_budget(annotated, settings.errors.budget)
    cli.conclude(
        packed, [_next(packed)], as_json=as_json, extra={"runs": runs_made}, exit_code=code
    )


def annotate(
    context: typer.Context,
    inputs: cli.InOption = None,
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    out: cli.OutOption = Path("runs"),
    workers: cli.WorkersOption = 1,
    runner: RunnerOption = "FnApiRunner",
    memory: MemoryOption = "1G",
    force: cli.ForceOption = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Read documents, extract their text, and compute every signal once.

    Example: gristmill annotate --in corpus.jsonl.gz --out runs --workers 2
    """
    from pipelines import prepare as steps

    settings, how = _settings(config, overrides), _how(context, out, workers, runner, memory, force)
    run = steps.run_annotate(_inputs(inputs, out), settings.annotate, how)
    _tell_annotated(run)
    cli.conclude(run, as_json=as_json, exit_code=_over_budget(run, settings.errors.budget))


def decide(
    context: typer.Context,
    inputs: cli.InOption = None,
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    out: cli.OutOption = Path("runs"),
    workers: cli.WorkersOption = 1,
    runner: RunnerOption = "FnApiRunner",
    memory: MemoryOption = "1G",
    force: cli.ForceOption = False,
    estimate: EstimateOption = False,
    documents: DocumentsOption = None,
    as_json: cli.JsonOption = False,
) -> None:
    """Keep or drop every document of an annotate run, with all reasons; find copies and repeated text.

    Examples: gristmill decide --in runs/annotate-0f3c55d21a7e --set decide.thresholds.too_few_words.min=30;
    gristmill decide --set decide.near.threshold=0.6 --set decide.repeated.documents=100;
    gristmill decide --estimate --documents 1000000000 --memory 64G --workers 32
    """
    from pipelines import prepare as steps

    settings, how = _settings(config, overrides), _how(context, out, workers, runner, memory, force)
    if estimate:
        count = documents or _one(inputs, out, "annotate").counts["kept"]
        _tell_estimate(steps.estimate_decide(count, settings.decide, how), as_json=as_json)
        return
    run = steps.run_decide(_one(inputs, out, "annotate"), settings.decide, how)
    _tell_decided(run)
    cli.conclude(run, as_json=as_json)


def tokenizer_train(
    context: typer.Context,
    inputs: cli.InOption = None,
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    out: cli.OutOption = Path("runs"),
    workers: cli.WorkersOption = 1,
    runner: RunnerOption = "FnApiRunner",
    memory: MemoryOption = "1G",
    force: cli.ForceOption = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Train a sentencepiece model on a sample of the documents that a decide run kept.

    Example: gristmill tokenizer train --in runs/decide-03c95a7e1b2d --set tokenizer.vocab_size=16384
    """
    from pipelines import prepare as steps

    settings, how = _settings(config, overrides), _how(context, out, workers, runner, memory, force)
    run = steps.run_tokenizer(_one(inputs, out, "decide"), settings.tokenizer, how)
    cli.conclude(run, as_json=as_json)


def pack(
    context: typer.Context,
    inputs: cli.InOption = None,
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    out: cli.OutOption = Path("runs"),
    tokenizer: TokenizerOption = None,
    workers: cli.WorkersOption = 1,
    runner: RunnerOption = "FnApiRunner",
    memory: MemoryOption = "1G",
    force: cli.ForceOption = False,
    plan: PlanOption = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Write the kept documents of a decide run as token shards.

    Examples: gristmill pack --in runs/decide-03c95a7e1b2d --tokenizer runs/tokenizer-9f2c11ab04de --workers 2;
    gristmill pack --plan --set 'pack.mixture.by=["lang"]' --set pack.mixture.temperature=3;
    gristmill pack --set 'pack.mixture.by=["source"]' --set 'pack.mixture.weights={"source=wiki"=2.0}'
    """
    from pipelines import prepare as steps

    settings, how = _settings(config, overrides), _how(context, out, workers, runner, memory, force)
    decided, trained = (
        _one(inputs, out, "decide"),
        _tokenizer(tokenizer) or find_latest(out, "tokenizer"),
    )
    if plan:
        typer.echo("\n".join(steps.pack_plan(decided, trained, settings.pack, how)))
        return
    run = steps.run_pack(decided, trained, settings.pack, how)
    _tell_packed(run)
    cli.conclude(run, [_next(run)], as_json=as_json)


def export_text(
    context: typer.Context,
    inputs: cli.InOption = None,
    config: cli.ConfigOption = None,
    overrides: cli.SetOption = None,
    out: cli.OutOption = Path("runs"),
    workers: cli.WorkersOption = 1,
    runner: RunnerOption = "FnApiRunner",
    memory: MemoryOption = "1G",
    force: cli.ForceOption = False,
    as_json: cli.JsonOption = False,
) -> None:
    """Write the kept documents of a decide run as text, cut and masked, with all their columns: Parquet or JSON Lines.

    For those who tokenize elsewhere. Without --in the newest decide run is read.

    Examples: gristmill export-text --in runs/decide-03c95a7e1b2d --workers 2;
    gristmill export-text --set export_text.format=jsonl --set export_text.compression=gzip;
    gristmill export-text --set 'export_text.columns=["id","text","url","licence"]'
    """
    from pipelines import prepare as steps

    settings, how = _settings(config, overrides), _how(context, out, workers, runner, memory, force)
    run = steps.run_export_text(_one(inputs, out, "decide"), settings.export_text, how)
    size = sum(file.bytes for file in run.data_files("text/"))
    cli.say(
        f"export-text  {run.counts['kept']} documents, {size / 1e6:.1f} MB{_reasons(run)} -> {run.path / 'text'}"
    )
    load = (
        f'"{run.path}"'  # where README.md states the types of columns, which JSON leaves to guesses
    )
    if settings.export_text.format == "parquet":
        load = f'"parquet", data_files="{run.path / "text"}/*.parquet"'
    needs = "   (with zstandard installed)" if settings.export_text.ending.endswith(".zst") else ""
    cli.conclude(run, [f"next: datasets.load_dataset({load}){needs}"], as_json=as_json)


def compile_kernels() -> None:
    """Compile the kernels of preparation now, which the first run on a machine would else do: about a minute.

    For images of workers: with NUMBA_CACHE_DIR set to a folder of the image, its machines compile nothing. Prints that folder.

    Example: gristmill compile
    """
    from gristmill.progress import say
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
    from pipelines.annotate.graph import pseudonym as keyed

    settings = _settings(config, overrides)
    found = keyed(author, settings.annotate.author_key)
    if found is None:
        raise ConfigError(
            "a pseudonym needs the key of the corpus", fix="--set annotate.author_key=..."
        )
    typer.echo(found)


def parse_bytes(text: str) -> int:
    """`512M`, `4G`, `1048576` as bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    size = int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " ")) if found else 0
    if size < 1:
        raise ConfigError("not a size", {"given": text}, "write it like 512M or 4G")
    return size


def beam_options(arguments: list[str]) -> tuple[str, ...]:
    """The options behind `--`, for Beam; raises UserError for a stray argument, which is an input without --in."""
    if stray := [word for word in arguments if not word.startswith("--")]:
        raise UserError(
            "an argument too many",
            {"given": " ".join(stray)},
            f"inputs are named with --in: --in {stray[0]}",
        )
    return tuple(arguments)


def _how(
    context: typer.Context, out: Path, workers: int, runner: str, memory: str, force: bool
) -> "How":
    """The options of one command, as its steps take them."""
    from pipelines.engine.launch import Engine
    from pipelines.prepare import RunOptions

    engine = Engine(runner=runner, workers=workers, beam=beam_options(context.args))
    return RunOptions(out=out, engine=engine, memory=parse_bytes(memory), force=force)


def _settings(config: Path | None, overrides: list[str] | None) -> "PrepareConfig":
    from gristmill.config import load
    from pipelines.config import PrepareConfig

    return load(PrepareConfig, config, overrides or [])


def _inputs(inputs: list[str] | None, out: Path) -> list[FinishedRun | Input]:
    if not inputs:
        return list(sibling_sessions(find_latest(out, "crawl")))
    return [resolve_input(text) for text in inputs]


def _one(inputs: list[str] | None, out: Path, step: str) -> FinishedRun:
    if inputs and len(inputs) > 1:
        raise InputError("this step reads one run", {"given": ", ".join(inputs)})
    return open_run(inputs[0], step=step) if inputs else find_latest(out, step)


def _tokenizer(path: Path | None) -> FinishedRun | None:
    return open_run(path, step="tokenizer") if path else None


def _kept_tokenizer(
    decided: FinishedRun, settings: "PrepareConfig", how: "How", *, new: bool
) -> FinishedRun | None:
    """The tokenizer that a moved threshold leaves in place, told; None where one is to be trained."""
    from pipelines import prepare as steps

    found = (
        None if new or how.force else steps.earlier_tokenizer(decided, settings.tokenizer, how.out)
    )
    if found and decided.id not in {source["name"] for source in found.manifest["inputs"]}:
        cli.say(
            f"tokenizer  kept: only thresholds changed since {found.path} (--new-tokenizer trains another)"
        )
        return found
    return None


def _over_budget(run: FinishedRun, budget: int) -> int:
    return 3 if run.counts["quarantined"] > budget else 0


def _tell_annotated(run: FinishedRun) -> None:
    counts = run.counts
    cli.say(
        f"annotate  read {counts['read']} records: kept {counts['kept']} documents{_reasons(run)} -> {run.path}"
    )
    if counts["quarantined"]:
        cli.say(
            f"  {counts['quarantined']} records could not be read: see `gristmill quarantine {run.path}`"
        )


def _tell_decided(run: FinishedRun) -> None:
    if run.details.get("takedowns") and not run.counts.get("dropped:takedown"):
        cli.say(f"decide  none of the {run.details['takedowns']} takedowns met a document")
    if cut := run.details.get("repeated"):
        sizes = ", ".join(
            f"{name} {size} bytes"
            for name, size in sorted(cut.items())
            if name != "documents" and size
        )
        cli.say(
            f"decide  repeated text is cut out of {cut['documents']} documents"
            + (f": {sizes}" if sizes else "")
        )
    cli.say(
        f"decide  kept {run.counts['kept']} of {run.counts['read']}{_reasons(run)} -> {run.path}"
    )


def _tell_estimate(found: "Estimate", *, as_json: bool) -> None:
    from pipelines.decide.dedup.estimate import format_estimate

    typer.echo(
        json.dumps(asdict(found) | {"total": found.total})
        if as_json
        else "\n".join(format_estimate(found))
    )


def _tell_packed(run: FinishedRun) -> None:
    from pipelines.pack.mixture import mixture_lines

    splits = ", ".join(
        f"{name} {s['documents']} documents {s['tokens']} tokens"
        for name, s in run.details["splits"].items()
    )
    cli.say(f"pack  {splits} -> {run.path}")
    if run.details.get("mixture"):
        cli.say("pack  the training split holds", *mixture_lines(run.details["mixture"]))


def _reasons(run: FinishedRun) -> str:
    found = {key.split(":", 1)[1]: number for key, number in run.counts.items() if ":" in key}
    most = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return "".join(f" | {name} {number}" for name, number in most)


def _next(run: FinishedRun) -> str:
    held = run.details["splits"].get("validation", {"documents": 0})["documents"]
    if not held:
        return (
            "no document fell into the validation split, which pretraining measures its loss on: "
            "pack again with a larger share, e.g. --set pack.validation=0.2"
        )
    return f"next: gristmill pretrain --config configs/train/tiny-causal.toml --in {run.path} --out {run.path.parent}"
