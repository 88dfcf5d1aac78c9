"""The second model of languages: py3langid's own answers, from its own file, without its loop."""

import gzip
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from pipelines.annotate.kernels.langid import has_letters
from pipelines.annotate.kernels.token_classes import ALPHA, build_flag_table
from pipelines.annotate.signals.language import _load_second_model, classify_with_langid
from pipelines.kernels.buffers import get_text_buffers


@pytest.fixture(scope="module")
def peer():
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def ours(texts):
    model = _load_second_model()
    found, probability = classify_with_langid(texts, model)
    return list(zip(model.labels[found], probability.tolist(), strict=True))


def agrees(mine, theirs, rank):
    """Equal label and probability; or, at a tie to the fifth digit, a label that shares the first place."""
    close = math.isclose(mine[1], theirs[1], rel_tol=1e-4, abs_tol=1e-6)
    return close and (mine[0] == theirs[0] or abs(dict(rank)[mine[0]] - theirs[1]) < 1e-5)


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
@example(text="")
@example(text=" ")
@example(text="THE OLD MILL STOOD BESIDE THE RIVER")
@example(text="e\u0301te\u0301 a\u0300 la mer")
@example(text="\x00\x00\x7f")
@example(text="ДА " * 40)
def test_any_text_gets_the_peers_answer(text, peer):
    assert agrees(ours([text])[0], peer.classify(text), peer.rank(text))


def test_real_sentences_get_the_peers_answers_in_one_batch(shared_data, peer):
    raw = gzip.decompress(
        (shared_data / "langid" / "lingua_sentences.tsv.gz").read_bytes()
    ).decode()
    texts = [line.split("\t")[1] for line in raw.splitlines()[::37]]
    answers = ours(texts)
    assert len(texts) > 400
    assert [label for label, _ in answers] == [peer.classify(text)[0] for text in texts]
    assert all(
        math.isclose(p, peer.classify(text)[1], rel_tol=1e-4)
        for (_, p), text in zip(answers, texts, strict=True)
    )


def test_an_answer_does_not_depend_on_what_else_is_in_the_batch():
    texts = ["Die alte Mühle", "", "古い水車小屋", "x" * 5000, "Die alte Mühle"]
    together = ours(texts)
    assert together == [ours([text])[0] for text in texts]
    assert together[0] == together[4]


def test_no_texts_have_no_answers():
    assert ours([]) == []


def letters_seen(texts, most, fewest):
    data, offsets = get_text_buffers(pa.array(texts, pa.string()))
    found = np.empty(len(texts), np.bool_)
    has_letters(data, offsets.astype(np.int64), most, fewest, build_flag_table(), ALPHA, found)
    return found.tolist()


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(st.text(st.sampled_from("a1 é中\n\u0301😀ß१"), max_size=12), max_size=4),
    most=st.integers(0, 8),
    fewest=st.integers(1, 4),
)
def test_letters_are_counted_among_the_first_characters_as_str_counts_them(texts, most, fewest):
    assert letters_seen(texts, most, fewest) == [
        sum(map(str.isalpha, text[:most])) >= fewest for text in texts
    ]


def test_a_letter_behind_the_last_character_looked_at_does_not_count():
    assert letters_seen(["....ab", "...ab"], 5, 2) == [False, True]
