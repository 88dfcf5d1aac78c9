"""Opens a Hugging Face model folder, and chooses the scorer its architecture asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from bias_audit.scorers.causal import CausalScorer
from bias_audit.scorers.masked import MaskedScorer
from gristmill.errors import InputError, MissingExtra

CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel")
MASKED_ENDINGS = ("ForMaskedLM", "ForPreTraining")

ModelKind = Literal["causal", "masked"]


def load_scorer(folder: Path) -> CausalScorer | MaskedScorer:
    """Open a model folder without any network.

    MissingExtra without transformers; InputError where the folder is no model, is damaged, lacks
    weights, or holds a model of another kind.
    """
    try:
        from safetensors import SafetensorError
        from transformers import AutoConfig, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtra(error.name or "transformers", "audit") from None
    if not (folder / "config.json").is_file():
        raise InputError(
            "this is not a Hugging Face model folder",
            {"folder": folder, "missing": "config.json"},
            "give a folder with config.json, weights and tokenizer, or a pretrain run",
        )
    logging.set_verbosity_error()
    # The audit has its own progress bar.
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        kind = find_kind(list(config.architectures or []), folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = _load_weights(folder, kind)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            "this model folder cannot be opened",
            {"folder": folder, "because": str(error).partition("\n")[0]},
            "export the model again; a folder needs whole config.json, weights and tokenizer files",
        ) from error
    if kind == "masked":
        return MaskedScorer(model, tokenizer)
    return CausalScorer(model, tokenizer)


def _load_weights(folder: Path, kind: ModelKind) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    loader = AutoModelForMaskedLM if kind == "masked" else AutoModelForCausalLM
    model, loading = loader.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
    )
    missing = sorted(loading["missing_keys"])
    if missing:
        raise InputError(
            "this model folder lacks weights, and would be audited with random ones",
            {"folder": folder, "missing": ", ".join(missing[:5])},
            "export the model with its language-modelling head",
        )
    return model


def find_kind(architectures: Sequence[str], folder: Path) -> ModelKind:
    """causal or masked, from the names in config.json."""
    for name in architectures:
        if name.endswith(CAUSAL_ENDINGS):
            return "causal"
        if name.endswith(MASKED_ENDINGS):
            return "masked"
    raise InputError(
        "this model is neither causal nor masked",
        {"folder": folder, "architectures": ", ".join(architectures) or "(none)"},
        "only ...ForCausalLM, ...LMHeadModel, ...ForMaskedLM and ...ForPreTraining can be scored",
    )
