"""Writes the English pieces of the demo text: profiles, town histories, news, methods of work and letters."""

from __future__ import annotations

import random

from crawlers.demo.text.bank import read_bank
from crawlers.demo.text.grammar import (
    expand,
    expand_in_order,
    expand_sample,
    list_pronoun_forms,
    split_paragraphs,
)
from crawlers.demo.text.jobs import Job, read_jobs
from crawlers.demo.text.piece import Piece, make_slug

BANK, JOBS = read_bank("english"), read_jobs("english")


def _add_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _make_plural(noun: str) -> str:
    return "midwives" if noun == "midwife" else f"{noun}s"


def _draw_facts(rng: random.Random, job: Job) -> dict[str, str]:
    """Draw everything a pattern may name, once for each piece: names and years stay the same in it.

    The order of the draws is part of the text: another order is another demo site.
    """
    pronoun = rng.choice(job.list_pronouns())
    first = rng.choice(BANK.first_names[pronoun])
    last, other = rng.sample(BANK.last_names, 2)
    helper = rng.choice(BANK.first_names[rng.choice(("she", "he"))])
    facts = {
        **list_pronoun_forms(pronoun),
        "first": first,
        "name": f"{first} {last}",
        "colleague": f"{helper} {other}",
        "job": job.name,
        "place": job.place,
        "a_job": _add_article(job.name),
        "jobs": _make_plural(job.name),
        "town": rng.choice(BANK.towns),
        "river": rng.choice(BANK.rivers),
        "age": str(rng.randint(24, 67)),
        "years": str(rng.randint(3, 38)),
        "year": str(rng.randint(1985, 2021)),
        "closed": "closed",
        "old_year": str(rng.randint(1120, 1390)),
        "century": rng.choice(("sixteenth", "eighteenth", "nineteenth")),
        "rail_year": str(rng.randint(1848, 1889)),
        "fire_year": str(rng.randint(1640, 1790)),
        "strike_year": str(rng.randint(1904, 1979)),
        "water_year": str(rng.randint(1795, 1870)),
        "population": f"{rng.randint(9, 60)},{rng.randint(100, 999)}",
        "arches": str(rng.randint(3, 11)),
        "money": f"{rng.randint(2, 9)} million",
        "number": str(rng.randint(180, 2400)),
        "number_small": str(rng.randint(11, 60)),
    }
    facts["town_in"] = facts["town"]
    facts["es"] = "es" if facts["z"] else ""
    return facts


def write_profile(rng: random.Random, job: Job) -> Piece:
    """Write a portrait of one working person."""
    facts = _draw_facts(rng, job)
    sentences = expand_sample(BANK.openings, 1, rng, facts)
    sentences += expand_sample(BANK.childhood, rng.randint(2, 3), rng, facts)
    sentences += expand_sample(BANK.turns, rng.randint(2, 3), rng, facts)
    sentences += expand_sample(job.days, rng.randint(4, 5), rng, facts)
    sentences += expand_sample(BANK.views, rng.randint(2, 3), rng, facts)
    sentences += expand_sample(BANK.closings, rng.randint(1, 2), rng, facts)
    title = expand(
        "[{name}, {job}|A day with {name}|{name} of {town}|{name}: {years} years as {a_job}]",
        rng,
        facts,
    )
    return Piece(
        make_slug(title),
        title,
        "en",
        "profile",
        "People",
        tuple(split_paragraphs(sentences, rng, " ")),
    )


def write_town(rng: random.Random, job: Job, name: str) -> Piece:
    """Write the history of one invented town."""
    facts = {**_draw_facts(rng, job), "town": name, "town_in": name}
    sentences = [
        expand(BANK.town_facts[0], rng, facts),
        *expand_in_order(BANK.town_facts[1:], rng.randint(9, 12), rng, facts),
    ]
    sentences += [
        expand(f"Among its well known people is {{name}}, {{a_job}}. {job.days[0]}", rng, facts),
        *expand_sample(job.days[1:], 1, rng, facts),
    ]
    return Piece(
        make_slug(name), name, "en", "town", "Places", tuple(split_paragraphs(sentences, rng, " "))
    )


def write_news(rng: random.Random, job: Job) -> Piece:
    """Write a short report from a town."""
    facts = _draw_facts(rng, job)
    lead = expand(rng.choice(BANK.news_leads), rng, facts)
    sentences = [
        lead,
        *expand_sample(BANK.news_body, rng.randint(6, 9), rng, facts),
        *expand_sample(job.days[1:], rng.randint(1, 2), rng, facts),
    ]
    title = expand(
        "[{town} council hears {name}|News from {town} on the {river}|"
        "{town}: what happened this week in {year}|"
        "High water on the {river} and other news|Work in {town}: {a_job} speaks]",
        rng,
        facts,
    )
    return Piece(
        make_slug(f"{title} {facts['name']} {facts['year']}"),
        title,
        "en",
        "news",
        "News",
        tuple(split_paragraphs(sentences, rng, " ")),
    )


def write_method(rng: random.Random, job: Job) -> Piece:
    """Write how a piece of work is done, step by step."""
    facts = _draw_facts(rng, job)
    sentences = expand_sample(BANK.method_openings, rng.randint(1, 2), rng, facts)
    asides = expand_sample(BANK.method_asides, 3, rng, facts)
    for number, step in enumerate(job.steps):
        link = "First, " if number == 0 else rng.choice(("", "", *BANK.method_links[1:]))
        sentences.append(link + step[0].lower() + step[1:] if link else step)
        if number % 2 and asides:
            sentences.append(asides.pop())
    sentences += expand_sample(job.days, 3, rng, facts)
    sentences += expand_sample(BANK.views, 2, rng, facts)
    title = expand("[How {a_job} works|The work of {a_job}|Lessons from {place}]", rng, facts)
    return Piece(
        make_slug(f"{title} {facts['name']}"),
        title[0].upper() + title[1:],
        "en",
        "method",
        "Work",
        tuple(split_paragraphs(sentences, rng, " ")),
    )


def write_letter(rng: random.Random, job: Job) -> Piece:
    """Write a letter between two people who used to work together."""
    facts = _draw_facts(rng, job)
    sentences = [
        expand(BANK.letters[0], rng, facts),
        *expand_in_order(BANK.letters[1:], rng.randint(6, 8), rng, facts),
        *expand_sample(job.days, 3, rng, facts),
    ]
    title = expand("A letter from {town}", rng, facts)
    return Piece(
        make_slug(f"{title} {facts['name']}"),
        title,
        "en",
        "letter",
        "Letters",
        tuple(split_paragraphs(sentences, rng, " ")),
    )


def write_pieces() -> list[Piece]:
    """Write all English pieces; each has its own seed, so they are the same on every machine."""
    out = [
        write_town(random.Random(f"en town {name}"), JOBS[index % len(JOBS)], name)
        for index, name in enumerate(BANK.towns)
    ]
    for job in JOBS:
        out += [
            write_profile(random.Random(f"en profile {job.name} {index}"), job)
            for index in range(2)
        ]
        out.append(write_method(random.Random(f"en method {job.name}"), job))
        out.append(write_news(random.Random(f"en news {job.name}"), job))
    return out + [write_letter(random.Random(f"en letter {job.name}"), job) for job in JOBS[::3]]
