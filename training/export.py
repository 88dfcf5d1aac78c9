"""Exports a trained model as a Hugging Face folder, and refuses it unless transformers agrees.

In: a network, its exporter (`training/models/*_form.py`), the corpus's tokenizer.
Out: configuration, weights, tokenizer and README; then a proof that logits and token ids are equal.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from safetensors.torch import save
from torch import Tensor, nn

from gristmill.errors import GristmillError
from gristmill.runs import storage
from training.config import ModelConfig
from training.contract import ExportProof
from training.corpus import Tokenizer
from training.data import Special
from training.export_tokenizer import PROBES, check_ids, write_tokenizer

MAX_DIFFERENCE = 2e-5
"""Largest difference of a logit: both sides add float32 values in another order."""

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class HuggingFaceForm:
    """A network as a class of transformers reads it: config.json, and weights by name."""

    config: JsonObject
    tensors: dict[str, Tensor]
    generation_config: JsonObject | None = None


class ComparedLogits(NamedTuple):
    """Logits of equal inputs, by our network and by a class of transformers; equal shapes."""

    reference_class: str
    trained: Tensor
    reference: Tensor


class ExportableModel(Protocol):
    """What the export needs of any network."""

    shape: ModelConfig
    vocabulary: int
    length: int


ModelT_contra = TypeVar("ModelT_contra", bound=nn.Module, contravariant=True)


class Exporter(Protocol[ModelT_contra]):
    """How one kind of network becomes a Hugging Face folder.

    `masked` networks need a tokenizer that reads [MASK] in a prompt; `card` is the README's
    template.
    """

    masked: ClassVar[bool]
    card: ClassVar[str]

    def to_hugging_face(self, model: ModelT_contra) -> HuggingFaceForm:
        """Configuration and weights."""

    def compare(self, folder: Path, model: ModelT_contra) -> list[ComparedLogits]:
        """Logits of every class of transformers that reads the folder, beside the network's own."""


def write_export(folder: Path, model: Any, tokenizer: Tokenizer, exporter: Exporter[Any]) -> None:
    """Write configuration, weights, tokenizer and a README."""
    form = exporter.to_hugging_face(model)
    # safetensors refuses views that share memory, such as the parts of a fused projection.
    copies = {name: tensor.detach().clone().contiguous() for name, tensor in form.tensors.items()}
    storage.commit_json(folder / "config.json", form.config)
    storage.commit_bytes(folder / "model.safetensors", save(copies, metadata={"format": "pt"}))
    if form.generation_config is not None:
        storage.commit_json(folder / "generation_config.json", form.generation_config)
    write_tokenizer(folder, tokenizer, masked=exporter.masked, length=model.length)
    storage.commit_bytes(folder / "README.md", fill_card(exporter.card, model).encode())


def fill_card(template: str, model: Any) -> str:
    """The README of this model: what it is, how to load it, and how its tokenizer reads text."""
    return template.format(
        parameters=sum(weight.numel() for weight in model.parameters()),
        vocabulary=model.vocabulary,
        length=model.length,
        half=model.length // 2,
    )


def common_config(model: ExportableModel) -> JsonObject:
    """The keys of config.json that all networks have."""
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


def check_export(
    folder: Path,
    model: Any,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    exporter: Exporter[Any],
) -> ExportProof:
    """Reload the folder as any user would; GristmillError unless logits and token ids are equal."""
    with quiet_transformers():
        compared = exporter.compare(folder, model)
        difference = max(_check_difference(folder, logits) for logits in compared)
        checked = check_ids(folder, tokenizer, [*PROBES, *texts])
    return ExportProof(max_logit_difference=difference, tokenizer_texts_checked=checked)


def _check_difference(folder: Path, logits: ComparedLogits) -> float:
    difference = float((logits.trained - logits.reference).abs().max())
    # Written so that NaN is refused too: every comparison with NaN is false.
    if not difference <= MAX_DIFFERENCE:
        raise GristmillError(
            f"export refused: {logits.reference_class} of {folder} computes other logits than"
            f" the trained model, by {difference:.2e}"
        )
    return difference


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars and advice out of the command's output."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    bars_enabled = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars_enabled:
            logging.enable_progress_bar()


def read_config(folder: Path) -> JsonObject:
    """The exported configuration."""
    config: JsonObject = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config
