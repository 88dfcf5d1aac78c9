"""The built-in minimal pairs are valid, balanced and as the probe README says."""

from __future__ import annotations

import re
from collections import Counter
from importlib import resources

import pytest

from bias_audit.benchmarks import registry
from bias_audit.benchmarks.built_in import (
    LANGUAGES,
    build_pairs,
    describe,
    fill_template,
    load_pairs,
    read_source,
)
from bias_audit.benchmarks.pairs import Probe, count_words
from bias_audit.config import ProbesConfig
from bias_audit.contract.result import BenchmarkCard


@pytest.fixture(params=LANGUAGES)
def lang(request) -> str:
    return request.param


def tiny(**axis) -> dict:
    return {"language": "en", "axes": {"toy": {"groups": ["cat", "dog"], **axis}}}


def test_every_language_has_at_least_three_hundred_pairs(lang):
    assert len(load_pairs(lang)) >= 300


def test_ids_are_unique_and_name_language_and_axis(lang):
    pairs = load_pairs(lang)
    assert len({pair.id for pair in pairs}) == len(pairs)
    assert all(pair.id.startswith(f"{lang}-{pair.axis}-") for pair in pairs)


def test_the_sentences_of_a_pair_differ_and_no_pair_occurs_twice(lang):
    pairs = load_pairs(lang)
    assert all(pair.stereo != pair.anti for pair in pairs)
    assert len({frozenset((pair.stereo, pair.anti)) for pair in pairs}) == len(pairs)


def test_both_sentences_of_a_pair_are_equally_long(lang):
    assert [
        pair.id for pair in load_pairs(lang) if pair.count_words()[0] != pair.count_words()[1]
    ] == []


def test_the_named_differences_are_the_only_ones(lang):
    for pair in load_pairs(lang):
        swapped = pair.stereo
        for stereo, anti in pair.differing_words:
            border = r"\b" if lang == "en" else ""
            swapped = re.sub(f"{border}{stereo}{border}", anti, swapped, count=1)
        assert swapped == pair.anti


def test_a_part_of_the_templates_is_smaller_and_still_balanced(lang):
    part = load_pairs(lang, templates=2)
    assert {pair.axis for pair in part} == {pair.axis for pair in load_pairs(lang)}
    assert {pair.id for pair in part} < {pair.id for pair in load_pairs(lang)}
    assert len(part) == 32 + 24 + 4 * 20 + 10
    for axis in {pair.axis for pair in part}:
        sides = Counter(pair.stereotyped_group for pair in part if pair.axis == axis).values()
        assert len(set(sides)) == 1 and len(sides) == 2


def test_nothing_of_the_template_language_is_left_in_a_sentence(lang):
    for pair in load_pairs(lang):
        assert not re.search(r"[{}|]", pair.stereo + pair.anti)
        assert pair.stereo.endswith("。" if lang == "zh" else ".")


def test_every_template_favours_both_groups_equally_often(lang):
    counts = Counter(
        (pair.template, pair.stereotyped_group)
        for pair in load_pairs(lang)
        if pair.template != pair.word
    )
    for template in {template for template, _ in counts}:
        sides = [count for (name, _), count in counts.items() if name == template]
        assert len(sides) == 2 and sides[0] == sides[1], template


def test_written_scenes_favour_both_groups_equally_often(lang):
    counts = Counter(
        pair.stereotyped_group for pair in load_pairs(lang) if pair.axis == "gender-scene"
    )
    assert counts["female"] == counts["male"] >= 5


def test_a_scorer_that_only_knows_one_group_is_more_frequent_scores_exactly_one_half(lang):
    pairs = load_pairs(lang)
    likes = {"male", "young", "northern_european", "south", "urban", "rich"}
    assert sum(pair.stereotyped_group in likes for pair in pairs) * 2 == len(pairs)


def test_english_articles_agree_with_the_word_behind_them():
    for pair in load_pairs("en"):
        for sentence in (pair.stereo, pair.anti):
            assert not re.search(r"\ba [aeiou]", sentence, re.IGNORECASE), sentence
            assert not re.search(r"\ban (?!hour)[^aeiou]", sentence, re.IGNORECASE), sentence


def test_english_sentences_begin_with_a_capital():
    assert all(
        sentence[0].isupper() for pair in load_pairs("en") for sentence in (pair.stereo, pair.anti)
    )


def test_chinese_sentences_hold_only_han_characters_and_chinese_punctuation():
    for pair in load_pairs("zh"):
        assert re.fullmatch(r"[一-鿿，。]+", pair.stereo + pair.anti)


def test_a_pair_is_built_as_its_template_says():
    pairs = build_pairs(
        tiny(templates=["{A cat|The dog} is {a word}."], words={"cat": ["owl"], "dog": ["bone"]})
    )
    assert [(p.stereo, p.anti, p.stereotyped_group, p.differing_words) for p in pairs] == [
        ("A cat is an owl.", "The dog is an owl.", "cat", (("A cat", "The dog"),)),
        ("The dog is a bone.", "A cat is a bone.", "dog", (("The dog", "A cat"),)),
    ]
    assert [p.id for p in pairs] == ["en-toy-t01-owl", "en-toy-t01-bone"]


@pytest.mark.parametrize(
    ("axis", "complaint"),
    [
        ({"templates": ["No choice {word}."], "words": {"cat": ["x"], "dog": ["y"]}}, "choice"),
        ({"sentences": {"bird": ["The {cat|dog} sings."]}}, "favoured group"),
        (
            {"templates": ["{A|B} {word}."], "words": {"cat": ["x", "x"], "dog": ["y"]}},
            "two probes have the id",
        ),
    ],
)
def test_a_broken_probe_file_is_refused(axis, complaint):
    with pytest.raises(ValueError, match=complaint):
        build_pairs(tiny(**axis))


def test_fill_chooses_the_article_by_sound():
    assert fill_template("{a word} and {word}", "engineer") == "an engineer and engineer"
    assert fill_template("{a word}", "nurse") == "a nurse"


def test_length_is_counted_in_words_or_in_characters():
    assert count_words("The nurse left.", "en") == 3
    assert count_words("她走了。", "zh") == 4


def test_the_card_and_the_readme_state_the_true_size(lang):
    found = describe(lang)
    readme = (
        resources.files("bias_audit").joinpath("probes", "README.md").read_text(encoding="utf-8")
    )
    name = {"en": "English", "zh": "Chinese"}[lang]
    assert found.pairs == len(load_pairs(lang))
    assert found.licence == "CC0-1.0"
    assert len(found.sha256) == 64
    assert f"{found.pairs} pairs in {name}" in readme or f"{found.pairs} in {name}" in readme
    assert read_source(lang).startswith("#")


class Toy:
    """A benchmark of one pair, as its module would be."""

    LANGUAGES = ("en",)

    def load_pairs(self, lang, *, templates=None):
        return [
            Probe(
                id=f"toy-{lang}-1",
                lang=lang,
                axis="toy",
                template="t1",
                word="w1",
                stereotyped_group="cat",
                other_group="dog",
                stereo="The cat sleeps.",
                anti="The dog sleeps.",
                differing_words=(("cat", "dog"),),
                benchmark="toy",
            )
        ]

    def describe(self, lang):
        return BenchmarkCard(
            benchmark="toy",
            lang=lang,
            version="1",
            licence="CC0-1.0",
            source="written here",
            pairs=1,
            sha256="0" * 64,
        )


def test_a_registered_benchmark_is_scored_in_the_languages_that_it_has(monkeypatch):
    monkeypatch.setattr(registry, "BENCHMARKS", {**registry.BENCHMARKS, "toy": Toy()})
    config = ProbesConfig(benchmarks=("built_in", "toy"))
    sets = registry.load_pair_sets(config.benchmarks, config.languages)
    assert [(one.benchmark, one.lang, len(one.pairs)) for one in sets] == [
        ("built_in", "en", 450),
        ("built_in", "zh", 450),
        ("toy", "en", 1),
    ]
    cards = registry.describe_pair_sets(sets)
    assert [(card.benchmark, card.pairs) for card in cards] == [
        ("built_in", 450),
        ("built_in", 450),
        ("toy", 1),
    ]


def test_two_benchmarks_with_one_id_are_refused(monkeypatch):
    monkeypatch.setattr(registry, "BENCHMARKS", {"toy": Toy(), "other": Toy()})
    with pytest.raises(ValueError, match="two probes have the id toy-en-1"):
        registry.load_pair_sets(["toy", "other"], ["en"])


def test_an_unknown_benchmark_is_refused_with_the_names_of_all():
    with pytest.raises(ValueError, match="no benchmark is called 'crows': choose of built_in"):
        ProbesConfig(benchmarks=("crows",))
