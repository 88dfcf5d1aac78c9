"""Opens a pack run for training: its shards, its tokenizer, and the proof that the two belong together."""

from dataclasses import dataclass
from pathlib import Path

import sentencepiece as spm

from gristmill.corpus.shards import open_shard
from gristmill.errors import InputError
from gristmill.hashing import sha256_file
from gristmill.runs.finished import FinishedRun
from training.data import Special, TokenSplit

SPECIAL_PIECES = {
    Special.PAD: "<pad>",
    Special.UNK: "<unk>",
    Special.BOS: "<s>",
    Special.EOS: "</s>",
    Special.CLS: "[CLS]",
    Special.SEP: "[SEP]",
    Special.MASK: "[MASK]",
}


PACK_READS = (("--in", "decide"), ("--tokenizer", "tokenizer"))
LARGER_SHARE = 0.1
"""A validation share that is enough for a small corpus too."""


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
class PackedCorpus:
    """What a model is trained and validated on."""

    train: TokenSplit
    validation: TokenSplit
    tokenizer: Tokenizer
    pack: FinishedRun


def open_corpus(pack: FinishedRun) -> PackedCorpus:
    """Open the shards of a pack run; raises InputError where they were made with another tokenizer than the run's."""
    tokenizer = open_tokenizer(pack.path / "tokenizer")
    train, validation = (_open_split(pack, name, tokenizer) for name in ("train", "validation"))
    return PackedCorpus(train, validation, tokenizer, pack)


def refuse_too_small(corpus: PackedCorpus, split: TokenSplit, *, samples: int, length: int) -> None:
    """Raise InputError where a split gives no sample; for the validation split it names the command that enlarges it."""
    if samples:
        return
    pack = corpus.pack
    where: dict[str, object] = {
        "pack run": pack.path,
        "documents": split.documents,
        "tokens": split.tokens,
    }
    fix = "pack more documents, or lower data.sequence_length"
    if split is corpus.validation:
        where["pack.validation"] = pack.manifest["config"].get("validation", "not named")
        read = {
            source["name"].partition("-")[0]: pack.path.parent / source["name"]
            for source in pack.manifest["inputs"]
        }
        given = "".join(f" {option} {read[step]}" for option, step in PACK_READS if step in read)
        fix = f"`gristmill pack{given} --set pack.validation={LARGER_SHARE}`, or lower data.sequence_length"
    raise InputError(
        f"the {split.name} split is too small for one sample",
        {**where, "data.sequence_length": length},
        fix,
    )


def open_tokenizer(folder: Path) -> Tokenizer:
    """Load a tokenizer folder and check that the special pieces have the ids that training relies on."""
    model = folder / "tokenizer.model"
    if (folder / "tokenizer.json").is_file() and not model.is_file():
        fix = "train one with `gristmill tokenizer train`, and pack the documents with it"
        raise InputError(
            "training needs a sentencepiece tokenizer, and this one was imported",
            {"folder": folder},
            fix,
        )
    if not model.is_file():
        raise InputError(
            "there is no sentencepiece model", {"file": model}, "pack the documents again"
        )
    try:
        pieces = spm.SentencePieceProcessor(model_file=str(model))
    except RuntimeError as error:
        fix = "copy it again, or pack the documents again"
        raise InputError(
            "this sentencepiece model cannot be read", {"file": model, "problem": error}, fix
        ) from None
    wrong = {
        piece: pieces.piece_to_id(piece)
        for id_, piece in SPECIAL_PIECES.items()
        if pieces.id_to_piece(id_) != piece
    }
    if wrong:
        wanted = ", ".join(f"{piece}={id_.value}" for id_, piece in SPECIAL_PIECES.items())
        fix = f"train the tokenizer with `gristmill tokenizer train`: it fixes {wanted}"
        raise InputError(
            "this tokenizer has other special ids than training needs",
            {"file": model, "found": wrong},
            fix,
        )
    return Tokenizer(folder, sha256_file(model), pieces)


def _open_split(pack: FinishedRun, name: str, tokenizer: Tokenizer) -> TokenSplit:
    tables = []
    for known in pack.data_files(f"{name}/"):
        if not known.path.endswith(".arrow"):
            continue
        table = open_shard(
            pack.path / known.path, size=known.bytes, rows=known.rows if known.rows >= 0 else None
        )
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
    return TokenSplit(name, tables)
