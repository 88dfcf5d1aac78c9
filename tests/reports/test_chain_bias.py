"""The chain report says of every preference whether it measures anything, before it shows its number."""

import html
import re
from copy import deepcopy
from types import SimpleNamespace

import pytest
from reports.chain.audit_section import draw_audit_section
from reports.chain.report_data import AuditSummary

ALWAYS = "not measurable: always picks 'he' (male): says nothing about stereotypes"


def estimate(value: float, low: float, high: float, n: int = 64) -> dict:
    return {"value": value, "low": low, "high": high, "n": n}


def part(
    value: float, low: float, high: float, *, constant: dict | None, groups: dict[str, float]
) -> dict:
    rates = {
        group: estimate(rate, max(0.0, rate - 0.1), min(1.0, rate + 0.1))
        for group, rate in groups.items()
    }
    return {
        **estimate(value, low, high),
        "detectable_effect": 0.17,
        "constant_choice": constant,
        "by_favoured_group": rates,
    }


def row(axis: str, says: str, found: dict, *, lang: str = "en", equal: bool = True) -> dict:
    verdict = {"measurable": not says.startswith("not measurable"), "says": says}
    return {
        "lang": lang,
        "axis": axis,
        "equal_length": found if equal else None,
        "all_pairs": found,
        "verdict": verdict,
    }


CONSTANT = part(0.5, 0.41, 0.59, constant=estimate(1, 0.97, 1), groups={"female": 0.0, "male": 1.0})
CLEAR = part(
    0.72, 0.61, 0.81, constant=estimate(0.41, 0.3, 0.5), groups={"old": 0.7, "young": 0.74}
)
MODEL = {
    "name": "pretrain-1",
    "scorer": "causal_sum",
    "quality": [{"lang": "en", "able": True}],
    "rows": [
        row("(all)", "inconclusive: a preference within 0.17 of 0.5 would be missed", CLEAR),
        row("gender", ALWAYS, CONSTANT),
        row("age", "prefers the stereotype", CLEAR, equal=False),
    ],
}


def drawn(*models: dict, schema: str = "gristmill.audit/2") -> str:
    content = {
        "schema": schema,
        "models": list(models),
        "rules": None,
        "corpus": None,
        "limits": ["a limit"],
    }
    audits = (
        AuditSummary("audit-1", content, ("  models: 1 of 2",), (("audit.html", "audit.html"),)),
    )
    return str(draw_audit_section(SimpleNamespace(audits=audits)))


def text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def cells(page: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    return [
        [
            text(cell).strip()
            for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", line, flags=re.DOTALL)
        ]
        for line in rows
    ]


def test_a_row_in_which_one_word_always_wins_is_told_in_words_and_not_drawn():
    page = drawn(MODEL)
    plot = page[page.index("<svg") : page.index("</svg>")]
    assert "en age" in plot and "en (all)" in plot and "en gender" not in plot
    assert f"English (en), gender: {ALWAYS}" in text(page)


def test_the_table_shows_the_reading_the_constant_choice_and_both_groups_beside_every_rate():
    (line,) = [line for line in cells(drawn(MODEL)) if "gender" in line]
    assert line == [
        "English (en)",
        "gender",
        ALWAYS,
        "0.500",
        "0.410 to 0.590",
        "64",
        "1.00 [0.97, 1.00]",
        "female 0.00; male 1.00",
        "0.17",
    ]


def test_the_groups_of_all_axes_are_not_crammed_into_one_cell():
    many = {
        **CLEAR,
        "by_favoured_group": {
            group: estimate(0.5, 0.4, 0.6) for group in ("female", "male", "old")
        },
    }
    (line,) = [
        line
        for line in cells(drawn({**MODEL, "rows": [row("(all)", "inconclusive", many)]}))
        if "(all)" in line
    ]
    assert line[7] == "see each axis"


def test_the_table_has_as_many_cells_in_every_row_as_columns():
    assert {len(line) for line in cells(drawn(MODEL))} == {9}


def test_what_the_constant_choice_means_stands_above_the_table():
    assert (
        "1: one word always wins, and the preference is 0.5 whatever the model thinks; 0.5: chance."
        in text(drawn(MODEL))
    )


def test_the_gate_counts_single_axes_only():
    assert "1 of 2 preferences can be read." in text(drawn(MODEL))


def test_a_weak_language_is_named():
    weak = {**MODEL, "quality": [{"lang": "en", "able": True}, {"lang": "zh", "able": False}]}
    assert (
        "1 of 2 preferences can be read. The model prefers no word order in Chinese (zh)."
        in text(drawn(weak))
    )


def test_a_model_without_any_measurable_row_has_no_plot_and_no_legend():
    silent = {**MODEL, "rows": [row(axis, ALWAYS, CONSTANT) for axis in ("(all)", "gender")]}
    page = drawn(silent)
    assert "<svg" not in page and "Circles" not in page
    assert "0 of 1 preferences can be read." in text(page)
    assert text(page).count(ALWAYS) == 4  # twice in the list, twice in the table


def test_a_model_whose_every_row_can_be_read_has_no_list_of_silent_rows():
    clear = {**MODEL, "rows": [MODEL["rows"][0], MODEL["rows"][2]]}
    page = drawn(clear)
    assert "1 of 1 preferences can be read." in text(page)
    assert "says nothing" not in page


def test_a_constant_choice_that_could_not_be_measured_is_a_dash():
    found = {**CONSTANT, "constant_choice": None}
    says = "not measurable: no template holds contexts of both groups"
    (line,) = [
        line
        for line in cells(drawn({**MODEL, "rows": [row("gender", says, found)]}))
        if "gender" in line
    ]
    assert line[6] == "-"


def test_words_of_an_audit_never_become_markup():
    nasty = "<b>always</b>"
    model = deepcopy(MODEL)
    model["rows"][1]["verdict"]["says"] = f"not measurable: {nasty}"
    model["rows"][1]["equal_length"]["by_favoured_group"] = {nasty: estimate(0.5, 0.4, 0.6)}
    model["rows"][1]["axis"] = nasty
    page = drawn(model)
    assert nasty not in page and html.escape(nasty) in page


@pytest.mark.parametrize("schema", ["gristmill.audit/1", "gristmill.audit/3", ""])
def test_an_audit_of_another_format_is_linked_and_its_numbers_are_not_quoted(schema):
    page = drawn(MODEL, schema=schema)
    assert "another format" in page and 'href="audit.html"' in page
    assert "0.500" not in page and "<table" not in page


def test_a_report_without_an_audit_says_how_to_make_one():
    assert "gristmill audit --in RUN" in text(str(draw_audit_section(SimpleNamespace(audits=()))))
