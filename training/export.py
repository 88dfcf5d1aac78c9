"""Exports a trained model as a Hugging Face folder, and refuses it unless transformers computes what we compute.

Every configuration key is written out: other readers do not know transformers' defaults.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from gristmill.errors import GristmillError
from gristmill.runs import storage
from training.card import model_card
from training.corpus import Tokenizer
from training.data import FIRST_TEXT_ID, Special
from training.export_tokenizer import PROBES, check_ids, write_tokenizer
from training.models import bert, decoder
from training.models.bert import Bert
from training.models.decoder import Decoder

MAX_DIFFERENCE = 2e-5

JsonObject = dict[str, Any]


def write_export(folder: Path, model: Decoder | Bert, tokenizer: Tokenizer) -> None:
    """Write configuration, weights, tokenizer and a README."""
    config, tensors = llama_form(model) if isinstance(model, Decoder) else bert_form(model)
    copies = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    storage.commit_json(folder / "config.json", config)
    storage.commit_bytes(folder / "model.safetensors", save(copies, metadata={"format": "pt"}))
    if isinstance(model, Decoder):
        storage.commit_json(folder / "generation_config.json", _generation_config(model))
    write_tokenizer(folder, tokenizer, masked=isinstance(model, Bert), length=model.length)
    storage.commit_bytes(folder / "README.md", model_card(model).encode())


def _generation_config(model: Decoder) -> JsonObject:
    """How `generate` ends where its caller says nothing; half of what the model reads is left to the prompt."""
    ids = {
        "bos_token_id": Special.BOS.value,
        "eos_token_id": Special.EOS.value,
        "pad_token_id": Special.PAD.value,
    }
    # No max_length: transformers warns as soon as a caller gives the usual max_new_tokens beside it.
    return {**ids, "max_new_tokens": model.length // 2}


def llama_form(model: Decoder) -> tuple[JsonObject, dict[str, Tensor]]:
    """The decoder as LlamaForCausalLM knows it."""
    shape = model.shape
    tensors = {
        "model.embed_tokens.weight": model.embedding.weight,
        "model.norm.weight": model.norm.weight,
    }
    for number, block in enumerate(model.blocks):
        assert isinstance(block, decoder.Block)
        to = f"model.layers.{number}."
        query, key, value = block.attention.qkv.weight.chunk(3)
        gate, up = block.mlp.gate_up.weight.chunk(2)
        tensors |= {
            f"{to}input_layernorm.weight": block.attention_norm.weight,
            f"{to}self_attn.q_proj.weight": query,
            f"{to}self_attn.k_proj.weight": key,
            f"{to}self_attn.v_proj.weight": value,
            f"{to}self_attn.o_proj.weight": block.attention.out.weight,
            f"{to}post_attention_layernorm.weight": block.mlp_norm.weight,
            f"{to}mlp.gate_proj.weight": gate,
            f"{to}mlp.up_proj.weight": up,
            f"{to}mlp.down_proj.weight": block.mlp.down.weight,
        }
    config = {
        **_common_config(model),
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_key_value_heads": shape.heads,
        "head_dim": shape.width // shape.heads,
        "hidden_act": "silu",
        "rms_norm_eps": decoder.NORM_EPS,
        "rope_theta": decoder.ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": decoder.ROPE_THETA},
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "pretraining_tp": 1,
        "bos_token_id": Special.BOS.value,
        "eos_token_id": Special.EOS.value,
    }
    return config, tensors


def bert_form(model: Bert) -> tuple[JsonObject, dict[str, Tensor]]:
    """The encoder as BertForPreTraining knows it."""
    embeddings, head = "bert.embeddings.", "cls.predictions."
    tensors: dict[str, Tensor] = {
        f"{embeddings}word_embeddings.weight": model.embedding.weight,
        f"{embeddings}position_embeddings.weight": model.positions.weight,
        f"{embeddings}token_type_embeddings.weight": model.segments.weight,
        f"{head}bias": model.head_bias,
        **_layer(f"{embeddings}LayerNorm", model.embedding_norm),
        **_layer("bert.pooler.dense", model.pooler),
        **_layer(f"{head}transform.dense", model.transform),
        **_layer(f"{head}transform.LayerNorm", model.transform_norm),
        **_layer("cls.seq_relationship", model.next_sentence),
    }
    for number, layer in enumerate(model.layers):
        assert isinstance(layer, bert.Layer)
        to = f"bert.encoder.layer.{number}."
        weights, biases = layer.qkv.weight.chunk(3), layer.qkv.bias.chunk(3)
        for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            tensors |= {
                f"{to}attention.self.{name}.weight": weight,
                f"{to}attention.self.{name}.bias": bias,
            }
        tensors |= {
            **_layer(f"{to}attention.output.dense", layer.out),
            **_layer(f"{to}attention.output.LayerNorm", layer.attention_norm),
            **_layer(f"{to}intermediate.dense", layer.up),
            **_layer(f"{to}output.dense", layer.down),
            **_layer(f"{to}output.LayerNorm", layer.mlp_norm),
        }
    config = {
        **_common_config(model),
        "architectures": ["BertForPreTraining"],
        "model_type": "bert",
        "hidden_act": "gelu_new",
        "type_vocab_size": 2,
        "layer_norm_eps": bert.NORM_EPS,
        # Pretraining uses no dropout; these are what fine-tuning will find.
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }
    return config, tensors


def _common_config(model: Decoder | Bert) -> JsonObject:
    return {
        "vocab_size": model.vocabulary,
        "hidden_size": model.shape.width,
        "intermediate_size": model.shape.feed_forward,
        "num_hidden_layers": model.shape.layers,
        "num_attention_heads": model.shape.heads,
        "max_position_embeddings": model.length,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "use_cache": True,
        "pad_token_id": Special.PAD.value,
        "dtype": "float32",
    }


def _layer(name: str, module: torch.nn.Linear | torch.nn.LayerNorm) -> dict[str, Tensor]:
    return {f"{name}.weight": module.weight, f"{name}.bias": module.bias}


def check_export(
    folder: Path, model: Decoder | Bert, tokenizer: Tokenizer, texts: Sequence[str]
) -> JsonObject:
    """Reload the folder as a stranger would; raises GristmillError unless logits and ids are ours. Returns the proof."""
    with quiet_transformers():
        difference = _logit_difference(folder, model)
        checked = check_ids(folder, tokenizer, [*PROBES, *texts])
    return {"max_logit_difference": difference, "tokenizer_texts_checked": checked}


@torch.no_grad()
def _logit_difference(folder: Path, model: Decoder | Bert) -> float:
    """The largest difference of any logit, over all classes that read the folder."""
    import transformers as hf

    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(FIRST_TEXT_ID, model.vocabulary, (2, model.length), generator=generator)
    if isinstance(model, Decoder):
        theirs = hf.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
        return _within_limit(folder, "AutoModelForCausalLM", [(model(ids), theirs(ids).logits)])
    segments = (torch.arange(model.length) > model.length // 3).long().repeat(2, 1)
    attention = torch.ones_like(ids)
    attention[1, 2 * model.length // 3 :] = 0
    seen = attention.bool()
    named = {"input_ids": ids, "token_type_ids": segments, "attention_mask": attention}
    tokens, pairs = model(ids, segments, seen)
    both = hf.BertForPreTraining.from_pretrained(folder, local_files_only=True).eval()(**named)
    masked = hf.AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True).eval()(**named)
    pretraining = [
        (tokens[seen], both.prediction_logits[seen]),
        (pairs, both.seq_relationship_logits),
    ]
    return max(
        _within_limit(folder, "BertForPreTraining", pretraining),
        _within_limit(folder, "AutoModelForMaskedLM", [(tokens[seen], masked.logits[seen])]),
    )


def _within_limit(folder: Path, name: str, logits: Sequence[tuple[Tensor, Tensor]]) -> float:
    found = max(float((ours - theirs).abs().max()) for ours, theirs in logits)
    if not found <= MAX_DIFFERENCE:  # NaN fails too
        raise GristmillError(
            f"export refused: {name} of {folder} computes other logits than we do, by {found:.2e}"
        )
    return found


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' bars and advice away from our own output."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def read_config(folder: Path) -> JsonObject:
    """The exported configuration."""
    config: JsonObject = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config
