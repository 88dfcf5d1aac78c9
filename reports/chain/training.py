"""Tokens and training: what the shards hold, how the losses fell, and what the models say."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_language,
    format_share,
)
from reports.chain.report_data import ReportData, RunSummary, TokenCounts, TrainingSummary
from reports.chain.sources import long_table
from reports.chain.tokens import SPLITS
from reports.drawing.blocks import chart, code, folded, missing, note, part, section, table
from reports.drawing.charts import ChartBar, ChartLine, draw_bar_chart, draw_line_chart
from reports.drawing.glossary import term
from reports.drawing.markup import Html, content, tag


def draw_tokens_section(facts: ReportData) -> Html:
    """Section 5."""
    title = "Tokens"
    if facts.tokens is None:
        return section(
            "tokens",
            title,
            missing(
                "a pack run.", "Make it with ", code("gristmill prepare"), ", and report on it."
            ),
        )
    found = facts.tokens
    return section(
        "tokens",
        title,
        table(
            "Splits",
            ("split", "#documents", "#tokens", "#share of tokens", "#text"),
            _splits(found),
        ),
        note(
            "A ",
            term("split"),
            " is a part of the documents with a purpose of its own: to train, to watch the training, to measure at "
            "the end. A ",
            term("token"),
            " is what a model reads; files of tokens are called ",
            term("shard", "shards"),
            ".",
        ),
        part("By language", *_fertility(found, "language", "lang")),
        part("By source", *_fertility(found, "source", "source")),
        part("Length of documents", _lengths(found)),
        part("Tokenizer", _tokenizer(found, facts.last("tokenizer"))),
    )


def _splits(found: TokenCounts) -> list[list[str]]:
    total = sum(part.tokens for part in found.slices)
    rows = []
    for split in SPLITS:
        own = [part for part in found.slices if part.split == split]
        documents, inside, bytes_ = (
            sum(getattr(p, name) for p in own) for name in ("documents", "tokens", "bytes")
        )
        rows.append(
            [
                split,
                format_count(documents),
                format_count(inside),
                format_share(inside, total),
                format_bytes(bytes_),
            ]
        )
    return rows


def _fertility(found: TokenCounts, name: str, column: str) -> Iterator[Html]:
    """Documents, tokens and tokens per byte for each language or source."""
    sums: dict[str, Counter[str]] = {}
    for slice_ in found.slices:
        own = sums.setdefault(getattr(slice_, column), Counter())
        own.update({key: getattr(slice_, key) for key in ("documents", "tokens", "bytes")})
    order = sorted(sums, key=lambda key: (-sums[key]["tokens"], key))
    shown = format_language if name == "language" else str
    total = sum(own["tokens"] for own in sums.values())
    rows = [
        (
            shown(key),
            format_count(own["documents"]),
            format_count(own["tokens"]),
            format_share(own["tokens"], total),
            format_bytes(own["bytes"]),
            _ratio(own["tokens"], own["bytes"]),
            _ratio(own["bytes"], own["tokens"]),
        )
        for key in order
        for own in [sums[key]]
    ]
    head = (
        name,
        "#documents",
        "#tokens",
        "#share",
        "#text",
        "#tokens per byte",
        "#bytes per token",
    )
    yield from long_table(f"Tokens by {name}", head, rows)


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "–"


def _lengths(found: TokenCounts) -> Html:
    start = next((power for power, n in enumerate(found.lengths) if n), 0)
    bars = [
        ChartBar(f"{_power(p)} to {_power(p + 1, -1)} tokens", n)
        for p, n in enumerate(found.lengths)
        if p >= start
    ]
    total = sum(found.lengths)
    return content(
        chart(draw_bar_chart("Documents by number of tokens", bars)),
        note(
            f"n = {format_counted(total, 'document')}; each row is twice as long as the one above. Sequence length is chosen at training time."
        ),
    )


def _power(exponent: int, less: int = 0) -> str:
    return format_count((1 << exponent) + less)


def _tokenizer(found: TokenCounts, run: RunSummary | None) -> Html:
    rows: list[tuple[str, object]] = [
        ("pieces", format_count(found.vocabulary)),
        ("kind", "sentencepiece BPE with byte fallback: no text is unknown"),
        ("sha256 of the model", code(found.tokenizer)),
    ]
    if run:
        trained = f"{format_counted(int(run.details['sample_documents']), 'document')}, {format_bytes(int(run.details['sample_bytes']))}"
        rows += [("trained on", trained)] if "sample_bytes" in run.details else []
        rows += (
            [("character coverage", str(run.config["character_coverage"]))]
            if "character_coverage" in run.config
            else []
        )
        rows.append(("run", code(run.id)))
    return table("The tokenizer", ("property", "value"), rows)


LABELS = {"loss": "training", "validation_loss": "validation"}


def draw_training_section(facts: ReportData) -> Html:
    """Section 6."""
    title = "Training"
    if not facts.trainings:
        how = [code("gristmill pretrain --in PACK"), ", then report on the pretrain run."]
        return section("training", title, missing("a pretrain run.", "Make one with ", *how))
    return section(
        "training",
        title,
        table(
            "Models",
            (
                "run",
                "objective",
                "#parameters",
                "#steps",
                "#tokens seen",
                "#validation loss",
                "#bits per byte",
            ),
            map(_model_row, facts.trainings),
        ),
        note(
            "Losses are in ",
            term("nats"),
            " a token. ",
            term("bits per byte", "Bits per byte"),
            " compares tokenizers and models: it counts the bytes of the text, not tokens. "
            "Masked text is guessed from both sides: its numbers stand beside no others.",
        ),
        *map(_training, facts.trainings),
    )


def _model_row(run: TrainingSummary) -> list[object]:
    bits = _bits(run.last)
    return [
        code(run.run),
        run.objective,
        format_count(run.counts.get("parameters", 0)),
        format_count(run.counts.get("steps", 0)),
        format_count(run.counts.get("tokens", 0)),
        f"{run.last['validation_loss']:.3f}" if "validation_loss" in run.last else "–",
        "–"
        if bits is None
        else f"{run.last[bits]:.3f}" + (" (masked)" if bits.startswith("masked") else ""),
    ]


def _bits(row: Mapping[str, float]) -> str | None:
    return next((name for name in row if name.endswith("bits_per_byte")), None)


def _training(run: TrainingSummary) -> Html:
    whole = [
        ChartLine(LABELS[name], points) for name, points in run.curves.items() if name in LABELS
    ]
    parts = [
        ChartLine(_words(name), points) for name, points in run.curves.items() if name not in LABELS
    ]
    title = f"{ {'causal': 'Causal model', 'mlm_nsp': 'BERT'}.get(run.objective, run.objective) }, {run.run}"
    drawn = [draw_line_chart(f"{run.run}: loss", whole, x_label="step", y_label="nats a token")]
    if parts:
        drawn.append(
            draw_line_chart(
                f"{run.run}: the parts of the loss", parts, x_label="step", y_label="nats"
            )
        )
    loop = run.settings.get("loop", {})
    proof = run.export
    checked = (
        f" The export's logits differ from ours by at most {proof['max_logit_difference']:.2g}; its tokenizer gave equal ids on "
        f"{format_counted(int(proof['tokenizer_texts_checked']), 'text')}."
        if {"max_logit_difference", "tokenizer_texts_checked"} <= set(proof)
        else ""
    )
    windows = (
        f"Validation over at most {format_count(int(loop['validation_samples']))} sequences."
        if "validation_samples" in loop
        else ""
    )
    return content(
        tag("h3", title),
        *map(chart, drawn),
        table(
            f"{run.run}, first and last validation",
            ("measure", "#untrained", "#last"),
            _first_and_last(run),
        ),
        note(windows + checked),
        *_said(run),
    )


def _words(name: str) -> str:
    split = "validation" if name.startswith("validation_") else "training"
    kind = name.removeprefix("validation_").removesuffix("_loss")
    return f"{split}, { {'mlm': 'masked tokens', 'nsp': 'next sentence'}.get(kind, kind) }"


def _first_and_last(run: TrainingSummary) -> Iterator[tuple[str, str, str]]:
    for name, value in sorted(
        run.last.items(), key=lambda item: (item[0] != "step", "bits" in item[0], item[0])
    ):
        start = f"{run.first[name]:.3f}" if name in run.first else "–"
        if name == "step":
            yield name, format_count(int(run.first.get(name, 0))), format_count(int(value))
        else:
            yield name.replace("_", " "), start, f"{value:.3f}"


def _said(run: TrainingSummary) -> Iterator[Html]:
    if not run.samples:
        return
    draw = _continuation if run.samples_kind == "continuation" else _filled
    title = (
        "What the model writes" if run.samples_kind == "continuation" else "What the model fills in"
    )
    told = (
        "Beginnings of validation documents, continued by the model (marked). Sampled text is untrue by nature, and may repeat training "
        "text."
        if run.samples_kind == "continuation"
        else "One piece of a validation text is hidden; the five likeliest guesses follow."
    )
    shown = [draw(one) for one in run.samples]
    yield part(title, note(told), *shown[:3])
    if shown[3:]:
        yield folded(f"{len(shown[3:])} more", *shown[3:])


def _continuation(one: Mapping[str, Any]) -> Html:
    words = [str(one.get("prompt", "")), tag("mark", str(one.get("text", "")))]
    return tag("blockquote", *words, dir="auto", class_="text")


def _filled(one: Mapping[str, Any]) -> Html:
    answer, guesses = str(one.get("answer", "")), one.get("guesses", ())
    line = tag(
        "blockquote",
        str(one.get("before", "")),
        tag("mark", "[MASK]"),
        str(one.get("after", "")),
        dir="auto",
        class_="text",
    )
    told = [
        content(", " if i else "", code(g["piece"]), f" {float(g['probability']):.1%}")
        for i, g in enumerate(guesses)
    ]
    return tag(
        "figure",
        line,
        tag("figcaption", "hidden: ", code(answer), " · guesses: ", *told),
        class_="sample",
    )
