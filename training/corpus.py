"""Opens a pack run for training: its shards, its tokenizer, and the proof that the two belong
together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
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

PACK_OPTIONS = {"decide": "--in", "tokenizer": "--tokenizer"}
"""Which option of `gristmill pack` takes a run of which step."""

LARGER_SHARE = 0.1
"""A validation share that is enough for a small corpus too."""

TOKENIZER_KEY = b"gristmill.tokenizer"
"""Key of the schema metadata of a shard: the SHA-256 of the tokenizer it was made with."""


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
    """Open the shards of a pack run; InputError where they were made with another tokenizer than
    the run's.
    """
    tokenizer = open_tokenizer(pack.path / "tokenizer")
    return PackedCorpus(
        train=_open_split(pack, "train", tokenizer),
        validation=_open_split(pack, "validation", tokenizer),
        tokenizer=tokenizer,
        pack=pack,
    )


def refuse_too_small(corpus: PackedCorpus, split: TokenSplit, *, samples: int, length: int) -> None:
    """Raise InputError where a split gives no sample; for the validation split it names the command
    that enlarges it.
    """
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
        fix = f"`{_larger_validation_command(pack)}`, or lower data.sequence_length"
    raise InputError(
        f"the {split.name} split is too small for one sample",
        {**where, "data.sequence_length": length},
        fix,
    )


def _larger_validation_command(pack: FinishedRun) -> str:
    """The pack command of this run with a larger validation share."""
    runs_by_step: dict[str, Path] = {}
    for source in pack.manifest["inputs"]:
        step = source["name"].partition("-")[0]
        runs_by_step[step] = pack.path.parent / source["name"]
    words = ["gristmill pack"]
    for step, option in PACK_OPTIONS.items():
        if step in runs_by_step:
            words.append(f"{option} {runs_by_step[step]}")
    words.append(f"--set pack.validation={LARGER_SHARE}")
    return " ".join(words)


def open_tokenizer(folder: Path) -> Tokenizer:
    """Load a tokenizer folder and check that the special pieces have the ids that training relies
    on.
    """
    model = folder / "tokenizer.model"
    if not model.is_file():
        raise _no_sentencepiece_model(folder, model)
    try:
        pieces = spm.SentencePieceProcessor(model_file=str(model))
    except RuntimeError as error:
        raise InputError(
            "this sentencepiece model cannot be read",
            {"file": model, "problem": error},
            "copy it again, or pack the documents again",
        ) from None
    _refuse_other_special_ids(model, pieces)
    return Tokenizer(folder, sha256_file(model), pieces)


def _no_sentencepiece_model(folder: Path, model: Path) -> InputError:
    if (folder / "tokenizer.json").is_file():
        return InputError(
            "training needs a sentencepiece tokenizer, and this one was imported",
            {"folder": folder},
            "train one with `gristmill tokenizer train`, and pack the documents with it",
        )
    return InputError(
        "there is no sentencepiece model", {"file": model}, "pack the documents again"
    )


def _refuse_other_special_ids(model: Path, pieces: spm.SentencePieceProcessor) -> None:
    wrong = {
        piece: pieces.piece_to_id(piece)
        for id_, piece in SPECIAL_PIECES.items()
        if pieces.id_to_piece(id_) != piece
    }
    if wrong:
        expected = ", ".join(f"{piece}={id_.value}" for id_, piece in SPECIAL_PIECES.items())
        raise InputError(
            "this tokenizer has other special ids than training needs",
            {"file": model, "found": wrong},
            f"train the tokenizer with `gristmill tokenizer train`: it fixes {expected}",
        )


def _open_split(pack: FinishedRun, name: str, tokenizer: Tokenizer) -> TokenSplit:
    files = [file for file in pack.data_files(f"{name}/") if file.path.endswith(".arrow")]
    tables = []
    for file in files:
        path = pack.path / file.path
        # Manifests of early versions do not know the rows, and say -1.
        rows = file.rows if file.rows >= 0 else None
        table = open_shard(path, size=file.bytes, rows=rows)
        _refuse_other_tokenizer(pack, path, table, tokenizer)
        tables.append(table)
    return TokenSplit(name, tables)


def _refuse_other_tokenizer(
    pack: FinishedRun, path: Path, table: pa.Table, tokenizer: Tokenizer
) -> None:
    metadata = table.schema.metadata or {}
    made_with = metadata.get(TOKENIZER_KEY, b"").decode()
    if made_with != tokenizer.sha256:
        raise InputError(
            "these shards were made with another tokenizer",
            {
                "shard": f"{path}   tokenizer {made_with[:12] or 'not named'}",
                "run": f"{pack.path / 'tokenizer'}   tokenizer {tokenizer.sha256[:12]}",
            },
            "pack the documents again with `gristmill pack`;"
            " do not exchange the tokenizer of a finished run",
        )
