"""Quality signals: every column equals the stated definition, computed here in plain Python."""

import math
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.annotate.kernels.external_tokens import join_external_tokens
from pipelines.annotate.kernels.quality import (
    ARABIC,
    CHINESE,
    EXTERNAL,
    FIELDS,
    SPACED,
    THAI,
    measure_quality,
)
from pipelines.annotate.kernels.token_classes import SYMBOL, TERMINAL, build_flag_table
from pipelines.annotate.kernels.tokens import hash_tokens
from pipelines.annotate.signals.japanese import find_tokens
from pipelines.kernels.buffers import get_text_buffers

BULLETS, ENDS = "•‣▪◦●○·*-–", ".!?。！？؟۔।…"
STOPS = ["the", "of", "and", "a", "的", "be", "の"]


def signals(text, stops=STOPS, cutter=SPACED):
    lists = [np.zeros(0, np.uint64), hash_tokens(stops)]
    given = join_external_tokens([find_tokens(text)]) if cutter == EXTERNAL else None
    row = measure_quality(
        *get_text_buffers(pa.array([text], pa.string())),
        np.array([1]),
        lists,
        np.array([cutter]),
        given,
    )[0]
    return dict(zip(FIELDS, row.tolist(), strict=True))


def expected(text, tokens_of, char_kind, stops=STOPS):
    """All columns by their definitions."""
    tokens = tokens_of(text)
    words = [token for token in tokens if not all(has(char, SYMBOL) for char in token)]
    blocks = lines_and_paragraphs(text, char_kind)
    lines = [line for block in blocks for line in block]
    inked = [line.rstrip("".join({c for c in line if char_kind(c) == "Z"})) for line in lines]
    chars, letters = len(text), sum(map(len, words))
    row = {
        "chars": chars,
        "words": len(words),
        "mean_word_length": share(letters, len(words)),
        "alpha_word_ratio": share(
            sum(any(c.isalpha() for c in token) for token in tokens), len(tokens)
        ),
        "stop_words": len(set(tokens) & set(stops)),
        "symbol_word_ratio": share(
            max(
                sum(line.count("#") for line in lines),
                sum(ellipses(line, char_kind) for line in lines),
            ),
            len(tokens),
        ),
        "lines": len(lines),
        "bullet_line_ratio": share(sum(line[0] in BULLETS for line in inked), len(lines)),
        "ellipsis_line_ratio": share(
            sum(ends_in_ellipsis(line, char_kind) for line in inked), len(lines)
        ),
        "terminal_line_ratio": share(sum(has(line[-1], TERMINAL) for line in inked), len(lines)),
        "short_line_ratio": share(sum(len(line) <= 30 for line in lines), len(lines)),
        "newline_word_ratio": share(text.count("\n"), len(tokens)),
        "sentences": sum(len(re.findall(f"[{re.escape(ENDS)}]+", line)) for line in lines),
        "digit_ratio": share(sum(char_kind(c) == "N" for c in text), chars),
        "curly_braces": text.count("{"),
    }
    parts = ["\n".join(block) for block in blocks]
    for name, spans, sizes in (
        ("line", lines, [len(line) for line in lines]),
        ("paragraph", parts, [sum(map(len, block)) for block in blocks]),
    ):
        again = [spans[i] in spans[:i] for i in range(len(spans))]
        row[f"dup_{name}_ratio"] = share(sum(again), len(spans))
        inside = sum(n for n, dup in zip(sizes, again, strict=True) if dup)
        row[f"dup_{name}_char_ratio"] = share(inside, chars)
        if name == "line":
            row["dup_line_text_ratio"] = share(inside, chars - text.count("\n"))
    row |= {f"top_{n}gram_ratio": share(top_ngram(tokens, n), chars) for n in (2, 3, 4)}
    row |= {f"dup_{n}gram_ratio": share(duplicate_ngrams(tokens, n), chars) for n in range(5, 11)}
    return row


def has(char, flag):
    return ord(char) < len(build_flag_table()) and bool(build_flag_table()[ord(char)] & flag)


def share(part, whole):
    return part / whole if whole else 0.0


def lines_and_paragraphs(text, char_kind):
    """Paragraphs as lists of their lines: lines without leading space, none blank; a blank line ends a paragraph."""
    blocks = [[]]
    for raw in text.split("\n"):
        skip = next((i for i, c in enumerate(raw) if char_kind(c) != "Z"), len(raw))
        if raw[skip:]:
            blocks[-1].append(raw[skip:])
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def inked_chars(line, char_kind):
    return [c for c in line if char_kind(c) != "Z"]


def ellipses(line, char_kind):
    """`…`, and runs of three or more dots, which spaces may part."""
    return line.count("…") + len(re.findall(r"\.{3,}", "".join(inked_chars(line, char_kind))))


def ends_in_ellipsis(line, char_kind):
    return bool(re.search(r"(…|\.{3,})$", "".join(inked_chars(line, char_kind))))


def top_ngram(words, n):
    """datatrove's find_top_duplicate: the commonest n-gram (the first seen of equals), its length times its count.

    Ours counts nothing where no n-gram occurs twice.
    """
    grams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    gram, count = grams.most_common(1)[0] if grams else ("", 0)
    return len(gram) * count if count > 1 else 0


def duplicate_ngrams(words, n):
    """datatrove's find_all_duplicate: characters of n-grams seen before, each found one skipped over as a whole."""
    seen, repeated, at = set(), 0, 0
    while at < len(words) - n + 1:
        gram = tuple(words[at : at + n])
        if gram in seen:
            repeated += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return repeated


def assert_equal(text, tokens_of, char_kind, cutter=SPACED):
    ours, theirs = signals(text, cutter=cutter), expected(text, tokens_of, char_kind)
    assert list(theirs.keys() - ours.keys()) == []
    wrong = {
        name: (ours[name], theirs[name])
        for name in FIELDS
        if not math.isclose(ours[name], theirs[name], abs_tol=1e-12)
    }
    assert wrong == {}, text


PIECES = [
    "the mill",
    "of",
    " and ",
    "...",
    ". . .",
    "…",
    "#",
    "# ",
    ".",
    "!?",
    "\n",
    "\n\n",
    " \n",
    "- ",
    "• ",
    "{",
    "的",
    "中文",
    "中文。",
    "水車小屋の",
    "データを",
    "7",
    "12 ",
    " ",
    "\t",
    "a b c d e f ",
    "repeat this line of words now and then\n",
    "\u3000",
    "end.\n",
    ") ",
    "’",
    "É",
    "\x00",
    "\r\n",
    "ที่",
    "ประเทศไทย",
    "พ.ศ. ",
    "๑,๒๓๔",
    "كلمة",
    "عاد؟ ",
    "».",
    "م",
]


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40))
@example(pieces=["a", "...", " ", "b"])
@example(pieces=["\x00a", "\n", "a"])
def test_every_column_equals_its_definition_on_assembled_texts(
    pieces, tokens_of, jieba_words, sudachi_words, pythainlp_words, char_kind
):
    assert_equal("".join(pieces), tokens_of, char_kind)
    assert_equal("".join(pieces), lambda text: tokens_of(text, arabic=True), char_kind, ARABIC)
    assert_equal("".join(pieces), pythainlp_words, char_kind, THAI)
    assert_equal("".join(pieces), jieba_words, char_kind, CHINESE)
    assert_equal("".join(pieces), sudachi_words, char_kind, EXTERNAL)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_every_column_equals_its_definition_on_any_text(data, tricky, tokens_of, char_kind):
    text = data.draw(
        st.one_of(
            st.text(st.sampled_from(tricky), max_size=80),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
        )
    )
    assert_equal(text, tokens_of, char_kind)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_column_equals_its_definition_on_prose(
    lang, prose, tokens_of, jieba_words, char_kind
):
    for seed in range(4):
        text = prose(seed, 30, lang=lang)
        assert_equal(
            text, *((jieba_words, char_kind, CHINESE) if lang == "zh" else (tokens_of, char_kind))
        )
        assert_equal(
            text.replace(". ", ".\n").replace("。", "。\n\n") + "\n" + text, tokens_of, char_kind
        )


@settings(max_examples=150, deadline=None)
@given(words=st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=60))
def test_repeated_ngrams_follow_datatrove_where_words_repeat_much(words, tokens_of, char_kind):
    assert_equal(" ".join(words), tokens_of, char_kind)


def test_an_empty_text_is_zero_in_every_column():
    assert set(signals("").values()) == {0.0}
    assert set(signals("   \n \n").values()) - {6.0, 2.0} == {0.0}


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ("the cat and the dog", "stop_words", 2),
        ("THE Of", "stop_words", 0),
        ("我的书", "stop_words", 1),
        ("Wait... what", "symbol_word_ratio", 1 / 3),
        ("Wait...   what # #", "symbol_word_ratio", 2 / 5),
        ("#one #two", "symbol_word_ratio", 0.5),
        ("a\nb…\nc...\nd", "ellipsis_line_ratio", 0.5),
        ("One. Two! Three?", "sentences", 3),
        ("What?! Really...", "sentences", 2),
        ("他来了。她走了！", "sentences", 2),
        ("- a\n* b\nc", "bullet_line_ratio", 2 / 3),
        ("x\nx\nx", "dup_line_ratio", 2 / 3),
        ("x y\n\nx y", "dup_paragraph_ratio", 0.5),
        ("x y\n\nx y", "dup_paragraph_char_ratio", 3 / 8),
        ("a b a b c", "top_2gram_ratio", 6 / 9),
        ("function() { return {}; }", "curly_braces", 2),
        ("in 1984", "digit_ratio", 4 / 7),
        ("rock 12, 33", "alpha_word_ratio", 1 / 4),
        ("x" * 30 + "\n" + "y" * 31, "short_line_ratio", 0.5),
        ("a\n\nb c", "newline_word_ratio", 2 / 3),
    ],
)
def test_a_column_by_example(text, column, value):
    assert signals(text)[column] == pytest.approx(value)


def test_stop_words_are_counted_by_the_list_of_the_documents_language():
    lists = [np.zeros(0, np.uint64), hash_tokens(["the"]), hash_tokens(["der", "die"])]
    data, offsets = get_text_buffers(pa.array(["the der die"] * 3))
    found = measure_quality(data, offsets, np.array([0, 1, 2]), lists, np.full(3, SPACED))[
        :, FIELDS.index("stop_words")
    ]
    assert found.tolist() == [0, 1, 2]


def test_up_to_64_stop_words_are_told_apart():
    words = [f"w{i}" for i in range(64)]
    assert signals(" ".join(words), words)["stop_words"] == 64


def test_a_document_does_not_depend_on_its_neighbours_or_slice(prose):
    texts = ["", prose(1, 50), "x\nx", prose(2, 3, lang="zh"), "{"]
    lists, cutters = [hash_tokens(STOPS)], np.array([SPACED, THAI, CHINESE, CHINESE, ARABIC])
    together = measure_quality(
        *get_text_buffers(pa.array(["pad", *texts]).slice(1)), np.zeros(5, np.int64), lists, cutters
    )
    for place, text in enumerate(texts):
        alone = measure_quality(
            *get_text_buffers(pa.array([text])),
            np.zeros(1, np.int64),
            lists,
            cutters[place : place + 1],
        )
        assert together[place].tolist() == alone[0].tolist()
