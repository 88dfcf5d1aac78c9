"""Open a run to explore: its documents, the verdicts on them if there are any, and the rules that judge them."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.corpus.document import refuse_hashes_only
from gristmill.corpus.shard_pairs import check_pair
from gristmill.corpus.view import WITHHELD, open_documents_run
from gristmill.errors import ConfigError, RunError
from gristmill.runs.finished import FinishedRun
from pipelines.contract import (
    FIXED_REASONS,
    DecideConfig,
    Rule,
    build_legend,
    check_signals,
    choose_rules,
    list_numeric_columns,
)

BATCH = 1 << 16


@dataclass(frozen=True, slots=True)
class ExploreSource:
    """What is explored. `rules` are all rules by their place in `legend`; `decisions` is None where nobody decided.

    `configured` tells whether the rules are those of a configuration that the user gave.
    """

    run: FinishedRun
    documents: tuple[Path, ...]
    decisions: tuple[Path, ...] | None
    legend: tuple[str, ...]
    rules: Mapping[int, Rule]
    presets: Mapping[str, Sequence[str]]
    configured: bool = False

    @property
    def fields(self) -> pa.Schema:
        """The columns of the documents; empty where there is no document."""
        return pq.read_schema(self.documents[0]) if self.documents else pa.schema([])

    @property
    def rows(self) -> int:
        """How many documents there are."""
        return sum(pq.read_metadata(path).num_rows for path in self.documents)

    def presets_of(self, kind: str) -> Sequence[str]:
        """The presets by which documents of a kind are judged."""
        return self.presets.get(kind, self.presets.get("other", ()))

    def chosen(self, name: str | None) -> dict[int, Rule]:
        """The rule of this name with its place, or all; raises ConfigError where there is none, naming the nearest."""
        if name is None:
            return dict(self.rules)
        if name in FIXED_REASONS:
            raise ConfigError(
                "this reason is no threshold of a signal",
                {"given": name},
                f"gristmill report {self.run.path}",
            )
        found = {place: rule for place, rule in self.rules.items() if rule.name == name}
        if not found:
            names = [rule.name for rule in self.rules.values()]
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            fix = (
                f"did you mean `{near[0]}`?" if near else f"choose from {', '.join(sorted(names))}"
            )
            raise ConfigError(
                "no such rule in this run", {"given": name, "run": self.run.path}, fix
            )
        return found


@dataclass(frozen=True, slots=True)
class SignalBatch:
    """Documents of one shard: their row numbers, the columns asked for, and which of `pairs` (kind, lang) each is of.

    `reasons` are the recorded bits (None where nobody decided); texts of `withheld` documents must not be shown.
    """

    shard: int
    rows: np.ndarray
    table: pa.Table
    pairs: Sequence[tuple[str, str]]
    cells: np.ndarray
    reasons: np.ndarray | None
    withheld: np.ndarray

    def values(self, signal: str) -> np.ndarray:
        """A numeric column, NaN where a document has no number."""
        column: np.ndarray = self.table[signal].to_numpy()
        return column

    def only(self, wanted: np.ndarray) -> "SignalBatch":
        """The batch without the documents that are not `wanted`."""
        reasons = None if self.reasons is None else self.reasons[wanted]
        parts = (
            self.rows[wanted],
            self.table.filter(pa.array(wanted)),
            self.pairs,
            self.cells[wanted],
        )
        return SignalBatch(self.shard, *parts, reasons, self.withheld[wanted])


def open_source(run: FinishedRun, config: DecideConfig | None = None) -> ExploreSource:
    """A decide run with the documents it judged, or an annotate run with the rules of `config` (None: the default ones).

    Raises RunError for any other run, and ConfigError for a `config` beside a decide run, which has its rules already.
    """
    if run.step == "annotate":
        _refuse_without_signals(run)
        return _undecided(run, config)
    if run.step != "decide":
        fix = f"name one of them: gristmill runs list --out {run.path.parent}"
        raise RunError(
            "a run of `decide` or `annotate` is needed here",
            {"run": run.path, "is of": run.step},
            fix,
        )
    if config is not None:
        fix = f"try other rules on its documents: gristmill explore {open_documents_run(run).path} --config ... --set ..."
        raise ConfigError(
            "a decide run is shown with the rules it was decided by", {"run": run.path}, fix
        )
    annotated = open_documents_run(run)
    _refuse_without_signals(annotated)
    documents, decisions = annotated.files("documents/"), run.files("decisions/")
    for shard in range(len(documents)):
        check_pair(str(documents[shard].parent), str(run.path / "decisions"), shard)
    names = [str(name) for name in run.details["reasons"]]
    rules = tuple(read_rule(record) for record in run.details["rules"])
    presets = run.manifest["config"]["presets"]
    return ExploreSource(
        run, tuple(documents), tuple(decisions), tuple(names), _placed(names, rules), presets
    )


def _refuse_without_signals(annotated: FinishedRun) -> None:
    refuse_hashes_only(annotated, ["all signals", "personal"], "explore another run")


def _undecided(run: FinishedRun, given: DecideConfig | None) -> ExploreSource:
    config, documents = given or DecideConfig(), tuple(run.files("documents/"))
    rules = choose_rules(config)
    if documents:
        check_signals(rules, list_numeric_columns(pq.read_schema(documents[0])))
    names = build_legend(rules)
    return ExploreSource(
        run, documents, None, tuple(names), _placed(names, rules), config.presets, given is not None
    )


def _placed(names: Sequence[str], rules: Sequence[Rule]) -> dict[int, Rule]:
    return {names.index(rule.name): rule for rule in rules}


def read_rule(record: Mapping[str, Any]) -> Rule:
    """A rule from its record in a manifest, see `Rule.record`."""
    languages = {lang: _bounds(bounds) for lang, bounds in record["by_language"].items()}
    only, kinds = tuple(record["only_languages"]), tuple(record.get("kinds", ()))
    return Rule(
        record["name"], record["preset"], record["signal"], *_bounds(record), languages, only, kinds
    )


def _bounds(record: Mapping[str, Any]) -> tuple[float, float]:
    low, high = record["min"], record["max"]
    return -np.inf if low is None else float(low), np.inf if high is None else float(high)


def iter_batches(source: ExploreSource, columns: Sequence[str]) -> Iterator[SignalBatch]:
    """All documents in order, with these columns. Raises RunError where the documents lack one."""
    read = [*dict.fromkeys([*columns, "kind", "lang", *([] if source.decisions else ["opt_out"])])]
    if source.documents and (lacking := sorted(set(read) - set(source.fields.names))):
        where = {"run": source.run.path, "without": ", ".join(lacking)}
        raise RunError(
            "the documents of this run lack a column", where, "run `gristmill annotate` again"
        )
    for shard, path in enumerate(source.documents):
        recorded = None if source.decisions is None else _recorded(source.decisions[shard])
        start = 0
        for part in pq.ParquetFile(path).iter_batches(BATCH, columns=read):
            rows = np.arange(start, start := start + part.num_rows)
            yield _batch(
                shard,
                rows,
                pa.Table.from_batches([part]),
                None if recorded is None else recorded[rows],
                source,
            )


def _recorded(path: Path) -> np.ndarray:
    return np.asarray(pq.read_table(path, columns=["reasons"])["reasons"].to_numpy(), np.uint64)


def _batch(
    shard: int, rows: np.ndarray, table: pa.Table, reasons: np.ndarray | None, source: ExploreSource
) -> SignalBatch:
    kinds, langs = (pc.dictionary_encode(table[name]).combine_chunks() for name in ("kind", "lang"))
    pairs = [
        (kind, lang)
        for kind in kinds.dictionary.to_pylist()
        for lang in langs.dictionary.to_pylist()
    ]
    cells = kinds.indices.to_numpy() * len(langs.dictionary) + langs.indices.to_numpy()
    if (
        reasons is None
    ):  # nobody decided about rights yet: what a source refuses is not ours to show
        withheld = pc.fill_null(pc.list_value_length(table["opt_out"]), 0).to_numpy() > 0
    else:
        hidden = sum(1 << place for place, name in enumerate(source.legend) if name in WITHHELD)
        withheld = (reasons & np.uint64(hidden)) != 0
    return SignalBatch(shard, rows, table, pairs, cells, reasons, withheld)
