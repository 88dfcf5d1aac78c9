"""Tokenizers: the same bytes twice, control symbols out of reach of text, and one answer from every reader of the model."""

import io
import re

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.errors import ConfigError
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.hugging_face import (
    UnequalError,
    build_fast_tokenizer,
    check_equal,
    write_tokenizer,
)
from pipelines.tokenizer.sentences import (
    find_sentence_starts,
    locate_sentence_tokens,
    measure_pieces,
)
from pipelines.tokenizer.training import (
    LONGEST_LINE,
    QUANTUM,
    SPECIAL,
    cut_line,
    iter_training_lines,
    train,
)

CONFIG = TokenizerConfig(vocab_size=700, threads=1)


@pytest.fixture(scope="module")
def texts(prose):
    return (
        [prose(seed, 20) for seed in range(20)]
        + [prose(seed, 20, lang="zh") for seed in range(20)]
        + ["ab aba abab " * 30, "a\nb\n\nc"]
    )


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def config(request):
    return CONFIG.model_copy(update={"model_type": request.param})


@pytest.fixture(scope="module")
def model(texts, config):
    return train(texts, config)


@pytest.fixture(scope="module")
def processor(model):
    return sentencepiece.SentencePieceProcessor(model_proto=model)


@pytest.fixture(scope="module")
def auto(model, tmp_path_factory):
    """The written folder as transformers opens it."""
    import transformers

    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, model, build_fast_tokenizer(model))
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_training_twice_gives_the_same_bytes(texts, model, config):
    assert train(texts, config) == model


def test_scores_of_a_unigram_model_are_multiples_of_the_quantum(texts):
    processor = sentencepiece.SentencePieceProcessor(
        model_proto=train(texts, CONFIG.model_copy(update={"model_type": "unigram"}))
    )
    scores = [processor.get_score(number) for number in range(processor.get_piece_size())]
    assert all(score / QUANTUM == round(score / QUANTUM) for score in scores) and min(scores) < -5


def test_a_unigram_model_that_could_take_text_for_a_special_piece_has_no_other_form(texts):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(iter_training_lines(texts)),
        model_writer=model,
        model_type="unigram",
        vocab_size=500,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        control_symbols=list(SPECIAL[4:]),
        minloglevel=2,
    )
    with pytest.raises(UnequalError, match="has no pieces for"):
        build_fast_tokenizer(model.getvalue())


def test_equal_ways_are_chosen_alike_in_texts_of_any_length(model):
    tokenizer, processor = (
        build_fast_tokenizer(model),
        sentencepiece.SentencePieceProcessor(model_proto=model),
    )
    tokenizer.encode_special_tokens = True
    for count in (1, 3_000, 40_001):
        text = "the old mill " * count + "!!!!!!! ooooo 中中中 aba aba"
        assert tokenizer.encode(text, add_special_tokens=False).ids == processor.encode(text)


def test_special_pieces_have_their_fixed_ids(processor):
    assert [processor.id_to_piece(number) for number in range(7)] == list(SPECIAL)
    assert processor.get_piece_size() == CONFIG.vocab_size
    assert [processor.is_control(number) for number in range(7)] == [
        True,
        False,
        True,
        True,
        True,
        True,
        True,
    ]
    assert processor.is_unknown(1)


def test_a_sample_too_small_for_the_vocabulary_is_the_users_error():
    with pytest.raises(ConfigError, match="cannot train this vocabulary") as caught:
        train(["a few words only"], TokenizerConfig(vocab_size=5000, threads=1))
    assert "vocab_size" in str(caught.value)


ADVERSARIAL = [
    "",
    " ",
    "  ",
    "a",
    " a",
    "a ",
    "   many    spaces     between ",
    "\n",
    "\n\n\na\n",
    "\t\ttabs",
    "a\r\nb",
    "[MASK]",
    "</s>",
    "<s> </s> <pad> <unk> [CLS] [SEP] [MASK]",
    "x[MASK]y",
    "<0x0A>",
    "<0x41>",
    "▁",
    "▁▁",
    "a▁b",
    " ▁ ",
    "▁the",
    "the▁mill",
    "👍🏽👩‍👩‍👦",
    "\U0001f1e8\U0001f1f3",
    "ｆｕｌｌｗｉｄｔｈ　１２３",
    "中文，没有空格。",
    "ก็",
    "e\u0301",
    "\u200b\u200d",
    "\x01\x02\x7f",
    "a\x00b",
    "\ufeffa",
    "\uffff",
    "\U0010ffff",
    "𝒜𝒷",
    "123456 7890",
    "x" * 10_000,
    "中" * 3_000,
    "ab" * 5_000,
    " " * 2_000,
    "aba" * 333 + " " + "bab" * 333,
    "…—“”‘’",
    "The old miller repaired the water wheel.",
    "ﬁ ½ ²",
    "İı ǅ ß",
]


@pytest.mark.parametrize("number", range(len(ADVERSARIAL)))
def test_all_forms_give_equal_ids_on_adversarial_text(number, model, processor, auto):
    text = ADVERSARIAL[number]
    assert check_equal(model, build_fast_tokenizer(model), [text]) == 1
    assert auto(text, add_special_tokens=False)["input_ids"] == processor.encode(text)


@settings(max_examples=250, deadline=None)
@given(
    text=st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
        st.text(st.sampled_from("ab "), max_size=60),
        st.text(st.sampled_from("the mill▁<s>[MASK]0中文。\n"), max_size=60),
    )
)
@example(text="ab aba abab")
def test_all_forms_give_equal_ids_on_any_text(text, processor, auto):
    ids = processor.encode(text)
    assert auto(text, add_special_tokens=False)["input_ids"] == ids
    assert not [number for number in ids if number < len(SPECIAL)], "text became a control symbol"


@settings(max_examples=250, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=80))
def test_what_is_encoded_decodes_to_the_same_text(text, processor, auto):
    ids = processor.encode(text)
    assert processor.decode(ids) == text
    assert auto.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) == text


def test_a_form_that_differs_is_refused(model, texts, config):
    other = build_fast_tokenizer(train([text[::-1] for text in texts], config))
    with pytest.raises(UnequalError, match="ids differ from token"):
        check_equal(model, other, texts)


def test_the_folder_says_its_special_tokens(auto):
    assert (auto.pad_token_id, auto.unk_token_id, auto.bos_token_id, auto.eos_token_id) == (
        0,
        1,
        2,
        3,
    )
    assert (auto.cls_token_id, auto.sep_token_id, auto.mask_token_id) == (4, 5, 6)
    assert len(auto) == CONFIG.vocab_size


@settings(max_examples=100, deadline=None)
@given(
    lines=st.lists(st.text(st.sampled_from("ab 中"), max_size=40), max_size=5),
    long=st.integers(0, 9000),
)
def test_training_lines_lose_nothing_but_breaks_and_blank_lines(lines, long):
    text = "\n".join([*lines, "中 a" * long])
    made = list(iter_training_lines([text]))
    assert all(piece.strip() and len(piece.encode()) <= LONGEST_LINE for piece in made)
    assert re.sub(r"\s", "", "".join(made)) == re.sub(r"\s", "", text)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "short",
        "x" * (LONGEST_LINE + 1),
        "中" * LONGEST_LINE,
        " " * (3 * LONGEST_LINE),
        "a " * LONGEST_LINE,
    ],
)
def test_a_long_line_is_cut_and_nothing_of_it_skipped(line):
    assert "".join(cut_line(line)) == line


def slow_sentence_starts(text):
    """Characters at which sentences begin: after ends and a space, after Chinese ends, after line breaks."""
    ends = re.compile(r"[.!?]+[\"')\]]* +|[。！？][”」’]?|\n+")
    return (
        [0, *sorted({match.end() for match in ends.finditer(text) if match.end() < len(text)})]
        if text
        else []
    )


SOUP = st.lists(
    st.sampled_from(
        [
            "The mill. ",
            "Why? ",
            '"Yes!" ',
            "Mr. ",
            "3.14 ",
            "end.",
            "\n",
            "\n\n",
            "。",
            "他来了。",
            "“走！”",
            "？",
            " ",
            "a",
            "中",
            "▁",
            "é",
            "\U0001f600",
            ".\n",
        ]
    ),
    max_size=14,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=SOUP)
def test_sentences_start_where_the_plain_reference_says(text):
    expected = [len(text[:at].encode()) for at in slow_sentence_starts(text)]
    assert find_sentence_starts(text.encode()).tolist() == expected


@settings(max_examples=300, deadline=None)
@given(text=SOUP)
def test_a_sentences_first_token_holds_the_space_before_it_or_its_first_byte(text, processor):
    raw = text.encode()
    ids = np.array(processor.encode(text), np.int64)
    found = locate_sentence_tokens(ids, find_sentence_starts(raw), measure_pieces(processor), raw)
    assert found.dtype == np.uint32
    if not len(ids):
        assert found.tolist() == []
        return
    if "▁" in text:
        assert found[0] == 0
        return
    pieces = [piece_bytes(processor, number) for number in ids.tolist()]
    assert b"".join(pieces) == b" " + raw
    owner = [place for place, piece in enumerate(pieces) for _ in piece][
        1:
    ]  # of every byte of the text
    assert found.tolist() == sorted(
        {
            owner[at - (raw[at - 1 : at] == b" ")] if at else 0
            for at in find_sentence_starts(raw).tolist()
        }
    )


def piece_bytes(processor, number):
    piece = processor.id_to_piece(number)
    return (
        bytes([int(piece[3:5], 16)])
        if processor.is_byte(number)
        else piece.replace("▁", " ").encode()
    )


def test_a_document_with_a_literal_space_mark_counts_as_one_sentence(processor):
    raw = "One. ▁ Two. Three.".encode()
    ids = np.array(processor.encode(raw.decode()), np.int64)
    assert locate_sentence_tokens(
        ids, find_sentence_starts(raw), measure_pieces(processor), raw
    ).tolist() == [0]
