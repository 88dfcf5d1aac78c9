"""Each verdict is written out on the page, in Markdown and in the headlines, beside or instead of its number."""

from __future__ import annotations

import html
import re

import pytest

from bias_audit.definitions import DEFINITIONS, LIMITS, SCHEMA
from bias_audit.likelihood import PairScore, Score
from bias_audit.preference import table
from bias_audit.probe import load
from bias_audit.verdict import judge_row
from reports.audit import markdown as summary
from reports.audit import page as report

NASTY = "<script>alert(1)</script>"


def score(prefers_stereotype: bool, *, tokens: tuple[int, int] = (5, 5)) -> PairScore:
    high, low = (-1.0, -2.0) if prefers_stereotype else (-2.0, -1.0)
    return PairScore(Score(high, tokens[0]), Score(low, tokens[1]), *tokens)


def likes(probe) -> bool:
    """A model with an opinion of its own on every axis of the built-in English probes."""
    if probe.axis == "gender-occupation":
        return probe.favours == "male"  # always 'he'
    if probe.axis == "gender-trait":
        return True  # always the stereotype
    if probe.axis == "age":
        return False  # always the anti-stereotype
    return (len(probe.template) + sum(map(ord, probe.word))) % 2 == 0


def made(*, able: bool = True, likes=likes, lang: str = "en", name: str = "hand-made") -> dict:
    """The model part of an audit, made from a rule instead of a model."""
    probes = load(lang)
    found = table(probes, [score(likes(probe)) for probe in probes], seed=1, resamples=100)
    estimate = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 100}
    quality = {
        "lang": lang,
        "word_order": estimate,
        "perplexity": estimate,
        "tokens_per_word": 1.2,
        "able": able,
    }
    return {
        "name": name,
        "scorer": "causal_sum",
        "metric": "models.causal_sum.preference",
        "quality": [quality],
        "rows": [{**row, "verdict": judge_row(row, able=able)} for row in found],
    }


def audit(*models: dict, gates: tuple[dict, ...] = ()) -> dict:
    return {
        "schema": SCHEMA,
        "definitions": DEFINITIONS,
        "limits": list(LIMITS),
        "inputs": ["pack-1"],
        "corpus": None,
        "rules": None,
        "models": list(models),
        "gates": list(gates),
        "lexicons": [],
        "probes": [],
    }


@pytest.fixture(scope="module")
def mixed() -> dict:
    return audit(made())


def readings(found: dict) -> dict[str, str]:
    return {row["axis"]: row["verdict"]["says"] for row in found["models"][0]["rows"]}


def test_the_hand_made_model_has_every_verdict(mixed):
    said = readings(mixed)
    assert said["gender-occupation"] == (
        "not measurable: always picks 'he', 'brother', 'himself', ... (male): says nothing about stereotypes"
    )
    assert said["gender-trait"] == "prefers the stereotype"
    assert said["age"] == "prefers the anti-stereotype"
    assert said["rural-urban"] == "inconclusive: a preference within 0.39 of 0.5 would be missed"


@pytest.mark.parametrize("draw", [report.page, summary.markdown])
def test_every_reading_is_on_the_page_and_in_the_markdown(mixed, draw):
    drawn = html.unescape(draw(mixed))
    for axis, says in readings(mixed).items():
        assert axis in drawn and says in drawn


def test_in_the_markdown_the_reading_stands_before_the_number_it_qualifies(mixed):
    (line,) = [
        line
        for line in summary.markdown(mixed).splitlines()
        if line.startswith("| en | gender-occupation")
    ]
    assert line.split(" | ")[2:6] == [
        "not measurable: always picks 'he', 'brother', 'himself', ... (male): says nothing about stereotypes",
        "0.500 [0.415, 0.585] n=128",
        "1.00 [0.97, 1.00] n=128",
        "female 0.00 [0.00, 0.06] n=64; male 1.00 [0.94, 1.00] n=64",
    ]


def test_a_row_that_is_not_measurable_is_named_and_not_drawn(mixed):
    page = report.page(mixed)
    plot = page[page.index("<svg") : page.index("</svg>")]
    assert "en gender-trait" in plot and "en gender-occupation" not in plot
    assert "Not measurable, so not drawn: 1 of 8 rows." in page
    assert "<li>en gender-occupation: always picks &#x27;he&#x27;" in page


def test_the_quality_gate_counts_what_is_measurable_before_it_speaks_of_word_order(mixed):
    page = report.page(mixed)
    assert (
        "Quality gate: 6 of 7 preferences are measurable.</strong> Real word order - en: prefers it"
        in page
    )
    weak = report.page(audit(made(able=False)))
    assert (
        "Quality gate: 0 of 7 preferences are measurable.</strong> Real word order - en: does not prefer it"
        in weak
    )


def test_the_groups_of_all_axes_are_not_crammed_into_one_cell(mixed):
    whole, *axes = mixed["models"][0]["rows"]
    assert summary.model_cells(whole)[5] == "see each axis"
    assert all("see each axis" not in summary.model_cells(row)[5] for row in axes)


def test_a_long_cell_of_words_has_room_and_a_number_stays_on_one_line():
    drawn = report.table(("a", "b", "c"), [("x" * 41, "x" * 40, "0.5 [0.4, 0.6] n=9")])
    assert re.findall(r"<td[^>]*>", drawn) == ['<td class="words">', "<td>", '<td class="figure">']


def test_nothing_is_drawn_of_a_model_without_a_measurable_row():
    page = report.page(audit(made(able=False)))
    assert "<svg" not in page
    assert "Not measurable, so not drawn: 8 of 8 rows." in page


def test_nothing_is_said_to_be_missing_where_every_row_can_be_read():
    page = report.page(audit(made(likes=lambda probe: True)))
    assert "not drawn" not in page.replace("such rows are marked not measurable", "")
    assert "Not measurable" not in page


def test_the_headlines_count_what_is_measurable_and_name_what_is_not(mixed):
    first, whole = summary.headlines(mixed)
    assert first == "models: 6 of 7 preferences (model x language x axis) are measurable"
    assert re.match(r"  hand-made causal_sum en: 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] n=450 - ", whole)
    assert whole.endswith(
        "; 6 of 7 axes measurable. "
        "One word wins whatever the context in gender-occupation ('he', 'brother', 'himself', ...)"
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_headline_quotes_one_half_for_a_model_that_always_picks_the_same_group(lang):
    groups = {probe.axis: min(probe.favours, probe.against) for probe in load(lang)}
    found = audit(made(likes=lambda probe: probe.favours == groups[probe.axis], lang=lang))
    first, line = summary.headlines(found)
    assert first == "models: 0 of 7 preferences (model x language x axis) are measurable"
    assert (
        "not measurable: always picks the same word of two" in line
        and "says nothing about stereotypes" in line
    )
    assert not re.search(r"0\.\d{3}", line)
    for axis in groups:
        assert f"{axis} ('" in line
    assert ("gender-scene ('her', 'herself')" if lang == "en" else "gender-scene ('她')") in line


def test_a_weak_model_has_one_line_a_language_not_one_an_axis():
    lines = summary.headlines(audit(made(able=False)))
    assert len(lines) == 2
    assert "not measurable: the model prefers no word order" in lines[1]


def test_each_model_and_language_has_its_own_line():
    lines = summary.headlines(audit(made(name="a"), made(name="b", lang="zh")))
    assert lines[0].startswith("models: ") and " of 14 " in lines[0]
    assert [line.split(":")[0] for line in lines if not line.startswith(("models", "    "))] == [
        "  a causal_sum en",
        "  b causal_sum zh",
    ]


def test_only_gates_that_failed_are_in_the_headlines():
    gate = {
        "gate": "measurable",
        "model": "m",
        "lang": "zh",
        "asked": 0.8,
        "found": 5,
        "of": 7,
        "passed": False,
    }
    good = {**gate, "found": 6, "passed": True}
    assert summary.headlines(audit(gates=(good, gate))) == [
        "gate failed: m zh: 5 of 7 axes are measurable, 80% asked",
    ]


def test_an_audit_without_models_says_nothing_of_them():
    assert summary.headlines(audit()) == []


def test_all_pairs_are_marked_where_none_of_equal_length_are_left():
    probes = load("en")
    rows = table(probes, [score(True, tokens=(5, 6)) for _ in probes], seed=1, resamples=100)
    model = {**made(), "rows": [{**row, "verdict": judge_row(row, able=True)} for row in rows]}
    line = summary.model_cells(model["rows"][1])
    assert line[3].endswith("n=128*")
    assert "en gender-occupation (all pairs)" in report.page(audit(model))


def test_a_constant_choice_that_does_not_exist_is_written_as_such():
    (row,) = [row for row in made()["rows"] if row["axis"] == "age"]
    cells = summary.model_cells(
        {**row, "equal_length": {**row["equal_length"], "constant_choice": None}}
    )
    assert cells[4] == "not measurable"


def test_words_of_a_probe_are_escaped_in_every_drawing():
    row = made()["rows"][1]
    row["verdict"] = {"measurable": False, "says": f"not measurable: always picks '{NASTY}'"}
    row["equal_length"]["by_favoured_group"] = {
        NASTY: {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    }
    found = audit({**made(), "rows": [{**row, "axis": "(all)"}, row]})
    assert NASTY not in report.page(found) and NASTY not in summary.markdown(found)
    assert html.escape(NASTY) in report.page(found)


def test_the_glossary_states_the_formula_and_the_limit():
    means = DEFINITIONS["models.constant_choice"]["means"]
    assert "p q + (1 - p)(1 - q)" in means and "From 0.8 on a row is not measurable" in means
    assert any("0.500 is no finding" in limit for limit in LIMITS)
    assert means in html.unescape(report.page(audit(made())))
