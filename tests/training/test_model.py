"""The networks: causal where they must be, initialised from their seed alone."""

import pytest
import torch

from gristmill.errors import ConfigError
from training.config import ModelConfig, PretrainConfig
from training.models.bert import Bert
from training.models.decoder import Decoder, rotary_table, rotate

SHAPE = ModelConfig(layers=2, width=32, heads=2, feed_forward=48)


def decoder(seed: int = 1) -> Decoder:
    return Decoder(SHAPE, vocabulary=64, length=16, seed=seed).eval()


def test_a_decoder_never_looks_ahead():
    ids = torch.randint(7, 64, (2, 16), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 9:] = 7
    with torch.no_grad():
        before, after = decoder()(ids), decoder()(changed)
    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_a_bert_looks_both_ways_but_not_at_padding():
    model = Bert(SHAPE, vocabulary=64, length=16, seed=1).eval()
    ids = torch.randint(7, 64, (1, 16), generator=torch.Generator().manual_seed(0))
    segments, attention = torch.zeros_like(ids), torch.ones_like(ids).bool()
    attention[:, 12:] = False
    changed = ids.clone()
    changed[:, 12:] = 9
    with torch.no_grad():
        same = (
            model(ids, segments, attention)[0][:, :12],
            model(changed, segments, attention)[0][:, :12],
        )
        changed[:, 11] = 9
        other = model(changed, segments, attention)[0]
    torch.testing.assert_close(*same)
    assert not torch.allclose(other[:, 0], same[0][:, 0])


def test_rotation_keeps_lengths_and_depends_on_distance_only():
    cos, sin = rotary_table(16, 8)
    x = torch.randn(1, 1, 1, 8, generator=torch.Generator().manual_seed(0)).expand(1, 1, 16, 8)
    turned = rotate(x, cos, sin)[0, 0]
    torch.testing.assert_close(turned.norm(dim=-1), x[0, 0].norm(dim=-1))
    products = turned @ turned.T
    torch.testing.assert_close(products[2, 5], products[9, 12])


def test_weights_come_from_the_seed_and_from_no_global_state():
    torch.manual_seed(5)
    first = decoder(seed=3).state_dict()
    torch.manual_seed(6)
    second, other = decoder(seed=3).state_dict(), decoder(seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_a_width_that_the_heads_do_not_divide_is_refused_when_the_settings_are_made():
    with pytest.raises(ValueError, match="width must be an even multiple of heads"):
        ModelConfig(width=100, heads=3)


def test_impossible_loops_are_refused_when_the_settings_are_made():
    with pytest.raises(ValueError, match="batch must be a multiple of micro_batch"):
        PretrainConfig.model_validate({"loop": {"batch": 6, "micro_batch": 4}})
    with pytest.raises(ValueError, match=r"optim.warmup_steps \(20\) exceeds loop.steps \(5\)"):
        PretrainConfig.model_validate({"loop": {"steps": 5}})


def test_every_shipped_configuration_loads_and_unknown_keys_name_the_nearest(repository):
    from gristmill.config import load

    shipped = sorted((repository / "configs" / "train").glob("*.toml"))
    assert [path.stem for path in shipped] == [
        "demo-bert",
        "demo-causal",
        "small-bert",
        "small-causal",
        "tiny-bert",
        "tiny-causal",
    ]
    for path in shipped:
        config = load(PretrainConfig, path)
        assert config.task == ("causal" if path.stem.endswith("causal") else "mlm_nsp")
    with pytest.raises(ConfigError, match="did you mean `learning_rate`"):
        load(PretrainConfig, shipped[0], ["optim.learningrate=1"])
