"""Shards: what is written opens anywhere without a copy, and a cut or changed file is never read as a shorter one."""

import contextlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus import shards
from gristmill.corpus.shards import (
    END_OF_STREAM,
    open_shard,
    shard_name,
    shard_schema,
    token_view,
    write_dataset_dict,
    write_dataset_files,
    write_shard,
)
from gristmill.errors import InputError
from gristmill.runs import storage

SCHEMA = shard_schema(1000, {"gristmill.tokenizer": "ab" * 32})


def batch_of(documents, schema=SCHEMA, first=0):
    """One batch of documents given as lists of ids."""
    return pa.record_batch(
        [
            pa.array(documents, schema.field("input_ids").type),
            pa.array([[0] if ids else [] for ids in documents], pa.list_(pa.uint32())),
            pa.array([f"{first + i:032x}" for i in range(len(documents))], pa.string()),
            pa.array(["wiki"] * len(documents), pa.string()),
            pa.array(["en"] * len(documents), pa.string()),
            pa.array([len(ids) for ids in documents], pa.uint32()),
        ],
        schema=schema,
    )


def written(path, *batches, schema=SCHEMA):
    write_shard(path, [batch_of(documents, schema) for documents in batches], schema)
    return path


def views(table):
    """Every document's ids, read through the zero-copy view."""
    found = []
    for values, offsets in token_view(table):
        found += [values[offsets[i] : offsets[i + 1]].tolist() for i in range(len(offsets) - 1)]
    return found


documents = st.lists(st.lists(st.integers(0, 65_535), max_size=9), max_size=6)


@given(st.lists(documents, max_size=4))
def test_any_batches_read_back_equal_with_their_schema(tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("shard") / "s.arrow"
    rows = write_shard(path, [batch_of(found) for found in batches], SCHEMA)
    table = open_shard(path, rows=rows, size=path.stat().st_size)
    flat = [ids for found in batches for ids in found]
    assert rows == len(flat)
    assert table["input_ids"].to_pylist() == flat
    assert views(table) == flat
    assert table.schema.equals(SCHEMA, check_metadata=True)


@given(st.lists(documents, min_size=1, max_size=3), st.integers(0, 18), st.integers(0, 18))
def test_a_view_of_a_sliced_shard_has_exactly_its_documents(
    tmp_path_factory, batches, start, length
):
    path = tmp_path_factory.mktemp("shard") / "s.arrow"
    table = open_shard(written(path, *batches)).slice(start, length)
    assert views(table) == [ids for found in batches for ids in found][start : start + length]


def test_the_view_lies_in_the_mapped_file_and_allocates_nothing(tmp_path):
    path = written(tmp_path / "s.arrow", [[1, 2, 3]] * 10_000, [[4]] * 10_000)
    before = pa.total_allocated_bytes()
    table = open_shard(path)
    found = token_view(table)
    assert pa.total_allocated_bytes() == before
    assert [(values.flags.owndata, values.dtype, len(offsets)) for values, offsets in found] == [
        (False, np.dtype("uint16"), 10_001),
        (False, np.dtype("uint16"), 10_001),
    ]
    with pytest.raises(ValueError, match="read-only"):
        found[0][0][0] = 1


def test_a_sliced_view_allocates_nothing_either(tmp_path):
    table = open_shard(written(tmp_path / "s.arrow", [[1, 2], [3], [], [4, 5, 6]]))
    before = pa.total_allocated_bytes()
    [(values, offsets)] = token_view(table.slice(1, 2))
    assert pa.total_allocated_bytes() == before
    assert (values.tolist(), offsets.tolist()) == ([1, 2, 3, 4, 5, 6], [2, 3, 3])


@pytest.mark.parametrize(
    ("vocabulary", "kind"),
    [
        (300, "uint16"),
        (65_535, "uint16"),
        (65_536, "uint16"),
        (65_537, "uint32"),
        (256_000, "uint32"),
    ],
)
def test_ids_are_16_bits_wide_exactly_where_the_vocabulary_fits(tmp_path, vocabulary, kind):
    schema = shard_schema(vocabulary, {})
    assert str(schema.field("input_ids").type.value_type) == kind
    table = open_shard(written(tmp_path / "s.arrow", [[0, vocabulary - 1]], schema=schema))
    assert views(table) == [[0, vocabulary - 1]]


def test_an_id_beyond_the_width_is_refused_and_no_shard_appears(tmp_path):
    with pytest.raises((pa.ArrowInvalid, OverflowError)):
        written(tmp_path / "s.arrow", [[70_000]])
    assert storage.list_files(tmp_path) == []


def test_a_batch_of_another_schema_is_refused_and_no_shard_appears(tmp_path):
    with pytest.raises(pa.ArrowInvalid):
        write_shard(tmp_path / "s.arrow", [batch_of([[1]], shard_schema(100_000, {}))], SCHEMA)
    assert storage.list_files(tmp_path) == []


def test_batches_that_end_with_an_error_leave_no_shard(tmp_path):
    def batches():
        yield batch_of([[1]])
        raise RuntimeError("the encoder died")

    with pytest.raises(RuntimeError, match="the encoder died"):
        write_shard(tmp_path / "s.arrow", batches(), SCHEMA)
    assert list(tmp_path.iterdir()) == []


def test_equal_batches_give_byte_equal_shards(tmp_path):
    one, two = written(tmp_path / "1", [[1, 2]], [[3]]), written(tmp_path / "2", [[1, 2]], [[3]])
    assert one.read_bytes() == two.read_bytes()


def test_a_shard_without_documents_opens(tmp_path):
    table = open_shard(written(tmp_path / "s.arrow"), rows=0)
    assert (table.num_rows, views(table)) == (0, [])


def test_the_tokenizer_is_named_in_the_schema(tmp_path):
    table = open_shard(written(tmp_path / "s.arrow", [[1]]))
    assert table.schema.metadata == {
        b"gristmill.format": b"shards/1",
        b"gristmill.tokenizer": b"ab" * 32,
    }


def test_shards_are_named_so_that_they_sort():
    assert shard_name(3, 12) == "data-00003-of-00012.arrow"
    assert sorted(shard_name(n, 12) for n in range(12)) == [shard_name(n, 12) for n in range(12)]


# ---- damage


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        open_shard(path, **options)
    return caught.value.what


CUT = "a shard is cut off: its end-of-stream marker is missing"


def test_a_shard_cut_exactly_between_two_messages_is_refused_although_arrow_reads_it(tmp_path):
    path = written(tmp_path / "s.arrow", [[1]], [[2]], [[3]])
    data = path.read_bytes()
    assert data.endswith(END_OF_STREAM)
    one = written(tmp_path / "one", [[1]]).read_bytes()
    for cut in (data[: -len(END_OF_STREAM)], one[: -len(END_OF_STREAM)]):
        assert data.startswith(cut)
        path.write_bytes(cut)
        assert pa.ipc.open_stream(path.read_bytes()).read_all().num_rows in (1, 3)
        assert refused(path) == CUT


def test_a_shard_cut_anywhere_is_refused(tmp_path):
    path = written(tmp_path / "s.arrow", [[1, 2, 3]], [[4]])
    data = path.read_bytes()
    for length in {*range(0, len(data), 13), *range(len(data) - 20, len(data))}:
        path.write_bytes(data[:length])
        assert refused(path)


@pytest.mark.parametrize("content", [b"", b"x", END_OF_STREAM[:4], b"PAR1" * 10, b"\0" * 64])
def test_a_file_that_is_no_shard_is_refused(tmp_path, content):
    path = tmp_path / "s.arrow"
    path.write_bytes(content)
    assert refused(path) == CUT


def test_a_missing_shard_and_a_folder_are_refused(tmp_path):
    assert refused(tmp_path / "none") == "there is no such shard"
    assert refused(tmp_path) == "there is no such shard"


def test_a_size_other_than_the_manifests_is_refused(tmp_path):
    path = written(tmp_path / "s.arrow", [[1]])
    size = path.stat().st_size
    assert refused(path, size=size + 8) == "a shard has another size than its manifest says"
    assert open_shard(path, size=size).num_rows == 1


def test_rows_other_than_the_manifests_are_refused(tmp_path):
    path = written(tmp_path / "s.arrow", [[1], [2]])
    assert refused(path, rows=3) == "a shard has another number of rows than its manifest says"
    assert open_shard(path, rows=2).num_rows == 2


def test_two_streams_in_one_file_are_refused_and_not_read_as_the_first(tmp_path):
    path = written(tmp_path / "s.arrow", [[1]])
    path.write_bytes(path.read_bytes() * 2)
    assert refused(path) == "a shard does not end where its stream ends"


def test_an_arrow_file_with_a_footer_is_refused_as_a_shard(tmp_path):
    path = tmp_path / "s.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        writer.write_batch(batch_of([[1]]))
    assert refused(path) == CUT


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_gives_an_input_error_or_a_table_but_never_another_failure(
    tmp_path_factory, position, change
):
    path = written(tmp_path_factory.mktemp("shard") / "s.arrow", [[1, 2, 3]], [[4]])
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= change
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        assert isinstance(open_shard(path), pa.Table)


READ_ALL_CHANGED = """
import sys
from pathlib import Path
from gristmill.errors import InputError
from gristmill.corpus.shards import open_shard, token_view
data, place = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
for position in range(0, len(data), 3):
    changed = bytearray(data)
    changed[position] ^= 0x80
    place.unlink(missing_ok=True)
    place.write_bytes(changed)
    try:
        [values.sum() + offsets.sum() for values, offsets in token_view(open_shard(place))]
    except (InputError, KeyError):
        pass
print("alive")
"""


def test_a_changed_byte_never_makes_a_view_read_foreign_memory(tmp_path):
    path = written(tmp_path / "s.arrow", [[1, 2, 3]], [[4]])
    command = [sys.executable, "-c", READ_ALL_CHANGED, str(path), str(tmp_path / "changed")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


# ---- open to others


@pytest.fixture
def dataset(tmp_path):
    """A folder of two shards as `pack` writes it."""
    folder = tmp_path / "train"
    names = [shard_name(n, 2) for n in range(2)]
    for n, name in enumerate(names):
        write_shard(
            folder / name, [batch_of([[n, 1], [2]], first=2 * n), batch_of([[3]], first=9)], SCHEMA
        )
    write_dataset_files(folder, names, fingerprint="0123456789abcdef0123")
    return folder


EXPECTED = [[0, 1], [2], [3], [1, 1], [2], [3]]


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    """The library of Hugging Face, kept from the network and from the user's cache."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("datasets", reason="the extra `dev` brings datasets")


def test_datasets_loads_the_folder_from_disk(datasets, dataset):
    loaded = datasets.load_from_disk(str(dataset))
    assert loaded["input_ids"][:] == EXPECTED
    assert loaded.column_names == SCHEMA.names
    assert str(loaded.split) == "train"


def test_datasets_opens_one_shard_as_a_file(datasets, dataset):
    loaded = datasets.Dataset.from_file(str(dataset / shard_name(1, 2)))
    assert loaded["input_ids"][:] == EXPECTED[3:]
    assert loaded[0]["id"] == f"{2:032x}"


def test_datasets_loads_the_shards_as_data_files(datasets, dataset, tmp_path):
    loaded = datasets.load_dataset(
        "arrow",
        data_files={"train": str(dataset / "*.arrow")},
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert loaded["input_ids"][:] == EXPECTED


def test_datasets_opens_a_folder_of_splits_as_one(datasets, dataset):
    names = [shard_name(0, 1)]
    write_shard(dataset.parent / "test" / names[0], [batch_of([[7]], first=50)], SCHEMA)
    write_dataset_files(dataset.parent / "test", names, fingerprint="0" * 16)
    write_dataset_dict(dataset.parent, ["train", "test"])
    loaded = datasets.load_from_disk(str(dataset.parent))
    assert isinstance(loaded, datasets.DatasetDict)
    assert {split: rows["input_ids"][:] for split, rows in loaded.items()} == {
        "train": EXPECTED,
        "test": [[7]],
    }
    assert sorted(path.name for path in dataset.iterdir()) == [
        "data-00000-of-00002.arrow",
        "data-00001-of-00002.arrow",
        "dataset_info.json",
        "state.json",
    ]


def test_the_two_files_beside_the_shards_are_equal_for_equal_shards(dataset, tmp_path):
    names = [shard_name(n, 2) for n in range(2)]
    write_dataset_files(tmp_path / "again" / "train", names, fingerprint="0123456789abcdef0123")
    for name in ("state.json", "dataset_info.json"):
        assert (tmp_path / "again" / "train" / name).read_bytes() == (dataset / name).read_bytes()


def test_the_end_of_stream_marker_is_the_one_arrow_writes():
    sink = pa.BufferOutputStream()
    pa.ipc.new_stream(sink, pa.schema([])).close()
    assert sink.getvalue().to_pybytes().endswith(shards.END_OF_STREAM)
