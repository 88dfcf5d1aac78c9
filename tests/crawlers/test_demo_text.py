"""The demo text: deterministic, varied, in two languages, and skewed by trade on purpose."""

import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from crawlers.demo.text import chinese, english, library
from crawlers.demo.text.grammar import (
    expand,
    expand_in_order,
    expand_sample,
    list_pronoun_forms,
    split_paragraphs,
)
from crawlers.demo.text.piece import Piece, make_slug

HAN = re.compile(r"[一-鿿]")


def test_a_choice_is_settled_from_the_inside_out_and_facts_are_put_in():
    assert expand("[a|a] {s} [b [c|c]|b c]", random.Random(1), {"s": "she"}) == "a she b c"


def test_several_writes_each_pattern_at_most_once():
    assert sorted(expand_sample(["x", "y", "z"], 9, random.Random(3), {})) == ["x", "y", "z"]


def test_steps_stay_in_their_order():
    assert expand_in_order(list("abcdef"), 6, random.Random(0), {}) == list("abcdef")
    some = expand_in_order(list("abcdef"), 3, random.Random(0), {})
    assert some == sorted(some) and len(some) == 3


def test_paragraphs_keep_every_sentence_and_leave_no_single_one_behind():
    sentences = [f"s{i}." for i in range(23)]
    parts = split_paragraphs(sentences, random.Random(5), " ")
    assert " ".join(parts).split() == sentences
    assert all(len(part.split()) >= 2 for part in parts)


@pytest.mark.parametrize(
    ("pronoun", "sentence"), [("she", "She keeps her tools"), ("they", "They keep their tools")]
)
def test_verbs_and_possessives_follow_the_pronoun(pronoun, sentence):
    assert (
        expand("{S} keep{z} {p} tools", random.Random(0), list_pronoun_forms(pronoun)) == sentence
    )


def test_slugs_are_plain():
    assert make_slug("A letter from Saint Orme!") == "a-letter-from-saint-orme"


@pytest.mark.parametrize("module", [english, chinese])
def test_the_text_is_the_same_every_time(module):
    assert module.write_pieces() == module.write_pieces()


def test_the_text_does_not_depend_on_the_hash_seed_of_the_process():
    code = (
        "import hashlib\nfrom crawlers.demo.text import chinese, english, library\n"
        "text = repr(english.write_pieces() + chinese.write_pieces() + library.read_topics() + library.read_docstrings())\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def test_both_languages_have_enough_of_it():
    assert sum(len(piece.text) for piece in english.write_pieces()) > 60_000
    assert sum(len(piece.text.encode()) for piece in chinese.write_pieces()) > 60_000


@pytest.mark.parametrize("module", [english, chinese])
def test_slugs_are_unique_and_no_slot_or_choice_is_left_open(module):
    pieces = module.write_pieces()
    assert len({piece.slug for piece in pieces}) == len(pieces)
    assert not [piece.slug for piece in pieces if re.search(r"[{}\[\]|]", piece.title + piece.text)]


@pytest.mark.parametrize("module", [english, chinese])
def test_wiki_titles_are_unique(module):
    titles = [
        piece.title
        for piece in module.write_pieces()
        if piece.kind in ("profile", "town", "method")
    ]
    assert len(set(titles)) == len(titles)


def test_every_chinese_piece_is_chinese_and_every_english_piece_has_none_of_it():
    assert all(
        len(HAN.findall(piece.text)) > 0.7 * len(piece.text) for piece in chinese.write_pieces()
    )
    assert not [piece.slug for piece in english.write_pieces() if HAN.search(piece.text)]


def shingles(piece: Piece) -> set[str]:
    words = piece.text.split() if piece.lang == "en" else list(piece.text)
    return {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}


@pytest.mark.parametrize("module", [english, chinese])
def test_no_two_pieces_are_near_duplicates_by_accident(module):
    sets = [shingles(piece) for piece in module.write_pieces()]
    worst = max(len(a & b) / len(a | b) for i, a in enumerate(sets) for b in sets[:i])
    assert worst < 0.5


@pytest.mark.parametrize("module", [english, chinese])
def test_most_sentences_are_written_once_or_twice_only(module):
    sentences = Counter(
        s
        for piece in module.write_pieces()
        for s in re.split(r"(?<=[.。”\"])\s*", piece.text)
        if len(s) > 5
    )
    assert sum(1 for count in sentences.values() if count <= 2) / len(sentences) > 0.6


def test_some_trades_are_skewed_and_some_are_balanced():
    for jobs, nurse, engineer, balanced in (
        (english.JOBS, "nurse", "engineer", "teacher"),
        (chinese.JOBS, "护士", "工程师", "教师"),
    ):
        by_name = {job.name: job for job in jobs}
        assert by_name[nurse].she > 4 * by_name[nurse].he
        assert by_name[engineer].he >= 4 * by_name[engineer].she
        assert by_name[balanced].he == by_name[balanced].she


@pytest.mark.parametrize("jobs", [english.JOBS, chinese.JOBS])
def test_each_trade_brings_its_own_days_and_steps(jobs):
    assert len(jobs) == 16 and all(len(job.days) == 6 and len(job.steps) == 6 for job in jobs)
    sentences = [sentence for job in jobs for sentence in (*job.days, *job.steps)]
    assert len(set(sentences)) == len(sentences)


def test_the_library_text_is_prose_with_titles():
    pages = library.read_topics() + library.read_docstrings()
    assert len(pages) > 80 and sum(len(page.text) for page in pages) > 300_000
    assert len({page.slug for page in pages}) == len(pages)
    assert all(page.title and page.paragraphs for page in pages)
    assert any("with statement" in page.text for page in pages)
