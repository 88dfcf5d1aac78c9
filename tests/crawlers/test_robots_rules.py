"""robots.txt after RFC 9309: the cases of google/robotstxt, the RFC's own facts, and pure functions against obvious references."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protego import Protego

from crawlers.downloader.robots import (
    AI_AGENTS,
    EVERYTHING_FORBIDDEN,
    LARGEST_ROBOTS,
    NOTHING_FORBIDDEN,
    decode_unreserved,
    encode_pattern,
    get_path,
    matches_path,
    read_robots,
)

CASES = "crawl/robots/google_robotstxt_cases.json"
SITE = "https://n.example"


def may(robots: "str | bytes", path: str, agent: str = "gristmill") -> bool:
    """Whether a robots.txt permits a path."""
    body = robots.encode() if isinstance(robots, str) else robots
    return read_robots(body).permits(agent, SITE + path)


def failing(cases: list[dict]) -> list[dict]:
    """The cases of google/robotstxt that come out otherwise."""
    return [
        case
        for case in cases
        if read_robots(case["robots_txt"].encode()).allows(case["agent"], case["url"])
        != case["allowed"]
    ]


def test_all_cases_of_google_robotstxt_come_out_as_they_do_there(shared_data: Path):
    place = shared_data / CASES
    if not place.is_file():
        pytest.skip(f"{CASES} is not in the shared data")
    cases = json.loads(place.read_text())
    assert len(cases) == 142
    assert failing(cases) == []


# What a pattern matches_path

PATTERNS, PATHS = st.text("/ab*$.", max_size=8), st.text("/ab$.", max_size=10).map("/{}".format)


def by_regex(pattern: str, path: str) -> bool:
    """The same by a regular expression."""
    body = ".*".join(map(re.escape, pattern.removesuffix("$").split("*")))
    return (
        re.match(body + ("$(?!\n)" if pattern.endswith("$") else ""), path, re.DOTALL) is not None
    )


@settings(max_examples=600, deadline=None)
@given(PATTERNS, PATHS)
def test_a_pattern_matches_what_its_regular_expression_does(pattern, path):
    assert matches_path(pattern, path) == by_regex(pattern, path)


class CountedPath(str):
    """A path that counts the characters that searches in it pass over."""

    steps = 0

    def find(self, part: str, start: int = 0) -> int:  # type: ignore[override]
        found = super().find(part, start)
        CountedPath.steps += 1 + (len(self) if found < 0 else found + len(part)) - start
        return found


@pytest.mark.parametrize("stars", [10, 100, 1000])
@pytest.mark.parametrize("end", ["", "$", "b", "b$"])
def test_a_pattern_of_many_stars_is_matched_in_one_pass_over_the_path(stars, end):
    path = CountedPath("/" + "a" * 2000)
    CountedPath.steps = 0
    matches_path("/" + "*a" * stars + "*" + end, path)
    assert CountedPath.steps <= len(path) + 2 * (stars + 2)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("", "/", True),
        ("$", "/", False),
        ("*", "/a", True),
        ("*$", "/a", True),
        ("/a$", "/a", True),
        ("/a$", "/ab", False),
        ("/a$b", "/a$b/c", True),
        ("/*.php$", "/a.php?x", False),
        ("/*a*a$", "/a", False),
        ("/**a", "/xa", True),
    ],
)
def test_stars_and_dollars_mean_what_they_should(pattern, path, expected):
    assert matches_path(pattern, path) is expected


# RFC 9309


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("/foo/bar?baz=quz", "/foo/bar?baz=quz"),
        ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https://foo.bar"),
        ("/foo/bar/\u30c4", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%E3%83%84", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%e3%83%84", "/foo/bar/%E3%83%84"),
        ("/foo/bar/%62%61%7A", "/foo/bar/baz"),
        ("/foo/bar/baz", "/foo/bar/%62%61%7a"),
    ],
)
def test_rules_and_addresses_are_compared_in_one_encoding_as_in_the_table_of_2_2_2(rule, path):
    assert decode_unreserved(rule) == decode_unreserved(path)
    assert not may(f"User-agent: *\nDisallow: {rule}\n", path)


def test_reserved_characters_keep_their_codes():
    assert decode_unreserved("/a%2Fb%3f%24%2a%zz%4") == "/a%2Fb%3F%24%2A%zz%4"
    assert may("User-agent: *\nDisallow: /a%2Fb\n", "/a/b")
    assert not may(
        "User-agent: *\nDisallow: /path/file-with-a-%2A.html\n", "/path/file-with-a-%2A.html"
    )
    assert may("User-agent: *\nDisallow: /path/file-with-a-%2A.html\n", "/path/file-with-a-b.html")


SIMPLE = """User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
"""


@pytest.mark.parametrize(
    ("agent", "path", "expected"),
    [
        ("gristmill", "/a.gif", False),
        ("gristmill", "/a.gif?x", True),
        ("gristmill", "/example/a", False),
        ("gristmill", "/publications/a", True),
        ("gristmill", "/publications/a.gif", True),
        ("FooBot", "/other", False),
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("barbot", "/example/page.html", False),
        ("bazbot", "/example/page.html", False),
        ("bazbot", "/example/other", True),
        ("quxbot", "/example/page.html", True),
        ("quxbot", "/a.gif", True),
    ],
)
def test_the_groups_of_the_example_in_5_1_hold_for_their_own_crawlers(agent, path, expected):
    assert may(SIMPLE, path, agent) is expected


def test_the_longest_match_of_the_example_in_5_2_decides():
    robots = "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n"
    assert may(robots, "/example/page/disallowed.gif", "foobot") is False
    assert may(robots, "/example/page/other.gif", "foobot") is True


@given(
    st.lists(
        st.sampled_from(["Allow: /a", "Disallow: /a", "Disallow: /", "Allow: /ab", "Disallow: /ab"])
    )
)
def test_the_order_of_rules_changes_nothing_and_of_equals_the_one_that_allows_wins(rules):
    there = may("\n".join(["User-agent: *", *rules]), "/abc")
    assert there == may("\n".join(["User-agent: *", *reversed(rules)]), "/abc")
    longest = max((len(rule.partition(": ")[2]) for rule in rules), default=0)
    allowing = {rule.split(":")[0] for rule in rules if len(rule.partition(": ")[2]) == longest}
    assert there == (not rules or "Allow" in allowing)


def test_groups_of_one_crawler_are_read_as_one_and_the_group_for_all_is_then_no_concern_of_it():
    robots = "User-agent: a\nDisallow: /x\n\nUser-agent: *\nDisallow: /all\n\nUser-agent: A/2.0\nDisallow: /y\n"
    assert [may(robots, path, "a") for path in ("/x", "/y", "/all")] == [False, False, True]
    assert [may(robots, path, "b") for path in ("/x", "/y", "/all")] == [True, True, False]


def test_rules_before_any_group_and_empty_ones_say_nothing():
    assert may("Disallow: /\n", "/a") and may("User-agent: *\nDisallow:\n", "/a") and may("", "/a")
    assert read_robots(b"Disallow: /\n") == NOTHING_FORBIDDEN


def test_what_a_missing_and_an_unreachable_file_stand_for():
    assert (
        NOTHING_FORBIDDEN.permits("gristmill", SITE)
        and NOTHING_FORBIDDEN.usage("gristmill", SITE) == ()
    )
    assert not EVERYTHING_FORBIDDEN.permits("gristmill", SITE) and not EVERYTHING_FORBIDDEN.permits(
        "x", SITE + "/a?b"
    )


# Bytes of any kind

LINES = st.sampled_from(
    [
        "User-agent: *",
        "User-agent: gristmill",
        "Disallow: /",
        "Allow: /a",
        "Disallow: /%61",
        "Disallow: /*b$",
        "Crawl-delay: 3",
        "Content-Signal: ai-train=no",
        "# x",
        "Allow: /%2f",
        "disallow /新",
        "Allow: /a/index.html",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200) | st.lists(LINES).map(lambda lines: "\n".join(lines).encode()), PATHS
)
def test_any_bytes_are_read_and_permits_never_permits_what_allows_does_not(body, path):
    found = read_robots(body)
    assert found.allows("gristmill", SITE + path) or not found.permits("gristmill", SITE + path)
    assert found.crawl_delay("gristmill") is None or found.crawl_delay("gristmill") >= 0
    assert all(agent in AI_AGENTS for agent in found.refused_agents(AI_AGENTS, SITE + path))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_any_address_has_a_path_that_begins_with_a_slash_and_encoding_twice_changes_nothing(text):
    assert get_path(text).startswith("/") and "#" not in get_path(text)
    safe = text.encode("utf-8", "replace").decode()
    assert (
        encode_pattern(encode_pattern(safe)) == encode_pattern(safe)
        and encode_pattern(safe).isascii()
    )


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbfUser-agent: *\nDisallow: /a\n",
        b"User-agent: *\rDisallow: /a\r",
        b"User-agent: *\r\nDisallow: /a\r\n",
        b"\n\r\r\n User-agent : * \t\r\n\v Disallow : /a \f",
        b"\0User-agent: *\0\n\0\0\nDisallow: /a\0",
        b"user-AGENT: *\ndisALLOW: /a",
        b"User-agent: * # all\nDisallow: /a # not this",
        b"User-agent *\nDisallow /a",
        b"\xff\xfe\nUser-agent: *\n\x80\x81: \x82\nDissalow: /a\n",
    ],
)
def test_marks_line_ends_nul_bytes_and_small_slips_change_nothing(body):
    assert [may(body, path) for path in ("/a", "/b")] == [False, True]


def test_a_nul_byte_inside_a_rule_is_a_character_that_no_address_has():
    assert may(b"User-agent: *\nDisallow: /a\0b\n", "/ab")


def test_only_the_first_500_kib_are_read():
    head = b"User-agent: *\n"
    kept, cut = b"Disallow: /kept\n", b"Disallow: /cut\n"
    filling = b"#" * (LARGEST_ROBOTS - len(head) - len(kept) - 1) + b"\n"
    assert LARGEST_ROBOTS == 512_000 and len(head + filling + kept) == LARGEST_ROBOTS
    body = head + filling + kept + cut
    assert [may(body, path) for path in ("/kept", "/cut")] == [False, True]


# What is no part of the RFC


def test_a_crawl_delay_is_that_of_the_crawler_and_else_that_of_all():
    robots = read_robots(
        b"User-agent: *\nCrawl-delay: 9\nUser-agent: slow\nCrawl-delay: 20.5\nDisallow: /x\n"
        b"User-agent: a\nUser-agent: b\nCrawl-delay: 2\nCrawldelay: 3 seconds\n"
    )
    delays = {agent: robots.crawl_delay(agent) for agent in ("slow", "a", "B", "other")}
    assert delays == {"slow": 20.5, "a": 3.0, "B": 3.0, "other": 9.0}
    assert not robots.permits("slow", SITE + "/x")


@pytest.mark.parametrize(
    "value", ["", "soon", "-1", "1e9", "nan", "inf", "1,5", "9999999999", "\u0663"]
)
def test_a_crawl_delay_that_is_no_plain_number_says_nothing(value):
    assert (
        read_robots(f"User-agent: *\nCrawl-delay: {value}\n".encode()).crawl_delay("gristmill")
        is None
    )


def test_uses_are_those_of_the_group_that_concerns_a_crawler_each_once():
    body = (
        b"User-agent: *\nContent-Signal: search=yes, ai-train=no\nContent-signal: search=yes, ai-train=no\nAllow: /\n"
        b"Content-Usage: train-ai=n\n\nUser-agent: other\nContent-Usage: train-ai=y\nDisallow: /\n"
    )
    assert read_robots(body).usage("gristmill", SITE) == ("search=yes, ai-train=no", "train-ai=n")
    assert read_robots(body).usage("other", SITE) == ("train-ai=y",)


def test_only_crawlers_with_groups_of_their_own_count_as_shut_out():
    robots = read_robots(
        b"User-agent: *\nDisallow: /\n\nUser-agent: GPTBot\nUser-agent: CCBot\nDisallow: /text\n\n"
        b"User-agent: ClaudeBot\nAllow: /\n"
    )
    assert robots.refused_agents(AI_AGENTS, SITE + "/text/a") == ("ccbot", "gptbot")
    assert robots.refused_agents(AI_AGENTS, SITE + "/other") == ()


def test_sitemaps_stand_outside_of_groups_and_part_none():
    robots = read_robots(
        b"Sitemap: /a\nUser-agent: a\nSitemap: /b\nUser-agent: b\nsite-map: /a\nDisallow: /\n"
    )
    assert robots.sitemaps == ("/a", "/b")
    assert not robots.permits("a", SITE + "/x") and not robots.permits("b", SITE + "/x")


COMMON_RULES = st.tuples(
    st.sampled_from(["Allow", "Disallow"]),
    st.text("/ab*", min_size=1, max_size=6).map("/{}".format),
)
COMMON_GROUPS = st.tuples(
    st.sampled_from(["*", "gristmill", "other"]), st.lists(COMMON_RULES, min_size=1, max_size=5)
)


@settings(max_examples=400, deadline=None)
@given(st.lists(COMMON_GROUPS, max_size=4), st.text("/ab", max_size=8).map("/{}".format))
def test_protego_reads_files_of_common_syntax_alike(groups, path):
    """Stars, prefixes, groups; no codes and no `$`, which Protego takes for a character too."""
    text = "\n".join(
        line
        for agent, rules in groups
        for line in (
            f"User-agent: {agent}",
            *(f"{field}: {pattern}" for field, pattern in rules),
            "",
        )
    )
    assert may(text, path) == Protego.parse(text).can_fetch(SITE + path, "gristmill")
