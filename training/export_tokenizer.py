"""Writes the corpus's tokenizer beside an exported model, framed as the model was trained, and
checks it id by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from gristmill.errors import GristmillError
from gristmill.runs import storage
from training.corpus import SPECIAL_PIECES, Tokenizer
from training.data import Special

SPACE = "▁"
"""How sentencepiece writes a space (U+2581)."""

PROBES = (
    "",
    " ",
    "Large language models, trained on 新闻 and 社交媒体 text.",
    "  leading and  double spaces ",
    "emoji 😀 é naïve ﬁ Ａ １２",
    "tab\tand\nnewline",
    "a literal [MASK] and </s> in crawled text",
    "漢字 龘 rare",
    "▁weird▁",
)
"""Texts that wrong tokenizer conversions get wrong; documents of the validation split are checked
beside them.
"""


def write_tokenizer(folder: Path, tokenizer: Tokenizer, *, masked: bool, length: int) -> None:
    """Copy the tokenizer; add how the model frames a text, what it reads, and for a masked model
    what `[MASK]` means.
    """
    for path in sorted(tokenizer.folder.iterdir()):
        storage.commit_bytes(folder / path.name, path.read_bytes())
    fast = tokenizers.Tokenizer.from_file(str(tokenizer.folder / "tokenizer.json"))
    settings = storage.read_json(folder / "tokenizer_config.json")
    if masked:
        _open_masks(fast)
        # The corpus's tokenizer reads a crawled "[MASK]" as text. Here it must be the mask, or no
        # stock fill-mask works; to encode text from the web, pass split_special_tokens=True.
        settings["split_special_tokens"] = False
        settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    else:
        # generate() refuses segment ids.
        settings["model_input_names"] = ["input_ids", "attention_mask"]
        # Several prompts at once are continued at their ends.
        settings["padding_side"] = "left"
    fast.post_processor = _frame(masked)
    storage.commit_bytes(folder / "tokenizer.json", fast.to_str(pretty=True).encode())
    storage.commit_json(folder / "tokenizer_config.json", {**settings, "model_max_length": length})


def _frame(masked: bool) -> TemplateProcessing:
    """What surrounds one text, and two."""
    if masked:
        return TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=_special_tokens(Special.CLS, Special.SEP),
        )
    return TemplateProcessing(
        single="<s> $A",
        pair="<s> $A $B",
        special_tokens=_special_tokens(Special.BOS),
    )


def _special_tokens(*specials: Special) -> list[tuple[str, int]]:
    return [(SPECIAL_PIECES[special], special.value) for special in specials]


def _open_masks(fast: tokenizers.Tokenizer) -> None:
    """Give the text around a `[MASK]` the ids it has in training: a mask stands for a piece, its
    leading space included.

    The corpus's normalizer puts the space that opens a text before every stretch between special
    tokens, so that "我[MASK]你" would show the model a space it never saw there. Two pre-tokenizers
    put it before the first stretch only: one adds a real space (all others are marked by then), one
    marks it; alone, the second would spare a text that opens with a mark. The ids of texts without
    a mask stay as they are.
    """
    fast.normalizer = normalizers.Replace(" ", SPACE)
    opening = pre_tokenizers.Metaspace(" ", prepend_scheme="first", split=False)
    marking = pre_tokenizers.Metaspace(SPACE, prepend_scheme="never", split=False)
    fast.pre_tokenizer = pre_tokenizers.Sequence([opening, marking])
    fast.add_special_tokens([AddedToken("[MASK]", normalized=False, special=True, lstrip=True)])


def check_ids(folder: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> int:
    """Encode texts with the exported tokenizer; GristmillError unless the ids are sentencepiece's.

    Returns how many texts were compared.
    """
    from transformers import AutoTokenizer

    exported = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text in texts:
        # Text is never a command: a literal "[MASK]" in a document stays text, as in sentencepiece.
        options = {"add_special_tokens": False, "split_special_tokens": True}
        ids: list[int] = exported(text, **options)["input_ids"]
        expected: list[int] = tokenizer.pieces.encode(text)
        if ids != expected:
            raise GristmillError(_describe_difference(folder, text, ids, expected))
    return len(texts)


def _describe_difference(folder: Path, text: str, ids: list[int], expected: list[int]) -> str:
    """The first tokens that differ, and where."""
    pairs = enumerate(zip(ids, expected, strict=False))
    differing = (number for number, (id_, other) in pairs if id_ != other)
    # Where one list is the beginning of the other, they differ at its end.
    start = next(differing, len(expected))
    return (
        f"export refused: AutoTokenizer of {folder} gives other ids than sentencepiece for"
        f" {text[:60]!r}: {ids[start : start + 5]}, not {expected[start : start + 5]},"
        f" from token {start} on"
    )
