"""Writes the corpus's tokenizer beside an exported model, framed as the model was trained, and checks it id by id."""

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
"""Texts that wrong tokenizer conversions get wrong; documents of the validation split are checked beside them."""


def write_tokenizer(folder: Path, tokenizer: Tokenizer, *, masked: bool, length: int) -> None:
    """Copy the tokenizer; add how the model frames a text, what it reads, and for a masked model what `[MASK]` means."""
    for path in sorted(tokenizer.folder.iterdir()):
        storage.commit_bytes(folder / path.name, path.read_bytes())
    fast = tokenizers.Tokenizer.from_file(str(tokenizer.folder / "tokenizer.json"))
    settings = storage.read_json(folder / "tokenizer_config.json")
    if masked:
        _open_masks(fast)
        # The corpus's tokenizer reads a crawled "[MASK]" as text. Here it must be the mask, or no stock fill-mask
        # works; who encodes text from the web with this folder passes split_special_tokens=True himself.
        settings["split_special_tokens"] = False
        settings["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    else:
        settings["model_input_names"] = [
            "input_ids",
            "attention_mask",
        ]  # generate() refuses segment ids
        settings["padding_side"] = "left"  # several prompts at once are continued at their ends
    fast.post_processor = _frame(masked)
    storage.commit_bytes(folder / "tokenizer.json", fast.to_str(pretty=True).encode())
    storage.commit_json(folder / "tokenizer_config.json", {**settings, "model_max_length": length})


def _frame(masked: bool) -> TemplateProcessing:
    """What surrounds one text, and two."""
    special = {
        id_: (SPECIAL_PIECES[id_], id_.value) for id_ in (Special.BOS, Special.CLS, Special.SEP)
    }
    if masked:
        single, pair, used = (
            "[CLS] $A [SEP]",
            "[CLS] $A [SEP] $B:1 [SEP]:1",
            (Special.CLS, Special.SEP),
        )
        return TemplateProcessing(
            single=single, pair=pair, special_tokens=[special[id_] for id_ in used]
        )
    return TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[special[Special.BOS]]
    )


def _open_masks(fast: tokenizers.Tokenizer) -> None:
    """Give the text around a `[MASK]` the ids it has in training: a mask stands for a piece, its leading space included.

    The corpus's normalizer puts the space that opens a text before every stretch between special tokens, so that
    "我[MASK]你" would show the model a space it never saw there. Two pre-tokenizers put it before the first stretch only:
    one adds a real space (all others are marked by then), one marks it; alone, the second would spare a text that opens
    with a mark. The ids of texts without a mask stay as they are.
    """
    fast.normalizer = normalizers.Replace(" ", SPACE)
    opening = pre_tokenizers.Metaspace(" ", prepend_scheme="first", split=False)
    marking = pre_tokenizers.Metaspace(SPACE, prepend_scheme="never", split=False)
    fast.pre_tokenizer = pre_tokenizers.Sequence([opening, marking])
    fast.add_special_tokens([AddedToken("[MASK]", normalized=False, special=True, lstrip=True)])


def check_ids(folder: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> int:
    """Encode texts with the exported tokenizer; raises GristmillError unless the ids are sentencepiece's. Returns how many."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text in texts:
        # Text is never a command: a literal "[MASK]" in a document stays text, as sentencepiece has it.
        found = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        wanted = tokenizer.pieces.encode(text)
        if found != wanted:
            where = next(
                (i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b),
                len(wanted),
            )
            raise GristmillError(
                f"export refused: AutoTokenizer of {folder} gives other ids than sentencepiece for {text[:60]!r}: "
                f"{found[where : where + 5]}, not {wanted[where : where + 5]}, from token {where} on"
            )
    return len(texts)
