"""The section on training: how the losses fell, what the models ended at, and what they write.

In: the `ReportData` of a chain. Out: section 6, laid out by `templates/chain/training.html.jinja`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from gristmill.formatting import format_count, format_counted
from reports.chain.report_data import ReportData, TrainingSummary
from reports.drawing.charts import ChartLine, draw_line_chart
from reports.drawing.inline import format_code
from reports.drawing.tables import Cell, Table
from reports.drawing.templates import render

TOTAL_LOSSES = {"loss": "training", "validation_loss": "validation"}
LOSS_PARTS = {"mlm": "masked tokens", "nsp": "next sentence"}
MODEL_TITLES = {"causal": "Causal model", "mlm_nsp": "BERT"}

SAMPLES_SHOWN = 3
"""Samples of a model that are not folded away."""


@dataclass(frozen=True, slots=True)
class ContinuationView:
    """The beginning of a document, and the text by which a model went on."""

    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class Guess:
    """A piece that a model would fill in, and its probability in percent."""

    piece: str
    probability: str


@dataclass(frozen=True, slots=True)
class FilledMaskView:
    """A text in which one piece is hidden, the piece, and the likeliest guesses."""

    before: str
    answer: str
    after: str
    guesses: list[Guess]


@dataclass(frozen=True, slots=True)
class ModelSection:
    """One model; `continuations` or `filled_masks` is empty, by its kind of samples."""

    title: str
    charts: list[Markup]
    measures: Table
    note: str
    is_continuing: bool
    continuations: list[ContinuationView]
    filled_masks: list[FilledMaskView]


def draw_training_section(report: ReportData) -> Markup:
    """Section 6."""
    head = (
        "run",
        "objective",
        "#parameters",
        "#steps",
        "#tokens seen",
        "#validation loss",
        "#bits per byte",
    )
    return render(
        "chain/training.html.jinja",
        table=Table("Models", head, [_write_model_row(run) for run in report.trainings]),
        models=[make_model_section(training) for training in report.trainings],
        shown=SAMPLES_SHOWN,
    )


def _write_model_row(run: TrainingSummary) -> list[Cell]:
    loss = run.last.get("validation_loss")
    return [
        format_code(run.run),
        run.objective,
        format_count(run.counts.get("parameters", 0)),
        format_count(run.counts.get("steps", 0)),
        format_count(run.counts.get("tokens", 0)),
        "–" if loss is None else f"{loss:.3f}",
        _format_bits(run.last),
    ]


def _format_bits(measures: Mapping[str, float]) -> str:
    for name, value in measures.items():
        if name.endswith("bits_per_byte"):
            return f"{value:.3f}" + (" (masked)" if name.startswith("masked") else "")
    return "–"


def make_model_section(run: TrainingSummary) -> ModelSection:
    """What the section says of one model."""
    is_continuing = run.samples_kind == "continuation"
    samples = run.samples
    return ModelSection(
        title=f"{MODEL_TITLES.get(run.objective, run.objective)}, {run.run}",
        charts=list(_draw_losses(run)),
        measures=Table(
            f"{run.run}, first and last validation",
            ("measure", "#untrained", "#last"),
            list(_list_measures(run)),
        ),
        note=_write_note(run),
        is_continuing=is_continuing,
        continuations=[_read_continuation(sample) for sample in samples] if is_continuing else [],
        filled_masks=[] if is_continuing else [_read_filled_mask(sample) for sample in samples],
    )


def _draw_losses(run: TrainingSummary) -> Iterator[Markup]:
    totals, parts = list[ChartLine](), list[ChartLine]()
    for name, points in run.curves.items():
        if name in TOTAL_LOSSES:
            totals.append(ChartLine(TOTAL_LOSSES[name], points))
        else:
            parts.append(ChartLine(_name_loss_part(name), points))
    yield draw_line_chart(f"{run.run}: loss", totals, x_label="step", y_label="nats a token")
    if parts:
        title = f"{run.run}: the parts of the loss"
        yield draw_line_chart(title, parts, x_label="step", y_label="nats")


def _name_loss_part(name: str) -> str:
    split = "validation" if name.startswith("validation_") else "training"
    part = name.removeprefix("validation_").removesuffix("_loss")
    return f"{split}, {LOSS_PARTS.get(part, part)}"


def _list_measures(run: TrainingSummary) -> Iterator[tuple[str, str, str]]:
    """Every measure before and after training: the step first, bits per byte last."""
    order = sorted(run.last, key=lambda name: (name != "step", "bits" in name, name))
    for name in order:
        if name == "step":
            first = format_count(int(run.first.get(name, 0)))
            yield name, first, format_count(int(run.last[name]))
        else:
            first = f"{run.first[name]:.3f}" if name in run.first else "–"
            yield name.replace("_", " "), first, f"{run.last[name]:.3f}"


def _write_note(run: TrainingSummary) -> str:
    """How much was validated on, and how the export was checked; empty where neither is recorded."""
    note = ""
    loop = run.settings.get("loop", {})
    if "validation_samples" in loop:
        sequences = format_count(int(loop["validation_samples"]))
        note = f"Validation over at most {sequences} sequences."
    export = run.export
    if "max_logit_difference" in export and "tokenizer_texts_checked" in export:
        texts = format_counted(int(export["tokenizer_texts_checked"]), "text")
        note += (
            f" The export's logits differ from ours by at most {export['max_logit_difference']:.2g};"
            f" its tokenizer gave equal ids on {texts}."
        )
    return note


def _read_continuation(sample: Mapping[str, Any]) -> ContinuationView:
    return ContinuationView(str(sample.get("prompt", "")), str(sample.get("text", "")))


def _read_filled_mask(sample: Mapping[str, Any]) -> FilledMaskView:
    guesses = [
        Guess(str(guess["piece"]), f"{float(guess['probability']):.1%}")
        for guess in sample.get("guesses", ())
    ]
    return FilledMaskView(
        before=str(sample.get("before", "")),
        answer=str(sample.get("answer", "")),
        after=str(sample.get("after", "")),
        guesses=guesses,
    )
