"""`gristmill tokenizer report`: the held-out sample, the study of vocabulary sizes, and the page with its chart."""

import json
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill import cli, runs, storage
from gristmill.errors import ConfigError, RunError
from gristmill.report import charts
from gristmill.report.charts import Line, line_chart
from gristmill.runs import FinishedRun
from pipelines import tokenizer as tokenizing
from pipelines.config import TokenizerConfig
from pipelines.document_shards import documents_of, shard_path
from pipelines.tokens.encoder import MODEL
from pipelines.tokens.fertility import cut_model, least_size, report_of
from pipelines.tokens.training import train
from pipelines.tokens.training_process import train_apart

LARGEST_KEY = (1 << 63) - 1
LANGUAGES_SHOWN = 6


def held_out(decided: FinishedRun, sample_bytes: int, seed: int) -> pa.Table:
    """Kept documents (text, source, lang, words) with the largest keys of each source and language: training takes the smallest."""
    folders = documents_of(decided).path / "documents", decided.path / "decisions"
    nodes = tokenizing.choose(inverted(candidates(decided, seed)), sample_bytes, {})
    texts = list(tokenizing.sample_texts(str(folders[0]), str(folders[1]), nodes))
    parts = []
    for shard in np.unique(nodes >> 32).tolist():
        table = pq.read_table(shard_path(str(folders[0]), shard), columns=["source", "lang", "words"])
        parts.append(table.take(pa.array(nodes[nodes >> 32 == shard] & 0xFFFFFFFF)))
    if not parts:
        raise RunError("no document was kept: there is nothing to measure on", {"run": decided.path})
    return pa.concat_tables(parts).append_column("text", pa.array(texts, pa.string()))


def candidates(decided: FinishedRun, seed: int) -> np.ndarray:
    """All kept documents, see `tokenizer.shard_candidates`."""
    documents, decisions = str(documents_of(decided).path / "documents"), str(decided.path / "decisions")
    shards = len(decided.files("decisions/"))
    rows = [tokenizing.shard_candidates(documents, decisions, shard, seed) for shard in range(shards)]
    return np.concatenate([np.zeros((0, tokenizing.WIDTH), np.int64), *rows])


def inverted(rows: np.ndarray) -> np.ndarray:
    """The same candidates in the opposite order of their keys."""
    rows = rows.copy()
    rows[:, 1] = LARGEST_KEY - rows[:, 1]
    return rows


def sizes_of(text: str) -> list[int]:
    """`2k,4k,16k` as numbers, ascending."""
    try:
        sizes = sorted({int(float(part[:-1]) * 1000) if part[-1:] in "kK" else int(part) for part in text.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 300:
        raise ConfigError("not vocabulary sizes", {"--sizes": text}, "write them like 2k,4k,8k,16k,32k")
    return sizes


def study(
    decided: FinishedRun, sizes: Sequence[int], config: TokenizerConfig, sample: pa.Table
) -> list[dict[str, Any]]:
    """Rows of the fertility of BPE models of these sizes, trained once on the documents that `tokenizer train` would take.

    A size that the sample cannot fill, or that does not hold its characters, is left out and said.
    """
    nodes = tokenizing.choose(candidates(decided, config.seed), config.sample_bytes, {})
    folders = str(documents_of(decided).path / "documents"), str(decided.path / "decisions")
    texts = list(tokenizing.sample_texts(*folders, nodes))
    cli.say(f"tokenizer  training {sizes[-1]} pieces once, for {len(sizes)} sizes")
    wanted = config.model_copy(update={"vocab_size": sizes[-1], "model_type": "bpe"})
    found = []
    with tempfile.TemporaryDirectory() as name:
        model = train_apart(train, (texts, wanted), log=Path(name) / "training.log", pieces=sizes[-1])
    for size in sizes:
        if size < least_size(model):
            cli.say(f"tokenizer  {size} is left out: special pieces, bytes and characters are {least_size(model)}")
            continue
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / MODEL).write_bytes(cut_model(model, size))
            found += [row | {"vocab_size": size} for row in report_of([(f"{size:,}", Path(name))], sample)["rows"]]
    return found


def report(
    given: Sequence[FinishedRun], decided: FinishedRun, sizes: Sequence[int], sample_bytes: int
) -> dict[str, Any]:
    """All that the page shows."""
    seed = next((run.manifest["config"]["seed"] for run in given if "seed" in run.manifest["config"]), 0)
    sample = held_out(decided, sample_bytes, seed)
    made = report_of([(run.id, run.path / "tokenizer") for run in given], sample)
    trained = next(
        (run.manifest["config"] for run in given if "sample_bytes" in run.manifest["config"]), {"seed": seed}
    )
    config = TokenizerConfig.model_validate(trained)
    return made | {"decide": decided.id, "study": study(decided, sizes, config, sample) if sizes else []}


def decided_of(given: Sequence[FinishedRun]) -> FinishedRun:
    """The decide run that one of the tokenizers was trained for; raises RunError where there is none beside it."""
    for run in given:
        if found := runs.of_step(runs.parents(run), "decide"):
            return found
    raise RunError(
        "none of these tokenizers was trained on documents beside it",
        {"run": given[0].path},
        "name a decide run with --in",
    )


STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; } }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; } h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 1.8rem; } p { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; } th, td { text-align: right; padding: 3px 12px 3px 0;
  border-bottom: 1px solid var(--line); white-space: nowrap; } th:first-child, td:first-child, th:nth-child(2), td:nth-child(2),
th:nth-child(3), td:nth-child(3) { text-align: left; }
"""
HEAD = (
    "tokenizer",
    "source",
    "language",
    "documents",
    "tokens",
    "tokens a word",
    "tokens a character",
    "bytes a token",
    "bytes alone",
)


def page(made: dict[str, Any]) -> str:
    """The page: the chart of the study, the table of fertility, the vocabularies; self-contained."""
    chart = study_chart(made["study"]) if made["study"] else ""
    body = [
        "<h1>Tokenizers</h1>",
        f"<p>Measured on {made['documents']:,} documents ({made['bytes']:,} bytes) of {escape(made['decide'])} that have the largest keys: "
        "training takes those with the smallest, so they are new to the tokenizer where the corpus is larger than both samples.</p>",
        chart,
        "<h2>Fertility</h2><div class='scroll'><table><tr>" + "".join(f"<th>{name}</th>" for name in HEAD) + "</tr>",
        *(_table_row(row) for row in made["rows"]),
        "</table></div><h2>Vocabularies</h2>",
        *(_vocabulary(one) for one in made["vocabularies"]),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Tokenizers</title>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}{charts.CSS}</style></head>\n<body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def study_chart(rows: Sequence[dict[str, Any]]) -> str:
    """Bytes a token by size of the vocabulary, a line for each of the largest languages."""
    mine = [row for row in rows if row["source"] == "all" and row["lang"] != "all"]
    sizes = {lang: sum(row["bytes"] for row in mine if row["lang"] == lang) for lang in {row["lang"] for row in mine}}
    shown = sorted(sizes, key=lambda lang: (-sizes[lang], lang))[:LANGUAGES_SHOWN]
    lines = [
        Line(
            lang,
            [
                (float(np.log2(row["vocab_size"])), row["bytes_per_token"])
                for row in mine
                if row["lang"] == lang and row["bytes_per_token"]
            ],
        )
        for lang in shown
    ]
    return line_chart(
        "Vocabulary size: bytes a token", lines, x_label="log2 of the vocabulary", y_label="bytes a token"
    )


def _table_row(row: dict[str, Any]) -> str:
    numbers = [row[name] for name in ("tokens_per_word", "tokens_per_character", "bytes_per_token")]
    cells = [row["tokenizer"], row["source"], row["lang"], f"{row['documents']:,}", f"{row['tokens']:,}"]
    cells += ["-" if number is None else f"{number:.3f}" for number in numbers]
    return (
        "<tr>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in [*cells, f"{row['byte_share'] or 0:.2%}"])
        + "</tr>"
    )


def _vocabulary(one: dict[str, Any]) -> str:
    pieces = " ".join(f"<code>{escape(piece)}</code>" for piece in one["longest"])
    unused = f"{one['unused']:,} of {one['vocab_size']:,} pieces stand in no document of the sample."
    return f"<h3>{escape(one['tokenizer'])}</h3><p>{unused} The longest: {pieces}</p>"


def write(made: dict[str, Any], out: Path) -> None:
    """The page, and the same as JSON beside it."""
    storage.commit_bytes(out, page(made).encode())
    storage.commit_bytes(out.with_suffix(".json"), json.dumps(made, ensure_ascii=False, indent=1).encode())
