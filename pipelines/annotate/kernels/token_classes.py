"""What a code point is to the cutter of tokens: bit flags, and the chunks that have a cut of their own.

Classes, abbreviations, contractions and units are those of spaCy's English tokenizer (v3.8, `char_classes.py`,
`punctuation.py`, `tokenizer_exceptions.py`); symbols and ends of sentences those of datatrove (v0.10, `utils/text.py`), so that rules
with published thresholds drop what they drop there.
"""

import unicodedata
from functools import lru_cache
from itertools import product

import numpy as np

from pipelines.kernels.unicode import LAST, SINGLE, build_class_table

SPACE, ALPHA, DIGIT, UPPER, LOWER, PREFIX, SUFFIX, QUOTE = 1, 2, 4, 8, 16, 32, 64, 128
CURRENCY, HYPHEN, SYMBOL, ALONE, MARK, BEFORE_DOT, ICON, TERMINAL = (
    256,
    512,
    1024,
    2048,
    4096,
    8192,
    16384,
    32768,
)

_PUNCTUATION = "…，:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_CURRENCIES = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯₰₱₲₳₴₵₸₹₺₼₽₾₿"
_SYMBOLS = (
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
)
UNCASED = (
    (0x591, 0x5F4),
    (0xFB1D, 0xFB4F),
    (0x620, 0x64A),
    (0x66E, 0x6D5),
    (0x6E5, 0x6FF),
    (0x750, 0x77F),
    (0x8A0, 0x8BD),
    (0xFB50, 0xFBB1),
    (0xFBD3, 0xFD3D),
    (0xFD50, 0xFDC7),
    (0xFDF0, 0xFDFB),
    (0xFE70, 0xFEFC),
    (0x1EE00, 0x1EEBB),
    (0x900, 0x97F),
    (0x980, 0x9FF),
    (0xB80, 0xBFF),
    (0xC00, 0xCFF),
    (0xD80, 0xDFF),
    (0x1100, 0x137F),
    (0xAC00, 0xD7AF),
)
"""Hebrew, Arabic, Indic, Hangul and Ethiopic letters, as ranges: a dot behind one is cut off as behind a lower-case letter."""
_CONTROLS = [*range(9), 11, 12, *range(13, 32), *range(127, 160)]
_TERMINALS = (
    (0x21, 0x21),
    (0x2E, 0x2E),
    (0x3F, 0x3F),
    (0x589, 0x589),
    (0x61D, 0x61F),
    (0x6D4, 0x6D4),
    (0x700, 0x702),
    (0x7F9, 0x7F9),
    (0x837, 0x837),
    (0x839, 0x839),
    (0x83D, 0x83E),
    (0x964, 0x965),
    (0x104A, 0x104B),
    (0x1362, 0x1362),
    (0x1367, 0x1368),
    (0x166E, 0x166E),
    (0x1735, 0x1736),
    (0x17D4, 0x17D6),
    (0x17D9, 0x17DA),
    (0x1803, 0x1803),
    (0x1809, 0x1809),
    (0x1944, 0x1945),
    (0x1AA8, 0x1AAB),
    (0x1B5A, 0x1B5B),
    (0x1B5E, 0x1B5F),
    (0x1B7D, 0x1B7E),
    (0x1C3B, 0x1C3C),
    (0x1C7E, 0x1C7F),
    (0x203C, 0x203D),
    (0x2047, 0x2049),
    (0x2E2E, 0x2E2E),
    (0x2E3C, 0x2E3C),
    (0x2E53, 0x2E54),
    (0x3002, 0x3002),
    (0xA4FF, 0xA4FF),
    (0xA60E, 0xA60F),
    (0xA6F3, 0xA6F3),
    (0xA6F7, 0xA6F7),
    (0xA876, 0xA877),
    (0xA8CE, 0xA8CF),
    (0xA92F, 0xA92F),
    (0xA9C8, 0xA9C9),
    (0xAA5D, 0xAA5F),
    (0xAAF0, 0xAAF1),
    (0xABEB, 0xABEB),
    (0xFE52, 0xFE52),
    (0xFE56, 0xFE57),
    (0xFF01, 0xFF01),
    (0xFF0E, 0xFF0E),
    (0xFF1F, 0xFF1F),
    (0xFF61, 0xFF61),
    (0x10A56, 0x10A57),
    (0x10F55, 0x10F59),
    (0x10F86, 0x10F89),
    (0x11047, 0x11048),
    (0x110BE, 0x110C1),
    (0x11141, 0x11143),
    (0x111C5, 0x111C6),
    (0x111CD, 0x111CD),
    (0x111DE, 0x111DF),
    (0x11238, 0x11239),
    (0x1123B, 0x1123C),
    (0x112A9, 0x112A9),
    (0x1144B, 0x1144C),
    (0x115C2, 0x115C3),
    (0x115C9, 0x115D7),
    (0x11641, 0x11642),
    (0x1173C, 0x1173E),
    (0x11944, 0x11944),
    (0x11946, 0x11946),
    (0x11A42, 0x11A43),
    (0x11A9B, 0x11A9C),
    (0x11C41, 0x11C42),
    (0x11EF7, 0x11EF8),
    (0x11F43, 0x11F44),
    (0x16A6E, 0x16A6F),
    (0x16AF5, 0x16AF5),
    (0x16B37, 0x16B38),
    (0x16B44, 0x16B44),
    (0x16E98, 0x16E98),
    (0x1BC9F, 0x1BC9F),
    (0x1DA88, 0x1DA88),
)
"""Sentence-ending punctuation of all scripts, as ranges (first, last)."""

ABBREVIATIONS = (
    "Adm. Ak. Ala. Apr. Ariz. Ark. Aug. Bros. Calif. Co. Colo. Conn. Corp. D.C. Dec. Del. Dr. E.G. E.g. Feb. Fla. Ga. Gen. Gov. "
    "I.E. I.e. Ia. Id. Ill. Inc. Ind. Jan. Jr. Jul. Jun. Kan. Kans. Ky. La. Ltd. Mar. Mass. Md. Messrs. Mich. Minn. Miss. Mo. "
    "Mont. Mr. Mrs. Ms. Mt. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. Ph.D. Prof. Rep. Rev. S.C. "
    "Sen. Sep. Sept. St. Tenn. Va. Wash. Wis. a.m. co. e.g. i.e. p.m. v.s. vs."
).split()
"""Chunks that keep their last dot."""
UNITS = (
    "km² km³ km m² m³ m dm² dm³ dm cm² cm³ cm mm² mm³ mm ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa mbar mb MB "
    "kb KB gb GB tb TB T G M K % كم كم² كم³ م م² م³ سم سم² سم³ مم مم² مم³ غرام جرام جم كغ ملغ كوب"
).split()
"""What is cut off behind a digit."""
_NEGATED = "ai are ca could do does did had has have is may might must need ought sha should was were wo would".split()
_PRONOUNS = (
    "i you he she it we they who what when where why how there that this these those".split()
)


def list_contractions() -> dict[str, int]:
    """Lower-case chunks (with a straight apostrophe) that are cut before their last n characters."""
    found = {f"{stem}n't": 3 for stem in _NEGATED} | {"cannot": 3}
    found |= {
        f"{word}'{tail}": len(tail) + 1
        for word, tail in product(_PRONOUNS, ("m", "re", "ve", "ll", "d", "s"))
    }
    return found | {
        f"{hour}{tail}": len(tail)
        for hour, tail in product(range(1, 13), ("am", "pm", "a.m.", "p.m."))
    }


@lru_cache(maxsize=1)
def build_flag_table() -> np.ndarray:
    """uint16 of shape (LAST,): the flags of every code point below LAST."""
    table = np.zeros(LAST, np.uint16)
    for code in range(0x32400):
        table[code] = _flags(chr(code))
    table[build_class_table() == SINGLE] |= ALONE
    for bit, chars in (
        (PREFIX, _PUNCTUATION + _QUOTES + _CURRENCIES + "§%=—–"),
        (SUFFIX, _PUNCTUATION + _QUOTES + "—–"),
        (QUOTE, _QUOTES),
        (CURRENCY, _CURRENCIES),
        (HYPHEN, "-–—~"),
        (SYMBOL, _SYMBOLS),
        (BEFORE_DOT, _PUNCTUATION + _QUOTES + "%²-+"),
    ):
        table[[ord(char) for char in chars]] |= bit
    table[_CONTROLS] |= SYMBOL
    for first, last in UNCASED:
        table[first : last + 1] |= LOWER | BEFORE_DOT
    for first, last in _TERMINALS:
        table[first : last + 1] |= SYMBOL | TERMINAL
    return table


@lru_cache(maxsize=1)
def build_arabic_flag_table() -> np.ndarray:
    """The same by spaCy's Arabic tokenizer: a dot is cut off behind two letters only, and no dash at an end."""
    table = build_flag_table() & ~np.uint16(BEFORE_DOT)
    for first, last in UNCASED:
        table[first : last + 1] ^= LOWER | UPPER
    table[[ord(char) for char in "—–"]] &= ~np.uint16(SUFFIX)
    return table


def _flags(char: str) -> int:
    """The flags that Unicode's own properties give."""
    kind = unicodedata.category(char)
    flags = (
        SPACE * char.isspace()
        | ALPHA * char.isalpha()
        | DIGIT * char.isdigit()
        | UPPER * char.isupper()
    )
    flags |= (
        LOWER * char.islower()
        | BEFORE_DOT * (char.islower() or char.isdigit())
        | MARK * (kind[0] == "M")
    )
    return flags | (ICON | PREFIX | SUFFIX) * (kind == "So")
