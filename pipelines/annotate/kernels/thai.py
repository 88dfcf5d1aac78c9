"""Cut Thai text into words exactly as PyThaiNLP's `newmm-safe` does, compiled: the fewest words of its dictionary.

FineWeb-2 found its bounds for Thai with these words (datatrove's ThaiTokenizer). We read PyThaiNLP's word list only. A word
begins and ends between character clusters (Theeramunkong et al. 2000: a consonant with its vowels, tone and silenced
ending, never torn); where the dictionary has several ways to the next place that all of them share, the one of fewest
words is taken. Text is cut in pieces of at most 140 characters first, so no text takes more than linear time. Decision
record 11.
"""

import unicodedata
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numba import njit

from pipelines.annotate.kernels.packages import package_folder
from pipelines.annotate.kernels.token_classes import DIGIT, SPACE
from pipelines.kernels.unicode import LAST

FIRST_THAI, LAST_THAI = 0x0E00, 0x0E7F
_SCAN, _PIECE = 100, 140
"""Text of _PIECE characters and more is cut somewhere from its character _SCAN on."""
_MOST_EDGES = 50
"""Words that may be ambiguous together; then no beginning gets more than one."""
_TAB, _NEWLINE, _RETURN, _BLANK, _COMMA, _HYPHEN, _DOT, _COLON = (
    0x09,
    0x0A,
    0x0D,
    0x20,
    0x2C,
    0x2D,
    0x2E,
    0x3A,
)
_WORD, _LONG, _LABEL = 1, 2, 2
"""Of a beginning: it is a word, and one of more than two consonants; from this bit on its last character."""
_CLEFT, _OPEN = 1, 2
"""Of a place in a piece: no cluster is torn here; and a word found ends here."""
_SIDE = _PIECE + 1
_LABELS, _FIRST, _LAST, _PARENT, _QUEUE, _EDGES = (_SIDE * part for part in range(1, 7))
"""Where in the room to work in, behind _CLEFT or _OPEN for every place of a piece, are labels, edges by place, paths, all edges."""
_ROOM = 7 * _SIDE + _MOST_EDGES

# Clusters, of which the first that fits is taken: C a consonant, T a tone, K an ending silenced by ์ or nothing, ~K nothing
# only before a consonant, a leading vowel or the end; a-b any from a to b, ? may be missing.
_CLUSTERS = (
    "เ C ็ C K",
    "เ C C T? า ะ K",
    "เ C C ี T? ย ะ K",
    "เ C C ี T? ย ~K",
    "เ C C ็ C K",
    "เ C ิ C ์ C K",
    "เ C ิ T? C K",
    "เ C ี T? ย ะ? K",
    "เ C ื T? อ ะ? K",
    "เ C ิีุู T? ย ~K",
    "เ C T? า? ะ? K",
    "C ั T? ว ะ K",
    "C ัื T? C ุิะ? K",
    "C ิุู ์",
    "C ะ-ู T? K",
    "C ร ร C ์",
    "C ็",
    "C T? ะาำ? K",
    "แ C ็ C",
    "แ C C ์",
    "แ C T? ะ",
    "แ C C ็ C",
    "แ C C C ์",
    "โ C T? ะ",
    "เ-ไ C T?",
)
_NAMES = {"C": "ก-ฮ", "T": "่-๋", "V": "เ-ไก-ฮ"}
_SILENCED = (("C", "C", "ูุิ", "์"), ("C", "C", "์"), ("C", "ูุิ", "์"), ("C", "์"))
_FOLLOWED = "followed"
_END = "end"


@njit(nogil=True, cache=True, inline="always")
def _is_thai(code):  # type: ignore[no-untyped-def]
    return FIRST_THAI <= code <= LAST_THAI


@njit(nogil=True, cache=True, inline="always")
def _is_latin(code):  # type: ignore[no-untyped-def]
    return 97 <= code | 32 <= 122 or code == _HYPHEN


@njit(nogil=True, cache=True, inline="always")
def _is_gap(code):  # type: ignore[no-untyped-def]
    return code in (_BLANK, _TAB, _NEWLINE, _RETURN)


@njit(nogil=True, cache=True)
def _is_decimal(points, flags, i, zeros):  # type: ignore[no-untyped-def]
    """Whether a character is a digit of some script's decimal numbers; ² and ① are none."""
    if not flags[i] & DIGIT:
        return False
    at = np.searchsorted(zeros, points[i] + 1) - 1
    return at >= 0 and points[i] - zeros[at] < 10


@njit(nogil=True, cache=True)
def _child(node, label, firsts, ends):  # type: ignore[no-untyped-def]
    """The beginning that is one character longer, or 0."""
    # One way out, here and below: else numba counts references to every array, which takes longer than the search.
    low, high = firsts[node], firsts[node + 1] - 1
    any_ = low <= high
    while low < high:
        middle = (low + high) >> 1
        if ends[middle] >> _LABEL < label:
            low = middle + 1
        else:
            high = middle
    return low * np.int64(any_ & (ends[low] >> _LABEL == label))


@njit(nogil=True, cache=True)
def _mark_clusters(points, a, b, kinds, steps, room):  # type: ignore[no-untyped-def]
    """Set room[i - a] to _CLEFT where a cluster ends before `i`, else to 0; what begins none is one by itself."""
    room[: b - a + 1] = 0
    first, text_end = a, b - 1 if points[b - 1] == _NEWLINE else b
    while first < b:
        state, end, at = 1, first + 1, first
        while state:
            kind = steps.shape[1] - 1
            if at < text_end:
                kind = kinds[points[at] - FIRST_THAI] if _is_thai(points[at]) else 0
            step = steps[state, kind]
            if step & 1:
                end = at
            state = step >> 1
            at += 1
        room[end - a] = _CLEFT
        first = end


@njit(nogil=True, cache=True)
def _number_end(points, flags, a, b, zeros):  # type: ignore[no-untyped-def]
    while a < b and _is_decimal(points, flags, a, zeros):
        a += 1
    return a


@njit(nogil=True, cache=True)
def _other_end(points, flags, a, b, zeros):  # type: ignore[no-untyped-def]
    """The end of what is no Thai word at `a`: Latin letters, a number, blanks, a line's end, anything else; or `a`."""
    code, at = points[a], a
    if _is_latin(code):
        while at < b and _is_latin(points[at]):
            at += 1
    elif _is_decimal(points, flags, a, zeros):
        at = _number_end(points, flags, a, b, zeros)
        while (
            at + 1 < b
            and (points[at] == _COMMA or points[at] == _DOT)
            and _is_decimal(points, flags, at + 1, zeros)
        ):
            at = _number_end(points, flags, at + 1, b, zeros)
    elif code in (_BLANK, _TAB):
        while at < b and (points[at] == _BLANK or points[at] == _TAB):
            at += 1
    elif code == _NEWLINE:
        at = a + 1
    elif code == _RETURN:
        at = a + 2 if a + 1 < b and points[a + 1] == _NEWLINE else a
    else:
        while at < b and not _is_thai(points[at]) and not _is_gap(points[at]):
            at += 1
    return at


@njit(nogil=True, cache=True)
def _begins_long_word(at, size, firsts, ends, room):  # type: ignore[no-untyped-def]
    node, found, going = 0, False, True
    while going:
        node = _child(node, room[_LABELS + at], firsts, ends)
        at += 1
        found = (ends[node] & _LONG != 0) & (room[at] != 0)
        going = (node != 0) & (at < size) & ~found
    return found


@njit(nogil=True, cache=True)
def _unknown_end(points, flags, base, a, size, firsts, ends, zeros, room):  # type: ignore[no-untyped-def]
    """The end of what no word of the dictionary begins at `a`."""
    b = base + size
    end = _other_end(points, flags, base + a, b, zeros) - base
    if end > a:
        return end
    for at in range(a + 1, size):
        if room[at] and (
            _begins_long_word(at, size, firsts, ends, room)
            or _other_end(points, flags, base + at, b, zeros) > base + at
        ):
            return at
    return size


@njit(nogil=True, cache=True)
def _find_words(a, size, firsts, ends, room, edge):  # type: ignore[no-untyped-def]
    """Enter the words that begin at `a` from place `edge` on; returns the new number of edges and of ends first met."""
    node, at, fresh, going = 0, a, 0, True
    room[_FIRST + a] = edge
    while going:
        node = _child(node, room[_LABELS + at], firsts, ends)
        at += 1
        going = (node != 0) & (at < size)
        if (ends[node] & _WORD != 0) & (room[at] != 0):
            room[_EDGES + edge] = at
            edge += 1
            fresh += room[at] == _CLEFT
            room[at] = _OPEN
            going &= edge <= _MOST_EDGES
    room[_LAST + a] = edge
    return edge, fresh


@njit(nogil=True, cache=True)
def _shortest(base, first, last, room, starts, stops, count):  # type: ignore[no-untyped-def]
    """Write the path of fewest words from `first` to `last`; of equals the one whose first words are shorter."""
    room[_PARENT + first : _PARENT + last + 1] = -1
    room[_QUEUE], head, tail = first, 0, 1
    while room[_PARENT + last] < 0:
        at = room[_QUEUE + head]
        head += 1
        for edge in range(room[_FIRST + at], room[_LAST + at]):
            end = room[_EDGES + edge]
            if room[_PARENT + end] < 0:
                room[_PARENT + end] = at
                room[_QUEUE + tail] = end
                tail += 1
    stop, at = count, last
    while at != first:
        at = room[_PARENT + at]
        stop += 1
    at = last
    for place in range(stop - 1, count - 1, -1):
        stops[place] = base + at
        at = room[_PARENT + at]
        starts[place] = base + at
    return stop


@njit(nogil=True, cache=True)
def _cut_piece(points, flags, base, stop, words, room, starts, stops, count):  # type: ignore[no-untyped-def]
    """Cut points[base:stop] (at most _PIECE); returns the new number of words, which lie side by side."""
    labels, firsts, ends, kinds, steps, zeros = words
    size = stop - base
    for i in range(size):
        room[_LABELS + i] = labels[points[base + i]] if points[base + i] < labels.shape[0] else 0
    _mark_clusters(points, base, stop, kinds, steps, room)
    # Places are met in ascending order; `waiting` counts the open ones beyond `at`, since where all is ambiguous.
    since, at, waiting, edge = 0, 0, 0, 0
    while at < size:
        edge, fresh = _find_words(at, size, firsts, ends, room, edge)
        waiting += fresh
        if waiting == 0:
            starts[count] = base + at
            since = at = _unknown_end(points, flags, base, at, size, firsts, ends, zeros, room)
            stops[count], edge = base + at, 0
            count += 1
            continue
        at += 1
        while room[at] != _OPEN:
            at += 1
        if waiting == 1:
            count = _shortest(base, since, at, room, starts, stops, count)
            since, edge = at, 0
        waiting -= 1
    return count


@njit(nogil=True, cache=True)
def _piece_end(points, flags, a, words, room, starts, stops, count):  # type: ignore[no-untyped-def]
    """Where a text that goes on at `a` is cut first: behind the last blank in reach, else before the longest word there."""
    first, last = a + _SCAN, a + _PIECE
    for at in range(last - 1, first - 1, -1):
        if points[at] == _BLANK:
            return at + 1
    # These words are written over by the next ones.
    stop = _cut_piece(points, flags, first, last, words, room, starts, stops, count)
    longest, place = 0, first
    for i in range(count, stop):
        if stops[i] - starts[i] >= longest:
            longest, place = stops[i] - starts[i], starts[i]
    return place


@njit(nogil=True, cache=True)
def _next_number(points, flags, at, chars, zeros):  # type: ignore[no-untyped-def]
    """Beginning and end of the next digits joined by dots, commas or colons, from `at` on; (chars, chars): none."""
    while at < chars:
        if not _is_decimal(points, flags, at, zeros):
            at += 1
            continue
        first, at, joined = at, _number_end(points, flags, at, chars, zeros), False
        while at + 1 < chars and (
            points[at] == _DOT or points[at] == _COMMA or points[at] == _COLON
        ):
            if not _is_decimal(points, flags, at + 1, zeros):
                break
            at, joined = _number_end(points, flags, at + 1, chars, zeros), True
        if joined:
            return first, at
    return chars, chars


@njit(nogil=True, cache=True)
def _join_numbers(points, flags, chars, zeros, starts, stops, count):  # type: ignore[no-untyped-def]
    """Make one of the words that hold parts of a number, beginning with the first that does not begin before it."""
    first, last = _next_number(points, flags, 0, chars, zeros)
    kept, i = 0, 0
    while i < count:
        a, b = starts[i], stops[i]
        i += 1
        while last <= a:
            first, last = _next_number(points, flags, last, chars, zeros)
        if first <= a:
            while b < last:
                b = stops[i]
                i += 1
            first, last = _next_number(points, flags, last, chars, zeros)
        starts[kept], stops[kept] = a, b
        kept += 1
    return kept


@njit(nogil=True, cache=True)
def _strip(flags, starts, stops, count):  # type: ignore[no-untyped-def]
    kept = 0
    for i in range(count):
        a, b = starts[i], stops[i]
        while a < b and flags[a] & SPACE:
            a += 1
        while a < b and flags[b - 1] & SPACE:
            b -= 1
        starts[kept], stops[kept] = a, b
        kept += a < b
    return kept


@njit(nogil=True, cache=True)
def segment_thai(points, flags, chars, words, starts, stops):  # type: ignore[no-untyped-def]
    """Cut `chars` code points into PyThaiNLP's words without white space around them; returns how many.

    `flags` are those of kernels.token_classes. `words` is `thai_words()`. Fills `starts` and `stops` with places among the
    code points.
    """
    room = np.empty(_ROOM, np.int16)
    count, at = 0, 0
    while at < chars:
        end = chars
        if chars - at >= _PIECE:
            end = _piece_end(points, flags, at, words, room, starts, stops, count)
        count = _cut_piece(points, flags, at, end, words, room, starts, stops, count)
        at = end
    count = _join_numbers(points, flags, chars, words[5], starts, stops, count)
    return _strip(flags, starts, stops, count)


@lru_cache(maxsize=64)
def _chars(item: str) -> frozenset[str]:
    """The characters that an item of _CLUSTERS stands for."""
    item = _NAMES.get(item, item)
    found = set(item)
    for i, char in enumerate(item):
        if char == "-":
            found.update(map(chr, range(ord(item[i - 1]), ord(item[i + 1]))))
    return frozenset(found - {"-"})


def _choices(item: str) -> list[tuple[str, ...]]:
    """What an item may be, as sequences of items that cannot be missing, the preferred one first."""
    if item in ("K", "~K"):
        return [*_SILENCED, (_FOLLOWED,) if item == "~K" else ()]
    return [(item[:-1],), ()] if item.endswith("?") else [(item,)]


def _sequences() -> list[tuple[str, ...]]:
    """All clusters spelt out; of those that a text begins with the first is its cluster."""
    rules = [product(*map(_choices, rule.split())) for rule in _CLUSTERS]
    return [tuple(item for part in parts for item in part) for rule in rules for parts in rule]


def _step(
    sequences: list[tuple[str, ...]], state: tuple[int, ...], depth: int, char: str
) -> tuple[tuple[int, ...], bool]:
    """Which sequences go on with `char` at `depth`, and whether one ends before it that goes before all others."""
    going = list[int]()
    for number in state:
        rest = sequences[number][depth:]
        if not rest or (rest[0] == _FOLLOWED and (char == _END or char in _chars("V"))):
            return tuple(going), True
        if rest[0] != _FOLLOWED and char in _chars(rest[0]):
            going.append(number)
    return tuple(going), False


def build_cluster_automaton() -> tuple[np.ndarray, np.ndarray]:
    """Kinds of the Thai characters, uint8 (128,), and int16 (states, kinds): 2 * the next state + whether a cluster ends.

    Kind 0 is in no cluster, the last kind is the end of the text. State 0 is none, 1 the beginning.
    """
    sequences = _sequences()
    sets = sorted({item for sequence in sequences for item in sequence} - {_FOLLOWED})
    thai = [chr(code) for code in range(FIRST_THAI, LAST_THAI + 1)]
    signs = [tuple(char in _chars(item) for item in [*sets, "V"]) for char in thai]
    none = (False,) * len(signs[0])
    order = [none, *sorted(set(signs) - {none})]
    examples = ["x", *(thai[signs.index(sign)] for sign in order[1:]), _END]
    states: list[tuple[int, tuple[int, ...]]] = [(0, ()), (0, tuple(range(len(sequences))))]
    numbers, rows = {state: place for place, state in enumerate(states)}, [[0] * len(examples)]
    while len(rows) < len(states):
        depth, state = states[len(rows)]
        row = []
        for char in examples:
            going, ended = _step(sequences, state, depth, char)
            target = (depth + 1, going) if going else states[0]
            if target not in numbers:
                numbers[target] = len(states)
                states.append(target)
            row.append(2 * numbers[target] + ended)
        rows.append(row)
    return np.array([order.index(sign) for sign in signs], np.uint8), np.array(rows, np.int16)


def read_words(text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The dictionary of one word a line, as beginnings of words in order of length: 0 is the empty one.

    uint8 (characters): labels of characters, 0 where no word has it. int32 (beginnings + 1): the beginnings one
    character longer than `i` are those from firsts[i] to firsts[i + 1], in ascending order. uint16 (beginnings): the
    label of the last character, and whether it is a word and a long one.
    """
    words = sorted({line.strip() for line in text.splitlines()} - {""})
    alphabet, sizes = sorted(set().union(*words)), np.array(list(map(len, words)), np.int64)
    assert len(alphabet) < 256, "a label has 8 bits"
    labels = np.zeros(max(map(ord, alphabet), default=0) + 1, np.uint8)
    labels[list(map(ord, alphabet))] = np.arange(1, len(alphabet) + 1)
    flat = labels[np.frombuffer("".join(words).encode("utf-32-le"), "<u4")].astype(np.int64)
    kinds = np.array(
        [_WORD | _LONG * (len(word) > 2 or not set(word) <= _chars("C")) for word in words],
        np.uint16,
    )
    offsets, mine, first = np.cumsum(sizes) - sizes, np.zeros(len(words), np.int64), 1
    parents, ends = [np.zeros(0, np.int64)], [np.zeros(1, np.uint16)]
    for depth in range(int(sizes.max(initial=0))):
        going = sizes > depth
        found, place = np.unique(
            mine[going] << 8 | flat[offsets[going] + depth], return_inverse=True
        )
        mine[going] = first + place
        parents.append(found >> 8)
        ends.append(((found & 0xFF) << _LABEL).astype(np.uint16))
        ended = sizes == depth + 1
        ends[-1][mine[ended] - first] |= kinds[ended]
        first += len(found)
    firsts = 1 + np.searchsorted(np.concatenate(parents), np.arange(first + 1))
    # No beginning is longer than the last: it is asked what label comes behind it.
    return labels, firsts.astype(np.int32), np.append(np.concatenate(ends), np.uint16(0))


@lru_cache(maxsize=1)
def load_thai_words() -> tuple[Any, ...]:
    """What `cut_thai` looks up, from PyThaiNLP's list of words: 1.5 MB. Its code is never imported."""
    folder = package_folder("pythainlp")
    text = (folder / "corpus/words_th.txt").read_text(encoding="utf-8-sig")
    zeros = [code for code in range(LAST) if unicodedata.decimal(chr(code), -1) == 0]
    return (*read_words(text), *build_cluster_automaton(), np.array(zeros, np.int32))


def make_empty_thai_words() -> tuple[Any, ...]:
    """Tables of the same types without content, where no document is Thai."""
    none, numbers = np.zeros(0, np.uint8), np.zeros(0, np.int32)
    return none, numbers, np.zeros(0, np.uint16), none, np.zeros((0, 0), np.int16), numbers
