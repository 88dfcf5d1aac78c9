"""Crawl configurations: the shipped ones load, impossible ones are refused before any request."""

import re
import subprocess
import sys
from typing import get_args

import pytest

from crawlers.config import CrawlConfig, Recrawl, make_user_agent
from crawlers.sources.registry import SPIDERS, Source
from crawlers.state import name_crawl
from gristmill import __version__
from gristmill.config import load
from gristmill.errors import ConfigError

WIKI = {"type": "mediawiki", "name": "w", "api": "https://w.example.org/w/api.php"}


def config(*sources, **changes) -> CrawlConfig:
    return CrawlConfig.model_validate({"sources": sources or (WIKI,), **changes})


@pytest.mark.parametrize("name", ["default.toml", "demo.toml"])
def test_the_shipped_configurations_load(repository, name):
    assert load(CrawlConfig, repository / "configs" / "crawl" / name).sources


def test_the_default_crawl_has_all_kinds_both_languages_and_a_budget_but_no_contact(repository):
    default = load(CrawlConfig, repository / "configs" / "crawl" / "default.toml")
    assert {source.type for source in default.sources} == {"mediawiki", "news", "mastodon"}
    assert {source.genre for source in default.sources} == {"wiki", "news", "social"}
    assert {"en", "zh"} <= {source.lang for source in default.sources}
    assert default.budget is not None and default.politeness.delay >= 1 and not default.demo.serve
    with pytest.raises(ConfigError, match="contact"):
        make_user_agent(default)


def test_the_demo_crawl_asks_only_hosts_that_cannot_exist(repository):
    text = (repository / "configs" / "crawl" / "demo.toml").read_text()
    assert all(host.endswith(".demo.test") for host in re.findall(r"http://([^/\"]+)", text))


@pytest.mark.parametrize(
    "contact", ["me@example.org", "https://example.org/crawl", " http://a.org/x "]
)
def test_a_contact_is_an_address_or_a_page(contact):
    assert (
        make_user_agent(config(contact=contact)) == f"gristmill/{__version__} (+{contact.strip()})"
    )


@pytest.mark.parametrize(
    "contact",
    ["", "me", "me@home", "example.org", "https://", "me@example.org and more", "a@b.c\r\nX: y"],
)
def test_anything_else_is_refused(contact):
    with pytest.raises(ConfigError, match="contact"):
        make_user_agent(config(contact=contact))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sources": []}, "sources"),
        ({"sources": [WIKI, WIKI]}, "two sources are called"),
        ({"sources": [{**WIKI, "name": "Not A Name"}]}, "name"),
        ({"sources": [{**WIKI, "api": "https://w.example.org/index.php"}]}, "api"),
        ({"sources": [{"type": "news", "name": "n"}]}, "needs `sites` or `feeds`"),
        (
            {"sources": [{"type": "news", "name": "n", "feeds": ["ftp://e.org/f"]}]},
            "not an http address",
        ),
        (
            {"sources": [{"type": "mastodon", "name": "s", "server": "https://s.example/path"}]},
            "server",
        ),
        ({"sources": [{**WIKI, "max_documents": 0}]}, "max_documents"),
        ({"sources": [WIKI], "policy": "anything"}, "policy"),
        ({"sources": [WIKI], "shard": "3/2"}, "there are only 2"),
        ({"sources": [WIKI], "shard": "0/2"}, "shard"),
        ({"sources": [WIKI], "politeness": {"pages_per_host": 0}}, "pages_per_host"),
        ({"sources": [WIKI], "politeness": {"seconds_per_host": 0}}, "seconds_per_host"),
        ({"sources": [WIKI], "politeness": {"backoff": -1}}, "backoff"),
        ({"sources": [WIKI], "recrawl": {"documents": -1}}, "documents"),
        (
            {"sources": [{"type": "blog", "name": "b"}]},
            "`blog` is not a type of source: choose from mediawiki, news, mastodon",
        ),
        ({"sources": [{"type": "new", "name": "b"}]}, "did you mean `news`?"),
        ({"sources": [{"kind": "wiki", **WIKI}]}, "give only `type`"),
        ({"sources": [{**WIKI, "genre": "wikis"}]}, "genre"),
    ],
)
def test_impossible_crawls_are_refused(table, message, tmp_path):
    import json

    def inline_table(found):
        return "{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in found.items()) + "}"

    told = {
        key: inline_table(value) if isinstance(value, dict) else json.dumps(value)
        for key, value in table.items()
    }
    lines = [f"{key} = {value}" for key, value in told.items() if key != "sources"]
    inline = ", ".join(map(inline_table, table["sources"]))
    path = tmp_path / "crawl.toml"
    path.write_text("\n".join([*lines, f"sources = [{inline}]"]))
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(CrawlConfig, path)


def test_the_budget_is_known_only_where_every_source_has_one():
    other = {**WIKI, "name": "v", "max_documents": 7}
    assert config(other, {**WIKI, "max_documents": 5}).budget == 12
    assert config(other, WIKI).budget is None


def test_what_is_fetched_again_is_due_after_its_hours_or_never():
    recrawl = Recrawl(documents=None)
    assert (recrawl.discovery, recrawl.failed) == (24, 24)
    intervals = ("discovery", "documents", "never")
    assert [recrawl.hours_of(interval) for interval in intervals] == [24, None, None]
    assert Recrawl().hours_of("documents") == 720


@pytest.mark.parametrize(
    ("former", "source_type", "keys"),
    [
        ("wiki", "mediawiki", {"api": "https://w.example.org/w/api.php"}),
        ("news", "news", {"sites": ["https://n.example"]}),
        ("social", "mastodon", {"server": "https://s.example"}),
    ],
)
def test_the_former_key_of_a_source_is_taken_with_one_warning(former, source_type, keys, capsys):
    sources = [{"kind": former, "name": f"s{number}", **keys} for number in range(2)]
    assert {source.type for source in config(*sources).sources} == {source_type}
    assert capsys.readouterr().err.count("is now called `type`") == 1


def test_a_genre_may_be_stated_for_one_source():
    assert config({**WIKI, "genre": "docs"}).sources[0].genre == "docs"
    assert config(WIKI).sources[0].genre == "wiki"


def test_the_registry_has_a_spider_for_every_type_and_every_genre_has_rules():
    union, _ = get_args(Source)
    types = [get_args(member.model_fields["type"].annotation)[0] for member in get_args(union)]
    assert types == list(SPIDERS)


def test_configurations_are_read_without_scrapy():
    code = (
        "import sys, crawlers.config; assert not {'scrapy', 'w3lib', 'parsel'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "state", "crawl"),
    [
        ("demo", "crawl-6714a8ef30eb", "crawl-4d28a56b29e6"),
        ("default", "crawl-e909013d9f79", "crawl-ff76b10f71dc"),
    ],
)
def test_crawls_of_the_first_version_are_found_under_their_names(repository, name, state, crawl):
    """The names that version 0.1 gave these crawls, when `type` was called `kind`."""
    settings = load(CrawlConfig, repository / "configs" / "crawl" / f"{name}.toml")
    assert name_crawl(settings, with_shard=True) == state
    assert name_crawl(settings) == crawl


def test_a_host_has_no_limits_of_a_call_unless_they_are_given():
    polite = config().politeness
    assert (polite.pages_per_host, polite.bytes_per_host, polite.seconds_per_host) == (
        None,
        None,
        None,
    )
