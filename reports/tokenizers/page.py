"""Draw the page of a tokenizer report: the chart of the study, the table of fertility, the vocabularies.

In: the report as the JSON beside the page has it. Out: one self-contained page.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reports.drawing.charts import ChartLine, draw_line_chart
from reports.drawing.templates import render, render_page

LANGUAGES_SHOWN = 6
"""Lines of the chart: more cannot be told apart."""

HEAD = (
    "tokenizer",
    "source",
    "language",
    "documents",
    "tokens",
    "tokens a word",
    "tokens a character",
    "bytes a token",
    "bytes alone",
)


@dataclass(frozen=True, slots=True)
class VocabularySummary:
    """One tokenizer: how many of its pieces the sample never uses, and its longest pieces."""

    tokenizer: str
    usage: str
    longest: Sequence[str]


def draw_page(report: Mapping[str, Any]) -> str:
    """The whole page; equal reports give equal bytes."""
    body = render(
        "tokenizers/tokenizers.html.jinja",
        introduction=" ".join(describe_measurement(report)),
        chart=draw_study(report["study"]) if report["study"] else None,
        head=HEAD,
        rows=[write_row(row) for row in report["rows"]],
        vocabularies=[summarize_vocabulary(record) for record in report["vocabularies"]],
    )
    return render_page("Tokenizers", (), body)


def describe_measurement(report: Mapping[str, Any]) -> list[str]:
    """What was measured on, how much of it is new to the tokenizers, and what was left out, in sentences."""
    documents, new_documents = report["documents"], report["new_documents"]
    size = f"{report['bytes']:,} bytes"
    lines = [f"Measured on {documents:,} documents ({size}) of {report['decide']}."]
    if new_documents is not None:
        lines.append(f"{new_documents:,} of them were in no training sample.")
        if new_documents < documents:
            lines.append("On the others a tokenizer does better than on new text.")
    if report["training_unknown"]:
        names = ", ".join(report["training_unknown"])
        lines.append(f"What {names} was trained on is not known here.")
    return [*lines, *(f"Size {line}." for line in report["left_out"])]


def draw_study(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Bytes a token by size of the vocabulary, a line for each of the languages with most text."""
    by_language = [row for row in rows if row["source"] == "all" and row["lang"] != "all"]
    sizes = Counter[str]()
    for row in by_language:
        sizes[row["lang"]] += row["bytes"]
    languages = sorted(sizes, key=lambda lang: (-sizes[lang], lang))[:LANGUAGES_SHOWN]
    lines = []
    for lang in languages:
        points = [
            (math.log2(row["vocab_size"]), row["bytes_per_token"])
            for row in by_language
            if row["lang"] == lang and row["bytes_per_token"]
        ]
        lines.append(ChartLine(lang, points))
    return draw_line_chart(
        "Vocabulary size: bytes a token",
        lines,
        x_label="log2 of the vocabulary",
        y_label="bytes a token",
    )


def write_row(row: Mapping[str, Any]) -> list[str]:
    """One row of the table of fertility."""
    ratios = [row[name] for name in ("tokens_per_word", "tokens_per_character", "bytes_per_token")]
    return [
        row["tokenizer"],
        row["source"],
        row["lang"],
        f"{row['documents']:,}",
        f"{row['tokens']:,}",
        *("-" if ratio is None else f"{ratio:.3f}" for ratio in ratios),
        f"{row['byte_share'] or 0:.2%}",
    ]


def summarize_vocabulary(record: Mapping[str, Any]) -> VocabularySummary:
    """How much of one vocabulary the sample uses."""
    unused, size = record["unused"], record["vocab_size"]
    usage = f"{unused:,} of {size:,} pieces stand in no document of the sample."
    return VocabularySummary(record["tokenizer"], usage, record["longest"])
