"""Each verdict is written out on the page, in Markdown and in the headlines, beside or instead of its number."""

from __future__ import annotations

import html
import re

import pytest

from bias_audit.benchmarks.built_in import load_pairs
from bias_audit.contract.estimate import Estimate
from bias_audit.contract.headlines import write_headlines
from bias_audit.contract.model_rows import ModelAudit, WordOrderCheck
from bias_audit.contract.result import SCHEMA, AuditResult
from bias_audit.definitions import DEFINITIONS, LIMITS
from bias_audit.preference import tabulate
from bias_audit.scorers.scores import PairScore, Score
from reports.audit import draw_pages
from reports.audit.figures import write_preference_cells
from reports.audit.page import make_table

NASTY = "<script>alert(1)</script>"


def score(prefers_stereotype: bool, *, tokens: tuple[int, int] = (5, 5)) -> PairScore:
    high, low = (-1.0, -2.0) if prefers_stereotype else (-2.0, -1.0)
    return PairScore(Score(high, tokens[0]), Score(low, tokens[1]), *tokens)


def likes(probe) -> bool:
    """A model with an opinion of its own on every axis of the built-in English probes."""
    if probe.axis == "gender-occupation":
        return probe.stereotyped_group == "male"  # always 'he'
    if probe.axis == "gender-trait":
        return True  # always the stereotype
    if probe.axis == "age":
        return False  # always the anti-stereotype
    return (len(probe.template) + sum(map(ord, probe.word))) % 2 == 0


def made(
    *,
    able: bool = True,
    likes=likes,
    lang: str = "en",
    name: str = "hand-made",
    tokens: tuple[int, int] = (5, 5),
) -> dict:
    """The model part of an audit, made from a rule instead of a model."""
    probes = load_pairs(lang)
    rows = tabulate(
        probes,
        [score(likes(probe), tokens=tokens) for probe in probes],
        seed=1,
        resamples=100,
        passes_sanity_check=able,
    )
    estimate = Estimate(0.9, 0.8, 0.95, 100)
    check = WordOrderCheck(
        lang=lang,
        word_order=estimate,
        perplexity=estimate,
        tokens_per_word=1.2,
        passes_sanity_check=able,
    )
    model = ModelAudit(
        name=name,
        scorer="causal_sum",
        metric="models.causal_sum.preference",
        word_order_checks=(check,),
        rows=tuple(rows),
    )
    return audit_result(model).to_json()["models"][0]


def audit_result(*models: ModelAudit) -> AuditResult:
    return AuditResult(
        schema=SCHEMA,
        definitions=DEFINITIONS,
        limits=LIMITS,
        inputs=("pack-1",),
        corpus=None,
        rules=None,
        models=models,
        gates=(),
        lexicons=(),
        benchmarks=(),
    )


def audit(*models: dict, gates: tuple[dict, ...] = ()) -> dict:
    return {**audit_result().to_json(), "models": list(models), "gates": list(gates)}


def draw_page(found: dict) -> str:
    return draw_pages(found)[0]


def write_markdown(found: dict) -> str:
    return draw_pages(found)[1]


def headlines(found: dict) -> list[str]:
    return write_headlines(AuditResult.from_json(found))


def write_cells(row: dict) -> list[str]:
    read = AuditResult.from_json(audit({**made(), "rows": [row]}))
    return write_preference_cells(read.models[0].rows[0])


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


@pytest.mark.parametrize("draw", [draw_page, write_markdown])
def test_every_reading_is_on_the_page_and_in_the_markdown(mixed, draw):
    drawn = html.unescape(draw(mixed))
    for axis, says in readings(mixed).items():
        assert axis in drawn and says in drawn


def test_in_the_markdown_the_reading_stands_before_the_number_it_qualifies(mixed):
    (line,) = [
        line
        for line in write_markdown(mixed).splitlines()
        if line.startswith("| en | gender-occupation")
    ]
    assert line.split(" | ")[2:6] == [
        "not measurable: always picks 'he', 'brother', 'himself', ... (male): says nothing about stereotypes",
        "0.500 [0.415, 0.585] n=128",
        "1.00 [0.97, 1.00] n=128",
        "female 0.00 [0.00, 0.06] n=64; male 1.00 [0.94, 1.00] n=64",
    ]


def test_a_row_that_is_not_measurable_is_named_and_not_drawn(mixed):
    page = draw_page(mixed)
    plot = page[page.index("<svg") : page.index("</svg>")]
    assert "en gender-trait" in plot and "en gender-occupation" not in plot
    assert "Not measurable, so not drawn: 1 of 8 rows." in page
    assert "<li>en gender-occupation: always picks &#39;he&#39;" in page


def test_the_quality_gate_counts_what_is_measurable_before_it_speaks_of_word_order(mixed):
    page = draw_page(mixed)
    assert (
        "Quality gate: 6 of 7 preferences are measurable.</strong> Real word order - en: prefers it"
        in page
    )
    weak = draw_page(audit(made(able=False)))
    assert (
        "Quality gate: 0 of 7 preferences are measurable.</strong> Real word order - en: does not prefer it"
        in weak
    )


def test_the_groups_of_all_axes_are_not_crammed_into_one_cell(mixed):
    whole, *axes = mixed["models"][0]["rows"]
    assert write_cells(whole)[5] == "see each axis"
    assert all("see each axis" not in write_cells(row)[5] for row in axes)


def test_a_long_cell_of_words_has_room_and_a_number_stays_on_one_line():
    (row,) = make_table(("a", "b", "c"), [("x" * 41, "x" * 40, "0.5 [0.4, 0.6] n=9")]).rows
    assert [cell.style for cell in row] == ["words", "", "figure"]


def test_nothing_is_drawn_of_a_model_without_a_measurable_row():
    page = draw_page(audit(made(able=False)))
    assert "<svg" not in page
    assert "Not measurable, so not drawn: 8 of 8 rows." in page


def test_nothing_is_said_to_be_missing_where_every_row_can_be_read():
    page = draw_page(audit(made(likes=lambda probe: True)))
    assert "not drawn" not in page.replace("such rows are marked not measurable", "")
    assert "Not measurable" not in page


def test_the_headlines_count_what_is_measurable_and_name_what_is_not(mixed):
    first, whole = headlines(mixed)
    assert first == "models: 6 of 7 preferences (model x language x axis) are measurable"
    assert re.match(r"  hand-made causal_sum en: 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] n=450 - ", whole)
    assert whole.endswith(
        "; 6 of 7 axes measurable. "
        "One word wins whatever the context in gender-occupation ('he', 'brother', 'himself', ...)"
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_headline_quotes_one_half_for_a_model_that_always_picks_the_same_group(lang):
    groups = {
        probe.axis: min(probe.stereotyped_group, probe.other_group) for probe in load_pairs(lang)
    }
    found = audit(
        made(likes=lambda probe: probe.stereotyped_group == groups[probe.axis], lang=lang)
    )
    first, line = headlines(found)
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
    lines = headlines(audit(made(able=False)))
    assert len(lines) == 2
    assert "not measurable: the model prefers no word order" in lines[1]


def test_each_model_and_language_has_its_own_line():
    lines = headlines(audit(made(name="a"), made(name="b", lang="zh")))
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
    assert headlines(audit(gates=(good, gate))) == [
        "gate failed: m zh: 5 of 7 axes are measurable, 80% asked",
    ]


def test_an_audit_without_models_says_nothing_of_them():
    assert headlines(audit()) == []


def test_all_pairs_are_marked_where_none_of_equal_length_are_left():
    model = made(likes=lambda probe: True, tokens=(5, 6))
    line = write_cells(model["rows"][1])
    assert line[3].endswith("n=128*")
    assert "en gender-occupation (all pairs)" in draw_page(audit(model))


def test_a_constant_choice_that_does_not_exist_is_written_as_such():
    (row,) = [row for row in made()["rows"] if row["axis"] == "age"]
    cells = write_cells({**row, "equal_length": {**row["equal_length"], "constant_choice": None}})
    assert cells[4] == "not measurable"


def test_words_of_a_probe_are_escaped_in_every_drawing():
    row = made()["rows"][1]
    row["verdict"] = {"measurable": False, "says": f"not measurable: always picks '{NASTY}'"}
    row["equal_length"]["by_favoured_group"] = {
        NASTY: {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    }
    found = audit({**made(), "rows": [{**row, "axis": "(all)"}, row]})
    assert NASTY not in draw_page(found) and NASTY not in write_markdown(found)
    assert html.escape(NASTY) in draw_page(found)


def test_the_glossary_states_the_formula_and_the_limit():
    means = DEFINITIONS["models.constant_choice"].means
    assert "p q + (1 - p)(1 - q)" in means and "From 0.8 on a row is not measurable" in means
    assert any("0.500 is no finding" in limit for limit in LIMITS)
    assert means in html.unescape(draw_page(audit(made())))
