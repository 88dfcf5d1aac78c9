"""Which text repeats: units are counted by documents and hosts, words go if and only if their run stands before."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gristmill.corpus.decision import CUTS as DECIDED
from pipelines.annotate.signals.table import hash_lines
from pipelines.decide.config import DecideConfig, RepeatedConfig
from pipelines.decide.dedup import repeated
from pipelines.decide.dedup.hash_list import HashList
from pipelines.decide.dedup.repeated import (
    CUTS,
    NO_HOST,
    TextCuts,
    assign_line_reasons,
    collect_cuts,
    compute_cuts,
    hash_hosts,
    locate_units,
    make_fingerprint_rows,
    make_run_rows,
    make_unit_rows,
    merge_covered_words,
    select_later_places,
    select_repeated_fingerprints,
    select_repeated_units,
    sum_groups,
    sum_rows,
)
from pipelines.engine.packed_rows import sort_rows
from pipelines.final_text import final_text
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.line_hashes import fold_texts

NONE = HashList(())


def batch_of(texts):
    column = pa.array(texts, pa.string())
    return pa.RecordBatch.from_arrays(
        [column, hash_lines(fold_texts(*get_text_buffers(column)))], ["text", "line_hashes"]
    )


def listed(parts):
    found = np.concatenate([np.zeros(0, np.int64), *parts])
    assert (np.diff(found) > 0).all()
    return HashList((found.astype(np.uint64),))


def pieces_of(rows, size):
    """Sorted rows in pieces, as a reducer gets them."""
    rows = sort_rows(rows)
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def rest_of(text, cuts):
    return final_text(text, cuts, [], mask=False)


def cut_units(texts, hosts=None, *, documents=0, of_hosts=0, line_bytes=0, size=3):
    """The texts without repeated lines and paragraphs, and the reasons that each was cut for."""
    batch = batch_of(texts)
    units = locate_units(batch)
    given_hosts = np.array(hosts or [NO_HOST] * len(texts), np.int64)
    pieces = pieces_of(make_unit_rows(units, given_hosts, line_bytes), size)
    found = listed(select_repeated_units(pieces, documents=documents, hosts=of_hosts))
    cuts = compute_cuts(
        batch, assign_line_reasons(units, found, line_bytes), units, np.zeros((0, 3), np.int64)
    )
    lists = cuts.as_column().to_pylist()
    rest = [rest_of(text, mine) for text, mine in zip(texts, lists, strict=True)]
    return rest, [[cut["reason"] for cut in mine] for mine in lists]


def test_a_line_of_enough_documents_is_cut_everywhere_also_where_it_stands_first():
    texts = ["Menu  Home\nfirst", "second\nMENU home", "third"]
    assert cut_units(texts, documents=2) == (
        ["first", "second", "third"],
        [["repeated_line"], ["repeated_line"], []],
    )
    assert cut_units(texts, documents=3)[0] == texts


def test_a_document_counts_a_line_once():
    texts = ["chorus\nverse\nchorus\nchorus", "other"]
    assert cut_units(texts, documents=2)[0] == texts


def test_a_short_line_goes_with_its_paragraph_only():
    texts = [
        "MIT\nThe whole licence of it\n\nfirst\n\nMIT",
        "The\nstart\n\nMIT\nThe whole licence of it\n\nthe end",
    ]
    rest, reasons = cut_units(texts, documents=2, line_bytes=10)
    assert rest == ["first\n\nMIT", "The\nstart\n\nthe end"]
    assert reasons == [["repeated_paragraph", "repeated_line"]] * 2


def test_a_line_is_measured_in_bytes():
    texts = ["磨坊\na", "磨坊\nb"]
    assert cut_units(texts, documents=2, line_bytes=6)[0] == ["a", "b"]
    assert cut_units(texts, documents=2, line_bytes=7)[0] == texts


def test_one_line_alone_is_no_paragraph():
    texts = ["short\n\nfirst one", "short\n\nsecond one"]
    assert cut_units(texts, documents=2, line_bytes=8)[0] == texts


def test_lines_of_enough_hosts_are_cut_and_documents_without_address_are_no_host():
    texts, hosts = (
        ["all\na\nx", "all\na\ny", "all\nb\nz", "none\nb", "none\nc"],
        [7, 7, 8, NO_HOST, NO_HOST],
    )
    assert cut_units(texts, hosts, of_hosts=2)[0] == ["a\nx", "a\ny", "b\nz", "none\nb", "none\nc"]
    assert cut_units(texts, hosts, of_hosts=3)[0] == texts
    assert cut_units(texts, hosts, documents=3, of_hosts=3)[0] == [
        "a\nx",
        "a\ny",
        "b\nz",
        "none\nb",
        "none\nc",
    ]


def test_a_text_that_is_all_boilerplate_is_left_empty():
    assert cut_units(["\nab\n\ncd\n", "cd\nab"], documents=2)[0] == ["", ""]


SMALL_LINES = st.lists(st.sampled_from(["a", "B", "b", "", "c c"]), max_size=7).map("\n".join)


def paragraphs_of(text):
    """Lists of (number of the line among those not blank, its folded form)."""
    found, number, fresh = [], 0, True
    for line in text.lower().split("\n"):
        if not line:
            fresh = True
            continue
        if fresh:
            found.append([])
        found[-1].append((number, line))
        number, fresh = number + 1, False
    return found


def reference_reasons(texts, hosts, documents, of_hosts, least):
    """Reasons (0, 1, 2) of every line by plain counting."""
    seen = defaultdict(set)
    units = [
        [(tuple(line for _, line in part), [i for i, _ in part]) for part in paragraphs_of(text)]
        for text in texts
    ]
    for d, mine in enumerate(units):
        for lines, _ in mine:
            if len(lines) > 1:
                seen[lines].add(d)
            for line in lines:
                if len(line) >= least:
                    seen[line].add(d)
    cut = {
        u
        for u, where in seen.items()
        if (documents and len(where) >= documents)
        or (of_hosts and len({hosts[d] for d in where} - {NO_HOST}) >= of_hosts)
    }
    reasons = []
    for mine in units:
        for lines, _ in mine:
            reasons += [1 if line in cut else 2 if lines in cut else 0 for line in lines]
    return reasons


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(SMALL_LINES, min_size=1, max_size=5),
    size=st.integers(1, 9),
    data=st.data(),
    least=st.integers(0, 3),
    documents=st.sampled_from([0, 2, 3]),
    of_hosts=st.sampled_from([0, 2]),
)
def test_lines_are_cut_as_plain_counting_says(texts, size, data, least, documents, of_hosts):
    hosts = data.draw(
        st.lists(st.sampled_from([NO_HOST, 5, 6]), min_size=len(texts), max_size=len(texts))
    )
    half = data.draw(st.integers(0, len(texts)))
    parts = [(texts[:half], hosts[:half]), (texts[half:], hosts[half:])]
    rows = [
        make_unit_rows(locate_units(batch_of(t)), np.array(h, np.int64), least) for t, h in parts
    ]
    found = listed(
        select_repeated_units(
            pieces_of(np.concatenate(rows), size), documents=documents, hosts=of_hosts
        )
    )
    reasons = assign_line_reasons(locate_units(batch_of(texts)), found, least)
    assert reasons.tolist() == reference_reasons(texts, hosts, documents, of_hosts, least)


ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(1, 3)), max_size=20)


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, size=st.integers(1, 9))
def test_totals_of_groups_do_not_depend_on_the_pieces(rows, size):
    array = np.array(rows, np.int64).reshape(-1, 3)
    expected = [
        [k, sum(c for a, _, c in rows if a == k), len({h for a, h, _ in rows if a == k} - {0})]
        for k in sorted({k for k, _, _ in rows})
    ]
    assert [row for part in sum_groups(pieces_of(array, size)) for row in part.tolist()] == expected
    pairs = sum_groups(pieces_of(array[:, ::2], size))
    assert [row[:2] for part in pairs for row in part.tolist()] == [row[:2] for row in expected]


@given(rows=ROWS)
def test_summed_rows_are_sorted_and_distinct_but_for_their_sum(rows):
    sums = defaultdict(int)
    for key, host, count in rows:
        sums[key, host] += count
    assert sum_rows(np.array(rows, np.int64).reshape(-1, 3)).tolist() == [
        [*k, sums[k]] for k in sorted(sums)
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://x.org/a", "https://X.ORG:8080/b?c", True),
        ("http://x.org", "http://u:p@x.org./", True),
        ("http://www.x.org/", "http://x.org/", False),
        ("http://мельница.рф/", "http://xn--e1aliecn6d6a.xn--p1ai/z", False),
        ("http://x.org/a://y.org", "http://x.org", True),
    ],
)
def test_the_host_of_an_address_counts_not_its_spelling(one, other, same):
    left, right = hash_hosts(pa.array([one, other])).tolist()
    assert (left == right) is same and left > 0 and right > 0


def test_what_is_no_address_has_no_host():
    assert (
        hash_hosts(pa.array([None, "", "x.org/a", "http://", "mailto:a@x.org", "urn:x"])).tolist()
        == [NO_HOST] * 6
    )


def test_line_hashes_of_another_text_are_an_error():
    batch = batch_of(["a\nb", "c"])
    wrong = pa.RecordBatch.from_arrays(
        [pa.array(["a\nb", "c\nd"]), batch["line_hashes"]], ["text", "line_hashes"]
    )
    with pytest.raises(ValueError, match="1 line hashes for 2 lines in document 1"):
        locate_units(wrong)


def cut_spans(texts, span, ranks=None, *, size=4, batches=None):
    """The cuts of repeated runs; texts are documents by row, `ranks` their order. Also the rows that were compared."""
    batches = batches or [list(range(len(texts)))]
    ranks = np.array([[0, 0, r] for r in (range(len(texts)) if ranks is None else ranks)], np.int64)
    parts = [batch_of([texts[i] for i in rows]) for rows in batches]
    prints = np.concatenate([make_fingerprint_rows(part, span) for part in parts])
    found = listed(select_repeated_fingerprints(pieces_of(prints, size)))
    runs = [np.zeros((0, repeated.RUN), np.int64)]
    for part, rows in zip(parts, batches, strict=True):
        runs += make_run_rows(part, span, found, ranks[rows], np.array(rows, np.int64))
    places = np.concatenate(
        [np.zeros((0, 2), np.int64), *select_later_places(pieces_of(np.concatenate(runs), size))]
    )
    words, whole = merge_covered_words(sort_rows(places), span), batch_of(texts)
    units = locate_units(whole)
    cuts = compute_cuts(whole, np.zeros(len(units.hashes), np.uint8), units, words)
    return cuts.as_column().to_pylist(), words


def reference_words_cut(words, span, ranks):
    """For every document the words that lie in a run which stands before, by comparing all runs."""
    seen, cut = set(), [set() for _ in words]
    for d in sorted(range(len(words)), key=lambda d: (ranks[d], d)):
        for at in range(len(words[d]) - span + 1):
            run = tuple(words[d][at : at + span])
            cut[d] |= set(range(at, at + span)) if run in seen else set()
            seen.add(run)
    return cut


ENGLISH = st.lists(
    st.sampled_from(["a", "b", "B", "c.", "(a", "c’s", "\n", "\n\n"]), max_size=25
).map(" ".join)
CHINESE = st.text(st.sampled_from("磨坊河，。\n"), max_size=25)
MIXED = st.text(st.sampled_from("ab 磨0\u0301é\n"), max_size=25)


@settings(max_examples=600, deadline=None)
@given(
    texts=st.lists(ENGLISH | CHINESE | MIXED, min_size=1, max_size=4),
    span=st.integers(4, 7),
    size=st.integers(1, 9),
    data=st.data(),
)
@example(texts=["a a a a a a a"], span=4, size=1, data=None)
@example(texts=["磨磨磨磨磨", "磨磨磨磨"], span=4, size=2, data=None)
def test_a_word_is_cut_if_and_only_if_a_run_around_it_stands_before(
    texts, span, size, data, words_of, word_spans, tricky
):
    ranks = (
        data.draw(st.lists(st.integers(0, 2), min_size=len(texts), max_size=len(texts)))
        if data
        else [0] * len(texts)
    )
    batches = [[i for i in range(len(texts)) if i % 2 == odd] for odd in (0, 1)]
    cuts, _ = cut_spans(texts, span, ranks, size=size, batches=batches)
    expected = reference_words_cut([words_of(text) for text in texts], span, ranks)
    for text, mine, gone in zip(texts, cuts, expected, strict=True):
        assert {cut["reason"] for cut in mine} <= {"repeated_span"}
        check_borders(text, mine)
        inside = [
            any(cut["start"] <= at < cut["end"] for cut in mine) for at in range(len(text.encode()))
        ]
        for number, (start, end) in enumerate(word_spans(text)):
            start, end = len(text[:start].encode()), len(text[:end].encode())
            assert set(inside[start:end]) == {number in gone}


def check_borders(text, cuts):
    """Cuts are sorted, apart, not empty, within the text, and split no character."""
    at, raw = -1, text.encode()
    for cut in cuts:
        assert at < cut["start"] < cut["end"] <= len(raw)
        raw[: cut["start"]].decode(), raw[: cut["end"]].decode()
        at = cut["end"]


RUN = "one two three four five six seven eight"


def test_the_first_by_rank_keeps_its_words_whatever_its_place():
    texts = [f"early {RUN} end", f"late {RUN}!"]
    assert [rest_of(t, c) for t, c in zip(texts, cut_spans(texts, 8)[0], strict=True)] == [
        texts[0],
        "late !",
    ]
    swapped = cut_spans(texts, 8, ranks=[1, 0])[0]
    assert [rest_of(t, c) for t, c in zip(texts, swapped, strict=True)] == ["early  end", texts[1]]


def test_case_punctuation_and_spacing_do_not_matter_and_one_word_less_is_no_run():
    texts = [RUN, f"{RUN.upper().replace(' ', ', ')}. New.", RUN.removesuffix(" eight")]
    rest = [rest_of(t, c) for t, c in zip(texts, cut_spans(texts, 8)[0], strict=True)]
    assert rest == [RUN, ". New.", texts[2]]


def test_a_run_within_one_document_goes_the_second_time():
    text = f"{RUN}\n\nbetween\n\n{RUN}"
    assert rest_of(text, cut_spans([text], 8)[0][0]) == f"{RUN}\n\nbetween"


def test_only_runs_around_repeated_fingerprints_are_compared():
    words = [str(number) for number in range(400)]
    one, other = (
        " ".join(words),
        " ".join([*map(str, range(1000, 1200)), *words[100:150], *map(str, range(2000, 2200))]),
    )
    _, found = cut_spans([one, other], 50)
    assert found.tolist() == [[1, 200, 250]]
    prints = listed(
        select_repeated_fingerprints(
            pieces_of(make_fingerprint_rows(batch_of([one, other]), 50), 9)
        )
    )
    [rows] = make_run_rows(
        batch_of([one, other]), 50, prints, np.zeros((2, 3), np.int64), np.arange(2)
    )
    assert len(rows) <= 2 * 2 * 50


def test_many_rows_of_runs_come_in_blocks(monkeypatch):
    batch = batch_of(["a b c d e f g h"] * 9)
    found = listed(select_repeated_fingerprints([make_fingerprint_rows(batch, 4)]))
    whole = np.concatenate(
        list(make_run_rows(batch, 4, found, np.zeros((9, 3), np.int64), np.arange(9)))
    )
    monkeypatch.setattr(repeated, "CARRIED", 7)
    parts = list(make_run_rows(batch, 4, found, np.zeros((9, 3), np.int64), np.arange(9)))
    assert len(whole) == 45 and [len(part) for part in parts] == [7] * 6 + [3]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_rows_of_runs_are_ordered_by_rank_then_node_then_place():
    rows = np.array(
        [[9, 1, 0, 0, 3, 0], [9, 0, 5, 0, 7, 4], [9, 0, 5, 0, 7, 2], [8, 0, 0, 0, 0, 0]], np.int64
    )
    found = np.concatenate(list(select_later_places(pieces_of(rows, 2))))
    assert found.tolist() == [[7, 4], [3, 0]]


def test_stretches_of_runs_that_overlap_or_touch_are_one():
    places = np.array([[0, 1], [0, 2], [0, 6], [0, 11], [1, 0]], np.int64)
    assert merge_covered_words(places, 4).tolist() == [[0, 1, 10], [0, 11, 15], [1, 0, 4]]
    assert merge_covered_words(places[:0], 4).shape == (0, 3)


@settings(max_examples=200, deadline=None)
@given(labels=st.lists(st.lists(st.integers(0, 3), max_size=8), max_size=5))
def test_stretches_give_the_labels_back(labels):
    edges = np.cumsum([0, *map(len, labels)])
    cuts = collect_cuts(np.array([x for mine in labels for x in mine], np.uint8), edges)
    found = []
    for mine, column in zip(labels, cuts.as_column().to_pylist(), strict=True):
        made = [0] * len(mine)
        for cut in column:
            name = ["repeated_line", "repeated_paragraph", "repeated_span"].index(cut["reason"]) + 1
            made[cut["start"] : cut["end"]] = [name] * (cut["end"] - cut["start"])
        found.append(made)
    assert found == labels
    assert cuts.documents == sum(any(mine) for mine in labels)
    assert list(cuts.bytes_of.values()) == [
        sum(mine.count(k) for mine in labels) for k in (1, 2, 3)
    ]


def test_cuts_are_the_column_of_decisions():
    none = np.zeros(0, np.int32)
    column = TextCuts(np.array([0, 0]), none, none, np.zeros(0, np.uint8)).as_column()
    assert DECIDED == CUTS == column.type
    assert column.to_pylist() == [[], []]
    column.validate(full=True)


def test_a_sliced_batch_and_no_documents_are_cut_like_others():
    texts = ["zero", "menu\na", "menu\nb"]
    whole = batch_of(texts)
    units = locate_units(whole.slice(1))
    found = listed(
        select_repeated_units(
            [make_unit_rows(units, np.zeros(2, np.int64), 0)], documents=2, hosts=0
        )
    )
    cuts = compute_cuts(
        whole.slice(1), assign_line_reasons(units, found, 0), units, np.zeros((0, 3), np.int64)
    )
    assert cuts.as_column().to_pylist() == [[{"start": 0, "end": 5, "reason": "repeated_line"}]] * 2
    empty = locate_units(whole.slice(0, 0))
    assert (
        len(make_unit_rows(empty, np.zeros(0, np.int64), 0))
        == len(make_fingerprint_rows(whole.slice(0, 0), 50))
        == 0
    )
    assert (
        compute_cuts(
            whole.slice(0, 0),
            assign_line_reasons(empty, NONE, 0),
            empty,
            np.zeros((0, 3), np.int64),
        ).documents
        == 0
    )


@pytest.mark.parametrize(
    "wrong",
    [{"documents": 1}, {"hosts": 1}, {"span_words": 19}, {"documents": -1}, {"line_bytes": -1}],
)
def test_settings_that_would_cut_everything_are_refused(wrong):
    with pytest.raises(ValidationError):
        RepeatedConfig(**wrong)


def test_nothing_is_asked_for_unless_it_is():
    assert not DecideConfig().repeated.asks_units and not DecideConfig().repeated.span_words
    assert (
        RepeatedConfig(hosts=2).asks_units and RepeatedConfig(documents=2, span_words=20).asks_units
    )
