"""`annotate.only_hashes`: what finds copies and nothing else; later steps say what they lack, before any work."""

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from gristmill import cli, runs
from pipelines.annotate import HASHES_SCHEMA
from pipelines.config import AnnotateConfig
from pipelines.signals.table import HASH_FIELDS

WORDS = "the old mill by river had not turned its wheel green moss new owner spring baker bread village stone".split()
HASHES = ["--set", "annotate.only_hashes=true"]
FREE = ["--set", "decide.preset=none"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same records annotated in full and for copies alone; one is a copy, one states its language."""
    folder = tmp_path_factory.mktemp("hashes")
    texts = [" ".join(random.Random(n).choices(WORDS, k=80)) for n in range(12)]
    records = [{"id": f"d{n}", "text": text, "url": f"http://mill.example/{n}"} for n, text in enumerate([*texts, texts[3] + " end"])]  # fmt: skip
    records[1]["lang"] = "en"
    source = folder / "mill.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    found = {}
    for name, options in (("full", []), ("hashes", HASHES)):
        assert cli.run(["annotate", "--in", str(source), "--out", str(folder / name), *options]) == 0
        [found[name]] = [run.path for run in runs.list_runs(folder / name)]
    return found | {"source": source}


def test_documents_have_the_columns_that_find_copies_equal_to_those_of_a_full_run(made):
    full, hashes = (pq.read_table(made[name] / "documents") for name in ("full", "hashes"))
    assert hashes.schema.names == HASHES_SCHEMA.names
    assert not {"words", "personal", "lang_score", "script"} & set(hashes.schema.names)
    for name in ["id", "text", "url", *(field.name for field in HASH_FIELDS)]:
        assert hashes[name].equals(full[name]), name


def test_the_language_is_the_stated_one(made):
    langs = pq.read_table(made["hashes"] / "documents", columns=["lang"])["lang"].to_pylist()
    assert langs == ["und", "en", *["und"] * 11]


def test_the_same_copies_are_found(made, tmp_path):
    verdicts = []
    for name in ("full", "hashes"):
        out = tmp_path / name
        assert cli.run(["decide", "--in", str(made[name]), "--out", str(out), *FREE]) == 0
        [run] = runs.list_runs(out)
        columns = ["keep", "reasons", "cluster", "kept_id", "similarity"]
        verdicts.append(pq.read_table(run.path / "decisions", columns=columns).to_pylist())
    assert verdicts[0] == verdicts[1] and sum(not row["keep"] for row in verdicts[0]) == 1


@pytest.fixture(scope="module")
def decided(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("decided") / "runs"
    annotated = ["annotate", "--in", str(made["source"]), "--out", str(out), *HASHES]
    assert cli.run(annotated) == 0 and cli.run(["decide", "--out", str(out), *FREE]) == 0
    return out


def said(capsys, *words):
    """What a refused command says, on one line."""
    assert cli.run([str(word) for word in words]) == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("options", [[], [*FREE, "--set", "decide.min_language_score=0.5"]])
def test_rules_are_refused_with_the_way_out(made, tmp_path, capsys, options):
    told = said(capsys, "decide", "--in", made["hashes"], "--out", tmp_path, *options)
    assert "annotate.only_hashes" in told and "decide.preset=none" in told and "annotate again" in told


def test_steps_that_need_personal_data_are_refused_with_the_way_out(decided, tmp_path, capsys):
    run = runs.latest(decided, "decide").path
    assert "annotate.only_hashes" in said(capsys, "tokenizer", "train", "--in", run, "--out", tmp_path)
    assert "annotate.only_hashes" in said(capsys, "explore", run, "--out", tmp_path / "page.html")
    assert "annotate.only_hashes" in said(capsys, "report", run, "--out", tmp_path / "report.html")


def test_clusters_are_shown_and_that_nothing_in_them_is_masked(decided, tmp_path):
    page = tmp_path / "clusters.html"
    assert cli.run(["clusters", str(runs.latest(decided, "decide").path), "--out", str(page)]) == 0
    assert "were not looked for" in page.read_text(encoding="utf-8")


def test_prepare_is_refused_before_anything_is_read(made, tmp_path, capsys):
    told = said(capsys, "prepare", "--in", made["source"], "--out", tmp_path, *HASHES)
    assert "decide.preset=none and pack.mask_personal=false and --tokenizer RUN" in told
    assert not list(tmp_path.iterdir())


def test_a_column_of_ones_own_beside_it_is_refused():
    with pytest.raises(ValidationError, match="leaves out all signals, but `size` is one"):
        AnnotateConfig(only_hashes=True, signals={"size": "mill:size"})
