"""The step `tokenizer`: a decide run in; a sentencepiece model and its Hugging Face form out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gristmill.config import Config
from gristmill.corpus.document import refuse_hashes_only
from gristmill.corpus.shard_pairs import count_shards
from gristmill.corpus.view import open_documents_run
from gristmill.errors import InputError
from gristmill.progress import say
from gristmill.runs.finished import FinishedRun, Input, list_runs, open_parents
from gristmill.runs.run import SPILL, Run
from gristmill.steps.code_identity import digest_code
from gristmill.steps.step import Sealing, Step
from pipelines.declarations import TOKENIZER
from pipelines.engine.launch import Engine
from pipelines.engine.launch import run_pipeline as run_beam
from pipelines.tokenizer import graph
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.sample import choose_training_nodes
from pipelines.tokenizer.training_process import train_apart

THRESHOLDS = ("thresholds", "rules", "near", "min_language_score")
"""What of the configuration of `decide` may differ while `prepare` keeps a tokenizer."""


class TokenizerStep(Step):
    """Train a tokenizer on the kept documents of a decide run."""

    declaration = TOKENIZER

    def __init__(self, decided: FinishedRun, config: TokenizerConfig, engine: Engine) -> None:
        self.decided = decided
        self.config = config
        self.engine = engine

    def hashed_config(self) -> Config:
        """Return the whole configuration."""
        return self.config

    def list_inputs(self) -> Sequence[Input]:
        """Return the decide run; its documents stand behind it."""
        self.annotated = open_documents_run(self.decided)
        refuse_hashes_only(
            self.annotated, ["personal"], "pack with the tokenizer of other documents (--tokenizer)"
        )
        return [self.decided.as_input()]

    def plan(self, run: Run) -> Mapping[str, int]:
        """Sample from every document shard."""
        del run
        if not self.decided.counts["kept"]:
            raise InputError(
                "no document was kept: there is nothing to train a tokenizer on",
                {"run": self.decided.path},
            )
        self.shards, self.documents = count_shards(self.annotated, "documents")
        _, self.decisions = count_shards(self.decided, "decisions")
        return {graph.STAGE: self.shards}

    def build(self, run: Run) -> Mapping[str, Any]:
        """Choose the sample, then train on it in a process of its own."""
        telemetry = run_beam(
            lambda pipeline: graph.collect_candidates(
                pipeline,
                str(run.path),
                self.documents,
                self.decisions,
                self.config.seed,
                self.shards,
            ),
            self.engine,
            mode="threads",
            label="sample",
            folder=run.path,
            stages={graph.STAGE: self.shards},
        )
        candidates = graph.load_candidates(run.path, self.shards)
        nodes = choose_training_nodes(candidates, self.decided, self.config)
        if not len(nodes):
            raise InputError(
                "no document is left to train on",
                {"tokenizer.weights": self.config.weights},
                "weigh some above 0",
            )
        say(f"tokenizer  training {self.config.vocab_size} pieces on {len(nodes)} documents")
        self.trained_documents = len(nodes)
        self.details = train_apart(
            graph.train_and_write,
            (str(run.path), self.documents, self.decisions, nodes, self.config),
            log=run.path / SPILL / "training.log",
            pieces=self.config.vocab_size,
        )
        return telemetry

    def finalize(self, run: Run) -> Sealing:
        """Record what the model was trained on."""
        del run
        return Sealing(counts={"documents": self.trained_documents}, details=self.details)


def find_earlier_tokenizer(
    decided: FinishedRun, config: TokenizerConfig, out: Path
) -> FinishedRun | None:
    """Return the newest tokenizer of the same documents and settings but for thresholds, or None.

    One of `decided` itself comes first. A moved threshold moves the sample a little. A new vocabulary
    for that would make every model trained before incomparable with the next, so the tokenizer stays
    until another is asked for.
    """
    code = digest_code(*TOKENIZER.entry_modules)
    settings = config.model_dump(mode="json")
    best: FinishedRun | None = None
    best_is_own = False
    for run in list_runs(out, "tokenizer"):  # oldest first, so that a later one replaces
        if run.manifest["config"] != settings or run.manifest["code"] != code:
            continue
        for source in open_parents(run):
            if not _differ_in_thresholds_only(source, decided):
                continue
            is_own = source.id == decided.id
            if is_own >= best_is_own:
                best = run
                best_is_own = is_own
    return best


def _differ_in_thresholds_only(first: FinishedRun, second: FinishedRun) -> bool:
    """Whether two decide runs read the same documents by the same code, rights and takedowns."""
    same_identity = all(
        first.manifest[key] == second.manifest[key] for key in ("step", "inputs", "code")
    )
    return same_identity and _drop_thresholds(first) == _drop_thresholds(second)


def _drop_thresholds(decided: FinishedRun) -> dict[str, Any]:
    config = decided.manifest["config"]
    return {key: value for key, value in config.items() if key not in THRESHOLDS}
