"""The Hugging Face form of a sentencepiece model, BPE or unigram, with ids that are equal on every text.

Every stock class of transformers 5.23 converts such a model wrongly without an error, so the fast tokenizer is built
here, piece by piece, and checked on the training sample; an unequal id refuses the export.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

from gristmill.errors import GristmillError
from gristmill.runs import storage
from pipelines.tokenizer.training import CLS, MASK, QUANTUM, SEP, SPECIAL

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
UNIGRAM, BPE = 1, 2
OUT_OF_REACH = -1e6
"""A score that any other way through a text beats."""
SPACE = "▁"


class UnequalError(GristmillError):
    """The Hugging Face form gives other ids than sentencepiece: a fault of ours."""


def build_fast_tokenizer(model: bytes) -> Tokenizer:
    """The `tokenizers` form of a sentencepiece model (BPE or unigram). Raises UnequalError where there can be no exact one."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    kind = proto.trainer_spec.model_type
    if kind not in (UNIGRAM, BPE) or proto.trainer_spec.treat_whitespace_as_suffix:
        raise UnequalError(
            "only BPE and unigram models with the space before words have such a form"
        )
    if {piece.type for piece in proto.pieces} & {USER_DEFINED, UNUSED}:
        raise UnequalError("user-defined and unused pieces have no such form")
    if proto.normalizer_spec.precompiled_charsmap:
        rule = proto.normalizer_spec.name or "its own"
        raise UnequalError(
            f"it replaces characters ({rule}): `tokenizers` replaces some otherwise where marks follow"
        )
    tokenizer = Tokenizer(build_unigram(proto) if kind == UNIGRAM else build_bpe(proto))
    steps = list_normalizers(proto.normalizer_spec)
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    names = [piece.piece for piece in proto.pieces if piece.type in (CONTROL, UNKNOWN)]
    tokenizer.add_special_tokens(
        [AddedToken(name, normalized=False, special=True) for name in names]
    )
    return tokenizer


def list_normalizers(spec: Any) -> list[normalizers.Normalizer]:
    """The steps by which sentencepiece normalizes a text before it is cut."""
    steps: list[normalizers.Normalizer] = []
    if spec.remove_extra_whitespaces:  # at the end a literal `▁` goes with the spaces
        ends = rf"\A +|[ {SPACE}]+\z" if spec.escape_whitespaces else r"\A +| +\z"
        steps += [normalizers.Replace(Regex(ends), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    return [*steps, normalizers.Replace(" ", SPACE)]


def build_bpe(proto: Any) -> models.BPE:
    """The BPE model."""
    ids, unknown = (
        {piece.piece: number for number, piece in enumerate(proto.pieces)},
        find_unknown(proto),
    )
    return models.BPE(
        ids,
        list_merges(proto.pieces, ids),
        unk_token=proto.pieces[unknown].piece,
        fuse_unk=True,
        byte_fallback=proto.trainer_spec.byte_fallback,
    )


def find_unknown(proto: Any) -> int:
    """The id of the unknown piece."""
    return next(number for number, piece in enumerate(proto.pieces) if piece.type == UNKNOWN)


def list_special_ids(proto: Any) -> dict[str, int]:
    """The ids of special pieces by what they are for, as far as they are known by number or name."""
    spec = proto.trainer_spec
    named = {"pad": spec.pad_id, "unk": spec.unk_id, "bos": spec.bos_id, "eos": spec.eos_id}
    places = {
        piece.piece: number for number, piece in enumerate(proto.pieces) if piece.type == CONTROL
    }
    named |= {
        role: places.get(SPECIAL[number], -1)
        for role, number in (("cls", CLS), ("sep", SEP), ("mask", MASK))
    }
    return {role: number for role, number in named.items() if 0 <= number < len(proto.pieces)}


def build_unigram(proto: Any) -> models.Unigram:
    """The unigram model. `tokenizers` takes special and byte pieces for pieces of text: here no text would choose them.

    Raises UnequalError where a character that spells one of those is no piece: such a text would have no other way; and
    where scores are not rounded (`training.QUANTUM`): near-equal ways could be chosen otherwise in a long text.
    """
    there = {piece.piece: piece.score for piece in proto.pieces if piece.type == NORMAL}
    spelling = {
        character for piece in proto.pieces if piece.type != NORMAL for character in piece.piece
    }
    if lacking := spelling - set(there):
        told = "".join(sorted(lacking))
        raise UnequalError(
            f"this unigram model has no pieces for {told!r}: text that spells a special piece would become it"
        )
    if any(score / QUANTUM != round(score / QUANTUM) for score in there.values()):
        raise UnequalError(
            f"the scores of this unigram model are no multiples of {QUANTUM}: sums would be rounded otherwise"
        )
    scored = [
        (piece.piece, piece.score if piece.type == NORMAL else OUT_OF_REACH)
        for piece in proto.pieces
    ]
    return models.Unigram(
        scored, unk_id=find_unknown(proto), byte_fallback=proto.trainer_spec.byte_fallback
    )


def list_merges(pieces: Iterable[Any], ids: Mapping[str, int]) -> list[tuple[str, str]]:
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
        both = zip(
            batch,
            processor.encode(batch),
            tokenizer.encode_batch(batch, add_special_tokens=False),
            strict=True,
        )
        for text, ours, encoding in both:
            theirs = encoding.ids
            if ours == theirs:
                continue
            at = next(
                (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
                min(len(ours), len(theirs)),
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
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    names = {
        f"{role}_token": proto.pieces[number].piece
        for role, number in list_special_ids(proto).items()
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1 << 30,
        "split_special_tokens": True,
        **names,
    }
    storage.commit_json(folder / "tokenizer_config.json", config)
    storage.commit_json(folder / "special_tokens_map.json", names)
