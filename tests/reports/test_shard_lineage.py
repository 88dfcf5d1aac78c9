"""The story of documents in shards: read from the runs behind, with how the text differs from the original."""

import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill import cli
from gristmill.runs.finished import ancestors, open_run
from reports.shards.decode import as_lines, decode, edit_rows, find
from reports.shards.lineage import SHOWN, edits_of, first_difference, places_of


def behind(packed, decided, **config):
    """The run, as packed from a decide run."""
    path = packed.path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["inputs"] = [decided.as_input().record()]
    manifest["config"] |= config
    path.write_text(json.dumps(manifest))
    return open_run(path.parent)


def test_the_story_of_a_document_is_read_from_the_runs_behind_it(packed, family):
    family.columns["train-0"] = {
        "licence": "CC-BY-4.0",
        "capture": {"file": "a.warc.gz", "offset": 77, "item": 3},
    }
    run = behind(packed, family.make([("x", None), ("train-0", 7), ("y", 7, "train-0", 0.9)]))
    story = decode(run, "train", 0, 1)[0].story
    folder = next(one.path.name for one in ancestors(run) if one.step == "annotate")
    assert (story["licence"], story["cluster"], story["documents"]) == (
        "CC-BY-4.0",
        1,
        f"{folder}/documents/part-00000.parquet, row 1",
    )
    assert story["capture"] == {"file": "a.warc.gz", "offset": 77, "item": 3}
    assert "holds no such document" in decode(run, "train", 1, 1)[0].story["missing"]


def test_where_parents_are_absent_rows_are_decoded_all_the_same(packed, capsys):
    [row] = decode(packed, "train", 2, 1)
    assert (row.text, row.story) == (
        "e f",
        {"missing": "the runs that this one was made from are not beside it"},
    )
    assert cli.run(["shards", "decode", str(packed.path), "--row", "2"]) == 0
    assert (
        "missing  the runs that this one was made from are not beside it" in capsys.readouterr().out
    )


def test_a_parent_that_was_redone_since_is_said_and_the_row_decoded(packed, family):
    decided = family.make([("train-0", None)])
    run = behind(packed, decided)
    (decided.path / "manifest.json").write_text((decided.path / "manifest.json").read_text() + "\n")
    [row] = decode(run, "train", 0, 1)
    assert row.text == "a b c" and "has been redone since" in row.story["missing"]


def test_of_one_record_read_twice_the_story_is_that_of_the_kept_one(packed, family):
    documents = [
        ("train-0", 1, "train-0", 1.0, "exact_duplicate"),
        ("x", None),
        ("train-0", 1),
        ("train-0", 1),
    ]
    story = decode(behind(packed, family.make(documents, shards=2)), "train", 0, 1)[0].story
    assert story["documents"].endswith(
        "/documents/part-00000.parquet, row 1"
    )  # documents 0 and 2 lie in the first shard
    every = [("train-0", 1, "y", 1.0), ("x", None), ("train-0", 1, "y", 1.0)]
    packed.path.joinpath("manifest.json").write_text(json.dumps(dict(packed.manifest)))
    story = decode(behind(packed, family.make(every)), "train", 0, 1)[0].story
    assert story["documents"].endswith("/documents/part-00000.parquet, row 0")


def test_many_rows_are_looked_for_in_one_pass(packed, family, monkeypatch):
    run = behind(packed, family.make([(f"train-{n}", None) for n in range(5)], shards=2))
    read = []
    batches = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile, "iter_batches", lambda self, **k: read.append(k) or batches(self, **k)
    )
    found = decode(run, "train", 0, 5)
    assert [row.story["documents"].rpartition("/")[2] for row in found] == [
        f"part-{n % 2:05d}.parquet, row {n // 2}" for n in range(5)
    ]
    assert read == [{"columns": ["id"]}] * 2


def test_looking_ends_with_the_file_in_which_everything_was_found(packed, family, monkeypatch):
    decided = family.make([(f"train-{n}", None) for n in range(4)], shards=4)
    annotated = open_run(family.out / decided.manifest["inputs"][0]["name"])
    (annotated.path / "documents/part-00002.parquet").write_bytes(
        b""
    )  # would be refused if it were opened
    with pytest.raises(Exception, match="missing or cut"):
        places_of(annotated, decided, {"train-0", "absent"})
    for name in ("part-00002.parquet", "part-00003.parquet"):
        (annotated.path / "documents" / name).write_bytes(b"")
    manifest = dict(annotated.manifest)
    manifest["files"] = [
        f for f in manifest["files"] if not f["path"].endswith(("2.parquet", "3.parquet"))
    ]
    (annotated.path / "manifest.json").write_text(json.dumps(manifest))
    assert set(places_of(open_run(annotated.path), decided, {"train-0"})) == {"train-0"}


# ---- how a text differs from the original


def changed(family, packed, text, *, cuts=(), personal=(), mask=True):
    """The story of train-0 ("a b c" in the shard), made from `text`."""
    family.columns["train-0"] = {"text": text, "personal": list(personal)}
    family.decided["train-0"] = {"cuts": list(cuts)}
    run = behind(packed, family.make([("x", None), ("train-0", None)]), mask_personal=mask)
    return find(run, "train-0")[0]


def test_a_text_that_was_packed_as_it_was_is_equal(packed, family):
    row = changed(family, packed, "a b c")
    assert (row.story["differs"], row.story["cuts"], row.story["masked"]) == (None, [], [])
    lines = as_lines(row)
    assert "  text       as it was extracted" in lines
    assert [line for line in lines if line.startswith("  decision")] == [
        "  decision   kept, to be written 2 times (decide.upweight)"
    ]


def test_cuts_are_told_with_what_was_cut(packed, family):
    row = changed(
        family,
        packed,
        "a b" + " again" * 20 + " c",
        cuts=[{"start": 3, "end": 123, "reason": "line"}],
    )
    assert row.story["cuts"] == [
        {"start": 3, "end": 123, "reason": "line", "text": ("again " * 20)[:SHOWN] + "…"}
    ]
    assert edit_rows(row.story)[1] == ("text", "as it was extracted but for what is cut and masked")
    assert edit_rows(row.story)[0][1].startswith("bytes 3 to 123, line: again again")


def test_personal_data_is_told_by_type_and_place_and_never_shown(packed, family, capsys):
    text = "a b <secret@x.org> c"
    span = {"start": 5, "end": 17, "type": "email"}
    row = changed(
        family, packed, text, cuts=[{"start": 3, "end": 18, "reason": "line"}], personal=[span]
    )
    lines = "\n".join(as_lines(row)) + json.dumps(row.story)
    assert "secret" not in lines and "bytes 5 to 17, email" in lines
    assert "(it holds personal data)" in lines
    assert row.story["differs"] is None


def test_what_was_not_masked_is_not_told_as_masked(packed, family):
    span = {"start": 0, "end": 1, "type": "ip"}
    row = changed(family, packed, "a b c", personal=[span], mask=False)
    assert (row.story["masked"], row.story["differs"]) == ([], None)


def test_a_text_that_the_tokenizer_changed_is_told_with_its_first_character(packed, family):
    row = changed(family, packed, "a B c")
    assert row.story["differs"] == 2
    assert edit_rows(row.story) == [
        ("text", "differs from character 2 on, as its tokenizer normalizes or lacks pieces")
    ]


@pytest.mark.parametrize(
    ("original", "edits", "text", "differs"),
    [
        ("abc", [], "abc", None),
        (" abc\n", [], "abc", None),
        ("abc", [], "ab", 2),
        ("ab", [], "abc", 2),
        ("abc", [], "", 0),
        ("a@b c", [(0, 3, True)], "<EMAIL> c", None),
        (" a@b ", [(1, 4, True)], "<EMAIL>", None),
        ("a@b c", [(0, 3, True)], "a@b c", 0),
        ("a@b c", [(0, 3, True)], "<EMAIL", 0),
        ("a@b c", [(0, 3, True)], "<E MAIL> c", 0),
        ("中文字", [(3, 6, False)], "中字", None),
        ("中文字", [(3, 6, False)], "中文字", 1),
        ("x  cut", [(3, 6, False)], "x", None),
        ("", [], "", None),
    ],
)
def test_the_first_difference_is_counted_in_characters_of_the_packed_text(
    original, edits, text, differs
):
    assert first_difference(original.encode(), edits, text) == differs


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_difference_is_where_the_texts_are_first_unlike(one, other):
    found, (a, b) = first_difference(one.encode(errors="replace"), [], other), (one, other)
    a, b = one.encode(errors="replace").decode().strip(), other.strip()
    if found is None:
        assert a == b
    else:
        assert a[:found] == b[:found] and a[found : found + 1] != b[found : found + 1]


def test_edits_that_overlap_are_done_once():
    cuts, masked = (
        [{"start": 2, "end": 5}, {"start": 3, "end": 4}],
        [{"start": 4, "end": 8}, {"start": 2, "end": 5}],
    )
    assert edits_of(cuts, masked) == [(2, 5, False), (5, 8, True)]
