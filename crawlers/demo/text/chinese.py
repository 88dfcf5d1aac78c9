"""Writes the Chinese pieces of the demo text: profiles, town histories, news, methods of work and letters."""

from __future__ import annotations

import random

from crawlers.demo.text.bank import read_bank
from crawlers.demo.text.grammar import expand, expand_in_order, expand_sample, split_paragraphs
from crawlers.demo.text.jobs import Job, read_jobs
from crawlers.demo.text.piece import Piece

BANK, JOBS = read_bank("chinese"), read_jobs("chinese")

PRONOUNS = {"she": "她", "he": "他"}


def _draw_facts(rng: random.Random, job: Job) -> dict[str, str]:
    """Draw everything a pattern may name, once for each piece: names and years stay the same in it.

    The order of the draws is part of the text: another order is another demo site.
    """
    pronoun = rng.choice(job.list_pronouns())
    last, other = rng.sample(BANK.last_names, 2)
    first = rng.choice(BANK.first_names[pronoun])
    return {
        "s": PRONOUNS[pronoun],
        "first": first,
        "name": last + first,
        "colleague": other + "师傅",
        "job": job.name,
        "place": job.place,
        "town": rng.choice(BANK.towns),
        "river": rng.choice(BANK.rivers),
        "age": str(rng.randint(24, 67)),
        "years": str(rng.randint(3, 38)),
        "year": str(rng.randint(1985, 2021)),
        "old_year": str(rng.randint(1120, 1390)),
        "century": rng.choice(("十六世", "十八世", "十九世")),
        "rail_year": str(rng.randint(1898, 1939)),
        "fire_year": str(rng.randint(1640, 1790)),
        "strike_year": str(rng.randint(1919, 1979)),
        "water_year": str(rng.randint(1795, 1870)),
        "population": f"{rng.randint(2, 9)}万人",
        "arches": rng.choice("三五七九"),
        "money": str(rng.randint(120, 900)),
        "number": str(rng.randint(180, 2400)),
        "number_small": str(rng.randint(11, 60)),
    }


def _piece(
    kind: str, title: str, topic: str, sentences: list[str], rng: random.Random, key: str
) -> Piece:
    return Piece(
        f"zh-{kind}-{key}", title, "zh", kind, topic, tuple(split_paragraphs(sentences, rng, ""))
    )


def write_profile(rng: random.Random, job: Job, key: str) -> Piece:
    """Write a portrait of one working person."""
    facts = _draw_facts(rng, job)
    sentences = expand_sample(BANK.openings, 1, rng, facts)
    sentences += expand_sample(BANK.childhood, rng.randint(2, 3), rng, facts)
    sentences += expand_sample(BANK.turns, rng.randint(2, 3), rng, facts)
    sentences += expand_sample(job.days, rng.randint(4, 5), rng, facts)
    sentences += expand_sample(BANK.views, rng.randint(2, 3), rng, facts)
    sentences += expand_sample(BANK.closings, rng.randint(1, 2), rng, facts)
    title = expand("[{job}{name}|{name}的一天|{town}的{job}{name}|{name}和{place}]", rng, facts)
    return _piece("profile", title, "人物", sentences, rng, key)


def write_town(rng: random.Random, job: Job, name: str, key: str) -> Piece:
    """Write the history of one invented town."""
    facts = {**_draw_facts(rng, job), "town": name}
    sentences = [
        expand(BANK.town_facts[0], rng, facts),
        *expand_in_order(BANK.town_facts[1:], rng.randint(9, 12), rng, facts),
    ]
    sentences += [
        expand("镇上有名的人里有{job}{name}。", rng, facts),
        *expand_sample(job.days, 2, rng, facts),
    ]
    return _piece("town", name, "地方", sentences, rng, key)


def write_news(rng: random.Random, job: Job, key: str) -> Piece:
    """Write a short report from a town."""
    facts = _draw_facts(rng, job)
    lead = expand(rng.choice(BANK.news_leads), rng, facts)
    sentences = [
        lead,
        *expand_sample(BANK.news_body, rng.randint(7, 9), rng, facts),
        *expand_sample(job.days[1:], rng.randint(2, 3), rng, facts),
    ]
    title = expand(
        "[{town}开会，{job}{name}发言|{river}边的消息|{town}本周要闻|{town}：{job}的新一年]",
        rng,
        facts,
    )
    return _piece("news", title, "新闻", sentences, rng, key)


def write_method(rng: random.Random, job: Job, key: str) -> Piece:
    """Write how a piece of work is done, step by step."""
    facts = _draw_facts(rng, job)
    sentences = expand_sample(BANK.method_openings, rng.randint(1, 2), rng, facts)
    asides = expand_sample(BANK.method_asides, 3, rng, facts)
    for number, step in enumerate(job.steps):
        sentences.append(
            ("第一步，" if number == 0 else rng.choice(("", "", *BANK.method_links))) + step
        )
        if number % 2 and asides:
            sentences.append(asides.pop())
    sentences += expand_sample(job.days, 3, rng, facts)
    sentences += expand_sample(BANK.views, 2, rng, facts)
    return _piece(
        "method",
        expand("[怎样做{job}|{job}的功夫|{place}里学到的事]", rng, facts),
        "工作",
        sentences,
        rng,
        key,
    )


def write_letter(rng: random.Random, job: Job, key: str) -> Piece:
    """Write a letter between two people who used to work together."""
    facts = _draw_facts(rng, job)
    sentences = [
        expand(BANK.letters[0], rng, facts),
        *expand_in_order(BANK.letters[1:], rng.randint(7, 9), rng, facts),
        *expand_sample(job.days, 3, rng, facts),
    ]
    return _piece(
        "letter", expand("{town}来信：写给{colleague}", rng, facts), "书信", sentences, rng, key
    )


def write_pieces() -> list[Piece]:
    """Write all Chinese pieces; each has its own seed, so they are the same on every machine."""
    out = [
        write_town(random.Random(f"zh town {name}"), JOBS[index % len(JOBS)], name, str(index))
        for index, name in enumerate(BANK.towns)
    ]
    for number, job in enumerate(JOBS):
        out += [
            write_profile(random.Random(f"zh profile {job.name} {index}"), job, f"{number}-{index}")
            for index in range(3)
        ]
        out.append(write_method(random.Random(f"zh method {job.name}"), job, str(number)))
        out.append(write_news(random.Random(f"zh news {job.name}"), job, str(number)))
    return out + [
        write_letter(random.Random(f"zh letter {job.name}"), job, str(number))
        for number, job in enumerate(JOBS[::3])
    ]
