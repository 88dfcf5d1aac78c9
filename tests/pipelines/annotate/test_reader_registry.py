"""A format of inputs is declared once: its suffixes, its planner, its reader, its own count."""

import itertools

import pytest

from gristmill.errors import InputError
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers.lines import read_lines
from pipelines.annotate.readers.records import Quarantined, Split
from pipelines.annotate.readers.registry import (
    FORMATS,
    count_expected,
    find_input_format,
    list_suffixes,
    read_split,
)


def test_no_two_formats_share_a_name_or_a_kind_of_split():
    names = [format.name for format in FORMATS]
    kinds = list(itertools.chain.from_iterable(format.split_kinds for format in FORMATS))
    assert len(set(names)) == len(names)
    assert len(set(kinds)) == len(kinds) and "remainder" not in kinds


@pytest.mark.parametrize("suffix", list_suffixes())
def test_every_suffix_belongs_to_one_format_in_any_case(suffix):
    owners = [format for format in FORMATS if suffix in format.suffixes]
    assert [find_input_format(f"/data/A{suffix.upper()}")] == owners


def test_a_file_of_no_format_is_refused_with_all_suffixes():
    with pytest.raises(InputError) as caught:
        find_input_format("notes.txt")
    assert all(suffix in str(caught.value) for suffix in list_suffixes())


def test_a_remainder_is_one_quarantined_record_where_the_input_breaks_off():
    split = Split(3, "remainder", "/in/a.jsonl.gz", 70, 40, expected=1, note="it breaks off")
    [item] = read_split(split, InputColumns())
    assert item == Quarantined(
        "a.jsonl.gz", 70, "unknown_remainder", "what follows is unknown: it breaks off", 40, "a"
    )
    assert count_expected(split) == 1


def test_the_records_of_json_lines_are_counted_without_their_reader(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": "b"}\n')
    split = Split(0, "lines", str(path), 0, path.stat().st_size)
    assert count_expected(split) == 2
    read = list(read_split(split, InputColumns()))
    assert read == list(read_lines(split, InputColumns()))


def test_of_other_splits_the_plan_says_how_many_records_they_have():
    assert count_expected(Split(0, "parquet", "a.parquet", 0, 7, expected=7)) == 7
    assert count_expected(Split(0, "warc", "a.warc", 0, 7)) == -1
