"""The top of the page: what this is in one sentence, its key figures, the verdict, and the chain of runs."""

from collections import Counter
from collections.abc import Iterator

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
from reports.chain.report_data import ReportData, RunSummary, TrainingSummary
from reports.drawing.markup import Html, content, tag

ORDER = ("pack", "decide", "annotate", "crawl")
MARKS = {"good": "OK", "look": "Look", "wrong": "Wrong"}


def draw_overview(facts: ReportData) -> Html:
    """Everything above the first section."""
    return tag(
        "header",
        tag("p", "Gristmill report", class_="kicker"),
        tag("h1", write_headline(facts)),
        tag("dl", *(_tile(*tile) for tile in list_tiles(facts)), class_="tiles"),
        draw_verdict(check_health(facts)),
        draw_chain(facts),
        id="top",
    )


def write_headline(facts: ReportData) -> str:
    """One sentence: how much of what, from where, and the models trained on it."""
    last = next((run for step in ORDER if (run := facts.last(step))), None)
    models = [describe_model(training) for training in facts.trainings]
    if last is None:
        return f"A chain of {format_counted(len(facts.runs), 'run')}, without a corpus beside it"
    documents = Counter[str]()
    for entry in last.entries:
        documents[entry.lang] += entry.documents if entry.fate == "kept" else 0
    known = choose_main_languages(documents)
    sources = {entry.source for entry in last.entries if entry.fate == "kept"}
    said = f"{format_counted(last.counts.get('kept', 0), 'document')} from {format_counted(len(sources), 'source')}"
    said += (
        f" {'mostly ' if len(+documents) > len(known) else ''}in {format_list(known)}"
        if known
        else ""
    )
    return f"{said}, and {format_list(models)} trained on them" if models else said


def choose_main_languages(documents: Counter[str]) -> list[str]:
    """The names of languages of at least one document in a hundred: fewer may be slips of the identifier."""
    enough = max(1, documents.total() / 100)
    order = sorted(documents, key=lambda code: (-documents[code], code))
    return [
        format_language(code).split(" (")[0] for code in order if code and documents[code] >= enough
    ]


def describe_model(training: TrainingSummary) -> str:
    """A model in three words."""
    return {"causal": "a causal model", "mlm_nsp": "a BERT"}.get(
        training.objective, f"a model ({training.objective})"
    )


def list_tiles(facts: ReportData) -> Iterator[tuple[str, str, str]]:
    """(name, figure, what stands behind it) of the key figures."""
    first, last = facts.last("annotate"), facts.last("decide")
    if last:
        read, kept = last.counts["read"], last.counts["kept"]
        yield (
            "Documents kept",
            format_count(kept),
            f"{format_share(kept, read)} of {format_count(read)} judged",
        )
    elif first:
        yield (
            "Documents",
            format_count(first.counts["kept"]),
            f"of {format_counted(first.counts['read'], 'record')} read",
        )
    if facts.tokens:
        tokens, bytes_ = (
            sum(getattr(part, name) for part in facts.tokens.slices) for name in ("tokens", "bytes")
        )
        yield (
            "Tokens",
            format_count(tokens),
            f"{format_bytes(bytes_)} of text, vocabulary {format_count(facts.tokens.vocabulary)}",
        )
    if facts.corpus and facts.corpus.duplicates:
        copies = sum(r.first for r in facts.corpus.reasons if r.name in COPIES)
        yield (
            "Duplicates dropped",
            format_count(copies),
            f"{format_share(copies, facts.corpus.documents)} of {format_count(facts.corpus.documents)}",
        )
    for training in facts.trainings:
        for name in training.last:
            if name.endswith("bits_per_byte"):
                words = "Bits per byte" + (", masked text" if name.startswith("masked") else "")
                start = (
                    f", from {training.first[name]:.2f} untrained" if name in training.first else ""
                )
                kind = "BERT" if training.objective == "mlm_nsp" else training.objective
                yield words, f"{training.last[name]:.2f}", f"{kind}, validation{start}"


def _tile(name: str, figure: str, behind: str) -> Html:
    return tag("div", tag("dt", name), tag("dd", tag("strong", figure), " ", tag("span", behind)))


def draw_verdict(found: list[HealthCheck]) -> Html:
    """The lines of the verdict; the level is a word, not only a colour."""
    lines = (
        tag("li", tag("b", MARKS[check.level]), " ", tag("span", check.words), class_=check.level)
        for check in found
    )
    return tag("ul", *lines, class_="verdict", aria_label="Verdict") if found else Html()


def draw_chain(facts: ReportData) -> Html:
    """The runs in columns, each right of all that it read."""
    depths = sorted({run.depth for run in facts.runs})
    columns = [
        tag("li", *(_box(run) for run in facts.runs if run.depth == depth)) for depth in depths
    ]
    return content(
        tag("h2", "The chain of runs", class_="small"),
        tag("ol", *columns, class_="chain"),
    )


def _box(run: RunSummary) -> Html:
    hash_ = run.id.removeprefix(f"{run.step}-")
    told = " · ".join(describe_run(run))
    return tag(
        "div",
        tag("b", run.step),
        tag("code", hash_),
        tag("span", told) if told else None,
        class_="run",
    )


def describe_run(run: RunSummary) -> Iterator[str]:
    """The one or two numbers that say most of a run."""
    kept, names = run.counts.get("kept"), {"crawl": "item", "pack": "document"}
    if kept is not None:
        yield f"{format_counted(kept, names.get(run.step, 'document'))}{' kept' if run.step == 'decide' else ''}"
    if run.step == "tokenizer":
        yield f"{format_count(int(run.details.get('vocab_size', 0)))} pieces"
    if run.step == "pretrain":
        kind = str(run.details.get("objective", ""))
        yield f"{ {'mlm_nsp': 'BERT'}.get(kind, kind) }, {format_counted(run.counts.get('steps', 0), 'step')}"
    if run.step == "audit":
        yield format_counted(run.counts.get("pairs_scored", 0), "pair")
