"""A golden funnel: which documents of a small fixed corpus every shipped preset and configuration keeps and drops, and why.

`funnel.json` beside this file holds it. Where a rule was changed on purpose, GRISTMILL_WRITE_FUNNEL=1 writes it anew;
the difference belongs into the review of that change.
"""

import difflib
import json
import os
from pathlib import Path

import funnel_corpus
import pyarrow.parquet as pq
import pytest

from gristmill import cli
from gristmill.runs.finished import FinishedRun, find_latest
from pipelines.contract import FIXED_REASONS, load_preset_rules
from pipelines.decide.config import PRESETS_OF

GOLDEN = Path(__file__).parent / "funnel.json"
CONFIGS = sorted(
    path.stem for path in (Path(__file__).parents[2] / "configs" / "prepare").glob("*.toml")
)
SETTINGS = {
    **{f"preset {name}": ["--set", f"decide.preset={name}"] for name in PRESETS_OF},
    **{f"configuration {name}": ["--config", f"configs/prepare/{name}.toml"] for name in CONFIGS},
}
FOR_OTHER_TEXT = {"fw2_too_many_words"}
"""Rules that repeat another one's bound and have no document here of their own."""

Funnel = dict[str, list[str]]


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """The annotate run of the corpus."""
    folder = tmp_path_factory.mktemp("funnel")
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in funnel_corpus.records()]
    (folder / "funnel.jsonl").write_text("".join(lines), encoding="utf-8")
    assert (
        cli.run(["annotate", "--in", str(folder / "funnel.jsonl"), "--out", str(folder / "runs")])
        == 0
    )
    return find_latest(folder / "runs", "annotate")


def funnel_of(annotated: FinishedRun, out: Path, options: list[str]) -> Funnel:
    """The names of the documents kept, and of those that each reason drops."""
    assert cli.run(["decide", "--in", str(annotated.path), "--out", str(out), *options]) == 0
    decided = find_latest(out, "decide")
    # Annotate makes no document of a text of white space.
    names = [record["id"] for record in funnel_corpus.records() if record["text"].strip()]
    decisions = [
        row for path in decided.files("decisions/") for row in pq.read_table(path).to_pylist()
    ]
    funnel: Funnel = {
        "kept": [name for name, row in zip(names, decisions, strict=True) if row["keep"]]
    }
    for bit, reason in enumerate(decided.details["reasons"]):
        dropped = [
            name for name, row in zip(names, decisions, strict=True) if row["reasons"] >> bit & 1
        ]
        if dropped:
            funnel[reason] = dropped
    return funnel


def as_lines(funnel: Funnel) -> list[str]:
    return [f"{reason}: {name}" for reason, names in funnel.items() for name in names]


def read_golden() -> dict[str, Funnel]:
    """What is checked in."""
    golden: dict[str, Funnel] = (
        json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    )
    return golden


@pytest.mark.xdist_group("golden funnel")
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_keeps_and_drops_exactly_the_documents_of_the_golden_funnel(
    annotated: FinishedRun,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
) -> None:
    monkeypatch.chdir(repository)
    funnel = funnel_of(annotated, tmp_path, SETTINGS[setting])
    if os.environ.get("GRISTMILL_WRITE_FUNNEL"):
        golden = {**read_golden(), setting: funnel}
        GOLDEN.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    before, now = as_lines(read_golden().get(setting, {})), as_lines(funnel)
    difference = list(difflib.unified_diff(before, now, "golden", "now", lineterm="", n=0))
    assert difference == [], "\n".join(["the funnel has changed:", *difference])


def test_the_golden_funnel_has_every_setting_and_every_rule_drops_a_document_and_passes_another() -> (
    None
):
    golden = read_golden()
    assert set(golden) == set(SETTINGS)
    dropped = {reason for funnel in golden.values() for reason in funnel}
    rules = {rule.name for rule in load_preset_rules()}
    assert rules - dropped == FOR_OTHER_TEXT
    assert {"language", "exact_duplicate", "near_duplicate", "url_duplicate"} <= dropped
    total = len(list(funnel_corpus.records()))
    assert total > 300
    for funnel in golden.values():
        assert all(len(names) < total for names in funnel.values())
        assert set(funnel) - {"kept"} - rules <= set(FIXED_REASONS)
