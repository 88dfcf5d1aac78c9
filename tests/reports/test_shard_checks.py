"""Verifying shards: every kind of damage is named with its file, and nothing else is."""

import json

import pyarrow as pa
import pytest

from gristmill import cli
from gristmill.corpus.shards import END_OF_STREAM, shard_schema, write_shard
from gristmill.hashing import sha256_bytes
from gristmill.runs.finished import open_run
from reports.shards.checks import faults


def told(run):
    return [(fault.file, fault.what) for fault in faults(open_run(run.path))]


SHARD = "train/data-00001-of-00002.arrow"


def test_shards_as_they_were_sealed_have_no_fault(packed):
    assert told(packed) == []


@pytest.mark.parametrize("cut", [1, 8, 9, 100])
def test_a_cut_shard_is_named(packed, cut, packs):
    packs.change(packed, SHARD, lambda data: data[:-cut])
    assert told(packed) == [(SHARD, "a shard has another size than its manifest says")]


def test_a_shard_cut_at_a_message_boundary_is_named_even_where_the_manifest_fits_it(packed, packs):
    packs.change(packed, SHARD, lambda data: data[: -len(END_OF_STREAM)])
    packs.resealed(packed)
    assert told(packed) == [(SHARD, "a shard is cut off: its end-of-stream marker is missing")]


def test_every_flipped_bit_is_named(packed, packs):
    size = (packed.path / SHARD).stat().st_size
    for place in range(0, size, 37):
        packs.change(
            packed,
            SHARD,
            lambda data, place=place: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
        )
        [(file, _)] = told(packed)
        assert file == SHARD
        packs.change(
            packed,
            SHARD,
            lambda data, place=place: data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :],
        )
    assert told(packed) == []


def test_a_missing_shard_and_several_faults_are_all_named(packed, packs):
    (packed.path / SHARD).unlink()
    (packed.path / "train/notes.txt").write_text("x")
    packs.change(packed, "validation/data-00000-of-00001.arrow", lambda data: b"")
    assert [file for file, _ in told(packed)] == [
        SHARD,
        "train/notes.txt",
        "validation/data-00000-of-00001.arrow",
    ]


def test_another_tokenizer_is_named(packed, packs):
    packs.change(packed, "tokenizer/tokenizer.json", lambda data: data + b" ")
    assert told(packed) == [
        ("tokenizer/tokenizer.json", "it is not the tokenizer that these shards were made with")
    ]
    (packed.path / "tokenizer/tokenizer.json").unlink()
    assert told(packed) == [("tokenizer", "there is no tokenizer")]


def test_shards_of_another_tokenizer_vocabulary_or_number_of_tokens_are_named(packed, packs):
    packs.resealed(packed, tokenizer="0" * 64)
    whats = [what for _, what in told(packed)]
    assert whats.count("it was made with another tokenizer than the run's") == 3
    packs.resealed(packed, tokenizer=sha256_bytes(packs.tokenizer()), vocab_size=3)
    assert [what for _, what in told(packed)] == ["an id is beyond the vocabulary of 3"] * 3
    packs.resealed(packed, vocab_size=1 << 17)
    assert all(
        what.startswith("its columns are not those of a vocabulary of 131072")
        for _, what in told(packed)
    )
    packs.resealed(
        packed,
        vocab_size=len(packs.words),
        splits={
            "train": {"documents": 5, "tokens": 12},
            "validation": {"documents": 1, "tokens": 2},
        },
    )
    assert told(packed) == [("train", "its shards hold 11 tokens, and the manifest says 12")]


@pytest.mark.parametrize("starts", [[[0, 9]], [[1]], [[0, 2, 2]], [[]], [[0, 2, 1]]])
def test_sentences_that_are_none_are_named(packed, starts, packs):
    path = packed.path / "validation/data-00000-of-00001.arrow"
    schema = shard_schema(
        len(packs.words), {"gristmill.tokenizer": sha256_bytes(packs.tokenizer())}
    )
    columns = [[[1, 2, 3]], starts, ["v"], ["s"], ["en"], [3]]
    path.unlink()
    batch = pa.record_batch(
        [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
    )
    write_shard(path, [batch], schema)
    packs.resealed(packed)
    assert told(packed)[0] == (
        "validation/data-00000-of-00001.arrow",
        "a sentence does not start inside its document, or before the one in front of it",
    )


def rewritten(run, packs, columns, *, schema=None):
    """The run with other rows in its shard of validation, and a manifest that fits it."""
    path = run.path / HELD_OUT
    path.unlink()
    schema = schema or shard_schema(
        len(packs.words), {"gristmill.tokenizer": sha256_bytes(packs.tokenizer())}
    )
    arrays = [
        c if isinstance(c, pa.Array) else pa.array(c, f.type)
        for c, f in zip(columns, schema, strict=True)
    ]
    write_shard(path, [pa.RecordBatch.from_arrays(arrays, schema=schema)], schema)
    packs.resealed(run, rows={HELD_OUT: len(arrays[0])})


HELD_OUT = "validation/data-00000-of-00001.arrow"


def test_a_shard_with_a_missing_value_is_named(packed, packs):
    rewritten(packed, packs, [[[2, 3]], [[0]], pa.array([None], pa.string()), ["s"], ["en"], [3]])
    assert told(packed) == [(HELD_OUT, "a value is missing: no column of a shard may have nulls")]


@pytest.mark.parametrize(
    ("offsets", "values"),
    [([0, 3, 1, 3], [1, 2, 3]), ([0, 2, 9, 3], [1, 2, 3])],
    ids=["descending", "beyond"],
)
def test_offsets_that_do_not_ascend_are_named_and_read_no_foreign_memory(
    packed, packs, offsets, values
):
    ids = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.uint16()))
    rewritten(packed, packs, [ids, [[0]] * 3, ["a", "b", "c"], ["s"] * 3, ["en"] * 3, [3] * 3])
    [(file, what)] = told(packed)
    assert file == HELD_OUT and what.startswith("its columns are not valid Arrow: ")


def test_an_id_that_is_not_utf_8_is_named(packed, packs):
    raw = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    rewritten(packed, packs, [[[2, 3]], [[0]], raw, ["s"], ["en"], [3]])
    [(file, what)] = told(packed)
    assert file == HELD_OUT and what.startswith("its columns are not valid Arrow: ")


def test_ids_wider_than_the_vocabulary_asks_for_are_named(packed, packs):
    schema = shard_schema(1 << 17, {"gristmill.tokenizer": sha256_bytes(packs.tokenizer())})
    rewritten(packed, packs, [[[2, 3]], [[0]], ["v"], ["s"], ["en"], [3]], schema=schema)
    [(file, what)] = told(packed)
    assert file == HELD_OUT and "uint32" in what


def test_another_number_of_documents_and_of_tokens_are_two_faults(packed, packs):
    packs.resealed(
        packed,
        splits={
            "train": {"documents": 6, "tokens": 12},
            "validation": {"documents": 1, "tokens": 2},
        },
    )
    assert told(packed) == [
        ("train", "its shards hold 5 documents, and the manifest says 6"),
        ("train", "its shards hold 11 tokens, and the manifest says 12"),
    ]


def test_a_split_that_the_manifest_tells_of_and_no_shard_holds_is_named(packed, packs):
    packs.resealed(packed, splits={"train": {"documents": 5, "tokens": 11}})
    assert told(packed) == [
        ("validation", "its shards hold 1 documents, and the manifest says 0"),
        ("validation", "its shards hold 2 tokens, and the manifest says 0"),
    ]


def test_the_files_that_datasets_opens_a_split_by_are_looked_at(packed, packs):
    (packed.path / "train/dataset_info.json").unlink()
    packs.change(packed, "train/state.json", lambda data: data.replace(b"0" * 16, b"1" * 16))
    packs.change(packed, "validation/dataset_info.json", lambda data: b'{"a": 1}')
    differs = "its content is not what was sealed: the SHA-256 differs"
    assert told(packed) == [
        ("train/dataset_info.json", "there is no such file"),
        ("train/state.json", differs),
        ("validation/dataset_info.json", differs),
    ]


def test_the_file_that_datasets_opens_a_run_by_is_looked_at(packed):
    (packed.path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert told(packed) == [
        ("dataset_dict.json", "its content is not what was sealed: the SHA-256 differs")
    ]
    (packed.path / "dataset_dict.json").unlink()
    assert told(packed) == [("dataset_dict.json", "there is no such file")]


def test_what_was_left_in_the_folder_of_a_split_without_shards_is_foreign(packed):
    (packed.path / "test/older").mkdir(parents=True)
    (packed.path / "test/state.json").write_text("{}")
    assert told(packed) == [
        ("test/older", "it is no file of this run"),
        ("test/state.json", "it is no file of this run"),
    ]


def test_the_files_beside_a_tokenizer_are_looked_at_too(packed, packs):
    packs.change(
        packed, "tokenizer/special_tokens_map.json", lambda data: data.replace(b"</s>", b"a")
    )
    assert told(packed) == [
        (
            "tokenizer/special_tokens_map.json",
            "its content is not what was sealed: the SHA-256 differs",
        )
    ]


def test_every_fault_says_what_to_do(packed):
    (packed.path / SHARD).unlink()
    (packed.path / "train/notes.txt").write_text("x")
    fixes = {fault.file: fault.fix for fault in faults(open_run(packed.path))}
    assert "pack again" in fixes[SHARD] and fixes["train/notes.txt"].startswith("remove it")


def test_verify_hears_of_every_byte_it_looks_at(packed):
    heard = []
    assert list(faults(open_run(packed.path), heard.append)) == []
    assert sum(heard) == sum(path.stat().st_size for path in packed.path.rglob("*.arrow"))


def test_a_state_file_that_names_other_files_is_named(packed):
    (packed.path / "train/state.json").write_text(
        json.dumps({"_data_files": [{"filename": "x.arrow"}]})
    )
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
