"""The documents of the golden funnel: graded faults in English and Chinese, so that each rule has some on both sides.

Out: records with `id`, `text`, `source`, `type`, `url` and `license`, the same ones at every call. A family spoils one
thing of a text, a grade says how much of it: 0 is a good text, 7 a hopeless one.
"""

import random
from collections.abc import Callable, Iterator

GRADES = range(8)
KINDS = ("web", "wiki", "news", "social")

ENGLISH_STARTS = (
    "The {0} of the {1} was there and it had",
    "He said that the {0} would be with the {1} in",
    "They have a {0} which is to",
    "When it was late the {0} and the {1} had",
    "She knew that the {0} had been in the {1} with",
)
ENGLISH = (
    "nurse ward window light morning carpenter oak grain saw station train coast sister report evening care tea bread "
    "house street river bridge market letter doctor farmer field winter summer road school lesson chalk child horse cart "
    "mill flour stone wheel water baker oven night engine driver ticket office clerk paper ink table chair kitchen garden "
    "apple pear wall gate tower bell church song choir captain harbour boat rope sail wind storm cloud rain snow mountain "
    "valley forest path hunter dog fox bird egg nest cheese butter milk cow sheep wool loom cloth tailor coat button pocket "
    "coin purse bank king queen law judge court lawyer thief prison key lantern ladder barrel copper silver garlic onion"
).split()
CHINESE_STARTS = "老师说这是 我们在那里 他不知道有 昨天的晚上 孩子们和他 她想了一下 因为人很多 在城市里的 如果有时间 这一个故事".split()
CHINESE = (
    "教室 学生 读书 工程 新桥 河上 早晨 市场 买菜 朋友 说话 护士 夜里 医院 时候 舒服 青山 流水 白云 月亮 春风 花园 夏天 秋雨 冬雪 "
    "东边 西边 南方 北方 高楼 长路 红灯 蓝天 黑夜 白马 来往 坐车 走路 吃饭 喝茶 看报 听歌 写信 画画 唱歌 跳舞 开门 关窗 父母 兄弟 "
    "姐妹 田地 大米 面粉 油盐 好酒 城墙 村庄 公路 火车 渔船 木匠 磨坊 面包 车站 老板 邻居 律师 法院 国王 钥匙 灯笼 梯子 铁桶"
).split()

Spoil = Callable[[random.Random, str, int], str]


def sentence(rng: random.Random, lang: str) -> str:
    """A sentence of common words that no other document has."""
    if lang == "zh":
        return rng.choice(CHINESE_STARTS) + "".join(rng.sample(CHINESE, 6)) + "了。"
    start = rng.choice(ENGLISH_STARTS).format(*rng.sample(ENGLISH, 2))
    return f"{start} {' '.join(rng.sample(ENGLISH, 5))}."


def sentences(rng: random.Random, lang: str, count: int) -> list[str]:
    """So many sentences."""
    return [sentence(rng, lang) for _ in range(count)]


def space(lang: str) -> str:
    """What stands between two sentences or words."""
    return "" if lang == "zh" else " "


def length(rng: random.Random, lang: str, grade: int) -> str:
    """From a page down to one sentence."""
    return space(lang).join(sentences(rng, lang, (20, 8, 6, 5, 4, 3, 2, 1)[grade]))


def repeated_lines(rng: random.Random, lang: str, grade: int) -> str:
    """Some lines stand twice."""
    lines = sentences(rng, lang, 16)
    return "\n".join(lines + lines[:grade])


def repeated_paragraphs(rng: random.Random, lang: str, grade: int) -> str:
    """Some paragraphs stand twice."""
    paragraphs = [space(lang).join(sentences(rng, lang, 2)) for _ in range(10)]
    return "\n\n".join(paragraphs + paragraphs[:grade])


def repeated_phrase(rng: random.Random, lang: str, grade: int) -> str:
    """One phrase of a few words comes again and again."""
    phrase = "水车磨坊面粉" if lang == "zh" else "blue mill wheel"
    parts = []
    for number, words in enumerate(sentences(rng, lang, 14)):
        parts.append(words)
        parts += [phrase + ("。" if lang == "zh" else ".")] * (grade if number % 2 else 0)
    return space(lang).join(parts)


def repeated_passage(rng: random.Random, lang: str, grade: int) -> str:
    """A passage longer than ten words stands in the middle of other sentences twice or more often."""
    passage, parts = sentence(rng, lang), sentences(rng, lang, 24)
    for number in range(grade + 1):
        parts.insert(3 * number + 1, passage)
    return space(lang).join(parts)


def bullets(rng: random.Random, lang: str, grade: int) -> str:
    """Some lines begin with a bullet; at the highest grade all do."""
    lines = sentences(rng, lang, 7)
    return "\n".join(f"- {line}" if number < grade else line for number, line in enumerate(lines))


def ellipses(rng: random.Random, lang: str, grade: int) -> str:
    """Some lines end in dots."""
    lines = sentences(rng, lang, 12)
    return "\n".join(
        line[:-1] + "..." if number < grade else line for number, line in enumerate(lines)
    )


def symbols(rng: random.Random, lang: str, grade: int) -> str:
    """Hash signs between the words."""
    parts = sentences(rng, lang, 10)
    return space(lang).join(part + " # " * grade for part in parts)


def numbers(rng: random.Random, lang: str, grade: int) -> str:
    """Numbers in place of words."""
    parts = sentences(rng, lang, 10)
    figures = [" ".join(str(rng.randrange(10, 9999)) for _ in range(3 * grade)) for _ in parts]
    return " ".join(f"{part} {figure}" for part, figure in zip(parts, figures, strict=True))


def no_stop_words(rng: random.Random, lang: str, grade: int) -> str:
    """Only nouns, and fewer and fewer of the words that hold a sentence together."""
    nouns = CHINESE if lang == "zh" else ENGLISH
    stops = ["的", "是", "在", "了"] if lang == "zh" else ["the", "of", "and", "with"]
    words = [rng.choice(nouns) for _ in range(90)]
    for number in range(max(0, 4 - grade)):
        words.insert(11 * number + 5, stops[number])
    lines = [space(lang).join(words[first : first + 9]) for first in range(0, len(words), 9)]
    return space(lang).join(line + ("。" if lang == "zh" else ".") for line in lines)


def long_words(rng: random.Random, lang: str, grade: int) -> str:
    """Words run together, as where white space was lost."""
    parts = []
    for part in sentences(rng, lang, 12):
        words = (part.split() if lang == "en" else list(part)) * 2
        size = grade + 1
        parts.append(
            " ".join("".join(words[first : first + size]) for first in range(0, len(words), size))
        )
    if lang == "zh":
        return " ".join(part + " Wasserradmühlenbesitzer" * grade * 3 for part in parts)
    return " ".join(parts)


def short_words(rng: random.Random, lang: str, grade: int) -> str:
    """Letters that stand alone, as in spaced type."""
    parts = sentences(rng, lang, 10)
    loose = [" ".join(part[: 8 * grade]) + part[8 * grade :] for part in parts]
    return space(lang).join(loose)


def short_lines(rng: random.Random, lang: str, grade: int) -> str:
    """Lines of two or three words between the sentences, as in a menu."""
    nouns = CHINESE if lang == "zh" else ENGLISH
    lines = []
    for words in sentences(rng, lang, 8):
        lines.append(words)
        lines += [space(lang).join(rng.sample(nouns, 2)) for _ in range(grade)]
    return "\n".join(lines)


def open_ends(rng: random.Random, lang: str, grade: int) -> str:
    """Lines without a mark at their end."""
    lines = sentences(rng, lang, 8)
    return "\n".join(
        line[:-1] if number <= grade and grade else line for number, line in enumerate(lines)
    )


def braces(rng: random.Random, lang: str, grade: int) -> str:
    """Curly braces in some lines."""
    lines = sentences(rng, lang, 8)
    return "\n".join(
        line[:-1] + " {x}" + line[-1] if number < grade else line
        for number, line in enumerate(lines)
    )


def code(rng: random.Random, lang: str, grade: int) -> str:
    """Lines of a program between the sentences."""
    lines = sentences(rng, lang, 8)
    return "\n".join(
        lines + [f"var mill{number} = {{wheel: [{number}]}};" for number in range(grade * 2)]
    )


def filler(rng: random.Random, lang: str, grade: int) -> str:
    """Text that printers set before there is any."""
    lines = sentences(rng, lang, 8)
    return "\n".join(lines + ["Lorem ipsum dolor sit amet, consectetur."] * (grade > 3))


def notices(rng: random.Random, lang: str, grade: int) -> str:
    """Notices of a page in place of sentences."""
    lines = sentences(rng, lang, 8 - grade)
    notice = (
        "请阅读本网站的隐私政策。"
        if lang == "zh"
        else "Please enable JavaScript and read our privacy policy."
    )
    return "\n".join(lines + [f"{notice}"] * grade)


FAMILIES: tuple[Spoil, ...] = (
    length,
    repeated_lines,
    repeated_paragraphs,
    repeated_phrase,
    repeated_passage,
    bullets,
    ellipses,
    symbols,
    numbers,
    no_stop_words,
    long_words,
    short_words,
    short_lines,
    open_ends,
    braces,
    code,
    filler,
    notices,
)

EDGES = {
    "empty": "",
    "white space": " \n\t\u3000\n",
    "one letter": "x",
    "only marks": "!!! ... ??? ，，。。" * 20,
    "only digits": "1 22 333 4444 " * 30,
    "emoji": "😀👍🏽 " * 60,
    "one long word": "mill" * 600,
    "no space, Chinese": "磨坊水车面粉石头" * 40,
    "traditional Chinese": "老師說這是我們學校的磨坊，孩子們在那裡讀書，後來他們都走了。" * 4,
    "German": "Der Müller ist nicht in der Mühle und das Rad steht still, weil es seit Wochen nicht geregnet hat. "
    * 3,
    "German compounds": "Wassermühlenbesitzervereinigungen verabschieden Getreidelieferungsbedingungen für "
    "Donaudampfschifffahrtsgesellschaften und Eisenbahnverkehrsunternehmen. " * 8,
    "two languages": "The miller has gone to the market with the flour. 磨坊主和他的孩子们在河边等他回来。"
    * 6,
    "mail addresses": "Write to the.miller@example.org or call +49 30 1234567 and ask for the flour of the day. "
    * 5,
    "bracket behind a space": "The mill！ )\nThe mill of the baker is old。 ）\n" * 8,
    "html left over": "<p>The mill <b>is</b> old and the wheel of it has been still for years.</p>\n"
    * 6,
}


def records() -> Iterator[dict[str, str]]:
    """Every document of the funnel, in order."""
    rng = random.Random(17)
    made: dict[str, dict[str, str]] = {}
    for family in FAMILIES:
        for lang in ("en", "zh"):
            for grade in GRADES:
                name = f"{lang} {family.__name__} {grade}"
                kind = KINDS[len(made) % len(KINDS)]
                made[name] = record(name, family(rng, lang, grade), kind)
    made |= {
        name: record(name, text, KINDS[number % 4])
        for number, (name, text) in enumerate(EDGES.items())
    }
    made["one hundred thousand words"] = record("one hundred thousand words", very_long(rng), "web")
    yield from made.values()
    yield from copies(rng, made)


def very_long(rng: random.Random) -> str:
    """More words than Gopher allows."""
    return "\n".join(
        " ".join(rng.choices(ENGLISH, k=12)) + " and the rest of it." for _ in range(6000)
    )


def copies(rng: random.Random, made: dict[str, dict[str, str]]) -> Iterator[dict[str, str]]:
    """Exact copies, near ones of every grade, and documents of one address."""
    for lang in ("en", "zh"):
        origin = made[f"{lang} length 0"]
        spaced = (
            origin["text"].upper().replace(" ", "  ") if lang == "en" else f" {origin['text']} \n"
        )
        yield record(f"{lang} exact copy", spaced, "news")
        for grade in GRADES:
            parts = sentences(rng, lang, 2 * grade)
            text = space(lang).join([*parts, origin["text"]])
            yield record(f"{lang} near copy {grade}", text, KINDS[grade % 4])
            address = record(f"{lang} same address {grade}", text[:: 1 if grade < 4 else -1], "web")
            yield {**address, "url": origin["url"]}


def record(name: str, text: str, kind: str) -> dict[str, str]:
    """A document as a corpus file has it."""
    address = f"https://funnel.example/{name.replace(' ', '-').replace(',', '')}"
    return {
        "id": name,
        "text": text,
        "source": kind,
        "type": kind,
        "url": address,
        "license": "CC0-1.0",
    }
