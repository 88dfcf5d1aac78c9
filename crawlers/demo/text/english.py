"""Writes the English pieces of the demo text: profiles, town histories, news, methods of work and letters."""

from __future__ import annotations

import random

from crawlers.demo.text.bank import read_bank
from crawlers.demo.text.grammar import expand, in_order, paragraphs, pronoun_facts, several
from crawlers.demo.text.jobs import Job, read_jobs
from crawlers.demo.text.piece import Piece, slug_of

BANK, JOBS = read_bank("english"), read_jobs("english")


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _plural(noun: str) -> str:
    return "midwives" if noun == "midwife" else f"{noun}s"


def _facts(rng: random.Random, job: Job) -> dict[str, str]:
    """Everything a pattern may ask for, drawn once for each piece so that names and years stay the same in it."""
    pronoun = rng.choice(job.pronouns())
    first, last, other = rng.choice(BANK.first_names[pronoun]), *rng.sample(BANK.last_names, 2)
    helper = rng.choice(BANK.first_names[rng.choice(("she", "he"))])
    facts = {
        **pronoun_facts(pronoun),
        "first": first,
        "name": f"{first} {last}",
        "colleague": f"{helper} {other}",
        "job": job.name,
        "place": job.place,
        "a_job": _article(job.name),
        "jobs": _plural(job.name),
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


def profile(rng: random.Random, job: Job) -> Piece:
    """A portrait of one working person."""
    facts = _facts(rng, job)
    sentences = several(BANK.openings, 1, rng, facts) + several(
        BANK.childhood, rng.randint(2, 3), rng, facts
    )
    sentences += several(BANK.turns, rng.randint(2, 3), rng, facts) + several(
        job.days, rng.randint(4, 5), rng, facts
    )
    sentences += several(BANK.views, rng.randint(2, 3), rng, facts) + several(
        BANK.closings, rng.randint(1, 2), rng, facts
    )
    title = expand(
        "[{name}, {job}|A day with {name}|{name} of {town}|{name}: {years} years as {a_job}]",
        rng,
        facts,
    )
    return Piece(
        slug_of(title), title, "en", "profile", "People", tuple(paragraphs(sentences, rng, " "))
    )


def town(rng: random.Random, job: Job, name: str) -> Piece:
    """The history of one invented town."""
    facts = {**_facts(rng, job), "town": name, "town_in": name}
    sentences = [
        expand(BANK.town_facts[0], rng, facts),
        *in_order(BANK.town_facts[1:], rng.randint(9, 12), rng, facts),
    ]
    sentences += [
        expand(f"Among its well known people is {{name}}, {{a_job}}. {job.days[0]}", rng, facts),
        *several(job.days[1:], 1, rng, facts),
    ]
    return Piece(
        slug_of(name), name, "en", "town", "Places", tuple(paragraphs(sentences, rng, " "))
    )


def news(rng: random.Random, job: Job) -> Piece:
    """A short report from a town."""
    facts = _facts(rng, job)
    lead = expand(rng.choice(BANK.news_leads), rng, facts)
    sentences = [
        lead,
        *several(BANK.news_body, rng.randint(6, 9), rng, facts),
        *several(job.days[1:], rng.randint(1, 2), rng, facts),
    ]
    title = expand(
        "[{town} council hears {name}|News from {town} on the {river}|{town}: what happened this week in {year}|High water on the {river} and other news|Work in {town}: {a_job} speaks]",
        rng,
        facts,
    )
    return Piece(
        slug_of(f"{title} {facts['name']} {facts['year']}"),
        title,
        "en",
        "news",
        "News",
        tuple(paragraphs(sentences, rng, " ")),
    )


def method(rng: random.Random, job: Job) -> Piece:
    """How a piece of work is done, step by step."""
    facts = _facts(rng, job)
    sentences = several(BANK.method_openings, rng.randint(1, 2), rng, facts)
    asides = several(BANK.method_asides, 3, rng, facts)
    for number, step in enumerate(job.steps):
        link = "First, " if number == 0 else rng.choice(("", "", *BANK.method_links[1:]))
        sentences.append(link + step[0].lower() + step[1:] if link else step)
        if number % 2 and asides:
            sentences.append(asides.pop())
    sentences += several(job.days, 3, rng, facts) + several(BANK.views, 2, rng, facts)
    title = expand("[How {a_job} works|The work of {a_job}|Lessons from {place}]", rng, facts)
    return Piece(
        slug_of(f"{title} {facts['name']}"),
        title[0].upper() + title[1:],
        "en",
        "method",
        "Work",
        tuple(paragraphs(sentences, rng, " ")),
    )


def letter(rng: random.Random, job: Job) -> Piece:
    """A letter between two people who used to work together."""
    facts = _facts(rng, job)
    sentences = [
        expand(BANK.letters[0], rng, facts),
        *in_order(BANK.letters[1:], rng.randint(6, 8), rng, facts),
        *several(job.days, 3, rng, facts),
    ]
    title = expand("A letter from {town}", rng, facts)
    return Piece(
        slug_of(f"{title} {facts['name']}"),
        title,
        "en",
        "letter",
        "Letters",
        tuple(paragraphs(sentences, rng, " ")),
    )


def pieces() -> list[Piece]:
    """All English pieces, the same on every machine: each piece has a seed of its own."""
    out = [
        town(random.Random(f"en town {name}"), JOBS[index % len(JOBS)], name)
        for index, name in enumerate(BANK.towns)
    ]
    for job in JOBS:
        out += [profile(random.Random(f"en profile {job.name} {index}"), job) for index in range(2)]
        out.append(method(random.Random(f"en method {job.name}"), job))
        out.append(news(random.Random(f"en news {job.name}"), job))
    return out + [letter(random.Random(f"en letter {job.name}"), job) for job in JOBS[::3]]
