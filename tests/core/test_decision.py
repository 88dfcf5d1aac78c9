"""The decision record: reasons as bits, and the legend that names them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.decision import (
    COPIES,
    CUTS,
    DECISION_SCHEMA,
    WITHHELD,
    DecisionRow,
    Legend,
    lowest_bit,
    pair_metadata,
)

LEGEND = Legend(("opt_out", "near_duplicate", "too_short"))


def test_the_lowest_bit_is_the_first_reason():
    assert [lowest_bit(bits) for bits in (1, 2, 6, 1 << 63)] == [0, 1, 1, 63]


@given(st.integers(1, (1 << 64) - 1))
def test_the_lowest_bit_is_the_one_that_counting_finds(bits):
    assert lowest_bit(bits) == next(place for place in range(64) if bits >> place & 1)


def test_reasons_are_read_in_the_order_of_the_legend():
    assert LEGEND.read_reasons(0b101) == ("opt_out", "too_short")
    assert LEGEND.read_reasons(0) == ()
    assert LEGEND.first_reason(0b110) == "near_duplicate"
    assert LEGEND.first_reason(0) is None


def test_a_reason_that_is_not_in_the_legend_has_no_bit():
    assert LEGEND.make_mask(WITHHELD) == 0b001
    assert LEGEND.make_mask(COPIES) == 0b010
    assert LEGEND.make_mask(["never_heard_of"]) == 0


def test_a_document_is_withheld_whatever_other_reasons_it_has():
    bits = np.array([0, 1, 2, 3, 4, 5], np.uint64)
    assert LEGEND.is_withheld(bits).tolist() == [False, True, False, True, False, True]
    assert LEGEND.has_any(bits, ["too_short"]).tolist() == [False] * 4 + [True] * 2


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), st.data())
def test_mask_and_reasons_are_inverse(names, data):
    legend = Legend(tuple(names))
    chosen = data.draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    assert set(legend.read_reasons(legend.make_mask(chosen))) == set(chosen)
    assert (len(legend), list(legend)) == (len(names), names)


def test_the_highest_bit_of_the_word_is_a_reason_too():
    legend = Legend(tuple(f"reason_{place}" for place in range(64)))
    assert legend.has_any(np.array([1 << 63], np.uint64), ["reason_63"]).tolist() == [True]
    assert legend.first_reason(1 << 63) == "reason_63"


def test_the_typed_row_has_the_columns_of_the_schema():
    assert list(DecisionRow.__annotations__) == DECISION_SCHEMA.names
    assert DECISION_SCHEMA.field("cuts").type == CUTS
    assert DECISION_SCHEMA.metadata == {b"gristmill.format": b"decisions/2"}


def test_decisions_name_their_documents_by_hash():
    assert pair_metadata("ab" * 32) == {b"gristmill.documents": b"ab" * 32}


@pytest.mark.parametrize("name", ["keep", "reasons", "cluster", "cluster_size", "repeats", "cuts"])
def test_only_kept_id_and_similarity_may_be_null(name):
    assert not DECISION_SCHEMA.field(name).nullable
    assert DECISION_SCHEMA.field("kept_id").nullable
    assert DECISION_SCHEMA.field("similarity").nullable
