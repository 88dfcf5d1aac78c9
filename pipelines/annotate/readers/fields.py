"""Map the columns of somebody's JSON or Parquet onto ours: source, kind, language, licence, dates."""

import datetime
import functools
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gristmill.corpus.document import MOMENT
from gristmill.corpus.source import GENRES, SOURCE_TYPES
from gristmill.rights.policy import UNKNOWN, normalize_licence
from pipelines.annotate.config import InputColumns
from pipelines.annotate.readers.languages import parse_language

SHORT = 256
"""Characters of a statement that is remembered."""

GENRE_WORDS: Mapping[str, frozenset[str]] = {
    "wiki": frozenset(
        "wiki wikis mediawiki wikipedia wikinews wikibooks wikihow wikiquote wikisource wikispecies "
        "wikiversity wikivoyage wiktionary encyclopedia encyclopedias encyclopedic "
        "encyclopaedia encyclopaedic".split()
    ),
    "news": frozenset("news newspaper newspapers newswire newscrawl".split()),
    "social": frozenset(
        "social tweet tweets chat chats forum forums post posts blogpost blogposts".split()
    ),
    "book": frozenset("book books poetry novel novels fiction".split()),
    "legal": frozenset("law laws legal".split()),
    "speech": frozenset("speech speeches transcript transcripts".split()),
    "docs": frozenset(
        "doc docs document documents documentation manual manuals manpage manpages".split()
    ),
    "web": frozenset("web website websites webpage webpages webtext html page pages".split()),
}
"""Whole words by which the type that a data set states is recognized as a genre.

Words, not parts of them: `hackernews` is no news. The first genre with a word of the type wins.
"""


def find_genre(stated: object) -> str:
    """The genre for whatever a data set calls the type of a record; `other` where none is known.

    A genre and a source type (`gristmill.corpus.source`) are taken by name.
    """
    return _find_genre(str(stated or "")[:SHORT].lower())


@functools.lru_cache(4096)
def _find_genre(stated: str) -> str:
    if stated in GENRES:
        return stated
    if stated in SOURCE_TYPES:
        return SOURCE_TYPES[stated]
    words = re.findall("[a-z]+", stated)
    for genre, genre_words in GENRE_WORDS.items():
        if not genre_words.isdisjoint(words):
            return genre
    for word in words:
        if word in SOURCE_TYPES:
            return SOURCE_TYPES[word]
    return "other"


_short_licence = functools.lru_cache(4096)(normalize_licence)
"""A data set repeats few statements many times."""

FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999
"""The moments that Python can tell (years 1 to 9999), in milliseconds since 1970."""


def parse_moment(value: object) -> datetime.datetime | None:
    """A date or time as UTC, or None for what is not one. Times without a zone are taken for UTC.

    Text is read as ISO 8601, a number (or its digits as text) by its size: 1000 to 9999 is a year, eight digits are
    YYYYMMDD, 1e8 to 1e11 seconds and 1e11 to 1e14 milliseconds since 1970 (1973 to 5138). No other number is a date.
    """
    try:
        if isinstance(value, str):
            text = value.strip()
            value = (
                int(text)
                if text.isascii() and text.isdigit()
                else datetime.datetime.fromisoformat(text)
            )
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = _parse_number(value)
        if isinstance(value, datetime.datetime):
            return (
                value.astimezone(datetime.UTC)
                if value.tzinfo
                else value.replace(tzinfo=datetime.UTC)
            )
    except (ValueError, OverflowError, OSError):  # no such day, or outside the years 1 to 9999
        return None
    return None


def _parse_number(value: float) -> datetime.datetime | None:
    """What a number means as a date: the rule of `moment`."""
    if 1000 <= value <= 9999:
        return datetime.datetime(int(value), 1, 1)
    if 10_000_101 <= value <= 99_991_231:
        return datetime.datetime(int(value) // 10_000, int(value) // 100 % 100, int(value) % 100)
    if 1e8 <= value < 1e14:
        return datetime.datetime.fromtimestamp(
            value if value < 1e11 else value / 1000, datetime.UTC
        )
    return None


def parse_moments(column: pa.Array) -> pa.Array:
    """A column of dates as MOMENT; null for what is none. Timestamps stay in Arrow: Python raises at far-out ones."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        per_second = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}[column.type.unit]
        return _null_outside(column, FIRST * per_second // 1000, LAST * per_second // 1000).cast(
            MOMENT, safe=False
        )
    if pa.types.is_date(column.type):
        return _null_outside(column.cast(MOMENT, safe=False), FIRST, LAST)
    if pa.types.is_temporal(column.type) or pa.types.is_nested(column.type):
        return pa.nulls(len(column), MOMENT)
    return pa.array([parse_moment(value) for value in column.to_pylist()], MOMENT)


def _null_outside(column: pa.Array, first: int, last: int) -> pa.Array:
    """`column` without the values whose number is not from `first` to `last`."""
    number = column.cast(pa.int64())
    after = pc.greater_equal(number, max(first, -(1 << 63)))
    before = pc.less_equal(number, min(last, (1 << 63) - 1))
    return pc.if_else(pc.and_(after, before), column, pa.scalar(None, column.type))


def read_row_fields(
    row: Mapping[str, Any], columns: InputColumns, *, default_source: str
) -> dict[str, Any]:
    """The fields of a record that are read from plain columns by name."""
    stated = row.get(columns.licence)
    return {
        "title": _parse_text(row.get(columns.title)),
        "url": _parse_text(row.get(columns.url)),
        "source": _parse_text(row.get(columns.source)) or default_source,
        "kind": find_genre(row.get(columns.kind)),
        "stated_lang": parse_language(row.get(columns.lang)),
        "fetched": None,
        "licence": parse_licence(stated),
        "evidence": [{"signal": columns.licence, "value": replace_surrogates(str(stated))}]
        if stated
        else [],
        "opt_out": [],
        "author": None,
    }


def parse_licence(stated: object) -> str:
    """The licence that is stated, or `unknown`: see `rights.normalize_licence`."""
    if not isinstance(stated, str):
        return UNKNOWN
    return _short_licence(stated) if len(stated) <= SHORT else normalize_licence(stated)


def replace_surrogates(text: str) -> str:
    """`text` without lone surrogates, which JSON can hold and UTF-8 cannot: a bad title costs no document."""
    return text.encode("utf-8", "replace").decode()


def _parse_text(value: object) -> str | None:
    return replace_surrogates(str(value)) if value not in (None, "") else None
