"""Score sentences with a language model: how likely it finds each of the two sentences of a probe.

Two kinds of scorer, never comparable with each other, so the scorer's name is part of every metric's id:

- `causal_sum`: log-likelihood of all text tokens behind an explicit begin-of-sequence token.
- `mlm_pll_shared`: pseudo-log-likelihood of the tokens both sentences share (Nangia et al. 2020): each is masked alone
  and predicted from the rest. A word split into several tokens is guessed from its own other pieces; the audit
  therefore reports tokens per word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gristmill.errors import InputError, MissingExtra

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]

BATCH_TOKENS = 4_096
DECIMALS = 4
"""Scores are rounded before they are compared: what differs less is a tie, and reruns stay byte-identical."""


@dataclass(frozen=True, slots=True)
class Score:
    """The log-likelihood of one sentence in nats, and the number of tokens it was summed over."""

    total: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Mean log-likelihood of a token."""
        return self.total / max(1, self.tokens)


@dataclass(frozen=True, slots=True)
class PairScore:
    """Both sentences of a pair, scored, with their full lengths in tokens."""

    stereo: Score
    anti: Score
    stereo_length: int
    anti_length: int

    @property
    def equal_length(self) -> bool:
        """Whether both sentences have the same number of tokens, so that neither is favoured for being short."""
        return self.stereo_length == self.anti_length


class Scorer(Protocol):
    """What the audit needs of a model."""

    name: str

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[tuple[int, PairScore]]]:
        """Score pairs in any order; yields (position, score) by batches so that progress can be shown."""

    def sentences(self, texts: Sequence[str]) -> list[Score]:
        """Score whole sentences."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One forward row: input ids, and which (position, target id) to read from its output."""

    owner: int
    ids: tuple[int, ...]
    targets: tuple[tuple[int, int], ...]


class _Model:
    """A Hugging Face model and tokenizer with what both scorers share: encoding, batching, reading log-probabilities."""

    name = ""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.limit = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)

    def encode(self, text: str) -> list[int]:
        """Token ids of the text alone: a literal "[MASK]" in it is text. Special tokens are added by id."""
        options = {"add_special_tokens": False, "truncation": False, "split_special_tokens": True}
        ids: list[int] = self.tokenizer(text, **options)["input_ids"]
        if not ids:
            raise InputError("this model's tokenizer makes no token of a probe", {"probe": text})
        return ids

    def row(self, owner: int, ids: Sequence[int], targets: Sequence[tuple[int, int]]) -> _Row:
        """A forward row, refused where the model cannot read that many tokens."""
        if len(ids) > self.limit:
            raise InputError(
                "a probe is longer than this model can read",
                {"tokens": len(ids), "model reads": self.limit},
                "audit a model with a longer context",
            )
        return _Row(owner, tuple(ids), tuple(targets))

    def run(self, rows: Sequence[_Row]) -> Iterator[list[tuple[int, float]]]:
        """Forward all rows, longest first; yields (owner, sum of target log-probabilities) by batch."""
        queue = sorted(rows, key=lambda row: len(row.ids), reverse=True)
        start = 0
        while start < len(queue):
            count = max(1, BATCH_TOKENS // len(queue[start].ids))
            batch = queue[start : start + count]
            start += count
            yield self._forward(batch)

    def _forward(self, batch: Sequence[_Row]) -> list[tuple[int, float]]:
        import torch

        width = len(batch[0].ids)
        ids = torch.zeros((len(batch), width), dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for i, row in enumerate(batch):
            ids[i, : len(row.ids)] = torch.tensor(row.ids)
            mask[i, : len(row.ids)] = 1
        spots = [(i, place) for i, row in enumerate(batch) for place, _ in row.targets]
        wanted = torch.tensor([target for row in batch for _, target in row.targets])
        logits = self._logits(
            ids, mask, tuple(torch.tensor(side) for side in zip(*spots, strict=True))
        )
        chances = logits.double().log_softmax(-1)[torch.arange(len(wanted)), wanted].tolist()
        found, start = [], 0
        for row in batch:
            found.append((row.owner, float(sum(chances[start : start + len(row.targets)]))))
            start += len(row.targets)
        return found

    def _logits(
        self, ids: torch.Tensor, mask: torch.Tensor, spots: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        """Logits at the asked (row, position) spots only.

        A masked row asks for one position of fifteen: the hook hands only that one to the
        output layer, which otherwise costs more time and memory than the rest of a small model.
        """
        import torch

        head = self.model.get_output_embeddings()
        with torch.inference_mode():
            if head is None:
                everything: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).logits
                return everything[spots]
            hook = head.register_forward_pre_hook(lambda _, given: (given[0][spots][None],))
            try:
                chosen: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).logits
            finally:
                hook.remove()
            return chosen[0]

    def totals(self, rows: Sequence[_Row], owners: int) -> Floats:
        """The summed log-probability of every owner."""
        sums = np.zeros(owners)
        for batch in self.run(rows):
            for owner, value in batch:
                sums[owner] += value
        return sums.round(DECIMALS)


class CausalScorer(_Model):
    """Log-likelihood of a sentence behind an explicit begin-of-sequence token."""

    name = "causal_sum"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        known = (
            tokenizer.bos_token_id,
            getattr(model.config, "bos_token_id", None),
            tokenizer.eos_token_id,
        )
        self.first: int = next((token for token in known if token is not None), -1)
        if self.first < 0:
            raise InputError(
                "this model has no begin-of-sequence token",
                {"model": type(model).__name__},
                "without one the first word of a sentence has no likelihood; set bos_token in its tokenizer",
            )

    def _rows(self, texts: Sequence[str]) -> list[_Row]:
        encoded = [self.encode(text) for text in texts]
        return [
            self.row(i, [self.first, *ids[:-1]], list(enumerate(ids)))
            for i, ids in enumerate(encoded)
        ]

    def sentences(self, texts: Sequence[str]) -> list[Score]:
        """The sum over all tokens of each sentence."""
        rows = self._rows(texts)
        sums = self.totals(rows, len(rows))
        return [Score(float(total), len(row.ids)) for total, row in zip(sums, rows, strict=True)]

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[tuple[int, PairScore]]]:
        """Score both sentences of each pair whole."""
        for start in range(0, len(pairs), 64):
            chunk = pairs[start : start + 64]
            scores = self.sentences([text for pair in chunk for text in pair])
            yield [
                (
                    start + i,
                    PairScore(
                        scores[2 * i],
                        scores[2 * i + 1],
                        scores[2 * i].tokens,
                        scores[2 * i + 1].tokens,
                    ),
                )
                for i in range(len(chunk))
            ]


class MaskedScorer(_Model):
    """Pseudo-log-likelihood of the tokens that both sentences of a pair share."""

    name = "mlm_pll_shared"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        ends = {
            "[CLS]": tokenizer.cls_token_id,
            "[SEP]": tokenizer.sep_token_id,
            "[MASK]": tokenizer.mask_token_id,
        }
        if missing := [name for name, token in ends.items() if token is None]:
            raise InputError(
                "this masked model's tokenizer lacks special tokens",
                {"missing": ", ".join(missing)},
                "set cls_token, sep_token and mask_token in its special_tokens_map.json",
            )
        self.first, self.last, self.mask = (int(token) for token in ends.values())

    def _masked(self, owner: int, ids: Sequence[int], places: Sequence[int]) -> list[_Row]:
        """One row for each place, with only that token masked."""
        whole = [self.first, *ids, self.last]
        rows = []
        for place in places:
            masked = [*whole]
            masked[place + 1] = self.mask
            rows.append(self.row(owner, masked, [(place + 1, ids[place])]))
        return rows

    def sentences(self, texts: Sequence[str]) -> list[Score]:
        """The pseudo-log-likelihood of all tokens of each sentence."""
        encoded = [self.encode(text) for text in texts]
        rows = [
            row for i, ids in enumerate(encoded) for row in self._masked(i, ids, range(len(ids)))
        ]
        sums = self.totals(rows, len(texts))
        return [Score(float(total), len(ids)) for total, ids in zip(sums, encoded, strict=True)]

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[tuple[int, PairScore]]]:
        """Score the shared tokens of each pair, given the differing ones."""
        for start in range(0, len(pairs), 32):
            chunk = [
                (self.encode(stereo), self.encode(anti))
                for stereo, anti in pairs[start : start + 32]
            ]
            places = [shared(stereo, anti) for stereo, anti in chunk]
            rows = [
                row
                for i, (ids, place) in enumerate(zip(chunk, places, strict=True))
                for side in (0, 1)
                for row in self._masked(2 * i + side, ids[side], [spot[side] for spot in place])
            ]
            sums = self.totals(rows, 2 * len(chunk))
            yield [
                (
                    start + i,
                    PairScore(
                        Score(float(sums[2 * i]), len(places[i])),
                        Score(float(sums[2 * i + 1]), len(places[i])),
                        len(chunk[i][0]),
                        len(chunk[i][1]),
                    ),
                )
                for i in range(len(chunk))
            ]


def shared(first: Sequence[int], second: Sequence[int]) -> list[tuple[int, int]]:
    """The positions of the tokens both sequences share, aligned as CrowS-Pairs does (difflib over token ids)."""
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    return [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]


def load(folder: Path) -> CausalScorer | MaskedScorer:
    """Open a Hugging Face model folder without any network, and choose the scorer its architecture asks for."""
    try:
        import torch
        from safetensors import SafetensorError
        from transformers import (
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForMaskedLM,
            AutoTokenizer,
        )
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtra(error.name or "transformers", "audit") from None
    if not (folder / "config.json").is_file():
        raise InputError(
            "this is no Hugging Face model folder",
            {"folder": folder, "missing": "config.json"},
            "give a folder with config.json, weights and tokenizer, or a pretrain run",
        )
    logging.set_verbosity_error()
    logging.disable_progress_bar()  # ours is the one to watch
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        masked = kind_of(list(config.architectures or []), folder) == "masked"
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        loader = AutoModelForMaskedLM if masked else AutoModelForCausalLM
        model, told = loader.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            "this model folder cannot be opened",
            {"folder": folder, "because": str(error).partition("\n")[0]},
            "export the model again; a folder needs whole config.json, weights and tokenizer files",
        ) from error
    if told["missing_keys"]:
        raise InputError(
            "this model folder lacks weights, and would be audited with random ones",
            {"folder": folder, "missing": ", ".join(sorted(told["missing_keys"])[:5])},
            "export the model with its language-modelling head",
        )
    return MaskedScorer(model, tokenizer) if masked else CausalScorer(model, tokenizer)


def kind_of(architectures: Sequence[str], folder: Path) -> str:
    """causal or masked, from the names in config.json."""
    for name in architectures:
        if name.endswith(("ForCausalLM", "LMHeadModel")):
            return "causal"
        if name.endswith(("ForMaskedLM", "ForPreTraining")):
            return "masked"
    raise InputError(
        "this model is neither causal nor masked",
        {"folder": folder, "architectures": ", ".join(architectures) or "(none)"},
        "only ...ForCausalLM, ...LMHeadModel, ...ForMaskedLM and ...ForPreTraining can be scored",
    )
