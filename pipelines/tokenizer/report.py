"""`gristmill tokenizer report`: the held-out sample, the study of vocabulary sizes, and the page with its chart."""

import json
import os
import re
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from gristmill import cli
from gristmill.errors import ConfigError, InputError, RunError, UserError
from gristmill.pages import load_page
from gristmill.runs import storage
from gristmill.runs.finished import FinishedRun, all_entries, latest_of, open_parents
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.encoder import MODEL
from pipelines.tokenizer.fertility import cut_model, report_of, sizes_between
from pipelines.tokenizer.held_out import (
    Trained,
    candidates,
    folders_of,
    held_out,
    trained_keys,
    trainings,
)
from pipelines.tokenizer.sample import choose_training_nodes, iter_sample_texts
from pipelines.tokenizer.training import SPECIAL, train
from pipelines.tokenizer.training_process import train_apart

PAGE = "tokenizers.html"
LARGEST_SIZE = 1 << 20
SIZE = re.compile(r"([0-9]+)|([0-9]+(?:\.[0-9]+)?)[kK]")


def sizes_of(text: str) -> list[int]:
    """`2k,4k,16k` as numbers, ascending."""
    found = [SIZE.fullmatch(part.strip()) for part in text.split(",")]
    sizes = sorted({int(one[1]) if one[1] else round(float(one[2]) * 1000) for one in found if one})
    if None in found or not 0 < sizes[0] <= sizes[-1] <= LARGEST_SIZE:
        fix = f"write them like 2k,4k,8k,16k,32k, none above {LARGEST_SIZE}"
        raise ConfigError("not vocabulary sizes", {"--sizes": text}, fix)
    return sizes


def study(
    decided: FinishedRun, sizes: Sequence[int], config: TokenizerConfig, sample: pa.Table
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of the fertility of BPE models of these sizes, trained once on the documents that `tokenizer train` would take.

    A size that the sample cannot fill, or that does not hold its characters, is left out; the second list says so.
    """
    model = _largest_model(decided, sizes, config)
    least, most = sizes_between(model)
    found, left_out = list[dict[str, Any]](), list[str]()
    for size in sizes:
        if size < least:
            left_out.append(
                f"{size:,} is left out: special pieces, bytes and characters alone are {least:,}"
            )
        elif size > most:
            left_out.append(f"{size:,} is left out: this sample allows {most:,} at most")
        else:
            with tempfile.TemporaryDirectory() as name:
                (Path(name) / MODEL).write_bytes(cut_model(model, size))
                found += [
                    row | {"vocab_size": size}
                    for row in report_of([(f"{size:,}", Path(name))], sample)["rows"]
                ]
    return found, left_out


def _largest_model(decided: FinishedRun, sizes: Sequence[int], config: TokenizerConfig) -> bytes:
    """A BPE model that can be cut to all sizes, or as large as the sample allows."""
    nodes = choose_training_nodes(candidates(decided, config.seed), decided, config)
    texts, characters = list(iter_sample_texts(*folders_of(decided), nodes)), set[str]()
    for text in texts:
        characters.update(text)
    size = max(
        sizes[-1], len(SPECIAL) + 256 + len(characters) + 1
    )  # it must hold all characters: else nothing is trained
    cli.say(f"tokenizer  training {size} pieces once, for {len(sizes)} sizes")
    wanted = config.model_copy(update={"vocab_size": size, "model_type": "bpe"})
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "training.log"
        return bytes(
            train_apart(partial(train, at_most=True), (texts, wanted), log=log, pieces=size)
        )


def report(
    given: Sequence[FinishedRun], decided: FinishedRun, sizes: Sequence[int], sample_bytes: int
) -> dict[str, Any]:
    """All that the page shows."""
    known, unknown = trainings(given)
    config = _for_corpus(known[0].config if known else TokenizerConfig(), decided)
    trained = [*known, *([Trained(decided, config)] if sizes else [])]
    sample, new = held_out(decided, sample_bytes, config.seed, trained_keys(trained, config.seed))
    made = report_of([(run.id, run.path / "tokenizer") for run in given], sample)
    rows, left_out = study(decided, sizes, config, sample) if sizes else ([], [])
    held = {"new_documents": new if trained else None, "training_unknown": unknown}
    return made | held | {"decide": decided.id, "study": rows, "left_out": left_out}


def _for_corpus(config: TokenizerConfig, decided: FinishedRun) -> TokenizerConfig:
    """The settings of a training, without weights of what a corpus has not."""
    kept = [entry for entry in all_entries(decided) if entry.fate == "kept"]
    there = {f"source={entry.source}" for entry in kept} | {f"lang={entry.lang}" for entry in kept}
    return config.model_copy(
        update={"weights": {name: w for name, w in config.weights.items() if name in there}}
    )


def describe_measurement(report: dict[str, Any]) -> list[str]:
    """Say what was measured on, how much of it is new to the tokenizers, and what was left out."""
    documents = report["documents"]
    new_documents = report["new_documents"]
    size = f"{report['bytes']:,} bytes"
    lines = [f"Measured on {documents:,} documents ({size}) of {report['decide']}."]
    if new_documents is not None:
        lines.append(f"{new_documents:,} of them were in no training sample.")
        if new_documents < documents:
            lines.append("On the others a tokenizer does better than on new text.")
    if report["training_unknown"]:
        names = ", ".join(report["training_unknown"])
        lines.append(f"What {names} was trained on is not known here.")
    return [*lines, *(f"Size {line}." for line in report["left_out"])]


def decided_of(given: Sequence[FinishedRun]) -> FinishedRun:
    """The decide run that one of the tokenizers was trained for; raises RunError where there is none beside it."""
    for run in given:
        if found := latest_of(open_parents(run), "decide"):
            return found
    raise RunError(
        "none of these tokenizers was trained on documents beside it",
        {"run": given[0].path},
        "name a decide run with --in",
    )


def place_of(out: Path | None, first: FinishedRun) -> Path:
    """Where the page goes: `out`, or beside the first run. Raises UserError or InputError where it cannot be written."""
    beside = first.path if first.path.name not in ("", "..") else first.path.resolve()
    place = out or beside.parent / PAGE
    if place.is_dir():
        raise UserError(
            "the page must be a file", {"out": place}, f"for example --out {place / PAGE}"
        )
    figures = place.with_suffix(".json")
    if figures == place or figures.is_dir():
        fix = "name the page otherwise, for example tokenizers.html"
        raise UserError(
            "the figures go beside the page as JSON, and cannot here",
            {"out": place, "JSON": figures},
            fix,
        )
    storage.make_folder(place.parent)
    if not os.access(place.parent, os.W_OK):
        raise InputError(
            "this folder cannot be written to", {"folder": place.parent}, "name another with --out"
        )
    return place


def write(made: dict[str, Any], out: Path) -> None:
    """The page, and the same as JSON beside it."""
    storage.commit_bytes(out, load_page("tokenizers")(made).encode())
    storage.commit_bytes(
        out.with_suffix(".json"), json.dumps(made, ensure_ascii=False, indent=1).encode()
    )
