"""Signals and rules of the user: a function of his own becomes a column, and a bound on any column becomes a reason."""

import json
import sys

import numpy as np
import processes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill import cli
from gristmill.config import load
from gristmill.errors import ConfigError, UserError
from gristmill.runs.finished import find_latest
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.graph import SCHEMA, annotate_batch
from pipelines.annotate.signals.chosen import refuse_edited
from pipelines.annotate.signals.custom import load_custom_signals
from pipelines.contract import (
    FIXED_REASONS,
    build_legend,
    check_signals,
    choose_rules,
    judge_documents,
)
from pipelines.decide.config import DecideConfig
from pipelines.engine.launch import reraise_worker_error
from reports.explore.source import read_rule

CODE = '''"""Mill signals."""
import numpy as np
import pyarrow.compute as pc

def arrows(batch):
    """arrows in the text"""
    return pc.count_substring(batch["text"], "->")

def english(batch):
    return np.array(batch["lang"].to_pylist(), object) == "en"

def short(batch):
    return np.zeros(batch.num_rows + 1)

def words(batch):
    return np.array(["one"] * batch.num_rows)

def nothing(batch):
    return np.full(batch.num_rows, np.nan)

def fails(batch):
    return batch["no such column"]
'''
TEXTS = (
    "The old mill stands by the river, and the miller grinds the grain of the village with care every day.",
    "A train left the station at night, -> and nobody on the platform -> knew where the driver wanted to go.",
    "My sister -> paints green boats -> in the harbour -> while her brother repairs their sails for -> the winter.",
)
ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mill_signals.py").write_text(CODE)
    return "mill_signals"


def one(name):
    return load_custom_signals({name: f"mill_signals:{name}"})[0]


def small(*texts):
    return pa.record_batch(
        {"id": [ID] * len(texts), "text": list(texts), "lang": ["en"] * len(texts)}
    )


def annotated(out, *options):
    assert cli.run(["annotate", "--in", "mill.jsonl", "--out", str(out), *options]) == 0
    return find_latest(out, "annotate")


def write_corpus():
    rows = [
        {"id": str(n), "text": t, "source": "s", "type": "other", "license": "CC0-1.0"}
        for n, t in enumerate(TEXTS)
    ]
    with open("mill.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_an_own_signal_is_a_float_column_that_says_what_it_is(module):
    signal = one("arrows")
    assert signal.column(small("a -> b -> c", "none")).to_pylist() == [2.0, 0.0]
    assert signal.field == pa.field("arrows", pa.float32(), nullable=False)
    assert signal.field.metadata == {b"is": b"arrows in the text", b"source": b"own"}
    assert one("english").field.metadata[b"is"] == b"mill_signals:english"
    assert one("english").column(small("x")).to_pylist() == [1.0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("short", r"shape \(2,\)"),
        ("words", "must be a number"),
        ("nothing", ID),
        ("fails", "KeyError"),
    ],
)
def test_what_is_no_finite_number_for_each_document_is_an_error_that_names_the_signal(
    module, name, words
):
    with pytest.raises(UserError, match=words) as caught:
        one(name).column(small("x"))
    assert caught.value.where["signal"] == name and "mill_signals.py" in caught.value.fix


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_mill:f", "no such Python module"),
        ("mill_signals:f", "no such function"),
        ("no.such:f", "no such Python"),
    ],
)
def test_a_module_or_function_that_is_not_there_is_named_with_its_key(module, target, words):
    with pytest.raises(ConfigError, match=words) as caught:
        load_custom_signals({"mine": target})
    assert (
        caught.value.where["key"] == "annotate.signals.mine"
        and caught.value.where["given"] == target
    )


def test_a_module_with_a_fault_says_which(module, tmp_path):
    (tmp_path / "mill_signals.py").write_text("1 / 0")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        load_custom_signals({"mine": "mill_signals:f"})


def test_an_edit_is_seen_at_once_and_refused_within_a_run(module, tmp_path):
    before = one("arrows")
    (tmp_path / "mill_signals.py").write_text(CODE.replace('"->"', '"=>"'))
    after = one("arrows")
    assert after.column(small("a -> b => c => d")).to_pylist() == [2.0]
    refuse_edited([after], {"arrows": after.files})
    with pytest.raises(UserError, match="edited"):
        refuse_edited([after], {"arrows": before.files})


@pytest.mark.parametrize(
    "given", ["signals.two-words=m:f", "signals.mine=m", "signals.mine=m.py:f()"]
)
def test_a_name_that_is_no_column_or_a_target_that_is_no_function_is_refused(given):
    with pytest.raises(ConfigError, match=r"cannot be a column|must look like"):
        load(AnnotateConfig, None, [given])


def test_without_own_signals_documents_are_as_before():
    assert annotate_batch.__defaults__ == ((),) and "arrows" not in SCHEMA.names


def rules_of(*settings):
    config = load(DecideConfig, None, settings)
    return config, choose_rules(config)


def test_an_own_rule_drops_outside_its_bounds_for_its_kinds_only():
    config, rules = rules_of(
        "presets={web=[],wiki=[],other=[]}", "rules.many={signal='arrows',max=3,kinds=['web']}"
    )
    bits = judge_documents(
        {"arrows": np.float32([3, 4, 4])}, ["web", "web", "wiki"], ["en"] * 3, rules, config
    )
    assert build_legend(rules) == [*FIXED_REASONS, "many"] and bits.tolist() == [0, 1 << 7, 0]


def test_an_own_rule_without_kinds_is_for_all_and_comes_back_from_its_record():
    config, rules = rules_of("presets={web=[],other=[]}", "rules.few={signal='words',min=2}")
    assert judge_documents(
        {"words": np.int32([1, 2, 1])}, ["web", "web", "new"], ["en"] * 3, rules, config
    ).tolist() == [
        128,
        0,
        128,
    ]
    assert read_rule(rules[0].record()) == rules[0]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("rules.too_few_words={signal='words',min=2}", "decide.thresholds"),
        ("rules.licence={signal='words',min=2}", "cannot be the name"),
        ("rules.mine={signal='words',min=2,kinds=['wbe']}", "no such kind of source"),
        ("rules.mine={signal='words'}", "needs `min` or `max`"),
        ("rules.mine={signal='words',min=3,max=2}", "nothing could pass"),
    ],
)
def test_an_own_rule_that_cannot_be_meant_is_refused(setting, words):
    with pytest.raises(ConfigError, match=words):
        rules_of(setting)


def test_a_rule_about_an_unknown_signal_names_the_nearest():
    _, rules = rules_of("presets={other=[]}", "rules.mine={signal='arows',max=2}")
    with pytest.raises(ConfigError, match="choose from arrows"):
        check_signals(rules, ["arrows", "chars"])


def test_a_signal_and_a_rule_of_ones_own_go_through_annotate_decide_and_explore(
    module, tmp_path, capsys
):
    write_corpus()
    run = annotated(tmp_path / "runs", "--set", "annotate.signals.arrows=mill_signals:arrows")
    (shard,) = run.files("documents/")
    assert pq.read_table(shard)["arrows"].to_pylist() == [0.0, 2.0, 4.0]
    assert pq.read_schema(shard).field("arrows").metadata[b"source"] == b"own"
    choice = [
        "--set",
        "decide.presets={other=[]}",
        "--set",
        "decide.rules.many_arrows={signal='arrows',max=3}",
    ]
    assert cli.run(["decide", "--in", str(run.path), "--out", "runs", *choice]) == 0
    decided = find_latest(tmp_path / "runs", "decide")
    assert decided.counts["kept"] == 2 and decided.details["reasons"][-1] == "many_arrows"
    assert decided.details["rules"][0]["preset"] == "own"
    (verdicts,) = decided.files("decisions/")
    assert pq.read_table(verdicts)["reasons"].to_pylist() == [0, 0, 128]
    assert (
        cli.run(["explore", str(decided.path), "--rule", "many_arrows", "--out", "page.html"]) == 0
    )
    assert "many_arrows" in (tmp_path / "page.html").read_text()
    capsys.readouterr()
    assert cli.run(["rules", "--json", *choice]) == 0
    assert json.loads(capsys.readouterr().out)[0]["kinds"] == "other"
    assert (
        cli.run(
            [
                "decide",
                "--in",
                str(run.path),
                "--out",
                "runs",
                "--set",
                "decide.rules.x={signal='arows',max=1}",
            ]
        )
        == 2
    )
    assert "choose from arrows" in capsys.readouterr().err


def test_an_edited_module_makes_a_new_run_and_an_equal_one_does_not(module, tmp_path):
    write_corpus()
    option = ["--set", "annotate.signals.arrows=mill_signals:arrows"]
    first = annotated(tmp_path / "runs", *option)
    assert annotated(tmp_path / "runs", *option).id == first.id
    (tmp_path / "mill_signals.py").write_text(CODE.replace('"->"', '"=>"'))
    second = annotated(tmp_path / "runs", *option)
    assert second.id != first.id and pq.read_table(second.files("documents/")[0])[
        "arrows"
    ].to_pylist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("signal", "words"),
    [("nothing", "no finite number"), ("words", "already have a column"), ("fails", "KeyError")],
)
def test_a_signal_that_fails_in_the_midst_of_a_run_is_told_as_the_users_error(
    module, capsys, signal, words
):
    write_corpus()
    assert (
        cli.run(
            [
                "annotate",
                "--in",
                "mill.jsonl",
                "--out",
                "runs",
                "--set",
                f"annotate.signals.{signal}=mill_signals:{signal}",
            ]
        )
        == 2
    )
    told = capsys.readouterr().err
    assert words in told and "Traceback" not in told and "while running" not in told


def test_worker_processes_find_the_module_too(module, tmp_path):
    write_corpus()
    run = annotated(
        tmp_path / "runs", "--workers", "2", "--set", "annotate.signals.arrows=mill_signals:arrows"
    )
    assert pq.read_table(run.files("documents/")[0])["arrows"].to_pylist() == [0.0, 2.0, 4.0]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_wrong_number_is_told_once_with_any_number_of_workers(workers, module, tmp_path):
    write_corpus()
    (tmp_path / "broken_mill.py").write_text(
        "import numpy\ndef nothing(batch): return numpy.full(len(batch), numpy.nan)\n"
    )
    command = ["annotate", "--in", "mill.jsonl", "--out", "runs", "--workers", workers, "--set"]
    done = processes.run(
        [
            sys.executable,
            "-c",
            "from gristmill.cli import main; main()",
            *command,
            "annotate.signals.x=broken_mill:nothing",
        ],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 5), done.stderr
    assert done.stderr.startswith("error: an own signal is no finite number\n")


def test_what_a_worker_process_raised_for_the_user_is_told_without_its_traceback():
    raised = "Traceback ...\ngristmill.errors.UserError: wrong\n  signal  mine [while running 'annotate']\n"
    told = reraise_worker_error(RuntimeError(raised))
    assert isinstance(told, UserError) and str(told) == "wrong\n  signal  mine"
    fault = RuntimeError("ValueError: a fault of ours")
    assert reraise_worker_error(fault) is fault
