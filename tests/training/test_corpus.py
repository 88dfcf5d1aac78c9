"""A pack run is opened only when its shards, its tokenizer and its manifest agree."""

import io

import pytest
import sentencepiece as spm

from gristmill.errors import InputError
from gristmill.hashing import sha256_file
from gristmill.runs import storage
from training.corpus import SPECIAL_PIECES, open_corpus, open_tokenizer
from training.data import FIRST_TEXT_ID, Special


def test_a_corpus_has_both_splits_and_the_tokenizer_that_made_them(pack, corpus):
    assert corpus.train.documents == 240
    assert corpus.validation.documents == 60
    assert corpus.tokenizer.vocabulary == 512
    assert corpus.tokenizer.sha256 == sha256_file(pack.path / "tokenizer" / "tokenizer.model")
    assert corpus.tokenizer.folder == pack.path / "tokenizer"


def test_the_token_ids_of_a_split_decode_to_its_documents(corpus):
    split = corpus.train
    begin, end = split.token_starts[3:5]
    text = corpus.tokenizer.pieces.decode(split.text(begin, end).tolist())
    assert text.endswith("。")
    assert split.byte_starts[4] - split.byte_starts[3] == len(text.replace(" ", "").encode())


def test_special_pieces_have_fixed_ids_and_text_begins_after_them(corpus):
    assert [special.value for special in Special] == list(range(7))
    assert FIRST_TEXT_ID == 7
    assert corpus.tokenizer.pieces.piece_to_id(list(SPECIAL_PIECES.values())) == list(range(7))


def test_text_never_becomes_a_special_token(corpus):
    for piece in SPECIAL_PIECES.values():
        assert min(corpus.tokenizer.pieces.encode(f"before {piece} after")) >= FIRST_TEXT_ID


def test_a_tokenizer_with_other_special_ids_is_refused_with_what_was_found(tmp_path):
    model = io.BytesIO()
    texts = iter(["one two three four five six seven"] * 20)
    spm.SentencePieceTrainer.train(
        sentence_iterator=texts,
        model_writer=model,
        vocab_size=280,
        byte_fallback=True,
        model_type="bpe",
        minloglevel=2,
    )
    storage.commit_bytes(tmp_path / "tokenizer.model", model.getvalue())
    with pytest.raises(InputError, match="other special ids than training needs") as refused:
        open_tokenizer(tmp_path)
    assert "'<s>': 1" in str(refused.value)
    assert "<pad>=0, <unk>=1, <s>=2, </s>=3, [CLS]=4, [SEP]=5, [MASK]=6" in str(refused.value)


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(InputError, match=r"there is no sentencepiece model[\s\S]*tokenizer\.model"):
        open_tokenizer(tmp_path)


def test_an_imported_tokenizer_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"this one was imported[\s\S]*tokenizer train"):
        open_tokenizer(tmp_path)


def test_an_exchanged_tokenizer_is_refused_naming_both(make_pack, tmp_path):
    pack = make_pack(tmp_path, train=10, validation=10)
    model = pack.path / "tokenizer" / "tokenizer.model"
    made_with = sha256_file(model)
    model.write_bytes(
        model.read_bytes() + b"\xc0\x3e\x01"
    )  # one more field, number 1000, that no reader knows
    with pytest.raises(InputError, match="another tokenizer") as refused:
        open_corpus(pack)
    assert made_with[:12] in str(refused.value)
    assert sha256_file(model)[:12] in str(refused.value)


def test_a_damaged_tokenizer_is_an_input_error_not_a_crash(make_pack, tmp_path):
    model = make_pack(tmp_path, train=10, validation=10).path / "tokenizer" / "tokenizer.model"
    model.write_bytes(model.read_bytes()[:-7])
    with pytest.raises(InputError, match="this sentencepiece model cannot be read"):
        open_tokenizer(model.parent)


def test_a_missing_shard_is_refused(make_pack, tmp_path):
    pack = make_pack(tmp_path, train=10, validation=10)
    shard = next((pack.path / "validation").glob("*.arrow"))
    shard.unlink()
    with pytest.raises(InputError, match="there is no such shard"):
        open_corpus(pack)
