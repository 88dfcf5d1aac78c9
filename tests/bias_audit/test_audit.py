"""An audit follows runs back to their corpus, audits any subset, and gives the same bytes again."""

from __future__ import annotations

import json
import shutil

import pytest
import typer

from bias_audit import commands
from bias_audit.audit import find_subject, open_model
from bias_audit.config import AuditConfig, CorpusConfig, ProbesConfig
from bias_audit.definitions import DEFINITIONS, SCHEMA
from gristmill import cli, config
from gristmill.errors import InputError, RunError, UserError
from gristmill.runs.finished import FinishedRun, manifest_digest, open_run

SMALL = AuditConfig(
    corpus=CorpusConfig(min_count=2, prior_share=0.1, min_documents=3),
    probes=ProbesConfig(languages=("en",), templates=2, resamples=100, quality_sentences=10),
)

ROWS = [
    *[("She is a nurse. He left.", "wiki", "en", 0)] * 4,
    *[("He is a pilot. Rain.", "wiki", "en", 0)] * 4,
    *[("She is a Muslim nurse.", "web", "en", 2)] * 3,
    *[("Nothing here at all.", "web", "en", 0)] * 5,
    ("她是护士。", "wiki", "zh", 0),
    ("Das ist ein Satz.", "wiki", "de", 0),
]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def corpus(prepared, out):
    return prepared(ROWS, out=out)


def pretrained(sealed, folder, inputs=()) -> FinishedRun:
    """A pretrain run whose export is a copy of `folder`."""

    def fill(path) -> None:
        shutil.copytree(folder, path / "export")

    return sealed("pretrain", folder.name, inputs, fill)


def read(run: FinishedRun) -> dict:
    return json.loads((run.path / "audit.json").read_text(encoding="utf-8"))


def test_a_pack_run_leads_back_to_its_documents_and_decisions(corpus, sealed):
    annotate, decide = corpus
    pack = sealed("pack", "p", [annotate, decide])
    subject = find_subject([pack], [])
    assert subject.annotate is not None and subject.decide is not None
    assert (subject.annotate.id, subject.decide.id, subject.models) == (annotate.id, decide.id, ())


def test_a_pretrain_run_leads_to_its_model_and_its_corpus(corpus, sealed, causal_folder):
    pack = sealed("pack", "p", list(corpus))
    trained = pretrained(sealed, causal_folder, [pack])
    subject = find_subject([trained], [trained.path, trained.path / "export"])
    assert [model.name for model in subject.models] == [trained.id]
    assert subject.models[0].folder == trained.path / "export"
    assert [source.name for source in subject.inputs()] == [corpus[0].id, corpus[1].id, trained.id]


def test_runs_of_two_corpora_are_refused(corpus, prepared, out):
    other = prepared(ROWS[:5], out=out, name="other")
    with pytest.raises(UserError, match="several corpora"):
        find_subject([corpus[1], other[1]], [])


def test_a_tokenizer_of_another_corpus_does_not_make_a_pack_one_of_two(
    corpus, prepared, out, sealed
):
    annotate, decide = corpus
    other = prepared(ROWS[:5], out=out, name="other")
    pack = sealed("pack", "p", [decide, sealed("tokenizer", "t", [other[1]])])
    subject = find_subject([pack], [])
    assert (subject.annotate.id, subject.decide.id) == (annotate.id, decide.id)


def test_nothing_to_audit_is_an_error(sealed):
    with pytest.raises(UserError, match="nothing to audit"):
        find_subject([sealed("crawl", "c", [])], [])


def test_models_in_folders_of_one_name_are_told_apart(causal_folder, tmp_path):
    for place in ("a", "b"):
        shutil.copytree(causal_folder, tmp_path / place / "model")
    subject = find_subject([], [tmp_path / "a" / "model", tmp_path / "b" / "model"])
    assert [model.name for model in subject.models] == ["model", "model~2"]


def test_a_folder_that_is_no_model_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match="neither a pretrain run nor a Hugging Face model folder"):
        open_model(tmp_path)


def test_a_corpus_is_audited_without_any_model(corpus, out):
    run = commands.audit_runs([corpus[1]], [], SMALL, out, force=False)
    audit = read(run)
    assert audit["schema"] == SCHEMA and audit["definitions"] == DEFINITIONS
    assert audit["models"] == [] and audit["probes"] == []
    assert {key: audit["corpus"][key] for key in ("documents", "kept", "not_scanned")} == {
        "documents": 18,
        "kept": 15,
        "not_scanned": {"de": 1},
    }
    assert {(row["source"], row["lang"]) for row in audit["corpus"]["slices"]} == {
        ("web", "en"),
        ("wiki", "en"),
        ("(all)", "en"),
        ("wiki", "zh"),
        ("(all)", "zh"),
    }
    terms = {row["term"]: row["log_odds"]["value"] for row in audit["corpus"]["associations"]}
    assert terms["nurse"] > 0 > terms["pilot"]
    blocked = {
        row["group"]: row for row in audit["rules"]["rows"] if row["reason"] == "blocked_word"
    }
    assert blocked["religion/muslim"]["drop_rate"] == {
        "value": 1.0,
        "low": 0.438503,
        "high": 1.0,
        "n": 3,
    }
    assert blocked["religion/muslim"]["other_drop_rate"]["value"] == 0.0
    assert {card["kind"] for card in audit["lexicons"]} == {"groups", "occupations", "adjectives"}


def test_documents_without_decisions_are_audited_without_rules(corpus, out):
    audit = read(commands.audit_runs([corpus[0]], [], SMALL, out, force=False))
    assert audit["rules"] is None
    assert audit["corpus"]["kept"] == 18


def test_both_kinds_of_model_are_audited_in_one_run(out, causal_folder, masked_folder):
    run = commands.audit_runs([], [causal_folder, masked_folder], SMALL, out, force=False)
    audit = read(run)
    assert [model["scorer"] for model in audit["models"]] == ["causal_sum", "mlm_pll_shared"]
    assert all(model["metric"] in audit["definitions"] for model in audit["models"])
    for model in audit["models"]:
        assert [row["axis"] for row in model["rows"]][:2] == ["(all)", "gender-occupation"]
        assert model["rows"][0]["all_pairs"]["n"] == 146
        assert model["quality"][0]["able"] is False
    names = [path.name for path in run.files("pairs/")]
    assert names == sorted(f"{model['name']}.jsonl" for model in audit["models"])
    assert audit["corpus"] is None and audit["rules"] is None
    assert run.counts["pairs_scored"] == 292


def test_every_estimate_has_its_interval_and_n(corpus, out, causal_folder):
    audit = read(commands.audit_runs([corpus[1]], [causal_folder], SMALL, out, force=False))

    def check(value) -> int:
        if isinstance(value, list):
            return sum(map(check, value))
        if not isinstance(value, dict):
            return 0
        if "value" in value:
            assert value["low"] <= value["value"] <= value["high"] and value["n"] >= 1
            return 1
        return sum(map(check, value.values()))

    assert check(audit) > 100


def test_no_machine_path_and_no_time_is_in_the_result(corpus, out, causal_folder, tmp_path):
    run = commands.audit_runs([corpus[1]], [causal_folder], SMALL, out, force=False)
    for name in ("audit.json", "audit.html", "audit.md"):
        assert str(tmp_path) not in (run.path / name).read_text(encoding="utf-8")


def test_a_second_run_does_nothing_and_a_forced_one_gives_equal_bytes(corpus, out, causal_folder):
    def files(run):
        return {path.name: path.read_bytes() for path in run.files("")}

    first = commands.audit_runs([corpus[1]], [causal_folder], SMALL, out, force=False)
    before, stamp = files(first), (first.path / "audit.json").stat().st_mtime_ns
    again = commands.audit_runs([corpus[1]], [causal_folder], SMALL, out, force=False)
    assert (again.path / "audit.json").stat().st_mtime_ns == stamp
    forced = commands.audit_runs([corpus[1]], [causal_folder], SMALL, out, force=True)
    assert (forced.path / "audit.json").stat().st_mtime_ns != stamp
    assert files(forced) == before
    assert manifest_digest(forced) == manifest_digest(first)


def test_another_threshold_is_another_run(corpus, out):
    other = SMALL.model_copy(update={"corpus": CorpusConfig(min_count=3)})
    first = commands.audit_runs([corpus[1]], [], SMALL, out, force=False)
    assert commands.audit_runs([corpus[1]], [], other, out, force=False).id != first.id


@pytest.fixture
def command_line(monkeypatch):
    """The command line with this room's command, whether or not the package is installed with its entry points."""
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.register(app)
    monkeypatch.setattr(cli, "build_app", lambda: app)


@pytest.mark.usefixtures("command_line")
def test_the_command_prints_headlines_to_stderr_and_the_run_path_last(corpus, out, capsys):
    code = cli.run(["audit", "--in", str(corpus[1].path), "--out", str(out)])
    said = capsys.readouterr()
    assert code == 0
    assert (open_run(said.out.strip(), step="audit").path / "audit.html").is_file()
    assert "corpus: 15 of 18 documents kept, 1 in languages without lexicon" in said.err
    assert "rules:" in said.err and "audit.html" in said.err


@pytest.mark.usefixtures("command_line")
def test_the_command_prints_one_json_object_when_asked(corpus, out, capsys):
    assert cli.run(["audit", "--in", str(corpus[1].path), "--out", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["counts"]["documents"] == 18
    assert any("pronouns" in line for line in answer["headlines"])


@pytest.mark.usefixtures("command_line")
def test_without_in_the_newest_run_is_audited(corpus, out, capsys):
    assert cli.run(["audit", "--out", str(out)]) == 0
    assert "15 of 18" in capsys.readouterr().err


@pytest.mark.usefixtures("command_line")
def test_without_any_run_the_command_says_what_to_do(out, capsys):
    out.mkdir()
    assert cli.run(["audit", "--out", str(out)]) == 2
    assert "there is no run to audit" in capsys.readouterr().err


def test_an_unfinished_run_is_refused(tmp_path):
    (tmp_path / "decide-1").mkdir()
    with pytest.raises(RunError, match="unfinished"):
        commands.audit_runs([open_run(tmp_path / "decide-1")], [], SMALL, tmp_path, force=False)


def test_the_default_configuration_file_is_the_default(repository):
    assert (
        config.load(AuditConfig, repository / "configs" / "audit" / "default.toml") == AuditConfig()
    )
    assert (
        config.load(AuditConfig, repository / "configs" / "audit" / "demo.toml").probes.templates
        == 2
    )
