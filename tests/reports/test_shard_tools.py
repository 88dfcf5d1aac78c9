"""Inspecting and decoding shards: what is in them is counted, and rows come back as text with their document's story."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill import cli
from gristmill.corpus.shards import shard_schema, write_shard
from gristmill.errors import InputError
from gristmill.hashing import sha256_bytes
from reports.shards.decode import decode, find
from reports.shards.inspect import as_lines, content_of, contents

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
    assert (train["ids_never_used"], found[0].record(len(packs.words))["ids_never_used"]) == (
        None,
        5,
    )
    assert train["metadata"] == {
        "gristmill.format": "shards/1",
        "gristmill.tokenizer": sha256_bytes(packs.tokenizer()),
        "input_ids": "uint16",
    }
    assert run is not None and contents(packed.path / SHARD)[1][0].record()["documents"] == 3


def test_contents_are_told_as_a_table(packed, packs):
    _, found = contents(packed.path)
    assert as_lines(found, len(packs.words)) == [
        "gristmill.format     shards/1",
        f"gristmill.tokenizer  {sha256_bytes(packs.tokenizer())}",
        "input_ids            uint16",
        "ids used             7 of 12 | 5 never",
        "",
        "train  5 documents, 11 tokens in 2 shards | 2.00 bytes a token | 7 ids used",
        "  tokens a document  least 1  10% 1  median 2  90% 3  most 4",
        "  source  lang  documents  tokens  share",
        "  wiki    zh            3       6  54.5%",
        "  wiki    en            2       5  45.5%",
        "",
        "validation  1 documents, 2 tokens in 1 shards | 2.00 bytes a token | 2 ids used",
        "  tokens a document  least 2  10% 2  median 2  90% 2  most 2",
        "  source  lang  documents  tokens   share",
        "  wiki    zh            1       2  100.0%",
    ]


def test_inspect_prints_a_run_and_a_file(packed, capsys):
    assert cli.run(["shards", "inspect", str(packed.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(part["split"], part["tokens"], part["ids_never_used"]) for part in told] == [
        ("train", 11, 5),
        ("validation", 2, 10),
    ]
    assert [group["share"] for group in told[0]["groups"]] == [0.545455, 0.454545]
    assert cli.run(["shards", "inspect", str(packed.path / SHARD)]) == 0
    assert "ids used             4\n" in capsys.readouterr().out
    assert cli.run(["shards", "inspect", str(packed.path / "absent")]) == 2


def test_a_cut_shard_is_not_counted_as_a_shorter_one(packed, packs, capsys):
    packs.change(packed, SHARD, lambda data: data[:-8])
    assert cli.run(["shards", "inspect", str(packed.path / SHARD)]) == 2
    assert "end-of-stream marker is missing" in capsys.readouterr().err


rows_of_ids = st.lists(
    st.tuples(st.lists(st.integers(0, 40), max_size=5), st.sampled_from("ab")), max_size=12
)


@given(rows_of_ids, st.integers(1, 4))
def test_sums_are_those_of_any_rows_in_any_batches_and_shards(rows, size):
    schema = shard_schema(50, {})
    with tempfile.TemporaryDirectory() as name:
        paths = []
        for number in range(0, len(rows), size):
            part = rows[number : number + size]
            columns = [
                [ids for ids, _ in part],
                [[0]] * len(part),
                ["x"] * len(part),
                [s for _, s in part],
            ]
            columns += [["en"] * len(part), [len(ids) for ids, _ in part]]
            batch = pa.record_batch(
                [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
            )
            paths.append(Path(name) / f"{number}.arrow")
            write_shard(paths[-1], [batch], schema)
        found = content_of("x", paths)
    assert found.lengths.tolist() == [len(ids) for ids, _ in rows]
    assert {n: c for n, c in enumerate(found.used.tolist()) if c} == Counter(
        n for ids, _ in rows for n in ids
    )
    for source in {source for _, source in rows}:
        of = [len(ids) for ids, other in rows if other == source]
        assert found.groups[source, "en"] == (len(of), sum(of), sum(of))


def test_an_empty_shard_is_inspected_too(tmp_path):
    write_shard(tmp_path / "none.arrow", [], shard_schema(10, {}))
    [found] = contents(tmp_path / "none.arrow")[1]
    assert found.record()["tokens"] == 0 and as_lines([found], None)[4].startswith(
        "none.arrow  0 documents"
    )


# ---- rows as text


@pytest.mark.parametrize("row", range(5))
def test_a_row_is_decoded_wherever_shards_are_cut(tmp_path, row, packs):
    for shards in (1, 2, 3):
        [found] = decode(packs.make(tmp_path / f"{shards}", two=shards), "train", row, 1)
        assert (found.columns["id"], found.text) == (
            f"train-{row}",
            " ".join(packs.texts["train"][row]),
        )


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
