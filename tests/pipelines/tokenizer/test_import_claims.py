"""What is promised of imported tokenizers: text never becomes a special id, and own patterns cut as tiktoken cuts."""

import base64
import io

import pytest
import sentencepiece
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, pre_tokenizers

from gristmill import cli
from gristmill.errors import ConfigError, InputError, UserError
from pipelines.tokenizer.hugging_face import UnequalError, build_fast_tokenizer, check_equal
from pipelines.tokenizer.import_export import export_tokenizer, import_tokenizer
from pipelines.tokenizer.imports import fast_of_ranks, left_out, spellings
from pipelines.tokenizer.training import iter_training_lines

tiktoken = pytest.importorskip("tiktoken", reason="the extra `dev` brings tiktoken")

PAIRS = {bytes([byte]): byte for byte in range(256)}
PAIRS |= {
    bytes([a, b]): 256 + 256 * a + b for a in range(256) for b in range(256)
}  # every cut shows


def model_of(texts, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(iter_training_lines(texts)),
        model_writer=model,
        vocab_size=400,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        model_type="bpe",
        byte_fallback=True,
        **options,
    )
    return model.getvalue()


@pytest.fixture(scope="module")
def texts(prose):
    return [prose(seed, 8) for seed in range(20)]


@pytest.fixture(scope="module")
def one_spaced(texts):
    return model_of(texts, normalization_rule_name="identity")


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc", "nmt_nfkc_cf"])
def test_a_model_that_replaces_characters_has_no_form(texts, rule):
    with pytest.raises(UnequalError, match=f"it replaces characters \\({rule}\\)"):
        build_fast_tokenizer(model_of(texts, normalization_rule_name=rule))


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from(" ▁ab\n\t\u3000<s>")))
def test_a_model_that_keeps_one_space_of_many_has_an_exact_form(one_spaced, text):
    assert (
        check_equal(
            one_spaced, build_fast_tokenizer(one_spaced), [text, text + " ▁ ", "\n  " + text]
        )
        == 3
    )


def unigram():
    pieces = [("<unk>", 0.0), ("</s>", 0.0), *((character, -5.0) for character in "▁ab</s>")]
    made = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    made.add_special_tokens(
        [AddedToken("</s>", normalized=False, special=True), AddedToken("<unk>", special=True)]
    )
    return made


def words(mask):
    made = tokenizers.Tokenizer(
        models.WordLevel({"[UNK]": 0, "a": 1, "[MASK]": 2}, unk_token="[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens([AddedToken("[UNK]", special=True)])
    (made.add_special_tokens if mask else made.add_tokens)([AddedToken("[MASK]", special=mask)])
    return made


def pieces(special):
    vocabulary = {"[UNK]": 0, "a": 1, "[": 2, "mask": 3, "]": 4, "[MASK]": 5}
    made = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens([AddedToken("[UNK]", special=True)])
    (made.add_special_tokens if special else made.add_tokens)(
        [AddedToken("[MASK]", special=special)]
    )
    return made


def import_json(made, folder):
    made.save(str(folder / "tokenizer.json"))
    (folder / "special_tokens_map.json").write_text(
        '{"mask_token": "[MASK]", "unk_token": "[UNK]"}'
    )
    return import_tokenizer(folder, folder / "runs", pattern=None, special=[])


@pytest.mark.parametrize(
    ("made", "token", "fix"),
    [
        (unigram(), "</s>", "sentencepiece model"),
        (words(mask=True), r"\[MASK\]", "sentencepiece model"),
        (pieces(special=False), r"\[MASK\]", "`special` of this token"),
    ],
)
def test_a_tokenizer_json_that_takes_text_for_a_special_token_is_refused(
    tmp_path, made, token, fix
):
    with pytest.raises(
        InputError,
        match=rf"(?s)a text that spells this special token would become it.*{token}.*{fix}",
    ):
        import_json(made, tmp_path)
    assert not list((tmp_path / "runs").glob("*/manifest.json"))


def test_one_that_cuts_the_spelling_into_pieces_is_taken_and_its_unknown_token_may_stand_for_text(
    tmp_path,
):
    run = import_json(pieces(special=True), tmp_path)
    assert run.details["special"] == {"mask": 5, "unk": 0} and run.details["vocab_size"] == 6


def test_an_unknown_token_that_has_another_role_is_refused(tmp_path):
    made = tokenizers.Tokenizer(models.WordLevel({"<e>": 0, "a": 1}, unk_token="<e>"))
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": "<e>", "unk_token": "<e>"}')
    with pytest.raises(InputError, match="would become it"):
        import_tokenizer(tmp_path, tmp_path / "runs", pattern=None, special=[])


def test_a_token_is_looked_for_as_it_is_written_and_as_the_bytes_it_stands_for():
    assert spellings("\u0120x")[:2] == ["\u0120x", " \u0120x"] and spellings("\u0120x")[5] == " x"
    assert spellings("中") == ["中", " 中", "a中b", "a 中 b", "中中"]


OWN = [
    r"\p{L}+",
    r"[a-c]{2}|x",
    r" ?\p{L}+|\p{N}{1,3}",
    r"\w+(?=b)|c",
    r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+",
]


@pytest.mark.parametrize("pattern", OWN)
@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.sampled_from("abcx 01中é.\n"))
    | st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=20)
)
def test_what_a_pattern_does_not_match_is_left_out_as_tiktoken_leaves_it_out(
    own_forms, pattern, text
):
    ours, theirs = own_forms[pattern]
    assert ours.encode(text).ids == theirs.encode_ordinary(text)


@pytest.fixture(scope="module")
def own_forms():
    return {
        own: (
            fast_of_ranks(PAIRS, own, {}),
            tiktoken.Encoding("t", pat_str=own, mergeable_ranks=PAIRS, special_tokens={}),
        )
        for own in OWN
    }


def tiktoken_file(folder, name="a.tiktoken"):
    lines = (f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256))
    (folder / name).write_bytes("".join(lines).encode())
    return folder / name


def test_a_pattern_that_leaves_text_out_is_told_of_with_an_example(tmp_path, capsys):
    import_tokenizer(tiktoken_file(tmp_path), tmp_path / "runs", pattern=r"\p{L}+", special=[])
    assert (
        "this pattern leaves text out, as in tiktoken: of ' ' stays ''" in capsys.readouterr().err
    )
    assert left_out(OWN[-1]) == "" == left_out("gpt2")


@pytest.mark.parametrize("pattern", ["a*", r"a*|\S+|\s+", r"\b", "(?=a)|.", "(?!a)"])
def test_a_pattern_that_matches_nothing_between_characters_is_refused(tmp_path, pattern):
    with pytest.raises(ConfigError, match="matches where there is nothing"):
        import_tokenizer(tiktoken_file(tmp_path), tmp_path / "runs", pattern=pattern, special=[])


@pytest.mark.parametrize(
    "options", [{"pattern": "gpt2", "special": []}, {"pattern": None, "special": ["<e>=400"]}]
)
@pytest.mark.parametrize("name", ["tokenizer.json", "a.model"])
def test_pattern_and_special_are_refused_where_they_would_do_nothing(
    tmp_path, one_spaced, name, options
):
    (tmp_path / "a.model").write_bytes(one_spaced)
    pieces(special=True).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConfigError, match="only a tiktoken file takes --pattern and --special"):
        import_tokenizer(tmp_path / name, tmp_path / "runs", **options)
    assert not (tmp_path / "runs").exists()


def test_ranks_are_known_by_their_first_line_too(tmp_path):
    run = import_tokenizer(
        tiktoken_file(tmp_path, "tokenizer.model"), tmp_path / "runs", pattern="gpt2", special=[]
    )
    assert run.details["kind"] == "huggingface" and run.details["vocab_size"] == 256
    with pytest.raises(ConfigError, match="does not say how texts are cut"):
        import_tokenizer(tmp_path / "tokenizer.model", tmp_path / "runs", pattern=None, special=[])


def test_an_export_into_a_run_is_refused_and_leaves_it_whole(tmp_path, one_spaced):
    (tmp_path / "a.model").write_bytes(one_spaced)
    run = import_tokenizer(tmp_path / "a.model", tmp_path / "runs", pattern=None, special=[])
    before = sorted(path.name for path in run.path.rglob("*"))
    for to in (
        run.path,
        run.path / "tokenizer",
        run.path / "new",
        run.path.parent / "x" / ".." / run.id,
    ):
        with pytest.raises(UserError, match="cannot be written into a run"):
            export_tokenizer(run, to)
    assert sorted(path.name for path in run.path.rglob("*")) == before and run.verify() == []
    assert export_tokenizer(run, tmp_path / "out") == 15


def test_an_export_says_how_it_is_to_be_opened(tmp_path, one_spaced, capsys):
    (tmp_path / "a.model").write_bytes(one_spaced)
    run = import_tokenizer(tmp_path / "a.model", tmp_path / "runs", pattern=None, special=[])
    assert cli.run(["tokenizer", "export", str(run.path), "--to", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().err
    assert (
        f"open it with AutoTokenizer.from_pretrained('{tmp_path / 'out'}')" in told
        and "tokenizer_file" in told
    )
    other = import_json(pieces(special=True), tmp_path)
    assert cli.run(["tokenizer", "export", str(other.path), "--to", str(tmp_path / "json")]) == 0
    assert "give split_special_tokens=True for text from the web" in capsys.readouterr().err
