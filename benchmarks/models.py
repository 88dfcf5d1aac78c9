"""What columns of models cost: ONNX classifiers alone and in padded batches, KenLM perplexity by words and by pieces.

    python benchmarks/models.py

Reads 3 MB of English Wikipedia from the shared data folder beside the checkout. The classifiers are BERTs of random weights,
the language models bigrams of the same text: what they say is nothing, what they cost is real. MB of text per CPU-second.
"""

import math
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import sentencepiece
import tokenizers

from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.signals.chosen import load_custom_columns
from pipelines.annotate.signals.onnx_model import OnnxModel, open_model
from pipelines.annotate.signals.perplexity import normalize_text

TEXT = Path(__file__).resolve().parents[2] / "shared/data/corpus/wiki_en.parquet"
SIZES = {"2 layers of 128": (2, 128, 1500), "6 layers of 384": (6, 384, 60)}
"""Layers, width, and how many documents are classified."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def read_texts(size: int) -> list[str]:
    """Documents until their bytes are more than `size`."""
    found, seen = list[str](), 0
    for text in pq.read_table(TEXT, columns=["text"])["text"].to_pylist():
        if seen > size:
            break
        found.append(text)
        seen += len(text.encode())
    return found


def write_classifier(folder: Path, layers: int, width: int, texts: Sequence[str]) -> str:
    """A BERT of random weights and a tokenizer of 8,000 word pieces; returns the model's path."""
    import torch
    import transformers

    cutter = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    cutter.normalizer, cutter.pre_tokenizer = (
        tokenizers.normalizers.BertNormalizer(),
        tokenizers.pre_tokenizers.BertPreTokenizer(),
    )
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=8000, special_tokens=["[PAD]", "[UNK]"], show_progress=False
    )
    cutter.train_from_iterator(texts[:200], trainer)
    cutter.save(str(folder / "tokenizer.json"))
    config = transformers.BertConfig(
        vocab_size=8000,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
        num_labels=3,
    )
    ids = torch.ones(1, 9, dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            transformers.BertForSequenceClassification(config).eval(),
            (ids, ids, 0 * ids),
            str(folder / "model.onnx"),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_axes={name: {0: "documents", 1: "tokens"} for name in INPUTS},
            dynamo=False,
        )
    return str(folder / "model.onnx")


def write_arpa(path: Path, sentences: Sequence[Sequence[str]]) -> str:
    """A bigram model with fixed discounts, good for nothing but its size; returns its path."""
    lines = [["<s>", *words, "</s>"] for words in sentences]
    ones = Counter(word for line in lines for word in line)
    twos = {
        pair: n
        for pair, n in Counter(pair for line in lines for pair in pairwise(line)).items()
        if n > 1
    }
    rows = [
        "\\data\\",
        f"ngram 1={len(ones) + 1}",
        f"ngram 2={len(twos)}",
        "",
        "\\1-grams:",
        "-6\t<unk>",
    ]
    total = ones.total()
    rows += [
        f"{math.log10(n / total):.4f}\t{word}" + ("\t-0.4" if word != "</s>" else "")
        for word, n in ones.items()
    ]
    rows += ["", "\\2-grams:"]
    rows += [f"{math.log10(0.9 * n / ones[a]):.4f}\t{a} {b}" for (a, b), n in twos.items()]
    path.write_text("\n".join([*rows, "", "\\end\\", ""]), encoding="utf-8")
    return str(path)


def measure(name: str, section: dict[str, object], texts: Sequence[str]) -> None:
    """Print MB of text per CPU-second of a column, and the memory that opening and running it added."""
    (column,) = load_custom_columns(AnnotateConfig.model_validate(section))
    batch = pa.record_batch({"id": ["0"] * len(texts), "text": texts, "lang": ["en"] * len(texts)})
    before = psutil.Process().memory_info().rss
    column.open()
    opened, start = psutil.Process().memory_info().rss, time.process_time()
    column.column(batch)
    took, after = time.process_time() - start, psutil.Process().memory_info().rss
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(
        f"{name:<40} {size / took:8.3f} MB/CPU-s   {(opened - before) / 1e6:6.1f} + {(after - opened) / 1e6:6.1f} MB"
    )


def in_batches(model: OnnxModel, texts: Sequence[str], size: int) -> float:
    """CPU-seconds of the model over texts sorted by length, `size` at a time, padded: what is not done."""
    rows = sorted((np.array(model.tokenizer.encode(text[:10_000]).ids) for text in texts), key=len)
    start = time.process_time()
    for at in range(0, len(rows), size):
        some = rows[at : at + size]
        ids = np.zeros((len(some), len(some[-1])), np.int64)
        mask = np.zeros_like(ids)
        for place, row in enumerate(some):
            ids[place, : len(row)], mask[place, : len(row)] = row, 1
        model.session.run([model.output], dict(zip(INPUTS, (ids, mask, 0 * ids), strict=True)))
    return time.process_time() - start


def classifiers(folder: Path, texts: Sequence[str]) -> None:
    """Every size: its speed in a run, then CPU-seconds by the size of a batch."""
    for name, (layers, width, documents) in SIZES.items():
        model = write_classifier(folder, layers, width, texts)
        section = {"classifiers": {"c": {"model": model, "label": 0}}}
        measure(f"onnx, {name}", section, texts[:documents])
        opened = open_model(load_custom_columns(AnnotateConfig.model_validate(section))[0].settings)  # type: ignore[attr-defined]
        for kind, some in (
            ("", texts[: min(documents, 200)]),
            ("of 120 characters ", [t[:120] for t in texts[: 5 * documents]]),
        ):
            took = ", ".join(
                f"{size}: {in_batches(opened, some, size):.2f} s" for size in (1, 4, 16, 32)
            )
            print(f"  {len(some)} documents {kind}in batches of {took}")


def language_models(folder: Path, texts: Sequence[str]) -> None:
    """Perplexity by words and by pieces."""
    lines = [normalize_text(line) for text in texts for line in text.split("\n") if line.strip()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines[:20_000]),
        model_prefix=str(folder / "m.sp"),
        vocab_size=16_000,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "m.sp.model"))
    words = {"model": write_arpa(folder / "words.arpa", [line.split() for line in lines])}
    cut = {
        "model": write_arpa(
            folder / "pieces.arpa", pieces.encode(lines, out_type=str, num_threads=1)
        )
    }
    cut["sentencepiece"] = str(folder / "m.sp.model")
    measure("perplexity, words", {"perplexity": {"p": words}}, texts)
    measure(
        "perplexity, words as they stand",
        {"perplexity": {"p": words | {"normalize": "none"}}},
        texts,
    )
    measure("perplexity, pieces", {"perplexity": {"p": cut}}, texts)
    measure(
        "perplexity, pieces of whole documents",
        {"perplexity": {"p": cut | {"sentences": "document"}}},
        texts,
    )


def main() -> None:
    """Print both tables."""
    texts = read_texts(3_000_000)
    with tempfile.TemporaryDirectory() as place:
        language_models(Path(place), texts)
        classifiers(Path(place), texts)


if __name__ == "__main__":
    main()
