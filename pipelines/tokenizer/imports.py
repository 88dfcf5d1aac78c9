"""Tokenizers of others: a sentencepiece model, a `tokenizer.json` or a tiktoken vocabulary becomes a tokenizer folder of ours.

A tiktoken file holds ranks alone: lines of a token in base64 and its id. Which tokens were merged follows from them: a token
is made of the two parts into which byte-pair encoding with lower ranks cuts it. The pattern that cuts texts into words first
is no part of the file; those of OpenAI's vocabularies are known by name.
"""

import base64
import binascii
import itertools
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from gristmill.errors import ConfigError, GristmillError, InputError
from gristmill.hashing import sha256_bytes
from gristmill.runs import storage
from pipelines.tokenizer.encoder import FAST, MODEL, HuggingFaceEncoder
from pipelines.tokenizer.hugging_face import (
    UnequalError,
    build_fast_tokenizer,
    check_equal,
    find_unknown,
    list_special_ids,
    write_tokenizer,
)

BESIDE = ("tokenizer_config.json", "special_tokens_map.json")
ROLES = ("pad", "unk", "bos", "eos", "cls", "sep", "mask")
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_MARK = r"[^\r\n\p{L}\p{N}]?"
PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k_base": rf"{_CONTRACTIONS}|{_MARK}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s+\z|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k_base": (
        rf"{_MARK}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_MARK}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?|\p{{N}}{{1,3}}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
SAME = {
    "r50k_base": "gpt2",
    "p50k_base": "gpt2",
    "p50k_edit": "gpt2",
    "o200k_harmony": "o200k_base",
}
"""Vocabularies of tiktoken's that cut texts as another does."""
PATTERNS |= {name: PATTERNS[other] for name, other in SAME.items()}
"""How tiktoken's vocabularies cut texts (tiktoken_ext/openai_public.py), in the syntax of `tokenizers`."""

PROBES = [
    "",
    " ",
    "a",
    "  two  spaces ",
    "Tabs\tand\nlines\r\n",
    "大型语言模型。中文，没有空格",
    "emoji 😀 👩‍👩‍👦 é e\u0301 ﬁ Ａ １２ ½",
    "[MASK] </s> <s> <unk> <pad> [CLS] <0x41> <0x0A>",
    "▁ ▁a a▁",
    "aaaaaaa !!!!!!! -------",
    "It's 2,000 years-old; isn't it?",
    "\x00\x01\x7f",
    "ЁЖ Ελλάδα हिन्दी ไทย 한국어 日本語",
    "x" * 500,
    "中" * 500,
]
"""Texts on which a Hugging Face form must agree before it is written."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was made: details for the manifest, why there is no Hugging Face form, if so, and what else is to be said."""

    sha256: str
    kind: str
    vocab_size: int
    special: Mapping[str, int]
    without_form: str = ""
    leaves_out: str = ""

    @property
    def details(self) -> dict[str, object]:
        """What a tokenizer run's manifest says."""
        return {
            "tokenizer": self.sha256,
            "kind": self.kind,
            "vocab_size": self.vocab_size,
            "special": dict(self.special),
        }


def import_sentencepiece(raw: bytes, folder: Path, *, name: str) -> Imported:
    """Write a sentencepiece model, with its Hugging Face form where that is exact on all probes."""
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=raw)
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(raw)
        find_unknown(proto)
        if not all(
            isinstance(piece.piece, str) for piece in proto.pieces
        ):  # protobuf gives bytes that are no UTF-8 as such
            raise ValueError("a piece is no UTF-8")
    except Exception as error:  # RuntimeError, protobuf's DecodeError, or no piece at all
        raise InputError(
            "this is no sentencepiece model", {"file": name, "problem": error}, "give a whole one"
        ) from None
    without = ""
    try:
        form = build_fast_tokenizer(raw)
        check_equal(raw, form, PROBES)
        write_tokenizer(folder, raw, form)
    except UnequalError as error:
        without = str(error)
        storage.commit_bytes(folder / MODEL, raw)
    return Imported(
        sha256_bytes(raw),
        "sentencepiece",
        processor.get_piece_size(),
        list_special_ids(proto),
        without,
    )


def import_fast(raw: bytes, folder: Path, *, name: str, beside: Mapping[str, bytes]) -> Imported:
    """Write a `tokenizer.json` as it is, with the files `beside` it that name its special tokens."""
    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(raw)
    except Exception as error:  # `tokenizers` raises bare ones
        raise InputError(
            "this is no tokenizer.json", {"file": name, "problem": error}, "give a whole one"
        ) from None
    if not tokenizer.get_vocab():
        raise InputError("this tokenizer.json has no tokens", {"file": name}, "give a whole one")
    named: dict[str, str] = {}
    for other in BESIDE:
        named |= _roles(beside[other], str(Path(name).with_name(other))) if other in beside else {}
    found = {role: tokenizer.token_to_id(token) for role, token in named.items()}
    special = {role: number for role, number in found.items() if number is not None}
    refuse_spelled(tokenizer, special, name, _unknown(raw))
    storage.commit_bytes(folder / FAST, raw)
    for other, content in beside.items():
        storage.commit_bytes(folder / other, content)
    return Imported(
        sha256_bytes(raw), "huggingface", max(tokenizer.get_vocab().values()) + 1, special
    )


def _roles(raw: bytes, name: str) -> dict[str, str]:
    """The special tokens that a file beside a tokenizer.json names, by role. Raises InputError where it cannot be read."""
    try:
        tokens = {role: token for role in ROLES if (token := json.loads(raw).get(f"{role}_token"))}
        found = {
            role: token if isinstance(token, str) else token["content"]
            for role, token in tokens.items()
        }
        if not all(isinstance(token, str) for token in found.values()):
            raise TypeError("a token is no text")
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        where = {"file": name, "problem": f"{type(error).__name__}: {error}"}
        raise InputError(
            "this file does not name special tokens", where, "give a whole one, or take it away"
        ) from None
    return found


def _unknown(raw: bytes) -> int | str | None:
    """What the model of a tokenizer.json gives for text that it has no token for: an id (unigram), a token, or nothing."""
    model = json.loads(raw)["model"]
    found: int | str | None = model.get("unk_id") if "unk_id" in model else model.get("unk_token")
    return found


def refuse_spelled(
    tokenizer: tokenizers.Tokenizer, roles: Mapping[str, int], name: str, unknown: int | str | None
) -> None:
    """Raise InputError where a text that spells a special token becomes its id; one for unknown text alone may."""
    added = tokenizer.get_added_tokens_decoder()
    special = {number for number, token in added.items() if token.special} | set(roles.values())
    unknown = tokenizer.token_to_id(unknown) if isinstance(unknown, str) else unknown
    special -= {unknown} - {number for role, number in roles.items() if role != "unk"}
    encoder = HuggingFaceEncoder(tokenizer)
    for number in sorted(special):
        token = tokenizer.id_to_token(number) or ""
        if any(number in _ids(encoder, text) for text in spellings(token)):
            fix = "give the sentencepiece model or tiktoken file that it was made of, where there is one"
            if number in added and not added[number].special:
                fix = "set `special` of this token in `added_tokens` to true"
            where = {"file": name, "token": token, "id": number}
            raise InputError("a text that spells this special token would become it", where, fix)


def _ids(encoder: HuggingFaceEncoder, text: str) -> list[int]:
    """The ids of a text; none where the tokenizer has nothing for it."""
    try:
        ids: list[int] = encoder.encode(pa.array([text])).ids.tolist()
    except Exception:  # `tokenizers` raises bare ones: no unknown token
        return []
    return ids


def spellings(token: str) -> list[str]:
    """Texts that hold a token: as it is written, alone and among others, and as the bytes it stands for are."""
    bytes_of = {character: byte for byte, character in byte_characters().items()}
    said = (
        bytes(bytes_of[c] for c in token).decode("utf-8", "replace")
        if set(token) <= set(bytes_of)
        else token
    )
    return [
        form.format(word)
        for word in dict.fromkeys((token, said))
        for form in ("{}", " {}", "a{}b", "a {} b", "{0}{0}")
    ]


def read_ranks(raw: bytes, *, name: str, taken: Collection[int] = ()) -> dict[bytes, int]:
    """The tokens of a tiktoken file with their ids, those `taken` by special tokens left out.

    Raises InputError naming the line that is wrong.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(raw.splitlines(), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            if not rank.isdigit():
                raise ValueError("a rank is written in digits alone")
            key, value = base64.b64decode(token, validate=True), int(rank)
        except (ValueError, binascii.Error):
            raise InputError(
                "this is no line of a tiktoken file",
                {"file": name, "line": number},
                "`<base64> <rank>`",
            ) from None
        if key in ranks:
            raise InputError(
                "a token stands twice", {"file": name, "line": number}, "give a whole file"
            )
        ranks[key] = value
    _refuse_gaps(ranks, name, taken)
    return ranks


def _refuse_gaps(ranks: Mapping[bytes, int], name: str, taken: Collection[int]) -> None:
    there, highest = set(ranks.values()), max(ranks.values(), default=-1)
    between = {number for number in taken if number < highest} - there
    if len(there) != len(ranks) or highest + 1 != len(there | between) or len(ranks) < 256:
        where = {"file": name, "tokens": len(ranks), "highest": highest}
        raise InputError(
            "ranks must run from 0 on without a gap, all 256 bytes among them",
            where,
            "is the file cut?",
        )
    if lacking := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise InputError(
            "a byte has no token", {"file": name, "byte": lacking[0]}, "is the file cut?"
        )


def merges_of(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The merges of a vocabulary, first one first. Raises InputError where later ones could make a token.

    One that no two tokens make is met as a whole word alone, in tiktoken too.
    """
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            parts = cut(token, ranks, below=rank)
            if len(parts) == 2:
                merges.append((parts[0], parts[1]))
            elif any(token[:at] in ranks and token[at:] in ranks for at in range(1, len(token))):
                where = {"token": repr(token), "rank": rank, "parts": len(parts)}
                raise InputError(
                    "a token is made of later ones: its merge is unknown",
                    where,
                    "give ranks in order",
                )
    return merges


def cut(token: bytes, ranks: Mapping[bytes, int], *, below: int) -> list[bytes]:
    """Byte-pair encoding of `token` by the ranks below `below`: of all pairs the one with the lowest rank is joined first."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 1:
        found = [
            (ranks.get(a + b, below), at) for at, (a, b) in enumerate(itertools.pairwise(parts))
        ]
        rank, at = min(found)
        if rank >= below:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def byte_characters() -> dict[int, str]:
    """The character that stands for each byte in byte-level vocabularies (GPT-2): itself where it can be seen."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {
        byte: chr(0x100 + place) for place, byte in enumerate(others)
    }


def fast_of_ranks(
    ranks: Mapping[bytes, int], pattern: str, special: Mapping[str, int]
) -> tokenizers.Tokenizer:
    """The `tokenizers` form of a tiktoken vocabulary; `special` names tokens behind it."""
    spelled = byte_characters()

    def written(token: bytes) -> str:
        return "".join(spelled[byte] for byte in token)

    vocabulary = {written(token): rank for token, rank in ranks.items()}
    if twice := sorted(set(vocabulary) & set(special)):
        raise ConfigError(
            "text could become this special token: a token is spelled so",
            {"--special": twice[0]},
            "name it otherwise",
        )
    vocabulary |= special
    merges = [(written(a), written(b)) for a, b in merges_of(ranks)]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words_of(pattern), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    for name in special:  # `ignore_merges` takes a word that is spelled so for the token
        if any(
            name == word
            for text in spellings(name)
            for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)
        ):
            where = {"--special": name, "pattern": pattern}
            raise ConfigError(
                "text could become this special token: it is one word", where, "name it otherwise"
            )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(name, normalized=False, special=True) for name in special]
    )
    return tokenizer


def words_of(pattern: str) -> pre_tokenizers.PreTokenizer:
    """The words into which a pattern cuts a text; what it does not match is left out, as tiktoken leaves it out."""
    return pre_tokenizers.Split(Regex(PATTERNS.get(pattern, pattern)), "removed", invert=True)


def left_out(pattern: str) -> str:
    """What a pattern leaves out of the first probe that it does not cover, in words; "" where it covers all.

    Raises ConfigError where it matches between characters: tiktoken dies of an empty word.
    """
    words, told, mark = words_of(pattern), "", "\ue000"
    matches = normalizers.Replace(Regex(PATTERNS.get(pattern, pattern)), mark)
    for probe in PROBES:
        found = [word for word, _ in words.pre_tokenize_str(probe)]
        if matches.normalize_str(probe).count(mark) > len(found):
            where = {"--pattern": pattern, "text": repr(probe[:40])}
            raise ConfigError("this pattern matches where there is nothing", where, "write + for *")
        if "".join(found) != probe and not told:
            told = f"this pattern leaves text out, as in tiktoken: of {probe[:40]!r} stays {''.join(found)[:40]!r}"
    return told


def import_tiktoken(
    raw: bytes, folder: Path, *, name: str, pattern: str | None, special: Sequence[str]
) -> Imported:
    """Write a tiktoken vocabulary as a `tokenizer.json`; `special` are `name=id`."""
    if not pattern:
        raise ConfigError(
            "a tiktoken file does not say how texts are cut",
            fix=f"--pattern {', '.join(PATTERNS)} or a regex",
        )
    if pattern not in PATTERNS and pattern.isidentifier():
        raise ConfigError(
            "no such pattern",
            {"--pattern": pattern},
            f"{', '.join(PATTERNS)} or a regular expression",
        )
    if re.search(r"\{\d+,?\d*\}\+", pattern) and pattern not in PATTERNS:
        fix = "leave the + behind } out, and write (?>...) around it where it matters"
        raise ConfigError("`{n,m}+` is no possessive repetition here", {"--pattern": pattern}, fix)
    tokens = special_of(special)
    ranks = read_ranks(raw, name=name, taken=tokens.values())
    if clash := set(tokens.values()) & set(ranks.values()):
        where = {"id": min(clash), "ids of the file end at": max(ranks.values())}
        raise ConfigError(
            "a special token is a name and a free id", where, "--special '<|endoftext|>=50256'"
        )
    try:
        tokenizer, leaves_out = fast_of_ranks(ranks, pattern, tokens), left_out(pattern)
    except GristmillError:
        raise
    except Exception as error:  # a regex that Oniguruma refuses
        raise ConfigError(
            "this pattern cannot be used", {"pattern": pattern, "problem": error}
        ) from None
    raw = tokenizer.to_str().encode()
    made = import_fast(raw, folder, name=name, beside={})
    end = {"eos": tokens["<|endoftext|>"]} if "<|endoftext|>" in tokens else {}
    storage.commit_json(
        folder / BESIDE[0],
        {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False},
    )
    storage.commit_json(folder / BESIDE[1], {"eos_token": "<|endoftext|>"} if end else {})
    return Imported(made.sha256, "huggingface", made.vocab_size, end, leaves_out=leaves_out)


def special_of(given: Sequence[str]) -> dict[str, int]:
    """`name=id` as a dictionary, each name and id once."""
    found: dict[str, int] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        if not (name and number.isascii() and number.isdigit() and len(number) < 9) or (
            name in found or int(number) in found.values()
        ):
            where = {"--special": text}
            raise ConfigError(
                "a special token is a name and a free id", where, "--special '<|endoftext|>=50256'"
            )
        found[name] = int(number)
    return found
