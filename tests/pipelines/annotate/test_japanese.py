"""Japanese words: tokens are Sudachi's wherever a text is cut for it, by any thread, and only Japanese is cut so."""

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels.quality import FIELDS
from pipelines.annotate.kernels.token_classes import SPACE, build_flag_table
from pipelines.annotate.signals.japanese import (
    MOST_BYTES,
    _dictionary,
    find_tokens,
    iter_chunks,
    tokenize_japanese,
)
from pipelines.annotate.signals.table import SIGNAL_FIELDS, compute_signal_columns, load_stop_words
from pipelines.contract import load_preset_rules

PIECES = [
    "東京都",
    "へ行く",
    "食べました",
    "外国人参政権",
    "カタカナ",
    "データベース",
    "ｶﾞｲﾄﾞ",
    "が",
    "か\u3099",
    "え〜〜っと",
    "ーーー",
    "々",
    "〇",
    "徳島(とくしま)",
    "（",
    "）",
    "「",
    "」",
    "。",
    "、",
    "・",
    "…",
    "！？",
    "２０２６年",
    "1,000円",
    "3.14",
    "一億二千万",
    "㈱",
    "㌔",
    "①",
    "𠮷野家",
    "𠀀",
    "👍🏽",
    "葛\U000e0101",
    "e\u0301",
    "é",
    "Wi-Fi",
    "don't",
    "한국",
    "中文字",
    "ไทย",
    "ﷺ",
    "İ",
    "ß",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    "\u3000",
    "\x85",
    "\u2028",
    "\x1c",
    "\xa0",
    "\u200b",
    "\ufeff",
    "\x00",
]
KANA = st.characters(min_codepoint=0x3041, max_codepoint=0x30FF)
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=16).map("".join),
    st.text(KANA, max_size=40),
    st.text("のをは水車小屋川年0 ・ー", max_size=40),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "ignore").decode()),
)


def words(text):
    return [text[start:end] for start, end in zip(*find_tokens(text), strict=True)]


def columns(texts, langs):
    made = compute_signal_columns(pa.array(texts, pa.string()), pa.array(langs, pa.string()))
    return dict(zip([field.name for field in SIGNAL_FIELDS], made, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("古い水車小屋は川のそばにあった。", "古い|水車|小屋|は|川|の|そば|に|あっ|た|。"),
        ("外国人参政権", "外国|人|参政|権"),
        ("東京都へ行く…", "東京|都|へ|行く|…"),
        ("1,000円と3.14", "1,000|円|と|3.14"),
        ("Wi-Fiのデータ", "Wi-Fi|の|データ"),
        ("𠮷野家で👍🏽", "𠮷|野家|で|👍🏽"),
        ("か\u3099ある", "か\u3099|ある"),
        ("  東京 \u3000\n\n 都\t", "東京|都"),
        (" \n\u3000", ""),
        ("", ""),
    ],
)
def test_sentences_are_cut_like_this(text, expected):
    assert "|".join(words(text)) == expected


@settings(max_examples=600, deadline=None)
@given(text=TEXTS)
@example(text="\u2028\u3000あ\x85※\x85")
@example(text="…" * 9)
def test_any_text_is_cut_as_sudachi_cuts_it_without_its_white_space(text, sudachi_words):
    assert words(text) == sudachi_words(text)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_tokens_lie_in_order_and_between_them_is_white_space_only(text):
    starts, ends = find_tokens(text)
    assert starts.dtype == ends.dtype == np.int32
    bounds = [0, *np.stack([starts, ends], axis=1).ravel().tolist(), len(text)]
    assert bounds == sorted(bounds) and (starts < ends).all()
    assert all(not text[a:b].strip() for a, b in zip(bounds[::2], bounds[1::2], strict=True))


@settings(max_examples=400, deadline=None)
@given(text=TEXTS, most=st.integers(4, 60))
def test_chunks_side_by_side_are_the_text_and_none_is_too_long_or_empty(text, most):
    found = list(iter_chunks(text, most))
    assert "".join(found) == text
    assert all(0 < len(chunk.encode()) <= most for chunk in found)


@settings(max_examples=400, deadline=None)
@given(text=TEXTS, most=st.integers(4, 60))
def test_a_chunk_ends_behind_the_last_line_or_sentence_that_fits(text, most):
    found, at = list(iter_chunks(text, most)), 0
    for chunk in found[:-1]:
        at += len(chunk)
        room = most - len(chunk.encode())
        rest = text[at:].encode()[:room].decode(errors="ignore")
        assert "\n" not in rest
        if not chunk.endswith("\n"):
            assert "\n" not in chunk and not set("。！？!?．") & set(rest)
            assert chunk[-1] in "。！？!?．" or not set("。！？!?．") & set(chunk)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ああ\nい。う", ["ああ\n", "い。う"]),
        ("あい。うえ", ["あい。", "うえ"]),
        ("あいうえお", ["あいうえ", "お"]),
        ("a𠀀𠀀𠀀b", ["a𠀀𠀀", "𠀀b"]),
        ("あいうえ", ["あいうえ"]),
    ],
)
def test_a_text_over_twelve_bytes_is_cut_here(text, expected):
    assert list(iter_chunks(text, 12)) == expected


def test_a_text_that_sudachi_takes_at_once_is_not_cut():
    text = "東京都へ行く。\n" * 1000
    for size in (MOST_BYTES // 3, MOST_BYTES // 3 + 1):
        assert len(list(iter_chunks(("あ\n" * size)[:size]))) == 1
    assert list(iter_chunks(text)) == [text]


def test_tokens_of_a_long_text_are_those_of_its_lines(sudachi_words):
    line = "東京都へ行く𠮷野家の1,000円。\n"
    assert words(line * 5000) == sudachi_words(line) * 5000


def test_a_text_that_is_longer_once_normalized_than_sudachi_takes_is_cut_too():
    text = "ﷺ" * 30_000 + "東京都"
    assert "".join(words(text)) == text
    assert words(text)[-2:] == ["東京", "都"]


@pytest.mark.timeout(120, func_only=True)
@pytest.mark.parametrize(
    "text", ["あ", "カ", "龘", "一", "x", "9", "9.", "-", "。", "👍", "か\u3099", "水車小屋"]
)
def test_a_million_characters_without_a_space_take_linear_time(text):
    text = text * (10**6 // len(text))
    assert "".join(words(text)) == text


def test_white_space_is_what_python_strips():
    table = build_flag_table()
    spaces = {code for code in range(0x110000) if chr(code).isspace()}
    assert {code for code in range(len(table)) if table[code] & SPACE} == spaces
    assert not table[-1] & SPACE  # it stands for all characters beyond the table


def test_two_threads_find_what_one_finds():
    texts = [
        f"東京都へ行く{number}人。カタカナのデータ。" * (number % 7 * 40) for number in range(40)
    ]
    alone = [words(text) for text in texts]
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(words, texts * 3)) == alone * 3


def test_threads_that_meet_their_first_japanese_at_once_open_one_dictionary():
    _dictionary.cache_clear()
    together = Barrier(2)

    def cut_first(text):
        together.wait()
        return words(text)

    with ThreadPoolExecutor(2) as threads:  # threads of its own: none has a tokenizer yet
        assert list(threads.map(cut_first, ["水車小屋", "水車小屋"])) == [["水車", "小屋"]] * 2
    assert _dictionary.cache_info().misses == 1


def test_only_the_wanted_documents_of_a_batch_are_cut():
    batch = pa.array(["", "東京都", "水車小屋", "川", "東京都"]).slice(1)
    found = tokenize_japanese(batch, np.array([True, False, True, True]))
    assert found.cuts.tolist() == [0, 2, 2, 3, 5]
    assert found.starts.tolist() == [0, 2, 0, 0, 2]
    assert found.ends.tolist() == [2, 3, 1, 2, 3]
    assert tokenize_japanese(batch, np.zeros(4, bool)).cuts.tolist() == [0] * 5
    assert tokenize_japanese(pa.array([], pa.string()), np.zeros(0, bool)).cuts.tolist() == [0]


@pytest.mark.parametrize(("lang", "count"), [("ja", 10), ("zh", 13), ("und", 15)])
def test_documents_in_japanese_have_words_and_those_of_no_known_language_characters(lang, count):
    assert columns(["古い水車小屋は川のそばにあった。"], [lang])["words"].to_pylist() == [count]


def test_signals_of_a_japanese_document_by_hand():
    found = columns(["古い水車小屋は川のそばにあった。川の水は、\n1,000年。"], ["ja"])
    # 古い 水車 小屋 は 川 の そば に あっ た 。 川 の 水 は 、 1,000 年 。
    assert found["words"].to_pylist() == [16]
    assert found["mean_word_length"].to_pylist() == pytest.approx([25 / 16])
    assert found["alpha_word_ratio"].to_pylist() == pytest.approx([15 / 19])
    assert found["stop_words"].to_pylist() == [5]  # は の に た 年
    assert found["newline_word_ratio"].to_pylist() == pytest.approx([1 / 19])
    assert found["top_2gram_ratio"].to_pylist() == pytest.approx([2 * len("川 の") / 29])


def test_a_batch_may_hold_japanese_beside_other_languages():
    texts = ["古い水車小屋は川の", "我来到北京清华大学", "", "the old mill", "川のそばに"]
    langs = ["ja", "zh", "ja", "en", "ja"]
    together = list(columns(texts, langs).values())
    for row, (text, lang) in enumerate(zip(texts, langs, strict=True)):
        alone = columns([text], [lang]).values()
        assert [column[row] for column in together] == [column[0] for column in alone]


@pytest.mark.parametrize(("lang", "loaded"), [("en", False), ("zh", False), ("ja", True)])
def test_the_dictionary_is_loaded_only_where_there_is_japanese(lang, loaded):
    code = (
        "import sys, pyarrow as pa; from pipelines.annotate.signals.table import compute_signal_columns;"
        f"compute_signal_columns(pa.array(['古い水車小屋']), pa.array(['{lang}'])); print('sudachipy' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == str(loaded)


@pytest.mark.parametrize("name", ["docs_manpages_ja", "news_wikinews_ja", "wiki_zh"])
def test_real_documents_are_cut_as_sudachi_cuts_them(shared_data, sudachi_words, name):
    texts = pq.read_table(shared_data / f"corpus/{name}.parquet", columns=["text"])[
        "text"
    ].to_pylist()
    for text in texts[:: len(texts) // 40]:
        assert words(text) == [word for chunk in iter_chunks(text) for word in sudachi_words(chunk)]


def test_every_fineweb2_rule_that_other_languages_have_is_there_for_japanese():
    rules = [rule for rule in load_preset_rules() if rule.preset == "fineweb2"]
    assert {rule.signal for rule in rules} <= set(FIELDS)
    assert [
        rule.name for rule in rules if rule.only_languages and "ja" not in rule.only_languages
    ] == []
    assert {rule.name: rule.bounds("ja") for rule in rules} == {
        "fw2_too_few_words": (50, math.inf),
        "fw2_too_many_words": (-math.inf, 100000),
        "fw2_word_length": (1, 6),
        "fw2_symbols": (-math.inf, 0.1),
        "fw2_bullets": (-math.inf, 0.9),
        "fw2_ellipses": (-math.inf, 0.3),
        "fw2_letters": (0.759, math.inf),
        "fw2_stop_words": (2, math.inf),
        "fw2_repeated_lines": (-math.inf, 0.328),
        "fw2_top_2gram": (-math.inf, 0.239),
        "fw2_top_3gram": (-math.inf, 0.196),
        "fw2_top_4gram": (-math.inf, 0.172),
        "fw2_repeated_5grams": (-math.inf, 0.243),
        "fw2_repeated_6grams": (-math.inf, 0.225),
        "fw2_repeated_7grams": (-math.inf, 0.207),
        "fw2_repeated_8grams": (-math.inf, 0.19),
        "fw2_repeated_9grams": (-math.inf, 0.175),
        "fw2_repeated_10grams": (-math.inf, 0.159),
        "fw2_line_ends": (0.096, math.inf),
        "fw2_repeated_chars": (-math.inf, 0.1),
        "fw2_line_breaks": (-math.inf, 0.13),
    }


def test_gophers_rules_on_japanese_words_have_the_bounds_of_fineweb2():
    rules = {rule.name: rule for rule in load_preset_rules()}
    same = {f"top_{n}gram": f"fw2_top_{n}gram" for n in (2, 3, 4)}
    same |= {f"repeated_{n}grams": f"fw2_repeated_{n}grams" for n in range(5, 11)}
    same |= {
        "word_length": "fw2_word_length",
        "not_alphabetic": "fw2_letters",
        "too_many_words": "fw2_too_many_words",
    }
    for name, published in same.items():
        assert rules[name].bounds("ja") == rules[published].bounds("ja"), name


def test_every_stop_word_of_japanese_is_a_word_as_japanese_is_cut():
    for word in load_stop_words()["ja"]:
        assert words(word) == [word]
