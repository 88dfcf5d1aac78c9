"""Receipts: a split counts as done only if its receipt is whole, balanced, its own, and its files are there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.runs import receipts, storage
from gristmill.runs.ledger import Entry, Unbalanced
from gristmill.runs.receipts import DataFile, Receipt, describe_file

KEPT = Entry("wiki", "en", "kept", "", 2, 20)


def split_done(folder, split, *, stage="annotate", content=b"data"):
    """Write one split's file and its receipt, as a worker does."""
    path = f"documents/part-{split:05d}.parquet"
    storage.commit_bytes(folder / path, content)
    receipt = Receipt(
        stage, split, 2, (KEPT,), (describe_file(folder, path, rows=2),), {"seen": ["中"]}
    )
    receipts.commit_receipt(folder, receipt)
    return receipt


def test_a_file_is_described_by_its_path_size_hash_and_rows(tmp_path):
    storage.commit_bytes(tmp_path / "a" / "b", b"abc")
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert describe_file(tmp_path, "a/b", rows=3) == DataFile("a/b", 3, sha, 3)
    assert describe_file(tmp_path, "a/b").rows == -1


def test_a_receipt_reads_back_equal(tmp_path):
    receipt = split_done(tmp_path, 7)
    assert receipts.read_receipt(tmp_path, "annotate", 7) == receipt
    assert receipts.load_receipts(tmp_path, "annotate") == {7: receipt}


texts = st.text(st.characters(codec="utf-8"), max_size=8)
entries = st.lists(
    st.builds(
        Entry,
        texts,
        texts,
        st.just("dropped"),
        texts.filter(bool),
        st.integers(0, 2**40),
        st.integers(0, 2**60),
    ),
    max_size=4,
).map(tuple)


@given(
    entries,
    st.integers(0, 10**7),
    st.dictionaries(texts, st.integers() | texts | st.none(), max_size=3),
)
def test_any_receipt_reads_back_equal(tmp_path_factory, found, split, details):
    folder = tmp_path_factory.mktemp("run")
    receipt = Receipt("s", split, sum(entry.documents for entry in found), found, (), details)
    receipts.commit_receipt(folder, receipt)
    assert receipts.read_receipt(folder, "s", split) == receipt


def test_receipts_come_in_the_order_of_their_splits_even_beyond_five_digits(tmp_path):
    for split in (100_000, 2, 10, 99_999):
        receipts.commit_receipt(tmp_path, Receipt("s", split, 0))
    assert list(receipts.load_receipts(tmp_path, "s")) == [2, 10, 99_999, 100_000]


def test_stages_are_apart(tmp_path):
    split_done(tmp_path, 0, stage="annotate")
    assert receipts.load_receipts(tmp_path, "decide") == {}
    assert receipts.read_receipt(tmp_path, "decide", 0) is None
    assert (receipts.count(tmp_path, "annotate"), receipts.count(tmp_path, "decide")) == (1, 0)


def test_a_receipt_that_does_not_balance_cannot_be_made():
    with pytest.raises(Unbalanced, match="annotate, split 3: read 5 records, but 2 have a fate"):
        Receipt("annotate", 3, 5, (KEPT,))


def test_a_stage_without_a_ledger_may_read_without_entries():
    assert Receipt("signatures", 0, 5).read == 5


def garble(tmp_path, content):
    """A finished split whose receipt then holds `content`."""
    split_done(tmp_path, 0)
    (tmp_path / receipts.receipt_name("annotate", 0)).write_bytes(content)


WHOLE = {"stage": "annotate", "split": 0, "read": 0, "entries": [], "files": [], "details": {}}
GARBLED = {
    "empty": b"",
    "cut": json.dumps(WHOLE).encode()[:40],
    "zeros": b"\0" * 100,
    "no utf-8": b"\xff\xfe",
    "a list": b"[]",
    "a number": b"3",
    "null": b"null",
    "a missing key": json.dumps({k: v for k, v in WHOLE.items() if k != "files"}).encode(),
    "an unknown field": json.dumps({**WHOLE, "files": [{"path": "a", "weight": 3}]}).encode(),
    "an impossible fate": json.dumps(
        {
            **WHOLE,
            "entries": [
                {
                    "source": "s",
                    "lang": "l",
                    "fate": "lost",
                    "reason": "r",
                    "documents": 0,
                    "bytes": 0,
                }
            ],
        }
    ).encode(),
    "no balance": json.dumps(
        {
            **WHOLE,
            "read": 9,
            "entries": [
                {
                    "source": "s",
                    "lang": "l",
                    "fate": "kept",
                    "reason": "",
                    "documents": 1,
                    "bytes": 0,
                }
            ],
        }
    ).encode(),
    "another split": json.dumps({**WHOLE, "split": 5}).encode(),
    "another stage": json.dumps({**WHOLE, "stage": "decide"}).encode(),
}


@pytest.mark.parametrize("content", GARBLED.values(), ids=GARBLED.keys())
def test_a_garbled_receipt_is_ignored_and_its_split_is_done_again(tmp_path, content):
    garble(tmp_path, content)
    assert receipts.read_receipt(tmp_path, "annotate", 0) is None
    assert receipts.load_receipts(tmp_path, "annotate") == {}
    again = split_done(tmp_path, 0)
    assert receipts.load_receipts(tmp_path, "annotate") == {0: again}


@given(st.integers(0, 400), st.binary(max_size=6))
def test_a_receipt_cut_anywhere_is_never_half_believed(tmp_path_factory, length, tail):
    folder = tmp_path_factory.mktemp("run")
    receipt = split_done(folder, 0)
    path = folder / receipts.receipt_name("annotate", 0)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(length, len(whole) - 2)] + tail)
    assert receipts.read_receipt(folder, "annotate", 0) in (None, receipt)


def test_a_receipt_whose_file_was_cut_is_not_valid(tmp_path):
    split_done(tmp_path, 0)
    (tmp_path / "documents/part-00000.parquet").write_bytes(b"dat")
    assert receipts.read_receipt(tmp_path, "annotate", 0) is None
    assert receipts.load_receipts(tmp_path, "annotate") == {}


def test_a_receipt_whose_file_is_gone_or_a_folder_is_not_valid(tmp_path):
    split_done(tmp_path, 0)
    (tmp_path / "documents/part-00000.parquet").unlink()
    assert receipts.read_receipt(tmp_path, "annotate", 0) is None
    (tmp_path / "documents/part-00000.parquet").mkdir()
    assert receipts.load_receipts(tmp_path, "annotate") == {}


def test_an_unfinished_receipt_is_neither_read_nor_counted(tmp_path):
    split_done(tmp_path, 0)
    place = tmp_path / receipts.receipt_name("annotate", 0)
    (place.parent / ".part-0123456789ab-00001.json").write_bytes(place.read_bytes())
    assert list(receipts.load_receipts(tmp_path, "annotate")) == [0]
    assert receipts.count(tmp_path, "annotate") == 1


def test_the_receipt_of_a_split_done_twice_counts_once(tmp_path):
    split_done(tmp_path, 0)
    again = split_done(tmp_path, 0, content=b"again")
    assert receipts.load_receipts(tmp_path, "annotate") == {0: again}
    assert receipts.count(tmp_path, "annotate") == 1


def test_a_receipt_with_details_that_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises((TypeError, ValueError)):
        receipts.commit_receipt(tmp_path, Receipt("s", 0, 0, details={"share": float("nan")}))
    assert receipts.load_receipts(tmp_path, "s") == {}
