"""Inspecting and decoding shards: what is in them is counted, and rows come back as text with their document's story."""

import json

import pytest

from gristmill import cli
from gristmill.errors import InputError
from gristmill.sealed import open_run
from gristmill.shard_decode import decode, find
from gristmill.shard_table import as_lines, contents
from gristmill.shards import shard_schema, write_shard

SHARD = "train/data-00001-of-00002.arrow"

# ---- what is in them


def test_contents_are_counted_by_split_source_and_language(packed, packs):
    run, found = contents(packed.path)
    train = found[0].record()
    assert (train["documents"], train["tokens"], train["shards"], train["bytes"]) == (5, 11, 2, 22)
    assert train["ids_used"] == 7 and train["tokens_per_document"]["0.5"] == 2
    assert [(group["lang"], group["documents"], group["tokens"]) for group in train["groups"]] == [
        ("zh", 3, 6),
        ("en", 2, 5),
    ]
    lines = as_lines(found, len(packs.words))
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
def test_a_row_is_decoded_wherever_shards_are_cut(tmp_path, row, packs):
    for shards in (1, 2, 3):
        [found] = decode(packs.make(tmp_path / f"{shards}", two=shards), "train", row, 1)
        assert (found.columns["id"], found.text) == (f"train-{row}", " ".join(packs.texts["train"][row]))


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


def behind(packed, decided, **config):
    """The run, as packed from a decide run."""
    path = packed.path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["inputs"] = [decided.as_input().record()]
    manifest["config"] |= config
    path.write_text(json.dumps(manifest))
    return open_run(path.parent)


def test_the_story_of_a_document_is_read_from_the_runs_behind_it(packed, family):
    family.columns["train-0"] = {"licence": "CC-BY-4.0", "capture": {"file": "a.warc.gz", "offset": 77, "item": 3}}
    run = behind(packed, family.make([("x", None), ("train-0", 7), ("y", 7, "train-0", 0.9)]))
    story = decode(run, "train", 0, 1)[0].story
    assert (story["licence"], story["cluster"], story["documents"]) == ("CC-BY-4.0", 1, "part-00000.parquet, row 1")
    assert story["capture"] == {"file": "a.warc.gz", "offset": 77, "item": 3}
    assert "holds no such document" in decode(run, "train", 1, 1)[0].story["missing"]
