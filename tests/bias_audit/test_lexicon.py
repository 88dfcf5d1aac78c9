"""The built-in word lists are consistent and carry their card."""

from __future__ import annotations

import pytest

from bias_audit.lexicon import LANGUAGES, Label, _refuse_repeats, load_lexicon


@pytest.fixture(params=LANGUAGES)
def lang(request) -> str:
    return request.param


def test_gender_age_region_and_religion_are_counted_in_every_language(lang):
    axes = {group.split("/")[0] for group in load_lexicon(lang).groups()}
    assert {"gender", "age", "region", "religion", "class"} <= axes


def test_gender_has_pronouns_on_both_sides(lang):
    pronouns = {label.key for label in load_lexicon(lang).labels if label.pronoun}
    assert pronouns == {"gender/female", "gender/male"}


def test_every_list_names_version_licence_source_and_limits(lang):
    cards = load_lexicon(lang).cards
    assert [card["kind"] for card in cards] == ["groups", "occupations", "adjectives"]
    for card in cards:
        assert (
            card["licence"] == "CC0-1.0" and card["version"] and card["source"] and card["limits"]
        )
        assert card["lang"] == lang and len(card["sha256"]) == 64


def test_no_surface_has_two_labels_and_none_is_padded_with_spaces(lang):
    surfaces = [surface for surface, _ in load_lexicon(lang).entries]
    assert len(surfaces) == len(set(surfaces))
    assert all(surface == surface.strip() and surface for surface in surfaces)


def test_no_occupation_names_a_gender(lang):
    lexicon = load_lexicon(lang)
    by_kind = {
        kind: {s for s, i in lexicon.entries if i >= 0 and lexicon.labels[i].kind == kind}
        for kind in ("group", "occupations")
    }
    gendered = {
        s
        for s, i in lexicon.entries
        if i >= 0 and lexicon.labels[i].axis == "gender" and len(s) > 1
    }
    parts = {part for name in by_kind["occupations"] for part in name.split()}
    assert not parts & gendered
    if lang == "zh":
        assert not [name for name in by_kind["occupations"] if "女" in name or "男" in name]


def test_there_are_enough_occupations_and_adjectives_to_compare(lang):
    kinds = [label.kind for label in load_lexicon(lang).labels]
    assert kinds.count("occupations") >= 60
    assert kinds.count("adjectives") >= 40


def test_chinese_words_that_hide_he_are_exceptions():
    exceptions = {surface for surface, index in load_lexicon("zh").entries if index < 0}
    assert {"其他", "吉他", "他们", "马耳他"} <= exceptions


def test_a_surface_listed_twice_is_refused():
    with pytest.raises(ValueError, match="lists 'she' twice"):
        _refuse_repeats("en", [("she", 0), ("she", 1)])


def test_a_label_is_named_by_axis_and_group():
    assert Label("group", "gender", "female").key == "gender/female"
    assert Label("occupations", "", "nurse").key == "nurse"
