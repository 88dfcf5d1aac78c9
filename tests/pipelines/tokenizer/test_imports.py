"""Tokenizers of others: their ids stay what their own library gives, and what is broken is refused with its place."""

import base64
import io
import json

import pyarrow as pa
import pytest
import sentencepiece
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.errors import ConfigError, InputError, UserError
from gristmill.runs.finished import open_run
from pipelines.tokenizer.encoder import open_encoder
from pipelines.tokenizer.fertility import report_of
from pipelines.tokenizer.import_export import export_tokenizer, import_tokenizer
from pipelines.tokenizer.imports import (
    PATTERNS,
    byte_characters,
    cut,
    fast_of_ranks,
    merges_of,
    read_ranks,
    special_of,
)
from pipelines.tokenizer.training import iter_training_lines

tiktoken = pytest.importorskip("tiktoken", reason="the extra `dev` brings tiktoken")


@pytest.fixture(scope="module")
def texts(prose):
    return (
        [prose(seed, 8) for seed in range(20)]
        + [prose(seed, 8, lang="zh") for seed in range(20)]
        + ["It's 2,000!\n\n  x"]
    )


@pytest.fixture(scope="module")
def ranks(texts):
    """A byte-level vocabulary of 500 tokens, trained as GPT-2's was, as tiktoken holds it."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    words = tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERNS["cl100k_base"]), "isolated")
    plain = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([words, plain])
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    back = {character: byte for byte, character in byte_characters().items()}
    return {
        bytes(back[c] for c in token): number for token, number in tokenizer.get_vocab().items()
    }


def tiktoken_file(ranks):
    lines = (
        f"{base64.b64encode(token).decode()} {rank}\n"
        for token, rank in sorted(ranks.items(), key=lambda i: i[1])
    )
    return "".join(lines).encode()


REGEXES = {  # as tiktoken's openai_public writes them: possessive, and otherwise the same
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "cl100k_base": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"""
        r"""|\s+(?!\S)|\s"""
    ),
}
NASTY = st.text(st.sampled_from("abtheIt's LL're 019\n\r\t .,!中文é😀<|>")) | st.text(max_size=30)


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k_base", "o200k_base"])
@settings(max_examples=150, deadline=None)
@given(text=NASTY)
def test_ids_are_those_of_tiktoken(ranks, pattern, text):
    text = text.encode("utf-8", "ignore").decode()
    regex = REGEXES.get(pattern, PATTERNS[pattern])
    theirs = tiktoken.Encoding("test", pat_str=regex, mergeable_ranks=ranks, special_tokens={})
    ours = fast_of_ranks(ranks, pattern, {})
    assert ours.encode(text, add_special_tokens=False).ids == theirs.encode_ordinary(text)
    assert ours.decode(ours.encode(text).ids) == text


def test_merges_make_every_token_of_several_bytes_from_earlier_ones(ranks):
    merges = merges_of(ranks)
    assert len(merges) == sum(len(token) > 1 for token in ranks)
    for left, right in merges:
        assert ranks[left] < ranks[left + right] > ranks[right]


def test_a_token_is_cut_by_lower_ranks_alone():
    ranks = {b"a": 0, b"b": 1, b"ab": 2, b"abab": 3}
    assert cut(b"abab", ranks, below=3) == [b"ab", b"ab"] and cut(b"abab", ranks, below=2) == [
        b"a",
        b"b",
        b"a",
        b"b",
    ]


def test_a_tiktoken_file_becomes_a_run_that_packs(tmp_path, ranks, texts):
    file = tmp_path / "small.tiktoken"
    file.write_bytes(tiktoken_file(ranks))
    run = import_tokenizer(
        file, tmp_path / "runs", pattern="cl100k_base", special=["<|endoftext|>=500"]
    )
    assert run.details["kind"] == "huggingface" and run.details["vocab_size"] == 501
    assert run.details["special"] == {"eos": 500}
    theirs = tiktoken.Encoding(
        "t", pat_str=REGEXES["cl100k_base"], mergeable_ranks=ranks, special_tokens={}
    )
    encoder = open_encoder(run.path / "tokenizer")
    assert encoder.encode(pa.array(texts)).ids.tolist() == [
        n for ids in theirs.encode_ordinary_batch(texts) for n in ids
    ]
    assert encoder.encode(pa.array(["<|endoftext|>"])).ids.tolist() == theirs.encode_ordinary(
        "<|endoftext|>"
    )
    again = import_tokenizer(
        file, tmp_path / "runs", pattern="cl100k_base", special=["<|endoftext|>=500"]
    )
    assert again.path == run.path


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda raw: raw[: len(raw) // 2], "is no line of a tiktoken file|must run from 0 on"),
        (lambda raw: raw + raw[:9], "stands twice|is no line"),
        (lambda raw: b"\n".join(raw.split(b"\n")[1:]), "must run from 0 on"),
        (lambda raw: b"rubbish\n" + raw, "is no line of a tiktoken file"),
        (lambda raw: b"", "must run from 0 on"),
        (lambda raw: raw.replace(b" 3\n", b" -3\n", 1), "is no line of a tiktoken file"),
        (lambda raw: raw.replace(b" 12\n", b" 1_2\n", 1), "is no line of a tiktoken file"),
        (lambda raw: raw.replace(b" 5\n", b" +5\n", 1), "is no line of a tiktoken file"),
        (lambda raw: raw.replace(b" 5\n", b" 999999999999\n", 1), "must run from 0 on"),
    ],
)
def test_a_broken_tiktoken_file_is_refused(ranks, change, told):
    with pytest.raises(InputError, match=told):
        read_ranks(change(tiktoken_file(ranks)), name="x.tiktoken")


def test_a_vocabulary_without_a_byte_is_refused(ranks):
    other = {(token if token != b"a" else b"\xff\xff\xff"): rank for token, rank in ranks.items()}
    with pytest.raises(InputError, match="a byte has no token"):
        read_ranks(tiktoken_file(other), name="x.tiktoken")


@pytest.mark.parametrize(
    "given_", [["a"], ["=500"], ["a=500", "b=500"], ["a=500", "a=501"], ["a=x"], ["a=\u00b2"]]
)
def test_a_special_token_needs_a_name_and_a_free_id(given_):
    with pytest.raises(ConfigError, match="a name and a free id"):
        special_of(given_)
    assert special_of(["<|a=b|>=500"]) == {"<|a=b|>": 500}


def test_a_tiktoken_file_needs_a_pattern_that_can_be_used(tmp_path, ranks):
    file = tmp_path / "small.tiktoken"
    file.write_bytes(tiktoken_file(ranks))
    with pytest.raises(ConfigError, match="does not say how texts are cut"):
        import_tokenizer(file, tmp_path / "runs", pattern=None, special=[])
    with pytest.raises(ConfigError, match="this pattern cannot be used"):
        import_tokenizer(file, tmp_path / "runs", pattern="(", special=[])


def model_of(texts, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(iter_training_lines(texts)),
        model_writer=model,
        vocab_size=400,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


FORMS = {
    "bpe as Llama's": (
        {
            "model_type": "bpe",
            "byte_fallback": True,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
        },
        True,
    ),
    "bpe, normalized": (
        {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "nmt_nfkc"},
        False,
    ),
    "bpe without more than one space": (
        {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity"},
        True,
    ),
    "unigram as T5's": ({"model_type": "unigram"}, False),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_sentencepiece_model_is_kept_as_it_is_with_an_exact_form_or_none(tmp_path, texts, name):
    options, has_form = FORMS[name]
    model = model_of(texts, **options)
    (tmp_path / "spiece.model").write_bytes(model)
    run = import_tokenizer(tmp_path / "spiece.model", tmp_path / "runs", pattern=None, special=[])
    assert (run.path / "tokenizer/tokenizer.model").read_bytes() == model
    assert (run.path / "tokenizer/tokenizer.json").exists() == has_form
    assert (
        run.details["special"] == {"unk": 0, "bos": 1, "eos": 2}
        and run.details["kind"] == "sentencepiece"
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    encoder = open_encoder(run.path / "tokenizer")
    assert encoder.encode(pa.array(texts)).ids.tolist() == [
        n for ids in processor.encode(texts) for n in ids
    ]
    if has_form:
        assert (
            export_tokenizer(run, tmp_path / "out") > 10
            and (tmp_path / "out/tokenizer.json").exists()
        )
    else:
        with pytest.raises(UserError, match="has no exact Hugging Face form"):
            export_tokenizer(run, tmp_path / "out")


def test_a_tokenizer_json_keeps_its_bytes_and_its_special_tokens(tmp_path, ranks):
    folder = tmp_path / "gpt"
    folder.mkdir()
    fast_of_ranks(ranks, "gpt2", {"<|end|>": 500}).save(str(folder / "tokenizer.json"))
    (folder / "special_tokens_map.json").write_text(
        json.dumps({"eos_token": {"content": "<|end|>"}, "pad_token": "none"})
    )
    run = import_tokenizer(folder, tmp_path / "runs", pattern=None, special=[])
    assert run.details["special"] == {"eos": 500} and run.details["vocab_size"] == 501
    for name in ("tokenizer.json", "special_tokens_map.json"):
        assert (run.path / "tokenizer" / name).read_bytes() == (folder / name).read_bytes()
    assert export_tokenizer(run, tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("name", "content"), [("a.model", b"\x00rubbish"), ("b.model", b""), ("tokenizer.json", b"{")]
)
def test_what_is_no_tokenizer_is_refused_and_leaves_no_run(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="this is no"):
        import_tokenizer(tmp_path / name, tmp_path / "runs", pattern=None, special=[])
    assert not list((tmp_path / "runs").glob("*/manifest.json"))
    with pytest.raises(InputError, match="there is no such tokenizer"):
        import_tokenizer(tmp_path / "absent.model", tmp_path / "runs", pattern=None, special=[])


def test_an_export_whose_forms_differ_is_refused(tmp_path, texts):
    (tmp_path / "a.model").write_bytes(model_of(texts, **FORMS["bpe as Llama's"][0]))
    run = import_tokenizer(tmp_path / "a.model", tmp_path / "runs", pattern=None, special=[])
    other = import_tokenizer(tmp_path / "a.model", tmp_path / "other", pattern=None, special=[])
    (other.path / "tokenizer/tokenizer.model").write_bytes(
        model_of(texts[::-1][:5], **FORMS["bpe as Llama's"][0])
    )
    with pytest.raises(Exception, match="ids differ"):
        export_tokenizer(open_run(other.path), tmp_path / "out")
    assert export_tokenizer(run, tmp_path / "out") > 0


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k_base", "o200k_base"])
@pytest.mark.parametrize(
    "end", ["\n\n\t", " \r\n  ", "\n ", "\u3000\n\u3000", "\n", "  ", "\n \n  x"]
)
def test_spaces_at_the_end_are_cut_as_tiktoken_cuts_them(pattern, end):
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {
        bytes([a, b]): 256 + 256 * a + b for a in range(256) for b in range(256)
    }  # every cut shows
    theirs = tiktoken.Encoding(
        "t",
        pat_str=REGEXES.get(pattern, PATTERNS[pattern]),
        mergeable_ranks=ranks,
        special_tokens={},
    )
    ours = fast_of_ranks(ranks, pattern, {})
    for text in ("a" + end, "1" + end, "!" + end, end):
        assert ours.encode(text).ids == theirs.encode_ordinary(text), text


def test_a_special_token_may_stand_among_the_ranks(tmp_path, ranks):
    """p50k_base has `<|endoftext|>` at 50256 and ranks behind it."""
    file = tmp_path / "p50k.tiktoken"
    file.write_bytes(tiktoken_file(ranks | {b"  \x00": 501}))
    with pytest.raises(InputError, match="without a gap"):
        import_tokenizer(file, tmp_path / "runs", pattern="p50k_base", special=[])
    run = import_tokenizer(
        file, tmp_path / "runs", pattern="p50k_base", special=["<|endoftext|>=500"]
    )
    assert run.details["vocab_size"] == 502 and run.details["special"] == {"eos": 500}
    with pytest.raises(ConfigError, match="a name and a free id"):
        import_tokenizer(
            file, tmp_path / "runs", pattern="p50k_base", special=["<|endoftext|>=500", "<|x|>=499"]
        )


@pytest.mark.parametrize("pattern", ["cl100k", "r50k", REGEXES["cl100k_base"]])
def test_a_misspelt_pattern_and_one_that_means_something_else_are_refused(tmp_path, ranks, pattern):
    (tmp_path / "a.tiktoken").write_bytes(tiktoken_file(ranks))
    with pytest.raises(ConfigError, match=r"no such pattern|no possessive"):
        import_tokenizer(tmp_path / "a.tiktoken", tmp_path / "runs", pattern=pattern, special=[])


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("a", "gpt2"), ("EOT", "gpt2"), ("\u0120EOT", "gpt2"), ("<|end|>", r"\S+|\s+")],
)
def test_a_special_token_that_text_could_become_is_refused(ranks, name, pattern):
    with pytest.raises(ConfigError, match="text could become"):
        fast_of_ranks(ranks, pattern, {name: 500})


def test_a_token_that_later_ones_make_is_refused():
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"abc": 256, b"bc": 257}
    with pytest.raises(InputError, match="made of later ones"):
        merges_of(ranks)


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff",
        b"[]",
        b'{"eos_token": {"id": 1}}',
        b'{"eos_token": 5}',
        b'{"eos_token": ["a"]}',
    ],
)
@pytest.mark.parametrize("name", ["special_tokens_map.json", "tokenizer_config.json"])
def test_a_broken_file_beside_a_tokenizer_json_is_refused(tmp_path, ranks, name, content):
    fast_of_ranks(ranks, "gpt2", {}).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="does not name special tokens"):
        import_tokenizer(tmp_path, tmp_path / "runs", pattern=None, special=[])


def test_a_tokenizer_json_without_tokens_is_refused(tmp_path):
    tokenizers.Tokenizer(tokenizers.models.BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="has no tokens"):
        import_tokenizer(tmp_path, tmp_path / "runs", pattern=None, special=[])


def test_user_defined_pieces_have_no_form(tmp_path, texts):
    (tmp_path / "a.model").write_bytes(
        model_of(texts, user_defined_symbols=["<sep>"], **FORMS["bpe as Llama's"][0])
    )
    run = import_tokenizer(tmp_path / "a.model", tmp_path / "runs", pattern=None, special=[])
    assert not (run.path / "tokenizer/tokenizer.json").exists()


def test_a_piece_that_is_no_utf8_is_refused(tmp_path, texts):
    raw = (
        model_of(texts, **FORMS["bpe as Llama's"][0])
        .replace("\u4e00".encode(), b"\xff\xff\xff")
        .replace(b"the", b"t\xffe")
    )
    (tmp_path / "a.model").write_bytes(raw)
    with pytest.raises(InputError, match="this is no"):
        import_tokenizer(tmp_path / "a.model", tmp_path / "runs", pattern=None, special=[])


def test_lines_with_a_reserved_character_are_trained_on():
    assert list(iter_training_lines(["a\u2585b\0c"])) == ["abc"]


def test_a_vocabulary_with_a_gap_is_measured_and_its_bytes_are_counted(tmp_path):
    ranks = {bytes([byte]): byte for byte in range(256)}
    (tmp_path / "a.tiktoken").write_bytes(tiktoken_file(ranks))
    run = import_tokenizer(
        tmp_path / "a.tiktoken", tmp_path / "runs", pattern="gpt2", special=["<|endoftext|>=300"]
    )
    table = pa.table({"text": ["a\u4e2d"], "source": ["s"], "lang": ["zh"], "words": [1]})
    made = report_of([("t", run.path / "tokenizer")], table)
    assert made["rows"][0]["byte_tokens"] == 3 and made["vocabularies"][0]["unused"] == 252
    assert made["vocabularies"][0]["vocab_size"] == 301


def test_a_pattern_of_ones_own_is_taken(tmp_path, ranks):
    (tmp_path / "a.tiktoken").write_bytes(tiktoken_file(ranks))
    own = r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+"
    run = import_tokenizer(tmp_path / "a.tiktoken", tmp_path / "runs", pattern=own, special=[])
    theirs = tiktoken.Encoding("t", pat_str=own, mergeable_ranks=ranks, special_tokens={})
    text = "It's 2,0001 things!\n\n  x"
    assert open_encoder(run.path / "tokenizer").encode(
        pa.array([text])
    ).ids.tolist() == theirs.encode_ordinary(text)
