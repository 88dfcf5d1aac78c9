"""Columns of perplexity: by hand and by an obvious reader of ARPA files, cc_net's normalization step by step, errors with a way out."""

import base64
import json
import random
import re
import sys
import unicodedata
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill import cli
from gristmill.config import load
from gristmill.errors import ConfigError, InputError, MissingExtra
from gristmill.runs.finished import find_latest
from pipelines.annotate.config import AnnotateConfig
from pipelines.annotate.extract.normalize import normalize
from pipelines.annotate.signals.chosen import load_custom_columns
from pipelines.annotate.signals.perplexity import WRITTEN, normalize_text

ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>
0\t<s>\t-0.3
-0.7\t</s>
-0.5\tmill\t-0.2
-0.6\tthe\t-0.25

\\2-grams:
-0.1\t<s> the
-0.2\tthe mill
-0.3\tmill </s>

\\end\\
"""
BINARIES = {  # what KenLM's build_binary makes of ARPA: zlib, base 85
    "probing": "c-qU&O)OBz$yLZGDJihh*U!#KO-##7%}LQq&d=3P&QD2INXswEO)OC;OD!tS%+FIW<zhg9274f}pAks>2Lg}?BUFY7OdhaD7Gs6d%nYa"
    "iBwkRbxYx3+6s&f`juX3nNGCC(tJ7ZeRBDa7^%52!n=9x0$J*it*-Q-hK*N3z0b<RXIdh+}v9UdrZ-4fT&%RkRC4u~geK6H)dT)y`C#J0d$swB}<>I;ih3"
    "EmMvuDoi6+7?sd0kDG1jsy_(!6Xt2Ag6a)&~-~nK?NOB^jv<0J-Z;2L",
    "trie": "c-qU&O)OBz$yLZGDJihh*U!#KO-##7%}LQq&d=3P&QD2INXswEO)OC;OD!tS%+FIW<zhg9274f}pAks>2Lg}?BUFY7Odhajf{KAKD^!jd$pjWCT~"
    "MdE*RrjYVZ)9SyM9O~F>>X6|5#i6AX|IUQ>iuT)=QA=+z%p<j9{2GbLKuI?*6l9eBgXzV`H#-Mz~r@AirTB69Xz>X21?|($YS88XI4po|g7Z4q3vcG%wqZ"
    "!KT=bAvZH8hrvc4$STQ5WdHzsH$lh",
}


def column(**settings):
    (found,) = load_custom_columns(
        AnnotateConfig.model_validate({"perplexity": {"surprise": settings}})
    )
    return found


def batch(*texts):
    return pa.record_batch(
        {"id": ["0" * 32] * len(texts), "text": list(texts), "lang": ["en"] * len(texts)}
    )


def answers(found, *texts):
    return found.column(batch(*texts)).to_pylist()


@pytest.fixture
def arpa(tmp_path):
    (tmp_path / "m.arpa").write_text(ARPA)
    return str(tmp_path / "m.arpa")


def read_arpa(text):
    """log10 probability and weight of backing off of every n-gram."""
    found = {}
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) > 1:
            found[tuple(parts[1].split(" "))] = (
                float(parts[0]),
                float(parts[2]) if len(parts) > 2 else 0.0,
            )
    return found


def log10_of(grams, order, sentence):
    """log10 probability of a sentence and its end: the longest n-gram there is, and a weight for every word given up."""
    words = ["<s>", *(word if (word,) in grams else "<unk>" for word in sentence), "</s>"]
    total = 0.0
    for end in range(1, len(words)):
        start = max(0, end - order + 1)
        while tuple(words[start : end + 1]) not in grams:
            total += grams.get(tuple(words[start:end]), (0, 0.0))[1]
            start += 1
        total += grams[tuple(words[start : end + 1])][0]
    return total


def reference(grams, order, sentences):
    """Perplexity of sentences given as lists of tokens."""
    full = [sentence for sentence in sentences if sentence]
    if not full:
        return 0.0
    return 10 ** (
        -sum(log10_of(grams, order, each) for each in full) / sum(len(each) + 1 for each in full)
    )


def random_arpa(seed, vocabulary, order=3):
    """A model with n-grams of a seed; whatever stands in a longer n-gram begins and ends as a shorter one there is."""
    rng = random.Random(seed)
    levels = [[("<unk>",), ("<s>",), ("</s>",), *((word,) for word in vocabulary)]]
    for _ in range(order - 1):
        known = set(levels[-1])
        ends = [gram for gram in levels[0] if gram[0] not in ("<s>", "<unk>")]
        longer = {
            gram + end
            for gram in levels[-1]
            for end in ends
            if gram[-1] != "</s>" and rng.random() < 0.4
        }
        levels.append(sorted(gram for gram in longer if gram[1:] in known))
    lines = ["\\data\\", *(f"ngram {n}={len(grams)}" for n, grams in enumerate(levels, 1)), ""]
    for n, grams in enumerate(levels, 1):
        lines.append(f"\\{n}-grams:")
        for gram in grams:
            weight = f"\t{-rng.random():.4f}" if n < order and gram[-1] != "</s>" else ""
            lines.append(f"{-3 * rng.random() - 0.01:.4f}\t{' '.join(gram)}{weight}")
        lines.append("")
    return "\n".join([*lines, "\\end\\", ""])


def test_a_perplexity_is_the_one_reckoned_by_hand(arpa):
    """`the mill`: <s> the -0.1, the mill -0.2, mill </s> -0.3; `old`: back off from <s> -0.3, <unk> -1.0, </s> -0.7."""
    found = column(model=arpa)
    one, two = 10 ** (0.6 / 3), 10 ** (2.0 / 2)
    assert answers(found, "the mill", "old") == pytest.approx([one, two], rel=1e-6)
    assert answers(found, "the mill\nold") == pytest.approx([10 ** ((0.6 + 2.0) / 5)], rel=1e-6)


def test_lines_without_a_token_are_no_sentences_and_a_text_without_any_has_0(arpa):
    found = column(model=arpa)
    assert answers(found, "the mill\n\nold", "", " \n\t\n", "\x01") == [
        *answers(found, "the mill\nold"),
        0,
        0,
        0,
    ]


def test_a_whole_document_may_be_one_sentence_whose_line_breaks_cc_net_takes_out(arpa):
    assert answers(column(model=arpa, sentences="document"), "the\nmill") == answers(
        column(model=arpa), "themill"
    )
    plain = {"model": arpa, "normalize": "none"}
    assert answers(column(**plain, sentences="document"), "the\nmill") == answers(
        column(**plain), "the mill"
    )


def test_text_is_normalized_or_left_as_it_stands(arpa):
    plain = column(model=arpa, normalize="none")
    assert (
        answers(column(model=arpa), "The MÍLL")
        == answers(plain, "the mill")
        != answers(plain, "The MÍLL")
    )
    assert answers(plain, "The MÍLL") == answers(plain, "old old")


def test_marks_of_the_model_are_unknown_words_where_a_text_has_them(arpa):
    for normalize_by in ("none", "cc_net"):
        found = column(model=arpa, normalize=normalize_by)
        assert answers(found, "<s> the </s>") == answers(found, "old the old")


WORDS = ("mill", "old", "river", "水", "new", "a.b")
TEXTS = st.lists(st.sampled_from([*WORDS, "unseen", "\n", "\n\n", "\u3000"]), max_size=25).map(
    " ".join
)


@pytest.fixture(scope="module", params=[2, 3, 5])
def random_model(request, tmp_path_factory):
    """A model of an order, read by us and by the reference."""
    order = request.param
    text = random_arpa(order, WORDS[:5], order)
    path = tmp_path_factory.mktemp("model") / "m.arpa"
    path.write_text(text, encoding="utf-8")
    return column(model=str(path), normalize="none"), read_arpa(text), order


@settings(max_examples=80, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_perplexity_equals_the_reference_for_models_of_every_order(random_model, texts):
    found, grams, order = random_model
    expected = [
        reference(grams, order, [line.split() for line in text.split("\n")]) for text in texts
    ]
    np.testing.assert_allclose(answers(found, *texts), expected, rtol=2e-5)


def normalized_step_by_step(line):
    """cc_net's `normalize` with its defaults, as its paper and code describe it."""
    line = line.strip().lower()
    line = "".join(
        char for char in unicodedata.normalize("NFD", line) if unicodedata.category(char) != "Mn"
    )
    line = re.sub(r"\d", "0", line)
    line = "".join(WRITTEN.get(char, char) for char in line)
    return re.sub("[\x00-\x1f\x7f-\x9f]", "", line)


@settings(max_examples=400, deadline=None)
@given(text=st.text(max_size=60).map(normalize))
def test_normalization_equals_cc_nets_step_by_step(text):
    assert normalize_text(text) == normalized_step_by_step(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Ünïcode  Straße ", "unicode  straße"),
        ("Am 24. 12. ٢٠２6", "am 00. 00. 0000"),
        ("Tab\tand\x7f\x85 bell\x07", "taband bell"),
        ("「水车」，很旧。", '"水车",很旧.'),
        ("a—b – c…", "a - b - c..."),
        ("ΟΔΟΣ İ", "οδος i"),
        ("a\nb", "ab"),
        ("\ud55c", "\u1112\u1161\u11ab"),
    ],
)
def test_what_is_normalized(text, expected):
    assert normalize_text(text) == expected


def test_every_mark_that_cc_net_rewrites_is_rewritten():
    assert len(WRITTEN) == 33 and "".join(WRITTEN.values()).isascii()
    assert [normalize_text(f"x{mark}x") for mark in WRITTEN] == [
        f"x{ascii_mark}x" for ascii_mark in WRITTEN.values()
    ]


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A sentencepiece model, and a language model over its pieces."""
    folder = tmp_path_factory.mktemp("pieces")
    lines = [
        "the old mill stands by the river",
        "the miller grinds grain",
        "年00月 the river 0000",
    ] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(folder / "m.sp"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "m.sp.model"))
    vocabulary = [
        model.id_to_piece(place) for place in range(3, model.vocab_size() - 4)
    ]  # some pieces the language model does not know
    text = random_arpa(7, vocabulary, 3)
    (folder / "m.arpa").write_text(text, encoding="utf-8")
    return folder, model, read_arpa(text)


@pytest.mark.parametrize("unit", ["lines", "document"])
def test_pieces_of_sentencepiece_are_the_tokens(pieces, unit):
    folder, model, grams = pieces
    found = column(
        model=str(folder / "m.arpa"), sentencepiece=str(folder / "m.sp.model"), sentences=unit
    )
    texts = ["The Old Mill\n\nstands by the RIVER in 1984", "年12月…", "the\tmiller", "###"]
    parts = [text.split("\n") if unit == "lines" else [text] for text in texts]
    cut = [
        [model.encode_as_pieces(normalized_step_by_step(line)) for line in lines] for lines in parts
    ]
    np.testing.assert_allclose(
        answers(found, *texts), [reference(grams, 3, each) for each in cut], rtol=2e-5
    )
    assert [path.rpartition("/")[2] for path, _ in found.files] == ["m.arpa", "m.sp.model"]
    assert found.libraries[0] == "sentencepiece" and found.libraries[1].endswith("kenlm")


@pytest.mark.parametrize("kind", BINARIES)
def test_a_binary_of_kenlm_gives_what_its_arpa_file_gives(arpa, tmp_path, kind):
    (tmp_path / "m.binary").write_bytes(zlib.decompress(base64.b85decode(BINARIES[kind])))
    texts = ["the mill", "old mill the the", "mill\nthe old"]
    assert answers(column(model=str(tmp_path / "m.binary")), *texts) == answers(
        column(model=arpa), *texts
    )


def test_a_number_does_not_depend_on_the_other_documents_of_a_batch(pieces, prose):
    folder, *_ = pieces
    found = column(model=str(folder / "m.arpa"), sentencepiece=str(folder / "m.sp.model"))
    texts = [prose(seed, 1 + seed % 7) for seed in range(100)]
    together = answers(found, *texts)
    assert (
        [answers(found, text)[0] for text in texts]
        == together
        == answers(found, *reversed(texts))[::-1]
    )
    assert (
        min(together) > 1 and found.column(batch(*texts).slice(9, 50)).to_pylist() == together[9:59]
    )


def test_words_that_a_model_without_unk_cannot_know_give_a_number_that_float32_holds(
    tmp_path, capfd
):
    (tmp_path / "m.arpa").write_text(ARPA.replace("-1.0\t<unk>\n", "").replace("1=5", "1=4"))
    found = column(model=str(tmp_path / "m.arpa"), normalize="none")
    assert answers(found, "old " * 50) == [np.float32(1e38)]


@pytest.mark.parametrize("cut", [0, 3, 20, 60, 100, 120, 140])
def test_a_broken_model_is_refused_by_name(tmp_path, cut):
    (tmp_path / "m.arpa").write_text(ARPA[:cut])
    with pytest.raises(InputError, match=r"no KenLM model(.|\n)*m\.arpa"):
        column(model=str(tmp_path / "m.arpa")).open()


@pytest.mark.parametrize("kind", BINARIES)
def test_a_cut_binary_is_refused_by_name(tmp_path, kind):
    whole = zlib.decompress(base64.b85decode(BINARIES[kind]))
    for size in (10, 60, 100, len(whole) // 2):
        (tmp_path / "m.binary").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"no KenLM model(.|\n)*m\.binary"):
            column(model=str(tmp_path / "m.binary")).open()


@pytest.mark.parametrize(
    "raw",
    [
        b"PK\x03\x04" * 50,
        b"\x00" * 2000,
        b"\x1f\x8b\xff" * 50,
        b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1\ta\n\n\\end\\\n",
    ],
)
def test_a_foreign_file_is_refused(tmp_path, raw):
    (tmp_path / "m.arpa").write_bytes(raw)
    with pytest.raises(InputError, match="no KenLM model"):
        column(model=str(tmp_path / "m.arpa")).open()


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04"])
def test_a_broken_sentencepiece_model_is_refused_by_name(arpa, tmp_path, raw, capfd):
    (tmp_path / "sp.model").write_bytes(raw)
    with pytest.raises(InputError, match=r"no sentencepiece model(.|\n)*sp\.model"):
        column(model=arpa, sentencepiece=str(tmp_path / "sp.model")).open()


def test_a_file_that_is_not_there_is_named_with_its_key(arpa):
    for files in ({"model": "none.arpa"}, {"model": arpa, "sentencepiece": "none.arpa"}):
        with pytest.raises(InputError, match="No such file") as caught:
            column(**files)
        assert (
            caught.value.where["key"] == "annotate.perplexity.surprise"
            and caught.value.where["file"] == "none.arpa"
        )


def test_settings_that_are_not_known_are_refused():
    with pytest.raises(ConfigError, match="'lines' or 'document'"):
        load(AnnotateConfig, None, ["perplexity.x={model='m.arpa',sentences='words'}"])
    with pytest.raises(ConfigError, match="did you mean `sentencepiece`"):
        load(AnnotateConfig, None, ["perplexity.x={model='m.arpa',sentence_piece='m'}"])
    with pytest.raises(ConfigError, match="two columns are called `x`"):
        load(AnnotateConfig, None, ["perplexity.x={model='m.arpa'}", "word_lists.x={path='a'}"])


def test_a_missing_extra_is_named_with_what_needs_it(arpa, monkeypatch):
    monkeypatch.setitem(sys.modules, "kenlm", None)
    with pytest.raises(MissingExtra, match=r"perplexity\.surprise(.|\n)*gristmill\[kenlm\]"):
        column(model=arpa, languages=["en", "de"]).open()


def test_a_column_says_what_it_is(arpa):
    assert column(model=arpa, languages=["en"]).field.metadata[b"is"] == (
        b"perplexity by m.arpa, 1 and above; 0 where there is no token; 0 in other languages than en"
    )


def test_a_perplexity_goes_through_annotate_and_decide_and_its_files_name_the_run(
    arpa, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    texts = [
        "The mill.\nthe mill the mill the mill the mill the mill.",
        "Boats of the harbour are painted in spring, mostly.",
    ]
    rows = [
        {"id": str(n), "text": t, "source": "s", "type": "other", "license": "CC0-1.0"}
        for n, t in enumerate(texts)
    ]
    (tmp_path / "mill.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.toml").write_text(
        '[annotate.perplexity.surprise]\nmodel = "m.arpa"\n[decide.presets]\nother = []\n'
        '[decide.rules.surprising]\nsignal = "surprise"\nmax = 6\n'
    )
    options = ["--config", "c.toml", "--out", "runs"]
    assert cli.run(["annotate", "--in", "mill.jsonl", *options]) == 0
    run = find_latest("runs", "annotate")
    expected = [
        reference(read_arpa(ARPA), 2, [line.lower().split() for line in text.split("\n")])
        for text in texts
    ]
    np.testing.assert_allclose(
        pq.read_table(run.files("documents/")[0])["surprise"].to_pylist(), expected, rtol=2e-5
    )
    assert expected[0] < 6 < expected[1]
    names = [source["name"] for source in run.manifest["inputs"]]
    assert names[-1] == "signal surprise" and names[-2].endswith("kenlm")
    assert cli.run(["decide", "--in", str(run.path), *options]) == 0
    assert pq.read_table(find_latest("runs", "decide").files("decisions/")[0])[
        "reasons"
    ].to_pylist() == [0, 128]
    (tmp_path / "m.arpa").write_text(ARPA.replace("-0.6\tthe", "-0.65\tthe"))
    assert cli.run(["annotate", "--in", "mill.jsonl", *options]) == 0
    assert find_latest("runs", "annotate").id != run.id
    (tmp_path / "m.arpa").write_text(ARPA[:120])
    assert cli.run(["annotate", "--in", "mill.jsonl", "--config", "c.toml", "--out", "none"]) == 2
    assert "no KenLM model" in capsys.readouterr().err and not (tmp_path / "none").exists()
