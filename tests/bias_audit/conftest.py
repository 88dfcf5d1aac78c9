"""Small annotate and decide runs, written the way the pipelines write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gristmill.config import Config
from gristmill.runs.finished import FinishedRun
from gristmill.runs.run import start_run

LEGEND = ("too_short", "blocked_word", "duplicate")

Row = tuple[str, str, str, int]
"""text, source, lang, reasons (bit set; 0 keeps the document)"""


class Settings(Config):
    """What tells one written run from another."""

    name: str = "plain"


def finish(
    step: str,
    out: Path,
    name: str,
    inputs: Sequence[FinishedRun],
    files: dict[str, pa.Table],
    details: dict | None = None,
) -> FinishedRun:
    sources = [run.as_input() for run in inputs]
    with start_run(step, out=out, config=Settings(name=name), inputs=sources) as run:
        for path, rows in files.items():
            (run.path / path).parent.mkdir(exist_ok=True)
            pq.write_table(rows, run.path / path)
        return run.finish(details=details)


def prepare(
    out: Path, name: str, parts: Sequence[Sequence[Row]]
) -> tuple[FinishedRun, FinishedRun]:
    """An annotate run and the decide run over it; each list of rows becomes one file."""
    documents, verdicts = {}, []
    for number, rows in enumerate(parts):
        texts, sources, langs, reasons = zip(*rows, strict=True)
        documents[f"documents/part-{number:05d}.parquet"] = pa.table(
            {
                "id": pa.array([f"{number}-{i}" for i in range(len(rows))]),
                "text": pa.array(texts),
                "source": pa.array(sources),
                "lang": pa.array(langs),
            }
        )
        verdicts.append(
            pa.table(
                {
                    "keep": pa.array([bits == 0 for bits in reasons]),
                    "reasons": pa.array(reasons, pa.uint64()),
                }
            )
        )
    annotate = finish("annotate", out, name, [], documents)
    hashes = [file.sha256 for file in annotate.data_files("documents/")]
    decisions = {
        f"decisions/part-{number:05d}.parquet": rows.replace_schema_metadata(
            {"gristmill.documents": made_for}
        )
        for number, (rows, made_for) in enumerate(zip(verdicts, hashes, strict=True))
    }
    return annotate, finish("decide", out, name, [annotate], decisions, {"reasons": list(LEGEND)})


@pytest.fixture
def prepared(tmp_path) -> Callable[..., tuple[FinishedRun, FinishedRun]]:
    """Write an annotate and a decide run from rows, below the test's own folder unless told otherwise."""
    return lambda *parts, out=None, name="plain": prepare(out or tmp_path / "runs", name, parts)


@pytest.fixture(scope="session")
def prepare_once() -> Callable[..., tuple[FinishedRun, FinishedRun]]:
    """The same for fixtures that live longer than a test; the folder must be given."""
    return lambda *parts, out, name="plain": prepare(out, name, parts)


@pytest.fixture
def sealed(tmp_path) -> Callable[..., FinishedRun]:
    """Write a run of any step that reads `inputs`; `fill` puts files into it."""

    def build(
        step: str,
        name: str,
        inputs: Sequence[FinishedRun],
        fill: Callable[[Path], None] | None = None,
        details: dict | None = None,
    ) -> FinishedRun:
        sources = [run.as_input() for run in inputs]
        with start_run(
            step, out=tmp_path / "runs", config=Settings(name=name), inputs=sources
        ) as run:
            if fill is not None:
                fill(run.path)
            return run.finish(details=details)

    return build


SPECIALS = {
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def save_tokenizer(folder: Path, texts: Sequence[str]) -> int:
    """Train a small BPE tokenizer on `texts`, save it with our special ids, and return its size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(SPECIALS.values()), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIALS).save_pretrained(folder)
    return tokenizer.get_vocab_size()


@pytest.fixture(scope="session")
def causal_folder(tmp_path_factory) -> Path:
    """A random Llama of a few thousand weights, saved as a Hugging Face folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from bias_audit.benchmarks.built_in import load_pairs

    folder = tmp_path_factory.mktemp("causal")
    size = save_tokenizer(
        folder, [pair.stereo for lang in ("en", "zh") for pair in load_pairs(lang)]
    )
    torch.manual_seed(1)
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=96,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        initializer_range=0.5,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def masked_folder(tmp_path_factory) -> Path:
    """A random BERT of a few thousand weights, saved as a Hugging Face folder."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    from bias_audit.benchmarks.built_in import load_pairs

    folder = tmp_path_factory.mktemp("masked")
    size = save_tokenizer(
        folder, [pair.stereo for lang in ("en", "zh") for pair in load_pairs(lang)]
    )
    torch.manual_seed(2)
    torch.set_num_threads(1)
    config = BertConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        pad_token_id=0,
        num_attention_heads=2,
        max_position_embeddings=96,
        initializer_range=0.5,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder
