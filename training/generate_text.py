"""The command `generate`: loads an exported model through transformers and continues a text or
fills its masks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gristmill.errors import InputError
from training.corpus import SPECIAL_PIECES
from training.data import Special
from training.export import quiet_transformers, read_config
from training.generate import Sampling, TokenCandidate, continue_ids, fill_masks

CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel")
"""How transformers names its classes of causal models."""


def generate_text(model: Path, prompt: str, *, tokens: int, seed: int) -> str:
    """What the model at `model` (a pretrain run, or its export folder) makes of `prompt`."""
    exported = model / "export"
    folder = exported if (exported / "config.json").is_file() else model
    if not (folder / "config.json").is_file():
        raise InputError(
            "there is no model here", {"folder": model}, "give a pretrain run or its export folder"
        )
    architectures = read_config(folder)["architectures"]
    with quiet_transformers():
        if any(name.endswith(CAUSAL_ENDINGS) for name in architectures):
            return _continue_prompt(folder, prompt, tokens, seed)
        return _fill_prompt(folder, prompt)


def _continue_prompt(folder: Path, prompt: str, tokens: int, seed: int) -> str:
    from transformers import AutoModelForCausalLM

    tokenizer, model = _load_model(folder, AutoModelForCausalLM)
    ids = tokenizer(prompt)["input_ids"]

    def logits(ids_bt: Tensor) -> Tensor:
        return _compute_logits(model, ids_bt)

    sampling = Sampling(tokens=tokens, seed=seed)
    drawn = continue_ids(logits, ids, sampling, length=model.config.max_position_embeddings)
    return str(tokenizer.decode([*ids, *drawn], skip_special_tokens=True))


def _fill_prompt(folder: Path, prompt: str) -> str:
    """One line a mask: its likeliest pieces with their probabilities."""
    from transformers import AutoModelForMaskedLM

    tokenizer, model = _load_model(folder, AutoModelForMaskedLM)
    ids = tokenizer(prompt)["input_ids"]
    if tokenizer.mask_token_id not in ids:
        raise InputError(
            "the prompt has no mask to fill",
            {"prompt": prompt},
            f"put {tokenizer.mask_token} into it",
        )

    def logits(ids_bt: Tensor) -> Tensor:
        return _compute_logits(model, ids_bt)

    rows = fill_masks(logits, ids)
    return "\n".join(_format_candidates(tokenizer, row) for row in rows)


def _format_candidates(tokenizer: Any, candidates: list[TokenCandidate]) -> str:
    cells = [
        f"{tokenizer.convert_ids_to_tokens(token)} {probability:.3f}"
        for token, probability in candidates
    ]
    return "  ".join(cells)


def _load_model(folder: Path, auto_class: Any) -> tuple[Any, Any]:
    """Tokenizer and model; InputError where the special tokens have other ids than ours."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    special_ids = tokenizer.convert_tokens_to_ids(list(SPECIAL_PIECES.values()))
    if special_ids != list(Special):
        raise InputError(
            "this model's special tokens are not those of Gristmill",
            {"folder": folder},
            "give one of our exports",
        )
    return tokenizer, auto_class.from_pretrained(folder, local_files_only=True).eval()


def _compute_logits(model: Any, ids_bt: Tensor) -> Tensor:
    with torch.no_grad():
        logits_btv: Tensor = model(input_ids=ids_bt).logits
    return logits_btv
