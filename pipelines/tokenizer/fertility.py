"""How many tokens a tokenizer needs: per word, character and byte, by source and language.

Fertility is tokens per word (Rust et al. 2021, "How good is your tokenizer?"); words are those the rules count, so Chinese is
measured in jieba's words. Bytes per token compares languages and tokenizers of any kind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers
from sentencepiece import sentencepiece_model_pb2

from pipelines.tokenizer.encoder import FAST, MODEL, Encoder, open_encoder
from pipelines.tokenizer.encoding_tables import BYTE, NORMAL
from pipelines.tokenizer.imports import byte_characters

LONGEST_SHOWN, LANGUAGES_SHOWN = 20, 6
BYTE_PIECES = frozenset(f"<0x{number:02X}>" for number in range(256))
HIGH_BYTES = frozenset(byte_characters()[byte] for byte in range(0x80, 0x100))
"""The same in byte-level vocabularies: bytes of characters that are no ASCII."""


@dataclass(frozen=True, slots=True)
class FertilityRow:
    """What one tokenizer makes of the sample's documents of one source and language ("all": of any)."""

    tokenizer: str
    source: str
    lang: str
    documents: int
    tokens: int
    words: int
    characters: int
    bytes: int
    byte_tokens: int
    """Tokens that are single bytes of characters the vocabulary has not."""

    def record(self) -> dict[str, Any]:
        """The row with its ratios, None where nothing is divided by."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "tokens_per_word": _over(self.tokens, self.words),
            "tokens_per_character": _over(self.tokens, self.characters),
            "bytes_per_token": _over(self.bytes, self.tokens),
            "byte_share": _over(self.byte_tokens, self.tokens),
        }


def _over(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def measure(
    name: str, encoder: Encoder, sample: pa.Table, byte_ids: np.ndarray
) -> tuple[list[FertilityRow], np.ndarray]:
    """The rows of one tokenizer over a sample (text, source, lang, words), and how often each id was used."""
    found = encoder.encode(sample["text"].combine_chunks())
    is_byte = np.zeros(encoder.vocabulary, np.int64)
    is_byte[byte_ids] = 1
    running = np.r_[0, np.cumsum(is_byte[found.ids])]
    table = pa.table(
        {
            "source": sample["source"],
            "lang": sample["lang"],
            "words": sample["words"],
            "characters": pc.utf8_length(sample["text"]),
            "bytes": pc.binary_length(sample["text"]),
            "tokens": np.diff(found.offsets),
            "byte_tokens": np.diff(running[found.offsets]),
        }
    )
    return [
        *_rows(name, table, []),
        *_rows(name, table, ["lang"]),
        *_rows(name, table, ["source", "lang"]),
    ], np.bincount(found.ids, minlength=encoder.vocabulary)


def _rows(name: str, table: pa.Table, by: list[str]) -> list[FertilityRow]:
    """The sums of a table, by these columns."""
    sums = ("tokens", "words", "characters", "bytes", "byte_tokens")
    grouped = table.group_by(by, use_threads=False).aggregate(
        [([], "count_all"), *((column, "sum") for column in sums)]
    )
    return [
        FertilityRow(
            name,
            row.get("source", "all"),
            row.get("lang", "all"),
            row["count_all"],
            *(int(row[f"{column}_sum"] or 0) for column in sums),
        )
        for row in sorted(
            grouped.to_pylist(), key=lambda row: (row.get("source", ""), -row["bytes_sum"])
        )
    ]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The vocabulary of a tokenizer: pieces by id ("" for special ones), and the ids of single bytes."""

    pieces: tuple[str, ...]
    byte_ids: np.ndarray

    def unused(self, used: np.ndarray) -> list[str]:
        """Pieces that no document of the sample has."""
        return [piece for number, piece in enumerate(self.pieces) if piece and not used[number]]

    def longest(self) -> list[str]:
        """The pieces with the most characters, the first of equals by id."""
        return sorted(self.pieces, key=len, reverse=True)[:LONGEST_SHOWN]


def pieces_of(folder: Path) -> Pieces:
    """The vocabulary of a tokenizer folder."""
    if (folder / MODEL).is_file():
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString((folder / MODEL).read_bytes())
        kinds = [(piece.piece, piece.type) for piece in proto.pieces]
        byte_ids = [number for number, (_, kind) in enumerate(kinds) if kind == BYTE]
        return Pieces(
            tuple(piece if kind == NORMAL else "" for piece, kind in kinds),
            np.array(byte_ids, np.int64),
        )
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / FAST))
    vocabulary, special = (
        tokenizer.get_vocab(),
        {n for n, one in tokenizer.get_added_tokens_decoder().items() if one.special},
    )
    by_id = {number: piece for piece, number in vocabulary.items() if number not in special}
    spelled = HIGH_BYTES if "ByteLevel" in repr(tokenizer.pre_tokenizer) else BYTE_PIECES
    byte_ids = [number for piece, number in vocabulary.items() if piece in spelled]
    return Pieces(
        tuple(by_id.get(number, "") for number in range(max(vocabulary.values()) + 1)),
        np.array(byte_ids, np.int64),
    )


def report_of(names: Sequence[tuple[str, Path]], sample: pa.Table) -> dict[str, Any]:
    """Rows and vocabularies of several tokenizers over one sample, as JSON."""
    rows, vocabularies = list[dict[str, Any]](), []
    for name, folder in names:
        encoder, vocabulary = open_encoder(folder), pieces_of(folder)
        measured, used = measure(name, encoder, sample, vocabulary.byte_ids)
        rows += [row.record() for row in measured]
        unused = vocabulary.unused(used)
        vocabularies.append(
            {
                "tokenizer": name,
                "vocab_size": encoder.vocabulary,
                "unused": len(unused),
                "unused_pieces": unused[:200],
                "longest": vocabulary.longest(),
            }
        )
    return {
        "documents": sample.num_rows,
        "bytes": int(pc.sum(pc.binary_length(sample["text"])).as_py() or 0),
        "rows": rows,
        "vocabularies": vocabularies,
    }


def cut_model(model: bytes, size: int) -> bytes:
    """A BPE model of `size` pieces: the first merges of a larger one, and all its characters.

    Merges come in the order in which they were found, whatever the size wished for, so this is what training would have made.
    """
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    merged = [piece for piece in proto.pieces if piece.type == NORMAL and len(piece.piece) > 1]
    others = [piece for piece in proto.pieces if piece.type != NORMAL]
    characters = [piece for piece in proto.pieces if piece.type == NORMAL and len(piece.piece) == 1]
    kept = [*others, *merged[: max(0, size - len(others) - len(characters))], *characters]
    del proto.pieces[:]
    proto.pieces.extend(kept)
    proto.trainer_spec.vocab_size = len(kept)
    return bytes(proto.SerializeToString(deterministic=True))


def sizes_between(model: bytes) -> tuple[int, int]:
    """The fewest pieces that a BPE model can be cut to (special ones, bytes and characters), and the most: all that it has."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    return sum(piece.type != NORMAL or len(piece.piece) == 1 for piece in proto.pieces), len(
        proto.pieces
    )


def as_lines(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The rows of all and of the largest languages as lines for people; a tokenizer's rows begin with the one of all."""
    head = [
        "tokenizer",
        "lang",
        "documents",
        "tokens/word",
        "tokens/char",
        "bytes/token",
        "bytes alone",
    ]
    cells, shown = [head], 0
    for row in rows:
        if row["source"] != "all":
            continue
        shown = 0 if row["lang"] == "all" else shown + 1
        if shown <= LANGUAGES_SHOWN:
            numbers = [
                _told(row[name])
                for name in ("tokens_per_word", "tokens_per_character", "bytes_per_token")
            ]
            cells.append(
                [
                    row["tokenizer"],
                    row["lang"],
                    f"{row['documents']:,}",
                    *numbers,
                    f"{row['byte_share'] or 0:.2%}",
                ]
            )
    widths = [max(len(line[at]) for line in cells) for at in range(len(head))]
    return [
        "  "
        + "  ".join(
            cell.ljust(w) if at < 2 else cell.rjust(w)
            for at, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _told(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
