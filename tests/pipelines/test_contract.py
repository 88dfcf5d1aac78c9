"""Rules: each bound holds exactly where it is said, by language, and the bits are those of the legend."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from gristmill.errors import ConfigError
from pipelines.annotate.signals.table import NUMBERS, SIGNAL_FIELDS, load_stop_words
from pipelines.contract import (
    CUSTOM,
    FIXED_REASONS,
    build_legend,
    choose_rules,
    find_outside,
    judge_documents,
    load_preset_rules,
    read_rule,
    round_to_column,
)
from pipelines.decide.config import PRESETS_OF, Bound, DecideConfig

RULES = {rule.name: rule for rule in load_preset_rules()}
TYPES = {field.name: field.type.to_pandas_dtype() for field in SIGNAL_FIELDS[: len(NUMBERS)]}


def bounds_of(rule):
    langs = [*rule.by_language, rule.only_languages[0] if rule.only_languages else "xx"]
    for lang in langs:
        for side, bound in zip(
            (-1, 1), rule.by_language.get(lang, (rule.low, rule.high)), strict=True
        ):
            if np.isfinite(bound):
                yield lang, side, bound


@pytest.mark.parametrize("name", RULES)
def test_a_value_at_the_bound_stays_and_one_beyond_it_goes(name):
    rule = RULES[name]
    kind = TYPES[rule.signal]
    for lang, side, bound in bounds_of(rule):
        at = np.array([bound], kind)
        step = (
            np.array([1], kind)
            if np.issubdtype(kind, np.integer)
            else (np.abs(at) + (at == 0)) * kind(1e-5)
        )
        assert rule.applies(at, [lang]).tolist() == [False], (lang, bound)
        assert rule.applies(at + (side * step).astype(kind), [lang]).tolist() == [True], (
            lang,
            bound,
        )
        assert rule.applies(at - (side * step).astype(kind), [lang]).tolist() == [False], (
            lang,
            bound,
        )


def test_a_ratio_that_equals_its_bound_stays_in_the_precision_of_its_column():
    lines = np.array([3 / 10], np.float32)
    assert RULES["repeated_lines"].applies(lines, ["en"]).tolist() == [False]
    assert RULES["line_ends"].applies(np.array([0.12], np.float32), ["en"]).tolist() == [False]


def test_a_language_replaces_a_bound_and_another_does_not():
    values = np.array([2.0, 2.0, 2.0])
    assert RULES["word_length"].applies(values, ["en", "zh", "und"]).tolist() == [True, False, True]


def test_a_rule_for_some_languages_says_nothing_about_others():
    assert RULES["stop_words"].applies(np.array([0, 0, 0]), ["en", "ko", "und"]).tolist() == [
        True,
        False,
        False,
    ]


def test_no_documents_are_judged_to_nothing():
    assert RULES["too_few_words"].applies(np.zeros(0), []).tolist() == []
    config = DecideConfig()
    empty = {name: np.zeros(0) for name in NUMBERS}
    assert judge_documents(empty, [], [], choose_rules(config), config).tolist() == []


def test_rules_have_names_of_their_own_and_possible_bounds():
    assert len(RULES) == len(load_preset_rules())
    for rule in load_preset_rules():
        assert rule.signal in NUMBERS and rule.low <= rule.high
        assert not set(RULES) & set(FIXED_REASONS)
        assert np.isfinite([rule.low, rule.high, *sum(rule.by_language.values(), ())]).any()


def columns(**values):
    good = {
        "words": 100.0,
        "mean_word_length": 5.0,
        "alpha_word_ratio": 1.0,
        "stop_words": 5.0,
        "sentences": 9.0,
        "terminal_line_ratio": 1.0,
    }
    sizes = [len(value) for value in values.values()] or [1]
    return {
        name: np.asarray(values.get(name, [good.get(name, 0.0)] * sizes[0]), np.float64)
        for name in NUMBERS
    }


def test_bits_are_those_of_the_legend():
    config = DecideConfig()
    rules = choose_rules(config)
    names = build_legend(rules)
    assert (
        names[: len(FIXED_REASONS)] == list(FIXED_REASONS) and len(set(names)) == len(names) <= 63
    )
    for place, rule in enumerate(rules, start=len(FIXED_REASONS)):
        side = rule.low - 1 if np.isfinite(rule.low) else rule.high + 1
        lang = rule.only_languages[0] if rule.only_languages else "en"
        kind = next(kind for kind, presets in config.presets.items() if rule.preset in presets)
        word = int(
            judge_documents(columns(**{rule.signal: [side]}), [kind], [lang], rules, config)[0]
        )
        assert word >> place & 1, rule.name
        assert {names[i] for i in range(63) if word >> i & 1} <= {
            other.name for other in rules if other.signal == rule.signal
        }


def test_a_good_document_has_no_bit_whatever_its_kind():
    config = DecideConfig()
    kinds = [*config.presets, "unheard of"]
    values = {name: np.repeat(value, len(kinds)) for name, value in columns().items()}
    assert judge_documents(
        values, kinds, ["en"] * len(kinds), choose_rules(config), config
    ).tolist() == [0] * len(kinds)


def test_presets_are_chosen_by_kind_and_unknown_kinds_are_judged_as_other():
    config = DecideConfig()
    rules = choose_rules(config)
    few = columns(words=[10.0, 10.0, 10.0])
    bits = judge_documents(few, ["social", "wiki", "unheard of"], ["en"] * 3, rules, config)
    bit = 1 << build_legend(rules).index("too_few_words")
    assert [bool(word & bit) for word in bits.tolist()] == [False, True, True]


def test_a_threshold_of_the_configuration_holds_for_every_language():
    config = DecideConfig(thresholds={"word_length": Bound(min=2)})
    [rule] = [rule for rule in choose_rules(config) if rule.name == "word_length"]
    assert (rule.low, rule.high, dict(rule.by_language)) == (2, 10, {})
    assert rule.applies(np.array([1.5, 2, 10, 11]), ["zh"] * 4).tolist() == [
        True,
        False,
        False,
        True,
    ]


def test_unchosen_presets_are_in_no_legend():
    config = DecideConfig(presets={"other": ("social",)})
    assert {rule.preset for rule in choose_rules(config)} == {"social"}
    assert build_legend(choose_rules(config)) == [
        *FIXED_REASONS,
        "too_short",
        "post_not_alphabetic",
        "post_repeats",
    ]
    assert DecideConfig(presets={}).presets == {} and choose_rules(DecideConfig(presets={})) == ()


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (DecideConfig(presets={"web": ("gofer",)}), "gofer"),
        (DecideConfig(thresholds={"too_few_wrds": Bound(min=3)}), "too_few_wrds"),
        (
            DecideConfig(presets={"web": ("c4",)}, thresholds={"too_few_words": Bound(min=3)}),
            "too_few_words",
        ),
    ],
)
def test_unknown_names_are_the_users_error_and_the_known_ones_are_said(config, wanted):
    with pytest.raises(ConfigError, match=wanted) as caught:
        choose_rules(config)
    assert caught.value.exit_code == 2 and "choose from" in str(caught.value)


def test_a_bound_that_nothing_can_meet_is_refused():
    with pytest.raises(ValueError, match="min"):
        Bound(min=5, max=1)


def test_more_reasons_than_bits_are_refused():
    many = [dataclasses.replace(RULES["bullets"], name=f"r{i}") for i in range(60)]
    with pytest.raises(ConfigError, match="63"):
        build_legend(many)


@pytest.mark.parametrize("name", PRESETS_OF)
def test_a_preset_for_all_kinds_is_spelled_out_as_the_presets_of_every_kind(name):
    config = DecideConfig(preset=name)
    assert config.presets == dict.fromkeys(DecideConfig().presets, PRESETS_OF[name])
    assert {rule.preset for rule in choose_rules(config)} == set(PRESETS_OF[name])


def test_a_preset_for_all_kinds_judges_a_post_as_it_judges_a_page():
    config = DecideConfig(preset="gopher")
    rules = choose_rules(config)
    bit = 1 << build_legend(rules).index("too_few_words")
    bits = judge_documents(
        columns(words=[10.0, 10.0]), ["social", "web"], ["en"] * 2, rules, config
    )
    assert [bool(word & bit) for word in bits.tolist()] == [True, True]


def test_no_preset_judges_by_nothing():
    config = DecideConfig(preset="none")
    assert judge_documents(
        columns(words=[0.0]), ["web"], ["en"], choose_rules(config), config
    ).tolist() == [0]


@pytest.mark.parametrize(
    "given", [{"preset": "gofer"}, {"preset": ["gopher"]}, {"preset": "c4", "presets": {}}]
)
def test_a_preset_that_is_not_there_or_stands_beside_presets_is_refused(given):
    with pytest.raises(ValueError, match="preset"):
        DecideConfig(**given)


@pytest.mark.parametrize(
    ("name", "lang", "bounds"),
    [
        ("fw2_word_length", "fr", (2, 11)),
        ("fw2_word_length", "de", (-np.inf, 15)),
        ("fw2_letters", "ru", (0.713, np.inf)),
        ("fw2_repeated_lines", "zh", (-np.inf, 0.287)),
        ("fw2_line_ends", "ar", (0.143, np.inf)),
        ("fw2_line_ends", "th", (-np.inf, np.inf)),
        ("fw2_word_length", "th", (2, 10)),
        ("fw2_letters", "th", (0.9, np.inf)),
        ("fw2_repeated_10grams", "pl", (-np.inf, 0.111)),
    ],
)
def test_fineweb2_has_the_published_bounds_of_a_language(name, lang, bounds):
    assert RULES[name].bounds(lang) == bounds


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_fineweb2_says_nothing_about_words_where_its_words_are_not_ours(lang):
    bounded = {
        name
        for name, rule in RULES.items()
        if rule.preset == "fineweb2" and np.isfinite(rule.bounds(lang)).any()
    }
    lines = {
        "fw2_bullets",
        "fw2_ellipses",
        "fw2_repeated_chars",
        "fw2_repeated_lines",
        "fw2_line_ends",
    }
    assert bounded <= lines


@pytest.mark.parametrize("lang", ["th", "lo"])
def test_no_rule_asks_for_ends_of_sentences_in_scripts_that_mark_none(lang):
    asking = [
        rule
        for rule in RULES.values()
        if rule.signal in ("sentences", "c4_sentences", "terminal_line_ratio")
    ]
    assert len(asking) == 4
    assert [rule.name for rule in asking if rule.bounds(lang)[0] > 0] == []


def test_gopher_and_repetition_have_the_bounds_of_fineweb2_where_words_are_cut_by_a_dictionary():
    for lang in ("zh", "th"):
        for name, rule in RULES.items():
            if rule.preset in ("gopher", "repetition") and lang in rule.by_language:
                assert rule.by_language[lang] == RULES[f"fw2_{name}"].bounds(lang)


def test_stop_words_are_lists_of_distinct_words_that_a_signal_can_count():
    for words in load_stop_words().values():
        assert 2 <= len(words) == len(set(words)) <= 64


def test_bounds_that_nothing_can_pass_are_refused_with_the_one_that_stays():
    with pytest.raises(ConfigError, match="no document can pass this rule") as caught:
        choose_rules(DecideConfig(thresholds={"too_few_words": Bound(max=3)}))
    assert caught.value.where == {
        "given": "decide.thresholds.too_few_words",
        "min": "50",
        "max": "3",
    }
    both = choose_rules(DecideConfig(thresholds={"too_few_words": Bound(min=1, max=3)}))
    assert next(rule for rule in both if rule.name == "too_few_words").bounds("en") == (1, 3)


def test_a_threshold_of_a_rule_of_ones_own_names_the_place_of_its_bounds():
    config = DecideConfig.model_validate(
        {"rules": {"arrows": {"signal": "words", "max": 3}}, "thresholds": {"arrows": {"max": 5}}}
    )
    with pytest.raises(
        ConfigError, match=r"set decide\.rules\.arrows\.min or decide\.rules\.arrows\.max"
    ):
        choose_rules(config)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_comes_back_equal_from_its_record_as_json(name):
    record = json.loads(json.dumps(RULES[name].record()))
    assert read_rule(record) == RULES[name]
    assert "kinds" not in record


def test_a_user_defined_rule_comes_back_from_its_record_with_its_kinds():
    section = {"signal": "words", "max": 3, "kinds": ["web"], "languages": ["en"]}
    [rule] = choose_rules(DecideConfig.model_validate({"preset": "none", "rules": {"x": section}}))
    record = rule.record()
    assert record == {
        "name": "x",
        "preset": CUSTOM,
        "signal": "words",
        "min": None,
        "max": 3,
        "by_language": {},
        "only_languages": ["en"],
        "kinds": ["web"],
    }
    assert read_rule(record) == rule


def test_bounds_are_compared_in_the_precision_of_the_column():
    column = np.array([0.3], np.float32)
    assert float(column[0]) > 0.3
    assert find_outside(column, -np.inf, 0.3).tolist() == [False]
    assert find_outside(column.astype(np.float64), -np.inf, 0.3).tolist() == [True]
    assert round_to_column(0.3, np.dtype(np.float32)).dtype == np.float32
    assert round_to_column(3, np.dtype(np.int32)).dtype == np.float64


def test_the_contract_imports_neither_beam_nor_numba():
    code = "import sys, pipelines.contract; print({'numba', 'apache_beam'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
