"""The step `decide`: an annotate run in; one decision a document, with all its reasons, out."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gristmill.config import Config
from gristmill.corpus.document import refuse_hashes_only
from gristmill.corpus.shard_pairs import count_shards, list_shard_rows, shard_path
from gristmill.errors import ConfigError, InputError, RunError
from gristmill.hashing import digest
from gristmill.rights.takedown import NAME as TAKEDOWNS
from gristmill.rights.takedown import TakedownList, read_takedowns, why_never_met, write_takedowns
from gristmill.runs.finished import FinishedRun, Input, open_parents, sibling_sessions
from gristmill.runs.run import Run
from gristmill.steps.step import Sealing, Step
from pipelines.annotate import graph as annotate_graph
from pipelines.compiling import compile_first
from pipelines.config import PrepareConfig
from pipelines.contract import Rule, build_legend, check_signals, choose_rules, list_numeric_columns
from pipelines.decide.config import DecideConfig
from pipelines.decide.decisions import FINALIZE, STAGE
from pipelines.decide.dedup.estimate import DecideEstimate, estimate_cost
from pipelines.decide.dedup.graph import DecideJob
from pipelines.decide.jobs import plan_partitions, run_jobs, sum_cuts
from pipelines.decide.shard_keys import KEYS
from pipelines.declarations import DECIDE
from pipelines.engine.launch import Engine
from pipelines.summaries import format_drop_reasons


class DecideStep(Step):
    """Decide over the documents of an annotate run."""

    declaration = DECIDE

    def __init__(
        self, annotated: FinishedRun, config: DecideConfig, engine: Engine, memory: int
    ) -> None:
        self.annotated = annotated
        self.config = config
        self.engine = engine
        self.memory = memory

    def hashed_config(self) -> Config:
        """Return the configuration without the takedown list's path: its rows are an input."""
        return self.config.model_copy(update={"takedown": None})

    def list_inputs(self) -> Sequence[Input]:
        """Return the documents and the rows of all takedown lists."""
        self.takedowns = collect_takedowns(self.annotated, self.config)
        self.rules = choose_rules(self.config)
        documents = self.annotated.files("documents/")
        if documents:
            check_signals(self.rules, list_numeric_columns(pq.read_schema(documents[0])))
        refuse_lacking_signals(self.annotated, self.rules, self.config)
        inputs = [self.annotated.as_input()]
        if self.has_takedowns:
            rows_digest = digest(self.takedowns.as_rows())
            inputs.append(Input(TAKEDOWNS, rows_digest, self.config.takedown or ""))
        return inputs

    @property
    def has_takedowns(self) -> bool:
        """Whether a takedown list is an input, even an empty one."""
        return bool(len(self.takedowns)) or bool(self.config.takedown)

    def plan(self, run: Run) -> Mapping[str, int]:
        """Copy the takedown list into the run, and check the documents."""
        self.job_config = self.config
        if self.has_takedowns:
            # workers read the run's own copy: the list may be edited while they work
            copy = run.path / TAKEDOWNS
            write_takedowns(copy, self.takedowns.rows)
            self.job_config = self.config.model_copy(update={"takedown": str(copy)})
        self.shards, self.documents = count_shards(self.annotated, "documents")
        refuse_older_documents(self.annotated, self.documents, self.shards)
        return dict.fromkeys((KEYS, FINALIZE, STAGE), self.shards)

    def build(self, run: Run) -> Mapping[str, Any]:
        """Run the Beam jobs of the graph of duplicates."""
        rows = list_shard_rows(self.annotated)
        spread = plan_partitions(
            sum(rows),
            self.shards,
            self.job_config,
            memory=self.memory,
            workers=self.engine.workers,
            folder=run.path,
        )
        compile_first(STAGE)
        work = DecideJob(str(run.path), self.documents, self.job_config, spread)
        return run_jobs(work, rows, self.engine, self.memory)

    def finalize(self, run: Run) -> Sealing:
        """Record the rules, the legend of reasons, and what repeated text was cut."""
        details: dict[str, Any] = {
            "reasons": build_legend(self.rules),
            "rules": [rule.record() for rule in self.rules],
            "documents": self.annotated.id,
            "takedowns": len(self.takedowns),
        }
        if self.config.repeated.is_asked:
            details["repeated"] = sum_cuts(run.path)
        return Sealing(ledger_stage=STAGE, details=details)

    def summarize(self, run: FinishedRun) -> list[str]:
        """Return takedowns that met nothing, what was cut, and documents kept by reason."""
        lines: list[str] = []
        takedowns = run.details.get("takedowns")
        if takedowns and not run.counts.get("dropped:takedown"):
            lines.append(f"decide  none of the {takedowns} takedowns met a document")
        cut = run.details.get("repeated")
        if cut:
            lines.append(_format_cut_sums(cut))
        lines.append(
            f"decide  kept {run.counts['kept']} of {run.counts['read']}"
            f"{format_drop_reasons(run)} -> {run.path}"
        )
        return lines


def _format_cut_sums(cut: Mapping[str, int]) -> str:
    """Say what repeated text was cut, from `cut_sums`."""
    sizes = [
        f"{name} {size} bytes" for name, size in sorted(cut.items()) if name != "documents" and size
    ]
    line = f"decide  repeated text is cut out of {cut['documents']} documents"
    return f"{line}: {', '.join(sizes)}" if sizes else line


def collect_takedowns(annotated: FinishedRun, config: DecideConfig) -> TakedownList:
    """Return the configured list with the newest list of each annotated crawl.

    A crawl's list names what is gone or refuses since it was stored.
    """
    configured = read_takedowns(config.takedown)
    _refuse_idle_rows(configured, config.takedown)
    newest_sessions: dict[tuple[Any, Any], FinishedRun] = {}
    for parent in open_parents(annotated):
        if parent.step != "crawl":
            continue
        for session in sibling_sessions(parent):
            crawl = session.details.get("crawl", session.id)
            crawl_shard = session.manifest["config"].get("shard")
            newest_sessions[crawl, crawl_shard] = session
    rows = list(configured.rows)
    for session in newest_sessions.values():
        if session.data_files(TAKEDOWNS):
            rows += read_takedowns(session.path / TAKEDOWNS).rows
    return TakedownList(rows)


def _refuse_idle_rows(takedowns: TakedownList, path: str | None) -> None:
    """Refuse a row that no document can meet, such as an author by name.

    It would silently leave what it asks to remove.
    """
    idle = [(row, why_never_met(row)) for row in takedowns.rows if why_never_met(row)]
    if idle:
        row, why = idle[0]
        where = {"list": path, row.kind: row.value, "such rows": len(idle)}
        raise InputError("a takedown list has a row that no document can meet", where, why or "")


def refuse_older_documents(annotated: FinishedRun, documents: str, shards: int) -> None:
    """Raise RunError where the documents lack a column that this version writes."""
    only_hashes = annotated.manifest["config"].get("only_hashes")
    written = annotate_graph.HASHES_SCHEMA if only_hashes else annotate_graph.SCHEMA
    names = pq.read_schema(shard_path(documents, 0)).names if shards else written.names
    lacking = sorted(set(written.names) - set(names))
    if lacking:
        raise RunError(
            "the documents of this run were written by another version",
            {"run": annotated.path, "they lack": ", ".join(lacking)},
            "run `gristmill annotate` again on its inputs",
        )


def refuse_lacking_signals(
    annotated: FinishedRun, rules: Sequence[Rule], config: DecideConfig
) -> None:
    """Raise RunError where documents with `only_hashes` lack what the configuration judges by."""
    needed = _list_missing_signals(rules, config)
    if needed:
        fix = "decide with decide.preset=none, no rules and no decide.min_language_score"
        refuse_hashes_only(annotated, needed, fix)


def _list_missing_signals(rules: Sequence[Rule], config: DecideConfig) -> list[str]:
    """Return the columns that the configuration judges by and `only_hashes` leaves out."""
    signals = {rule.signal for rule in rules}
    if config.min_language_score:
        signals |= {"lang_score"}
    return sorted(signals - set(annotate_graph.HASHES_SCHEMA.names))


def check_only_hashes(config: PrepareConfig, *, has_tokenizer: bool) -> None:
    """Raise ConfigError where later steps need what `annotate.only_hashes` leaves out."""
    if not config.annotate.only_hashes:
        return
    missing_by_fix = {
        "decide.preset=none": _list_missing_signals(choose_rules(config.decide), config.decide),
        "pack.mask_personal=false": ["personal"] if config.pack.mask_personal else [],
        "--tokenizer RUN": [] if has_tokenizer else ["personal"],
    }
    fixes = [fix for fix, columns in missing_by_fix.items() if columns]
    if not fixes:
        return
    lacking = dict.fromkeys(name for columns in missing_by_fix.values() for name in columns)
    raise ConfigError(
        "annotate.only_hashes leaves out what later steps need",
        {"they need": ", ".join(lacking)},
        f"give {' and '.join(fixes)}",
    )


def check_choices(config: DecideConfig, custom_columns: Collection[str]) -> None:
    """Raise ConfigError or InputError for unknown rules or an unusable list, before hours of work."""
    check_signals(
        choose_rules(config), [*list_numeric_columns(annotate_graph.SCHEMA), *custom_columns]
    )
    _refuse_idle_rows(read_takedowns(config.takedown), config.takedown)


def estimate_decide(
    documents: int, config: DecideConfig, engine: Engine, memory: int, out: Path
) -> DecideEstimate:
    """Return what `decide` will take for so many documents."""
    spread = plan_partitions(
        documents, 1, config, memory=memory, workers=engine.workers, folder=out
    )
    return estimate_cost(documents, config, spread, memory, engine.workers)
