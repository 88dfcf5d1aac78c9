"""The step `annotate`: files and crawl runs in; documents with all signals, and quarantine, out."""

import gc
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from gristmill.config import Config
from gristmill.errors import ConfigError, RunError
from gristmill.hashing import digest
from gristmill.progress import say
from gristmill.runs import receipts
from gristmill.runs.finished import FinishedRun, Input
from gristmill.runs.run import Run
from gristmill.steps.step import Sealing, Step
from pipelines.annotate import graph, input_files, splits
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.readers.records import Split
from pipelines.annotate.signals.chosen import load_custom_columns, unload_models
from pipelines.compiling import compile_first
from pipelines.declarations import ANNOTATE
from pipelines.engine.launch import Engine, Mode
from pipelines.engine.launch import run_pipeline as run_beam
from pipelines.summaries import format_drop_reasons

COMPILED_KINDS = ("parquet", "arrow", "lines", "remainder")
"""Kinds of work splits that are plain text: their work is in kernels that release Python's lock."""

NAMES_SHOWN = 5


class AnnotateStep(Step):
    """Annotate files and crawl runs."""

    declaration = ANNOTATE

    def __init__(
        self, sources: Sequence[FinishedRun | Input], config: AnnotateConfig, engine: Engine
    ) -> None:
        self.sources = sources
        self.config = config
        self.engine = engine

    def hashed_config(self) -> Config:
        """Return the configuration with the author key hashed: a secret stays out of manifests."""
        hashed_key = digest(self.config.author_key)[:12]
        return self.config.model_copy(update={"author_key": hashed_key})

    def list_inputs(self) -> Sequence[Input]:
        """Return the sources, and the files and libraries behind custom columns."""
        sources = [
            source.as_input() if isinstance(source, FinishedRun) else source
            for source in self.sources
        ]
        return [*sources, *list_custom_inputs(self.config)]

    def plan(self, run: Run) -> Mapping[str, int]:
        """Cut the inputs into work splits by their bytes; a plan that is there is kept."""
        patterns = [locate_captures(source) for source in self.sources]
        self.files, self.passed_over = input_files.choose_files(patterns)
        report_passed_over(self.passed_over)
        if not (run.path / splits.PLAN).exists():
            splits.write_plan(run.path, splits.make_plan(self.files, self.config, run.path))
        self.work_splits = splits.read_plan(run.path)
        self.stages = {graph.STAGE: len(self.work_splits)}
        return self.stages

    def build(self, run: Run) -> Mapping[str, Any]:
        """Run the Beam graph over the work splits."""
        mode = choose_worker_mode(self.work_splits, self.config)
        compile_first(graph.STAGE)
        if self.engine.workers > 1 and mode == "processes":
            unload_models()  # workers load the models they use: no second copy stays in this process
        telemetry = run_beam(
            lambda pipeline: graph.build_annotate(
                pipeline, str(run.path), self.config, len(self.work_splits)
            ),
            self.engine,
            mode=mode,
            label="annotate",
            folder=run.path,
            stages=self.stages,
        )
        gc.unfreeze()  # what `AnnotateSplit.setup` froze, where that ran in this process
        return telemetry

    def finalize(self, run: Run) -> Sealing:
        """Say which files were read, whole or in parts, and which were passed over."""
        loaded = receipts.load_receipts(run.path, graph.STAGE)
        records_read = {number: receipt.read for number, receipt in loaded.items()}
        unsplit = {
            split.input_name
            for split in self.work_splits
            if split.note and split.kind != "remainder"
        }
        return Sealing(
            ledger_stage=graph.STAGE,
            details={
                "splits": len(self.work_splits),
                "whole": sorted(unsplit),
                "input_files": input_files.list_inputs(self.files, self.work_splits, records_read),
                "passed_over": self.passed_over,
            },
        )

    def summarize(self, run: FinishedRun) -> list[str]:
        """Return records read and documents kept, and where to look at what could not be read."""
        counts = run.counts
        lines = [
            f"annotate  read {counts['read']} records: kept {counts['kept']} documents"
            f"{format_drop_reasons(run)} -> {run.path}"
        ]
        if counts["quarantined"]:
            lines.append(
                f"  {counts['quarantined']} records could not be read:"
                f" see `gristmill quarantine {run.path}`"
            )
        return lines


def locate_captures(source: FinishedRun | Input) -> str:
    """Return the path or pattern of a source's files; raise RunError for a run that is no crawl."""
    if isinstance(source, Input):
        return source.path
    if source.step != "crawl":
        raise RunError(
            "annotate reads files or crawl runs", {"run": source.path, "is a run of": source.step}
        )
    return str(source.path / "captures")


def choose_worker_mode(work_splits: Sequence[Split], config: AnnotateConfig) -> Mode:
    """Choose threads, in half the memory of processes, where little work holds Python's lock.

    Plain texts are normalized and annotated by compiled code. Pages and dumps are parsed in Python,
    texts are prepared there for KenLM, and functions of the user, which may also not bear two
    callers, run there.
    """
    is_plain = all(split.kind in COMPILED_KINDS for split in work_splits)
    runs_python = bool(config.signals) or bool(config.perplexity)
    return "threads" if is_plain and not runs_python else "processes"


def list_custom_inputs(config: AnnotateConfig) -> list[Input]:
    """Return the files of custom columns and the libraries they need: others make a new run.

    Every file is opened once, to see that it can be used.
    """
    columns = load_custom_columns(config)
    for column in columns:
        if column.name in graph.SCHEMA.names:
            raise ConfigError(
                "documents already have a column of this name",
                {"key": column.key},
                "choose another name",
            )
    for column in columns:
        column.open()
    libraries = sorted({name for column in columns for name in column.libraries})
    inputs = [Input(f"library {name}", version(name), "") for name in libraries]
    for column in columns:
        inputs += [Input(f"signal {column.name}", sha256, path) for path, sha256 in column.files]
    return inputs


def report_passed_over(names: Sequence[str]) -> None:
    """Say which files no reader knows."""
    if not names:
        return
    shown = ", ".join(names[:NAMES_SHOWN])
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    say(f"annotate  passed over {len(names)} files that no reader knows: {shown}{more}")
