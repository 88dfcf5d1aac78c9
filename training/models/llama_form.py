"""The decoder as transformers' LlamaForCausalLM: its configuration, its weights, and the proof.

Every configuration key is written out: other readers do not know transformers' defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from training.data import FIRST_TEXT_ID, Special
from training.export import ComparedLogits, HuggingFaceForm, JsonObject, common_config
from training.models.decoder import NORM_EPS, ROPE_THETA, Decoder, DecoderBlock

CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
---
# A causal language model, pretrained with Gristmill

{parameters:,} parameters, a vocabulary of {vocabulary:,}, reads up to {length} tokens.

```python
from transformers import pipeline

write = pipeline("text-generation", model="path/to/this/folder")
write("Once", max_new_tokens={half})
```

The tokenizer opens each text with `<s>`. It reads `</s>`, `[MASK]` and the like in a text as \
plain text
(`split_special_tokens` is true), so text from the web cannot end a document.
"""


class LlamaExporter:
    """Writes a decoder as LlamaForCausalLM."""

    masked: ClassVar[bool] = False
    card: ClassVar[str] = CARD

    def to_hugging_face(self, model: Decoder) -> HuggingFaceForm:
        """The decoder under Llama's names."""
        return HuggingFaceForm(
            config=_build_config(model),
            tensors=_name_tensors(model),
            generation_config=_build_generation_config(model),
        )

    @torch.no_grad()
    def compare(self, folder: Path, model: Decoder) -> list[ComparedLogits]:
        """Logits of random ids, by this network and by the class that reads the folder."""
        import transformers as hf

        generator = torch.Generator().manual_seed(0)
        shape = (2, model.length)
        ids = torch.randint(FIRST_TEXT_ID, model.vocabulary, shape, generator=generator)
        reference = hf.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
        return [ComparedLogits("AutoModelForCausalLM", model(ids), reference(ids).logits)]


def _name_tensors(model: Decoder) -> dict[str, Tensor]:
    tensors = {
        "model.embed_tokens.weight": model.embedding.weight,
        "model.norm.weight": model.norm.weight,
    }
    for number, block in enumerate(model.blocks):
        assert isinstance(block, DecoderBlock)
        for name, weight in _name_block_tensors(block).items():
            tensors[f"model.layers.{number}.{name}"] = weight
    return tensors


def _name_block_tensors(block: DecoderBlock) -> dict[str, Tensor]:
    # Here fused into one matrix each; Llama has three projections, and two.
    query, key, value = block.attention.qkv.weight.chunk(3)
    gate, up = block.mlp.gate_up.weight.chunk(2)
    return {
        "input_layernorm.weight": block.attention_norm.weight,
        "self_attn.q_proj.weight": query,
        "self_attn.k_proj.weight": key,
        "self_attn.v_proj.weight": value,
        "self_attn.o_proj.weight": block.attention.out.weight,
        "post_attention_layernorm.weight": block.mlp_norm.weight,
        "mlp.gate_proj.weight": gate,
        "mlp.up_proj.weight": up,
        "mlp.down_proj.weight": block.mlp.down.weight,
    }


def _build_config(model: Decoder) -> JsonObject:
    shape = model.shape
    return {
        **common_config(model),
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_key_value_heads": shape.heads,
        "head_dim": shape.width // shape.heads,
        "hidden_act": "silu",
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "pretraining_tp": 1,
        "bos_token_id": Special.BOS.value,
        "eos_token_id": Special.EOS.value,
    }


def _build_generation_config(model: Decoder) -> JsonObject:
    """How `generate` ends where its caller says nothing: half of the length is left to
    the prompt.
    """
    return {
        "bos_token_id": Special.BOS.value,
        "eos_token_id": Special.EOS.value,
        "pad_token_id": Special.PAD.value,
        # No max_length: transformers warns when a caller gives max_new_tokens beside it.
        "max_new_tokens": model.length // 2,
    }
