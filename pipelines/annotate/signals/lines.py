"""Signals of lines: what `lines.toml` says of notices, menus and code, given to the kernel."""

import tomllib
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipelines.annotate.kernels.lines import (
    JAVASCRIPT,
    LOREM,
    MENU,
    NOTE,
    POLICY,
    CodeHeads,
    encode_heads,
    measure_lines,
)
from pipelines.annotate.kernels.phrases import PhraseAutomaton, build_phrase_automaton


def load_line_words() -> dict[str, dict[str, list[str]]]:
    """The lists of lines.toml by section."""
    return tomllib.loads((Path(__file__).parent / "lines.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def build_tables() -> tuple[PhraseAutomaton, CodeHeads]:
    """The lists as the kernel wants them."""
    words = load_line_words()
    c4, code = words["c4"], words["code"]
    kinds = {
        JAVASCRIPT: c4["javascript"],
        POLICY: [*c4["policies_en"], *c4["policies_zh"]],
        LOREM: c4["lorem"],
        NOTE: [*words["notices"]["en"], *words["notices"]["zh"]],
        MENU: [*words["menus"]["en"], *words["menus"]["zh"]],
    }
    return build_phrase_automaton(kinds, length_kind=MENU), encode_heads(
        code["sure"], code["maybe"]
    )


def compute_line_numbers(data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """float64 (n, len(LINE_FIELDS)) for n documents in UTF-8 `data` cut by `offsets` (n + 1)."""
    return measure_lines(data, offsets, *build_tables())
