"""Compare two texts word by word: how many words they share, and the first places where they differ.

In: two texts. Out: a `Comparison`. In Chinese, Japanese and Korean a word is one character.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from gristmill.formatting import format_count, format_counted

WORDS = re.compile(
    r"[⺀-鿿가-힯豈-﫿\uff01-\uff60\U00020000-\U0003ffff]"
    r"|(?:[^\s⺀-鿿가-힯豈-﫿\uff01-\uff60\U00020000-\U0003ffff]){1,80}\s*|\s+"
)
"""A character of Chinese, Japanese or Korean, or a word with the spaces behind it. All matches together are the text.

What is longer than any word is taken in pieces of 80 characters.
"""

MAX_COMPARED = 3000
"""Words of either text, after the beginning they share, that are compared: the time grows with their square."""

MAX_PAIRS = 150_000
"""Pairs of equal words, one of either text, that a comparison may meet; ordinary texts of MAX_COMPARED words have fewer.

A word that each text repeats a thousand times makes a million pairs, and minutes of work.
"""

WIDE_SPACE = re.compile(r"(\s{40})\s+")
"""White space that would push the words behind it off the screen."""


class DiffExtent(NamedTuple):
    """How many places are shown, shared words around each, and the words shown of one difference."""

    places: int = 3
    around: int = 8
    longest: int = 40


@dataclass(frozen=True, slots=True)
class DiffPiece:
    """Some words of one text; `differs` where the other has others in their place."""

    words: str
    differs: bool

    @property
    def narrow_words(self) -> str:
        """The words with at most 40 characters of white space in a row."""
        return WIDE_SPACE.sub(r"\1", self.words)


@dataclass(frozen=True, slots=True)
class DifferingPlace:
    """One place where two texts differ, with shared words around it; `skipped` shared words before it are not shown."""

    skipped: int
    kept: tuple[DiffPiece, ...]
    dropped: tuple[DiffPiece, ...]

    @property
    def skipped_words(self) -> str:
        """How many words are not shown."""
        return format_counted(self.skipped, "more word")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of `compared` words of the kept text `shared` stand in the other too, in the same order.

    `places` are the first of the `differing` places, `hidden` counts the others; `truncated` is true where the texts go
    on after the part that was compared.
    """

    shared: int
    compared: int
    differing: int
    places: tuple[DifferingPlace, ...]
    truncated: bool
    hidden: int = 0

    @property
    def summary(self) -> str:
        """How much is shared, and how many of the differences are shown, in words."""
        scope = "the first " if self.truncated else ""
        words = format_counted(self.compared, "word")
        shared = (
            f"{format_count(self.shared)} of {scope}{words} of the kept text "
            "also stand in the dropped one, in the same order"
        )
        if not self.differing:
            if self.truncated:
                return f"{shared}: no difference in what was compared."
            return f"{shared}: they differ in white space at most."
        places = format_counted(self.differing, "place")
        return f"{shared}. They differ in {places}: {self._shown_places()} shown and marked."

    def _shown_places(self) -> str:
        if self.hidden:
            return "the first of them are"
        return "each is" if self.differing > 1 else "it is"


class DiffCode(NamedTuple):
    """A stretch of words as difflib gives it: `kind` is "equal" or how the second text differs."""

    kind: str
    kept_start: int
    kept_stop: int
    dropped_start: int
    dropped_stop: int

    @property
    def is_equal(self) -> bool:
        """Whether both texts have the same words here."""
        return self.kind == "equal"

    def shift(self, words: int) -> "DiffCode":
        """The same stretch, counted from so many words before."""
        starts_and_stops = (position + words for position in self[1:])
        return DiffCode(self.kind, *starts_and_stops)

    def take_first(self, words: int) -> "DiffCode":
        """The beginning of an equal stretch."""
        count = min(words, self.kept_stop - self.kept_start)
        return self._replace(
            kept_stop=self.kept_start + count, dropped_stop=self.dropped_start + count
        )

    def take_last(self, words: int) -> "DiffCode":
        """The end of an equal stretch."""
        count = min(words, self.kept_stop - self.kept_start)
        return self._replace(
            kept_start=self.kept_stop - count, dropped_start=self.dropped_stop - count
        )


def split_words(text: str) -> list[str]:
    """The words of a text, each with the white space behind it; joined they are the text again."""
    return WORDS.findall(text)


def compare_texts(kept: str, dropped: str, extent: DiffExtent = DiffExtent()) -> Comparison:
    """Compare two texts; white space at the ends of words does not count."""
    kept_words, dropped_words = split_words(kept), split_words(dropped)
    bare_kept = [word.strip() for word in kept_words]
    bare_dropped = [word.strip() for word in dropped_words]
    prefix = _count_common_prefix(bare_kept, bare_dropped)
    limit = prefix + MAX_COMPARED
    end = prefix + _count_affordable(bare_kept[prefix:limit], bare_dropped[prefix:limit])
    matcher = difflib.SequenceMatcher(
        None, bare_kept[prefix:end], bare_dropped[prefix:end], autojunk=False
    )
    codes = [DiffCode(*code) for code in matcher.get_opcodes()]
    shared = sum(code.kept_stop - code.kept_start for code in codes if code.is_equal)
    differing = sum(not code.is_equal for code in codes)
    # The words just before the compared part belong to its first place as context; `head` counts them.
    head = min(prefix, extent.around)
    context = [DiffCode("equal", 0, head, 0, head)] if head else []
    moved = [*context, *(code.shift(head) for code in codes)]
    groups = list(_group_codes(moved, extent.around)) if differing else []
    shown, hidden = groups[: extent.places], groups[extent.places :]
    places = _make_places(
        shown,
        kept_words[prefix - head : end],
        dropped_words[prefix - head : end],
        skipped=prefix - head,
        longest=extent.longest,
    )
    compared = min(end, len(kept_words))
    return Comparison(
        shared=prefix + shared,
        compared=compared,
        differing=differing,
        places=tuple(places),
        truncated=len(kept_words) > compared or len(dropped_words) > end,
        hidden=sum(not code.is_equal for group in hidden for code in group),
    )


def _count_common_prefix(kept: Sequence[str], dropped: Sequence[str]) -> int:
    """How many words the beginnings share."""
    for position, (word, other) in enumerate(zip(kept, dropped, strict=False)):
        if word != other:
            return position
    return min(len(kept), len(dropped))


def _count_affordable(kept: Sequence[str], dropped: Sequence[str]) -> int:
    """How many words of either may be compared before MAX_PAIRS pairs of equal ones are met."""
    kept_counts, dropped_counts = Counter[str](), Counter[str]()
    pairs = 0
    for position, (word, other) in enumerate(zip_longest(kept, dropped)):
        # A word meets the equal ones of the other text up to here; None stands beyond the shorter text.
        if word is not None:
            kept_counts[word] += 1
            pairs += dropped_counts[word]
        if other is not None:
            dropped_counts[other] += 1
            pairs += kept_counts[other]
        if pairs > MAX_PAIRS:
            return position
    return max(len(kept), len(dropped))


def _make_places(
    groups: Sequence[Sequence[DiffCode]],
    kept_words: Sequence[str],
    dropped_words: Sequence[str],
    *,
    skipped: int,
    longest: int,
) -> Iterator[DifferingPlace]:
    """Groups of differences as words; `skipped` words stand before the first word of both lists."""
    shown_until = 0
    for group in groups:
        kept, dropped = list[DiffPiece](), list[DiffPiece]()
        for code in group:
            kept_slice = kept_words[code.kept_start : code.kept_stop]
            dropped_slice = dropped_words[code.dropped_start : code.dropped_stop]
            if kept_slice:
                kept.append(DiffPiece(_shorten_words(kept_slice, longest), not code.is_equal))
            if dropped_slice:
                dropped.append(DiffPiece(_shorten_words(dropped_slice, longest), not code.is_equal))
        between = group[0].kept_start - shown_until
        yield DifferingPlace(skipped + between, tuple(kept), tuple(dropped))
        skipped = 0
        shown_until = group[-1].kept_stop


def _group_codes(codes: Sequence[DiffCode], around: int) -> Iterator[list[DiffCode]]:
    """Differences with at most `around` shared words on either side; long shared stretches divide them."""
    group: list[DiffCode] = []
    last = len(codes) - 1
    for number, code in enumerate(codes):
        if not code.is_equal:
            group.append(code)
        elif number == 0:
            group.append(code.take_last(around))
        elif number == last or code.kept_stop - code.kept_start > 2 * around:
            yield [*group, code.take_first(around)]
            group = [code.take_last(around)]
        else:
            group.append(code)
    if any(not code.is_equal for code in group):
        yield group


def _shorten_words(words: Sequence[str], longest: int) -> str:
    """The words as one text; of a long stretch its beginning, and how many more follow."""
    if len(words) <= longest:
        return "".join(words)
    beginning = "".join(words[:longest]).rstrip()
    return f"{beginning} … ({len(words) - longest:,} more) "
