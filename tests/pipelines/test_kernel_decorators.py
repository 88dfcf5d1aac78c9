"""The typed decorators give what numba's own give: compiled code without the GIL, kept on disk."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.kernels.compile import compile_kernel, inline_kernel
from pipelines.kernels.words import (
    contains,
    decode_point,
    has_prefix,
    hash_word,
    measure_longest,
    measure_point,
    mix64,
)


@compile_kernel
def add_one(number: int) -> int:
    return number + 1


@inline_kernel
def double(number: int) -> int:
    return number * 2


def test_a_compiled_kernel_releases_the_gil_and_is_not_inlined():
    assert add_one(2) == 3
    assert add_one.targetoptions == {"nogil": True, "nopython": True, "boundscheck": None}


def test_an_inline_kernel_is_copied_into_its_callers():
    assert double(3) == 6
    assert double.targetoptions["inline"] == "always" and double.targetoptions["nogil"]


def test_kernels_are_kept_in_the_folder_of_their_sources():
    hash_word(np.array([1], np.int32))
    assert Path(hash_word.stats.cache_path).is_relative_to(os.environ["NUMBA_CACHE_DIR"])


def test_a_kernel_keeps_its_name_docstring_and_annotations():
    assert mix64.__name__ == "mix64" and "MurmurHash3" in mix64.__doc__
    assert mix64.py_func.__annotations__ == {"digest": np.uint64, "return": np.uint64}


@pytest.mark.parametrize(
    "char", ["a", "\x7f", "\x80", "é", "߿", "ࠀ", "中", "\uffff", "𐀀", "\U0010ffff"]
)
def test_a_code_point_is_as_long_as_its_first_byte_says(char):
    data = np.frombuffer(char.encode(), np.uint8)
    assert measure_point(data[0]) == len(data)
    assert decode_point(data, 0) == (ord(char), len(data))


@pytest.mark.parametrize(
    ("at", "stop", "prefix", "expected"),
    [
        (0, 4, b"mill", True),
        (0, 3, b"mill", False),
        (1, 4, b"ill", True),
        (1, 4, b"all", False),
        (2, 2, b"", True),
    ],
)
def test_a_prefix_is_within_its_bounds(at, stop, prefix, expected):
    data = np.frombuffer(b"mill", np.uint8)
    assert has_prefix(data, at, stop, np.frombuffer(prefix, np.uint8)) is expected


def test_a_code_point_is_one_of_a_few():
    codes = np.array([0x2D, 0x2014], np.int32)
    assert [contains(codes, code) for code in (0x2D, 0x2E, 0x2014)] == [True, False, True]
    assert not contains(codes[:0], 0x2D)


def test_the_longest_document_is_measured_in_bytes():
    assert measure_longest(np.array([3, 3, 10, 12], np.int64)) == 7
    assert measure_longest(np.array([5], np.int64)) == 0
