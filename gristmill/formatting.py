"""Say numbers as people read them: counts with separators, shares with their whole, sizes, times
and dates.
"""

from datetime import UTC, datetime

LANGUAGES = {
    "af": "Afrikaans",
    "ar": "Arabic",
    "az": "Azerbaijani",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "bs": "Bosnian",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "eo": "Esperanto",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "ga": "Irish",
    "gl": "Galician",
    "gu": "Gujarati",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "kk": "Kazakh",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Korean",
    "la": "Latin",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mn": "Mongolian",
    "mr": "Marathi",
    "ms": "Malay",
    "my": "Burmese",
    "ne": "Nepali",
    "nl": "Dutch",
    "no": "Norwegian",
    "pa": "Punjabi",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sq": "Albanian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tl": "Tagalog",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "und": "undetermined",
    "ur": "Urdu",
    "uz": "Uzbek",
    "vi": "Vietnamese",
    "yue": "Cantonese",
    "zh": "Chinese",
}


def format_count(number: int) -> str:
    """1234567 -> 1,234,567."""
    return f"{number:,}"


def format_counted(number: int, thing: str, things: str = "") -> str:
    """1 -> 1 document; 2 -> 2 documents."""
    return f"{format_count(number)} {thing if number == 1 else things or thing + 's'}"


def format_share(part: float, total: float) -> str:
    """A part of a whole in percent; never rounded to 0 % or 100 % where it is not."""
    if not total:
        return "–"
    percent = 100 * part / total
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.1f} %"


def format_bytes(number: int) -> str:
    """Bytes in decimal units: 1234567 -> 1.23 MB."""
    if number < 1000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            return f"{value:.3g} {unit}"
    raise AssertionError("unreachable: the last unit always answers")


def format_seconds(number: float) -> str:
    """7.862 -> 7.9 s; 125 -> 2 min 5 s; 7300 -> 2 h 2 min."""
    if number < 60:
        return f"{number:.1f} s"
    seconds = round(number)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def format_day(stamp: float | None) -> str:
    """A time as date and minute, in UTC."""
    if stamp is None:
        return "–"
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d %H:%M UTC")


def format_language(code: str) -> str:
    """en -> English (en); what we have no name for stays a code."""
    if not code:
        return "not identified yet"
    return f"{LANGUAGES[code]} ({code})" if code in LANGUAGES else code


def format_list(names: list[str], *, most: int = 4) -> str:
    """a, b and c; a list of more than `most` is cut: a, b, c and 9 more."""
    if len(names) > most:
        first = names[: most - 1]
        return f"{', '.join(first)} and {format_count(len(names) - len(first))} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def shorten(words: str, limit: int) -> str:
    """The beginning of a text, cut at `most` characters."""
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
