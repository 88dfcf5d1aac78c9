"""Signals of lines: C4's lines and sentences, notices, menus and code equal their stated rules, written down plainly here."""

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels.lines import LINE_FIELDS
from pipelines.annotate.kernels.phrases import build_phrase_automaton
from pipelines.annotate.kernels.token_classes import (
    ABBREVIATIONS,
    BEFORE_DOT,
    LOWER,
    MARK,
    QUOTE,
    TERMINAL,
    UPPER,
    build_flag_table,
)
from pipelines.annotate.signals.lines import compute_line_numbers, load_line_words
from pipelines.kernels.buffers import get_text_buffers

CITATION = re.compile(r"\[[0-9]*]|\[edit]|\[citation needed]")
WIDE, CLOSERS, SIGNS = "。！？｡．", "”’」』）》】〉〕)", "{}<>=;&\\$^~_"
WORDS = load_line_words()


def signals(text):
    row = compute_line_numbers(*get_text_buffers(pa.array([text], pa.string())))[0]
    return dict(zip(LINE_FIELDS, row.tolist(), strict=True))


def has(char, flag):
    return ord(char) < len(build_flag_table()) and bool(build_flag_table()[ord(char)] & flag)


def ends_sentences(char):
    return has(char, TERMINAL)


def is_mark_of(char, kind):
    return ord(char) < 0x32400 and unicodedata.category(char)[0] == kind


def low(text):
    """Lower case of ASCII only."""
    return re.sub("[A-Z]", lambda found: found[0].lower(), text)


def expected(text, char_kind):
    """All columns by their definitions."""
    lines = [raw.lstrip("".join(map(chr, range(33)))) for raw in text.split("\n")]
    lines = [line for line in lines if any(char_kind(char) != "Z" for char in line)]
    judged = [c4_line(line, char_kind) for line in lines]
    plates, codes = sum(map(is_boilerplate, lines)), sum(map(is_code, lines))
    return {
        "c4_sentences": sum(sentences for sentences, _ in judged),
        "c4_curly_braces": sum(braces for _, braces in judged),
        "lorem_ipsum": sum(low(line).count("lorem ipsum") for line in lines),
        "boilerplate_line_ratio": plates / len(lines) if lines else 0.0,
        "code_line_ratio": codes / len(lines) if lines else 0.0,
    }


def c4_line(line, char_kind):
    """(sentences, curly braces) that a line adds."""
    phrases = set(re.split(r"[|/>·»]", low(line)))
    says = lambda words: any(word in part for word in words for part in phrases)  # noqa: E731
    spaced = "".join(" " if char_kind(char) == "Z" else char for char in line)
    words = [
        word for chunk in spaced.split(" ") if chunk for word in words_of_chunk(chunk, char_kind)
    ]
    if len(words) < 3 or max(words) > 1000 or not is_end(spaced) or says(WORDS["c4"]["javascript"]):
        return 0, 0
    policies = [*WORDS["c4"]["policies_en"], *WORDS["c4"]["policies_zh"]]
    return 0 if says(policies) else count_sentences(
        CITATION.sub("", spaced), char_kind
    ), line.count("{")


def words_of_chunk(chunk, char_kind):
    """The length of every word: characters of scripts without spaces stand alone; marks of citations are words' bytes."""
    found, run, first, at = [], 0, True, 0
    while at < len(chunk):
        cut = CITATION.match(chunk, at)
        if cut:
            if run == 0:
                found.append(0)
            run += len(cut[0])
            found[-1] = max(found[-1], run)
            at = cut.end()
            continue
        char = chunk[at]
        if char_kind(char) == "S":
            found.append(1)
            run = 0
        elif run or first or not has(char, MARK):
            if run == 0:
                found.append(0)
            run += 1
            found[-1] = max(found[-1], run)
        first = False
        at += 1
    return found


def is_end(line):
    left = CITATION.sub("", line.rstrip(" "))
    if not left or left.endswith((" ", "...")):
        return False
    if left[-1] in CLOSERS:
        return left[-2:-1] in tuple(WIDE)
    return left[-1] in "\"'" or ends_sentences(left[-1])


def count_sentences(line, char_kind):
    """One, and one more for every token after a mark of a sentence's end that is no punctuation."""
    count, seen = 1, False
    for chunk in line.split(" "):
        maybe, inside, core = False, False, ""
        for at, char in enumerate(chunk):
            before, after = chunk[at - 1 : at], chunk[:at]
            if char == ".":
                run = len(after) - len(after.rstrip("."))
                own = run == 0 and dot_stands_alone(core, after, char_kind)
                maybe = (maybe or own) if run == 0 else False
                inside = own and bool(before) and (has(before, LOWER) or has(before, QUOTE))
            elif ends_sentences(char):
                seen |= not core or char in WIDE
                maybe, inside = True, False
            else:
                seen |= inside and (has(char, UPPER) or has(char, QUOTE))
                inside = False
                if not is_mark_of(char, "P"):
                    count += seen
                    seen = maybe = False
            if core or not is_mark_of(char, "P"):
                core += char
        seen |= maybe
    return count


def dot_stands_alone(core, before, char_kind):
    if not core or char_kind(before[-1]) == "S":
        return True
    if not has(before[-1], BEFORE_DOT) and not (
        len(before) > 1 and all(has(char, UPPER) for char in before[-2:])
    ):
        return False
    return f"{core}." not in (*ABBREVIATIONS, "Ph.") and not re.fullmatch("[a-z]", core)


def is_boilerplate(line):
    c4, notices, menus = WORDS["c4"], WORDS["notices"], WORDS["menus"]
    parts = [
        part
        for part in (
            part.strip("".join(map(chr, range(33)))) for part in re.split(r"[|/>·»]", low(line))
        )
        if part
    ]
    phrases = [
        *c4["javascript"],
        *c4["policies_en"],
        *c4["policies_zh"],
        *notices["en"],
        *notices["zh"],
    ]
    if parts and all(part in menus["en"] or part in menus["zh"] for part in parts):
        return True
    return len(line) <= 200 and any(phrase in part for part in parts for phrase in phrases)


def is_code(line):
    ink = [char for char in line if char > " "]
    last, letters = ink[-1], re.findall(r"(?<=[A-Za-z_])\(", line)
    signs = sum(line.count(sign) for sign in SIGNS) + len(letters)
    if last in "{}" or (last == ";" and signs > 1) or (signs >= 3 and 10 * signs >= len(ink)):
        return True
    if any(line.startswith(word) for word in WORDS["code"]["sure"]):
        return True
    parts = len(re.findall(r"[^\x00-\x20]+", line))
    maybe = any(line.startswith(word) for word in WORDS["code"]["maybe"])
    return maybe and last not in ".!?" and (signs > 0 or last == ":" or parts <= 5)


PIECES = [
    "The mill",
    " ",
    "  ",
    "\n",
    ".",
    "..",
    "...",
    "?",
    "!",
    '"',
    "'",
    "”",
    "’",
    ",",
    "(",
    ")",
    "[1]",
    "[]",
    "[edit]",
    "[citation needed]",
    "[",
    "Ltd.",
    "Ph.D.",
    "e.g.",
    "U.S.",
    "a.m.",
    "word.Next",
    "3.5",
    "x",
    "NATO.",
    "mill. ",
    "end.\n",
    "他来了。",
    "“好。”",
    "磨坊",
    "！",
    "．",
    "javascript",
    "JavaScript ",
    "Privacy Policy",
    "隐私政策",
    "lorem ipsum ",
    "Lorem Ipsum",
    "{",
    "}",
    ";",
    "return ",
    "def ",
    "//",
    "class ",
    ":",
    "Home",
    " | ",
    "·",
    "»",
    "Login",
    "登录",
    "首页",
    "© 20",
    "版权所有",
    "foo(",
    "_",
    "\t",
    "\u3000",
    "\u0301",
    "ก",
    "؟",
    "x" * 150,
    "y" * 1000,
    "中" * 120,
    "µ",
    "É",
    "`",
    "ß.",
    "%.",
    "-.",
    "\xa0",
    "/",
    ">",
    "import ",
    "if (",
]


def assert_equal(text, char_kind):
    assert signals(text) == pytest.approx(expected(text, char_kind)), text


@settings(max_examples=500, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=30))
@example(pieces=["foo bar baz.", " ", "[1]"])
@example(pieces=["one two ", "[1]", "[2]", "."])
@example(pieces=["The mill", "！", " ", ")"])
@example(pieces=["The mill", "！", " ", "[1]", ")"])
@example(pieces=["The mill", "！", "[1]", ")"])
@example(pieces=["The mill", "。", "\u3000", "”"])
def test_every_column_equals_its_definition_on_assembled_texts(pieces, char_kind):
    assert_equal("".join(pieces), char_kind)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_every_column_equals_its_definition_on_any_text(data, tricky, char_kind):
    alphabet = st.one_of(st.sampled_from(tricky), st.characters(exclude_categories=["Cs"]))
    assert_equal(data.draw(st.text(alphabet, max_size=80)), char_kind)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_column_equals_its_definition_on_prose(lang, prose, char_kind):
    for seed in range(4):
        text = prose(seed, 30, lang=lang)
        assert_equal(text + "\n" + text.replace(" ", "\n"), char_kind)


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ("He came in. She left at once.", "c4_sentences", 2),
        ("Dr. Mill met Mr. Hand at 3.5 p.m. today.", "c4_sentences", 1),
        ("Too short.\nThis line has no end\nThis one has.", "c4_sentences", 1),
        ("It ends in dots...", "c4_sentences", 0),
        ("It ends in dots...  \x85", "c4_sentences", 0),
        ("It has them before... it ends.", "c4_sentences", 1),
        ("It is known.[3][edit]", "c4_sentences", 1),
        ("It is known. [3]", "c4_sentences", 0),
        ("Please enable JavaScript in your browser.", "c4_sentences", 0),
        ("Read our Privacy Policy before you go on.", "c4_sentences", 0),
        ("他来了。她走了！", "c4_sentences", 2),
        ("他说：“我来了。”", "c4_sentences", 1),
        ("The old mill！ )", "c4_sentences", 0),
        ("The old mill！)", "c4_sentences", 1),
        ("请阅读隐私政策。", "c4_sentences", 0),
        ("這裡沒有句號", "c4_sentences", 0),
        ("x" * 1001 + " and more words.", "c4_sentences", 0),
        ("The set {a} is small.\n{ no end", "c4_curly_braces", 1),
        ("Lorem ipsum dolor.\nLOREM IPSUM lorem ipsum", "lorem_ipsum", 3),
        ("Home | About us » Login\nThe mill is old.", "boilerplate_line_ratio", 1 / 2),
        ("首页 | 关于我们\n老磨坊在河边。", "boilerplate_line_ratio", 1 / 2),
        ("版權所有，保留一切權利\n老磨坊在河邊。", "boilerplate_line_ratio", 1 / 2),
        ("© 2024 The Mill", "boilerplate_line_ratio", 1),
        ("She went home and had to login.", "boilerplate_line_ratio", 0),
        (
            "They discussed the privacy policy " + "at great length " * 12,
            "boilerplate_line_ratio",
            0,
        ),
        (
            "int main() {\n  return 0;\n}\nThis is the main function of it.",
            "code_line_ratio",
            3 / 4,
        ),
        (
            "import numpy as np\nfrom here on, all roads lead to Rome and to the sea",
            "code_line_ratio",
            1 / 2,
        ),
        ("the seller;\nthe buyer; and", "code_line_ratio", 0),
        ("磨坊(mill)很老。\n#include <cstdio>", "code_line_ratio", 1 / 2),
    ],
)
def test_a_column_by_example(text, column, value):
    assert signals(text)[column] == pytest.approx(value)


def test_an_empty_text_is_zero_in_every_column():
    assert set(signals("").values()) == set(signals(" \n \n").values()) == {0.0}


def test_a_document_does_not_depend_on_its_neighbours_or_slice(prose):
    texts = ["", prose(1, 50), "Home", prose(2, 3, lang="zh"), "{"]
    together = compute_line_numbers(*get_text_buffers(pa.array(["pad {", *texts]).slice(1)))
    assert together.tolist() == [
        compute_line_numbers(*get_text_buffers(pa.array([text])))[0].tolist() for text in texts
    ]


def test_lists_hold_each_phrase_once_without_what_parts_a_line():
    for section, lists in WORDS.items():
        phrases = [phrase for group in lists.values() for phrase in group]
        assert len(set(phrases)) == len(phrases)
        if section != "code":
            assert all(
                phrase == low(phrase).strip() and not re.search(r"[|/>·»\n]", phrase)
                for phrase in phrases
            )


@settings(max_examples=200, deadline=None)
@given(
    phrases=st.lists(st.text("abc é", min_size=1, max_size=4), min_size=1, max_size=12),
    text=st.text("abcABC éÉ", max_size=40),
)
def test_an_automaton_finds_what_ends_at_every_byte(phrases, text):
    groups = {1: phrases[::2], 2: phrases[1::2]}
    symbols, step, found, whole = build_phrase_automaton(groups, length_kind=2)
    state, data = 0, low(text).encode()
    for at, byte in enumerate(text.encode(), start=1):
        state = step[state, symbols[byte]]
        ends = {
            kind: [p.encode() for p in group if data[:at].endswith(p.encode())]
            for kind, group in groups.items()
        }
        assert found[state] == sum(kind for kind in ends if ends[kind])
        assert whole[state] == max(map(len, ends[2]), default=0)


@pytest.mark.timeout(60, func_only=True)
@pytest.mark.parametrize(
    "unit", ["[1", "[", "a.", "|", "中", "privacy ", "return ", "{", "\n", "x"]
)
def test_a_megabyte_of_anything_is_read_in_linear_time(unit):
    text = unit * (10**6 // len(unit))
    assert np.isfinite(list(signals(text).values())).all()
