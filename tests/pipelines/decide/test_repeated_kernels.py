"""Kernels of repeated text: lines that match their hashes, fingerprints that no run escapes, bytes that may be cut."""

import itertools
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.decide.kernels.repeats import (
    LINE,
    PARAGRAPH,
    SPAN,
    collect_runs,
    hash_paragraphs,
    label_bytes,
    locate_lines,
    select_fingerprints,
)
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.line_hashes import fold_texts

LINES = st.text(st.sampled_from("aB \n\n\u3000\x85中é\t\r"), max_size=30)
WORDS = st.lists(st.sampled_from("ab"), max_size=30).map(" ".join)
CHINESE = st.text(st.sampled_from("磨坊，河 "), max_size=30)
NO_RUNS = np.zeros((0, 2), np.int64)


def buffers(*texts):
    return get_text_buffers(pa.array(texts, pa.string()))


def is_blank(line):
    return not line.replace("\x85", " ").strip()


def reference_lines(text):
    """(start, end, whether a blank line or the text's border is before it) in bytes, of every line that is not blank."""
    found, at, opens = [], 0, True
    for line in text.split("\n"):
        size = len(line.encode())
        if not is_blank(line):
            found.append((at, at + size, opens))
        opens, at = is_blank(line), at + size + 1
    return found


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(LINES, max_size=4))
@example(texts=["", "a", "\n", "a\n\nb\n"])
def test_lines_are_those_of_a_plain_loop_and_one_to_one_with_their_hashes(texts):
    data, offsets = buffers(*texts)
    lines = locate_lines(data, offsets)
    found = list(zip(lines.starts.tolist(), lines.ends.tolist(), lines.opens.tolist(), strict=True))
    expected = [
        [(a + int(at), b + int(at), o) for a, b, o in reference_lines(t)]
        for t, at in zip(texts, offsets[:-1], strict=True)
    ]
    assert [found[i:j] for i, j in itertools.pairwise(lines.cuts.tolist())] == expected
    folded = fold_texts(data, offsets)
    assert folded.ends.tolist() == lines.cuts.tolist() and len(folded.hashes) == len(found)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60))
def test_lines_of_any_text_are_as_many_as_their_hashes(text):
    data, offsets = buffers(text)
    hashes = fold_texts(data, offsets).hashes
    lines = locate_lines(data, offsets)
    assert len(hashes) == len(lines.starts)
    assert all(data[s:e].tobytes().decode() for s, e in zip(lines.starts, lines.ends, strict=True))


def test_a_slice_and_nulls_have_their_own_lines():
    data, offsets = get_text_buffers(
        pa.array(["skipped\n\nlines", "a\nb", None, "c"], pa.string()).slice(1)
    )
    lines = locate_lines(data, offsets)
    texts = [data[s:e].tobytes() for s, e in zip(lines.starts, lines.ends, strict=True)]
    assert (texts, lines.cuts.tolist()) == ([b"a", b"b", b"c"], [0, 2, 2, 3])


def test_paragraphs_have_two_lines_and_more_and_their_hash_depends_on_lines_and_order():
    hashes = np.array([5, 6, 7, 6, 5, 5, 6, 7], np.uint64)
    opens = np.array([True, False, True, True, False, True, False, False])
    found, firsts, ends = hash_paragraphs(hashes, opens)
    assert (firsts.tolist(), ends.tolist()) == ([0, 3, 5], [2, 5, 8])
    assert len(set(found.tolist())) == 3
    again, _, _ = hash_paragraphs(hashes[:2], opens[:2])
    assert again[0] == found[0]


def test_no_lines_have_no_paragraphs():
    found = hash_paragraphs(np.zeros(0, np.uint64), np.zeros(0, np.bool_))
    assert [len(part) for part in found] == [0, 0, 0]


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(WORDS | CHINESE, min_size=1, max_size=4), span=st.integers(4, 9))
@example(texts=["a a a a a a a a"], span=4)
def test_a_run_selects_the_same_fingerprint_at_the_same_place_wherever_it_occurs(
    texts, span, words_of
):
    found = select_fingerprints(*buffers(*texts), span)
    words = [words_of(text) for text in texts]
    assert found.words.tolist() == [len(w) for w in words]
    selected = defaultdict(set)
    for d, mine in enumerate(words):
        chosen = list(range(found.cuts[d], found.cuts[d + 1]))
        assert bool(chosen) == (len(mine) >= span)
        firsts = [*found.firsts[chosen].tolist(), len(mine) - span + 1]
        for s, (first, end) in zip(chosen, itertools.pairwise(firsts), strict=True):
            for place in range(first, end):
                selected[tuple(mine[place : place + span])].add(int(found.values[s]))
        assert not chosen or firsts[0] == 0
    assert all(len(values) == 1 for values in selected.values())


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(WORDS | CHINESE, min_size=1, max_size=4), span=st.integers(4, 9))
def test_the_fingerprints_of_a_run_that_occurs_twice_occur_twice(texts, span, words_of):
    found = select_fingerprints(*buffers(*texts), span)
    values, counts = np.unique(found.values, return_counts=True)
    twice = np.isin(found.values, values[counts > 1])
    hashes, documents, places = collect_runs(*buffers(*texts), span, found, twice)
    kept = {(int(d), int(p)) for d, p in zip(documents, places, strict=True)}
    occurrences = defaultdict(list)
    for d, mine in enumerate(words_of(text) for text in texts):
        for place in range(len(mine) - span + 1):
            occurrences[tuple(mine[place : place + span])].append((d, place))
    assert all(set(where) <= kept for where in occurrences.values() if len(where) > 1)
    assert len(kept) == len(hashes)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(WORDS | CHINESE, min_size=1, max_size=4), span=st.integers(4, 40))
def test_runs_have_equal_hashes_if_and_only_if_their_words_are_equal(texts, span, words_of):
    found = select_fingerprints(*buffers(*texts), span)
    hashes, documents, places = collect_runs(
        *buffers(*texts), span, found, np.ones(len(found.values), np.bool_)
    )
    words = [words_of(text) for text in texts]
    runs = [
        tuple(words[d][p : p + span])
        for d, p in zip(documents.tolist(), places.tolist(), strict=True)
    ]
    assert len(runs) == sum(max(0, len(mine) - span + 1) for mine in words)
    assert (
        len(set(zip(runs, hashes.tolist(), strict=True)))
        == len(set(runs))
        == len(set(hashes.tolist()))
    )
    assert (hashes < 1 << 63).all()


def test_fingerprints_do_not_depend_on_the_batch():
    texts = ["the old mill by the river " * 5, "老磨坊在河边，" * 5, "", "short"]
    together = select_fingerprints(*buffers(*texts), 10)
    for d, text in enumerate(texts):
        alone = select_fingerprints(*buffers(text), 10)
        assert (
            alone.values.tolist()
            == together.values[together.cuts[d] : together.cuts[d + 1]].tolist()
        )


def test_few_of_the_words_of_a_long_text_are_fingerprints():
    text = " ".join(str(number) for number in range(100_000))
    found = select_fingerprints(*buffers(text), 50)
    assert (
        2 / 26 * 0.97 < len(found.values) / 100_000 < 2 / 26 * 1.03
    )  # the density of winnowing, 2 / (w + 1)


@pytest.mark.parametrize("unit", ["a ", "mill river ", "磨", "Ⱥ ", "x1 y2 z3 " * 9])
def test_monotonous_text_takes_linear_time(unit, check_linear):
    def work(text):
        data, offsets = buffers(text)
        found = select_fingerprints(data, offsets, 50)
        collect_runs(data, offsets, 50, found, np.ones(len(found.values), np.bool_))

    work(unit * 100)
    check_linear(work, unit * 20_000, unit * 160_000)


def reference_rest(text, gone):
    """What is left of a text without these of its lines: neighbours that stay keep the wider gap of the two beside them."""
    raw, lines = text.encode(), reference_lines(text)
    kept = [i for i in range(len(lines)) if i not in gone]
    if not gone:
        return text
    if not kept:
        return ""
    made = raw[: lines[0][0]]
    for a, b in itertools.pairwise([None, *kept]):
        if a is not None:
            before, after = raw[lines[a][1] : lines[a + 1][0]], raw[lines[b - 1][1] : lines[b][0]]
            made += after if after.count(b"\n") > before.count(b"\n") else before
        made += raw[lines[b][0] : lines[b][1]]
    return (made + raw[lines[-1][1] :]).decode()


def rest_of(text, labels):
    return bytes(
        byte for byte, label in zip(text.encode(), labels.tolist(), strict=True) if not label
    ).decode()


def cut_lines(text, reasons):
    data, offsets = buffers(text)
    lines = locate_lines(data, offsets)
    return label_bytes(
        data, offsets, lines, np.array(reasons, np.uint8), NO_RUNS, np.zeros(2, np.int64)
    )


@settings(max_examples=500, deadline=None)
@given(text=LINES, data=st.data())
def test_lines_leave_the_wider_gap_and_nothing_else(text, data):
    count = len(reference_lines(text))
    reasons = data.draw(
        st.lists(st.sampled_from([0, LINE, PARAGRAPH]), min_size=count, max_size=count)
    )
    labels = cut_lines(text, reasons)
    assert rest_of(text, labels) == reference_rest(
        text, {i for i, reason in enumerate(reasons) if reason}
    )
    assert set(labels.tolist()) <= {0, *reasons}
    for (start, end, _), reason in zip(reference_lines(text), reasons, strict=True):
        assert set(labels[start:end].tolist()) == {reason}


@pytest.mark.parametrize(
    ("text", "gone", "rest"),
    [
        ("a\nb\nc", {1}, "a\nc"),
        ("a\nb\nc", {0}, "b\nc"),
        ("a\nb\nc", {2}, "a\nb"),
        ("a\nb\nc\n", {2}, "a\nb\n"),
        ("a\n\nb\n\nc", {1}, "a\n\nc"),
        ("a\n\nb\nc\n\nd", {1, 2}, "a\n\nd"),
        ("a\nb\n\nc", {1}, "a\n\nc"),
        ("a\n\nb\nc", {1}, "a\n\nc"),
        ("a\n\nb\n\n\nc", {1}, "a\n\n\nc"),
        ("a\n\nb", {0}, "b"),
        ("a\n\nb", {1}, "a"),
        ("\n\na\n\nb\n\n", {0}, "\n\nb\n\n"),
        ("\n\na\n\nb\n\n", {0, 1}, ""),
        ("  a  \n \t\n  b\n c", {1}, "  a  \n \t\n c"),
        ("磨\n坊\n\n河", {1}, "磨\n\n河"),
    ],
)
def test_a_line_goes_with_its_break_and_a_paragraph_with_its_blank_line(text, gone, rest):
    labels = cut_lines(text, [LINE if i in gone else 0 for i in range(len(reference_lines(text)))])
    assert rest_of(text, labels) == rest


def test_of_two_equal_gaps_the_one_behind_goes():
    assert cut_lines("a\nb\nc", [0, LINE, 0]).tolist() == [0, 0, LINE, LINE, 0]
    assert cut_lines("a\n\nb\n \nc", [0, LINE, 0]).tolist() == [0, 0, 0, *[LINE] * 4, 0]


def cut_words(text, *runs, lines=()):
    data, offsets = buffers(text)
    found = locate_lines(data, offsets)
    reasons = np.zeros(len(found.starts), np.uint8)
    reasons[list(lines)] = LINE
    return label_bytes(
        data,
        offsets,
        found,
        reasons,
        np.array(runs, np.int64).reshape(-1, 2),
        np.array([0, len(runs)]),
    )


@pytest.mark.parametrize(
    ("text", "run", "rest"),
    [
        ("a b c d", (1, 3), "a  d"),
        ("a b c d", (0, 4), ""),
        ("(a b, c) d", (1, 3), "(a ) d"),
        ("a b\nc d.\ne", (2, 4), "a b\ne"),
        ("a b\nc d.\n\ne", (2, 4), "a b\n\ne"),
        ("a b\nc d\n\ne f", (1, 4), "a \n\ne f"),
        ("a b\n\nc d\ne f", (2, 5), "a b\n\n f"),
        ("a b\nc d\n\ne f", (2, 5), "a b\n f"),
        ("a b\n\nc d\n---\n\n\ne f", (1, 5), "a  f"),
        ("a\n\nb\n---\nc\n\nd", (1, 3), "a\n\nd"),
        ("---\n\na b", (0, 2), "---"),
        ("a b\n\n...", (0, 2), "..."),
        ("磨，坊。河", (0, 2), "。河"),
    ],
)
def test_words_go_from_the_first_to_the_last_and_lines_without_words_left_whole(text, run, rest):
    assert rest_of(text, cut_words(text, run)) == rest


def test_a_byte_of_two_reasons_has_the_line_first():
    labels = cut_words("a b\nc d\ne f", (1, 5), lines=[1])
    assert labels.tolist() == [0, 0, SPAN, LINE, LINE, LINE, LINE, SPAN, SPAN, 0, 0]


def test_a_run_behind_the_last_word_is_an_error():
    with pytest.raises(ValueError, match="behind the last word"):
        cut_words("a b c", (1, 4))


@settings(max_examples=500, deadline=None)
@given(text=st.text(st.sampled_from("ab \n\n.-中"), max_size=40), data=st.data())
def test_cuts_of_lines_and_words_keep_all_other_words_and_all_borders(text, data, word_spans):
    raw, spans = text.encode(), word_spans(text)
    ends = sorted(data.draw(st.sets(st.integers(0, len(spans)), max_size=6)))
    runs = [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=False)]
    lines = reference_lines(text)
    gone = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=2)) if lines else set()
    labels = cut_words(text, *runs, lines=sorted(gone))
    kept = [raw[s:e] for s, e in _in_bytes(text, spans) if not labels[s:e].any()]
    inside = {i for a, b in runs for i in range(a, b)}
    for i, (start, end) in enumerate(_in_bytes(text, spans)):
        of_line = any(lines[line][0] <= start < lines[line][1] for line in gone)
        assert (
            (labels[start:end] != 0).all()
            == (labels[start:end] != 0).any()
            == (i in inside or of_line)
        )
    rest = rest_of(text, labels)
    left = [rest.encode()[s:e] for s, e in _in_bytes(rest, word_spans(rest))]
    assert b"".join(left) == b"".join(
        kept
    )  # what stood on both sides of a character without spaces may be one word now
    assert _widest(rest) <= _widest(text)
    assert rest == "" or text.startswith("\n") or not rest.startswith("\n")
    assert rest == "" or text.endswith("\n") or not rest.endswith("\n")


def _in_bytes(text, spans):
    return [(len(text[:start].encode()), len(text[:end].encode())) for start, end in spans]


def _widest(text):
    """The most line breaks with nothing but white space between them."""
    return max(
        (
            sum(char == "\n" for char in run)
            for run in "".join(c if c in " \n" else "|" for c in text).split("|")
        ),
        default=0,
    )
