"""The formats of other trainers: what their readers find is every id of every document, in order."""

import hashlib
import itertools
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill import cli
from gristmill.errors import ConfigError, InputError
from gristmill.runs.finished import open_run
from reports.shards.formats import documents, mds, megatron, nanogpt

SHARD = "train/data-00001-of-00002.arrow"
END = 0


def convert(run, to, out, *options):
    assert (
        cli.run(["shards", "convert", str(run.path), "--to", to, "--out", str(out), *options]) == 0
    )
    return out


@pytest.mark.parametrize("options", [(), ("--no-end",)])
def test_nanogpt_reads_every_id_in_order(packed, tmp_path, options, packs):
    out = convert(packed, "nanogpt", tmp_path / "out", *options)
    for split, name in (("train", "train"), ("validation", "val")):
        read = np.memmap(
            out / f"{name}.bin", dtype=np.uint16, mode="r"
        )  # as nanoGPT's get_batch opens it
        assert read.tolist() == [
            n for ids in packs.ids[split] for n in [*ids, *[END] * (not options)]
        ]
        meta = json.loads((out / f"{name}.meta.json").read_text())
        assert meta == {
            "dtype": "uint16",
            "tokens": len(read),
            "vocab_size": 12,
            "end_of_text": None if options else END,
        }


def test_megatrons_index_says_where_documents_lie(packed, tmp_path, packs):
    out = convert(packed, "megatron", tmp_path / "out", "--split", "train")
    assert sorted(path.name for path in out.iterdir()) == [
        "train_document.bin",
        "train_document.idx",
    ]
    raw, ids = (
        (out / "train_document.idx").read_bytes(),
        np.fromfile(out / "train_document.bin", np.uint16),
    )
    assert raw[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, bounds = struct.unpack_from("<QBQQ", raw, 9)
    assert (version, code, sequences, bounds) == (1, 8, 5, 6)
    lengths, places = np.frombuffer(raw, np.int32, 5, 34), np.frombuffer(raw, np.int64, 5, 54)
    assert np.frombuffer(raw, np.int64, 6, 94).tolist() == list(range(6)) and len(raw) == 94 + 48
    read = [
        ids[place // 2 : place // 2 + length].tolist()
        for place, length in zip(places, lengths, strict=True)
    ]
    assert read == [[*row, END] for row in packs.ids["train"]]


def test_megatrons_types_follow_the_vocabulary():
    assert megatron.index_of(np.array([2, 3], np.int32), np.dtype(np.int32))[17] == 4
    assert megatron.index_of(np.zeros(0, np.int32), np.dtype(np.uint16))[17:34] == struct.pack(
        "<BQQ", 8, 0, 1
    )


def read_mds(folder, dtype=np.uint16):
    """The samples of an MDS folder by its published layout."""
    index, found = json.loads((folder / "index.json").read_text()), []
    assert index["version"] == 2
    for shard in index["shards"]:
        raw = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert (len(raw), hashlib.sha1(raw).hexdigest()) == (
            shard["raw_data"]["bytes"],
            shard["raw_data"]["hashes"]["sha1"],
        )
        [count] = np.frombuffer(raw, np.uint32, 1)
        offsets = np.frombuffer(raw, np.uint32, count + 1, 4)
        assert (
            json.loads(raw[4 * (count + 2) : offsets[0]])["column_names"]
            == shard["column_names"]
            == ["id", "tokens"]
        )
        assert shard["samples"] == count and offsets[-1] == len(raw)
        for start, stop in itertools.pairwise(offsets):
            name, _ = np.frombuffer(raw, np.uint32, 2, start)
            tokens = np.frombuffer(raw[start + 8 + name : stop], dtype)
            found.append((raw[start + 8 : start + 8 + name].decode(), tokens.tolist()))
    return found


@pytest.mark.parametrize("limit", [1 << 26, 250])
def test_mds_shards_hold_a_sample_for_every_document(packed, tmp_path, limit, monkeypatch, packs):
    monkeypatch.setattr(mds, "SIZE_LIMIT", limit)
    out = convert(packed, "mds", tmp_path / "out")
    assert read_mds(out / "train") == [
        (f"train-{n}", [*row, END]) for n, row in enumerate(packs.ids["train"])
    ]
    assert len(list((out / "train").glob("*.mds"))) == (1 if limit > 250 else 5)


def test_equal_runs_are_converted_to_equal_bytes(packed, tmp_path):
    for to in ("nanogpt", "megatron", "mds"):
        one, two = (convert(packed, to, tmp_path / f"{to}-{n}") for n in range(2))
        files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
        assert files and all(
            (one / name).read_bytes() == (two / name).read_bytes() for name in files
        )


def test_a_large_vocabulary_has_wider_ids(tmp_path):
    batches = [documents.Batch(np.array([70_000, 1], np.uint32), np.array([2]), ["a"])]
    nanogpt.write(tmp_path, "train", batches, 1 << 17, None)
    assert np.fromfile(tmp_path / "train.bin", np.uint32).tolist() == [70_000, 1]
    megatron.write(tmp_path, "train", batches, 1 << 17, None)
    assert np.fromfile(tmp_path / "train_document.bin", np.int32).tolist() == [70_000, 1]


def test_a_tokenizer_that_names_no_end_is_said_and_an_absent_split_is_refused(packed, tmp_path):
    (packed.path / "tokenizer/special_tokens_map.json").write_text(
        json.dumps({"eos_token": {"content": "absent"}})
    )
    with pytest.raises(ConfigError, match="names no token that ends a text"):
        documents.end_of(packed)
    with pytest.raises(InputError, match="this run has no such split"):
        documents.splits_of(packed, ["test"])


def test_a_cut_shard_is_not_converted(packed, tmp_path, packs):
    packs.change(packed, SHARD, lambda data: data[:-8])
    with pytest.raises(InputError, match="another size"):
        nanogpt.write(tmp_path, "train", documents.batches(packed, "train", 0), 12, 0)
    assert not (tmp_path / "train.bin").exists()


@pytest.mark.parametrize("to", ["nanogpt", "megatron", "mds"])
def test_a_shard_whose_bytes_changed_is_named_and_nothing_is_written(packed, tmp_path, to, capsys):
    path = packed.path / SHARD
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    out = tmp_path / "out"
    assert cli.run(["shards", "convert", str(packed.path), "--to", to, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert "the SHA-256 differs" in told and str(path) in told and not out.exists()


@pytest.mark.parametrize("to", ["nanogpt", "megatron", "mds"])
def test_an_id_beyond_the_vocabulary_is_refused_and_leaves_nothing_that_looks_whole(
    packed, tmp_path, packs, to
):
    packs.resealed(packed, vocab_size=7)
    command = [
        "shards",
        "convert",
        str(packed.path),
        "--to",
        to,
        "--out",
        str(tmp_path / "out"),
        "--split",
        "train",
    ]
    assert cli.run(command) == 2
    assert [
        path
        for path in (tmp_path / "out").rglob("*")
        if path.suffix not in (".mds",) and path.is_file()
    ] == []


def test_ids_that_would_wrap_in_a_narrower_type_are_refused():
    ids = np.array([1, 70_000], np.uint32)
    with pytest.raises(InputError, match="an id is beyond the vocabulary") as refused:
        documents.check_ids(ids, 1 << 16, {"shard": "x"})
    assert refused.value.where == {"shard": "x", "id": 70_000, "vocabulary": 1 << 16}
    documents.check_ids(ids, 70_001, {})


def test_an_end_beyond_the_vocabulary_is_refused(packed, packs):
    (packed.path / "tokenizer/special_tokens_map.json").write_text(
        json.dumps({"eos_token": "<pad>"})
    )
    assert documents.end_of(packed) == 11
    packs.resealed(packed, vocab_size=11)
    with pytest.raises(ConfigError, match="beyond the vocabulary of the shards"):
        documents.end_of(open_run(packed.path))


@pytest.mark.parametrize("entry", ["j", {"content": "j", "lstrip": False}])
def test_the_token_that_ends_a_text_is_the_one_that_the_tokenizer_folder_names(packed, entry):
    (packed.path / "tokenizer/special_tokens_map.json").write_text(json.dumps({"eos_token": entry}))
    assert documents.end_of(packed) == 10


def test_a_conversion_that_dies_leaves_no_older_index_beside_new_ids(packed, tmp_path, packs):
    writers = {
        "nanogpt": (nanogpt, "train.meta.json"),
        "megatron": (megatron, "train_document.idx"),
    }
    for to, (writer, index) in {**writers, "mds": (mds, "train/index.json")}.items():
        out = convert(packed, to, tmp_path / to)
        assert (out / index).is_file()
        with pytest.raises(KeyboardInterrupt):
            writer.write(out, "train", stopped(documents.batches(packed, "train", END)), 12, END)
        assert not (out / index).exists()
        assert list(out.rglob(".part-*")) == []


def stopped(batches):
    yield next(iter(batches))
    raise KeyboardInterrupt


def cut(rows, size):
    """Batches of so many documents."""
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    return [
        documents.Batch(
            np.array([id for row in part for id in row], np.uint32),
            np.cumsum([len(row) for row in part]),
            [str(number * size + place) for place in range(len(part))],
        )
        for number, part in enumerate(parts)
    ]


def read_megatron(prefix):
    """The documents of a Megatron pair, by its published layout."""
    raw = prefix.with_suffix(".idx").read_bytes()
    assert raw[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, bounds = struct.unpack_from("<QBQQ", raw, 9)
    assert (version, bounds, len(raw)) == (1, sequences + 1, 34 + 12 * sequences + 8 * bounds)
    ids = np.fromfile(prefix.with_suffix(".bin"), {4: np.int32, 8: np.uint16}[code])
    lengths, places = (
        np.frombuffer(raw, np.int32, sequences, 34),
        np.frombuffer(raw, np.int64, sequences, 34 + 4 * sequences),
    )
    starts = places // ids.itemsize
    return [
        ids[start : start + length].tolist() for start, length in zip(starts, lengths, strict=True)
    ]


documents_of_ids = st.lists(
    st.lists(st.integers(0, 299), min_size=1, max_size=6), min_size=1, max_size=12
)


@given(documents_of_ids, st.integers(1, 5), st.sampled_from([300, 1 << 17]))
def test_every_format_gives_back_any_documents_however_they_are_batched(rows, size, vocabulary):
    with tempfile.TemporaryDirectory() as name:
        out, parts = Path(name), cut(rows, size)
        nanogpt.write(out, "train", parts, vocabulary, None)
        megatron.write(out, "train", parts, vocabulary, None)
        mds.write(out, "train", parts, vocabulary, None)
        wide = np.uint16 if vocabulary <= 1 << 16 else np.uint32
        assert np.fromfile(out / "train.bin", wide).tolist() == [id for row in rows for id in row]
        assert read_megatron(out / "train_document") == rows
        assert read_mds(out / "train", wide) == [
            (str(number), row) for number, row in enumerate(rows)
        ]


def test_megatrons_own_reader_finds_the_same_documents(packed, tmp_path, packs):
    indexed = pytest.importorskip(
        "megatron.core.datasets.indexed_dataset", reason="megatron-core is not installed"
    )
    out = convert(packed, "megatron", tmp_path / "out")
    read = indexed.IndexedDataset(str(out / "train_document"))
    assert [read[number].tolist() for number in range(len(read))] == [
        [*row, END] for row in packs.ids["train"]
    ]
    assert read.document_indices.tolist() == list(range(6))


def test_streamings_own_reader_finds_the_same_documents(packed, tmp_path, packs):
    reader = pytest.importorskip(
        "streaming.base.format.mds.reader", reason="mosaicml-streaming is not installed"
    )
    out = convert(packed, "mds", tmp_path / "out")
    config = json.loads((out / "train/index.json").read_text())["shards"][0]
    shard = reader.MDSReader.from_json(str(out), "train", config)
    found = [
        (shard[n]["id"], np.frombuffer(shard[n]["tokens"], np.uint16).tolist())
        for n in range(len(shard))
    ]
    assert found == [(f"train-{n}", [*row, END]) for n, row in enumerate(packs.ids["train"])]
