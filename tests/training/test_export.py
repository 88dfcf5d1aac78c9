"""An export is what transformers reads: equal logits, equal ids, every key written; anything else is refused."""

import shutil

import pytest
import torch

from gristmill.errors import GristmillError
from training.config import ModelConfig
from training.data import Special
from training.export import PROBES, check_export, read_config, write_export
from training.models.bert import Bert
from training.models.bert_form import BertExporter
from training.models.decoder import Decoder
from training.models.llama_form import LlamaExporter

EXPORTERS = {Decoder: LlamaExporter(), Bert: BertExporter()}

SHAPE = ModelConfig(layers=3, width=48, heads=3, feed_forward=80)
KINDS = pytest.mark.parametrize("kind", [Decoder, Bert])


def perturbed(kind, *, seed=4):
    """A model all of whose weights differ from their initial values, norms and biases too."""
    model = kind(SHAPE, vocabulary=512, length=40, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def exports(tmp_path_factory, corpus):
    found = {}
    for kind in (Decoder, Bert):
        folder, model = tmp_path_factory.mktemp(kind.__name__), perturbed(kind)
        write_export(folder, model, corpus.tokenizer, EXPORTERS[kind])
        found[kind] = folder, model
    return found


@KINDS
def test_transformers_computes_our_logits_and_gives_sentencepieces_ids(exports, corpus, kind):
    folder, model = exports[kind]
    proof = check_export(
        folder,
        model,
        corpus.tokenizer,
        ["Mara sold two geese by the north gate."],
        EXPORTERS[kind],
    )
    assert proof.max_logit_difference <= 2e-5
    assert proof.tokenizer_texts_checked == len(PROBES) + 1


@KINDS
def test_other_weights_than_ours_are_refused(exports, corpus, kind):
    folder, _ = exports[kind]
    with pytest.raises(GristmillError, match=r"export refused: \w+ of .* computes other logits"):
        check_export(folder, perturbed(kind, seed=5), corpus.tokenizer, [], EXPORTERS[kind])


def test_a_tokenizer_that_lost_its_merges_is_refused(exports, corpus, tmp_path):
    import json

    source, model = exports[Decoder]
    folder = shutil.copytree(source, tmp_path / "export")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:5]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(
        GristmillError, match=r"gives other ids than sentencepiece for .*, from token \d+ on"
    ):
        check_export(folder, model, corpus.tokenizer, [], EXPORTERS[Decoder])


def test_a_reader_of_the_folder_loads_the_decoder_and_generates_what_we_would(exports):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, model = exports[Decoder]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("Mara painted", return_tensors="pt")
    assert inputs["input_ids"][0, 0] == Special.BOS
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    found = theirs.generate(
        **inputs, max_new_tokens=8, max_length=None, do_sample=False, eos_token_id=None
    )
    ours = inputs["input_ids"]
    with torch.no_grad():
        for _ in range(8):
            ours = torch.cat([ours, model(ours)[:, -1:].argmax(-1)], dim=1)
    assert found.tolist() == ours.tolist()


def test_a_reader_of_the_folder_frames_texts_and_pairs_as_the_bert_was_trained(exports, corpus):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(exports[Bert][0])
    pieces = corpus.tokenizer.pieces
    first, second = pieces.encode("Mara painted"), pieces.encode("two geese")
    pair = tokenizer("Mara painted", "two geese")
    assert pair["input_ids"] == [Special.CLS, *first, Special.SEP, *second, Special.SEP]
    assert pair["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert tokenizer("[MASK]")["input_ids"][1] == Special.MASK
    assert tokenizer.model_max_length == 40


def test_the_encoder_serves_fine_tuning_with_only_the_new_head_missing(exports):
    from transformers import AutoModelForSequenceClassification

    from training.export import quiet_transformers

    with quiet_transformers():
        _, info = AutoModelForSequenceClassification.from_pretrained(
            exports[Bert][0], output_loading_info=True
        )
    assert sorted(info["missing_keys"]) == ["classifier.bias", "classifier.weight"]


@KINDS
def test_every_key_that_decides_the_computation_is_written(exports, kind):
    config = read_config(exports[kind][0])
    common = {
        "vocab_size": 512,
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "pad_token_id": 0,
    }
    own = {
        Decoder: {
            "model_type": "llama",
            "rope_theta": 10000.0,
            "rms_norm_eps": 1e-6,
            "num_key_value_heads": 3,
        },
        Bert: {
            "model_type": "bert",
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-12,
            "type_vocab_size": 2,
        },
    }
    assert config.items() >= {**common, **own[kind]}.items()


@KINDS
def test_transformers_fills_in_no_key_that_we_left_out(exports, kind):
    """Readers other than transformers do not know its defaults."""
    from transformers import AutoConfig

    folder, _ = exports[kind]
    bookkeeping = {
        "_name_or_path",
        "transformers_version",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
    }
    heads = {
        "id2label",
        "label2id",
        "problem_type",
        "chunk_size_feed_forward",
        "is_encoder_decoder",
    }
    optional = {"bos_token_id", "eos_token_id", "is_decoder", "add_cross_attention", "use_cache"}
    written = set(read_config(folder))
    assert (
        set(AutoConfig.from_pretrained(folder).to_dict()) - written
        <= bookkeeping | heads | optional
    )


@KINDS
def test_equal_models_give_equal_bytes(exports, corpus, tmp_path, kind):
    folder, model = exports[kind]
    write_export(tmp_path, model, corpus.tokenizer, EXPORTERS[kind])
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert [(folder / name).read_bytes() for name in names] == [
        (tmp_path / name).read_bytes() for name in names
    ]
