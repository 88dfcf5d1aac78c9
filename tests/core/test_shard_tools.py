"""Looking at shards: every kind of damage is named with its file, rows come back as text, and other formats hold the same ids."""

import hashlib
import itertools
import json
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers

from gristmill import cli, runs
from gristmill.config import Config
from gristmill.document import DOCUMENT_SCHEMA
from gristmill.errors import ConfigError, InputError
from gristmill.formats import documents, mds, megatron, nanogpt
from gristmill.hashing import sha256_bytes
from gristmill.receipts import data_file
from gristmill.sealed import open_run
from gristmill.shard_checks import faults
from gristmill.shard_decode import decode, find
from gristmill.shard_table import as_lines, contents
from gristmill.shards import END_OF_STREAM, shard_name, shard_schema, write_dataset_files, write_shard

WORDS = ["</s>", *"abcdefghij", "<pad>"]
TEXTS = {
    "train": [["a", "b", "c"], ["d"], ["e", "f"], ["a", "a", "a", "a"], ["j"]],
    "validation": [["b", "c"]],
}


class Empty(Config):
    """No configuration."""


def tokenizer_json():
    model = tokenizers.models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<pad>")
    return tokenizers.Tokenizer(model).to_str().encode()


def rows_of(split, schema):
    ids = [[WORDS.index(word) for word in words] for words in TEXTS[split]]
    starts = [[0, 2] if len(row) > 2 else [0] for row in ids]
    names = [f"{split}-{number}" for number in range(len(ids))]
    langs = ["en" if number % 2 else "zh" for number in range(len(ids))]
    columns = [ids, starts, names, ["wiki"] * len(ids), langs, [2 * len(row) for row in ids]]
    return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def make_run(out, *, two=2):
    """A sealed pack run with `two` shards of training, by hand."""
    raw = tokenizer_json()
    with runs.start("pack", out=out, config=Empty(), inputs=[], code=[]) as run:
        schema = shard_schema(len(WORDS), {"gristmill.tokenizer": sha256_bytes(raw)})
        written = []
        for split in TEXTS:
            batch, count = rows_of(split, schema), two if split == "train" else 1
            names = [shard_name(number, count) for number in range(count)]
            cuts = np.linspace(0, batch.num_rows, count + 1).astype(int).tolist()
            for name, start, stop in zip(names, cuts[:-1], cuts[1:], strict=True):
                write_shard(
                    run.path / split / name, [batch.slice(start, 1), batch.slice(start + 1, stop - start - 1)], schema
                )
                written.append(data_file(run.path, f"{split}/{name}", rows=stop - start))
            write_dataset_files(run.path / split, names, fingerprint="0" * 16)
            written += [data_file(run.path, f"{split}/{name}") for name in ("state.json", "dataset_info.json")]
        (run.path / "tokenizer").mkdir()
        (run.path / "tokenizer/tokenizer.json").write_bytes(raw)
        (run.path / "tokenizer/special_tokens_map.json").write_text(json.dumps({"eos_token": "</s>"}))
        written += [data_file(run.path, f"tokenizer/{name}") for name in ("tokenizer.json", "special_tokens_map.json")]
        sums = {split: {"documents": len(rows), "tokens": sum(map(len, rows))} for split, rows in TEXTS.items()}
        details = {"tokenizer": sha256_bytes(raw), "vocab_size": len(WORDS), "splits": sums}
        return run.finish(details=details, files=written)


@pytest.fixture
def packed(tmp_path):
    return make_run(tmp_path / "runs")


def told(run):
    return [(fault.file, fault.what) for fault in faults(open_run(run.path))]


SHARD = "train/data-00001-of-00002.arrow"


def test_shards_as_they_were_sealed_have_no_fault(packed):
    assert told(packed) == []


def change(run, name, edit):
    path = run.path / name
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(edit(data))


def resealed(run, **details):
    """The run with its manifest changed to fit its files, so that only what lies in them can be wrong."""
    path = run.path / "manifest.json"
    manifest = json.loads(path.read_text())
    for entry in manifest["files"]:
        raw = (run.path / entry["path"]).read_bytes()
        entry |= {"bytes": len(raw), "sha256": sha256_bytes(raw)}
    manifest["details"] |= details
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("cut", [1, 8, 9, 100])
def test_a_cut_shard_is_named(packed, cut):
    change(packed, SHARD, lambda data: data[:-cut])
    assert told(packed) == [(SHARD, "a shard has another size than its manifest says")]


def test_a_shard_cut_at_a_message_boundary_is_named_even_where_the_manifest_fits_it(packed):
    change(packed, SHARD, lambda data: data[: -len(END_OF_STREAM)])
    resealed(packed)
    assert told(packed) == [(SHARD, "a shard is cut off: its end-of-stream marker is missing")]


def test_every_flipped_bit_is_named(packed):
    size = (packed.path / SHARD).stat().st_size
    for place in range(0, size, 37):
        change(packed, SHARD, lambda data, place=place: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        [(file, _)] = told(packed)
        assert file == SHARD
        change(packed, SHARD, lambda data, place=place: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    assert told(packed) == []


def test_a_missing_shard_and_several_faults_are_all_named(packed):
    (packed.path / SHARD).unlink()
    (packed.path / "train/notes.txt").write_text("x")
    change(packed, "validation/data-00000-of-00001.arrow", lambda data: b"")
    assert [file for file, _ in told(packed)] == [SHARD, "train/notes.txt", "validation/data-00000-of-00001.arrow"]


def test_another_tokenizer_is_named(packed):
    change(packed, "tokenizer/tokenizer.json", lambda data: data + b" ")
    assert told(packed) == [("tokenizer/tokenizer.json", "it is not the tokenizer that these shards were made with")]
    (packed.path / "tokenizer/tokenizer.json").unlink()
    assert told(packed) == [("tokenizer", "there is no tokenizer")]


def test_shards_of_another_tokenizer_vocabulary_or_number_of_tokens_are_named(packed):
    resealed(packed, tokenizer="0" * 64)
    whats = [what for _, what in told(packed)]
    assert whats.count("it was made with another tokenizer than the run's") == 3
    resealed(packed, tokenizer=sha256_bytes(tokenizer_json()), vocab_size=3)
    assert [what for _, what in told(packed)] == ["an id is beyond the vocabulary of 3"] * 3
    resealed(packed, vocab_size=1 << 17)
    assert all(what.startswith("its columns are not those of a vocabulary of 131072") for _, what in told(packed))
    resealed(
        packed,
        vocab_size=len(WORDS),
        splits={"train": {"documents": 5, "tokens": 12}, "validation": {"documents": 1, "tokens": 2}},
    )
    assert told(packed) == [("train", "its shards hold 11 tokens, and the manifest says 12")]


@pytest.mark.parametrize("starts", [[[0, 9]], [[1]], [[0, 2, 2]], [[]], [[0, 2, 1]]])
def test_sentences_that_are_none_are_named(packed, starts):
    path = packed.path / "validation/data-00000-of-00001.arrow"
    schema = shard_schema(len(WORDS), {"gristmill.tokenizer": sha256_bytes(tokenizer_json())})
    columns = [[[1, 2, 3]], starts, ["v"], ["s"], ["en"], [3]]
    path.unlink()
    batch = pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
    write_shard(path, [batch], schema)
    resealed(packed)
    assert told(packed)[0] == (
        "validation/data-00000-of-00001.arrow",
        "a sentence does not start inside its document, or before the one in front of it",
    )


def test_a_state_file_that_names_other_files_is_named(packed):
    (packed.path / "train/state.json").write_text(json.dumps({"_data_files": [{"filename": "x.arrow"}]}))
    assert told(packed) == [("train/state.json", "it names other files than the run has: x.arrow")]
    (packed.path / "train/state.json").write_text("{")
    assert told(packed) == [("train/state.json", "it names other files than the run has: none")]


def test_verify_says_all_and_ends_with_2(packed, capsys):
    assert cli.run(["shards", "verify", str(packed.path)]) == 0
    assert capsys.readouterr().err == "3 shards, 13 tokens: all as sealed\n"
    (packed.path / SHARD).unlink()
    assert cli.run(["shards", "verify", str(packed.path), "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["file"] == SHARD and f"{SHARD}: there is no such shard" in err


# ---- what is in them


def test_contents_are_counted_by_split_source_and_language(packed):
    run, found = contents(packed.path)
    train = found[0].record()
    assert (train["documents"], train["tokens"], train["shards"], train["bytes"]) == (5, 11, 2, 22)
    assert train["ids_used"] == 7 and train["tokens_per_document"]["0.5"] == 2
    assert [(group["lang"], group["documents"], group["tokens"]) for group in train["groups"]] == [
        ("zh", 3, 6),
        ("en", 2, 5),
    ]
    lines = as_lines(found, len(WORDS))
    assert lines[0] == "train  5 documents, 11 tokens in 2 shards | 2.00 bytes a token | 7 of 12 ids used"
    assert lines[1].split() == [
        "tokens",
        "a",
        "document",
        "least",
        "1",
        "10%",
        "1",
        "median",
        "2",
        "90%",
        "3",
        "most",
        "4",
    ]
    assert run is not None and contents(packed.path / SHARD)[1][0].record()["documents"] == 3


def test_an_empty_shard_is_inspected_too(tmp_path):
    write_shard(tmp_path / "none.arrow", [], shard_schema(10, {}))
    [found] = contents(tmp_path / "none.arrow")[1]
    assert found.record()["tokens"] == 0 and as_lines([found], None)[0].startswith("none.arrow  0 documents")


# ---- rows as text


@pytest.mark.parametrize("row", range(5))
def test_a_row_is_decoded_wherever_shards_are_cut(tmp_path, row):
    for shards in (1, 2, 3):
        [found] = decode(make_run(tmp_path / f"{shards}", two=shards), "train", row, 1)
        assert (found.columns["id"], found.text) == (f"train-{row}", " ".join(TEXTS["train"][row]))


def test_rows_are_decoded_over_the_border_of_shards_and_found_by_id(packed):
    assert [found.number for found in decode(packed, "train", 1, 3)] == [1, 2, 3]
    assert [found.number for found in decode(packed, "train", 3, 99)] == [3, 4]
    [found] = find(packed, "train-3")
    assert (found.split, found.number, found.sentences) == ("train", 3, ["a a", "a a"])
    assert "not beside it" in found.story["missing"]


def test_what_is_not_there_is_refused(packed):
    with pytest.raises(InputError, match="there is no such row"):
        decode(packed, "train", 5, 1)
    with pytest.raises(InputError, match="there is no such row"):
        decode(packed, "test", 0, 1)
    with pytest.raises(InputError, match="no shard holds this document"):
        find(packed, "absent")


def test_a_row_is_asked_for_by_its_place_or_its_id(packed, capsys):
    assert cli.run(["shards", "decode", str(packed.path)]) == 2
    assert cli.run(["shards", "decode", str(packed.path), "--row", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "a b c"


def test_the_story_of_a_document_is_read_from_the_runs_behind_it(tmp_path):
    out = tmp_path / "runs"
    columns = {name: pa.nulls(3, DOCUMENT_SCHEMA.field(name).type) for name in DOCUMENT_SCHEMA.names}
    columns |= {"id": pa.array(["x", "train-0", "y"]), "licence": pa.array(["A", "CC-BY-4.0", "B"])}
    with runs.start("annotate", out=out, config=Empty(), inputs=[], code=[]) as run:
        (run.path / "documents").mkdir()
        pq.write_table(pa.table(columns), run.path / "documents/part-00000.parquet", row_group_size=1)
        annotated = run.finish()
    with runs.start("decide", out=out, config=Empty(), inputs=[annotated.as_input()], code=[]) as run:
        (run.path / "decisions").mkdir()
        pq.write_table(pa.table({"cluster": [1, 7, 2]}), run.path / "decisions/part-00000.parquet")
        decided = run.finish()
    packed = make_run(out)
    manifest = json.loads((packed.path / "manifest.json").read_text())
    manifest["inputs"] = [decided.as_input().record()]
    (packed.path / "manifest.json").write_text(json.dumps(manifest))
    story = decode(open_run(packed.path), "train", 0, 1)[0].story
    assert (story["licence"], story["cluster"], story["documents"]) == ("CC-BY-4.0", 7, "part-00000.parquet, row 1")
    assert "holds no such document" in decode(open_run(packed.path), "train", 1, 1)[0].story["missing"]


# ---- the formats of others

END = 0
IDS = {split: [[WORDS.index(word) for word in words] for words in rows] for split, rows in TEXTS.items()}


def convert(run, to, out, *options):
    assert cli.run(["shards", "convert", str(run.path), "--to", to, "--out", str(out), *options]) == 0
    return out


@pytest.mark.parametrize("options", [(), ("--no-end",)])
def test_nanogpt_reads_every_id_in_order(packed, tmp_path, options):
    out = convert(packed, "nanogpt", tmp_path / "out", *options)
    for split, name in (("train", "train"), ("validation", "val")):
        read = np.memmap(out / f"{name}.bin", dtype=np.uint16, mode="r")  # as nanoGPT's get_batch opens it
        assert read.tolist() == [n for ids in IDS[split] for n in [*ids, *[END] * (not options)]]
        meta = json.loads((out / f"{name}.meta.json").read_text())
        assert meta == {
            "dtype": "uint16", "tokens": len(read), "vocab_size": 12, "end_of_text": None if options else END,
        }  # fmt: skip


def test_megatrons_index_says_where_documents_lie(packed, tmp_path):
    out = convert(packed, "megatron", tmp_path / "out", "--split", "train")
    assert sorted(path.name for path in out.iterdir()) == ["train_document.bin", "train_document.idx"]
    raw, ids = (out / "train_document.idx").read_bytes(), np.fromfile(out / "train_document.bin", np.uint16)
    assert raw[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, bounds = struct.unpack_from("<QBQQ", raw, 9)
    assert (version, code, sequences, bounds) == (1, 8, 5, 6)
    lengths, places = np.frombuffer(raw, np.int32, 5, 34), np.frombuffer(raw, np.int64, 5, 54)
    assert np.frombuffer(raw, np.int64, 6, 94).tolist() == list(range(6)) and len(raw) == 94 + 48
    read = [ids[place // 2 : place // 2 + length].tolist() for place, length in zip(places, lengths, strict=True)]
    assert read == [[*row, END] for row in IDS["train"]]


def test_megatrons_types_follow_the_vocabulary():
    assert megatron.index_of(np.array([2, 3], np.int32), np.dtype(np.int32))[17] == 4
    assert megatron.index_of(np.zeros(0, np.int32), np.dtype(np.uint16))[17:34] == struct.pack("<BQQ", 8, 0, 1)


def read_mds(folder):
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
            json.loads(raw[4 * (count + 2) : offsets[0]])["column_names"] == shard["column_names"] == ["id", "tokens"]
        )
        assert shard["samples"] == count and offsets[-1] == len(raw)
        for start, stop in itertools.pairwise(offsets):
            name, _ = np.frombuffer(raw, np.uint32, 2, start)
            tokens = np.frombuffer(raw[start + 8 + name : stop], np.uint16)
            found.append((raw[start + 8 : start + 8 + name].decode(), tokens.tolist()))
    return found


@pytest.mark.parametrize("limit", [1 << 26, 250])
def test_mds_shards_hold_a_sample_for_every_document(packed, tmp_path, limit, monkeypatch):
    monkeypatch.setattr(mds, "SIZE_LIMIT", limit)
    out = convert(packed, "mds", tmp_path / "out")
    assert read_mds(out / "train") == [(f"train-{n}", [*row, END]) for n, row in enumerate(IDS["train"])]
    assert len(list((out / "train").glob("*.mds"))) == (1 if limit > 250 else 5)


def test_equal_runs_are_converted_to_equal_bytes(packed, tmp_path):
    for to in ("nanogpt", "megatron", "mds"):
        one, two = (convert(packed, to, tmp_path / f"{to}-{n}") for n in range(2))
        files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
        assert files and all((one / name).read_bytes() == (two / name).read_bytes() for name in files)


def test_a_large_vocabulary_has_wider_ids(tmp_path):
    batches = [documents.Batch(np.array([70_000, 1], np.uint32), np.array([2]), ["a"])]
    nanogpt.write(tmp_path, "train", batches, 1 << 17, None)
    assert np.fromfile(tmp_path / "train.bin", np.uint32).tolist() == [70_000, 1]
    megatron.write(tmp_path, "train", batches, 1 << 17, None)
    assert np.fromfile(tmp_path / "train_document.bin", np.int32).tolist() == [70_000, 1]


def test_a_tokenizer_that_names_no_end_is_said_and_an_absent_split_is_refused(packed, tmp_path):
    (packed.path / "tokenizer/special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": "absent"}}))
    with pytest.raises(ConfigError, match="names no token that ends a text"):
        documents.end_of(packed)
    with pytest.raises(InputError, match="this run has no such split"):
        documents.splits_of(packed, ["test"])


def test_a_cut_shard_is_not_converted(packed, tmp_path):
    change(packed, SHARD, lambda data: data[:-8])
    with pytest.raises(InputError, match="another size"):
        nanogpt.write(tmp_path, "train", documents.batches(packed, "train", 0), 12, 0)
    assert not (tmp_path / "train.bin").exists()


def test_megatrons_own_reader_finds_the_same_documents(packed, tmp_path):
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="megatron-core is not installed")
    out = convert(packed, "megatron", tmp_path / "out")
    read = indexed.IndexedDataset(str(out / "train_document"))
    assert [read[number].tolist() for number in range(len(read))] == [[*row, END] for row in IDS["train"]]
    assert read.document_indices.tolist() == list(range(6))


def test_streamings_own_reader_finds_the_same_documents(packed, tmp_path):
    reader = pytest.importorskip("streaming.base.format.mds.reader", reason="mosaicml-streaming is not installed")
    out = convert(packed, "mds", tmp_path / "out")
    config = json.loads((out / "train/index.json").read_text())["shards"][0]
    shard = reader.MDSReader.from_json(str(out), "train", config)
    found = [(shard[n]["id"], np.frombuffer(shard[n]["tokens"], np.uint16).tolist()) for n in range(len(shard))]
    assert found == [(f"train-{n}", [*row, END]) for n, row in enumerate(IDS["train"])]
