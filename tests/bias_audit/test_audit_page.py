"""audit.html and audit.md are drawn from audit.json alone, escaped, and say what each number means."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser

import pytest

from bias_audit import commands
from bias_audit.audit import perform_audit
from bias_audit.config import AuditConfig, CorpusConfig, ProbesConfig
from bias_audit.contract.estimate import Estimate, format_estimate
from bias_audit.contract.headlines import write_headlines
from bias_audit.contract.result import AuditResult
from bias_audit.subject import find_subject
from reports.audit import draw_pages
from reports.audit.figures import PREFERENCE_HEAD, RULE_HEAD, TERM_HEAD
from reports.drawing.templates import escape_markdown

NASTY = "<script>alert(1)</script>"

VOID = {"meta", "rect", "circle", "line", "polyline", "br"}


class Balanced(HTMLParser):
    """Checks that every element that opens closes, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def audit(tmp_path_factory, request) -> dict:
    """The result of a small corpus and one tiny model, as read back from JSON."""
    build = request.getfixturevalue("prepare_once")
    rows = [("She is a nurse. She met a nurse.", NASTY, "en", 0)] * 30
    rows += [("He is a pilot. He met a pilot.", "wiki|pipe", "en", 0)] * 30
    rows += [("She is a Muslim nurse.", "wiki|pipe", "en", 2)] * 20 + [
        ("Rain fell on the town.", "wiki|pipe", "en", 0)
    ] * 30
    _, decide = build(rows, out=tmp_path_factory.mktemp("runs"))
    config = AuditConfig(
        corpus=CorpusConfig(min_documents=5),
        probes=ProbesConfig(languages=("en",), resamples=100, quality_sentences=10),
    )
    subject = find_subject([decide], [request.getfixturevalue("causal_folder")])
    return json.loads(json.dumps(perform_audit(subject, config).result.to_json()))


def draw_page(audit: dict) -> str:
    return draw_pages(audit)[0]


def write_markdown(audit: dict) -> str:
    return draw_pages(audit)[1]


def headlines(audit: dict) -> list[str]:
    return write_headlines(AuditResult.from_json(audit))


def test_the_page_is_balanced_html_with_every_part(audit):
    page = draw_page(audit)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    for head in ("Models", "Rules", "Associations", "Mentions", "How to read this"):
        assert f"<h2>{head}</h2>" in page
    assert page.count("<svg") >= 3


def test_the_page_needs_no_network_and_no_script(audit):
    page = draw_page(audit)
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|src=|\bon\w+=", page)
    assert re.findall(r"https?://[^\"]+", page) == ["http://www.w3.org/2000/svg"] * page.count(
        "<svg"
    )


def test_text_from_the_corpus_is_escaped_everywhere(audit):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in draw_page(audit)
    changed = copy.deepcopy(audit)
    changed["models"][0]["name"] = NASTY
    changed["rules"]["rows"][0] |= {
        "reason": NASTY,
        "p_holm": 0.0,
        "stratified_risk_ratio": {"value": 2, "low": 1.5, "high": 3, "n": 9},
    }
    changed["corpus"]["associations"][0] |= {"term": NASTY, "p_holm": 0.0}
    changed["corpus"]["not_scanned"] = {NASTY: 3}
    changed["inputs"] = [NASTY]
    assert NASTY not in draw_page(changed)
    assert NASTY not in write_markdown(changed)


def test_the_page_has_light_and_dark_colours_and_a_narrow_view(audit):
    page = draw_page(audit)
    assert "prefers-color-scheme: dark" in page and "width=device-width" in page


def test_what_no_difference_means_stands_beside_each_part(audit):
    page = draw_page(audit)
    for metric in (
        "models.causal_sum.preference",
        "rules.stratified_risk_ratio",
        "associations.log_odds",
        "mentions.pronoun_log_ratio",
    ):
        assert audit["definitions"][metric]["means"] in page


def test_the_page_of_a_corpus_alone_has_no_model_part(audit):
    page = draw_page({**audit, "models": [], "rules": None})
    assert (
        "<h2>Models</h2>" not in page
        and "<h2>Rules</h2>" not in page
        and "<h2>Mentions</h2>" in page
    )


def test_the_page_of_models_alone_has_no_corpus_part(audit):
    page = draw_page({**audit, "corpus": None, "rules": None})
    assert "<h2>Models</h2>" in page and "<h2>Mentions</h2>" not in page


def test_drawing_twice_gives_the_same_page(audit):
    assert draw_page(audit) == draw_page(copy.deepcopy(audit))


def test_a_planted_blocking_rule_is_in_the_headlines(audit):
    lines = headlines(audit)
    assert "corpus: 90 of 110 documents kept" in lines[0]
    assert ("blocked_word", "religion/muslim") in {
        (row.reason, row.group) for row in AuditResult.from_json(audit).rules.significant_rows()
    }
    assert any("risk ratio" in line for line in lines)


def test_a_weak_model_is_not_read(audit):
    lines = headlines(audit)
    assert "models: 0 of 7 preferences (model x language x axis) are measurable" in lines
    assert "not measurable: the model prefers no word order" in lines[-1]
    assert lines[-1].endswith("; 0 of 7 axes measurable")
    assert not re.search(r"0\.\d\d\d \[", lines[-1])


def test_markdown_tables_have_equal_columns_and_escape_pipes(audit):
    text = write_markdown(audit)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert lines
    for line in lines:
        assert len(re.findall(r"(?<!\\)\|", line)) in {
            len(head) + 1 for head in (PREFERENCE_HEAD, RULE_HEAD, TERM_HEAD)
        }
    assert escape_markdown("a|b\n<c>`") == "a\\|b &lt;c&gt;'"


def test_an_estimate_is_written_with_interval_and_n_and_a_missing_one_as_such():
    assert format_estimate(Estimate(0.5, 0.25, 0.75, 1234)) == "0.500 [0.250, 0.750] n=1,234"
    assert format_estimate(None) == "not measurable"


def test_every_metric_says_its_unit_its_meaning_and_its_interval(audit):
    for definition in audit["definitions"].values():
        assert set(definition) == {"unit", "means", "interval", "null"}
        assert definition["unit"] and definition["means"] and definition["interval"]


def test_the_page_is_drawn_from_the_written_file(prepare_once, tmp_path):
    _, decide = prepare_once([("She is a nurse.", "wiki", "en", 0)] * 3, out=tmp_path)
    run = commands.audit_runs([decide], [], AuditConfig(), tmp_path, force=False)
    read = json.loads((run.path / "audit.json").read_text(encoding="utf-8"))
    assert (run.path / "audit.html").read_text(encoding="utf-8") == draw_page(read)
    assert (run.path / "audit.md").read_text(encoding="utf-8") == write_markdown(read)
