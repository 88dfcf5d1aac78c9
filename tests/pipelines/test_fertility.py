"""Fertility: exact counts by source and language, models cut as training would have made them, and a page that says so."""

import json
import random

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece

from gristmill import cli, runs
from gristmill.errors import ConfigError
from pipelines.config import TokenizerConfig
from pipelines.tokenizer_report import held_out, inverted, page, sizes_of, study_chart
from pipelines.tokens.encoder import open_encoder
from pipelines.tokens.fertility import as_lines, cut_model, least_size, measure, pieces_of, report_of
from pipelines.tokens.training import train


@pytest.fixture(scope="module")
def texts(prose):
    return [prose(seed, 12) for seed in range(30)] + [prose(seed, 12, lang="zh") for seed in range(30)]


@pytest.fixture(scope="module")
def folder(texts, tmp_path_factory):
    made = tmp_path_factory.mktemp("tokenizer")
    (made / "tokenizer.model").write_bytes(train(texts, TokenizerConfig(vocab_size=600, threads=1)))
    return made


def sample(*rows):
    names = ("text", "source", "lang", "words")
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})


def test_tokens_are_counted_by_source_and_language_and_in_all(folder):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    rows, used = measure("t", open_encoder(folder), table := sample(
        ("the mill", "a", "en", 2), ("中文。", "a", "zh", 1), ("the龘", "b", "en", 1),
    ), pieces_of(folder).byte_ids)  # fmt: skip
    lengths = [len(processor.encode(text)) for text in table["text"].to_pylist()]
    by_key = {(row.source, row.lang): row for row in rows}
    assert by_key["a", "en"].tokens == lengths[0] and by_key["all", "zh"].tokens == lengths[1]
    everything = by_key["all", "all"]
    assert (everything.documents, everything.tokens, everything.words) == (3, sum(lengths), 4)
    assert (everything.characters, everything.bytes) == (8 + 3 + 4, 8 + 9 + 6)
    assert by_key["b", "en"].byte_tokens == 3 and by_key["a", "en"].byte_tokens == 0
    assert used.sum() == sum(lengths) and len(used) == 600
    assert by_key["b", "en"].record()["tokens_per_word"] == lengths[2]


def test_nothing_is_divided_by_nothing(folder):
    rows, _ = measure("t", open_encoder(folder), sample(("", "a", "en", 0)), pieces_of(folder).byte_ids)
    assert rows[0].record()["tokens_per_word"] is None and rows[0].record()["bytes_per_token"] is None


def test_unused_and_longest_pieces_are_named(folder, texts):
    vocabulary = pieces_of(folder)
    found = report_of([("t", folder)], sample(*[(text, "a", "en", 9) for text in texts]))["vocabularies"][0]
    assert found["unused"] == len(
        vocabulary.unused(np.bincount(open_encoder(folder).encode(pa.array(texts)).ids, minlength=600))
    )
    assert len(found["longest"][0]) == max(map(len, vocabulary.pieces)) and "<unk>" not in vocabulary.pieces
    assert len(vocabulary.byte_ids) == 256


@pytest.mark.parametrize("size", [420, 500, 599, 600])
def test_a_model_is_cut_to_what_training_would_have_made(folder, texts, size):
    cut = sentencepiece.SentencePieceProcessor(model_proto=cut_model((folder / "tokenizer.model").read_bytes(), size))
    trained = sentencepiece.SentencePieceProcessor(
        model_proto=train(texts, TokenizerConfig(vocab_size=size, threads=1))
    )
    assert cut.get_piece_size() == trained.get_piece_size() == size
    assert cut.encode(texts, out_type=str) == trained.encode(texts, out_type=str)


def test_a_model_cannot_be_cut_below_its_characters(folder):
    least = least_size((folder / "tokenizer.model").read_bytes())
    cut = sentencepiece.SentencePieceProcessor(model_proto=cut_model((folder / "tokenizer.model").read_bytes(), 10))
    assert cut.get_piece_size() == least > 263


def test_sizes_are_written_as_people_write_them():
    assert sizes_of("2k,4K,300,16k") == [300, 2000, 4000, 16000]
    for text in ("", "k", "2k,x", "100"):
        with pytest.raises(ConfigError, match="not vocabulary sizes"):
            sizes_of(text)


def test_keys_are_inverted_so_that_the_last_come_first():
    rows = np.array([[0, 5, 1, 1], [0, 9, 1, 2]])
    assert inverted(rows)[0, 1] > inverted(rows)[1, 1] >= 0 and rows[0, 1] == 5


def test_lines_show_the_largest_languages_and_all():
    rows = [
        {"tokenizer": "t", "source": "all", "lang": lang, "documents": 1, "tokens_per_word": 1.5, "tokens_per_character": None, "bytes_per_token": 3.0, "byte_share": 0.01}
        for lang in [*"abcdefghij", "all"]
    ]  # fmt: skip
    lines = as_lines(rows)
    assert (
        len(lines) == 8 and lines[1].split() == ["t", "a", "1", "1.500", "-", "3.000", "1.00%"] and " all " in lines[-1]
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Runs of 80 documents in English and Chinese."""
    folder, rng = tmp_path_factory.mktemp("fertility"), random.Random(3)
    words = (
        "the mill of stone water that and with have old man said river bread flour door house night road field".split()
    )
    rows = []
    for number in range(80):
        text = " ".join(f"The {' '.join(rng.choices(words, k=9))}." for _ in range(9))
        text = (
            text
            if number % 3
            else "".join(
                "".join(rng.choices("的是在了和有不一人为这中老师教室学生读书工程", k=14)) + "。" for _ in range(9)
            )
        )
        rows.append({"id": f"d{number}", "text": text, "source": "s", "type": "wiki"})
    lines = folder / "tale.jsonl"
    lines.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    options = ["decide.preset=none", "tokenizer.vocab_size=500", "tokenizer.sample_bytes=12000", "pack.validation=0.2"]
    sets = [word for option in options for word in ("--set", option)]
    assert cli.run(["prepare", "--in", str(lines), "--out", str(folder / "runs"), *sets]) == 0
    return folder / "runs"


def test_the_sample_is_held_out_and_has_every_language(out):
    decided = runs.latest(out, "decide")
    table = held_out(decided, 12_000, 0)
    assert set(table["lang"].to_pylist()) == {"en", "zh"} and min(table["words"].to_pylist()) > 20
    trained_on = int(runs.latest(out, "tokenizer").counts["documents"])
    assert 5 < table.num_rows < 80 - trained_on + 5


def test_the_report_is_one_page_with_one_chart_and_its_figures_beside_it(out, tmp_path, capsys):
    run = runs.latest(out, "tokenizer").path
    words = [
        "tokenizer",
        "report",
        str(run),
        str(run),
        "--sizes",
        "300,400,500",
        "--sample",
        "12k",
        "--out",
        str(tmp_path / "t.html"),
    ]
    assert cli.run(words) == 0
    shown, page_ = capsys.readouterr(), (tmp_path / "t.html").read_text()
    assert shown.out.strip() == str(tmp_path / "t.html") and "tokens/word" in shown.err
    made = json.loads((tmp_path / "t.json").read_text())
    assert page_.count('class="chart"') == 1 and "http" not in page_.replace("http://www.w3.org", "")
    assert {row["vocab_size"] for row in made["study"]} == {400, 500} and "300 is left out" in shown.err
    all_of = {
        row["vocab_size"]: row["tokens"] for row in made["study"] if (row["source"], row["lang"]) == ("all", "all")
    }
    assert all_of[500] <= all_of[400]
    assert page(made) == page_


def test_names_from_the_web_are_escaped():
    row = {"tokenizer": "<b>", "source": "<script>", "lang": "en", "documents": 1, "tokens": 1, "tokens_per_word": 1.0, "tokens_per_character": 1.0, "bytes_per_token": 1.0, "byte_share": 0.0}  # fmt: skip
    made = {
        "documents": 1,
        "bytes": 1,
        "decide": "d",
        "rows": [row],
        "study": [],
        "vocabularies": [{"tokenizer": "t", "vocab_size": 1, "unused": 0, "longest": ["<i>"]}],
    }
    assert "<script>" not in page(made) and "<i>" not in page(made) and "&lt;script&gt;" in page(made)


def test_the_chart_has_a_line_for_each_large_language():
    rows = [
        {"source": "all", "lang": lang, "vocab_size": size, "bytes": 10, "bytes_per_token": 3.0}
        for lang in ("en", "zh", "all")
        for size in (1000, 2000)
    ]
    assert study_chart(rows).count("last 3") == 2
