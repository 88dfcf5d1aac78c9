"""Row layouts: names stand for the positions that code would else count by hand."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.row_layout import RowLayout

KEY = RowLayout("key", (("hash", 2), ("order", 4), ("node", 1)))


def test_a_layout_knows_width_positions_and_slices():
    assert KEY.width == 7
    assert (KEY.slice("hash"), KEY.slice("order")) == (slice(0, 2), slice(2, 6))
    assert KEY.index("node") == 6


def test_a_wide_column_has_no_single_position():
    with pytest.raises(ValueError, match="2 columns wide"):
        KEY.index("hash")


def test_an_unknown_column_is_refused_by_its_name():
    with pytest.raises(KeyError, match="size"):
        KEY.slice("size")


def test_columns_are_views_of_the_rows():
    rows = np.arange(14, dtype=np.int64).reshape(2, 7)
    assert KEY.column(rows, "node").tolist() == [6, 13]
    assert KEY.block(rows, "hash").tolist() == [[0, 1], [7, 8]]
    KEY.column(rows, "node")[0] = 99
    assert rows[0, 6] == 99


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match="7 columns wide"):
        KEY.check(np.zeros((2, 6), np.int64))
    with pytest.raises(ValueError, match="7 columns wide"):
        KEY.check(np.zeros(7, np.int64))


def test_no_rows_have_the_width_of_the_layout():
    assert KEY.make_empty().shape == (0, 7)
    assert KEY.make_empty().dtype == np.int64


def test_stacking_needs_exactly_the_columns_of_the_layout():
    node = np.zeros(3, np.int64)
    with pytest.raises(ValueError, match="order"):
        KEY.stack(node=node)
    with pytest.raises(ValueError, match="7 columns wide"):
        KEY.stack(hash=node, order=np.zeros((3, 4), np.int64), node=node)


@pytest.mark.parametrize("columns", [(("a", 1), ("a", 1)), (("a", 0),)])
def test_a_layout_with_equal_names_or_empty_columns_is_refused(columns):
    with pytest.raises(ValueError):
        RowLayout("broken", columns)


def test_a_layout_travels_to_workers():
    assert pickle.loads(pickle.dumps(KEY)) == KEY


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 4))
def test_stacked_columns_come_back_as_they_were(widths, count):
    layout = RowLayout("any", tuple((f"c{i}", width) for i, width in enumerate(widths)))
    columns = {
        name: np.arange(count * width, dtype=np.int64).reshape(count, width) + 100 * width
        for name, width in layout.columns
    }
    rows = layout.stack(**columns)
    assert rows.shape == (count, sum(widths))
    for name, values in columns.items():
        assert layout.block(rows, name).tolist() == values.tolist()
