"""What the tests of preparation share: the words of a text by an obvious reference, kernels on lists, sample prose."""

import os
import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.kernels.buffers import text_buffers
from pipelines.kernels.unicode import NO_SPACES, class_table, lower_table
from pipelines.kernels.words import split_words

TRICKY = (
    "abcXYZ 019 \t\n\r'’\".,;!?…#-–_@/{}[]()<>|=*:"
    "éßİıΣσςДдئا\u0301\u0308\u0e31\u0e35\u200b\u200d\u00ad\ufeff\u2028\x00\x0b\x85\xa0\u3000"
    "中文字国々〇のカー。！？，ไทยการေမြန်កខ👍🏽\U0001f1e8𝒜\U00020000\U000e0101"
)
"""Characters at which rules about words, lines and marks may break."""


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = os.environ.get("RAYON_NUM_THREADS")
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    yield
    if before is None:
        del os.environ["RAYON_NUM_THREADS"]


def kind_of_char(char: str) -> str:
    """L(etter), N(umber), M(ark), S(ingle), Z (space) or - by the stated rule."""
    code = ord(char)
    if char in "\t\n\x0b\x0c\r\x85":
        return "Z"
    kind = unicodedata.category(char)[0] if code < 0x40000 else "-"
    if kind in "LN" and any(first <= code <= last for first, last in NO_SPACES):
        return "S"
    return kind if kind in "LNMZ" else "-"


def reference_words(text: str) -> list[tuple[int, int]]:
    """(start, end) of every word, in characters: the rule of kernels/unicode.py written down plainly."""
    kinds = [kind_of_char(char) for char in text] + ["-"]
    found, at = [], 0
    while at < len(text):
        end = at + 1
        if kinds[at] == "S":
            while kinds[end] == "M":
                end += 1
        elif kinds[at] in "LN":
            while kinds[end] in "LNM" or (
                end + 1 < len(text) and text[end] in "'’" and "L" in kinds[at:end] and kinds[end + 1] == "L"
            ):
                end += 1
        else:
            at += 1
            continue
        found.append((at, end))
        at = end
    return found


@pytest.fixture(scope="session")
def tricky() -> str:
    """Characters at which rules may break."""
    return TRICKY


@pytest.fixture(scope="session")
def words_of() -> Callable[[str], list[str]]:
    """The words of a text in the form in which they are compared, by the reference."""

    def words(text: str) -> list[str]:
        low = "".join(c.lower() if len(c.lower()) == 1 else c for c in text).replace("’", "'")
        return [low[start:end] for start, end in reference_words(text)]

    return words


@pytest.fixture(scope="session")
def char_kind() -> Callable[[str], str]:
    """The function `kind_of_char`."""
    return kind_of_char


@pytest.fixture(scope="session")
def word_spans() -> Callable[[str], list[tuple[int, int]]]:
    """The function `reference_words`."""
    return reference_words


Words = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]


@pytest.fixture(scope="session")
def kernel_words() -> Callable[[str], Words]:
    """(starts, ends, lengths, hashes, letters, characters) of a text, by the kernel."""

    def split(text: str) -> Words:
        data, offsets = text_buffers(pa.array([text], pa.string()))
        room = len(data) + 1
        starts, ends, lengths = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int32)
        hashes, letters = np.empty(room, np.uint64), np.empty(room, np.bool_)
        count, chars = split_words(
            data, offsets[0], offsets[1], class_table(), lower_table(), starts, ends, lengths, hashes, letters
        )
        return starts[:count], ends[:count], lengths[:count], hashes[:count], letters[:count], chars

    return split


SUBJECTS = ["The miller", "An old engineer", "My neighbour", "A careful reader", "The night train", "Her brother"]
VERBS = ["repaired", "measured", "remembered", "painted", "described", "carried home"]
THINGS = ["the water wheel", "a broken clock", "seven green lanterns", "an unread letter", "the long bridge"]
ENDS = ["before the rain came", "without saying a word", "and walked to the market", "because nobody else would"]
ZH = [
    "磨坊主",
    "老工程师",
    "我的邻居",
    "修好了",
    "仔细地量了",
    "想起了",
    "那座水车",
    "一封没读过的信",
    "在下雨之前",
    "然后走去市场",
]


@pytest.fixture(scope="session")
def prose() -> Callable[..., str]:
    """A function giving `sentences` sentences of English (or Chinese) prose from a seed."""

    def write(seed: int, sentences: int = 12, *, lang: str = "en") -> str:
        rng = random.Random(seed)
        if lang == "zh":
            return "".join("".join(rng.choice(ZH) for _ in range(5)) + "。" for _ in range(sentences))
        parts = [[rng.choice(words) for words in (SUBJECTS, VERBS, THINGS, ENDS)] for _ in range(sentences)]
        return " ".join(f"{' '.join(part)} {rng.randint(2, 9999)}." for part in parts)

    return write


@pytest.fixture(scope="session")
def write_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes, str], str]:
    """A function that writes bytes below a folder of their own and returns the path: for hypothesis, which has no tmp_path."""

    def write(data: bytes, name: str) -> str:
        path = Path(tmp_path_factory.mktemp("file")) / name
        path.write_bytes(data)
        return str(path)

    return write
