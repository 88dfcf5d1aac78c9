"""Hostile text: nothing crashes or hangs the annotate step, every record has an outcome, and kernels agree with plain references."""

import importlib.util
import json
import math
import unicodedata
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.runs.ledger import totals
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.extract.normalize import MOST_MARKS, normalize
from pipelines.annotate.graph import SCHEMA, annotate_batch, annotate_split
from pipelines.annotate.personal.spans import find_personal
from pipelines.annotate.readers.lines import MAX_LINE
from pipelines.annotate.readers.records import RECORD_SCHEMA, Split
from pipelines.annotate.signals.language import UNSURE
from pipelines.annotate.signals.table import NUMBERS, load_stop_words

CONFIG = AnnotateConfig()
MILLION = 10**6


def beside(name):
    """A test file next to this one, for the plain reference it holds: tests are no package to import from."""
    spec = importlib.util.spec_from_file_location(
        f"reference_{name}", Path(__file__).with_name(f"{name}.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


QUALITY, MINHASH, LINE_SIGNALS = (
    beside("test_quality"),
    beside("test_minhash"),
    beside("test_line_signals"),
)
LINE_HASHES = beside("test_line_hashes")

PIECES = [
    "\x00",
    "\x00\x00",
    "\x1b[0m",
    "\x85",
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    "\U000e0101",
    "\u202e",
    "\u2066",
    "\u200f",
    "שלום",
    "مرحبا بالعالم.",
    "؟",
    "\u0301",
    "\u0316",
    "a\u0301\u0316\u0308",
    "\u0f73",
    "क्षि",
    "ไม่มี",
    "中文字",
    "。",
    "한국어",
    "\u1100\u1161",
    "👩\u200d👩\u200d👦",
    "\U0001f1e8",
    "ﷺ",
    "ǅ",
    "İ",
    "ß",
    "…",
    "....",
    "((((",
    "www.",
    "://",
    "don't",
    "’s",
    "{",
    "#",
    "これは",
    "水車小屋の",
    "a@b.example",
    "1.2.3.4",
    "DE89 3704 0044 0532 0130 00",
    "+1 415-555-2671",
    "-----BEGIN ",
    "AKIA",
    "::1",
    "the",
    " of ",
    " ",
    "\t",
    "\n",
    "\n\n",
    "\r\n",
    "\u2028",
    "\u3000",
    "7",
    "0" * 30,
    "x" * 70,
    "one two three four five\n",
]
LOOSE = st.one_of(
    st.binary(max_size=90).map(lambda raw: raw.decode("utf-8", "replace")),
    st.binary(max_size=90).map(lambda raw: raw.decode("latin-1")),
    st.text(max_size=60),  # with lone surrogates
    st.text(st.characters(categories=["Mn", "Mc", "Me", "Cc", "Cf", "Co"]), max_size=60),
    st.text(st.characters(min_codepoint=0x590, max_codepoint=0x8FF), max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=16).map("".join),
)
TEXTS = LOOSE.map(lambda text: text.encode("utf-8", "ignore").decode())


def annotated(texts):
    """The rows of the whole step for texts that are already extracted."""
    row = {
        "id": "0" * 32,
        "source": "s",
        "kind": "web",
        "licence": "unknown",
        "evidence": [],
        "opt_out": [],
        "capture": {"file": "f", "offset": 0, "item": 0},
        "media": "text",
    }
    made = annotate_batch(
        pa.RecordBatch.from_pylist([row | {"text": text} for text in texts], RECORD_SCHEMA)
    )
    assert made.schema == SCHEMA
    made.validate(full=True)
    return made.to_pylist()


@settings(max_examples=250, deadline=None)
@given(texts=st.lists(TEXTS, max_size=6))
@example(texts=[])
@example(texts=["", "\x00", "", "\u0301"])
def test_the_columns_of_any_batch_are_those_of_plain_references(
    texts, tokens_of, jieba_words, sudachi_words, pythainlp_words, char_kind, words_of
):
    chinese, arabic = (
        dict.fromkeys(("zh", "wuu", "yue"), jieba_words),
        partial(tokens_of, arabic=True),
    )
    cutters = chinese | {"ja": sudachi_words, "th": pythainlp_words, "ar": arabic, "arz": arabic}
    rows = annotated(texts)
    assert [row["text"] for row in rows] == texts
    for row, text in zip(rows, texts, strict=True):
        cut = cutters.get(row["lang"], tokens_of)
        expected = QUALITY.expected(text, cut, char_kind, load_stop_words().get(row["lang"], []))
        expected |= LINE_SIGNALS.expected(text, char_kind)
        wrong = {
            name: (row[name], expected[name])
            for name in NUMBERS
            if not math.isclose(row[name], expected[name], rel_tol=1e-6)
        }
        assert wrong == {}, text
        assert row["text_bytes"] == len(text.encode())
        assert row["text_hash"] == xxhash.xxh3_128_digest(LINE_HASHES.folded(text).encode())
        assert row["line_hashes"] == LINE_HASHES.expected(text)
        assert (row["script"] == "Zyyy") == (row["script_share"] == 0.0) and row[
            "script_share"
        ] <= 1.0
        words = words_of(text)
        signature = (
            MINHASH.by_datasketch(words).astype("<u4").tobytes()
            if len(words) >= MINHASH.SHINGLE
            else None
        )
        assert row["signature"] == signature


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_a_document_is_annotated_alone_as_in_any_batch(texts):
    assert annotated(texts) == [annotated([text])[0] for text in texts]


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, max_size=6))
def test_spans_are_those_of_the_document_and_cut_no_character(texts):
    for row, text in zip(annotated(texts), texts, strict=True):
        spans = [(span["start"], span["end"], span["type"]) for span in row["personal"]]
        assert spans == find_personal(text.encode())
        borders = [
            0,
            *(place for start, end, _ in spans for place in (start, end)),
            len(text.encode()),
        ]
        assert borders == sorted(borders) and all(start < end for start, end, _ in spans)
        for start, end, _ in spans:
            text.encode()[:start].decode() + text.encode()[start:end].decode()


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_a_language_is_claimed_only_where_there_are_two_letters(text):
    [row] = annotated([text])
    assert (row["lang"] == UNSURE) == (sum(map(str.isalpha, text)) < 2)
    assert 0.0 <= row["lang_score"] <= 1.0


def fate_of(raw, first):
    """What must become of a line, by the plain rule: (outcome, reason), or None for a blank one."""
    if not raw.strip():
        return None
    try:
        value = json.loads(raw.decode("utf-8-sig" if first else "utf-8"))
        text = value["text"] if isinstance(value, dict) else None
        if not isinstance(text, str):
            return "quarantined", "bad_json"
        text.encode()
    except UnicodeError:
        return "quarantined", "not_utf8"
    except ValueError:
        return "quarantined", "bad_json"
    except KeyError:
        return "quarantined", "bad_json"
    return ("kept", "") if normalize(text) else ("dropped", "no_text")


def annotate_file(folder, data):
    """(what was read, totals by outcome, texts kept) of a JSON Lines file through the whole step."""
    path = folder / "in.jsonl"
    path.write_bytes(data)
    made = annotate_split(folder, Split(0, "lines", str(path), 0, len(data)), CONFIG, None)
    texts = pq.read_table(folder / "documents/part-00000.parquet", columns=["text"])[
        "text"
    ].to_pylist()
    return made.read, totals(made.entries), texts


JSON_VALUES = st.one_of(LOOSE, st.none(), st.integers(), st.floats(), st.lists(LOOSE, max_size=2))
LINES = st.one_of(
    st.binary(max_size=40),
    st.dictionaries(
        st.sampled_from(["text", "title", "url", "id", "source", "type", "license", "date"]),
        JSON_VALUES,
    ).map(lambda row: json.dumps(row).encode()),
    LOOSE.map(lambda text: json.dumps({"text": text}).encode()),
    TEXTS.map(lambda text: json.dumps({"text": text}, ensure_ascii=False).encode()),
    st.sampled_from(
        [
            b"",
            b" ",
            b"\x00",
            b"\xff\xfe",
            b"{}",
            b"[]",
            b'{"text": "\\ud800"}',
            b'{"text": "\\ud83d\\ude00"}',
            b'{"text": "\\u0000"}',
            b'{"text": ""}',
            b'{"text": "ok"',
            b"NaN",
        ]
    ),
)


@settings(max_examples=120, deadline=None)
@given(lines=st.lists(LINES.map(lambda raw: raw.replace(b"\n", b"")), max_size=8))
@example(
    lines=[
        b"\xef\xbb\xbf" + b'{"text": "a mark of byte order"}',
        b"\xef\xbb\xbf" + b'{"text": "and one too many"}',
    ]
)
def test_every_line_of_any_file_has_the_one_fate_it_must_have(lines, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    read, found, texts = annotate_file(folder, b"".join(raw + b"\n" for raw in lines))
    outcomes = [outcome for place, raw in enumerate(lines) if (outcome := fate_of(raw, place == 0))]
    expected = {
        name: sum(outcome == name for outcome, _ in outcomes)
        for name in ("kept", "dropped", "quarantined")
    }
    for outcome, reason in outcomes:
        if reason:
            expected[f"{outcome}:{reason}"] = expected.get(f"{outcome}:{reason}", 0) + 1
    assert found == expected
    assert read == len(outcomes) == found["kept"] + found["dropped"] + found["quarantined"]
    assert len(texts) == found["kept"] and all(text == normalize(text) for text in texts)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_read_and_balance(data, tmp_path_factory):
    read, found, texts = annotate_file(tmp_path_factory.mktemp("bytes"), data)
    assert read == sum(1 for raw in data.split(b"\n") if raw.strip())
    assert (
        read == found["kept"] + found["dropped"] + found["quarantined"]
        and len(texts) == found["kept"]
    )


@pytest.mark.parametrize(
    ("text", "chars", "words"),
    [
        ("x" * MILLION, MILLION, 1),
        ("中" * MILLION, MILLION, MILLION - 1),
        ("中\u0301" * (MILLION // 2), MILLION, MILLION),
        ("a" + "\u0301\u0316" * (MILLION // 2), MILLION + 1, 1),
        ("ab " * MILLION, 3 * MILLION, MILLION),
        ("שלום " * (MILLION // 5), MILLION, MILLION // 5),
        ("\u202e" * MILLION, MILLION, 1),
        ("\x00" * MILLION, MILLION, 0),
        ("." * MILLION, MILLION, 0),
        ("(" * MILLION, MILLION, 0),
        ("(" * (MILLION // 2) + "." * (MILLION // 2), MILLION, 0),
        ("\n" * MILLION, MILLION, 0),
    ],
    ids=[
        "latin",
        "zh",
        "zh-marks",
        "marks",
        "words",
        "hebrew",
        "overrides",
        "nul",
        "dots",
        "brackets",
        "brackets-dots",
        "breaks",
    ],
)
def test_a_million_characters_are_counted_exactly(text, chars, words):
    [row] = annotated([text])
    assert (row["chars"], row["words"], row["text_bytes"]) == (chars, words, len(text.encode()))


@pytest.fixture(scope="module")
def compiled():
    """Whatever a document needs is compiled, which on a new machine takes a minute that no limit of a test may count."""
    annotated(["Warm (a) text. 中文"])


@pytest.mark.usefixtures("compiled")
@pytest.mark.timeout(60, func_only=True)
def test_brackets_before_dots_are_cut_in_time_that_grows_with_them():
    half = MILLION // 2
    [row] = annotated(["(" * half + "a" + "." * half])
    assert (row["words"], row["mean_word_length"], row["alpha_word_ratio"]) == (
        1,
        1.0,
        pytest.approx(1 / (half + 2)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "((((....",
        "((((a....",
        "(((://....",
        "((www.a....",
        "((www.a",
        "(...)...",
        "+(....",
        "((n't..",
    ],
)
def test_marks_at_both_ends_of_a_chunk_are_cut_as_by_the_reference(text, tokens_of, char_kind):
    QUALITY.assert_equal(text, tokens_of, char_kind)


MARKS = st.lists(
    st.sampled_from("\u0301\u0316\u0344\u0f73\u0f75\u0f81\u05b0\u094d\u3099\U0001d165"),
    min_size=1,
    max_size=9,
)


@settings(max_examples=60, deadline=None)
@given(
    marks=MARKS,
    before=st.sampled_from(["", "a", "中", "か" * 137, "e\u0301 "]),
    more=st.integers(-20, 400),
)
def test_a_long_run_of_marks_has_the_form_that_unicode_gives_it(marks, before, more):
    text = before + "".join(marks) * ((MOST_MARKS + more) // len(marks)) + "z"
    assert normalize(text) == unicodedata.normalize("NFC", text)


@pytest.mark.usefixtures("compiled")
@pytest.mark.timeout(60, func_only=True)
@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73", "\u0344\u0316"])
def test_a_million_marks_in_disorder_are_normalized_in_time_that_grows_with_them(marks):
    tidy = normalize("a" + marks * (MILLION // len(marks)) + "b")
    classes = [unicodedata.combining(char) for char in tidy]
    assert classes == [0, *sorted(classes[1:-1]), 0]
    assert (
        len(unicodedata.normalize("NFD", marks)) * (MILLION // len(marks))
        == len(unicodedata.normalize("NFD", tidy)) - 2
    )


@pytest.mark.slow
def test_a_line_of_fifty_megabytes_is_a_document_and_its_neighbours_stay(tmp_path):
    long = b'{"text": "' + b"x" * 50_000_000 + b'"}'
    read, found, texts = annotate_file(
        tmp_path, b'{"text": "before"}\n' + long + b'\n{"text": "after"}\n'
    )
    assert (read, found) == (3, {"kept": 3, "dropped": 0, "quarantined": 0})
    assert list(map(len, texts)) == [6, 50_000_000, 5]


def test_a_line_of_more_than_the_most_is_one_broken_record(tmp_path):
    data = b'{"text": "before"}\n' + b"x" * (MAX_LINE + 1) + b'\n{"text": "after"}\n'
    read, found, texts = annotate_file(tmp_path, data)
    assert (read, texts) == (3, ["before", "after"])
    assert found == {"kept": 2, "dropped": 0, "quarantined": 1, "quarantined:long_line": 1}
