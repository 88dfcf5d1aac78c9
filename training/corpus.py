"""Opens a pack run for training: its shards, its tokenizer, and the proof that the two belong together."""

from dataclasses import dataclass
from pathlib import Path

import sentencepiece as spm

from gristmill.errors import InputError
from gristmill.hashing import sha256_file
from gristmill.runs import FinishedRun
from gristmill.shards import open_shard
from training.data import Special, Split

SPECIAL_PIECES = {
    Special.PAD: "<pad>",
    Special.UNK: "<unk>",
    Special.BOS: "<s>",
    Special.EOS: "</s>",
    Special.CLS: "[CLS]",
    Special.SEP: "[SEP]",
    Special.MASK: "[MASK]",
}


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """The tokenizer folder of a run, its sentencepiece model loaded."""

    folder: Path
    sha256: str
    pieces: spm.SentencePieceProcessor

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return int(self.pieces.vocab_size())


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a model is trained and validated on."""

    train: Split
    validation: Split
    tokenizer: Tokenizer


def open_corpus(pack: FinishedRun) -> Corpus:
    """Open the shards of a pack run; raises InputError where they were made with another tokenizer than the run's."""
    tokenizer = open_tokenizer(pack.path / "tokenizer")
    return Corpus(_open_split(pack, "train", tokenizer), _open_split(pack, "validation", tokenizer), tokenizer)


def open_tokenizer(folder: Path) -> Tokenizer:
    """Load a tokenizer folder and check that the special pieces have the ids that training relies on."""
    model = folder / "tokenizer.model"
    if not model.is_file():
        raise InputError("there is no sentencepiece model", {"file": model}, "pack the documents again")
    try:
        pieces = spm.SentencePieceProcessor(model_file=str(model))
    except RuntimeError as error:
        fix = "copy it again, or pack the documents again"
        raise InputError("this sentencepiece model cannot be read", {"file": model, "problem": error}, fix) from None
    wrong = {
        piece: pieces.piece_to_id(piece) for id_, piece in SPECIAL_PIECES.items() if pieces.id_to_piece(id_) != piece
    }
    if wrong:
        wanted = ", ".join(f"{piece}={id_.value}" for id_, piece in SPECIAL_PIECES.items())
        fix = f"train the tokenizer with `gristmill tokenizer train`: it fixes {wanted}"
        raise InputError(
            "this tokenizer has other special ids than training needs", {"file": model, "found": wrong}, fix
        )
    return Tokenizer(folder, sha256_file(model), pieces)


def _open_split(pack: FinishedRun, name: str, tokenizer: Tokenizer) -> Split:
    tables = []
    for known in pack.data_files(f"{name}/"):
        if not known.path.endswith(".arrow"):
            continue
        table = open_shard(pack.path / known.path, size=known.bytes, rows=known.rows if known.rows >= 0 else None)
        made_with = (table.schema.metadata or {}).get(b"gristmill.tokenizer", b"").decode()
        if made_with != tokenizer.sha256:
            raise InputError(
                "these shards were made with another tokenizer",
                {
                    "shard": f"{pack.path / known.path}   tokenizer {made_with[:12] or 'not named'}",
                    "run": f"{pack.path / 'tokenizer'}   tokenizer {tokenizer.sha256[:12]}",
                },
                "pack the documents again with `gristmill pack`; do not exchange the tokenizer of a finished run",
            )
        tables.append(table)
    return Split(name, tables)
