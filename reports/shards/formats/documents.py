"""The documents of a split as arrays of ids, each with the end-of-text id behind it: what every writer writes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from gristmill.corpus.shards import open_shard
from gristmill.errors import ConfigError, InputError
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun
from reports.shards.checks import sealed_faults


@dataclass(frozen=True, slots=True)
class Batch:
    """Some documents: their ids one after the other, where each ends, and their names."""

    ids: np.ndarray
    """uint16 or uint32 (tokens,)"""
    ends: np.ndarray
    """int64 (documents,)"""
    names: list[str]


def batches(run: FinishedRun, split: str, end: int | None) -> Iterator[Batch]:
    """The documents of a split, a record batch at a time; `end` is put behind each, None: nothing is.

    Raises InputError where an id is beyond the vocabulary: writers choose their type by it, and NumPy would wrap the id.
    """
    vocabulary = int(run.details["vocab_size"])
    for file in run.data_files(f"{split}/"):
        if file.path.endswith(".arrow"):
            table = open_shard(
                run.path / file.path, size=file.bytes, rows=file.rows if file.rows >= 0 else None
            )
            for batch in table.to_batches():
                check_ids(
                    batch["input_ids"].flatten().to_numpy(),
                    vocabulary,
                    {"shard": run.path / file.path},
                )
                yield _batch(batch, end)


def _batch(batch: pa.RecordBatch, end: int | None) -> Batch:
    ids, offsets = (
        batch["input_ids"].flatten().to_numpy(),
        batch["input_ids"].offsets.to_numpy().astype(np.int64),
    )
    ends = offsets[1:] - offsets[0]
    if end is not None:
        ids, ends = np.insert(ids, ends, end), ends + np.arange(1, len(ends) + 1)
    return Batch(ids, ends, batch["id"].to_pylist())


def check_sealed(run: FinishedRun, splits: Iterable[str], told: Callable[[int], None]) -> None:
    """Raise InputError, before anything is written, for a shard of these splits whose bytes are not those that were sealed."""
    for file in (
        file
        for split in splits
        for file in run.data_files(f"{split}/")
        if file.path.endswith(".arrow")
    ):
        for fault in sealed_faults(run, file):
            raise InputError(fault.what, {"file": run.path / file.path}, fault.fix)
        told(file.bytes)


def check_ids(ids: np.ndarray, vocabulary: int, where: Mapping[str, object]) -> None:
    """Raise InputError where an id is not below the vocabulary."""
    if (highest := int(ids.max(initial=0))) >= vocabulary:
        raise InputError(
            "an id is beyond the vocabulary",
            {**where, "id": highest, "vocabulary": vocabulary},
            "see `gristmill shards verify` for all that is wrong with this run, and pack again",
        )


def end_of(run: FinishedRun) -> int:
    """The id that ends a text, by the run's tokenizer folder. Raises ConfigError where it names none."""
    folder = run.path / "tokenizer"
    names = folder / "special_tokens_map.json"
    told = storage.read_json(names) if names.is_file() else {}
    entry = told.get("eos_token") or "</s>"
    name = entry if isinstance(entry, str) else str(entry["content"])
    found = _id_of(folder, name)
    if found is None:
        raise ConfigError(
            "this tokenizer names no token that ends a text", {"folder": folder}, "give --no-end"
        )
    if found >= (vocabulary := int(run.details["vocab_size"])):
        where = {"folder": folder, "token": f"{name}, id {found}", "vocabulary": vocabulary}
        raise ConfigError(
            "the token that ends a text is beyond the vocabulary of the shards",
            where,
            "give --no-end",
        )
    return found


def _id_of(folder: Path, name: str) -> int | None:
    if (folder / "tokenizer.model").is_file():
        import sentencepiece

        pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        number = int(pieces.piece_to_id(name))
        return number if pieces.id_to_piece(number) == name else None
    import tokenizers

    found: int | None = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(
        name
    )
    return found


def splits_of(run: FinishedRun, wanted: Sequence[str]) -> dict[str, int]:
    """The documents of the wanted splits, all without any; raises InputError for one that the run has not."""
    there: Mapping[str, Mapping[str, int]] = run.details["splits"]
    if absent := [name for name in wanted if name not in there]:
        where = {"split": absent[0], "there are": ", ".join(there)}
        raise InputError("this run has no such split", where, "name one of those with --split")
    return {name: there[name]["documents"] for name in wanted or there}
