"""The examples run as they stand, on shards of ours, and hold the same tokens as those."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import processes
import pyarrow as pa
import pytest

from gristmill.corpus.shards import shard_name, shard_schema, write_dataset_files, write_shard

DOCUMENTS = [[10, 11, 12], [13], [], [14, 15, 16, 17, 18], [19, 20]]
STREAM = [n for ids in DOCUMENTS for n in [*ids, 3]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A split of two shards, the first of two batches."""
    made, schema = tmp_path_factory.mktemp("run") / "train", shard_schema(100, {})
    for number, batches in enumerate(([DOCUMENTS[:2], DOCUMENTS[2:3]], [DOCUMENTS[3:]])):
        write_shard(
            made / shard_name(number, 2), [batch_of(ids, schema) for ids in batches], schema
        )
    write_dataset_files(made, [shard_name(number, 2) for number in range(2)], fingerprint="0" * 16)
    return made


def batch_of(documents, schema):
    columns = [
        documents,
        [[0] if ids else [] for ids in documents],
        ["x"] * len(documents),
        ["s"] * len(documents),
    ]
    columns += [["en"] * len(documents), [len(ids) for ids in documents]]
    return pa.record_batch(
        [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
    )


def example(repository: Path, name: str):
    spec = importlib.util.spec_from_file_location(name, repository / f"examples/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a DataLoader's workers look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 14])
def test_torch_windows_are_the_documents_one_after_the_other(repository, folder, length):
    windows = example(repository, "torch_dataset").TokenWindows(str(folder), length)
    assert len(windows) == (len(STREAM) - 1) // length
    for number in range(len(windows)):
        inputs, targets = windows[number]
        assert inputs.tolist() == STREAM[number * length : (number + 1) * length]
        assert targets.tolist() == STREAM[number * length + 1 : (number + 1) * length + 1]


def test_a_data_loader_reads_them_with_workers(repository, folder):
    module = example(repository, "torch_dataset")
    windows = module.TokenWindows(str(folder), 2)
    loader = module.DataLoader(windows, batch_size=3, num_workers=1)
    found = np.concatenate([inputs.numpy().ravel() for inputs, _ in loader]).tolist()
    assert found == STREAM[: 2 * len(windows)]


def test_an_empty_folder_is_said(repository, tmp_path):
    with pytest.raises(FileNotFoundError, match="no shards in"):
        example(repository, "torch_dataset").TokenWindows(str(tmp_path), 2)


def test_pyarrow_alone_reads_every_document_without_a_copy(repository, folder):
    module = example(repository, "pyarrow_reader")
    found = list(module.documents(str(folder)))
    assert [ids.tolist() for _, ids in found] == DOCUMENTS
    assert not any(ids.flags.owndata or ids.flags.writeable for _, ids in found)


def test_pyarrow_alone_sees_that_a_shard_was_cut_between_two_messages(repository, folder, tmp_path):
    for path in folder.glob("data-*.arrow"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / shard_name(1, 2)).write_bytes((folder / shard_name(1, 2)).read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"data-00001-of-00002\.arrow is cut off"):
        list(example(repository, "pyarrow_reader").documents(str(tmp_path)))


def test_another_end_of_text_stands_between_documents(repository, folder):
    other = [0 if n == 3 else n for n in STREAM]
    inputs, targets = example(repository, "torch_dataset").TokenWindows(
        str(folder), len(STREAM) - 1, end=0
    )[0]
    assert [*inputs.tolist(), int(targets[-1])] == other
    [found] = example(repository, "tf_data").windows(str(folder), len(STREAM), 0)
    assert found.tolist() == other


@pytest.mark.parametrize("length", [1, 4, 5, 100])
def test_windows_for_tensorflow_are_the_same_stream(repository, folder, length):
    module = example(repository, "tf_data")
    assert [ids.tolist() for ids in module.documents(str(folder))] == DOCUMENTS
    found = [ids.tolist() for ids in module.windows(str(folder), length)]
    assert found == [STREAM[at : at + length] for at in range(0, len(STREAM) - length + 1, length)]


def test_tensorflow_reads_them(repository, folder):
    pytest.importorskip("tensorflow", reason="tensorflow is not installed")
    batches = list(example(repository, "tf_data").dataset(str(folder), 2, 2))
    assert all(batch.shape == (2, 2) for batch in batches)
    assert sorted(np.concatenate([batch.numpy().ravel() for batch in batches]).tolist()) <= sorted(
        STREAM
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("torch_dataset", "windows; a batch: (2, 3)"),
        ("datasets_reader", "5 documents"),
        ("pyarrow_reader", "the first: x, 3 tokens of type uint16\n5 documents, 11 tokens\n"),
    ],
)
def test_the_scripts_run(repository, folder, tmp_path, name, told, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    options = ["--length", "3", "--batch", "2"] if name == "torch_dataset" else []
    command = [sys.executable, str(repository / f"examples/{name}.py"), str(folder), *options]
    done = processes.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
