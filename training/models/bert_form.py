"""BERT as transformers knows it: configuration, weights by name, and the proof that logits are
equal.

Every configuration key is written out: other readers do not know transformers' defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from training.data import FIRST_TEXT_ID
from training.export import ComparedLogits, HuggingFaceForm, JsonObject, common_config
from training.models.bert import NORM_EPS, Bert, BertEncoder, BertLayer, MaskedBert

CARD = """\
---
library_name: transformers
pipeline_tag: fill-mask
---
# A BERT (masked tokens and next sentence), pretrained with Gristmill

{parameters:,} parameters, a vocabulary of {vocabulary:,}, reads up to {length} tokens.

```python
from transformers import pipeline

fill = pipeline("fill-mask", model="path/to/this/folder")
fill("Once upon a [MASK].")
```

`AutoModelForMaskedLM` reports the next-sentence weights as unexpected: it has no use for them, \
`BertForPreTraining` has.

**Text from the web:** this tokenizer takes `[MASK]`, `[SEP]` and the like in a text for the \
special tokens, which is what
fill-mask needs. Encode text that you did not write with `tokenizer(text, \
split_special_tokens=True)`; the corpus this
model was trained on was encoded that way.
"""


class BertExporter:
    """Writes a BERT with both heads as BertForPreTraining."""

    masked: ClassVar[bool] = True
    card: ClassVar[str] = CARD

    def to_hugging_face(self, model: Bert) -> HuggingFaceForm:
        """The network under BERT's names."""
        tensors = {
            **encoder_tensors(model),
            **token_head_tensors(model),
            **module_tensors("bert.pooler.dense", model.pooler),
            **module_tensors("cls.seq_relationship", model.next_sentence),
        }
        return HuggingFaceForm(config=bert_config(model, "BertForPreTraining"), tensors=tensors)

    @torch.no_grad()
    def compare(self, folder: Path, model: Bert) -> list[ComparedLogits]:
        """Logits of random ids, by this network and by both classes that read the folder."""
        import transformers as hf

        inputs = comparison_inputs(model)
        keywords = inputs.to_keywords()
        tokens, pairs = model(inputs.ids, inputs.segments, inputs.attention.bool())
        pretraining_class = hf.BertForPreTraining
        pretraining = pretraining_class.from_pretrained(folder, local_files_only=True).eval()
        masked = hf.AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True).eval()
        reference = pretraining(**keywords)
        # Logits at padding are of no use to anybody, and need not be equal.
        text = inputs.attention.bool()
        return [
            ComparedLogits("BertForPreTraining", tokens[text], reference.prediction_logits[text]),
            ComparedLogits("BertForPreTraining", pairs, reference.seq_relationship_logits),
            ComparedLogits("AutoModelForMaskedLM", tokens[text], masked(**keywords).logits[text]),
        ]


class ComparisonInputs(NamedTuple):
    """Random ids in two segments, the second row padded at its end; each (2, T)."""

    ids: Tensor
    segments: Tensor
    attention: Tensor

    def to_keywords(self) -> dict[str, Tensor]:
        """The same under transformers' names."""
        return {
            "input_ids": self.ids,
            "token_type_ids": self.segments,
            "attention_mask": self.attention,
        }


def comparison_inputs(model: BertEncoder) -> ComparisonInputs:
    """What the logits are compared on: as long as the network reads."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, model.length)
    ids = torch.randint(FIRST_TEXT_ID, model.vocabulary, shape, generator=generator)
    in_second_segment = torch.arange(model.length) > model.length // 3
    attention = torch.ones_like(ids)
    attention[1, 2 * model.length // 3 :] = 0
    return ComparisonInputs(ids, in_second_segment.long().repeat(2, 1), attention)


def encoder_tensors(model: BertEncoder) -> dict[str, Tensor]:
    """Embeddings and layers under BERT's names."""
    embeddings = "bert.embeddings."
    tensors: dict[str, Tensor] = {
        f"{embeddings}word_embeddings.weight": model.embedding.weight,
        f"{embeddings}position_embeddings.weight": model.positions.weight,
        f"{embeddings}token_type_embeddings.weight": model.segments.weight,
        **module_tensors(f"{embeddings}LayerNorm", model.embedding_norm),
    }
    for number, layer in enumerate(model.layers):
        assert isinstance(layer, BertLayer)
        tensors |= _name_layer_tensors(f"bert.encoder.layer.{number}.", layer)
    return tensors


def _name_layer_tensors(prefix: str, layer: BertLayer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    # Here fused into one matrix; BERT has three projections.
    weights = layer.qkv.weight.chunk(3)
    biases = layer.qkv.bias.chunk(3)
    for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        tensors[f"{prefix}attention.self.{name}.weight"] = weight
        tensors[f"{prefix}attention.self.{name}.bias"] = bias
    return {
        **tensors,
        **module_tensors(f"{prefix}attention.output.dense", layer.out),
        **module_tensors(f"{prefix}attention.output.LayerNorm", layer.attention_norm),
        **module_tensors(f"{prefix}intermediate.dense", layer.up),
        **module_tensors(f"{prefix}output.dense", layer.down),
        **module_tensors(f"{prefix}output.LayerNorm", layer.mlp_norm),
    }


def token_head_tensors(model: MaskedBert) -> dict[str, Tensor]:
    """The masked-token head under BERT's names; its output layer is the embedding."""
    return {
        "cls.predictions.bias": model.head_bias,
        **module_tensors("cls.predictions.transform.dense", model.transform),
        **module_tensors("cls.predictions.transform.LayerNorm", model.transform_norm),
    }


def module_tensors(name: str, module: nn.Linear | nn.LayerNorm) -> dict[str, Tensor]:
    """Weight and bias of a module under a name."""
    return {f"{name}.weight": module.weight, f"{name}.bias": module.bias}


def bert_config(model: BertEncoder, architecture: str) -> JsonObject:
    """The configuration of a class of transformers that reads this encoder."""
    return {
        **common_config(model),
        "architectures": [architecture],
        "model_type": "bert",
        "hidden_act": "gelu_new",
        "type_vocab_size": 2,
        "layer_norm_eps": NORM_EPS,
        # Pretraining uses no dropout; these are what fine-tuning will use.
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }
