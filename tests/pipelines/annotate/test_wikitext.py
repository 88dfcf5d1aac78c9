"""Wikitext: markup goes and prose stays, unbalanced braces cost a line, and time is linear on hostile pages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.extract.normalize import normalize
from pipelines.annotate.extract.wikitext import drop_nested, extract_wikitext, is_redirect


def plain(text):
    return normalize(extract_wikitext(text))


CASES = {
    "plain": ("Just prose.", "Just prose."),
    "bold and italic": ("'''Bold''' and ''italic'' and '''''both'''''", "Bold and italic and both"),
    "an apostrophe stays": ("it's the dogs' bone", "it's the dogs' bone"),
    "link": ("the [[River]] bank", "the River bank"),
    "link with a label": ("the [[River|wide river]] bank", "the wide river bank"),
    "link with a tail": ("[[mill]]s", "mills"),
    "link to a section": ("[[Mill#History|history]]", "history"),
    "link with two pipes": ("[[a|b|c]]", "c"),
    "category": ("x [[Category:Mills]]", "x"),
    "category shown as a link": ("[[:Category:Mills|mills]] x", "x"),
    "image with a caption": (
        "[[File:A.jpg|thumb|left|A [[mill]] by a [[river|wide river]].]]Text",
        "Text",
    ),
    "Chinese image": ("[[文件:A.jpg|thumb|一座[[磨坊]]]]正文", "正文"),
    "interwiki": ("x [[fr:Moulin]]", "x"),
    "external link with text": ("see [https://x.org/a?b=c the site] now", "see the site now"),
    "external link without": ("see [https://x.org/a] now", "see now"),
    "external link of any protocol": ("[//x.org  two  spaces ]", "two spaces"),
    "heading": ("a\n== The mill ==\nb", "a\n\nThe mill\n\nb"),
    "headings of all levels": ("=A=\n==B==\n===C===\n====D====", "A\n\nB\n\nC\n\nD"),
    "no heading": ("a = b\nc == d ==  e", "a = b\nc == d == e"),
    "unbalanced heading": ("=== A ==", "A"),
    "lists": ("* one\n** two\n# three\n: four\n; five", "one\ntwo\nthree\nfour\nfive"),
    "reference": ("fact<ref>Smith, 1999</ref> stands", "fact stands"),
    "named reference": (
        'fact<ref name="a" group=b>x</ref> and<ref name="a"/> stands',
        "fact and stands",
    ),
    "references side by side": ("a<ref>x</ref><ref>y</ref>b", "ab"),
    "unclosed reference": ("a<ref>b c", "ab c"),
    "comment": ("a<!-- secret\nlines -->b", "ab"),
    "unclosed comment": ("a<!-- the rest is gone", "a"),
    "template": ("a {{cite|b=c}} d", "a d"),
    "nested templates": ("a {{x|{{y|{{z}}}}|w}} d", "a d"),
    "template with an empty last parameter": ("a {{x|y=1|}} d", "a d"),
    "template over lines": (
        "{{Infobox\n| name = Mill\n| size = {{convert|3|m}}\n|}}\nProse.",
        "Prose.",
    ),
    "parameter with a default": ("{{x|{{{1|}}}}} y", "y"),
    "table": ("a\n{| class=x\n|-\n| cell || cell\n|}\nb", "a\n\nb"),
    "table in a template": ("{{box|\n{|\n| a\n|}}}b", "b"),
    "template in a table": ("{|\n| {{x|y}}\n|}b", "b"),
    "table in a table": ("{|\n|\n{|\n| a\n|}\n|}b", "b"),
    "stray closing braces": ("a }} b |} c", "a }} b |} c"),
    "unclosed template": ("Good.\n{{broken | here\nMore prose.", "Good.\n\nMore prose."),
    "two unclosed templates": ("{{a\nOne {{b\n{{c}}two {{d}}.", "One\ntwo."),
    "template after an unclosed table in one": ("a {{x|{| y}} b {{z}} c", "a b c"),
    "template unclosed in a table": ("a\n{|\n| {{x\n|}\nb", "a\n\nb"),
    "table unclosed before templates": (
        "{| class=x\nText {{y}} and {{z|{{w}}}} more.",
        "Text and more.",
    ),
    "measure": (
        "an area of {{convert|661,848|km2|sqmi|0|abbr=on}}, mostly",
        "an area of 661,848 km2, mostly",
    ),
    "foreign words": (
        "the mill ({{lang|fr|moulin}}; {{lang-de|Mühle}}) turns",
        "the mill (moulin; Mühle) turns",
    ),
    "words in a template in a template": ("{{nowrap|about {{cvt|3|m}}}} high", "about 3 m high"),
    "named parameters are no words": ("{{lang|la|italic=no|mola|size=2}}", "mola"),
    "a numbered parameter is one": ("{{quote|1=It = turns|2=Ada}}", "It = turns"),
    "link in a template of words": ("{{small|see [[mill|the mill]]}}", "see the mill"),
    "Chinese link template": ("{{link-en|磨坊|Mill}}在河边", "磨坊在河边"),
    "template without words": ("a {{lang|fr}} b {{nowrap|}} c", "a fr b c"),
    "brackets left empty": ("Pythius ({{IPA|x}}; {{x}}) came", "Pythius came"),
    "brackets left half empty": (
        "Pythius ({{IPA|x}}; {{x}}, Puthios) came",
        "Pythius (Puthios) came",
    ),
    "brackets empty from the start": ("call print() now", "call print() now"),
    "space before a stop": ("land {{x}}, sea {{y}} . Air{{z}}.", "land, sea . Air."),
    "Chinese stop": ("面积{{x}} 。水{{y}}，风", "面积 。水，风"),
    "image with an address in its caption": (
        "[[File:A.jpg|thumb|By [https://x.org Ada] in 1900]]Text",
        "Text",
    ),
    "link in an external link": ("[https://x.org the [[mill|old mill]] site]", "the old mill site"),
    "Bulgarian image and category": (
        "[[Файл:A.jpg|мини|Мелница]]Текст [[Категория:Мелници]]",
        "Текст",
    ),
    "Japanese image": ("[[ファイル:A.jpg|thumb|水車]]本文", "本文"),
    "French category": ("texte [[Catégorie:Moulins]]", "texte"),
    "an exclamation mark begins a line": ("!Kung people live here.", "!Kung people live here."),
    "zero bytes": ("a\0b ({{x}})", "ab"),
    "unclosed template at the end": ("Good. {{broken", "Good."),
    "math": ("so <math>x^2 {{y}}</math> holds", "so holds"),
    "line break": ("a<br>b<br/>c", "abc"),
    "small tags": ("<small>tiny</small> <span style='x'>y</span>", "tiny y"),
    "entities": ("a&nbsp;&amp;&lt;b&gt; &#20013;", "a &<b> 中"),
    "magic words": ("__NOTOC__Text __FORCETOC__", "Text"),
    "references section": ("Text.\n== References ==\n* a\n* b", "Text."),
    "a section after the references": (
        "Text.\n== See also ==\n* a\n== Life ==\nMore.",
        "Text.\n\nLife\n\nMore.",
    ),
    "Chinese tail": ("正文。\n== 参考文献 ==\n* 书\n== 外部链接 ==\n* x", "正文。"),
    "Chinese variant": ("这是-{zh-hans:计算机; zh-hant:電腦}-。", "这是计算机。"),
    "Chinese variant without choice": ("-{里}-面", "里面"),
    "Chinese variant with a flag": ("-{A|zh-cn:信息;zh-tw:資訊}-", "信息"),
    "hidden Chinese variant": ("甲-{H|zh-cn:信息;zh-tw:資訊}-乙-{T|zh:题}-丙", "甲乙丙"),
    "gallery": ("a<gallery>\nA.jpg|cap\n</gallery>b", "ab"),
    "code": ("a<syntaxhighlight lang='c'>x[[1]]</syntaxhighlight>b", "ab"),
    "empty": ("", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_markup_goes_and_prose_stays(name):
    text, expected = CASES[name]
    assert plain(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "#REDIRECT [[A]]",
        "#redirect [[A]]",
        "  # Redirect: [[A]]",
        "#重定向 [[甲]]",
        "#WEITERLEITUNG [[A]]",
    ],
)
def test_redirects_are_known(text):
    assert is_redirect(text)


@pytest.mark.parametrize("text", ["A page about #REDIRECT", "# a list", "", "redirect [[A]]"])
def test_other_pages_are_no_redirects(text):
    assert not is_redirect(text)


@settings(max_examples=300, deadline=None)
@given(text=st.lists(st.sampled_from(["a", " ", "\n", "x y"]), max_size=20).map("".join))
def test_text_without_markup_is_untouched(text):
    assert drop_nested(text) == text


def balanced():
    inner = st.recursive(
        st.sampled_from(["a", "b c", "|", "=", "|x=", "\n"]),
        lambda parts: (
            st.lists(parts, max_size=3).map(lambda some: "{{" + "".join(some) + "}}")
            | st.lists(parts, max_size=3).map(lambda some: "{|\n" + "".join(some) + "\n|}")
        ),
        max_leaves=12,
    )
    return inner.map(lambda text: "{{t" + text + "}}")


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.tuples(st.just(0), st.sampled_from(["one ", "two\n", "3 "])),
            st.tuples(st.just(1), balanced()),
        ),
        max_size=8,
    )
)
def test_balanced_templates_and_tables_leave_exactly_what_is_outside(parts):
    assert drop_nested("".join(text for _, text in parts)) == "".join(
        text for kind, text in parts if kind == 0
    )


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from("{}|a\n"), max_size=40))
def test_whatever_is_open_costs_at_most_its_own_line(text):
    lines = text.split("\n")
    kept = drop_nested(text).split("\n")
    assert all(line in kept for line in lines[:1] if not set(line) & set("{}|"))
    if "}}" not in text and "|}" not in text:
        assert len(kept) == len(lines)
        assert [line for line in lines if "{{" not in line and "{|" not in line] == [
            line
            for line, before in zip(kept, lines, strict=True)
            if "{{" not in before and "{|" not in before
        ]


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from("{}[]|<>='*#:-_/!ar \n中"), max_size=60))
def test_any_markup_soup_is_read_without_an_exception(text):
    assert isinstance(plain(text), str)


HOSTILE = {
    "open braces": "{",
    "open templates": "{{a ",
    "close": "}}",
    "mixed": "{{{|",
    "tables": "{|\n",
    "pipes": "|}",
    "links": "[[a|",
    "brackets": "[",
    "refs": "<ref>",
    "ref starts": "<ref ",
    "comments": "<!--",
    "tags": "<a",
    "quotes": "'",
    "equals": "=",
    "heads": "=\n",
    "spaced heads": "== \n",
    "spaces": " ",
    "variants": "-{",
    "variant bars": "-{|",
    "stars": "*",
    "under": "_A",
    "math": "<math><ref>",
    "words": "{{lang|",
    "word templates": "{{nowrap|x}}",
    "bars in words": "{{lang|a|[[b|",
    "gaps": "({{x}};",
    "open tables in templates": "{{{|",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_time_is_linear_on_hostile_pages(check_linear, name):
    unit = HOSTILE[name]
    check_linear(extract_wikitext, *(unit * (size // len(unit)) for size in (20_000, 160_000)))


@pytest.mark.parametrize(
    ("head", "unit", "tail"),
    [
        ("=", " ", ""),
        ("==", "=", "x"),
        ("[//a ", " ", ""),
        ("== References", " ", "x"),
        ("-{", "a", ""),
        ("[[a|", "b", ""),
        ("<ref", " ", ""),
        ("{{", "a", ""),
        ("{{lang|", "|", "}}"),
        ("{{lang|", "=", "}}"),
        ("({{x}}", ";", ""),
        ("{{x}}", " ", ","),
        ("{|", "{{", "|}"),
    ],
)
def test_time_is_linear_on_one_construct_that_never_ends(check_linear, head, unit, tail):
    check_linear(extract_wikitext, *(head + unit * size + tail for size in (8_000, 64_000)))


def test_a_million_braces_take_linear_time(check_linear):
    check_linear(extract_wikitext, "{{" * 62_500, "{{" * 500_000)
