"""Generates text with a trained network: continues ids, fills masks, and writes the samples of a
run.

In: a function from ids to logits, or a network and its corpus. Out: token ids, or typed samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.config import PretrainConfig
from training.contract import (
    Continuation,
    Continuations,
    FilledMask,
    FilledMasks,
    MaskCandidate,
)
from training.corpus import PackedCorpus
from training.data import FIRST_TEXT_ID, Special, TokenSplit
from training.models.bert import MaskedBert
from training.models.decoder import Decoder
from training.sampler import shuffled

Logits = Callable[[Tensor], Tensor]
"""From ids (1, T) to logits (1, T, V)."""

SAMPLES = 6
PROMPT_TOKENS = 12
SAMPLE_KEY = 0x73616D  # "sam": another shuffle than that of any training epoch


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn: among the `top_k` likeliest, sharpened by `temperature`, from
    `seed`.
    """

    tokens: int = 48
    temperature: float = 0.8
    top_k: int = 50
    seed: int = 1


class TokenCandidate(NamedTuple):
    """A token that could fill a mask, and its probability."""

    token: int
    probability: float


@torch.no_grad()
def continue_ids(
    logits: Logits, prompt: Sequence[int], sampling: Sampling, *, length: int
) -> list[int]:
    """Ids drawn after `prompt` until </s>; the model sees the last `length` tokens."""
    generator = torch.Generator().manual_seed(sampling.seed)
    never_drawn = [special for special in Special if special != Special.EOS]
    ids = list(prompt)
    for _ in range(sampling.tokens):
        logits_v = logits(torch.tensor([ids[-length:]]))[0, -1].float()
        logits_v[never_drawn] = -torch.inf
        best = torch.topk(logits_v, min(sampling.top_k, len(logits_v)))
        probabilities = torch.softmax(best.values / sampling.temperature, dim=-1)
        position = torch.multinomial(probabilities, 1, generator=generator)
        token = int(best.indices[position])
        if token == Special.EOS:
            break
        ids.append(token)
    return ids[len(prompt) :]


@torch.no_grad()
def fill_masks(logits: Logits, ids: Sequence[int], *, count: int = 5) -> list[list[TokenCandidate]]:
    """For each [MASK] in `ids`, the `count` likeliest text tokens."""
    masks = [position for position, token in enumerate(ids) if token == Special.MASK]
    logits_nv = logits(torch.tensor([list(ids)]))[0, masks].float()
    logits_nv[:, :FIRST_TEXT_ID] = -torch.inf
    best = torch.softmax(logits_nv, dim=-1).topk(count)
    return [
        _list_candidates(tokens, probabilities)
        for tokens, probabilities in zip(best.indices, best.values, strict=True)
    ]


def _list_candidates(tokens: Tensor, probabilities: Tensor) -> list[TokenCandidate]:
    pairs = zip(tokens, probabilities, strict=True)
    return [TokenCandidate(int(token), round(float(share), 4)) for token, share in pairs]


def continue_beginnings(
    model: Decoder, corpus: PackedCorpus, config: PretrainConfig
) -> Continuations:
    """How a causal model continues the beginnings of some validation documents."""
    prompts = _read_beginnings(corpus.validation, config)
    samples = [_continue_prompt(model, corpus, prompt, config) for prompt in prompts]
    return Continuations(samples=tuple(samples))


def fill_beginnings(model: MaskedBert, corpus: PackedCorpus, config: PretrainConfig) -> FilledMasks:
    """How a masked model fills the middle of the beginnings of some validation documents."""
    samples = [
        _fill_middle(model, corpus, ids) for ids in _read_beginnings(corpus.validation, config)
    ]
    return FilledMasks(samples=tuple(samples))


def _read_beginnings(split: TokenSplit, config: PretrainConfig) -> list[list[int]]:
    """The first tokens of some documents that have any."""
    positions = np.arange(min(SAMPLES, split.documents))
    documents = shuffled(positions, split.documents, (config.seed, SAMPLE_KEY))
    # [CLS] and [SEP], or <s>, must fit beside them.
    most_tokens = min(PROMPT_TOKENS, config.data.sequence_length - 2)
    beginnings: list[list[int]] = []
    for document in documents:
        begin = int(split.token_starts[document])
        end = int(split.token_starts[document + 1])
        if end > begin:
            beginnings.append(split.text(begin, min(end, begin + most_tokens)).tolist())
    return beginnings


def _continue_prompt(
    model: Decoder, corpus: PackedCorpus, prompt: list[int], config: PretrainConfig
) -> Continuation:
    sampling = Sampling(seed=config.seed)
    drawn = continue_ids(model, [Special.BOS, *prompt], sampling, length=model.length)
    decode = corpus.tokenizer.pieces.decode
    # Decoded together: a character may be spread over the last prompt token and the first drawn.
    text = decode([*prompt, *drawn])
    start = decode(prompt)
    return Continuation(prompt=start, text=text.removeprefix(start))


def _fill_middle(model: MaskedBert, corpus: PackedCorpus, ids: list[int]) -> FilledMask:
    middle = len(ids) // 2
    masked = [*ids[:middle], Special.MASK, *ids[middle + 1 :]]
    pieces = corpus.tokenizer.pieces

    def logits(ids_bt: Tensor) -> Tensor:
        """Token logits (1, T, V) of one segment without padding."""
        segments = torch.zeros_like(ids_bt)
        attention = torch.ones_like(ids_bt).bool()
        return model.token_logits(model.hidden(ids_bt, segments, attention))

    candidates = fill_masks(logits, [Special.CLS, *masked, Special.SEP])[0]
    return FilledMask(
        before=pieces.decode(ids[:middle]),
        answer=pieces.id_to_piece(ids[middle]),
        after=pieces.decode(ids[middle + 1 :]),
        candidates=tuple(
            MaskCandidate(piece=pieces.id_to_piece(token), probability=probability)
            for token, probability in candidates
        ),
    )
