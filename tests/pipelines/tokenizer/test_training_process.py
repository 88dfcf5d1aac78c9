"""Training apart: progress from the log, the answer or the error of the work, and no hanging when it dies."""

import os
import signal

import pytest
import sentencepiece

from gristmill.errors import ConfigError, Stopped
from pipelines.tokenizer.config import TokenizerConfig
from pipelines.tokenizer.training import train
from pipelines.tokenizer.training_process import count_logged_pieces, train_apart


def answer(first, second):
    os.write(2, b"something on stderr\n")
    return first + second


def refuse(what):
    raise ConfigError(what, {"vocab_size": 7}, "choose another")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_answer_comes_back_and_stderr_goes_to_the_log(tmp_path):
    assert train_apart(answer, ("a", "b"), log=tmp_path / "new" / "log", pieces=9) == "ab"
    assert (tmp_path / "new" / "log").read_bytes() == b"something on stderr\n"


def test_an_error_comes_back_with_all_it_says(tmp_path):
    with pytest.raises(ConfigError, match="too large") as caught:
        train_apart(refuse, ("too large",), log=tmp_path / "log", pieces=9)
    assert (caught.value.where, caught.value.fix, caught.value.exit_code) == (
        {"vocab_size": 7},
        "choose another",
        2,
    )


def test_a_killed_training_is_told_and_resumable(tmp_path):
    with pytest.raises(Stopped, match=r"died \(-9\)") as caught:
        train_apart(die, (), log=tmp_path / "log", pieces=9)
    assert caught.value.exit_code == 75


def train_some(folder):
    texts = [
        f"{n} the miller measures {n * 37} sacks of flour and rye by the river" for n in range(400)
    ]
    model = train(texts, TokenizerConfig(vocab_size=360, threads=1))
    with open(folder, "wb") as file:
        file.write(model)


def test_the_log_of_a_real_training_tells_its_pieces(tmp_path):
    train_apart(train_some, (tmp_path / "model",), log=tmp_path / "log", pieces=360)
    assert (
        sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "model")).get_piece_size()
        == 360
    )
    assert 20 <= count_logged_pieces(tmp_path / "log") <= 360


def test_the_last_count_in_a_log_is_taken_and_none_is_zero(tmp_path):
    log = tmp_path / "log"
    assert count_logged_pieces(log) == 0
    log.write_bytes(
        b"Added: freq=9 size=20 all=77\n"
        + b"x" * 9000
        + b"Added: freq=3 size=140 all=99\nAdded: freq=2 si"
    )
    assert count_logged_pieces(log) == 140
    log.write_bytes(b"no such line\n")
    assert count_logged_pieces(log) == 0
