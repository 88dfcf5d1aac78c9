"""The main text: the same as trafilatura's own reader, without loose ends, in any encoding, and within limits."""

import gzip
import json
import logging

import pytest

from pipelines.annotate.config import PageLimits
from pipelines.annotate.extract.html import MOST_ATTRIBUTES, PageTooBig, check_limits, extract_page
from pipelines.annotate.extract.main_text import (
    count_visible_characters,
    extract_main_text,
    parse_html,
    strip_loose_end,
)
from pipelines.annotate.readers.warc import decode_page

LIMITS = PageLimits()
SENTENCE = "The old mill beside the river had not turned for forty years, and its wheel was green with moss."
PARAGRAPH = f"<p>{SENTENCE}</p>"
PROSE = "\n".join([SENTENCE] * 3)


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        ("Read more:", ""),
        ("Share this\nMore from the author\n", ""),
        ("It was late.", "It was late."),
        ("他走了。", "他走了。"),
        ("- a last item", "- a last item"),
        ("| cell | cell |", "| cell | cell |"),
        (
            "A longer last line that ends without a mark, as prose sometimes does when a writer is careless",
            None,
        ),
    ],
)
def test_last_lines_that_only_announce_what_was_cut_away_go(end, kept):
    kept = end if kept is None else kept
    assert strip_loose_end(f"{PROSE}\n{end}") == (f"{PROSE}\n{kept}" if kept else PROSE)


@pytest.mark.parametrize(
    "text",
    [
        "The river runs\nThe wheel is still\nAnd no one comes\nTo buy the mill",
        "\n".join(["ภาษาไทยไม่มีเครื่องหมายจบประโยคและเขียนติดกันไปเรื่อยๆ"] * 3 + ["จบ"]),
        "One short line",
        "",
    ],
)
def test_verse_scripts_without_marks_and_short_texts_stay_whole(text):
    assert strip_loose_end(text) == text


def test_what_is_cut_from_the_end_is_only_the_end():
    text = f"{SENTENCE}\nShare:\n{SENTENCE}\nShare:"
    assert strip_loose_end(text) == f"{SENTENCE}\nShare:\n{SENTENCE}"


def test_comments_of_readers_go_and_those_of_a_forum_stay():
    comments = f"<div id='comments'><p>{'A reader says that this is not so at all. ' * 4}</p></div>"
    page = f"<html><body><article>{PARAGRAPH * 4}{comments}</article></body></html>"
    assert "A reader says" not in extract_main_text(parse_html(page), page)
    forum = page.replace(
        "<body>",
        '<body><script type="application/ld+json">{"@type": "DiscussionForumPosting"}</script>',
    )
    assert "A reader says" in extract_main_text(parse_html(forum), forum)


def test_a_commentary_is_no_comment():
    page = f"<html><body><article><div class='commentary'>{PARAGRAPH * 3}</div></article></body></html>"
    assert "The old mill" in extract_main_text(parse_html(page), page)


def test_text_after_a_removed_element_stays():
    page = f"<html><body><article>{PARAGRAPH}<p>before<script>x</script> after</p>{PARAGRAPH}</article></body></html>"
    tree = parse_html(page)
    assert count_visible_characters(tree) == 2 * len(SENTENCE) + len("before after")
    assert "before after" in extract_main_text(tree, page)


def test_a_page_whose_text_is_only_in_scripts_shows_nothing():
    assert (
        count_visible_characters(
            parse_html("<html><script>one two</script><style>a {}</style></html>")
        )
        == 0
    )


def test_a_deep_page_below_the_limit_is_read_to_its_end():
    html = (
        "<div>" * 400
        + PARAGRAPH
        + "<p>And this is the very last sentence of the page, below all else.</p>"
    )
    assert "very last sentence" in extract_page(html, None, LIMITS).text


@pytest.mark.parametrize("depth", [501, 3_000, 60_000])
def test_deeper_pages_are_refused_never_cut(depth):
    with pytest.raises(PageTooBig, match="nested deeper than 500"):
        extract_page("<div>" * depth + PARAGRAPH, None, LIMITS)


ATTRIBUTES = {
    "bare": " ".join(f"a{number}" for number in range(500_000)),
    "after a quoted bracket": 'x=">" ' + "a=1 " * 500_000,
    "without white space": "a=''" * 500_000,
    "slashes": "a/" * 500_000,
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_element_of_very_many_attributes_is_refused_before_any_tree_is_built(name):
    with pytest.raises(PageTooBig, match=f"more than {MOST_ATTRIBUTES} attributes"):
        check_limits(f"<p {ATTRIBUTES[name]}>x</p>", LIMITS)


def test_many_elements_of_few_attributes_and_long_values_pass():
    check_limits("<p a=\"1\" b='2' c=3 d>x</p>" * 20_000, LIMITS)
    check_limits(f'<p data-state="{"a b c " * 100_000}">x</p>', LIMITS)


HUGE = 4 << 20
BOMBS = {
    "one line": ("<p>" + "word " * (HUGE // 5 - 1), "word word"),
    "one word": ("<p>" + "x" * (HUGE - 3), "xxxx"),
    "entities": ("<p>" + "&amp;" * (HUGE // 5 - 1), "&&&&"),
    "declared entities": (
        '<!DOCTYPE x [<!ENTITY a "lol">'
        + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(20))
        + f"]><html><body>{PARAGRAPH * 3}<p>&u;</p></body></html>",
        SENTENCE,
    ),
    "zero bytes": ("\x00" * (1 << 20) + PARAGRAPH * 3, SENTENCE),
    "zero bytes inside": (PARAGRAPH.replace("mill", "mi\x00ll") * 3, SENTENCE),
    "no characters": ("\ufffe\uffff\ud800" * 50 + PARAGRAPH * 3, SENTENCE),
    "wide table": (
        f"<table><tr><td colspan=9007199254740991>x</td><td>{SENTENCE}</td></tr></table>",
        SENTENCE,
    ),
    "open lists of data": (
        '<script type="application/ld+json">' + "[" * (1 << 20) + "</script>" + PARAGRAPH * 3,
        SENTENCE,
    ),
    "a class of many words": (
        f'<div class="{"comments " * 200_000}">x</div>{PARAGRAPH * 3}',
        SENTENCE,
    ),
    "a title of spaces": (f"<title>{' ' * (1 << 20)}x</title>{PARAGRAPH * 3}", SENTENCE),
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_pages_are_read_for_what_they_show(name):
    html, shown = BOMBS[name]
    assert len(html) <= LIMITS.page_bytes
    assert shown in extract_page(html, "https://x.org/", LIMITS).text


CHINESE = "这座老磨坊在河边，四十年来没有转动过，水车上长满了绿色的苔藓，春天来了，新的主人用手清理了水渠。"
TRADITIONAL = "這座老磨坊在河邊，四十年來沒有轉動過，水車上長滿了綠色的苔蘚，春天來了，新的主人用手清理了水渠。"
JAPANESE = "川のそばの古い水車は四十年間動いていませんでした。春になると新しい持ち主が手で水路を掃除しました。"
RUSSIAN = (
    "Старая мельница у реки не вращалась сорок лет, и её колесо позеленело от мха за долгие годы."
)


def page_of(text, charset):
    meta = f'<meta charset="{charset}">' if charset else ""
    return f"<html><head>{meta}<title>t</title></head><body><article>{f'<p>{text}</p>' * 6}</article></body></html>"


@pytest.mark.parametrize(
    ("text", "encoding", "in_meta", "in_http"),
    [
        (CHINESE, "gbk", "gbk", None),
        (CHINESE, "gb18030", None, "gb18030"),
        (CHINESE, "gbk", None, None),
        (CHINESE, "gbk", "utf-8", "gbk"),
        (CHINESE, "gbk", "gb2312", "utf-8"),
        (TRADITIONAL, "big5", "big5", None),
        (TRADITIONAL, "big5", None, "big5"),
        (JAPANESE, "shift_jis", "shift_jis", None),
        (JAPANESE, "euc_jp", "euc-jp", "utf-8"),
        (RUSSIAN, "cp1251", "windows-1251", None),
        (RUSSIAN, "koi8-r", None, "koi8-r"),
        (CHINESE, "utf-16", None, None),
        (CHINESE, "utf-16-le", None, "utf-16le"),
        (CHINESE, "utf-8-sig", None, None),
        (CHINESE, "utf-8", "iso-8859-1", "utf-8"),
    ],
)
def test_pages_are_read_in_the_encoding_they_have(text, encoding, in_meta, in_http):
    html = decode_page(page_of(text, in_meta).encode(encoding), in_http)
    assert extract_page(html, None, LIMITS).text.count(text) >= 1


def test_our_reader_is_trafilaturas_own_on_real_pages(shared_data):
    """An update of trafilatura that moves what we call, or what it finds, shows here."""
    from trafilatura import bare_extraction

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    folder = shared_data / "crawl" / "article_extraction" / "trafilatura_eval"
    pages = list(json.loads((folder / "evaldata.json").read_text("utf-8")).values())[::40]
    same = 0
    for page in pages:
        html = decode_page(gzip.decompress((folder / "html" / page["gz"]).read_bytes()))
        theirs = bare_extraction(html, fast=True, include_comments=False)
        same += extract_main_text(parse_html(html), html) == (theirs.text if theirs else "")
    assert same >= 0.85 * len(pages)
