"""Columns of word lists in a run: made, named, bounded by a rule; a list that cannot be used is refused with its key."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill import cli
from gristmill.config import load
from gristmill.errors import ConfigError, InputError, UserError
from gristmill.runs.finished import find_latest
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.signals.chosen import load_custom_columns, refuse_edited
from pipelines.annotate.signals.word_list import read_list

TEXTS = (
    "The old mill stands by the river, and the miller grinds the grain of the village with care every day.",
    "Der alte Müller mahlt das Korn des Dorfes, und am Abend sitzt er mit den Nachbarn vor der Tür am Fluss.",
    "磨坊主每天都在河边磨面粉，村里的人都很喜欢他，孩子们常常来看水车，老人们坐在树下聊天。",
)
SETTING = "annotate.word_lists.mills={path='mills.txt'}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with a corpus and a list."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": str(n), "text": t, "source": "s", "type": "other", "license": "CC0-1.0"}
        for n, t in enumerate(TEXTS)
    ]
    (tmp_path / "mill.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mills.txt").write_text("mill\n\n  the   River \r\n水车\n", encoding="utf-8-sig")
    return tmp_path


def columns(*settings):
    return load_custom_columns(load(AnnotateConfig, None, settings))


def batch(*rows):
    texts, langs = zip(*rows, strict=True)
    return pa.record_batch({"id": ["0" * 32] * len(rows), "text": list(texts), "lang": list(langs)})


def annotated(*settings):
    options = [part for setting in settings for part in ("--set", setting)]
    assert cli.run(["annotate", "--in", "mill.jsonl", "--out", "runs", *options]) == 0
    return find_latest("runs", "annotate")


def test_a_list_is_read_line_by_line_in_the_normal_form_of_documents(folder):
    assert read_list("mills.txt", "k") == ["mill", "the River", "水车"]


def test_a_list_is_a_float_column_that_says_what_it_is(folder):
    (column,) = columns("word_lists.mills={path='mills.txt'}")
    assert column.field == pa.field("mills", pa.float32(), nullable=False)
    assert (
        b"mills.txt" in column.field.metadata[b"is"] and column.field.metadata[b"source"] == b"own"
    )
    assert column.column(batch(("a mill", "en"), ("水车", "zh"), ("boats", "en"))).to_pylist() == [
        pytest.approx(0.8),
        1,
        0,
    ]


def test_only_documents_of_its_languages_are_looked_at(folder):
    (column,) = columns("word_lists.mills={path='mills.txt',languages=['en','fr']}")
    assert column.column(batch(("mill", "de"), ("mill", "en"), ("水车", "zh"))).to_pylist() == [
        0,
        1,
        0,
    ]
    assert column.column(batch(("mill", "de"))).to_pylist() == [0]
    assert b"0 in other languages than en, fr" in column.field.metadata[b"is"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [(None, "No such file"), (b" \n\n", "no entries"), (b"ok\nna\xefve\n", "not in UTF-8")],
)
def test_a_list_that_cannot_be_used_is_named_with_its_key(folder, raw, words):
    if raw is not None:
        (folder / "other.txt").write_bytes(raw)
    with pytest.raises(InputError, match=words) as caught:
        columns("word_lists.mills={path='other.txt'}")[0].open()
    assert (
        caught.value.where["key"] == "annotate.word_lists.mills"
        and caught.value.where["file"] == "other.txt"
    )
    assert caught.value.where.get("line") == (2 if raw and b"ve" in raw else None)


@pytest.mark.parametrize(
    "setting",
    [
        "annotate.word_lists.two-words={path='mills.txt'}",
        "annotate.word_lists.words={path='mills.txt'}",
        "annotate.word_lists.mine={path='mills.txt'} annotate.signals.mine='mills:mine'",
        "annotate.word_lists.mine={paths='a'}",
    ],
)
def test_a_column_that_cannot_be_called_so_is_refused_before_a_run_begins(folder, capsys, setting):
    options = [part for one in setting.split() for part in ("--set", one)]
    assert cli.run(["annotate", "--in", "mill.jsonl", "--out", "runs", *options]) == 2
    assert "annotate" in capsys.readouterr().err and not (folder / "runs").exists()


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="two columns are called `mine`"):
        load(AnnotateConfig, None, ["signals.mine='m:f'", "word_lists.mine={path='a'}"])


def test_a_list_goes_through_annotate_decide_and_explore(folder, capsys):
    run = annotated(SETTING)
    table = pq.read_table(run.files("documents/")[0])
    assert [share > 0 for share in table["mills"].to_pylist()] == [True, False, True]
    assert [source["name"] for source in run.manifest["inputs"]][-1] == "signal mills"
    choice = [
        "--set",
        "decide.presets={other=[]}",
        "--set",
        "decide.rules.milled={signal='mills',max=0,languages=['en']}",
    ]
    assert cli.run(["decide", "--in", str(run.path), "--out", "runs", *choice]) == 0
    decided = find_latest("runs", "decide")
    assert pq.read_table(decided.files("decisions/")[0])["reasons"].to_pylist() == [128, 0, 0]
    assert cli.run(["explore", str(decided.path), "--rule", "milled", "--out", "page.html"]) == 0
    assert "milled" in (folder / "page.html").read_text()
    assert (
        cli.run(
            [
                "prepare",
                "--in",
                "mill.jsonl",
                "--out",
                "r",
                "--set",
                "decide.rules.x={signal='mils',max=0}",
                "--set",
                SETTING,
            ]
        )
        == 2
    )
    assert "choose from mills" in capsys.readouterr().err


def test_other_bytes_make_a_new_run_and_the_same_bytes_do_not(folder):
    first = annotated(SETTING)
    (folder / "mills.txt").touch()
    assert annotated(SETTING).id == first.id
    (folder / "mills.txt").write_text("boat\n")
    second = annotated(SETTING)
    assert second.id != first.id and pq.read_table(second.files("documents/")[0])[
        "mills"
    ].to_pylist() == [0, 0, 0]


def test_a_list_that_is_edited_within_a_run_stops_it(folder):
    before = columns("word_lists.mills={path='mills.txt'}")
    started = {column.name: column.files for column in before}
    refuse_edited(before, started)
    (folder / "mills.txt").write_text("boats and boats\n")
    with pytest.raises(UserError, match=r"edited.*\n.*mills"):
        refuse_edited(columns("word_lists.mills={path='mills.txt'}"), started)


def test_two_worker_processes_write_what_one_does(folder):
    one = annotated(SETTING).files("documents/")[0].read_bytes()
    options = ["--in", "mill.jsonl", "--out", "two", "--workers", "2", "--set", SETTING]
    assert cli.run(["annotate", *options]) == 0
    assert find_latest("two", "annotate").files("documents/")[0].read_bytes() == one
