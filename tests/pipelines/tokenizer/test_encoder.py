"""Encoding by tables: not one id differs from sentencepiece, whatever the model and the text, and however small the memory."""

import io
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2

from gristmill.errors import InputError
from pipelines.tokenizer.encoder import (
    CompiledEncoder,
    HuggingFaceEncoder,
    SentencePieceEncoder,
    find_tokens_at,
    open_encoder,
)
from pipelines.tokenizer.encoding_tables import (
    BPE,
    UNIGRAM,
    compile_model,
    neighbours,
    score_ranks,
    tiny_model,
)
from pipelines.tokenizer.kernels.encode import pair_hash
from pipelines.tokenizer.training import SPECIAL, cut_line

MODELS = {
    "bpe": {"model_type": "bpe", "byte_fallback": True},
    "unigram": {"model_type": "unigram", "byte_fallback": True},
    "bpe, unknown": {"model_type": "bpe"},
    "unigram, unknown": {"model_type": "unigram"},
    "bpe, digits apart": {"model_type": "bpe", "byte_fallback": True, "split_digits": True},
    "bpe, over spaces": {"model_type": "bpe", "byte_fallback": True, "split_by_whitespace": False},
    "unigram, over spaces": {
        "model_type": "unigram",
        "byte_fallback": True,
        "split_by_whitespace": False,
    },
    "unigram, normalized": {
        "model_type": "unigram",
        "normalization_rule_name": "nmt_nfkc",
        "remove_extra_whitespaces": True,
    },
    "bpe, normalized": {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "nmt_nfkc_cf",
        "remove_extra_whitespaces": True,
    },
    "bpe, space behind": {
        "model_type": "bpe",
        "byte_fallback": True,
        "treat_whitespace_as_suffix": True,
    },
    "unigram, no space before": {
        "model_type": "unigram",
        "byte_fallback": True,
        "add_dummy_prefix": False,
    },
}


def train(lines, **options):
    """A sentencepiece model of 700 pieces."""
    model, lines = io.BytesIO(), [piece for line in lines for piece in cut_line(line) if piece]
    defaults = {
        "vocab_size": 700,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "character_coverage": 0.998,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
        **(defaults | options),
    )
    return model.getvalue()


@pytest.fixture(scope="module")
def lines(prose):
    english, chinese = (
        [prose(seed, 12) for seed in range(40)],
        [prose(seed, 12, lang="zh") for seed in range(40)],
    )
    return [
        *english,
        *chinese,
        "aaaa bbbb abab !!!! ........ --------",
        "emoji 😀 é ﬁ Ａ １２ ½",
        "the the the ooooooo",
    ]


@pytest.fixture(scope="module")
def models(lines):
    return {name: train(lines, **options) for name, options in MODELS.items()}


def both(model, rows=1 << 10):
    """sentencepiece, and its compiled form."""
    processor, tables = (
        sentencepiece.SentencePieceProcessor(model_proto=model),
        compile_model(model),
    )
    assert tables is not None
    return processor, CompiledEncoder(tables, processor.normalize, rows=rows)


def ids_of(encoder, texts):
    found = encoder.encode(pa.array(texts, pa.string()))
    return [found.ids[a:b].tolist() for a, b in itertools.pairwise(found.offsets)]


def sentences_of(encoder, texts):
    found = encoder.encode(pa.array(texts, pa.string()))
    cuts = found.sentence_offsets
    return [found.sentences[a:b].tolist() for a, b in itertools.pairwise(cuts)]


NASTY = (
    "ab  .!?\n\t\0\x1f\x7f中文。！”」é\u0301😀👍🏽\u200d\u200b\ufeff▁ﬁＡ１½龘\U0010fffd0123456789"
)
PARTS = [
    "[MASK]",
    "</s>",
    "<0x41>",
    "<unk>",
    "the ",
    "▁the",
    "▁",
    "aaaa",
    "!!!!!!",
    "大型",
    "  ",
    "\r\n",
    "oooo",
]
TEXTS = st.lists(
    st.text(st.sampled_from(NASTY), max_size=12) | st.sampled_from(PARTS), max_size=12
).map("".join)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=120, deadline=None)
@given(texts=st.lists(TEXTS | st.text(max_size=40), max_size=6))
@example(texts=["", " ", "▁", "a", "中", "\n", "[MASK]", "a" * 100, "龘龘龘 龘", "!!!!!!! !!!!!!"])
def test_ids_are_those_of_sentencepiece(models, name, texts):
    processor, encoder = both(models[name])
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    assert ids_of(encoder, texts) == [processor.encode(text) for text in texts]


@pytest.mark.parametrize("name", ["bpe", "unigram"])
def test_ids_do_not_depend_on_what_was_met_before_or_how_little_is_kept(models, name, lines):
    processor, encoder = both(models[name], rows=4)
    wanted = [processor.encode(line) for line in lines]
    assert ids_of(encoder, lines) == ids_of(encoder, lines) == wanted
    assert ids_of(both(models[name])[1], lines[::-1]) == wanted[::-1]


LONG = {
    "one letter": "a" * 1_000_000,
    "two letters": "ab" * 250_000,
    "Chinese": "座老磨坊在河边多年来没有人" * 10_000,
    "unknown characters": "龘" * 100_000,
    "spaces": " " * 200_000,
    "marks": "!" * 300_001,
}


@pytest.mark.parametrize("name", ["bpe", "unigram"])
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_long_texts_without_a_space_have_the_ids_of_sentencepiece(models, name, text):
    processor, encoder = both(models[name])
    assert ids_of(encoder, [text]) == [processor.encode(text)]


def test_a_million_characters_without_a_space_take_no_quadratic_time(models, check_linear):
    _, encoder = both(models["bpe"])
    check_linear(
        encoder.encode, *(pa.array(["ab" * size], pa.string()) for size in (62_500, 500_000))
    )


@pytest.mark.parametrize(
    "unit", ["the ", "the old mill stood. ", "龘 ", "河边", "!!!!! ", "ooooooo "]
)
def test_unigram_ids_are_equal_where_single_precision_runs_out(models, unit):
    processor, encoder = both(models["unigram"])
    for count in (
        1_000,
        20_000,
        60_001,
    ):  # the sum passes 100,000, where sentencepiece takes it off
        text = unit * count + "!!!!!! ooooooo abab aaab The mill ......."
        assert ids_of(encoder, [text]) == [processor.encode(text)], count


def test_equal_ways_are_chosen_as_sentencepiece_does_in_texts_of_any_length():
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(tiny_model(UNIGRAM))
    for piece, score in (("!", -2.3), ("!!", -3.1), ("!!!", -3.9), ("▁x", -5.77)):
        proto.pieces.add(piece=piece, score=score, type=1)
    processor, encoder = both(proto.SerializeToString())
    texts = [
        " x" * count + " " + "!" * marks
        for count in (0, 1, 500, 9_000, 30_000)
        for marks in range(1, 12)
    ]
    assert ids_of(encoder, texts) == [processor.encode(text) for text in texts]


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, max_size=4))
def test_sentences_start_at_the_tokens_that_plain_code_finds(models, name, texts):
    processor, encoder = both(models[name])
    plain = SentencePieceEncoder(processor)
    if name in ("bpe", "unigram", "bpe, digits apart"):
        texts = [text.replace("▁", "") for text in texts]
        assert sentences_of(encoder, texts) == sentences_of(plain, texts)
    for starts, ids in zip(sentences_of(encoder, texts), ids_of(encoder, texts), strict=True):
        assert (
            starts == sorted(set(starts))
            and starts[:1] == [0][: len(ids)]
            and all(at < len(ids) for at in starts)
        )


def test_a_text_that_spells_a_space_as_the_model_does_has_its_sentences_too(models):
    processor, encoder = both(models["bpe"])
    [starts], [ids] = (
        sentences_of(encoder, ["One▁mill. Two mills."]),
        ids_of(encoder, ["One▁mill. Two mills."]),
    )
    assert [
        processor.decode(ids[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)
    ] == [
        "One mill.",
        "Two mills.",
    ]


def test_nulls_and_empty_texts_have_no_ids_and_slices_are_read_where_they_begin(models):
    processor, encoder = both(models["bpe"])
    texts = pa.array(["the", None, "", "mill", "old"], pa.string())
    found = encoder.encode(texts.slice(1, 3))
    assert found.offsets.tolist() == [0, 0, 0, len(processor.encode("mill"))]
    assert found.ids.tolist() == processor.encode("mill")
    assert encoder.encode(pa.array([], pa.string())).offsets.tolist() == [0]


@pytest.mark.parametrize(
    "piece",
    [("x", -1, 4), ("x", -1, 5), ("y", 0, 3)],
    ids=["user-defined", "unused", "special of one character"],
)
def test_what_the_tables_cannot_do_is_left_to_sentencepiece(piece, tmp_path, models):
    for kind in (BPE, UNIGRAM):
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(tiny_model(kind))
        proto.pieces.add(piece=piece[0], score=piece[1], type=piece[2])
        assert compile_model(proto.SerializeToString()) is None
        (tmp_path / "tokenizer.model").write_bytes(proto.SerializeToString())
        encoder = open_encoder(tmp_path)
        assert isinstance(encoder, SentencePieceEncoder) and encoder.vocabulary == 6
        processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        assert ids_of(encoder, ["to x to", "y", ""]) == [
            processor.encode(text) for text in ("to x to", "y", "")
        ]


def test_a_model_of_words_is_left_to_sentencepiece(lines):
    assert compile_model(train(lines, model_type="word")) is None
    assert compile_model(train(lines, model_type="char")) is None


def test_a_folder_is_opened_by_what_lies_in_it(tmp_path, models):
    with pytest.raises(InputError, match="there is no tokenizer"):
        open_encoder(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(models["bpe"])
    assert isinstance(open_encoder(tmp_path), CompiledEncoder)
    (tmp_path / "tokenizer.model").write_bytes(models["bpe"][:1000])
    with pytest.raises(InputError, match="this tokenizer cannot be read"):
        open_encoder(tmp_path)


@pytest.fixture(scope="module")
def byte_level(lines):
    """A byte-level BPE as GPT-2's, with a special token."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def test_a_tokenizer_json_gives_its_own_ids_but_text_that_spells_a_special_token_is_text(
    tmp_path, byte_level
):
    byte_level.save(str(tmp_path / "tokenizer.json"))
    encoder = open_encoder(tmp_path)
    texts = ["The old mill. It stood!  One more.", "", "<|endoftext|> the"]
    assert (
        isinstance(encoder, HuggingFaceEncoder)
        and encoder.vocabulary == byte_level.get_vocab_size()
    )
    assert ids_of(encoder, texts)[:2] == [byte_level.encode(text).ids for text in texts[:2]]
    assert byte_level.token_to_id("<|endoftext|>") not in ids_of(encoder, texts)[2]
    starts, ids = sentences_of(encoder, texts)[0], ids_of(encoder, texts)[0]
    assert [
        byte_level.decode(ids[a:b]) for a, b in zip(starts, [*starts[1:], None], strict=True)
    ] == [
        "The old mill.",
        " It stood! ",
        " One more.",
    ]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": 1}))
    with pytest.raises(InputError, match="this tokenizer cannot be read"):
        open_encoder(tmp_path)


def test_the_token_of_a_byte_is_found_by_characters():
    text = "中. é".encode()
    assert find_tokens_at(np.array([0, 1, 3]), np.array([0, 5]), text).tolist() == [0, 1]
    assert find_tokens_at(np.zeros(0, np.int64), np.array([0]), text).tolist() == []


@given(st.lists(st.text(min_size=1, max_size=6), max_size=30))
def test_neighbours_of_a_piece_are_never_taken_for_strangers(pieces):
    ascii_pairs, bits, shift = neighbours(pieces)
    for piece in pieces:
        for a, b in itertools.pairwise(map(ord, piece)):
            place = int(pair_hash(a, b)) >> int(shift)
            assert (
                ascii_pairs[a * 128 + b]
                if a < 128 and b < 128
                else int(bits[place >> 6]) >> (place & 63) & 1
            )


def test_equal_scores_have_one_rank_and_the_highest_is_first():
    assert score_ranks([-1.0, 0.0, -5.0, -1.0]) == [1, 0, 2, 1]


def test_special_tokens_are_out_of_reach_of_any_text(models):
    for name in ("bpe", "unigram"):
        processor, encoder = both(models[name])
        special = {processor.piece_to_id(piece) for piece in (*SPECIAL, "<s>", "</s>")} - {
            processor.unk_id()
        }
        found = set(
            encoder.encode(
                pa.array([" ".join(SPECIAL), "".join(SPECIAL)], pa.string())
            ).ids.tolist()
        )
        assert not found & special


def corpus_texts(folder, most):
    """The texts of every real set, up to `most` of each."""
    for path in sorted((folder / "corpus").glob("*.parquet")):
        texts = pq.read_table(path, columns=["text"])["text"].to_pylist()
        yield path.stem, [text for text in texts if text][:most]


@pytest.mark.parametrize("name", ["bpe", "unigram"])
def test_real_documents_of_every_set_have_the_ids_of_sentencepiece(shared_data, models, name):
    processor, encoder = both(models[name])
    for source, texts in corpus_texts(shared_data, 40):
        assert ids_of(encoder, texts) == processor.encode(texts), source


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_every_real_document_has_the_ids_of_sentencepiece(shared_data, kind):
    """Models of 16,000 pieces, so that words fall into few."""
    lines = [text[:2000] for _, texts in corpus_texts(shared_data, 60) for text in texts]
    options = {
        "model_type": kind,
        "byte_fallback": True,
        "vocab_size": 16_000,
        "character_coverage": 0.9995,
    }
    processor, encoder = both(train(lines, **options), rows=1 << 18)
    documents = 0
    for source, texts in corpus_texts(shared_data, None):
        assert ids_of(encoder, texts) == processor.encode(texts), source
        documents += len(texts)
    assert documents > 100_000


def changed(kind, pieces=(), **normalizer):
    """A tiny model with more pieces (piece, score)."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(tiny_model(kind))
    for piece, score in pieces:
        proto.pieces.add(piece=piece, score=score, type=1)
    for name, value in normalizer.items():
        setattr(proto.normalizer_spec, name, value)
    return proto.SerializeToString()


def test_a_score_of_minus_zero_is_less_than_zero_as_for_sentencepiece():
    processor, encoder = both(changed(BPE, [("▁▁", -0.0), ("中", -9), ("▁中", 0.0)]))
    assert ids_of(encoder, ["to 中  中"]) == [processor.encode("to 中  中")]


def test_a_piece_with_a_space_that_no_text_spells_counts_for_the_score_of_unknown_characters():
    for score in (-2.5, -9.96, -50.1):
        processor, encoder = both(changed(UNIGRAM, [("o o", score), ("aa", -0.025)]))
        texts = ["b" * size + "aaa" for size in range(40)]
        assert ids_of(encoder, texts) == [processor.encode(text) for text in texts]


def test_models_that_keep_spaces_or_have_absurd_scores_are_left_to_sentencepiece():
    assert compile_model(changed(BPE, escape_whitespaces=False)) is None
    assert compile_model(changed(UNIGRAM, [("ot", -60_000.0)])) is None
    assert compile_model(changed(BPE, [("ot", -60_000.0)])) is not None


def test_another_model_in_the_same_folder_is_read_again(tmp_path):
    for pieces in ([], [("▁to", -0.5)]):
        model = changed(BPE, pieces)
        (tmp_path / "tokenizer.model").write_bytes(model)
        wanted = sentencepiece.SentencePieceProcessor(model_proto=model).encode("to")
        assert ids_of(open_encoder(tmp_path), ["to"]) == [wanted]


def test_the_vocabulary_of_a_tokenizer_json_with_gaps_reaches_its_highest_id():
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"[UNK]": 0, "mill": 70_000}, unk_token="[UNK]")
    )
    assert HuggingFaceEncoder(words).vocabulary == 70_001


def test_spaces_behind_words_stay_with_the_sentence_that_they_end(lines):
    processor, encoder = both(
        train(lines, model_type="bpe", byte_fallback=True, treat_whitespace_as_suffix=True)
    )
    text = "The old mill. It stood.  One more."
    [starts], [ids] = sentences_of(encoder, [text]), ids_of(encoder, [text])
    parts = [
        processor.decode(ids[a:b]).strip() for a, b in zip(starts, [*starts[1:], None], strict=True)
    ]
    assert parts == ["The old mill.", "It stood.", "One more."]
