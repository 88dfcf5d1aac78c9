"""Generation is seeded, never speaks special tokens, and shows what the report needs."""

import pytest
import torch

from training.data import FIRST_TEXT_ID, Special
from training.generate import Sampling, continue_ids, fill_masks, report_samples
from training.objectives import build_model


def always(token: int):
    """Logits that want one token whatever comes before."""

    def logits(ids):
        wanted = torch.zeros(1, ids.shape[1], 512)
        wanted[..., token] = 50.0
        return wanted

    return logits


def test_the_same_seed_draws_the_same_text(make_config):
    model = build_model(make_config(), vocabulary=512)
    one, same, other = (
        continue_ids(model, [2, 50], Sampling(seed=seed), length=32) for seed in (1, 1, 2)
    )
    assert one == same != other
    assert len(one) <= 48


def test_special_tokens_are_never_drawn_and_the_end_ends():
    assert continue_ids(always(Special.EOS), [2], Sampling(tokens=5), length=8) == []
    for special in (Special.PAD, Special.BOS, Special.MASK):
        drawn = continue_ids(always(special), [2], Sampling(tokens=5, top_k=512), length=8)
        assert all(token >= FIRST_TEXT_ID for token in drawn)


def test_text_beyond_the_models_length_is_continued_from_its_end():
    seen = []

    def logits(ids):
        seen.append(ids.shape[1])
        return always(9)(ids)

    assert continue_ids(logits, [2, *range(20, 30)], Sampling(tokens=4), length=6) == [9] * 4
    assert seen == [6] * 4


def test_every_mask_gets_its_likeliest_tokens():
    found = fill_masks(always(77), [4, Special.MASK, 30, Special.MASK, 5], count=3)
    assert len(found) == 2
    assert [row[0] for row in found] == [(77, 1.0), (77, 1.0)]
    assert [len(row) for row in found] == [3, 3]


@pytest.mark.parametrize("objective", ["causal", "mlm_nsp"])
def test_samples_come_from_validation_documents_and_repeat(corpus, make_config, objective):
    config = make_config(objective)
    model = build_model(config, vocabulary=512)
    found = report_samples(model, corpus, config)
    assert found == report_samples(model, corpus, config)
    assert found["kind"] == ("continuation" if objective == "causal" else "fill_mask")
    assert len(found["samples"]) == 6
    keys = {
        "continuation": {"prompt", "text"},
        "fill_mask": {"before", "answer", "after", "guesses"},
    }
    assert all(set(sample) == keys[found["kind"]] for sample in found["samples"])
