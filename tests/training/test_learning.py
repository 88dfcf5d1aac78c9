"""The shipped settings learn from real text: 25 steps take 0.8 nats off the validation loss of both objectives."""

import pytest

from gristmill.config import load
from training.config import PretrainConfig
from training.corpus import open_corpus
from training.metrics import read_metrics
from training.trainer import Trainer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "loss"), [("causal", "validation_loss"), ("bert", "validation_mlm_loss")]
)
def test_25_steps_on_wikipedia_take_eight_tenths_of_a_nat_off(
    wikipedia_pack, repository, tmp_path, name, loss
):
    config = load(PretrainConfig, repository / "configs" / "train" / f"tiny-{name}.toml")
    Trainer(tmp_path, open_corpus(wikipedia_pack), config).run()
    first, last = (row[loss] for row in read_metrics(tmp_path / "metrics.jsonl") if loss in row)
    assert first - last >= 0.8
