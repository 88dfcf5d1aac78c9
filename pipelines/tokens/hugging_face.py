"""The Hugging Face form of a sentencepiece model, BPE or unigram, with ids that are equal on every text.

Every stock class of transformers 5.23 converts such a model wrongly without an error, so the fast tokenizer is built
here, piece by piece, and checked on the training sample; an unequal id refuses the export.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from gristmill import storage
from gristmill.errors import GristmillError
from pipelines.tokens.training import BOS, CLS, EOS, MASK, PAD, SEP, SPECIAL, SPELLING, UNK

NORMAL, UNIGRAM = 1, 1
OUT_OF_REACH = -1e6
"""A score that any other way through a text beats."""
SPACE = "▁"


class UnequalError(GristmillError):
    """The Hugging Face form gives other ids than sentencepiece: a fault of ours."""


def fast_tokenizer(model: bytes) -> Tokenizer:
    """The `tokenizers` form of a sentencepiece BPE model trained by `training.train`."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    pieces = list(proto.pieces)
    ids = {piece.piece: number for number, piece in enumerate(pieces)}
    if proto.trainer_spec.model_type == UNIGRAM:
        tokenizer = Tokenizer(unigram(pieces))
    else:
        model_of = models.BPE(ids, merges(pieces, ids), unk_token=SPECIAL[UNK], fuse_unk=True, byte_fallback=True)
        tokenizer = Tokenizer(model_of)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in SPECIAL])
    return tokenizer


def unigram(pieces: Sequence[Any]) -> models.Unigram:
    """The unigram model. `tokenizers` takes special and byte pieces for pieces of text: here no text would choose them.

    Raises UnequalError where a character that spells one of those is no piece: such a text would have no other way.
    """
    there = {piece.piece for piece in pieces if piece.type == NORMAL}
    if lacking := set(SPELLING) - there:
        raise UnequalError(
            f"this unigram model has no pieces for {''.join(sorted(lacking))!r}: text that spells a special piece would be taken for it"
        )
    scored = [(piece.piece, piece.score if piece.type == NORMAL else OUT_OF_REACH) for piece in pieces]
    return models.Unigram(scored, unk_id=UNK, byte_fallback=True)


def merges(pieces: Iterable[Any], ids: Mapping[str, int]) -> list[tuple[str, str]]:
    """Every way to split a normal piece into two, best score first: the order in which sentencepiece would join them."""
    score = {piece.piece: piece.score for piece in pieces if piece.type == NORMAL}
    splits = [
        (-score[word], ids[word[:at]], ids[word[at:]], word[:at], word[at:])
        for word in score
        for at in range(1, len(word))
        if word[:at] in score and word[at:] in score
    ]
    return [(left, right) for *_, left, right in sorted(splits)]


def check_equal(model: bytes, tokenizer: Tokenizer, texts: Iterable[str]) -> int:
    """Compare both forms on every text; returns how many. Raises UnequalError at the first difference."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    tokenizer.encode_special_tokens = True
    count = 0
    for batch in _batched(texts):
        count += len(batch)
        both = zip(batch, processor.encode(batch), tokenizer.encode_batch(batch, add_special_tokens=False), strict=True)
        for text, ours, encoding in both:
            theirs = encoding.ids
            if ours == theirs:
                continue
            at = next(
                (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
            )
            raise UnequalError(
                f"ids differ from token {at} on: {text[:80]!r}: {ours[at : at + 5]} != {theirs[at : at + 5]}"
            )
    return count


def _batched(texts: Iterable[str], size: int = 1000) -> Iterator[list[str]]:
    rest = iter(texts)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def write_tokenizer(folder: Path, model: bytes, tokenizer: Tokenizer) -> None:
    """Write `tokenizer.model` and the files that `AutoTokenizer.from_pretrained` opens."""
    storage.commit_bytes(folder / "tokenizer.model", model)
    tokenizer.encode_special_tokens = False
    storage.commit_json(folder / "tokenizer.json", json.loads(tokenizer.to_str()))
    roles = {
        "pad_token": PAD, "unk_token": UNK, "bos_token": BOS, "eos_token": EOS, "cls_token": CLS, "sep_token": SEP,
        "mask_token": MASK,
    }  # fmt: skip
    names = {role: SPECIAL[number] for role, number in roles.items()}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1 << 30,
        "split_special_tokens": True,
        **names,
    }
    storage.commit_json(folder / "tokenizer_config.json", config)
    storage.commit_json(folder / "special_tokens_map.json", names)
