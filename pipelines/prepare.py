"""The four steps of preparation as functions: each reads run folders and returns one sealed run folder.

`prepare` is these four in order. Every one is idempotent: finished work is found by its name and returned as it is.
"""

import gc
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq

from gristmill import cli, hashing
from gristmill.config import Config
from gristmill.corpus.document import refuse_hashes_only
from gristmill.errors import ConfigError, InputError, RunError
from gristmill.rights.takedown import NAME as TAKEDOWNS
from gristmill.rights.takedown import TakedownList, read_takedowns, why_never_met, write_takedowns
from gristmill.runs import receipts
from gristmill.runs.finished import FinishedRun, Input, list_runs, open_parents, sibling_sessions
from gristmill.runs.run import SPILL, Run, seal_from_receipts, start_run
from pipelines.annotate import graph as annotating
from pipelines.annotate import splits
from pipelines.annotate.readers.records import Split
from pipelines.annotate.signals.chosen import chosen_columns, forget
from pipelines.compiling import compile_first
from pipelines.config import (
    AnnotateConfig,
    DecideConfig,
    ExportTextConfig,
    MixtureConfig,
    PackConfig,
    PrepareConfig,
    TokenizerConfig,
)
from pipelines.decide import graph as deciding
from pipelines.decide.dedup.estimate import DecideEstimate, estimate_cost
from pipelines.decide.dedup.graph import DecideJob
from pipelines.decide.jobs import sum_cuts, run_jobs, plan_partitions
from pipelines.contract import Rule, check_signals, choose_rules, build_legend, list_numeric_columns
from pipelines.document_shards import documents_of, shard_path, shard_rows
from pipelines.engine import launch as engine
from pipelines.export_text import graph as exporting
from pipelines.export_text.features import write_readme
from pipelines.pack import graph as packing
from pipelines.pack.jobs import mixture_details, plan_mixture, tell_plan
from pipelines.pack.jobs import run_jobs as run_pack_jobs
from pipelines.pack.mixture import as_lines, left_out
from pipelines.pack.shuffle import STAGE as SHUFFLED
from pipelines.tokenizer import graph as tokenizing
from pipelines.tokenizer.training_process import train_apart

THRESHOLDS = ("thresholds", "rules", "near", "min_language_score")
"""What of the configuration of `decide` may differ while `prepare` keeps a tokenizer."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a step; no byte of the output depends on it."""

    out: Path
    engine: engine.Engine
    memory: int
    force: bool = False


def run_annotate(
    inputs: Sequence[FinishedRun | Input], config: AnnotateConfig, how: RunOptions
) -> FinishedRun:
    """Annotate files and crawl runs."""
    given = [source.as_input() if isinstance(source, FinishedRun) else source for source in inputs]
    given += own_inputs(config)
    hashed = config.model_copy(
        update={"author_key": hashing.digest(config.author_key)[:12]}
    )  # a secret stays out of manifests
    with _start("annotate", hashed, given, annotating, how) as run:
        if run.finished:
            return _found(run.finished)
        files, passed_over = splits.choose_files([_pattern(source) for source in inputs])
        _say_passed_over(passed_over)
        if not (run.path / splits.PLAN).exists():
            splits.write_plan(run.path, splits.make_plan(files, config, run.path))
        plan = splits.read_plan(run.path)
        stages = {annotating.STAGE: len(plan)}
        _say_reused(run, stages)
        mode = workers_of(plan, config)
        compile_first(annotating.STAGE)
        if (
            how.engine.workers > 1 and mode == "processes"
        ):  # they load what they use: no second copy of a model stays here
            forget()
        took = engine.run_pipeline(
            lambda pipeline: annotating.annotate(pipeline, str(run.path), config, len(plan)),
            how.engine,
            mode=mode,
            label="annotate",
            folder=run.path,
            stages=stages,
        )
        gc.unfreeze()  # what `AnnotateSplit.setup` froze, where that ran in this process
        read = {
            number: receipt.read
            for number, receipt in receipts.load_receipts(run.path, annotating.STAGE).items()
        }
        details = {
            "splits": len(plan),
            "whole": sorted(
                {split.input_name for split in plan if split.note and split.kind != "remainder"}
            ),
            "input_files": splits.listed(files, plan, read),
            "passed_over": passed_over,
        }
        return seal_from_receipts(
            run, stages, ledger_stage=annotating.STAGE, details=details, telemetry=took
        )


def workers_of(plan: Sequence[Split], config: AnnotateConfig) -> engine.Mode:
    """What several workers are: threads, in half the memory, where little of the work holds Python's lock.

    Plain texts are normalized and annotated by compiled code. Pages and dumps are parsed in Python, texts are prepared
    there for KenLM, and functions of the user, which may also not bear two callers, run there.
    """
    plain = all(split.kind in ("parquet", "arrow", "lines", "remainder") for split in plan)
    return "threads" if plain and not config.signals and not config.perplexity else "processes"


def own_inputs(config: AnnotateConfig) -> list[Input]:
    """The files of the user's columns, opened once to see that they can be used, and the libraries they need: others make a new run."""
    columns = chosen_columns(config)
    if taken := [column.key for column in columns if column.name in annotating.SCHEMA.names]:
        raise ConfigError(
            "documents already have a column of this name", {"key": taken[0]}, "choose another name"
        )
    for column in columns:
        column.open()
    libraries = sorted({name for column in columns for name in column.libraries})
    return [
        *(Input(f"library {name}", version(name), "") for name in libraries),
        *(
            Input(f"signal {column.name}", sha256, path)
            for column in columns
            for path, sha256 in column.files
        ),
    ]


def run_decide(annotated: FinishedRun, config: DecideConfig, how: RunOptions) -> FinishedRun:
    """Decide over the documents of an annotate run."""
    given = [annotated.as_input()]
    takedowns = all_takedowns(annotated, config)
    if len(takedowns) or config.takedown:
        given.append(Input(TAKEDOWNS, hashing.digest(takedowns.as_rows()), config.takedown or ""))
    rules = choose_rules(config)
    if annotated.files("documents/"):
        check_signals(rules, list_numeric_columns(pq.read_schema(annotated.files("documents/")[0])))
    hashed = config.model_copy(update={"takedown": None})
    _refuse_lacking_signals(annotated, rules, config)
    with _start("decide", hashed, given, deciding, how) as run:
        if run.finished:
            return _found(run.finished)
        if (
            len(takedowns) or config.takedown
        ):  # workers read the run's own copy: the list may be edited while they work
            copy = run.path / TAKEDOWNS
            write_takedowns(copy, takedowns.rows)
            config = config.model_copy(update={"takedown": str(copy)})
        shards, documents = _shards(annotated, "documents")
        _refuse_older(annotated, documents, shards)
        stages = {deciding.KEYS: shards, deciding.FINALIZE: shards, deciding.STAGE: shards}
        _say_reused(run, stages)
        rows = shard_rows(annotated)
        spread = plan_partitions(
            sum(rows),
            shards,
            config,
            memory=how.memory,
            workers=how.engine.workers,
            folder=run.path,
        )
        compile_first(deciding.STAGE)
        took = run_jobs(
            DecideJob(str(run.path), documents, config, spread), rows, how.engine, how.memory
        )
        details = {
            "reasons": build_legend(rules),
            "rules": [rule.record() for rule in rules],
            "documents": annotated.id,
            "takedowns": len(takedowns),
            **({"repeated": sum_cuts(run.path)} if config.repeated.is_asked else {}),
        }
        return seal_from_receipts(
            run, stages, ledger_stage=deciding.STAGE, details=details, telemetry=took
        )


def all_takedowns(annotated: FinishedRun, config: DecideConfig) -> TakedownList:
    """The list that was given, with the newest of the crawls that were annotated: what is gone or refuses since."""
    given = read_takedowns(config.takedown)
    _refuse_idle_rows(given, config.takedown)
    crawls = [run for run in open_parents(annotated) if run.step == "crawl"]
    newest = {
        (run.details.get("crawl", run.id), run.manifest["config"].get("shard")): run
        for crawl in crawls
        for run in sibling_sessions(crawl)
    }
    lists = [run.path / TAKEDOWNS for run in newest.values() if run.data_files(TAKEDOWNS)]
    return TakedownList(
        [*given.rows, *(row for path in lists for row in read_takedowns(path).rows)]
    )


def estimate_decide(documents: int, config: DecideConfig, how: RunOptions) -> DecideEstimate:
    """What `decide` will take for so many documents."""
    spread = plan_partitions(
        documents, 1, config, memory=how.memory, workers=how.engine.workers, folder=how.out
    )
    return estimate_cost(documents, config, spread, how.memory, how.engine.workers)


def _refuse_older(annotated: FinishedRun, documents: str, shards: int) -> None:
    """Raise RunError where the documents lack a column that this version writes."""
    written = (
        annotating.HASHES_SCHEMA
        if annotated.manifest["config"].get("only_hashes")
        else annotating.SCHEMA
    )
    there = pq.read_schema(shard_path(documents, 0)).names if shards else written.names
    if lacking := sorted(set(written.names) - set(there)):
        raise RunError(
            "the documents of this run were written by another version",
            {"run": annotated.path, "they lack": ", ".join(lacking)},
            "run `gristmill annotate` again on its inputs",
        )


def _refuse_lacking_signals(
    annotated: FinishedRun, rules: Sequence[Rule], config: DecideConfig
) -> None:
    """Raise RunError where documents with `only_hashes` lack what the configuration judges by."""
    if needed := _judged_by(rules, config):
        fix = "decide with decide.preset=none, no rules and no decide.min_language_score"
        refuse_hashes_only(annotated, needed, fix)


def _judged_by(rules: Sequence[Rule], config: DecideConfig) -> list[str]:
    """What of the columns that `only_hashes` leaves out the configuration judges by."""
    signals = {rule.signal for rule in rules} | (
        {"lang_score"} if config.min_language_score else set()
    )
    return sorted(signals - set(annotating.HASHES_SCHEMA.names))


def check_only_hashes(config: PrepareConfig, *, tokenizer: bool) -> None:
    """Raise ConfigError where later steps need what `annotate.only_hashes` leaves out; `tokenizer`: whether one is given."""
    needs = {
        "decide.preset=none": _judged_by(choose_rules(config.decide), config.decide),
        "pack.mask_personal=false": ["personal"] if config.pack.mask_personal else [],
        "--tokenizer RUN": [] if tokenizer else ["personal"],
    }
    if config.annotate.only_hashes and (
        wanted := [fix for fix, columns in needs.items() if columns]
    ):
        lacking = ", ".join(dict.fromkeys(name for columns in needs.values() for name in columns))
        what = "annotate.only_hashes leaves out what later steps need"
        raise ConfigError(what, {"they need": lacking}, f"give {' and '.join(wanted)}")


def check_choices(config: DecideConfig, own: Collection[str]) -> None:
    """Raise ConfigError or InputError for rules that are not there or a takedown list that cannot be used: before hours of work."""
    check_signals(choose_rules(config), [*list_numeric_columns(annotating.SCHEMA), *own])
    _refuse_idle_rows(read_takedowns(config.takedown), config.takedown)


def _refuse_idle_rows(takedowns: TakedownList, path: str | None) -> None:
    """A row that no document can meet, such as an author by name, would silently leave what it asks to remove."""
    idle = [(row, why) for row in takedowns.rows if (why := why_never_met(row))]
    if idle:
        row, why = idle[0]
        where = {"list": path, row.kind: row.value, "such rows": len(idle)}
        raise InputError("a takedown list has a row that no document can meet", where, why)


def run_tokenizer(decided: FinishedRun, config: TokenizerConfig, how: RunOptions) -> FinishedRun:
    """Train a tokenizer on the kept documents of a decide run."""
    annotated = documents_of(decided)
    refuse_hashes_only(
        annotated, ["personal"], "pack with the tokenizer of other documents (--tokenizer)"
    )
    with _start("tokenizer", config, [decided.as_input()], tokenizing, how) as run:
        if run.finished:
            return _found(run.finished)
        if not decided.counts["kept"]:
            raise InputError(
                "no document was kept: there is nothing to train a tokenizer on",
                {"run": decided.path},
            )
        (shards, documents), (_, decisions) = (
            _shards(annotated, "documents"),
            _shards(decided, "decisions"),
        )
        stages = {tokenizing.STAGE: shards}
        _say_reused(run, stages)
        took = engine.run_pipeline(
            lambda pipeline: tokenizing.candidates(
                pipeline, str(run.path), documents, decisions, config.seed, shards
            ),
            how.engine,
            mode="threads",
            label="sample",
            folder=run.path,
            stages=stages,
        )
        nodes = tokenizing.training_nodes(
            tokenizing.load_candidates(run.path, shards), decided, config
        )
        if not len(nodes):
            raise InputError(
                "no document is left to train on",
                {"tokenizer.weights": config.weights},
                "weigh some above 0",
            )
        cli.say(f"tokenizer  training {config.vocab_size} pieces on {len(nodes)} documents")
        work = (str(run.path), documents, decisions, nodes, config)
        log = run.path / SPILL / "training.log"
        details = train_apart(tokenizing.train_and_write, work, log=log, pieces=config.vocab_size)
        return run.finish(counts={"documents": len(nodes)}, details=details, telemetry=took)


def earlier_tokenizer(
    decided: FinishedRun, config: TokenizerConfig, out: Path
) -> FinishedRun | None:
    """The newest tokenizer of `out` for the same documents and choice but for thresholds; its own one comes first.

    A moved threshold moves the sample a little. A new vocabulary for that would make every model trained before
    incomparable with the next, so the tokenizer stays until another is asked for.
    """
    code, wanted = (
        hashing.code_digest(tokenizing.CODE, tokenizing.LIBRARIES),
        config.model_dump(mode="json"),
    )
    fitting = [
        (source.id == decided.id, place, run)
        for place, run in enumerate(list_runs(out, "tokenizer"))
        if run.manifest["config"] == wanted and run.manifest["code"] == code
        for source in open_parents(run)
        if _alike_but_thresholds(source, decided)
    ]
    return max(fitting, key=lambda found: found[:2])[2] if fitting else None


def _alike_but_thresholds(one: FinishedRun, other: FinishedRun) -> bool:
    """Whether two decide runs read the same documents by the same code, rights, presets and takedowns."""
    kept = [
        {key: value for key, value in run.manifest["config"].items() if key not in THRESHOLDS}
        for run in (one, other)
    ]
    return kept[0] == kept[1] and all(
        one.manifest[key] == other.manifest[key] for key in ("step", "inputs", "code")
    )


def run_pack(
    decided: FinishedRun, tokenizer: FinishedRun, config: PackConfig, how: RunOptions
) -> FinishedRun:
    """Pack the kept documents of a decide run into token shards."""
    with _start("pack", config, [decided.as_input(), tokenizer.as_input()], packing, how) as run:
        if run.finished:
            return _found(run.finished)
        work, shards = _pack_work(decided, tokenizer, config, run.path)
        groups = plan_mixture(work, shards, config)
        tell_plan(groups, config)
        _say_reused(run, {packing.ENCODE: shards})
        compile_first(packing.ENCODE)
        metadata = {
            "gristmill.tokenizer": str(tokenizer.details["tokenizer"]),
            "gristmill.run": run.id,
        }
        vocabulary = int(tokenizer.details["vocab_size"])
        outputs, took = run_pack_jobs(
            run, work, groups, config, shards, how.engine, how.memory, metadata, vocabulary
        )
        tokens = packing.count_tokens(run.path, outputs)
        packing.check_complete(run.path, shards, tokens)
        details: dict[str, Any] = {
            "tokenizer": tokenizer.details["tokenizer"],
            "vocab_size": vocabulary,
            "splits": tokens,
            "mixture": mixture_details(run.path, groups, shards),
        }
        return seal_from_receipts(
            run,
            {packing.ENCODE: shards, SHUFFLED: outputs.total},
            ledger_stage=packing.ENCODE,
            details=details,
            counts={"tokens": sum(split["tokens"] for split in tokens.values())},
            extra_files=packing.write_sidecars(
                run.path, tokenizer.path / "tokenizer", outputs, run.id
            ),
            telemetry=took,
        )


def _pack_work(
    decided: FinishedRun, tokenizer: FinishedRun, config: PackConfig, folder: Path
) -> tuple[packing.Work, int]:
    """What `pack` reads, and how many document shards that are."""
    annotated = documents_of(decided)
    if config.mask_personal:
        refuse_hashes_only(annotated, ["personal"], "pack with pack.mask_personal=false")
    (shards, documents), (_, decisions) = (
        _shards(annotated, "documents"),
        _shards(decided, "decisions"),
    )
    return packing.Work(
        str(folder), documents, decisions, str(tokenizer.path / "tokenizer"), {}
    ), shards


def pack_plan(
    decided: FinishedRun, tokenizer: FinishedRun, config: PackConfig, how: RunOptions
) -> list[str]:
    """The table of the mixture that `run_pack` would write, for people; without one, by language as it comes."""
    if not config.mixture.by:
        config = config.model_copy(update={"mixture": MixtureConfig(by=("lang",))})
    work, shards = _pack_work(decided, tokenizer, config, how.out)
    groups = plan_mixture(work, shards, config)
    return [*as_lines(groups), *left_out(groups, config.mixture.size)]


def run_export_text(decided: FinishedRun, config: ExportTextConfig, how: RunOptions) -> FinishedRun:
    """Write the final texts of the kept documents of a decide run."""
    annotated = documents_of(decided)
    if config.mask_personal:
        refuse_hashes_only(annotated, ["personal"], "export with export_text.mask_personal=false")
    (shards, documents), (_, decisions) = (
        _shards(annotated, "documents"),
        _shards(decided, "decisions"),
    )
    schema = exporting.written_schema(documents, decisions, config)
    with _start("export-text", config, [decided.as_input()], exporting, how) as run:
        if run.finished:
            return _found(run.finished)
        stages = {exporting.STAGE: shards}
        _say_reused(run, stages)
        compile_first(exporting.STAGE)
        work = exporting.Work(str(run.path), documents, decisions)
        took = engine.run_pipeline(
            lambda pipeline: exporting.export(pipeline, work, config, shards),
            how.engine,
            mode="threads" if config.format == "parquet" else "processes",
            label="export-text",
            folder=run.path,
            stages=stages,
        )
        told = [write_readme(run.path, schema)] if config.format == "jsonl" else []
        return seal_from_receipts(
            run, stages, ledger_stage=exporting.STAGE, extra_files=told, telemetry=took
        )


def _start(
    step: str, config: Config, inputs: Sequence[Input], room: ModuleType, how: RunOptions
) -> AbstractContextManager[Run]:
    return start_run(
        step,
        out=how.out,
        config=config,
        inputs=inputs,
        code=room.CODE,
        libraries=room.LIBRARIES,
        force=how.force,
    )


def _pattern(source: FinishedRun | Input) -> str:
    if isinstance(source, Input):
        return source.path
    if source.step != "crawl":
        raise RunError(
            "annotate reads files or crawl runs", {"run": source.path, "is a run of": source.step}
        )
    return str(source.path / "captures")


def _shards(run: FinishedRun, folder: str) -> tuple[int, str]:
    """How many shards a run has, all their sizes checked, and the folder they lie in."""
    files = run.files(f"{folder}/")
    return len(files), str(run.path / folder)


def _found(run: FinishedRun) -> FinishedRun:
    cli.say(f"{run.step}  finished before: {run.path}")
    return run


def _say_passed_over(names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        cli.say(
            f"annotate  passed over {len(names)} files that no reader knows: {', '.join(names[:5])}{more}"
        )


def _say_reused(run: Run, stages: Mapping[str, int]) -> None:
    for stage, total in stages.items():
        if reused := len(receipts.load_receipts(run.path, stage)):
            cli.say(
                f"{run.step}  {reused} of {total} splits of `{stage}` were done before and are reused"
            )
