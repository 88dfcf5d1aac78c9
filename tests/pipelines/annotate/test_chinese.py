"""Chinese words: every text is cut as jieba itself cuts it, and only documents in Chinese are cut so."""

import math
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels.chinese import segment_chinese
from pipelines.annotate.kernels.chinese_tables import (
    ChineseWords,
    load_chinese_words,
    make_empty_chinese_words,
    read_dictionary,
)
from pipelines.annotate.kernels.quality import FIELDS
from pipelines.annotate.kernels.token_classes import build_flag_table
from pipelines.annotate.signals.table import SIGNAL_FIELDS, compute_signal_columns
from pipelines.contract import load_preset_rules

HAN = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FD5)
COMMON = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料象员革位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别她手角期根论运农指几九区强放决西被干做必战先回则任取据处队南给色光门即保治北造百规热领七海口东导器压志世金增争济阶油思术极交受联什认六共权收证改清己美再采转更单风切打白教速花带安场身车例真务具万每目至达走积示议声报斗完类八离华名确才科张信马节话米整空元况今集温传土许步群广石记需段研界拉林律叫且究观越织装影算低持音众书布复容儿须际商非验连断深难近矿千周委素技备半办青省列习响约支般史感劳便团往酸历市克何除消构府称太准精值号率族维划选标写存候毛亲快效斯院查江型眼王按格养易置派层片始却专状育厂京识适属圆包火住调满县局照参红细引听该铁价严龙飞"
PIECES = [
    "中华人民共和国",
    "研究生命起源",
    "南京市长江大桥",
    "乾清宫",
    "張三丰",
    "臺灣",
    "蠔油",
    "鿕",
    "鿖",
    "㐀",
    "豈",
    "𠀀",
    "々",
    "〇",
    "B超",
    "T恤",
    "c++",
    "C#",
    "AT&T",
    "3.14%",
    "v1.2.3",
    "50%",
    "a.b",
    "--",
    ".5",
    "5.",
    "1.2.",
    "%",
    "+#&._-",
    "hello",
    "１２３",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\u3000",
    "\x1c",
    "\x85",
    "\u2028",
    "\u200b",
    "\x00",
    "，",
    "。",
    "「",
    "é",
    "カタカナ",
    "한국",
    "а",
    "\u0301",
    "👍🏽",
]
TEXTS = st.one_of(
    st.text(HAN, max_size=40),
    st.text(st.sampled_from(COMMON), max_size=80),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "ignore").decode()),
    st.text("的是x0 .%-", max_size=20),
    st.lists(
        st.one_of(st.sampled_from(PIECES), st.text(st.sampled_from(COMMON), max_size=6)),
        max_size=14,
    ).map("".join),
)


def words(text, tables=None):
    points = np.frombuffer(text.encode("utf-32-le"), "<i4").copy()
    known = np.minimum(points, len(build_flag_table()) - 1)
    flags = np.where(points == known, build_flag_table()[known], 0).astype(np.uint16)
    room = len(points) + 1
    score, back = np.empty(room), np.empty(4 * room, np.uint8)
    step, starts, ends = (np.empty(room, np.int32) for _ in range(3))
    tables = tables or load_chinese_words()
    count = segment_chinese(points, flags, len(points), tables, score, step, back, starts, ends)
    return [text[first:last] for first, last in zip(starts[:count], ends[:count], strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我来到北京清华大学", "我|来到|北京|清华大学"),
        ("他来到了网易杭研大厦", "他|来到|了|网易|杭研|大厦"),
        ("南京市长江大桥", "南京市|长江大桥"),
        ("研究生命起源", "研究|生命|起源"),
        ("圆周率是3.14，约占50%。", "圆周率|是|3.14|，|约|占|50%|。"),
        ("做B超 用C++写", "做|B超|用|C++|写"),
        ("hello-world v1.2", "hello|-|world|v1.2"),
        ("\t \n　", ""),
        ("", ""),
    ],
)
def test_sentences_are_cut_like_this(text, expected):
    assert "|".join(words(text)) == expected


@settings(max_examples=1500, deadline=None)
@given(text=TEXTS)
@example(text="龘靐齉爩麤" * 9)
@example(text="一" * 200)
@example(text="γ射线")
def test_any_text_is_cut_as_jieba_cuts_it(text, jieba_words):
    assert words(text) == jieba_words(text)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_words_side_by_side_are_the_text_without_its_white_space(text):
    assert "".join(words(text)) == "".join(char for char in text if not char.isspace())


@pytest.mark.parametrize(
    "name", ["wiki_zh", "web_oiwiki_zh", "social_lccc_zh", "poetry_tangsong_zh", "wiki_en"]
)
def test_real_documents_are_cut_as_jieba_cuts_them(shared_data, jieba_words, name):
    texts = pq.read_table(shared_data / f"corpus/{name}.parquet", columns=["text"])[
        "text"
    ].to_pylist()
    for text in texts[:: len(texts) // 50]:
        assert words(text or "") == jieba_words(text or "")


@pytest.mark.timeout(60, func_only=True)
@pytest.mark.parametrize("text", ["的", "龘", "中国", "x", "9.", "-", "，"])
def test_a_million_characters_without_a_space_take_linear_time(text):
    text = text * (10**6 // len(text))
    assert "".join(words(text)) == text


def test_weights_are_logarithms_of_shares_and_beginnings_have_none():
    single, beginnings, weights, unknown = read_dictionary(
        "河 6 n\n河边 2 s\n磨坊主 8 n\nγ射线 4 n\n"
    )
    assert unknown == -math.log(20)
    assert single[ord("河")] == math.log(6) - math.log(20)
    assert single[ord("磨")] > 0
    assert math.isnan(single[ord("边")])
    assert sorted(weights[1:].tolist()) == [math.log(freq) - math.log(20) for freq in (2, 4, 6, 8)]
    assert np.count_nonzero(beginnings) == 3  # 河边, 磨坊 (none), 磨坊主; a block cannot hold γ


def test_of_paths_of_equal_weight_the_longer_word_wins_and_of_words_said_twice_the_last_counts():
    tables = load_chinese_words()
    # 4 of 16 for 甲, 乙 each and 1 of 16 for 甲乙: equal weights.
    assert words(
        "甲乙", ChineseWords(*read_dictionary("甲 4\n乙 4\n甲乙 1\n丙 7\n"), *tables[4:])
    ) == ["甲乙"]
    assert words(
        "甲乙", ChineseWords(*read_dictionary("甲 5\n乙 5\n甲乙 1\n丙 5\n"), *tables[4:])
    ) == [
        "甲",
        "乙",
    ]
    assert words(
        "甲乙", ChineseWords(*read_dictionary("甲乙 9\n甲 5\n乙 5\n甲乙 1\n"), *tables[4:])
    ) != ["甲乙"]


@pytest.mark.parametrize(
    ("lang", "count"), [("zh", 4), ("wuu", 4), ("yue", 4), ("ko", 9), ("und", 9)]
)
def test_documents_in_chinese_have_words_and_others_characters(lang, count):
    columns = compute_signal_columns(pa.array(["我来到北京清华大学"]), pa.array([lang]))
    assert SIGNAL_FIELDS[1].name == "words"
    assert columns[1].to_pylist() == [count]


def test_a_batch_may_hold_chinese_beside_other_languages():
    texts, langs = ["我来到北京清华大学", "the old mill", "我来到"], ["zh", "en", "zh"]
    together = compute_signal_columns(pa.array(texts), pa.array(langs))
    for row, (text, lang) in enumerate(zip(texts, langs, strict=True)):
        alone = compute_signal_columns(pa.array([text]), pa.array([lang]))
        assert [column[row] for column in together] == [column[0] for column in alone]


def test_tables_without_content_have_the_types_of_full_ones():
    shapes = [
        [(getattr(t, "dtype", float), getattr(t, "ndim", 0)) for t in tables()]
        for tables in (load_chinese_words, make_empty_chinese_words)
    ]
    assert shapes[0] == shapes[1]


def test_jiebas_code_is_never_imported():
    code = "import sys; from pipelines.annotate.kernels.chinese_tables import load_chinese_words; load_chinese_words(); print('jieba' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == "False"


def test_every_fineweb2_rule_that_other_languages_have_is_there_for_chinese():
    rules = [rule for rule in load_preset_rules() if rule.preset == "fineweb2"]
    assert {rule.signal for rule in rules} <= set(FIELDS)
    assert [
        rule.name for rule in rules if rule.only_languages and "zh" not in rule.only_languages
    ] == []
    bounds = {rule.name: rule.bounds("zh") for rule in rules}
    assert bounds["fw2_word_length"] == (1, 5)
    assert bounds["fw2_letters"] == (0.735, math.inf)
    assert bounds["fw2_repeated_10grams"] == (-math.inf, 0.127)
    assert bounds["fw2_too_few_words"] == (50, math.inf)
