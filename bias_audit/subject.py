"""What an audit looks at: the corpus behind some runs, the rules applied to it, and models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gristmill.errors import InputError, UserError
from gristmill.runs.finished import (
    MANIFEST,
    FinishedRun,
    Input,
    corpus_lineage,
    file_input,
    latest_of,
    open_run,
)


@dataclass(frozen=True, slots=True)
class AuditedModel:
    """A model to audit: the name in the report, its Hugging Face folder, and its identity."""

    name: str
    folder: Path
    source: Input


@dataclass(frozen=True, slots=True)
class AuditSubject:
    """What is audited: any of a corpus, the rules applied to it, and models."""

    annotate: FinishedRun | None
    decide: FinishedRun | None
    models: tuple[AuditedModel, ...]

    def inputs(self) -> list[Input]:
        """What names the audit run."""
        runs = [run for run in (self.annotate, self.decide) if run is not None]
        return [*(run.as_input() for run in runs), *(model.source for model in self.models)]


def find_subject(ends: Sequence[FinishedRun], models: Sequence[Path]) -> AuditSubject:
    """Follow runs back to the corpus behind them, and collect the models.

    UserError where the runs come from several corpora, or nothing can be audited.
    """
    lineage = corpus_lineage(*ends)
    decides = [run for run in lineage if run.step == "decide"]
    annotates = [run for run in lineage if run.step == "annotate"]
    if len(decides) > 1 or len(annotates) > 1:
        raise UserError(
            "these runs come from several corpora",
            {"runs": ", ".join(run.id for run in [*annotates, *decides])},
            "audit one corpus at a time; models of different corpora can be given with --model",
        )
    subject = AuditSubject(
        annotate=latest_of(annotates, "annotate"),
        decide=latest_of(decides, "decide"),
        models=_collect_models(lineage, models),
    )
    if subject.annotate is None and not subject.models:
        raise UserError(
            "there is nothing to audit",
            {"runs": ", ".join(run.id for run in lineage) or "(none)"},
            "give --in a decide, pack or pretrain run, or --model a Hugging Face folder",
        )
    return subject


def _collect_models(
    lineage: Sequence[FinishedRun], paths: Sequence[Path]
) -> tuple[AuditedModel, ...]:
    """The models of pretrain runs, and those at `paths` that are not among them."""
    trained = [open_model(run.path) for run in lineage if run.step == "pretrain"]
    trained_names = {model.source.name for model in trained}
    added = [model for model in map(open_model, paths) if model.source.name not in trained_names]
    return _name_apart([*trained, *added])


def _name_apart(models: Sequence[AuditedModel]) -> tuple[AuditedModel, ...]:
    """Models whose folders have the same name are told apart by a number."""
    by_name: dict[str, AuditedModel] = {}
    for model in models:
        same = sum(name.split("~")[0] == model.name for name in by_name)
        name = f"{model.name}~{same + 1}" if same else model.name
        by_name[name] = replace(model, name=name)
    return tuple(by_name.values())


def open_model(path: Path) -> AuditedModel:
    """A pretrain run (its export is audited), the export folder itself, or any Hugging
    Face folder.
    """
    is_export = path.name == "export" and (path.parent / MANIFEST).is_file()
    folder = path.parent if is_export else path
    if (folder / MANIFEST).is_file():
        run = open_run(folder, step="pretrain")
        return AuditedModel(run.id, run.path / "export", run.as_input())
    if not (path / "config.json").is_file():
        raise InputError(
            "this is neither a pretrain run nor a Hugging Face model folder",
            {"model": path, "missing": "config.json"},
            "give a pretrain run, its export folder, or any folder that AutoModel can load",
        )
    return AuditedModel(path.resolve().name, path, file_input(str(path)))
