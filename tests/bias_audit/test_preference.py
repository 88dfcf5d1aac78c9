"""Preferences are read from pair scores with their interval, and golden scores give the published aggregates."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from pydantic import TypeAdapter

from bias_audit.benchmarks.built_in import load_pairs
from bias_audit.preference import score_probes, tabulate
from bias_audit.scorers.scores import NumberedScore, PairScore, Score
from bias_audit.stats import preference_rate
from bias_audit.word_order import shuffle_words, word_order_check


def as_json(row) -> dict:
    """A row as it is written to audit.json."""
    return TypeAdapter(type(row)).dump_python(row, mode="json", by_alias=True)


def table(probes, scores, *, seed: int, resamples: int) -> list[dict]:
    rows = tabulate(probes, scores, seed=seed, resamples=resamples, passes_sanity_check=True)
    return [as_json(row) for row in rows]


def check(scorer, probes, **settings) -> dict:
    return as_json(word_order_check(scorer, probes, **settings))


def pair(stereo: float, anti: float, *, tokens: tuple[int, int] = (5, 5)) -> PairScore:
    return PairScore(Score(stereo, tokens[0]), Score(anti, tokens[1]), *tokens)


class Rehearsed:
    """A scorer that answers from a function instead of a model."""

    name = "rehearsed"

    def __init__(self, score) -> None:
        self.score = score

    def score_pairs(self, pairs):
        for i, (stereo, anti) in reversed(list(enumerate(pairs))):
            yield [NumberedScore(i, pair(self.score(stereo), self.score(anti)))]

    def score_sentences(self, texts):
        return [Score(self.score(text), 4) for text in texts]


def rows(probes, scores, seed: int = 7):
    return {row["axis"]: row for row in table(probes, scores, seed=seed, resamples=300)}


def test_a_model_that_always_prefers_the_stereotype_scores_one():
    probes = load_pairs("en")
    found = rows(probes, [pair(-1, -2)] * len(probes))
    assert found["(all)"]["all_pairs"]["value"] == 1.0
    assert found["(all)"]["all_pairs"]["n"] == 450
    assert found["(all)"]["all_pairs"]["low"] < 1.0
    assert found["gender-trait"]["all_pairs"]["n"] == 72
    assert found["gender-trait"]["p_holm"] < 1e-6


def test_a_model_that_only_prefers_one_group_scores_one_half_and_the_directions_show_it():
    probes = load_pairs("en")
    found = rows(
        probes,
        [
            pair(-1, -2) if probe.stereotyped_group in ("male", "old", "rich") else pair(-2, -1)
            for probe in probes
        ],
    )
    gender = found["gender-occupation"]
    assert gender["all_pairs"]["value"] == 0.5
    assert gender["all_pairs"]["by_favoured_group"] == {
        "female": {"value": 0.0, "low": 0.0, "high": 0.056624, "n": 64},
        "male": {"value": 1.0, "low": 0.943376, "high": 1.0, "n": 64},
    }
    assert gender["all_pairs"]["constant_choice"] == {
        "value": 1.0,
        "low": 0.970863,
        "high": 1.0,
        "n": 128,
    }
    assert gender["all_pairs"]["picked"]["group"] == "male"
    assert gender["all_pairs"]["picked"]["words"] == ["he", "brother", "himself"]
    assert gender["all_pairs"]["picked"]["more_words"] == 3
    assert gender["all_pairs"]["low"] > 0.4 and gender["all_pairs"]["high"] < 0.6
    assert gender["p_holm"] == 1.0


def test_coin_flips_are_not_called_biased():
    probes = load_pairs("zh")
    source = random.Random(3)
    found = rows(probes, [pair(source.random(), source.random()) for _ in probes])
    assert all(row["p_holm"] > 0.05 for axis, row in found.items() if axis != "(all)")
    assert found["(all)"]["all_pairs"]["low"] < 0.5 < found["(all)"]["all_pairs"]["high"]


def test_pairs_of_equal_token_count_are_reported_by_themselves():
    probes = load_pairs("en")[:48]
    scores = [pair(-1, -2) if i % 3 else pair(-3, -2, tokens=(6, 5)) for i in range(48)]
    (row, _) = table(probes, scores, seed=1, resamples=200)
    assert (row["equal_length"]["value"], row["equal_length"]["n"]) == (1.0, 32)
    assert row["all_pairs"]["value"] == pytest.approx(32 / 48, abs=1e-6)
    assert row["per_token"]["value"] == pytest.approx(32 / 48, abs=1e-6)
    assert row["verdicts_differ_per_token"]["value"] == 0.0


def test_a_subset_with_more_pairs_in_one_direction_still_gives_both_equal_parts():
    probes = [probe for probe in load_pairs("en") if probe.axis == "gender-trait"]
    subset = [probe for probe in probes if probe.stereotyped_group == "female"][:30] + [
        probe for probe in probes if probe.stereotyped_group == "male"
    ][:6]
    (row, _) = table(
        subset,
        [pair(-1, -2) if p.stereotyped_group == "male" else pair(-2, -1) for p in subset],
        seed=1,
        resamples=200,
    )
    assert row["all_pairs"]["value"] == 0.5
    assert row["all_pairs"]["n"] == 36


def test_where_equal_token_counts_leave_one_direction_only_that_part_is_not_measurable():
    """A model that always picks 'he' would score 1.0 on them."""
    probes = [probe for probe in load_pairs("en") if probe.axis == "gender-trait"]
    scores = [
        pair(-1, -2) if p.stereotyped_group == "male" else pair(-2, -1, tokens=(5, 6))
        for p in probes
    ]
    whole, axis = table(probes, scores, seed=1, resamples=100)
    assert axis["equal_length"] is None and whole["equal_length"] is None
    assert (
        axis["all_pairs"]["value"] == 0.5 and axis["all_pairs"]["constant_choice"]["value"] == 1.0
    )


def test_over_all_axes_only_those_that_keep_both_directions_count_as_equal():
    probes = [probe for probe in load_pairs("en") if probe.axis in ("gender-trait", "age")]
    scores = [
        pair(-1, -2, tokens=(5, 6) if p.stereotyped_group == "female" else (5, 5)) for p in probes
    ]
    whole, trait, age = table(probes, scores, seed=1, resamples=100)
    assert trait["equal_length"] is None
    assert whole["equal_length"]["n"] == age["equal_length"]["n"] == 60
    assert set(whole["equal_length"]["by_favoured_group"]) == {"old", "young"}


def test_where_no_pair_has_equal_tokens_that_share_is_not_measurable():
    probes = load_pairs("en")[:4]
    (row, _) = table(probes, [pair(-1, -2, tokens=(4, 5))] * 4, seed=1, resamples=50)
    assert row["equal_length"] is None


def test_a_sum_and_a_mean_that_disagree_are_counted():
    probes = load_pairs("en")[:4]
    scores = [pair(-5, -6, tokens=(4, 6)), pair(-5, -6), pair(-5, -6), pair(-5, -6)]
    (row, _) = table(probes, scores, seed=1, resamples=50)
    assert row["verdicts_differ_per_token"]["value"] == 0.25


def test_pairs_within_half_a_nat_are_counted_and_the_effect_that_could_be_seen_is_given():
    probes = load_pairs("en")[:64]
    row = table(probes, [pair(-1.0, -1.2)] * 32 + [pair(-3, -1)] * 32, seed=1, resamples=200)[0]
    assert row["within_half_a_nat"]["value"] == 0.5
    assert row["mean_difference_nats"]["value"] == pytest.approx(-0.9)
    assert row["all_pairs"]["detectable_effect"] > 0.17
    assert row["all_pairs"]["effective_n"] <= 64


def test_scores_come_back_in_the_order_of_the_probes_and_progress_adds_up():
    probes, done = load_pairs("en")[:9], []
    scores = score_probes(Rehearsed(len), probes, done.append)
    assert [score.stereo.total for score in scores] == [len(probe.stereo) for probe in probes]
    assert sum(done) == 18


def test_a_model_that_knows_word_order_is_able_and_one_that_does_not_is_not():
    probes = load_pairs("en")
    known = {probe.stereo for probe in probes}
    done = []
    able = check(
        Rehearsed(lambda text: -4.0 if text in known else -8.0),
        probes,
        sentences=40,
        seed=1,
        advance=done.append,
    )
    blind = check(
        Rehearsed(lambda text: -float(len(text))), probes, sentences=40, seed=1, advance=done.append
    )
    assert done == [32, 32, 16] * 2
    assert (
        able["able"] is True
        and able["word_order"]["value"] == 1.0
        and able["word_order"]["n"] == 40
    )
    assert able["perplexity"]["value"] == pytest.approx(np.e, abs=1e-5)
    assert able["tokens_per_word"] < 1
    assert blind["able"] is False and blind["word_order"]["value"] == 0.0


@pytest.mark.parametrize(
    ("sentence", "lang"), [("The nurse left early.", "en"), ("她是护士。", "zh")]
)
def test_a_shuffled_sentence_has_the_same_words_in_another_order(sentence, lang):
    mixed = shuffle_words(sentence, lang, random.Random(4))
    assert mixed != sentence and sorted(mixed) == sorted(sentence)
    assert mixed[-1] == sentence[-1]
    assert len(mixed.split()) == len(sentence.split())


def test_a_sentence_of_one_repeated_word_cannot_be_shuffled_and_does_not_hang():
    assert shuffle_words("no no no.", "en", random.Random(1)) == "no no no."


def golden(path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    items = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    scores = [
        np.array([item[key] for item in items]) for key in ("sent_more_score", "sent_less_score")
    ]
    return *scores, [item["bias_type"] for item in items]


@pytest.mark.parametrize(
    ("model", "percent", "low", "high"),
    [
        ("bert", 61.45, 58.92, 63.91),
        ("roberta", 65.14, 62.68, 67.53),
        ("camembert", 58.30, 55.78, 60.83),
        ("flaubert", 55.02, 52.43, 57.55),
        ("bertje", 54.82, None, None),
        ("robbert", 54.82, None, None),
        ("mbert", 52.43, 49.90, 55.02),
    ],
)
def test_golden_masked_scores_give_the_measured_aggregate(shared_data, model, percent, low, high):
    place = shared_data / "bias" / "crows_pairs_multilingual" / f"ref_scores_{model}.jsonl"
    more, less, _ = golden(place)
    found = preference_rate(more, less, seed=0, resamples=1_000)
    # The aggregates were counted as CrowS-Pairs does, where a tie is no preference; here it is half of one.
    halves = found.ties / 2 / found.rate.n
    assert found.rate.n == 1_463
    assert round(100 * (found.rate.value - halves), 2) == percent
    if low is not None:
        assert 100 * (found.rate.low - halves) == pytest.approx(low, abs=0.35)
        assert 100 * (found.rate.high - halves) == pytest.approx(high, abs=0.35)


def test_golden_causal_scores_give_the_measured_aggregate_and_its_axes(shared_data):
    place = shared_data / "bias" / "crows_pairs" / "ref_scores_smollm2_135m_q4.jsonl"
    items = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]
    percent, n = share(items)
    assert (n, percent) == (1_508, 55.57)
    equal = [item for item in items if item["more_tokens"] == item["less_tokens"]]
    assert share(equal) == (57.83, 984)
    for kind, expected in (
        ("gender", 56.9),
        ("age", 64.4),
        ("nationality", 50.3),
        ("sexual-orientation", 77.4),
    ):
        assert round(share([item for item in items if item["bias_type"] == kind])[0], 1) == expected


def share(items: list[dict]) -> tuple[float, int]:
    more, less = (np.array([item[key] for item in items]) for key in ("more_sum", "less_sum"))
    found = preference_rate(more, less, seed=0, resamples=200).rate
    return round(100 * found.value, 2), found.n
