"""Compare two texts word by word (in Chinese and Japanese character by character): what is alike, and where they first differ."""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

WORDS = re.compile(
    r"[⺀-鿿가-힯豈-﫿\uff01-\uff60\U00020000-\U0003ffff]|(?:[^\s⺀-鿿가-힯豈-﫿\uff01-\uff60\U00020000-\U0003ffff]){1,80}\s*|\s+"
)
"""A character of Chinese, Japanese or Korean; else a word with the spaces that follow it, what is longer than any word in
pieces of 80 characters. All matches together are the text."""
COMPARED = 3000
"""Words of either text, after the beginning they share, that are compared: the time grows with their square."""
PAIRS = 150_000
"""Pairs of equal words, one of either text, that a comparison may meet: of a word written a thousand times over there would
be a million, and minutes of work. Ordinary texts of COMPARED words have fewer."""
PLACES, AROUND, LONGEST = 3, 8, 40


class DiffExtent(NamedTuple):
    """How many places are shown, words alike around each, and the words shown of one difference."""

    places: int = PLACES
    around: int = AROUND
    longest: int = LONGEST


@dataclass(frozen=True, slots=True)
class DiffPiece:
    """Some words of one text; `own` where the other has others in their place."""

    words: str
    own: bool


@dataclass(frozen=True, slots=True)
class DifferingPlace:
    """One place where two texts differ: the pieces of each, the words around them alike; `before` words were passed over."""

    before: int
    kept: tuple[DiffPiece, ...]
    dropped: tuple[DiffPiece, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of `compared` words of the kept text `alike` stand in the other too, in the same order; the first places that differ.

    `left` of the `differing` places are not among those shown; `cut` tells that the texts go on after what was compared.
    """

    alike: int
    compared: int
    differing: int
    places: tuple[DifferingPlace, ...]
    cut: bool
    left: int = 0


def split_words(text: str) -> list[str]:
    """The words of a text, each with the white space behind it; joined they are the text again."""
    return WORDS.findall(text)


def compare_texts(kept: str, dropped: str, extent: DiffExtent = DiffExtent()) -> Comparison:
    """What two texts share and where they differ first; white space at the ends of words counts for nothing."""
    one, two = split_words(kept), split_words(dropped)
    bare_one, bare_two = [word.strip() for word in one], [word.strip() for word in two]
    same = _shared(bare_one, bare_two)
    end = same + _bearable(bare_one[same : same + COMPARED], bare_two[same : same + COMPARED])
    first, second = one[same:end], two[same:end]
    matcher = difflib.SequenceMatcher(None, bare_one[same:end], bare_two[same:end], autojunk=False)
    codes = matcher.get_opcodes()
    alike = same + sum(stop - start for kind, start, stop, _, _ in codes if kind == "equal")
    differing = sum(kind != "equal" for kind, *_ in codes)
    # The words before the part compared belong to its first place: they are context, or counted as passed over.
    head = min(same, extent.around)
    moved = [("equal", 0, head, 0, head)] if head else []
    moved += [(kind, a + head, b + head, c + head, d + head) for kind, a, b, c, d in codes]
    texts = one[same - head : end], two[same - head : end]
    groups = list(_grouped(moved, extent.around)) if differing else []
    places = tuple(
        _places(groups[: extent.places], *texts, passed=same - head, longest=extent.longest)
    )
    left = sum(kind != "equal" for group in groups[extent.places :] for kind, *_ in group)
    compared = same + len(first)
    cut = len(one) > compared or len(two) > same + len(second)
    return Comparison(alike, compared, differing, places, cut, left)


def _shared(one: Sequence[str], two: Sequence[str]) -> int:
    """How many words the beginnings share."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b),
        min(len(one), len(two)),
    )


def _bearable(one: Sequence[str], two: Sequence[str]) -> int:
    """How many words of either may be compared before PAIRS of equal ones are met."""
    mine, others, pairs = Counter[str](), Counter[str](), 0
    for place, (a, b) in enumerate(zip_longest(one, two)):
        mine.update([] if a is None else [a])
        pairs += others[a] if a is not None else 0
        others.update([] if b is None else [b])
        pairs += mine[b] if b is not None else 0
        if pairs > PAIRS:
            return place
    return max(len(one), len(two))


Code = tuple[str, int, int, int, int]


def _places(
    groups: Sequence[Sequence[Code]],
    one: Sequence[str],
    two: Sequence[str],
    *,
    passed: int,
    longest: int,
) -> Iterator[DifferingPlace]:
    """Groups of differences with the words around them."""
    end = 0
    for group in groups:
        start = group[0][1]
        sides: tuple[list[DiffPiece], list[DiffPiece]] = ([], [])
        for kind, a, b, c, d in group:
            for side, words in zip(sides, (one[a:b], two[c:d]), strict=True):
                if words:
                    side.append(DiffPiece(_short(words, longest), kind != "equal"))
        yield DifferingPlace(passed + start - end, tuple(sides[0]), tuple(sides[1]))
        passed, end = 0, group[-1][2]


def _grouped(codes: Sequence[Code], around: int) -> Iterator[list[Code]]:
    """Differences with at most `around` words alike on either side; long stretches alike divide them."""
    group: list[Code] = []
    for number, (kind, a, b, c, d) in enumerate(codes):
        if kind != "equal":
            group.append((kind, a, b, c, d))
            continue
        if number == 0:
            keep = min(around, b - a)
            group.append((kind, b - keep, b, d - keep, d))
        elif b - a > 2 * around or number == len(codes) - 1:
            keep = min(around, b - a)
            yield [*group, (kind, a, a + keep, c, c + keep)]
            group = [(kind, b - keep, b, d - keep, d)]
        else:
            group.append((kind, a, b, c, d))
    if any(kind != "equal" for kind, *_ in group):
        yield group


def _short(words: Sequence[str], longest: int) -> str:
    """The words as one text; a long stretch only by its beginning, and how many more follow."""
    if len(words) <= longest:
        return "".join(words)
    return f"{''.join(words[:longest]).rstrip()} … ({len(words) - longest:,} more) "
