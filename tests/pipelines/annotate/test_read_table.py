"""Parquet: any range of rows, any string type, and a bad row costs only itself."""

import datetime
import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.hashing import document_id
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers.records import RECORD_SCHEMA, Quarantined, Split
from pipelines.annotate.readers.table import read_table


def read(path, start=0, stop=None, *, columns=InputColumns()):
    stop = pq.ParquetFile(path).metadata.num_rows if stop is None else stop
    rows, broken = [], []
    for item in read_table(Split(0, "parquet", str(path), start, stop), columns):
        if isinstance(item, Quarantined):
            broken.append(item)
        else:
            assert item.schema == RECORD_SCHEMA
            item.validate(full=True)
            rows += item.to_pylist()
    return rows, broken


@pytest.fixture
def write(tmp_path):
    """A function that writes columns as a Parquet file and returns its path."""

    def make(table, name="corpus.v1.parquet", **options):
        pq.write_table(pa.table(table), tmp_path / name, **options)
        return tmp_path / name

    return make


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 60), group=st.integers(1, 25), cuts=st.lists(st.integers(0, 60), max_size=5)
)
def test_any_ranges_over_any_row_groups_give_every_row_once(rows, group, cuts, tmp_path_factory):
    path = tmp_path_factory.mktemp("t") / "a.parquet"
    texts = [None if row % 7 == 3 else f"text {row}" for row in range(rows)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=group)
    bounds = sorted({0, rows, *(cut for cut in cuts if cut < rows)})
    found, broken = [], []
    for start, stop in itertools.pairwise(bounds):
        part, bad = read(path, start, stop)
        found, broken = found + part, broken + bad
    assert [(row["capture"]["offset"], row["text"]) for row in found] == [
        (i, text) for i, text in enumerate(texts) if text is not None
    ]
    assert [(item.offset, item.reason) for item in broken] == [
        (i, "no_text") for i, text in enumerate(texts) if text is None
    ]


TEXTS = ["one", "中文", None, "three 👍", ""]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.large_binary(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
)
def test_any_string_type_is_text(kind, write):
    encoded = [
        text.encode() if text is not None and "binary" in str(kind) else text for text in TEXTS
    ]
    column = (
        pa.array(TEXTS).dictionary_encode()
        if pa.types.is_dictionary(kind)
        else pa.array(encoded, kind)
    )
    rows, broken = read(write({"text": column}))
    assert [row["text"] for row in rows] == ["one", "中文", "three 👍", ""] and [
        item.offset for item in broken
    ] == [2]


@pytest.mark.parametrize("place", [0, 2, 4])
def test_bytes_that_are_no_text_cost_their_row(place, write):
    texts = [f"row {i}".encode() for i in range(5)]
    texts[place] = b"bad \xff\xfe"
    rows, broken = read(
        write({"text": pa.array(texts, pa.binary()), "id": list("abcde")}, row_group_size=2)
    )
    assert [row["text"] for row in rows] == [f"row {i}" for i in range(5) if i != place]
    assert [(item.offset, item.reason, item.file) for item in broken] == [
        (place, "not_utf8", "corpus.v1.parquet")
    ]
    assert rows[0]["id"] == document_id(
        "corpus", "b" if place == 0 else "a", rows[0]["text"].encode()
    )


def invalid_strings(values):
    raw = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(values), raw.buffers())


def test_a_string_column_that_lies_about_its_bytes_costs_the_bad_rows(write):
    rows, broken = read(write({"text": invalid_strings([b"fine", b"\xff\xff", b"good"])}))
    assert [row["text"] for row in rows] == ["fine", "good"] and [
        item.offset for item in broken
    ] == [1]


def test_a_bad_title_costs_its_row_and_no_more(write):
    rows, broken = read(
        write({"text": ["a", "b", "c"], "title": invalid_strings([b"fine", b"\xff", b"good"])})
    )
    assert [row["text"] for row in rows] == ["a", "c"]
    assert [(item.offset, item.reason) for item in broken] == [(1, "not_utf8")]


def test_a_record_has_its_fields_by_the_configured_names(write):
    moment = datetime.datetime(2024, 2, 3, 10, tzinfo=datetime.UTC)
    table = {
        "body": ["Text."],
        "key": [7],
        "link": ["https://x.org/1"],
        "name": ["T"],
        "from": ["paper"],
        "sort": ["newspaper"],
        "rights": ["CC BY 4.0"],
        "day": [moment],
        "noise": [1.5],
    }
    names = InputColumns(
        text="body",
        id="key",
        url="link",
        title="name",
        source="from",
        kind="sort",
        licence="rights",
        published="day",
    )
    [row], _ = read(write(table), columns=names)
    wanted = {
        "text": "Text.",
        "url": "https://x.org/1",
        "title": "T",
        "source": "paper",
        "kind": "news",
        "licence": "CC-BY-4.0",
        "published": moment,
        "media": "text",
        "capture": {"file": "corpus.v1.parquet", "offset": 0, "item": 0},
        "id": document_id("paper", "7", b"Text."),
    }
    assert {name: row[name] for name in wanted} == wanted


def test_one_column_may_serve_two_fields(write):
    rows, _ = read(write({"text": ["a"], "url": ["http://x/1"]}), columns=InputColumns(id="url"))
    assert (
        rows[0]["id"] == document_id("corpus", "http://x/1", b"a")
        and rows[0]["url"] == "http://x/1"
    )


def test_without_an_id_or_address_the_place_is_the_locator(write):
    rows, _ = read(write({"text": ["a", "a"]}))
    assert [row["id"] for row in rows] == [
        document_id("corpus", f"corpus.v1.parquet#{i}", b"a") for i in range(2)
    ]


def test_rows_without_an_id_among_others_fall_back_to_their_address(write):
    rows, _ = read(write({"text": ["a", "b"], "id": ["k", None], "url": [None, "http://x"]}))
    assert [row["id"] for row in rows] == [
        document_id("corpus", "k", b"a"),
        document_id("corpus", "http://x", b"b"),
    ]


def test_only_nulls_are_all_broken(write):
    rows, broken = read(write({"text": pa.array([None, None], pa.string())}))
    assert rows == [] and len(broken) == 2


def test_far_out_dates_are_no_dates_and_cost_no_record(write):
    far = {"s": 10**15, "ms": 10**18, "us": 10**18, "ns": 10**18}
    for unit, value in far.items():
        for zone in (None, "UTC", "Europe/Berlin"):
            column = pa.array([value, -value, None, 0], pa.timestamp(unit, zone))
            rows, broken = read(write({"text": list("abcd"), "date": column}))
            assert broken == [] and [row["text"] for row in rows] == list("abcd")
            assert [row["published"] for row in rows[2:]] == [
                None,
                datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC),
            ]
            assert unit == "ns" or [row["published"] for row in rows[:2]] == [None, None]


def test_days_are_dates(write):
    for kind in (
        pa.date32(),
        pa.date64(),
        pa.timestamp("ns"),
        pa.dictionary(pa.int8(), pa.date32()),
    ):
        day = pa.array([datetime.date(2021, 1, 2), None])
        column = day.dictionary_encode() if pa.types.is_dictionary(kind) else day.cast(kind)
        rows, _ = read(write({"text": ["a", "b"], "date": column}))
        assert [row["published"] for row in rows] == [
            datetime.datetime(2021, 1, 2, tzinfo=datetime.UTC),
            None,
        ]


def test_a_column_of_dates_may_serve_as_a_title_too(write):
    table = {"text": ["a"], "date": [datetime.datetime(2021, 1, 2)]}
    [row], _ = read(write(table), columns=InputColumns(title="date"))
    assert (row["title"], row["published"].year) == ("2021-01-02 00:00:00", 2021)


def test_a_value_that_python_cannot_tell_costs_its_row(write):
    for far, fine in (
        (pa.array([0, 10**18, 0], pa.timestamp("us")), [True, False, True]),
        (pa.array([0, 0], pa.timestamp("us", "Nowhere/Land")), [False, False]),
    ):
        rows, broken = read(write({"text": ["text"] * len(far), "id": far}))
        assert [row["capture"]["offset"] for row in rows] == [
            i for i, good in enumerate(fine) if good
        ]
        assert [(item.offset, item.reason) for item in broken] == [
            (i, "bad_value") for i, good in enumerate(fine) if not good
        ]


def items(path, stop):
    return list(read_table(Split(0, "parquet", str(path), 0, stop), InputColumns()))


def test_one_bad_row_of_a_thousand_leaves_few_batches(write):
    texts = [b"row"] * 999 + [b"\xff"]
    for place in (0, 500, 999):
        moved = [*texts[:-1][:place], texts[-1], *texts[:-1][place:]]
        found = items(write({"text": pa.array(moved, pa.binary())}), 1000)
        assert (
            len(found) <= 12
            and sum(item.num_rows for item in found if not isinstance(item, Quarantined)) == 999
        )
        assert [item.offset for item in found if isinstance(item, Quarantined)] == [place]


def test_batches_hold_about_eight_mebibytes_of_text_each(write):
    texts = ["x" * (1 << 20)] * 40 + ["y" * (20 << 20)] + ["z"] * 50
    path = write({"text": texts})
    sizes = [sum(map(len, item["text"].to_pylist())) for item in items(path, len(texts))]
    assert sizes[:5] == [8 << 20] * 5 and sizes[5:] == [20 << 20, 50]
    assert [row["text"] for row in read(path)[0]] == texts


@pytest.mark.parametrize("end", ["a.parquet", "en/a.parquet"])
def test_a_split_that_has_a_name_calls_its_records_by_it(end, write):
    path = write({"text": ["a", None]})
    found = list(read_table(Split(0, "parquet", str(path), 0, 2, name=end), InputColumns()))
    assert found[0].file == end and found[1]["capture"][0].as_py()["file"] == end
    assert found[1]["source"].to_pylist() == ["a"] and found[1]["id"][0].as_py() == document_id(
        "a", f"{end}#0", b"a"
    )


def test_real_sets_are_read_whole(shared_data):
    for name in ("wiki_zh", "web_ud_ewt_en", "social_wnut17_en"):
        path = shared_data / "corpus" / f"{name}.parquet"
        stop = min(500, pq.ParquetFile(path).metadata.num_rows)
        rows, broken = read(path, 0, stop)
        assert len(rows) + len(broken) == stop and broken == []
        assert all(row["text"] and row["licence"] for row in rows)
