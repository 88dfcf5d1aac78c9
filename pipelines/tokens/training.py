"""Train a sentencepiece BPE model with byte fallback, the same bytes on every machine.

Model bytes depend on the thread count and on input file names, so the text comes through an iterator and the threads
are part of the configuration. No normalization beyond ours: what is encoded decodes to the same text.
"""

import io
import re
from collections.abc import Iterable, Iterator

import sentencepiece

from gristmill.errors import ConfigError
from pipelines.config import TokenizerConfig

PAD, UNK, BOS, EOS, CLS, SEP, MASK = range(7)
SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "[CLS]", "[SEP]", "[MASK]")
"""The special pieces by id. They are control symbols: text that spells one can never become its id."""

LONGEST_LINE = 4000
"""Bytes of a training line; sentencepiece skips longer ones silently, so ours are cut."""


def train(texts: Iterable[str], config: TokenizerConfig) -> bytes:
    """The bytes of the model. Raises ConfigError where the sample cannot fill the vocabulary."""
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=training_lines(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=config.vocab_size,
            byte_fallback=True,
            character_coverage=config.character_coverage,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=LONGEST_LINE + 16,
            num_threads=config.threads,
            pad_id=PAD, unk_id=UNK, bos_id=BOS, eos_id=EOS,
            control_symbols=list(SPECIAL[CLS:]),
            split_digits=True,
        )  # fmt: skip
    except RuntimeError as error:
        problem = str(error).strip().splitlines()[-1][-200:]
        fix = f"give it more text, or choose a smaller vocabulary: --set tokenizer.vocab_size={_most(problem)}"
        if "required_chars" in problem:
            fix = "choose a larger vocabulary (--set tokenizer.vocab_size=...) or a lower tokenizer.character_coverage"
        raise ConfigError(
            "sentencepiece cannot train this vocabulary", {"vocab_size": config.vocab_size, "problem": problem}, fix
        ) from None
    return model.getvalue()


def _most(problem: str) -> str:
    """The largest vocabulary that sentencepiece says the sample allows, or dots where it says none."""
    found = re.search(r"<= (\d+)", problem)
    return found[1] if found else "..."


def training_lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of the texts, none empty, none longer than LONGEST_LINE bytes: long ones are cut, never skipped."""
    for text in texts:
        for line in text.split("\n"):
            yield from (piece for piece in cut_line(line) if piece.strip())


def cut_line(line: str) -> Iterator[str]:
    """`line` in pieces of at most LONGEST_LINE bytes, cut at a space where there is one."""
    while len(line.encode()) > LONGEST_LINE:
        head = line.encode()[:LONGEST_LINE].decode("utf-8", errors="ignore")
        cut = head.rfind(" ")
        at = cut if cut > 0 else len(head)
        yield line[:at]
        line = line[at:]
    yield line
