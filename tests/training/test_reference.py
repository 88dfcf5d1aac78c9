"""Training against plain references: losses in loops, AdamW in numpy, schedules by their definition, transformers' own loss."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training import trainer as trainer_module
from training.config import ModelConfig, OptimConfig
from training.data import FIRST_TEXT_ID, Special
from training.export import check_export, quiet_transformers, write_export
from training.metrics import read_metrics
from training.models.bert import Bert
from training.models.bert_form import BertExporter
from training.models.decoder import Decoder
from training.models.llama_form import LlamaExporter
from training.optim import build_optimizer, learning_rate
from training.sampler import Draw, Sampler
from training.tasks.base import IGNORE
from training.tasks.build import build_model, build_task, load_task
from training.tasks.masking import mask_tokens
from training.train_step import accumulate, train_step
from training.trainer import Trainer

BOTH = pytest.mark.parametrize("objective", ["causal", "mlm_nsp"])


def draw_of(*samples: int) -> Draw:
    return Draw(np.array(samples), np.zeros(len(samples), dtype=np.int64))


def surprise(logits: torch.Tensor, label: int) -> float:
    """Minus the log-probability of one class, by the definition."""
    values = logits.double().tolist()
    return math.log(sum(math.exp(value) for value in values)) - values[label]


@torch.no_grad()
def test_the_causal_loss_is_the_mean_surprise_of_each_next_token_but_begin_marks(
    corpus, make_config
):
    config = make_config()
    task, model = (
        build_task(corpus.train, config, vocabulary=512),
        build_model(config, vocabulary=512),
    )
    batch = task.make_batch(draw_of(0, 5, 11))
    (ids,) = batch.inputs
    logits, found = model(ids), []
    for row in range(3):
        following = [*ids[row, 1:].tolist(), None]
        for place, token in enumerate(following):
            wanted = int(batch.labels[row, place])
            if token is not None:
                assert wanted == (IGNORE if token == Special.BOS else token)
            if wanted != IGNORE:
                found.append(surprise(logits[row, place], wanted))
    assert batch.counts == {"causal": len(found)}
    assert task.loss_sums(model, batch)["causal"].item() == pytest.approx(sum(found), rel=1e-5)


@torch.no_grad()
def test_the_bert_losses_are_the_surprise_at_masked_tokens_and_at_pairs(corpus, make_config):
    config = make_config("mlm_nsp")
    task, model = (
        build_task(corpus.train, config, vocabulary=512),
        build_model(config, vocabulary=512),
    )
    batch = task.make_batch(draw_of(*range(6)))
    tokens, pairs = model(*batch.inputs)
    masked = [
        surprise(tokens[i, j], int(batch.labels[i, j]))
        for i, j in (batch.labels != IGNORE).nonzero().tolist()
    ]
    judged = [
        surprise(pairs[i], int(label))
        for i, label in enumerate(batch.pair_labels)
        if label != IGNORE
    ]
    sums = task.loss_sums(model, batch)
    assert sums["mlm"].item() == pytest.approx(sum(masked), rel=1e-5)
    assert sums["nsp"].item() == pytest.approx(sum(judged), rel=1e-5)
    assert batch.counts == {"mlm": len(masked), "nsp": len(judged)}


@BOTH
def test_transformers_own_loss_on_an_export_is_the_loss_we_train_on(
    corpus, make_config, tmp_path, objective
):
    import transformers as hf

    config = make_config(objective)
    task, model = (
        build_task(corpus.train, config, vocabulary=512),
        build_model(config, vocabulary=512),
    )
    batch = task.make_batch(draw_of(*range(8)))
    ours = sum(accumulate(model, task, [batch]).values())
    write_export(tmp_path, model, corpus.tokenizer, load_task(objective).exporter())
    with quiet_transformers(), torch.no_grad():
        if objective == "causal":
            reader = hf.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
            logits = reader(batch.inputs[0]).logits
            theirs = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), batch.labels.flatten()
            ).item()
        else:
            ids, segments, attention = batch.inputs
            named = {
                "input_ids": ids,
                "token_type_ids": segments,
                "attention_mask": attention.long(),
            }
            labels = {"labels": batch.labels, "next_sentence_label": batch.pair_labels}
            theirs = (
                hf.BertForPreTraining.from_pretrained(tmp_path)
                .eval()(**named, **labels)
                .loss.item()
            )
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("kind", [Decoder, Bert])
@pytest.mark.parametrize(
    ("layers", "width", "heads", "feed_forward", "length"),
    [(1, 8, 1, 9, 8), (2, 24, 3, 40, 17), (3, 16, 2, 8, 33)],
)
def test_every_shape_exports_to_equal_logits(
    corpus, tmp_path, kind, layers, width, heads, feed_forward, length
):
    shape = ModelConfig(layers=layers, width=width, heads=heads, feed_forward=feed_forward)
    model = kind(shape, vocabulary=512, length=length, seed=3).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    exporter = LlamaExporter() if kind is Decoder else BertExporter()
    write_export(tmp_path, model, corpus.tokenizer, exporter)
    proof = check_export(tmp_path, model, corpus.tokenizer, [], exporter)
    assert proof.max_logit_difference <= 2e-5


def adamw(weight, moments, gradient, *, step: int, config: OptimConfig, rate: float, decay: float):
    """One step of AdamW as its paper writes it."""
    first = config.beta1 * moments[0] + (1 - config.beta1) * gradient
    second = config.beta2 * moments[1] + (1 - config.beta2) * gradient**2
    unbiased = first / (1 - config.beta1**step), second / (1 - config.beta2**step)
    return weight * (1 - rate * decay) - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8), (
        first,
        second,
    )


@BOTH
def test_three_steps_are_three_steps_of_the_papers_adamw_on_clipped_gradients(
    corpus, make_config, objective
):
    config = make_config(
        objective, optim={"learning_rate": 0.02, "weight_decay": 0.3, "max_grad_norm": 0.05}
    )
    task, model = (
        build_task(corpus.train, config, vocabulary=512),
        build_model(config, vocabulary=512),
    )
    twin = build_model(config, vocabulary=512)
    optimizer, moments = build_optimizer(model, config.optim), {}
    for step in (1, 2, 3):
        batches = [task.make_batch(draw_of(step, step + 7))]
        accumulate(twin, task, batches)
        norm = math.sqrt(
            sum(float((weight.grad.double() ** 2).sum()) for weight in twin.parameters())
        )
        with torch.no_grad():
            for name, weight in twin.named_parameters():
                gradient = weight.grad.double().numpy() * min(1.0, 0.05 / (norm + 1e-6))
                decay = 0.3 if weight.dim() == 2 else 0.0
                new, moments[name] = adamw(
                    weight.double().numpy(),
                    moments.get(name, (0.0, 0.0)),
                    gradient,
                    step=step,
                    config=config.optim,
                    rate=0.02,
                    decay=decay,
                )
                weight.copy_(torch.from_numpy(new))
        twin.zero_grad(set_to_none=True)
        result = train_step(model, task, batches, optimizer, max_grad_norm=0.05)
        assert result.grad_norm == pytest.approx(norm, rel=1e-4)
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(
            ours, theirs, atol=2e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


@given(
    steps=st.integers(1, 300),
    warmup=st.integers(0, 300),
    decay=st.floats(0, 1),
    schedule=st.sampled_from(["wsd", "cosine"]),
)
def test_a_rate_climbs_to_its_peak_in_the_warmup_and_never_climbs_again(
    steps, warmup, decay, schedule
):
    warmup = min(warmup, steps)
    config = OptimConfig(
        learning_rate=0.5, warmup_steps=warmup, decay_fraction=decay, schedule=schedule
    )
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    assert all(0 < rate <= 0.5 for rate in rates)
    assert rates[:warmup] == pytest.approx([0.5 * (step + 1) / warmup for step in range(warmup)])
    assert all(
        later <= earlier
        for earlier, later in zip(rates[warmup:], rates[warmup + 1 :], strict=False)
    )


@settings(max_examples=80)
@given(length=st.integers(1, 60), rate=st.floats(0.05, 0.9), seed=st.integers(0, 2**32 - 1))
def test_masking_touches_its_targets_only_and_labels_them_with_what_was_there(length, rate, seed):
    rng = np.random.default_rng(seed)
    ids = np.concatenate([[Special.CLS], rng.integers(FIRST_TEXT_ID, 512, length), [Special.SEP]])
    shown, labels = mask_tokens(ids, rng, rate=rate, vocabulary=512)
    targets = labels != IGNORE
    assert targets.sum() == max(1, round(length * rate))
    assert (labels[targets] == ids[targets]).all()
    assert (shown[~targets] == ids[~targets]).all()
    assert ((shown[targets] == Special.MASK) | (shown[targets] >= FIRST_TEXT_ID)).all()
    assert shown[0] == Special.CLS
    assert shown[-1] == Special.SEP


@BOTH
def test_a_stopped_and_resumed_training_sees_the_samples_of_an_uninterrupted_one(
    corpus, make_config, tmp_path, monkeypatch, objective
):
    config = make_config(objective)
    seen: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []

    class Watched(Sampler):
        def draw(self, step: int, *, rank: int = 0, world: int = 1) -> Draw:
            found = super().draw(step, rank=rank, world=world)
            seen.append((step, tuple(found.samples.tolist()), tuple(found.epochs.tolist())))
            return found

    monkeypatch.setattr(trainer_module, "Sampler", Watched)
    Trainer(tmp_path / "whole", corpus, config).run()
    whole, seen[:] = list(seen), []
    first = Trainer(tmp_path / "cut", corpus, config)
    step = Trainer._step

    def breaking_off(self):
        if self.counters.step == 4:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(Trainer, "_step", breaking_off)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    monkeypatch.setattr(Trainer, "_step", step)
    Trainer(tmp_path / "cut", corpus, config).run()
    assert [number for number, _, _ in whole] == list(range(8))
    assert seen == whole
    assert read_metrics(tmp_path / "cut" / "metrics.jsonl") == read_metrics(
        tmp_path / "whole" / "metrics.jsonl"
    )
