"""Lists of hashes on disk: what was written is found, nothing else is, and what is cut or stale is an error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import RunError
from gristmill.runs import receipts
from pipelines.decide.dedup.hash_list import (
    HashList,
    is_written,
    make_list_path,
    open_list,
    write_list,
)
from pipelines.engine.packed_rows import assign_partitions

STAGE = "units"
HASHES = st.integers(0, 20) | st.integers(0, 2**63 - 1)


def write(folder, hashes, *, partitions=1):
    """All partitions of a list of these hashes."""
    array = np.array(sorted(set(hashes)), np.int64)
    places = assign_partitions(array, partitions, "hash")
    for number in range(partitions):
        write_list(folder, STAGE, number, [array[places == number]], partitions=partitions)


@settings(max_examples=100, deadline=None)
@given(
    listed=st.lists(HASHES, max_size=20),
    asked=st.lists(HASHES, max_size=20),
    partitions=st.integers(1, 5),
)
def test_a_list_has_what_was_written_whatever_the_partitions(
    listed, asked, partitions, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("run")
    write(folder, listed, partitions=partitions)
    found = open_list(folder, STAGE)
    assert len(found) == len(set(listed))
    asked = asked + listed
    assert found.contains(np.array(asked, np.uint64)).tolist() == [
        value in set(listed) for value in asked
    ]


def test_a_file_is_sorted_little_endian_numbers_and_nothing_else(tmp_path):
    write_list(
        tmp_path,
        STAGE,
        0,
        iter([np.array([1, 5]), np.array([], np.int64), np.array([2**63 - 1])]),
        partitions=1,
    )
    raw = (tmp_path / "spill/lists/units-00000-of-00001.u64").read_bytes()
    assert raw == b"".join(value.to_bytes(8, "little") for value in (1, 5, 2**63 - 1))
    receipt = receipts.read_receipt(tmp_path, STAGE, 0)
    assert receipt is not None
    assert (receipt.read, receipt.files[0].rows, receipt.details) == (3, 3, {"partitions": 1})


def test_lists_are_mapped_not_read(tmp_path):
    write(tmp_path, range(100))
    [part] = open_list(tmp_path, STAGE).partitions
    assert isinstance(part, np.memmap)


def test_empty_lists_contain_nothing(tmp_path):
    write(tmp_path, [], partitions=3)
    found = open_list(tmp_path, STAGE)
    assert (len(found), found.contains(np.array([0, 7], np.uint64)).tolist()) == (0, [False, False])
    assert found.contains(np.zeros(0, np.uint64)).tolist() == []
    assert HashList(()).contains(np.array([1], np.uint64)).tolist() == [False]


@pytest.mark.parametrize("parts", [[[2, 1]], [[1, 1]], [[1, 2], [2, 3]], [[5], [1]]])
def test_hashes_out_of_order_are_refused_and_leave_nothing(parts, tmp_path):
    with pytest.raises(ValueError, match="must ascend"):
        write_list(tmp_path, STAGE, 0, [np.array(part) for part in parts], partitions=1)
    assert not (tmp_path / make_list_path(STAGE, 0, 1)).exists()
    assert not is_written(tmp_path, STAGE, 0, 1)


@pytest.mark.parametrize("keep", [0, 3, 8, 15])
def test_a_cut_file_is_an_error_and_never_a_shorter_list(keep, tmp_path):
    write(tmp_path, [3, 4], partitions=1)
    path = tmp_path / make_list_path(STAGE, 0, 1)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match="is not whole"):
        open_list(tmp_path, STAGE)


def test_a_file_that_holds_no_whole_numbers_is_an_error_whatever_its_receipt_says(tmp_path):
    write(tmp_path, [3, 4])
    path = tmp_path / make_list_path(STAGE, 0, 1)
    path.write_bytes(b"123")
    receipts.commit_receipt(
        tmp_path,
        receipts.Receipt(
            STAGE,
            0,
            0,
            files=(receipts.describe_file(tmp_path, make_list_path(STAGE, 0, 1)),),
            details={"partitions": 1},
        ),
    )
    with pytest.raises(RunError, match="is cut"):
        open_list(tmp_path, STAGE)


def test_a_missing_partition_and_a_list_that_was_never_made_are_errors(tmp_path):
    with pytest.raises(RunError, match="is not whole"):
        open_list(tmp_path, STAGE)
    write(tmp_path, range(20), partitions=3)
    (tmp_path / make_list_path(STAGE, 2, 3)).unlink()
    with pytest.raises(RunError, match=r"(?s)is not whole.*partitions missing"):
        open_list(tmp_path, STAGE)


def test_partitions_of_an_attempt_with_another_number_of_them_do_not_count(tmp_path):
    write(tmp_path, range(50), partitions=4)
    assert is_written(tmp_path, STAGE, 0, 4) and not is_written(tmp_path, STAGE, 0, 2)
    write_list(tmp_path, STAGE, 0, [np.array([1])], partitions=2)
    with pytest.raises(RunError, match="is not whole"):
        open_list(tmp_path, STAGE)
    write(tmp_path, range(9), partitions=2)
    found = open_list(tmp_path, STAGE)
    assert len(found.partitions) == 2
    assert found.contains(np.arange(50, dtype=np.uint64)).tolist() == [
        value < 9 for value in range(50)
    ]
