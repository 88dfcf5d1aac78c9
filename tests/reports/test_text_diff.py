"""Two texts are compared word by word: what is alike is counted, the first places that differ stand side by side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.drawing import text_diff as alike
from reports.drawing.text_diff import (
    LONGEST,
    PLACES,
    Comparison,
    DifferingPlace,
    DiffExtent,
    DiffPiece,
    compare_texts,
    split_words,
)

TEXTS = st.lists(
    st.sampled_from(["the ", "mill ", "river\n", "磨", "坊", "。", "old ", "new "]), max_size=40
).map("".join)


def own(side):
    """The words of one side that the other does not have."""
    return [piece.words.strip() for piece in side if piece.own]


def numbered(first, last):
    return " ".join(map(str, range(first, last)))


# ---- words


@given(st.text())
def test_the_words_of_a_text_are_the_text(text):
    assert "".join(split_words(text)) == text


def test_words_keep_the_space_behind_them_and_chinese_is_split_by_character():
    assert split_words("The old  mill,\nshe said.") == ["The ", "old  ", "mill,\n", "she ", "said."]
    assert split_words("老磨坊 has 3 かな。한글") == [
        "老",
        "磨",
        "坊",
        " ",
        "has ",
        "3 ",
        "か",
        "な",
        "。",
        "한",
        "글",
    ]


# ---- what is alike


@given(TEXTS)
def test_a_text_is_alike_to_itself(text):
    found = compare_texts(text, text)
    assert (found.alike, found.differing, found.places, found.cut) == (found.compared, 0, (), False)


@given(TEXTS, TEXTS)
def test_no_more_is_alike_than_was_compared_and_there_are_places_where_there_are_differences(
    one, two
):
    found = compare_texts(one, two)
    assert 0 <= found.alike <= found.compared == len(split_words(one))
    assert bool(found.places) == bool(found.differing)
    assert len(found.places) <= PLACES


@given(TEXTS, TEXTS)
def test_in_every_place_something_differs_and_the_rest_is_alike(one, two):
    for place in compare_texts(one, two).places:
        assert own(place.kept) or own(place.dropped)
        kept, dropped = (
            [p.words.split() for p in side if not p.own] for side in (place.kept, place.dropped)
        )
        assert kept == dropped


@given(TEXTS, TEXTS)
def test_what_is_shown_stands_in_the_texts(one, two):
    for place in compare_texts(one, two).places:
        assert all(piece.words in one for piece in place.kept)
        assert all(piece.words in two for piece in place.dropped)


@given(st.lists(st.sampled_from(["mill", "river", "old"]), min_size=1, max_size=20))
def test_white_space_between_words_counts_for_nothing(words):
    found = compare_texts(" ".join(words), "\n\n".join(words))
    assert (found.alike, found.differing) == (len(words), 0)


# ---- where they differ


def test_a_changed_word_stands_marked_among_its_neighbours():
    kept, dropped = "The mill was older than the church.", "The mill was younger than the church."
    around = DiffPiece("The mill was ", False), DiffPiece("than the church.", False)
    assert compare_texts(kept, dropped) == Comparison(
        6,
        7,
        1,
        (
            DifferingPlace(
                0,
                (around[0], DiffPiece("older ", True), around[1]),
                (around[0], DiffPiece("younger ", True), around[1]),
            ),
        ),
        False,
    )


def test_chinese_differs_by_character():
    found = compare_texts("磨坊比教堂还要古老。", "磨坊比寺庙还要古老。")
    assert (found.alike, found.compared) == (8, 10)
    assert [(own(place.kept), own(place.dropped)) for place in found.places] == [
        (["教堂"], ["寺庙"])
    ]


@pytest.mark.parametrize(
    ("kept", "dropped", "mine", "others"),
    [
        ("a b c", "x a b c", [], ["x"]),
        ("a b c", "a b c x", [], ["x"]),
        ("x a b c", "a b c", ["x"], []),
        ("a b c", "", ["a b c"], []),
        ("", "a b c", [], ["a b c"]),
        ("a", "b", ["a"], ["b"]),
    ],
)
def test_what_was_added_or_left_out_is_marked_on_the_side_that_has_it(kept, dropped, mine, others):
    (place,) = compare_texts(kept, dropped).places
    assert (own(place.kept), own(place.dropped)) == (mine, others)


def test_a_shared_beginning_is_passed_over_and_counted():
    (place,) = compare_texts(f"{numbered(0, 100)} kept", f"{numbered(0, 100)} dropped").places
    assert place.before == 92
    assert place.kept == (DiffPiece(f"{numbered(92, 100)} ", False), DiffPiece("kept", True))


def test_between_two_places_what_was_passed_over_is_counted_anew():
    kept = f"A {numbered(0, 50)} B {numbered(50, 60)}"
    dropped = f"X {numbered(0, 50)} Y {numbered(50, 60)}"
    found = compare_texts(kept, dropped)
    assert [(place.before, own(place.kept), own(place.dropped)) for place in found.places] == [
        (0, ["A"], ["X"]),
        (34, ["B"], ["Y"]),
    ]


def test_differences_close_to_each_other_share_a_place():
    (place,) = compare_texts("a 1 2 3 b", "x 1 2 3 y").places
    assert (own(place.kept), own(place.dropped)) == (["a", "b"], ["x", "y"])


def test_only_the_first_places_are_shown_and_all_are_counted():
    gap = numbered(0, 30)
    kept, dropped = (" ".join(f"{letter}{i} {gap}" for i in range(7)) for letter in "kd")
    found = compare_texts(kept, dropped)
    assert found.differing == 7
    assert [own(place.kept) for place in found.places] == [["k0"], ["k1"], ["k2"]]


def test_a_long_difference_is_shown_by_its_beginning():
    (place,) = compare_texts("start", f"start {numbered(0, LONGEST + 5)}").places
    assert place.dropped[-1].words == f"{numbered(0, LONGEST)} … (5 more) "


def test_of_long_texts_the_part_after_their_common_beginning_is_compared(monkeypatch):
    monkeypatch.setattr(alike, "COMPARED", 10)
    found = compare_texts(
        f"{numbered(0, 50)} kept {numbered(50, 90)}",
        f"{numbered(0, 50)} dropped {numbered(50, 90)}",
    )
    assert (found.alike, found.compared, found.differing, found.cut) == (59, 60, 1, True)
    assert own(found.places[0].kept) == ["kept"]


def test_a_difference_beyond_what_is_compared_is_not_denied(monkeypatch):
    monkeypatch.setattr(alike, "COMPARED", 10)
    found = compare_texts(f"a {numbered(0, 50)} end", f"b {numbered(0, 50)} other")
    assert found.cut and found.differing == 1


# ---- how much is shown


def test_more_places_with_more_words_around_are_shown_where_asked_for():
    gap = numbered(0, 30)
    kept, dropped = (" ".join(f"{letter}{i} {gap}" for i in range(7)) for letter in "kd")
    found = compare_texts(kept, dropped, DiffExtent(places=5, around=2))
    assert ([place.before for place in found.places], found.left) == ([0, 26, 26, 26, 26], 2)


def test_differences_in_places_not_shown_are_counted_as_left():
    gap = numbered(0, 30)
    kept = f"a 1 b {gap} c {gap} d {gap} e 1 f"
    dropped = f"x 1 y {gap} z {gap} w {gap} v 1 u"
    found = compare_texts(kept, dropped)
    assert (found.differing, len(found.places), found.left) == (6, 3, 2)
    assert compare_texts(kept, dropped, DiffExtent(places=4)).left == 0


def test_what_is_longer_than_any_word_is_cut_into_pieces():
    assert [len(word) for word in split_words("x" * 200 + " y")] == [80, 80, 41, 1]
    assert split_words("𠀀𠀁") == ["𠀀", "𠀁"]


# ---- how long it takes


@given(TEXTS, TEXTS, st.integers(0, 60))
def test_no_more_pairs_of_equal_words_are_met_than_is_bearable(one, two, most):
    words = [[word.strip() for word in split_words(text)] for text in (one, two)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "PAIRS", most)
        end = alike._bearable(*words)

    def pairs(n):
        return sum(a == b for a in words[0][:n] for b in words[1][:n])

    assert pairs(end) <= most
    assert end == max(map(len, words)) or pairs(end + 1) > most


def test_one_word_over_and_over_is_compared_only_as_far_as_is_bearable(monkeypatch):
    monkeypatch.setattr(alike, "PAIRS", 100)
    found = compare_texts("哈" * 5000, "呵" + "哈" * 4000)
    assert found.cut and (found.alike, found.compared) == (9, 10)
    assert [own(place.dropped) for place in found.places] == [["呵"]]


def test_a_wide_comma_is_no_part_of_the_word_behind_it():
    assert split_words("人，Orbán（匈）") == ["人", "，", "Orbán", "（", "匈", "）"]
