"""What a pretraining run says about itself is read into typed values and written again as it was."""

import json

import pytest
from pydantic import ValidationError

from training.contract import (
    Continuation,
    Continuations,
    FilledMask,
    FilledMasks,
    MaskCandidate,
    PretrainDetails,
    read_samples,
    samples_to_json,
)

DETAILS = {
    "objective": "mlm_nsp",
    "tokenizer": "7e" * 32,
    "first_validation": {"step": 0, "validation_loss": 9.1, "masked_bits_per_byte": 4.0},
    "last_validation": {"step": 8, "validation_loss": 7.5, "masked_bits_per_byte": 3.5},
    "export": {"max_logit_difference": 1e-6, "tokenizer_texts_checked": 209},
}


def test_the_details_of_a_manifest_come_back_as_they_were():
    details = PretrainDetails.from_json(DETAILS)
    assert details.task == "mlm_nsp"
    assert details.export.tokenizer_texts_checked == 209
    assert json.dumps(details.to_json(), sort_keys=True) == json.dumps(DETAILS, sort_keys=True)


def test_details_without_a_validation_are_refused():
    lacking = {key: value for key, value in DETAILS.items() if key != "last_validation"}
    with pytest.raises(ValidationError, match="last_validation"):
        PretrainDetails.from_json(lacking)


@pytest.mark.parametrize(
    "samples",
    [
        Continuations(samples=(Continuation(prompt="Once", text=" upon"),)),
        FilledMasks(
            samples=(
                FilledMask(
                    before="a",
                    answer="b",
                    after="c",
                    candidates=(MaskCandidate(piece="d", probability=0.5),),
                ),
            )
        ),
        Continuations(samples=()),
    ],
)
def test_samples_of_either_kind_come_back_as_they_were(samples):
    written = json.loads(json.dumps(samples_to_json(samples)))
    assert read_samples(written) == samples


def test_samples_keep_their_keys():
    masks = FilledMasks(
        samples=(
            FilledMask(
                before="a",
                answer="b",
                after="c",
                candidates=(MaskCandidate(piece="d", probability=0.5),),
            ),
        )
    )
    assert samples_to_json(masks) == {
        "kind": "fill_mask",
        "samples": [
            {
                "before": "a",
                "answer": "b",
                "after": "c",
                "guesses": [{"piece": "d", "probability": 0.5}],
            }
        ],
    }


def test_samples_of_an_unknown_kind_are_refused():
    with pytest.raises(ValidationError, match="kind"):
        read_samples({"kind": "songs", "samples": []})
