"""Tokenizer runs that are not trained here but imported, and their export as folders."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers

from gristmill import cli
from gristmill.config import Config
from gristmill.corpus.view import open_documents_run
from gristmill.errors import ConfigError, InputError, RunError, UserError
from gristmill.hashing import sha256_bytes
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun, Input, latest_of, open_parents, open_run
from gristmill.runs.run import start_run
from gristmill.steps.code_identity import digest_code
from pipelines.tokenizer.encoder import FAST, MODEL
from pipelines.tokenizer.hugging_face import check_equal
from pipelines.tokenizer.imports import (
    BESIDE,
    PROBES,
    Imported,
    import_fast,
    import_sentencepiece,
    import_tiktoken,
)
from pipelines.tokenizer.sample import iter_sample_texts, list_candidates

RANK_LINE = re.compile(rb"[A-Za-z0-9+/]+=*[ \t]+[0-9]+[ \t\r]*(?:\n|\Z)")
CHECKED = 1000
"""Documents on which an export is compared, of each shard."""


class ImportConfig(Config):
    """How a file is read."""

    pattern: str | None = None
    special: tuple[str, ...] = ()


def import_tokenizer(
    file: Path, out: Path, *, pattern: str | None, special: Sequence[str], force: bool = False
) -> FinishedRun:
    """The tokenizer run of a file of others; raises InputError where it is none."""
    path = file / FAST if file.is_dir() else file
    if not path.is_file():
        raise InputError(
            "there is no such tokenizer",
            {"file": path},
            "name a .model, a tokenizer.json or a .tiktoken file",
        )
    raw = path.read_bytes()
    if (pattern or special) and not is_tiktoken(raw, path):
        where = {"file": path, "given": "--pattern" if pattern else "--special"}
        raise ConfigError(
            "only a tiktoken file takes --pattern and --special", where, "leave them out"
        )
    beside = {
        name: (path.parent / name).read_bytes() for name in BESIDE if (path.parent / name).is_file()
    }
    beside = beside if path.suffix == ".json" else {}
    identity = sha256_bytes(b"".join([raw, *beside.values()]))
    config = ImportConfig(pattern=pattern, special=tuple(special))
    given = [Input(path.name, identity, str(path))]
    with start_run(
        "tokenizer",
        out=out,
        config=config,
        inputs=given,
        code=digest_code("pipelines.tokenizer.imports"),
        force=force,
    ) as run:
        if run.finished:
            return run.finished
        made = _import(raw, path, run.path / "tokenizer", beside, config)
        if made.without_form:
            cli.say(f"tokenizer  has no Hugging Face form: {made.without_form}")
        if made.leaves_out:
            cli.say(f"tokenizer  {made.leaves_out}")
        cli.say(f"tokenizer  {made.kind}, {made.vocab_size} ids -> {run.path}")
        return run.finish(details=made.details)


def _import(
    raw: bytes, path: Path, folder: Path, beside: dict[str, bytes], config: ImportConfig
) -> Imported:
    storage.make_folder(folder)
    if path.suffix == ".json":
        return import_fast(raw, folder, name=str(path), beside=beside)
    if is_tiktoken(raw, path):
        return import_tiktoken(
            raw, folder, name=str(path), pattern=config.pattern, special=config.special
        )
    return import_sentencepiece(raw, folder, name=str(path))


def is_tiktoken(raw: bytes, path: Path) -> bool:
    """Whether a file holds ranks: by its name, or, as Llama 3's `tokenizer.model`, by its first line."""
    return path.suffix == ".tiktoken" or (path.suffix != ".json" and bool(RANK_LINE.match(raw)))


def export_tokenizer(run: FinishedRun, to: Path) -> int:
    """Copy a tokenizer run's folder to `to` once its two forms agree; returns on how many texts they were compared.

    Raises UnequalError where they do not, and UserError where the tokenizer has no Hugging Face form, or `to` is sealed.
    """
    if sealed := next(
        (place for place in (to.resolve(), *to.resolve().parents) if _is_run(place)), None
    ):
        raise UserError(
            "an export cannot be written into a run",
            {"--to": to, "run": sealed},
            "name another folder",
        )
    folder = run.path / "tokenizer"
    if not (folder / FAST).is_file():
        raise UserError(
            "this tokenizer has no exact Hugging Face form", {"run": run.path}, f"use its {MODEL}"
        )
    checked = 0
    if (folder / MODEL).is_file():
        fast, texts = (
            tokenizers.Tokenizer.from_file(str(folder / FAST)),
            [*PROBES, *_documents(run)],
        )
        checked = check_equal((folder / MODEL).read_bytes(), fast, texts)
    for path in sorted(folder.iterdir()):
        storage.commit_bytes(to / path.name, path.read_bytes())
    return checked


def _is_run(folder: Path) -> bool:
    try:
        return bool(open_run(folder).id)
    except RunError:
        return False


def how_to_open(folder: Path) -> str:
    """How an exported folder is to be opened, so that a text which spells a special token stays text."""
    settings = folder / BESIDE[0]
    if settings.is_file() and storage.read_json(settings).get("split_special_tokens"):
        return (
            f"open it with AutoTokenizer.from_pretrained({str(folder)!r}): opened without its tokenizer_config.json, as by "
            "PreTrainedTokenizerFast(tokenizer_file=...), a text that spells a special token becomes it"
        )
    return (
        f"open it with AutoTokenizer.from_pretrained({str(folder)!r}), and give split_special_tokens=True for text from "
        "the web: else a text that spells a special token becomes it"
    )


def _documents(run: FinishedRun) -> list[str]:
    """Final texts of the documents with the smallest keys in each shard of the corpus that a tokenizer was trained for."""
    decided = latest_of(open_parents(run), "decide")
    if decided is None:
        return []
    documents, decisions = (
        str(one.path / name)
        for one, name in ((open_documents_run(decided), "documents"), (decided, "decisions"))
    )
    nodes = []
    for shard in range(len(decided.files("decisions/"))):
        rows = list_candidates(documents, decisions, shard, run.manifest["config"]["seed"])
        nodes.append(rows[np.argsort(rows[:, 1])[:CHECKED], 3])
    return list(iter_sample_texts(documents, decisions, np.sort(np.concatenate(nodes))))
