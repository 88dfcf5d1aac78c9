"""Arrow files and streams: every row once whatever the split size, read without what lies before it, damage named."""

import io
import itertools
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import InputError
from pipelines.annotate.config import AnnotateConfig, InputColumns
from pipelines.annotate.input_files import choose_files
from pipelines.annotate.readers import arrow
from pipelines.annotate.readers.records import Quarantined
from pipelines.annotate.readers.registry import read_split
from pipelines.annotate.splits import make_plan

RUNS = itertools.count()
WRITERS = {"stream": pa.ipc.new_stream, "file": pa.ipc.new_file}


def write(path, batches, form="stream", schema=None, options=None):
    with WRITERS[form](str(path), schema or batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


def batch(texts, first=0, kind=None):
    return pa.record_batch(
        {
            "text": pa.array(texts, kind or pa.string()),
            "url": pa.array([f"http://x/{first + i}" for i in range(len(texts))], pa.string()),
            "vector": pa.array([[1.0] * 4] * len(texts), pa.list_(pa.float64())),
        }
    )


def read(path, folder, split_bytes=1 << 24, columns=InputColumns()):
    config = AnnotateConfig(columns=columns).model_copy(update={"split_bytes": split_bytes})
    plan = make_plan(choose_files([str(path)])[0], config, folder / f"run{next(RUNS)}")
    items = list(itertools.chain.from_iterable(read_split(split, config.columns) for split in plan))
    rows = [row for item in items if not isinstance(item, Quarantined) for row in item.to_pylist()]
    return plan, rows, [item for item in items if isinstance(item, Quarantined)]


def in_batches(sizes):
    firsts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        batch([f"text {first + i}" for i in range(size)], first)
        for first, size in zip(firsts, sizes, strict=True)
    ]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 70), min_size=1, max_size=8),
    split_bytes=st.integers(1, 9000),
    form=st.sampled_from(sorted(WRITERS)),
    compression=st.sampled_from([None, "zstd", "lz4"]),
)
def test_any_split_size_gives_every_row_once_and_in_order(
    sizes, split_bytes, form, compression, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("arrow")
    options = pa.ipc.IpcWriteOptions(compression=compression)
    path = write(folder / "a.arrow", in_batches(sizes), form, options=options)
    plan, rows, broken = read(path, folder, split_bytes)
    assert [(row["text"], row["url"], row["capture"]["offset"]) for row in rows] == [
        (f"text {i}", f"http://x/{i}", i) for i in range(sum(sizes))
    ]
    assert broken == [] and sum(split.expected for split in plan) == sum(sizes)
    assert all(split.expected == split.stop - split.start for split in plan)
    assert rows == read(path, folder)[1] and all(split.note == "" for split in plan)


def test_batches_are_gathered_and_a_large_one_is_cut_by_rows(tmp_path):
    path = write(tmp_path / "a.arrow", in_batches([10, 10, 10, 4000, 10]))
    plan, _, _ = read(path, tmp_path, 40_000)
    assert [(split.start, split.skip) for split in plan][:2] == [(0, 0), (30, 0)]
    assert {split.base for split in plan[1:-1]} == {plan[1].base} and len(plan) > 5
    assert [split.skip for split in plan[1:-1]] == [split.start - 30 for split in plan[1:-1]]
    assert plan[-1].base > plan[1].base and (plan[-1].start, plan[-1].stop) == (4030, 4040)


KINDS = [
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string()),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("form", WRITERS)
def test_text_of_any_string_type_is_read(kind, form, tmp_path):
    texts = ["one", None, "磨坊 " * 30, "", "one"]
    made = [batch(texts, kind=kind), batch(texts, 5, kind=kind)]
    plan, rows, broken = read(write(tmp_path / "a.arrow", made, form), tmp_path, 1)
    wanted = [
        (i + 5 * part, text) for part in (0, 1) for i, text in enumerate(texts) if text is not None
    ]
    assert [(row["capture"]["offset"], row["text"]) for row in rows] == wanted
    assert [(item.reason, item.offset) for item in broken] == [
        ("no_text", 1),
        ("no_text", 6),
    ] and len(plan) == 10


def test_a_stream_whose_dictionary_changes_midway_is_one_split_that_says_so(tmp_path):
    kind = pa.dictionary(pa.int8(), pa.string())
    made = [
        batch(["a", "b"], kind=kind),
        batch(["c", "d"], 2, kind=kind),
        batch(["a", "e"], 4, kind=kind),
    ]
    plan, rows, _ = read(write(tmp_path / "a.arrow", made), tmp_path, 1)
    assert len(plan) == 1 and "one split" in plan[0].note
    assert [row["text"] for row in rows] == ["a", "b", "c", "d", "a", "e"]


def test_a_split_reads_the_head_of_the_file_and_its_own_batches_only(tmp_path, monkeypatch):
    path = write(tmp_path / "a.arrow", in_batches([500] * 20))
    plan, _, _ = read(path, tmp_path, 100_000)
    taken = []

    class Counting(io.FileIO):
        def read(self, size=-1):
            taken.append(len(found := super().read(size)))
            return found

    monkeypatch.setattr(arrow.storage, "open_input", Counting)
    items = list(read_split(plan[-1], AnnotateConfig().columns))
    assert sum(item.num_rows for item in items) == plan[-1].expected
    assert sum(taken) < path.stat().st_size / 20 * 6


@pytest.mark.parametrize("form", WRITERS)
def test_a_cut_file_gives_its_whole_batches_and_names_the_rest(form, tmp_path):
    path = write(tmp_path / "a.arrow", in_batches([30] * 6), form)
    whole = path.read_bytes()
    with open(path, "rb") as file:
        stops = [message.stop for message in arrow.iter_messages(file)]
    for cut in range(stops[0] + 5, stops[-1], 997):
        path.write_bytes(whole[:cut])
        _, rows, broken = read(path, tmp_path, 3000)
        done = sum(stop <= cut for stop in stops[1:])
        assert [row["text"] for row in rows] == [f"text {i}" for i in range(30 * done)]
        where = [(item.reason, item.offset) for item in broken]
        assert where == ([] if cut in stops else [("unknown_remainder", stops[done])])


@pytest.mark.parametrize(
    "raw", [b"", b"ARROW1\0\0", b"no arrow at all, but long enough to look", b"\xff" * 40]
)
def test_what_is_no_arrow_file_is_refused_by_name(raw, tmp_path):
    (tmp_path / "bad.arrow").write_bytes(raw)
    with pytest.raises(InputError, match="no readable Arrow file") as caught:
        read(tmp_path / "bad.arrow", tmp_path)
    assert "bad.arrow" in str(caught.value)


def test_a_file_without_the_text_column_or_with_numbers_in_it_is_refused(tmp_path):
    path = write(tmp_path / "a.arrow", [batch(["one"])])
    with pytest.raises(InputError, match="no text column"):
        read(path, tmp_path, columns=InputColumns(text="body"))
    with pytest.raises(InputError, match="must hold strings"):
        read(path, tmp_path, columns=InputColumns(text="vector"))


def test_bytes_that_are_no_utf8_cost_their_row(tmp_path):
    path = write(tmp_path / "a.arrow", in_batches([40]))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"text 7text 8", b"text 7te\xfft 8"))
    _, rows, broken = read(path, tmp_path)
    assert len(rows) == 39 and [(item.reason, item.offset) for item in broken] == [("not_utf8", 8)]


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 6000), value=st.integers(0, 255), form=st.sampled_from(sorted(WRITERS)))
def test_a_wrong_byte_anywhere_is_no_exception_and_leaves_no_row_without_an_outcome(
    at, value, form, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("noise")
    path = write(folder / "a.arrow", in_batches([20, 20, 20]), form)
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] = value
    path.write_bytes(raw)
    try:
        plan, rows, broken = read(path, folder, 2000)
    except InputError:
        return
    assert len(rows) + len(broken) == sum(split.expected for split in plan)


def save(folder, names, state=None, info=("dataset_info.json",)):
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        write(folder / name, in_batches([3 + number]))
    for name in info:
        (folder / name).write_text('{"features": {}}')
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": name} for name in state or names]})
    )


def test_a_data_set_on_disk_is_its_data_files_and_not_what_lies_beside_them(tmp_path):
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    save(tmp_path / "set", [*names, "cache-12ab.arrow"], names)
    files, passed_over = choose_files([str(tmp_path / "set")])
    assert [info.path for info in files] == [str(tmp_path / "set" / name) for name in names]
    assert passed_over == ["cache-12ab.arrow"]
    assert len(read(tmp_path / "set", tmp_path)[1]) == 7
    assert len(choose_files([str(tmp_path / "set" / "cache-12ab.arrow")])[0]) == 1


def test_the_parts_of_a_data_set_dictionary_are_read_each(tmp_path):
    for part in ("train", "test"):
        save(tmp_path / "set" / part, ["data-00000-of-00001.arrow"])
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    files, passed_over = choose_files([str(tmp_path / "set")])
    assert len(files) == 2 and passed_over == []
    rows = read(tmp_path / "set", tmp_path)[1]
    assert {row["capture"]["file"] for row in rows} == {
        f"{part}/data-00000-of-00001.arrow" for part in ("train", "test")
    }


def test_a_file_called_state_json_without_arrow_files_is_json_lines(tmp_path):
    (tmp_path / "state.json").write_text('{"text": "one"}\n')
    assert len(choose_files([str(tmp_path)])[0]) == 1


def test_what_the_datasets_library_saves_is_read(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed")
    made = datasets.Dataset.from_dict(
        {"text": [f"text {i}" for i in range(50)], "n": list(range(50))}
    )
    made.save_to_disk(str(tmp_path / "set"), num_shards=3)
    _, rows, broken = read(tmp_path / "set", tmp_path, 500)
    assert [row["text"] for row in rows] == [f"text {i}" for i in range(50)] and broken == []
