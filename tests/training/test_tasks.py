"""What is shown, what is asked, and in which proportions; all of it a function of seed, epoch and sample number."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from training.config import PretrainConfig
from training.data import FIRST_TEXT_ID, Special
from training.sampler import Draw
from training.tasks.base import IGNORE
from training.tasks.build import build_model, build_task, load_task
from training.tasks.causal import CausalTask
from training.tasks.masking import mask_tokens
from training.tasks.mlm_nsp import FOLLOWS, FROM_ELSEWHERE, MaskedNextSentenceTask
from training.tasks.registry import TASKS


def draw_of(*samples: int, epoch: int = 0) -> Draw:
    return Draw(np.array(samples), np.full(len(samples), epoch))


def all_samples(objective, *, epochs=1):
    return [
        objective.make_sample(number, epoch)
        for epoch in range(epochs)
        for number in range(len(objective))
    ]


@pytest.fixture(scope="module")
def masked(corpus, make_config):
    return MaskedNextSentenceTask(
        corpus.train, make_config("mlm_nsp", data={"sequence_length": 64}), vocabulary=512
    )


def test_causal_labels_are_the_inputs_shifted_by_one_and_begin_marks_are_no_targets(
    make_split, make_config
):
    split = make_split([[[10, 11]], [[20, 21, 22, 23]]])  # <s> 10 11 </s> <s> 20 21 22 23 </s>
    batch = CausalTask(split, make_config(data={"sequence_length": 8}), vocabulary=512).make_batch(
        draw_of(0)
    )
    assert batch.inputs[0].tolist() == [[2, 10, 11, 3, 2, 20, 21, 22]]
    assert batch.labels.tolist() == [[10, 11, 3, IGNORE, 20, 21, 22, 23]]
    assert batch.counts == {"causal": 7}
    assert batch.tokens == 8
    assert batch.text_bytes == 12


def test_masking_hides_the_configured_share_in_the_classic_proportions():
    ids = np.full(200_000, 99, dtype=np.int64)
    shown, labels = mask_tokens(ids, np.random.default_rng(3), rate=0.15, vocabulary=512)
    targets = labels != IGNORE
    assert targets.sum() == 30_000
    assert (shown[~targets] == 99).all()
    assert (labels[targets] == 99).all()
    assert np.mean(shown[targets] == Special.MASK) == pytest.approx(0.8, abs=0.01)
    assert np.mean(shown[targets] == 99) == pytest.approx(0.1, abs=0.01)
    others = shown[targets & (shown != Special.MASK) & (shown != 99)]
    assert len(others) / 30_000 == pytest.approx(0.1, abs=0.01)
    assert others.min() >= FIRST_TEXT_ID
    assert others.max() < 512


def test_special_tokens_are_never_masked_and_one_text_token_always_is():
    ids = np.array([Special.CLS, 50, 51, Special.SEP])
    for seed in range(50):
        _, labels = mask_tokens(ids, np.random.default_rng(seed), rate=0.15, vocabulary=512)
        assert labels[0] == labels[3] == IGNORE
        assert (labels != IGNORE).sum() == 1


def test_every_sample_is_framed_by_its_special_tokens_and_segments(masked):
    for sample in all_samples(masked):
        original = np.where(sample.labels != IGNORE, sample.labels, sample.ids)
        assert original[0] == Special.CLS
        ends = np.flatnonzero(original == Special.SEP)
        assert ends[-1] == len(original) - 1 < 64
        assert len(ends) == (1 if sample.pair_label == IGNORE else 2)
        first = ends[0] + 1
        assert sample.segments.tolist() == [0] * first + [1] * (len(original) - first)


def test_half_of_the_pairs_follow_and_half_are_from_elsewhere(masked):
    labels = np.array([sample.pair_label for sample in all_samples(masked, epochs=8)])
    judged = labels[labels != IGNORE]
    assert len(judged) > 1500
    assert np.mean(judged == FROM_ELSEWHERE) == pytest.approx(0.5, abs=0.05)
    assert np.mean(judged == FOLLOWS) == pytest.approx(0.5, abs=0.05)


def test_length_does_not_tell_whether_a_pair_belongs_together(masked):
    lengths = {FOLLOWS: [], FROM_ELSEWHERE: []}
    for sample in all_samples(masked, epochs=8):
        if sample.pair_label != IGNORE:
            lengths[sample.pair_label].append(int(sample.segments.sum()))
    means = {label: np.mean(found) for label, found in lengths.items()}
    assert means[FROM_ELSEWHERE] == pytest.approx(means[FOLLOWS], rel=0.2)


def test_masks_depend_on_seed_epoch_and_sample_and_on_nothing_else(corpus, make_config, masked):
    again = MaskedNextSentenceTask(
        corpus.train, make_config("mlm_nsp", data={"sequence_length": 64}), vocabulary=512
    )
    other = make_config("mlm_nsp", data={"sequence_length": 64}).model_copy(update={"seed": 2})
    reseeded = MaskedNextSentenceTask(corpus.train, other, vocabulary=512)
    masked.make_sample(5, 0)
    assert masked.make_sample(3, 1).ids.tolist() == again.make_sample(3, 1).ids.tolist()
    assert masked.make_sample(3, 1).ids.tolist() != masked.make_sample(3, 2).ids.tolist()
    assert masked.make_sample(3, 1).ids.tolist() != reseeded.make_sample(3, 1).ids.tolist()


def test_a_masked_batch_is_padded_to_its_longest_sample_and_counts_its_targets(masked):
    samples = [masked.make_sample(number, 0) for number in range(6)]
    batch = masked.make_batch(draw_of(*range(6)))
    ids, segments, attention = batch.inputs
    longest = max(len(sample.ids) for sample in samples)
    assert ids.shape == segments.shape == attention.shape == (6, longest)
    for row, sample in enumerate(samples):
        assert ids[row, : len(sample.ids)].tolist() == sample.ids.tolist()
        assert attention[row].sum() == len(sample.ids)
        assert (ids[row, len(sample.ids) :] == Special.PAD).all()
    assert batch.tokens == sum(len(sample.ids) for sample in samples)
    assert batch.counts["mlm"] == sum((sample.labels != IGNORE).sum() for sample in samples)
    assert batch.counts["nsp"] == sum(sample.pair_label != IGNORE for sample in samples)


def test_the_loss_at_labelled_positions_equals_the_loss_of_the_full_head(corpus, make_config):
    config = make_config("mlm_nsp")
    objective, model = (
        build_task(corpus.train, config, vocabulary=512),
        build_model(config, vocabulary=512),
    )
    batch = objective.make_batch(draw_of(0, 1, 2, 3))
    sums = objective.loss_sums(model, batch)
    token_logits, pair_logits = model(*batch.inputs)
    full = torch.nn.functional.cross_entropy(
        token_logits.flatten(0, 1), batch.labels.flatten(), reduction="sum"
    )
    pairs = torch.nn.functional.cross_entropy(pair_logits, batch.pair_labels, reduction="sum")
    torch.testing.assert_close(sums["mlm"], full)
    torch.testing.assert_close(sums["nsp"], pairs)


def test_padding_does_not_change_what_the_model_computes(corpus, make_config):
    config = make_config("mlm_nsp", data={"sequence_length": 64})
    objective, model = (
        build_task(corpus.train, config, vocabulary=512),
        build_model(config, vocabulary=512),
    )
    batch = objective.make_batch(draw_of(0, 1))
    ids, segments, attention = batch.inputs
    wide = tuple(
        torch.nn.functional.pad(part, (0, 64 - ids.shape[1])) for part in (ids, segments, attention)
    )
    padded = dataclasses.replace(
        batch,
        inputs=wide,
        labels=torch.nn.functional.pad(batch.labels, (0, 64 - ids.shape[1]), value=IGNORE),
    )
    for name, value in objective.loss_sums(model, batch).items():
        torch.testing.assert_close(objective.loss_sums(model, padded)[name], value)


def test_an_untrained_model_is_as_surprised_as_a_uniform_guess(corpus, make_config):
    for kind, part in (("causal", "causal"), ("mlm_nsp", "mlm")):
        config = make_config(kind)
        objective, model = (
            build_task(corpus.train, config, vocabulary=512),
            build_model(config, vocabulary=512),
        )
        batch = objective.make_batch(draw_of(*range(8)))
        mean = objective.loss_sums(model, batch)[part].item() / batch.counts[part]
        assert mean == pytest.approx(np.log(512), abs=0.15)


def test_every_registered_task_can_be_configured_trained_and_exported(corpus, make_config):
    for name in TASKS:
        config = make_config(name)
        task = build_task(corpus.train, config, vocabulary=512)
        model = build_model(config, vocabulary=512)
        batch = task.make_batch(draw_of(0, 1))
        sums = task.loss_sums(model, batch)
        assert list(sums) == list(batch.counts)
        form = load_task(name).exporter().to_hugging_face(model)
        assert sum(tensor.numel() for tensor in form.tensors.values()) == sum(
            weight.numel() for weight in model.parameters()
        )


def test_an_unknown_task_is_refused_with_the_names_of_all():
    names = " or ".join(f"'{name}'" for name in TASKS)
    with pytest.raises(ValueError, match=f"Input should be {names}"):
        PretrainConfig.model_validate({"task": "translation"})


def test_the_key_of_earlier_versions_is_taken_with_a_warning(capsys):
    assert PretrainConfig.model_validate({"objective": "mlm_nsp"}).task == "mlm_nsp"
    assert "the key `objective` is now called `task`" in capsys.readouterr().err


def test_configurations_are_read_without_torch():
    program = "import sys, training.config, training.contract; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
