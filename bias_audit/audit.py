"""The whole audit on one page: corpus, rules and models in, one typed result for audit.json out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bias_audit.benchmarks.registry import PairSet, describe_pair_sets, load_pair_sets
from bias_audit.config import AuditConfig, CorpusConfig, GateConfig, ProbesConfig
from bias_audit.contract.corpus_rows import CorpusAudit, RuleAudit
from bias_audit.contract.model_rows import GateOutcome, ModelAudit, count_measurable
from bias_audit.contract.pair_records import PairRecord
from bias_audit.contract.result import SCHEMA, AuditResult, LexiconCard
from bias_audit.corpus import AuditedCorpus, open_corpus
from bias_audit.definitions import DEFINITIONS, LIMITS
from bias_audit.disparity import compare_rules
from bias_audit.lexicon import LANGUAGES
from bias_audit.records import make_pair_record
from bias_audit.scanners import LanguageScan
from bias_audit.subject import AuditedModel, AuditSubject
from gristmill import cli
from gristmill.progress import Progress
from gristmill.runs.finished import FinishedRun


@dataclass(frozen=True, slots=True)
class AuditOutput:
    """The result, and the score of every pair by the name of the model."""

    result: AuditResult
    pairs: Mapping[str, Sequence[PairRecord]]


@dataclass(frozen=True, slots=True)
class CorpusParts:
    """What one pass over the documents gives."""

    corpus: CorpusAudit
    rules: RuleAudit | None
    lexicons: tuple[LexiconCard, ...]


@dataclass(frozen=True, slots=True)
class ModelParts:
    """What one model gives: its part of the result, and a record of every pair."""

    audit: ModelAudit
    pairs: tuple[PairRecord, ...]


def perform_audit(subject: AuditSubject, config: AuditConfig) -> AuditOutput:
    """Run every part that has something to look at."""
    parts = None
    if subject.annotate is not None:
        parts = audit_corpus(subject.annotate, subject.decide, config.corpus)
    probes = config.probes
    sets = load_pair_sets(probes.benchmarks, probes.languages, templates=probes.templates)
    if subject.models:
        cli.say(describe_plan(len(subject.models), sets, probes.quality_sentences))
    models = [audit_model(model, sets, probes) for model in subject.models]
    audits = tuple(model.audit for model in models)
    result = AuditResult(
        schema=SCHEMA,
        definitions=DEFINITIONS,
        limits=LIMITS,
        inputs=tuple(source.name for source in subject.inputs()),
        corpus=None if parts is None else parts.corpus,
        rules=None if parts is None else parts.rules,
        models=audits,
        gates=tuple(check_gates(audits, config.gate)),
        lexicons=() if parts is None else parts.lexicons,
        benchmarks=tuple(describe_pair_sets(sets)) if subject.models else (),
    )
    return AuditOutput(result, {model.audit.name: model.pairs for model in models})


def count_sentences(sets: Sequence[PairSet], quality_sentences: int) -> int:
    """How many sentences are scored with one model."""
    pairs = sum(len(pair_set.pairs) for pair_set in sets)
    checked = sum(min(len(pair_set.pairs), quality_sentences) for pair_set in sets)
    # Two sentences a pair; and each checked sentence beside its own words shuffled.
    return 2 * pairs + 2 * checked


def describe_plan(models: int, sets: Sequence[PairSet], quality_sentences: int) -> str:
    """What will be scored, before it is: the part of an audit that takes long."""
    pairs = " + ".join(f"{len(pair_set.pairs):,} {pair_set.lang}" for pair_set in sets)
    count = count_sentences(sets, quality_sentences) * models
    noun = "model" if models == 1 else "models"
    return (
        f"audit  scores {pairs} pairs and the quality gate with {models} {noun}:"
        f" {count:,} sentences"
    )


def check_gates(models: Sequence[ModelAudit], config: GateConfig) -> list[GateOutcome]:
    """Every configured gate with its outcome; none is configured by default."""
    required_share = config.measurable
    if required_share is None:
        return []
    outcomes: list[GateOutcome] = []
    for model in models:
        for table in model.tables():
            count, axes = count_measurable(table)
            outcomes.append(
                GateOutcome(
                    benchmark=table[0].benchmark,
                    gate="measurable",
                    model=model.name,
                    lang=table[0].lang,
                    required_share=required_share,
                    measurable_axes=count,
                    axes=axes,
                    passed=count >= required_share * axes,
                )
            )
    return outcomes


def audit_corpus(
    annotate: FinishedRun, decide: FinishedRun | None, config: CorpusConfig
) -> CorpusParts:
    """Scan all documents once; gives the corpus and the rules part."""
    documents = open_corpus(annotate, decide)
    scans = {
        lang: LanguageScan(
            lang,
            documents.legend,
            min_count=config.min_count,
            prior_share=config.prior_share,
        )
        for lang in LANGUAGES
    }
    kept_by_language = _scan_documents(documents, scans)
    used = [scan for scan in scans.values() if scan.slices or scan.disparity.strata]
    not_scanned = {
        lang: count
        for lang, count in sorted(kept_by_language.items())
        if count and lang not in scans
    }
    corpus = CorpusAudit(
        annotate=annotate.id,
        decide=None if decide is None else decide.id,
        documents=documents.rows,
        kept_documents=sum(kept_by_language.values()),
        not_scanned=not_scanned,
        slices=tuple(row for scan in used for row in scan.slice_rows()),
        associations=tuple(row for scan in used for row in scan.associations.rows()),
        association_totals=tuple(row for scan in used for row in scan.associations.totals()),
    )
    lexicons = tuple(card for scan in used for card in scan.lexicon.cards)
    rules = None if decide is None else _audit_rules(used, decide, config)
    return CorpusParts(corpus, rules, lexicons)


def _scan_documents(documents: AuditedCorpus, scans: Mapping[str, LanguageScan]) -> dict[str, int]:
    """Feed every batch to the scan of its language; returns the kept documents of every
    language.
    """
    kept_by_language: dict[str, int] = {}
    with Progress("audit corpus", total=documents.rows, unit="documents") as bar:
        for batch in documents.batches():
            count = kept_by_language.get(batch.lang, 0)
            kept_by_language[batch.lang] = count + int(batch.keep.sum())
            if batch.lang in scans:
                scans[batch.lang].add(batch)
            bar.advance(len(batch))
    return kept_by_language


def _audit_rules(
    scans: Sequence[LanguageScan], decide: FinishedRun, config: CorpusConfig
) -> RuleAudit:
    rows = compare_rules([scan.disparity for scan in scans], min_documents=config.min_documents)
    return RuleAudit(decide=decide.id, min_documents=config.min_documents, rows=tuple(rows))


def audit_model(model: AuditedModel, sets: Sequence[PairSet], config: ProbesConfig) -> ModelParts:
    """Score the pairs of every set with one model, and judge every row of what comes out."""
    # Here, because a corpus is audited without torch.
    from bias_audit.preference import score_probes, tabulate
    from bias_audit.scorers.load import load_scorer
    from bias_audit.word_order import word_order_check

    scorer = load_scorer(model.folder)
    rows = []
    checks = []
    records = []
    total = count_sentences(sets, config.quality_sentences)
    with Progress(f"audit {model.name}", total=total, unit="sentences") as bar:
        for pair_set in sets:
            pairs = pair_set.pairs
            scores = score_probes(scorer, pairs, partial(bar.advance, note=pair_set.lang))
            check = word_order_check(
                scorer,
                pairs,
                sentences=config.quality_sentences,
                seed=config.seed,
                advance=partial(bar.advance, note=f"{pair_set.lang}, quality gate"),
            )
            checks.append(check)
            rows += tabulate(
                pairs,
                scores,
                seed=config.seed,
                resamples=config.resamples,
                passes_sanity_check=check.passes_sanity_check,
            )
            records += [
                make_pair_record(pair, score) for pair, score in zip(pairs, scores, strict=True)
            ]
    audit = ModelAudit(
        name=model.name,
        scorer=scorer.name,
        metric=f"models.{scorer.name}.preference",
        word_order_checks=tuple(checks),
        rows=tuple(rows),
    )
    return ModelParts(audit, tuple(records))
