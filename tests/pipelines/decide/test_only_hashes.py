"""`annotate.only_hashes`: documents have what finding copies needs and nothing else, and every later step copes or says why not."""

import json

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from gristmill import cli
from gristmill.corpus.document import DOCUMENT_SCHEMA
from gristmill.runs.finished import all_entries, find_latest, manifest_digest
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.graph import HASHES_SCHEMA, SCHEMA
from pipelines.annotate.signals.table import NUMBERS

ONLY = ["--set", "annotate.only_hashes=true"]
NO_RULES = ["--set", "decide.preset=none"]
LONG = "The old mill stood by the river, and nobody had opened its door for many years; write to miller@example.org. "
ROWS = [
    {
        "id": "one",
        "text": LONG * 9,
        "url": "http://Example.org/a/",
        "lang": "en-GB",
        "license": "MIT",
    },
    {"id": "two", "text": LONG.upper() * 9, "lang": "eng"},
    {"id": "three", "text": LONG * 9 + "And that was all of it.", "source": "other"},
    {"id": "four", "text": "这座老磨坊在河边，多年来没有人打开过它的门。", "lang": "zh-CN"},
    {"id": "five", "text": "Short."},
    {"id": "six", "text": "  \n "},
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "mill.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def ran(step, out, *words):
    """The run that a command makes in a folder."""
    assert cli.run([*step.split(), "--out", str(out), *words]) == 0
    return find_latest(out, step.split()[0])


@pytest.fixture(scope="module")
def folders(texts, tmp_path_factory):
    """Two folders with an annotate and a decide run of the texts: with only hashes, and with all columns."""
    made = []
    for options in (ONLY, []):
        out = tmp_path_factory.mktemp("runs")
        annotated = ran("annotate", out, "--in", str(texts), *options)
        made.append((annotated, ran("decide", out, "--in", str(annotated.path), *NO_RULES)))
    return made


def documents(run):
    return pq.read_table(run.path / "documents")


def refused(capsys, *words):
    """What a command that the user must mend says."""
    assert cli.run(list(words)) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in said
    return said


def test_documents_have_the_columns_that_find_copies_equal_to_those_of_a_whole_run(folders):
    (hashes, _), (whole, _) = folders
    table, full = documents(hashes), documents(whole)
    assert (
        table.schema.names == HASHES_SCHEMA.names
        and table.schema.metadata == HASHES_SCHEMA.metadata
    )
    shared = [name for name in table.schema.names if name != "lang"]
    assert table.select(shared).equals(full.select(shared))
    assert set(SCHEMA.names) - set(shared) == {
        "lang",
        "lang_score",
        "script",
        "script_share",
        "personal",
        *NUMBERS,
    }
    assert [hashes.counts[name] for name in ("read", "kept", "dropped:no_text")] == [6, 5, 1]


def test_the_language_is_the_one_that_is_stated(folders):
    table = documents(folders[0][0])
    assert table["lang"].to_pylist() == ["en", "en", "und", "zh", "und"]
    assert b"states" in table.schema.field("lang").metadata[b"is"]
    ledger = {
        (entry.lang, entry.documents)
        for entry in all_entries(folders[0][0])
        if entry.fate == "kept"
    }
    assert ledger == {("en", 2), ("und", 1), ("zh", 1)}


def test_copies_are_found_as_in_a_whole_run(folders):
    (_, decided), (_, whole) = folders
    table, other = (pq.read_table(run.path / "decisions") for run in (decided, whole))
    assert table.to_pylist() == other.to_pylist()
    assert sum(table["keep"].to_pylist()[:3]) == 1 and table["keep"].to_pylist()[3:] == [True, True]
    assert (
        decided.counts["dropped:exact_duplicate"] == decided.counts["dropped:near_duplicate"] == 1
    )


def test_what_hardly_comes_twice_has_no_dictionary_and_hashes_are_not_compressed(folders):
    group = pq.read_metadata(folders[0][0].files("documents/")[0]).row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    plain = {path for path, column in columns.items() if not column.has_dictionary_page}
    hashes = {"text_hash", "signature", "line_hashes.list.element"}
    assert {"id", "text", "text_bytes", "capture.offset", *hashes} <= plain
    assert {"source", "lang", "licence", "url_hash"} & plain == set()
    assert {
        path for path, column in columns.items() if column.compression == "UNCOMPRESSED"
    } == hashes
    assert columns["text"].compression == "ZSTD"


def test_every_column_is_one_of_a_whole_document():
    for field in HASHES_SCHEMA:
        assert field.equals(SCHEMA.field(field.name))
    assert HASHES_SCHEMA.metadata == DOCUMENT_SCHEMA.metadata


def test_signals_of_ones_own_and_only_hashes_exclude_each_other():
    with pytest.raises(
        ValidationError, match="`only_hashes` leaves out all signals, but `arrows` is one"
    ):
        AnnotateConfig(only_hashes=True, signals={"arrows": "mill:arrows"})


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        ([], "alpha_word_ratio"),
        (["--set", "decide.preset=c4"], "sentences"),
        ([*NO_RULES, "--set", "decide.min_language_score=0.5"], "they lack lang_score"),
        ([*NO_RULES, "--set", "decide.rules.long={signal='chars', max=9}"], "chars"),
    ],
)
def test_a_decision_by_what_was_left_out_is_refused_with_the_way_out(
    options, lacking, folders, tmp_path, capsys
):
    said = refused(
        capsys, "decide", "--in", str(folders[0][0].path), "--out", str(tmp_path), *options
    )
    assert "annotated with annotate.only_hashes" in said or "not in the documents" in said
    assert lacking in said


def test_a_rule_about_bytes_and_stated_languages_can_still_decide(folders, tmp_path):
    options = [
        "--set",
        "decide.rules.tiny={signal='text_bytes', min=10}",
        "--set",
        "decide.languages=['en','zh']",
    ]
    decided = ran("decide", tmp_path, "--in", str(folders[0][0].path), *NO_RULES, *options)
    assert decided.counts["dropped:language"] == 2 and decided.counts["kept"] == 2


@pytest.mark.parametrize(
    ("command", "way_out"),
    [
        ("pack", "pack.mask_personal=false"),
        ("tokenizer train", "--tokenizer"),
    ],
)
def test_what_masks_personal_data_refuses_documents_in_which_nobody_looked_for_them(
    command, way_out, folders, tmp_path, capsys
):
    (_, decided), (_, whole) = folders
    trained = ran(
        "tokenizer train", tmp_path, "--in", str(whole.path), "--set", "tokenizer.vocab_size=330"
    )
    given = ["--tokenizer", str(trained.path)] if command == "pack" else []
    said = refused(
        capsys, *command.split(), "--in", str(decided.path), "--out", str(tmp_path), *given
    )
    assert "annotate.only_hashes" in said and "they lack personal" in said and way_out in said


def test_unmasked_they_are_packed_with_the_tokenizer_of_others(folders, tmp_path):
    (_, decided), (_, whole) = folders
    trained = ran(
        "tokenizer train", tmp_path, "--in", str(whole.path), "--set", "tokenizer.vocab_size=330"
    )
    counts = []
    for run in (decided, whole):
        given = [
            "--in",
            str(run.path),
            "--tokenizer",
            str(trained.path),
            "--set",
            "pack.mask_personal=false",
        ]
        counts.append(ran("pack", tmp_path / run.id, *given).counts["tokens"])
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("command", ["explore", "report"])
def test_explore_and_report_say_what_these_documents_lack(
    command, place, folders, tmp_path, capsys
):
    said = refused(
        capsys, command, str(folders[0][place].path), "--out", str(tmp_path / "page.html")
    )
    assert "annotated with annotate.only_hashes" in said and "personal" in said


def test_prepare_says_before_any_work_all_that_later_steps_would_lack(texts, tmp_path, capsys):
    said = refused(capsys, "prepare", "--in", str(texts), "--out", str(tmp_path / "runs"), *ONLY)
    assert (
        "give decide.preset=none and pack.mask_personal=false and --tokenizer RUN" in said
        and "personal" in said
    )
    said = refused(
        capsys, "prepare", "--in", str(texts), "--out", str(tmp_path / "runs"), *ONLY, *NO_RULES
    )
    assert "give pack.mask_personal=false and --tokenizer RUN" in said
    assert not (tmp_path / "runs").exists()


def test_workers_change_no_byte(folders, texts, tmp_path):
    annotated = ran("annotate", tmp_path, "--in", str(texts), *ONLY, "--workers", "2")
    assert manifest_digest(annotated) == manifest_digest(folders[0][0])


def test_clusters_are_shown_and_that_nothing_in_them_is_masked(folders, tmp_path):
    page = tmp_path / "clusters.html"
    assert cli.run(["clusters", str(folders[0][1].path), "--out", str(page)]) == 0
    assert "were not looked for" in page.read_text(encoding="utf-8")
