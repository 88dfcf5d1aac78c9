"""Hashes: exact values that must never change, canonical JSON, ids that no two documents share."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.hashing import (
    canonical_json,
    digest,
    document_id,
    document_ids,
    key64,
    sha256_bytes,
    sha256_file,
)

texts = st.text(max_size=12)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


ID = "2e2492f1b319f56f2fccb4f8d7cc9483"
KEY, SALTED_KEY = 6857132580295608753, 1561008131251040418
DIGEST = "36a48c6f66125a0f5eddffbd1a727dfce91817023939594ce2ac48cbdbe3e867"


def test_the_ids_and_keys_of_this_version_never_change():
    assert document_id("wikipedia-en", "https://en.wikipedia.org/wiki/Grist", b"grist") == ID
    assert key64("grist") == KEY
    assert key64("grist", salt=1) == SALTED_KEY
    assert digest({"b": 1, "a": [None, "中"]}) == DIGEST


def test_the_sha256_of_a_file_equals_that_of_its_bytes(tmp_path):
    data = bytes(range(256)) * 10_000
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f") == sha256_bytes(data) == hashlib.sha256(data).hexdigest()
    (tmp_path / "empty").write_bytes(b"")
    assert (
        sha256_file(tmp_path / "empty")
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


@given(json_values)
def test_canonical_json_reads_back_equal(value):
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(texts, json_values, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_change_a_digest(table, random):
    shuffled = list(table.items())
    random.shuffle(shuffled)
    assert digest(dict(shuffled)) == digest(table)


@given(json_values, json_values)
def test_different_values_have_different_digests(one, other):
    assert (digest(one) == digest(other)) == (canonical_json(one) == canonical_json(other))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), b"bytes"])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        digest({"value": value})


parts = st.tuples(texts, texts, st.binary(max_size=12))


@given(parts, parts)
def test_two_documents_share_an_id_only_if_all_three_parts_are_equal(one, other):
    assert (document_id(*one) == document_id(*other)) == (one == other)


@given(
    st.text(st.characters(codec="ascii"), min_size=1, max_size=9),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_moving_a_letter_from_one_part_to_the_next_changes_the_id(text, first, second):
    first, second = sorted((min(first, len(text)), min(second, len(text))))
    split = (text[:first], text[first:second], text[second:].encode())
    assert (document_id(*split) == document_id(text, "", b"")) == (split == (text, "", b""))


@given(parts)
def test_an_id_is_32_hex_digits(triple):
    found = document_id(*triple)
    assert len(found) == 32
    assert set(found) <= set("0123456789abcdef")


@given(st.lists(parts, max_size=5))
def test_ids_of_many_documents_are_those_of_each(triples):
    sources, locators = ([triple[i].encode() for triple in triples] for i in (0, 1))
    contents = [
        memoryview(content) if i % 2 else content for i, (_, _, content) in enumerate(triples)
    ]
    assert document_ids(sources, locators, contents) == [document_id(*triple) for triple in triples]


def test_a_lone_surrogate_as_json_can_hold_it_still_has_an_id_and_a_key():
    lone = json.loads('"\\ud800"')
    assert document_id("s", lone, b"") != document_id("s", "?", b"")
    assert key64(lone) != key64("?")
    assert digest([lone]) != digest(["?"])


@given(texts, st.integers(0, 2**64 - 1))
def test_a_key_fits_the_signed_integers_of_beam(text, salt):
    assert 0 <= key64(text, salt=salt) < 2**63


def test_salts_give_independent_keys():
    keys = {key64("same", salt=salt) for salt in range(1000)}
    assert len(keys) == 1000
