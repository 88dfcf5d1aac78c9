"""Rules and signals can be looked up: every rule in use with the threshold that holds, every column with its meaning."""

import json

import pytest

from gristmill import cli
from gristmill.errors import ConfigError
from pipelines.annotate.graph import SCHEMA
from pipelines.contract import choose_rules
from pipelines.decide.config import Bound, DecideConfig
from pipelines.lookup_commands import rule_rows


def by_reason(rows):
    return {row["reason"]: row for row in rows}


def test_every_rule_in_use_is_listed_once_with_its_threshold_preset_and_kinds():
    rows = rule_rows(DecideConfig())
    assert [row["reason"] for row in rows] == [rule.name for rule in choose_rules(DecideConfig())]
    assert by_reason(rows)["too_few_words"] == {
        "reason": "too_few_words",
        "signal": "words",
        "min": 50.0,
        "max": None,
        "preset": "gopher",
        "kinds": "wiki news web docs book legal speech other",
    }


def test_only_the_rules_of_a_kind_are_listed_when_it_is_named():
    assert {row["preset"] for row in rule_rows(DecideConfig(), kind="social")} == {"social"}
    web = {row["preset"] for row in rule_rows(DecideConfig(), kind="web")}
    assert web == {"gopher", "gopher_letters", "repetition", "plain", "fineweb"}


def test_a_language_shows_its_own_threshold_and_others_the_common_one():
    top = {
        lang: by_reason(rule_rows(DecideConfig(), lang=lang))["top_2gram"]["max"]
        for lang in ("zh", "en", "xx")
    }
    assert top == {"zh": 0.256, "en": 0.2, "xx": 0.2}
    stop = {
        lang: by_reason(rule_rows(DecideConfig(), lang=lang))["stop_words"]["min"]
        for lang in ("en", "xx")
    }
    assert stop == {"en": 2.0, "xx": None}


def test_a_configured_threshold_is_the_one_shown():
    config = DecideConfig(thresholds={"too_few_words": Bound(min=7)})
    assert by_reason(rule_rows(config, lang="zh"))["too_few_words"]["min"] == 7


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="no such kind") as caught:
        rule_rows(DecideConfig(), kind="wbe")
    assert "web" in caught.value.fix


def test_the_commands_print_a_table_or_json(capsys):
    assert cli.run(["rules", "--kind", "social", "--set", "decide.thresholds.too_short.min=9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["reason", "signal", "min", "max", "preset", "kinds"]
    assert lines[1].split() == ["too_short", "words", "9", "social", "social"]
    assert cli.run(["rules", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(choose_rules(DecideConfig()))


def listed(capsys, *options):
    assert cli.run(["signals", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_column_of_a_document_is_listed_with_what_it_is(capsys):
    rows = listed(capsys)
    assert [row["signal"] for row in rows] == SCHEMA.names
    assert [row["type"] for row in rows] == [str(field.type) for field in SCHEMA]
    assert all(len(row["is"]) > 10 and row["source"] for row in rows)
    new = {
        "script",
        "script_share",
        "stated_lang",
        "text_bytes",
        "text_hash",
        "url_hash",
        "line_hashes",
        "signature",
    }
    assert new | {"personal"} < {row["signal"] for row in rows}
    assert cli.run(["signals"]) == 0
    printed = capsys.readouterr().out
    assert "code points" in printed and all(row["signal"] in printed for row in rows)


def test_the_hash_of_a_line_says_how_to_compute_it_again(capsys):
    [about] = [row["is"] for row in listed(capsys) if row["signal"] == "line_hashes"]
    for part in (
        "XXH64",
        "seed 0",
        "not blank",
        "in order",
        "UTF-8",
        "lower case",
        "white space one space",
    ):
        assert part in about


def test_columns_of_a_configuration_are_listed_behind_ours(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "listed_arrows.py").write_text(
        'def arrows(batch):\n    """Arrows written as `->`."""\n'
    )
    (tmp_path / "rude.txt").write_text("damn\n")
    (tmp_path / "c.toml").write_text(
        '[annotate.word_lists.rude]\npath = "rude.txt"\nlanguages = ["en"]\n'
    )
    rows = listed(
        capsys, "--config", "c.toml", "--set", "annotate.signals.arrows=listed_arrows:arrows"
    )
    assert [row["signal"] for row in rows] == [*SCHEMA.names, "arrows", "rude"]
    assert rows[-2] == {
        "signal": "arrows",
        "is": "Arrows written as `->`.",
        "source": "own",
        "type": "float",
    }
    assert "0 in other languages than en" in rows[-1]["is"] and rows[-1]["source"] == "own"


def test_a_column_whose_file_is_not_there_is_refused_by_its_key(capsys):
    assert cli.run(["signals", "--set", "annotate.word_lists.rude.path=gone.txt"]) == 2
    said = capsys.readouterr().err
    assert "annotate.word_lists.rude" in said and "gone.txt" in said
