"""The command `generate`: loads an exported model through transformers and continues a text or fills its masks."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gristmill.errors import InputError
from training.corpus import SPECIAL_PIECES
from training.data import Special
from training.export import quiet_transformers, read_config
from training.generate import Sampling, continue_ids, fill_masks


def generate_text(place: Path, prompt: str, *, tokens: int, seed: int) -> str:
    """What the model at `place` (a pretrain run, or its export folder) says to `prompt`."""
    folder = place / "export" if (place / "export" / "config.json").is_file() else place
    if not (folder / "config.json").is_file():
        raise InputError(
            "there is no model here", {"folder": place}, "give a pretrain run or its export folder"
        )
    causal = any(
        name.endswith(("ForCausalLM", "LMHeadModel"))
        for name in read_config(folder)["architectures"]
    )
    with quiet_transformers():
        return _continue(folder, prompt, tokens, seed) if causal else _fill(folder, prompt)


def _continue(folder: Path, prompt: str, tokens: int, seed: int) -> str:
    from transformers import AutoModelForCausalLM

    tokenizer, model = _load(folder, AutoModelForCausalLM)
    ids = tokenizer(prompt)["input_ids"]
    length = model.config.max_position_embeddings
    drawn = continue_ids(
        lambda seen: _logits(model, seen), ids, Sampling(tokens=tokens, seed=seed), length=length
    )
    return str(tokenizer.decode([*ids, *drawn], skip_special_tokens=True))


def _fill(folder: Path, prompt: str) -> str:
    from transformers import AutoModelForMaskedLM

    tokenizer, model = _load(folder, AutoModelForMaskedLM)
    ids = tokenizer(prompt)["input_ids"]
    if tokenizer.mask_token_id not in ids:
        raise InputError(
            "the prompt has no mask to fill",
            {"prompt": prompt},
            f"put {tokenizer.mask_token} into it",
        )
    found = fill_masks(lambda seen: _logits(model, seen), ids)
    return "\n".join(
        "  ".join(f"{tokenizer.convert_ids_to_tokens(token)} {chance:.3f}" for token, chance in row)
        for row in found
    )


def _load(folder: Path, kind: Any) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.convert_tokens_to_ids(list(SPECIAL_PIECES.values())) != list(Special):
        raise InputError(
            "this model's special tokens are not those of Gristmill",
            {"folder": folder},
            "give one of our exports",
        )
    return tokenizer, kind.from_pretrained(folder, local_files_only=True).eval()


def _logits(model: Any, ids: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids).logits
    return logits
