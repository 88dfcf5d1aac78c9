"""The step `pack`: a decide run and a tokenizer in; shuffled Arrow shards of token ids out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gristmill.config import Config
from gristmill.corpus.document import refuse_hashes_only
from gristmill.corpus.shard_pairs import count_shards
from gristmill.corpus.view import open_documents_run
from gristmill.runs.finished import FinishedRun, Input
from gristmill.runs.run import Run
from gristmill.steps.step import Sealing, Step
from pipelines.compiling import compile_first
from pipelines.declarations import PACK
from pipelines.engine.launch import Engine
from pipelines.pack import graph
from pipelines.pack.config import MixtureConfig, PackConfig
from pipelines.pack.encode import ENCODE, PackJob
from pipelines.pack.jobs import describe_mixture, plan_mixture, print_plan, run_jobs
from pipelines.pack.mixture import (
    describe_left_out,
    format_groups,
    format_written_mixture,
)
from pipelines.pack.shuffle import STAGE as SHUFFLED


class PackStep(Step):
    """Pack the kept documents of a decide run into token shards."""

    declaration = PACK

    def __init__(
        self,
        decided: FinishedRun,
        tokenizer: FinishedRun,
        config: PackConfig,
        engine: Engine,
        memory: int,
    ) -> None:
        self.decided = decided
        self.tokenizer = tokenizer
        self.config = config
        self.engine = engine
        self.memory = memory

    def hashed_config(self) -> Config:
        """Return the whole configuration."""
        return self.config

    def list_inputs(self) -> Sequence[Input]:
        """Return the decisions and the tokenizer."""
        return [self.decided.as_input(), self.tokenizer.as_input()]

    def plan(self, run: Run) -> Mapping[str, int]:
        """Plan how often documents are written; the number of output shards follows from encoding."""
        self.job, self.shards = find_pack_job(self.decided, self.tokenizer, self.config, run.path)
        self.groups = plan_mixture(self.job, self.shards, self.config)
        print_plan(self.groups, self.config)
        self.stages = {ENCODE: self.shards}
        return self.stages

    def build(self, run: Run) -> Mapping[str, Any]:
        """Encode every document shard, then shuffle all documents into output shards."""
        compile_first(ENCODE)
        metadata = {
            "gristmill.tokenizer": str(self.tokenizer.details["tokenizer"]),
            "gristmill.run": run.id,
        }
        self.outputs, telemetry = run_jobs(
            run,
            self.job,
            self.groups,
            self.config,
            self.shards,
            self.engine,
            self.memory,
            metadata,
            self.vocabulary,
        )
        self.stages[SHUFFLED] = self.outputs.total
        return telemetry

    @property
    def vocabulary(self) -> int:
        """Pieces of the tokenizer."""
        return int(self.tokenizer.details["vocab_size"])

    def finalize(self, run: Run) -> Sealing:
        """Check that all tokens encoded were written, and write what `datasets` and torch read."""
        tokens = graph.count_tokens(run.path, self.outputs)
        graph.check_complete(run.path, self.shards, tokens)
        return Sealing(
            ledger_stage=ENCODE,
            details={
                "tokenizer": self.tokenizer.details["tokenizer"],
                "vocab_size": self.vocabulary,
                "splits": tokens,
                "mixture": describe_mixture(run.path, self.groups, self.shards),
            },
            counts={"tokens": sum(split["tokens"] for split in tokens.values())},
            extra_files=graph.write_sidecars(
                run.path, self.tokenizer.path / "tokenizer", self.outputs, run.id
            ),
        )

    def summarize(self, run: FinishedRun) -> list[str]:
        """Return documents and tokens of every split, and the mixture."""
        splits = ", ".join(
            f"{name} {split['documents']} documents {split['tokens']} tokens"
            for name, split in run.details["splits"].items()
        )
        lines = [f"pack  {splits} -> {run.path}"]
        if run.details.get("mixture"):
            lines.append("pack  the training split holds")
            lines += format_written_mixture(run.details["mixture"])
        return lines


def find_pack_job(
    decided: FinishedRun, tokenizer: FinishedRun, config: PackConfig, folder: Path
) -> tuple[PackJob, int]:
    """Return what `pack` reads, and the number of document shards."""
    annotated = open_documents_run(decided)
    if config.mask_personal:
        refuse_hashes_only(annotated, ["personal"], "pack with pack.mask_personal=false")
    shards, documents = count_shards(annotated, "documents")
    _, decisions = count_shards(decided, "decisions")
    job = PackJob(str(folder), documents, decisions, str(tokenizer.path / "tokenizer"), {})
    return job, shards


def format_pack_plan(
    decided: FinishedRun, tokenizer: FinishedRun, config: PackConfig, out: Path
) -> list[str]:
    """Return the table of the mixture that `pack` would write; without one, by language as it comes."""
    if not config.mixture.by:
        config = config.model_copy(update={"mixture": MixtureConfig(by=("lang",))})
    job, shards = find_pack_job(decided, tokenizer, config, out)
    groups = plan_mixture(job, shards, config)
    return [*format_groups(groups), *describe_left_out(groups, config.mixture.size)]


def suggest_next_command(run: FinishedRun) -> str:
    """Return the command that trains on a pack run, or why training would lack a validation split."""
    validation = run.details["splits"].get("validation", {"documents": 0})
    if not validation["documents"]:
        return (
            "no document fell into the validation split, which pretraining measures its loss on: "
            "pack again with a larger share, e.g. --set pack.validation=0.2"
        )
    return (
        "next: gristmill pretrain --config configs/train/tiny-causal.toml"
        f" --in {run.path} --out {run.path.parent}"
    )
