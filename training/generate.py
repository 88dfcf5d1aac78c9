"""Lets a model speak: continues texts, and fills masks; for the report's samples and the command `generate`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.config import PretrainConfig
from training.corpus import PackedCorpus
from training.data import FIRST_TEXT_ID, Special, TokenSplit
from training.models.bert import Bert
from training.models.decoder import Decoder
from training.sampler import shuffled

Logits = Callable[[Tensor], Tensor]
"""From ids (1, T) to logits (1, T, V)."""
SAMPLES = 6
PROMPT_TOKENS = 12
SAMPLE_KEY = 0x73616D


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn: among the `top_k` likeliest, sharpened by `temperature`, from `seed`."""

    tokens: int = 48
    temperature: float = 0.8
    top_k: int = 50
    seed: int = 1


@torch.no_grad()
def continue_ids(
    logits: Logits, prompt: Sequence[int], sampling: Sampling, *, length: int
) -> list[int]:
    """Ids drawn after `prompt` until </s>; the model sees the last `length` tokens."""
    generator = torch.Generator().manual_seed(sampling.seed)
    ids = list(prompt)
    for _ in range(sampling.tokens):
        last = logits(torch.tensor([ids[-length:]]))[0, -1].float()
        last[[special for special in Special if special != Special.EOS]] = -torch.inf
        best = torch.topk(last, min(sampling.top_k, len(last)))
        chances = torch.softmax(best.values / sampling.temperature, dim=-1)
        drawn = int(best.indices[torch.multinomial(chances, 1, generator=generator)])
        if drawn == Special.EOS:
            break
        ids.append(drawn)
    return ids[len(prompt) :]


@torch.no_grad()
def fill_masks(
    logits: Logits, ids: Sequence[int], *, count: int = 5
) -> list[list[tuple[int, float]]]:
    """For each [MASK] in `ids`, the likeliest tokens with their probabilities."""
    places = [place for place, token in enumerate(ids) if token == Special.MASK]
    rows = logits(torch.tensor([list(ids)]))[0, places].float()
    rows[:, :FIRST_TEXT_ID] = -torch.inf
    best = torch.softmax(rows, dim=-1).topk(count)
    return [
        [
            (int(token), round(float(chance), 4))
            for token, chance in zip(tokens, chances, strict=True)
        ]
        for tokens, chances in zip(best.indices, best.values, strict=True)
    ]


def report_samples(
    model: Decoder | Bert, corpus: PackedCorpus, config: PretrainConfig
) -> dict[str, object]:
    """What the finished model says to the beginnings of some validation documents."""
    beginnings = _beginnings(corpus.validation, config)
    if isinstance(model, Decoder):
        return {
            "kind": "continuation",
            "samples": [_continuation(model, corpus, ids, config) for ids in beginnings],
        }
    return {"kind": "fill_mask", "samples": [_filled(model, corpus, ids) for ids in beginnings]}


def _beginnings(split: TokenSplit, config: PretrainConfig) -> list[list[int]]:
    documents = shuffled(
        np.arange(min(SAMPLES, split.documents)), split.documents, (config.seed, SAMPLE_KEY)
    )
    room = min(PROMPT_TOKENS, config.data.sequence_length - 2)
    spans = [(int(split.token_starts[d]), int(split.token_starts[d + 1])) for d in documents]
    return [
        split.text(begin, min(end, begin + room)).tolist() for begin, end in spans if end > begin
    ]


def _continuation(
    model: Decoder, corpus: PackedCorpus, prompt: list[int], config: PretrainConfig
) -> dict[str, object]:
    drawn = continue_ids(
        model, [Special.BOS, *prompt], Sampling(seed=config.seed), length=model.length
    )
    decode = corpus.tokenizer.pieces.decode
    whole, start = decode([*prompt, *drawn]), decode(prompt)
    return {"prompt": start, "text": whole.removeprefix(start)}


def _filled(model: Bert, corpus: PackedCorpus, ids: list[int]) -> dict[str, object]:
    place = len(ids) // 2
    masked = [*ids[:place], Special.MASK, *ids[place + 1 :]]
    pieces = corpus.tokenizer.pieces

    def logits(ids_bt: Tensor) -> Tensor:
        tokens: Tensor = model(ids_bt, torch.zeros_like(ids_bt), torch.ones_like(ids_bt).bool())[0]
        return tokens

    found = fill_masks(logits, [Special.CLS, *masked, Special.SEP])[0]
    return {
        "before": pieces.decode(ids[:place]),
        "answer": pieces.id_to_piece(ids[place]),
        "after": pieces.decode(ids[place + 1 :]),
        "guesses": [
            {"piece": pieces.id_to_piece(token), "probability": chance} for token, chance in found
        ],
    }
