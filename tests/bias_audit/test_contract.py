"""audit.json is read into typed rows and written again byte for byte; anything else is refused."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest

from bias_audit import commands
from bias_audit.config import AuditConfig, CorpusConfig, ProbesConfig
from bias_audit.contract.estimate import Estimate, format_estimate
from bias_audit.contract.headlines import write_headlines
from bias_audit.contract.result import SCHEMA, AuditDetails, AuditResult
from gristmill.errors import InputError
from gristmill.runs import storage

ROWS = [
    *[("She is a nurse. He left.", "wiki", "en", 0)] * 4,
    *[("He is a pilot. Rain.", "wiki", "en", 0)] * 4,
    *[("She is a Muslim nurse.", "web", "en", 2)] * 3,
    *[("Nothing here at all.", "web", "en", 0)] * 5,
    ("她是护士。", "wiki", "zh", 0),
    ("Das ist ein Satz.", "wiki", "de", 0),
]


@pytest.fixture(scope="module")
def run(prepare_once, causal_folder, tmp_path_factory):
    """An audit of a corpus, its rules and a model."""
    out = tmp_path_factory.mktemp("runs")
    _, decide = prepare_once(ROWS, out=out)
    config = AuditConfig(
        corpus=CorpusConfig(min_count=2, min_documents=3),
        probes=ProbesConfig(languages=("en",), templates=1, resamples=100, quality_sentences=10),
        gate={"measurable": 0.5},
    )
    return commands.audit_runs([decide], [causal_folder], config, out, force=False)


@pytest.fixture(scope="module")
def written(run) -> dict:
    return json.loads((run.path / "audit.json").read_text(encoding="utf-8"))


def test_an_audit_is_written_again_byte_for_byte(run, written, tmp_path):
    result = AuditResult.from_json(written)
    storage.commit_json(tmp_path / "again.json", result.to_json())
    assert (tmp_path / "again.json").read_bytes() == (run.path / "audit.json").read_bytes()
    assert AuditResult.from_json(result.to_json()) == result


def test_every_part_of_this_audit_has_rows(written):
    result = AuditResult.from_json(written)
    assert result.corpus is not None and result.corpus.slices and result.corpus.associations
    assert result.rules is not None and result.rules.rows
    assert result.models[0].rows and result.gates and result.lexicons and result.benchmarks


def test_the_row_over_all_axes_has_no_adjusted_p_and_the_built_in_benchmark_is_not_named(written):
    rows = written["models"][0]["rows"]
    assert ["p_holm" in row for row in rows] == [False] + [True] * (len(rows) - 1)
    assert not any("benchmark" in row for row in rows)
    (table,) = AuditResult.from_json(written).models[0].tables()
    assert table[0].axis == "(all)" and table[0].p_holm is None


def test_another_benchmark_is_named_and_has_its_own_table(written):
    changed = copy.deepcopy(written)
    model = changed["models"][0]
    model["rows"] += [{**row, "benchmark": "crows_pairs"} for row in model["rows"]]
    model["quality"] += [{**model["quality"][0], "benchmark": "crows_pairs", "able": True}]
    result = AuditResult.from_json(changed)
    tables = result.models[0].tables()
    assert [table[0].benchmark for table in tables] == ["built_in", "crows_pairs"]
    assert [result.models[0].passes_sanity_check(table[0]) for table in tables] == [False, True]
    assert result.to_json() == changed
    assert any(" en crows_pairs: " in line for line in write_headlines(result))


@pytest.mark.parametrize("value", [{}, [], None, {"schema": "gristmill.audit/1"}])
def test_another_format_is_refused_by_its_name(value):
    with pytest.raises(InputError, match="is of another format") as refused:
        AuditResult.from_json(value)
    assert SCHEMA in str(refused.value)


def test_a_missing_field_an_unknown_field_and_an_impossible_estimate_are_refused(written):
    lacking = {key: value for key, value in written.items() if key != "limits"}
    with pytest.raises(InputError, match="limits"):
        AuditResult.from_json(lacking)
    with pytest.raises(InputError, match="surprise"):
        AuditResult.from_json({**written, "surprise": 1})
    broken = copy.deepcopy(written)
    broken["models"][0]["rows"][0]["per_token"]["n"] = 0
    with pytest.raises(InputError, match="at least one observation"):
        AuditResult.from_json(broken)


def test_the_details_of_the_manifest_hold_the_headlines(run, written):
    details = AuditDetails.from_json(run.details)
    assert list(details.headlines) == write_headlines(AuditResult.from_json(written))
    assert details.to_json() == run.details


def test_an_estimate_is_written_with_its_interval_and_n():
    assert format_estimate(Estimate(1234.5, 0.25, 2000.0, 1000)) == (
        "1,234.500 [0.250, 2,000.000] n=1,000"
    )
    assert format_estimate(Estimate(0.5, 0.25, 0.75, 4), digits=2) == "0.50 [0.25, 0.75] n=4"
    assert format_estimate(None) == "not measurable"


def test_significant_rules_are_ordered_by_how_far_their_interval_is_from_one(written):
    from dataclasses import replace

    rules = AuditResult.from_json(written).rules
    weak = replace(
        rules.rows[0], p_holm=0.01, reason="weak", stratified_risk_ratio=Estimate(1.5, 1.1, 2, 9)
    )
    strong = replace(weak, reason="strong", stratified_risk_ratio=Estimate(0.1, 0.05, 0.2, 9))
    unsure = replace(weak, reason="unsure", p_holm=0.2)
    untested = replace(weak, reason="untested", p_holm=None)
    ordered = replace(rules, rows=(untested, unsure, weak, strong)).significant_rows()
    assert [row.reason for row in ordered] == ["strong", "weak"]


def test_readers_of_an_audit_need_neither_numpy_nor_torch_nor_numba():
    program = (
        "import sys, bias_audit.contract.headlines, bias_audit.contract.pair_records;"
        "print(sorted({'numpy', 'torch', 'numba', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
