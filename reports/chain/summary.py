"""The top of the page: one sentence, the key figures, the verdict, and the chain of runs.

In: the `ReportData` of a chain. Out: the header of the page, laid out by `templates/chain/overview.html.jinja`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from gristmill.corpus.view import COPIES
from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_language,
    format_list,
    format_share,
)
from reports.chain.health_checks import HealthCheck, check_health
from reports.chain.report_data import CorpusSummary, ReportData, RunSummary, TrainingSummary
from reports.drawing.templates import render

FURTHEST_FIRST = ("pack", "decide", "annotate", "crawl")
LEVEL_WORDS = {"good": "OK", "look": "Look", "wrong": "Wrong"}
MODEL_NAMES = {"causal": "a causal model", "mlm_nsp": "a BERT"}
KEPT_UNITS = {"crawl": "item", "pack": "document"}


class Tile(NamedTuple):
    """One key figure: its name, the figure, and what it is measured against."""

    name: str
    figure: str
    context: str


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """One line of the verdict; its level stands there as a word, not only as a colour."""

    level: str
    mark: str
    words: str


@dataclass(frozen=True, slots=True)
class RunBox:
    """One run in the drawing of the chain."""

    step: str
    hash: str
    figures: str


def draw_overview(report: ReportData) -> Markup:
    """Everything above the first section."""
    return render(
        "chain/overview.html.jinja",
        headline=write_headline(report),
        tiles=list(list_tiles(report)),
        verdict=draw_verdict(check_health(report)),
        chain=draw_chain(report),
    )


def draw_verdict(checks: Sequence[HealthCheck]) -> Markup:
    """The list of the verdict's lines; nothing where there is none."""
    lines = [VerdictLine(check.level, LEVEL_WORDS[check.level], check.words) for check in checks]
    return render("chain/verdict.html.jinja", lines=lines)


def draw_chain(report: ReportData) -> Markup:
    """The runs in columns, each right of all that it read."""
    depths = sorted({run.depth for run in report.runs})
    columns = [[_make_box(run) for run in report.runs if run.depth == depth] for depth in depths]
    return render("chain/chain_of_runs.html.jinja", columns=columns)


def _make_box(run: RunSummary) -> RunBox:
    return RunBox(run.step, run.id.removeprefix(f"{run.step}-"), " · ".join(describe_run(run)))


def write_headline(report: ReportData) -> str:
    """One sentence: how much of what, from where, and the models trained on it."""
    furthest = _find_furthest(report)
    if furthest is None:
        runs = format_counted(len(report.runs), "run")
        return f"A chain of {runs}, without a corpus beside it"
    kept = [entry for entry in furthest.entries if entry.fate == "kept"]
    documents = Counter[str]()
    for entry in kept:
        documents[entry.lang] += entry.documents
    sources = format_counted(len({entry.source for entry in kept}), "source")
    count = format_counted(furthest.counts.get("kept", 0), "document")
    sentence = f"{count} from {sources}"
    languages = choose_main_languages(documents)
    if languages:
        # `+documents` holds the languages of at least one document.
        mostly = "mostly " if len(+documents) > len(languages) else ""
        sentence += f" {mostly}in {format_list(languages)}"
    models = [describe_model(training) for training in report.trainings]
    return f"{sentence}, and {format_list(models)} trained on them" if models else sentence


def _find_furthest(report: ReportData) -> RunSummary | None:
    """The run of the furthest step of the corpus."""
    for step in FURTHEST_FIRST:
        run = report.last(step)
        if run is not None:
            return run
    return None


def choose_main_languages(documents: Counter[str]) -> list[str]:
    """The names of languages of at least one document in a hundred: fewer may be slips of the identifier."""
    enough = max(1, documents.total() / 100)
    order = sorted(documents, key=lambda code: (-documents[code], code))
    main = [code for code in order if code and documents[code] >= enough]
    return [format_language(code).split(" (")[0] for code in main]


def describe_model(training: TrainingSummary) -> str:
    """A model in three words."""
    return MODEL_NAMES.get(training.objective, f"a model ({training.objective})")


def list_tiles(report: ReportData) -> Iterator[Tile]:
    """The key figures."""
    yield from _list_document_tiles(report)
    if report.tokens:
        tokens = sum(part.tokens for part in report.tokens.slices)
        size = format_bytes(sum(part.bytes for part in report.tokens.slices))
        vocabulary = format_count(report.tokens.vocabulary)
        yield Tile("Tokens", format_count(tokens), f"{size} of text, vocabulary {vocabulary}")
    if report.corpus and report.corpus.duplicates:
        yield _make_duplicate_tile(report.corpus)
    for training in report.trainings:
        yield from _list_training_tiles(training)


def _list_document_tiles(report: ReportData) -> Iterator[Tile]:
    annotate, decide = report.last("annotate"), report.last("decide")
    if decide:
        read, kept = decide.counts["read"], decide.counts["kept"]
        context = f"{format_share(kept, read)} of {format_count(read)} judged"
        yield Tile("Documents kept", format_count(kept), context)
    elif annotate:
        records = format_counted(annotate.counts["read"], "record")
        yield Tile("Documents", format_count(annotate.counts["kept"]), f"of {records} read")


def _make_duplicate_tile(corpus: CorpusSummary) -> Tile:
    duplicates = sum(reason.first for reason in corpus.reasons if reason.name in COPIES)
    share = format_share(duplicates, corpus.documents)
    context = f"{share} of {format_count(corpus.documents)}"
    return Tile("Duplicates dropped", format_count(duplicates), context)


def _list_training_tiles(training: TrainingSummary) -> Iterator[Tile]:
    for name, value in training.last.items():
        if not name.endswith("bits_per_byte"):
            continue
        title = "Bits per byte" + (", masked text" if name.startswith("masked") else "")
        kind = "BERT" if training.objective == "mlm_nsp" else training.objective
        context = f"{kind}, validation"
        if name in training.first:
            context += f", from {training.first[name]:.2f} untrained"
        yield Tile(title, f"{value:.2f}", context)


def describe_run(run: RunSummary) -> Iterator[str]:
    """The one or two numbers that matter most of a run."""
    kept = run.counts.get("kept")
    if kept is not None:
        suffix = " kept" if run.step == "decide" else ""
        yield format_counted(kept, KEPT_UNITS.get(run.step, "document")) + suffix
    if run.step == "tokenizer":
        yield f"{format_count(int(run.details.get('vocab_size', 0)))} pieces"
    if run.step == "pretrain":
        objective = str(run.details.get("objective", ""))
        kind = "BERT" if objective == "mlm_nsp" else objective
        yield f"{kind}, {format_counted(run.counts.get('steps', 0), 'step')}"
    if run.step == "audit":
        yield format_counted(run.counts.get("pairs_scored", 0), "pair")
