"""The step `export-text`: a decide run in; the final text of kept documents out."""

from collections.abc import Mapping, Sequence
from typing import Any

from gristmill.config import Config
from gristmill.corpus.document import refuse_hashes_only
from gristmill.corpus.shard_pairs import count_shards
from gristmill.corpus.view import open_documents_run
from gristmill.runs.finished import FinishedRun, Input
from gristmill.runs.run import Run
from gristmill.steps.step import Sealing, Step
from pipelines.compiling import compile_first
from pipelines.declarations import EXPORT_TEXT
from pipelines.engine.launch import Engine
from pipelines.engine.launch import run_pipeline as run_beam
from pipelines.export_text import graph
from pipelines.export_text.config import ExportTextConfig
from pipelines.export_text.features import write_readme
from pipelines.summaries import format_drop_reasons


class ExportTextStep(Step):
    """Write the final texts of the kept documents of a decide run."""

    declaration = EXPORT_TEXT

    def __init__(self, decided: FinishedRun, config: ExportTextConfig, engine: Engine) -> None:
        self.decided = decided
        self.config = config
        self.engine = engine

    def hashed_config(self) -> Config:
        """Return the whole configuration."""
        return self.config

    def list_inputs(self) -> Sequence[Input]:
        """Return the decide run; raise UserError where a column asked for is not there."""
        annotated = open_documents_run(self.decided)
        if self.config.mask_personal:
            refuse_hashes_only(
                annotated, ["personal"], "export with export_text.mask_personal=false"
            )
        self.shards, self.documents = count_shards(annotated, "documents")
        _, self.decisions = count_shards(self.decided, "decisions")
        self.schema = graph.read_written_schema(self.documents, self.decisions, self.config)
        return [self.decided.as_input()]

    def plan(self, run: Run) -> Mapping[str, int]:
        """Write one file for every document shard."""
        del run
        self.stages = {graph.STAGE: self.shards}
        return self.stages

    def build(self, run: Run) -> Mapping[str, Any]:
        """Run the Beam graph over the document shards."""
        compile_first(graph.STAGE)
        job = graph.ExportJob(str(run.path), self.documents, self.decisions)
        return run_beam(
            lambda pipeline: graph.export(pipeline, job, self.config, self.shards),
            self.engine,
            # JSON is written in Python and holds its lock; Parquet is written in C++
            mode="threads" if self.config.format == "parquet" else "processes",
            label="export-text",
            folder=run.path,
            stages=self.stages,
        )

    def finalize(self, run: Run) -> Sealing:
        """Write the types of columns beside JSON Lines, which leave them to guesses."""
        extra_files = []
        if self.config.format == "jsonl":
            extra_files.append(write_readme(run.path, self.schema))
        return Sealing(ledger_stage=graph.STAGE, extra_files=extra_files)

    def summarize(self, run: FinishedRun) -> list[str]:
        """Return documents and bytes written, and the line that loads them."""
        size = sum(file.bytes for file in run.data_files("text/"))
        written = (
            f"export-text  {run.counts['kept']} documents, {size / 1e6:.1f} MB"
            f"{format_drop_reasons(run)} -> {run.path / 'text'}"
        )
        return [written, self._format_load_line(run)]

    def _format_load_line(self, run: FinishedRun) -> str:
        """Return how `datasets` opens the run."""
        if self.config.format == "parquet":
            arguments = f'"parquet", data_files="{run.path / "text"}/*.parquet"'
        else:
            # the run's README.md states the types of columns
            arguments = f'"{run.path}"'
        is_zstd = self.config.ending.endswith(".zst")
        needs = "   (with zstandard installed)" if is_zstd else ""
        return f"next: datasets.load_dataset({arguments}){needs}"
