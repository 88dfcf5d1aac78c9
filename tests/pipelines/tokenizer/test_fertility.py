"""Fertility: exact counts by source and language, models cut as training would have made them, and a page that says so."""

import json
import random
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece

from gristmill import cli
from gristmill.errors import ConfigError
from gristmill.runs.finished import find_latest, open_run
from pipelines.annotate.signals.table import compute_number_columns
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.encoder import open_encoder
from pipelines.tokenizer.fertility import (
    as_lines,
    cut_model,
    measure,
    pieces_of,
    report_of,
    sizes_between,
)
from pipelines.tokenizer.held_out import (
    candidates,
    held_back,
    held_out,
    recounted,
    trained_keys,
    trainings,
)
from pipelines.tokenizer.report import describe_measurement, place_of, report, sizes_of
from pipelines.tokenizer.training import train
from reports.tokenizers.page import draw_page, draw_study


@pytest.fixture(scope="module")
def texts(prose):
    return [prose(seed, 12) for seed in range(30)] + [
        prose(seed, 12, lang="zh") for seed in range(30)
    ]


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
    rows, used = measure(
        "t",
        open_encoder(folder),
        table := sample(
            ("the mill", "a", "en", 2),
            ("中文。", "a", "zh", 1),
            ("the龘", "b", "en", 1),
        ),
        pieces_of(folder).byte_ids,
    )
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
    rows, _ = measure(
        "t", open_encoder(folder), sample(("", "a", "en", 0)), pieces_of(folder).byte_ids
    )
    assert (
        rows[0].record()["tokens_per_word"] is None and rows[0].record()["bytes_per_token"] is None
    )


def test_unused_and_longest_pieces_are_named(folder, texts):
    vocabulary = pieces_of(folder)
    found = report_of([("t", folder)], sample(*[(text, "a", "en", 9) for text in texts]))[
        "vocabularies"
    ][0]
    assert found["unused"] == len(
        vocabulary.unused(
            np.bincount(open_encoder(folder).encode(pa.array(texts)).ids, minlength=600)
        )
    )
    assert (
        len(found["longest"][0]) == max(map(len, vocabulary.pieces))
        and "<unk>" not in vocabulary.pieces
    )
    assert len(vocabulary.byte_ids) == 256


@pytest.mark.parametrize("size", [420, 500, 599, 600])
def test_a_model_is_cut_to_what_training_would_have_made(folder, texts, size):
    cut = sentencepiece.SentencePieceProcessor(
        model_proto=cut_model((folder / "tokenizer.model").read_bytes(), size)
    )
    trained = sentencepiece.SentencePieceProcessor(
        model_proto=train(texts, TokenizerConfig(vocab_size=size, threads=1))
    )
    assert cut.get_piece_size() == trained.get_piece_size() == size
    assert cut.encode(texts, out_type=str) == trained.encode(texts, out_type=str)


def test_a_model_cannot_be_cut_below_its_characters(folder):
    least, most = sizes_between((folder / "tokenizer.model").read_bytes())
    cut = sentencepiece.SentencePieceProcessor(
        model_proto=cut_model((folder / "tokenizer.model").read_bytes(), 10)
    )
    assert cut.get_piece_size() == least > 263 and most == 600


def test_sizes_are_written_as_people_write_them():
    assert sizes_of("2k, 4K,300,1.5k,2000") == [300, 1500, 2000, 4000]
    for text in ("", "k", "2k,x", "0", "-2k", "1_0k", "infk", "1e3", "2000k", "300.5"):
        with pytest.raises(ConfigError, match="not vocabulary sizes"):
            sizes_of(text)


def test_the_last_keys_come_first_and_documents_of_a_training_behind_all_others():
    rows = np.array([[0, 5, 1, 1], [0, 9, 1, 2], [0, (1 << 63) - 1, 1, 3]])
    made = held_back(rows, np.array([False, False, True]))
    assert (
        made[np.argsort(made[:, 1]), 3].tolist() == [2, 1, 3]
        and made.min() >= 0
        and rows[0, 1] == 5
    )


def test_lines_show_the_largest_languages_and_all():
    rows = [
        {
            "tokenizer": "t",
            "source": "all",
            "lang": lang,
            "documents": 1,
            "tokens_per_word": 1.5,
            "tokens_per_character": None,
            "bytes_per_token": 3.0,
            "byte_share": 0.01,
        }
        for lang in ["all", *"abcdefghij"]
    ]
    lines = as_lines([*rows, *rows])  # given twice
    assert [line.split()[1] for line in lines] == ["lang", *("all", *"abcdef") * 2]
    assert lines[2].split() == ["t", "a", "1", "1.500", "-", "3.000", "1.00%"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Runs of 80 documents in English and Chinese."""
    folder, rng = tmp_path_factory.mktemp("fertility"), random.Random(3)
    words = "the mill of stone water that and with have old man said river bread flour door house night road field".split()
    rows = []
    for number in range(80):
        text = " ".join(f"The {' '.join(rng.choices(words, k=9))}." for _ in range(9))
        text = (
            text
            if number % 3
            else "".join(
                "".join(rng.choices("的是在了和有不一人为这中老师教室学生读书工程", k=14)) + "。"
                for _ in range(9)
            )
        )
        rows.append({"id": f"d{number}", "text": text, "source": "s", "type": "wiki"})
    lines = folder / "tale.jsonl"
    lines.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    options = [
        "decide.preset=none",
        "tokenizer.vocab_size=500",
        "tokenizer.sample_bytes=12000",
        "pack.validation=0.2",
    ]
    sets = [word for option in options for word in ("--set", option)]
    assert cli.run(["prepare", "--in", str(lines), "--out", str(folder / "runs"), *sets]) == 0
    return folder / "runs"


def test_the_sample_has_every_language_and_what_no_training_took_first(out):
    decided, run = find_latest(out, "decide"), find_latest(out, "tokenizer")
    known, unknown = trainings([run])
    trained = trained_keys(known, 0)
    assert len(trained) == run.counts["documents"] < 60 and unknown == []
    table, new = held_out(decided, 12_000, 0, trained)
    assert set(table["lang"].to_pylist()) == {"en", "zh"} and min(table["words"].to_pylist()) > 20
    assert new == table.num_rows and 5 < new <= 80 - len(trained)
    table, new = held_out(decided, 1 << 20, 0, trained)
    assert (table.num_rows, new) == (80, 80 - len(trained))


def test_what_was_trained_on_is_known_under_any_seed_and_joined(out):
    run, decided = find_latest(out, "tokenizer"), find_latest(out, "decide")
    (one,), _ = trainings(
        [
            run,
        ]
    )
    other = replace(one, config=one.config.model_copy(update={"seed": 7}))
    under = {
        seed: dict(zip(candidates(decided, seed)[:, 1].tolist(), range(80), strict=True))
        for seed in (0, 7)
    }
    places = {
        (chosen.config.seed, seed): {
            under[seed][key] for key in trained_keys([chosen], seed).tolist()
        }
        for chosen in (one, other)
        for seed in (0, 7)
    }
    assert places[0, 0] == places[0, 7] != places[7, 0] == places[7, 7]
    assert len(trained_keys([one, other, one], 0)) == len(places[0, 0] | places[7, 0])


def test_a_tokenizer_whose_corpus_is_gone_is_told_of(out, tmp_path):
    moved = tmp_path / find_latest(out, "tokenizer").id
    shutil.copytree(find_latest(out, "tokenizer").path, moved)
    alone = open_run(moved)
    assert trainings([alone, alone]) == ([], [alone.id])
    made = report([alone], find_latest(out, "decide"), [], 12_000)
    assert describe_measurement(made)[1:] == [f"What {alone.id} was trained on is not known here."]


def test_words_are_those_of_the_text_that_is_left():
    table = pa.table(
        {
            "text": ["two words", "mill <EMAIL>", "\u6c34\u8f66"],
            "lang": ["en", "en", "zh"],
            "words": [9, 9, 9],
            "edits": [0, 2, 1],
        }
    )
    assert recounted(table)["words"].to_pylist() == [9, 2, 1] and recounted(table).column_names == [
        "text",
        "lang",
        "words",
    ]
    assert recounted(table.slice(0, 1))["words"].to_pylist() == [9]


def test_words_of_masked_documents_are_counted_again(tmp_path):
    text = "The old mill stood by the river. Write to somebody.long-name@example-mill.org for bread and flour."
    lines = tmp_path / "tale.jsonl"
    lines.write_text(
        "".join(
            json.dumps({"id": f"d{n}", "text": text + f" Number {n}.", "source": "s"}) + "\n"
            for n in range(2)
        )
    )
    words = ["--in", str(lines), "--out", str(tmp_path / "runs"), "--set", "decide.preset=none"]
    assert cli.run(["annotate", *words[:4]]) == 0
    annotated = find_latest(tmp_path / "runs", "annotate").path
    assert (
        cli.run(
            ["decide", "--in", str(annotated), *words[2:], "--set", "decide.near.threshold=0.99"]
        )
        == 0
    )
    table, _ = held_out(find_latest(tmp_path / "runs", "decide"), 1 << 20, 0, np.zeros(0, np.int64))
    row = table.to_pylist()[0]
    assert "<EMAIL>" in row["text"]
    assert (
        row["words"]
        == compute_number_columns(pa.array([row["text"]]), pa.array([row["lang"]]))[1][0].as_py()
        == 16
    )
    stored = pq.read_table(
        next((tmp_path / "runs").glob("annotate-*/documents/*.parquet")), columns=["words"]
    )
    assert stored["words"].to_pylist() == [18, 18]


def test_the_report_is_one_page_with_one_chart_and_its_figures_beside_it(out, tmp_path, capsys):
    run = find_latest(out, "tokenizer").path
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
    assert page_.count('class="chart"') == 1 and "://" not in page_.replace("http://www.w3.org", "")
    assert {row["vocab_size"] for row in made["study"]} == {
        400,
        500,
    } and "300 is left out" in shown.err
    all_of = {
        row["vocab_size"]: row["tokens"]
        for row in made["study"]
        if (row["source"], row["lang"]) == ("all", "all")
    }
    assert all_of[500] <= all_of[400]
    assert draw_page(made) == page_


def test_sizes_that_cannot_be_are_left_out_and_told_of_with_what_can(out, tmp_path, capsys):
    run = find_latest(out, "tokenizer").path
    words = [
        "tokenizer",
        "report",
        str(run),
        "--sample",
        "12k",
        "--out",
        str(tmp_path / "t.html"),
        "--sizes",
    ]
    assert cli.run([*words, "400,64k"]) == 0
    made, shown = json.loads((tmp_path / "t.json").read_text()), capsys.readouterr().err
    assert {row["vocab_size"] for row in made["study"]} == {400}
    (line,) = made["left_out"]
    assert line in shown and line in (tmp_path / "t.html").read_text()
    most = int(
        re.fullmatch(r"64,000 is left out: this sample allows ([\d,]+) at most", line)[1].replace(
            ",", ""
        )
    )
    assert cli.run([*words, f"300,{most},{most + 1}"]) == 0
    made = json.loads((tmp_path / "t.json").read_text())
    assert {row["vocab_size"] for row in made["study"]} == {most} and len(made["left_out"]) == 2
    assert cli.run([*words, "100,300"]) == 0
    made = json.loads((tmp_path / "t.json").read_text())
    assert (
        made["study"] == []
        and "300 is left out: special pieces, bytes and characters alone are" in made["left_out"][1]
    )


def test_the_page_lies_beside_the_first_run_unless_it_is_named(out, tmp_path, monkeypatch):
    run = find_latest(out, "tokenizer")
    assert (
        place_of(None, run) == out / "tokenizers.html"
        and place_of(tmp_path / "a/t.html", run).parent.is_dir()
    )
    monkeypatch.chdir(run.path)
    assert place_of(None, open_run(".")) == out.resolve() / "tokenizers.html"


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(
    out, tmp_path, capsys
):
    run = str(find_latest(out, "tokenizer").path)
    (tmp_path / "file").touch()
    (tmp_path / "b.json").mkdir()
    for place, problem in (
        (tmp_path, "the page must be a file"),
        (tmp_path / "t.json", "the figures go beside the page"),
        (tmp_path / "b.html", "the figures go beside the page"),
        (tmp_path / "file/t.html", "no folder can be made here"),
    ):
        assert cli.run(["tokenizer", "report", run, "--out", str(place)]) == 2
        assert problem in capsys.readouterr().err


def test_names_from_the_web_are_escaped():
    row = {
        "tokenizer": "<b>",
        "source": "<script>",
        "lang": "en",
        "documents": 1,
        "tokens": 1,
        "tokens_per_word": 1.0,
        "tokens_per_character": 1.0,
        "bytes_per_token": 1.0,
        "byte_share": 0.0,
    }
    made = {
        "documents": 1,
        "bytes": 1,
        "decide": "d<u>",
        "new_documents": 0,
        "training_unknown": [],
        "left_out": [],
        "rows": [row],
        "study": [],
        "vocabularies": [{"tokenizer": "t", "vocab_size": 1, "unused": 0, "longest": ["<i>"]}],
    }
    assert "<u>" not in draw_page(made) and "0 of them were in no training sample." in draw_page(
        made
    )
    assert (
        "<script>" not in draw_page(made)
        and "<i>" not in draw_page(made)
        and "&lt;script&gt;" in draw_page(made)
    )


def test_the_chart_has_a_line_for_each_large_language():
    rows = [
        {"source": "all", "lang": lang, "vocab_size": size, "bytes": 10, "bytes_per_token": 3.0}
        for lang in ("en", "zh", "all")
        for size in (1000, 2000)
    ]
    assert draw_study(rows).count("last 3") == 2
