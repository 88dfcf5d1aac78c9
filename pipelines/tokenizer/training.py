"""Train a sentencepiece model (BPE or unigram) with byte fallback, the same bytes on every machine.

Model bytes depend on the thread count and on input file names, so the text comes through an iterator
and the threads are part of the configuration. No normalization beyond ours: what is encoded decodes
to the same text.

The scores of a unigram model are rounded to multiples of QUANTUM: then all sums that sentencepiece
makes in single precision are exact, and a library that adds in double precision, as `tokenizers`
does, chooses the same pieces in a text of any length.
"""

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from gristmill.errors import ConfigError
from pipelines.tokenizer.config import TokenizerConfig

PAD, UNK, BOS, EOS, CLS, SEP, MASK = range(7)
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "[CLS]", "[SEP]", "[MASK]")
"""The special pieces by id. They are control symbols: text that spells one never becomes its id."""

QUANTUM = 2.0**-7
"""sentencepiece keeps its sums within 2 ** 17 (it takes off what exceeds 100,000):
17 and 7 bits are single precision's 24."""

SPELLING = "".join(sorted(set("".join(SPECIAL)) | set("<0x123456789ABCDEF>")))
"""Characters of the special and byte pieces: each is a piece of a unigram model, so that no text
must be cut into those."""

LONGEST_LINE = 4000
"""Bytes of a training line; sentencepiece skips longer ones silently, so they are cut."""

LINE_MARGIN = 16
"""Added to LONGEST_LINE for sentencepiece, whose count includes the space it puts in front."""

SKIPPED_CHARACTERS = str.maketrans("", "", "\0\u2585")
"""sentencepiece skips a line that has one: null, and the block that it uses as a mark."""

PROBLEM_CHARACTERS = 200
"""Of sentencepiece's message, at its end."""


def train(texts: Iterable[str], config: TokenizerConfig, *, at_most: bool = False) -> bytes:
    """Return the bytes of the model.

    Raises ConfigError where the sample cannot fill the vocabulary; with `at_most` the model then has
    as many pieces as the sample allows.
    """
    model = io.BytesIO()
    # passed only where it differs: each given option is written into the model's bytes
    limit: dict[str, Any] = {"hard_vocab_limit": False} if at_most else {}
    is_unigram = config.model_type == "unigram"
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter_training_lines(texts),
            model_writer=model,
            model_type=config.model_type,
            vocab_size=config.vocab_size,
            byte_fallback=True,
            character_coverage=config.character_coverage,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=LONGEST_LINE + LINE_MARGIN,
            num_threads=config.threads,
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            control_symbols=list(SPECIAL[CLS:]),
            split_digits=True,
            required_chars=SPELLING if is_unigram else "",
            **limit,
        )
    except RuntimeError as error:
        raise _explain_failure(str(error), config) from None
    return round_scores(model.getvalue()) if is_unigram else model.getvalue()


def _explain_failure(message: str, config: TokenizerConfig) -> ConfigError:
    """Return the user's error for a message of sentencepiece."""
    problem = message.strip().splitlines()[-1][-PROBLEM_CHARACTERS:]
    allowed = re.search(r"<= (\d+)", problem)
    largest = allowed[1] if allowed else "..."
    fix = f"give it more text, or choose a smaller vocabulary: --set tokenizer.vocab_size={largest}"
    if "required_chars" in problem:
        fix = (
            "choose a larger vocabulary (--set tokenizer.vocab_size=...)"
            " or a lower tokenizer.character_coverage"
        )
    return ConfigError(
        "sentencepiece cannot train this vocabulary",
        {"vocab_size": config.vocab_size, "problem": problem},
        fix,
    )


def round_scores(model: bytes) -> bytes:
    """Return a unigram model with its scores rounded to multiples of QUANTUM."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    for piece in proto.pieces:
        piece.score = round(piece.score / QUANTUM) * QUANTUM
    return bytes(proto.SerializeToString(deterministic=True))


def iter_training_lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the texts: none empty, none longer than LONGEST_LINE bytes."""
    for text in texts:
        for line in text.translate(SKIPPED_CHARACTERS).split("\n"):
            for part in cut_line(line):
                if part.strip():
                    yield part


def cut_line(line: str) -> Iterator[str]:
    """Yield `line` in parts of at most LONGEST_LINE bytes, cut at a space where there is one."""
    raw = line.encode()
    start = 0
    while len(raw) - start > LONGEST_LINE:
        # "ignore" drops a character that the limit cuts in two; it begins the next part
        head = raw[start : start + LONGEST_LINE].decode("utf-8", errors="ignore")
        last_space = head.rfind(" ")
        if last_space > 0:
            head = head[:last_space]
        yield head
        start += len(head.encode())
    yield raw[start:].decode()
