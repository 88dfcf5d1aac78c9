"""The whole audit on one page: corpus, rules and models in, one plain structure for audit.json out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bias_audit import disparity, lexicon, probe, verdict
from bias_audit.config import AuditConfig, CorpusConfig, GateConfig, ProbesConfig
from bias_audit.corpus import AuditedCorpus, open_corpus
from bias_audit.definitions import DEFINITIONS, LIMITS, SCHEMA
from bias_audit.scanners import LanguageScan
from gristmill import cli
from gristmill.errors import InputError, UserError
from gristmill.progress import Progress
from gristmill.runs.finished import (
    MANIFEST,
    FinishedRun,
    Input,
    corpus_lineage,
    file_input,
    latest_of,
    open_run,
)

if TYPE_CHECKING:
    from bias_audit.likelihood import PairScore


@dataclass(frozen=True, slots=True)
class Model:
    """A model to audit: the name in the report, its Hugging Face folder, and its identity."""

    name: str
    folder: Path
    source: Input


@dataclass(frozen=True, slots=True)
class Subject:
    """What is audited: any of a corpus, the rules applied to it, and models."""

    annotate: FinishedRun | None
    decide: FinishedRun | None
    models: tuple[Model, ...]

    def inputs(self) -> list[Input]:
        """What names the audit run."""
        found = [run.as_input() for run in (self.annotate, self.decide) if run is not None]
        return found + [model.source for model in self.models]


def find_subject(ends: Sequence[FinishedRun], models: Sequence[Path]) -> Subject:
    """Follow the runs given back to the corpus behind them, and collect the models."""
    chain = corpus_lineage(*ends)
    decides = [run for run in chain if run.step == "decide"]
    annotates = [run for run in chain if run.step == "annotate"]
    if len(decides) > 1 or len(annotates) > 1:
        raise UserError(
            "these runs come from several corpora",
            {"runs": ", ".join(run.id for run in [*annotates, *decides])},
            "audit one corpus at a time; models of different corpora can be given with --model",
        )
    trained = [open_model(run.path) for run in chain if run.step == "pretrain"]
    known = {model.source.name for model in trained}
    given = [model for model in map(open_model, models) if model.source.name not in known]
    named = _distinct([*trained, *given])
    found = Subject(latest_of(annotates, "annotate"), latest_of(decides, "decide"), named)
    if found.annotate is None and not found.models:
        raise UserError(
            "there is nothing to audit",
            {"runs": ", ".join(run.id for run in chain) or "(none)"},
            "give --in a decide, pack or pretrain run, or --model a Hugging Face folder",
        )
    return found


def _distinct(models: Sequence[Model]) -> tuple[Model, ...]:
    """Models whose folders have the same name are told apart by a number."""
    named: dict[str, Model] = {}
    for model in models:
        same = sum(known.split("~")[0] == model.name for known in named)
        name = f"{model.name}~{same + 1}" if same else model.name
        named[name] = replace(model, name=name)
    return tuple(named.values())


def open_model(path: Path) -> Model:
    """A pretrain run (its export is audited), the export folder itself, or any Hugging Face folder."""
    run = path.parent if path.name == "export" and (path.parent / MANIFEST).is_file() else path
    if (run / MANIFEST).is_file():
        sealed = open_run(run, step="pretrain")
        return Model(sealed.id, sealed.path / "export", sealed.as_input())
    if not (path / "config.json").is_file():
        raise InputError(
            "this is neither a pretrain run nor a Hugging Face model folder",
            {"model": path, "missing": "config.json"},
            "give a pretrain run, its export folder, or any folder that AutoModel can load",
        )
    return Model(path.resolve().name, path, file_input(str(path)))


def perform_audit(
    subject: Subject, config: AuditConfig
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Run every part that has something to look at; also gives the score of every pair by model."""
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "definitions": DEFINITIONS,
        "limits": list(LIMITS),
        "inputs": [source.name for source in subject.inputs()],
        "corpus": None,
        "rules": None,
        "models": [],
        "gates": [],
        "lexicons": [],
        "probes": [],
    }
    if subject.annotate is not None:
        corpus = open_corpus(subject.annotate, subject.decide)
        result |= audit_corpus(corpus, config.corpus, (subject.annotate, subject.decide))
    pairs: dict[str, list[dict[str, Any]]] = {}
    sets: dict[str, Sequence[probe.Probe]] = {
        lang: probe.load(lang, templates=config.probes.templates)
        for lang in config.probes.languages
    }
    if subject.models:
        cli.say(describe_plan(len(subject.models), sets, config.probes.quality_sentences))
    for model in subject.models:
        row, pairs[model.name] = audit_model(model, sets, config.probes)
        result["models"].append(row)
    if subject.models:
        result["probes"] = [probe.card(lang) for lang in config.probes.languages]
    result["gates"] = check_gates(result["models"], config.gate)
    return result, pairs


def describe_plan(
    models: int, sets: Mapping[str, Sequence[probe.Probe]], quality_sentences: int
) -> str:
    """What will be scored, before it is: the part of an audit that takes long."""
    each = " + ".join(f"{len(probes):,} {lang}" for lang, probes in sets.items())
    count = sum(
        2 * len(probes) + 2 * min(len(probes), quality_sentences) for probes in sets.values()
    )
    return (
        f"audit  scores {each} pairs and the quality gate with {models} {'model' if models == 1 else 'models'}:"
        f" {count * models:,} sentences"
    )


def check_gates(models: Sequence[Mapping[str, Any]], config: GateConfig) -> list[dict[str, Any]]:
    """Every configured gate, with what was asked and found; none is asked by default."""
    found: list[dict[str, Any]] = []
    if (asked := config.measurable) is None:
        return found
    for model in models:
        for lang in dict.fromkeys(row["lang"] for row in model["rows"]):
            count, axes = verdict.measured([row for row in model["rows"] if row["lang"] == lang])
            found.append(
                {
                    "gate": "measurable",
                    "model": model["name"],
                    "lang": lang,
                    "asked": asked,
                    "found": count,
                    "of": axes,
                    "passed": count >= asked * axes,
                }
            )
    return found


def audit_corpus(
    corpus: AuditedCorpus, config: CorpusConfig, origin: tuple[FinishedRun, FinishedRun | None]
) -> dict[str, Any]:
    """Scan all documents once; gives the corpus and the rules part."""
    scans = {
        lang: LanguageScan(
            lang, corpus.legend, min_count=config.min_count, prior_share=config.prior_share
        )
        for lang in lexicon.LANGUAGES
    }
    kept, skipped = 0, dict[str, int]()
    with Progress("audit corpus", total=corpus.rows, unit="documents") as bar:
        for batch in corpus.batches():
            kept += int(batch.keep.sum())
            if batch.lang in scans:
                scans[batch.lang].add(batch)
            else:
                skipped[batch.lang] = skipped.get(batch.lang, 0) + int(batch.keep.sum())
            bar.advance(len(batch))
    used = {lang: scan for lang, scan in scans.items() if scan.slices or scan.disparity.strata}
    annotate, decide = origin
    return {
        "corpus": {
            "annotate": annotate.id,
            "decide": None if decide is None else decide.id,
            "documents": corpus.rows,
            "kept": kept,
            "not_scanned": {lang: n for lang, n in sorted(skipped.items()) if n},
            "slices": [row for scan in used.values() for row in scan.slice_rows()],
            "associations": [
                {"lang": lang, **row} for lang, s in used.items() for row in s.associations.rows()
            ],
            "association_totals": [
                {"lang": lang, **row} for lang, s in used.items() for row in s.associations.totals()
            ],
        },
        "rules": None if decide is None else _rules(used, decide, config),
        "lexicons": [card for scan in used.values() for card in scan.lexicon.cards],
    }


def _rules(
    scans: Mapping[str, LanguageScan], decide: FinishedRun, config: CorpusConfig
) -> dict[str, Any]:
    rows = disparity.compare_rules(
        [scan.disparity for scan in scans.values()], min_documents=config.min_documents
    )
    return {"decide": decide.id, "min_documents": config.min_documents, "rows": rows}


def audit_model(
    model: Model, sets: Mapping[str, Sequence[probe.Probe]], config: ProbesConfig
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Score the probes of every language with one model, and judge every row of what comes out."""
    from bias_audit import likelihood, preference

    scorer = likelihood.load(model.folder)
    rows, quality, pairs = [], [], []
    total = sum(
        2 * len(probes) + 2 * min(len(probes), config.quality_sentences) for probes in sets.values()
    )
    with Progress(f"audit {model.name}", total=total, unit="sentences") as bar:
        for lang, probes in sets.items():
            scores = preference.score_probes(scorer, probes, partial(bar.advance, note=lang))
            found = preference.quality(
                scorer,
                probes,
                sentences=config.quality_sentences,
                seed=config.seed,
                advance=partial(bar.advance, note=f"{lang}, quality gate"),
            )
            table = preference.table(probes, scores, seed=config.seed, resamples=config.resamples)
            rows += [
                {**row, "verdict": verdict.judge_row(row, able=found["able"])} for row in table
            ]
            quality.append(found)
            pairs += [_pair(item, score) for item, score in zip(probes, scores, strict=True)]
    part = {
        "name": model.name,
        "scorer": scorer.name,
        "metric": f"models.{scorer.name}.preference",
        "quality": quality,
        "rows": rows,
    }
    return part, pairs


def _pair(item: probe.Probe, score: PairScore) -> dict[str, Any]:
    """One line of pairs/*.jsonl: both sentences, whose they are, how likely the model finds them, which one it prefers."""
    stereo, anti = float(score.stereo.total), float(score.anti.total)
    preferred = None if stereo == anti else item.favours if stereo > anti else item.against
    return {
        "id": item.id,
        "axis": item.axis,
        "stereo": _side(item.favours, item.stereo, stereo, score.stereo_length),
        "anti": _side(item.against, item.anti, anti, score.anti_length),
        "preferred": preferred,
        "prefers_stereotype": None if preferred is None else preferred == item.favours,
    }


def _side(group: str, sentence: str, log_likelihood: float, tokens: int) -> dict[str, Any]:
    return {
        "group": group,
        "sentence": sentence,
        "log_likelihood": log_likelihood,
        "tokens": tokens,
    }
