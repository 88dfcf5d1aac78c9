"""Both scorers equal a sentence-by-sentence reference on tiny random models."""

from __future__ import annotations

import json
import shutil

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from bias_audit.benchmarks.built_in import load_pairs  # noqa: E402
from bias_audit.scorers.causal import CausalScorer  # noqa: E402
from bias_audit.scorers.load import find_kind, load_scorer  # noqa: E402
from bias_audit.scorers.masked import MaskedScorer, find_shared_tokens  # noqa: E402
from bias_audit.scorers.scores import Score  # noqa: E402
from gristmill.errors import InputError  # noqa: E402

PAIRS = [
    ("The nurse said that she would be late.", "The nurse said that he would be late."),
    ("My brother wants to become a pilot.", "My sister wants to become a pilot."),
    ("她是一名护士。", "他是一名护士。"),
]


@pytest.fixture(scope="module")
def causal(causal_folder):
    return load_scorer(causal_folder)


@pytest.fixture(scope="module")
def masked(masked_folder):
    return load_scorer(masked_folder)


def all_pairs(scorer, pairs):
    found = {i: score for batch in scorer.score_pairs(pairs) for i, score in batch}
    return [found[i] for i in range(len(pairs))]


def causal_reference(scorer: CausalScorer, text: str) -> float:
    ids = [2, *scorer.tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        chances = scorer.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(chances[i, ids[i + 1]]) for i in range(len(ids) - 1))


def masked_reference(scorer: MaskedScorer, ids: list[int], places: list[int]) -> float:
    total = 0.0
    for place in places:
        whole = [4, *ids, 5]
        whole[place + 1] = 6
        with torch.no_grad():
            logits = scorer.model(input_ids=torch.tensor([whole])).logits
        total += float(logits[0, place + 1].double().log_softmax(-1)[ids[place]])
    return total


def test_the_scorer_is_chosen_by_the_architecture(causal, masked):
    assert isinstance(causal, CausalScorer) and causal.name == "causal_sum"
    assert isinstance(masked, MaskedScorer) and masked.name == "mlm_pll_shared"


def test_causal_scores_equal_a_reference_that_starts_behind_the_first_token(causal):
    texts = [text for pair in PAIRS for text in pair]
    scores = causal.score_sentences(texts)
    assert [score.total for score in scores] == pytest.approx(
        [causal_reference(causal, t) for t in texts], abs=2e-3
    )
    assert [score.tokens for score in scores] == [len(causal.encode(text)) for text in texts]


def test_causal_pairs_are_scored_like_their_sentences(causal):
    for (stereo, anti), score in zip(PAIRS, all_pairs(causal, PAIRS), strict=True):
        assert score.stereo.total == pytest.approx(causal_reference(causal, stereo), abs=2e-3)
        assert score.anti.total == pytest.approx(causal_reference(causal, anti), abs=2e-3)
        assert score.stereo_length == score.stereo.tokens
        assert score.equal_length == (score.stereo.tokens == score.anti.tokens)


def test_padding_beside_longer_sentences_does_not_change_a_score(causal):
    alone = causal.score_sentences([PAIRS[0][0]])[0]
    beside = causal.score_sentences([PAIRS[0][0], " ".join(PAIRS[1]), "A."])[0]
    assert beside.total == pytest.approx(alone.total, abs=2e-3)
    assert beside.tokens == alone.tokens


def test_masked_scores_equal_a_reference_over_the_shared_tokens(masked):
    for (stereo, anti), score in zip(PAIRS, all_pairs(masked, PAIRS), strict=True):
        first, second = masked.encode(stereo), masked.encode(anti)
        places = find_shared_tokens(first, second)
        assert score.stereo.total == pytest.approx(
            masked_reference(masked, first, [a for a, _ in places]), abs=2e-3
        )
        assert score.anti.total == pytest.approx(
            masked_reference(masked, second, [b for _, b in places]), abs=2e-3
        )
        assert score.stereo.tokens == score.anti.tokens == len(places) < len(first)


def test_masked_sentences_are_scored_over_all_their_tokens(masked):
    ids = masked.encode(PAIRS[0][0])
    (score,) = masked.score_sentences([PAIRS[0][0]])
    assert score.total == pytest.approx(
        masked_reference(masked, ids, list(range(len(ids)))), abs=2e-3
    )
    assert score.tokens == len(ids)


def test_no_special_token_is_added_by_the_tokenizer_itself(causal):
    assert not set(causal.encode("The nurse left.")) & {0, 2, 3, 4, 5, 6}


def test_a_literal_mask_in_a_probe_is_text(masked):
    assert masked.tokenizer.mask_token_id not in masked.encode(
        f"the {masked.tokenizer.mask_token} nurse"
    )


def test_many_pairs_come_back_complete_and_in_their_own_places(causal, masked):
    pairs = [(probe.stereo, probe.anti) for probe in load_pairs("en")[:70]]
    last, alone = all_pairs(causal, pairs)[69], all_pairs(causal, pairs[69:])[0]
    assert (last.stereo.total, last.anti.total) == pytest.approx(
        (alone.stereo.total, alone.anti.total), abs=2e-3
    )
    assert len(all_pairs(masked, pairs[:40])) == 40


def test_scoring_twice_gives_equal_numbers(causal, masked):
    for scorer in (causal, masked):
        assert all_pairs(scorer, PAIRS) == all_pairs(scorer, PAIRS)


def test_a_model_that_does_not_show_its_output_layer_gives_the_same_scores(
    causal, masked, monkeypatch
):
    for scorer in (causal, masked):
        expected = all_pairs(scorer, PAIRS)
        monkeypatch.setattr(scorer.model, "get_output_embeddings", lambda: None)
        for one, other in zip(all_pairs(scorer, PAIRS), expected, strict=True):
            assert one.stereo.total == pytest.approx(other.stereo.total, abs=2e-3)
            assert one.anti.total == pytest.approx(other.anti.total, abs=2e-3)


def test_a_reversed_pair_gives_the_reversed_score(causal):
    (forward,), (backward,) = all_pairs(causal, PAIRS[:1]), all_pairs(causal, [PAIRS[0][::-1]])
    assert (forward.stereo, forward.anti) == (backward.anti, backward.stereo)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1, 2, 3], [1, 9, 3], [(0, 0), (2, 2)]),
        ([1, 2, 3, 4], [1, 8, 9, 3, 4], [(0, 0), (2, 3), (3, 4)]),
        ([1], [2], []),
    ],
)
def test_shared_tokens_are_aligned_across_different_lengths(first, second, expected):
    assert find_shared_tokens(first, second) == expected


def test_a_sentence_longer_than_the_model_is_refused(causal):
    with pytest.raises(InputError, match="longer than this model can read"):
        causal.score_sentences(["The nurse said that she would be late. " * 20])


def test_a_text_without_tokens_is_refused(causal):
    with pytest.raises(InputError, match="makes no token"):
        causal.encode("")


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a Hugging Face model folder"):
        load_scorer(tmp_path)


def test_a_folder_without_its_output_layer_is_refused_and_not_scored_with_random_weights(
    masked_folder, tmp_path
):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "headless"
    shutil.copytree(masked_folder, folder)
    weights = load_file(folder / "model.safetensors")
    body = {name: tensor for name, tensor in weights.items() if not name.startswith("cls.")}
    assert len(body) < len(weights)
    save_file(body, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="random ones"):
        load_scorer(folder)


def test_a_masked_model_whose_tokenizer_has_no_mask_is_refused(masked_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(masked_folder, folder)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).exists():
            settings = json.loads((folder / name).read_text())
            settings.pop("mask_token", None)
            (folder / name).write_text(json.dumps(settings))
    with pytest.raises(InputError, match="lacks special tokens"):
        load_scorer(folder)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["LlamaForCausalLM"], "causal"),
        (["GPT2LMHeadModel"], "causal"),
        (["BertForPreTraining"], "masked"),
        (["BertForMaskedLM"], "masked"),
    ],
)
def test_architectures_are_told_apart_by_name(names, kind, tmp_path):
    assert find_kind(names, tmp_path) == kind


@pytest.mark.parametrize("names", [[], ["BertForSequenceClassification"]])
def test_any_other_architecture_is_refused(names, tmp_path):
    with pytest.raises(InputError, match="neither causal nor masked"):
        find_kind(names, tmp_path)


def test_a_score_per_token_divides_by_the_tokens():
    assert Score(-6.0, 3).per_token == -2.0
    assert Score(0.0, 0).per_token == 0.0


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 20), "header"),
        (lambda folder: (folder / "config.json").write_text("{"), "valid JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: [path.unlink() for path in folder.glob("*token*")], "tokenizer"),
    ],
    ids=["cut weights", "cut config", "no weights", "no tokenizer"],
)
def test_a_damaged_model_folder_is_the_users_to_mend(causal_folder, tmp_path, spoil, because):
    folder = tmp_path / "model"
    shutil.copytree(causal_folder, folder)
    spoil(folder)
    with pytest.raises(InputError, match="cannot be opened") as refused:
        load_scorer(folder)
    assert because in str(refused.value) and "export the model again" in str(refused.value)
    assert refused.value.exit_code == 2
