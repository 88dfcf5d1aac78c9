"""What the tests of preparation share: the words of a text by an obvious reference, kernels on lists, sample prose."""

import os
import random
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from pipelines.annotate.kernels.token_classes import (
    ABBREVIATIONS,
    UNCASED,
    UNITS,
    list_contractions,
)
from pipelines.kernels.buffers import get_text_buffers
from pipelines.kernels.unicode import NO_SPACES, build_class_table, build_lower_table
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


def _cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


@pytest.fixture(scope="session")
def check_linear() -> Callable[..., None]:
    """A function that fails unless `work` takes at most 24 times as long on a text 8 times as long.

    Neighbours on the machine can slow any one measurement; work that grows with the square takes 64 times as long in
    every one of the tries.
    """

    def check(work: Callable[..., object], small: object, large: object, *, tries: int = 5) -> None:
        short, long = float("inf"), float("inf")
        for _ in range(tries):
            short, long = (
                min(short, _cpu_seconds(lambda: work(small))),
                min(long, _cpu_seconds(lambda: work(large))),
            )
            if long <= 24 * short + 0.05:
                return
        raise AssertionError(f"8 times the text took {long / short:.0f} times as long")

    return check


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
                end + 1 < len(text)
                and text[end] in "'’"
                and "L" in kinds[at:end]
                and kinds[end + 1] == "L"
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
        data, offsets = get_text_buffers(pa.array([text], pa.string()))
        room = len(data) + 1
        starts, ends, lengths = (
            np.empty(room, np.int64),
            np.empty(room, np.int64),
            np.empty(room, np.int32),
        )
        hashes, letters = np.empty(room, np.uint64), np.empty(room, np.bool_)
        count, chars = split_words(
            data,
            offsets[0],
            offsets[1],
            build_class_table(),
            build_lower_table(),
            starts,
            ends,
            lengths,
            hashes,
            letters,
        )
        return starts[:count], ends[:count], lengths[:count], hashes[:count], letters[:count], chars

    return split


PUNCTUATION = "…，:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
CURRENCIES = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯₰₱₲₳₴₵₸₹₺₼₽₾₿"


def is_uncased(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in UNCASED)


def is_lower(char: str, arabic: bool) -> bool:
    return char.islower() or (is_uncased(char) and not arabic)


def is_upper(char: str, arabic: bool) -> bool:
    return char.isupper() or (is_uncased(char) and arabic)


def is_icon(char: str) -> bool:
    return unicodedata.category(char) == "So"


def special_cut(chunk: str) -> int | None:
    """How many characters a chunk with a cut of its own loses at its end; None for one that has none."""
    if not 2 <= len(chunk) <= 11:
        return None
    if chunk in ABBREVIATIONS or (len(chunk) == 2 and "a" <= chunk[0] <= "z" and chunk[1] == "."):
        return 0
    low = "".join(c.lower() if len(c.lower()) == 1 else c for c in chunk).replace("’", "'")
    return list_contractions().get(low)


def is_address(chunk: str) -> bool:
    return len(chunk) >= 5 and (
        chunk[:4].lower() == "www." or any(chunk[i : i + 3] == "://" for i in (3, 4, 5))
    )


def prefix_size(chunk: str) -> int:
    if chunk.startswith(".."):
        return len(chunk) - len(chunk.lstrip("."))
    if chunk[0] in PUNCTUATION + QUOTES + CURRENCIES + "§%=—–" or is_icon(chunk[0]):
        return 1
    return int(chunk[0] == "+" and not chunk[1:2].isdigit())


def suffix_size(chunk: str, arabic: bool) -> int:
    last, before = chunk[-1], chunk[-2:-1]
    if chunk.endswith(".."):
        return len(chunk) - len(chunk.rstrip("."))
    if len(chunk) > 2 and chunk[-2:] in ("'s", "'S", "’s", "’S"):
        return 2
    if last in PUNCTUATION + QUOTES + "—–" * (not arabic) or is_icon(last):
        return 1
    if before.isdigit() and (last == "+" or last in CURRENCIES):
        return 1
    for size in (4, 3, 2, 1):
        unit, digit = chunk[-size:], chunk[-size - 1 : -size]
        if len(chunk) > size and digit.isdigit() and unit in UNITS and not unit[0].isdigit():
            return size
    if last != "." or not before:
        return 0
    if not arabic and (
        before.isdigit() or is_lower(before, arabic) or before in PUNCTUATION + QUOTES + "%²-+"
    ):
        return 1
    return int(len(chunk) > 2 and all(is_upper(char, arabic) for char in chunk[-3:-1]))


def infix_size(chunk: str, i: int, arabic: bool) -> int:
    char, left, right = chunk[i], chunk[i - 1], chunk[i + 1 : i + 2]
    if chunk.startswith("..", i):
        return len(chunk[i:]) - len(chunk[i:].lstrip("."))
    if char == "…" or is_icon(char):
        return 1
    if char in "+-*^" and left.isdigit() and right and (right.isdigit() or right == "-"):
        return 1
    if char == ".":
        starts = bool(right) and (is_upper(right, arabic) or right in QUOTES)
        return int(starts and (is_lower(left, arabic) or left in QUOTES))
    if char == ",":
        return int(left.isalpha() and right.isalpha())
    if char in "-–—~" and (left.isalpha() or left.isdigit()):
        run = len(chunk[i : i + 3]) - len(chunk[i : i + 3].lstrip(char)) if char in "-—" else 1
        return run if chunk[i + run : i + run + 1].isalpha() else 0
    return int(char in ":<>=/" and (left.isalpha() or left.isdigit()) and right.isalpha())


def cut_inside(chunk: str, arabic: bool) -> list[str]:
    first, i, found = 0, 1, []
    while i < len(chunk):
        if size := infix_size(chunk, i, arabic):
            found += [chunk[first:i], chunk[i : i + size]]
            first = i + size
            i = first + 1
        else:
            i += 1
    return [token for token in [*found, chunk[first:]] if token]


def cut_chunk(chunk: str, arabic: bool) -> list[str]:
    before, behind = [], []
    while chunk:
        tail = special_cut(chunk)
        if tail is not None:
            return [
                *before,
                *(
                    part
                    for part in (chunk[: len(chunk) - tail], chunk[len(chunk) - tail :])
                    if part
                ),
                *behind,
            ]
        size = suffix_size(chunk, arabic)
        if not size and is_address(chunk):
            return [*before, chunk, *behind]
        if ahead := prefix_size(chunk):
            before.append(chunk[:ahead])
            chunk = chunk[ahead:]
        elif size and size < len(chunk):
            behind.insert(0, chunk[-size:])
            chunk = chunk[:-size]
        else:
            break
    return [
        *before,
        *([chunk] if chunk and is_address(chunk) else cut_inside(chunk, arabic) if chunk else []),
        *behind,
    ]


def reference_tokens(text: str, arabic: bool = False) -> list[str]:
    """The tokens of a text by the rules of kernels/tokens.py, written down plainly."""
    found: list[str] = []
    for chunk in text.split():
        at = 0
        while at < len(chunk):
            end = at + 1
            if kind_of_char(chunk[at]) == "S":
                while end < len(chunk) and kind_of_char(chunk[end]) == "M":
                    end += 1
                found.append(chunk[at:end])
            else:
                while end < len(chunk) and kind_of_char(chunk[end]) != "S":
                    end += 1
                found += cut_chunk(chunk[at:end], arabic)
            at = end
    return found


@pytest.fixture(scope="session")
def tokens_of() -> Callable[..., list[str]]:
    """The function `reference_tokens`."""
    return reference_tokens


SUBJECTS = [
    "The miller",
    "An old engineer",
    "My neighbour",
    "A careful reader",
    "The night train",
    "Her brother",
]
VERBS = ["repaired", "measured", "remembered", "painted", "described", "carried home"]
THINGS = [
    "the water wheel",
    "a broken clock",
    "seven green lanterns",
    "an unread letter",
    "the long bridge",
]
ENDS = [
    "before the rain came",
    "without saying a word",
    "and walked to the market",
    "because nobody else would",
]
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
            return "".join(
                "".join(rng.choice(ZH) for _ in range(5)) + "。" for _ in range(sentences)
            )
        parts = [
            [rng.choice(words) for words in (SUBJECTS, VERBS, THINGS, ENDS)]
            for _ in range(sentences)
        ]
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


@pytest.fixture(scope="session")
def jieba_words(tmp_path_factory) -> Callable[[str], list[str]]:
    """The words of a text without white space, by jieba itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its source has escapes that Python warns of
        import jieba
    jieba.setLogLevel(60)
    jieba.dt.tmp_dir = str(tmp_path_factory.mktemp("jieba"))
    return lambda text: [word for word in jieba.cut(text) if not word.isspace()]


@pytest.fixture(scope="session")
def sudachi_words() -> Callable[[str], list[str]]:
    """The words of a text without white space, by SudachiPy itself."""
    from sudachipy import Dictionary

    cut = Dictionary(dict="core").tokenizer(mode="A").tokenize
    return lambda text: [word for token in cut(text) if (word := token.surface().strip())]


@pytest.fixture(scope="session")
def pythainlp() -> ModuleType:
    """PyThaiNLP, which would else make a folder in the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHAINLP_READ_ONLY", "1")
        import pythainlp.corpus
        import pythainlp.tokenize.tcc_p

        pythainlp.word_tokenize("ก")
    return pythainlp


@pytest.fixture(scope="session")
def pythainlp_words(pythainlp) -> Callable[[str], list[str]]:
    """The words of a text as datatrove takes them from PyThaiNLP: without white space around them."""

    def cut(text: str) -> list[str]:
        words = pythainlp.word_tokenize(text, keep_whitespace=False, engine="newmm-safe")
        return [word.strip() for word in words if word.strip()]

    return cut
