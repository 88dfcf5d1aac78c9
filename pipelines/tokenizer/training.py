"""Train a sentencepiece model (BPE or unigram) with byte fallback, the same bytes on every machine.

Model bytes depend on the thread count and on input file names, so the text comes through an iterator and the threads
are part of the configuration. No normalization beyond ours: what is encoded decodes to the same text.

The scores of a unigram model are rounded to multiples of QUANTUM: then all sums that sentencepiece makes in single precision
are exact, and whoever adds in double precision, as `tokenizers` does, chooses the same pieces in a text of any length.
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
"""The special pieces by id. They are control symbols: text that spells one can never become its id."""

QUANTUM = 2.0**-7
"""sentencepiece keeps its sums within 2 ** 17 (it takes off what exceeds 100,000): 17 and 7 bits are single precision's 24."""

SPELLING = "".join(sorted(set("".join(SPECIAL)) | set("<0x123456789ABCDEF>")))
"""Characters of the special and byte pieces: each is a piece of a unigram model, so that no text must be cut into those."""

LONGEST_LINE = 4000
"""Bytes of a training line; sentencepiece skips longer ones silently, so ours are cut."""


def train(texts: Iterable[str], config: TokenizerConfig, *, at_most: bool = False) -> bytes:
    """The bytes of the model. Raises ConfigError where the sample cannot fill the vocabulary, unless it is `at_most` so large."""
    model, limit = (
        io.BytesIO(),
        dict[str, Any](hard_vocab_limit=False) if at_most else {},
    )  # said only where it is another
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
            max_sentence_length=LONGEST_LINE + 16,
            num_threads=config.threads,
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            control_symbols=list(SPECIAL[CLS:]),
            split_digits=True,
            required_chars=SPELLING if config.model_type == "unigram" else "",
            **limit,
        )
    except RuntimeError as error:
        problem = str(error).strip().splitlines()[-1][-200:]
        fix = f"give it more text, or choose a smaller vocabulary: --set tokenizer.vocab_size={_most(problem)}"
        if "required_chars" in problem:
            fix = "choose a larger vocabulary (--set tokenizer.vocab_size=...) or a lower tokenizer.character_coverage"
        raise ConfigError(
            "sentencepiece cannot train this vocabulary",
            {"vocab_size": config.vocab_size, "problem": problem},
            fix,
        ) from None
    return round_scores(model.getvalue()) if config.model_type == "unigram" else model.getvalue()


def round_scores(model: bytes) -> bytes:
    """A unigram model whose scores are rounded to QUANTUM."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    for piece in proto.pieces:
        piece.score = round(piece.score / QUANTUM) * QUANTUM
    return bytes(proto.SerializeToString(deterministic=True))


def _most(problem: str) -> str:
    """The largest vocabulary that sentencepiece says the sample allows, or dots where it says none."""
    found = re.search(r"<= (\d+)", problem)
    return found[1] if found else "..."


def iter_training_lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of the texts, none empty, none longer than LONGEST_LINE bytes: long ones are cut, never skipped.

    Without null characters and U+2585, for which sentencepiece skips a line.
    """
    for text in texts:
        for line in text.replace("\0", "").replace("\u2585", "").split("\n"):
            yield from (piece for piece in cut_line(line) if piece.strip())


def cut_line(line: str) -> Iterator[str]:
    """`line` in pieces of at most LONGEST_LINE bytes, cut at a space where there is one."""
    raw, start = line.encode(), 0
    while len(raw) - start > LONGEST_LINE:
        head = raw[start : start + LONGEST_LINE].decode("utf-8", errors="ignore")
        cut = head.rfind(" ")
        head = head[:cut] if cut > 0 else head
        yield head
        start += len(head.encode())
    yield raw[start:].decode()
