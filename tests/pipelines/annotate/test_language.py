"""Language identification: offline, sure of itself only where there are letters, right on real sentences."""

import gzip
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.annotate.signals.language import LOOK_AT, UNSURE, compute_language_columns


def identify(text):
    lang, score = compute_language_columns(pa.array([text]))
    return lang[0].as_py(), score[0].as_py()


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("The old mill stood beside the river and nobody had opened its door for years.", "en"),
        ("这座老磨坊在河边，多年来没有人打开过它的门。", "zh"),
        ("這座老磨坊在河邊，多年來沒有人打開過它的門。", "zh"),
        ("古い水車小屋は川のそばにあり、長い間だれも扉を開けなかった。", "ja"),
        ("Die alte Mühle stand am Fluss, und seit Jahren hatte niemand ihre Tür geöffnet.", "de"),
        ("오래된 방앗간은 강가에 서 있었고 몇 년 동안 아무도 문을 열지 않았다.", "ko"),
        ("Старая мельница стояла у реки, и много лет никто не открывал её дверь.", "ru"),
    ],
)
def test_a_sentence_is_known_with_a_probability(text, lang):
    found, score = identify(text)
    assert found == lang and 0.5 < score <= 1.0


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n", "👍🏽👍🏽🎉", "123 456 ...", "!!!", "a", "-- 7 x --", "१२३", "½²"]
)
def test_a_text_without_letters_is_of_no_language(text):
    assert identify(text) == (UNSURE, 0.0)


def test_letters_that_come_late_still_count():
    assert identify("1" * 100 + " the old mill stood beside the river")[0] == "en"


def test_line_breaks_do_not_matter_and_only_the_beginning_is_looked_at():
    text = "The old mill stood beside the river and nobody had opened its door. " * 30
    assert (
        identify(text)
        == identify(text.replace(" ", "\n"))
        == identify(text[:LOOK_AT])
        == identify(text[:LOOK_AT] + "中文" * 9999)
    )


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_has_a_code_and_a_probability_and_always_the_same(text):
    lang, score = identify(text)
    assert (lang == UNSURE) == (score == 0.0) and 0.0 <= score <= 1.0
    assert lang.isalpha() and (lang, score) == identify(text)


def test_columns_of_a_batch_with_nulls():
    lang, score = compute_language_columns(
        pa.array(["The mill beside the river is old.", None, "", "这座老磨坊在河边。"])
    )
    assert lang.to_pylist() == ["en", UNSURE, UNSURE, "zh"]
    assert lang.type == pa.string() and score.type == pa.float32()
    assert score.to_pylist()[1:3] == [0.0, 0.0]
    assert [len(column) for column in compute_language_columns(pa.array([], pa.string()))] == [0, 0]


ISO = {
    "eng": "en",
    "zho": "zh",
    "deu": "de",
    "fra": "fr",
    "spa": "es",
    "jpn": "ja",
    "kor": "ko",
    "rus": "ru",
    "ara": "ar",
    "vie": "vi",
}


def test_accuracy_on_real_sentences(shared_data):
    lines = (
        gzip.decompress((shared_data / "langid" / "lingua_sentences.tsv.gz").read_bytes())
        .decode()
        .splitlines()
    )
    right, total = Counter(), Counter()
    for line in lines:
        lang, text = line.split("\t")[:2]
        if lang in ISO and total[lang] < 300:
            total[lang] += 1
            right[lang] += identify(text)[0] == ISO[lang]
    accuracy = {lang: right[lang] / total[lang] for lang in total}
    assert len(accuracy) == len(ISO)
    assert min(accuracy.values()) >= 0.93, accuracy
    assert sum(right.values()) / sum(total.values()) >= 0.97, accuracy
